//! Where and what was measured: the head of a column.

use std::path::Path;
use std::process::Command;

/// Date, commit, profile and machine of this run.
pub fn told() -> String {
    let date = node::clock::rfc3339(node::clock::now());
    let date = date.split('T').next().unwrap_or_default();
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field(Path::new("/proc/meminfo"), "MemTotal:").unwrap_or_default() / 1024.0 / 1024.0;
    format!("{date}, {}, {profile} profile, {}, {cores} cores, {memory:.0} GiB", commit(), processor())
}

/// The commit, with `+` if the tree differs from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let told = Command::new("git").current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output();
        let told = told.ok().filter(|told| told.status.success())?;
        Some(String::from_utf8_lossy(&told.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else {
        return "no commit".to_owned();
    };
    let differs = git(&["status", "--porcelain"]).is_none_or(|changes| !changes.is_empty());
    format!("{commit}{}", if differs { "+" } else { "" })
}

fn processor() -> String {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = told.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or(std::env::consts::ARCH, |(_, model)| model.trim()).to_owned()
}

/// Memory of a process in MB: now, and the most it ever had. `None` where the kernel does not say.
pub fn memory_mb(process: u32) -> Option<(f64, f64)> {
    let status = format!("/proc/{process}/status");
    let field = |name| field(Path::new(&status), name);
    Some((field("VmRSS:")? / 1024.0, field("VmHWM:")? / 1024.0))
}

/// A number of the kernel's, in the unit in which it gives it.
fn field(file: &Path, name: &str) -> Option<f64> {
    let told = std::fs::read_to_string(file).ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
