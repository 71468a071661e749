//! Faults of one site or link: replication around a cut link, a wiped folder, and two processes of a copied folder.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::sites::api::{Api, text};
use tests::sites::cluster::{START_TIMEOUT, write_config};
use tests::sites::process::Process;
use tests::sites::report::Report;
use tests::sites::setup::{copy_folder, udp_ports};
use tests::sites::watch::{alarms, wait, wait_result};

use super::fixture::{Fixture, TIMEOUT};
use super::split::admin_apis;

/// How long two copies may take to be heard: a session of one ends that of the other, and whoever is sent away so waits up
/// to a minute before the next try.
const COPIES_HEARD: Duration = Duration::from_secs(100);
/// The number of tickets opened at each of two copies.
const COPY_TICKETS: usize = 20;

/// How a site reaches another: `direct` or `via`, and the code of the site between them, if any.
fn route(api: &Api, code: &str) -> (String, String) {
    let sync = api.sync().unwrap_or_default();
    let peers = sync["peers"].as_array().into_iter().flatten();
    let peer: Value = peers.into_iter().find(|peer| peer["site"]["code"] == code).cloned().unwrap_or_default();
    (text(&peer, "path"), text(&peer["via"], "code"))
}

/// Only Paris–Dakar is cut: changes are replicated through Montréal, and the status says so.
pub fn rerouted(fixture: &Fixture, report: &mut Report) -> anyhow::Result<()> {
    let apis = admin_apis(fixture);
    fixture.cluster.set_link("PAR", "DAK", false)?;
    let via = wait(Duration::from_secs(10), || route(&apis[1], "PAR") == ("via".to_owned(), "MTL".to_owned()));
    report.check(via.is_some(), format!("Dakar says: Paris via Montréal, {}", wait_result(via)));
    let opened = apis[0].open(&fixture.new_ticket("Par Montréal / by way of Montréal"))?;
    let path = format!("/api/v1/tickets/{}", text(&opened, "id"));
    let there = wait(Duration::from_secs(10), || apis[1].get(&path).is_ok());
    report.check(there.is_some(), format!("a ticket of Paris is in Dakar {}", wait_result(there)));
    apis[0].change(&text(&opened, "id"), &serde_json::json!({ "title": "Changé à Paris / changed in Paris" }))?;
    let title = |api: &Api| api.get(&path).is_ok_and(|ticket| text(&ticket, "title").starts_with("Changé"));
    let there = wait(Duration::from_secs(10), || title(&apis[1]));
    report.check(there.is_some(), format!("an edit of Paris is in Dakar {}", wait_result(there)));
    fixture.cluster.set_link("PAR", "DAK", true)?;
    let direct = wait(Duration::from_secs(15), || route(&apis[1], "PAR").0 == "direct");
    report.check(direct.is_some(), format!("mended: direct again {}", wait_result(direct)));
    Ok(())
}

/// Montréal's folder is deleted; the site joins again by one invitation.
pub fn wiped(fixture: &Fixture, report: &mut Report) -> anyhow::Result<()> {
    let begun = Instant::now();
    fixture.cluster.wipe(fixture.site(2))?;
    let joined = begun.elapsed().as_secs_f64();
    fixture.check_converged(report, &format!("one invitation, running after {joined:.2} s"));
    let apis = admin_apis(fixture);
    let hash = |api: &Api| api.get("/api/v1/sync/hash").map(|hash| text(&hash, "views"));
    let (paris, montreal) = (hash(&apis[0])?, hash(&apis[2])?);
    report.check(paris == montreal, format!("one hash over every table again, {paris:.12}"));
    let new = apis[2].open(&fixture.new_ticket("Après la perte / after the loss"))?;
    let (id, number) = (text(&new, "id"), text(&new, "number"));
    let unique = apis[0].list_all("sort=number")?.iter().filter(|ticket| text(ticket, "number") == number).count();
    let there = wait(TIMEOUT, || apis[0].get(&format!("/api/v1/tickets/{id}")).is_ok());
    report.check(there.is_some() && unique <= 1, format!("Montréal gives out {number} and goes on"));
    Ok(())
}

/// Two processes of one copied folder write isolated from each other, then reconnect with the others.
pub fn copied(fixture: &Fixture, report: &mut Report) -> anyhow::Result<()> {
    let montreal = fixture.site(2);
    fixture.check_converged(report, "before the copy");
    montreal.process.stop();
    let folder = montreal.folder.with_file_name("montreal-copy");
    copy_folder(&montreal.folder, &folder)?;
    let http = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    write_config(&folder, http, udp_ports(&[0, 0, 0])?[0], fixture.cluster.stage_port(), None)?;
    // The others accept neither copy: both have the same key, so one cut is for both.
    for at in [0, 1] {
        fixture.site(at).api().set_link("MTL", false)?;
    }
    let copy = Process::new(&folder, &folder.with_extension("log"));
    let copies = [montreal.api(), Api::new(http, &montreal.api().token)];
    montreal.process.start()?;
    copy.start()?;
    let mut made: Vec<(String, String)> = Vec::new();
    for (at, api) in copies.iter().enumerate() {
        api.wait_until_healthy(START_TIMEOUT)?;
        for number in 0..COPY_TICKETS {
            let ticket = api.open(&fixture.new_ticket(&format!("Copie {at}, demande {number} / copy")))?;
            made.push((text(&ticket, "id"), text(&ticket, "number")));
        }
    }
    let numbers: BTreeSet<&String> = made.iter().map(|(_, number)| number).collect();
    report
        .check(numbers.len() == made.len(), format!("{} tickets at two copies, {} numbers", made.len(), numbers.len()));
    for at in [0, 1] {
        fixture.site(at).api().set_link("MTL", true)?;
    }
    let all_sites = [fixture.site(0).api(), fixture.site(1).api(), copies[0].clone(), copies[1].clone()];
    let has = |api: &Api| made.iter().filter(|(id, _)| api.get(&format!("/api/v1/tickets/{id}")).is_ok()).count();
    let reached = wait(COPIES_HEARD, || all_sites.iter().all(|api| has(api) == made.len()));
    let counts: Vec<usize> = all_sites.iter().map(has).collect();
    report.check(
        reached.is_some(),
        format!("in Paris, Dakar and at both copies {counts:?} of {}, {}", made.len(), wait_result(reached)),
    );
    let found = all_sites[0].list_all("q=copie")?;
    let once: BTreeSet<String> = found.iter().map(|ticket| text(ticket, "id")).collect();
    report.check(
        once.len() == made.len() && found.len() == made.len(),
        format!("{} found in Paris, each once", found.len()),
    );
    let alarmed = || all_sites.iter().any(|api| alarms(api).contains("CLONE-RUNNING"));
    let alarm = wait(Duration::from_secs(20), alarmed);
    report.check(alarm.is_some(), format!("CLONE-RUNNING is shown {}", wait_result(alarm)));
    copy.stop();
    fixture.check_converged(report, "one copy stopped");
    Ok(())
}
