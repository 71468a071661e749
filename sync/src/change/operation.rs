//! The five things an operation may be (R5), and the way from Automerge's form to them.
//!
//! Whatever a rule forbids without looking at other changes has no form here, so no later check can forget it.
//! Values are not kept: no rule reads them once their type is known.

use automerge::legacy;
use automerge::{ObjType, ScalarValue};

use super::ids::{Actor, OpId};
use super::limits::MAX_KEY_BYTES;
use super::reason::Reason;

/// One operation of a change; its id is (start of the change + its place, the change's actor).
/// Predecessors are sorted by (counter, actor), each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Sets a key of the root to a scalar.
    Put {
        /// A key of the root map, 1 to 256 bytes.
        key: Box<str>,
        /// The puts this one replaces.
        predecessors: Box<[OpId]>,
    },
    /// Takes values from a key of the root; the key is gone when it held no others.
    Delete {
        /// A key of the root map, 1 to 256 bytes.
        key: Box<str>,
        /// The puts that are taken away, at least one.
        predecessors: Box<[OpId]>,
    },
    /// Makes a Text under a key of the root; genesis only.
    MakeText {
        /// A key of the root map, 1 to 256 bytes.
        key: Box<str>,
        /// The puts this Text replaces.
        predecessors: Box<[OpId]>,
    },
    /// Inserts a string into a Text.
    Insert {
        /// The operation that made the Text.
        text: OpId,
        /// The insert this one follows, `None` for the head.
        after: Option<OpId>,
    },
    /// Deletes one element of a Text.
    Erase {
        /// The operation that made the Text.
        text: OpId,
        /// The insert that is deleted, its only predecessor.
        element: OpId,
    },
}

impl Operation {
    /// The key of the root this operation touches, `None` inside a Text.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::MakeText { key, .. } => Some(key),
            Self::Insert { .. } | Self::Erase { .. } => None,
        }
    }

    /// The Text this operation is in, `None` on the root.
    pub fn text(&self) -> Option<OpId> {
        match self {
            Self::Insert { text, .. } | Self::Erase { text, .. } => Some(*text),
            Self::Put { .. } | Self::Delete { .. } | Self::MakeText { .. } => None,
        }
    }

    /// Turns Automerge's decoded form into ours, or says which rule has no room for it.
    pub(super) fn from_decoded(op: &legacy::Op) -> Result<Self, Reason> {
        match &op.obj {
            legacy::ObjectId::Root => on_root(op),
            legacy::ObjectId::Id(text) => in_text(op_id(text)?, op),
        }
    }
}

fn on_root(op: &legacy::Op) -> Result<Operation, Reason> {
    let legacy::Key::Map(key) = &op.key else {
        return Err(Reason::ElementOnRoot);
    };
    if op.insert {
        return Err(Reason::InsertOnRoot);
    }
    let key = root_key(key)?;
    let predecessors = predecessors(op)?;
    match &op.action {
        legacy::OpType::Put(value) => scalar(value).map(|()| Operation::Put { key, predecessors }),
        legacy::OpType::Delete if predecessors.is_empty() => Err(Reason::DeleteWithoutPredecessor),
        legacy::OpType::Delete => Ok(Operation::Delete { key, predecessors }),
        legacy::OpType::Make(ObjType::Text) => Ok(Operation::MakeText { key, predecessors }),
        other => Err(forbidden(other)),
    }
}

fn in_text(text: OpId, op: &legacy::Op) -> Result<Operation, Reason> {
    let legacy::Key::Seq(element) = &op.key else {
        return Err(Reason::MapKeyInText);
    };
    let element = element.as_opid().map(op_id).transpose()?;
    let predecessors = predecessors(op)?;
    match &op.action {
        legacy::OpType::Put(value) => {
            scalar(value)?;
            match (op.insert, value) {
                (false, _) => Err(Reason::OverwriteInText),
                (true, ScalarValue::Str(text)) if text.is_empty() => Err(Reason::EmptyInsert),
                (true, ScalarValue::Str(_)) if predecessors.is_empty() => {
                    Ok(Operation::Insert { text, after: element })
                }
                (true, ScalarValue::Str(_)) => Err(Reason::InsertWithPredecessor),
                (true, _) => Err(Reason::TextValueNotString),
            }
        }
        legacy::OpType::Delete if op.insert => Err(Reason::DeleteInserts),
        legacy::OpType::Delete => {
            let element = element.ok_or(Reason::DeleteOfHead)?;
            match &*predecessors {
                [] => Err(Reason::DeleteWithoutPredecessor),
                [only] if *only == element => Ok(Operation::Erase { text, element }),
                _ => Err(Reason::PredecessorNotTheElement),
            }
        }
        legacy::OpType::Make(ObjType::Text) => Err(Reason::ObjectInText),
        other => Err(forbidden(other)),
    }
}

/// Actions that have no form here. The scan refuses them too; this keeps the rule beside the forms.
fn forbidden(action: &legacy::OpType) -> Reason {
    match action {
        legacy::OpType::Make(_) => Reason::NestedObject,
        legacy::OpType::Increment(_) => Reason::Increment,
        legacy::OpType::MarkBegin(_) | legacy::OpType::MarkEnd(_) => Reason::Mark,
        legacy::OpType::Put(_) | legacy::OpType::Delete => Reason::UnknownAction,
    }
}

/// The scalar types a document may hold (R5).
fn scalar(value: &ScalarValue) -> Result<(), Reason> {
    match value {
        ScalarValue::Null
        | ScalarValue::Boolean(_)
        | ScalarValue::Int(_)
        | ScalarValue::Uint(_)
        | ScalarValue::F64(_)
        | ScalarValue::Str(_)
        | ScalarValue::Bytes(_) => Ok(()),
        ScalarValue::Counter(_) => Err(Reason::CounterValue),
        ScalarValue::Timestamp(_) => Err(Reason::TimestampValue),
        ScalarValue::Unknown { .. } => Err(Reason::UnknownValueType),
    }
}

fn root_key(key: &str) -> Result<Box<str>, Reason> {
    match key.len() as u64 {
        0 => Err(Reason::EmptyKey),
        1..=MAX_KEY_BYTES => Ok(key.into()),
        _ => Err(Reason::KeyTooLong),
    }
}

fn predecessors(op: &legacy::Op) -> Result<Box<[OpId]>, Reason> {
    let ids = op.pred.iter().map(op_id).collect::<Result<Box<[_]>, _>>()?;
    if ids.is_sorted_by(|a, b| a < b) { Ok(ids) } else { Err(Reason::PredecessorTwice) }
}

fn op_id(id: &legacy::OpId) -> Result<OpId, Reason> {
    let actor = Actor::from_slice(id.actor().to_bytes()).ok_or(Reason::ActorLength)?;
    Ok(OpId { counter: id.counter(), actor })
}
