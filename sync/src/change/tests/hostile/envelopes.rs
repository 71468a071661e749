//! Envelopes that do not fit: the author, the genesis, the ancestors.

use super::{Case, case, edited};
use crate::change::tests::desk::{ANA, BEN, CLEO, Desk, NOBODY, at, bytes, change, make, put};
use crate::change::{Genesis, Reason};

pub(super) fn cases(desk: &Desk) -> Vec<Case> {
    let status = || vec![put("status", "v", &[at(1, ANA)])];
    let (genesis, ben, cleo) = (desk.genesis.hash, desk.ben.hash, desk.cleo.hash);
    let bens = |seq, start, dependencies: &[_]| bytes(change(BEN, seq, start, dependencies, status()));
    let first = |seq, start, ops| bytes(change(BEN, seq, start, &[], ops));
    let born = |rule, reason, chunk, genesis| Case { rule, reason, chunk, author: BEN, genesis };
    let fresh = || vec![put("status", "v", &[])];
    let descending = edited(desk, |raw| {
        raw.dependencies = vec![ben.0.max(cleo.0), ben.0.min(cleo.0)];
    });
    let twice = edited(desk, |raw| raw.dependencies.push(raw.dependencies[0]));
    vec![
        case("dependencies are sorted", Reason::DependenciesNotSorted, descending),
        case("dependencies once", Reason::DependenciesNotSorted, twice),
        case("seq from 1", Reason::SeqOutOfRange, edited(desk, |raw| raw.seq = 0)),
        case("seq to 2^31", Reason::SeqOutOfRange, edited(desk, |raw| raw.seq = u64::MAX)),
        case("operations from 1", Reason::LastOperationTooHigh, edited(desk, |raw| raw.start_op = 0)),
        case("operations to 2^21 - 1", Reason::LastOperationTooHigh, edited(desk, |raw| raw.start_op = 1 << 21)),
        case("operations to 2^64", Reason::LastOperationTooHigh, edited(desk, |raw| raw.start_op = u64::MAX)),
        Case { author: CLEO, ..case("the actor is the author's", Reason::ActorNotAuthor, desk.plain()) },
        born("a genesis depends on nothing", Reason::GenesisWithDependencies, desk.plain(), Genesis::Random),
        born("a genesis is a first change", Reason::GenesisSeq, first(2, 1, fresh()), Genesis::Random),
        born("a genesis starts at 1", Reason::GenesisStart, first(1, 2, fresh()), Genesis::NaturalKey),
        case("only a genesis depends on nothing", Reason::NoDependencies, first(1, 1, fresh())),
        case("Texts are made by the genesis", Reason::TextOutsideGenesis, bytes(desk.bens(vec![make("more", &[])]))),
        born(
            "no Text with a natural key",
            Reason::TextWithNaturalKey,
            first(1, 1, vec![make("more", &[])]),
            Genesis::NaturalKey,
        ),
        case("no gap in seq", Reason::WrongSeq, bens(3, 9, &[ben])),
        case("no seq twice", Reason::WrongSeq, bens(1, 9, &[ben])),
        case("a first change has seq 1", Reason::WrongSeq, bens(2, 8, &[genesis])),
        case("the first operation is the next", Reason::WrongStart, bens(2, 10, &[ben])),
        case("the first operation is the next of all", Reason::WrongStart, bens(2, 9, &[ben, cleo])),
        Case {
            author: NOBODY,
            ..case("operations of ancestors alone", Reason::ActorOfNoAncestor, {
                bytes(change(NOBODY, 1, 9, &[ben], vec![put("due", "v", &[at(9, CLEO)])]))
            })
        },
        case(
            "an actor who never wrote",
            Reason::ActorOfNoAncestor,
            bytes(desk.bens(vec![put("due", "v", &[at(8, NOBODY)])])),
        ),
        case("one's previous change is a dependency itself", Reason::PreviousNotADependency, hidden_previous(desk)),
    ]
}

/// Ben's second change over Dora's, which is over his first: an ancestor, but not a dependency.
fn hidden_previous(desk: &Desk) -> Vec<u8> {
    bytes(change(BEN, 2, 10, &[desk.dora.hash], vec![put("status", "v", &[at(1, ANA)])]))
}
