//! A newtype for every identifier. Shown and parsed as lower-case hexadecimal.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::codec::{Canonical, CodecError, Reader, Writer};

/// A text that is not the identifier it should be.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("not {what}: expected {digits} hexadecimal digits")]
pub struct IdError {
    what: &'static str,
    digits: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $bytes;

            /// The identifier these bytes are; `None` unless there are exactly as many as it has.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
            /// The identifier's bytes.
            pub fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
            /// The first eight hexadecimal digits, for people and logs; not unique.
            pub fn short(&self) -> String {
                HEXLOWER.encode(&self.0[..4])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = IdError { what: $what, digits: $bytes * 2 };
                let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| error.clone())?;
                bytes.try_into().map(Self).map_err(|_| error)
            }
        }

        impl Canonical for $name {
            fn write(&self, out: &mut Writer) {
                out.raw(&self.0);
            }
            fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
                Ok(Self(input.array($what)?))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

id!(
    /// An organisation (tenant): the hash of its root public key.
    OrgId, 32, "an organisation id");
id!(
    /// A site: its Ed25519 public key, which is also its network identity.
    SiteId, 32, "a site id");
id!(
    /// One start of a site's process (R1): random.
    GenerationId, 16, "a generation id");
id!(
    /// The smallest set of documents with one audience.
    ScopeId, 16, "a scope id");
id!(
    /// An organisational unit.
    StructureId, 16, "a structure id");
id!(
    /// Somebody who may log in. Their personal data stands in a person document.
    UserId, 16, "a user id");
id!(
    /// A service that writes in its own name (R36).
    ServiceId, 16, "a service id");
id!(
    /// A desktop: its Ed25519 public key.
    DeviceId, 32, "a device id");
id!(
    /// A document (R5).
    DocId, 32, "a document id");
id!(
    /// A command as named by a client.
    CommandId, 8, "a command id");
id!(
    /// The hash of a record's header (R2).
    RecordHash, 32, "a record hash");
id!(
    /// The hash of an Automerge change chunk.
    ChangeHash, 32, "a change hash");
id!(
    /// An Automerge actor as R6 derives it.
    ActorId, 16, "an actor id");
id!(
    /// One store's arrivals: drawn when a store is created or restored (R21).
    StoreId, 16, "a store id");

impl RecordHash {
    /// Its first bytes, where the whole is known to the reader.
    pub fn head(&self) -> [u8; 8] {
        let mut head = [0; 8];
        head.copy_from_slice(&self.0[..8]);
        head
    }
}

/// The id of the scope of one structure, or of the organisation itself (`None`).
pub fn scope_of(org: &OrgId, structure: Option<&StructureId>) -> ScopeId {
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 scope");
    hasher.update(&org.0);
    match structure {
        None => hasher.update(&[0]),
        Some(structure) => hasher.update(&[1]).update(&structure.0),
    };
    ScopeId(first_16(&hasher.finalize()))
}

/// The first half of a hash, where 16 bytes name a thing.
pub(crate) fn first_16(hash: &blake3::Hash) -> [u8; 16] {
    let mut first = [0; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    first
}

impl From<automerge::ChangeHash> for ChangeHash {
    fn from(hash: automerge::ChangeHash) -> Self {
        Self(hash.0)
    }
}

impl From<ChangeHash> for automerge::ChangeHash {
    fn from(hash: ChangeHash) -> Self {
        Self(hash.0)
    }
}

impl From<ActorId> for automerge::ActorId {
    fn from(actor: ActorId) -> Self {
        Self::from(actor.0)
    }
}

/// One hash chain: the records of a site's generation in a scope (R1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// Whose log.
    pub site: SiteId,
    /// Of which start of the process.
    pub generation: GenerationId,
    /// In which scope.
    pub scope: ScopeId,
}

impl GenerationId {
    /// One that is drawn from random bytes. Its first bit is 0: nobody can call a generation like a history behind a fork.
    pub fn drawn(mut bytes: [u8; 16]) -> Self {
        bytes[0] &= !HISTORY_BIT;
        Self(bytes)
    }

    /// The name of a history behind a fork, from a hash. Its first bit is 1.
    pub fn of_history(mut bytes: [u8; 16]) -> Self {
        bytes[0] |= HISTORY_BIT;
        Self(bytes)
    }

    /// Whether this names a history behind a fork, which no record says of itself (R20).
    pub fn is_history(&self) -> bool {
        self.0[0] & HISTORY_BIT != 0
    }
}

/// In the first byte of a generation's id.
const HISTORY_BIT: u8 = 0x80;

impl Canonical for LogId {
    fn write(&self, out: &mut Writer) {
        self.site.write(out);
        self.generation.write(out);
        self.scope.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { site: Canonical::read(input)?, generation: Canonical::read(input)?, scope: Canonical::read(input)? })
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.site.short(), self.generation.short(), self.scope.short())
    }
}
