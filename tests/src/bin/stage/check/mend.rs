//! The links are mended: everything that can be compared is equal, and concurrent different values are conflicts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use tests::sites::api::{Api, text};
use tests::sites::report::Report;
use tests::sites::setup::{SHARED, SITES};
use tests::sites::watch::{self, read_model_hashes};

use super::fixture::{Fixture, TIMEOUT};
use super::model::FieldKey;
use super::split::admin_apis;

/// The number of tickets that are compared byte by byte.
const SAMPLE: usize = 200;

/// Mends all links and waits until nothing is left to send.
pub fn mend(fixture: &mut Fixture, report: &mut Report) -> anyhow::Result<()> {
    let waiting: Vec<u64> = watch::poll_all(&fixture.cluster, &[]).iter().map(|status| status.to_send).collect();
    for member in &fixture.cluster.members {
        member.api().set_link(member.spec.code, true)?;
    }
    let equal = watch::wait_until_converged(&fixture.cluster, TIMEOUT);
    let waiting: Vec<String> =
        SITES.iter().zip(&waiting).map(|(site, count)| format!("{} {count}", site.name)).collect();
    let seconds = equal.unwrap_or(TIMEOUT).as_secs_f64();
    report.check(
        equal.is_some(),
        format!("to send: {}; 0 everywhere and equal digests after {seconds:.2} s", waiting.join(", ")),
    );
    let numbers: BTreeSet<&String> = fixture.made.iter().map(|(_, number)| number).collect();
    report.check(
        numbers.len() == fixture.made.len(),
        format!("{} new tickets, all numbers different", fixture.made.len()),
    );
    let all = admin_apis(fixture)[0].list_all("sort=number")?;
    let distinct: BTreeSet<String> = all.iter().map(|ticket| text(ticket, "number")).collect();
    report.check(distinct.len() == all.len(), format!("{} tickets in all, {} numbers", all.len(), distinct.len()));
    for (site, api) in SITES.iter().zip(admin_apis(fixture)) {
        let lost = fixture.made.iter().filter(|(id, _)| api.get(&format!("/api/v1/tickets/{id}")).is_err()).count();
        let held = api.sync()?["held"].as_u64().unwrap_or(1);
        let name = site.name;
        report.check(lost == 0 && held == 0, format!("{name}: {lost} of them missing, {held} changes held"));
    }
    Ok(())
}

/// Compares hashes and response bytes; and again after documents and read model were rebuilt at every site.
pub fn compare(fixture: &Fixture, report: &mut Report) -> anyhow::Result<()> {
    let apis = admin_apis(fixture);
    let before = read_model_hashes(&apis)?;
    report.check(before[0] == before[2], format!("one hash over every table in Paris and Montréal, {:.12}", before[0]));
    let tickets = apis[1].list_all("sort=-updated")?;
    let ids: Vec<String> =
        tickets.iter().step_by((tickets.len() / SAMPLE).max(1)).take(SAMPLE).map(|one| text(one, "id")).collect();
    let differ = bytes_differ(&apis, &ids)?;
    report.check(
        differ.is_empty(),
        format!("{} tickets asked at all sites, {} differ in a byte{}", ids.len(), differ.len(), first(&differ)),
    );
    let mut rebuilds = Vec::new();
    for (site, api) in SITES.iter().zip(&apis) {
        let rebuilt = api.post("/api/v1/rebuild", &json!({}))?;
        rebuilds.push(format!("{} {} documents in {} ms", site.name, rebuilt["documents"], rebuilt["milliseconds"]));
    }
    let equal = watch::wait_until_converged(&fixture.cluster, TIMEOUT);
    let after = read_model_hashes(&apis)?;
    let changed: Vec<String> =
        (0..3).filter(|at| before[*at] != after[*at]).map(|at| SITES[at].name.to_owned()).collect();
    report.check(
        equal.is_some() && changed.is_empty(),
        format!("rebuilt: {}; the same hashes{}", rebuilds.join(", "), first(&changed)),
    );
    let differ = bytes_differ(&apis, &ids)?;
    report.check(differ.is_empty(), format!("the same bytes after that{}", first(&differ)));
    Ok(())
}

fn first(list: &[String]) -> String {
    list.first().map_or(String::new(), |first| format!(", not {first}"))
}

fn bytes_differ(apis: &[Api], ids: &[String]) -> anyhow::Result<Vec<String>> {
    let mut differ = Vec::new();
    for id in ids {
        let path = format!("/api/v1/tickets/{id}");
        let responses = apis.iter().map(|api| api.send("GET", &path, None)).collect::<anyhow::Result<Vec<_>>>()?;
        let same = responses.iter().all(|response| response.status == 200 && response.body == responses[0].body);
        if !same {
            differ.push(id.clone());
        }
    }
    Ok(differ)
}

/// Conflicting values by field of a ticket.
type Conflicts = BTreeMap<FieldKey, BTreeSet<String>>;

/// The conflicts that one site lists.
fn conflicts_at(api: &Api) -> anyhow::Result<Conflicts> {
    let mut conflicts = Conflicts::new();
    for summary in api.list_all("conflict=true")? {
        let id = text(&summary, "id");
        let ticket = api.get(&format!("/api/v1/tickets/{id}"))?;
        for conflict in ticket["conflict_list"].as_array().into_iter().flatten() {
            let values = conflict["values"].as_array().into_iter().flatten().map(|value| text(value, "value"));
            conflicts.insert((id.clone(), text(conflict, "field")), values.collect());
        }
    }
    Ok(conflicts)
}

/// Checks that every site lists the conflicts that the model predicts, and that resolving one is seen everywhere.
pub fn conflicts(fixture: &Fixture, report: &mut Report) -> anyhow::Result<()> {
    let expected = fixture.model.conflicts();
    for (site, api) in SITES.iter().zip(admin_apis(fixture)) {
        let found = conflicts_at(&api)?;
        let difference = || {
            let more = found.iter().find(|(key, values)| expected.get(*key) != Some(values));
            let less = expected.iter().find(|(key, _)| !found.contains_key(*key));
            format!(", found and not expected {more:?}, expected and not found {less:?}")
        };
        let same = found == expected;
        let difference = if same { String::new() } else { difference() };
        report.check(
            same,
            format!(
                "{}: {} fields with values to settle, the model says {}{difference}",
                site.name,
                found.len(),
                expected.len()
            ),
        );
    }
    let ((id, field), values) =
        expected.iter().find(|((_, field), _)| field == "priority").context("nothing to settle")?;
    let value: u8 = values.first().context("a value to keep")?.parse()?;
    let begun = Instant::now();
    admin_apis(fixture)[2].change(id, &json!({ "priority": value }))?;
    let gone = wait_until_gone(fixture, id, field);
    report.check(gone, format!("settled in Montréal: gone everywhere after {:.2} s", begun.elapsed().as_secs_f64()));
    Ok(())
}

fn wait_until_gone(fixture: &Fixture, id: &str, field: &str) -> bool {
    let begun = Instant::now();
    let shows = |api: &Api| {
        let ticket: Value = api.get(&format!("/api/v1/tickets/{id}")).unwrap_or_default();
        ticket["conflict_list"].as_array().is_none_or(|list| list.iter().any(|one| one["field"] == field))
    };
    while admin_apis(fixture).iter().any(shows) {
        if begun.elapsed() > Duration::from_secs(10) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Whether a ticket belongs to the structure that every site holds.
pub fn is_shared(ticket: &Value) -> bool {
    ticket["structure"]["label"] == SHARED
}
