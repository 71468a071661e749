//! The bytes of packed runs (`docs/formats/frame.md`).
//!
//! A message names its logs once, then each run lies apart with its length: a receiver takes one run at a time out
//! of the frame, so that what a frame opens to is never in memory whole ([`PackedRuns`]).

use std::collections::BTreeMap;

use schema::authority::{AuthorityRef, Pin};
use schema::codec::{Canonical, CodecError, Reader, Tagged, Writer};
use schema::doc::DocKind;
use schema::id::{ChangeHash, LogId, ScopeId};
use schema::record::{
    BlobRef, BodyKind, CommandName, FORMAT, MAX_BLOBS, MAX_BODY_BYTES, MAX_ENTRIES, MAX_EXTENSION_BYTES,
    MAX_RUN_RECORDS, OpaqueRef, Previous,
};
use schema::time::Hlc;

use super::runs::{Extras, PackedChange, PackedDoc, PackedOpaque, PackedRecord, PackedRun, Start};
use super::stripped::{FrameLog, FrameLogs, MAX_REFERENCES, Place, Stripped};
use crate::store::log_index::LogName;

/// Runs in one frame, and logs that they name.
const MAX_RUNS: u64 = 65_536;
/// Bytes of a run at the least: how it starts, and its signature.
const MIN_RUN_BYTES: usize = 1 + 64;
/// Bytes of a log's name.
const LOG_NAME_BYTES: usize = 32 + 16;

/// Flags of a record.
const SAME_PIN: u8 = 1;
const SAME_AUTHOR: u8 = 2;
const GIVEN: u8 = 4;
const AGAIN: u8 = 8;
/// An edit of this format with nothing but entries.
const PLAIN: u8 = 16;

/// Runs of one scope, as they lie in a frame. What a frame opens to is kept as it is and is not copied: with the names
/// and heads read from it that is all that a frame takes before its signatures are checked.
#[derive(Debug, Clone)]
pub struct PackedRuns {
    scope: ScopeId,
    logs: Vec<LogName>,
    runs: Vec<RunHead>,
    bytes: Vec<u8>,
}

impl PartialEq for PackedRuns {
    fn eq(&self, other: &Self) -> bool {
        let run = |runs: &Self, at: usize| {
            let head = runs.runs[at];
            (head.number, head.from, head.count, head.is_behind_fork, runs.slice(&head).to_vec())
        };
        (self.scope, &self.logs, self.runs.len()) == (other.scope, &other.logs, other.runs.len())
            && (0..self.runs.len()).all(|at| run(self, at) == run(other, at))
    }
}

impl Eq for PackedRuns {}

/// What can be said of a run without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunHead {
    /// The first seq.
    pub from: u64,
    /// How many records.
    pub count: u32,
    /// Whether it is of a history behind a fork: its records name another generation (R20).
    pub is_behind_fork: bool,
    number: FrameLog,
    /// Where it lies among the bytes. A frame is shorter than 4 GiB.
    start: u32,
    end: u32,
}

impl RunHead {
    /// The last seq.
    pub fn to(&self) -> u64 {
        self.from.saturating_add(u64::from(self.count).saturating_sub(1))
    }
}

impl PackedRuns {
    /// No runs: a message that only says how far a lane is.
    pub fn none(scope: ScopeId) -> Self {
        Self { scope, logs: Vec::new(), runs: Vec::new(), bytes: Vec::new() }
    }

    /// Lays out runs of one scope, which were packed with these logs.
    pub fn of(scope: ScopeId, runs: &[PackedRun], mut logs: FrameLogs) -> Self {
        let mut packed = Self::none(scope);
        for run in runs {
            let number = logs.number((run.log.site, run.log.generation));
            let start = packed.bytes.len() as u32;
            let mut out = Writer(std::mem::take(&mut packed.bytes));
            write_run(run, number, &mut out);
            packed.bytes = out.0;
            let (from, count, is_behind_fork) = (run.from, run.len() as u32, run.is_behind_fork);
            packed.runs.push(RunHead { from, count, is_behind_fork, number, start, end: packed.bytes.len() as u32 });
        }
        packed.logs = logs.into_names();
        packed
    }

    /// The logs that the runs name.
    pub fn logs(&self) -> &[LogName] {
        &self.logs
    }

    /// The runs, in the order in which they are to be admitted.
    pub fn heads(&self) -> &[RunHead] {
        &self.runs
    }

    /// The log of a run.
    pub fn log(&self, head: &RunHead) -> LogName {
        self.logs[head.number as usize]
    }

    fn slice(&self, head: &RunHead) -> &[u8] {
        self.bytes.get(head.start as usize..head.end as usize).unwrap_or_default()
    }

    /// Bytes of all runs, before compression.
    pub fn size(&self) -> usize {
        self.runs.iter().map(|head| (head.end - head.start) as usize).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Takes one run out of the frame.
    pub fn open(&self, head: &RunHead) -> Result<PackedRun, CodecError> {
        let mut input = Reader::new(self.slice(head));
        let run = read_run(&self.scope, head, (self.log(head), self.logs.len()), &mut input)?;
        input.end()?;
        Ok(run)
    }

    /// Appends logs, heads and runs.
    pub fn write(&self, out: &mut Writer) {
        out.varint(self.logs.len() as u64);
        for (site, generation) in &self.logs {
            site.write(out);
            generation.write(out);
        }
        out.varint(self.runs.len() as u64);
        for run in &self.runs {
            out.varint(u64::from(run.number) << 1 | u64::from(run.is_behind_fork));
            out.varint(run.from);
            out.varint(run.count.into());
            out.var_bytes(self.slice(run));
        }
    }

    /// Reads logs and heads; the runs stay closed, and [`PackedRuns::keep`] is to give them what they were read from.
    pub fn read(scope: ScopeId, input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut packed = Self::none(scope);
        let count = input.var_count(MAX_RUNS, "logs")?;
        packed.logs.reserve_exact(count.min(input.left() / LOG_NAME_BYTES));
        for _ in 0..count {
            packed.logs.push((Canonical::read(input)?, Canonical::read(input)?));
        }
        let count = input.var_count(MAX_RUNS, "runs")?;
        packed.runs.reserve_exact(count.min(input.left() / MIN_RUN_BYTES));
        for _ in 0..count {
            let number = input.varint("log")?;
            let is_behind_fork = number & 1 == 1;
            let number = log(packed.logs.len(), number >> 1)?;
            let from = input.varint("first seq")?;
            let count = input.var_count(MAX_RUN_RECORDS as u64, "records")? as u32;
            let bytes = input.var_bytes(super::MAX_OPENED_BYTES, "run")?.len();
            if from == 0 || count == 0 || bytes < MIN_RUN_BYTES {
                return Err(CodecError::Invalid { what: "an empty run" });
            }
            let end = input.position() as u32;
            packed.runs.push(RunHead { from, count, is_behind_fork, number, start: end - bytes as u32, end });
        }
        Ok(packed)
    }

    /// Keeps what they were read from.
    pub fn keep(&mut self, content: Vec<u8>) {
        if !self.runs.is_empty() {
            self.bytes = content;
        }
    }
}

/// The number of one of the frame's logs.
fn log(logs: usize, number: u64) -> Result<FrameLog, CodecError> {
    let known = usize::try_from(number).is_ok_and(|at| at < logs);
    u32::try_from(number).ok().filter(|_| known).ok_or(CodecError::Invalid { what: "log" })
}

/// The seq that a run named last of each log: references are steps from there.
#[derive(Default)]
struct Steps(BTreeMap<FrameLog, u64>);

impl Steps {
    /// The step to `seq` in zigzag form: small ones of either sign are short.
    fn to(&mut self, log: FrameLog, seq: u64) -> u64 {
        let step = seq.wrapping_sub(self.0.insert(log, seq).unwrap_or_default()) as i64;
        (step << 1 ^ step >> 63) as u64
    }
    fn from(&mut self, log: FrameLog, step: u64) -> u64 {
        let last = self.0.entry(log).or_default();
        *last = last.wrapping_add(step >> 1 ^ 0u64.wrapping_sub(step & 1));
        *last
    }
}

fn write_run(run: &PackedRun, own: FrameLog, out: &mut Writer) {
    let mut steps = Steps::default();
    match &run.start {
        Start::After(head) => {
            out.u8(0);
            out.raw(head);
        }
        Start::Generation(Previous::After(closing)) => {
            out.u8(2);
            closing.write(out);
        }
        Start::Generation(Previous::First | Previous::Record(_)) => out.u8(1),
    }
    let mut before = None;
    for (seq, record) in (run.from..).zip(&run.records) {
        steps.0.insert(own, seq);
        write_record(before, record, &mut steps, out);
        before = Some(record);
    }
    run.signature.write(out);
}

fn write_record(before: Option<&PackedRecord>, record: &PackedRecord, steps: &mut Steps, out: &mut Writer) {
    let same = before.is_some_and(|before| (before.pin, before.schema) == (record.pin, record.schema));
    let same_author = before.is_some_and(|before| before.author == record.author);
    let command = match record.command {
        CommandName::Place => 0,
        CommandName::Given(_) => GIVEN,
        CommandName::Again { .. } => AGAIN,
    };
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    out.u8(flag(same, SAME_PIN) | flag(same_author, SAME_AUTHOR) | flag(record.extras.is_none(), PLAIN) | command);
    out.varint(record.hlc.0.wrapping_sub(before.map_or(0, |before| before.hlc.0)));
    if !same {
        out.varint(record.pin.at.epoch.into());
        out.varint(record.pin.at.position);
        out.raw(&record.pin.hash_head);
        out.varint(record.schema.into());
    }
    if !same_author {
        record.author.write(out);
    }
    match &record.command {
        CommandName::Place => {}
        CommandName::Given(id) => id.write(out),
        CommandName::Again { generation, seq, hlc, hash_head } => {
            generation.write(out);
            out.varint(*seq);
            hlc.write(out);
            out.raw(hash_head);
        }
    }
    out.varint(record.entries.len() as u64);
    for (doc, change) in &record.entries {
        write_entry(doc, change, steps, out);
    }
    if let Some(extras) = &record.extras {
        out.u8(record.kind.number());
        write_extras(extras, out);
    }
}

fn write_extras(extras: &Extras, out: &mut Writer) {
    out.u16(extras.format);
    out.var_bytes(&extras.header_extension);
    out.list(&extras.blobs, |out, blob| {
        out.raw(&blob.hash);
        out.varint(blob.length);
    });
    match &extras.opaque {
        None => out.u8(0),
        Some(PackedOpaque::Whole(body)) => {
            out.u8(1);
            out.var_bytes(body);
        }
        Some(PackedOpaque::NamedOnly(OpaqueRef { hash, length })) => {
            out.u8(2);
            out.raw(hash);
            out.varint((*length).into());
        }
    }
    out.option(extras.origin.as_ref(), |out, origin| origin.write(out));
    out.var_bytes(&extras.extension);
}

/// A document's form in the low three bits, its change's in the next two.
fn write_entry(doc: &PackedDoc, change: &PackedChange, steps: &mut Steps, out: &mut Writer) {
    let form = match change {
        PackedChange::Whole(_) => 0,
        PackedChange::Stripped(_) => 1 << 3,
        PackedChange::NamedOnly(..) => 2 << 3,
    };
    match doc {
        PackedDoc::Named(doc) => {
            out.u8(form);
            doc.write(out);
        }
        PackedDoc::Born(kind) => {
            out.u8(form | 1);
            out.varint(kind.number().into());
        }
        PackedDoc::BornNatural(kind, key) => {
            out.u8(form | 2);
            out.varint(kind.number().into());
            out.raw(key);
        }
        PackedDoc::OfDependency => out.u8(form | 3),
        PackedDoc::BornNewer(doc, genesis) => {
            out.u8(form | 4);
            doc.write(out);
            genesis.write(out);
        }
    }
    match change {
        PackedChange::Whole(body) => out.var_bytes(body),
        PackedChange::NamedOnly(hash, length) => {
            hash.write(out);
            out.varint((*length).into());
        }
        PackedChange::Stripped(change) => {
            out.varint(change.seq);
            out.varint(change.start_op);
            out.varint(change.dependencies.len() as u64);
            for place in &change.dependencies {
                out.varint(place.log.into());
                out.varint(steps.to(place.log, place.seq));
                out.varint(place.entry.into());
            }
            out.varint(change.others.len() as u64);
            for log in &change.others {
                out.varint((*log).into());
            }
            out.var_bytes(&change.columns);
        }
    }
}

fn read_run(
    scope: &ScopeId,
    head: &RunHead,
    ((site, generation), logs): (LogName, usize),
    input: &mut Reader<'_>,
) -> Result<PackedRun, CodecError> {
    let start = match input.u8("start")? {
        0 => Start::After(input.array("hash before a run")?),
        1 => Start::Generation(Previous::First),
        2 => Start::Generation(Previous::After(Canonical::read(input)?)),
        _ => return Err(CodecError::Invalid { what: "start of a run" }),
    };
    if (head.from == 1) != matches!(start, Start::Generation(_)) {
        return Err(CodecError::Invalid { what: "first seq of a run" });
    }
    let mut steps = Steps::default();
    let mut records: Vec<PackedRecord> = Vec::new();
    for at in 0..head.count {
        steps.0.insert(head.number, head.from.saturating_add(at.into()));
        let record = read_record(records.last(), logs, &mut steps, input)?;
        records.push(record);
    }
    let log = LogId { site, generation, scope: *scope };
    Ok(PackedRun {
        log,
        from: head.from,
        is_behind_fork: head.is_behind_fork,
        start,
        records,
        signature: Canonical::read(input)?,
    })
}

fn read_record(
    before: Option<&PackedRecord>,
    logs: usize,
    steps: &mut Steps,
    input: &mut Reader<'_>,
) -> Result<PackedRecord, CodecError> {
    let flags = input.u8("record flags")?;
    if flags >= 32 || flags & GIVEN != 0 && flags & AGAIN != 0 {
        return Err(CodecError::Invalid { what: "record flags" });
    }
    let no_record_before = CodecError::Invalid { what: "record flags" };
    let hlc = Hlc(before.map_or(0, |before| before.hlc.0).wrapping_add(input.varint("time")?));
    let (pin, schema) = match (flags & SAME_PIN, before) {
        (0, _) => {
            let (epoch, position) = (small(input, "epoch")?, input.varint("position")?);
            let at = AuthorityRef { epoch, position };
            (Pin { at, hash_head: input.array("pinned hash")? }, small(input, "schema")?)
        }
        (_, Some(before)) => (before.pin, before.schema),
        (_, None) => return Err(no_record_before),
    };
    let author = match (flags & SAME_AUTHOR, before) {
        (0, _) => Canonical::read(input)?,
        (_, Some(before)) => before.author,
        (_, None) => return Err(no_record_before),
    };
    let command = match flags & (GIVEN | AGAIN) {
        GIVEN => CommandName::Given(Canonical::read(input)?),
        AGAIN => {
            let (generation, seq) = (Canonical::read(input)?, input.varint("command seq")?);
            let hlc = Canonical::read(input)?;
            CommandName::Again { generation, seq, hlc, hash_head: input.array("hash of a command")? }
        }
        _ => CommandName::Place,
    };
    let count = input.var_count(MAX_ENTRIES as u64, "entries")?;
    let entries = (0..count).map(|_| read_entry(logs, steps, input)).collect::<Result<_, _>>()?;
    let (kind, extras) = match flags & PLAIN {
        0 => (BodyKind::from_number(input.u8("body kind")?), Some(Box::new(read_extras(input)?))),
        // A record that costs next to nothing on the wire would cost its receiver hundreds of times as much.
        _ if count == 0 => return Err(CodecError::Invalid { what: "entries" }),
        _ => (BodyKind::Edit, None),
    };
    Ok(PackedRecord { pin, hlc, schema, kind, command, author, entries, extras })
}

fn read_extras(input: &mut Reader<'_>) -> Result<Extras, CodecError> {
    let format = input.u16("record format")?;
    if format < FORMAT {
        return Err(CodecError::Invalid { what: "record format" });
    }
    Ok(Extras {
        format,
        header_extension: input.var_bytes(MAX_EXTENSION_BYTES, "header extension")?.to_vec(),
        blobs: input.list(MAX_BLOBS, "blobs", |input| {
            Ok(BlobRef { hash: input.array("blob hash")?, length: input.varint("blob length")? })
        })?,
        opaque: match input.u8("opaque body")? {
            0 => None,
            1 => Some(PackedOpaque::Whole(input.var_bytes(MAX_BODY_BYTES, "body")?.to_vec())),
            2 => Some(PackedOpaque::NamedOnly(OpaqueRef {
                hash: input.array("body hash")?,
                length: small(input, "body length")?,
            })),
            _ => return Err(CodecError::Invalid { what: "opaque body" }),
        },
        origin: input.option("origin", Canonical::read)?,
        extension: input.var_bytes(MAX_EXTENSION_BYTES, "skeleton extension")?.to_vec(),
    })
}

fn read_entry(logs: usize, steps: &mut Steps, input: &mut Reader<'_>) -> Result<(PackedDoc, PackedChange), CodecError> {
    let kind = |input: &mut Reader<'_>| {
        let number = u16::try_from(input.varint("kind")?).map_err(|_| CodecError::Invalid { what: "kind" })?;
        Ok(DocKind::from_number(number))
    };
    let form = input.u8("entry")?;
    let doc = match form & 7 {
        0 => PackedDoc::Named(Canonical::read(input)?),
        1 => PackedDoc::Born(kind(input)?),
        2 => PackedDoc::BornNatural(kind(input)?, input.array("natural key")?),
        3 => PackedDoc::OfDependency,
        4 => PackedDoc::BornNewer(Canonical::read(input)?, Tagged::read(input)?),
        _ => return Err(CodecError::Invalid { what: "entry" }),
    };
    let change = match form >> 3 {
        0 => PackedChange::Whole(input.var_bytes(MAX_BODY_BYTES, "body")?.to_vec()),
        1 => PackedChange::Stripped(read_stripped(logs, steps, input)?),
        2 => PackedChange::NamedOnly(ChangeHash(input.array("change hash")?), small(input, "change length")?),
        _ => return Err(CodecError::Invalid { what: "entry" }),
    };
    Ok((doc, change))
}

fn read_stripped(logs: usize, steps: &mut Steps, input: &mut Reader<'_>) -> Result<Stripped, CodecError> {
    let (seq, start_op) = (input.varint("seq of a change")?, input.varint("first operation")?);
    let mut dependencies = Vec::new();
    for _ in 0..input.var_count(MAX_REFERENCES, "dependencies")? {
        let log = log(logs, input.varint("log")?)?;
        let seq = steps.from(log, input.varint("seq of a reference")?);
        dependencies.push(Place { log, seq, entry: small(input, "entry of a reference")? });
    }
    let mut others = Vec::new();
    for _ in 0..input.var_count(MAX_REFERENCES, "other actors")? {
        others.push(log(logs, input.varint("log")?)?);
    }
    let columns = input.var_bytes(MAX_BODY_BYTES, "columns")?.to_vec();
    Ok(Stripped { seq, start_op, dependencies, others, columns })
}

fn small(input: &mut Reader<'_>, what: &'static str) -> Result<u32, CodecError> {
    u32::try_from(input.varint(what)?).map_err(|_| CodecError::Invalid { what })
}
