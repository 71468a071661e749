//! What is concurrent with some changes of a document, remembered within one pass: the many changes of one side of a split are
//! each concurrent with all of the other side, and would walk those each.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use schema::id::{ChangeHash, DocId};

use crate::change::Facts;

/// Sets remembered of one document: so many sides of it grow at once.
const REMEMBERED: usize = 4;

/// Sets of concurrent changes, by document and by the changes that they were worked out for.
#[derive(Debug, Default)]
pub struct Walks(RefCell<BTreeMap<DocId, Vec<Walk>>>);

#[derive(Debug)]
struct Walk {
    /// Sorted.
    dependencies: Vec<ChangeHash>,
    concurrent: Arc<HashSet<ChangeHash>>,
}

impl Walks {
    /// The changes of a document that are neither one of these nor an ancestor of one. What was worked out for what a change
    /// builds on serves for that change as well, from then on instead. Linear in what is remembered of the document.
    pub fn find(&self, doc: &DocId, dependencies: &[Arc<Facts>]) -> Option<Arc<HashSet<ChangeHash>>> {
        let mut walks = self.0.borrow_mut();
        let walks = walks.get_mut(doc)?;
        let wanted = names(dependencies);
        if let Some(walk) = walks.iter().find(|walk| walk.dependencies == wanted) {
            return Some(Arc::clone(&walk.concurrent));
        }
        let [only] = dependencies else {
            return None;
        };
        // A change names what it depends on in order (R6).
        let walk = walks.iter_mut().find(|walk| walk.dependencies[..] == only.dependencies[..])?;
        walk.dependencies = wanted;
        Arc::make_mut(&mut walk.concurrent).remove(&only.hash);
        Some(Arc::clone(&walk.concurrent))
    }

    /// Remembers what was worked out; the oldest is forgotten for it.
    pub fn note(&self, doc: DocId, dependencies: &[Arc<Facts>], concurrent: Arc<HashSet<ChangeHash>>) {
        let mut walks = self.0.borrow_mut();
        let walks = walks.entry(doc).or_default();
        if walks.len() == REMEMBERED {
            walks.remove(0);
        }
        walks.push(Walk { dependencies: names(dependencies), concurrent });
    }

    /// A change was applied: it is an ancestor of nothing that was looked at before. Linear in what is remembered of the
    /// document.
    pub fn applied(&self, doc: &DocId, change: ChangeHash) {
        for walk in self.0.borrow_mut().get_mut(doc).into_iter().flatten() {
            Arc::make_mut(&mut walk.concurrent).insert(change);
        }
    }

    /// A document was taken apart.
    pub fn forget(&self, doc: &DocId) {
        self.0.borrow_mut().remove(doc);
    }
}

fn names(dependencies: &[Arc<Facts>]) -> Vec<ChangeHash> {
    let mut names: Vec<ChangeHash> = dependencies.iter().map(|facts| facts.hash).collect();
    names.sort_unstable();
    names
}
