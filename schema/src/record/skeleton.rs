//! Who asked for what, without the content itself: one shape for every kind of body (R2).

use super::{MAX_BLOBS, MAX_ENTRIES, MAX_EXTENSION_BYTES};
use crate::author::Author;
use crate::codec::{Canonical, CodecError, Reader, Tagged, Writer};
use crate::doc::DocKind;
use crate::id::{ChangeHash, CommandId, DeviceId, DocId, GenerationId, RecordHash};
use crate::identity::Signature;
use crate::time::Hlc;

/// How a command is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommandName {
    /// By its place: log, seq and time.
    Place,
    /// By the client, which may ask twice.
    Given(CommandId),
    /// By the place that it had in a log of this site and scope where it no longer stands: issued again (R20).
    Again {
        /// The generation of that log.
        generation: GenerationId,
        /// The seq there.
        seq: u64,
        /// The time of the record there.
        hlc: Hlc,
        /// The first bytes of its hash: a clock that was set back with its machine may give one time twice.
        hash_head: [u8; 8],
    },
}

impl Canonical for CommandName {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Place => out.u8(0),
            Self::Given(id) => {
                out.u8(1);
                id.write(out);
            }
            Self::Again { generation, seq, hlc, hash_head } => {
                out.u8(2);
                generation.write(out);
                out.u64(*seq);
                hlc.write(out);
                out.raw(hash_head);
            }
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        match input.u8("command")? {
            0 => Ok(Self::Place),
            1 => Ok(Self::Given(Canonical::read(input)?)),
            2 => {
                let generation = Canonical::read(input)?;
                let (seq, hlc) = (input.u64("command seq")?, Canonical::read(input)?);
                Ok(Self::Again { generation, seq, hlc, hash_head: input.array("hash of a command")? })
            }
            _ => Err(CodecError::Invalid { what: "command" }),
        }
    }
}

/// How a document is born (R5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Genesis {
    /// Its nonce is computed from the command.
    Computed(DocKind),
    /// Its nonce is the hash of its natural key.
    Natural(DocKind, [u8; 16]),
    /// In a way of a newer version: kept, not judged (R13).
    Other(Tagged),
}

impl Genesis {
    /// The genesis of a document of this kind, with a natural key or without.
    pub fn of(kind: DocKind, natural: Option<[u8; 16]>) -> Self {
        natural.map_or(Self::Computed(kind), |key| Self::Natural(kind, key))
    }
    /// The document's kind; `None` for a genesis of a newer version.
    pub fn kind(&self) -> Option<DocKind> {
        match self {
            Self::Computed(kind) | Self::Natural(kind, _) => Some(*kind),
            Self::Other(_) => None,
        }
    }
}

/// No genesis is tag 0 without content.
fn write_genesis(genesis: Option<&Genesis>, out: &mut Writer) {
    match genesis {
        None => out.tagged(0, |_| {}),
        Some(Genesis::Computed(kind)) => out.tagged(1, |out| out.u16(kind.number())),
        Some(Genesis::Natural(kind, key)) => out.tagged(2, |out| {
            out.u16(kind.number());
            out.raw(key);
        }),
        Some(Genesis::Other(other)) => other.write(out),
    }
}

fn read_genesis(input: &mut Reader<'_>) -> Result<Option<Genesis>, CodecError> {
    let tagged = Tagged::read(input)?;
    let mut content = tagged.content();
    let genesis = match tagged.tag() {
        0 => None,
        1 => Some(Genesis::Computed(DocKind::from_number(content.u16("kind")?))),
        2 => Some(Genesis::Natural(DocKind::from_number(content.u16("kind")?), content.array("natural key")?)),
        _ => return Ok(Some(Genesis::Other(tagged))),
    };
    content.end()?;
    Ok(genesis)
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

/// Bytes outside documents that a record refers to (R35): an attachment, an inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobRef {
    /// BLAKE3 of the bytes.
    pub hash: [u8; 32],
    /// How many bytes.
    pub length: u64,
}

/// A body that is no change: named by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpaqueRef {
    /// [`super::body_hash`] of the body.
    pub hash: [u8; 32],
    /// Its length in bytes.
    pub length: u32,
}

impl OpaqueRef {
    /// The reference to this body.
    pub fn of(body: &[u8]) -> Self {
        Self { hash: super::body_hash(body), length: body.len() as u32 }
    }
}

/// The device's own record that a site admits with this one (R24).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The device's key: the actor of the changes is derived from it.
    pub device: DeviceId,
    /// The device's generation.
    pub generation: GenerationId,
    /// Seq in the device's log.
    pub seq: u64,
    /// The hash of the device's record.
    pub hash: RecordHash,
    /// The device's signature over that hash.
    pub signature: Signature,
}

impl Canonical for Origin {
    fn write(&self, out: &mut Writer) {
        self.device.write(out);
        self.generation.write(out);
        out.u64(self.seq);
        self.hash.write(out);
        self.signature.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            device: Canonical::read(input)?,
            generation: Canonical::read(input)?,
            seq: input.u64("origin seq")?,
            hash: Canonical::read(input)?,
            signature: Canonical::read(input)?,
        })
    }
}

/// Who asked for what, without the content itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skeleton {
    /// The command.
    pub command: CommandName,
    /// Its author.
    pub author: Author,
    /// Changes, each of another document.
    pub entries: Vec<Entry>,
    /// Bytes outside documents, sorted.
    pub blobs: Vec<BlobRef>,
    /// A body that is no change.
    pub opaque: Option<OpaqueRef>,
    /// The device's record that is admitted with this one.
    pub origin: Option<Origin>,
    /// What a newer version adds, at most `MAX_EXTENSION_BYTES`.
    pub extension: Vec<u8>,
}

impl Skeleton {
    /// A skeleton that changes nothing yet.
    pub fn new(command: CommandName, author: Author) -> Self {
        let (entries, blobs, extension) = (Vec::new(), Vec::new(), Vec::new());
        Self { command, author, entries, blobs, opaque: None, origin: None, extension }
    }

    /// The hash that the header carries.
    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key("archipel 2026-11 record skeleton", &self.to_bytes())
    }
}

impl Canonical for Skeleton {
    fn write(&self, out: &mut Writer) {
        self.command.write(out);
        self.author.write(out);
        out.list(&self.entries, |out, entry| {
            entry.doc.write(out);
            write_genesis(entry.genesis.as_ref(), out);
            entry.change.write(out);
            out.u32(entry.length);
        });
        out.list(&self.blobs, |out, blob| {
            out.raw(&blob.hash);
            out.u64(blob.length);
        });
        out.option(self.opaque.as_ref(), |out, opaque| {
            out.raw(&opaque.hash);
            out.u32(opaque.length);
        });
        out.option(self.origin.as_ref(), |out, origin| origin.write(out));
        out.bytes(&self.extension);
    }

    /// Refuses doubled documents and blobs out of order.
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let skeleton = Self {
            command: Canonical::read(input)?,
            author: Canonical::read(input)?,
            entries: input.list(MAX_ENTRIES, "entries", |input| {
                Ok(Entry {
                    doc: Canonical::read(input)?,
                    genesis: read_genesis(input)?,
                    change: Canonical::read(input)?,
                    length: input.u32("change length")?,
                })
            })?,
            blobs: input.list(MAX_BLOBS, "blobs", |input| {
                Ok(BlobRef { hash: input.array("blob hash")?, length: input.u64("blob length")? })
            })?,
            opaque: input.option("opaque body", |input| {
                Ok(OpaqueRef { hash: input.array("body hash")?, length: input.u32("body length")? })
            })?,
            origin: input.option("origin", Canonical::read)?,
            extension: input.bytes(MAX_EXTENSION_BYTES, "skeleton extension")?.to_vec(),
        };
        let mut docs: Vec<_> = skeleton.entries.iter().map(|entry| entry.doc).collect();
        docs.sort_unstable();
        docs.dedup();
        let sorted = skeleton.blobs.windows(2).all(|pair| pair[0].hash < pair[1].hash);
        if docs.len() != skeleton.entries.len() || !sorted {
            return Err(CodecError::Invalid { what: "entries" });
        }
        Ok(skeleton)
    }
}
