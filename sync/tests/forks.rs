//! Forks (R20): a machine set back with its memory goes on in the same generation, and its log has two histories. Nothing
//! acknowledged is lost, nobody is blamed, and all sites show the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use automerge::Automerge;
use common::member::{End, Member};
use common::{ANA, Disk, Fleet};
use schema::author::Author;
use schema::authority::Body;
use schema::doc::{DocKind, Edits, Value};
use schema::fork::{Branch, ForkProof};
use schema::id::{CommandId, DocId, GenerationId, RecordHash};
use schema::identity::Purpose;
use schema::record::{Closing, CommandName, Previous, Skeleton, actor};
use sync::admission::RecordWithBodies;
use sync::quarantine;
use sync::replica::{Alarm, Output, WriteError};
use sync::wire::{Message, encode};

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

/// Sent records are joined under one signature, so that the last one before a fork may have none of its own. A history that
/// parts before it is proven all the same: the proof of the fork goes on to a signature.
#[test]
fn r20_a_third_history_may_part_before_the_end_that_a_fork_gave_to_the_log() {
    let mut fleet = Fleet::new(4);
    let common = fleet.ticket(1, "commune");
    fleet.meet_all();
    let mut born = vec![common, fleet.ticket(1, "premier")];
    let early = fleet.disks[1].clone();
    born.push(fleet.ticket(1, "deuxième"));
    let late = fleet.disks[1].clone();
    born.push(fleet.ticket(1, "troisième"));
    fleet.meet(1, 0);
    fleet.set_back(1, late);
    born.push(fleet.ticket(1, "autre troisième"));
    fleet.meet(1, 2);
    fleet.set_back(1, early);
    born.push(fleet.ticket(1, "autre deuxième"));
    fleet.meet(1, 3);
    // Who holds two histories learns where they part, and meets the third without the site whose they are.
    fleet.meet(0, 2);
    fleet.now.0 += 60_000;
    fleet.meet(0, 3);
    for _ in 0..4 {
        fleet.now.0 += 60_000;
        fleet.meet_all();
    }
    for site in 0..4 {
        for doc in &born {
            assert!(fleet.view(site, doc).is_some(), "nothing acknowledged is lost at {site}");
        }
    }
    fleet.agree();
    calm_but(&fleet, |site, alarm| match alarm {
        Alarm::SetBack | Alarm::OwnRecordsBack => site == 1,
        Alarm::Forked(forked) => site != 1 && *forked == fleet.id(1),
        _ => false,
    });
}

/// Whoever checks a store after that finds nothing damaged: what lies behind the fork begins where its log parted, and the
/// last record in common may have no signature of its own.
#[test]
fn r20_a_store_with_a_fork_is_whole() {
    let mut fleet = Fleet::new(2);
    let doc = fleet.ticket(1, "lampe");
    fleet.meet_all();
    let before = fleet.disks[1].clone();
    // Two records after the last copy, the first of which both lives have in common: joined under one signature.
    fleet.put(1, doc, "urgency", "low");
    let between = fleet.disks[1].clone();
    fleet.put(1, doc, "impact", "low");
    fleet.meet_all();
    for (life, copy) in [("une autre", between), ("une troisième", before)] {
        fleet.set_back(1, copy);
        fleet.put(1, doc, "title", life);
        fleet.now.0 += 60_000;
        fleet.meet_all();
        fleet.meet_all();
    }
    fleet.agree();
    for site in 0..2 {
        let report = sync::verify::verify(&fleet.sites[site].read().unwrap(), fleet.sites[site].authority()).unwrap();
        assert_eq!(report.faults, Vec::<String>::new(), "at {site}");
        assert!(report.records > 4, "both histories are looked at: {report:?}");
    }
}

/// A machine that is set back once goes on. A key whose generations fork again and again is in two hands, or on a machine
/// that must be mended: the first site revokes it.
#[test]
fn r20_the_third_fork_within_a_day_revokes_the_key() {
    let mut fleet = Fleet::new(3);
    fleet.sites[0].trust_authority();
    let common = fleet.ticket(2, "commune");
    fleet.meet_all();
    for life in 1..=4 {
        let before = fleet.disks[2].clone();
        fleet.put(2, common, "title", &format!("vie {life}"));
        fleet.meet(2, 1);
        fleet.set_back(2, before);
        fleet.put(2, common, "title", &format!("autre vie {life}"));
        for _ in 0..2 {
            fleet.now.0 += 60_000;
            fleet.meet_all();
        }
        let is_revoked = fleet.sites[0].policy().unwrap().revoked.contains_key(&fleet.id(2));
        assert_eq!(is_revoked, life >= 3, "after {life}");
        if is_revoked {
            break;
        }
        // Each life begins another generation, as a restart would.
        fleet.restart(2, None);
    }
    let alarmed = |(site, alarm): &(usize, Alarm)| *site == 0 && *alarm == Alarm::RevokedForForks(fleet.id(2));
    assert!(fleet.alarms.iter().any(alarmed), "it says why");
    let refused = fleet.try_put(2, common, "urgency", "low");
    assert!(matches!(refused, Err(WriteError::Refused(code)) if code == "beyond-cut"));
    fleet.meet(0, 1);
    assert_eq!(shown(&fleet, 0, &common, "title"), shown(&fleet, 1, &common, "title"));
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

/// The proof that a member signs two records behind `previous`, which nobody may hold.
fn proof(member: &mut Member, generation: GenerationId, previous: Previous, seq: u64) -> ForkProof {
    let branch = |member: &mut Member, text: u8| {
        let skeleton = Skeleton::new(CommandName::Given(CommandId([text; 8])), Author::Site);
        let (with, end) = member.sealed(generation, previous, seq, skeleton, Vec::new());
        Branch { headers: vec![with.record.header], signature: member.key.sign(Purpose::Record, &end.hash.0) }
    };
    let (one, other) = (branch(member, 1), branch(member, 2));
    ForkProof::new(one, other)
}

#[test]
fn r20_no_proof_of_a_member_stops_an_honest_site() {
    let mut fleet = Fleet::new(3);
    let ticket = fleet.ticket(0, "lampe");
    fleet.meet(0, 1);
    let mut member = Member::of(&fleet, 2);
    let (now, scope, org) = (fleet.now, fleet.scope(), member.org);
    // Of a log that nobody holds; then what stands before the fork is asked for under the name of a history.
    let held = GenerationId([0x33; 16]);
    let unheld = proof(&mut member, held, Previous::Record(RecordHash([9; 32])), 6);
    let name = unheld.fork().unwrap().names()[0];
    let want = |seq| Message::Want { scope, records: vec![(name.site, name.generation, seq)] };
    let empty = || Skeleton::new(CommandName::Place, Author::Site);
    let frames = [encode(&Message::Fork(unheld)), encode(&want(1)), encode(&want(6))];
    let (_, closed) = member.visit(&mut fleet.sites[0], now, &frames);
    assert_eq!(closed, None, "nothing of it ends the session, and nothing the process");
    // None says that it follows one, and none is called like one: under that name it would be the history.
    let closing =
        Previous::After(Closing { generation: name.generation, seq: 1, hash: RecordHash([7; 32]), pin: member.pin });
    let follows = (GenerationId([0x44; 16]), closing, Some("bad-header"));
    for (generation, previous, ends) in [follows, (name.generation, Previous::First, None)] {
        let (record, _) = member.sealed(generation, previous, 1, empty(), Vec::new());
        let run = member.frame(&[member.run(vec![record])]);
        let (_, closed) = member.visit(&mut fleet.sites[0], now, &[run]);
        assert_eq!(closed, ends);
        assert_eq!(
            fleet.sites[0].store().log_index().open(&name).map_or(5, |log| log.seq),
            5,
            "nothing of it is taken"
        );
    }
    // A log that is held, forked in the name of another organisation.
    let held = GenerationId([0x77; 16]);
    let (first, end) = member.sealed(held, Previous::First, 1, empty(), Vec::new());
    let (second, _) = member.sealed(held, Previous::Record(end.hash), 2, empty(), Vec::new());
    let run = member.frame(&[member.run(vec![first, second])]);
    member.org = schema::id::OrgId([0x99; 32]);
    let foreign = proof(&mut member, held, Previous::Record(end.hash), 2);
    member.org = org;
    member.visit(&mut fleet.sites[0], now, &[run, encode(&Message::Fork(foreign))]);
    // At the very first record of a generation that never comes, and points beyond any log.
    let early = proof(&mut member, GenerationId([0x66; 16]), Previous::First, 1);
    let far =
        Message::ForkPoints { scope, log: (name.site, name.generation), points: vec![(u64::MAX, RecordHash([1; 32]))] };
    member.visit(&mut fleet.sites[0], now, &[encode(&Message::Fork(early)), encode(&far)]);
    // The admin answers: everything of the key is looked at again.
    let dakar = fleet.id(2);
    fleet.sites[0].trust_authority();
    let cuts = fleet.sites[0].cuts_of(&dakar, None).unwrap();
    fleet.sites[0].say(now, &Body::Revoke { site: dakar, cuts }).unwrap();
    while fleet.sites[0].catch_up(now).unwrap() {}
    fleet.meet(0, 1);
    fleet.put(1, ticket, "urgency", "low");
    fleet.meet(0, 1);
    assert_eq!(shown(&fleet, 0, &ticket, "urgency").as_deref(), Some("low"), "honest work goes on");
    fleet.agree_on(&[0, 1]);
    fleet.restart(0, None);
    while fleet.sites[0].catch_up(now).unwrap() {}
    assert_eq!(fleet.sites[0].backlog(), 0, "also after a restart");
}

const HELD: GenerationId = GenerationId([0x33; 16]);

/// Sites number their logs as they come. Of two histories one claims a place in a document twice, and the smaller hash is
/// the second of those.
#[test]
fn r19_which_of_two_tainted_histories_stays_hangs_on_their_records() {
    let mut fleet = Fleet::new(3);
    let doc = fleet.ticket(0, "lampe");
    fleet.meet(0, 1);
    let (mut member, now) = (Member::of(&fleet, 2), fleet.now);
    let ana = Author::User(ANA);
    let born = sync::docs::load(&fleet.sites[0].read().unwrap(), &doc).unwrap();
    let (body, base) = member.title(&born, HELD, &doc, "commune");
    let (g1, end) = member.record(HELD, Previous::First, 1, ana, doc, body);
    let after = Previous::Record(end.hash);
    // Two histories: one claims a place in the document twice, the other once; the hashes in this order.
    let history =
        |member: &mut Member, previous: Previous, seq: u64, text: &str| -> (RecordWithBodies, End, Automerge) {
            let (body, with) = member.title(&base, HELD, &doc, text);
            let (record, end) = member.record(HELD, previous, seq, ana, doc, body);
            (record, end, with)
        };
    let (mut tries, mut found) = (0, None);
    while found.is_none() {
        tries += 1;
        let x2 = history(&mut member, after, 2, &format!("x2 {tries}"));
        let x3 = history(&mut member, Previous::Record(x2.1.hash), 3, &format!("x3 {tries}"));
        let y2 = history(&mut member, after, 2, &format!("y2 {tries}"));
        if x3.1.hash < y2.1.hash && y2.1.hash < x2.1.hash {
            found = Some((x2, x3, y2));
        }
    }
    let (x2, x3, y2) = found.unwrap();
    // A record that stands builds on each.
    let mut builders = Vec::new();
    for (index, with) in [&x2.2, &x3.2, &y2.2].into_iter().enumerate() {
        let generation = GenerationId([0x51 + index as u8; 16]);
        let mut edits = Edits::default();
        edits.put("urgency", Value::Text("low".into()));
        let mut document = with.clone();
        let by = actor(&member.key.public(), &generation, &doc);
        let made = sync::docs::edit::change(&mut document, &by, &edits, false).unwrap().unwrap();
        let (record, _) = member.record(generation, Previous::First, 1, ana, doc, made.raw_bytes().to_vec());
        builders.push(member.run(vec![record]));
    }
    let shared = member.frame(&[member.run(vec![g1])]);
    let x = member.frame(&[member.run(vec![x2.0, x3.0])]);
    let y = member.frame(&[member.run(vec![y2.0])]);
    let built = member.frame(&builders);
    member.visit(&mut fleet.sites[0], now, &[shared.clone(), x, built.clone()]);
    member.visit(&mut fleet.sites[1], now, &[shared, y, built]);
    for _ in 0..4 {
        fleet.meet(0, 1);
    }
    let titles = |fleet: &Fleet| [0, 1].map(|site| shown(fleet, site, &doc, "title"));
    let before = titles(&fleet);
    assert_eq!(before[0], before[1], "whichever history a site held first");
    fleet.agree_on(&[0, 1]);
    for site in [0, 1] {
        fleet.sites[site].rebuild(now).unwrap();
    }
    assert_eq!(titles(&fleet), before, "made from nothing it is the same");
    fleet.agree_on(&[0, 1]);
}

/// Frames of generations of one record each, every one closed by the next.
fn generations(member: &mut Member, word: u8, count: u32) -> Vec<Vec<u8>> {
    let mut before: Option<End> = None;
    let mut runs = Vec::new();
    for number in 0..count {
        let mut generation = [0x33; 16];
        generation[..4].copy_from_slice(&number.to_be_bytes());
        let previous = before.map_or(Previous::First, |end| member.closing(end));
        let skeleton = Skeleton::new(CommandName::Given(CommandId([word; 8])), Author::Site);
        let (record, end) = member.sealed(GenerationId(generation), previous, 1, skeleton, Vec::new());
        runs.push(member.run(vec![record]));
        before = Some(end);
    }
    runs.chunks(500).map(|runs| member.frame(runs)).collect()
}

/// How many bytes two sites say when they meet, after a member showed each of them another history of so many
/// generations.
fn meeting_with_forks([a, b]: [usize; 2], count: u32) -> usize {
    let mut fleet = Fleet::new(4);
    let mut member = Member::of(&fleet, 2);
    let now = fleet.now;
    for (site, word) in [(a, 1), (b, 2)] {
        let frames = generations(&mut member, word, count);
        member.visit(&mut fleet.sites[site], now, &frames);
    }
    let ticket = fleet.ticket(a, "lampe");
    let sent = fleet.sent;
    fleet.meet(a, b);
    assert!(fleet.view(b, &ticket).is_some(), "everything else of the session goes on");
    assert_eq!(fleet.closed, [], "no session of honest sites ends for it");
    fleet.sent - sent
}

/// A member signs two histories of a thousand generations for 105 bytes each. What that costs honest sites grows as those
/// do, whether or not one of the two revokes the key meanwhile.
#[test]
fn r20_a_member_pays_for_each_fork_what_honest_sites_pay() {
    for pair in [[0, 1], [1, 3]] {
        let (few, many) = (meeting_with_forks(pair, 200), meeting_with_forks(pair, 800));
        assert!(many < few * 6, "four times the forks, four times the bytes: {few} {many}");
    }
}

/// Of a member's forks beyond the 64th one a minute is taken. Who sends an honest edit that builds on one of them is blamed
/// for nothing meanwhile, and no session ends for it.
#[test]
fn r20_nobody_is_blamed_for_what_builds_on_one_of_many_forks() {
    let mut fleet = Fleet::new(3);
    let doc = fleet.ticket(0, "lampe");
    fleet.meet(0, 1);
    let mut member = Member::of(&fleet, 2);
    let now = fleet.now;
    for (site, word) in [(0, "one"), (1, "other")] {
        let frame = member.generations(&fleet, &doc, word, 100);
        member.visit(&mut fleet.sites[site], now, &[frame]);
    }
    fleet.put(0, doc, "impact", "high");
    let mut told = Vec::new();
    for _ in 0..3 {
        told.extend(fleet.talk([0, 1], 150));
    }
    let is_blame =
        |(_, output): &&(usize, Output)| matches!(output, Output::Alarm(Alarm::Refused(..)) | Output::Close(..));
    let blame: Vec<_> = told.iter().filter(is_blame).collect();
    assert!(blame.is_empty(), "{blame:?}");
}
