//! How far another store is in each log, from the lines that it said and the successors known here.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use schema::id::{LogId, ScopeId};

use super::{HeldSeqs, LogIndex, LogName, LogState};
use crate::store::{Source, StoreError};

/// What somebody with these lines holds of the logs known here: closed generations follow from their successors.
/// Remembers what it worked out, so that many questions cost each generation once.
pub struct PeerLogs<'a, S> {
    index: &'a LogIndex,
    source: &'a S,
    scope: ScopeId,
    lines: &'a HeldSeqs,
    known: RefCell<BTreeMap<LogName, u64>>,
}

impl<'a, S: Source> PeerLogs<'a, S> {
    /// The logs of a scope as held by whoever has these lines.
    pub fn new(index: &'a LogIndex, source: &'a S, scope: ScopeId, lines: &'a HeldSeqs) -> Self {
        Self { index, source, scope, lines, known: Default::default() }
    }

    /// The last seq held of a log: its line, or where the furthest successor of which something is held says that
    /// it ended. Linear in the generations between the log and the nearest line, once each.
    pub fn seq(&self, name: LogName) -> Result<u64, StoreError> {
        if let Some(seq) = self.lines.get(&name) {
            return Ok(*seq);
        }
        // A walk forward along successors, with a stack of its own: chains of generations may be long.
        let mut stack = vec![name];
        let mut on_stack = BTreeSet::from([name]);
        while let Some(top) = stack.last().copied() {
            if self.answer(top).is_some() {
                stack.pop();
                on_stack.remove(&top);
                continue;
            }
            let id = LogId { site: top.0, generation: top.1, scope: self.scope };
            let successors = self.index.log(self.source, &id)?.map(|log| log.successors).unwrap_or_default();
            let mut held = 0;
            let mut open = None;
            for successor in &successors {
                let next = (top.0, successor.generation);
                match self.answer(next) {
                    Some(0) => {}
                    Some(_) => held = held.max(successor.seq),
                    // What names itself in a circle holds nothing.
                    None if on_stack.contains(&next) => {}
                    None => open = Some(next),
                }
            }
            match open {
                Some(next) => {
                    on_stack.insert(next);
                    stack.push(next);
                }
                None => drop(self.known.borrow_mut().insert(top, held)),
            }
        }
        Ok(self.answer(name).unwrap_or(0))
    }

    fn answer(&self, name: LogName) -> Option<u64> {
        self.lines.get(&name).copied().or_else(|| self.known.borrow().get(&name).copied())
    }

    /// How many records held here are lacking there. Linear in the open logs, and in the closed ones that are
    /// lacking.
    pub fn lacking(&self) -> Result<u64, StoreError> {
        let mut lacking = 0u64;
        let mut seen = BTreeSet::new();
        let mut left: Vec<LogState> = self.index.open_in(&self.scope).cloned().collect();
        while let Some(log) = left.pop() {
            let has = self.seq(log.name())?;
            lacking = lacking.saturating_add(log.seq.saturating_sub(has.max(log.from() - 1)));
            // Whoever holds something of a log holds what it follows, or has a line for that.
            let Some(before) = log.follows.filter(|_| has == 0) else {
                continue;
            };
            let id = LogId { generation: before.generation, ..log.id };
            if seen.insert(id) && self.index.open(&id).is_none() {
                left.extend(self.index.log(self.source, &id)?);
            }
        }
        Ok(lacking)
    }

    /// How many records the lines promise that are not here. Linear in the lines.
    pub fn missing_here(&self) -> Result<u64, StoreError> {
        let mut missing = 0u64;
        for ((site, generation), seq) in self.lines {
            let id = LogId { site: *site, generation: *generation, scope: self.scope };
            let here = self.index.log(self.source, &id)?.map_or(0, |log| log.seq);
            missing = missing.saturating_add(seq.saturating_sub(here));
        }
        Ok(missing)
    }
}
