//! Records: what one command changed in one scope, hashed, chained and signed (R2 to R5).
//!
//! The story: a [`Skeleton`] says who asked and which documents get which changes; a [`Header`] gives
//! it a place in a log and is what is hashed. Bodies (the changes' bytes) lie apart under their hashes.
//! Both have one shape for every kind of body and room for what newer versions add, so that a record that
//! is not understood here can be stored, verified, forwarded and erased all the same (R13).
//! The format is `docs/formats/record.md`; the wire may leave out what this module computes.

mod header;
mod skeleton;

use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::doc;
use crate::id::{ActorId, ChangeHash, DocId, GenerationId, LogId, RecordHash, SiteId, UserId, first_16};

pub use header::{Closing, Header, Previous};
pub use skeleton::{BlobRef, CommandName, Entry, Genesis, OpaqueRef, Origin, Skeleton};

/// The record format written today.
pub const FORMAT: u16 = 1;
/// The newest version of the document rules known here; authors write the one that the authority log names.
pub const SCHEMA_VERSION: u32 = 1;
/// Entries in one record. A command on more documents is several commands.
pub const MAX_ENTRIES: usize = 256;
/// Blobs that one record lists (R35).
pub const MAX_BLOBS: usize = 256;
/// Bytes of a skeleton: 256 entries and 256 blobs at their longest, and the rest.
pub const MAX_SKELETON_BYTES: usize = 64 * 1024;
/// Bytes that a newer format may add to a header or a skeleton.
pub const MAX_EXTENSION_BYTES: usize = 256;
/// Bytes of a record's bodies together: a long paste and its neighbours, never a file.
pub const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;
/// The highest seq of a log: no honest one comes near, and what is computed from a seq does not overflow.
pub const MAX_LOG_SEQ: u64 = 1 << 48;
/// Records that one signature may end (R3): bounds what a receiver holds unverified.
pub const MAX_RUN_RECORDS: usize = 1024;
/// Bytes of bodies that one signature may end, for the same reason.
pub const MAX_RUN_BYTES: usize = 4 * 1024 * 1024;

/// What a record's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BodyKind {
    /// Automerge changes.
    Edit,
    /// What a site says about its people (R15).
    Enrolment,
    /// What somebody logs in with, sealed to the sites where they may (R16): [`crate::credential::Credential`].
    Credential,
    /// A number this version does not know: admitted, forwarded, waiting (R13).
    Other(u8),
}

impl BodyKind {
    /// The kind with this number. 2 to 5 and 8 are reserved: admitted, claim, result, checkpoint, erasure.
    pub fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Edit,
            6 => Self::Enrolment,
            7 => Self::Credential,
            other => Self::Other(other),
        }
    }
    /// Its number in the format.
    pub fn number(self) -> u8 {
        match self {
            Self::Edit => 1,
            Self::Enrolment => 6,
            Self::Credential => 7,
            Self::Other(number) => number,
        }
    }
}

/// A record without its bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The hashed part.
    pub header: Header,
    /// Who and what.
    pub skeleton: Skeleton,
}

/// What fixes the bytes of a body. The two kinds never stand for each other: an entry cannot name opaque bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BodyName {
    /// A change, by the hash of its chunk.
    Change(ChangeHash),
    /// Opaque bytes, by their own hash.
    Opaque([u8; 32]),
}

impl Canonical for BodyName {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Change(hash) => {
                out.u8(1);
                hash.write(out);
            }
            Self::Opaque(hash) => {
                out.u8(2);
                out.raw(hash);
            }
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        match input.u8("kind of body")? {
            1 => Ok(Self::Change(Canonical::read(input)?)),
            2 => Ok(Self::Opaque(input.array("body hash")?)),
            _ => Err(CodecError::Newer { what: "kind of body" }),
        }
    }
}

impl Record {
    /// The record's hash.
    pub fn hash(&self) -> RecordHash {
        self.header.hash()
    }

    /// The body length that the skeleton promises, in bytes.
    pub fn body_bytes(&self) -> usize {
        self.bodies().map(|(_, length)| length as usize).sum()
    }

    /// Name and length of each body: one for each entry, in order, then the opaque one if there is one.
    pub fn bodies(&self) -> impl Iterator<Item = (BodyName, u32)> + '_ {
        let entries = self.skeleton.entries.iter().map(|entry| (BodyName::Change(entry.change), entry.length));
        entries.chain(self.skeleton.opaque.iter().map(|opaque| (BodyName::Opaque(opaque.hash), opaque.length)))
    }

    /// Whether this version understands header and skeleton, so that their meaning can be judged (R13).
    pub fn is_understood(&self) -> bool {
        self.header.format == FORMAT
            && self.skeleton.extension.is_empty()
            && !matches!(self.skeleton.author, crate::author::Author::Other(_))
            && !self.skeleton.entries.iter().any(|entry| matches!(entry.genesis, Some(Genesis::Other(_))))
    }

    /// The document id that entry `index` must have if it is a genesis: recomputed by every receiver.
    /// `None` for an entry that is none, and for a genesis of a newer version.
    pub fn genesis_id(&self, index: usize) -> Option<DocId> {
        let genesis = self.skeleton.entries.get(index)?.genesis?;
        let (kind, nonce) = match genesis {
            Genesis::Natural(kind, key) => (kind, key),
            Genesis::Computed(kind) => (kind, nonce(&self.header, &self.skeleton, index)),
            Genesis::Other(_) => return None,
        };
        Some(doc::doc_id(&self.header.org, &self.header.log.scope, kind, &nonce))
    }
}

impl Canonical for Record {
    fn write(&self, out: &mut Writer) {
        self.header.write(out);
        self.skeleton.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let header = Header::read(input)?;
        let start = input.position();
        let skeleton = Skeleton::read(input)?;
        if input.position() - start > MAX_SKELETON_BYTES {
            return Err(CodecError::Invalid { what: "skeleton" });
        }
        Ok(Self { header, skeleton })
    }
}

/// The hash under which an opaque body is named.
pub fn body_hash(body: &[u8]) -> [u8; 32] {
    blake3::derive_key("archipel 2026-11 record body", body)
}

/// The actor of a site's generation in a document (R6).
pub fn actor(site: &SiteId, generation: &GenerationId, doc: &DocId) -> ActorId {
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 actor");
    hasher.update(&site.0).update(&generation.0).update(&doc.0);
    ActorId(first_16(&hasher.finalize()))
}

/// The nonce of what a command creates as its `index`-th thing (R4, R5): of documents the index of their entry.
///
/// A command that its client named gives the same nonces however often and at whatever site it is issued. One
/// named by its place gives nonces of log, seq and time, so that two branches of a forked log never create one
/// document (R20); one issued again (`CommandName::Again`) gives those of its first place at the same site.
pub fn nonce(header: &Header, skeleton: &Skeleton, index: usize) -> [u8; 16] {
    let mut out = Writer::default();
    match skeleton.command {
        CommandName::Given(id) => {
            out.u8(1);
            skeleton.author.write(&mut out);
            if skeleton.author == crate::author::Author::Site {
                header.log.site.write(&mut out);
            }
            id.write(&mut out);
        }
        CommandName::Place => write_place(&mut out, &header.log, header.seq, header.hlc),
        CommandName::Again { generation, seq, hlc, .. } => {
            write_place(&mut out, &LogId { generation, ..header.log }, seq, hlc);
        }
    }
    out.u16(index as u16);
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 nonce");
    hasher.update(&out.0);
    first_16(&hasher.finalize())
}

/// The id of the items that a record makes (comments, moves): as long as the command is named alike, the same one.
pub fn item_id(header: &Header, skeleton: &Skeleton) -> String {
    data_encoding::HEXLOWER.encode(&nonce(header, skeleton, usize::from(u16::MAX))[..8])
}

fn write_place(out: &mut Writer, log: &LogId, seq: u64, hlc: crate::time::Hlc) {
    out.u8(0);
    log.write(out);
    out.u64(seq);
    hlc.write(out);
}

/// The user whom the record at this place of a site's log enrols: no other record can enrol them (R15), and none in
/// another branch of a forked log enrols the same one (R20).
pub fn enrolled_user(log: &LogId, seq: u64, hlc: crate::time::Hlc) -> UserId {
    let mut out = Writer::default();
    log.write(&mut out);
    out.u64(seq);
    hlc.write(&mut out);
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 enrolled user");
    hasher.update(&out.0);
    UserId(first_16(&hasher.finalize()))
}
