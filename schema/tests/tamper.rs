//! Every byte of what is signed matters: flipped, it is refused, and the test says by what.

mod common;

use std::collections::BTreeMap;

use common::{fork, frontier, records, secret, user};
use schema::authority::{AuthorityRef, Body, Signed};
use schema::codec::Canonical;
use schema::fork::{Branch, ForkError, ForkProof, NO_SIGNATURE};
use schema::frontier::SignedFrontier;
use schema::id::{LogId, RecordHash};
use schema::identity::{Purpose, Secret, Signature, organisation, verify};
use schema::policy::AuthorityLog;
use schema::record::Record;
use schema::time::Hlc;

/// What stops a flipped record; `None` if nothing does.
fn stopped_by(bytes: &[u8], signature: &Signature) -> Option<&'static str> {
    let Ok(record) = Record::from_bytes(bytes) else {
        return Some("does not decode");
    };
    if record.header.skeleton != record.skeleton.hash() {
        return Some("skeleton is not the one named");
    }
    let genuine = verify(&record.header.log.site, Purpose::Record, &record.hash().0, signature);
    (!genuine).then_some("signature is not over this")
}

#[test]
fn no_bit_of_a_record_can_be_flipped() {
    for (name, record) in records() {
        let bytes = record.to_bytes();
        assert_eq!(Record::from_bytes(&bytes).as_ref(), Ok(&record), "{name} is read back as written");
        let signature = secret().sign(Purpose::Record, &record.hash().0);
        assert_eq!(stopped_by(&bytes, &signature), None, "{name} itself is genuine");
        let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let stop = stopped_by(&flipped, &signature);
                assert!(stop.is_some(), "{name}: bit {bit} of byte {at} changed nothing that anybody checks");
                *outcomes.entry(stop.unwrap_or_default()).or_default() += 1;
            }
        }
        println!("{name}, {} bytes: {outcomes:?}", bytes.len());
    }
}

#[test]
fn no_bit_of_a_statement_can_be_flipped() {
    let (root, sequencer) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
    let org = organisation(&root.public());
    let genesis = Body::Genesis { name: "Test".into(), root: root.public(), sequencer: sequencer.public() };
    let first = Signed::new(org, AuthorityRef { epoch: 1, position: 0 }, [0; 32], Hlc(1), &genesis, &root);
    let user = Body::User(user());
    let at = AuthorityRef { epoch: 1, position: 1 };
    let second = Signed::new(org, at, first.statement.hash(), Hlc(2), &user, &sequencer);
    let mut log = AuthorityLog::default();
    log.push(&first).expect("the first statement stands");
    log.clone().push(&second).expect("the second statement stands");
    let bytes = second.to_bytes();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let refused = match Signed::from_bytes(&flipped) {
                Ok(signed) => log.clone().push(&signed).is_err(),
                Err(_) => true,
            };
            assert!(refused, "bit {bit} of byte {at} changed nothing that anybody checks");
        }
    }
}

#[test]
fn no_bit_of_the_proof_of_a_fork_can_be_flipped() {
    let bytes = fork().to_bytes();
    let proven = fork().verify(|_, _, _| false).expect("the proof proves a fork");
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let refused = ForkProof::from_bytes(&flipped).is_ok_and(|proof| proof.verify(|_, _, _| false).is_err());
            let unread = ForkProof::from_bytes(&flipped).is_err();
            assert!(refused || unread, "bit {bit} of byte {at} changed nothing that anybody checks");
        }
    }
    // Histories that only look like two prove nothing.
    let [one, other] = fork().branches;
    assert_eq!(
        ForkProof { branches: [one.clone(), one.clone()] }.verify(|_, _, _| false),
        Err(ForkError::Place),
        "one history"
    );
    assert_eq!(
        ForkProof { branches: [other.clone(), one.clone()] }.verify(|_, _, _| false),
        Err(ForkError::Place),
        "in another order"
    );
    let long = [&one, &other].into_iter().find(|branch| branch.headers.len() > 1).expect("one has two headers");
    let mut later = long.clone();
    later.headers.remove(0);
    assert_eq!(
        ForkProof::new(later, long.clone()).verify(|_, _, _| false),
        Err(ForkError::Place),
        "two parts of one history"
    );
    assert_eq!(proven.last, 4, "the last in common");
}

/// Unsigned headers prove something only where they end at a fork that is known, and nothing else makes up for a signature.
#[test]
fn an_unsigned_history_is_as_good_as_the_fork_at_which_it_ends() {
    let [one, other] = fork().branches;
    let last = one.headers.last().expect("a branch has headers").clone();
    let unsigned = ForkProof::new(Branch { signature: NO_SIGNATURE, ..one }, other);
    assert_eq!(unsigned.verify(|_, _, _| false), Err(ForkError::Unproven));
    let is_end = |log: &LogId, seq, hash: &RecordHash| (log, seq, *hash) == (&last.log, last.seq, last.hash());
    assert_eq!(unsigned.verify(is_end), fork().verify(|_, _, _| false), "the same fork");
}

#[test]
fn no_bit_of_a_frontier_announcement_can_be_flipped() {
    let bytes = frontier().to_bytes();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let refused = SignedFrontier::from_bytes(&flipped).map_or(true, |signed| !signed.is_genuine());
            assert!(refused, "bit {bit} of byte {at} changed nothing that anybody checks");
        }
    }
}
