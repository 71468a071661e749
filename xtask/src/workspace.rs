//! The repository, its target folder, and the environment of every program started.
//!
//! Tools fetched by `install` live in `.tools` (git-ignored) and come first in the `PATH` of every child
//! process, because the build script of the web UI looks for npm there.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// The repository and what its programs need.
pub struct Workspace {
    root: PathBuf,
    /// Absolute; `CARGO_TARGET_DIR` if set, otherwise `target` in the repository.
    target: PathBuf,
    search_path: OsString,
}

impl Workspace {
    /// Finds the repository from this crate's own folder, so that the command works from any subfolder.
    /// Errors: the folder has gone, or `PATH` holds an entry that cannot be written back.
    pub fn here() -> Result<Self, String> {
        let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = crate_folder.parent().ok_or("the crate xtask has no folder above it")?.to_owned();
        let target = match std::env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty()) {
            Some(folder) => std::path::absolute(&folder).map_err(|error| format!("CARGO_TARGET_DIR: {error}"))?,
            None => root.join("target"),
        };
        let search_path = search_path(&root)?;
        Ok(Self { root, target, search_path })
    }

    /// The folder of git-ignored tools; may not exist yet.
    pub fn tools(&self) -> PathBuf {
        self.root.join(".tools")
    }

    /// The folder of the web UI's sources and of its npm packages.
    pub fn ui(&self) -> PathBuf {
        self.root.join("node").join("ui")
    }

    /// Where the dev profile leaves the program `name`.
    pub fn built(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// `None` if no folder of the children's `PATH` holds `program`.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        let endings: &[&str] = if cfg!(windows) { &[".exe", ".cmd", ""] } else { &[""] };
        std::env::split_paths(&self.search_path)
            .flat_map(|folder| endings.iter().map(move |ending| folder.join(format!("{program}{ending}"))))
            .find(|path| path.is_file())
    }

    /// A command run in the repository's root with the children's environment.
    pub fn command(&self, program: &str) -> Command {
        let found = self.find(program).map_or_else(|| OsString::from(program), PathBuf::into_os_string);
        self.prepared(Command::new(found))
    }

    /// The same cargo that runs this command.
    pub fn cargo(&self) -> Command {
        match std::env::var_os("CARGO") {
            Some(cargo) => self.prepared(Command::new(cargo)),
            None => self.command("cargo"),
        }
    }

    /// A program of this workspace, built before.
    pub fn built_program(&self, name: &str) -> Command {
        self.prepared(Command::new(self.built(name)))
    }

    /// A program of this workspace in the release profile, built before.
    pub fn release_program(&self, name: &str) -> Command {
        self.prepared(Command::new(self.target.join("release").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))))
    }

    /// What `program ARGS` printed, trimmed; `None` if it could not be started or failed.
    pub fn output_of(&self, mut command: Command) -> Option<String> {
        let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    }

    fn prepared(&self, mut command: Command) -> Command {
        // The target folder is given as an absolute path: a relative one would mean another folder from here.
        command.current_dir(&self.root).env("PATH", &self.search_path).env("CARGO_TARGET_DIR", &self.target);
        // The npm settings hold for npm called by the UI's build script as well; download addresses must never get
        // into the lock file, since each place has its own.
        for (setting, value) in [
            ("npm_config_prefer_offline", "true"),
            ("npm_config_omit_lockfile_registry_resolved", "true"),
            ("npm_config_audit", "false"),
            ("npm_config_fund", "false"),
            ("npm_config_update_notifier", "false"),
        ] {
            command.env(setting, value);
        }
        // `cargo run` tells its child about the package xtask; some build scripts watch these variables, and would
        // build again each time plain cargo and this command take turns.
        for (name, _) in std::env::vars_os().filter(|(name, _)| describes_xtask(name)) {
            command.env_remove(name);
        }
        command
    }
}

/// Runs to its end, with its output on stderr. Errors: it could not be started, or failed.
pub fn run_quietly(command: &mut Command) -> Result<(), String> {
    run(command.stdin(Stdio::null()).stdout(Stdio::from(std::io::stderr())))
}

/// Runs to its end. Errors: it could not be started, or failed; both say which command.
pub fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("could not start `{}`: {error}", command_line(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", command_line(command))) }
}

/// Becomes `command`, so that Ctrl-C, signals, stdin, stdout and the exit status are its own.
/// Errors: it could not be started.
#[cfg(unix)]
pub fn exec(command: &mut Command) -> Result<ExitCode, String> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(format!("could not start `{}`: {error}", command_line(command)))
}

/// Runs `command` and passes its exit status on; the console sends Ctrl-C to both.
/// Errors: it could not be started.
#[cfg(not(unix))]
pub fn exec(command: &mut Command) -> Result<ExitCode, String> {
    let status = command.status().map_err(|error| format!("could not start `{}`: {error}", command_line(command)))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The command as one would type it, without the folder of the program.
pub fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn search_path(root: &Path) -> Result<OsString, String> {
    let tools = root.join(".tools");
    let own = [tools.join("node_modules").join(".bin"), tools.join("bin")];
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps `ip` and `tcpdump` where only root's PATH looks.
    let system = if cfg!(unix) { vec![PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")] } else { Vec::new() };
    let folders = own.into_iter().chain(std::env::split_paths(&inherited)).chain(system);
    std::env::join_paths(folders).map_err(|error| format!("PATH cannot be extended: {error}"))
}

fn describes_xtask(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix))
        || ["CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&&*name)
}
