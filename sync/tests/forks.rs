//! Forks (R20): a machine set back with its memory goes on in the same generation, and its log has two histories. Nothing
//! acknowledged is lost, nobody is blamed, and all sites show the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use common::{ANA, Disk, Fleet};
use schema::author::Author;
use schema::doc::{DocKind, Edits, Value};
use schema::id::{CommandId, DocId};
use schema::record::CommandName;
use sync::quarantine;
use sync::replica::Alarm;

fn shown(fleet: &Fleet, site: usize, doc: &DocId, key: &str) -> Option<String> {
    fleet.view(site, doc).and_then(|view| view.text(key).map(str::to_owned))
}

/// A ticket opened by a client that names its command.
fn open_ticket(fleet: &mut Fleet, site: usize, id: u8, title: &str) -> DocId {
    let (scope, now) = (fleet.scope(), fleet.now);
    let mut edits = Edits::default();
    edits.put("title", Value::Text(title.into()));
    edits.put("structure", Value::Text(common::IT.to_string()));
    edits.texts.insert("description".into(), format!("{title}, en entier"));
    let name = CommandName::Given(CommandId([id; 8]));
    let (written, _) = fleet.sites[site]
        .write(now, |batch| {
            Ok(batch.command(Author::User(ANA), name, scope, |command| {
                command
                    .create(DocKind::Ticket, None, &edits)
                    .map(drop)
                    .map_err(|error: sync::replica::WriteError| error)
            }))
        })
        .unwrap();
    written.unwrap().docs[0]
}

fn calm_but(fleet: &Fleet, expected: impl Fn(usize, &Alarm) -> bool) {
    let other: Vec<_> = fleet.alarms.iter().filter(|(site, alarm)| !expected(*site, alarm)).collect();
    assert!(other.is_empty(), "nobody else is blamed, and nothing else is said: {other:?}");
    let closed = fleet.closed.iter().filter(|(_, code)| !matches!(*code, "begun-anew" | "bye"));
    assert_eq!(closed.count(), 0, "no session ends for it but the site's own: {:?}", fleet.closed);
}

#[test]
fn r20_a_machine_set_back_with_its_memory_loses_nothing() {
    let mut fleet = Fleet::new(3);
    let common = fleet.ticket(1, "commune");
    fleet.meet_all();
    let before = fleet.disks[1].clone();
    // Written and acknowledged before the machine is set back: two sites hold it.
    let lost = fleet.ticket(1, "perdue");
    fleet.put(1, common, "urgency", "low");
    fleet.put(1, lost, "impact", "high");
    fleet.meet(0, 1);
    fleet.put(0, lost, "title", "perdue, vue à Paris");
    fleet.set_back(1, before);
    assert!(fleet.view(1, &lost).is_none(), "the disk has forgotten it");
    // It goes on where it was, and another site hears only this.
    let later = fleet.ticket(1, "après");
    fleet.put(1, common, "impact", "low");
    fleet.meet(1, 2);
    fleet.now.0 += 60_000;
    fleet.meet_all();
    fleet.meet_all();
    for site in 0..3 {
        assert_eq!(shown(&fleet, site, &common, "urgency").as_deref(), Some("low"), "of the first life, at {site}");
        assert_eq!(shown(&fleet, site, &common, "impact").as_deref(), Some("low"), "of the second life, at {site}");
        assert_eq!(shown(&fleet, site, &lost, "title").as_deref(), Some("perdue, vue à Paris"), "built on, at {site}");
        assert_eq!(shown(&fleet, site, &lost, "impact").as_deref(), Some("high"));
        assert_eq!(shown(&fleet, site, &later, "title").as_deref(), Some("après"));
        assert!(fleet.view(site, &later).unwrap().texts["description"].contains("noir"), "texts too");
    }
    fleet.agree();
    calm_but(&fleet, |site, alarm| match alarm {
        Alarm::SetBack => site == 1,
        Alarm::Forked(forked) => site != 1 && *forked == fleet.id(1),
        _ => false,
    });
    assert!(fleet.alarms.iter().any(|(site, alarm)| (*site, alarm) == (1, &Alarm::SetBack)), "it says what happened");
    // What was said again is listed no more as without effect.
    for site in 0..3 {
        let page = quarantine::list(&fleet.sites[site].read().unwrap(), None, 500, |_| true).unwrap();
        assert_eq!(page.items, [], "at {site}");
    }
    // Made from nothing it is the same.
    for site in 0..3 {
        let now = fleet.now;
        fleet.sites[site].rebuild(now).unwrap();
    }
    fleet.agree();
}

#[test]
fn r20_set_back_without_writing_it_takes_its_records_back() {
    let mut fleet = Fleet::new(2);
    let common = fleet.ticket(1, "commune");
    fleet.meet_all();
    let before = fleet.disks[1].clone();
    fleet.put(1, common, "urgency", "low");
    fleet.meet_all();
    fleet.set_back(1, before);
    fleet.meet_all();
    assert_eq!(shown(&fleet, 1, &common, "urgency").as_deref(), Some("low"), "what it had lost came back");
    fleet.put(1, common, "impact", "low");
    fleet.meet_all();
    fleet.agree();
    assert!(
        !fleet.alarms.iter().any(|(_, alarm)| matches!(alarm, Alarm::SetBack | Alarm::Forked(_))),
        "nothing forked"
    );
}

#[test]
fn r20_a_command_that_its_client_repeated_after_the_set_back_is_one() {
    let mut fleet = Fleet::new(2);
    let common = fleet.ticket(1, "commune");
    fleet.meet_all();
    let before = fleet.disks[1].clone();
    let first = open_ticket(&mut fleet, 1, 7, "imprimante");
    fleet.meet_all();
    fleet.put(0, first, "urgency", "low");
    fleet.set_back(1, before);
    // The client never heard the answer, and asks again.
    let again = open_ticket(&mut fleet, 1, 7, "imprimante");
    assert_eq!(first, again);
    fleet.put(1, common, "impact", "low");
    fleet.now.0 += 60_000;
    fleet.meet_all();
    fleet.meet_all();
    for site in 0..2 {
        let view = fleet.view(site, &first).unwrap();
        assert_eq!(view.text("title"), Some("imprimante"));
        assert_eq!(view.distinct("title").len(), 1);
        assert_eq!(view.texts["description"], "imprimante, en entier");
        assert_eq!(view.text("urgency"), Some("low"));
    }
    fleet.agree();
}

#[test]
fn r20_three_histories_of_one_log_end_alike_everywhere() {
    let mut fleet = Fleet::new(4);
    let common = fleet.ticket(1, "commune");
    fleet.meet_all();
    let before: Disk = fleet.disks[1].clone();
    let mut born = vec![common];
    for (life, hears) in [(1, 0), (2, 2), (3, 3)] {
        for number in 0..3 {
            born.push(fleet.ticket(1, &format!("vie {life} n° {number}")));
        }
        fleet.meet(1, hears);
        fleet.set_back(1, before.clone());
    }
    fleet.now.0 += 60_000;
    for _ in 0..4 {
        fleet.meet_all();
        fleet.now.0 += 60_000;
    }
    for site in 0..4 {
        for doc in &born {
            assert!(fleet.view(site, doc).is_some(), "nothing acknowledged is lost at {site}");
        }
    }
    fleet.agree();
}

#[test]
fn r20_an_honest_record_that_refers_to_one_history_is_no_fault_where_the_other_is_held() {
    let mut fleet = Fleet::new(3);
    let common = fleet.ticket(1, "commune");
    fleet.meet_all();
    let before = fleet.disks[1].clone();
    fleet.put(1, common, "title", "d'une vie");
    fleet.meet(0, 1);
    fleet.set_back(1, before);
    fleet.put(1, common, "title", "de l'autre");
    fleet.meet(2, 1);
    // What is written at the first site refers to a record that has another content at the third.
    fleet.put(0, common, "urgency", "low");
    fleet.put(2, common, "impact", "low");
    fleet.meet(0, 2);
    calm_but(&fleet, |_, alarm| matches!(alarm, Alarm::Forked(site) if *site == fleet.id(1)));
    for site in [0, 2] {
        assert_eq!(shown(&fleet, site, &common, "urgency").as_deref(), Some("low"), "at {site}");
        assert_eq!(
            shown(&fleet, site, &common, "impact").is_some(),
            shown(&fleet, 2 - site, &common, "impact").is_some()
        );
    }
    fleet.agree_on(&[0, 2]);
    fleet.meet_all();
    fleet.meet_all();
    let view = fleet.view(0, &common).unwrap();
    let titles: Vec<_> = view.distinct("title").iter().filter_map(|held| held.value.shown()).collect();
    assert_eq!(titles.len(), 2, "both titles are there to choose from: {titles:?}");
    fleet.agree();
}
