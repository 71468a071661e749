//! Reading what a peer lacks (R21): whole runs in the order of arrival, about one frame's worth.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use schema::id::{GenerationId, LogId, ScopeId, SiteId};
use schema::identity::Signature;
use schema::record::MAX_RUN_RECORDS;

use super::Replica;
use super::references::References;
use crate::admission::{NO_SIGNATURE, RecordWithBodies, Run, stored, with_bodies};
use crate::engine::Fetched;
use crate::limits::{MAX_SCAN, MAX_UNSIGNED_BYTES, MAX_WHOLE_BODY};
use crate::store::log_index::HeldSeqs;
use crate::store::rows::Arrival;
use crate::store::tables::arrival_key;
use crate::store::{LogNo, LogState, PeerLogs, Reading, Row, Source, StoreError, Table, decode};
use crate::wire::stripped::FrameLogs;
use crate::wire::{Cursor, Lane, PackedRun, PackedRuns};

/// About how many bytes a record takes in a frame beside its bodies, each of its entries, and what is named only: blobs,
/// bodies. What is taken for more than it is makes frames smaller than they are meant to be: zstd finds less in them, and
/// each is a transaction of its own.
const RECORD_BYTES: usize = 32;
const ENTRY_BYTES: usize = 8;
const NAME_BYTES: usize = 40;
/// Arrivals read at once.
const SCAN_PORTION: usize = 256;

/// What a fetch looks for.
pub(super) struct Wanted<'e> {
    pub(super) scope: ScopeId,
    pub(super) lane: Lane,
    pub(super) after: (u64, Option<[u8; 16]>),
    /// What the peer is known to hold.
    pub(super) held: &'e HeldSeqs,
    /// The peer's own site and generation, whose records it surely has.
    pub(super) peer: (SiteId, Option<GenerationId>),
    pub(super) young_after: u64,
    /// Sites from which the peer gets young records itself.
    pub(super) direct: &'e BTreeSet<SiteId>,
    /// Bytes of bodies after which the frame is closed.
    pub(super) target_bytes: usize,
}

impl Replica {
    /// Reads what a peer lacks of a lane. Linear in the arrivals looked at, at most `MAX_SCAN`.
    pub(super) fn fetch(&self, wanted: &Wanted<'_>) -> Result<Fetched, StoreError> {
        let reading = self.store.read()?;
        let (after, chain) = wanted.after;
        let at = |counter| reading.get_as::<Arrival>(Table::Arrivals, &arrival_key(&wanted.scope, counter));
        let mut cursor = Cursor { counter: after, chain: [0; 16] };
        if after > 0 {
            match at(after)? {
                Some(arrival) if chain.is_none_or(|chain| chain == arrival.chain) => cursor.chain = arrival.chain,
                Some(_) | None => return Ok(Fetched::CursorRefused),
            }
        }
        let mut arrivals = Arrivals { reading: &reading, scope: wanted.scope, last: after, read: VecDeque::new() };
        let peer = PeerLogs::new(self.store.log_index(), &reading, wanted.scope, wanted.held);
        let mut sent = BTreeMap::new();
        if let (site, Some(generation)) = wanted.peer {
            sent.insert((site, generation), u64::MAX);
        }
        let forks = self.store.log_index().forks();
        let sender =
            References { reading: &reading, index: self.store.log_index(), scope: wanted.scope, peer: &peer, sent };
        let mut frame = Frame { sender, logs: FrameLogs::default(), joined: None, bytes: 0, runs: Vec::new() };
        let mut names: BTreeMap<LogNo, LogId> = BTreeMap::new();
        let (mut open, mut bytes) = (Vec::new(), 0);
        for counter in (after + 1..).take(MAX_SCAN) {
            let Some(arrival) = arrivals.next()? else {
                break;
            };
            let log = match (forks.name_of(arrival.log, arrival.seq), names.get(&arrival.log)) {
                (Some(log), _) => log,
                (None, Some(log)) => *log,
                (None, None) => {
                    let state: Option<LogState> = reading.get_as(Table::Logs, &arrival.log.to_be_bytes())?;
                    let id = state.ok_or(StoreError::Missing { what: "a log" })?.id;
                    *names.entry(arrival.log).or_insert(id)
                }
            };
            let lane = if log.site == self.me() { Lane::Own } else { Lane::Others };
            let own = (log.site, Some(log.generation)) == wanted.peer;
            if lane == wanted.lane && !own && peer.seq((log.site, log.generation))? < arrival.seq {
                if counter > wanted.young_after && lane == Lane::Others && wanted.direct.contains(&log.site) {
                    break;
                }
                let found = stored(&reading, arrival.log, arrival.seq)?;
                // The last one before a fork may have stood inside a run: the proof of the fork says that it is the site's.
                let is_end = || forks.ends_at(&found.record.header.log, arrival.seq, &found.record.hash());
                let signature = found.signature.or_else(|| is_end().then_some(NO_SIGNATURE));
                let mut read = with_bodies(&reading, found)?;
                // It comes in pieces: a run is never torn, and would hold up everything on a thin link.
                read.bodies.iter_mut().for_each(|body| drop(body.take_if(|body| body.len() > MAX_WHOLE_BODY)));
                bytes += packed_bytes(&read);
                open.push(read);
                if let Some(signature) = signature {
                    frame.add(log, std::mem::take(&mut open), signature)?;
                }
            }
            cursor = Cursor { counter, chain: arrival.chain };
            if open.is_empty() && bytes >= wanted.target_bytes {
                break;
            }
        }
        if !open.is_empty() {
            // The scan ended inside a run, which happens only at its bound: go back to the run's first record.
            let first = open.len() as u64;
            let back = at(cursor.counter.saturating_sub(first))?;
            let chain = |arrival: Arrival| Cursor { counter: cursor.counter - first, chain: arrival.chain };
            cursor = back.map_or(Cursor::default(), chain);
        }
        frame.close()?;
        Ok(Fetched::Runs(cursor, PackedRuns::of(wanted.scope, &frame.runs, frame.logs)))
    }
}

/// A scope's arrivals in their order, read a portion at a time: most frames are full long before the last one.
struct Arrivals<'r> {
    reading: &'r Reading,
    scope: ScopeId,
    /// The counter of the last one read.
    last: u64,
    read: VecDeque<Row>,
}

impl Arrivals<'_> {
    fn next(&mut self) -> Result<Option<Arrival>, StoreError> {
        if self.read.is_empty() {
            let (from, end) = (arrival_key(&self.scope, self.last + 1), arrival_key(&self.scope, u64::MAX));
            self.read = self.reading.range(Table::Arrivals, &from, Some(&end), SCAN_PORTION)?.into();
            self.last += self.read.len() as u64;
        }
        self.read.pop_front().map(|(_, value)| decode(Table::Arrivals, &value)).transpose()
    }
}

/// A frame's runs as they come together: runs of one log that follow one another become one, since the last
/// signature ends what a send contains (R3).
struct Frame<'s> {
    sender: References<'s>,
    logs: FrameLogs,
    joined: Option<Run>,
    /// Of the bodies in it.
    bytes: usize,
    runs: Vec<PackedRun>,
}

impl Frame<'_> {
    fn add(&mut self, log: LogId, records: Vec<RecordWithBodies>, signature: Signature) -> Result<(), StoreError> {
        let bytes: usize = records.iter().map(body_bytes).sum();
        // What is joined is kept so, and goes on as one over links that are thinner than this one.
        let fits = self.bytes + bytes <= MAX_UNSIGNED_BYTES;
        if let Some(run) = self.joined.as_mut().filter(|run| fits && follows(run, log, &records)) {
            run.records.extend(records);
            run.signature = signature;
            self.bytes += bytes;
            return Ok(());
        }
        self.close()?;
        self.joined = Some(Run { log, records, signature });
        self.bytes = bytes;
        Ok(())
    }

    fn close(&mut self) -> Result<(), StoreError> {
        let Some(run) = self.joined.take() else {
            return Ok(());
        };
        if let Some(last) = run.records.last() {
            self.sender.sent.insert((run.log.site, run.log.generation), last.record.header.seq);
        }
        self.runs.push(PackedRun::pack(&run, &self.sender, &mut self.logs)?);
        Ok(())
    }
}

/// Whether these records go on where a run ends, and both together are no more than a run may hold.
fn follows(run: &Run, log: LogId, records: &[RecordWithBodies]) -> bool {
    let (Some(last), Some(first)) = (run.records.last(), records.first()) else {
        return false;
    };
    run.log == log
        && last.record.header.seq + 1 == first.record.header.seq
        && run.records.len() + records.len() <= MAX_RUN_RECORDS
}

/// Bytes of the bodies that travel with a record.
fn body_bytes(with: &RecordWithBodies) -> usize {
    with.bodies.iter().flatten().map(Vec::len).sum()
}

/// About how many bytes a record takes in a frame before compression.
fn packed_bytes(with: &RecordWithBodies) -> usize {
    let (header, skeleton) = (&with.record.header, &with.record.skeleton);
    let names = skeleton.blobs.len() + with.bodies.iter().filter(|body| body.is_none()).count();
    let lists = skeleton.entries.len() * ENTRY_BYTES + names * NAME_BYTES;
    body_bytes(with) + RECORD_BYTES + lists + header.extension.len() + skeleton.extension.len()
}
