//! Builds the page with npm into `OUT_DIR`. `ARCHIPEL_UI_DIST` names a folder built elsewhere instead.

use std::path::{Path, PathBuf};
use std::process::Command;

const NEEDS: &str = "The web page needs Node.js >= 20.19 with npm on the PATH (`cargo xtask demo` installs it).";

fn main() {
    for path in ["src", "public", "index.html", "stage.html", "vite.config.ts", "svelte.config.js", "tsconfig.json"] {
        println!("cargo::rerun-if-changed={path}");
    }
    for path in ["package.json", "package-lock.json", ".npmrc", "build.rs"] {
        println!("cargo::rerun-if-changed={path}");
    }
    println!("cargo::rerun-if-env-changed=ARCHIPEL_UI_DIST");
    if let Err(problem) = build() {
        println!("cargo::error={problem}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).ok_or("cargo gave no OUT_DIR")?.join("dist");
    if let Some(built) = std::env::var_os("ARCHIPEL_UI_DIST") {
        return copy(Path::new(&built), &out).map_err(|error| format!("ARCHIPEL_UI_DIST: {error}"));
    }
    install()?;
    let out = out.to_string_lossy().into_owned();
    run("npx", &["--no-install", "vite", "build", "--logLevel", "warn", "--outDir", &out, "--emptyOutDir"])
}

/// Runs `npm ci` only when the lock file is not the one that was installed.
fn install() -> Result<(), String> {
    let (lock, installed) = (Path::new("package-lock.json"), Path::new("node_modules/.installed-lock"));
    let wanted = std::fs::read(lock).map_err(|error| format!("package-lock.json: {error}"))?;
    if std::fs::read(installed).is_ok_and(|had| had == wanted) {
        return Ok(());
    }
    run("npm", &["ci", "--prefer-offline", "--no-audit", "--no-fund"])?;
    std::fs::write(installed, wanted).map_err(|error| format!("node_modules: {error}"))
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let done =
        Command::new(program).args(arguments).output().map_err(|error| format!("{NEEDS} ({program}: {error})"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let last: Vec<&str> = said.lines().rev().take(8).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(format!("`{program} {}` failed: {}", arguments.join(" "), last.join(" | ")))
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => drop(std::fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}
