//! Every acknowledged edit is in its ticket's history, with its author and its site.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::sites::api::Api;
use tests::sites::report::Report;
use tests::sites::setup::SITES;

use super::fixture::{Edit, Fixture};
use super::split::admin_apis;

/// Reads the history of every edited ticket, each at one of the sites in turn.
pub fn history(fixture: &Fixture, report: &mut Report) -> anyhow::Result<()> {
    let mut by_ticket: BTreeMap<&str, Vec<&Edit>> = BTreeMap::new();
    for edit in &fixture.edits {
        by_ticket.entry(&edit.ticket).or_default().push(edit);
    }
    let mut missing: Vec<&Edit> = Vec::new();
    for (at, (ticket, edits)) in by_ticket.iter().enumerate() {
        let api: &Api = &admin_apis(fixture)[at % SITES.len()];
        let history = api.get(&format!("/api/v1/tickets/{ticket}/history"))?;
        let entries: Vec<&Value> = history["items"].as_array().into_iter().flatten().collect();
        missing.extend(edits.iter().copied().filter(|edit| !entries.iter().any(|entry| matches(entry, edit))));
    }
    let first = missing.first().map_or(String::new(), |edit| format!(", first: {edit:?}"));
    let (edits, tickets) = (fixture.edits.len(), by_ticket.len());
    report.check(
        missing.is_empty(),
        format!("{edits} edits of {tickets} tickets, {} without author or site{first}", missing.len()),
    );
    Ok(())
}

fn matches(entry: &Value, edit: &Edit) -> bool {
    entry["field"] == edit.field.as_str()
        && entry["after"] == edit.after.as_str()
        && entry["site"]["code"] == edit.site
        && entry["author"]["label"] == edit.author.as_str()
}
