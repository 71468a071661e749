//! Commands that prepare the machine, build, and then become another program.

use std::process::{Command, ExitCode};

use crate::install::{Lack, provide};
use crate::tools::Tool;
use crate::workplace::{Workplace, hand_over, run_quietly};

/// What every build of the workspace needs.
const BUILD_TOOLS: &[Tool] = &[Tool::Compiler, Tool::Node];

/// Selects the whole workspace: a single package would be built with other features of the shared dependencies than the
/// tests use, and everything would be compiled twice.
pub const BUILD: &[&str] = &["build", "--workspace", "--bins"];

/// Builds the workspace and becomes the stage; `args` are the stage's own.
/// Errors: something is missing, the build failed, or the stage could not be started.
pub fn demo(place: &Workplace, args: &[String], may_install: bool) -> Result<ExitCode, String> {
    ready(place, may_install)?;
    run_quietly(place.cargo().args(BUILD))?;
    hand_over(place.own("stage").args(args))
}

/// Becomes the benchmark program in the release profile; `args` are its own.
/// Errors: something is missing, or cargo could not be started.
pub fn bench(place: &Workplace, args: &[String], may_install: bool) -> Result<ExitCode, String> {
    ready(place, may_install)?;
    let mut command: Command = place.cargo();
    command.args(["run", "--release", "-p", "tests", "--bin", "bench", "--"]).args(args);
    hand_over(&mut command)
}

fn ready(place: &Workplace, may_install: bool) -> Result<(), String> {
    let missing = provide(place, BUILD_TOOLS, may_install)?;
    if missing.is_empty() { Ok(()) } else { Err(told(&missing, may_install)) }
}

fn told(missing: &[Lack], may_install: bool) -> String {
    let reasons: Vec<&str> = missing.iter().map(|(_, why)| why.as_str()).collect();
    let ending = if may_install { "and could not be installed" } else { "and --no-install forbids to fetch it" };
    format!("{}, {ending}", reasons.join("; "))
}
