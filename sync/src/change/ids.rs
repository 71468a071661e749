//! The names a change uses: who wrote it, its hash, and one of its operations.

use std::fmt;

pub use schema::id::{ActorId as Actor, ChangeHash as Hash};
use sha2::{Digest, Sha256};

use super::varint::put_unsigned;

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

/// What every chunk begins with.
pub(super) const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];

/// An uncompressed change chunk around `body`, with its checksum.
pub(super) fn sealed(body: &[u8]) -> Vec<u8> {
    let mut chunk = Vec::with_capacity(body.len() + 16);
    chunk.extend_from_slice(&MAGIC);
    chunk.extend_from_slice(&[0; 4]);
    chunk.push(1);
    put_unsigned(&mut chunk, body.len() as u64);
    chunk.extend_from_slice(body);
    seal_head(&mut chunk);
    chunk
}

/// Sets magic bytes and checksum of what is behind them.
pub(super) fn seal_head(chunk: &mut [u8]) {
    if let Some((head, body)) = chunk.split_at_mut_checked(8) {
        let hash: [u8; 32] = Sha256::digest(body).into();
        head[..4].copy_from_slice(&MAGIC);
        head[4..].copy_from_slice(&hash[..4]);
    }
}

/// The hash that Automerge gives a chunk: SHA-256 of type, length and body, without decoding anything.
/// `None` for bytes whose head is not magic and the hash's first four bytes: so that the hash in a signed
/// skeleton fixes every byte of the chunk, those that it is not made of included.
pub fn chunk_hash(chunk: &[u8]) -> Option<Hash> {
    let (head, body) = chunk.split_at_checked(8).filter(|(_, body)| !body.is_empty())?;
    let hash: [u8; 32] = Sha256::digest(body).into();
    (head[..4] == MAGIC && head[4..] == hash[..4]).then_some(Hash(hash))
}
