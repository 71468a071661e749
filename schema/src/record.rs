//! Records: what one command changed in one scope, hashed, chained and signed (R2 to R5).
//!
//! The story: a [`Skeleton`] says who asked and which documents get which changes; a [`Header`] gives
//! it a place in a log and is what is hashed. Bodies (the changes' bytes) lie apart under their hashes.
//! The format is `docs/formats/record.md`; the wire may leave out what this module computes.

use crate::authority::AuthorityRef;
use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::doc::{self, DocKind};
use crate::id::{
    ActorId, ChangeHash, CommandId, DocId, GenerationId, LogId, OrgId, RecordHash, SiteId, StructureId, UserId,
};
use crate::time::Hlc;

/// The record format written today.
pub const FORMAT: u16 = 1;
/// The version of the document rules written today.
pub const SCHEMA_VERSION: u32 = 1;
/// Entries in one record. A command on more documents is several commands.
pub const MAX_ENTRIES: usize = 256;
/// Bytes of a skeleton: 256 entries of at most 115 bytes, and the rest.
pub const MAX_SKELETON_BYTES: usize = 32 * 1024;
/// Bytes of a record's bodies together: a long paste and its neighbours, never a file.
pub const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;
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
    /// A number this version does not know: admitted, forwarded, waiting (R13).
    Other(u8),
}

impl BodyKind {
    /// The kind with this number.
    pub fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Edit,
            6 => Self::Enrolment,
            other => Self::Other(other),
        }
    }
    /// Its number in the format.
    pub fn number(self) -> u8 {
        match self {
            Self::Edit => 1,
            Self::Enrolment => 6,
            Self::Other(number) => number,
        }
    }
}

/// What a record follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Previous {
    /// Nothing: the site's first record in the scope, as far as its disk knows.
    First,
    /// The generation before, as known here when this one began (R1).
    After {
        /// The generation before.
        generation: GenerationId,
        /// Its last seq known here.
        seq: u64,
        /// The hash of that record.
        hash: RecordHash,
    },
    /// The record before in this log.
    Record(RecordHash),
}

/// The hashed part of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Record format; this code knows 1.
    pub format: u16,
    /// The organisation.
    pub org: OrgId,
    /// The log.
    pub log: LogId,
    /// Place in the log, from 1.
    pub seq: u64,
    /// What came before.
    pub previous: Previous,
    /// The authority position that the author pins (R10).
    pub authority: AuthorityRef,
    /// When, by the author's hybrid clock (R28).
    pub hlc: Hlc,
    /// Version of the document rules.
    pub schema: u32,
    /// What the body is.
    pub kind: BodyKind,
    /// Hash of the skeleton.
    pub skeleton: [u8; 32],
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
            Previous::After { generation, seq, hash } => {
                out.u8(1);
                generation.write(out);
                out.u64(*seq);
                hash.write(out);
            }
            Previous::Record(hash) => {
                out.u8(2);
                hash.write(out);
            }
        }
        self.authority.write(out);
        self.hlc.write(out);
        out.u32(self.schema);
        out.u8(self.kind.number());
        out.raw(&self.skeleton);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let format = input.u16("record format")?;
        if format != FORMAT {
            return Err(CodecError::Invalid { what: "record format" });
        }
        let org = Canonical::read(input)?;
        let scope = Canonical::read(input)?;
        let site = Canonical::read(input)?;
        let generation = Canonical::read(input)?;
        let seq = input.u64("seq")?;
        let previous = match input.u8("previous")? {
            0 => Previous::First,
            1 => Previous::After {
                generation: Canonical::read(input)?,
                seq: input.u64("previous seq")?,
                hash: Canonical::read(input)?,
            },
            2 => Previous::Record(Canonical::read(input)?),
            _ => return Err(CodecError::Invalid { what: "previous" }),
        };
        if seq == 0 || (seq == 1) == matches!(previous, Previous::Record(_)) {
            return Err(CodecError::Invalid { what: "previous for this seq" });
        }
        Ok(Self {
            format,
            org,
            log: LogId { site, generation, scope },
            seq,
            previous,
            authority: Canonical::read(input)?,
            hlc: Canonical::read(input)?,
            schema: input.u32("schema version")?,
            kind: BodyKind::from_number(input.u8("body kind")?),
            skeleton: input.array("skeleton hash")?,
        })
    }
}

/// How a command is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommandName {
    /// By its place: log and seq.
    Place,
    /// By the client, which may ask twice.
    Given(CommandId),
}

/// In whose name a command was issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Author {
    /// The site: imports, automation.
    Site,
    /// A user for whom the site may speak (R11).
    User(UserId),
}

impl Canonical for Author {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Site => out.u8(0),
            Self::User(user) => {
                out.u8(1);
                user.write(out);
            }
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        match input.u8("author")? {
            0 => Ok(Self::Site),
            1 => Ok(Self::User(Canonical::read(input)?)),
            _ => Err(CodecError::Invalid { what: "author" }),
        }
    }
}

/// How a document is born (R5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Genesis {
    /// The document's kind.
    pub kind: DocKind,
    /// The hash of its natural key; `None` if the nonce is computed from the command.
    pub natural: Option<[u8; 16]>,
}

/// One document's change in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The document.
    pub doc: DocId,
    /// Set in the entry that gives birth to it.
    pub genesis: Option<Genesis>,
    /// The change.
    pub change: ChangeHash,
    /// Length of the change's chunk in bytes.
    pub length: u32,
}

/// What a record's skeleton holds besides who and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Changes, for `BodyKind::Edit`.
    Edit(Vec<Entry>),
    /// A body named by its hash, for every other kind.
    Opaque {
        /// BLAKE3 of the body.
        hash: [u8; 32],
        /// Its length in bytes.
        length: u32,
    },
}

/// Who asked for what, without the content itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skeleton {
    /// The command.
    pub command: CommandName,
    /// Its author.
    pub author: Author,
    /// What it changed.
    pub content: Content,
}

impl Skeleton {
    /// The hash that the header carries.
    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key("archipel 2026-11 record skeleton", &self.to_bytes())
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.write(&mut out);
        out.0
    }

    /// Appends the canonical bytes.
    pub fn write(&self, out: &mut Writer) {
        match &self.command {
            CommandName::Place => out.u8(0),
            CommandName::Given(id) => {
                out.u8(1);
                id.write(out);
            }
        }
        self.author.write(out);
        match &self.content {
            Content::Edit(entries) => out.list(entries, |out, entry| {
                entry.doc.write(out);
                match &entry.genesis {
                    None => out.u8(0),
                    Some(Genesis { kind, natural: None }) => {
                        out.u8(1);
                        out.u16(kind.number());
                    }
                    Some(Genesis { kind, natural: Some(key) }) => {
                        out.u8(2);
                        out.u16(kind.number());
                        out.raw(key);
                    }
                }
                entry.change.write(out);
                out.u32(entry.length);
            }),
            Content::Opaque { hash, length } => {
                out.raw(hash);
                out.u32(*length);
            }
        }
    }

    /// Reads the skeleton of a record of this kind. Refuses doubled documents and empty edits.
    pub fn read(input: &mut Reader<'_>, kind: BodyKind) -> Result<Self, CodecError> {
        let command = match input.u8("command")? {
            0 => CommandName::Place,
            1 => CommandName::Given(Canonical::read(input)?),
            _ => return Err(CodecError::Invalid { what: "command" }),
        };
        let author = Canonical::read(input)?;
        let content = match kind {
            BodyKind::Edit => Content::Edit(read_entries(input)?),
            BodyKind::Enrolment | BodyKind::Other(_) => {
                Content::Opaque { hash: input.array("body hash")?, length: input.u32("body length")? }
            }
        };
        Ok(Self { command, author, content })
    }

    /// The entries, none for other kinds than edits.
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Edit(entries) => entries,
            Content::Opaque { .. } => &[],
        }
    }
}

fn read_entries(input: &mut Reader<'_>) -> Result<Vec<Entry>, CodecError> {
    let entries = input.list(MAX_ENTRIES, "entries", |input| {
        Ok(Entry {
            doc: Canonical::read(input)?,
            genesis: match input.u8("genesis")? {
                0 => None,
                1 => Some(Genesis { kind: DocKind::from_number(input.u16("kind")?), natural: None }),
                2 => Some(Genesis {
                    kind: DocKind::from_number(input.u16("kind")?),
                    natural: Some(input.array("natural key")?),
                }),
                _ => return Err(CodecError::Invalid { what: "genesis" }),
            },
            change: Canonical::read(input)?,
            length: input.u32("change length")?,
        })
    })?;
    let mut docs: Vec<_> = entries.iter().map(|entry| entry.doc).collect();
    docs.sort_unstable();
    docs.dedup();
    if entries.is_empty() || docs.len() != entries.len() {
        return Err(CodecError::Invalid { what: "entries" });
    }
    Ok(entries)
}

/// A record without its bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The hashed part.
    pub header: Header,
    /// Who and what.
    pub skeleton: Skeleton,
}

impl Record {
    /// The record's hash.
    pub fn hash(&self) -> RecordHash {
        self.header.hash()
    }

    /// The body length that header and skeleton promise, in bytes.
    pub fn body_bytes(&self) -> usize {
        match &self.skeleton.content {
            Content::Edit(entries) => entries.iter().map(|entry| entry.length as usize).sum(),
            Content::Opaque { length, .. } => *length as usize,
        }
    }

    /// The document id that entry `index` must have if it is a genesis: recomputed by every receiver.
    pub fn genesis_id(&self, index: usize) -> Option<DocId> {
        let genesis = self.skeleton.entries().get(index)?.genesis?;
        let nonce = match genesis.natural {
            Some(key) => key,
            None => nonce(&self.header.log, self.header.seq, &self.skeleton, index),
        };
        Some(doc::doc_id(&self.header.org, &self.header.log.scope, genesis.kind, &nonce))
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
        let skeleton = Skeleton::read(input, header.kind)?;
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

/// The nonce of a document that a command creates (R4, R5).
pub fn nonce(log: &LogId, seq: u64, skeleton: &Skeleton, index: usize) -> [u8; 16] {
    let mut out = Writer::default();
    match skeleton.command {
        CommandName::Given(id) => {
            out.u8(1);
            match skeleton.author {
                Author::User(user) => user.write(&mut out),
                Author::Site => log.site.write(&mut out),
            }
            id.write(&mut out);
        }
        CommandName::Place => {
            out.u8(0);
            log.write(&mut out);
            out.u64(seq);
        }
    }
    out.u16(index as u16);
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 nonce");
    hasher.update(&out.0);
    first_16(&hasher.finalize())
}

/// The user whom the record at this place of a site's log enrols: no other record can enrol them (R15).
pub fn enrolled_user(log: &LogId, seq: u64) -> crate::id::UserId {
    let mut out = Writer::default();
    log.write(&mut out);
    out.u64(seq);
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 enrolled user");
    hasher.update(&out.0);
    crate::id::UserId(first_16(&hasher.finalize()))
}

/// The id of the scope of one structure, or of the organisation itself (`None`).
pub fn scope_of(org: &OrgId, structure: Option<&StructureId>) -> crate::id::ScopeId {
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 scope");
    hasher.update(&org.0);
    match structure {
        None => hasher.update(&[0]),
        Some(structure) => hasher.update(&[1]).update(&structure.0),
    };
    crate::id::ScopeId(first_16(&hasher.finalize()))
}

fn first_16(hash: &blake3::Hash) -> [u8; 16] {
    let mut first = [0; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    first
}
