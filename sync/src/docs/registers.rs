//! What stands under each key of a document, kept as changes are applied, so that neither reading nor writing a key
//! loads the document's history (R30).
//!
//! Given causal order, a value stands until an operation names it as a predecessor: that is all of Automerge's map. The
//! content of a Text is Automerge's alone: it is read from the document whenever a change touches it.

use std::collections::BTreeMap;

use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType};
use automerge::{Automerge, Change, ObjType, ROOT, ReadDoc, ScalarValue, ValueRef};
use schema::codec::{Canonical, CodecError, Reader, Writer};
use schema::doc::Value;
use schema::id::{ActorId, ChangeHash, DocId};

use super::view::known;
use super::{changes, load};
use crate::store::{Source, StoreError, Table, Writing, decode};

/// Bytes of a text in a row: rows hold what was admitted, whose bounds are R6's.
const MAX_TEXT_BYTES: usize = u32::MAX as usize;

/// An operation: its counter, and its author.
pub type OpPlace = (u64, ActorId);

/// What a put gave a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A scalar.
    Value(Value),
    /// A Text, as it reads now.
    Text(String),
}

/// A value that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The operation that put it. The largest of those under a key is the winner's.
    pub place: OpPlace,
    /// The change that it is part of.
    pub change: ChangeHash,
    /// The value.
    pub content: Content,
}

/// The row of a value that stands: its key in the table says which document, key and operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The change that it is part of.
    pub change: ChangeHash,
    /// The value.
    pub content: Content,
}

impl Canonical for Row {
    fn write(&self, out: &mut Writer) {
        self.change.write(out);
        match &self.content {
            Content::Text(text) => {
                out.u8(0);
                out.text(text);
            }
            Content::Value(Value::Null) => out.u8(1),
            Content::Value(Value::Bool(flag)) => {
                out.u8(2);
                out.flag(*flag);
            }
            Content::Value(Value::Int(number)) => {
                out.u8(3);
                out.u64(*number as u64);
            }
            Content::Value(Value::Text(text)) => {
                out.u8(4);
                out.text(text);
            }
            Content::Value(Value::Other(text)) => {
                out.u8(5);
                out.text(text);
            }
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let change = Canonical::read(input)?;
        let content = match input.u8("value")? {
            0 => Content::Text(input.text(MAX_TEXT_BYTES, "text")?),
            1 => Content::Value(Value::Null),
            2 => Content::Value(Value::Bool(input.flag("value")?)),
            3 => Content::Value(Value::Int(input.u64("value")? as i64)),
            4 => Content::Value(Value::Text(input.text(MAX_TEXT_BYTES, "value")?)),
            5 => Content::Value(Value::Other(input.text(MAX_TEXT_BYTES, "value")?)),
            _ => return Err(CodecError::Invalid { what: "value" }),
        };
        Ok(Self { change, content })
    }
}

/// What the rows of a key begin with: its length stands before it, so that no key is the beginning of another.
fn prefix(doc: &DocId, key: &str) -> Vec<u8> {
    [doc.0.as_slice(), &(key.len() as u32).to_be_bytes(), key.as_bytes()].concat()
}

fn row_key(doc: &DocId, key: &str, (counter, actor): &OpPlace) -> Vec<u8> {
    [prefix(doc, key).as_slice(), &counter.to_be_bytes(), &actor.0].concat()
}

/// The key of the document, and the value, of a row.
fn read_row(doc: &DocId, (row, bytes): &(Vec<u8>, Vec<u8>)) -> Result<(String, Held), StoreError> {
    let parts = || {
        let (length, rest) = row.get(doc.0.len()..)?.split_at_checked(4)?;
        let (key, place) = rest.split_at_checked(u32::from_be_bytes(length.try_into().ok()?) as usize)?;
        let (counter, actor) = place.split_at_checked(8)?;
        let place = (u64::from_be_bytes(counter.try_into().ok()?), ActorId(actor.try_into().ok()?));
        Some((std::str::from_utf8(key).ok()?.to_owned(), place))
    };
    let (key, place) = parts().ok_or(StoreError::Damaged { table: Table::Registers.name() })?;
    let Row { change, content } = decode(Table::Registers, bytes)?;
    Ok((key, Held { place, change, content }))
}

/// What stands under a key, the winner last; nothing if it was never written or all of it was taken away.
pub fn register(source: &impl Source, doc: &DocId, key: &str) -> Result<Vec<Held>, StoreError> {
    let rows = source.prefixed(Table::Registers, &prefix(doc, key))?;
    rows.iter().map(|row| read_row(doc, row).map(|(_, held)| held)).collect()
}

/// All that stands, by key, the winner last. Linear in that.
pub fn registers(source: &impl Source, doc: &DocId) -> Result<BTreeMap<String, Vec<Held>>, StoreError> {
    let mut registers: BTreeMap<String, Vec<Held>> = BTreeMap::new();
    for row in source.prefixed(Table::Registers, &doc.0)? {
        let (key, held) = read_row(doc, &row)?;
        registers.entry(key).or_default().push(held);
    }
    Ok(registers)
}

/// A Text that a change makes, as far as it was written straight on: then its content is known without Automerge.
struct Written {
    key: String,
    text: String,
    /// The last element; `None`: there is none yet.
    last: Option<u64>,
}

/// Adds what a change puts and takes away, behind everything that it depends on. Linear in the change. `true`: it touches
/// a Text, whose content is to be [read again](renew); not if it makes it and writes it straight on, as births do.
pub fn add(writing: &mut Writing<'_>, doc: &DocId, change: &Change) -> Result<bool, StoreError> {
    let mut texts = false;
    let mut written: BTreeMap<u64, Written> = BTreeMap::new();
    let (hash, start) = (ChangeHash(change.hash().0), change.start_op().get());
    let actor = actor_of(change.actor_id())?;
    for (index, op) in change.decode().operations.into_iter().enumerate() {
        let counter = start + index as u64;
        let (ObjectId::Root, Key::Map(key)) = (&op.obj, &op.key) else {
            texts |= !goes_straight_on(&mut written, &op, counter, &actor);
            continue;
        };
        for before in op.pred.iter() {
            let place = (before.counter(), actor_of(before.actor())?);
            writing.remove(Table::Registers, &row_key(doc, key, &place))?;
        }
        let content = match op.action {
            OpType::Put(value) => Content::Value(known(&value)),
            OpType::Make(ObjType::Text) => {
                written.insert(counter, Written { key: key.to_string(), text: String::new(), last: None });
                continue;
            }
            // R6 lets none of these through but the deletion, which puts nothing.
            OpType::Delete | OpType::Make(_) | OpType::Increment(_) | OpType::MarkBegin(_) | OpType::MarkEnd(_) => {
                continue;
            }
        };
        let row = Row { change: hash, content };
        writing.put(Table::Registers, &row_key(doc, key, &(counter, actor)), &row.to_bytes())?;
    }
    for (counter, Written { key, text, .. }) in written {
        let row = Row { change: hash, content: Content::Text(text) };
        writing.put(Table::Registers, &row_key(doc, &key, &(counter, actor)), &row.to_bytes())?;
    }
    Ok(texts)
}

/// Takes an insert that follows the one before it in a Text that the same change made; `false` for any other operation.
fn goes_straight_on(written: &mut BTreeMap<u64, Written>, op: &Op, counter: u64, author: &ActorId) -> bool {
    let is_its = |id: &OpId| id.actor().to_bytes() == author.0;
    let ObjectId::Id(made) = &op.obj else {
        return false;
    };
    let Some(text) = written.get_mut(&made.counter()).filter(|_| is_its(made)) else {
        return false;
    };
    let follows = match &op.key {
        Key::Seq(ElementId::Head) => text.last.is_none(),
        Key::Seq(ElementId::Id(before)) => is_its(before) && text.last == Some(before.counter()),
        Key::Map(_) => false,
    };
    match &op.action {
        OpType::Put(ScalarValue::Str(letters)) if op.insert && follows => {
            text.text.push_str(letters);
            text.last = Some(counter);
            true
        }
        _ => false,
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
        for change in changes(writing, doc, |_| true)? {
            add(writing, doc, &change)?;
        }
        held = registers(writing, doc)?;
    }
    for item in document.map_range(ROOT, ..) {
        let (ValueRef::Object(ObjType::Text), Some(place)) = (&item.value, place_of(&item.id())) else {
            continue;
        };
        let text = document.text(item.id()).unwrap_or_default();
        let of_key = held.remove(item.key.as_ref()).unwrap_or_default();
        if let Some(known) = of_key.into_iter().find(|known| known.place == place)
            && known.content != Content::Text(text.clone())
        {
            let row = Row { change: known.change, content: Content::Text(text) };
            writing.put(Table::Registers, &row_key(doc, &item.key, &place), &row.to_bytes())?;
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
pub fn agree(held: &BTreeMap<String, Vec<Held>>, document: &Automerge) -> bool {
    let of_document = |key: &str| -> Vec<OpPlace> {
        let all = document.get_all(ROOT, key).unwrap_or_default();
        let mut places: Vec<OpPlace> = all.iter().filter_map(|(_, id)| place_of(id)).collect();
        places.sort_unstable();
        places
    };
    let keys: Vec<String> = document.keys(ROOT).collect();
    keys.len() == held.len()
        && held.iter().all(|(key, register)| register.iter().map(|held| held.place).eq(of_document(key)))
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

/// Whether the keys of a document, loaded with all its changes, are what stands. For tests.
pub fn is_consistent(source: &impl Source, doc: &DocId) -> Result<bool, StoreError> {
    Ok(agree(&registers(source, doc)?, &load(source, doc)?))
}
