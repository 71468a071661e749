//! A ticket's document as its rules see it, told change by change.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;

use schema::author::Author;
use schema::doc::{AttributedValue, DocKind, GenesisFacts, Stamp, Value, View};
use schema::id::{ActorId, ChangeHash, DocId, ScopeId, SiteId};
use schema::ticket::status::{Status, encode};
use schema::time::{Hlc, Timestamp};

/// A move of a table: from, to, and the numbers of those that its author had seen.
pub type Move<'a> = (Status, Status, &'a [usize]);

/// Changes in the order in which a view lists them: each behind what it saw.
#[derive(Clone, Default)]
pub struct History {
    values: Vec<(String, AttributedValue)>,
    saw: Vec<Vec<usize>>,
    /// The values that were put last, one under each key, whatever was there before.
    texts: BTreeMap<String, String>,
}

impl History {
    /// Moves in this order.
    pub fn of(moves: &[Move<'_>]) -> Self {
        let order: Vec<usize> = (0..moves.len()).collect();
        Self::in_order(moves, &order).expect("a table lists each move behind what it saw")
    }

    /// Moves in another order of time; `None` if one would stand before what it saw, which no view does.
    pub fn in_order(moves: &[Move<'_>], order: &[usize]) -> Option<Self> {
        let mut history = Self::default();
        for at in order {
            let (from, to, saw) = moves[*at];
            let place =
                |seen: &usize| order.iter().position(|other| other == seen).filter(|place| *place < history.saw.len());
            let saw: Option<Vec<usize>> = saw.iter().map(place).collect();
            history.moves(&format!("{at:016x}"), from, to, &saw?);
        }
        Some(history)
    }

    /// The same moves, the one with the `n`-th place under the id `ids[n]`.
    pub fn renamed(&self, ids: &[usize]) -> Self {
        let mut renamed = self.clone();
        for ((key, _), id) in renamed.values.iter_mut().zip(ids) {
            *key = format!("transition/{id:016x}");
        }
        renamed
    }

    /// A change that moves the ticket; its number.
    pub fn moves(&mut self, id: &str, from: Status, to: Status, saw: &[usize]) -> usize {
        self.puts(&format!("transition/{id}"), Value::Text(encode(from, to)), saw)
    }

    /// A change that puts a value beside those that stand under the key; its number.
    pub fn puts(&mut self, key: &str, value: Value, saw: &[usize]) -> usize {
        let by = self.edits(saw);
        self.values.push((key.to_owned(), AttributedValue { value, by }));
        by
    }

    /// A change of something that is not shown; its number.
    pub fn edits(&mut self, saw: &[usize]) -> usize {
        self.saw.push(saw.to_vec());
        self.saw.len() - 1
    }

    /// The document's text under a key.
    pub fn text(&mut self, key: &str, text: &str) {
        self.texts.insert(key.to_owned(), text.to_owned());
    }

    pub fn view(&self) -> View {
        let mut values: BTreeMap<String, Vec<AttributedValue>> = BTreeMap::new();
        for (key, value) in &self.values {
            values.entry(key.clone()).or_default().push(value.clone());
        }
        let stamp = |(at, saw): (usize, &Vec<usize>)| Stamp {
            author: Author::Site,
            site: SiteId([1; 32]),
            at: Hlc(at as u64),
            order: Hlc(at as u64),
            doubt: false,
            tainted: false,
            change: ChangeHash([at as u8; 32]),
            actor: ActorId([1; 16]),
            max_op: at as u64 + 1,
            dependencies: saw.clone(),
        };
        View {
            id: DocId([2; 32]),
            scope: ScopeId([3; 16]),
            kind: DocKind::Ticket,
            facts: GenesisFacts { requester: None },
            values,
            texts: self.texts.clone(),
            untainted: BTreeMap::new(),
            changes: self.saw.iter().enumerate().map(stamp).collect(),
            first_at: Timestamp(0),
            last_at: None,
        }
    }
}

/// Every order of the numbers below `count`.
pub fn permutations(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else {
        return vec![Vec::new()];
    };
    let insert = |shorter: Vec<usize>| {
        (0..=last).map(move |at| {
            let mut longer = shorter.clone();
            longer.insert(at, last);
            longer
        })
    };
    permutations(last).into_iter().flat_map(insert).collect()
}
