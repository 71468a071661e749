//! Hand-overs of the authority log by the root key (R14): at both ends of a split, and what they take away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use common::Fleet;
use schema::author::Author;
use schema::authority::{AuthorityRef, Body, Grant, Role, Signed, SiteSelector, Standing, UserEntry};
use schema::doc::{DocKind, Edits, Value};
use schema::id::UserId;
use schema::identity::Secret;
use schema::record::CommandName;
use schema::time::Hlc;
use sync::replica::Alarm;
use sync::store::{Source, Table};

fn handed(fleet: &Fleet, base: u64, sequencer: &Secret) -> Signed {
    let stands = fleet.sites[0].statements(base).unwrap().swap_remove(0).statement;
    let epoch = fleet.sites[0].authority().head().unwrap().0.epoch + 1;
    let at = AuthorityRef { epoch, position: base + 1 };
    let body = Body::HandOver { base: stands.at, base_hash: stands.hash(), sequencer: sequencer.public() };
    Signed::new(stands.org, at, stands.hash(), Hlc::at(fleet.now), &body, &common::root())
}

fn story(back: u64, more: usize) {
    let mut fleet = Fleet::new(2);
    let (head, now) = (fleet.sites[0].authority().head().unwrap().0, fleet.now);
    let keys = [Secret::from_bytes([0x51; 32]), Secret::from_bytes([0x52; 32])];
    let one = handed(&fleet, head.position, &keys[0]);
    let other = handed(&fleet, head.position - back, &keys[1]);
    for (site, (signed, key)) in [one, other].into_iter().zip(keys).enumerate() {
        fleet.sites[site].stand_by(key);
        fleet.sites[site].hand_over(now, signed).unwrap();
        while fleet.sites[site].catch_up(now).unwrap() {}
    }
    for _ in 0..more {
        fleet.sites[0].trust_authority();
        fleet.sites[0].say(now, &Body::Version(1)).unwrap();
    }
    fleet.ticket(0, "lampe");
    for _ in 0..3 {
        fleet.meet(0, 1);
    }
    assert!(fleet.closed.is_empty(), "records go on: {:?}", fleet.closed);
    let is_said = |alarm: &Alarm| matches!(alarm, Alarm::AuthorityForked(_));
    assert!(fleet.alarms.iter().all(|(_, alarm)| is_said(alarm)), "nobody is blamed: {:?}", fleet.alarms);
    assert!(fleet.alarms.iter().any(|(_, alarm)| is_said(alarm)), "and it is said");
}

#[test]
fn r14_two_hand_overs_from_one_base_are_a_fork_and_end_no_session() {
    story(0, 0);
}

#[test]
fn r14_the_same_where_one_of_them_goes_on() {
    story(0, 2);
}

#[test]
fn r14_the_same_from_two_bases() {
    story(1, 0);
}

#[test]
fn r27_what_a_hand_over_takes_away_stays_listed_over_a_crash() {
    let mut fleet = Fleet::new(2);
    let base = fleet.sites[0].statements(0).unwrap().pop().unwrap().statement;
    let now = fleet.now;
    // Somebody whom the hand-over will not know gives birth to a ticket.
    let ben = UserId([8; 16]);
    fleet.sites[0].trust_authority();
    let grants = vec![Grant { structure: None, role: Role::Admin }];
    let entry = UserEntry {
        user: ben,
        login: "ben".into(),
        grants,
        sites: vec![SiteSelector::All],
        standing: Standing::Active,
    };
    fleet.sites[0].say(now, &Body::User(entry)).unwrap();
    let scope = fleet.scope();
    let mut edits = Edits::default();
    edits.put("title", Value::Text("de Ben".into()));
    edits.put("structure", Value::Text(common::IT.to_string()));
    edits.texts.insert("description".into(), "texte".into());
    let (written, _) = fleet.sites[0]
        .write(now, |batch| {
            Ok(batch.command(Author::User(ben), CommandName::Place, scope, |command| {
                command.create(DocKind::Ticket, None, &edits).map(|_| ())
            }))
        })
        .unwrap();
    let doc = written.map_err(|error: sync::replica::WriteError| error).unwrap().docs[0];
    // Another, so that the judging anew takes a moment.
    for _ in 0..300 {
        fleet.ticket(0, "lampe");
    }
    // The read model has all of them for good.
    let shown: Vec<_> = fleet.sites[0].take_changed().into_iter().map(|changed| changed.doc).collect();
    fleet.sites[0].projected(shown);
    let handed = |base: &schema::authority::Statement| {
        let at = AuthorityRef { epoch: 2, position: base.at.position + 1 };
        let body = Body::HandOver { base: base.at, base_hash: base.hash(), sequencer: common::sequencer().public() };
        Signed::new(base.org, at, base.hash(), Hlc::at(now), &body, &common::root())
    };
    fleet.sites[0].bootstrap(now, vec![handed(&base)]).unwrap();
    fleet.sites[0].catch_up(now).unwrap();
    // Here the process ends; what is written by then is durable with the next commit.
    fleet.sites[0].set_note("x", Some(b"1")).unwrap();
    fleet.restart(0, None);
    assert!(fleet.view(0, &doc).is_none(), "nobody knows Ben any more");
    let told = fleet.sites[0].take_changed().iter().any(|changed| changed.doc == doc);
    let listed = fleet.sites[0].read().unwrap().get(Table::Stale, &doc.0).unwrap().is_some();
    assert!(told || listed, "the read model hears that the ticket is gone");
}
