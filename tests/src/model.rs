//! The reference model: from every accepted command and what its author had seen, it computes what all sites must show
//! in the end. It knows nothing of records, changes or Automerge.

use std::collections::{BTreeMap, BTreeSet};

use schema::id::DocId;

/// The number of a command, in the order in which commands were accepted.
pub type CommandNo = usize;

/// What one command wrote into one document.
#[derive(Debug, Clone)]
pub struct Effect {
    /// The document that it wrote.
    pub doc: DocId,
    /// The value put under each key; `None`: the key was cleared.
    pub puts: BTreeMap<String, Option<String>>,
    /// The comments added: id and text.
    pub comments: Vec<(String, String)>,
    /// The status to which it moved the ticket; `None`: it did not.
    pub moved: Option<String>,
    /// The commands whose effect the author's site showed.
    pub seen: BTreeSet<CommandNo>,
}

/// All accepted commands, by number.
#[derive(Debug, Default)]
pub struct Model {
    effects: BTreeMap<CommandNo, Effect>,
}

/// What a document must show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    /// The values under each key; more than one is a conflict.
    pub values: BTreeMap<String, BTreeSet<String>>,
    /// The statuses; more than one is a conflict, none: the ticket was never moved.
    pub statuses: BTreeSet<String>,
    /// The comments: text by id.
    pub comments: BTreeMap<String, String>,
}

impl Model {
    /// Adds an accepted command.
    pub fn accept(&mut self, no: CommandNo, effect: Effect) {
        self.effects.insert(no, effect);
    }

    /// Removes a command that was lost for good, because its only disk was restored to an older state.
    pub fn forget(&mut self, no: CommandNo) {
        self.effects.remove(&no);
    }

    /// The number of commands.
    pub fn len(&self) -> usize {
        self.effects.len()
    }

    /// Whether there is no command.
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    /// The documents that were written.
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

/// The maximal writes: those whose command no author of another one had seen.
fn maximal<'a>(writes: &[(&'a CommandNo, &'a Effect)]) -> Vec<&'a Effect> {
    let overwritten = |no: &CommandNo| writes.iter().any(|(_, other)| other.seen.contains(no));
    writes.iter().filter(|(no, _)| !overwritten(no)).map(|(_, effect)| *effect).collect()
}
