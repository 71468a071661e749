//! The steps of `cargo xtask test`, in order. To add one, add an entry to `STEPS`; nothing else names them.
//!
//! All cargo steps select the whole workspace, so that no dependency is compiled twice. The planted bugs are a feature
//! of their own: only our crates are built again for them, after everything that runs what operators get.

use std::path::PathBuf;
use std::process::Command;

use crate::demo::BUILD;
use crate::install::ui_packages;
use crate::tools::Tool;
use crate::workplace::Workplace;

/// One line of the closing table.
pub struct Step {
    /// In the table, and in `after` of other steps.
    pub name: &'static str,
    pub run: Run,
    pub needs: &'static [Tool],
    /// An earlier step without which this one would test something stale.
    pub after: Option<&'static str>,
    /// Left out by `--quick`.
    pub long: bool,
    /// Done first; its failure is the step's.
    pub prepare: fn(&Workplace) -> Result<(), String>,
    /// The reason why this step has nothing to say on this machine, if there is one.
    pub idle: fn(&Workplace) -> Option<String>,
}

/// What a step starts, with its arguments.
pub enum Run {
    Cargo(&'static [&'static str]),
    /// In the UI's folder.
    Npm(&'static [&'static str]),
    /// A program of this workspace, built by an earlier step.
    Own(&'static str, &'static [&'static str]),
    /// A shell script of the repository, with its arguments.
    Script(&'static [&'static str]),
}

/// What a step is unless it says otherwise.
const PLAIN: Step =
    Step { name: "", run: Run::Cargo(&[]), needs: &[], after: None, long: false, prepare: nothing, idle: never };

/// Building any crate of the workspace may build the UI.
const BUILDING: &[Tool] = &[Tool::Compiler, Tool::Node];

/// Cheap steps first, so that a slip is told within seconds.
pub const STEPS: &[Step] = &[
    Step { name: "format", run: Run::Cargo(&["fmt", "--all", "--check"]), needs: &[Tool::Rustfmt], ..PLAIN },
    Step {
        name: "dependencies",
        run: Run::Cargo(&["deny", "check", "bans", "licenses", "sources"]),
        needs: &[Tool::Deny],
        ..PLAIN
    },
    Step {
        name: "advisories",
        run: Run::Cargo(&["deny", "--offline", "check", "advisories"]),
        needs: &[Tool::Deny],
        idle: no_advisories,
        ..PLAIN
    },
    Step {
        name: "clippy",
        run: Run::Cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            "tests/planted",
            "--",
            "-D",
            "warnings",
        ]),
        needs: &[Tool::Clippy, Tool::Compiler, Tool::Node],
        ..PLAIN
    },
    Step { name: "ui types", run: Run::Npm(&["run", "check"]), needs: &[Tool::Node], prepare: ui_packages, ..PLAIN },
    Step { name: "ui tests", run: Run::Npm(&["run", "test"]), needs: &[Tool::Node], prepare: ui_packages, ..PLAIN },
    Step { name: "tests", run: Run::Cargo(&["test", "--workspace"]), needs: &[Tool::Compiler, Tool::Node], ..PLAIN },
    Step { name: "build", run: Run::Cargo(BUILD), needs: BUILDING, ..PLAIN },
    Step {
        name: "stage",
        run: Run::Own("stage", &["--check", "--no-prompt"]),
        needs: &[Tool::Python],
        after: Some("build"),
        long: true,
        ..PLAIN
    },
    Step {
        name: "endurance",
        run: Run::Own("endure", &["--kills", "6", "--tickets", "500", "--minute", "10"]),
        after: Some("build"),
        long: true,
        ..PLAIN
    },
    Step {
        name: "quiet network",
        run: Run::Script(&["tests/scripts/no_packet_leaves.sh"]),
        needs: &[Tool::Ip, Tool::Tcpdump],
        after: Some("build"),
        long: true,
        idle: no_namespaces,
        ..PLAIN
    },
    Step {
        name: "build simulator",
        run: Run::Cargo(&["build", "--workspace", "--bins", "--features", "tests/planted"]),
        needs: BUILDING,
        long: true,
        ..PLAIN
    },
    Step {
        name: "simulator",
        run: Run::Own("simulate", &["--seeds", "300"]),
        after: Some("build simulator"),
        long: true,
        ..PLAIN
    },
    Step {
        name: "planted bugs",
        run: Run::Own("simulate", &["--bugs", "--seeds", "300"]),
        after: Some("build simulator"),
        long: true,
        ..PLAIN
    },
];

impl Run {
    pub fn command(&self, place: &Workplace) -> Command {
        let (mut command, args) = match self {
            Run::Cargo(args) => (place.cargo(), args),
            Run::Npm(args) => (place.command("npm"), args),
            Run::Own(name, args) => (place.own(name), args),
            Run::Script(args) => (place.command("bash"), args),
        };
        if matches!(self, Run::Npm(_)) {
            command.current_dir(place.ui());
        }
        command.args(*args);
        command
    }
}

fn nothing(_: &Workplace) -> Result<(), String> {
    Ok(())
}

fn never(_: &Workplace) -> Option<String> {
    None
}

/// The database is fetched from a forge, which not every machine reaches; a check without it would prove nothing.
fn no_advisories(_: &Workplace) -> Option<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")))?;
    let mut found = home.join("advisory-dbs").read_dir().ok().into_iter().flatten().flatten();
    let present = found.any(|entry| entry.path().is_dir());
    (!present).then(|| "no advisory database on this machine; `cargo deny fetch db` gets one".to_owned())
}

/// Network namespaces are Linux's, and root makes them.
fn no_namespaces(place: &Workplace) -> Option<String> {
    let mut id = place.command("id");
    id.arg("-u");
    let root = cfg!(target_os = "linux") && place.answer(id).as_deref() == Some("0");
    (!root).then(|| "network namespaces need Linux and root".to_owned())
}

#[cfg(test)]
mod tests {
    use super::STEPS;

    #[test]
    fn a_step_waits_only_for_an_earlier_one() {
        for (place, step) in STEPS.iter().enumerate() {
            let earlier = |name| STEPS[..place].iter().any(|other| other.name == name);
            assert!(step.after.is_none_or(earlier), "{} would wait for a step that never ran", step.name);
            assert!(!earlier(step.name), "two steps named {} could not be told apart", step.name);
        }
    }
}
