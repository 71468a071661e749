//! The bytes of packed runs (`docs/formats/frame.md`).

use std::collections::BTreeMap;

use schema::authority::AuthorityRef;
use schema::codec::{Canonical, CodecError, Reader, Writer};
use schema::doc::DocKind;
use schema::id::{LogId, ScopeId};
use schema::record::{BodyKind, CommandName, MAX_BODY_BYTES, MAX_ENTRIES, MAX_RUN_RECORDS, Previous};
use schema::time::Hlc;

use super::runs::{PackedChange, PackedContent, PackedDoc, PackedRecord, PackedRun};
use super::stripped::{LogName, MAX_REFERENCES, Place, Stripped};

/// Runs in one frame.
const MAX_RUNS: u64 = 65_536;

/// Logs that a frame has named so far, each once, with the seq it named last of each.
#[derive(Default)]
struct Logs {
    names: Vec<LogName>,
    numbers: BTreeMap<LogName, usize>,
    last: Vec<u64>,
}

impl Logs {
    fn write(&mut self, log: LogName, out: &mut Writer) -> usize {
        if let Some(number) = self.numbers.get(&log) {
            out.varint(*number as u64);
            return *number;
        }
        out.varint(self.names.len() as u64);
        log.0.write(out);
        log.1.write(out);
        self.add(log)
    }

    fn read(&mut self, input: &mut Reader<'_>) -> Result<usize, CodecError> {
        let number = input.var_count(self.names.len() as u64, "log")?;
        if number < self.names.len() {
            return Ok(number);
        }
        let log = (Canonical::read(input)?, Canonical::read(input)?);
        Ok(self.add(log))
    }

    fn add(&mut self, log: LogName) -> usize {
        let number = self.names.len();
        self.names.push(log);
        self.numbers.insert(log, number);
        self.last.push(0);
        number
    }

    fn write_place(&mut self, place: &Place, out: &mut Writer) {
        let number = self.write(place.log, out);
        let step = place.seq.wrapping_sub(self.last[number]) as i64;
        // Steps of either sign, small ones short.
        out.varint((step << 1 ^ step >> 63) as u64);
        out.varint(place.entry);
        self.last[number] = place.seq;
    }

    fn read_place(&mut self, input: &mut Reader<'_>) -> Result<Place, CodecError> {
        let number = self.read(input)?;
        let step = input.varint("seq of a reference")?;
        let seq = self.last[number].wrapping_add(step >> 1 ^ 0u64.wrapping_sub(step & 1));
        self.last[number] = seq;
        Ok(Place { log: self.names[number], seq, entry: input.varint("entry of a reference")? })
    }
}

/// Writes the runs of one scope, which the message names.
pub fn write(runs: &[PackedRun], out: &mut Writer) {
    let mut logs = Logs::default();
    out.varint(runs.len() as u64);
    for run in runs {
        let own = logs.write((run.log.site, run.log.generation), out);
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
        let mut before = None;
        for (seq, record) in (run.from..).zip(&run.records) {
            logs.last[own] = seq;
            write_record(before, record, &mut logs, out);
            before = Some(record);
        }
        run.signature.write(out);
    }
}

fn write_record(before: Option<&PackedRecord>, record: &PackedRecord, logs: &mut Logs, out: &mut Writer) {
    let same = before.is_some_and(|before| (before.authority, before.schema) == (record.authority, record.schema));
    let same_author = before.is_some_and(|before| before.author == record.author);
    let given = matches!(record.command, CommandName::Given(_));
    out.u8(u8::from(same) | u8::from(same_author) << 1 | u8::from(given) << 2);
    out.varint(record.hlc.0.wrapping_sub(before.map_or(0, |before| before.hlc.0)));
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
    match &record.content {
        PackedContent::Opaque(body) => out.var_bytes(body),
        PackedContent::Edit(entries) => {
            out.varint(entries.len() as u64);
            for (doc, change) in entries {
                write_entry(doc, change, logs, out);
            }
        }
    }
}

/// A document's form: 0 to 3, and 4 more if its change is stripped.
fn write_entry(doc: &PackedDoc, change: &PackedChange, logs: &mut Logs, out: &mut Writer) {
    let stripped = u8::from(matches!(change, PackedChange::Stripped(_))) << 2;
    match doc {
        PackedDoc::Named(doc) => {
            out.u8(stripped);
            doc.write(out);
        }
        PackedDoc::Born(kind) => {
            out.u8(stripped | 1);
            out.varint(kind.number().into());
        }
        PackedDoc::BornNatural(kind, key) => {
            out.u8(stripped | 2);
            out.varint(kind.number().into());
            out.raw(key);
        }
        PackedDoc::OfDependency => out.u8(stripped | 3),
    }
    match change {
        PackedChange::Whole(body) => out.var_bytes(body),
        PackedChange::Stripped(change) => {
            out.varint(change.seq);
            out.varint(change.start_op);
            out.varint(change.dependencies.len() as u64);
            change.dependencies.iter().for_each(|place| logs.write_place(place, out));
            out.varint(change.others.len() as u64);
            for log in &change.others {
                logs.write(*log, out);
            }
            out.var_bytes(&change.columns);
        }
    }
}

/// Reads the runs of one scope.
pub fn read(scope: &ScopeId, input: &mut Reader<'_>) -> Result<Vec<PackedRun>, CodecError> {
    let mut logs = Logs::default();
    let count = input.var_count(MAX_RUNS, "runs")?;
    (0..count).map(|_| read_run(scope, &mut logs, input)).collect()
}

fn read_run(scope: &ScopeId, logs: &mut Logs, input: &mut Reader<'_>) -> Result<PackedRun, CodecError> {
    let own = logs.read(input)?;
    let (site, generation) = logs.names[own];
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
        logs.last[own] = from.saturating_add(records.len() as u64);
        let record = read_record(records.last(), logs, input)?;
        records.push(record);
    }
    if records.is_empty() {
        return Err(CodecError::Invalid { what: "an empty run" });
    }
    let log = LogId { site, generation, scope: *scope };
    Ok(PackedRun { log, from, start, records, signature: Canonical::read(input)? })
}

fn read_record(
    before: Option<&PackedRecord>,
    logs: &mut Logs,
    input: &mut Reader<'_>,
) -> Result<PackedRecord, CodecError> {
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
    let content = match kind {
        BodyKind::Edit => {
            let count = input.var_count(MAX_ENTRIES as u64, "entries")?;
            PackedContent::Edit((0..count).map(|_| read_entry(logs, input)).collect::<Result<_, _>>()?)
        }
        BodyKind::Enrolment | BodyKind::Other(_) => {
            PackedContent::Opaque(input.var_bytes(MAX_BODY_BYTES, "body")?.to_vec())
        }
    };
    Ok(PackedRecord { authority, hlc, schema, kind, command, author, content })
}

fn read_entry(logs: &mut Logs, input: &mut Reader<'_>) -> Result<(PackedDoc, PackedChange), CodecError> {
    let kind = |input: &mut Reader<'_>| {
        let number = u16::try_from(input.varint("kind")?).map_err(|_| CodecError::Invalid { what: "kind" })?;
        Ok(DocKind::from_number(number))
    };
    let form = input.u8("entry")?;
    let doc = match form & 3 {
        0 => PackedDoc::Named(Canonical::read(input)?),
        1 => PackedDoc::Born(kind(input)?),
        2 => PackedDoc::BornNatural(kind(input)?, input.array("natural key")?),
        _ => PackedDoc::OfDependency,
    };
    let change = match form >> 2 {
        0 => PackedChange::Whole(input.var_bytes(MAX_BODY_BYTES, "body")?.to_vec()),
        1 => PackedChange::Stripped(read_stripped(logs, input)?),
        _ => return Err(CodecError::Invalid { what: "entry" }),
    };
    Ok((doc, change))
}

fn read_stripped(logs: &mut Logs, input: &mut Reader<'_>) -> Result<Stripped, CodecError> {
    let (seq, start_op) = (input.varint("seq of a change")?, input.varint("first operation")?);
    let count = input.var_count(MAX_REFERENCES, "dependencies")?;
    let dependencies = (0..count).map(|_| logs.read_place(input)).collect::<Result<_, _>>()?;
    let mut others = Vec::new();
    for _ in 0..input.var_count(MAX_REFERENCES, "other actors")? {
        let number = logs.read(input)?;
        others.push(logs.names[number]);
    }
    let columns = input.var_bytes(MAX_BODY_BYTES, "columns")?.to_vec();
    Ok(Stripped { seq, start_op, dependencies, others, columns })
}
