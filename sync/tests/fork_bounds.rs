//! What forks of a member cost honest sites, and that each can be proven (R20): however a key in other hands signs its
//! histories, sites that hold different ones come to the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use common::Fleet;
use common::member::{End, Member};
use schema::fork::{Branch, ForkProof, MAX_BRANCH_HEADERS};
use schema::id::{GenerationId, RecordHash};
use schema::identity::Purpose;
use schema::record::Previous;
use schema::time::Timestamp;
use sync::admission::{NO_SIGNATURE, Run};
use sync::limits::{FORKS_TOLD_AT_PACE, FREE_GENERATIONS};
use sync::replica::Alarm;
use sync::wire::{Message, encode};

const HELD: GenerationId = GenerationId([0x33; 16]);

/// How many forks a site knows.
fn forks(fleet: &Fleet, site: usize) -> usize {
    fleet.sites[site].store().log_index().forks().in_scope(fleet.scope()).count()
}

/// As many headers behind a record, the last of which alone is signed.
fn branch(member: &mut Member, after: End, word: u8, length: usize) -> Branch {
    let (mut headers, mut end) = (Vec::new(), after);
    for _ in 0..length {
        let (record, next) = member.empty(end.generation, Previous::Record(end.hash), end.seq + 1, word);
        headers.push(record.record.header);
        end = next;
    }
    Branch { headers, signature: member.key.sign(Purpose::Record, &end.hash.0) }
}

/// A history of one record, which its site never signed: it stands where a fork ends the log, whose proof is as long as one
/// may be. Answers with the proof and the record.
fn unsigned_history(member: &mut Member, after: End, word: u8) -> [Vec<u8>; 2] {
    let (record, end) = member.empty(HELD, Previous::Record(after.hash), after.seq + 1, word);
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
    let (first, end) = member.empty(HELD, Previous::First, 1, 1);
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
        assert_eq!(forks(&fleet, site), 3);
    }
}

/// Of a member's forks beyond the 64th a site finds one a minute, and one more that something builds on. What others have
/// found is taken faster: whoever sends an honest edit that builds on all of them does not know them last.
#[test]
fn r20_a_proof_that_a_peer_tells_whole_has_a_pace_of_its_own() {
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
    let shown = |fleet: &Fleet| fleet.view(1, &doc).and_then(|view| view.text("impact").map(str::to_owned));
    let mut minutes = 0;
    while shown(&fleet).is_none() && minutes < 60 {
        fleet.talk([0, 1], 60);
        minutes += 1;
    }
    assert!(minutes <= 20, "36 forks too many, two of them found a minute: {minutes} minutes");
    for site in [0, 1] {
        assert_eq!(forks(&fleet, site), 100, "neither lags behind the other, at {site}");
    }
}

/// What a peer tells has a bound as well, and the site whose forks they are is not let push them at that pace.
#[test]
fn r20_proofs_that_are_told_whole_are_bounded() {
    for (teller, beyond) in [(3, FORKS_TOLD_AT_PACE + 1), (2, 1)] {
        let mut fleet = Fleet::new(4);
        let mut member = Member::of(&fleet, 2);
        let frames: Vec<Vec<u8>> = (0..120u8)
            .map(|number| {
                let end = End { generation: GenerationId([number; 16]), seq: 5, hash: RecordHash([9; 32]) };
                let [one, other] = [1, 2].map(|word| branch(&mut member, end, word, 1));
                encode(&Message::Fork(ForkProof::new(one, other)))
            })
            .collect();
        let mut teller = Member::of(&fleet, teller);
        for minute in 0..2 {
            let now = Timestamp(fleet.now.0 + 60_000 * minute as u64);
            assert_eq!(teller.visit(&mut fleet.sites[0], now, &frames).1, None);
            assert_eq!(forks(&fleet, 0), FREE_GENERATIONS + beyond * (1 + minute), "after {minute} minutes");
        }
    }
}
