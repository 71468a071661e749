//! Compares the journals, read back from the disk, with what every site shows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::Value;
use tests::sites::api::{Api, text};
use tests::sites::report::Report;
use tests::sites::setup::SITES;
use tests::sites::watch::read_model_hashes;

use crate::journal::{Expected, ExpectedTicket};
use crate::run::Run;

/// About so many tickets are read in full besides all those with comments.
const SAMPLE: usize = 500;

/// Checks that everything acknowledged is at every site exactly once, and that all sites show the same.
pub fn verify_all(run: &Run, report: &mut Report) -> anyhow::Result<()> {
    run.check_converged(report, "before asking");
    let expected = Expected::read(&run.journals)?;
    let apis = run.apis();
    let names: Vec<&str> = SITES.iter().map(|site| site.name).collect();
    verify_at(&expected, &apis, &names, report)?;
    let hashes = read_model_hashes(&apis)?;
    // Dakar lacks a scope, but nobody wrote to it: its tables are the same all the same.
    report.check(
        hashes.iter().all(|hash| *hash == hashes[0]),
        format!("one hash over every table at all sites, {:.12}", hashes[0]),
    );
    let held: Vec<u64> =
        apis.iter().map(|api| Ok(api.sync()?["held"].as_u64().unwrap_or(1))).collect::<anyhow::Result<_>>()?;
    report.check(held.iter().all(|count| *count == 0), format!("changes held: {held:?}"));
    Ok(())
}

/// Checks some expected tickets at some sites concurrently, and compares the sites' responses byte by byte.
pub fn verify_at(expected: &Expected, apis: &[Api], names: &[&str], report: &mut Report) -> anyhow::Result<()> {
    let begun = Instant::now();
    let shown: Vec<anyhow::Result<Shown>> = std::thread::scope(|scope| {
        let running: Vec<_> = apis.iter().map(|api| scope.spawn(|| read_site(expected, api))).collect();
        let panicked = |_| Err(anyhow::anyhow!("a comparison panicked"));
        running.into_iter().map(|one| one.join().unwrap_or_else(panicked)).collect()
    });
    let shown: Vec<Shown> = shown.into_iter().collect::<anyhow::Result<_>>()?;
    let tickets = expected.tickets.len();
    let comments: usize = expected.tickets.values().map(|ticket| ticket.comments.len()).sum();
    for (name, Shown { listed, faults, .. }) in names.iter().zip(&shown) {
        let (count, first) = (faults.len(), faults.first().map_or(String::new(), |first| format!(", first: {first}")));
        let figures = format!("{name}: {tickets} acknowledged tickets, {comments} comments, {listed} listed");
        report.check(faults.is_empty() && tickets > 0, format!("{figures}, {count} at fault{first}"));
    }
    let differ = |id: &&String| shown.iter().any(|site| site.hashes.get(*id) != shown[0].hashes.get(*id));
    let all: BTreeSet<&String> = shown.iter().flat_map(|site| site.hashes.keys()).collect();
    let (asked, differ): (usize, Vec<&String>) = (all.len(), all.into_iter().filter(differ).collect());
    let first = differ.first().map_or(String::new(), |first| format!(", first {first}"));
    let figures = format!("{asked} tickets asked everywhere, {} differ in a byte{first}", differ.len());
    report.check(differ.is_empty(), format!("{figures} ({:.1} s)", begun.elapsed().as_secs_f64()));
    Ok(())
}

/// What one site shows.
#[derive(Default)]
struct Shown {
    /// The number of tickets in its list.
    listed: usize,
    /// Deviations from what is expected, as text.
    faults: Vec<String>,
    /// By ticket id, the hash of the site's response.
    hashes: BTreeMap<String, [u8; 32]>,
}

fn read_site(expected: &Expected, api: &Api) -> anyhow::Result<Shown> {
    let listed = api.list_all("sort=number")?;
    let mut shown = Shown { listed: listed.len(), ..Shown::default() };
    shown.faults.extend(duplicates("id", listed.iter().map(|ticket| text(ticket, "id"))));
    shown.faults.extend(duplicates("number", listed.iter().map(|ticket| text(ticket, "number"))));
    shown.faults.extend(duplicates("command", listed.iter().map(|ticket| key_of(&text(ticket, "title")))));
    let by_id: BTreeMap<String, &Value> = listed.iter().map(|ticket| (text(ticket, "id"), ticket)).collect();
    let step = (expected.tickets.len() / SAMPLE).max(1);
    for (index, (id, ticket)) in expected.tickets.iter().enumerate() {
        match by_id.get(id) {
            None => shown.faults.push(format!("{} ({id}) is not listed", ticket.number)),
            Some(found) => shown.faults.extend(ticket_fault(ticket, found)),
        }
        if !ticket.comments.is_empty() || index % step == 0 {
            let response = api.send("GET", &format!("/api/v1/tickets/{id}"), None)?;
            shown.faults.extend(comment_faults(ticket, &response.json()));
            shown.hashes.insert(id.clone(), *blake3::hash(&response.body).as_bytes());
        }
    }
    Ok(shown)
}

/// The idempotency key of the request that opened a ticket: the first word of its title.
fn key_of(title: &str) -> String {
    title.split(' ').next().unwrap_or_default().to_owned()
}

fn duplicates(what: &str, all: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    all.filter_map(|one| (!seen.insert(one.clone())).then(|| format!("the {what} {one} is listed twice"))).collect()
}

fn ticket_fault(expected: &ExpectedTicket, ticket: &Value) -> Option<String> {
    let (number, title) = (text(ticket, "number"), text(ticket, "title"));
    if number != expected.number {
        return Some(format!("{} became {number}", expected.number));
    }
    (title != expected.title).then(|| format!("{number}: `{title}`, acknowledged was `{}`", expected.title))
}

fn comment_faults(expected: &ExpectedTicket, ticket: &Value) -> Vec<String> {
    let shown = || ticket["comments"].as_array().into_iter().flatten();
    let mut found = duplicates("comment", shown().map(|comment| text(comment, "id")));
    found.extend(duplicates("text", shown().map(|comment| text(comment, "body"))));
    let bodies: BTreeMap<String, String> =
        shown().map(|comment| (text(comment, "id"), text(comment, "body"))).collect();
    let lost = expected.comments.iter().filter(|(id, body)| bodies.get(*id) != Some(*body));
    found.extend(lost.map(|(id, _)| format!("{}: the comment {id} is lost", expected.number)));
    found
}

/// Stops the sites and runs `archipel verify` on each disk.
pub fn verify_disks(run: &Run, report: &mut Report) -> anyhow::Result<()> {
    for member in &run.cluster.members {
        member.process.stop();
        let begun = Instant::now();
        let output = member.program(&["verify"], "");
        let (name, seconds) = (member.spec.name, begun.elapsed().as_secs_f64());
        match &output {
            Ok(output) => report.check(true, format!("{name}: {} ({seconds:.1} s)", output.replace('\n', ", "))),
            Err(error) => report.check(false, format!("{name}: {error:#}")),
        }
    }
    Ok(())
}
