//! The life of a ticket: which moves are legal, and the state that a set of moves gives, in whatever order they are heard.

#[path = "common/history.rs"]
mod history;

use std::collections::BTreeSet;

use history::{History, permutations};
use schema::doc::Value;
use schema::ticket::status::{State, Status, derive, derive_of};

use Status::{Cancelled, Closed, InProgress, New, Pending, Resolved};

/// From each status (row) to which it may go (column).
const MOVES: &str = "
                new   in_progress   pending   resolved   closed   cancelled
    new          .         x           x         x          x         x
    in_progress  .         .           x         x          x         x
    pending      .         x           .         x          x         x
    resolved     .         x           x         .          x         .
    closed       .         x           x         .          .         .
    cancelled    .         x           .         .          .         .
";

#[test]
fn the_moves_are_those_of_the_table() {
    let mut rows = MOVES.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(|row| !row.is_empty());
    let columns = rows.next().expect("the table has a head");
    let status = |word: &str| Status::from_word(word).expect("a status");
    let mut froms = Vec::new();
    for row in rows {
        let from = status(row[0]);
        froms.push(from);
        for (to, cell) in columns.iter().zip(&row[1..]) {
            let to = status(to);
            assert_eq!(from.next().contains(&to), *cell == "x", "{from} to {to}");
        }
        let moves = from.next();
        assert_eq!(moves.len(), row.iter().filter(|cell| **cell == "x").count(), "{from}: each move is listed once");
    }
    assert_eq!(froms, Status::ALL, "every status has its row");
}

#[test]
fn statuses_have_the_words_of_the_format() {
    let table = [
        (New, "new", true),
        (InProgress, "in_progress", true),
        (Pending, "pending", true),
        (Resolved, "resolved", false),
        (Closed, "closed", false),
        (Cancelled, "cancelled", false),
    ];
    assert_eq!(table.map(|(status, ..)| status), Status::ALL, "in the order of a ticket's life");
    for (status, word, is_open) in table {
        assert_eq!((status.word(), status.is_open()), (word, is_open));
        assert_eq!(Status::from_word(word), Some(status), "a word is read back");
        assert!(status.next().iter().any(|next| next.is_open()) || status.is_open(), "{status} can be worked on again");
    }
    for other in ["", "New", "open", "in progress", "new ", "pending>closed"] {
        assert_eq!(Status::from_word(other), None, "{other:?} is no status");
    }
}

/// Status, where the conflicting moves lead, and how often it was reopened.
fn summary(state: &State) -> (Status, Vec<Status>, u32) {
    (state.status, state.conflict.iter().map(|transition| transition.to).collect(), state.reopened)
}

#[test]
fn a_sequence_leads_where_its_last_move_does() {
    let cases: [(&[Status], u32); 7] = [
        (&[New], 0),
        (&[New, InProgress], 0),
        (&[New, InProgress, Pending, InProgress, Resolved, Closed], 0),
        (&[New, Resolved, InProgress], 1),
        (&[New, Closed, Pending, Resolved, InProgress, Closed], 2),
        (&[New, Cancelled, InProgress, Cancelled, InProgress], 2),
        // Finished and finished otherwise reopens nothing.
        (&[New, Resolved, Closed], 0),
    ];
    for (path, reopened) in cases {
        let mut history = History::default();
        for (at, pair) in path.windows(2).enumerate() {
            let before: Vec<usize> = at.checked_sub(1).into_iter().collect();
            history.moves(&format!("{at:016x}"), pair[0], pair[1], &before);
        }
        let state = derive(&history.view());
        let last = path.last().copied().expect("a path begins");
        assert_eq!(summary(&state), (last, vec![], reopened), "{path:?}");
        assert_eq!(state.last.map(|last| last.by), path.len().checked_sub(2), "{path:?}: the last move is told");
    }
}

/// Moves as `(from, to, what it saw)`, by number; then where they lead, what conflicts, how often it was reopened.
type Case<'a> = (&'a str, &'a [(Status, Status, &'a [usize])], (Status, &'a [Status], u32));

const CASES: &[Case<'_>] = &[
    ("two that agree", &[(New, Resolved, &[]), (New, Resolved, &[])], (Resolved, &[], 0)),
    ("two that disagree", &[(New, Pending, &[]), (New, Resolved, &[])], (Resolved, &[Pending, Resolved], 0)),
    (
        "three that disagree",
        &[(New, Pending, &[]), (New, Resolved, &[]), (New, Cancelled, &[])],
        (Cancelled, &[Pending, Resolved, Cancelled], 0),
    ),
    (
        "three, two of which agree",
        &[(New, Pending, &[]), (New, Resolved, &[]), (New, Pending, &[])],
        (Pending, &[Pending, Resolved, Pending], 0),
    ),
    (
        "four that disagree",
        &[(New, Pending, &[]), (New, Resolved, &[]), (New, Cancelled, &[]), (New, InProgress, &[])],
        (InProgress, &[Pending, Resolved, Cancelled, InProgress], 0),
    ),
    (
        "four that agree",
        &[(New, Closed, &[]), (New, Closed, &[]), (New, Closed, &[]), (New, Closed, &[])],
        (Closed, &[], 0),
    ),
    ("the second saw the first", &[(New, Pending, &[]), (Pending, Resolved, &[0])], (Resolved, &[], 0)),
    (
        "one saw the first, one did not",
        &[(New, Pending, &[]), (Pending, InProgress, &[0]), (New, Resolved, &[])],
        (Resolved, &[InProgress, Resolved], 0),
    ),
    (
        "a conflict settled by a later one",
        &[(New, Pending, &[]), (New, Resolved, &[]), (Resolved, Closed, &[0, 1])],
        (Closed, &[], 0),
    ),
    (
        "settled by going where one of them leads",
        &[(New, Pending, &[]), (New, Resolved, &[]), (Resolved, Pending, &[0, 1])],
        (Pending, &[], 1),
    ),
    (
        "settled twice, apart",
        &[(New, Pending, &[]), (New, Resolved, &[]), (Resolved, Closed, &[0, 1]), (Resolved, Pending, &[0, 1])],
        (Pending, &[Closed, Pending], 1),
    ),
    (
        "settled twice, apart, alike",
        &[(New, Pending, &[]), (New, Resolved, &[]), (Resolved, Closed, &[0, 1]), (Resolved, Closed, &[0, 1])],
        (Closed, &[], 0),
    ),
    (
        "of three, two settled by who did not see the third",
        &[(New, Pending, &[]), (New, Resolved, &[]), (New, Cancelled, &[]), (Resolved, Closed, &[0, 1])],
        (Closed, &[Cancelled, Closed], 0),
    ),
    (
        "a long branch and a short one",
        &[(New, InProgress, &[]), (InProgress, Resolved, &[0]), (Resolved, InProgress, &[1]), (New, Cancelled, &[])],
        (Cancelled, &[InProgress, Cancelled], 1),
    ),
    (
        "reopened on both sides",
        &[(New, Closed, &[]), (Closed, InProgress, &[0]), (Closed, Pending, &[0])],
        (Pending, &[InProgress, Pending], 2),
    ),
    // Whoever judges does not ask the table: what an import's source did is a fact.
    ("moves that the table does not know", &[(Cancelled, Closed, &[]), (Closed, Resolved, &[0])], (Resolved, &[], 0)),
];

#[test]
fn moves_of_several_people_give_one_state() {
    for (case, moves, (status, conflict, reopened)) in CASES {
        let history = History::of(moves);
        assert_eq!(summary(&derive(&history.view())), (*status, conflict.to_vec(), *reopened), "{case}");
    }
}

/// Whatever order the clocks give to the moves, as long as each stands behind what it saw: the same ones conflict, it is
/// as often reopened, and the working status is where the last of them leads. The ids of the moves, by which a document
/// lists them, decide nothing.
#[test]
fn the_order_of_moves_decides_only_which_of_a_conflict_works() {
    for (case, moves, (_, conflict, reopened)) in CASES {
        let expected: BTreeSet<Status> = conflict.iter().copied().collect();
        for order in permutations(moves.len()) {
            let Some(history) = History::in_order(moves, &order) else {
                continue;
            };
            let state = derive(&history.view());
            let found: BTreeSet<Status> = state.conflict.iter().map(|transition| transition.to).collect();
            assert_eq!((found, state.conflict.len()), (expected.clone(), conflict.len()), "{case}, {order:?}");
            assert_eq!(state.reopened, *reopened, "{case}, {order:?}");
            if let Some(last) = state.conflict.last() {
                assert_eq!(state.status, last.to, "{case}, {order:?}: the last of them works");
            }
            for ids in permutations(moves.len()) {
                let renamed = derive(&history.renamed(&ids).view());
                assert_eq!(summary(&renamed), summary(&state), "{case}, {order:?}: the ids {ids:?} decide nothing");
            }
        }
    }
}

#[test]
fn what_was_seen_counts_also_through_changes_that_move_nothing() {
    let mut history = History::default();
    let first = history.moves("a", New, Pending, &[]);
    let edit = history.edits(&[first]);
    let other = history.edits(&[]);
    let merged = history.edits(&[edit, other]);
    history.moves("b", Pending, Resolved, &[merged]);
    assert_eq!(summary(&derive(&history.view())), (Resolved, vec![], 0), "it saw the first move three changes before");
    history.moves("c", New, Cancelled, &[other]);
    let conflict = vec![Resolved, Cancelled];
    assert_eq!(summary(&derive(&history.view())), (Cancelled, conflict, 0), "that one had not seen it");
}

/// Two branches of a log may give one id to two moves; a document then holds both under one key.
#[test]
fn two_moves_with_one_id_are_two_moves() {
    let mut history = History::default();
    history.moves("a", New, Pending, &[]);
    history.moves("a", New, Closed, &[]);
    assert_eq!(summary(&derive(&history.view())), (Closed, vec![Pending, Closed], 0));
}

#[test]
fn what_is_no_move_moves_nothing() {
    let text = |text: &str| Value::Text(text.into());
    let cases = [
        ("transition/a", text("")),
        ("transition/a", text("pending")),
        ("transition/a", text("new>")),
        ("transition/a", text("new>tomorrow")),
        ("transition/a", text("new>pending>closed")),
        ("transition/a", text("New>Pending")),
        ("transition/a", Value::Null),
        ("transition/a", Value::Int(3)),
        ("transition/a", Value::Other("new>pending".into())),
        ("transition/a/reason", text("new>pending")),
        ("transition", text("new>pending")),
        ("transitions/a", text("new>pending")),
    ];
    for (key, value) in cases {
        let mut history = History::default();
        history.puts(key, value.clone(), &[]);
        let state = derive(&history.view());
        assert_eq!((summary(&state), state.last), ((New, vec![], 0), None), "{key}: {value:?}");
        // A move of a newer version's word hides none of the others, either.
        history.moves("b", New, Pending, &[0]);
        assert_eq!(summary(&derive(&history.view())), (Pending, vec![], 0), "{key}: {value:?}, and a move");
    }
}

/// What is left without the moves that do not count is what they alone give (R19: those of changes that do not stand).
#[test]
fn moves_that_do_not_count_are_as_if_they_were_not() {
    for (case, moves, _) in CASES {
        let view = History::of(moves).view();
        for left_out in 0..moves.len() {
            let state = derive_of(&view, |by| by != left_out);
            let mut history = History::default();
            for (at, (from, to, saw)) in moves.iter().enumerate() {
                match at == left_out {
                    true => history.edits(saw),
                    false => history.moves(&format!("{at:016x}"), *from, *to, saw),
                };
            }
            assert_eq!(state, derive(&history.view()), "{case}: without the move {left_out}");
        }
        assert_eq!(derive_of(&view, |_| false).status, New, "{case}: without any");
    }
}
