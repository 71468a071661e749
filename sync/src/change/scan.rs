//! The first gate: envelope and run lengths, before Automerge sees a byte.
//!
//! Half a microsecond for an honest change, and bound by the length of the chunk for any other: what a change
//! would expand to is known before anything is expanded (R6).

use super::columns::{Columns, Counts};
use super::ids::{Actor, Hash, MAGIC};
use super::limits::{MAX_COUNTER, MAX_OTHER_ACTORS, MAX_SEQ};
use super::reason::Reason;
use super::varint::Reader;

/// The chunk type of an uncompressed change.
const CHANGE: u8 = 1;

/// What the envelope of a change says; nothing in it is checked against any other change yet.
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    /// The actor the change names as its author.
    pub actor: Actor,
    /// The change's place among those of its actor, from 1.
    pub seq: u64,
    /// The counter of the first operation, from 1.
    pub start_op: u64,
    /// The actors that operations name beside the author, at most [`MAX_OTHER_ACTORS`].
    pub other_actors: Vec<Actor>,
    dependencies: &'a [[u8; Hash::LEN]],
    counts: Counts,
}

/// Reads the envelope and walks the columns of `chunk` by run lengths (R6 scan); decodes nothing.
/// The checksum is left to [`super::parse`], which compares all bytes.
pub fn scan(chunk: &[u8]) -> Result<Scan<'_>, Reason> {
    let mut reader = body(chunk)?;
    let dependencies = dependencies(&mut reader)?;
    let actor = actor(&mut reader)?;
    let seq = reader.unsigned().ok_or(Reason::BrokenField)?;
    let start_op = reader.unsigned().ok_or(Reason::BrokenField)?;
    if reader.signed().ok_or(Reason::BrokenField)? != 0 {
        return Err(Reason::HasTime);
    }
    if reader.unsigned().ok_or(Reason::BrokenField)? != 0 {
        return Err(Reason::HasMessage);
    }
    let others = reader.unsigned().ok_or(Reason::BrokenField)?;
    if others > MAX_OTHER_ACTORS {
        return Err(Reason::TooManyActors);
    }
    let other_actors = (0..others).map(|_| self::actor(&mut reader)).collect::<Result<Vec<_>, _>>()?;
    let counts = Columns::read(&mut reader)?.count(others + 1)?;
    if !dependencies.is_sorted_by(|a, b| a < b) {
        return Err(Reason::DependenciesNotSorted);
    }
    if !(1..=MAX_SEQ).contains(&seq) {
        return Err(Reason::SeqOutOfRange);
    }
    if start_op == 0 || start_op > MAX_COUNTER || start_op + counts.operations - 1 > MAX_COUNTER {
        return Err(Reason::LastOperationTooHigh);
    }
    Ok(Scan { actor, seq, start_op, other_actors, dependencies, counts })
}

impl Scan<'_> {
    /// The changes this one depends on, sorted, each once.
    pub fn dependencies(&self) -> impl Iterator<Item = Hash> {
        self.dependencies.iter().copied().map(Hash)
    }

    /// How many operations the change holds, at least 1.
    pub fn operations(&self) -> u64 {
        self.counts.operations
    }

    /// How many of the operations are on the root map.
    pub fn root_operations(&self) -> u64 {
        self.counts.root_operations
    }

    /// How many predecessors the operations name together.
    pub fn predecessors(&self) -> u64 {
        self.counts.predecessors
    }

    /// Bytes of keys and values, run lengths expanded.
    pub fn expanded_bytes(&self) -> u64 {
        self.counts.expanded_bytes
    }

    /// The counter of the last operation.
    pub fn max_op(&self) -> u64 {
        self.start_op + self.counts.operations - 1
    }
}

/// Checks the header and answers the body, which is all that follows it.
fn body(chunk: &[u8]) -> Result<Reader<'_>, Reason> {
    let mut reader = Reader(chunk);
    if reader.array() != Some(MAGIC) {
        return Err(Reason::NotAChunk);
    }
    let _checksum: [u8; 4] = reader.array().ok_or(Reason::NotAChunk)?;
    if reader.byte().ok_or(Reason::NotAChunk)? != CHANGE {
        return Err(Reason::WrongChunkType);
    }
    let length = reader.unsigned().ok_or(Reason::BrokenField)?;
    if length == reader.0.len() as u64 { Ok(reader) } else { Err(Reason::WrongChunkLength) }
}

fn dependencies<'a>(reader: &mut Reader<'a>) -> Result<&'a [[u8; Hash::LEN]], Reason> {
    let count = reader.unsigned().ok_or(Reason::BrokenField)?;
    let bytes = count.checked_mul(Hash::LEN as u64).and_then(|length| reader.take(length));
    Ok(bytes.ok_or(Reason::BrokenField)?.as_chunks().0)
}

fn actor(reader: &mut Reader<'_>) -> Result<Actor, Reason> {
    let length = reader.unsigned().ok_or(Reason::BrokenField)?;
    let bytes = reader.take(length).ok_or(Reason::BrokenField)?;
    Actor::from_slice(bytes).ok_or(Reason::ActorLength)
}
