//! The authority log: linear, hash-chained, signed by one sequencer, with epochs (R14).
//!
//! A [`Statement`] says one thing about who may do what; its body lies apart under its hash, so that
//! it can be erased. `policy` turns the statements into the state that rights are read from. Bodies are
//! tagged fields, so that a newer version may add one (`fields`). Format: `docs/formats/authority.md`.

mod body;
mod entries;

use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::id::{OrgId, SiteId};
use crate::identity::{Purpose, Secret, Signature};
use crate::time::Hlc;

pub use body::{Body, Cut};
pub use entries::{
    DeviceEntry, Enrolment, Grant, Role, ScopeSelector, SealingKey, ServiceEntry, SiteEntry, SiteSelector, Standing,
    UserEntry,
};

/// The statement format written today.
pub const FORMAT: u16 = 1;
/// Bytes of a statement's body.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
/// Bytes of a name, login or address.
pub const MAX_NAME_BYTES: usize = 256;
/// Items of a list in a body.
pub const MAX_ITEMS: usize = 2048;
/// Addresses of one site.
pub const MAX_ADDRESSES: usize = 64;
/// Bytes that a newer format may add to a statement.
const MAX_EXTENSION_BYTES: usize = 256;

/// A position of the authority log inside an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AuthorityRef {
    /// 1 at first; a hand-over adds one.
    pub epoch: u32,
    /// From 0.
    pub position: u64,
}

impl Canonical for AuthorityRef {
    fn write(&self, out: &mut Writer) {
        out.u32(self.epoch);
        out.u64(self.position);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { epoch: input.u32("epoch")?, position: input.u64("position")? })
    }
}

/// The statement that a record pins: what its author knew of the authority log (R10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Pin {
    /// Its place.
    pub at: AuthorityRef,
    /// The first bytes of its hash: two statements at one place are told apart.
    pub hash_head: [u8; 8],
}

impl Canonical for Pin {
    fn write(&self, out: &mut Writer) {
        self.at.write(out);
        out.raw(&self.hash_head);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { at: Canonical::read(input)?, hash_head: input.array("pinned hash")? })
    }
}

/// The signed part of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Statement format; this code knows 1, and treats higher ones as of an unknown kind (R13).
    pub format: u16,
    /// The organisation.
    pub org: OrgId,
    /// Its place.
    pub at: AuthorityRef,
    /// Hash of the statement before; zeros at position 0.
    pub previous: [u8; 32],
    /// When.
    pub hlc: Hlc,
    /// The key that signs.
    pub signer: SiteId,
    /// Number of the body's kind.
    pub kind: u16,
    /// Whether whoever does not know the kind goes on without it (R13).
    pub skippable: bool,
    /// Hash of the body.
    pub body_hash: [u8; 32],
    /// Length of the body in bytes.
    pub body_length: u32,
    /// What a newer format adds; empty in format 1.
    pub extension: Vec<u8>,
}

impl Statement {
    /// The statement's hash.
    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key("archipel 2026-11 statement", &self.to_bytes())
    }

    /// What a record that pins this statement says.
    pub fn pin(&self) -> Pin {
        pin(self.at, &self.hash())
    }
}

/// The pin of the statement at this place with this hash.
pub fn pin(at: AuthorityRef, hash: &[u8; 32]) -> Pin {
    let mut hash_head = [0; 8];
    hash_head.copy_from_slice(&hash[..8]);
    Pin { at, hash_head }
}

impl Canonical for Statement {
    fn write(&self, out: &mut Writer) {
        out.u16(self.format);
        self.org.write(out);
        self.at.write(out);
        out.raw(&self.previous);
        self.hlc.write(out);
        self.signer.write(out);
        out.u16(self.kind);
        out.flag(self.skippable);
        out.raw(&self.body_hash);
        out.u32(self.body_length);
        out.bytes(&self.extension);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let statement = Self {
            format: input.u16("statement format")?,
            org: Canonical::read(input)?,
            at: Canonical::read(input)?,
            previous: input.array("previous")?,
            hlc: Canonical::read(input)?,
            signer: Canonical::read(input)?,
            kind: input.u16("statement kind")?,
            skippable: input.flag("skippable")?,
            body_hash: input.array("body hash")?,
            body_length: input.u32("body length")?,
            extension: input.bytes(MAX_EXTENSION_BYTES, "statement extension")?.to_vec(),
        };
        if statement.format < FORMAT || (statement.format == FORMAT && !statement.extension.is_empty()) {
            return Err(CodecError::Invalid { what: "statement format" });
        }
        Ok(statement)
    }
}

/// A statement with its signature and body, as stored and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What is said, by hash.
    pub statement: Statement,
    /// The signer's signature.
    pub signature: Signature,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Signed {
    /// Says `body` at `at`, after the statement with hash `previous`.
    pub fn new(org: OrgId, at: AuthorityRef, previous: [u8; 32], hlc: Hlc, body: &Body, signer: &Secret) -> Self {
        let bytes = body.to_bytes();
        let statement = Statement {
            format: FORMAT,
            org,
            at,
            previous,
            hlc,
            signer: signer.public(),
            kind: body.number(),
            skippable: body.is_skippable(),
            body_hash: body_hash(&bytes),
            body_length: bytes.len() as u32,
            extension: Vec::new(),
        };
        let signature = signer.sign(Purpose::Statement, &statement.hash());
        Self { statement, signature, body: bytes }
    }
}

impl Canonical for Signed {
    fn write(&self, out: &mut Writer) {
        self.statement.write(out);
        self.signature.write(out);
        out.bytes(&self.body);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            statement: Canonical::read(input)?,
            signature: Canonical::read(input)?,
            body: input.bytes(MAX_BODY_BYTES, "statement body")?.to_vec(),
        })
    }
}

/// The hash under which a statement names its body.
pub fn body_hash(body: &[u8]) -> [u8; 32] {
    blake3::derive_key("archipel 2026-11 statement body", body)
}

/// Refuses a list that is not strictly ascending: a set has one encoding.
fn sorted<T: Ord>(items: Vec<T>) -> Result<Vec<T>, CodecError> {
    match items.windows(2).all(|pair| pair[0] < pair[1]) {
        true => Ok(items),
        false => Err(CodecError::Invalid { what: "order of a set" }),
    }
}
