//! Search as people use it: without accents, by prefixes, and never in text that the user may not read.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::sites::api::{Api, percent_encode, text};
use tests::sites::report::Report;
use tests::sites::setup::SITES;

use super::fixture::Fixture;
use super::mend::is_shared;
use super::split::admin_apis;

/// A word that occurs in one internal note and nowhere else.
const HIDDEN: &str = "ornithorynque";
/// A word that occurs in one public reply and nowhere else.
const SHOWN: &str = "pamplemousse";

/// Runs the same searches at all sites, as an administrator and as a requester.
pub fn search(fixture: &Fixture, report: &mut Report) -> anyhow::Result<()> {
    let opened =
        fixture.requesters[1].open(&json!({ "title": "Réseau : prise morte / dead socket", "description": "" }))?;
    let id = text(&opened, "id");
    let apis = admin_apis(fixture);
    apis[1].comment(&id, &format!("Voir le câble {HIDDEN}."), "internal")?;
    apis[1].comment(&id, &format!("Nous apportons un câble {SHOWN}."), "public")?;
    fixture.check_converged(report, "a request with a note and a reply");
    for words in ["reseau", "imprim dak", "desk down", SHOWN, HIDDEN, "PAR-1", "écran"] {
        check_same_results(&apis, words, report)?;
    }
    let titled = |words: &str, title: &str| -> anyhow::Result<bool> {
        let found = apis[2].list_all(&format!("q={}", percent_encode(words)))?;
        Ok(found.iter().any(|ticket| text(ticket, "title").contains(title)))
    };
    report.check(titled("reseau", "Réseau")?, "\"reseau\" finds \"Réseau\"");
    report.check(titled("imprim dak", "Imprimante de Dakar")?, "\"imprim dak\" finds \"Imprimante de Dakar\"");
    for (site, (admin, requester)) in SITES.iter().zip(apis.iter().zip(&fixture.requesters)) {
        check_hidden(site.name, admin, requester, &id, report)?;
    }
    Ok(())
}

fn check_hidden(name: &str, admin: &Api, requester: &Api, id: &str, report: &mut Report) -> anyhow::Result<()> {
    let total = |api: &Api, words: &str| -> anyhow::Result<u64> {
        Ok(api.get(&format!("/api/v1/tickets?q={words}"))?["total"].as_u64().unwrap_or(99))
    };
    // A person's name may reach a site a moment after the ticket that refers to it.
    let begun = Instant::now();
    while total(requester, SHOWN)? != 1 && begun.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let counts =
        [total(admin, HIDDEN)?, total(requester, HIDDEN)?, total(requester, SHOWN)?, total(requester, "desk")?];
    let read: Value = requester.get(&format!("/api/v1/tickets/{id}"))?;
    let history = requester.get(&format!("/api/v1/tickets/{id}/history"))?;
    let clean = !read.to_string().contains(HIDDEN) && !history.to_string().contains(HIDDEN);
    let figures = format!(
        "{name}: a word of a note is found {} time by staff, {} by the requester; of a reply {}; others' requests {}",
        counts[0], counts[1], counts[2], counts[3]
    );
    report.check(counts == [1, 0, 1, 0] && clean, figures);
    Ok(())
}

/// Checks that sites that hold the same find the same, and that Dakar finds the same without what it does not hold.
fn check_same_results(apis: &[Api], words: &str, report: &mut Report) -> anyhow::Result<()> {
    let query = format!("sort=number&q={}", percent_encode(words));
    let found = apis.iter().map(|api| api.list_all(&query)).collect::<anyhow::Result<Vec<_>>>()?;
    let shared: Vec<Value> = found[0].iter().filter(|ticket| is_shared(ticket)).cloned().collect();
    let same = found[0] == found[2] && shared == found[1];
    report
        .check(same && !found[0].is_empty(), format!("\"{words}\": {} answers, the same at all sites", found[0].len()));
    Ok(())
}
