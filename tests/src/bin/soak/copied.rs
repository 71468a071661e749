//! Two processes of one copied folder: both write, neither sees the other or anybody else; then they meet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tests::sites::api::Api;
use tests::sites::cast::{START, write_config};
use tests::sites::place::{copy_folder, udp_ports};
use tests::sites::process::Process;
use tests::sites::report::Report;
use tests::sites::watch::{alarms, digests, told, wait};

use crate::book::Claims;
use crate::crowd::{Crowd, refusals};
use crate::proof::everywhere;
use crate::trial::{PATIENCE, Trial, start};

/// Clients at each copy.
const WRITING: usize = 2;
/// Between two requests of one of them.
const PACE: Duration = Duration::from_millis(20);
/// How soon the alarm must be shown once the copies meet.
const ALARM: Duration = Duration::from_secs(30);
/// Where the four doors lead.
const NAMES: [&str; 4] = ["Paris", "Dakar", "Montréal", "Montréal's copy"];

/// Lets both copies write for `seconds`, then meet the others.
pub fn copied(trial: &mut Trial, seconds: u64, report: &mut Report) -> anyhow::Result<()> {
    let before = Claims::read(&trial.books)?;
    let (copy, doors) = copy(trial)?;
    let copies = &doors[2..];
    let crowd = Crowd::new(trial.clients(copies, WRITING)?, PACE);
    crowd.work();
    std::thread::sleep(Duration::from_secs(seconds));
    crowd.rest()?;
    let done = crowd.end();
    let written = format!("{} acknowledged at two copies in {seconds} s, {}", done.deeds, refusals(&done.refused));
    report.holds(done.refused.is_empty() && done.deeds > 0, written);
    let claims = Claims::read(&trial.books)?.only(|id| !before.tickets.contains_key(id));
    apart(&doors, &claims, report);
    doors.iter().try_for_each(|api| api.link("MTL", true))?;
    meet(&doors, report);
    everywhere(&claims, &doors, &NAMES, report)?;
    copy.stop();
    trial.equal(report, "one copy stopped");
    Ok(())
}

/// Copies Montréal's folder and starts a process on each, cut from everybody; answers with the doors of `NAMES`.
fn copy(trial: &Trial) -> anyhow::Result<(Arc<Process>, [Api; 4])> {
    let [paris, dakar, montreal] = [0, 1, 2].map(|at| &trial.cast.members[at]);
    montreal.process.stop();
    let folder = montreal.folder.with_file_name("montreal-copy");
    copy_folder(&montreal.folder, &folder)?;
    let http = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    write_config(&folder, http, udp_ports(&[0, 0, 0])?[0], trial.cast.stage_port(), None)?;
    let (first, second) = (montreal.api(), Api::new(http, &montreal.api().token));
    // The others let neither in: both have one key, so that one cut is for both.
    for other in [paris, dakar] {
        other.api().link("MTL", false)?;
    }
    let copy = Process::new(&folder, &folder.with_extension("log"));
    start(montreal)?;
    copy.start()?;
    second.wait_until_well(START)?;
    // And they go to nobody.
    first.link("MTL", false)?;
    second.link("MTL", false)?;
    Ok((copy, [paris.api(), dakar.api(), first, second]))
}

/// Checks that the copies wrote without seeing each other.
fn apart(doors: &[Api; 4], claims: &Claims, report: &mut Report) {
    let ids = claims.tickets.keys();
    let has = |api: &Api| ids.clone().filter(|id| api.get(&format!("/api/v1/tickets/{id}")).is_ok()).count();
    let seen = doors.each_ref().map(has);
    let unseen = seen[..2] == [0, 0] && seen[2] > 0 && seen[3] > 0 && seen[2] + seen[3] == ids.len();
    report.holds(unseen, format!("{} new tickets, each at its own copy alone: {seen:?}", ids.len()));
    let numbers: BTreeSet<&String> = claims.tickets.values().map(|claim| &claim.number).collect();
    report.holds(numbers.len() == ids.len(), format!("{} numbers, all different", numbers.len()));
}

/// Waits for the alarm, and until everybody holds the same.
fn meet(doors: &[Api; 4], report: &mut Report) {
    let begun = Instant::now();
    let shows = |api: &Api| alarms(api).contains("CLONE-RUNNING");
    let alarm = wait(ALARM, || doors.iter().any(shows));
    let met = wait(PATIENCE.saturating_sub(begun.elapsed()), || agree(doors)).map(|_| begun.elapsed());
    report.holds(met.is_some(), format!("both copies and the others hold the same {}", told(met)));
    let places: Vec<&str> = NAMES.iter().zip(doors).filter(|(_, api)| shows(api)).map(|(name, _)| *name).collect();
    report.holds(alarm.is_some(), format!("CLONE-RUNNING is shown {}, at: {}", told(alarm), places.join(", ")));
}

/// Whether all list as many tickets and have Dakar's digests: it lacks a scope, in which nobody writes.
fn agree(doors: &[Api; 4]) -> bool {
    let total = |api: &Api| api.get("/api/v1/tickets?limit=1").ok()?["total"].as_u64();
    let held = |api: &Api| api.sync().map(|sync| digests(&sync)).unwrap_or_default();
    let (totals, digests) = (doors.each_ref().map(total), doors.each_ref().map(held));
    let dakar = &digests[1];
    let same = |one: &BTreeMap<String, String>| dakar.iter().all(|(scope, digest)| one.get(scope) == Some(digest));
    let counted = totals[0].is_some() && totals.iter().all(|total| *total == totals[0]);
    counted && !dakar.is_empty() && digests.iter().all(same)
}
