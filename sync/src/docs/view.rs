//! Reading a document: values with who put them, texts, changes by time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use automerge::{Automerge, ObjType, ROOT, ReadDoc, ScalarValue, ValueRef};
use schema::doc::{AttributedValue, Stamp, Value, View};
use schema::id::{ActorId, ChangeHash, DocId, SiteId};
use schema::time::Hlc;

use super::history::{site_of, steps};
use super::registers::{Content, Held, place_of, registers};
use super::{entries, entry_by_hash, load, row};
use crate::store::rows::{DocRow, IndexEntry, Summary};
use crate::store::{LogNo, Source, StoreError};

/// The document as its rules see it, with the changes whose values it shows; `None` if nothing of it is applied here.
/// Linear in what it shows, whatever its history (R30).
pub fn view(source: &impl Source, doc: &DocId) -> Result<Option<View>, StoreError> {
    let Some(row) = row(source, doc)? else {
        return Ok(None);
    };
    // What a tainted value is to be set beside stands in the history.
    if row.summary.tainted {
        match whole(source, doc) {
            // It shows without what to go back to.
            Err(StoreError::Damaged { .. }) => tracing::error!(%doc, "the history of a document cannot be read"),
            read => return read,
        }
    }
    let registers = registers(source, doc)?;
    let shown: BTreeSet<ChangeHash> = registers.values().flatten().map(|held| held.change).collect();
    let mut entries = Vec::with_capacity(shown.len());
    for hash in shown {
        let found = entry_by_hash(source, &hash)?;
        entries.push(found.ok_or(StoreError::Missing { what: "the index entry of a change" })?.1);
    }
    let before = entries.iter().map(|entry| entry.ordered_before.clone()).collect();
    let changes = stamps(source, entries, before)?;
    let index: HashMap<ChangeHash, usize> = changes.iter().map(|stamp| stamp.change).zip(0..).collect();
    let mut view = empty(source, doc, &row)?;
    for (key, mut register) in registers {
        // The winner says whether a Text or a value is shown.
        if let Some(Held { content: Content::Text(text), .. }) = register.last_mut() {
            view.texts.insert(key, std::mem::take(text));
            continue;
        }
        let attributed = |held: Held| match held.content {
            Content::Value(value) => Some(AttributedValue { value, by: index.get(&held.change).copied()? }),
            Content::Text(_) => None,
        };
        view.values.insert(key, register.into_iter().rev().filter_map(attributed).collect());
    }
    view.changes = changes;
    Ok(Some(view))
}

fn empty(source: &impl Source, doc: &DocId, row: &DocRow) -> Result<View, StoreError> {
    let Summary { first, last_at, .. } = row.summary;
    // What answered a clock that was ahead takes its date from the document (R28). Linear in the heads.
    let mut of_heads = Hlc::default();
    for head in &row.heads {
        of_heads = of_heads.max(entry_by_hash(source, head)?.map_or(Hlc::default(), |(_, entry)| entry.at));
    }
    Ok(View {
        id: *doc,
        scope: row.scope,
        kind: row.kind,
        facts: row.facts(),
        values: BTreeMap::new(),
        texts: BTreeMap::new(),
        untainted: BTreeMap::new(),
        changes: Vec::new(),
        first_at: first.map(|(_, _, at)| at).unwrap_or_default().timestamp(),
        last_at: last_at.map(|last| last.min(of_heads).timestamp()),
    })
}

/// As [`view`], with all changes of the document. Linear in those.
pub fn whole(source: &impl Source, doc: &DocId) -> Result<Option<View>, StoreError> {
    let Some(row) = row(source, doc)? else {
        return Ok(None);
    };
    let document = load(source, doc)?;
    let entries = entries(source, doc)?;
    let before = entries.iter().map(|entry| entry.facts.dependencies.to_vec()).collect();
    let changes = stamps(source, entries, before)?;
    let placed = Placed::new(&changes);
    let mut view = empty(source, doc, &row)?;
    for item in document.map_range(ROOT, ..) {
        let key = item.key.to_string();
        if let ValueRef::Object(ObjType::Text) = item.value {
            view.texts.insert(key, document.text(item.id()).unwrap_or_default());
            continue;
        }
        let held = match item.conflict {
            false => placed.held(scalar_ref(&item.value), &item.id()).into_iter().collect(),
            true => concurrent(&document, &key, &placed),
        };
        view.values.insert(key, held);
    }
    view.changes = changes;
    if view.changes.iter().any(|stamp| stamp.tainted) {
        view.untainted = untainted(source, &view)?;
    }
    Ok(Some(view))
}

/// What stood last under the keys that show a tainted change's value: beside it, people see what to go back to (R19).
/// Linear in the changes of the document.
fn untainted(source: &impl Source, view: &View) -> Result<BTreeMap<String, Option<String>>, StoreError> {
    let is_tainted = |by: usize| view.changes.get(by).is_some_and(|stamp| stamp.tainted);
    let mut last: BTreeMap<String, (bool, Option<String>)> = BTreeMap::new();
    for step in steps(source, view)? {
        let known = last.entry(step.key).or_default();
        known.0 = is_tainted(step.by);
        if !known.0 {
            known.1 = step.after;
        }
    }
    let shows = |(key, (is_last, before)): (String, (bool, Option<String>))| {
        let held = view.values.get(&key).map(Vec::as_slice).unwrap_or_default();
        let stands = |value: &Value| held.iter().any(|held| held.value == *value && !is_tainted(held.by));
        let is_shown = held.iter().any(|held| !stands(&held.value)) || (held.is_empty() && is_last);
        is_shown.then_some((key, before))
    };
    Ok(last.into_iter().filter_map(shows).collect())
}

/// Concurrent values of one key, the winner first.
fn concurrent(document: &Automerge, key: &str, placed: &Placed<'_>) -> Vec<AttributedValue> {
    let all = document.get_all(ROOT, key).unwrap_or_default();
    let scalar = |value: &automerge::Value<'_>| value.as_scalar().map(known);
    // Automerge lists the winner last.
    all.iter().rev().filter_map(|(value, id)| placed.held(scalar(value), id)).collect()
}

fn scalar_ref(value: &ValueRef<'_>) -> Option<Value> {
    match value {
        ValueRef::Object(_) => None,
        ValueRef::Scalar(scalar) => Some(known(&scalar.to_owned().into())),
    }
}

pub(super) fn known(scalar: &ScalarValue) -> Value {
    match scalar {
        ScalarValue::Null => Value::Null,
        ScalarValue::Boolean(flag) => Value::Bool(*flag),
        ScalarValue::Int(number) => Value::Int(*number),
        ScalarValue::Str(text) => Value::Text(text.to_string()),
        // Never written by us; what is shown of it does not grow with it.
        ScalarValue::Bytes(bytes) => Value::Other(format!("{} bytes", bytes.len())),
        other => Value::Other(other.to_string()),
    }
}

/// Stamps of applied changes of a document, by order, then hash; each with what is to stand as its dependencies. Linear in
/// both.
fn stamps(
    source: &impl Source,
    entries: Vec<IndexEntry>,
    before: Vec<Vec<ChangeHash>>,
) -> Result<Vec<Stamp>, StoreError> {
    let mut entries: Vec<(IndexEntry, Vec<ChangeHash>)> = entries.into_iter().zip(before).collect();
    entries.sort_by_key(|(entry, _)| (entry.order, entry.facts.hash));
    let index: HashMap<ChangeHash, usize> = entries.iter().map(|(entry, _)| entry.facts.hash).zip(0..).collect();
    let mut sites: HashMap<LogNo, SiteId> = HashMap::new();
    let mut stamps: Vec<Stamp> = Vec::with_capacity(entries.len());
    for (entry, before) in entries {
        let site = match sites.get(&entry.log) {
            Some(site) => *site,
            None => *sites.entry(entry.log).or_insert(site_of(source, entry.log)?),
        };
        let known = before.iter().filter_map(|hash| index.get(hash).copied());
        let dependencies: Vec<usize> = known.filter(|before| *before < stamps.len()).collect();
        stamps.push(Stamp {
            author: entry.author,
            site,
            at: entry.at,
            order: entry.order,
            doubt: entry.doubt,
            tainted: entry.tainted,
            change: entry.facts.hash,
            actor: entry.facts.actor,
            max_op: entry.facts.max_op,
            dependencies,
        });
    }
    Ok(stamps)
}

/// Finds the change that made an operation: each actor's changes by their last operation.
struct Placed<'c> {
    changes: &'c [Stamp],
    by_actor: BTreeMap<ActorId, BTreeMap<u64, usize>>,
}

impl<'c> Placed<'c> {
    fn new(changes: &'c [Stamp]) -> Self {
        let mut by_actor: BTreeMap<ActorId, BTreeMap<u64, usize>> = BTreeMap::new();
        for (index, stamp) in changes.iter().enumerate() {
            by_actor.entry(stamp.actor).or_default().insert(stamp.max_op, index);
        }
        Self { changes, by_actor }
    }

    fn held(&self, value: Option<Value>, id: &automerge::ObjId) -> Option<AttributedValue> {
        let (counter, actor) = place_of(id)?;
        let (_, by) = self.by_actor.get(&actor)?.range(counter..).next()?;
        debug_assert!(*by < self.changes.len(), "an index into the stamps");
        Some(AttributedValue { value: value?, by: *by })
    }
}
