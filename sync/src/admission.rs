//! Log admission (R8): what a log may hold, decided without looking into any document.
//!
//! Size, canonical header, chain, signature, hashes, a key the authority log knows. What passes is stored,
//! acknowledged, counted and forwarded; what fails is never stored and ends the session. Whether it then
//! has an effect is for [`crate::docs`] to say.

use schema::author::Author;
use schema::codec::Canonical;
pub use schema::fork::NO_SIGNATURE;
use schema::fork::branch_name;
use schema::id::{DocId, LogId, RecordHash, ScopeId, SiteId};
use schema::identity::{Purpose, Secret, Signature, verify};
use schema::policy::Policy;
use schema::record::{
    BodyName, CommandName, MAX_BODY_BYTES, MAX_RUN_BYTES, MAX_RUN_RECORDS, Previous, Record, body_hash,
};
use thiserror::Error;

use crate::change::chunk_hash;
use crate::docs::deciders;
use crate::docs::standing::Cuts;
use crate::store::log_index::BranchOf;
use crate::store::rows::{Arrival, StoredRecord, Wait};
use crate::store::tables::{after_prefix, arrival_key, doc_record_key, read_record_key, record_key};
use crate::store::{LogIndex, LogState, ScopeState, Source, StoreError, Table, Writing};

/// A record with its bodies: of its entries in order, then the opaque one. `None` for one that is named only (R2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordWithBodies {
    /// Header and skeleton.
    pub record: Record,
    /// As many as `Record::bodies` names.
    pub bodies: Vec<Option<Vec<u8>>>,
}

/// Consecutive records of one log, ended by one signature (R3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The log.
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
    /// Another signed record stands here, or the log ended before: its own key forked it, and whoever sends it is blamed
    /// for nothing (R20).
    Forked,
}

/// Why a run is refused. Each ends the session: a peer verifies before it forwards.
#[derive(Debug, Error)]
pub enum Reject {
    /// More than a run may hold.
    #[error("a run is larger than its limits")]
    Size,
    /// It does not decode.
    #[error("a run does not decode")]
    Form(#[from] schema::codec::CodecError),
    /// Records are missing before it.
    #[error("log {log} ends at {have} here, the run begins at {from}")]
    Gap {
        /// The log.
        log: LogId,
        /// Last seq held.
        have: u64,
        /// First seq of the run.
        from: u64,
    },
    /// The records are not a chain.
    #[error("log {log} is no chain at {seq}")]
    Chain {
        /// The log.
        log: LogId,
        /// Where.
        seq: u64,
    },
    /// Another organisation, scope or site than the run says, or a position that goes back.
    #[error("a header of log {log} contradicts its run or the header before")]
    Header {
        /// The log.
        log: LogId,
    },
    /// A body is not the one that the skeleton names.
    #[error("a body of log {log} is not the one named")]
    Body {
        /// The log.
        log: LogId,
    },
    /// The signature is not the site's.
    #[error("a run of log {log} is not signed by its site")]
    Signature {
        /// The log.
        log: LogId,
    },
    /// This machine's store.
    #[error("a run could not be stored")]
    Store(#[from] StoreError),
}

/// Checks a run of a known site against the log as held here and stores what is new of it; `cuts` follows what that changes
/// of where a revoked key's records end.
pub fn admit(writing: &mut Writing<'_>, policy: &Policy, cuts: &mut Cuts, run: &Run) -> Result<Admitted, Reject> {
    let log = run.log;
    let (Some(first), Some(last)) = (run.records.first(), run.records.last()) else {
        return Err(Reject::Size);
    };
    let from = first.record.header.seq;
    let state = writing.log(&log)?;
    let have = state.as_ref().map_or(0, |state| state.seq);
    if from > have + 1 {
        return Err(Reject::Gap { log, have, from });
    }
    let signed_as = state.as_ref().map_or(log, LogState::signed_as);
    check_shape(policy, run, &signed_as)?;
    check_chain(run)?;
    let (seq, hash) = (last.record.header.seq, last.record.hash());
    let ends_at_fork = writing.log_index().forks().ends_at(&signed_as, seq, &hash);
    if !crate::fault_injection::forwards_unverified()
        && !ends_at_fork
        && !verify(&log.site, Purpose::Record, &last.record.hash().0, &run.signature)
    {
        return Err(Reject::Signature { log });
    }
    if is_forked(writing, run, state.as_ref())? || is_ended(writing, run, state.as_ref(), &signed_as)? {
        return Ok(Admitted::Forked);
    }
    let held = if crate::fault_injection::skips_seq_check() { 0 } else { have + 1 - from };
    let new = run.records.get(held as usize..).unwrap_or_default();
    if new.is_empty() {
        return Ok(Admitted::Known);
    }
    let state = state.map(|state| begun(writing, state)).transpose()?.unwrap_or_else(|| LogState::empty(0, log));
    if new.first().is_some_and(|next| next.record.header.pin.at < state.pin.at) {
        return Err(Reject::Header { log });
    }
    let signature = (!ends_at_fork).then_some(run.signature);
    cuts.grow(writing, policy, (&signed_as, have + 1, seq), |writing| {
        if state.branch.is_some() {
            writing.put_log(state)?;
        }
        append(writing, log, new, signature)
    })?;
    Ok(Admitted::Stored(new.len()))
}

/// A log as it is about to be continued. A history behind a fork goes on from the record before it, which has to be here: it
/// says what the first may pin, and what stands before the history decides what its records may do (R8).
fn begun(writing: &Writing<'_>, state: LogState) -> Result<LogState, Reject> {
    let Some(branch) = state.branch.filter(|branch| branch.from > 1 && branch.on.is_none()) else {
        return Ok(state);
    };
    let (log, last) = (state.id, branch.from - 1);
    let before = history_at(writing, writing.log_index(), &state.signed_as(), last, &branch.base)?;
    let before = before.ok_or(Reject::Gap { log, have: 0, from: branch.from })?;
    let header = stored(writing, before.no, last)?.record.header;
    let branch = BranchOf { on: Some(before.no), ..branch };
    Ok(LogState { hlc: header.hlc, pin: header.pin, branch: Some(branch), ..state })
}

/// Stores records that continue a log, the last one signed unless a fork proves it. The caller has checked them.
fn append(
    writing: &mut Writing<'_>,
    log: LogId,
    new: &[RecordWithBodies],
    signature: Option<Signature>,
) -> Result<(), StoreError> {
    let mut state = writing.log_or_new(log)?;
    let mut scope = writing.log_index().scope(&log.scope);
    let mut closing = None;
    for (index, with) in new.iter().enumerate() {
        let ends = index + 1 == new.len();
        store(writing, &mut state, &mut scope, with, signature.filter(|_| ends))?;
        closing = match with.record.header.previous {
            // A history behind a fork says nothing of the generation before.
            Previous::After(closing) => Some(closing).filter(|_| state.branch.is_none()),
            Previous::First | Previous::Record(_) => closing,
        };
    }
    state.follows = closing.or(state.follows);
    writing.put_scope(log.scope, scope)?;
    writing.put_log(state)?;
    if let Some(closing) = closing {
        let noted = writing.note_closing(log, &closing, |writing, no, seq| match seq {
            0 => Ok(RecordHash([0; 32])),
            _ => Ok(self::stored(writing, no, seq)?.record.hash()),
        })?;
        if !noted {
            tracing::warn!(%log, "a generation names another record than the one held as the end of the one before");
        }
    }
    Ok(())
}

/// Stores the record that continues a log. One without a signature must be followed, in the same
/// transaction, by one with it, or by [`sign`].
pub fn append_one(
    writing: &mut Writing<'_>,
    log: LogId,
    with: &RecordWithBodies,
    signature: Option<Signature>,
) -> Result<(), StoreError> {
    append(writing, log, std::slice::from_ref(with), signature)
}

/// Stores a record and its bodies behind the end of its log, which the caller writes when it has stored them all.
fn store(
    writing: &mut Writing<'_>,
    state: &mut LogState,
    scope: &mut ScopeState,
    with: &RecordWithBodies,
    signature: Option<Signature>,
) -> Result<(), StoreError> {
    let header = &with.record.header;
    let key = record_key(state.no, header.seq);
    let stored = StoredRecord { record: with.record.clone(), signature };
    writing.put(Table::Records, &key, &stored.to_bytes())?;
    for entry in &with.record.skeleton.entries {
        writing.put(Table::DocRecords, &doc_record_key(&entry.doc, state.no, header.seq), &[])?;
    }
    for ((name, _), body) in with.record.bodies().zip(&with.bodies) {
        if let Some(body) = body {
            put_body(writing, &name, body)?;
            deciders::note(writing, &with.record, &name, (state.no, header.seq), body)?;
            continue;
        }
        // It may have come with another record.
        match read_body(writing, &name)? {
            Some(body) => deciders::note(writing, &with.record, &name, (state.no, header.seq), &body)?,
            None => writing.put(Table::NamedOnly, &[name.to_bytes().as_slice(), &key].concat(), &[])?,
        }
    }
    let hash = header.hash();
    scope.arrivals += 1;
    scope.chain = chain(&scope.chain, &hash);
    let arrival = Arrival { log: state.no, seq: header.seq, chain: scope.chain };
    writing.put(Table::Arrivals, &arrival_key(&header.log.scope, scope.arrivals), &arrival.to_bytes())?;
    (state.seq, state.hash, state.hlc, state.pin) = (header.seq, hash, header.hlc, header.pin);
    // A successor that says the log ended here at another record closes nothing (R1).
    state.successors.retain(|successor| successor.seq != header.seq || successor.hash == hash);
    Ok(())
}

/// Ends a log's run with a signature over its last record (R3).
pub fn sign(writing: &mut Writing<'_>, log: LogId, key: &Secret) -> Result<(), StoreError> {
    let Some(state) = writing.log(&log)? else {
        return Ok(());
    };
    let (no, seq) = (state.no, state.seq);
    let mut last = stored(writing, no, seq)?;
    last.signature = Some(key.sign(Purpose::Record, &last.record.hash().0));
    writing.put(Table::Records, &record_key(no, seq), &last.to_bytes())
}

/// Reads a body; `None` for one that is not held: named only, dropped or erased.
pub fn read_body(source: &impl Source, name: &BodyName) -> Result<Option<Vec<u8>>, StoreError> {
    source.get(Table::Bodies, &name.to_bytes())
}

/// The key under which a command is remembered that may be issued twice: named by its client, or issued again.
pub fn command_key(record: &Record) -> Option<Vec<u8>> {
    let log = &record.header.log;
    named_command(&log.scope, &record.skeleton.author, &log.site, &record.skeleton.command)
}

/// The key under which a command is remembered once it is issued again: its own, or that of its place.
pub fn again_key(record: &Record) -> Option<Vec<u8>> {
    let log = &record.header.log;
    named_command(&log.scope, &record.skeleton.author, &log.site, &again(record))
}

/// The name under which a command is issued again: its client's, or its first place (R20).
pub fn again(record: &Record) -> CommandName {
    let (generation, seq, hlc) = (record.header.log.generation, record.header.seq, record.header.hlc);
    match record.skeleton.command {
        CommandName::Place => CommandName::Again { generation, seq, hlc, hash_head: record.hash().head() },
        named @ (CommandName::Given(_) | CommandName::Again { .. }) => named,
    }
}

/// As [`command_key`], for a command that is not written yet.
pub fn named_command(scope: &ScopeId, author: &Author, site: &SiteId, name: &CommandName) -> Option<Vec<u8>> {
    let anywhere = commands_named(scope, author, name)?;
    Some([anywhere.as_slice(), &site.0].concat())
}

/// What the keys of a command begin with that was issued under this name, at whatever site.
pub fn commands_named(scope: &ScopeId, author: &Author, name: &CommandName) -> Option<Vec<u8>> {
    match name {
        CommandName::Place => None,
        CommandName::Given(_) | CommandName::Again { .. } => {
            Some([scope.0.as_slice(), &author.to_bytes(), &name.to_bytes()].concat())
        }
    }
}

/// Keeps a body under its name, which fixes its bytes: the first to bring it brings it for all that named it before,
/// and they are due to be judged again. Linear in those.
pub fn put_body(writing: &mut Writing<'_>, name: &BodyName, body: &[u8]) -> Result<(), StoreError> {
    let key = name.to_bytes();
    if writing.get(Table::Bodies, &key)?.is_some() {
        return Ok(());
    }
    writing.put(Table::Bodies, &key, body)?;
    let rows = writing.prefixed(Table::NamedOnly, &key)?;
    for (row, _) in &rows {
        let place = row.get(key.len()..).and_then(read_record_key);
        let (no, seq) = place.ok_or(StoreError::Damaged { table: Table::NamedOnly.name() })?;
        let record = stored(writing, no, seq)?.record;
        deciders::note(writing, &record, name, (no, seq), body)?;
        writing.remove(Table::NamedOnly, row)?;
    }
    if !rows.is_empty() {
        let waiting = Wait::Body(*name).key();
        let end = after_prefix(&waiting).unwrap_or_default();
        writing.put(Table::Due, &waiting, &end)?;
    }
    Ok(())
}

/// The names that these bytes may have: a change's, if they are a chunk, and an opaque body's.
pub fn names_of(body: &[u8]) -> impl Iterator<Item = BodyName> {
    chunk_hash(body).map(BodyName::Change).into_iter().chain([BodyName::Opaque(body_hash(body))])
}

/// Whether these are the bytes that a name fixes.
pub fn is_named(body: &[u8], name: &BodyName) -> bool {
    match name {
        BodyName::Change(hash) => chunk_hash(body) == Some(*hash),
        BodyName::Opaque(hash) => body_hash(body) == *hash,
    }
}

fn chain(before: &[u8; 16], record: &RecordHash) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 arrivals");
    hasher.update(before).update(&record.0);
    let mut after = [0; 16];
    after.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    after
}

/// Sizes, names and bodies: everything that a run says of itself.
fn check_shape(policy: &Policy, run: &Run, signed_as: &LogId) -> Result<(), Reject> {
    let log = run.log;
    let bytes: usize = run.records.iter().map(|with| with.record.body_bytes()).sum();
    if run.records.len() > MAX_RUN_RECORDS || bytes > MAX_RUN_BYTES {
        return Err(Reject::Size);
    }
    for with in &run.records {
        let header = &with.record.header;
        if header.org != policy.org || header.log != *signed_as || header.skeleton != with.record.skeleton.hash() {
            return Err(Reject::Header { log });
        }
        // What is stored must be read back: a record that only a frame can hold would brick every reader.
        if Record::from_bytes(&with.record.to_bytes()).as_ref() != Ok(&with.record) {
            return Err(Reject::Header { log });
        }
        if with.record.body_bytes() > MAX_BODY_BYTES {
            return Err(Reject::Size);
        }
        check_bodies(log, with)?;
    }
    Ok(())
}

fn check_bodies(log: LogId, with: &RecordWithBodies) -> Result<(), Reject> {
    let mut bodies = with.bodies.iter();
    let right = with.record.bodies().all(|(name, length)| match bodies.next() {
        Some(Some(body)) => body.len() == length as usize && is_named(body, &name),
        Some(None) => true,
        None => false,
    });
    if right && bodies.next().is_none() { Ok(()) } else { Err(Reject::Body { log }) }
}

/// Each record follows the one before: seq, hash, and the position that it pins (R2, R10).
fn check_chain(run: &Run) -> Result<(), Reject> {
    let log = run.log;
    let first = &run.records[0].record.header;
    let mut before: Option<(RecordHash, schema::authority::AuthorityRef)> = match first.previous {
        Previous::After(closing) => {
            if first.pin.at < closing.pin.at {
                return Err(Reject::Header { log });
            }
            None
        }
        // Against the record held before, the pin is compared where that is looked up.
        Previous::First | Previous::Record(_) => None,
    };
    for (index, with) in run.records.iter().enumerate() {
        let header = &with.record.header;
        let follows = before.is_none_or(|(hash, _)| header.previous == Previous::Record(hash));
        if !follows || header.seq != first.seq + index as u64 {
            return Err(Reject::Chain { log, seq: header.seq });
        }
        if before.is_some_and(|(_, pinned)| header.pin.at < pinned) {
            return Err(Reject::Header { log });
        }
        before = Some((header.hash(), header.pin.at));
    }
    Ok(())
}

/// Whether the run goes on behind a fork under the name of what was before it, or begins a history that its name does
/// not fix. Linear in the run and the forks of its log.
fn is_ended(writing: &Writing<'_>, run: &Run, state: Option<&LogState>, signed_as: &LogId) -> Result<bool, StoreError> {
    let own = state.and_then(|state| state.branch).map(|branch| branch.from);
    for fork in writing.log_index().forks().of(signed_as) {
        for with in &run.records {
            let header = &with.record.header;
            let follows = match header.previous {
                Previous::Record(hash) => hash == fork.hash,
                Previous::First | Previous::After(_) => true,
            };
            if header.seq == fork.last + 1 && follows && own != Some(header.seq) {
                return Ok(true);
            }
        }
    }
    let first = run.records.iter().find(|with| own == Some(with.record.header.seq));
    Ok(first.is_some_and(|first| branch_name(signed_as, &first.record.hash()) != run.log))
}

/// Whether the run has another record than the one held here, or follows another: two signed chains of one log (R20).
fn is_forked(writing: &Writing<'_>, run: &Run, state: Option<&LogState>) -> Result<bool, StoreError> {
    let Some(state) = state else {
        return Ok(false);
    };
    let first = &run.records[0].record.header;
    if let (Previous::Record(hash), Some(before)) = (first.previous, first.seq.checked_sub(1))
        && hash_at(writing, state, before)? != Some(hash)
    {
        return Ok(true);
    }
    for with in &run.records {
        let header = &with.record.header;
        if header.seq > state.seq {
            break;
        }
        if hash_at(writing, state, header.seq)? != Some(header.hash()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The hash of a log's record as held here, or of the last one before a history behind a fork; `None` for others.
pub fn hash_at(source: &impl Source, state: &LogState, seq: u64) -> Result<Option<RecordHash>, StoreError> {
    match state.branch {
        Some(branch) if seq.checked_add(1) == Some(branch.from) => return Ok(Some(branch.base)),
        Some(branch) if seq < branch.from => return Ok(None),
        Some(_) | None => {}
    }
    Ok(match seq {
        0 => None,
        seq if seq == state.seq => Some(state.hash),
        seq if seq < state.seq => Some(stored(source, state.no, seq)?.record.hash()),
        _ => None,
    })
}

/// The history of a log, as its records name it, that holds this record. Linear in the histories of one that forked.
pub fn history_at(
    source: &impl Source,
    index: &LogIndex,
    log: &LogId,
    seq: u64,
    hash: &RecordHash,
) -> Result<Option<LogState>, StoreError> {
    let main = index.log(source, log)?;
    let has_forked = index.forks().of(log).next().is_some();
    let behind = has_forked.then(|| index.open_of(&log.site, &log.scope)).into_iter().flatten();
    let behind = behind.filter(|state| state.branch.is_some() && state.signed_as() == *log);
    for state in main.iter().chain(behind) {
        if (state.from()..=state.seq).contains(&seq) && hash_at(source, state, seq)? == Some(*hash) {
            return Ok(Some(state.clone()));
        }
    }
    Ok(None)
}

/// A record that must be in the store.
pub fn stored(source: &impl Source, log: u32, seq: u64) -> Result<StoredRecord, StoreError> {
    let found = source.get_as(Table::Records, &record_key(log, seq))?;
    found.ok_or(StoreError::Missing { what: "a record" })
}

/// A stored record with those of its bodies that are held. A body of another length than the record says is none of
/// its own: it is passed on as it came, named only.
pub fn with_bodies(source: &impl Source, stored: StoredRecord) -> Result<RecordWithBodies, StoreError> {
    let held = |(name, length): (BodyName, u32)| {
        let body = read_body(source, &name)?;
        Ok::<_, StoreError>(body.filter(|body| body.len() == length as usize))
    };
    let bodies = stored.record.bodies().map(held).collect::<Result<_, StoreError>>()?;
    Ok(RecordWithBodies { record: stored.record, bodies })
}

/// The documents that the record behind an arrival names.
pub fn docs_of_arrival(source: &impl Source, scope: &ScopeId, counter: u64) -> Result<Vec<DocId>, StoreError> {
    let arrival: Option<Arrival> = source.get_as(Table::Arrivals, &arrival_key(scope, counter))?;
    let arrival = arrival.ok_or(StoreError::Missing { what: "an arrival" })?;
    let record = stored(source, arrival.log, arrival.seq)?.record;
    Ok(record.skeleton.entries.iter().map(|entry| entry.doc).collect())
}
