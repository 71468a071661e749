//! Two processes of one copied folder: both write, cut off from each other and from all others; then they reconnect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tests::sites::api::Api;
use tests::sites::cluster::{START_TIMEOUT, write_config};
use tests::sites::process::Process;
use tests::sites::report::Report;
use tests::sites::setup::{copy_folder, udp_ports};
use tests::sites::watch::{alarms, digests, wait, wait_result};

use crate::journal::Expected;
use crate::run::{Run, TIMEOUT, start};
use crate::verification::verify_at;
use crate::writer_pool::{WriterPool, error_summary};

/// The number of clients of each copy.
const CLIENTS: usize = 2;
/// The pause after each operation of a client.
const PACE: Duration = Duration::from_millis(20);
/// How soon the alarm must be shown once the copies reconnect.
const ALARM_TIMEOUT: Duration = Duration::from_secs(30);
/// The names of the four sites, in the order of their API clients.
const NAMES: [&str; 4] = ["Paris", "Dakar", "Montréal", "Montréal's copy"];

/// Lets both copies write for `seconds`, then reconnects them with the others.
pub fn copied(run: &mut Run, seconds: u64, report: &mut Report) -> anyhow::Result<()> {
    let before = Expected::read(&run.journals)?;
    let (copy, apis) = start_copy(run)?;
    let copies = &apis[2..];
    let pool = WriterPool::new(run.clients(copies, CLIENTS)?, PACE);
    pool.resume();
    std::thread::sleep(Duration::from_secs(seconds));
    pool.pause()?;
    let summary = pool.stop();
    let (acknowledged, errors) = (summary.acknowledged, error_summary(&summary.errors));
    let figures = format!("{acknowledged} acknowledged at two copies in {seconds} s, {errors}");
    report.check(summary.errors.is_empty() && acknowledged > 0, figures);
    let expected = Expected::read(&run.journals)?.only(|id| !before.tickets.contains_key(id));
    check_isolated(&apis, &expected, report);
    apis.iter().try_for_each(|api| api.set_link("MTL", true))?;
    check_reconnected(&apis, report);
    verify_at(&expected, &apis, &NAMES, report)?;
    copy.stop();
    run.check_converged(report, "one copy stopped");
    Ok(())
}

/// Copies Montréal's folder and starts a process on each, all links cut; returns the copy's process and the API clients
/// in the order of `NAMES`.
fn start_copy(run: &Run) -> anyhow::Result<(Arc<Process>, [Api; 4])> {
    let [paris, dakar, montreal] = [0, 1, 2].map(|at| &run.cluster.members[at]);
    montreal.process.stop();
    let folder = montreal.folder.with_file_name("montreal-copy");
    copy_folder(&montreal.folder, &folder)?;
    let http = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    write_config(&folder, http, udp_ports(&[0, 0, 0])?[0], run.cluster.stage_port(), None)?;
    let (first, second) = (montreal.api(), Api::new(http, &montreal.api().token));
    // The others accept neither copy: both have the same key, so one cut is for both.
    for other in [paris, dakar] {
        other.api().set_link("MTL", false)?;
    }
    let copy = Process::new(&folder, &folder.with_extension("log"));
    start(montreal)?;
    copy.start()?;
    second.wait_until_healthy(START_TIMEOUT)?;
    // And the copies connect to nobody.
    first.set_link("MTL", false)?;
    second.set_link("MTL", false)?;
    Ok((copy, [paris.api(), dakar.api(), first, second]))
}

/// Checks that each copy wrote without seeing the other's tickets.
fn check_isolated(apis: &[Api; 4], expected: &Expected, report: &mut Report) {
    let ids = expected.tickets.keys();
    let has = |api: &Api| ids.clone().filter(|id| api.get(&format!("/api/v1/tickets/{id}")).is_ok()).count();
    let counts = apis.each_ref().map(has);
    let isolated = counts[..2] == [0, 0] && counts[2] > 0 && counts[3] > 0 && counts[2] + counts[3] == ids.len();
    report.check(isolated, format!("{} new tickets, each at its own copy alone: {counts:?}", ids.len()));
    let numbers: BTreeSet<&String> = expected.tickets.values().map(|ticket| &ticket.number).collect();
    report.check(numbers.len() == ids.len(), format!("{} numbers, all different", numbers.len()));
}

/// Waits for the alarm, and until all four hold the same.
fn check_reconnected(apis: &[Api; 4], report: &mut Report) {
    let begun = Instant::now();
    let shows = |api: &Api| alarms(api).contains("CLONE-RUNNING");
    let alarm = wait(ALARM_TIMEOUT, || apis.iter().any(shows));
    let same = wait(TIMEOUT.saturating_sub(begun.elapsed()), || hold_the_same(apis)).map(|_| begun.elapsed());
    report.check(same.is_some(), format!("both copies and the others hold the same {}", wait_result(same)));
    let names: Vec<&str> = NAMES.iter().zip(apis).filter(|(_, api)| shows(api)).map(|(name, _)| *name).collect();
    let figures = format!("CLONE-RUNNING is shown {}, at: {}", wait_result(alarm), names.join(", "));
    report.check(alarm.is_some(), figures);
}

/// Whether all list as many tickets and have Dakar's digests: Dakar lacks one scope, to which nobody writes.
fn hold_the_same(apis: &[Api; 4]) -> bool {
    let total = |api: &Api| api.get("/api/v1/tickets?limit=1").ok()?["total"].as_u64();
    let held = |api: &Api| api.sync().map(|sync| digests(&sync)).unwrap_or_default();
    let (totals, digests) = (apis.each_ref().map(total), apis.each_ref().map(held));
    let dakar = &digests[1];
    let same = |one: &BTreeMap<String, String>| dakar.iter().all(|(scope, digest)| one.get(scope) == Some(digest));
    let counted = totals[0].is_some() && totals.iter().all(|total| *total == totals[0]);
    counted && !dakar.is_empty() && digests.iter().all(same)
}
