//! Packed runs: heads that are read at once, and runs that are taken out of a frame one at a time.

use schema::codec::{CodecError, Reader, Writer};
use schema::id::{GenerationId, SiteId};
use schema::record::MAX_RUN_RECORDS;
use sync::limits::{MAX_ITEMS, MAX_OPENED_BYTES};
use sync::store::log_index::LogName;
use sync::wire::{Message, PackedRun, PackedRuns};

use super::samples::{SCOPE, runs};
use super::{plain, read};

/// The log that frames here name.
pub const LOG: LogName = (SiteId([4; 32]), GenerationId([5; 16]));

/// A message of runs up to the heads, with one log.
fn beginning() -> Writer {
    let mut out = Writer(vec![4]);
    out.raw(&SCOPE.0);
    out.u8(0);
    out.varint(7);
    out.raw(&[0; 16]);
    out.varint(1);
    out.raw(&LOG.0.0);
    out.raw(&LOG.1.0);
    out
}

/// A message of one run with this head and these bytes.
pub fn frame(number: u64, from: u64, count: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = beginning();
    out.varint(1);
    out.varint(number << 1);
    out.varint(from);
    out.varint(count);
    out.var_bytes(bytes);
    out.0
}

fn packed(content: &[u8]) -> Result<PackedRuns, CodecError> {
    match read(content)? {
        Message::Runs { runs, .. } => Ok(runs),
        other => panic!("{other:?} is no message of runs"),
    }
}

/// Reads a message of one run, and takes that out.
pub fn open(content: &[u8]) -> Result<PackedRun, CodecError> {
    let runs = packed(content)?;
    runs.open(&runs.heads()[0])
}

#[test]
fn a_head_says_what_can_be() {
    let empty = CodecError::Invalid { what: "an empty run" };
    let too_long = |what, found, limit: usize| CodecError::TooLong { what, found, limit: limit as u64 };
    let (some, short) = (vec![0u8; 65], vec![0u8; 64]);
    let records = MAX_RUN_RECORDS as u64;
    let cases: [(&str, Vec<u8>, Option<CodecError>); 10] = [
        ("one record", frame(0, 1, 1, &some), None),
        ("as many records as a run may have", frame(0, 1, records, &some), None),
        ("one more", frame(0, 1, records + 1, &some), Some(too_long("records", records + 1, MAX_RUN_RECORDS))),
        ("the last seq of all", frame(0, u64::MAX, records, &some), None),
        ("no record", frame(0, 1, 0, &some), Some(empty.clone())),
        ("seqs begin at 1", frame(0, 0, 1, &some), Some(empty.clone())),
        ("no room for a start and a signature", frame(0, 1, 1, &short), Some(empty.clone())),
        ("no bytes", frame(0, 1, 1, &[]), Some(empty)),
        ("a log that the frame does not name", frame(1, 1, 1, &some), Some(CodecError::Invalid { what: "log" })),
        ("nor this one", frame(u64::MAX >> 1, 1, 1, &some), Some(CodecError::Invalid { what: "log" })),
    ];
    for (case, content, expected) in cases {
        assert_eq!(packed(&content).err(), expected, "{case}");
    }
    let last = packed(&frame(0, u64::MAX, records, &some)).unwrap();
    assert_eq!(last.heads()[0].to(), u64::MAX, "what is computed from a head does not overflow");
}

#[test]
fn logs_runs_and_their_bytes_are_bounded_before_they_are_read() {
    let no_logs = beginning().0[..beginning().0.len() - 49].to_vec();
    let run = {
        let mut out = beginning();
        out.raw(&[1, 0, 1, 1]);
        out.0
    };
    let cases =
        [("logs", no_logs, MAX_ITEMS), ("runs", beginning().0, MAX_ITEMS), ("run", run, MAX_OPENED_BYTES as u64)];
    for (what, prefix, limit) in cases {
        let counted = |count| {
            let mut out = Writer(prefix.clone());
            out.varint(count);
            packed(&out.0)
        };
        assert!(matches!(counted(limit), Err(CodecError::Short { .. })), "{limit} {what} are read on");
        for found in [limit + 1, u64::MAX] {
            assert_eq!(counted(found).err(), Some(CodecError::TooLong { what, found, limit }));
        }
    }
}

/// The bytes of each run of the samples, with its head, in a frame of its own that names the same logs.
fn samples() -> Vec<(Vec<u8>, u64, u64, Vec<u8>)> {
    let content =
        plain(&Message::Runs { scope: SCOPE, lane: sync::wire::Lane::Own, cursor: Default::default(), runs: runs() });
    let mut input = Reader::new(&content);
    input.take(1 + 16 + 1 + 1 + 16, "up to the logs").unwrap();
    let logs = input.varint("logs").unwrap();
    input.take(48 * logs as usize, "logs").unwrap();
    let prefix = content[..input.position()].to_vec();
    let count = input.varint("runs").unwrap();
    let run = |_| {
        let mut head = Writer(prefix.clone());
        head.varint(1);
        head.varint(input.varint("log").unwrap());
        let (from, count) = (input.varint("first seq").unwrap(), input.varint("records").unwrap());
        (head.0, from, count, input.var_bytes(usize::MAX, "run").unwrap().to_vec())
    };
    (0..count).map(run).collect()
}

fn again(prefix: &[u8], from: u64, count: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Writer(prefix.to_vec());
    out.varint(from);
    out.varint(count);
    out.var_bytes(bytes);
    out.0
}

#[test]
fn a_run_cut_anywhere_or_longer_than_it_says_is_an_error() {
    for (number, (prefix, from, count, bytes)) in samples().into_iter().enumerate() {
        assert!(open(&again(&prefix, from, count, &bytes)).is_ok(), "run {number} alone in a frame");
        for cut in 0..bytes.len() {
            assert!(open(&again(&prefix, from, count, &bytes[..cut])).is_err(), "run {number} cut to {cut} bytes");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(open(&again(&prefix, from, count, &longer)).err(), Some(CodecError::Trailing { left: 1 }));
        assert!(
            open(&again(&prefix, from, count + 1, &bytes)).is_err(),
            "run {number} with a record less than it says"
        );
        let (other, what) = (if from == 1 { 2 } else { 1 }, "first seq of a run");
        assert_eq!(open(&again(&prefix, other, count, &bytes)).err(), Some(CodecError::Invalid { what }));
    }
}
