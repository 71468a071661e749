//! Runs on the wire: what a receiver can compute is left out.
//!
//! A [`PackedRun`] is a run without organisation, hashes, lengths and links; [`PackedRun::unpack`] puts them
//! back from the logs as the receiver holds them, and the signature at the end proves that this gave what
//! the author signed. Code of the bytes: [`super::layout`].

use std::collections::BTreeSet;

use schema::author::Author;
use schema::authority::Pin;
use schema::codec::Tagged;
use schema::doc::DocKind;
use schema::id::{ActorId, ChangeHash, DocId, GenerationId, LogId, OrgId, RecordHash};
use schema::identity::Signature;
use schema::record::{
    BlobRef, BodyKind, CommandName, Entry, FORMAT, Genesis, Header, OpaqueRef, Origin, Previous, Record, Skeleton,
};
use schema::time::Hlc;
use thiserror::Error;

use super::stripped::{FrameLog, FrameLogs, Place, Receiver, Sender, Stripped, strip};
use crate::admission::{RecordWithBodies, Run};
use crate::change::chunk_hash;
use crate::store::StoreError;
use crate::store::log_index::LogName;

/// Why a run could not be put together.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// It refers to a record that is not held here.
    #[error("a run refers to a record that is not held here")]
    Reference,
    /// The record that it follows is another than the one held here: the log was forked (R20).
    #[error("a run follows another record than the one held here")]
    Forked,
    /// This machine's store.
    #[error("a run could not be looked up")]
    Store(#[from] StoreError),
}

/// What a document's name on the wire is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PackedDoc {
    Named(DocId),
    Born(DocKind),
    BornNatural(DocKind, [u8; 16]),
    /// As the first dependency of the stripped change.
    OfDependency,
    /// Named, with a genesis of a newer version.
    BornNewer(DocId, Tagged),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PackedChange {
    Whole(Vec<u8>),
    Stripped(Stripped),
    /// Its bytes are not held by the sender: they were erased, dropped or damaged (R2).
    NamedOnly(ChangeHash, u32),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PackedOpaque {
    Whole(Vec<u8>),
    NamedOnly(OpaqueRef),
}

/// What few records have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extras {
    pub(super) format: u16,
    pub(super) header_extension: Vec<u8>,
    pub(super) blobs: Vec<BlobRef>,
    pub(super) opaque: Option<PackedOpaque>,
    pub(super) origin: Option<Origin>,
    pub(super) extension: Vec<u8>,
}

impl Default for Extras {
    fn default() -> Self {
        let (header_extension, blobs, extension) = (Vec::new(), Vec::new(), Vec::new());
        Self { format: FORMAT, header_extension, blobs, opaque: None, origin: None, extension }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PackedRecord {
    pub(super) pin: Pin,
    pub(super) hlc: Hlc,
    pub(super) schema: u32,
    pub(super) kind: BodyKind,
    pub(super) command: CommandName,
    pub(super) author: Author,
    pub(super) entries: Vec<(PackedDoc, PackedChange)>,
    /// `None`: an edit of this format with nothing but entries.
    pub(super) extras: Option<Box<Extras>>,
}

/// A run as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedRun {
    /// The log.
    pub log: LogId,
    /// The first seq.
    pub from: u64,
    /// Whether it is of a history behind a fork (R20).
    pub is_behind_fork: bool,
    /// What the first record follows.
    pub(super) start: Start,
    pub(super) records: Vec<PackedRecord>,
    pub(super) signature: Signature,
}

/// What the first record of a run follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// The record before in the log, whose hash begins like this.
    After([u8; 8]),
    /// What the first record of a generation says.
    Generation(Previous),
}

impl PackedRun {
    /// Leaves out what the receiver can compute.
    pub fn pack(run: &Run, sender: &impl Sender, logs: &mut FrameLogs) -> Result<Self, StoreError> {
        let first = run.records.first().map(|with| &with.record.header);
        let start = match first.map_or(Previous::First, |header| header.previous) {
            previous @ Previous::Record(_) => Start::After(previous.hash_head()),
            previous @ (Previous::First | Previous::After(_)) => Start::Generation(previous),
        };
        Ok(Self {
            log: run.log,
            from: first.map_or(0, |header| header.seq),
            is_behind_fork: first.is_some_and(|header| header.log != run.log),
            start,
            records: run
                .records
                .iter()
                .map(|with| {
                    let log = (run.log.site, run.log.generation);
                    pack_record(with, &UpTo { sender, log, before: with.record.header.seq }, logs)
                })
                .collect::<Result<_, _>>()?,
            signature: run.signature,
        })
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The logs, by their numbers in the frame, that its changes refer to.
    pub fn refers_to(&self) -> BTreeSet<FrameLog> {
        let changes = self.records.iter().flat_map(|record| &record.entries).map(|(_, change)| change);
        let stripped = changes.filter_map(|change| match change {
            PackedChange::Stripped(stripped) => Some(stripped),
            PackedChange::Whole(_) | PackedChange::NamedOnly(..) => None,
        });
        stripped
            .flat_map(|one| one.dependencies.iter().map(|place| place.log).chain(one.others.iter().copied()))
            .collect()
    }

    /// Computes what was left out. `signed_as` is the generation that the records name, another than the log's for a
    /// history behind a fork (R20); `before` is the hash of the record before the first one, as held here.
    pub fn unpack(
        self,
        org: &OrgId,
        signed_as: GenerationId,
        before: Option<RecordHash>,
        receiver: &impl Receiver,
    ) -> Result<Run, UnpackError> {
        let log = self.log;
        let mut previous = match (self.start, before) {
            (Start::Generation(previous), _) => previous,
            (Start::After(head), Some(before)) if before.head() == head => Previous::Record(before),
            (Start::After(_), Some(_)) => return Err(UnpackError::Forked),
            // Admission says that records are missing before it.
            (Start::After(_), None) => Previous::Record(RecordHash([0; 32])),
        };
        let mut seq = self.from;
        let mut records = Vec::with_capacity(self.records.len());
        for packed in self.records {
            let known = WithRun { receiver, log, from: self.from, records: &records };
            let with = packed.unpack(org, LogId { generation: signed_as, ..log }, seq, previous, &known)?;
            previous = Previous::Record(with.record.hash());
            seq = seq.saturating_add(1);
            records.push(with);
        }
        Ok(Run { log, records, signature: self.signature })
    }
}

/// What a record of a run may refer to: of its own log what comes before it, since the receiver has put together no more.
struct UpTo<'s, S> {
    sender: &'s S,
    log: LogName,
    before: u64,
}

impl<S: Sender> Sender for UpTo<'_, S> {
    fn place(&self, change: &ChangeHash) -> Result<Option<(LogName, u64, u32, DocId)>, StoreError> {
        Ok(self.sender.place(change)?.filter(|(log, seq, ..)| *log != self.log || *seq < self.before))
    }
    fn author(&self, doc: &DocId, actor: &ActorId) -> Result<Option<LogName>, StoreError> {
        self.sender.author(doc, actor)
    }
}

/// What is held, and the records of the run that are put together already.
struct WithRun<'r, R> {
    receiver: &'r R,
    log: LogId,
    from: u64,
    records: &'r [RecordWithBodies],
}

impl<R: Receiver> Receiver for WithRun<'_, R> {
    fn log(&self, number: FrameLog) -> Option<LogName> {
        self.receiver.log(number)
    }
    fn entry(&self, place: &Place) -> Result<Option<(DocId, ChangeHash)>, StoreError> {
        let here = self.log(place.log) == Some((self.log.site, self.log.generation));
        let within = place.seq.checked_sub(self.from).filter(|_| here).and_then(|at| self.records.get(at as usize));
        match within {
            None => self.receiver.entry(place),
            Some(with) => {
                let entry = with.record.skeleton.entries.get(place.entry as usize);
                Ok(entry.map(|entry| (entry.doc, entry.change)))
            }
        }
    }
}

impl PackedRecord {
    fn unpack(
        self,
        org: &OrgId,
        log: LogId,
        seq: u64,
        previous: Previous,
        receiver: &impl Receiver,
    ) -> Result<RecordWithBodies, UnpackError> {
        let Self { pin, hlc, schema, kind, command, author, entries, extras } = self;
        let Extras { format, header_extension, blobs, opaque, origin, extension } =
            extras.map(|boxed| *boxed).unwrap_or_default();
        let mut skeleton = Skeleton { blobs, origin, extension, ..Skeleton::new(command, author) };
        let mut header = Header {
            format,
            org: *org,
            log,
            seq,
            previous,
            pin,
            hlc,
            schema,
            kind,
            skeleton: [0; 32],
            extension: header_extension,
        };
        let mut bodies = Vec::with_capacity(entries.len());
        for (index, (doc, change)) in entries.into_iter().enumerate() {
            let depends_on = match &change {
                PackedChange::Stripped(stripped) => stripped.entries(receiver)?.ok_or(UnpackError::Reference)?,
                PackedChange::Whole(_) | PackedChange::NamedOnly(..) => Vec::new(),
            };
            let (doc, genesis) = name(&header, &skeleton, index, doc, &depends_on)?;
            let (change, length, body) = match change {
                PackedChange::NamedOnly(change, length) => (change, length, None),
                PackedChange::Whole(body) => named(body),
                PackedChange::Stripped(stripped) => {
                    let whole = stripped.whole(receiver, (log.site, log.generation), &doc, &depends_on);
                    named(whole.ok_or(UnpackError::Reference)?)
                }
            };
            skeleton.entries.push(Entry { doc, genesis, change, length });
            bodies.push(body);
        }
        match opaque {
            None => {}
            Some(PackedOpaque::NamedOnly(reference)) => {
                skeleton.opaque = Some(reference);
                bodies.push(None);
            }
            Some(PackedOpaque::Whole(body)) => {
                skeleton.opaque = Some(OpaqueRef::of(&body));
                bodies.push(Some(body));
            }
        }
        header.skeleton = skeleton.hash();
        Ok(RecordWithBodies { record: Record { header, skeleton }, bodies })
    }
}

/// A body that is too short to be a chunk gets a hash that no signed skeleton names.
fn named(body: Vec<u8>) -> (ChangeHash, u32, Option<Vec<u8>>) {
    (chunk_hash(&body).unwrap_or(ChangeHash([0; 32])), body.len() as u32, Some(body))
}

/// The document that an entry names, and its genesis. `depends_on` is what a stripped change's dependencies name.
fn name(
    header: &Header,
    skeleton: &Skeleton,
    index: usize,
    doc: PackedDoc,
    depends_on: &[(DocId, ChangeHash)],
) -> Result<(DocId, Option<Genesis>), UnpackError> {
    let born = |kind: DocKind, natural: Option<[u8; 16]>| {
        let nonce = natural.unwrap_or_else(|| schema::record::nonce(header, skeleton, index));
        (schema::doc::doc_id(&header.org, &header.log.scope, kind, &nonce), Some(Genesis::of(kind, natural)))
    };
    Ok(match doc {
        PackedDoc::Named(doc) => (doc, None),
        PackedDoc::Born(kind) => born(kind, None),
        PackedDoc::BornNatural(kind, key) => born(kind, Some(key)),
        PackedDoc::BornNewer(doc, genesis) => (doc, Some(Genesis::Other(genesis))),
        PackedDoc::OfDependency => (depends_on.first().ok_or(UnpackError::Reference)?.0, None),
    })
}

fn pack_record(
    with: &RecordWithBodies,
    sender: &impl Sender,
    logs: &mut FrameLogs,
) -> Result<PackedRecord, StoreError> {
    let (header, skeleton) = (&with.record.header, &with.record.skeleton);
    let author = (header.log.site, header.log.generation);
    let mut bodies = with.bodies.iter();
    let mut entries = Vec::with_capacity(skeleton.entries.len());
    for entry in &skeleton.entries {
        let body = bodies.next().and_then(Option::as_ref);
        let stripped = match body {
            Some(body) => strip(sender, logs, author, &entry.doc, entry.genesis.is_none(), body)?,
            None => None,
        };
        let doc = match entry.genesis {
            None if stripped.is_some() => PackedDoc::OfDependency,
            None => PackedDoc::Named(entry.doc),
            Some(Genesis::Computed(kind)) => PackedDoc::Born(kind),
            Some(Genesis::Natural(kind, key)) => PackedDoc::BornNatural(kind, key),
            Some(Genesis::Other(genesis)) => PackedDoc::BornNewer(entry.doc, genesis),
        };
        let change = match (stripped, body) {
            (Some(stripped), _) => PackedChange::Stripped(stripped),
            (None, Some(body)) => PackedChange::Whole(body.clone()),
            (None, None) => PackedChange::NamedOnly(entry.change, entry.length),
        };
        entries.push((doc, change));
    }
    let opaque = skeleton.opaque.map(|opaque| match bodies.next().and_then(Option::as_ref) {
        Some(body) => PackedOpaque::Whole(body.clone()),
        None => PackedOpaque::NamedOnly(opaque),
    });
    let extras = Extras {
        format: header.format,
        header_extension: header.extension.clone(),
        blobs: skeleton.blobs.clone(),
        opaque,
        origin: skeleton.origin,
        extension: skeleton.extension.clone(),
    };
    let is_plain = header.kind == BodyKind::Edit && !entries.is_empty() && extras == Extras::default();
    Ok(PackedRecord {
        pin: header.pin,
        hlc: header.hlc,
        schema: header.schema,
        kind: header.kind,
        command: skeleton.command,
        author: skeleton.author,
        entries,
        extras: (!is_plain).then(|| Box::new(extras)),
    })
}
