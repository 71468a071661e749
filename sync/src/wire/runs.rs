//! Runs on the wire: what a receiver can compute is left out.
//!
//! A [`PackedRun`] is a run without organisation, hashes, lengths and links; [`PackedRun::unpack`] puts them
//! back from the logs as the receiver holds them, and the signature at the end proves that this gave what
//! the author signed. Code of the bytes: [`super::layout`].

use schema::authority::AuthorityRef;
use schema::doc::DocKind;
use schema::id::{ChangeHash, DocId, LogId, OrgId, RecordHash};
use schema::identity::Signature;
use schema::record::{
    Author, BodyKind, CommandName, Content, Entry, FORMAT, Genesis, Header, Previous, Record, Skeleton, body_hash,
    nonce,
};
use schema::time::Hlc;
use thiserror::Error;

use super::stripped::{Place, Receiver, Sender, Stripped, strip};
use crate::admission::{RecordWithBodies, Run};
use crate::change::chunk_hash;
use crate::store::StoreError;

/// Why a run could not be put together.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// It refers to a record that is not held here.
    #[error("a run refers to a record that is not held here")]
    Reference,
    /// This machine's store.
    #[error("a run could not be looked up")]
    Store(#[from] StoreError),
}

/// What a document's name on the wire is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PackedDoc {
    Named(DocId),
    Born(DocKind),
    BornNatural(DocKind, [u8; 16]),
    /// As the first dependency of the stripped change.
    OfDependency,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PackedChange {
    Whole(Vec<u8>),
    Stripped(Stripped),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PackedContent {
    Edit(Vec<(PackedDoc, PackedChange)>),
    Opaque(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PackedRecord {
    pub(super) authority: AuthorityRef,
    pub(super) hlc: Hlc,
    pub(super) schema: u32,
    pub(super) kind: BodyKind,
    pub(super) command: CommandName,
    pub(super) author: Author,
    pub(super) content: PackedContent,
}

/// A run as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedRun {
    /// Which log.
    pub log: LogId,
    /// The first seq.
    pub from: u64,
    /// What the first record follows, if that is not the record before.
    pub(super) start: Option<Previous>,
    pub(super) records: Vec<PackedRecord>,
    pub(super) signature: Signature,
}

impl PackedRun {
    /// Leaves out what the receiver can compute.
    pub fn pack(run: &Run, sender: &impl Sender) -> Result<Self, StoreError> {
        let first = run.records.first().map(|full| &full.record.header);
        Ok(Self {
            log: run.log,
            from: first.map_or(0, |header| header.seq),
            start: first.map(|header| header.previous).filter(|previous| !matches!(previous, Previous::Record(_))),
            records: run.records.iter().map(|full| pack_record(full, sender)).collect::<Result<_, _>>()?,
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

    /// The last seq.
    pub fn to(&self) -> u64 {
        self.from.saturating_add((self.records.len() as u64).saturating_sub(1))
    }

    /// Computes what was left out. `before` is the hash of the record before the first one, as held here.
    pub fn unpack(self, org: &OrgId, before: Option<RecordHash>, receiver: &impl Receiver) -> Result<Run, UnpackError> {
        let log = self.log;
        let mut previous = self.start.or(before.map(Previous::Record)).unwrap_or(Previous::First);
        let mut seq = self.from;
        let mut records = Vec::with_capacity(self.records.len());
        for packed in self.records {
            let known = WithRun { receiver, log, from: self.from, records: &records };
            let full = packed.unpack(org, log, seq, previous, &known)?;
            previous = Previous::Record(full.record.hash());
            seq = seq.saturating_add(1);
            records.push(full);
        }
        Ok(Run { log, records, signature: self.signature })
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
    fn entry(&self, place: &Place) -> Result<Option<(DocId, ChangeHash)>, StoreError> {
        let here = place.log == (self.log.site, self.log.generation);
        let within = place.seq.checked_sub(self.from).filter(|_| here).and_then(|at| self.records.get(at as usize));
        match within {
            None => self.receiver.entry(place),
            Some(full) => {
                let entry = full.record.skeleton.entries().get(place.entry as usize);
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
        let mut skeleton = Skeleton { command: self.command, author: self.author, content: Content::Edit(Vec::new()) };
        let mut bodies = Vec::new();
        match self.content {
            PackedContent::Edit(packed) => {
                let mut entries = Vec::with_capacity(packed.len());
                for (index, (doc, change)) in packed.into_iter().enumerate() {
                    let (doc, genesis) = name(org, &log, seq, &skeleton, index, doc, &change, receiver)?;
                    let body = match change {
                        PackedChange::Whole(body) => body,
                        PackedChange::Stripped(stripped) => {
                            let whole = stripped.whole(receiver, (log.site, log.generation), &doc)?;
                            whole.ok_or(UnpackError::Reference)?
                        }
                    };
                    // A body too short to be a chunk gets a hash that no signed skeleton names.
                    let change = chunk_hash(&body).unwrap_or(ChangeHash([0; 32]));
                    entries.push(Entry { doc, genesis, change, length: body.len() as u32 });
                    bodies.push(body);
                }
                skeleton.content = Content::Edit(entries);
            }
            PackedContent::Opaque(body) => {
                skeleton.content = Content::Opaque { hash: body_hash(&body), length: body.len() as u32 };
                bodies.push(body);
            }
        }
        let header = Header {
            format: FORMAT,
            org: *org,
            log,
            seq,
            previous,
            authority: self.authority,
            hlc: self.hlc,
            schema: self.schema,
            kind: self.kind,
            skeleton: skeleton.hash(),
        };
        Ok(RecordWithBodies { record: Record { header, skeleton }, bodies })
    }
}

/// The document that an entry names, and its genesis.
#[expect(clippy::too_many_arguments, reason = "each is a part of the place that an id is made of")]
fn name(
    org: &OrgId,
    log: &LogId,
    seq: u64,
    skeleton: &Skeleton,
    index: usize,
    doc: PackedDoc,
    change: &PackedChange,
    receiver: &impl Receiver,
) -> Result<(DocId, Option<Genesis>), UnpackError> {
    let born = |kind: DocKind, natural: Option<[u8; 16]>| {
        let nonce = natural.unwrap_or_else(|| nonce(log, seq, skeleton, index));
        (schema::doc::doc_id(org, &log.scope, kind, &nonce), Some(Genesis { kind, natural }))
    };
    Ok(match (doc, change) {
        (PackedDoc::Named(doc), _) => (doc, None),
        (PackedDoc::Born(kind), _) => born(kind, None),
        (PackedDoc::BornNatural(kind, key), _) => born(kind, Some(key)),
        (PackedDoc::OfDependency, PackedChange::Stripped(stripped)) => {
            (stripped.doc(receiver)?.ok_or(UnpackError::Reference)?, None)
        }
        (PackedDoc::OfDependency, PackedChange::Whole(_)) => return Err(UnpackError::Reference),
    })
}

fn pack_record(full: &RecordWithBodies, sender: &impl Sender) -> Result<PackedRecord, StoreError> {
    let (header, skeleton) = (&full.record.header, &full.record.skeleton);
    let author = (header.log.site, header.log.generation);
    let entry = |(entry, body): (&Entry, &Vec<u8>)| {
        let stripped = strip(sender, author, &entry.doc, entry.genesis.is_none(), body)?;
        let doc = match entry.genesis {
            None if stripped.is_some() => PackedDoc::OfDependency,
            None => PackedDoc::Named(entry.doc),
            Some(Genesis { kind, natural: None }) => PackedDoc::Born(kind),
            Some(Genesis { kind, natural: Some(key) }) => PackedDoc::BornNatural(kind, key),
        };
        Ok((doc, stripped.map_or_else(|| PackedChange::Whole(body.clone()), PackedChange::Stripped)))
    };
    let content = match header.kind {
        BodyKind::Edit => {
            let entries = skeleton.entries().iter().zip(&full.bodies);
            PackedContent::Edit(entries.map(entry).collect::<Result<_, StoreError>>()?)
        }
        BodyKind::Enrolment | BodyKind::Other(_) => {
            PackedContent::Opaque(full.bodies.first().cloned().unwrap_or_default())
        }
    };
    Ok(PackedRecord {
        authority: header.authority,
        hlc: header.hlc,
        schema: header.schema,
        kind: header.kind,
        command: skeleton.command,
        author: skeleton.author,
        content,
    })
}
