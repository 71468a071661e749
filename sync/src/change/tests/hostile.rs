//! Hostile changes, at least one for each reason, each naming the rule it breaks.

mod chunks;
mod columns;
mod envelopes;
mod references;
mod shapes;

use std::collections::BTreeSet;

use super::desk::{BEN, Desk};
use crate::change::mutation::raw::{Raw, seal};
use crate::change::varint::put_unsigned;
use crate::change::{Actor, Genesis, Reason, Verdict};

/// One hostile change: the rule it breaks, in words, the reason expected, and how it comes in.
struct Case {
    rule: &'static str,
    reason: Reason,
    chunk: Vec<u8>,
    author: Actor,
    genesis: Genesis,
}

fn case(rule: &'static str, reason: Reason, chunk: Vec<u8>) -> Case {
    Case { rule, reason, chunk, author: BEN, genesis: Genesis::No }
}

#[test]
fn each_rule_refuses_a_change_that_breaks_it() {
    let desk = Desk::new();
    assert!(matches!(desk.verdict(&desk.plain(), BEN, Genesis::No), Ok(Verdict::Applied(_))), "the honest one passes");
    let cases = [
        chunks::cases(&desk),
        columns::cases(&desk),
        shapes::cases(&desk),
        envelopes::cases(&desk),
        references::cases(&desk),
    ];
    let mut seen = BTreeSet::new();
    for Case { rule, reason, chunk, author, genesis } in cases.into_iter().flatten() {
        let found = desk.verdict(&chunk, author, genesis).unwrap_or_else(Verdict::Void);
        assert_eq!(found, Verdict::Void(reason), "{rule}");
        seen.insert(reason);
    }
    let missing: Vec<_> = Reason::ALL.iter().filter(|reason| !seen.contains(reason)).collect();
    assert_eq!(missing, [&Reason::PanicsOnDecode], "no bytes are known that reach a panic");
}

/// The plain change with its bytes taken apart and `edit`ed.
fn edited(desk: &Desk, edit: impl FnOnce(&mut Raw)) -> Vec<u8> {
    let mut raw = Raw::read(&desk.plain()).expect("honest bytes are well-formed");
    edit(&mut raw);
    raw.write()
}

fn tampered(desk: &Desk, edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = desk.plain();
    edit(&mut bytes);
    bytes
}

/// `value` as unsigned LEB128.
pub(super) fn number(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_unsigned(&mut bytes, value);
    bytes
}

#[test]
fn a_sealed_chunk_is_the_chunk() {
    let plain = Desk::new().plain();
    assert_eq!(Raw::read(&plain).expect("well-formed").write(), plain, "taking apart and putting together");
    assert_eq!(seal(plain.clone()), plain, "the checksum was right");
}
