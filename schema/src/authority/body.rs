//! What a statement says: one kind each, as tagged fields.

use super::entries::{DeviceEntry, ServiceEntry, SiteEntry, UserEntry};
use super::{AuthorityRef, MAX_ADDRESSES, MAX_ITEMS, MAX_NAME_BYTES, sorted};
use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::fields::{FieldWriter, Fields};
use crate::id::{GenerationId, RecordHash, ScopeId, SiteId, StructureId};

/// The last record that stands of a revoked key in one scope (R18): the chain of predecessors behind it stands
/// too, every other generation of the key is cut at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// The scope.
    pub scope: ScopeId,
    /// The generation.
    pub generation: GenerationId,
    /// The last seq that stands.
    pub seq: u64,
    /// Its hash, which stands for a signature of everything before it.
    pub hash: RecordHash,
}

impl Canonical for Cut {
    fn write(&self, out: &mut Writer) {
        self.scope.write(out);
        self.generation.write(out);
        out.u64(self.seq);
        self.hash.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (scope, generation) = (Canonical::read(input)?, Canonical::read(input)?);
        Ok(Self { scope, generation, seq: input.u64("cut seq")?, hash: Canonical::read(input)? })
    }
}

/// What a statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Position 0, signed by the root.
    Genesis {
        /// The organisation's name.
        name: String,
        /// The root's public key.
        root: SiteId,
        /// The sequencer's public key.
        sequencer: SiteId,
    },
    /// Makes, renames or moves a structure.
    Structure {
        /// The structure.
        structure: StructureId,
        /// For people.
        name: String,
        /// The structure it is part of.
        parent: Option<StructureId>,
    },
    /// Enrols, changes or retires a site.
    Site(SiteEntry),
    /// Enrols, changes or disables a user.
    User(UserEntry),
    /// The schema version that authors write from here on (R13).
    Version(u32),
    /// Ends a site's key (R18).
    Revoke {
        /// The key.
        site: SiteId,
        /// What stands, sorted by scope, one per scope; in other scopes nothing does.
        cuts: Vec<Cut>,
    },
    /// The root gives the log to another sequencer (R14).
    HandOver {
        /// The last statement of the epoch before that stands.
        base: AuthorityRef,
        /// Its hash.
        base_hash: [u8; 32],
        /// The new sequencer's public key.
        sequencer: SiteId,
    },
    /// An enrolment taken over from a site's log (R15).
    Copied {
        /// The site that enrolled.
        site: SiteId,
        /// Its generation.
        generation: GenerationId,
        /// The record's seq in the organisation's scope.
        seq: u64,
        /// The user as confirmed, with the login that holds from here on.
        user: UserEntry,
    },
    /// Where a site's peers may find it. Skippable.
    Addresses {
        /// The site.
        site: SiteId,
        /// Socket addresses or relay URLs, in the order in which they are tried.
        addresses: Vec<String>,
    },
    /// Enrols, changes or ends a desktop. Skippable.
    Device(DeviceEntry),
    /// Enrols, changes or ends a service author (R36).
    Service(ServiceEntry),
}

impl Body {
    /// The kind's number in the format. 4 (an audience narrower than a structure) and 13 (a signed state, R14) are reserved; 9 is not used.
    pub fn number(&self) -> u16 {
        match self {
            Self::Genesis { .. } => 0,
            Self::Structure { .. } => 1,
            Self::Site(_) => 2,
            Self::User(_) => 3,
            Self::Version(_) => 5,
            Self::Revoke { .. } => 6,
            Self::HandOver { .. } => 7,
            Self::Copied { .. } => 8,
            Self::Addresses { .. } => 10,
            Self::Device(_) => 11,
            Self::Service(_) => 12,
        }
    }

    /// What it is, for operators.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Genesis { .. } => "founds the organisation",
            Self::Structure { .. } => "structure",
            Self::Site(_) => "site",
            Self::User(_) => "user",
            Self::Version(_) => "version",
            Self::Revoke { .. } => "revokes a site's key",
            Self::HandOver { .. } => "hands the rules over",
            Self::Copied { .. } => "copies what a site said of a user",
            Self::Addresses { .. } => "addresses",
            Self::Device(_) => "device",
            Self::Service(_) => "service",
        }
    }

    /// Whether a version that does not know the kind passes it over (R13): it decides no right of a site.
    pub fn is_skippable(&self) -> bool {
        match self {
            Self::Addresses { .. } | Self::Device(_) => true,
            Self::Genesis { .. }
            | Self::Structure { .. }
            | Self::Site(_)
            | Self::User(_)
            | Self::Version(_)
            | Self::Revoke { .. }
            | Self::HandOver { .. }
            | Self::Copied { .. }
            | Self::Service(_) => false,
        }
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = FieldWriter::default();
        match self {
            Self::Genesis { name, root, sequencer } => {
                out.text(1, name);
                out.value(2, root);
                out.value(3, sequencer);
            }
            Self::Structure { structure, name, parent } => {
                out.value(1, structure);
                out.text(2, name);
                out.option(3, parent.as_ref());
            }
            Self::Site(entry) => entry.write_fields(&mut out),
            Self::User(entry) => entry.write_fields(&mut out),
            Self::Version(version) => out.put(1, |out| out.u32(*version)),
            Self::Revoke { site, cuts } => {
                out.value(1, site);
                out.list(2, cuts);
            }
            Self::HandOver { base, base_hash, sequencer } => {
                out.value(1, base);
                out.put(2, |out| out.raw(base_hash));
                out.value(3, sequencer);
            }
            Self::Copied { site, generation, seq, user } => {
                out.value(1, site);
                out.value(2, generation);
                out.put(3, |out| out.u64(*seq));
                let mut nested = FieldWriter::default();
                user.write_fields(&mut nested);
                out.put(4, |out| out.raw(&nested.finish()));
            }
            Self::Addresses { site, addresses } => {
                out.value(1, site);
                out.texts(2, addresses);
            }
            Self::Device(entry) => entry.write_fields(&mut out),
            Self::Service(entry) => entry.write_fields(&mut out),
        }
        out.finish()
    }

    /// Reads the body of a statement of kind `number`. `None`: of a kind that is not known here, or with a field,
    /// selector or role of a newer version that cannot be left out (R13).
    pub fn from_bytes(number: u16, bytes: &[u8]) -> Result<Option<Self>, CodecError> {
        match Self::read(number, bytes) {
            Ok(body) => Ok(body),
            Err(CodecError::Newer { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(number: u16, bytes: &[u8]) -> Result<Option<Self>, CodecError> {
        let mut input = Fields::read(bytes)?;
        let body = match number {
            0 => Self::Genesis {
                name: input.text(1, MAX_NAME_BYTES, "organisation name")?,
                root: input.value(2, "root key")?,
                sequencer: input.value(3, "sequencer key")?,
            },
            1 => Self::Structure {
                structure: input.value(1, "structure")?,
                name: input.text(2, MAX_NAME_BYTES, "structure name")?,
                parent: input.option(3)?,
            },
            2 => Self::Site(SiteEntry::read_fields(&mut input)?),
            3 => Self::User(UserEntry::read_fields(&mut input)?),
            5 => Self::Version(input.get(1, "schema version", |input| input.u32("schema version"))?),
            6 => {
                let (site, cuts) = (input.value(1, "revoked key")?, input.list(2, MAX_ITEMS, "cuts")?);
                let cuts: Vec<Cut> = sorted(cuts)?;
                if cuts.windows(2).any(|pair| pair[0].scope == pair[1].scope) {
                    return Err(CodecError::Invalid { what: "two cuts of one scope" });
                }
                Self::Revoke { site, cuts }
            }
            7 => Self::HandOver {
                base: input.value(1, "base")?,
                base_hash: input.get(2, "base hash", |input| input.array("base hash"))?,
                sequencer: input.value(3, "sequencer key")?,
            },
            8 => Self::Copied {
                site: input.value(1, "site")?,
                generation: input.value(2, "generation")?,
                seq: input.get(3, "seq", |input| input.u64("seq"))?,
                user: input.get(4, "user", |input| {
                    let mut nested = Fields::read(input.rest())?;
                    let user = UserEntry::read_fields(&mut nested)?;
                    nested.end()?;
                    Ok(user)
                })?,
            },
            10 => Self::Addresses {
                site: input.value(1, "site")?,
                addresses: input.texts(2, MAX_ADDRESSES, MAX_NAME_BYTES, "addresses")?,
            },
            11 => Self::Device(DeviceEntry::read_fields(&mut input)?),
            12 => Self::Service(ServiceEntry::read_fields(&mut input)?),
            _ => return Ok(None),
        };
        input.end()?;
        Ok(Some(body))
    }
}
