//! Commands that prepare the machine, build, and then become another program.

use std::process::ExitCode;

use crate::install::{Lack, provide};
use crate::tools::Tool;
use crate::workplace::{Workplace, hand_over, run_quietly};

/// What every build of the workspace needs.
const BUILD_TOOLS: &[Tool] = &[Tool::Compiler, Tool::Node];

/// What the run without a person needs beside that: the outside script compares what the sites show.
const CHECK_TOOLS: &[Tool] = &[Tool::Compiler, Tool::Node, Tool::Python];

/// Selects the whole workspace: a single package would be built with other features of the shared dependencies than the
/// tests use, and everything would be compiled twice.
pub const BUILD: &[&str] = &["build", "--workspace", "--bins"];

/// Builds the workspace and becomes the stage; `args` are the stage's own.
/// Errors: something is missing, the build failed, or the stage could not be started.
pub fn demo(place: &Workplace, args: &[String], may_install: bool) -> Result<ExitCode, String> {
    let check = args.iter().any(|arg| arg == "--check");
    ready(place, if check { CHECK_TOOLS } else { BUILD_TOOLS }, may_install)?;
    run_quietly(place.cargo().args(BUILD))?;
    hand_over(place.own("stage").args(args))
}

/// Builds the workspace in the release profile and becomes the benchmark program, which runs `archipel` too; `args` are
/// its own. Errors: something is missing, the build failed, or the program could not be started.
pub fn bench(place: &Workplace, args: &[String], may_install: bool) -> Result<ExitCode, String> {
    ready(place, BUILD_TOOLS, may_install)?;
    run_quietly(place.cargo().args(BUILD).arg("--release"))?;
    hand_over(place.released("bench").args(args))
}

fn ready(place: &Workplace, tools: &[Tool], may_install: bool) -> Result<(), String> {
    let missing = provide(place, tools, may_install)?;
    if missing.is_empty() { Ok(()) } else { Err(told(&missing, may_install)) }
}

fn told(missing: &[Lack], may_install: bool) -> String {
    let reasons: Vec<&str> = missing.iter().map(|(_, why)| why.as_str()).collect();
    let ending = if may_install { "and could not be installed" } else { "and --no-install forbids to fetch it" };
    format!("{}, {ending}", reasons.join("; "))
}
