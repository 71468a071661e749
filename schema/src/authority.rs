//! The authority log: linear, hash-chained, signed by one sequencer, with epochs (R14).
//!
//! A [`Statement`] says one thing about who may do what; its body lies apart under its hash, so that
//! it can be erased. `policy` turns the statements into the state that rights are read from. Format:
//! `docs/formats/authority.md`.

use serde::{Deserialize, Serialize};

use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::id::{GenerationId, OrgId, RecordHash, ScopeId, SiteId, StructureId, UserId};
use crate::identity::{Purpose, Secret, Signature};
use crate::time::Hlc;

/// The statement format written today.
pub const FORMAT: u16 = 1;
/// Bytes of a statement's body: a revocation names a few hundred logs.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
/// Bytes of a name, login or address.
pub const MAX_NAME_BYTES: usize = 256;
/// Items of a list in a body.
pub const MAX_ITEMS: usize = 4096;

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

/// The signed part of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
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
    /// Hash of the body.
    pub body_hash: [u8; 32],
    /// Length of the body in bytes.
    pub body_length: u32,
}

impl Statement {
    /// The statement's hash.
    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key("archipel 2026-11 statement", &self.to_bytes())
    }
}

impl Canonical for Statement {
    fn write(&self, out: &mut Writer) {
        out.u16(FORMAT);
        self.org.write(out);
        self.at.write(out);
        out.raw(&self.previous);
        self.hlc.write(out);
        self.signer.write(out);
        out.u16(self.kind);
        out.raw(&self.body_hash);
        out.u32(self.body_length);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        if input.u16("statement format")? != FORMAT {
            return Err(CodecError::Invalid { what: "statement format" });
        }
        Ok(Self {
            org: Canonical::read(input)?,
            at: Canonical::read(input)?,
            previous: input.array("previous")?,
            hlc: Canonical::read(input)?,
            signer: Canonical::read(input)?,
            kind: input.u16("statement kind")?,
            body_hash: input.array("body hash")?,
            body_length: input.u32("body length")?,
        })
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
            org,
            at,
            previous,
            hlc,
            signer: signer.public(),
            kind: body.number(),
            body_hash: body_hash(&bytes),
            body_length: bytes.len() as u32,
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

/// What somebody may do in a structure: the order is that of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Their own tickets.
    User,
    /// All tickets of the structure, with notes.
    Technician,
    /// What technicians may, and the directory.
    Admin,
}

/// A role, in one structure and those below it, or (`None`) in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// Where.
    pub structure: Option<StructureId>,
    /// What.
    pub role: Role,
}

/// Whether somebody or some site still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It does.
    Active,
    /// A disabled user; a retired site.
    Ended,
}

/// A site as the authority log describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteEntry {
    /// Its key.
    pub site: SiteId,
    /// 2 to 5 capital letters or digits: the head of its ticket numbers.
    pub code: String,
    /// For people.
    pub name: String,
    /// Active or retired.
    pub standing: Standing,
    /// The scopes it holds.
    pub scopes: Vec<ScopeId>,
    /// The structures for whose people it may enrol (R15).
    pub enrols: Vec<StructureId>,
    /// Where its peers may find it: socket addresses or relay URLs.
    pub addresses: Vec<String>,
}

/// Somebody who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEntry {
    /// Who.
    pub user: UserId,
    /// Unique in the organisation.
    pub login: String,
    /// What they may do.
    pub grants: Vec<Grant>,
    /// Which sites may speak for them (R11).
    pub sites: Vec<SiteId>,
    /// Active or disabled.
    pub standing: Standing,
}

/// The last record that stays of one log of a revoked key (R18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// The generation.
    pub generation: GenerationId,
    /// The scope.
    pub scope: ScopeId,
    /// The last seq that stays.
    pub seq: u64,
    /// Its hash.
    pub hash: RecordHash,
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
    /// Makes or renames a structure.
    Structure {
        /// Which.
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
        /// What stays, in order, one per log; other logs are cut at 0.
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
}

impl Body {
    /// The kind's number in the format.
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
        }
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Genesis { name, root, sequencer } => {
                out.text(name);
                root.write(&mut out);
                sequencer.write(&mut out);
            }
            Self::Structure { structure, name, parent } => {
                structure.write(&mut out);
                out.text(name);
                out.option(parent.as_ref(), |out, parent| parent.write(out));
            }
            Self::Site(entry) => entry.write(&mut out),
            Self::User(entry) => entry.write(&mut out),
            Self::Version(version) => out.u32(*version),
            Self::Revoke { site, cuts } => {
                site.write(&mut out);
                out.list(cuts, |out, cut| {
                    cut.generation.write(out);
                    cut.scope.write(out);
                    out.u64(cut.seq);
                    cut.hash.write(out);
                });
            }
            Self::HandOver { base, base_hash, sequencer } => {
                base.write(&mut out);
                out.raw(base_hash);
                sequencer.write(&mut out);
            }
            Self::Copied { site, generation, seq, user } => {
                site.write(&mut out);
                generation.write(&mut out);
                out.u64(*seq);
                user.write(&mut out);
            }
        }
        out.0
    }

    /// Reads the body of a statement of kind `number`; `None` for a kind not known here (R13).
    pub fn from_bytes(number: u16, bytes: &[u8]) -> Result<Option<Self>, CodecError> {
        let mut input = Reader::new(bytes);
        let body = match number {
            0 => Self::Genesis {
                name: input.text(MAX_NAME_BYTES, "organisation name")?,
                root: Canonical::read(&mut input)?,
                sequencer: Canonical::read(&mut input)?,
            },
            1 => Self::Structure {
                structure: Canonical::read(&mut input)?,
                name: input.text(MAX_NAME_BYTES, "structure name")?,
                parent: input.option("parent", Canonical::read)?,
            },
            2 => Self::Site(Canonical::read(&mut input)?),
            3 => Self::User(Canonical::read(&mut input)?),
            5 => Self::Version(input.u32("schema version")?),
            6 => Self::Revoke {
                site: Canonical::read(&mut input)?,
                cuts: sorted(input.list(MAX_ITEMS, "cuts", |input| {
                    Ok(Cut {
                        generation: Canonical::read(input)?,
                        scope: Canonical::read(input)?,
                        seq: input.u64("cut seq")?,
                        hash: Canonical::read(input)?,
                    })
                })?)?,
            },
            7 => Self::HandOver {
                base: Canonical::read(&mut input)?,
                base_hash: input.array("base hash")?,
                sequencer: Canonical::read(&mut input)?,
            },
            8 => Self::Copied {
                site: Canonical::read(&mut input)?,
                generation: Canonical::read(&mut input)?,
                seq: input.u64("seq")?,
                user: Canonical::read(&mut input)?,
            },
            _ => return Ok(None),
        };
        input.end()?;
        Ok(Some(body))
    }
}

/// What a site says about its people in its own log (R15): the body of an enrolment record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// Who, with the login wanted and the roles given; the site itself speaks for them.
    pub user: UserId,
    /// The login asked for.
    pub login: String,
    /// Roles, each in a structure for which the site enrols.
    pub grants: Vec<Grant>,
    /// Active or disabled.
    pub standing: Standing,
}

impl Canonical for Enrolment {
    fn write(&self, out: &mut Writer) {
        self.user.write(out);
        out.text(&self.login);
        out.list(&self.grants, |out, grant| grant.write(out));
        self.standing.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            user: Canonical::read(input)?,
            login: input.text(MAX_NAME_BYTES, "login")?,
            grants: sorted(input.list(MAX_ITEMS, "grants", Canonical::read)?)?,
            standing: Canonical::read(input)?,
        })
    }
}

impl Canonical for Standing {
    fn write(&self, out: &mut Writer) {
        out.flag(*self == Self::Active);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(if input.flag("standing")? { Self::Active } else { Self::Ended })
    }
}

impl Canonical for Grant {
    fn write(&self, out: &mut Writer) {
        out.option(self.structure.as_ref(), |out, structure| structure.write(out));
        out.u8(match self.role {
            Role::User => 1,
            Role::Technician => 2,
            Role::Admin => 3,
        });
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let structure = input.option("structure", Canonical::read)?;
        let role = match input.u8("role")? {
            1 => Role::User,
            2 => Role::Technician,
            3 => Role::Admin,
            _ => return Err(CodecError::Invalid { what: "role" }),
        };
        Ok(Self { structure, role })
    }
}

impl Canonical for SiteEntry {
    fn write(&self, out: &mut Writer) {
        self.site.write(out);
        out.text(&self.code);
        out.text(&self.name);
        self.standing.write(out);
        out.list(&self.scopes, |out, scope| scope.write(out));
        out.list(&self.enrols, |out, structure| structure.write(out));
        out.list(&self.addresses, |out, address| out.text(address));
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            site: Canonical::read(input)?,
            code: input.text(MAX_NAME_BYTES, "site code")?,
            name: input.text(MAX_NAME_BYTES, "site name")?,
            standing: Canonical::read(input)?,
            scopes: sorted(input.list(MAX_ITEMS, "scopes", Canonical::read)?)?,
            enrols: sorted(input.list(MAX_ITEMS, "structures", Canonical::read)?)?,
            addresses: input.list(64, "addresses", |input| input.text(MAX_NAME_BYTES, "address"))?,
        })
    }
}

impl Canonical for UserEntry {
    fn write(&self, out: &mut Writer) {
        self.user.write(out);
        out.text(&self.login);
        out.list(&self.grants, |out, grant| grant.write(out));
        out.list(&self.sites, |out, site| site.write(out));
        self.standing.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            user: Canonical::read(input)?,
            login: input.text(MAX_NAME_BYTES, "login")?,
            grants: sorted(input.list(MAX_ITEMS, "grants", Canonical::read)?)?,
            sites: sorted(input.list(MAX_ITEMS, "sites", Canonical::read)?)?,
            standing: Canonical::read(input)?,
        })
    }
}

/// Refuses a list that is not strictly ascending: a set has one encoding.
fn sorted<T: Ord>(items: Vec<T>) -> Result<Vec<T>, CodecError> {
    match items.windows(2).all(|pair| pair[0] < pair[1]) {
        true => Ok(items),
        false => Err(CodecError::Invalid { what: "order of a set" }),
    }
}
