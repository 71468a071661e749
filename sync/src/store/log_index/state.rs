//! The end of a log, and what is said of it.

use schema::authority::Pin;
use schema::codec::{Canonical, CodecError, Reader, Writer};
use schema::id::{GenerationId, LogId, RecordHash};
use schema::record::Closing;
use schema::time::Hlc;

use super::{BranchOf, LogName};
use crate::store::tables::LogNo;

/// Successors of one generation that are remembered. A copy of a site makes one; what is beyond is a member's who
/// opens generations as fast as it is let, and closes nothing.
pub(super) const MAX_SUCCESSORS: usize = 1024;

/// The end of a log as held here, what its first record follows, and what its successors say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    /// Its number in this store.
    pub no: LogNo,
    /// The log.
    pub id: LogId,
    /// Last seq held, always a signed record; 0 for a log that is only named by its successor.
    pub seq: u64,
    /// The hash there.
    pub hash: RecordHash,
    /// The time there.
    pub hlc: Hlc,
    /// What is pinned there.
    pub pin: Pin,
    /// The generation it follows, as far as known when it began.
    pub follows: Option<Closing>,
    /// Where later generations say that it ended.
    pub successors: Vec<Successor>,
    /// Set for a history behind a fork (R20): it does not begin with seq 1, and nothing closes it.
    pub branch: Option<BranchOf>,
}

/// A generation that says where this one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Successor {
    /// The last seq.
    pub seq: u64,
    /// The hash there.
    pub hash: RecordHash,
    /// Who says so.
    pub generation: GenerationId,
}

impl LogState {
    /// A log of which nothing is held.
    pub fn empty(no: LogNo, id: LogId) -> Self {
        let (hash, hlc, pin) = (RecordHash([0; 32]), Hlc::default(), Pin::default());
        Self { no, id, seq: 0, hash, hlc, pin, follows: None, successors: Vec::new(), branch: None }
    }

    /// The first seq that it may hold.
    pub fn from(&self) -> u64 {
        self.branch.map_or(1, |branch| branch.from)
    }

    /// The log as its records name it: for a history behind a fork the log that forked.
    pub fn signed_as(&self) -> LogId {
        self.branch.map_or(self.id, |branch| LogId { generation: branch.of, ..self.id })
    }

    /// Its name inside its scope.
    pub fn name(&self) -> LogName {
        (self.id.site, self.id.generation)
    }

    /// Whether the furthest of its successors names exactly the record held.
    pub fn is_closed(&self) -> bool {
        let is_end = |last: &Successor| (last.seq, last.hash) == (self.seq, self.hash);
        self.branch.is_none() && self.successors.iter().max().is_some_and(is_end)
    }
}

impl Canonical for LogState {
    fn write(&self, out: &mut Writer) {
        out.u32(self.no);
        self.id.write(out);
        out.u64(self.seq);
        self.hash.write(out);
        self.hlc.write(out);
        self.pin.write(out);
        out.option(self.follows.as_ref(), |out, closing| closing.write(out));
        out.list(&self.successors, |out, successor| {
            out.u64(successor.seq);
            successor.hash.write(out);
            successor.generation.write(out);
        });
        out.option(self.branch.as_ref(), |out, branch| branch.write(out));
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            no: input.u32("log number")?,
            id: Canonical::read(input)?,
            seq: input.u64("seq")?,
            hash: Canonical::read(input)?,
            hlc: Canonical::read(input)?,
            pin: Canonical::read(input)?,
            follows: input.option("follows", Canonical::read)?,
            successors: input.list(MAX_SUCCESSORS, "successors", |input| {
                let (seq, hash) = (input.u64("closing seq")?, Canonical::read(input)?);
                Ok(Successor { seq, hash, generation: Canonical::read(input)? })
            })?,
            branch: input.option("branch", Canonical::read)?,
        })
    }
}
