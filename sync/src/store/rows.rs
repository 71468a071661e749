//! The values that tables hold, with their canonical encodings.

use schema::author::Author;
use schema::authority::{AuthorityRef, Enrolment, Pin};
use schema::codec::{Canonical, CodecError, Reader, Writer};
use schema::doc::{DocKind, GenesisFacts};
use schema::id::{ChangeHash, DocId, GenerationId, ScopeId, SiteId, UserId};
use schema::identity::Signature;
use schema::record::{BodyName, Record};
use schema::time::Hlc;

use super::tables::{LogNo, record_key};
use crate::change::Facts;

/// First bytes of keys of what waits.
const AUTHORITY: u8 = 2;
const VERSION: u8 = 3;
const EARLIER: u8 = 5;
const BODY: u8 = 6;
const NEEDED: u8 = 7;

/// Items, or bytes, of one list in a stored value. What others may make long is bounded where it is judged; what is
/// stored here must always be read again.
const MAX_STORED_ITEMS: usize = 1 << 28;

/// A record as stored: with the signature if it ends a run (R3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Header and skeleton.
    pub record: Record,
    /// The signature that ends a run here.
    pub signature: Option<Signature>,
}

impl Canonical for StoredRecord {
    fn write(&self, out: &mut Writer) {
        self.record.write(out);
        out.option(self.signature.as_ref(), |out, signature| signature.write(out));
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { record: Canonical::read(input)?, signature: input.option("signature", Canonical::read)? })
    }
}

/// Where a record came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Log number.
    pub log: LogNo,
    /// Seq in that log.
    pub seq: u64,
    /// Hash chain over all arrivals of the scope up to this one.
    pub chain: [u8; 16],
}

impl Canonical for Arrival {
    fn write(&self, out: &mut Writer) {
        out.u32(self.log);
        out.u64(self.seq);
        out.raw(&self.chain);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { log: input.u32("log")?, seq: input.u64("seq")?, chain: input.array("chain")? })
    }
}

/// What a site said of somebody in its own log (R15), and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The record's time.
    pub hlc: Hlc,
    /// The generation and seq of the record in the site's log of the organisation's scope.
    pub place: (GenerationId, u64),
    /// What the record was judged by.
    pub pin: Pin,
    /// What it says.
    pub enrolment: Enrolment,
}

impl Canonical for Said {
    fn write(&self, out: &mut Writer) {
        self.hlc.write(out);
        self.place.0.write(out);
        out.u64(self.place.1);
        self.pin.write(out);
        self.enrolment.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            hlc: Canonical::read(input)?,
            place: (Canonical::read(input)?, input.u64("seq")?),
            pin: Canonical::read(input)?,
            enrolment: Canonical::read(input)?,
        })
    }
}

/// What is known of a document without loading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocRow {
    /// Its scope.
    pub scope: ScopeId,
    /// Its kind.
    pub kind: DocKind,
    /// Whether its id comes from a natural key (then it has no Text, R5).
    pub natural: bool,
    /// What each genesis fixed, by its hash: one, unless two sites gave birth to one document.
    pub births: Vec<Birth>,
    /// The frontier of its changes, sorted.
    pub heads: Vec<ChangeHash>,
    /// What its changes say together.
    pub summary: Summary,
}

/// What a view tells of all changes of a document, kept so that it reads only those that it shows (R30).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Where the first of them stands, its hash, and its time.
    pub first: Option<(Hlc, ChangeHash, Hlc)>,
    /// The latest time of those that say nothing that the source of an import knows.
    pub last_at: Option<Hlc>,
    /// Whether one of them is tainted.
    pub tainted: bool,
}

impl Summary {
    /// Adds a change.
    pub fn add(&mut self, entry: &IndexEntry, imports: bool) {
        let place = (entry.order, entry.facts.hash, entry.at);
        self.first = Some(self.first.map_or(place, |first| first.min(place)));
        if !imports {
            self.last_at = self.last_at.max(Some(entry.at));
        }
        self.tainted |= entry.tainted;
    }
}

impl Canonical for Summary {
    fn write(&self, out: &mut Writer) {
        out.option(self.first.as_ref(), |out, (order, hash, at)| {
            order.write(out);
            hash.write(out);
            at.write(out);
        });
        out.option(self.last_at.as_ref(), |out, at| at.write(out));
        out.flag(self.tainted);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            first: input.option("first change", |input| {
                Ok((Canonical::read(input)?, Canonical::read(input)?, Canonical::read(input)?))
            })?,
            last_at: input.option("latest time", Canonical::read)?,
            tainted: input.flag("tainted")?,
        })
    }
}

/// What a genesis fixes for every change that descends from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Birth {
    /// The genesis.
    pub genesis: ChangeHash,
    /// Keys under which it made Texts: nothing else is ever put there.
    pub texts: Vec<String>,
    /// What rights need of it.
    pub facts: GenesisFacts,
}

impl Canonical for Birth {
    fn write(&self, out: &mut Writer) {
        self.genesis.write(out);
        out.list(&self.texts, |out, key| out.text(key));
        out.option(self.facts.requester.as_ref(), |out, requester| requester.write(out));
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            genesis: Canonical::read(input)?,
            texts: input.list(4096, "text keys", |input| input.text(256, "text key"))?,
            facts: GenesisFacts { requester: input.option("requester", Canonical::read)? },
        })
    }
}

impl DocRow {
    /// What the genesis with this hash fixed.
    pub fn birth(&self, genesis: &ChangeHash) -> Option<&Birth> {
        self.births.iter().find(|birth| birth.genesis == *genesis)
    }

    /// What rights need of the document, wherever there is one genesis: of several, the one with the smallest
    /// hash counts, as it does for changes that descend from several.
    pub fn facts(&self) -> GenesisFacts {
        self.births.first().map(|birth| birth.facts.clone()).unwrap_or_default()
    }

    /// The document's part of the scope's digest (R22).
    pub fn digest(&self, doc: &DocId) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 document digest");
        hasher.update(&doc.0);
        for head in &self.heads {
            hasher.update(&head.0);
        }
        *hasher.finalize().as_bytes()
    }
}

impl Canonical for DocRow {
    fn write(&self, out: &mut Writer) {
        self.scope.write(out);
        out.u16(self.kind.number());
        out.flag(self.natural);
        out.list(&self.births, |out, birth| birth.write(out));
        out.list(&self.heads, |out, head| head.write(out));
        self.summary.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            scope: Canonical::read(input)?,
            kind: DocKind::from_number(input.u16("kind")?),
            natural: input.flag("natural")?,
            births: input.list(MAX_STORED_ITEMS, "births", Canonical::read)?,
            heads: input.list(MAX_STORED_ITEMS, "heads", Canonical::read)?,
            summary: Canonical::read(input)?,
        })
    }
}

/// An applied change of a document: what checks, histories and authorship need of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// The record it stands in.
    pub log: LogNo,
    /// Its seq.
    pub seq: u64,
    /// In whose name.
    pub author: Author,
    /// When: the record's time.
    pub at: Hlc,
    /// Where it stands among the changes of its document: its time, or behind what it depends on where that is later
    /// (R28).
    pub order: Hlc,
    /// The genesis it descends from; of several, the smallest hash.
    pub genesis: ChangeHash,
    /// Whether its record does not stand, and is here because one that does builds on it (R19).
    pub tainted: bool,
    /// Whether its time contradicts that of a change that it depends on, or that depends on it: which of the two clocks was
    /// wrong nobody can say (R28).
    pub doubt: bool,
    /// Whether it writes a key with an order (`schema::doc::is_ordered`).
    pub ordered: bool,
    /// The last changes with such a key among its ancestors.
    pub ordered_before: Vec<ChangeHash>,
    /// Envelope and ancestors.
    pub facts: Facts,
}

impl Canonical for IndexEntry {
    fn write(&self, out: &mut Writer) {
        out.u32(self.log);
        out.u64(self.seq);
        self.author.write(out);
        self.at.write(out);
        self.order.write(out);
        self.genesis.write(out);
        out.flag(self.tainted);
        out.flag(self.doubt);
        out.flag(self.ordered);
        out.list(&self.ordered_before, |out, hash| hash.write(out));
        out.bytes(&self.facts.encode());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            log: input.u32("log")?,
            seq: input.u64("seq")?,
            author: Canonical::read(input)?,
            at: Canonical::read(input)?,
            order: Canonical::read(input)?,
            genesis: Canonical::read(input)?,
            tainted: input.flag("tainted")?,
            doubt: input.flag("doubt")?,
            ordered: input.flag("ordered")?,
            ordered_before: input.list(MAX_STORED_ITEMS, "ordered changes before", Canonical::read)?,
            facts: Facts::decode(input.bytes(MAX_STORED_ITEMS, "facts")?)
                .map_err(|_| CodecError::Invalid { what: "facts of a change" })?,
        })
    }
}

/// What a record waits for (R9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// A change of the same document.
    Change(ChangeHash),
    /// A position of the authority log.
    Authority(AuthorityRef),
    /// A newer version of this software: an unknown body kind, schema or statement.
    Version,
    /// What the site says of this user (R15).
    Enrolment(UserId, SiteId),
    /// Earlier records of the same log on this document, which wait themselves.
    Earlier(DocId, LogNo),
    /// A body that is named only (R2).
    Body(BodyName),
}

impl Wait {
    /// The stable code, shown in the list of held changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Change(_) => "waiting-change",
            Self::Authority(_) => "waiting-authority",
            Self::Version => "waiting-version",
            Self::Enrolment(..) => "waiting-enrolment",
            Self::Earlier(..) => "waiting-earlier",
            Self::Body(_) => "waiting-body",
        }
    }

    /// The key under which records that wait for this are found. Those that wait for the authority log stand in
    /// the order of its positions.
    pub fn key(&self) -> Vec<u8> {
        match self {
            Self::Change(hash) => [&[1], hash.0.as_slice()].concat(),
            Self::Authority(at) => {
                [&[AUTHORITY], at.epoch.to_be_bytes().as_slice(), &at.position.to_be_bytes()].concat()
            }
            Self::Version => vec![VERSION],
            Self::Enrolment(user, site) => [&[4], user.0.as_slice(), site.0.as_slice()].concat(),
            Self::Earlier(doc, log) => [&[EARLIER], doc.0.as_slice(), log.to_be_bytes().as_slice()].concat(),
            Self::Body(name) => [&[BODY], name.to_bytes().as_slice()].concat(),
        }
    }

    /// What the keys of all waiting records begin with that name a document.
    pub fn earlier_on(doc: &DocId) -> Vec<u8> {
        [&[EARLIER], doc.0.as_slice()].concat()
    }

    /// What the keys of all waiting records begin with that build on a change, whatever else they wait for first.
    pub fn needed(change: &ChangeHash) -> Vec<u8> {
        [&[NEEDED], change.0.as_slice()].concat()
    }

    /// Every stable code.
    pub const CODES: [&str; 6] = [
        "waiting-change",
        "waiting-authority",
        "waiting-version",
        "waiting-enrolment",
        "waiting-earlier",
        "waiting-body",
    ];

    /// The keys under which every record stands that waits for the authority log up to this place.
    pub fn for_authority(head: AuthorityRef) -> (Vec<u8>, Vec<u8>) {
        let after = Self::Authority(AuthorityRef { position: head.position.saturating_add(1), ..head });
        (vec![AUTHORITY], after.key())
    }

    /// The keys under which every record stands that waits for a newer version of this program.
    pub fn for_version() -> (Vec<u8>, Vec<u8>) {
        (vec![VERSION], vec![VERSION + 1])
    }

    /// The key of one waiting record.
    pub fn row_key(&self, log: LogNo, seq: u64) -> Vec<u8> {
        [self.key().as_slice(), record_key(log, seq).as_slice()].concat()
    }
}

/// Why a record does not stand (R19).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Beyond {
    /// Its key was revoked, and it comes after the cut (R18).
    Cut,
    /// Its key signed two histories, and it stands in one of those (R20).
    Fork,
}

/// What was made of a record that does not stand, because one that does builds on it (R19).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It is applied like any other, and marked wherever it shows.
    Tainted,
    /// Another record claims the same place in a document, and has the smaller hash.
    Stranded,
}

impl Canonical for Mark {
    fn write(&self, out: &mut Writer) {
        out.u8(match self {
            Self::Tainted => 0,
            Self::Stranded => 1,
        });
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        match input.u8("mark")? {
            0 => Ok(Self::Tainted),
            1 => Ok(Self::Stranded),
            _ => Err(CodecError::Invalid { what: "mark" }),
        }
    }
}

/// A record that has no effect, or none yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It never will (R8); the reason's stable code.
    Void(String),
    /// Not yet.
    Waiting(Wait),
    /// It does not stand, and nothing that does builds on it.
    Beyond(Beyond),
    /// It does not stand; something that does builds on it, and on another record of the same place.
    Stranded,
}

impl Verdict {
    /// The stable code of the reason.
    pub fn code(&self) -> &str {
        match self {
            Self::Void(code) => code,
            Self::Waiting(wait) => wait.code(),
            Self::Beyond(Beyond::Cut) => "beyond-cut",
            Self::Beyond(Beyond::Fork) => "beyond-fork",
            Self::Stranded => "stranded",
        }
    }

    /// Every stable code of records that do not stand.
    pub const BEYOND: [&str; 3] = ["beyond-cut", "beyond-fork", "stranded"];
}

impl Canonical for Verdict {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Void(code) => {
                out.u8(0);
                out.text(code);
            }
            Self::Waiting(Wait::Change(hash)) => {
                out.u8(1);
                hash.write(out);
            }
            Self::Waiting(Wait::Authority(at)) => {
                out.u8(2);
                at.write(out);
            }
            Self::Waiting(Wait::Version) => out.u8(3),
            Self::Waiting(Wait::Enrolment(user, site)) => {
                out.u8(4);
                user.write(out);
                site.write(out);
            }
            Self::Waiting(Wait::Earlier(doc, log)) => {
                out.u8(5);
                doc.write(out);
                out.u32(*log);
            }
            Self::Waiting(Wait::Body(name)) => {
                out.u8(6);
                name.write(out);
            }
            Self::Beyond(Beyond::Cut) => out.u8(7),
            Self::Beyond(Beyond::Fork) => out.u8(8),
            Self::Stranded => out.u8(9),
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(match input.u8("verdict")? {
            0 => Self::Void(input.text(64, "reason")?),
            1 => Self::Waiting(Wait::Change(Canonical::read(input)?)),
            2 => Self::Waiting(Wait::Authority(Canonical::read(input)?)),
            3 => Self::Waiting(Wait::Version),
            4 => Self::Waiting(Wait::Enrolment(Canonical::read(input)?, Canonical::read(input)?)),
            5 => Self::Waiting(Wait::Earlier(Canonical::read(input)?, input.u32("log number")?)),
            6 => Self::Waiting(Wait::Body(Canonical::read(input)?)),
            7 => Self::Beyond(Beyond::Cut),
            8 => Self::Beyond(Beyond::Fork),
            9 => Self::Stranded,
            _ => return Err(CodecError::Invalid { what: "verdict" }),
        })
    }
}
