//! Stories of accidents and of members in other hands, each of which once parted honest sites, stopped one, or put the
//! blame on the wrong one. The letter and number in a name is that of the review that found it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use common::member::{End, Member};
use common::{Fleet, IT, NOW, open, sequencer, sign};
use schema::author::Author;
use schema::authority::{AuthorityRef, Body, Grant, Role, Signed, SiteSelector, Standing, UserEntry};
use schema::doc::{Edits, Value};
use schema::id::{CommandId, GenerationId, UserId};
use schema::record::{CommandName, Previous};
use schema::time::{Hlc, Timestamp};
use sync::replica::{Alarm, ReplicaError, WriteError};
use sync::store::Source as _;

const YEAR: u64 = 365 * 24 * 3600 * 1000;

fn title(text: &str) -> Edits {
    let mut edits = Edits::default();
    edits.put("title", Value::Text(text.into()));
    edits
}

/// Somebody for whom the first site alone speaks.
const BEN: UserId = UserId([8; 16]);

fn with_ben(fleet: &mut Fleet) {
    let ben = UserEntry {
        user: BEN,
        login: "ben".into(),
        grants: vec![Grant { structure: Some(IT), role: Role::Technician }],
        sites: vec![SiteSelector::Site(fleet.id(0))],
        standing: Standing::Active,
    };
    fleet.sites[0].trust_authority();
    fleet.sites[0].say(NOW, &Body::User(ben)).unwrap();
}

#[test]
fn a1_of_two_records_that_name_one_change_the_earlier_decides_in_any_order() {
    let mut fleet = Fleet::new(3);
    with_ben(&mut fleet);
    let ticket = fleet.ticket(0, "lampe");
    fleet.meet(0, 1);
    let mut member = Member::of(&fleet, 2);
    let generation = GenerationId([0x33; 16]);
    let body = member.change(&fleet.sites[0], generation, &ticket, &title("by nobody"));
    // First in the name of somebody for whom it may not speak, then in its own: the same change.
    let (void, end) = member.record(generation, Previous::First, 1, Author::User(BEN), ticket, body.clone());
    let (good, _) = member.record(generation, Previous::Record(end.hash), 2, Author::Site, ticket, body);
    let first = member.frame(&[member.run(vec![void])]);
    let second = member.frame(&[member.run(vec![good])]);
    let now = fleet.now;
    member.visit(&mut fleet.sites[0], now, &[first.clone(), second]);
    member.visit(&mut fleet.sites[1], now, &[first]);
    // An honest edit on what the first site shows, which the second one hears of before it hears of the second record.
    fleet.put(0, ticket, "urgency", "low");
    fleet.meet(0, 1);
    fleet.sites.truncate(2);
    fleet.agree();
    for site in 0..2 {
        assert_eq!(fleet.view(site, &ticket).unwrap().text("urgency"), Some("low"), "the honest edit has its effect");
        assert_eq!(fleet.view(site, &ticket).unwrap().text("title"), Some("lampe"), "the named-before one has none");
        fleet.sites[site].rebuild(now).unwrap();
    }
    fleet.agree();
}

#[test]
fn a5_a_fork_blames_nobody_else_and_holds_up_nothing_else() {
    let mut fleet = Fleet::new(3);
    let ticket = fleet.ticket(0, "lampe");
    fleet.meet(0, 1);
    let mut member = Member::of(&fleet, 2);
    let generation = GenerationId([0x33; 16]);
    let mut branch = |member: &mut Member, site: usize, text: &str| {
        let body = member.change(&fleet.sites[site], generation, &ticket, &title(text));
        let (one, end) = member.record(generation, Previous::First, 1, Author::Site, ticket, body.clone());
        let (two, _) = member.record(generation, Previous::Record(end.hash), 2, Author::Site, ticket, body);
        let frames = [member.frame(&[member.run(vec![one])]), member.frame(&[member.run(vec![two])])];
        let now = fleet.now;
        let (alarms, closed) = member.visit(&mut fleet.sites[site], now, &frames);
        assert_eq!((alarms, closed), (vec![], None), "each site sees one branch, which is in order");
    };
    branch(&mut member, 0, "one branch");
    branch(&mut member, 1, "the other");
    let honest = fleet.ticket(0, "badge");
    let other = fleet.ticket(1, "écran");
    fleet.meet(0, 1);
    assert!(fleet.closed.is_empty(), "no honest session ends for it: {:?}", fleet.closed);
    let blamed = |alarm: &Alarm| matches!(alarm, Alarm::Refused(..) | Alarm::CloneRunning(_));
    assert!(!fleet.alarms.iter().any(|(_, alarm)| blamed(alarm)), "nobody honest is blamed: {:?}", fleet.alarms);
    assert!(fleet.view(1, &honest).is_some(), "what comes behind the forked log arrives");
    assert!(fleet.view(0, &other).is_some(), "in both directions");
}

#[test]
fn a7_generations_that_close_nothing_are_slowed_and_brick_nobody() {
    let mut fleet = Fleet::new(3);
    let ticket = fleet.ticket(0, "lampe");
    fleet.meet(0, 1);
    let mut member = Member::of(&fleet, 2);
    let mut runs = Vec::new();
    let mut before: Option<End> = None;
    for number in 0..400u16 {
        let mut id = [0x44; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        let generation = GenerationId(id);
        // Each names the one before with a hash that it never had.
        let previous =
            before.map_or(Previous::First, |end| member.closing(End { hash: schema::id::RecordHash([9; 32]), ..end }));
        let body = member.change(&fleet.sites[0], generation, &ticket, &title("x"));
        let (record, end) = member.record(generation, previous, 1, Author::Site, ticket, body);
        before = Some(end);
        runs.push(member.run(vec![record]));
    }
    let frame = member.frame(&runs);
    let now = fleet.now;
    let (alarms, closed) = member.visit(&mut fleet.sites[0], now, std::slice::from_ref(&frame));
    assert_eq!(closed, None, "slowed, not refused");
    assert!(alarms.contains(&Alarm::Slowed(fleet.id(2))), "and reported: {alarms:?}");
    let open_logs = |fleet: &Fleet, site: usize| {
        fleet.sites[site].store().log_index().open_of(&fleet.id(2), &fleet.scope()).count()
    };
    let limit = sync::limits::FREE_GENERATIONS + 2;
    assert!(open_logs(&fleet, 0) <= limit, "{} logs are open", open_logs(&fleet, 0));
    // A minute later one more, and so on: none is lost.
    let later = Timestamp(now.0 + 61_000);
    let known = open_logs(&fleet, 0);
    member.visit(&mut fleet.sites[0], later, std::slice::from_ref(&frame));
    assert!(open_logs(&fleet, 0) > known, "one more has begun");
    fleet.now = later;
    fleet.meet(0, 1);
    fleet.restart(0, None);
    fleet.restart(1, None);
    fleet.put(1, ticket, "urgency", "low");
    fleet.meet(0, 1);
    assert_eq!(fleet.view(0, &ticket).unwrap().text("urgency"), Some("low"), "everybody starts again and goes on");
}

#[test]
fn a8_a_year_of_restarts_leaves_one_open_log() {
    let mut fleet = Fleet::new(2);
    let ticket = fleet.ticket(0, "lampe");
    for day in 0..120 {
        fleet.restart(0, None);
        fleet.put(0, ticket, "title", &format!("jour {day}"));
    }
    let scope = fleet.scope();
    assert_eq!(fleet.sites[0].store().log_index().vector(&scope).len(), 1, "its vector has one line");
    fleet.meet(0, 1);
    fleet.agree();
    fleet.calm();
    fleet.sent = 0;
    fleet.meet(0, 1);
    assert!(fleet.sent < 2048, "meeting again with nothing new: {} bytes", fleet.sent);
}

#[test]
fn a10_copies_of_a_withheld_change_are_judged_once_each() {
    let mut fleet = Fleet::new(3);
    let ticket = fleet.ticket(0, "lampe");
    let mut member = Member::of(&fleet, 2);
    let (own, copies) = (GenerationId([0x55; 16]), GenerationId([0x66; 16]));
    // A change that is withheld, and honest-looking ones that depend on it.
    let withheld = member.change(&fleet.sites[0], own, &ticket, &title("withheld"));
    let mut document = sync::docs::load(&fleet.sites[0].read().unwrap(), &ticket).unwrap();
    document.apply_changes([automerge::Change::try_from(withheld.as_slice()).unwrap()]).unwrap();
    let mut frames = Vec::new();
    let mut records = Vec::new();
    let waiting = GenerationId([0x77; 16]);
    let mut previous = Previous::First;
    for number in 0..100u64 {
        let actor = schema::record::actor(&member.key.public(), &waiting, &ticket);
        let edits = title(&format!("t{number}"));
        let change = sync::docs::edit::change(&mut document, &actor, &edits, false).unwrap().unwrap();
        let body = change.raw_bytes().to_vec();
        let (record, end) = member.record(waiting, previous, number + 1, Author::Site, ticket, body);
        previous = Previous::Record(end.hash);
        records.push(record);
    }
    frames.push(member.frame(&[member.run(records)]));
    let mut previous = Previous::First;
    for portion in 0..4u64 {
        let mut records = Vec::new();
        for number in 1..=500u64 {
            let seq = portion * 500 + number;
            let (record, end) = member.record(copies, previous, seq, Author::Site, ticket, withheld.clone());
            previous = Previous::Record(end.hash);
            records.push(record);
        }
        frames.push(member.frame(&[member.run(records)]));
    }
    let now = fleet.now;
    let (_, closed) = member.visit(&mut fleet.sites[0], now, &frames);
    assert_eq!(closed, None);
    let judged: u64 = fleet.sites[0].verdicts.values().sum();
    assert!(judged < 2_100 + 500, "2,000 copies and 100 that wait were judged {judged} times");
    assert!(fleet.sites[0].verdicts["waiting-change"] >= 1, "what depends on the withheld change waits for its author");
}

#[test]
fn a15_nobody_writes_under_anothers_name() {
    let mut fleet = Fleet::new(1);
    let ticket = fleet.ticket(0, "lampe");
    let refused = |outcome: Result<_, WriteError>| match outcome {
        Err(WriteError::Refused(code)) => code,
        other => panic!("{other:?}"),
    };
    let source = "18446744073709551615 Marie, directrice";
    assert_eq!(refused(fleet.try_put(0, ticket, "imported/1", source)), "not-its-item");
    assert_eq!(refused(fleet.try_put(0, ticket, "comment/1/body", "x")), "not-its-item", "another's id");
    let mut id = String::new();
    fleet
        .write(0, |command| {
            id = command.id();
            let mut edits = Edits::default();
            edits.put(format!("comment/{id}/body"), Value::Text("mine".into()));
            command.edit(ticket, &edits).map(|_| ())
        })
        .unwrap();
    let outcome = fleet.try_put(0, ticket, &format!("comment/{id}/body"), "not what was said");
    assert_eq!(refused(outcome), "not-its-item", "what was said stays as it was said");
    let imported = fleet.write(0, |command| {
        let mut edits = Edits::default();
        edits.put(format!("imported/{}", command.id()), Value::Text(source.into()));
        command.edit(ticket, &edits).map(|_| ())
    });
    assert_eq!(refused(imported), "role-may-not", "what an import's source said is nobody's own word");
}

#[test]
fn a17_a_command_replayed_by_another_site_answers_nobody() {
    let mut fleet = Fleet::new(3);
    with_ben(&mut fleet);
    let (ticket, other) = (fleet.ticket(0, "lampe"), fleet.ticket(0, "autre"));
    let mut member = Member::of(&fleet, 2);
    let generation = GenerationId([0x33; 16]);
    let name = CommandName::Given(CommandId([5; 8]));
    let body = member.change(&fleet.sites[0], generation, &other, &title("replayed"));
    let (mut record, _) = member.record(generation, Previous::First, 1, Author::User(BEN), other, body);
    record.record.skeleton.command = name;
    let skeleton = record.record.skeleton.clone();
    let (record, _) = member.sealed(generation, Previous::First, 1, skeleton, record.bodies);
    let frame = member.frame(&[member.run(vec![record])]);
    let now = fleet.now;
    member.visit(&mut fleet.sites[0], now, &[frame]);
    let scope = fleet.scope();
    let (written, _) = fleet.sites[0]
        .write(now, |batch| {
            Ok(batch.command::<WriteError>(Author::User(BEN), name, scope, |command| {
                command.edit(ticket, &title("ben's own")).map(|_| ())
            }))
        })
        .unwrap();
    let written = written.unwrap();
    assert_eq!((written.docs, written.repeated), (vec![ticket], false), "his command was never written before");
}

#[test]
fn a20_a_clock_a_year_ahead_leaves_with_its_process_and_drags_nobody() {
    let mut fleet = Fleet::new(2);
    let ticket = fleet.ticket(0, "lampe");
    fleet.meet(0, 1);
    let honest = fleet.now;
    fleet.now = Timestamp(honest.0 + YEAR);
    fleet.put(1, ticket, "title", "from the future");
    fleet.now = Timestamp(honest.0 + 1_000);
    fleet.meet(0, 1);
    fleet.put(0, ticket, "title", "seen, and answered");
    fleet.put(0, ticket, "urgency", "low");
    fleet.restart(1, None);
    fleet.meet(0, 1);
    fleet.put(1, ticket, "impact", "low");
    fleet.meet(0, 1);
    fleet.agree();
    fleet.calm();
    let view = sync::docs::view::whole(&fleet.sites[0].read().unwrap(), &ticket).unwrap().unwrap();
    let late: Vec<bool> = view.changes.iter().map(|stamp| stamp.at.timestamp().0 > honest.0 + YEAR / 2).collect();
    assert_eq!(late, [false, true, false, false, false], "one change carries the wrong date, in its place");
    let doubt: Vec<bool> = view.changes.iter().map(|stamp| stamp.doubt).collect();
    assert_eq!(doubt, [false, true, true, false, false], "it and the one that answered it are in doubt");
    let last = view.last_at.expect("no import");
    assert!(last.0 < honest.0 + YEAR / 2, "the document was last changed when people answered: {last:?}");
}

#[test]
fn b_a_restored_sequencer_is_silent_until_it_heard_what_it_said() {
    let mut fleet = Fleet::new(2);
    fleet.sites[0].trust_authority();
    let backup = fleet.disks[0].clone();
    fleet.sites[0].say(NOW, &Body::Version(1)).unwrap();
    fleet.meet(0, 1);
    fleet.restart(0, Some(backup));
    let now = fleet.now;
    let said = fleet.sites[0].say(now, &Body::Version(1));
    assert!(matches!(said, Err(ReplicaError::Unheard)), "it does not know what it said: {said:?}");
    fleet.meet(0, 1);
    fleet.sites[0].say(now, &Body::Version(1)).expect("it heard, and goes on from there");
    fleet.meet(0, 1);
    assert_eq!(fleet.sites[0].authority().head(), fleet.sites[1].authority().head(), "one list of rights");
    fleet.calm();
}

#[test]
fn r1_a_second_copy_is_said_of_a_second_copy_alone() {
    let mut fleet = Fleet::new(2);
    let ticket = fleet.ticket(0, "lampe");
    fleet.meet(0, 1);
    // Restored with a clock that is wrong either way: no copy runs.
    let backup = fleet.disks[0].clone();
    fleet.put(0, ticket, "title", "lost and found");
    fleet.meet(0, 1);
    fleet.now = Timestamp(fleet.now.0 - YEAR);
    fleet.restart(0, Some(backup));
    fleet.meet(0, 1);
    fleet.meet(0, 1);
    let is_clone = |(_, alarm): &(usize, Alarm)| matches!(alarm, Alarm::CloneRunning(_));
    assert!(!fleet.alarms.iter().any(is_clone), "only what a disk had lost came back: {:?}", fleet.alarms);
    // A copy beside it, each talking to the second site.
    fleet.alarms.clear();
    let disk = fleet.disks[0].clone();
    let copy = open(0, &disk, 0x77, fleet.now);
    fleet.sites.push(copy);
    fleet.disks.push(disk);
    for _ in 0..3 {
        fleet.meet(0, 1);
        fleet.meet(2, 1);
    }
    let heard = |at: usize| fleet.alarms.iter().any(|alarm| alarm.0 == at && is_clone(alarm));
    assert!(heard(0) && heard(2), "both hear of one another: {:?}", fleet.alarms);
}

#[test]
fn r13_what_a_newer_version_adds_is_kept_passed_on_and_waits() {
    let mut fleet = Fleet::new(3);
    let ticket = fleet.ticket(0, "lampe");
    fleet.meet_all();
    let mut member = Member::of(&fleet, 2);
    let generation = GenerationId([0x33; 16]);
    let body = member.change(&fleet.sites[0], generation, &ticket, &title("tomorrow"));
    let (mut record, _) = member.record(generation, Previous::First, 1, Author::Site, ticket, body);
    record.record.header.format = 2;
    record.record.header.extension = vec![1, 2, 3];
    let frame = member.frame(&[member.run(vec![record])]);
    let now = fleet.now;
    let newer = [vec![0, 200, 1, 2, 3], frame];
    let (alarms, closed) = member.visit(&mut fleet.sites[0], now, &newer);
    assert_eq!((alarms, closed), (vec![], None), "neither an unknown message nor an unknown format ends a session");
    fleet.meet(0, 1);
    fleet.sites.truncate(2);
    fleet.agree();
    fleet.calm();
    assert_eq!(fleet.sites[1].verdicts["waiting-version"], 1, "it was passed on, and waits there too");
    let rows = fleet.sites[1].read().unwrap().prefixed(sync::store::Table::Quarantine, &[]).unwrap();
    assert_eq!(rows.len(), 1, "and is listed");
}

#[test]
fn r14_a_forked_authority_log_is_said_and_ends_no_session() {
    let mut fleet = Fleet::new(2);
    let mut bodies = common::founding(2);
    bodies.push(Body::Version(1));
    let one = sign(&bodies);
    bodies.pop();
    bodies.push(Body::Structure { structure: schema::id::StructureId([9; 16]), name: "RH".into(), parent: None });
    // One branch is longer: what goes on from it follows nothing that the other site holds.
    bodies.push(Body::Version(1));
    let other = sign(&bodies);
    assert_eq!(one.last().unwrap().statement.signer, sequencer().public());
    fleet.sites[0].bootstrap(NOW, vec![one.last().unwrap().clone()]).unwrap();
    fleet.sites[1].bootstrap(NOW, other).unwrap();
    let ticket = fleet.ticket(0, "lampe");
    let elsewhere = fleet.ticket(1, "badge");
    fleet.meet(0, 1);
    assert!(fleet.closed.is_empty(), "records go on: {:?}", fleet.closed);
    let said = fleet.alarms.iter().filter(|(_, alarm)| matches!(alarm, Alarm::AuthorityForked(_))).count();
    assert_eq!(said, 2, "both sites say so: {:?}", fleet.alarms);
    assert!(fleet.view(1, &ticket).is_none(), "what pins the other list of rights waits");
    assert_eq!(fleet.sites[1].verdicts["waiting-authority"], 1);
    assert!(fleet.view(0, &elsewhere).is_none());

    // The root says from which statement on a new sequencer goes on: the last that both lists have.
    let base = sign(&common::founding(2)).pop().unwrap().statement;
    let next = AuthorityRef { epoch: base.at.epoch + 1, position: base.at.position + 1 };
    let body = Body::HandOver { base: base.at, base_hash: base.hash(), sequencer: sequencer().public() };
    let org = fleet.sites[0].policy().unwrap().org;
    let handed = Signed::new(org, next, base.hash(), Hlc::at(fleet.now), &body, &common::root());
    let now = fleet.now;
    fleet.sites[0].bootstrap(now, vec![handed]).unwrap();
    while fleet.sites[0].catch_up(now).unwrap() {}
    fleet.meet(0, 1);
    let heads = [0, 1].map(|site: usize| fleet.sites[site].authority().head());
    assert_eq!(heads[0], heads[1], "one list of rights again");
    for site in 0..2 {
        assert!(fleet.view(site, &ticket).is_some() && fleet.view(site, &elsewhere).is_some(), "and nothing waits");
    }
    fleet.agree();
}
