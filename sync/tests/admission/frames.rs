//! Whole frames, as a session brings them: what a run that is refused takes with it, and what is left out for now (R9).

use schema::author::Author;
use schema::authority::{Body, Grant, Role, SiteSelector, Standing, UserEntry};
use schema::doc::{Edits, Value};
use schema::id::{ActorId, ChangeHash, DocId, GenerationId, RecordHash, SiteId, UserId};
use schema::identity::Signature;
use schema::record::{MAX_BODY_BYTES, Previous, body_hash};
use sync::admission::{RecordWithBodies, Run};
use sync::replica::Replica;
use sync::store::log_index::LogName;
use sync::store::{Source as _, StoreError, Table};
use sync::wire::stripped::{FrameLogs, Sender};
use sync::wire::{Cursor, Lane, Message, PackedRun, PackedRuns, encode};

use super::chunk;
use super::common::member::Member;
use super::common::{Fleet, IT, NOW, founding, key, sign, site_entry};

/// The generations of the two logs of a frame.
const ONE: GenerationId = GenerationId([0x33; 16]);
const OTHER: GenerationId = GenerationId([0x44; 16]);

fn records_held(replica: &Replica) -> u64 {
    replica.read().unwrap().count(Table::Records).unwrap()
}

/// A run that is refused takes the rest of its frame with it; one that is left out for now does not.
#[test]
fn what_a_frame_leaves_of_itself() {
    let outcome = |make: fn(&mut Member, Vec<RecordWithBodies>) -> Vec<u8>| {
        let mut fleet = Fleet::new(3);
        let mut member = Member::of(&fleet, 2);
        let mut record = |generation| {
            let (record, _) =
                member.record(generation, Previous::First, 1, Author::Site, DocId([1; 32]), chunk(generation.0[0]));
            record
        };
        let records = vec![record(ONE), record(OTHER)];
        let frame = make(&mut member, records);
        let (alarms, closed) = member.visit(&mut fleet.sites[0], NOW, &[frame]);
        let held = records_held(&fleet.sites[0]);
        (held, closed, alarms.len())
    };
    type Make = fn(&mut Member, Vec<RecordWithBodies>) -> Vec<u8>;
    /// A frame of both logs, the second changed on its way.
    fn second(member: &mut Member, mut records: Vec<RecordWithBodies>, change: impl FnOnce(&mut Run)) -> Vec<u8> {
        let other = records.remove(1);
        let mut run = member.run(vec![other]);
        change(&mut run);
        let first = member.run(records);
        member.frame(&[first, run])
    }
    /// Records held, why the session ended, and how many alarms were raised.
    type Left = (u64, Option<&'static str>, usize);
    let cases: [(&str, Make, Left); 7] = [
        ("both in order", |member, records| second(member, records, |_| {}), (2, None, 0)),
        (
            "a log of a key that nobody knows",
            |member, records| {
                second(member, records, |run| {
                    run.log.site = key(9).public();
                    run.records[0].record.header.log = run.log;
                })
            },
            (1, None, 0),
        ),
        (
            "a log of which records are missing",
            |member, records| {
                second(member, records, |run| {
                    run.records[0].record.header.seq = 3;
                    run.records[0].record.header.previous = Previous::Record(RecordHash([1; 32]));
                })
            },
            (1, None, 0),
        ),
        (
            "not signed by its site",
            |member, records| second(member, records, |run| run.signature = Signature([1; 64])),
            (0, Some("bad-signature"), 1),
        ),
        (
            "a body changed on the way",
            |member, records| second(member, records, |run| run.records[0].bodies = vec![Some(chunk(7))]),
            (0, Some("bad-signature"), 1),
        ),
        (
            "a document twice",
            |member, records| {
                second(member, records, |run| {
                    let entries = &mut run.records[0].record.skeleton.entries;
                    entries.push(entries[0].clone());
                    run.records[0].bodies.push(None);
                })
            },
            (0, Some("bad-header"), 1),
        ),
        (
            "more bytes than a record may have",
            |member, records| {
                second(member, records, |run| {
                    run.records[0].record.skeleton.entries[0].length = MAX_BODY_BYTES as u32 + 1;
                    run.records[0].bodies = vec![None];
                })
            },
            (0, Some("run-too-large"), 1),
        ),
    ];
    for (case, make, expected) in cases {
        assert_eq!(outcome(make), expected, "{case}: records held, why the session ended, alarms");
    }
}

/// A run of a site that the authority log does not know yet is passed over, and taken when it comes again (R9).
#[test]
fn a_log_of_an_unknown_key_is_taken_once_the_key_is_known() {
    let mut fleet = Fleet::new(3);
    let mut carrier = Member::of(&fleet, 2);
    let mut newcomer = Member::of(&fleet, 2).keyed(key(3));
    let (record, _) = newcomer.record(ONE, Previous::First, 1, Author::Site, DocId([1; 32]), chunk(7));
    let frame = carrier.frame(&[newcomer.run(vec![record])]);
    let mut carry = |fleet: &mut Fleet| {
        assert_eq!(
            carrier.visit(&mut fleet.sites[0], NOW, std::slice::from_ref(&frame)),
            (vec![], None),
            "nobody is blamed"
        );
        records_held(&fleet.sites[0])
    };
    assert_eq!(carry(&mut fleet), 0, "its signature cannot be anybody's yet");
    fleet.sites[0].trust_authority();
    fleet.sites[0].say(NOW, &Body::Site(site_entry(3))).unwrap();
    assert_eq!(carry(&mut fleet), 1, "now it can");
    assert_eq!(carry(&mut fleet), 1, "and is taken once");
}

/// Says where the one change stands that others depend on, and whose it is.
struct Says {
    place: (LogName, u64, u32),
    doc: DocId,
    author: LogName,
}

impl Sender for Says {
    fn place(&self, _: &ChangeHash) -> Result<Option<(LogName, u64, u32, DocId)>, StoreError> {
        let (log, seq, entry) = self.place;
        Ok(Some((log, seq, entry, self.doc)))
    }
    fn author(&self, _: &DocId, _: &ActorId) -> Result<Option<LogName>, StoreError> {
        Ok(Some(self.author))
    }
}

/// A stripped change is put together from what is held. Where that gives something else than was signed, one side may
/// honestly hold another history: it is left out for a while, and nobody is blamed (R2, R20).
#[test]
fn a_change_that_refers_elsewhere_is_left_out() {
    let right = |fleet: &Fleet| (fleet.id(0), fleet.sites[0].generation());
    let wrong = |_: &Fleet| (key(1).public(), OTHER);
    type Log = fn(&Fleet) -> LogName;
    let cases: [(&str, Log, u64, u32, Log, u64); 7] = [
        ("where it stands", right, 1, 0, right, 2),
        ("a record that is not held", right, 77, 0, right, 1),
        ("a record that cannot be", right, 0, 0, right, 1),
        ("an entry that its record has not", right, 1, 1, right, 1),
        ("the highest numbers of all", right, u64::MAX, u32::MAX, right, 1),
        ("a log that is not held", wrong, 1, 0, right, 1),
        ("another author than it has", right, 1, 0, wrong, 1),
    ];
    for (case, log, seq, entry, author, held) in cases {
        let mut fleet = Fleet::new(3);
        let ticket = fleet.ticket(0, "lampe");
        let mut member = Member::of(&fleet, 2);
        let mut edits = Edits::default();
        edits.put("title", Value::Text("badge".into()));
        let body = member.change(&fleet.sites[0], ONE, &ticket, &edits);
        let (record, _) = member.record(ONE, Previous::First, 1, Author::Site, ticket, body);
        let says = Says { place: (log(&fleet), seq, entry), doc: ticket, author: author(&fleet) };
        let mut logs = FrameLogs::default();
        let run = PackedRun::pack(&member.run(vec![record]), &says, &mut logs).unwrap();
        assert!(!run.refers_to().is_empty(), "{case}: it travels stripped");
        let runs = PackedRuns::of(member.scope, &[run], logs);
        let frame = encode(&Message::Runs { scope: member.scope, lane: Lane::Own, cursor: Cursor::default(), runs });
        assert_eq!(member.visit(&mut fleet.sites[0], NOW, &[frame]), (vec![], None), "{case}: nobody is blamed");
        assert_eq!(records_held(&fleet.sites[0]), held, "{case}");
    }
}

/// Statements may be long: as many as a message may have would be more than a frame (R14).
#[test]
fn a_long_authority_log_reaches_a_peer() {
    let mut fleet = Fleet::new(2);
    let mut bodies = founding(2);
    // Keys that do not compress.
    let site = |user: u8, at: usize| SiteId(body_hash(&[&[user], at.to_be_bytes().as_slice()].concat()));
    for user in 0..130 {
        let mut sites: Vec<SiteSelector> =
            (0..schema::authority::MAX_ITEMS).map(|at| SiteSelector::Site(site(user, at))).collect();
        sites.sort_unstable();
        let grants = vec![Grant { structure: Some(IT), role: Role::User }];
        let (user, login) = (UserId([100 + user; 16]), format!("user{user}"));
        bodies.push(Body::User(UserEntry { user, login, grants, sites, standing: Standing::Active }));
    }
    let held = founding(2).len();
    fleet.sites[0].bootstrap(NOW, sign(&bodies).split_off(held)).unwrap();
    fleet.meet(0, 1);
    fleet.calm();
    assert_eq!(fleet.sites[0].authority().head(), fleet.sites[1].authority().head(), "all of it has come");
}
