//! The ancestors of a change: which of the changes held are, and the operations that they made.
//!
//! No clock is kept per change. A change on the document's frontier, the usual case, has every change held for an
//! ancestor; for any other the graph is walked from the frontier down to where its own ancestors begin (R25). Of changes that
//! follow one another, or stand beside one another, a history may remember what that gave.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashSet};
use std::sync::Arc;

use super::facts::Facts;
use super::history::History;
use super::ids::{Actor, Hash, OpId};
use super::judge::JudgeError;
use super::operation::Operation;

/// The ancestors of one change, with those already looked up.
pub(super) struct Ancestors<'h, H> {
    history: &'h H,
    dependencies: &'h [Arc<Facts>],
    /// Changes held that are no ancestors, once they were asked for.
    concurrent: Option<Arc<HashSet<Hash>>>,
    /// The last ancestor of each actor that was asked for.
    last: BTreeMap<Actor, Option<Arc<Facts>>>,
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
    /// The ancestors of a change with these dependencies.
    pub(super) fn new(history: &'h H, dependencies: &'h [Arc<Facts>]) -> Self {
        Self { history, dependencies, concurrent: None, last: BTreeMap::new(), found: BTreeMap::new() }
    }

    /// The last ancestor that `actor` made. An actor's changes are a chain, so its ancestors are those before one.
    pub(super) fn last_of(&mut self, actor: &Actor) -> Result<Option<Arc<Facts>>, JudgeError<H::Error>> {
        if let Some(known) = self.last.get(actor) {
            return Ok(known.clone());
        }
        let mut last = None;
        if let Some(held) = self.history.last(actor).map_err(JudgeError::History)? {
            // Most often the last one held is an ancestor, and no search is needed.
            let (mut low, mut high) = (1, held.seq);
            let mut at = held.seq;
            while low <= high {
                let facts = self.at(actor, at)?;
                if self.is_ancestor(&facts)? {
                    low = at + 1;
                    last = Some(facts);
                } else {
                    high = at - 1;
                }
                at = low + high.saturating_sub(low) / 2;
            }
        }
        self.last.insert(*actor, last.clone());
        Ok(last)
    }

    fn at(&self, actor: &Actor, seq: u64) -> Result<Arc<Facts>, JudgeError<H::Error>> {
        let facts = self.history.by_seq(actor, seq).map_err(JudgeError::History)?;
        let facts = facts.filter(|facts| facts.actor == *actor && facts.seq == seq);
        facts.ok_or(JudgeError::Inconsistent { actor: *actor, seq })
    }

    fn is_ancestor(&mut self, facts: &Facts) -> Result<bool, JudgeError<H::Error>> {
        if self.concurrent.is_none() {
            self.concurrent = self.history.concurrent(self.dependencies);
        }
        if self.concurrent.is_none() {
            let concurrent = Arc::new(self.work_out()?);
            self.history.note_concurrent(self.dependencies, Arc::clone(&concurrent));
            self.concurrent = Some(concurrent);
        }
        Ok(self.concurrent.as_ref().is_some_and(|concurrent| !concurrent.contains(&facts.hash)))
    }

    /// The changes held that are no ancestors. Linear in those, and in the ancestors that are younger than the oldest
    /// of them.
    fn work_out(&self) -> Result<HashSet<Hash>, JudgeError<H::Error>> {
        let mut ancestors: BTreeSet<Hash> = self.dependencies.iter().map(|facts| facts.hash).collect();
        let heads = self.history.heads().map_err(JudgeError::History)?;
        let mut concurrent = HashSet::new();
        let mut seen: HashSet<Hash> = HashSet::new();
        let mut heap = BinaryHeap::new();
        let mut open = 0usize;
        for hash in heads.into_iter().chain(ancestors.iter().copied()) {
            if seen.insert(hash) {
                let facts = self.by_hash(&hash)?;
                open += usize::from(!ancestors.contains(&hash));
                heap.push(Youngest(facts));
            }
        }
        // A change is younger than what it depends on: by the time that one is looked at, all that depend on it were.
        while let Some(Youngest(facts)) = heap.pop().filter(|_| open > 0) {
            let is_ancestor = ancestors.contains(&facts.hash);
            if !is_ancestor {
                open -= 1;
                concurrent.insert(facts.hash);
            }
            for hash in &facts.dependencies {
                let known = !seen.insert(*hash);
                match (is_ancestor && ancestors.insert(*hash), known) {
                    // It was waiting as one that may be none.
                    (true, true) => open -= 1,
                    (false, true) => {}
                    (_, false) => {
                        heap.push(Youngest(self.by_hash(hash)?));
                        open += usize::from(!is_ancestor);
                    }
                }
            }
        }
        Ok(concurrent)
    }

    fn by_hash(&self, hash: &Hash) -> Result<Arc<Facts>, JudgeError<H::Error>> {
        let found = self.history.by_hash(hash).map_err(JudgeError::History)?;
        found.ok_or(JudgeError::Missing { hash: *hash })
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
    fn holder(&mut self, id: OpId) -> Result<Option<Arc<Facts>>, JudgeError<H::Error>> {
        let Some(last) = self.last_of(&id.actor)?.filter(|last| id.counter <= last.max_op) else {
            return Ok(None);
        };
        let (mut low, mut high) = (1, last.seq);
        while low <= high {
            let seq = low + (high - low) / 2;
            let facts = self.at(&id.actor, seq)?;
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

/// Orders changes so that each comes before what it depends on.
struct Youngest(Arc<Facts>);

impl Youngest {
    fn key(&self) -> (u64, Hash) {
        (self.0.max_op, self.0.hash)
    }
}
impl PartialEq for Youngest {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Youngest {}
impl PartialOrd for Youngest {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Youngest {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}
