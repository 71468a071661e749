//! Operations no document may hold, whatever its history.

use std::slice::from_ref;

use automerge::legacy::{Key, MarkData, ObjectId, Op, OpType};
use automerge::{ObjType, ScalarValue};

use super::{Case, case};
use crate::change::Reason;
use crate::change::tests::desk::{ANA, Desk, at, bytes, delete, erase, in_text, on_root, op, put};

pub(super) fn cases(desk: &Desk) -> Vec<Case> {
    let (text, a, b) = (at(2, ANA), at(3, ANA), at(4, ANA));
    let one = |op: Op| bytes(desk.bens(vec![op]));
    let string = OpType::Put(ScalarValue::Str("s".into()));
    let root = |key: Key, insert: bool| op(ObjectId::Root, key, insert, string.clone(), &[]);
    let mark = MarkData { name: "bold".into(), value: true.into(), expand: false };
    let typed = |value: ScalarValue| one(on_root("status", OpType::Put(value), &[]));
    vec![
        case("the root has map keys", Reason::ElementOnRoot, one(root(Key::head(), true))),
        case("no insert in the root", Reason::InsertOnRoot, one(root(Key::Map("status".into()), true))),
        case(
            "a Text has elements",
            Reason::MapKeyInText,
            one(op(ObjectId::Id(text.clone()), Key::Map("k".into()), false, string.clone(), &[])),
        ),
        case(
            "a Text is not overwritten",
            Reason::OverwriteInText,
            one(in_text(&text, Some(a.clone()), false, string.clone(), from_ref(&a))),
        ),
        case(
            "a Text holds strings",
            Reason::TextValueNotString,
            one(in_text(&text, None, true, OpType::Put(1.into()), &[])),
        ),
        case(
            "no object in a Text",
            Reason::ObjectInText,
            one(in_text(&text, None, true, OpType::Make(ObjType::Text), &[])),
        ),
        case(
            "no list in a Text",
            Reason::NestedObject,
            one(in_text(&text, None, true, OpType::Make(ObjType::List), &[])),
        ),
        case("no map on the root", Reason::NestedObject, one(on_root("comments", OpType::Make(ObjType::Map), &[]))),
        case("no mark in a Text", Reason::UnknownColumn, one(in_text(&text, None, true, OpType::MarkBegin(mark), &[]))),
        case("no increment", Reason::Increment, one(on_root("status", OpType::Increment(1), &[at(1, ANA)]))),
        case("no counter", Reason::CounterValue, typed(ScalarValue::Counter(1.into()))),
        case("no timestamp", Reason::TimestampValue, typed(ScalarValue::Timestamp(0))),
        case(
            "no unknown value",
            Reason::UnknownValueType,
            typed(ScalarValue::Unknown { type_code: 10, bytes: vec![1] }),
        ),
        case("a key of 300 bytes", Reason::KeyTooLong, one(put(&"k".repeat(300), "v", &[]))),
        case(
            "the head is no element",
            Reason::DeleteOfHead,
            one(in_text(&text, None, false, OpType::Delete, from_ref(&a))),
        ),
        case(
            "a delete inserts nothing",
            Reason::DeleteInserts,
            one(in_text(&text, Some(a.clone()), true, OpType::Delete, from_ref(&a))),
        ),
        case(
            "an insert inserts something",
            Reason::EmptyInsert,
            one(in_text(&text, None, true, OpType::Put(ScalarValue::Str("".into())), &[])),
        ),
        case(
            "an insert replaces nothing",
            Reason::InsertWithPredecessor,
            one(in_text(&text, Some(a.clone()), true, string.clone(), from_ref(&a))),
        ),
        case("a delete takes something", Reason::DeleteWithoutPredecessor, one(delete("status", &[]))),
        case("a delete in a Text takes something", Reason::DeleteWithoutPredecessor, one(erase(&text, a.clone(), &[]))),
        case("a predecessor once", Reason::PredecessorTwice, one(put("status", "v", &[at(1, ANA), at(1, ANA)]))),
        case(
            "a delete takes its element",
            Reason::PredecessorNotTheElement,
            one(erase(&text, a.clone(), from_ref(&b))),
        ),
        case("a delete takes one element", Reason::PredecessorNotTheElement, one(erase(&text, a.clone(), &[a, b]))),
    ]
}
