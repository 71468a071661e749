//! Fetches what is missing: lists everything at once, then asks each source in turn.
//!
//! Debian packages need root or a `sudo` that asks no password; otherwise the line to paste is printed and the command
//! stops, since half an installation would only hide it. Whatever needs no rights goes into `.tools`, so nothing of the
//! machine is changed by it. No repository is added anywhere.

use std::path::Path;
use std::process::Command;

use crate::tools::{Source, Tool};
use crate::workplace::{Workplace, run_quietly};

/// Another installation may hold the package lock for a while; waiting is kinder than failing.
const APT_LOCK: &[&str] = &["-o", "DPkg::Lock::Timeout=900"];

/// How this user may install Debian packages.
enum Rights {
    Root,
    Sudo,
    None,
}

/// A tool that is not there, and why.
pub type Lack = (Tool, String);

/// Makes sure of `tools`; returns those that are still missing afterwards, with the reason.
/// With `may_install` false it only looks. Errors: a person has to install something first; the text says what.
pub fn provide(place: &Workplace, tools: &[Tool], may_install: bool) -> Result<Vec<Lack>, String> {
    let missing = lacks(place, tools);
    for (_, why) in &missing {
        eprintln!("xtask: {why}");
    }
    if missing.is_empty() || !may_install {
        return Ok(missing);
    }
    debian_packages(place, &missing)?;
    // A source that fails is told by the second look, with the tool it should have brought.
    for result in missing.iter().map(|(tool, _)| without_rights(place, *tool)) {
        result.unwrap_or_else(|error| eprintln!("xtask: {error}"));
    }
    Ok(lacks(place, tools))
}

fn lacks(place: &Workplace, tools: &[Tool]) -> Vec<Lack> {
    tools.iter().filter_map(|tool| Some((*tool, tool.lack(place)?))).collect()
}

fn debian_packages(place: &Workplace, missing: &[Lack]) -> Result<(), String> {
    let packages: Vec<&str> = missing.iter().flat_map(|(tool, _)| packages_of(place, *tool)).copied().collect();
    if packages.is_empty() {
        return Ok(());
    }
    if place.find("apt-get").is_none() {
        return Err(format!("this machine has no apt-get; install the counterparts of: {}", packages.join(" ")));
    }
    let sudo = match rights(place) {
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
    let update = run_quietly(apt(place, sudo).arg("update"));
    update.unwrap_or_else(|error| eprintln!("xtask: {error}; going on with the package lists at hand"));
    let mut install = apt(place, sudo);
    install.args(["install", "-y", "--no-install-recommends"]).args(&packages);
    run_quietly(&mut install).unwrap_or_else(|error| eprintln!("xtask: {error}"));
    Ok(())
}

/// The Debian packages that bring `tool`; none if another source does, or if npm is there to fetch Node by itself.
fn packages_of(place: &Workplace, tool: Tool) -> &'static [&'static str] {
    match tool.source() {
        Source::Apt(packages) => packages,
        Source::Npm { first, .. } if place.find("npm").is_none() => first,
        Source::Npm { .. } | Source::Rustup(_) | Source::Cargo { .. } => &[],
    }
}

/// The part of an installation that changes nothing outside `.tools` and the user's own toolchain.
fn without_rights(place: &Workplace, tool: Tool) -> Result<(), String> {
    match tool.source() {
        Source::Apt(_) => Ok(()),
        // Debian's own Node may have been new enough.
        Source::Npm { .. } if tool.lack(place).is_none() => Ok(()),
        Source::Npm { packages, .. } => npm_install(place, packages),
        Source::Rustup(component) => run_quietly(place.command("rustup").args(["component", "add", component])),
        Source::Cargo { name, version } => cargo_install(place, name, version),
    }
}

fn npm_install(place: &Workplace, packages: &[&str]) -> Result<(), String> {
    eprintln!("xtask: fetching {} into .tools", packages.join(" "));
    let mut command = place.command("npm");
    command.args(["install", "--no-save", "--no-package-lock", "--prefix"]).arg(place.tools()).args(packages);
    run_quietly(&mut command)
}

fn cargo_install(place: &Workplace, name: &str, version: &str) -> Result<(), String> {
    eprintln!("xtask: building {name} {version} into .tools (some minutes, once)");
    let mut command = place.cargo();
    command.args(["install", "--locked", name, "--version", version, "--root"]).arg(place.tools());
    // It runs for seconds and builds for minutes: the time is better saved in the build. Its own temporary target
    // folder goes away afterwards.
    command.env_remove("CARGO_TARGET_DIR").env("CARGO_PROFILE_RELEASE_LTO", "false");
    command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    run_quietly(&mut command)
}

fn apt(place: &Workplace, sudo: bool) -> Command {
    let mut command = place.command(if sudo { "sudo" } else { "apt-get" });
    if sudo {
        // `sudo` clears the environment, so the setting is named inside.
        command.args(["-n", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    }
    command.env("DEBIAN_FRONTEND", "noninteractive").args(APT_LOCK);
    command
}

fn rights(place: &Workplace) -> Rights {
    let mut who = place.command("id");
    who.arg("-u");
    if place.answer(who).as_deref() == Some("0") {
        return Rights::Root;
    }
    let mut sudo = place.command("sudo");
    sudo.args(["-n", "true"]);
    if place.answer(sudo).is_some() { Rights::Sudo } else { Rights::None }
}

/// Installs the UI's npm packages when the lock file is newer than what is installed.
/// npm writes its own copy of the lock last of all, so an interrupted installation is done again.
/// Errors: `npm ci` failed.
pub fn ui_packages(place: &Workplace) -> Result<(), String> {
    let ui = place.ui();
    let installed = ui.join("node_modules").join(".package-lock.json");
    let in_step = changed(&installed).zip(changed(&ui.join("package-lock.json"))).is_some_and(|(had, want)| had > want);
    if in_step { Ok(()) } else { run_quietly(place.command("npm").arg("ci").current_dir(ui)) }
}

fn changed(path: &Path) -> Option<std::time::SystemTime> {
    path.metadata().ok()?.modified().ok()
}
