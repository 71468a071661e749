//! Search as people use it: without accents, by beginnings, and never into what the asker may not read.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::sites::api::{Api, encode, text};
use tests::sites::place::PLACES;
use tests::sites::report::Report;

use super::mend::is_shared;
use super::split::doors;
use super::world::World;

/// A word that stands in an internal note and nowhere else.
const HIDDEN: &str = "ornithorynque";
/// A word that stands in a public reply and nowhere else.
const SHOWN: &str = "pamplemousse";

/// Asks the same at all sites, as an administrator and as a plain requester.
pub fn search(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let opened =
        world.requester[1].open(&json!({ "title": "Réseau : prise morte / dead socket", "description": "" }))?;
    let id = text(&opened, "id");
    let apis = doors(world);
    apis[1].comment(&id, &format!("Voir le câble {HIDDEN}."), "internal")?;
    apis[1].comment(&id, &format!("Nous apportons un câble {SHOWN}."), "public")?;
    world.equal(report, "a request with a note and a reply");
    for words in ["reseau", "imprim dak", "desk down", SHOWN, HIDDEN, "PAR-1", "écran"] {
        same_answers(&apis, words, report)?;
    }
    let titled = |words: &str, title: &str| -> anyhow::Result<bool> {
        let found = apis[2].all(&format!("q={}", encode(words)))?;
        Ok(found.iter().any(|ticket| text(ticket, "title").contains(title)))
    };
    report.holds(titled("reseau", "Réseau")?, "\"reseau\" finds \"Réseau\"");
    report.holds(titled("imprim dak", "Imprimante de Dakar")?, "\"imprim dak\" finds \"Imprimante de Dakar\"");
    for (place, (admin, plain)) in PLACES.iter().zip(apis.iter().zip(&world.requester)) {
        hidden(place.name, admin, plain, &id, report)?;
    }
    Ok(())
}

fn hidden(name: &str, admin: &Api, plain: &Api, id: &str, report: &mut Report) -> anyhow::Result<()> {
    let total = |api: &Api, words: &str| -> anyhow::Result<u64> {
        Ok(api.get(&format!("/api/v1/tickets?q={words}"))?["total"].as_u64().unwrap_or(99))
    };
    // Names reach a site a moment after the request that mentions them.
    let begun = Instant::now();
    while total(plain, SHOWN)? != 1 && begun.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let counts = [total(admin, HIDDEN)?, total(plain, HIDDEN)?, total(plain, SHOWN)?, total(plain, "desk")?];
    let read: Value = plain.get(&format!("/api/v1/tickets/{id}"))?;
    let history = plain.get(&format!("/api/v1/tickets/{id}/history"))?;
    let clean = !read.to_string().contains(HIDDEN) && !history.to_string().contains(HIDDEN);
    let told = format!(
        "{name}: a word of a note is found {} time by staff, {} by the requester; of a reply {}; others' requests {}",
        counts[0], counts[1], counts[2], counts[3]
    );
    report.holds(counts == [1, 0, 1, 0] && clean, told);
    Ok(())
}

/// Sites that hold the same give the same answer; Dakar gives it without what it does not hold.
fn same_answers(apis: &[Api], words: &str, report: &mut Report) -> anyhow::Result<()> {
    let query = format!("sort=number&q={}", encode(words));
    let found = apis.iter().map(|api| api.all(&query)).collect::<anyhow::Result<Vec<_>>>()?;
    let shared: Vec<Value> = found[0].iter().filter(|ticket| is_shared(ticket)).cloned().collect();
    let same = found[0] == found[2] && shared == found[1];
    report
        .holds(same && !found[0].is_empty(), format!("\"{words}\": {} answers, the same at all sites", found[0].len()));
    Ok(())
}
