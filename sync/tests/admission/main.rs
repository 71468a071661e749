//! Log admission (R8): what a log takes, what it refuses and why, and that nothing of what is refused stays.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod announcements;
#[path = "../common/mod.rs"]
mod common;
mod frames;
mod refused;
mod taken;

use common::member::{End, Member};
use common::{Disk, Fleet};
use schema::author::Author;
use schema::id::{ChangeHash, DocId, GenerationId, LogId, RecordHash};
use schema::policy::Policy;
use schema::record::{CommandName, Entry, Header, Previous, Skeleton};
use sha2::Digest;
use sync::admission::{Admitted, RecordWithBodies, Reject, Run, admit};
use sync::docs::standing::Cuts;
use sync::store::{Durability, Row, Source as _, Store, StoreError, Table};

/// The generation of the log that is held, to its third record.
const HELD: GenerationId = GenerationId([0x33; 16]);
/// One of which nothing is held.
const OTHER: GenerationId = GenerationId([0x44; 16]);
/// The hash of no record.
const NOBODY: RecordHash = RecordHash([1; 32]);

/// A store that holds three records of a member's log, the last two pinned at position 4, and the member.
struct Site {
    store: Store,
    policy: Policy,
    member: Member,
    /// The ends of the log after each of its records.
    ends: Vec<End>,
}

impl Site {
    fn new() -> Self {
        let fleet = Fleet::new(3);
        let policy = Policy::clone(fleet.sites[0].policy().unwrap());
        let (store, member) = (Disk::default().store(), Member::of(&fleet, 2));
        let mut site = Self { store, policy, member, ends: Vec::new() };
        let mut records = Vec::new();
        for (seq, position) in [(1, 3), (2, 4), (3, 4)] {
            site.member.pin.at.position = position;
            let previous = if seq == 1 { Previous::First } else { site.behind(seq as usize - 1) };
            let (record, end) = site.record(HELD, previous, seq);
            site.ends.push(end);
            records.push(record);
        }
        assert_eq!(site.admit(&site.member.run(records)), "stored 3");
        site
    }

    /// What comes of a run, in a word. The transaction ends as it would with the rest of a frame.
    fn admit(&mut self, run: &Run) -> String {
        let policy = &self.policy;
        let outcome = self.store.write(Durability::Derived, |writing| {
            Ok::<_, StoreError>(admit(writing, policy, &mut Cuts::default(), run))
        });
        match outcome.unwrap() {
            Ok(Admitted::Stored(count)) => format!("stored {count}"),
            Ok(Admitted::Known) => "known".into(),
            Ok(Admitted::Forked) => "forked".into(),
            Err(Reject::Size) => "size".into(),
            Err(Reject::Gap { have, from, .. }) => format!("gap {have} {from}"),
            Err(Reject::Chain { seq, .. }) => format!("chain {seq}"),
            Err(Reject::Header { .. }) => "header".into(),
            Err(Reject::Body { .. }) => "body".into(),
            Err(Reject::Signature { .. }) => "signature".into(),
            // The first two are said of a frame before its runs are put together.
            Err(other @ (Reject::Form(_) | Reject::Store(_))) => panic!("{other:?}"),
        }
    }

    /// Everything that is stored.
    fn rows(&self) -> Vec<(&'static str, Vec<Row>)> {
        let reading = self.store.read().unwrap();
        Table::ALL.iter().map(|table| (table.name(), reading.prefixed(*table, &[]).unwrap())).collect()
    }

    /// What follows the record with this seq.
    fn behind(&self, seq: usize) -> Previous {
        Previous::Record(self.ends[seq - 1].hash)
    }

    /// A record like no other of the tests in this place.
    fn record(&mut self, generation: GenerationId, previous: Previous, seq: u64) -> (RecordWithBodies, End) {
        self.member.record(generation, previous, seq, Author::Site, DocId([seq as u8; 32]), chunk(seq as u8))
    }

    /// A run of one record.
    fn one(&mut self, generation: GenerationId, previous: Previous, seq: u64) -> Run {
        let (record, _) = self.record(generation, previous, seq);
        self.member.run(vec![record])
    }

    /// A run of the record that goes on from the third, and one that follows it as `previous` says.
    fn pair(&mut self, previous: fn(RecordHash) -> Previous, seq: u64) -> Run {
        let (fourth, end) = self.record(HELD, self.behind(3), 4);
        let (other, _) = self.record(HELD, previous(end.hash), seq);
        self.member.run(vec![fourth, other])
    }

    /// Records that go on from the third, pinned at these positions, behind those that are held from this seq on.
    fn pinned(&mut self, from: usize, positions: &[u64]) -> Run {
        let (mut records, mut end) = (self.held(from, 3), self.ends[2]);
        for (seq, position) in (4..).zip(positions) {
            self.member.pin.at.position = *position;
            let (record, next) = self.record(HELD, Previous::Record(end.hash), seq);
            records.push(record);
            end = next;
        }
        self.member.run(records)
    }

    /// Records that go on from the third, each promising so many bytes and bringing none.
    fn promising(&mut self, lengths: &[usize]) -> Run {
        let (mut records, mut end) = (Vec::new(), self.ends[2]);
        for (seq, length) in (4..).zip(lengths) {
            let skeleton = skeleton(vec![entry(seq as u8, *length)]);
            let (record, next) = self.member.sealed(HELD, Previous::Record(end.hash), seq, skeleton, vec![None]);
            records.push(record);
            end = next;
        }
        self.member.run(records)
    }

    /// The first record of another generation, which follows this one.
    fn follows(&mut self, end: End) -> Run {
        self.one(OTHER, self.member.closing(end), 1)
    }

    /// The record that goes on from the third, as its author changes it before it signs.
    fn next(&mut self, change: impl FnOnce(&mut RecordWithBodies)) -> Run {
        let (mut record, _) = self.record(HELD, self.behind(3), 4);
        change(&mut record);
        let log = LogId { site: self.member.key.public(), generation: HELD, scope: self.member.scope };
        Run { log, ..self.member.run(vec![record]) }
    }

    /// The same with another header.
    fn header(&mut self, change: impl FnOnce(&mut Header)) -> Run {
        self.next(|next| change(&mut next.record.header))
    }

    /// The same with another skeleton, which its header names.
    fn skeleton(&mut self, change: impl FnOnce(&mut Skeleton)) -> Run {
        self.next(|next| {
            change(&mut next.record.skeleton);
            next.record.header.skeleton = next.record.skeleton.hash();
        })
    }

    /// The same with this skeleton and these bodies.
    fn with(&mut self, skeleton: Skeleton, bodies: Vec<Option<Vec<u8>>>) -> Run {
        self.next(|next| {
            next.record.header.skeleton = skeleton.hash();
            (next.record.skeleton, next.bodies) = (skeleton, bodies);
        })
    }

    /// The records that are held from this seq to that one.
    fn held(&self, from: usize, to: usize) -> Vec<RecordWithBodies> {
        let reading = self.store.read().unwrap();
        let id = LogId { site: self.member.key.public(), generation: HELD, scope: self.member.scope };
        let no = self.store.log_index().log(&reading, &id).unwrap().unwrap().no;
        let stored = |seq| sync::admission::stored(&reading, no, seq as u64).unwrap();
        (from..=to).map(|seq| sync::admission::with_bodies(&reading, stored(seq)).unwrap()).collect()
    }

    /// A run of them, signed at its end.
    fn again(&self, from: usize, to: usize) -> Run {
        self.member.run(self.held(from, to))
    }
}

/// Twenty bytes that are named as a change's are, whatever they say.
fn chunk(number: u8) -> Vec<u8> {
    let body = [number; 12];
    [&[0x85, 0x6f, 0x4a, 0x83], &sha2::Sha256::digest(body)[..4], &body].concat()
}

fn entry(number: u8, length: usize) -> Entry {
    Entry { doc: DocId([number; 32]), genesis: None, change: ChangeHash([number; 32]), length: length as u32 }
}

fn skeleton(entries: Vec<Entry>) -> Skeleton {
    Skeleton { entries, ..Skeleton::new(CommandName::Place, Author::Site) }
}

/// What is brought, how it is made, and what comes of it.
type Case = (&'static str, fn(&mut Site) -> Run, &'static str);

/// Each case on a store of its own. What is refused leaves every table as it was, and what is taken is taken once.
fn check(cases: &[Case]) {
    for (case, make, expected) in cases {
        let mut site = Site::new();
        let run = make(&mut site);
        let scope = site.member.scope;
        let before = (site.rows(), site.store.log_index().vector(&scope));
        assert_eq!(site.admit(&run), *expected, "{case}");
        let after = (site.rows(), site.store.log_index().vector(&scope));
        let Some(count) = expected.strip_prefix("stored ").and_then(|count| count.parse::<u64>().ok()) else {
            assert!(after == before, "{case}: nothing is stored, and nothing counted");
            continue;
        };
        let records = site.store.read().unwrap().count(Table::Records).unwrap();
        let arrivals = site.store.log_index().scope(&scope).arrivals;
        assert_eq!((records, arrivals), (3 + count, 3 + count), "{case}: each record stands once, and is counted");
        assert_eq!(site.admit(&run), "known", "{case}, once more");
        assert!(after.0 == site.rows(), "{case}, once more: nothing is stored");
    }
}
