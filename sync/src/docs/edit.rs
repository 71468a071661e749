//! Making a change for somebody here. What comes out goes through the same judgement as everybody's.

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{Automerge, AutomergeError, Change, ObjType, ROOT, ReadDoc, ScalarValue};
use schema::doc::{Edits, Value};
use schema::id::ActorId;

/// Applies `edits` to `document` as one change of `actor`; `None` if they change nothing. In a genesis
/// (`birth`) texts are made; later they are edited, and the change holds the difference only.
/// Errors: a text that was not made at birth.
pub fn change(
    document: &mut Automerge,
    actor: &ActorId,
    edits: &Edits,
    birth: bool,
) -> Result<Option<Change>, AutomergeError> {
    write(document, actor, edits, (birth, false))
}

/// As [`change`], of a document that was born: what it puts is put again even where it is there already.
pub fn restate(document: &mut Automerge, actor: &ActorId, edits: &Edits) -> Result<Option<Change>, AutomergeError> {
    write(document, actor, edits, (false, true))
}

fn write(
    document: &mut Automerge,
    actor: &ActorId,
    edits: &Edits,
    (birth, again): (bool, bool),
) -> Result<Option<Change>, AutomergeError> {
    document.set_actor(automerge::ActorId::from(actor.0));
    let mut tx = document.transaction();
    for (key, value) in &edits.puts {
        match value {
            Some(value) => {
                // Automerge writes the winner's value over a conflict as a delete of the losers, which a
                // concurrent edit would not meet as a value. Settling is a value: delete all, then put.
                let held = tx.get_all(ROOT, key)?.len();
                if held > 1 || (again && held > 0) {
                    tx.delete(ROOT, key)?;
                }
                tx.put(ROOT, key, scalar(value))?;
            }
            None if tx.get(ROOT, key)?.is_some() => tx.delete(ROOT, key)?,
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
            tx.update_text(&object, text)?;
        }
    }
    let (hash, _) = tx.commit_with(CommitOptions::default().with_time(0));
    Ok(hash.and_then(|hash| document.get_change_by_hash(&hash)))
}

fn scalar(value: &Value) -> ScalarValue {
    match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(flag) => ScalarValue::Boolean(*flag),
        Value::Int(number) => ScalarValue::Int(*number),
        Value::Text(text) | Value::Other(text) => ScalarValue::Str(text.into()),
    }
}
