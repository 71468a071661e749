//! The steps of `cargo xtask test`, in order. To add one, add an entry to `STEPS`; nothing else names them.
//!
//! All cargo steps select the whole workspace, so that no dependency is compiled twice. The injected bugs are a
//! feature of their own, which the tests have, and the simulator built with them; for the steps after "build", which run
//! what operators get, our crates are built again without it.

use std::path::PathBuf;
use std::process::Command;

use crate::demo::BUILD;
use crate::install::ui_packages;
use crate::tools::Tool;
use crate::workspace::Workspace;

/// A step: one line of the final table.
pub struct Step {
    /// Its name in the table, and in `after` of other steps.
    pub name: &'static str,
    pub run: Run,
    pub needs: &'static [Tool],
    /// An earlier step that must have passed, so that this one does not test an old build.
    pub after: Option<&'static str>,
    /// Whether `--quick` leaves it out.
    pub long: bool,
    /// Runs before the step; if it fails, the step fails.
    pub prepare: fn(&Workspace) -> Result<(), String>,
    /// Why this step cannot run on this machine; `None`: it can.
    pub skip_reason: fn(&Workspace) -> Option<String>,
}

/// What a step starts, with its arguments.
pub enum Run {
    Cargo(&'static [&'static str]),
    /// npm, in the folder of the UI.
    Npm(&'static [&'static str]),
    /// A program of this workspace, built by an earlier step.
    Program(&'static str, &'static [&'static str]),
    /// A shell script of the repository, with its arguments.
    Script(&'static [&'static str]),
}

/// The default values of a step.
const DEFAULT: Step = Step {
    name: "",
    run: Run::Cargo(&[]),
    needs: &[],
    after: None,
    long: false,
    prepare: nothing,
    skip_reason: never_skip,
};

/// Building any crate of the workspace may build the UI.
const BUILDING: &[Tool] = &[Tool::Compiler, Tool::Node];

/// Cheap steps first, so that a small mistake is reported within seconds.
pub const STEPS: &[Step] = &[
    Step { name: "format", run: Run::Cargo(&["fmt", "--all", "--check"]), needs: &[Tool::Rustfmt], ..DEFAULT },
    Step {
        name: "dependencies",
        run: Run::Cargo(&["deny", "check", "bans", "licenses", "sources"]),
        needs: &[Tool::Deny],
        ..DEFAULT
    },
    Step {
        name: "advisories",
        run: Run::Cargo(&["deny", "--offline", "check", "advisories"]),
        needs: &[Tool::Deny],
        skip_reason: no_advisories,
        ..DEFAULT
    },
    Step {
        name: "clippy",
        run: Run::Cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            "fault-injection",
            "--",
            "-D",
            "warnings",
        ]),
        needs: &[Tool::Clippy, Tool::Compiler, Tool::Node],
        ..DEFAULT
    },
    Step { name: "ui types", run: Run::Npm(&["run", "check"]), needs: &[Tool::Node], prepare: ui_packages, ..DEFAULT },
    Step { name: "ui tests", run: Run::Npm(&["run", "test"]), needs: &[Tool::Node], prepare: ui_packages, ..DEFAULT },
    Step {
        name: "tests",
        run: Run::Cargo(&["test", "--workspace", "--features", "fault-injection"]),
        needs: &[Tool::Compiler, Tool::Node],
        ..DEFAULT
    },
    Step { name: "build", run: Run::Cargo(BUILD), needs: BUILDING, long: true, ..DEFAULT },
    Step {
        name: "stage",
        run: Run::Program("stage", &["--check", "--no-prompt"]),
        needs: &[Tool::Python],
        after: Some("build"),
        long: true,
        ..DEFAULT
    },
    Step {
        name: "soak test",
        run: Run::Program("soak", &["--kills", "6", "--tickets", "500", "--copy-seconds", "10"]),
        after: Some("build"),
        long: true,
        ..DEFAULT
    },
    Step {
        name: "quiet network",
        run: Run::Script(&["tests/scripts/no_packet_leaves.sh"]),
        needs: &[Tool::Ip, Tool::Tcpdump],
        after: Some("build"),
        long: true,
        skip_reason: no_namespaces,
        ..DEFAULT
    },
    Step {
        name: "simulator",
        run: Run::Program("simulate", &["--seeds", "300"]),
        after: Some("tests"),
        long: true,
        ..DEFAULT
    },
    Step {
        name: "injected bugs",
        run: Run::Program("simulate", &["--bugs", "--seeds", "300"]),
        after: Some("tests"),
        long: true,
        ..DEFAULT
    },
];

impl Run {
    pub fn command(&self, workspace: &Workspace) -> Command {
        let (mut command, args) = match self {
            Run::Cargo(args) => (workspace.cargo(), args),
            Run::Npm(args) => (workspace.command("npm"), args),
            Run::Program(name, args) => (workspace.built_program(name), args),
            Run::Script(args) => (workspace.command("bash"), args),
        };
        if matches!(self, Run::Npm(_)) {
            command.current_dir(workspace.ui());
        }
        command.args(*args);
        command
    }
}

fn nothing(_: &Workspace) -> Result<(), String> {
    Ok(())
}

fn never_skip(_: &Workspace) -> Option<String> {
    None
}

/// The database is fetched from a forge, which not every machine reaches; a check without it would be worthless.
fn no_advisories(_: &Workspace) -> Option<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")))?;
    let mut found = home.join("advisory-dbs").read_dir().ok().into_iter().flatten().flatten();
    let present = found.any(|entry| entry.path().is_dir());
    (!present).then(|| "no advisory database on this machine; `cargo deny fetch db` gets one".to_owned())
}

/// Network namespaces are Linux's, and root makes them.
fn no_namespaces(workspace: &Workspace) -> Option<String> {
    let mut id = workspace.command("id");
    id.arg("-u");
    let root = cfg!(target_os = "linux") && workspace.output_of(id).as_deref() == Some("0");
    (!root).then(|| "network namespaces need Linux and root".to_owned())
}

#[cfg(test)]
mod tests {
    use super::STEPS;

    #[test]
    fn a_step_waits_only_for_an_earlier_one() {
        for (index, step) in STEPS.iter().enumerate() {
            let earlier = |name| STEPS[..index].iter().any(|other| other.name == name);
            assert!(step.after.is_none_or(earlier), "{} would wait for a step that never ran", step.name);
            assert!(!earlier(step.name), "two steps named {} could not be told apart", step.name);
        }
    }
}
