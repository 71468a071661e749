//! The real incident log, if it is on this machine: one part is imported before the split and the rest during it; an
//! independent script compares the result.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::sites::report::Report;
use tests::sites::watch;

use super::fixture::Fixture;
use super::split::admin_apis;
use crate::demo_data::{import, incident_log};

/// The last line of the first part.
const FIRST_PART_END: u64 = 1700;

fn sum(reports: &[Value], name: &str) -> u64 {
    reports.iter().filter_map(|report| report[name].as_u64()).sum()
}

/// Imports the first part at each site.
pub fn first(fixture: &mut Fixture, report: &mut Report) -> anyhow::Result<()> {
    let Some(file) = incident_log() else {
        println!("          the log is not here (ARCHIPEL_INCIDENT_LOG); going on without it");
        return Ok(());
    };
    let reports = import(&fixture.cluster, &file, Some(FIRST_PART_END))?;
    let figures = format!("{} incidents, {} edits", sum(&reports, "incidents"), sum(&reports, "edits"));
    report.check(sum(&reports, "skipped_total") == 0, format!("up to line {FIRST_PART_END}: {figures}, no bad row"));
    fixture.check_converged(report, "the first part");
    Ok(())
}

/// Imports the rest at each site, during the split; and once more, which must change nothing.
pub fn rest(fixture: &mut Fixture, report: &mut Report) -> anyhow::Result<()> {
    let Some(file) = incident_log() else {
        return Ok(());
    };
    let reports = import(&fixture.cluster, &file, None)?;
    let figures = format!(
        "{} incidents, {} edits, {} known",
        sum(&reports, "incidents"),
        sum(&reports, "edits"),
        sum(&reports, "known")
    );
    report.check(sum(&reports, "skipped_total") == 0 && sum(&reports, "edits") > 0, format!("all lines: {figures}"));
    let again = import(&fixture.cluster, &file, None)?;
    report.check(sum(&again, "edits") == 0, format!("running it again: {} edits", sum(&again, "edits")));
    Ok(())
}

/// Runs an independent script that compares the file with what the API returns.
pub fn compare(fixture: &Fixture, report: &mut Report) -> anyhow::Result<()> {
    let Some(file) = incident_log() else {
        return Ok(());
    };
    let equal = watch::wait_until_converged(&fixture.cluster, super::fixture::TIMEOUT);
    report.check(equal.is_some(), "all sites have converged on the log");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/compare_incident_log.py");
    let api = &admin_apis(fixture)[1];
    let run = Command::new("python3").arg(script).arg(&file).args([&api.url, &api.token]).output();
    let Ok(run) = run else {
        println!("          there is no python3; the independent script is left out");
        return Ok(());
    };
    for line in String::from_utf8_lossy(&run.stdout).lines() {
        println!("          {line}");
    }
    let fault = String::from_utf8_lossy(&run.stderr);
    report.check(run.status.success(), format!("the script agrees{}", fault.lines().last().unwrap_or_default()));
    Ok(())
}
