//! Where ancestors are found: the store's index, or memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use super::facts::Facts;
use super::ids::{Actor, Hash};
use super::operation::Operation;
use super::parse::Parsed;

/// The applied changes of one document.
///
/// Two promises make a verdict a pure function of ancestors. *Closed*: with a change, all its dependencies are
/// here. *One per place*: at most one change for each (actor, seq); of two, the caller keeps the one R19 keeps,
/// and what depends on the other is stranded, not judged. What else is here never changes a verdict.
pub trait History {
    /// Why a lookup failed: a fault of this machine, never of the change.
    type Error;

    /// The change with this hash.
    fn by_hash(&self, hash: &Hash) -> Result<Option<Arc<Facts>>, Self::Error>;

    /// The change `actor` made as its `seq`-th.
    fn by_seq(&self, actor: &Actor, seq: u64) -> Result<Option<Arc<Facts>>, Self::Error>;

    /// The last change that `actor` made, as far as held: an ancestor of the change that is judged, or not.
    fn last(&self, actor: &Actor) -> Result<Option<Arc<Facts>>, Self::Error>;

    /// The changes that no other one here depends on.
    fn heads(&self) -> Result<Vec<Hash>, Self::Error>;

    /// The operations of a change that this history answered, in order.
    fn operations(&self, facts: &Facts) -> Result<Arc<[Operation]>, Self::Error>;

    /// The changes here that are neither one of these nor an ancestor of one, if that is remembered.
    fn concurrent(&self, _dependencies: &[Arc<Facts>]) -> Option<Arc<HashSet<Hash>>> {
        None
    }

    /// Remembers them, if this history does such a thing.
    fn note_concurrent(&self, _dependencies: &[Arc<Facts>], _concurrent: Arc<HashSet<Hash>>) {}
}

/// A document's changes in memory, for one pass over a document and for tests.
#[derive(Clone, Debug, Default)]
pub struct MemoryHistory {
    changes: HashMap<Hash, (Arc<Facts>, Arc<[Operation]>)>,
    places: BTreeMap<(Actor, u64), Hash>,
    heads: BTreeSet<Hash>,
}

impl MemoryHistory {
    /// Adds a change that [`super::judge`] applied. One whose (actor, seq) is taken is not added, and `false`.
    pub fn insert(&mut self, facts: Facts, parsed: &Parsed) -> bool {
        let place = (facts.actor, facts.seq);
        if self.places.contains_key(&place) {
            return false;
        }
        self.places.insert(place, facts.hash);
        self.heads.retain(|head| !facts.dependencies.contains(head));
        self.heads.insert(facts.hash);
        self.changes.insert(facts.hash, (Arc::new(facts), Arc::clone(parsed.operations())));
        true
    }
}

impl History for MemoryHistory {
    type Error = Infallible;

    fn by_hash(&self, hash: &Hash) -> Result<Option<Arc<Facts>>, Infallible> {
        Ok(self.changes.get(hash).map(|(facts, _)| Arc::clone(facts)))
    }

    fn by_seq(&self, actor: &Actor, seq: u64) -> Result<Option<Arc<Facts>>, Infallible> {
        self.places.get(&(*actor, seq)).map_or(Ok(None), |hash| self.by_hash(hash))
    }

    fn last(&self, actor: &Actor) -> Result<Option<Arc<Facts>>, Infallible> {
        let last = self.places.range((*actor, 0)..=(*actor, u64::MAX)).next_back();
        last.map_or(Ok(None), |(_, hash)| self.by_hash(hash))
    }

    fn heads(&self) -> Result<Vec<Hash>, Infallible> {
        Ok(self.heads.iter().copied().collect())
    }

    fn operations(&self, facts: &Facts) -> Result<Arc<[Operation]>, Infallible> {
        Ok(self.changes.get(&facts.hash).map(|(_, operations)| Arc::clone(operations)).unwrap_or_default())
    }
}
