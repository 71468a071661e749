//! What a member or a thief takes from others, or makes dear.

use super::common::member::{End, Member};
use super::common::{ANA, Fleet};
use super::*;
use automerge::Automerge;
use schema::author::Author;
use schema::authority::Body;
use schema::doc::{DocKind, Edits, Value};
use schema::id::{CommandId, DocId, GenerationId};
use schema::record::{CommandName, Entry, Previous, Skeleton, actor};
use sync::change::chunk_hash;
use sync::replica::WriteError;

/// A command whose name a member replayed is issued again after a set back all the same.
#[test]
fn r20_a_command_replayed_under_its_name_hides_nothing() {
    for replays in [false, true] {
        let mut fleet = Fleet::new(3);
        let common = fleet.ticket(PARIS, "commune");
        fleet.meet_all();
        let before = fleet.disks[LYON].clone();
        let (scope, mut now) = (fleet.scope(), fleet.now);
        let mut edits = Edits::default();
        edits.put("title", Value::Text("imprimante".into()));
        edits.put("structure", Value::Text(common::IT.to_string()));
        edits.texts.insert("description".into(), "en entier".into());
        let given = CommandName::Given(CommandId([5; 8]));
        let (written, _) = fleet.sites[LYON]
            .write(now, |batch| {
                Ok(batch.command::<WriteError>(Author::User(ANA), given, scope, |command| {
                    command.create(DocKind::Ticket, None, &edits).map(drop)
                }))
            })
            .unwrap();
        let ticket = written.unwrap().docs[0];
        fleet.meet(PARIS, LYON);
        // The member saw it, and signs another edit under its name.
        let mut m = Member::of(&fleet, DAKAR);
        let (body, _) = change(&m, &base(&fleet, &common), HELD, &common, "impact", "low");
        let entry = Entry { doc: common, genesis: None, change: chunk_hash(&body).unwrap(), length: body.len() as u32 };
        let skeleton = Skeleton { entries: vec![entry], ..Skeleton::new(given, Author::User(ANA)) };
        let (replay, _) = m.sealed(HELD, Previous::First, 1, skeleton, vec![Some(body)]);
        let replay = m.frame(&[m.run(vec![replay])]);
        fleet.set_back(LYON, before);
        now = fleet.now;
        if replays {
            m.visit(&mut fleet.sites[LYON], now, &[replay]);
        }
        fleet.put(LYON, common, "urgency", "low");
        for _ in 0..4 {
            fleet.now.0 += 60_000;
            fleet.meet(PARIS, LYON);
        }
        let there = [PARIS, LYON].map(|site| shown(&fleet, site, &ticket, "title"));
        if replays {
            assert!(there.iter().all(Option::is_some), "lost");
        }
    }
}

/// What one small record behind a fork costs where a member has linked all documents of a scope by one record.
fn cost(linked: usize, records: u32) -> u64 {
    let (mut fleet, docs) = fleet_of(linked);
    let (mut m, now) = (Member::of(&fleet, DAKAR), fleet.now);
    let d = docs[0];
    let parts: Vec<(DocId, Vec<u8>)> =
        docs.iter().map(|doc| (*doc, change(&m, &base(&fleet, doc), OWN, doc, "urgency", "low").0)).collect();
    let (link, _) = m.edits(OWN, Previous::First, 1, Author::User(ANA), &parts);
    // Something of another generation waits on D for ever.
    let (_, secret) = change(&m, &base(&fleet, &d), GenerationId([0x77; 16]), &d, "title", "secret");
    let w = GenerationId([0x52; 16]);
    let (waits, _) = change(&m, &secret, w, &d, "title", "waits");
    let (waits, _) = m.record(w, Previous::First, 1, Author::User(ANA), d, waits);
    let (common, mut at) = m.empty(HELD, Previous::First, 1, 1);
    let (q, _) = m.empty(HELD, Previous::Record(at.hash), 2, 9);
    let mut document = base(&fleet, &d);
    let mut chain = Vec::new();
    for number in 0..records {
        let (body, after) = change(&m, &document, HELD, &d, "impact", &number.to_string());
        document = after;
        let (record, end) = m.record(HELD, Previous::Record(at.hash), at.seq + 1, Author::User(ANA), d, body);
        at = end;
        chain.push(record);
    }
    let fork = m.fork(&chain[0], &q);
    let log = name(&chain[0]);
    let frames: Vec<Vec<u8>> =
        [m.run(vec![link]), m.run(vec![waits]), m.run(vec![common])].map(|run| m.frame(&[run])).into();
    m.visit(&mut fleet.sites[PARIS], now, &frames);
    m.visit(&mut fleet.sites[PARIS], now, &[fork]);
    let before = fleet.sites[PARIS].store().reads();
    for record in chain {
        let run = sync::admission::Run { log, ..m.run(vec![record]) };
        let frame = m.frame(&[run]);
        let said = m.visit(&mut fleet.sites[PARIS], now, &[frame]);
        assert_eq!(said.1, None);
    }
    fleet.sites[PARIS].store().reads() - before
}

#[test]
fn r19_what_nothing_waits_for_has_no_document_judged_anew() {
    let (few, many) = (cost(10, 20), cost(160, 20));
    assert!(many < few * 3, "not linear in the bytes that came");
}

/// A generation drawn by hand: the name that a history behind a fork will have.
fn named_like_a_history(holds_p: bool) {
    let (mut fleet, docs) = fleet_of(2);
    let [d, e] = [docs[0], docs[1]];
    let (mut m, now) = (Member::of(&fleet, DAKAR), fleet.now);
    let (common, end) = m.empty(HELD, Previous::First, 1, 1);
    let (x, _) = change(&m, &base(&fleet, &d), HELD, &d, "title", "x");
    let (p, _) = m.record(HELD, Previous::Record(end.hash), 2, Author::User(ANA), d, x);
    let (q, _) = m.empty(HELD, Previous::Record(end.hash), 2, 9);
    let taken = name(&p).generation;
    let (y, _) = change(&m, &base(&fleet, &e), taken, &e, "title", "y");
    let (n, _) = m.record(taken, Previous::First, 1, Author::User(ANA), e, y);
    let fork = m.fork(&p, &q);
    let [first, both, n] =
        [m.run(vec![common.clone()]), m.run(vec![common, p]), m.run(vec![n])].map(|run| m.frame(&[run]));
    let held = if holds_p { both } else { first.clone() };
    m.visit(&mut fleet.sites[PARIS], now, &[held, n.clone()]);
    m.visit(&mut fleet.sites[PARIS], now, std::slice::from_ref(&fork));
    m.visit(&mut fleet.sites[LYON], now, &[first, fork, n]);
    mingle(&mut fleet);
    assert!(same(&fleet));
    // Honest work goes on.
    fleet.put(LYON, d, "impact", "honest");
    fleet.meet(PARIS, LYON);
    fleet.put(PARIS, e, "impact", "honest");
    mingle(&mut fleet);
    fleet.restart(PARIS, None);
    mingle(&mut fleet);
    assert!(same(&fleet));
    rebuilt(&mut fleet);
    assert!(same(&fleet));
}

#[test]
fn r20_a_generation_named_like_a_history() {
    named_like_a_history(false);
}

#[test]
fn r20_a_generation_named_like_a_history_that_is_held() {
    named_like_a_history(true);
}

/// Reads of so many concurrent edits of one ticket.
fn concurrent(count: u32) -> u64 {
    let (mut fleet, docs) = fleet_of(1);
    let d = docs[0];
    let (mut m, now) = (Member::of(&fleet, DAKAR), fleet.now);
    let born = base(&fleet, &d);
    let mut before: Option<End> = None;
    let mut runs = Vec::new();
    for number in 0..count {
        let mut generation = [0x33; 16];
        generation[..4].copy_from_slice(&number.to_be_bytes());
        let generation = GenerationId(generation);
        let previous = before.map_or(Previous::First, |end| m.closing(end));
        let (body, _) = change(&m, &born, generation, &d, "title", "x");
        let (record, end) = m.record(generation, previous, 1, Author::User(ANA), d, body);
        runs.push(m.run(vec![record]));
        before = Some(end);
    }
    let frames: Vec<Vec<u8>> = runs.chunks(200).map(|runs| m.frame(runs)).collect();
    let reads = fleet.sites[PARIS].store().reads();
    m.visit(&mut fleet.sites[PARIS], now, &frames);
    fleet.sites[PARIS].store().reads() - reads
}

#[test]
fn r6_concurrent_edits_cost_what_they_bring() {
    let (few, many) = (concurrent(100), concurrent(400));
    assert!(many < few * 6, "reads");
}

/// Retiring is for a machine that is gone, and cuts nothing: what it wrote may still come from others. Whoever has its key may
/// therefore pin what was before and write on (docs/decisions/0023), until the key is revoked.
#[test]
fn r18_a_retired_site_that_writes_on_is_revoked() {
    let mut fleet = Fleet::new(4);
    let d = fleet.ticket(PARIS, "lampe");
    fleet.meet(PARIS, LYON);
    let mut m = Member::of(&fleet, DAKAR);
    fleet.sites[PARIS].trust_authority();
    let now = fleet.now;
    let mut gone = common::site_entry(DAKAR);
    gone.standing = schema::authority::Standing::Ended;
    fleet.sites[PARIS].say(now, &Body::Site(gone)).unwrap();
    while fleet.sites[PARIS].catch_up(now).unwrap() {}
    fleet.meet(PARIS, LYON);
    let (body, _) = change(&m, &base(&fleet, &d), OWN, &d, "title", "in Ana's name, by a retired site");
    let (record, _) = m.record(OWN, Previous::First, 1, Author::User(ANA), d, body);
    let frame = m.frame(&[m.run(vec![record])]);
    let mut oslo = Member::of(&fleet, OSLO);
    oslo.visit(&mut fleet.sites[LYON], now, &[frame]);
    fleet.meet(PARIS, LYON);
    assert_ne!(shown(&fleet, PARIS, &d, "title").as_deref(), Some("lampe"));
    let (site, cuts) = (fleet.id(DAKAR), Vec::new());
    fleet.sites[PARIS].say(now, &Body::Revoke { site, cuts }).unwrap();
    while fleet.sites[PARIS].catch_up(now).unwrap() {}
    fleet.meet(PARIS, LYON);
    for site in [PARIS, LYON] {
        assert_eq!(shown(&fleet, site, &d, "title").as_deref(), Some("lampe"));
    }
}

/// A person's command is one thing wherever it is issued (R4), so whoever speaks for them may give birth to their ticket a
/// second time, with a number of its own. The first one stays: both are values of one field, as after a retry at another site.
#[test]
fn r4_a_second_birth_takes_no_number_away() {
    let mut fleet = Fleet::new(4);
    let (scope, now) = (fleet.scope(), fleet.now);
    let mut edits = Edits::default();
    edits.put("title", Value::Text("de Lyon".into()));
    edits.put("structure", Value::Text(common::IT.to_string()));
    edits.put("number", Value::Text("S1-7".into()));
    let given = CommandName::Given(CommandId([5; 8]));
    let (written, _) = fleet.sites[LYON]
        .write(now, |batch| {
            Ok(batch.command::<WriteError>(Author::User(ANA), given, scope, |command| {
                command.create(DocKind::Ticket, None, &edits).map(drop)
            }))
        })
        .unwrap();
    let ticket = written.unwrap().docs[0];
    fleet.meet(PARIS, LYON);
    let honest = fleet.sites[LYON].generation();
    let mut m = Member::of(&fleet, DAKAR);
    let generation = (0..=255u8)
        .map(|byte| GenerationId([byte; 16]))
        .find(|generation| actor(&m.key.public(), generation, &ticket) > actor(&fleet.id(LYON), &honest, &ticket))
        .unwrap();
    let mut born = Automerge::new_with_encoding(automerge::TextEncoding::UnicodeCodePoint);
    edits.put("number", Value::Text("S2-666".into()));
    edits.put("title", Value::Text("du membre".into()));
    let made = sync::docs::edit::change(&mut born, &actor(&m.key.public(), &generation, &ticket), &edits, true)
        .unwrap()
        .unwrap();
    let body = made.raw_bytes().to_vec();
    let entry = Entry {
        doc: ticket,
        genesis: Some(schema::record::Genesis::of(DocKind::Ticket, None)),
        change: chunk_hash(&body).unwrap(),
        length: body.len() as u32,
    };
    let skeleton = Skeleton { entries: vec![entry], ..Skeleton::new(given, Author::User(ANA)) };
    let (record, _) = m.sealed(generation, Previous::First, 1, skeleton, vec![Some(body)]);
    let frame = m.frame(&[m.run(vec![record])]);
    m.visit(&mut fleet.sites[PARIS], now, &[frame]);
    fleet.meet(PARIS, LYON);
    for site in [PARIS, LYON] {
        let view = fleet.view(site, &ticket).unwrap();
        let mut numbers: Vec<_> = view.distinct("number").iter().filter_map(|held| held.value.shown()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, ["S1-7", "S2-666"]);
    }
}
