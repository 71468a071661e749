//! What a change says, so that it can be said again: by its site after a fork (R20), by a person who adopts it (R12).

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::legacy::{Key, ObjectId, OpType};
use automerge::{Automerge, Change, ChangeHash as AutomergeHash, ObjType, ROOT, ReadDoc, TextEncoding, ValueRef};
use schema::doc::Edits;
use schema::id::ChangeHash;
use schema::record::BodyName;

use super::view::known;
use crate::admission::read_body;
use crate::change::{Genesis, History as _, MemoryHistory, Parsed, Verdict, judge, parse, scan};
use crate::store::{Source, StoreError};

/// What a change says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What it puts under which keys, and the texts as it leaves them.
    pub edits: Edits,
    /// What its author had seen.
    pub after: Vec<ChangeHash>,
}

/// Reads what a change says, from it and its ancestors alone, whether they stand or not. `None` if one of them is not
/// held, or breaks a rule. At most quadratic in the ancestors, by a lookup each.
pub fn content(source: &impl Source, change: &ChangeHash) -> Result<Option<Content>, StoreError> {
    let mut bodies: BTreeMap<ChangeHash, Vec<u8>> = BTreeMap::new();
    let mut left = vec![*change];
    let mut after = Vec::new();
    while let Some(hash) = left.pop() {
        if bodies.contains_key(&hash) {
            continue;
        }
        let Some(body) = read_body(source, &BodyName::Change(hash))? else {
            return Ok(None);
        };
        let Ok(dependencies) = scan(&body).map(|scan| scan.dependencies().collect::<Vec<_>>()) else {
            return Ok(None);
        };
        if hash == *change {
            after.clone_from(&dependencies);
        }
        left.extend(dependencies);
        bodies.insert(hash, body);
    }
    let read = AssertUnwindSafe(|| edits(bodies, change));
    Ok(catch_unwind(read).ok().flatten().map(|edits| Content { edits, after }))
}

fn edits(bodies: BTreeMap<ChangeHash, Vec<u8>>, wanted: &ChangeHash) -> Option<Edits> {
    let mut changes = in_order(bodies)?;
    let mut document = Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint);
    // Nothing here depends on it.
    let change = changes.pop().filter(|change| change.hash().0 == wanted.0)?;
    document.apply_changes(changes).ok()?;
    let before: BTreeMap<String, String> = texts(&document);
    let mut edits = Edits::default();
    for op in &change.decode().operations {
        let (ObjectId::Root, Key::Map(key)) = (&op.obj, &op.key) else {
            continue;
        };
        match &op.action {
            OpType::Put(value) => edits.put(key.as_str(), known(value)),
            // Settling deletes all values and puts one.
            OpType::Delete => drop(edits.puts.entry(key.to_string()).or_insert(None)),
            OpType::Make(_) | OpType::Increment(_) | OpType::MarkBegin(_) | OpType::MarkEnd(_) => {}
        }
    }
    document.apply_changes([change]).ok()?;
    let is_whole = document.get_change_by_hash(&AutomergeHash(wanted.0)).is_some();
    let texts = texts(&document).into_iter().filter(|(key, text)| before.get(key) != Some(text));
    edits.texts = texts.collect();
    is_whole.then_some(edits)
}

/// The changes, each behind what it depends on; `None` if one breaks a rule that Automerge is not given (R6). Their
/// authors are not looked at: a record that nobody judged is read.
fn in_order(bodies: BTreeMap<ChangeHash, Vec<u8>>) -> Option<Vec<Change>> {
    let mut parsed = bodies.into_values().map(|body| parse(&body).ok()).collect::<Option<Vec<_>>>()?;
    let (mut history, mut changes) = (MemoryHistory::default(), Vec::with_capacity(parsed.len()));
    while !parsed.is_empty() {
        let known =
            |parsed: &Parsed| parsed.dependencies().iter().all(|hash| matches!(history.by_hash(hash), Ok(Some(_))));
        let next = parsed.swap_remove(parsed.iter().position(known)?);
        let place = if next.dependencies().is_empty() { Genesis::Random } else { Genesis::No };
        let Ok(Verdict::Applied(facts)) = judge(&next, next.actor(), place, &history) else {
            return None;
        };
        if !history.insert(facts, &next) {
            return None;
        }
        changes.push(next.into_change());
    }
    Some(changes)
}

fn texts(document: &Automerge) -> BTreeMap<String, String> {
    let items = document.map_range(ROOT, ..).filter(|item| matches!(item.value, ValueRef::Object(ObjType::Text)));
    items.filter_map(|item| Some((item.key.to_string(), document.text(item.id()).ok()?))).collect()
}
