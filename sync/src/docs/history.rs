//! The history of a document: every change of every key, with what its author saw before.

use std::collections::BTreeMap;

use automerge::legacy::{Key, ObjectId, OpId, OpType};
use automerge::{Change, ChangeHash as AutomergeHash, ObjType, ROOT, ReadDoc};
use schema::doc::{Stamp, View};
use schema::id::{DocId, SiteId};

use super::load;
use super::registers::{OpPlace, place_of};
use super::view::known;
use crate::admission::read_body;
use crate::store::tables::LogNo;
use crate::store::{Source, StoreError};
use schema::record::BodyName;

/// One key that one change wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which change: an index into `View::changes`.
    pub by: usize,
    /// The key.
    pub key: String,
    /// What the author saw there, as text; `None` for nothing. Of several values, one that they did not keep.
    pub before: Option<String>,
    /// What they put; `None` for a deletion.
    pub after: Option<String>,
}

/// The site whose log this is.
pub fn site_of(source: &impl Source, log: LogNo) -> Result<SiteId, StoreError> {
    let state: Option<crate::store::LogState> = source.get_as(crate::store::Table::Logs, &log.to_be_bytes())?;
    Ok(state.ok_or(StoreError::Missing { what: "a log" })?.id.site)
}

/// All steps of a document, in the order of `View::changes`, by key inside a change. Of a [whole](super::view::whole) view:
/// another one does not have all its changes.
pub fn steps(source: &impl Source, view: &View) -> Result<Vec<Step>, StoreError> {
    let mut seen: BTreeMap<(u64, Vec<u8>), Option<String>> = BTreeMap::new();
    let mut steps = Vec::new();
    for (by, stamp) in view.changes.iter().enumerate() {
        let body = read_body(source, &BodyName::Change(stamp.change))?
            .ok_or(StoreError::Missing { what: "the body of a change" })?;
        let Ok(change) = Change::from_bytes(body) else {
            return Err(StoreError::Damaged { table: "bodies-1" });
        };
        let mut texts = false;
        let mut found: BTreeMap<String, Step> = BTreeMap::new();
        // Settling deletes all values of a key and puts one: both operations together saw what was there.
        let mut replaced: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (index, op) in change.decode().operations.iter().enumerate() {
            let (ObjectId::Root, Key::Map(key)) = (&op.obj, &op.key) else {
                texts = true;
                continue;
            };
            let after = match &op.action {
                OpType::Put(value) => known(value).shown(),
                OpType::Delete => None,
                OpType::Make(_) | OpType::Increment(_) | OpType::MarkBegin(_) | OpType::MarkEnd(_) => {
                    texts = true;
                    continue;
                }
            };
            let values = replaced.entry(key.to_string()).or_default();
            values.extend(op.pred.iter().filter_map(|id: &OpId| seen.get(&place(id)).cloned().flatten()));
            let dropped = values.iter().filter(|value| Some(*value) != after.as_ref()).max();
            let before = dropped.or(values.first()).cloned();
            let id = (change.start_op().get() + index as u64, stamp.actor.0.to_vec());
            seen.insert(id, after.clone());
            let key = key.to_string();
            found.insert(key.clone(), Step { by, key, before, after });
        }
        if texts {
            steps.extend(text_steps(source, &view.id, by, stamp, &change)?);
        }
        steps.extend(found.into_values());
    }
    Ok(steps)
}

fn place(id: &OpId) -> (u64, Vec<u8>) {
    (id.counter(), id.actor().to_bytes().to_vec())
}

/// Texts before and after a change, read from the document as it was.
fn text_steps(
    source: &impl Source,
    doc: &DocId,
    by: usize,
    stamp: &Stamp,
    change: &Change,
) -> Result<Vec<Step>, StoreError> {
    let document = load(source, doc)?;
    let after_heads = [AutomergeHash(stamp.change.0)];
    let written = change.decode().operations;
    let is_written = |text: OpPlace| {
        let is_it = |id: &OpId| (id.counter(), id.actor().to_bytes()) == (text.0, text.1.0.as_slice());
        written.iter().any(|op| matches!(&op.obj, ObjectId::Id(id) if is_it(id)))
    };
    let mut steps = Vec::new();
    for item in document.map_range(ROOT, ..) {
        if !matches!(item.value, automerge::ValueRef::Object(ObjType::Text)) {
            continue;
        }
        let before = match change.deps().is_empty() {
            true => None,
            false => document.text_at(item.id(), change.deps()).ok(),
        };
        let after = document.text_at(item.id(), &after_heads).ok();
        // Somebody may have said that it is right as it is.
        let is_confirmed = before == after && place_of(&item.id()).is_some_and(is_written);
        if (before != after && after.as_deref() != Some("")) || is_confirmed {
            steps.push(Step { by, key: item.key.to_string(), before, after });
        }
    }
    Ok(steps)
}
