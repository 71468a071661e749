//! What one change says, read from it alone: to show people what is held (R12). [`super::content`] reads what it would do.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::Change;
use automerge::legacy::{Key, ObjectId, OpType};
use schema::doc::Edits;
use schema::id::ChangeHash;
use schema::record::BodyName;

use super::view::known;
use crate::admission::read_body;
use crate::change::parse;
use crate::store::{Source, StoreError};

/// What a change puts under which keys, and, instead of whole texts, the letters that it writes into each; under no name
/// those of texts that another change made. `None` if it is not held, or is no change. Linear in its bytes.
pub fn said(source: &impl Source, change: &ChangeHash) -> Result<Option<Edits>, StoreError> {
    let Some(body) = read_body(source, &BodyName::Change(*change))? else {
        return Ok(None);
    };
    // Nobody judged a change that has no effect: a panic is its own.
    let read = AssertUnwindSafe(|| parse(&body).ok().map(|parsed| edits(parsed.change())));
    Ok(catch_unwind(read).ok().flatten())
}

fn edits(change: &Change) -> Edits {
    let (mut edits, mut made) = (Edits::default(), BTreeMap::new());
    for (op, counter) in change.decode().operations.iter().zip(change.start_op().get()..) {
        match (&op.obj, &op.key, &op.action) {
            (ObjectId::Root, Key::Map(key), OpType::Put(value)) => edits.put(key.as_str(), known(value)),
            // Settling deletes all values and puts one.
            (ObjectId::Root, Key::Map(key), OpType::Delete) => drop(edits.puts.entry(key.to_string()).or_insert(None)),
            (ObjectId::Root, Key::Map(key), OpType::Make(_)) => drop(made.insert(counter, key.to_string())),
            (ObjectId::Id(text), Key::Seq(_), OpType::Put(letter)) => {
                let is_own = text.actor() == change.actor_id();
                let key = made.get(&text.counter()).filter(|_| is_own).cloned().unwrap_or_default();
                let letters = edits.texts.entry(key).or_default();
                letters.extend(known(letter).as_text().map(str::to_owned));
            }
            (ObjectId::Root | ObjectId::Id(_), _, _) => {}
        }
    }
    edits
}
