//! What is kept of a document key by key (R30), against what Automerge makes of its whole history.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use std::collections::BTreeMap;

use common::{Fleet, key};
use schema::doc::{Edits, Value, View};
use schema::id::DocId;
use schema::record::actor;
use sync::docs::registers::is_consistent;
use sync::docs::view::{view, whole};
use sync::docs::{edit, load};
use sync::store::Source as _;
use sync::store::Table;

/// Small steps that differ with each seed.
struct Steps(u64);

impl Steps {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What a view shows: values with the changes that put them, texts, times.
type Shown = (BTreeMap<String, Vec<(Value, schema::id::ChangeHash, bool)>>, BTreeMap<String, String>, u64, Option<u64>);

fn shown(view: &View) -> Shown {
    let values = view.values.iter().map(|(key, held)| {
        let stamp = |by: usize| (view.changes[by].change, view.changes[by].doubt);
        let held = held.iter().map(|held| (held.value.clone(), stamp(held.by).0, stamp(held.by).1));
        (key.clone(), held.collect())
    });
    (values.collect(), view.texts.clone(), view.first_at.0, view.last_at.map(|at| at.0))
}

fn random_edits(steps: &mut Steps) -> Edits {
    let mut edits = Edits::default();
    for _ in 0..=steps.below(2) {
        let key = ["title", "urgency", "impact", "external"][steps.below(4) as usize];
        let value = match steps.below(6) {
            0 => None,
            1 => Some(Value::Int(steps.below(3) as i64)),
            2 => Some(Value::Null),
            _ => Some(Value::Text(format!("mot {}", steps.below(4)))),
        };
        edits.puts.insert(key.to_owned(), value);
    }
    edits
}

/// Of random edits at three sites that meet now and then, each change that is made without loading its document has the
/// bytes that Automerge gives it, and what is shown is what the whole history says.
#[test]
fn r30_what_is_made_and_shown_key_by_key_is_what_automerge_makes_of_everything() {
    let mut same = 0;
    for seed in 1..=40 {
        let mut steps = Steps(seed);
        let mut fleet = Fleet::new(3);
        let doc = fleet.ticket(0, "lampe");
        fleet.meet_all();
        for _ in 0..20 {
            let site = steps.below(3) as usize;
            match steps.below(5) {
                0 => {
                    let other = (site + 1 + steps.below(2) as usize) % 3;
                    fleet.meet(site, other);
                }
                1 => {
                    let mut edits = Edits::default();
                    edits.texts.insert("description".into(), format!("Il fait noir {}.", steps.below(9)));
                    fleet.write(site, |command| command.edit(doc, &edits).map(drop)).unwrap();
                }
                _ => {
                    let edits = Edits { again: steps.below(3) == 0, ..random_edits(&mut steps) };
                    let reading = fleet.sites[site].read().unwrap();
                    let actor = actor(&key(site).public(), &fleet.sites[site].generation(), &doc);
                    let quick = edit::quick(&reading, &doc, &actor, &edits).unwrap();
                    let slow = edit::change(&mut load(&reading, &doc).unwrap(), &actor, &edits, false).unwrap();
                    let bytes = |change: Option<automerge::Change>| change.map(|change| change.raw_bytes().to_vec());
                    same += usize::from(quick.is_some());
                    assert_eq!(bytes(quick), bytes(slow), "seed {seed}: {edits:?}");
                    drop(reading);
                    fleet.write(site, |command| command.edit(doc, &edits).map(drop)).unwrap();
                }
            }
            agree(&fleet, site, &doc, seed);
        }
        fleet.meet_all();
        fleet.meet_all();
        (0..3).for_each(|site| agree(&fleet, site, &doc, seed));
        fleet.agree();
    }
    assert!(same > 300, "{same} changes were compared");
}

fn agree(fleet: &Fleet, site: usize, doc: &DocId, seed: u64) {
    let reading = fleet.sites[site].read().unwrap();
    let (kept, whole) = (view(&reading, doc).unwrap().unwrap(), whole(&reading, doc).unwrap().unwrap());
    assert_eq!(shown(&kept), shown(&whole), "seed {seed}, site {site}");
    assert!(is_consistent(&reading, doc).unwrap(), "seed {seed}, site {site}: the operations differ");
}

/// An edit writes what it changes: the saved document stays as it was, and is brought up to date by the next edit of a
/// text.
#[test]
fn r30_an_edit_of_a_field_saves_no_document() {
    let mut fleet = Fleet::new(1);
    let doc = fleet.ticket(0, "lampe");
    let saved = |fleet: &Fleet| fleet.sites[0].read().unwrap().get(Table::Snapshots, &doc.0).unwrap();
    let before = saved(&fleet);
    for level in ["low", "high", "medium"] {
        fleet.put(0, doc, "urgency", level);
    }
    assert_eq!(saved(&fleet), before);
    let mut edits = Edits::default();
    edits.texts.insert("description".into(), "Il fait jour.".into());
    fleet.write(0, |command| command.edit(doc, &edits).map(drop)).unwrap();
    assert_ne!(saved(&fleet), before);
    let view = fleet.view(0, &doc).unwrap();
    assert_eq!((view.text("urgency"), view.texts["description"].as_str()), (Some("medium"), "Il fait jour."));
}

/// Sixty-six copies of a site put a value each without seeing one another. A change may name 64 authors beside its own, so
/// nobody could settle that at once: each edit settles what it may, and the next one the rest.
#[test]
fn a14_more_values_than_a_change_may_name_are_settled_by_two_edits() {
    let mut fleet = Fleet::new(2);
    let doc = fleet.ticket(0, "lampe");
    fleet.meet_all();
    let before = fleet.disks[1].clone();
    for copy in 0..66 {
        fleet.restart(1, Some(before.clone()));
        fleet.put(1, doc, "external", &format!("de la copie {copy}"));
        // Of many open logs of one site one a minute begins.
        fleet.now.0 += 61_000;
        fleet.meet(0, 1);
    }
    let values = |fleet: &Fleet| fleet.view(0, &doc).unwrap().distinct("external").len();
    assert_eq!(values(&fleet), 66);
    fleet.put(0, doc, "external", "réglé");
    assert_eq!(values(&fleet), 3, "64 are settled, and two stand beside the new one");
    fleet.put(0, doc, "external", "réglé");
    assert_eq!(values(&fleet), 1);
    agree(&fleet, 0, &doc, 0);
}

/// The largest values that R6 lets through are read back from their rows, whatever their type: a row that cannot be read
/// would stop every site that holds it.
#[test]
fn a_row_holds_whatever_a_change_may_put() {
    use schema::codec::Canonical;
    use sync::docs::registers::{Content, Row};
    let change = schema::id::ChangeHash([1; 32]);
    for content in [
        Content::Value(Value::Text("é".repeat(2 << 20))),
        Content::Value(Value::Other("9".repeat(8 << 20))),
        Content::Text("Il fait noir. ".repeat(1 << 20)),
    ] {
        let row = Row { change, content };
        assert_eq!(Row::from_bytes(&row.to_bytes()).as_ref(), Ok(&row));
    }
}
