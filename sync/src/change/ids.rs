//! The names a change uses: who wrote it, its hash, and one of its operations.

use std::fmt;

pub use schema::id::{ActorId as Actor, ChangeHash as Hash};
use sha2::{Digest, Sha256};

/// One operation: the `counter`-th of its document as `actor` counted (Lamport), from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, std::hash::Hash)]
pub struct OpId {
    /// Position in the Lamport order, from 1 to [`super::limits::MAX_COUNTER`].
    pub counter: u64,
    /// Who made the operation.
    pub actor: Actor,
}

impl fmt::Debug for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.counter, self.actor)
    }
}

/// The hash that Automerge gives a chunk: SHA-256 of type, length and body, without decoding anything.
/// `None` for bytes too short to have these.
pub fn chunk_hash(chunk: &[u8]) -> Option<Hash> {
    let body = chunk.get(8..).filter(|body| !body.is_empty())?;
    Some(Hash(Sha256::digest(body).into()))
}
