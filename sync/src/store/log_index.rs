//! The small state that every decision needs: open logs, scopes, who this store is. In memory, mirrored from
//! the tables, and changed only through a transaction.
//!
//! A log is *closed* when it is held exactly to the record that one of its successors names as its end, and none
//! names a later one (R1). Closed logs stand in the tables alone: what is in memory, in a vector, in an announcement,
//! and whatever walks them, is linear in the open ones, however often a site has restarted.

mod forks;
mod peer;
mod state;

use std::cell::Cell;
use std::collections::BTreeMap;

use schema::codec::{Canonical, CodecError, Reader, Writer};
use schema::fork::Fork;
use schema::id::{GenerationId, LogId, RecordHash, ScopeId, SiteId, StoreId};
use schema::record::Closing;

use super::tables::LogNo;
use super::{Source, StoreError, Table, Writing, decode};
pub use forks::{BranchOf, ForkIndex, proof};
pub use peer::PeerLogs;
use state::MAX_SUCCESSORS;
pub use state::{LogState, Successor};

/// A log of a scope that is known from the context.
pub type LogName = (SiteId, GenerationId);

/// One scope as held here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScopeState {
    /// Counter of the last arrival, which is the number of records held; 0 before the first.
    pub arrivals: u64,
    /// Hash chain over the arrivals.
    pub chain: [u8; 16],
    /// Everything up to this arrival has been judged and applied.
    pub materialized: u64,
    /// Sum modulo 2^256 of the documents' digests (R22), little-endian words.
    pub digest: [u8; 32],
}

impl Canonical for ScopeState {
    fn write(&self, out: &mut Writer) {
        out.u64(self.arrivals);
        out.raw(&self.chain);
        out.u64(self.materialized);
        out.raw(&self.digest);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            arrivals: input.u64("arrivals")?,
            chain: input.array("chain")?,
            materialized: input.u64("materialized")?,
            digest: input.array("digest")?,
        })
    }
}

/// How far somebody holds each open log of a scope. A log without a line is held as its successors' lines imply.
pub type HeldSeqs = BTreeMap<LogName, u64>;

/// A line of a vector: an open log in a scope, how far it is held, and the hash there.
pub type Line = (SiteId, GenerationId, u64, RecordHash);

/// A scope and its open logs.
#[derive(Debug, Clone, Default)]
pub struct ScopeIndex {
    /// The scope's state.
    pub state: ScopeState,
    /// Its open logs.
    pub open: BTreeMap<LogName, LogState>,
    /// The digest of the vector, made when it is first asked for after a change.
    vector_digest: Cell<Option<[u8; 32]>>,
    /// How often logs of each site have changed since the start, also where that was taken back.
    changes: BTreeMap<SiteId, u64>,
}

impl ScopeIndex {
    fn changed(&mut self, site: SiteId) {
        self.vector_digest.set(None);
        *self.changes.entry(site).or_default() += 1;
    }
}

/// Open logs and scopes of a store.
#[derive(Debug, Clone, Default)]
pub struct LogIndex {
    scopes: BTreeMap<ScopeId, ScopeIndex>,
    /// Logs that forked, and what is behind.
    forks: ForkIndex,
    /// Drawn when the store was created or restored (R21); `None` before that.
    pub store_id: Option<StoreId>,
    /// Statements of the authority log held.
    pub statements: u64,
    /// The number of the newest log.
    last_no: LogNo,
}

impl LogIndex {
    /// Reads the state from the tables. Linear in the open logs, and in the forks.
    pub fn load(source: &impl Source) -> Result<Self, StoreError> {
        let mut index = Self::default();
        for (no, _) in source.prefixed(Table::OpenLogs, &[])? {
            let state: Option<LogState> = source.get_as(Table::Logs, &no)?;
            let state = state.ok_or(StoreError::Missing { what: "a log" })?;
            index.scopes.entry(state.id.scope).or_default().open.insert(state.name(), state);
        }
        for state in forks::branches(source)? {
            index.forks.note_branch(&state);
            index.scopes.entry(state.id.scope).or_default().open.insert(state.name(), state);
        }
        index.forks.load(source)?;
        for (key, bytes) in source.prefixed(Table::Meta, b"scope/")? {
            let id = key[b"scope/".len()..].try_into().map_err(|_| StoreError::Missing { what: "a scope's id" })?;
            index.scopes.entry(ScopeId(id)).or_default().state = decode(Table::Meta, &bytes)?;
        }
        index.store_id = source.get_as(Table::Meta, b"store")?;
        index.last_no = source.get_as::<LogCount>(Table::Meta, LOG_COUNT)?.map_or(0, |count| count.0);
        index.statements = source.count(Table::Authority)?;
        Ok(index)
    }

    /// The scope's state; an empty one if nothing of it was ever held.
    pub fn scope(&self, scope: &ScopeId) -> ScopeState {
        self.scopes.get(scope).map(|index| index.state.clone()).unwrap_or_default()
    }

    /// All scopes of which something is held.
    pub fn scopes(&self) -> impl Iterator<Item = (&ScopeId, &ScopeState)> {
        self.scopes.iter().map(|(scope, index)| (scope, &index.state))
    }

    /// A log, if it is open.
    pub fn open(&self, id: &LogId) -> Option<&LogState> {
        self.scopes.get(&id.scope)?.open.get(&(id.site, id.generation))
    }

    /// Logs that forked, and what is behind.
    pub fn forks(&self) -> &ForkIndex {
        &self.forks
    }

    /// The first and the last seq held under a number; nothing is held if the first is larger.
    pub fn bounds(&self, source: &impl Source, no: LogNo) -> Result<(u64, u64), StoreError> {
        let state: Option<LogState> = source.get_as(Table::Logs, &no.to_be_bytes())?;
        // A number may be drawn for a log of which nothing came.
        let Some(state) = state else {
            return Ok((1, 0));
        };
        let last = self.forks.name_of(no, u64::MAX).and_then(|id| self.open(&id));
        Ok((state.from(), last.map_or(state.seq, |last| last.seq)))
    }

    /// The open logs of a scope.
    pub fn open_in(&self, scope: &ScopeId) -> impl Iterator<Item = &LogState> {
        self.scopes.get(scope).into_iter().flat_map(|index| index.open.values())
    }

    /// The open logs of a site in a scope.
    pub fn open_of(&self, site: &SiteId, scope: &ScopeId) -> impl Iterator<Item = &LogState> {
        let range = (*site, GenerationId([0; 16]))..=(*site, GenerationId([0xff; 16]));
        self.scopes.get(scope).into_iter().flat_map(move |index| index.open.range(range.clone()).map(|(_, log)| log))
    }

    /// A log, open or closed; `None` if nothing of it was ever held or named.
    pub fn log(&self, source: &impl Source, id: &LogId) -> Result<Option<LogState>, StoreError> {
        if let Some(open) = self.open(id) {
            return Ok(Some(open.clone()));
        }
        match source.get(Table::LogNumbers, &id.to_bytes())? {
            Some(no) => source.get_as(Table::Logs, &no),
            None => Ok(None),
        }
    }

    /// The vector of a scope, sorted: one line per open log, with seq 0 for one that is only named. A missing line
    /// means "held to where a successor that is held says it ended", and equal vectors prove equal records.
    pub fn vector(&self, scope: &ScopeId) -> Vec<Line> {
        self.open_in(scope).map(|log| (log.id.site, log.id.generation, log.seq, log.hash)).collect()
    }

    /// The digest of the vector, kept until a log changes.
    pub fn vector_digest(&self, scope: &ScopeId) -> [u8; 32] {
        let Some(index) = self.scopes.get(scope) else {
            return vector_digest(&[]);
        };
        let digest = index.vector_digest.get().unwrap_or_else(|| vector_digest(&self.vector(scope)));
        index.vector_digest.set(Some(digest));
        digest
    }

    /// A number that is another one once a log of a site in a scope has changed: whoever keeps what follows from those keeps
    /// it too.
    pub fn changes(&self, site: &SiteId, scope: &ScopeId) -> u64 {
        self.scopes.get(scope).and_then(|index| index.changes.get(site)).copied().unwrap_or_default()
    }

    /// What is held here, as a peer would be told.
    pub fn held(&self, scope: &ScopeId) -> HeldSeqs {
        self.open_in(scope).map(|log| (log.name(), log.seq)).collect()
    }

    /// Takes back what a transaction did, newest first.
    pub(super) fn take_back(&mut self, undo: Vec<Undo>) {
        for step in undo.into_iter().rev() {
            match step {
                Undo::Log(id, before) => {
                    let index = self.scopes.entry(id.scope).or_default();
                    index.changed(id.site);
                    match before {
                        Some(before) => drop(index.open.insert((id.site, id.generation), *before)),
                        None => drop(index.open.remove(&(id.site, id.generation))),
                    }
                }
                Undo::Scope(id, before) => self.scopes.entry(id).or_default().state = before,
                Undo::StoreId(before) => self.store_id = before,
                Undo::Statements(before) => self.statements = before,
                Undo::LastNo(before) => self.last_no = before,
                Undo::Fork(fork) => self.forks.drop_fork(&fork),
                Undo::Branch(no, from) => self.forks.drop_branch(no, from),
            }
        }
    }
}

/// What something of [`LogIndex`] was before a transaction changed it.
#[derive(Debug)]
pub(super) enum Undo {
    Log(LogId, Option<Box<LogState>>),
    Scope(ScopeId, ScopeState),
    StoreId(Option<StoreId>),
    Statements(u64),
    LastNo(LogNo),
    Fork(Fork),
    Branch(LogNo, u64),
}

const LOG_COUNT: &[u8] = b"logs";

struct LogCount(LogNo);

impl Canonical for LogCount {
    fn write(&self, out: &mut Writer) {
        out.u32(self.0);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self(input.u32("number of logs")?))
    }
}

/// Every log of which something is held or named, open or closed. Linear in all of them: for checks, not for work.
pub fn every_log(source: &impl Source) -> Result<BTreeMap<LogId, LogState>, StoreError> {
    let rows = source.prefixed(Table::Logs, &[])?;
    let logs = rows.iter().map(|(_, bytes)| decode(Table::Logs, bytes));
    let branches = forks::branches(source)?.into_iter().map(Ok);
    logs.chain(branches).map(|state: Result<LogState, _>| state.map(|state| (state.id, state))).collect()
}

/// The digest of a vector: equal digests of hash chains prove equal records.
pub fn vector_digest(vector: &[Line]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 vector");
    for (site, generation, seq, hash) in vector {
        hasher.update(&site.0).update(&generation.0).update(&seq.to_be_bytes()).update(&hash.0);
    }
    *hasher.finalize().as_bytes()
}

/// Adds (`plus`) or takes away one document's digest: a sum modulo 2^256, never XOR (R22).
pub fn digest_sum(sum: &mut [u8; 32], term: &[u8; 32], plus: bool) {
    let mut carry = u16::from(!plus);
    for (byte, other) in sum.iter_mut().zip(term) {
        let other = if plus { *other } else { !*other };
        let total = u16::from(*byte) + u16::from(other) + carry;
        *byte = total as u8;
        carry = total >> 8;
    }
}

impl Writing<'_> {
    /// A log, open or closed.
    pub fn log(&self, id: &LogId) -> Result<Option<LogState>, StoreError> {
        self.log_index.log(self, id)
    }

    /// A log, with a number of its own if it is not in the store yet.
    pub fn log_or_new(&mut self, id: LogId) -> Result<LogState, StoreError> {
        if let Some(known) = self.log(&id)? {
            return Ok(known);
        }
        let before = self.log_index.last_no;
        let no = before + 1;
        self.put(Table::Meta, LOG_COUNT, &LogCount(no).to_bytes())?;
        self.undo.push(Undo::LastNo(before));
        self.log_index.last_no = no;
        self.put(Table::LogNumbers, &id.to_bytes(), &no.to_be_bytes())?;
        Ok(LogState::empty(no, id))
    }

    /// Writes a log's state: in memory while it is open, in the tables always.
    pub fn put_log(&mut self, state: LogState) -> Result<(), StoreError> {
        if state.branch.is_some() {
            return self.put_branch(state);
        }
        let (id, key) = (state.id, state.no.to_be_bytes());
        self.put(Table::Logs, &key, &state.to_bytes())?;
        let closed = state.is_closed();
        let index = self.log_index.scopes.entry(id.scope).or_default();
        index.changed(id.site);
        let before = match closed {
            true => index.open.remove(&state.name()),
            false => index.open.insert(state.name(), state),
        };
        match (closed, before.is_some()) {
            (true, true) => self.remove(Table::OpenLogs, &key)?,
            (false, false) => self.put(Table::OpenLogs, &key, &[])?,
            (true, false) | (false, true) => {}
        }
        self.undo.push(Undo::Log(id, before.map(Box::new)));
        Ok(())
    }

    /// Notes at the generation that `by` follows where it says that one ended. A closing that contradicts what is
    /// held is void: it closes nothing (R1). `hash_at` reads the hash of a record held.
    pub fn note_closing(
        &mut self,
        by: LogId,
        closing: &Closing,
        hash_at: impl Fn(&Self, LogNo, u64) -> Result<RecordHash, StoreError>,
    ) -> Result<bool, StoreError> {
        let mut before = self.log_or_new(LogId { generation: closing.generation, ..by })?;
        // What names a record behind a fork closes nothing, whichever history is held here.
        let is_behind =
            before.branch.is_some() || self.log_index.forks.of(&before.id).any(|fork| fork.last < closing.seq);
        // A history behind a fork is nobody's predecessor: what stands before it is held under another number.
        let contradicts =
            !is_behind && closing.seq <= before.seq && hash_at(self, before.no, closing.seq)? != closing.hash;
        if is_behind || contradicts {
            return Ok(false);
        }
        before.successors.push(Successor { seq: closing.seq, hash: closing.hash, generation: by.generation });
        // The furthest of too many, and not the first to come: equal records make equal vectors.
        before.successors.sort_unstable_by(|one, other| other.cmp(one));
        before.successors.truncate(MAX_SUCCESSORS);
        self.put_log(before)?;
        Ok(true)
    }

    /// Takes back a log that was reserved and got no record.
    pub fn drop_log(&mut self, id: &LogId) -> Result<(), StoreError> {
        let Some(state) = self.log_index.open(id).cloned() else {
            return Ok(());
        };
        let index = self.log_index.scopes.entry(id.scope).or_default();
        index.open.remove(&state.name());
        index.changed(id.site);
        let key = state.no.to_be_bytes();
        self.undo.push(Undo::Log(*id, Some(Box::new(state))));
        self.remove(Table::LogNumbers, &id.to_bytes())?;
        self.remove(Table::OpenLogs, &key)?;
        self.remove(Table::Logs, &key)
    }

    /// Writes a scope's state.
    pub fn put_scope(&mut self, scope: ScopeId, state: ScopeState) -> Result<(), StoreError> {
        let key = [b"scope/".as_slice(), &scope.0].concat();
        self.put(Table::Meta, &key, &state.to_bytes())?;
        let before = std::mem::replace(&mut self.log_index.scopes.entry(scope).or_default().state, state);
        self.undo.push(Undo::Scope(scope, before));
        Ok(())
    }

    /// Writes who this store is.
    pub fn put_store_id(&mut self, id: StoreId) -> Result<(), StoreError> {
        self.put(Table::Meta, b"store", &id.0)?;
        let before = self.log_index.store_id.replace(id);
        self.undo.push(Undo::StoreId(before));
        Ok(())
    }

    /// Counts the statements after some were written.
    pub fn count_statements(&mut self) -> Result<(), StoreError> {
        let count = self.count(Table::Authority)?;
        let before = std::mem::replace(&mut self.log_index.statements, count);
        self.undo.push(Undo::Statements(before));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use schema::authority::Pin;

    use super::*;
    use crate::store::{Durability, Store};

    const SITE: SiteId = SiteId([9; 32]);
    const SCOPE: ScopeId = ScopeId([1; 16]);

    fn id(generation: u8) -> LogId {
        LogId { site: SITE, generation: GenerationId([generation; 16]), scope: SCOPE }
    }

    fn name(generation: u8) -> LogName {
        (SITE, GenerationId([generation; 16]))
    }

    /// A store that holds each generation to a seq, with hash = the generation's number.
    fn store() -> Store {
        Store::open_on(redb::backends::InMemoryBackend::new()).unwrap()
    }

    fn hold(store: &mut Store, generation: u8, seq: u64) {
        let put = |writing: &mut Writing<'_>| -> Result<(), StoreError> {
            let log = writing.log_or_new(id(generation))?;
            writing.put_log(LogState { seq, hash: RecordHash([generation; 32]), ..log })
        };
        store.write(Durability::Derived, put).unwrap();
    }

    fn follow(store: &mut Store, by: u8, generation: u8, seq: u64, hash: u8) -> bool {
        let closing = Closing {
            generation: GenerationId([generation; 16]),
            seq,
            hash: RecordHash([hash; 32]),
            pin: Pin::default(),
        };
        store
            .write(Durability::Derived, |writing| {
                let held = |_: &Writing<'_>, _, _| Ok::<_, StoreError>(RecordHash([generation; 32]));
                let noted = writing.note_closing(id(by), &closing, held)?;
                let log = writing.log_or_new(id(by))?;
                writing.put_log(LogState { follows: Some(closing), ..log })?;
                Ok::<_, StoreError>(noted)
            })
            .unwrap()
    }

    fn seqs(store: &Store) -> Vec<(u8, u64)> {
        store.log_index().vector(&SCOPE).iter().map(|line| (line.1.0[0], line.2)).collect()
    }

    fn held_by(store: &Store, lines: &HeldSeqs, generation: u8) -> u64 {
        let reading = store.read().unwrap();
        PeerLogs::new(store.log_index(), &reading, SCOPE, lines).seq(name(generation)).unwrap()
    }

    #[test]
    fn a_closed_generation_needs_no_line_and_a_missing_one_has_one() {
        let mut whole = store();
        hold(&mut whole, 1, 5);
        hold(&mut whole, 2, 3);
        follow(&mut whole, 2, 1, 5, 1);
        assert_eq!(seqs(&whole), [(2, 3)], "generation 1 is closed at 5 and held to 5");

        let mut missing = store();
        hold(&mut missing, 2, 3);
        follow(&mut missing, 2, 1, 5, 1);
        assert_eq!(seqs(&missing), [(1, 0), (2, 3)], "generation 1 is named and not held");

        let lines = missing.log_index().held(&SCOPE);
        assert_eq!(held_by(&whole, &lines, 1), 0, "it must be sent");
        let lines = whole.log_index().held(&SCOPE);
        assert_eq!(held_by(&whole, &lines, 1), 5, "no line: held to the closing seq");
        hold(&mut missing, 1, 5);
        assert_eq!(seqs(&missing), [(2, 3)], "what was missing came, and the line is gone");
    }

    #[test]
    fn a_closing_that_names_another_hash_closes_nothing() {
        let mut store = store();
        hold(&mut store, 1, 5);
        hold(&mut store, 2, 3);
        assert!(!follow(&mut store, 2, 1, 5, 8), "the record held there is another");
        assert_eq!(seqs(&store), [(1, 5), (2, 3)], "so both logs are open");
        assert_eq!(store.log_index().open_of(&SITE, &SCOPE).count(), 2);
    }

    #[test]
    fn a_copy_that_follows_an_earlier_record_leaves_its_original_open() {
        let mut store = store();
        hold(&mut store, 1, 7);
        hold(&mut store, 2, 1);
        follow(&mut store, 2, 1, 5, 1);
        assert_eq!(seqs(&store), [(1, 7), (2, 1)], "generation 1 went on after the copy was made");
        hold(&mut store, 3, 1);
        follow(&mut store, 3, 1, 7, 1);
        assert_eq!(seqs(&store), [(2, 1), (3, 1)], "until its own successor closed it");
        let of_the_copy = HeldSeqs::from([(name(2), 1)]);
        assert_eq!(held_by(&store, &of_the_copy, 1), 5, "whoever met the copy alone holds what that follows");
    }

    #[test]
    fn a_year_of_restarts_costs_nothing_in_memory_and_is_worked_out_once() {
        let mut store = store();
        for generation in 1..=250u8 {
            hold(&mut store, generation, 2);
            if generation > 1 {
                follow(&mut store, generation, generation - 1, 2, generation - 1);
            }
        }
        assert_eq!(seqs(&store), [(250, 2)], "one open log");
        let newest = HeldSeqs::from([(name(250), 1)]);
        assert_eq!(held_by(&store, &newest, 1), 2, "implied through all of them");
        assert_eq!(held_by(&store, &HeldSeqs::new(), 1), 0, "who holds nothing holds nothing");
        let reading = store.read().unwrap();
        let (index, nothing) = (store.log_index(), HeldSeqs::new());
        let lacking = |lines| PeerLogs::new(index, &reading, SCOPE, lines).lacking().unwrap();
        assert_eq!((lacking(&newest), lacking(&nothing)), (1, 500), "counted along the chain of generations");
        assert_eq!(LogIndex::load(&reading).unwrap().vector(&SCOPE), index.vector(&SCOPE), "and a start reads it");
    }

    #[test]
    fn a_digest_is_a_sum_that_can_be_taken_back() {
        let (mut sum, terms) = ([0; 32], [[0xff; 32], [7; 32], [0x80; 32]]);
        for term in &terms {
            digest_sum(&mut sum, term, true);
        }
        let mut other = [0; 32];
        for term in terms.iter().rev() {
            digest_sum(&mut other, term, true);
        }
        assert_eq!(sum, other, "order does not matter");
        for term in &terms {
            digest_sum(&mut sum, term, false);
        }
        assert_eq!(sum, [0; 32], "what was added is taken away");
    }
}
