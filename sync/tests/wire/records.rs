//! Records inside a packed run: every part at its bound and one beyond, and what is newer.

use schema::codec::{CodecError, Writer};
use schema::id::{ChangeHash, DocId, OrgId};
use schema::record::{BodyKind, MAX_BLOBS, MAX_BODY_BYTES, MAX_ENTRIES, MAX_EXTENSION_BYTES, Previous};
use sync::admission::Run;
use sync::store::StoreError;
use sync::store::log_index::LogName;
use sync::wire::stripped::{FrameLog, MAX_REFERENCES, Place, Receiver};

use super::runs::{LOG, frame, open};

/// Holds nothing.
struct HoldsNothing;

impl Receiver for HoldsNothing {
    fn log(&self, _: FrameLog) -> Option<LogName> {
        None
    }
    fn entry(&self, _: &Place) -> Result<Option<(DocId, ChangeHash)>, StoreError> {
        Ok(None)
    }
}

/// Puts a run together whose changes are whole or named only.
fn unpacked(content: &[u8]) -> Run {
    open(content).unwrap().unpack(&OrgId([1; 32]), LOG.1, None, &HoldsNothing).unwrap()
}

/// The parts of a record that goes first in its run, each of which a case replaces.
struct Parts {
    start: Vec<u8>,
    flags: u8,
    epoch: u64,
    schema: u64,
    author: Vec<u8>,
    command: Vec<u8>,
    /// Count and entries.
    entries: Vec<u8>,
    /// From the kind on, without the flag of plain records.
    extras: Option<Vec<u8>>,
}

const GIVEN: u8 = 4;
const AGAIN: u8 = 8;
const PLAIN: u8 = 16;

impl Parts {
    /// A first record with one entry that is named only, by the site itself.
    fn plain() -> Self {
        let entries = entries(1, &named_only());
        let (start, author, command) = (vec![1], vec![0, 0], Vec::new());
        Self { start, flags: PLAIN, epoch: 1, schema: 1, author, command, entries, extras: None }
    }

    fn with(extras: Extras) -> Self {
        Self { flags: 0, extras: Some(extras.bytes()), ..Self::plain() }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Writer(self.start.clone());
        out.u8(self.flags);
        out.varint(77);
        out.varint(self.epoch);
        out.varint(7);
        out.raw(&[0x77; 8]);
        out.varint(self.schema);
        out.raw(&self.author);
        out.raw(&self.command);
        out.raw(&self.entries);
        out.raw(self.extras.as_deref().unwrap_or_default());
        out.raw(&[0x55; 64]);
        out.0
    }
}

/// What few records have, each part as a case wants it.
struct Extras {
    kind: u8,
    format: u16,
    header_extension: usize,
    blobs: u32,
    opaque: Vec<u8>,
    extension: usize,
}

impl Extras {
    fn new() -> Self {
        Self { kind: 1, format: 1, header_extension: 0, blobs: 0, opaque: vec![0], extension: 0 }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Writer(vec![self.kind]);
        out.u16(self.format);
        out.var_bytes(&vec![1; self.header_extension]);
        out.u32(self.blobs);
        for number in 0..self.blobs {
            out.raw(&[&number.to_be_bytes(), [0; 28].as_slice()].concat());
            out.varint(u64::MAX);
        }
        out.raw(&self.opaque);
        out.flag(false);
        out.var_bytes(&vec![1; self.extension]);
        out.0
    }
}

fn entries(count: usize, each: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    out.varint(count as u64);
    (0..count).for_each(|_| out.raw(each));
    out.0
}

/// An entry of a document and a change by their names.
fn named_only() -> Vec<u8> {
    [&[2 << 3], [6; 32].as_slice(), &[7; 32], &[99]].concat()
}

/// An entry of a stripped change that refers to so many logs of either sort, each by this number.
fn stripped(dependencies: usize, others: usize, log: u8) -> Vec<u8> {
    let place = [log, 2, 0];
    let counted = |count: usize, each: &[u8]| entries(count, each);
    [&[1 << 3 | 3, 1, 1], counted(dependencies, &place).as_slice(), &counted(others, &[log]), &[0]].concat()
}

#[test]
fn a_record_says_what_can_be() {
    let invalid = |what| Some(CodecError::Invalid { what });
    let too_long =
        |what, limit: usize| Some(CodecError::TooLong { what, found: limit as u64 + 1, limit: limit as u64 });
    let flags = |flags| Parts { flags, ..Parts::plain() };
    let of = |count, each: &[u8]| Parts { entries: entries(count, each), ..Parts::plain() };
    let form = |form: u8| of(1, &[&[form], named_only()[1..].as_ref()].concat());
    let small = |value: u64| {
        let mut out = Writer(named_only()[..65].to_vec());
        out.varint(value);
        of(1, &out.0)
    };
    let kind = |number: u64| {
        let mut out = Writer(vec![2 << 3 | 1]);
        out.varint(number);
        out.raw(&named_only()[33..]);
        of(1, &out.0)
    };
    let again = [[8; 16].as_slice(), &[31], &[0; 8], &[6; 8]].concat();
    let references = MAX_REFERENCES as usize;
    let cases: Vec<(&str, Parts, Option<CodecError>)> = vec![
        ("a plain record", Parts::plain(), None),
        ("an unknown start", Parts { start: vec![3], ..Parts::plain() }, invalid("start of a run")),
        (
            "goes on, at seq 1",
            Parts { start: [&[0], [1; 8].as_slice()].concat(), ..Parts::plain() },
            invalid("first seq of a run"),
        ),
        ("an unknown flag", flags(PLAIN | 32), invalid("record flags")),
        ("all flags", flags(0xff), invalid("record flags")),
        ("named in two ways", flags(PLAIN | GIVEN | AGAIN), invalid("record flags")),
        ("the pin of the record before, and none is before", flags(PLAIN | 1), invalid("record flags")),
        ("the author of the record before, and none is before", flags(PLAIN | 2), invalid("record flags")),
        ("named by a client", Parts { flags: PLAIN | GIVEN, command: vec![5; 8], ..Parts::plain() }, None),
        ("issued again", Parts { flags: PLAIN | AGAIN, command: again, ..Parts::plain() }, None),
        ("the highest epoch", Parts { epoch: u32::MAX.into(), ..Parts::plain() }, None),
        ("one more", Parts { epoch: 1 << 32, ..Parts::plain() }, invalid("epoch")),
        ("a schema beyond its number", Parts { schema: 1 << 32, ..Parts::plain() }, invalid("schema")),
        ("an author of a newer version", Parts { author: vec![9, 2, 1, 2], ..Parts::plain() }, None),
        ("the longest of them", Parts { author: [&[9, 40], [1; 40].as_slice()].concat(), ..Parts::plain() }, None),
        (
            "one longer",
            Parts { author: [&[9, 41], [1; 41].as_slice()].concat(), ..Parts::plain() },
            too_long("tagged value", 40),
        ),
        (
            "a site with a name",
            Parts { author: vec![0, 1, 7], ..Parts::plain() },
            Some(CodecError::Trailing { left: 1 }),
        ),
        ("no entry", of(0, &[]), invalid("entries")),
        ("as many entries as there may be", of(MAX_ENTRIES, &named_only()), None),
        ("one more", of(MAX_ENTRIES + 1, &named_only()), too_long("entries", MAX_ENTRIES)),
        ("no form of a document", form(2 << 3 | 5), invalid("entry")),
        ("nor this", form(2 << 3 | 7), invalid("entry")),
        ("no form of a change", form(3 << 3), invalid("entry")),
        ("nor this", form(0xf8), invalid("entry")),
        ("the longest change that can be named", small(u32::MAX.into()), None),
        ("one longer", small(1 << 32), invalid("change length")),
        ("a kind of a newer version", kind(u16::MAX.into()), None),
        ("a kind beyond its number", kind(1 << 16), invalid("kind")),
        (
            "a birth of a newer version",
            of(1, &[&[2 << 3 | 4], [6; 32].as_slice(), &[200, 1, 3], &named_only()[33..]].concat()),
            None,
        ),
        ("as many references as a change may have", of(1, &stripped(references, references, 0)), None),
        ("one dependency more", of(1, &stripped(references + 1, 0, 0)), too_long("dependencies", references)),
        ("one author more", of(1, &stripped(0, references + 1, 0)), too_long("other actors", references)),
        ("a dependency in a log that the frame does not name", of(1, &stripped(1, 0, 1)), invalid("log")),
        ("another actor of such a log", of(1, &stripped(0, 1, 1)), invalid("log")),
        ("a body longer than a record may have", of(1, &body(MAX_BODY_BYTES + 1)), too_long("body", MAX_BODY_BYTES)),
    ];
    for (case, parts, expected) in cases {
        assert_eq!(open(&frame(0, 1, 1, &parts.bytes())).err(), expected, "{case}");
    }
}

/// An entry whose change travels whole.
fn body(bytes: usize) -> Vec<u8> {
    let mut out = Writer(vec![0]);
    out.raw(&[6; 32]);
    out.var_bytes(&vec![1; bytes]);
    out.0
}

#[test]
fn what_few_records_have_is_bounded_and_what_is_newer_is_kept() {
    let invalid = |what| Some(CodecError::Invalid { what });
    let too_long =
        |what, limit: usize| Some(CodecError::TooLong { what, found: limit as u64 + 1, limit: limit as u64 });
    let opaque = |length: u64| {
        let mut out = Writer([&[2], [3; 32].as_slice()].concat());
        out.varint(length);
        out.0
    };
    let long = {
        let mut out = Writer(vec![1]);
        out.var_bytes(&vec![1; MAX_BODY_BYTES + 1]);
        out.0
    };
    let cases: Vec<(&str, Extras, Option<CodecError>)> = vec![
        ("nothing", Extras::new(), None),
        ("a format before the first", Extras { format: 0, ..Extras::new() }, invalid("record format")),
        ("a newer format", Extras { format: u16::MAX, ..Extras::new() }, None),
        ("the longest header", Extras { format: 2, header_extension: MAX_EXTENSION_BYTES, ..Extras::new() }, None),
        (
            "one longer",
            Extras { format: 2, header_extension: MAX_EXTENSION_BYTES + 1, ..Extras::new() },
            too_long("header extension", MAX_EXTENSION_BYTES),
        ),
        ("the longest skeleton", Extras { extension: MAX_EXTENSION_BYTES, ..Extras::new() }, None),
        (
            "one longer",
            Extras { extension: MAX_EXTENSION_BYTES + 1, ..Extras::new() },
            too_long("skeleton extension", MAX_EXTENSION_BYTES),
        ),
        ("as many blobs as there may be", Extras { blobs: MAX_BLOBS as u32, ..Extras::new() }, None),
        ("one more", Extras { blobs: MAX_BLOBS as u32 + 1, ..Extras::new() }, too_long("blobs", MAX_BLOBS)),
        ("a body by its name", Extras { opaque: opaque(u32::MAX.into()), ..Extras::new() }, None),
        ("one longer than it may say", Extras { opaque: opaque(1 << 32), ..Extras::new() }, invalid("body length")),
        ("no form of a body", Extras { opaque: vec![3], ..Extras::new() }, invalid("opaque body")),
        (
            "a body longer than a record may have",
            Extras { opaque: long, ..Extras::new() },
            too_long("body", MAX_BODY_BYTES),
        ),
    ];
    for (case, extras, expected) in cases {
        assert_eq!(open(&frame(0, 1, 1, &Parts::with(extras).bytes())).err(), expected, "{case}");
    }
    for number in 0..=u8::MAX {
        let run = unpacked(&frame(0, 1, 1, &Parts::with(Extras { kind: number, ..Extras::new() }).bytes()));
        assert_eq!(run.records[0].record.header.kind, BodyKind::from_number(number), "an unknown kind is no error");
    }
    let newer = Extras { kind: 42, format: 7, header_extension: 3, extension: 2, ..Extras::new() };
    let run = unpacked(&frame(0, 1, 1, &Parts::with(newer).bytes()));
    let record = &run.records[0].record;
    assert_eq!((record.header.format, record.header.extension.as_slice()), (7, [1; 3].as_slice()), "kept as it came");
    assert_eq!(record.skeleton.extension, [1; 2], "so that its hash is the one that was signed");
    assert_eq!(record.header.previous, Previous::First);
}
