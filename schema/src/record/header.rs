//! The hashed part of a record.

use super::{BodyKind, FORMAT, MAX_EXTENSION_BYTES, MAX_LOG_SEQ};
use crate::authority::Pin;
use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::id::{GenerationId, LogId, OrgId, RecordHash};
use crate::time::Hlc;

/// Where a generation ended, as the first record of its successor says: both belong to its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// The generation that ended.
    pub generation: GenerationId,
    /// Its last seq known at the site when the successor began.
    pub seq: u64,
    /// The hash there.
    pub hash: RecordHash,
    /// The position pinned there: the successor pins no lower one (R10).
    pub pin: Pin,
}

impl Canonical for Closing {
    fn write(&self, out: &mut Writer) {
        self.generation.write(out);
        out.u64(self.seq);
        self.hash.write(out);
        self.pin.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            generation: Canonical::read(input)?,
            seq: input.u64("closing seq")?,
            hash: Canonical::read(input)?,
            pin: Canonical::read(input)?,
        })
    }
}

/// What a record follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Previous {
    /// Nothing: the site's first record in the scope, as far as its disk knows.
    First,
    /// The generation before, as known at the site when this one began (R1).
    After(Closing),
    /// The record before in this log.
    Record(RecordHash),
}

impl Previous {
    /// The first bytes of the hash that is followed: what a run carries so that a fork is seen as one (R20).
    /// Zeros for nothing.
    pub fn hash_head(&self) -> [u8; 8] {
        let hash = match self {
            Self::First => return [0; 8],
            Self::After(closing) => closing.hash,
            Self::Record(hash) => *hash,
        };
        hash.head()
    }
}

/// The hashed part of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Record format; this code knows 1, and keeps higher ones without judging them (R13).
    pub format: u16,
    /// The organisation.
    pub org: OrgId,
    /// The log.
    pub log: LogId,
    /// Place in the log, from 1.
    pub seq: u64,
    /// What came before.
    pub previous: Previous,
    /// The statement of the authority log that the author pins (R10).
    pub pin: Pin,
    /// When, by the author's hybrid clock (R28).
    pub hlc: Hlc,
    /// Version of the document rules.
    pub schema: u32,
    /// What the body is.
    pub kind: BodyKind,
    /// Hash of the skeleton.
    pub skeleton: [u8; 32],
    /// What a newer format adds, at most `MAX_EXTENSION_BYTES`; empty in format 1.
    pub extension: Vec<u8>,
}

impl Header {
    /// The record's hash, over the header alone.
    pub fn hash(&self) -> RecordHash {
        RecordHash(blake3::derive_key("archipel 2026-11 record header", &self.to_bytes()))
    }
}

impl Canonical for Header {
    fn write(&self, out: &mut Writer) {
        out.u16(self.format);
        self.org.write(out);
        self.log.scope.write(out);
        self.log.site.write(out);
        self.log.generation.write(out);
        out.u64(self.seq);
        match &self.previous {
            Previous::First => out.u8(0),
            Previous::After(closing) => {
                out.u8(1);
                closing.write(out);
            }
            Previous::Record(hash) => {
                out.u8(2);
                hash.write(out);
            }
        }
        self.pin.write(out);
        self.hlc.write(out);
        out.u32(self.schema);
        out.u8(self.kind.number());
        out.raw(&self.skeleton);
        out.bytes(&self.extension);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let format = input.u16("record format")?;
        let org = Canonical::read(input)?;
        let scope = Canonical::read(input)?;
        let site = Canonical::read(input)?;
        let generation = GenerationId::read(input)?;
        let seq = input.u64("seq")?;
        let previous = match input.u8("previous")? {
            0 => Previous::First,
            1 => Previous::After(Canonical::read(input)?),
            2 => Previous::Record(Canonical::read(input)?),
            _ => return Err(CodecError::Invalid { what: "previous" }),
        };
        if seq == 0 || seq > MAX_LOG_SEQ || (seq == 1) == matches!(previous, Previous::Record(_)) {
            return Err(CodecError::Invalid { what: "previous for this seq" });
        }
        let follows_history = matches!(&previous, Previous::After(closing) if closing.generation.is_history());
        if follows_history || generation.is_history() {
            return Err(CodecError::Invalid { what: "generation" });
        }
        let header = Self {
            format,
            org,
            log: LogId { site, generation, scope },
            seq,
            previous,
            pin: Canonical::read(input)?,
            hlc: Canonical::read(input)?,
            schema: input.u32("schema version")?,
            kind: BodyKind::from_number(input.u8("body kind")?),
            skeleton: input.array("skeleton hash")?,
            extension: input.bytes(MAX_EXTENSION_BYTES, "header extension")?.to_vec(),
        };
        if format < FORMAT || (format == FORMAT && !header.extension.is_empty()) {
            return Err(CodecError::Invalid { what: "record format" });
        }
        Ok(header)
    }
}
