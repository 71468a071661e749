//! Other roads: around a cut cable, into an empty folder, and out of a copied one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::sites::api::{Api, text};
use tests::sites::cast::{START, write_config};
use tests::sites::place::{copy_folder, udp_ports};
use tests::sites::process::Process;
use tests::sites::report::Report;
use tests::sites::watch::{alarms, told, wait};

use super::split::doors;
use super::world::{PATIENCE, World};

/// Tickets written at each of two copies.
const COPY_TICKETS: usize = 20;

/// What a site says of its road to another.
fn road(api: &Api, code: &str) -> (String, String) {
    let sync = api.sync().unwrap_or_default();
    let peers = sync["peers"].as_array().into_iter().flatten();
    let peer: Value = peers.into_iter().find(|peer| peer["site"]["code"] == code).cloned().unwrap_or_default();
    (text(&peer, "path"), text(&peer["via"], "code"))
}

/// Only Paris–Dakar is cut: news goes through Montréal, and the panel says so.
pub fn around(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let apis = doors(world);
    world.cast.set_cable("PAR", "DAK", false)?;
    let via = wait(Duration::from_secs(10), || road(&apis[1], "PAR") == ("via".to_owned(), "MTL".to_owned()));
    report.holds(via.is_some(), format!("Dakar says: Paris via Montréal, {}", told(via)));
    let opened = apis[0].open(&world.opening("Par Montréal / by way of Montréal"))?;
    let path = format!("/api/v1/tickets/{}", text(&opened, "id"));
    let there = wait(Duration::from_secs(10), || apis[1].get(&path).is_ok());
    report.holds(there.is_some(), format!("a ticket of Paris is in Dakar {}", told(there)));
    apis[0].change(&text(&opened, "id"), &serde_json::json!({ "title": "Changé à Paris / changed in Paris" }))?;
    let title = |api: &Api| api.get(&path).is_ok_and(|ticket| text(&ticket, "title").starts_with("Changé"));
    let there = wait(Duration::from_secs(10), || title(&apis[1]));
    report.holds(there.is_some(), format!("an edit of Paris is in Dakar {}", told(there)));
    world.cast.set_cable("PAR", "DAK", true)?;
    let direct = wait(Duration::from_secs(15), || road(&apis[1], "PAR").0 == "direct");
    report.holds(direct.is_some(), format!("mended: direct again {}", told(direct)));
    Ok(())
}

/// Montréal's folder is deleted; one invitation fills it again.
pub fn wiped(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let begun = Instant::now();
    world.cast.wipe(world.site(2))?;
    let joined = begun.elapsed().as_secs_f64();
    world.equal(report, &format!("one invitation, running after {joined:.2} s"));
    let apis = doors(world);
    let hash = |api: &Api| api.get("/api/v1/sync/hash").map(|hash| text(&hash, "views"));
    let (paris, montreal) = (hash(&apis[0])?, hash(&apis[2])?);
    report.holds(paris == montreal, format!("one hash over every table again, {paris:.12}"));
    let new = apis[2].open(&world.opening("Après la perte / after the loss"))?;
    let (id, number) = (text(&new, "id"), text(&new, "number"));
    let unique = apis[0].all("sort=number")?.iter().filter(|ticket| text(ticket, "number") == number).count();
    let there = wait(PATIENCE, || apis[0].get(&format!("/api/v1/tickets/{id}")).is_ok());
    report.holds(there.is_some() && unique <= 1, format!("Montréal gives out {number} and goes on"));
    Ok(())
}

/// Two processes from one copied folder write without seeing each other, then meet Paris.
pub fn copied(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let montreal = world.site(2);
    world.equal(report, "before the copy");
    montreal.process.stop();
    let folder = montreal.folder.with_file_name("montreal-copy");
    copy_folder(&montreal.folder, &folder)?;
    let http = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    write_config(&folder, http, udp_ports(&[0, 0, 0])?[0], world.cast.stage_port(), None)?;
    // Nobody lets either of the two in: they have one key, so that one cut is for both.
    for at in [0, 1] {
        world.site(at).api().link("MTL", false)?;
    }
    let copy = Process::new(&folder, &folder.with_extension("log"));
    let doors = [montreal.api(), Api::new(http, &montreal.api().token)];
    montreal.process.start()?;
    copy.start()?;
    let mut made: Vec<(String, String)> = Vec::new();
    for (at, api) in doors.iter().enumerate() {
        api.wait_until_well(START)?;
        for number in 0..COPY_TICKETS {
            let ticket = api.open(&world.opening(&format!("Copie {at}, demande {number} / copy")))?;
            made.push((text(&ticket, "id"), text(&ticket, "number")));
        }
    }
    let numbers: BTreeSet<&String> = made.iter().map(|(_, number)| number).collect();
    report
        .holds(numbers.len() == made.len(), format!("{} tickets at two copies, {} numbers", made.len(), numbers.len()));
    for at in [0, 1] {
        world.site(at).api().link("MTL", true)?;
    }
    let everywhere = [world.site(0).api(), world.site(1).api(), doors[0].clone(), doors[1].clone()];
    let has = |api: &Api| made.iter().filter(|(id, _)| api.get(&format!("/api/v1/tickets/{id}")).is_ok()).count();
    let met = wait(Duration::from_secs(40), || everywhere.iter().all(|api| has(api) == made.len()));
    let counts: Vec<usize> = everywhere.iter().map(has).collect();
    report.holds(
        met.is_some(),
        format!("in Paris, Dakar and at both copies {counts:?} of {}, {}", made.len(), told(met)),
    );
    let found = everywhere[0].all("q=copie")?;
    let once: BTreeSet<String> = found.iter().map(|ticket| text(ticket, "id")).collect();
    report.holds(
        once.len() == made.len() && found.len() == made.len(),
        format!("{} found in Paris, each once", found.len()),
    );
    let alarmed = || everywhere.iter().any(|api| alarms(api).contains("CLONE-RUNNING"));
    let alarm = wait(Duration::from_secs(20), alarmed);
    report.holds(alarm.is_some(), format!("CLONE-RUNNING is shown {}", told(alarm)));
    copy.stop();
    world.equal(report, "one copy stopped");
    Ok(())
}
