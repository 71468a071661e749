//! Making a change for somebody here. What comes out goes through the same judgement as everybody's.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use automerge::legacy::{Key, ObjectId, Op, OpId, OpType};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{Automerge, AutomergeError, Change, ExpandedChange, ObjType, ROOT, ReadDoc, ScalarValue};
use schema::doc::{Edits, Value};
use schema::id::{ActorId, DocId};

use super::StoredHistory;
use super::registers::{Content, Held, OpPlace, register};
use crate::change::History as _;
use crate::change::limits::MAX_OTHER_ACTORS;
use crate::store::{Source, StoreError};

/// Applies `edits` to `document` as one change of `actor`; `None` if they change nothing. In a genesis
/// (`birth`) texts are made; later they are edited, and the change holds the difference only.
/// Errors: a text that was not made at birth.
pub fn change(
    document: &mut Automerge,
    actor: &ActorId,
    edits: &Edits,
    birth: bool,
) -> Result<Option<Change>, AutomergeError> {
    document.set_actor(automerge::ActorId::from(actor.0));
    let mut tx = document.transaction();
    for (key, value) in &edits.puts {
        match value {
            Some(value) => {
                // Automerge writes the winner's value over a conflict as a delete of the losers, which a
                // concurrent edit would not meet as a value. Settling is a value: delete all, then put.
                let held = tx.get_all(ROOT, key)?.len();
                if held > 1 || (edits.again && held > 0) {
                    tx.delete(ROOT, key)?;
                }
                tx.put(ROOT, key, scalar(value))?;
            }
            None if tx.get(ROOT, key)?.is_some() => tx.delete(ROOT, key)?,
            // There is nothing to delete, and a change has to say so.
            None if edits.again => {
                tx.put(ROOT, key, ScalarValue::Null)?;
                tx.delete(ROOT, key)?;
            }
            None => {}
        }
    }
    for (key, text) in &edits.texts {
        if birth {
            let made = tx.put_object(ROOT, key, ObjType::Text)?;
            tx.splice_text(&made, 0, 0, text)?;
        } else {
            let found = tx.get(ROOT, key)?.filter(|(value, _)| value.is_object());
            let (_, object) = found.ok_or(AutomergeError::InvalidObjId(key.clone()))?;
            let before = tx.pending_ops();
            tx.update_text(&object, text)?;
            if edits.again && tx.pending_ops() == before {
                // A letter that comes and goes leaves every other one where it is, also what others write meanwhile.
                let end = tx.length(&object);
                tx.splice_text(&object, end, 0, " ")?;
                tx.splice_text(&object, end, 1, "")?;
            }
        }
    }
    let (hash, _) = tx.commit_with(CommitOptions::default().with_time(0));
    Ok(hash.and_then(|hash| document.get_change_by_hash(&hash)))
}

/// As [`change`], of a document that was born and texts that are left alone: from what stands, without loading it (R30).
/// `None` if the edits change nothing. Linear in the keys written.
pub fn quick(source: &impl Source, doc: &DocId, actor: &ActorId, edits: &Edits) -> Result<Option<Change>, StoreError> {
    let history = StoredHistory::new(source, *doc);
    let last = history.last(actor)?;
    let mut deps = history.heads()?;
    // The changes of an actor follow one another.
    deps.extend(last.as_ref().map(|last| last.hash));
    deps.sort_unstable();
    deps.dedup();
    let mut max_op = 0;
    for hash in &deps {
        let facts = history.by_hash(hash)?.ok_or(StoreError::Missing { what: "the index entry of a change" })?;
        max_op = max_op.max(facts.max_op);
    }
    let mut operations = Vec::new();
    let mut say = |action: OpType, key: &str, before: &[OpPlace]| {
        let pred = before.iter().map(|(counter, actor)| OpId::new(*counter, &automerge::ActorId::from(actor.0)));
        let (obj, key, at) = (ObjectId::Root, Key::Map(key.into()), max_op + 1 + operations.len() as u64);
        operations.push(Op { action, obj, key, pred: pred.collect(), insert: false });
        (at, *actor)
    };
    let mut others = BTreeSet::from([*actor]);
    for (key, value) in &edits.puts {
        let held = register(source, doc, key)?;
        match (value, held.as_slice()) {
            // As in `change`, here and below.
            (None, []) if edits.again => {
                let put = say(OpType::Put(ScalarValue::Null), key, &[]);
                say(OpType::Delete, key, &[put]);
            }
            (None, []) => {}
            (None, held) => {
                say(OpType::Delete, key, &nameable(held, &mut others));
            }
            (Some(value), [Held { content: Content::Value(known), .. }]) if known == value && !edits.again => {}
            (Some(value), held) => {
                let settles = held.len() > 1 || (edits.again && !held.is_empty());
                if settles {
                    say(OpType::Delete, key, &nameable(held, &mut others));
                }
                let before = if settles { Vec::new() } else { held.iter().map(|held| held.place).collect() };
                say(OpType::Put(scalar(value)), key, &before);
            }
        }
    }
    let start_op = NonZeroU64::new(max_op + 1).filter(|_| !operations.is_empty());
    Ok(start_op.map(|start_op| {
        Change::from(ExpandedChange {
            operations,
            actor_id: automerge::ActorId::from(actor.0),
            hash: None,
            seq: last.map_or(0, |last| last.seq) + 1,
            start_op,
            time: 0,
            message: None,
            deps: deps.into_iter().map(|hash| automerge::ChangeHash(hash.0)).collect(),
            extra_bytes: Vec::new(),
            author: None,
        })
    }))
}

/// The values of a key that a change may name with those named before, the winner first of all: R6 allows so many authors.
/// What is left over is settled by the next edits (A14).
fn nameable(held: &[Held], actors: &mut BTreeSet<ActorId>) -> Vec<OpPlace> {
    let mut from = held.len();
    while let Some(one) = from.checked_sub(1).and_then(|at| held.get(at)) {
        if actors.len() as u64 > MAX_OTHER_ACTORS && !actors.contains(&one.place.1) {
            break;
        }
        actors.insert(one.place.1);
        from -= 1;
    }
    held[from..].iter().map(|held| held.place).collect()
}

fn scalar(value: &Value) -> ScalarValue {
    match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(flag) => ScalarValue::Boolean(*flag),
        Value::Int(number) => ScalarValue::Int(*number),
        Value::Text(text) | Value::Other(text) => ScalarValue::Str(text.into()),
    }
}
