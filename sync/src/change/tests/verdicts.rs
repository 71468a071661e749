//! Verdicts that are not about one hostile change: waiting, faults, ancestors, sizes at the caps.

use std::convert::Infallible;
use std::slice::from_ref;
use std::sync::Arc;
use std::time::Instant;

use automerge::{AutoCommit, ObjType, ROOT, transaction::Transactable};

use super::desk::{ANA, BEN, CLEO, DORA, Desk, add, at, bytes, change, delete, erase, insert, put};
use super::hostile::number;
use crate::change::limits::MAX_COUNTER;
use crate::change::mutation::raw::{Raw, put_signed};
use crate::change::{
    Actor, Facts, Genesis, Hash, History, JudgeError, MemoryHistory, Operation, Reason, Verdict, judge, parse, scan,
};

#[test]
fn a_change_waits_for_the_dependencies_nobody_has_yet() {
    let desk = Desk::new();
    let unknown = Hash([9; 32]);
    let chunk = bytes(change(BEN, 2, 9, &[desk.ben.hash, unknown], vec![put("status", "v", &[])]));
    assert_eq!(desk.verdict(&chunk, BEN, Genesis::No), Ok(Verdict::Waiting(vec![unknown])));
}

#[test]
fn what_no_history_can_mend_does_not_wait() {
    let desk = Desk::new();
    let chunk = bytes(change(BEN, 2, 9, &[Hash([9; 32])], vec![put("status", "v", &[])]));
    assert_eq!(desk.verdict(&chunk, CLEO, Genesis::No), Ok(Verdict::Void(Reason::ActorNotAuthor)));
}

#[test]
fn an_operation_that_is_held_but_no_ancestor_is_unknown() {
    // Cleo's "due" (9) is held; Ben's change does not depend on it. Once it does, the same words are right.
    let desk = Desk::new();
    let over = |start, dependencies: &[Hash]| {
        bytes(change(BEN, 2, start, dependencies, vec![put("due", "v", &[at(9, CLEO)])]))
    };
    assert_eq!(
        desk.verdict(&over(9, &[desk.ben.hash]), BEN, Genesis::No),
        Ok(Verdict::Void(Reason::ActorOfNoAncestor)),
        "a verdict asks ancestors, not what is held"
    );
    assert!(matches!(
        desk.verdict(&over(10, &[desk.ben.hash, desk.cleo.hash]), BEN, Genesis::No),
        Ok(Verdict::Applied(_))
    ));
}

#[test]
fn everything_a_document_may_hold_passes() {
    let desk = Desk::new();
    let (text, c) = (at(2, ANA), at(5, ANA));
    let operations = vec![
        put("status", "closed", &[at(1, ANA)]),
        delete("title", &[at(8, BEN)]),
        put("status", "open", &[at(11, BEN)]),
        put("status", "beside itself", &[]),
        delete("status", &[at(1, ANA), at(11, BEN), at(13, BEN)]),
        insert(&text, Some(at(3, ANA)), "after an element that Cleo deleted"),
        insert(&text, Some(at(16, BEN)), "b"),
        erase(&text, c.clone(), from_ref(&c)),
        erase(&text, c.clone(), &[c]),
        erase(&text, at(16, BEN), &[at(16, BEN)]),
        insert(&at(6, ANA), None, "👩‍👩‍👧‍👦"),
    ];
    let merged = [desk.ben.hash, desk.cleo.hash, desk.dora.hash];
    // Dora's place is operation 9, Cleo's due too: the next is 10, so that the ids above are shifted by none.
    let chunk = bytes(change(BEN, 2, 10, &merged, shifted(operations)));
    let verdict = desk.verdict(&chunk, BEN, Genesis::No);
    let Ok(Verdict::Applied(facts)) = verdict else { panic!("{verdict:?}") };
    assert_eq!((facts.seq, facts.start_op, facts.max_op), (2, 10, 20), "what later changes are judged by");
    assert_eq!(Facts::decode(&facts.encode()), Ok(facts));
}

/// The list above counts its own operations from 11 for the reader; the first is 10.
fn shifted(mut operations: Vec<automerge::legacy::Op>) -> Vec<automerge::legacy::Op> {
    let own = automerge::ActorId::from(BEN);
    let shift = |id: &automerge::legacy::OpId| {
        if *id.actor() == own && id.counter() > 10 { at(id.counter() - 1, BEN) } else { id.clone() }
    };
    for op in &mut operations {
        op.pred = op.pred.iter().map(shift).collect();
        if let automerge::legacy::Key::Seq(automerge::legacy::ElementId::Id(id)) = &op.key {
            op.key = automerge::legacy::ElementId::Id(shift(id)).into_key();
        }
    }
    operations
}

#[test]
fn no_flipped_bit_and_no_cut_passes() {
    // The checksum is among the bytes that must be equal, so whoever only damages a change is always refused.
    let desk = Desk::new();
    let plain = desk.plain();
    for bit in 0..plain.len() * 8 {
        let mut flipped = plain.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(parse(&flipped).is_err(), "bit {bit}");
    }
    for end in 0..plain.len() {
        assert!(parse(&plain[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn two_sites_may_create_alike_by_natural_key() {
    let mut history = MemoryHistory::default();
    let born = |actor| change(actor, 1, 1, &[], vec![put("name", "Ana", &[])]);
    let ana = super::desk::add(&mut history, born(ANA), ANA, Genesis::NaturalKey);
    let ben = super::desk::add(&mut history, born(BEN), BEN, Genesis::NaturalKey);
    let over = vec![put("name", "Ana Silva", &[at(1, ANA), at(1, BEN)])];
    super::desk::add(&mut history, change(CLEO, 1, 2, &[ana.hash, ben.hash], over), CLEO, Genesis::No);
}

/// A history that lost what its index promises.
struct Holed<'a>(&'a MemoryHistory, Actor);

impl History for Holed<'_> {
    type Error = Infallible;

    fn by_hash(&self, hash: &Hash) -> Result<Option<Arc<Facts>>, Infallible> {
        self.0.by_hash(hash)
    }

    fn by_seq(&self, actor: &Actor, seq: u64) -> Result<Option<Arc<Facts>>, Infallible> {
        if *actor == self.1 { Ok(None) } else { self.0.by_seq(actor, seq) }
    }

    fn last(&self, actor: &Actor) -> Result<Option<Arc<Facts>>, Infallible> {
        self.0.last(actor)
    }

    fn heads(&self) -> Result<Vec<Hash>, Infallible> {
        self.0.heads()
    }

    fn operations(&self, facts: &Facts) -> Result<Arc<[Operation]>, Infallible> {
        self.0.operations(facts)
    }
}

#[test]
fn a_hole_in_the_history_is_our_fault_and_voids_nothing() {
    let desk = Desk::new();
    let parsed = parse(&desk.plain()).unwrap();
    let verdict = judge(&parsed, BEN, Genesis::No, &Holed(&desk.history, ANA));
    assert_eq!(verdict, Err(JudgeError::Inconsistent { actor: ANA, seq: 1 }));
}

/// A document of one Text with `length` characters, as its genesis chunk, and the chunk that deletes them all.
fn paste_and_cut(length: usize) -> (Vec<u8>, Vec<u8>) {
    let mut document = AutoCommit::new().with_actor(ANA.into());
    let text = document.put_object(ROOT, "description", ObjType::Text).unwrap();
    document.splice_text(&text, 0, 0, &"é".repeat(length)).unwrap();
    document.commit();
    document.set_actor(BEN.into());
    document.splice_text(&text, 0, length as isize, "").unwrap();
    document.commit();
    let changes = document.get_changes(&[]);
    (changes[0].raw_bytes().to_vec(), changes[1].raw_bytes().to_vec())
}

#[test]
fn the_longest_paste_and_cut_pass_and_one_more_does_not() {
    let (paste, cut) = paste_and_cut(65_535);
    let mut history = MemoryHistory::default();
    for (chunk, author, genesis) in [(&paste, ANA, Genesis::Random), (&cut, BEN, Genesis::No)] {
        let start = Instant::now();
        let parsed = parse(chunk).unwrap();
        let decoded = start.elapsed();
        let Ok(Verdict::Applied(facts)) = judge(&parsed, author, genesis, &history) else { panic!("an honest edit") };
        let judged = start.elapsed() - decoded;
        println!("{} operations: parse {decoded:?}, judge {judged:?}", parsed.operations().len());
        history.insert(facts, &parsed);
    }
    let (paste, cut) = paste_and_cut(65_537);
    assert_eq!(scan(&paste).err(), Some(Reason::TooManyOperations), "65,538 operations");
    assert_eq!(scan(&cut).err(), Some(Reason::TooManyOperations), "65,537 operations");
}

#[test]
fn the_caps_are_the_last_that_passes() {
    let bomb = |operations: i64, key: &[u8]| {
        let mut raw = Raw::read(&bytes(change(ANA, 1, 1, &[], vec![put("k", "", &[])]))).unwrap();
        let run = |value: &[u8]| {
            let mut column = Vec::new();
            put_signed(&mut column, operations);
            column.extend_from_slice(value);
            column
        };
        *raw.column(0x15) = run(key);
        *raw.column(0x34) = number(operations.unsigned_abs());
        *raw.column(0x42) = run(&[1]);
        *raw.column(0x56) = run(&[0x06]);
        *raw.column(0x70) = run(&[0]);
        raw.write()
    };
    let longest = [&[0x80, 0x02][..], &[b'k'; 256]].concat();
    for key in [&[1, b'k'][..], &longest] {
        let at_cap = bomb(4_096, key);
        assert_eq!(scan(&at_cap).map(|scan| scan.root_operations()).ok(), Some(4_096));
        assert!(parse(&at_cap).is_ok(), "canonical, if odd");
        assert_eq!(scan(&bomb(4_097, key)).err(), Some(Reason::TooManyRootOperations));
    }
    assert_eq!(scan(&bomb(4_096, &longest)).map(|scan| scan.expanded_bytes()).ok(), Some(1 << 20));
}

#[test]
fn a_document_has_a_bounded_number_of_operations() {
    // Not bounded by how many sites edit it, or for how long: 5,000 authors are fine.
    let mut desk = Desk::new();
    let author = |number: u32| {
        let mut id = [0xf0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        Actor(id)
    };
    let mut heads = vec![desk.ben.hash];
    for number in 0..5_000 {
        let key = format!("key{number}");
        let theirs = change(author(number), 1, 8, &[desk.genesis.hash], vec![put(&key, "v", &[])]);
        heads.push(add(&mut desk.history, theirs, author(number), Genesis::No).hash);
    }
    let over = change(BEN, 2, 9, &heads, vec![put("status", "v", &[at(1, ANA)])]);
    let over = add(&mut desk.history, over, BEN, Genesis::No);
    // The last operation that a document may have, and the one after it.
    let far = Facts { start_op: MAX_COUNTER - 1, max_op: MAX_COUNTER - 1, ..over };
    assert!(Facts::decode(&far.encode()).is_ok(), "so far it is kept");
    let last = bytes(change(BEN, 3, MAX_COUNTER, &[far.hash], vec![put("status", "v", &[at(9, BEN)])]));
    assert!(parse(&last).is_ok(), "the last one");
    let beyond = bytes(change(BEN, 3, MAX_COUNTER + 1, &[far.hash], vec![put("status", "v", &[at(9, BEN)])]));
    assert_eq!(parse(&beyond).err(), Some(Reason::LastOperationTooHigh), "a document that outgrows it has a successor");
}

#[test]
fn an_ancestor_is_told_from_what_is_only_held_however_the_graph_branches() {
    // Ben and Cleo each go on alone for a while; then Dora sees Ben's half only. What she may name is his.
    let mut desk = Desk::new();
    let (mut ben, mut cleo) = (desk.ben.hash, desk.cleo.hash);
    for step in 0..40u64 {
        let put_over = |by, last| vec![put("title", "t", &[at(last, by)])];
        let bens = change(BEN, 2 + step, 9 + step, &[ben], put_over(BEN, 8 + step));
        ben = add(&mut desk.history, bens, BEN, Genesis::No).hash;
        let over = if step == 0 {
            vec![put("due", "t", &[at(9, CLEO)])]
        } else {
            vec![put("due", "t", &[at(9 + step, CLEO)])]
        };
        let cleos = change(CLEO, 2 + step, 10 + step, &[cleo], over);
        cleo = add(&mut desk.history, cleos, CLEO, Genesis::No).hash;
    }
    let dora = |naming| bytes(change(DORA, 2, 49, &[desk.dora.hash, ben], vec![put("title", "d", &[naming])]));
    assert!(matches!(desk.verdict(&dora(at(48, BEN)), DORA, Genesis::No), Ok(Verdict::Applied(_))));
    assert_eq!(
        desk.verdict(&dora(at(9, CLEO)), DORA, Genesis::No),
        Ok(Verdict::Void(Reason::ActorOfNoAncestor)),
        "Cleo wrote in this document, and Dora had not seen it"
    );
}
