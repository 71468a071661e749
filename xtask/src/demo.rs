//! Commands that prepare the machine, build, and then become another program.

use std::process::ExitCode;

use crate::install::{MissingTool, install_missing};
use crate::tools::Tool;
use crate::workspace::{Workspace, exec, run_quietly};

/// What every build of the workspace needs.
const BUILD_TOOLS: &[Tool] = &[Tool::Compiler, Tool::Node];

/// What the unattended run needs besides: an independent Python script compares what the sites show.
const CHECK_TOOLS: &[Tool] = &[Tool::Compiler, Tool::Node, Tool::Python];

/// Selects the whole workspace: a single package would be built with other features of the shared dependencies than the
/// tests use, and everything would be compiled twice.
pub const BUILD: &[&str] = &["build", "--workspace", "--bins"];

/// Builds the workspace and becomes the stage; `args` are the stage's own.
/// Errors: something is missing, the build failed, or the stage could not be started.
pub fn demo(workspace: &Workspace, args: &[String], may_install: bool) -> Result<ExitCode, String> {
    let check = args.iter().any(|arg| arg == "--check");
    ensure_tools(workspace, if check { CHECK_TOOLS } else { BUILD_TOOLS }, may_install)?;
    run_quietly(workspace.cargo().args(BUILD))?;
    exec(workspace.built_program("stage").args(args))
}

/// Builds the workspace in the release profile and becomes the benchmark program, which runs `archipel` too; `args` are
/// its own. Errors: something is missing, the build failed, or the program could not be started.
pub fn bench(workspace: &Workspace, args: &[String], may_install: bool) -> Result<ExitCode, String> {
    ensure_tools(workspace, BUILD_TOOLS, may_install)?;
    run_quietly(workspace.cargo().args(BUILD).arg("--release"))?;
    exec(workspace.release_program("bench").args(args))
}

fn ensure_tools(workspace: &Workspace, tools: &[Tool], may_install: bool) -> Result<(), String> {
    let missing = install_missing(workspace, tools, may_install)?;
    if missing.is_empty() { Ok(()) } else { Err(missing_error(&missing, may_install)) }
}

fn missing_error(missing: &[MissingTool], may_install: bool) -> String {
    let reasons: Vec<&str> = missing.iter().map(|(_, why)| why.as_str()).collect();
    let ending = if may_install { "and could not be installed" } else { "and --no-install forbids installing it" };
    format!("{}, {ending}", reasons.join("; "))
}
