//! The cables are mended: everything that can be compared is equal, and what people disagree about is named.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use tests::sites::api::{Api, text};
use tests::sites::place::{PLACES, SHARED};
use tests::sites::report::Report;
use tests::sites::watch::{self, hashes};

use super::split::doors;
use super::world::{PATIENCE, World};

/// Tickets compared byte by byte.
const SAMPLE: usize = 200;

/// Mends all and waits until nothing is left to send.
pub fn mend(world: &mut World, report: &mut Report) -> anyhow::Result<()> {
    let waiting: Vec<u64> = watch::look_at_all(&world.cast, &[]).iter().map(|seen| seen.to_send).collect();
    for member in &world.cast.members {
        member.api().link(member.place.code, true)?;
    }
    let equal = watch::wait_until_equal(&world.cast, PATIENCE);
    let told: Vec<String> =
        PLACES.iter().zip(&waiting).map(|(place, count)| format!("{} {count}", place.name)).collect();
    let seconds = equal.unwrap_or(PATIENCE).as_secs_f64();
    report.holds(
        equal.is_some(),
        format!("to send: {}; 0 everywhere and equal digests after {seconds:.2} s", told.join(", ")),
    );
    let numbers: BTreeSet<&String> = world.made.iter().map(|(_, number)| number).collect();
    report.holds(numbers.len() == world.made.len(), format!("{} new tickets, all numbers different", world.made.len()));
    let all = doors(world)[0].all("sort=number")?;
    let distinct: BTreeSet<String> = all.iter().map(|ticket| text(ticket, "number")).collect();
    report.holds(distinct.len() == all.len(), format!("{} tickets in all, {} numbers", all.len(), distinct.len()));
    for (place, api) in PLACES.iter().zip(doors(world)) {
        let lost = world.made.iter().filter(|(id, _)| api.get(&format!("/api/v1/tickets/{id}")).is_err()).count();
        let held = api.sync()?["held"].as_u64().unwrap_or(1);
        let name = place.name;
        report.holds(lost == 0 && held == 0, format!("{name}: {lost} of them missing, {held} changes held"));
    }
    Ok(())
}

/// Digests, hashes, bytes; and again after everything derived was made anew.
pub fn compare(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let apis = doors(world);
    let before = hashes(&apis)?;
    report.holds(before[0] == before[2], format!("one hash over every table in Paris and Montréal, {:.12}", before[0]));
    let tickets = apis[1].all("sort=-updated")?;
    let ids: Vec<String> =
        tickets.iter().step_by((tickets.len() / SAMPLE).max(1)).take(SAMPLE).map(|one| text(one, "id")).collect();
    let differ = bytes_differ(&apis, &ids)?;
    report.holds(
        differ.is_empty(),
        format!("{} tickets asked at all sites, {} differ in a byte{}", ids.len(), differ.len(), first(&differ)),
    );
    let mut told = Vec::new();
    for (place, api) in PLACES.iter().zip(&apis) {
        let rebuilt = api.post("/api/v1/rebuild", &json!({}))?;
        told.push(format!("{} {} documents in {} ms", place.name, rebuilt["documents"], rebuilt["milliseconds"]));
    }
    let equal = watch::wait_until_equal(&world.cast, PATIENCE);
    let after = hashes(&apis)?;
    let changed: Vec<String> =
        (0..3).filter(|at| before[*at] != after[*at]).map(|at| PLACES[at].name.to_owned()).collect();
    report.holds(
        equal.is_some() && changed.is_empty(),
        format!("made anew: {}; the same hashes{}", told.join(", "), first(&changed)),
    );
    let differ = bytes_differ(&apis, &ids)?;
    report.holds(differ.is_empty(), format!("the same bytes after that{}", first(&differ)));
    Ok(())
}

fn first(list: &[String]) -> String {
    list.first().map_or(String::new(), |first| format!(", not {first}"))
}

fn bytes_differ(apis: &[Api], ids: &[String]) -> anyhow::Result<Vec<String>> {
    let mut differ = Vec::new();
    for id in ids {
        let path = format!("/api/v1/tickets/{id}");
        let answers = apis.iter().map(|api| api.send("GET", &path, None)).collect::<anyhow::Result<Vec<_>>>()?;
        let well = answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body);
        if !well {
            differ.push(id.clone());
        }
    }
    Ok(differ)
}

type Open = BTreeMap<(String, String), BTreeSet<String>>;

/// Open values of one site, by ticket and field.
fn open_at(api: &Api) -> anyhow::Result<Open> {
    let mut open = Open::new();
    for summary in api.all("conflict=true")? {
        let id = text(&summary, "id");
        let ticket = api.get(&format!("/api/v1/tickets/{id}"))?;
        for conflict in ticket["conflict_list"].as_array().into_iter().flatten() {
            let values = conflict["values"].as_array().into_iter().flatten().map(|value| text(value, "value"));
            open.insert((id.clone(), text(conflict, "field")), values.collect());
        }
    }
    Ok(open)
}

/// What is to settle is what the model predicts, everywhere; settling one is seen everywhere.
pub fn conflicts(world: &World, report: &mut Report) -> anyhow::Result<()> {
    let expected = world.model.open();
    for (place, api) in PLACES.iter().zip(doors(world)) {
        let open = open_at(&api)?;
        let odd = || {
            let more = open.iter().find(|(place, values)| expected.get(*place) != Some(values));
            let less = expected.iter().find(|(place, _)| !open.contains_key(*place));
            format!(", found and not expected {more:?}, expected and not found {less:?}")
        };
        let same = open == expected;
        let told = if same { String::new() } else { odd() };
        report.holds(
            same,
            format!(
                "{}: {} fields with values to settle, the model says {}{told}",
                place.name,
                open.len(),
                expected.len()
            ),
        );
    }
    let ((id, field), values) =
        expected.iter().find(|((_, field), _)| field == "priority").context("nothing to settle")?;
    let value: u8 = values.first().context("a value to keep")?.parse()?;
    let begun = Instant::now();
    doors(world)[2].change(id, &json!({ "priority": value }))?;
    let gone = wait_until_gone(world, id, field);
    report.holds(gone, format!("settled in Montréal: gone everywhere after {:.2} s", begun.elapsed().as_secs_f64()));
    Ok(())
}

fn wait_until_gone(world: &World, id: &str, field: &str) -> bool {
    let begun = Instant::now();
    let shows = |api: &Api| {
        let ticket: Value = api.get(&format!("/api/v1/tickets/{id}")).unwrap_or_default();
        ticket["conflict_list"].as_array().is_none_or(|list| list.iter().any(|one| one["field"] == field))
    };
    while doors(world).iter().any(shows) {
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
