//! Every acknowledged edit stands in a history, with its author and its site.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::sites::api::Api;
use tests::sites::place::PLACES;
use tests::sites::report::Report;

use super::split::doors;
use super::world::{Edit, World};

/// Reads the histories of every ticket touched, each at one of the sites in turn.
pub fn history(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let mut by_ticket: BTreeMap<&str, Vec<&Edit>> = BTreeMap::new();
    for edit in &world.edits {
        by_ticket.entry(&edit.ticket).or_default().push(edit);
    }
    let mut missing: Vec<&Edit> = Vec::new();
    for (at, (ticket, edits)) in by_ticket.iter().enumerate() {
        let api: &Api = &doors(world)[at % PLACES.len()];
        let history = api.get(&format!("/api/v1/tickets/{ticket}/history"))?;
        let entries: Vec<&Value> = history["items"].as_array().into_iter().flatten().collect();
        missing.extend(edits.iter().copied().filter(|edit| !entries.iter().any(|entry| tells(entry, edit))));
    }
    let first = missing.first().map_or(String::new(), |edit| format!(", first: {edit:?}"));
    let (edits, tickets) = (world.edits.len(), by_ticket.len());
    report.holds(
        missing.is_empty(),
        format!("{edits} edits of {tickets} tickets, {} without author or site{first}", missing.len()),
    );
    Ok(())
}

fn tells(entry: &Value, edit: &Edit) -> bool {
    entry["field"] == edit.field.as_str()
        && entry["after"] == edit.after.as_str()
        && entry["site"]["code"] == edit.site
        && entry["author"]["label"] == edit.author.as_str()
}
