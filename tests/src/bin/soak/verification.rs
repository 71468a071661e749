//! The clients' files, read back from the disk, against what every site shows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::Value;
use tests::sites::api::{Api, text};
use tests::sites::place::PLACES;
use tests::sites::report::Report;
use tests::sites::watch::hashes;

use crate::book::{Claim, Claims};
use crate::trial::Trial;

/// About so many tickets are asked whole besides all those with comments.
const SAMPLE: usize = 500;

/// Checks at all sites that everything acknowledged is there, once, and that the sites show the same.
pub fn proof(trial: &Trial, report: &mut Report) -> anyhow::Result<()> {
    trial.equal(report, "before asking");
    let claims = Claims::read(&trial.books)?;
    let apis = trial.doors();
    let names: Vec<&str> = PLACES.iter().map(|place| place.name).collect();
    everywhere(&claims, &apis, &names, report)?;
    let found = hashes(&apis)?;
    // Dakar lacks a scope, in which nobody wrote: its tables are the same all the same.
    report.holds(
        found.iter().all(|hash| *hash == found[0]),
        format!("one hash over every table at all sites, {:.12}", found[0]),
    );
    let held: Vec<u64> =
        apis.iter().map(|api| Ok(api.sync()?["held"].as_u64().unwrap_or(1))).collect::<anyhow::Result<_>>()?;
    report.holds(held.iter().all(|count| *count == 0), format!("changes held: {held:?}"));
    Ok(())
}

/// Checks some claims at some sites, at all of them at once, and their bytes against each other.
pub fn everywhere(claims: &Claims, apis: &[Api], names: &[&str], report: &mut Report) -> anyhow::Result<()> {
    let begun = Instant::now();
    let shown: Vec<anyhow::Result<Shown>> = std::thread::scope(|scope| {
        let running: Vec<_> = apis.iter().map(|api| scope.spawn(|| at_site(claims, api))).collect();
        let broke_off = |_| Err(anyhow::anyhow!("a comparison broke off"));
        running.into_iter().map(|one| one.join().unwrap_or_else(broke_off)).collect()
    });
    let shown: Vec<Shown> = shown.into_iter().collect::<anyhow::Result<_>>()?;
    let tickets = claims.tickets.len();
    let comments: usize = claims.tickets.values().map(|claim| claim.comments.len()).sum();
    for (name, Shown { listed, faults, .. }) in names.iter().zip(&shown) {
        let (count, first) = (faults.len(), faults.first().map_or(String::new(), |first| format!(", first: {first}")));
        let told = format!("{name}: {tickets} acknowledged tickets, {comments} comments, {listed} listed");
        report.holds(faults.is_empty() && tickets > 0, format!("{told}, {count} at fault{first}"));
    }
    let differ = |id: &&String| shown.iter().any(|site| site.bytes.get(*id) != shown[0].bytes.get(*id));
    let all: BTreeSet<&String> = shown.iter().flat_map(|site| site.bytes.keys()).collect();
    let (asked, differ): (usize, Vec<&String>) = (all.len(), all.into_iter().filter(differ).collect());
    let first = differ.first().map_or(String::new(), |first| format!(", first {first}"));
    let told = format!("{asked} tickets asked everywhere, {} differ in a byte{first}", differ.len());
    report.holds(differ.is_empty(), format!("{told} ({:.1} s)", begun.elapsed().as_secs_f64()));
    Ok(())
}

/// What one site shows.
#[derive(Default)]
struct Shown {
    listed: usize,
    /// What is wrong with it.
    faults: Vec<String>,
    /// By ticket id, a hash over what the site answers.
    bytes: BTreeMap<String, [u8; 32]>,
}

fn at_site(claims: &Claims, api: &Api) -> anyhow::Result<Shown> {
    let listed = api.all("sort=number")?;
    let mut shown = Shown { listed: listed.len(), ..Shown::default() };
    shown.faults.extend(twice("id", listed.iter().map(|ticket| text(ticket, "id"))));
    shown.faults.extend(twice("number", listed.iter().map(|ticket| text(ticket, "number"))));
    shown.faults.extend(twice("command", listed.iter().map(|ticket| name_of(&text(ticket, "title")))));
    let by_id: BTreeMap<String, &Value> = listed.iter().map(|ticket| (text(ticket, "id"), ticket)).collect();
    let step = (claims.tickets.len() / SAMPLE).max(1);
    for (place, (id, claim)) in claims.tickets.iter().enumerate() {
        match by_id.get(id) {
            None => shown.faults.push(format!("{} ({id}) is not listed", claim.number)),
            Some(ticket) => shown.faults.extend(wrong(claim, ticket)),
        }
        if !claim.comments.is_empty() || place % step == 0 {
            let answer = api.send("GET", &format!("/api/v1/tickets/{id}"), None)?;
            shown.faults.extend(wrong_comments(claim, &answer.json()));
            shown.bytes.insert(id.clone(), *blake3::hash(&answer.body).as_bytes());
        }
    }
    Ok(shown)
}

/// The name of the command that opened a ticket: the first word of its title.
fn name_of(title: &str) -> String {
    title.split(' ').next().unwrap_or_default().to_owned()
}

fn twice(what: &str, all: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    all.filter_map(|one| (!seen.insert(one.clone())).then(|| format!("the {what} {one} is listed twice"))).collect()
}

fn wrong(claim: &Claim, ticket: &Value) -> Option<String> {
    let (number, title) = (text(ticket, "number"), text(ticket, "title"));
    if number != claim.number {
        return Some(format!("{} became {number}", claim.number));
    }
    (title != claim.title).then(|| format!("{number}: `{title}`, acknowledged was `{}`", claim.title))
}

fn wrong_comments(claim: &Claim, ticket: &Value) -> Vec<String> {
    let shown = || ticket["comments"].as_array().into_iter().flatten();
    let mut found = twice("comment", shown().map(|comment| text(comment, "id")));
    found.extend(twice("text", shown().map(|comment| text(comment, "body"))));
    let bodies: BTreeMap<String, String> =
        shown().map(|comment| (text(comment, "id"), text(comment, "body"))).collect();
    let lost = claim.comments.iter().filter(|(id, body)| bodies.get(*id) != Some(*body));
    found.extend(lost.map(|(id, _)| format!("{}: the comment {id} is lost", claim.number)));
    found
}

/// Ends the sites and lets each check its disk.
pub fn verified(trial: &Trial, report: &mut Report) -> anyhow::Result<()> {
    for member in &trial.cast.members {
        member.process.stop();
        let begun = Instant::now();
        let told = member.program(&["verify"], "");
        let seconds = begun.elapsed().as_secs_f64();
        match &told {
            Ok(told) => {
                report.holds(true, format!("{}: {} ({seconds:.1} s)", member.place.name, told.replace('\n', ", ")))
            }
            Err(error) => report.holds(false, format!("{}: {error:#}", member.place.name)),
        }
    }
    Ok(())
}
