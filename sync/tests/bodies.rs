//! Records whose bodies come later, elsewhere, or never (R2), and members that make something of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::member::Member;
use common::{Fleet, NOW};
use schema::author::Author;
use schema::authority::{Body, Grant, Role, SiteSelector, Standing, UserEntry};
use schema::doc::{Edits, Value};
use schema::id::{ChangeHash, DocId, GenerationId, SiteId, UserId};
use schema::record::{BodyName, CommandName, Entry, Previous, Skeleton, body_hash};
use sync::admission::RecordWithBodies;
use sync::limits::MAX_WANTED;
use sync::replica::Output;
use sync::wire::{Message, WantedPiece, decode, encode};

const GENERATION: GenerationId = GenerationId([0x33; 16]);

fn title(text: &str) -> Edits {
    let mut edits = Edits::default();
    edits.put("title", Value::Text(text.into()));
    edits
}

/// A fleet with a ticket that all hold, and its third site in other hands.
fn fleet() -> (Fleet, DocId, Member) {
    let mut fleet = Fleet::new(3);
    let ticket = fleet.ticket(0, "lampe");
    fleet.meet_all();
    let member = Member::of(&fleet, 2);
    (fleet, ticket, member)
}

fn bare(record: &RecordWithBodies) -> RecordWithBodies {
    RecordWithBodies { bodies: vec![None; record.bodies.len()], ..record.clone() }
}

#[test]
fn r2_a_record_named_only_waits_for_its_body_and_asks_for_it() {
    let mut fleet = Fleet::new(3);
    let ticket = fleet.ticket(0, "lampe");
    fleet.meet_all();
    let mut member = Member::of(&fleet, 2);
    let generation = GenerationId([0x33; 16]);
    let body = member.change(&fleet.sites[0], generation, &ticket, &title("complete"));
    let (whole, _) = member.record(generation, Previous::First, 1, Author::Site, ticket, body);
    let mut bare = whole.clone();
    bare.bodies = vec![None];
    let now = fleet.now;
    let (without, with) = (member.frame(&[member.run(vec![bare])]), member.frame(&[member.run(vec![whole])]));
    let (alarms, closed) = member.visit(&mut fleet.sites[0], now, &[without]);
    assert_eq!((alarms, closed), (vec![], None), "header and skeleton verify without it");
    assert_eq!(fleet.sites[0].verdicts["waiting-body"], 1, "its effect waits");
    member.visit(&mut fleet.sites[1], now, &[with]);
    fleet.meet(0, 1);
    fleet.sites.truncate(2);
    assert_eq!(fleet.view(0, &ticket).unwrap().text("title"), Some("complete"), "the other site had the body");
    fleet.agree();
    fleet.calm();
}

#[test]
fn a_change_is_named_by_the_hash_of_its_chunk_and_by_no_other() {
    let (mut fleet, ticket, mut member) = fleet();
    let body = member.change(&fleet.sites[0], GENERATION, &ticket, &title("by another name"));
    let entry = Entry { doc: ticket, genesis: None, change: ChangeHash(body_hash(&body)), length: body.len() as u32 };
    let skeleton = Skeleton { entries: vec![entry], ..Skeleton::new(CommandName::Place, Author::Site) };
    let (record, _) = member.sealed(GENERATION, Previous::First, 1, skeleton, vec![None]);
    let now = fleet.now;
    let frames = [
        member.frame(&[member.run(vec![record])]),
        encode(&Message::Bodies { scope: member.scope, bodies: vec![body] }),
    ];
    let (alarms, closed) = member.visit(&mut fleet.sites[0], now, &frames);
    assert_eq!((alarms, closed), (vec![], None));
    fleet.sites.truncate(2);
    fleet.meet_all();
    fleet.put(1, ticket, "urgency", "low");
    fleet.meet_all();
    fleet.agree();
    let shown = fleet.view(0, &ticket).unwrap();
    assert_eq!((shown.text("title"), shown.text("urgency")), (Some("lampe"), Some("low")), "no edit builds on it");
    fleet.restart(0, None);
    fleet.agree();
}

#[test]
fn a_body_of_another_length_than_the_record_says_is_void_and_passed_on_without_blame() {
    let (mut fleet, ticket, mut member) = fleet();
    let body = member.change(&fleet.sites[0], GENERATION, &ticket, &title("once"));
    let (whole, end) = member.record(GENERATION, Previous::First, 1, Author::Site, ticket, body.clone());
    let entry = Entry { length: body.len() as u32 + 1, ..whole.record.skeleton.entries[0].clone() };
    let skeleton = Skeleton { entries: vec![entry], ..Skeleton::new(CommandName::Place, Author::Site) };
    let (longer, _) = member.sealed(GENERATION, Previous::Record(end.hash), 2, skeleton, vec![None]);
    let now = fleet.now;
    let frame = member.frame(&[member.run(vec![whole, longer])]);
    let (alarms, closed) = member.visit(&mut fleet.sites[0], now, &[frame]);
    assert_eq!((alarms, closed), (vec![], None));
    assert_eq!(fleet.sites[0].verdicts["body-length"], 1);
    fleet.sites.truncate(2);
    fleet.meet_all();
    fleet.agree();
    fleet.calm();
    assert_eq!(fleet.sites[1].verdicts["body-length"], 1, "and is void there for the same reason");
    assert_eq!(fleet.view(1, &ticket).unwrap().text("title"), Some("once"));
}

#[test]
fn the_earliest_record_that_names_a_change_decides_it_however_its_bytes_came() {
    let (mut fleet, ticket, mut member) = fleet();
    let ben = UserEntry {
        user: UserId([9; 16]),
        login: "ben".into(),
        grants: vec![Grant { structure: None, role: Role::Admin }],
        sites: vec![SiteSelector::Site(fleet.id(0))],
        standing: Standing::Active,
    };
    fleet.sites[0].say(NOW, &Body::User(ben.clone())).unwrap();
    fleet.meet_all();
    member.pin = fleet.sites[0].policy().unwrap().pin;
    let body = member.change(&fleet.sites[0], GENERATION, &ticket, &title("by nobody"));
    let author = Author::User(ben.user);
    let (void, end) = member.record(GENERATION, Previous::First, 1, author, ticket, body.clone());
    let (good, _) = member.record(GENERATION, Previous::Record(end.hash), 2, Author::Site, ticket, body);
    let now = fleet.now;
    let split =
        [member.frame(&[member.run(vec![bare(&void)])]), member.frame(&[member.run(vec![bare(&void), good.clone()])])];
    member.visit(&mut fleet.sites[0], now, &split);
    let frame = member.frame(&[member.run(vec![void, good])]);
    member.visit(&mut fleet.sites[1], now, &[frame]);
    fleet.sites.truncate(2);
    fleet.meet_all();
    fleet.agree();
    for site in 0..2 {
        assert_eq!(fleet.view(site, &ticket).unwrap().text("title"), Some("lampe"), "void at {site}, as a whole");
        assert_eq!(fleet.sites[site].verdicts["named-before"], 1);
    }
}

#[test]
fn what_nobody_gives_holds_up_nothing_else() {
    let (mut fleet, ticket, mut member) = fleet();
    let mut previous = Previous::First;
    let mut withheld = Vec::new();
    for number in 1..=sync::limits::MAX_WANTED as u64 + 8 {
        let entry = Entry { doc: ticket, genesis: None, change: ChangeHash([number as u8; 32]), length: 100 };
        let skeleton = Skeleton { entries: vec![entry], ..Skeleton::new(CommandName::Place, Author::Site) };
        let (record, end) = member.sealed(GENERATION, previous, number, skeleton, vec![None]);
        previous = Previous::Record(end.hash);
        withheld.push(record);
    }
    let other = GenerationId([0x44; 16]);
    let body = member.change(&fleet.sites[0], other, &ticket, &title("given"));
    // The last of all names.
    let (given, _) = member.record(other, Previous::First, 1, Author::Site, ticket, body);
    let now = fleet.now;
    let without = member.frame(&[member.run(withheld), member.run(vec![bare(&given)])]);
    member.visit(&mut fleet.sites[0], now, &[without]);
    let with = member.frame(&[member.run(vec![given])]);
    member.visit(&mut fleet.sites[1], now, &[with]);
    let (mut from, mut listed) = (None, std::collections::BTreeSet::new());
    loop {
        let reading = fleet.sites[0].read().unwrap();
        let page = sync::quarantine::list(&reading, from.as_ref(), 50, |_| true).unwrap();
        assert!(page.items.len() <= 50);
        listed.extend(page.items.iter().map(|held| held.record.hash()));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(listed.len(), sync::limits::MAX_WANTED + 9, "pages list each held record, and end");
    fleet.sites.truncate(2);
    fleet.meet(0, 1);
    fleet.meet(0, 1);
    assert_eq!(fleet.view(0, &ticket).unwrap().text("title"), Some("given"), "every one is asked for in its turn");
}

/// The last record of a site, as one asks for it, and its body.
fn last(fleet: &Fleet, site: usize) -> ((SiteId, GenerationId, u64), BodyName, u32) {
    let (scope, me) = (fleet.scope(), fleet.sites[site].me());
    let log = fleet.sites[site].store().log_index().open_in(&scope).find(|log| log.id.site == me).unwrap().clone();
    let stored = sync::admission::stored(&fleet.sites[site].read().unwrap(), log.no, log.seq).unwrap();
    let (name, length) = stored.record.bodies().next().unwrap();
    ((log.id.site, log.id.generation, log.seq), name, length)
}

#[test]
fn r2_asking_for_the_same_body_often_costs_what_asking_once_does() {
    let (mut fleet, ticket, member) = fleet();
    let (now, scope) = (fleet.now, fleet.scope());
    fleet.sites[0].connected(now, 77, member.key.public()).unwrap();
    for frame in member.opening() {
        fleet.sites[0].received(now, 77, &frame).unwrap();
    }
    let (place, _, length) = last(&fleet, 0);
    let often = |place| encode(&Message::Want { scope, records: vec![place; MAX_WANTED] });
    let outputs = fleet.sites[0].received(now, 77, &often(place)).unwrap();
    let given = |output: &Output| match output {
        Output::Send(_, frame) => match decode(frame) {
            Ok(Message::Bodies { bodies, .. }) => bodies.iter().map(Vec::len).collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    assert_eq!(outputs.iter().flat_map(given).collect::<Vec<_>>(), [length as usize], "it is given once");
    // One that is too long to travel whole is not even read.
    let hash = |number: u32| blake3::hash(&number.to_be_bytes()).to_hex().to_string();
    let long: String = (0..30_000).map(hash).collect();
    fleet.put(0, ticket, "title", &long);
    let (place, name, length) = last(&fleet, 0);
    let piece = encode(&Message::WantPiece { scope, wanted: WantedPiece { record: place, name, offset: 100_000 } });
    let often = often(place);
    let timed = |work: &mut dyn FnMut()| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    };
    let mut fastest = [Duration::MAX; 3];
    for _ in 0..5 {
        let read = timed(&mut || {
            let body = sync::admission::read_body(&fleet.sites[0].read().unwrap(), &name).unwrap();
            assert_eq!(body.map(|body| body.len() as u32), Some(length));
        });
        let asked = timed(&mut || drop(fleet.sites[0].received(now, 77, &often).unwrap()));
        let piece = timed(&mut || drop(fleet.sites[0].received(now, 77, &piece).unwrap()));
        fastest = [fastest[0].min(read), fastest[1].min(asked), fastest[2].min(piece)];
    }
    assert!(fastest[1] < 8 * fastest[0], "read once, or asked for {MAX_WANTED} times: {fastest:?}");
    assert!(fastest[2] < fastest[0], "read once, or one piece of many: {fastest:?}");
}
