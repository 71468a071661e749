//! Columns: layout, run lengths, bombs, types.

use super::{Case, case, edited, number};
use crate::change::Reason;
use crate::change::mutation::raw::put_signed;
use crate::change::tests::desk::Desk;

pub(super) fn cases(desk: &Desk) -> Vec<Case> {
    let with = |id: u64, bytes: &[u8]| edited(desk, |raw| *raw.column(id) = bytes.to_vec());
    let run = |length: i64, value: &[u8]| {
        let mut column = Vec::new();
        put_signed(&mut column, length);
        column.extend_from_slice(value);
        column
    };
    let key = |length: u8| [&[0x7f, length | 0x80, 2][..], &vec![b'k'; usize::from(length) + 256]].concat();
    vec![
        case("at least one operation", Reason::NoOperations, edited(desk, |raw| raw.columns.clear())),
        case("no column of marks", Reason::UnknownColumn, with(0x94, &[0, 1])),
        case("no compressed column", Reason::UnknownColumn, edited(desk, |raw| raw.columns[0].0 |= 8)),
        case("columns ascend", Reason::ColumnOrder, edited(desk, |raw| raw.columns.swap(0, 1))),
        case("each column once", Reason::ColumnOrder, edited(desk, |raw| raw.columns.push(raw.columns[0].clone()))),
        case("inserts are said", Reason::MissingColumn, edited(desk, |raw| raw.columns.retain(|(id, _)| *id != 0x34))),
        case("values are said", Reason::MissingColumn, edited(desk, |raw| raw.columns.retain(|(id, _)| *id != 0x56))),
        case("no run of nothing", Reason::BrokenColumn, with(0x34, &[1, 0])),
        case("no null where a value must be", Reason::BrokenColumn, with(0x42, &[0, 1])),
        case("runs are minimal numbers", Reason::BrokenColumn, with(0x42, &[0x81, 0x00, 1])),
        case("columns of equal length", Reason::ColumnLength, with(0x34, &[2])),
        case("as many predecessors as said", Reason::ColumnLength, with(0x70, &[0x7f, 2])),
        case("values as long as said", Reason::ValueLength, edited(desk, |raw| raw.column(0x57).push(b'x'))),
        case("a bomb of operations", Reason::TooManyOperations, with(0x42, &run(10_000_000, &[1]))),
        case("one operation too many", Reason::TooManyOperations, with(0x42, &run(65_537, &[1]))),
        case("one too many on the root", Reason::TooManyRootOperations, with(0x42, &run(4_097, &[1]))),
        case("a bomb of predecessors", Reason::TooManyPredecessors, with(0x70, &run(1, &number(10_000_000)))),
        case("a bomb of values", Reason::ExpandsTooFar, with(0x56, &run(1, &number((5 << 20 << 4) | 6)))),
        case("an actor index in the table", Reason::ActorIndex, with(0x71, &[0x7f, 2])),
        case("operations from 1", Reason::CounterOutOfRange, with(0x73, &[0x7f, 0])),
        case("no negative operation", Reason::CounterOutOfRange, with(0x73, &[0x7f, 0x7f])),
        case("operations to 2^31", Reason::CounterOutOfRange, with(0x73, &run(-1, &[0x81, 0x80, 0x80, 0x80, 0x08]))),
        case("no map in a map", Reason::NestedObject, with(0x42, &[0x7f, 0])),
        case("no list in a map", Reason::NestedObject, with(0x42, &[0x7f, 2])),
        case("no counters: increment", Reason::Increment, with(0x42, &[0x7f, 5])),
        case("no marks", Reason::Mark, with(0x42, &[0x7f, 7])),
        case("known actions", Reason::UnknownAction, with(0x42, &[0x7f, 8])),
        case("no counters: value", Reason::CounterValue, with(0x56, &[0x7f, 0x68])),
        case("no timestamps", Reason::TimestampValue, with(0x56, &[0x7f, 0x69])),
        case("known value types", Reason::UnknownValueType, with(0x56, &[0x7f, 0x6a])),
        case("a key is not empty", Reason::EmptyKey, with(0x15, &[0x7f, 0])),
        case("a key of 257 bytes", Reason::KeyTooLong, with(0x15, &key(1))),
        case("a key is UTF-8", Reason::DoesNotParse, with(0x15, &[0x7f, 1, 0xff])),
        case("a string is UTF-8", Reason::DoesNotParse, edited(desk, |raw| raw.column(0x57)[0] = 0xff)),
        case("one value is a literal", Reason::NotCanonical, with(0x42, &[1, 1])),
        case("null has no bytes", Reason::NotCanonical, with(0x56, &[0x7f, 0x60])),
        case("no empty column", Reason::NotCanonical, with(0x01, &[0, 1])),
    ]
}
