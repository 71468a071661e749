//! Reading a document: values with who put them, texts, changes by time.

use std::collections::BTreeMap;
use std::sync::Arc;

use automerge::{Automerge, ObjType, ROOT, ReadDoc, ScalarValue, ValueRef};
use schema::doc::{AttributedValue, Clock, Stamp, Value, View};
use schema::id::{ActorId, DocId};

use super::{entries, load, row};
use crate::store::{Source, StoreError};

/// The document as its rules see it; `None` if nothing of it is applied here.
pub fn view(source: &impl Source, doc: &DocId) -> Result<Option<View>, StoreError> {
    let document = load(source, doc)?;
    view_of(source, doc, &document)
}

/// As [`view`], of a document already loaded.
pub fn view_of(source: &impl Source, doc: &DocId, document: &Automerge) -> Result<Option<View>, StoreError> {
    let Some(row) = row(source, doc)? else {
        return Ok(None);
    };
    let changes = stamps(source, doc)?;
    let placed = Placed::new(&changes);
    let mut view = View {
        id: *doc,
        scope: row.scope,
        kind: row.kind,
        facts: row.facts(),
        values: BTreeMap::new(),
        texts: BTreeMap::new(),
        changes: Vec::new(),
    };
    for item in document.map_range(ROOT, ..) {
        let key = item.key.to_string();
        if let ValueRef::Object(ObjType::Text) = item.value {
            view.texts.insert(key, document.text(item.id()).unwrap_or_default());
            continue;
        }
        let held = match item.conflict {
            false => placed.held(scalar_ref(&item.value), &item.id()).into_iter().collect(),
            true => concurrent(document, &key, &placed),
        };
        view.values.insert(key, held);
    }
    view.changes = changes;
    Ok(Some(view))
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

fn known(scalar: &ScalarValue) -> Value {
    match scalar {
        ScalarValue::Null => Value::Null,
        ScalarValue::Boolean(flag) => Value::Bool(*flag),
        ScalarValue::Int(number) => Value::Int(*number),
        ScalarValue::Str(text) => Value::Text(text.to_string()),
        other => Value::Other(other.to_string()),
    }
}

/// Stamps of all applied changes of a document, by time, then hash.
pub fn stamps(source: &impl Source, doc: &DocId) -> Result<Vec<Stamp>, StoreError> {
    let mut stamps = Vec::new();
    for entry in entries(source, doc)? {
        let site = crate::docs::history::site_of(source, entry.log)?;
        let clock: Clock = entry.facts.clock.iter().map(|(actor, last)| (*actor, last.max_op)).collect();
        stamps.push(Stamp {
            author: entry.author,
            site,
            at: entry.at,
            change: entry.facts.hash,
            actor: entry.facts.actor,
            max_op: entry.facts.max_op,
            clock: Arc::new(clock),
        });
    }
    stamps.sort_by_key(|stamp| (stamp.at, stamp.change));
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
        let automerge::ObjId::Id(counter, actor, _) = id else {
            return None;
        };
        let actor = ActorId(actor.to_bytes().try_into().ok()?);
        let (_, by) = self.by_actor.get(&actor)?.range(counter..).next()?;
        debug_assert!(*by < self.changes.len(), "an index into the stamps");
        Some(AttributedValue { value: value?, by: *by })
    }
}
