//! Log admission (R8): what a log may hold, decided without looking into any document.
//!
//! Size, canonical header, chain, signature, hashes, a key the authority log knows. What passes is stored,
//! acknowledged, counted and forwarded; what fails is never stored and ends the session. Whether it then
//! has an effect is for [`crate::docs`] to say.

use schema::codec::Canonical;
use schema::id::{ChangeHash, DocId, LogId, RecordHash, ScopeId};
use schema::identity::{Purpose, Secret, Signature, verify};
use schema::policy::Policy;
use schema::record::{
    Author, CommandName, Content, MAX_BODY_BYTES, MAX_RUN_BYTES, MAX_RUN_RECORDS, Previous, Record, body_hash,
};
use thiserror::Error;

use crate::change::chunk_hash;
use crate::limits::MAX_OPEN_GENERATIONS;
use crate::store::log_index::Closing;
use crate::store::rows::{Arrival, StoredRecord};
use crate::store::tables::{arrival_key, record_key};
use crate::store::{LogState, Source, StoreError, Table, Writing};

/// A record with its bodies, in the order of its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordWithBodies {
    /// Header and skeleton.
    pub record: Record,
    /// A body for each entry of an edit; one body for other kinds.
    pub bodies: Vec<Vec<u8>>,
}

/// Consecutive records of one log, ended by one signature (R3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Which log.
    pub log: LogId,
    /// At least one.
    pub records: Vec<RecordWithBodies>,
    /// Over the hash of the last.
    pub signature: Signature,
}

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// This many records were new and are stored.
    Stored(usize),
    /// All of it was here already.
    Known,
    /// The authority log does not know the key yet: asked for again when it grows (R9).
    UnknownSite,
    /// The site has begun too many logs in the scope that no other closes: this one waits until some are closed.
    TooManyGenerations,
    /// Beyond the cut of a revoked key (R18): not stored, and no fault of whoever sends it.
    BeyondCut,
}

/// Why a run is refused. Each ends the session: a peer verifies before it forwards.
#[derive(Debug, Error)]
pub enum Reject {
    /// More than a run may hold.
    #[error("a run is larger than its limits")]
    Size,
    /// It refers to a record that is not held here: the sender takes more for held than is.
    #[error("a run refers to a record that is not held here")]
    Reference,
    /// Records are missing before it.
    #[error("log {log} ends at {have} here, the run begins at {from}")]
    Gap {
        /// Which log.
        log: LogId,
        /// Last seq held.
        have: u64,
        /// First seq of the run.
        from: u64,
    },
    /// The records are not a chain, or not the continuation of this one: perhaps a fork (R20).
    #[error("log {log} has another record before {seq}")]
    Chain {
        /// Which log.
        log: LogId,
        /// Where.
        seq: u64,
    },
    /// Two signed records of one log at one place: a proof (R20).
    #[error("log {log} was forked at {seq} by its own key")]
    Fork {
        /// Which log.
        log: LogId,
        /// Where.
        seq: u64,
    },
    /// Another organisation, scope or site than the run says, or a clock or position that goes back.
    #[error("a header of log {log} contradicts its run or the header before")]
    Header {
        /// Which log.
        log: LogId,
    },
    /// A body is not the one that the skeleton names.
    #[error("a body of log {log} is not the one named")]
    Body {
        /// Which log.
        log: LogId,
    },
    /// The signature is not the site's.
    #[error("a run of log {log} is not signed by its site")]
    Signature {
        /// Which log.
        log: LogId,
    },
    /// This machine's store.
    #[error("a run could not be stored")]
    Store(#[from] StoreError),
}

/// Checks a run against the log as held here and stores what is new of it.
pub fn admit(writing: &mut Writing<'_>, policy: &Policy, run: &Run) -> Result<Admitted, Reject> {
    let log = run.log;
    if !policy.sites.contains_key(&log.site) {
        return Ok(Admitted::UnknownSite);
    }
    let (Some(first), Some(last)) = (run.records.first(), run.records.last()) else {
        return Err(Reject::Size);
    };
    let (from, to) = (first.record.header.seq, last.record.header.seq);
    if let Some(cuts) = policy.revoked.get(&log.site) {
        let stays = cuts.iter().find(|cut| cut.generation == log.generation && cut.scope == log.scope);
        if stays.is_none_or(|cut| to > cut.seq) {
            return Ok(Admitted::BeyondCut);
        }
    }
    let state = writing.log_index().logs.get(&log).cloned();
    if state.is_none() && writing.log_index().open_generations(&log.site, &log.scope) >= MAX_OPEN_GENERATIONS {
        return Ok(Admitted::TooManyGenerations);
    }
    let have = state.as_ref().map_or(0, |state| state.seq);
    if from > have + 1 {
        return Err(Reject::Gap { log, have, from });
    }
    check_shape(policy, run)?;
    check_chain(writing, run, state.as_ref())?;
    if !crate::fault_injection::forwards_unverified()
        && !verify(&log.site, Purpose::Record, &last.record.hash().0, &run.signature)
    {
        return Err(Reject::Signature { log });
    }
    check_known(writing, run, state.as_ref())?;
    let held = if crate::fault_injection::skips_seq_check() { 0 } else { have + 1 - from };
    let new = run.records.get(held as usize..).unwrap_or_default();
    if new.is_empty() {
        return Ok(Admitted::Known);
    }
    append(writing, log, new, run.signature)?;
    Ok(Admitted::Stored(new.len()))
}

/// Stores records that continue a log, the last one signed. The caller has checked them.
fn append(
    writing: &mut Writing<'_>,
    log: LogId,
    new: &[RecordWithBodies],
    signature: Signature,
) -> Result<(), StoreError> {
    for (index, full) in new.iter().enumerate() {
        let ends = index + 1 == new.len();
        append_one(writing, log, full, ends.then_some(signature))?;
    }
    Ok(())
}

/// Stores the record that continues a log. One without a signature must be followed, in the same
/// transaction, by one with it, or by [`sign`].
pub fn append_one(
    writing: &mut Writing<'_>,
    log: LogId,
    full: &RecordWithBodies,
    signature: Option<Signature>,
) -> Result<(), StoreError> {
    let held = writing.log_index().logs.get(&log);
    let no = held.map_or_else(|| writing.next_log_number(), |state| state.no);
    let header = &full.record.header;
    let follows = match header.previous {
        Previous::After { generation, seq, hash } => Some(Closing { generation, seq, hash }),
        Previous::First => None,
        Previous::Record(_) => held.and_then(|state| state.follows),
    };
    let key = record_key(no, header.seq);
    let stored = StoredRecord { record: full.record.clone(), signature };
    writing.put(Table::Records, &key, &stored.to_bytes())?;
    for (hash, body) in body_hashes(&full.record).into_iter().zip(&full.bodies) {
        put_body(writing, &hash, &key, body)?;
        writing.put(Table::Named, &[hash.as_slice(), &key].concat(), &[])?;
    }
    if let Some(name) = command_key(&full.record) {
        writing.put(Table::Commands, &name, &key)?;
    }
    let hash = header.hash();
    let mut scope = writing.log_index().scope(&log.scope);
    scope.arrivals += 1;
    scope.chain = chain(&scope.chain, &hash);
    let arrival = Arrival { log: no, seq: header.seq, chain: scope.chain };
    writing.put(Table::Arrivals, &arrival_key(&log.scope, scope.arrivals), &arrival.to_bytes())?;
    writing.put_scope(log.scope, scope)?;
    let (seq, hlc, authority) = (header.seq, header.hlc, header.authority);
    writing.put_log(LogState { no, id: log, seq, hash, hlc, authority, follows })
}

/// Ends a log's run with a signature over its last record (R3).
pub fn sign(writing: &mut Writing<'_>, log: LogId, key: &Secret) -> Result<(), StoreError> {
    let Some(state) = writing.log_index().logs.get(&log) else {
        return Ok(());
    };
    let (no, seq) = (state.no, state.seq);
    let mut last = stored(writing, no, seq)?;
    last.signature = Some(key.sign(Purpose::Record, &last.record.hash().0));
    writing.put(Table::Records, &record_key(no, seq), &last.to_bytes())
}

/// The hashes that a record's bodies stand under, in the order of its entries.
pub fn body_hashes(record: &Record) -> Vec<[u8; 32]> {
    match &record.skeleton.content {
        Content::Edit(entries) => entries.iter().map(|entry| entry.change.0).collect(),
        Content::Opaque { hash, .. } => vec![*hash],
    }
}

/// Reads a record's bodies; `None` for one that was dropped or erased.
pub fn read_body(source: &impl Source, hash: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(source.get(Table::Bodies, hash)?.map(|mut row| row.split_off(12)))
}

/// Every record that names a change: copies of somebody's change name it too.
pub fn records_naming(source: &impl Source, hash: &ChangeHash) -> Result<Vec<(u32, u64)>, StoreError> {
    let rows = source.prefixed(Table::Named, &hash.0)?;
    Ok(rows.iter().filter_map(|(key, _)| crate::store::tables::read_record_key(key.get(32..)?)).collect())
}

/// The key under which a command named by its client is remembered.
pub fn command_key(record: &Record) -> Option<Vec<u8>> {
    let CommandName::Given(id) = record.skeleton.command else {
        return None;
    };
    Some(named_command(&record.header.log.scope, &record.skeleton.author, &record.header.log.site, &id))
}

/// As [`command_key`], for a command that is not written yet.
pub fn named_command(
    scope: &ScopeId,
    author: &Author,
    site: &schema::id::SiteId,
    id: &schema::id::CommandId,
) -> Vec<u8> {
    let speaker: &[u8] = match author {
        Author::User(user) => &user.0,
        Author::Site => &site.0,
    };
    [&scope.0, speaker, &id.0].concat()
}

fn put_body(writing: &mut Writing<'_>, hash: &[u8; 32], key: &[u8; 12], body: &[u8]) -> Result<(), StoreError> {
    // Bytes are fixed by their hash, so the first to bring them brings them for all.
    if writing.get(Table::Bodies, hash)?.is_none() {
        writing.put(Table::Bodies, hash, &[key, body].concat())?;
    }
    Ok(())
}

fn chain(before: &[u8; 16], record: &RecordHash) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 arrivals");
    hasher.update(before).update(&record.0);
    let mut after = [0; 16];
    after.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    after
}

/// Sizes, names and bodies: everything that a run says of itself.
fn check_shape(policy: &Policy, run: &Run) -> Result<(), Reject> {
    let log = run.log;
    let bytes: usize = run.records.iter().map(|full| full.record.body_bytes()).sum();
    if run.records.len() > MAX_RUN_RECORDS || bytes > MAX_RUN_BYTES {
        return Err(Reject::Size);
    }
    for full in &run.records {
        let header = &full.record.header;
        if header.org != policy.org || header.log != log || header.skeleton != full.record.skeleton.hash() {
            return Err(Reject::Header { log });
        }
        // What is stored must be read back: a record that only a frame can hold would brick every reader.
        if Record::from_bytes(&full.record.to_bytes()).as_ref() != Ok(&full.record) {
            return Err(Reject::Header { log });
        }
        if full.record.body_bytes() > MAX_BODY_BYTES {
            return Err(Reject::Size);
        }
        check_bodies(log, full)?;
    }
    Ok(())
}

fn check_bodies(log: LogId, full: &RecordWithBodies) -> Result<(), Reject> {
    let right = match &full.record.skeleton.content {
        Content::Edit(entries) => {
            entries.len() == full.bodies.len()
                && entries
                    .iter()
                    .zip(&full.bodies)
                    .all(|(entry, body)| body.len() == entry.length as usize && chunk_hash(body) == Some(entry.change))
        }
        Content::Opaque { hash, length } => match full.bodies.as_slice() {
            [body] => body.len() == *length as usize && body_hash(body) == *hash,
            _ => false,
        },
    };
    if right { Ok(()) } else { Err(Reject::Body { log }) }
}

/// Each record follows the one before: seq, hash, time and authority position (R2, R10).
fn check_chain(writing: &Writing<'_>, run: &Run, state: Option<&LogState>) -> Result<(), Reject> {
    let log = run.log;
    let first = &run.records[0].record.header;
    let (mut hash, mut hlc, mut authority) = match (first.seq, state) {
        (1, _) => (None, Default::default(), Default::default()),
        (seq, Some(state)) if seq == state.seq + 1 => (Some(state.hash), state.hlc, state.authority),
        (seq, Some(state)) => {
            let before = stored(writing, state.no, seq - 1)?.record.header;
            (Some(before.hash()), before.hlc, before.authority)
        }
        (from, None) => return Err(Reject::Gap { log, have: 0, from }),
    };
    for (index, full) in run.records.iter().enumerate() {
        let header = &full.record.header;
        let follows = match (header.previous, hash) {
            (Previous::Record(previous), Some(hash)) => previous == hash,
            (Previous::First | Previous::After { .. }, None) => true,
            (Previous::Record(_), None) | (Previous::First | Previous::After { .. }, Some(_)) => false,
        };
        let in_place = header.seq == first.seq + index as u64;
        if !follows || !in_place {
            return Err(Reject::Chain { log, seq: header.seq });
        }
        if header.hlc <= hlc || header.authority < authority {
            return Err(Reject::Header { log });
        }
        (hash, hlc, authority) = (Some(header.hash()), header.hlc, header.authority);
    }
    Ok(())
}

/// What of the run is here already must be the same: two signed records at one place are a proof (R20).
fn check_known(writing: &Writing<'_>, run: &Run, state: Option<&LogState>) -> Result<(), Reject> {
    let Some(state) = state else {
        return Ok(());
    };
    for full in &run.records {
        let header = &full.record.header;
        if header.seq > state.seq {
            break;
        }
        if stored(writing, state.no, header.seq)?.record.header.hash() != header.hash() {
            return Err(Reject::Fork { log: run.log, seq: header.seq });
        }
    }
    Ok(())
}

/// A record that must be in the store.
pub fn stored(source: &impl Source, log: u32, seq: u64) -> Result<StoredRecord, StoreError> {
    let found = source.get_as(Table::Records, &record_key(log, seq))?;
    found.ok_or(StoreError::Missing { what: "a record" })
}

/// A stored record with its bodies.
pub fn full(source: &impl Source, stored: StoredRecord) -> Result<RecordWithBodies, StoreError> {
    let hashes = body_hashes(&stored.record);
    let body = |hash| read_body(source, hash)?.ok_or(StoreError::Missing { what: "a body" });
    let bodies = hashes.iter().map(body).collect::<Result<_, StoreError>>()?;
    Ok(RecordWithBodies { record: stored.record, bodies })
}

/// The documents that the record behind an arrival names.
pub fn docs_of_arrival(source: &impl Source, scope: &ScopeId, counter: u64) -> Result<Vec<DocId>, StoreError> {
    let arrival: Option<Arrival> = source.get_as(Table::Arrivals, &arrival_key(scope, counter))?;
    let arrival = arrival.ok_or(StoreError::Missing { what: "an arrival" })?;
    let record = stored(source, arrival.log, arrival.seq)?.record;
    Ok(record.skeleton.entries().iter().map(|entry| entry.doc).collect())
}
