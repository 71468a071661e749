//! Date, commit, profile and machine of a run: the head of a column.

use std::path::Path;
use std::process::Command;

/// Date, commit, profile and machine of this run.
pub fn description() -> String {
    let date = node::clock::rfc3339(node::clock::now());
    let date = date.split('T').next().unwrap_or_default();
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field(Path::new("/proc/meminfo"), "MemTotal:").unwrap_or_default() / 1024.0 / 1024.0;
    format!("{date}, {}, {profile} profile, {}, {cores} cores, {memory:.0} GiB", commit(), processor())
}

/// The short commit hash, with `+` if the working tree differs from it; `no commit` outside a repository.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else {
        return "no commit".to_owned();
    };
    let differs = git(&["status", "--porcelain"]).is_none_or(|changes| !changes.is_empty());
    format!("{commit}{}", if differs { "+" } else { "" })
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or(std::env::consts::ARCH, |(_, model)| model.trim()).to_owned()
}

/// The memory of a process in MB: now, and at its peak. `None` where the kernel does not report it.
pub fn memory_mb(process: u32) -> Option<(f64, f64)> {
    let status = format!("/proc/{process}/status");
    let field = |name| field(Path::new(&status), name);
    Some((field("VmRSS:")? / 1024.0, field("VmHWM:")? / 1024.0))
}

/// A number of a file below `/proc`, in the unit of that file; `None` if it is not there.
fn field(file: &Path, name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
