//! Runs one `archipel` command to its end: init, invite, join, password, token, import. The program is expected in this
//! program's own folder.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The path of `archipel`, which is built into the same folder as this program. Errors: it is not there.
pub fn path() -> anyhow::Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name(format!("archipel{}", std::env::consts::EXE_SUFFIX));
    if beside.is_file() { Ok(beside) } else { bail!("{} is missing: build the workspace", beside.display()) }
}

/// A command of `archipel` on a site's folder.
pub fn command(data: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(path()?);
    // A person's own setting for their site must not affect the demo.
    command.env_remove("ARCHIPEL_DATA").arg("--data").arg(data);
    Ok(command)
}

/// Runs a command of `archipel` to its end, `input` on its standard input; returns what it printed.
/// Errors: it did not start, or failed; the text holds its standard error.
pub fn run(data: &Path, arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let mut command = command(data)?;
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("archipel did not start")?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that reads nothing may have ended already.
        let _ = writeln!(stdin, "{input}");
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    bail!("`archipel {}` failed: {}", arguments.first().unwrap_or(&""), message.trim())
}
