//! What stands under each key of a document, kept as changes are applied, so that neither reading nor writing a key
//! loads the document's history (R30).
//!
//! Given causal order, a value stands until an operation names it as a predecessor: that is all of Automerge's map. The
//! content of a Text is Automerge's alone: it is read from the document whenever a change touches it.

use std::collections::BTreeMap;

use automerge::legacy::{Key, ObjectId, OpType};
use automerge::{Automerge, Change, ObjType, ROOT, ReadDoc, ValueRef};
use schema::codec::{Canonical, CodecError, Reader, Writer};
use schema::doc::Value;
use schema::id::{ActorId, ChangeHash, DocId};
use schema::record::{BodyName, MAX_BODY_BYTES};

use super::view::known;
use super::{entries, load};
use crate::admission::read_body;
use crate::store::{Source, StoreError, Table, Writing, decode};

/// Values that may stand under one key: those of all that wrote it without seeing one another.
const MAX_HELD: usize = 1 << 16;

/// An operation: its counter, and its author.
pub type OpPlace = (u64, ActorId);

/// A value that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The operation that put it. The largest of those under a key is the winner's.
    pub place: OpPlace,
    /// The change that it is part of.
    pub change: ChangeHash,
    /// The value; `None` for a Text.
    pub value: Option<Value>,
}

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Register {
    /// The values, the winner last.
    pub held: Vec<Held>,
    /// The content of a Text.
    pub text: Option<String>,
}

impl Canonical for Held {
    fn write(&self, out: &mut Writer) {
        out.u64(self.place.0);
        self.place.1.write(out);
        self.change.write(out);
        match &self.value {
            None => out.u8(0),
            Some(Value::Null) => out.u8(1),
            Some(Value::Bool(flag)) => {
                out.u8(2);
                out.flag(*flag);
            }
            Some(Value::Int(number)) => {
                out.u8(3);
                out.u64(*number as u64);
            }
            Some(Value::Text(text)) => {
                out.u8(4);
                out.text(text);
            }
            Some(Value::Other(text)) => {
                out.u8(5);
                out.text(text);
            }
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let place = (input.u64("operation")?, Canonical::read(input)?);
        let change = Canonical::read(input)?;
        let value = match input.u8("value")? {
            0 => None,
            1 => Some(Value::Null),
            2 => Some(Value::Bool(input.flag("value")?)),
            3 => Some(Value::Int(input.u64("value")? as i64)),
            4 => Some(Value::Text(input.text(MAX_BODY_BYTES, "value")?)),
            5 => Some(Value::Other(input.text(MAX_BODY_BYTES, "value")?)),
            _ => return Err(CodecError::Invalid { what: "value" }),
        };
        Ok(Self { place, change, value })
    }
}

impl Canonical for Register {
    fn write(&self, out: &mut Writer) {
        out.list(&self.held, |out, held| held.write(out));
        out.option(self.text.as_ref(), |out, text| out.text(text));
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            held: input.list(MAX_HELD, "values", Canonical::read)?,
            text: input.option("text", |input| input.text(usize::MAX, "text"))?,
        })
    }
}

fn row_key(doc: &DocId, key: &str) -> Vec<u8> {
    [doc.0.as_slice(), key.as_bytes()].concat()
}

/// What stands under a key; nothing if it was never written or all of it was taken away.
pub fn register(source: &impl Source, doc: &DocId, key: &str) -> Result<Register, StoreError> {
    Ok(source.get_as(Table::Registers, &row_key(doc, key))?.unwrap_or_default())
}

/// All that stands, by key. Linear in that.
pub fn registers(source: &impl Source, doc: &DocId) -> Result<BTreeMap<String, Register>, StoreError> {
    let damaged = || StoreError::Damaged { table: Table::Registers.name() };
    let rows = source.prefixed(Table::Registers, &doc.0)?;
    rows.into_iter()
        .map(|(key, bytes)| {
            let key = key.get(doc.0.len()..).and_then(|key| std::str::from_utf8(key).ok()).ok_or_else(damaged)?;
            Ok((key.to_owned(), decode(Table::Registers, &bytes)?))
        })
        .collect()
}

/// Adds what a change puts and takes away, behind everything that it depends on. Linear in the change. `true`: it touches
/// a Text, whose content is to be [read again](renew).
pub fn add(writing: &mut Writing<'_>, doc: &DocId, change: &Change) -> Result<bool, StoreError> {
    let mut touched: BTreeMap<String, Register> = BTreeMap::new();
    let mut texts = false;
    let (hash, start) = (ChangeHash(change.hash().0), change.start_op().get());
    let actor = actor_of(change.actor_id())?;
    for (index, op) in change.decode().operations.into_iter().enumerate() {
        let (ObjectId::Root, Key::Map(key)) = (&op.obj, &op.key) else {
            texts = true;
            continue;
        };
        let register = match touched.get_mut(key.as_str()) {
            Some(register) => register,
            None => touched.entry(key.to_string()).or_insert(register(writing, doc, key)?),
        };
        for before in op.pred.iter() {
            let place = (before.counter(), actor_of(before.actor())?);
            register.held.retain(|held| held.place != place);
        }
        let place = (start + index as u64, actor);
        match op.action {
            OpType::Put(value) => register.held.push(Held { place, change: hash, value: Some(known(&value)) }),
            OpType::Make(ObjType::Text) => {
                texts = true;
                register.held.push(Held { place, change: hash, value: None });
                register.text = Some(String::new());
            }
            // R6 lets none of these through but the deletion, which puts nothing.
            OpType::Delete | OpType::Make(_) | OpType::Increment(_) | OpType::MarkBegin(_) | OpType::MarkEnd(_) => {}
        }
    }
    for (key, mut register) in touched {
        register.held.sort_unstable_by_key(|held| held.place);
        put(writing, doc, &key, &register)?;
    }
    Ok(texts)
}

fn put(writing: &mut Writing<'_>, doc: &DocId, key: &str, register: &Register) -> Result<(), StoreError> {
    match register.held.is_empty() {
        true => writing.remove(Table::Registers, &row_key(doc, key)),
        false => writing.put(Table::Registers, &row_key(doc, key), &register.to_bytes()),
    }
}

/// Reads the texts of a document again, and keeps it as saved. Where its keys are not what stands, they are made again from
/// its changes: that is a fault of this program. Linear in the document.
pub fn renew(writing: &mut Writing<'_>, doc: &DocId, document: &mut Automerge) -> Result<(), StoreError> {
    writing.put(Table::Snapshots, &doc.0, &document.save_nocompress())?;
    let mut held = registers(writing, doc)?;
    if !agree(&held, document) {
        tracing::error!(%doc, "what stands of a document is not what its changes say; it is made again from them");
        remove(writing, doc)?;
        for change in changes(writing, doc)? {
            add(writing, doc, &change)?;
        }
        held = registers(writing, doc)?;
    }
    for item in document.map_range(ROOT, ..) {
        if let (ValueRef::Object(ObjType::Text), Some(register)) = (&item.value, held.get_mut(item.key.as_ref())) {
            let text = Some(document.text(item.id()).unwrap_or_default());
            if register.text != text {
                register.text = text;
                put(writing, doc, &item.key, register)?;
            }
        }
    }
    Ok(())
}

/// Forgets what stands of a document.
pub fn remove(writing: &mut Writing<'_>, doc: &DocId) -> Result<(), StoreError> {
    for (key, _) in writing.prefixed(Table::Registers, &doc.0)? {
        writing.remove(Table::Registers, &key)?;
    }
    Ok(())
}

/// Whether a loaded document holds just what stands: the same operations under the same keys.
pub fn agree(held: &BTreeMap<String, Register>, document: &Automerge) -> bool {
    let of_document = |key: &str| -> Vec<OpPlace> {
        let all = document.get_all(ROOT, key).unwrap_or_default();
        let mut places: Vec<OpPlace> = all.iter().filter_map(|(_, id)| place_of(id)).collect();
        places.sort_unstable();
        places
    };
    let keys: Vec<String> = document.keys(ROOT).collect();
    keys.len() == held.len()
        && held.iter().all(|(key, register)| register.held.iter().map(|held| held.place).eq(of_document(key)))
}

/// The operation that an object id names.
pub(super) fn place_of(id: &automerge::ObjId) -> Option<OpPlace> {
    match id {
        automerge::ObjId::Id(counter, actor, _) => Some((*counter, actor_of(actor).ok()?)),
        automerge::ObjId::Root => None,
    }
}

fn actor_of(actor: &automerge::ActorId) -> Result<ActorId, StoreError> {
    let bytes = actor.to_bytes().try_into();
    // R6 admits no other.
    bytes.map(ActorId).map_err(|_| StoreError::Damaged { table: Table::Bodies.name() })
}

/// The changes of a document, each behind what it depends on.
fn changes(source: &impl Source, doc: &DocId) -> Result<Vec<Change>, StoreError> {
    let mut entries = entries(source, doc)?;
    entries.sort_by_key(|entry| (entry.order, entry.facts.hash));
    let read = |hash: &ChangeHash| {
        let body = read_body(source, &BodyName::Change(*hash))?;
        let body = body.ok_or(StoreError::Missing { what: "the body of a change" })?;
        Change::from_bytes(body).map_err(|_| StoreError::Damaged { table: Table::Bodies.name() })
    };
    entries.iter().map(|entry| read(&entry.facts.hash)).collect()
}

/// Whether the keys of a document, loaded with all its changes, are what stands. For tests.
pub fn is_consistent(source: &impl Source, doc: &DocId) -> Result<bool, StoreError> {
    Ok(agree(&registers(source, doc)?, &load(source, doc)?))
}
