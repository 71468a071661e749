//! The second gate: Automerge decodes, encodes again, and the bytes must be the same (R6).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use automerge::Change;

use super::ids::{Actor, Hash};
use super::operation::Operation;
use super::reason::Reason;
use super::scan::{Scan, scan};

/// A change whose bytes are canonical. Whether it fits its document is for [`super::judge`] to say; until then
/// [`Parsed::change`] must not reach one.
#[derive(Clone, Debug)]
pub struct Parsed {
    change: Change,
    hash: Hash,
    actor: Actor,
    seq: u64,
    start_op: u64,
    dependencies: Vec<Hash>,
    other_actors: Vec<Actor>,
    operations: Arc<[Operation]>,
}

/// Scans, decodes and re-encodes `chunk`, and answers the change in both forms.
/// A pure function of the bytes: so is its `Reason`, a panic of the decoder included.
pub fn parse(chunk: &[u8]) -> Result<Parsed, Reason> {
    let scan = scan(chunk)?;
    // The scan bounds actor indexes and counters, so no panic is known behind it; the catch is for those unknown.
    // Nothing outlives the closure but its result, hence unwind safe.
    catch_unwind(AssertUnwindSafe(|| decode(chunk, &scan))).unwrap_or(Err(Reason::PanicsOnDecode))
}

/// The operations of a change that passed [`parse`] before, whose bytes its hash has kept.
pub fn operations(chunk: &[u8]) -> Result<Arc<[Operation]>, Reason> {
    let read = || {
        let change = Change::try_from(chunk).map_err(|_| Reason::DoesNotParse)?;
        change.decode().operations.iter().map(Operation::from_decoded).collect()
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(Reason::PanicsOnDecode))
}

fn decode(chunk: &[u8], scan: &Scan<'_>) -> Result<Parsed, Reason> {
    let change = Change::try_from(chunk).map_err(|_| Reason::DoesNotParse)?;
    let decoded = change.decode();
    let operations = decoded.operations.iter().map(Operation::from_decoded).collect::<Result<Arc<[_]>, _>>();
    // Bytes first: what decodes ambiguously has no operations worth a reason.
    if Change::from(decoded).raw_bytes() != chunk {
        return Err(Reason::NotCanonical);
    }
    Ok(Parsed {
        hash: change.hash().into(),
        actor: scan.actor,
        seq: scan.seq,
        start_op: scan.start_op,
        dependencies: scan.dependencies().collect(),
        other_actors: scan.other_actors.clone(),
        operations: operations?,
        change,
    })
}

impl Parsed {
    /// The change as Automerge takes it, once it is judged.
    pub fn change(&self) -> &Change {
        &self.change
    }

    /// As [`Parsed::change`], without a copy.
    pub fn into_change(self) -> Change {
        self.change
    }

    /// The hash of the change, computed from its bytes.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The actor the change names as its author.
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// The change's place among those of its actor, from 1.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The counter of the first operation, from 1.
    pub fn start_op(&self) -> u64 {
        self.start_op
    }

    /// The counter of the last operation.
    pub fn max_op(&self) -> u64 {
        self.start_op + self.operations.len() as u64 - 1
    }

    /// The changes this one depends on, sorted, each once.
    pub fn dependencies(&self) -> &[Hash] {
        &self.dependencies
    }

    /// The actors that operations name beside the author.
    pub fn other_actors(&self) -> &[Actor] {
        &self.other_actors
    }

    /// The operations, in order; shared, for a [`super::History`] to keep.
    pub fn operations(&self) -> &Arc<[Operation]> {
        &self.operations
    }
}
