//! The real log, if somebody has it: half of it before the split, half during it, compared by an outside script.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::sites::report::Report;
use tests::sites::watch;

use super::split::doors;
use super::world::World;
use crate::filling::{import, incident_log};

/// The first portion's last line.
const FIRST_LINES: u64 = 1700;

fn sum(reports: &[Value], name: &str) -> u64 {
    reports.iter().filter_map(|report| report[name].as_u64()).sum()
}

/// The rows up to a line, at each site.
pub fn first(world: &mut World, report: &mut Report) -> anyhow::Result<()> {
    let Some(file) = incident_log() else {
        println!("          the log is not here (ARCHIPEL_INCIDENT_LOG); going on without it");
        return Ok(());
    };
    let reports = import(&world.cast, &file, Some(FIRST_LINES))?;
    let told = format!("{} incidents, {} edits", sum(&reports, "incidents"), sum(&reports, "edits"));
    report.holds(sum(&reports, "skipped_total") == 0, format!("up to line {FIRST_LINES}: {told}, no bad row"));
    world.equal(report, "the first portion");
    Ok(())
}

/// The rest, at each site, while nobody sees anybody.
pub fn rest(world: &mut World, report: &mut Report) -> anyhow::Result<()> {
    let Some(file) = incident_log() else {
        return Ok(());
    };
    let reports = import(&world.cast, &file, None)?;
    let told = format!(
        "{} incidents, {} edits, {} known",
        sum(&reports, "incidents"),
        sum(&reports, "edits"),
        sum(&reports, "known")
    );
    report.holds(sum(&reports, "skipped_total") == 0 && sum(&reports, "edits") > 0, format!("all lines: {told}"));
    let again = import(&world.cast, &file, None)?;
    report.holds(sum(&again, "edits") == 0, format!("running it again: {} edits", sum(&again, "edits")));
    Ok(())
}

/// An outside script reads the file and the API and compares.
pub fn outside(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let Some(file) = incident_log() else {
        return Ok(());
    };
    let equal = watch::wait_until_equal(&world.cast, super::world::PATIENCE);
    report.holds(equal.is_some(), "all sites agree about the log");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/compare_incident_log.py");
    let api = &doors(world)[1];
    let run = Command::new("python3").arg(script).arg(&file).args([&api.url, &api.token]).output();
    let Ok(run) = run else {
        println!("          there is no python3; the outside script is left out");
        return Ok(());
    };
    for line in String::from_utf8_lossy(&run.stdout).lines() {
        println!("          {line}");
    }
    let fault = String::from_utf8_lossy(&run.stderr);
    report.holds(run.status.success(), format!("the script agrees{}", fault.lines().last().unwrap_or_default()));
    Ok(())
}
