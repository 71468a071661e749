//! The operations of a change's ancestors, found by id: the clock says whether, a bisection over seq says where.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::facts::{Clock, Facts};
use super::history::History;
use super::ids::{Actor, OpId};
use super::judge::JudgeError;
use super::operation::Operation;

/// The ancestors of one change, with those already looked up.
pub(super) struct Ancestors<'h, H> {
    history: &'h H,
    clock: &'h Clock,
    /// By (actor, first operation): ranges of one actor never overlap.
    found: BTreeMap<(Actor, u64), Known>,
}

struct Known {
    facts: Arc<Facts>,
    operations: Arc<[Operation]>,
}

/// An operation and the ancestor that holds it.
pub(super) type Found<'a> = (&'a Facts, &'a Operation);

impl<'h, H: History> Ancestors<'h, H> {
    pub(super) fn new(history: &'h H, clock: &'h Clock) -> Self {
        Self { history, clock, found: BTreeMap::new() }
    }

    /// The operation `id` and the change that holds it, `None` if no ancestor made it.
    pub(super) fn operation(&mut self, id: OpId) -> Result<Option<Found<'_>>, JudgeError<H::Error>> {
        if self.cached(id).is_none() {
            let Some(facts) = self.holder(id)? else {
                return Ok(None);
            };
            let operations = self.history.operations(&facts).map_err(JudgeError::History)?;
            if facts.max_op.checked_sub(facts.start_op) != (operations.len() as u64).checked_sub(1) {
                return Err(JudgeError::Inconsistent { actor: facts.actor, seq: facts.seq });
            }
            self.found.insert((facts.actor, facts.start_op), Known { facts, operations });
        }
        Ok(self.cached(id))
    }

    fn cached(&self, id: OpId) -> Option<Found<'_>> {
        let (&(actor, start_op), held) = self.found.range(..=(id.actor, id.counter)).next_back()?;
        let place = usize::try_from(id.counter.checked_sub(start_op)?).ok()?;
        held.operations.get(place).filter(|_| actor == id.actor).map(|operation| (&*held.facts, operation))
    }

    /// The ancestor that made `id`. Seq and operations of one actor grow together, with gaps between changes.
    fn holder(&self, id: OpId) -> Result<Option<Arc<Facts>>, JudgeError<H::Error>> {
        let Some(last) = self.clock.get(&id.actor).filter(|last| id.counter <= last.max_op) else {
            return Ok(None);
        };
        let (mut low, mut high) = (1, last.seq);
        while low <= high {
            let seq = low + (high - low) / 2;
            let facts = self.history.by_seq(&id.actor, seq).map_err(JudgeError::History)?;
            let facts = facts.filter(|facts| facts.actor == id.actor && facts.seq == seq);
            let facts = facts.ok_or(JudgeError::Inconsistent { actor: id.actor, seq })?;
            if id.counter < facts.start_op {
                high = seq - 1;
            } else if id.counter > facts.max_op {
                low = seq + 1;
            } else {
                return Ok(Some(facts));
            }
        }
        Ok(None)
    }
}
