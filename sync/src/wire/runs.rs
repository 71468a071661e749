//! Runs on the wire: what a receiver can compute is left out.
//!
//! A [`PackedRun`] is a run without organisation, hashes, lengths and links; [`PackedRun::unpack`] puts them
//! back from the log as the receiver holds it, and the signature at the end proves that this gave what
//! the author signed.

use schema::authority::AuthorityRef;
use schema::codec::{Canonical, CodecError, Reader, Writer};
use schema::doc::DocKind;
use schema::id::{DocId, GenerationId, LogId, OrgId, RecordHash, ScopeId, SiteId};
use schema::identity::Signature;
use schema::record::{
    Author, BodyKind, CommandName, Content, Entry, FORMAT, Genesis, Header, MAX_BODY_BYTES, MAX_ENTRIES,
    MAX_RUN_RECORDS, Previous, Record, Skeleton, body_hash, nonce,
};
use schema::time::Hlc;

use crate::admission::{Full, Run};
use crate::change::chunk_hash;

/// Runs in one frame.
const MAX_RUNS: u64 = 65_536;

/// What a document's name on the wire is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PackedDoc {
    Named(DocId),
    Born(DocKind),
    BornNatural(DocKind, [u8; 16]),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct PackedRecord {
    authority: AuthorityRef,
    hlc: Hlc,
    schema: u32,
    kind: BodyKind,
    command: CommandName,
    author: Author,
    docs: Vec<PackedDoc>,
    bodies: Vec<Vec<u8>>,
}

/// A run as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedRun {
    /// Which log.
    pub log: LogId,
    /// The first seq.
    pub from: u64,
    /// What the first record follows, if that is not the record before.
    start: Option<Previous>,
    records: Vec<PackedRecord>,
    signature: Signature,
}

impl PackedRun {
    /// Leaves out what can be computed.
    pub fn pack(run: &Run) -> Self {
        let first = run.records.first().map(|full| &full.record.header);
        Self {
            log: run.log,
            from: first.map_or(0, |header| header.seq),
            start: first.map(|header| header.previous).filter(|previous| !matches!(previous, Previous::Record(_))),
            records: run.records.iter().map(pack_record).collect(),
            signature: run.signature,
        }
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
    pub fn unpack(self, org: &OrgId, before: Option<RecordHash>) -> Run {
        let log = self.log;
        let mut previous = self.start.or(before.map(Previous::Record)).unwrap_or(Previous::First);
        let mut seq = self.from;
        let mut records = Vec::with_capacity(self.records.len());
        for packed in self.records {
            let full = packed.unpack(org, log, seq, previous);
            previous = Previous::Record(full.record.hash());
            seq = seq.saturating_add(1);
            records.push(full);
        }
        Run { log, records, signature: self.signature }
    }
}

impl PackedRecord {
    fn unpack(self, org: &OrgId, log: LogId, seq: u64, previous: Previous) -> Full {
        let mut skeleton = Skeleton { command: self.command, author: self.author, content: Content::Edit(Vec::new()) };
        skeleton.content = match self.kind {
            BodyKind::Edit => {
                let docs = self.docs.iter().zip(&self.bodies).enumerate();
                Content::Edit(
                    docs.map(|(index, (doc, body))| entry(org, &log, seq, &skeleton, index, doc, body)).collect(),
                )
            }
            BodyKind::Enrolment | BodyKind::Other(_) => {
                let body = self.bodies.first().map(Vec::as_slice).unwrap_or_default();
                Content::Opaque { hash: body_hash(body), length: body.len() as u32 }
            }
        };
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
        Full { record: Record { header, skeleton }, bodies: self.bodies }
    }
}

fn entry(org: &OrgId, log: &LogId, seq: u64, skeleton: &Skeleton, index: usize, doc: &PackedDoc, body: &[u8]) -> Entry {
    let born = |kind: DocKind, natural: Option<[u8; 16]>| {
        let nonce = natural.unwrap_or_else(|| nonce(log, seq, skeleton, index));
        (schema::doc::doc_id(org, &log.scope, kind, &nonce), Some(Genesis { kind, natural }))
    };
    let (doc, genesis) = match doc {
        PackedDoc::Named(doc) => (*doc, None),
        PackedDoc::Born(kind) => born(*kind, None),
        PackedDoc::BornNatural(kind, key) => born(*kind, Some(*key)),
    };
    // A body too short to be a chunk gets a hash that no signed skeleton names.
    let change = chunk_hash(body).unwrap_or(schema::id::ChangeHash([0; 32]));
    Entry { doc, genesis, change, length: body.len() as u32 }
}

fn pack_record(full: &Full) -> PackedRecord {
    let header = &full.record.header;
    let doc = |entry: &Entry| match entry.genesis {
        None => PackedDoc::Named(entry.doc),
        Some(Genesis { kind, natural: None }) => PackedDoc::Born(kind),
        Some(Genesis { kind, natural: Some(key) }) => PackedDoc::BornNatural(kind, key),
    };
    PackedRecord {
        authority: header.authority,
        hlc: header.hlc,
        schema: header.schema,
        kind: header.kind,
        command: full.record.skeleton.command,
        author: full.record.skeleton.author,
        docs: full.record.skeleton.entries().iter().map(doc).collect(),
        bodies: full.bodies.clone(),
    }
}

/// Writes the runs of one scope, which the message names.
pub fn write(runs: &[PackedRun], out: &mut Writer) {
    out.varint(runs.len() as u64);
    for run in runs {
        run.log.site.write(out);
        run.log.generation.write(out);
        out.varint(run.from);
        match &run.start {
            None => out.u8(0),
            Some(Previous::After { generation, seq, hash }) => {
                out.u8(2);
                generation.write(out);
                out.varint(*seq);
                hash.write(out);
            }
            Some(Previous::First | Previous::Record(_)) => out.u8(1),
        }
        out.varint(run.records.len() as u64);
        let mut hlc = Hlc::default();
        let (mut authority, mut schema, mut author) = (AuthorityRef::default(), 0, None);
        for record in &run.records {
            let same = (authority, schema) == (record.authority, record.schema);
            let same_author = author == Some(record.author);
            let given = matches!(record.command, CommandName::Given(_));
            out.u8(u8::from(same) | u8::from(same_author) << 1 | u8::from(given) << 2);
            out.varint(record.hlc.0.wrapping_sub(hlc.0));
            if !same {
                out.varint(record.authority.epoch.into());
                out.varint(record.authority.position);
                out.varint(record.schema.into());
            }
            if !same_author {
                record.author.write(out);
            }
            if let CommandName::Given(id) = &record.command {
                id.write(out);
            }
            out.u8(record.kind.number());
            write_bodies(record, out);
            (hlc, authority, schema, author) = (record.hlc, record.authority, record.schema, Some(record.author));
        }
        run.signature.write(out);
    }
}

fn write_bodies(record: &PackedRecord, out: &mut Writer) {
    match record.kind {
        BodyKind::Edit => {
            out.varint(record.docs.len() as u64);
            for (doc, body) in record.docs.iter().zip(&record.bodies) {
                match doc {
                    PackedDoc::Named(doc) => {
                        out.u8(0);
                        doc.write(out);
                    }
                    PackedDoc::Born(kind) => {
                        out.u8(1);
                        out.varint(kind.number().into());
                    }
                    PackedDoc::BornNatural(kind, key) => {
                        out.u8(2);
                        out.varint(kind.number().into());
                        out.raw(key);
                    }
                }
                out.var_bytes(body);
            }
        }
        BodyKind::Enrolment | BodyKind::Other(_) => {
            out.var_bytes(record.bodies.first().map(Vec::as_slice).unwrap_or_default());
        }
    }
}

/// Reads the runs of one scope.
pub fn read(scope: &ScopeId, input: &mut Reader<'_>) -> Result<Vec<PackedRun>, CodecError> {
    let count = input.var_count(MAX_RUNS, "runs")?;
    (0..count).map(|_| read_run(scope, input)).collect()
}

fn read_run(scope: &ScopeId, input: &mut Reader<'_>) -> Result<PackedRun, CodecError> {
    let site: SiteId = Canonical::read(input)?;
    let generation: GenerationId = Canonical::read(input)?;
    let from = input.varint("first seq")?;
    let start = match input.u8("start")? {
        0 => None,
        1 => Some(Previous::First),
        2 => Some(Previous::After {
            generation: Canonical::read(input)?,
            seq: input.varint("previous seq")?,
            hash: Canonical::read(input)?,
        }),
        _ => return Err(CodecError::Invalid { what: "start of a run" }),
    };
    if from == 0 || (from == 1) != start.is_some() {
        return Err(CodecError::Invalid { what: "first seq of a run" });
    }
    let count = input.var_count(MAX_RUN_RECORDS as u64, "records")?;
    let mut records: Vec<PackedRecord> = Vec::new();
    for _ in 0..count {
        let record = read_record(records.last(), input)?;
        records.push(record);
    }
    if records.is_empty() {
        return Err(CodecError::Invalid { what: "an empty run" });
    }
    Ok(PackedRun {
        log: LogId { site, generation, scope: *scope },
        from,
        start,
        records,
        signature: Canonical::read(input)?,
    })
}

fn read_record(before: Option<&PackedRecord>, input: &mut Reader<'_>) -> Result<PackedRecord, CodecError> {
    let flags = input.u8("record flags")?;
    if flags > 7 {
        return Err(CodecError::Invalid { what: "record flags" });
    }
    let hlc = Hlc(before.map_or(0, |before| before.hlc.0).wrapping_add(input.varint("time")?));
    let (authority, schema) = match (flags & 1, before) {
        (0, _) => {
            let epoch = u32::try_from(input.varint("epoch")?).map_err(|_| CodecError::Invalid { what: "epoch" })?;
            let position = input.varint("position")?;
            let schema = u32::try_from(input.varint("schema")?).map_err(|_| CodecError::Invalid { what: "schema" })?;
            (AuthorityRef { epoch, position }, schema)
        }
        (_, Some(before)) => (before.authority, before.schema),
        (_, None) => return Err(CodecError::Invalid { what: "record flags" }),
    };
    let author = match (flags & 2, before) {
        (0, _) => Canonical::read(input)?,
        (_, Some(before)) => before.author,
        (_, None) => return Err(CodecError::Invalid { what: "record flags" }),
    };
    let command = if flags & 4 == 0 { CommandName::Place } else { CommandName::Given(Canonical::read(input)?) };
    let kind = BodyKind::from_number(input.u8("body kind")?);
    let (mut docs, mut bodies) = (Vec::new(), Vec::new());
    match kind {
        BodyKind::Edit => {
            for _ in 0..input.var_count(MAX_ENTRIES as u64, "entries")? {
                docs.push(read_doc(input)?);
                bodies.push(input.var_bytes(MAX_BODY_BYTES, "body")?.to_vec());
            }
        }
        BodyKind::Enrolment | BodyKind::Other(_) => bodies.push(input.var_bytes(MAX_BODY_BYTES, "body")?.to_vec()),
    }
    Ok(PackedRecord { authority, hlc, schema, kind, command, author, docs, bodies })
}

fn read_doc(input: &mut Reader<'_>) -> Result<PackedDoc, CodecError> {
    let kind = |input: &mut Reader<'_>| {
        let number = u16::try_from(input.varint("kind")?).map_err(|_| CodecError::Invalid { what: "kind" })?;
        Ok(DocKind::from_number(number))
    };
    Ok(match input.u8("document")? {
        0 => PackedDoc::Named(Canonical::read(input)?),
        1 => PackedDoc::Born(kind(input)?),
        2 => PackedDoc::BornNatural(kind(input)?, input.array("natural key")?),
        _ => return Err(CodecError::Invalid { what: "document" }),
    })
}
