//! What forks of a member cost honest sites, and that each can be proven (R20): however a key in other hands signs its
//! histories, sites that hold different ones come to the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use common::member::{End, Member};
use common::Fleet;
use schema::author::Author;
use schema::fork::{Branch, ForkProof, MAX_BRANCH_HEADERS};
use schema::id::{CommandId, GenerationId};
use schema::identity::Purpose;
use schema::record::{CommandName, Previous, Skeleton};
use sync::admission::{NO_SIGNATURE, RecordWithBodies, Run};
use sync::replica::Alarm;
use sync::wire::{Message, encode};

const HELD: GenerationId = GenerationId([0x33; 16]);

/// A record that changes nothing, behind `previous`.
fn empty(member: &mut Member, previous: Previous, seq: u64, word: u8) -> (RecordWithBodies, End) {
    let skeleton = Skeleton::new(CommandName::Given(CommandId([word; 8])), Author::Site);
    member.sealed(HELD, previous, seq, skeleton, Vec::new())
}

/// As many headers behind a record, the last of which alone is signed.
fn branch(member: &mut Member, after: End, word: u8, length: usize) -> Branch {
    let (mut headers, mut end) = (Vec::new(), after);
    for _ in 0..length {
        let (record, next) = empty(member, Previous::Record(end.hash), end.seq + 1, word);
        headers.push(record.record.header);
        end = next;
    }
    Branch { headers, signature: member.key.sign(Purpose::Record, &end.hash.0) }
}

/// A history of one record, which its site never signed: it stands where a fork ends the log, whose proof is as long as one
/// may be. Answers with the proof and the record.
fn unsigned_history(member: &mut Member, after: End, word: u8) -> [Vec<u8>; 2] {
    let (record, end) = empty(member, Previous::Record(after.hash), after.seq + 1, word);
    let branches = [1, 2].map(|other| branch(member, end, word + other, MAX_BRANCH_HEADERS));
    let [one, other] = branches;
    let run = Run { signature: NO_SIGNATURE, ..member.run(vec![record]) };
    [encode(&Message::Fork(ForkProof::new(one, other))), member.frame(&[run])]
}

/// The last record before a fork needs no signature of its own. A history that parts before it has none either, and the
/// proof of that fork is as long as one may be already: it ends where the other one says.
#[test]
fn r20_every_history_that_is_admitted_can_be_proven() {
    let mut fleet = Fleet::new(4);
    let mut member = Member::of(&fleet, 2);
    let now = fleet.now;
    let (first, end) = empty(&mut member, Previous::First, 1, 1);
    let common = member.frame(&[member.run(vec![first])]);
    for (site, word) in [(0, 10), (1, 20)] {
        let [proof, run] = unsigned_history(&mut member, end, word);
        let (alarms, closed) = member.visit(&mut fleet.sites[site], now, &[common.clone(), proof, run]);
        assert_eq!(closed, None, "an end that a fork proves is taken without a signature");
        assert_eq!(alarms, [Alarm::Forked(fleet.id(2))]);
    }
    for _ in 0..3 {
        fleet.meet(0, 1);
    }
    fleet.agree_on(&[0, 1]);
    // Whoever comes last gets the proofs in an order in which each can be checked.
    for _ in 0..2 {
        fleet.meet(1, 3);
    }
    fleet.agree_on(&[0, 1, 3]);
    assert_eq!(fleet.closed, [], "nobody who passes them on is to blame");
    let is_fork = |(_, alarm): &(usize, Alarm)| *alarm == Alarm::Forked(fleet.id(2));
    assert!(fleet.alarms.iter().all(is_fork), "{:?}", fleet.alarms);
    for site in [0, 1, 3] {
        let report = sync::verify::verify(&fleet.sites[site].read().unwrap(), fleet.sites[site].authority()).unwrap();
        assert_eq!(report.faults, Vec::<String>::new(), "at {site}");
        assert_eq!(fleet.sites[site].store().log_index().forks().in_scope(fleet.scope()).count(), 3);
    }
}
