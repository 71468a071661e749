//! What is kept of an applied change to judge the next ones: the stored index entry (R25).

use super::ids::{Actor, Hash};
use super::limits::{MAX_COUNTER, MAX_SEQ};
use super::parse::Parsed;
use super::varint::{Reader, put_unsigned};

/// What later judgements ask of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The hash of the change.
    pub hash: Hash,
    /// Its author.
    pub actor: Actor,
    /// Its place among those of its actor, from 1.
    pub seq: u64,
    /// The counter of its first operation, from 1.
    pub start_op: u64,
    /// The counter of its last operation.
    pub max_op: u64,
    /// The changes it depends on, sorted, each once.
    pub dependencies: Vec<Hash>,
}

/// Why stored bytes are no facts: they were damaged, or never ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// The bytes end early, go on too long, or hold a number in a longer form than needed.
    #[error("stored facts of a change are cut short or not canonical")]
    NotCanonical,
    /// A number is out of its range, or a list out of order.
    #[error("stored facts of a change contradict themselves")]
    Contradiction,
}

impl Facts {
    /// The facts of `parsed`.
    pub(super) fn new(parsed: &Parsed) -> Self {
        Self {
            hash: parsed.hash(),
            actor: parsed.actor(),
            seq: parsed.seq(),
            start_op: parsed.start_op(),
            max_op: parsed.max_op(),
            dependencies: parsed.dependencies().to_vec(),
        }
    }

    /// Writes the one form these facts have: hash, actor, seq, first operation, operations after the first, count
    /// and hashes of dependencies. Numbers are LEB128; 53 bytes and 32 per dependency, however old the document is.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.dependencies.len() * Hash::LEN);
        out.extend_from_slice(&self.hash.0);
        out.extend_from_slice(&self.actor.0);
        put_unsigned(&mut out, self.seq);
        put_unsigned(&mut out, self.start_op);
        put_unsigned(&mut out, self.max_op.saturating_sub(self.start_op));
        put_unsigned(&mut out, self.dependencies.len() as u64);
        self.dependencies.iter().for_each(|hash| out.extend_from_slice(&hash.0));
        out
    }

    /// Reads what [`Facts::encode`] wrote, and nothing else: any other bytes are refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, FactsError> {
        let mut reader = Reader(bytes);
        let facts = read(&mut reader).ok_or(FactsError::NotCanonical)?;
        if !reader.is_empty() {
            return Err(FactsError::NotCanonical);
        }
        if facts.coherent() && facts.encode() == bytes { Ok(facts) } else { Err(FactsError::Contradiction) }
    }

    fn coherent(&self) -> bool {
        let in_range = (1..=MAX_SEQ).contains(&self.seq) && (1..=MAX_COUNTER).contains(&self.max_op);
        in_range && self.start_op > 0 && self.dependencies.is_sorted_by(|a, b| a < b)
    }
}

fn read(reader: &mut Reader<'_>) -> Option<Facts> {
    let (hash, actor) = (Hash(reader.array()?), Actor(reader.array()?));
    let (seq, start_op) = (reader.unsigned()?, reader.unsigned()?);
    let max_op = start_op.checked_add(reader.unsigned()?)?;
    let mut dependencies = Vec::new();
    for _ in 0..reader.unsigned()? {
        dependencies.push(Hash(reader.array()?));
    }
    Some(Facts { hash, actor, seq, start_op, max_op, dependencies })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Facts {
        Facts {
            hash: Hash([0xaa; 32]),
            actor: Actor([7; 16]),
            seq: 200,
            start_op: 65_530,
            max_op: 65_535,
            dependencies: vec![Hash([1; 32]), Hash([2; 32])],
        }
    }

    #[test]
    fn the_stored_form_is_this_sample() {
        let mut expected = vec![0xaa; 32];
        expected.extend([7; 16]);
        expected.extend([0xc8, 0x01, 0xfa, 0xff, 0x03, 0x05, 0x02]);
        expected.extend([1; 32]);
        expected.extend([2; 32]);
        assert_eq!(sample().encode(), expected, "the stored form never changes unseen");
        assert_eq!(Facts::decode(&expected), Ok(sample()));
    }

    #[test]
    fn any_other_bytes_are_refused() {
        let bytes = sample().encode();
        for end in 0..bytes.len() {
            assert!(Facts::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        assert!(Facts::decode(&[&bytes[..], &[0]].concat()).is_err(), "a byte too many");
        for i in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[i] ^= 1 << bit;
                if let Ok(facts) = Facts::decode(&other) {
                    assert_eq!(facts.encode(), other, "one form only");
                }
            }
        }
    }
}
