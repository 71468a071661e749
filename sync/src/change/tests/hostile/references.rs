//! Operations that refer to what is not there, or is something else.

use std::slice::from_ref;

use automerge::legacy::Op;

use super::{Case, case};
use crate::change::Reason;
use crate::change::tests::desk::{ANA, BEN, Desk, at, bytes, delete, erase, insert, put};

pub(super) fn cases(desk: &Desk) -> Vec<Case> {
    let (text, notes, a) = (at(2, ANA), at(6, ANA), at(3, ANA));
    let ops = |operations: Vec<Op>| bytes(desk.bens(operations));
    let one = |op: Op| ops(vec![op]);
    let over = |counter, id| put("title", "v", &[at(counter, id)]);
    vec![
        case("a Text that exists", Reason::TextUnknown, one(insert(&at(99, ANA), None, "v"))),
        case("a Text made earlier", Reason::TextUnknown, one(insert(&at(9, BEN), None, "v"))),
        case("a put is no Text", Reason::NotAGenesisText, one(insert(&at(1, ANA), None, "v"))),
        case("an insert is no Text", Reason::NotAGenesisText, one(insert(&a, None, "v"))),
        case("an element that exists", Reason::ElementUnknown, one(insert(&text, Some(at(99, ANA)), "v"))),
        case("an element made earlier", Reason::ElementUnknown, one(insert(&text, Some(at(9, BEN)), "v"))),
        case("an element made later", Reason::ElementUnknown, {
            ops(vec![insert(&text, Some(at(10, BEN)), "v"), insert(&text, None, "v")])
        }),
        case("an element of the same Text", Reason::ElementElsewhere, one(insert(&notes, Some(a.clone()), "v"))),
        case("a delete in the same Text", Reason::ElementElsewhere, one(erase(&notes, a.clone(), from_ref(&a)))),
        case("a put is no element", Reason::ElementElsewhere, one(insert(&text, Some(at(1, ANA)), "v"))),
        case("a Text is no element of itself", Reason::ElementElsewhere, one(insert(&text, Some(text.clone()), "v"))),
        case("a deletion is no element", Reason::ElementElsewhere, {
            ops(vec![erase(&text, a.clone(), from_ref(&a)), insert(&text, Some(at(9, BEN)), "v")])
        }),
        case("a predecessor that exists", Reason::PredecessorUnknown, one(over(99, ANA))),
        case("a predecessor in no gap", Reason::PredecessorUnknown, one(over(3, BEN))),
        case("not its own predecessor", Reason::PredecessorUnknown, one(over(9, BEN))),
        case("a predecessor on the same key", Reason::PredecessorElsewhere, one(over(1, ANA))),
        case(
            "an earlier one on the same key",
            Reason::PredecessorElsewhere,
            ops(vec![put("x", "v", &[]), over(9, BEN)]),
        ),
        case("a delete on the same key", Reason::PredecessorElsewhere, one(delete("due", &[at(8, BEN)]))),
        case("a Text is not overwritten", Reason::PredecessorNotAPut, one(put("description", "v", from_ref(&text)))),
        case("a Text is not deleted", Reason::PredecessorNotAPut, one(delete("description", &[text]))),
        case("a delete is no predecessor", Reason::PredecessorNotAPut, {
            ops(vec![delete("title", &[at(8, BEN)]), over(9, BEN)])
        }),
        case("an insert is no predecessor", Reason::PredecessorNotAPut, one(over(3, ANA))),
    ]
}
