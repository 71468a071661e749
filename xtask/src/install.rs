//! Installs what is missing: reports everything at once, then uses each source in turn.
//!
//! Debian packages need root or a `sudo` that asks no password; otherwise the line to paste is printed and the command
//! stops, since half an installation would only hide it. Whatever needs no rights goes into `.tools`, so nothing of the
//! machine is changed by it. No repository is added anywhere.

use std::path::Path;
use std::process::Command;

use crate::tools::{Source, Tool};
use crate::workspace::{Workspace, run_quietly};

/// Another installation may hold the package lock for a while; waiting is better than failing.
const APT_LOCK: &[&str] = &["-o", "DPkg::Lock::Timeout=900"];

/// How this user may install Debian packages.
enum Rights {
    Root,
    Sudo,
    None,
}

/// A missing tool and the reason, as text.
pub type MissingTool = (Tool, String);

/// Installs those of `tools` that are missing; returns those that are still missing afterwards, with the reason.
/// With `may_install` false it only checks. Errors: a person has to install something first; the text says what.
pub fn install_missing(workspace: &Workspace, tools: &[Tool], may_install: bool) -> Result<Vec<MissingTool>, String> {
    let missing = missing_tools(workspace, tools);
    for (_, why) in &missing {
        eprintln!("xtask: {why}");
    }
    if missing.is_empty() || !may_install {
        return Ok(missing);
    }
    debian_packages(workspace, &missing)?;
    // A source that fails is reported by the second check, with the tool that it should have installed.
    for result in missing.iter().map(|(tool, _)| without_rights(workspace, *tool)) {
        result.unwrap_or_else(|error| eprintln!("xtask: {error}"));
    }
    Ok(missing_tools(workspace, tools))
}

fn missing_tools(workspace: &Workspace, tools: &[Tool]) -> Vec<MissingTool> {
    tools.iter().filter_map(|tool| Some((*tool, tool.why_missing(workspace)?))).collect()
}

fn debian_packages(workspace: &Workspace, missing: &[MissingTool]) -> Result<(), String> {
    let packages: Vec<&str> = missing.iter().flat_map(|(tool, _)| packages_of(workspace, *tool)).copied().collect();
    if packages.is_empty() {
        return Ok(());
    }
    if workspace.find("apt-get").is_none() {
        return Err(format!("this machine has no apt-get; install the counterparts of: {}", packages.join(" ")));
    }
    let sudo = match rights(workspace) {
        Rights::Root => false,
        Rights::Sudo => true,
        Rights::None => {
            let names = packages.join(" ");
            return Err(format!(
                "no right to install packages; paste this line, then run the command again:\n\n    \
                 sudo apt-get update && sudo apt-get install -y --no-install-recommends {names}\n"
            ));
        }
    };
    eprintln!("xtask: installing {}", packages.join(" "));
    let update = run_quietly(apt(workspace, sudo).arg("update"));
    update.unwrap_or_else(|error| eprintln!("xtask: {error}; going on with the package lists at hand"));
    let mut install = apt(workspace, sudo);
    install.args(["install", "-y", "--no-install-recommends"]).args(&packages);
    run_quietly(&mut install).unwrap_or_else(|error| eprintln!("xtask: {error}"));
    Ok(())
}

/// The Debian packages that bring `tool`; none if another source does, or if npm is there to fetch Node by itself.
fn packages_of(workspace: &Workspace, tool: Tool) -> &'static [&'static str] {
    match tool.source() {
        Source::Apt(packages) => packages,
        Source::Npm { first, .. } if workspace.find("npm").is_none() => first,
        Source::Npm { .. } | Source::Rustup(_) | Source::Cargo { .. } => &[],
    }
}

/// The part of an installation that changes nothing outside `.tools` and the user's own toolchain.
fn without_rights(workspace: &Workspace, tool: Tool) -> Result<(), String> {
    match tool.source() {
        Source::Apt(_) => Ok(()),
        // Debian's own Node may have been new enough.
        Source::Npm { .. } if tool.why_missing(workspace).is_none() => Ok(()),
        Source::Npm { packages, .. } => npm_install(workspace, packages),
        Source::Rustup(component) => run_quietly(workspace.command("rustup").args(["component", "add", component])),
        Source::Cargo { name, version } => cargo_install(workspace, name, version),
    }
}

fn npm_install(workspace: &Workspace, packages: &[&str]) -> Result<(), String> {
    eprintln!("xtask: fetching {} into .tools", packages.join(" "));
    let mut command = workspace.command("npm");
    command.args(["install", "--no-save", "--no-package-lock", "--prefix"]).arg(workspace.tools()).args(packages);
    run_quietly(&mut command)
}

fn cargo_install(workspace: &Workspace, name: &str, version: &str) -> Result<(), String> {
    eprintln!("xtask: building {name} {version} into .tools (some minutes, once)");
    let mut command = workspace.cargo();
    command.args(["install", "--locked", name, "--version", version, "--root"]).arg(workspace.tools());
    // It runs for seconds and builds for minutes: the time is better saved in the build. Its own temporary target
    // folder goes away afterwards.
    command.env_remove("CARGO_TARGET_DIR").env("CARGO_PROFILE_RELEASE_LTO", "false");
    command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    run_quietly(&mut command)
}

fn apt(workspace: &Workspace, sudo: bool) -> Command {
    let mut command = workspace.command(if sudo { "sudo" } else { "apt-get" });
    if sudo {
        // `sudo` clears the environment, so the setting is named inside.
        command.args(["-n", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    }
    command.env("DEBIAN_FRONTEND", "noninteractive").args(APT_LOCK);
    command
}

fn rights(workspace: &Workspace) -> Rights {
    let mut who = workspace.command("id");
    who.arg("-u");
    if workspace.output_of(who).as_deref() == Some("0") {
        return Rights::Root;
    }
    let mut sudo = workspace.command("sudo");
    sudo.args(["-n", "true"]);
    if workspace.output_of(sudo).is_some() { Rights::Sudo } else { Rights::None }
}

/// Installs the UI's npm packages when the lock file is newer than what is installed.
/// npm writes its own copy of the lock last of all, so an interrupted installation is done again.
/// Errors: `npm ci` failed.
pub fn ui_packages(workspace: &Workspace) -> Result<(), String> {
    let ui = workspace.ui();
    let installed = ui.join("node_modules").join(".package-lock.json");
    let in_step = changed(&installed).zip(changed(&ui.join("package-lock.json"))).is_some_and(|(had, want)| had > want);
    if in_step { Ok(()) } else { run_quietly(workspace.command("npm").arg("ci").current_dir(ui)) }
}

fn changed(path: &Path) -> Option<std::time::SystemTime> {
    path.metadata().ok()?.modified().ok()
}
