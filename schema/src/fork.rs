//! Proof that a key signed two histories (R20): the headers of both, from the first on which they disagree.

use thiserror::Error;

use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::id::{GenerationId, LogId, RecordHash};
use crate::identity::{Purpose, Signature, verify};
use crate::record::{Header, MAX_RUN_RECORDS, Previous};

/// Headers of a history: those of a run that ended because it forked, and of the proof of that. Where both are more, the
/// history ends unsigned at that fork.
pub const MAX_BRANCH_HEADERS: usize = 2 * MAX_RUN_RECORDS;

/// Stands where a run or a history ends at the last record before a fork, which its site may have signed only further on:
/// the proof of that fork holds its hash.
pub const NO_SIGNATURE: Signature = Signature([0; 64]);

/// One of two histories of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Consecutive headers from the first on which they disagree, 1 to `MAX_BRANCH_HEADERS`.
    pub headers: Vec<Header>,
    /// The site's, over the hash of the last header; [`NO_SIGNATURE`] where that is the last before another fork.
    pub signature: Signature,
}

/// Two histories of one log, by the hash of their first headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForkProof {
    /// The smaller hash first.
    pub branches: [Branch; 2],
}

/// What a proof proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fork {
    /// The log.
    pub log: LogId,
    /// The last seq that both have in common; 0 if there is none.
    pub last: u64,
    /// The hash there; zeros for none.
    pub hash: RecordHash,
    /// The hashes of the records behind it, the smaller one first.
    pub firsts: [RecordHash; 2],
}

impl Fork {
    /// What it is called in messages.
    pub fn name(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 fork");
        hasher.update(&self.log.to_bytes()).update(&self.last.to_be_bytes());
        hasher.update(&self.firsts[0].0).update(&self.firsts[1].0);
        *hasher.finalize().as_bytes()
    }

    /// The names under which the histories behind it travel and are held.
    pub fn names(&self) -> [LogId; 2] {
        self.firsts.map(|first| branch_name(&self.log, &first))
    }
}

/// Why two histories prove nothing.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum ForkError {
    /// They are of two logs, of none, or too long.
    #[error("the histories are not of one log")]
    Shape,
    /// Headers that do not follow one another.
    #[error("a history is no chain")]
    Chain,
    /// They begin at two places, or with the same record.
    #[error("the histories do not part at one place")]
    Place,
    /// Not the site's.
    #[error("a history is not signed by its site")]
    Signature,
    /// It ends unsigned at a record that is not known as the last before a fork: whether it proves something hangs on a
    /// proof that may still come.
    #[error("a history ends unsigned, at no fork that is known")]
    Unproven,
}

impl Branch {
    fn first(&self) -> Result<&Header, ForkError> {
        let first = self.headers.first().filter(|_| self.headers.len() <= MAX_BRANCH_HEADERS);
        first.ok_or(ForkError::Shape)
    }

    /// What comes before its first record: the last record in common.
    fn before(&self) -> Result<(u64, RecordHash), ForkError> {
        let first = self.first()?;
        Ok(match first.previous {
            Previous::Record(hash) => (first.seq - 1, hash),
            // Two first records of a generation have nothing in common, whatever they say of the one before.
            Previous::First | Previous::After(_) => (0, RecordHash([0; 32])),
        })
    }

    /// Whether it is a chain of one log, signed by its site. `is_end` says of a record whether it is known as the last
    /// before a fork of its log: nobody may ever have signed one before that. Linear in its headers.
    pub fn check(&self, is_end: impl Fn(&LogId, u64, &RecordHash) -> bool) -> Result<(), ForkError> {
        let first = self.first()?;
        let (mut last, mut before) = (first.seq, first.hash());
        for (header, seq) in self.headers.iter().zip(first.seq..).skip(1) {
            if header.log != first.log || header.seq != seq || header.previous != Previous::Record(before) {
                return Err(ForkError::Chain);
            }
            (last, before) = (seq, header.hash());
        }
        if self.signature == NO_SIGNATURE {
            // Forks that end one another further and further on come to one that is signed: seqs only grow.
            return if is_end(&first.log, last, &before) { Ok(()) } else { Err(ForkError::Unproven) };
        }
        match verify(&first.log.site, Purpose::Record, &before.0, &self.signature) {
            true => Ok(()),
            false => Err(ForkError::Signature),
        }
    }
}

impl ForkProof {
    /// Of two histories, in any order.
    pub fn new(one: Branch, other: Branch) -> Self {
        let hash = |branch: &Branch| branch.headers.first().map(Header::hash);
        let branches = if hash(&one) <= hash(&other) { [one, other] } else { [other, one] };
        Self { branches }
    }

    /// What it proves, beside the forks of which `is_end` says the ends. Linear in its headers.
    pub fn verify(&self, is_end: impl Fn(&LogId, u64, &RecordHash) -> bool) -> Result<Fork, ForkError> {
        let fork = self.fork()?;
        self.branches.iter().try_for_each(|branch| branch.check(&is_end))?;
        Ok(fork)
    }

    /// What it says, for one that was verified before.
    pub fn fork(&self) -> Result<Fork, ForkError> {
        let [one, other] = &self.branches;
        let (first, second) = (one.first()?, other.first()?);
        if first.log != second.log || first.org != second.org {
            return Err(ForkError::Shape);
        }
        let (last, hash) = one.before()?;
        let firsts = [first.hash(), second.hash()];
        if other.before()? != (last, hash) || firsts[0] >= firsts[1] {
            return Err(ForkError::Place);
        }
        Ok(Fork { log: first.log, last, hash, firsts })
    }
}

/// A history behind a fork is a log of its own, called by a name that its first record fixes and that no generation has.
pub fn branch_name(log: &LogId, first: &RecordHash) -> LogId {
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 branch");
    hasher.update(&log.generation.0).update(&first.0);
    let mut name = [0; 16];
    name.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    LogId { generation: GenerationId::of_history(name), ..*log }
}

impl Canonical for Branch {
    fn write(&self, out: &mut Writer) {
        out.list(&self.headers, |out, header| header.write(out));
        self.signature.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let headers = input.list(MAX_BRANCH_HEADERS, "headers", Canonical::read)?;
        Ok(Self { headers, signature: Canonical::read(input)? })
    }
}

impl Canonical for ForkProof {
    fn write(&self, out: &mut Writer) {
        self.branches.iter().for_each(|branch| branch.write(out));
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { branches: [Canonical::read(input)?, Canonical::read(input)?] })
    }
}
