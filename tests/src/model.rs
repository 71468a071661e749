//! The naive model: told every accepted command and what its author had seen, it says what all sites must
//! show in the end. It knows nothing of records, changes or Automerge.

use std::collections::{BTreeMap, BTreeSet};

use schema::id::DocId;

/// A command's number in the order of the story.
pub type CommandNo = usize;

/// What one command wrote into one document.
#[derive(Debug, Clone)]
pub struct Effect {
    /// The document.
    pub doc: DocId,
    /// Keys with the value put, `None` for cleared.
    pub puts: BTreeMap<String, Option<String>>,
    /// Comments added: id and text.
    pub comments: Vec<(String, String)>,
    /// The status it moved the ticket to.
    pub moved: Option<String>,
    /// The commands that its author had seen.
    pub seen: BTreeSet<CommandNo>,
}

/// All accepted commands.
#[derive(Debug, Default)]
pub struct Model {
    effects: BTreeMap<CommandNo, Effect>,
}

/// What a ticket must show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    /// Values under each key; more than one is a conflict.
    pub values: BTreeMap<String, BTreeSet<String>>,
    /// Statuses to settle, or the one; empty: never moved.
    pub statuses: BTreeSet<String>,
    /// Comments by id.
    pub comments: BTreeMap<String, String>,
}

impl Model {
    /// A command was accepted.
    pub fn accept(&mut self, no: CommandNo, effect: Effect) {
        self.effects.insert(no, effect);
    }

    /// A command was lost for good: its only disk was restored to before it.
    pub fn forget(&mut self, no: CommandNo) {
        self.effects.remove(&no);
    }

    /// How many commands count.
    pub fn len(&self) -> usize {
        self.effects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    /// The documents written.
    pub fn docs(&self) -> BTreeSet<DocId> {
        self.effects.values().map(|effect| effect.doc).collect()
    }

    /// What a document must show.
    pub fn expected(&self, doc: &DocId) -> Expected {
        let of_doc = || self.effects.iter().filter(|(_, effect)| effect.doc == *doc);
        let mut expected = Expected::default();
        let keys: BTreeSet<&String> = of_doc().flat_map(|(_, effect)| effect.puts.keys()).collect();
        for key in keys {
            let writes: Vec<_> = of_doc().filter(|(_, effect)| effect.puts.contains_key(key)).collect();
            let values: BTreeSet<String> =
                maximal(&writes).iter().filter_map(|effect| effect.puts[key].clone()).collect();
            if !values.is_empty() {
                expected.values.insert(key.clone(), values);
            }
        }
        let moves: Vec<_> = of_doc().filter(|(_, effect)| effect.moved.is_some()).collect();
        expected.statuses = maximal(&moves).iter().filter_map(|effect| effect.moved.clone()).collect();
        expected.comments = of_doc().flat_map(|(_, effect)| effect.comments.iter().cloned()).collect();
        expected
    }
}

/// The writes that no other write had seen.
fn maximal<'a>(writes: &[(&'a CommandNo, &'a Effect)]) -> Vec<&'a Effect> {
    let overwritten = |no: &CommandNo| writes.iter().any(|(_, other)| other.seen.contains(no));
    writes.iter().filter(|(no, _)| !overwritten(no)).map(|(_, effect)| *effect).collect()
}
