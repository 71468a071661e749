//! Logs that forked (R20), and the histories behind: each is held and travels as a log of its own, under a name that its
//! first record fixes.
//!
//! A history that was held when the fork became known keeps its records where they are, under the number of the log that
//! forked: a number and a seq together say which log a record belongs to ([`ForkIndex::name_of`]).

use std::collections::{BTreeMap, BTreeSet};

use schema::codec::{Canonical, CodecError, Reader, Writer};
use schema::fork::{Fork, ForkProof, branch_name};
use schema::id::{GenerationId, LogId, RecordHash, ScopeId, SiteId};
use schema::record::{Closing, Header};

use super::{LogState, Undo};
use crate::store::tables::{LogNo, fork_key};
use crate::store::{Source, StoreError, Table, Writing, decode};

/// What a history behind a fork is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BranchOf {
    /// The generation that forked.
    pub of: GenerationId,
    /// The first seq behind the fork.
    pub from: u64,
    /// The hash of the last record before it; zeros for none.
    pub base: RecordHash,
    /// The number under which that one is held; `None` for none, and as long as nothing of the history is held.
    pub on: Option<LogNo>,
}

impl Canonical for BranchOf {
    fn write(&self, out: &mut Writer) {
        self.of.write(out);
        out.u64(self.from);
        self.base.write(out);
        out.option(self.on.as_ref(), |out, no| out.u32(*no));
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            of: Canonical::read(input)?,
            from: input.u64("first seq")?,
            base: Canonical::read(input)?,
            on: input.option("number of the log before", |input| input.u32("number of a log"))?,
        })
    }
}

/// Forks by log, and the numbers under which records behind them are held. In memory; linear in the forks.
#[derive(Debug, Clone, Default)]
pub struct ForkIndex {
    forks: BTreeMap<LogId, BTreeSet<Fork>>,
    /// By number, from each first seq on: the log.
    branches: BTreeMap<LogNo, BTreeMap<u64, LogId>>,
}

impl ForkIndex {
    /// Whether nothing ever forked.
    pub fn is_empty(&self) -> bool {
        self.forks.is_empty()
    }

    /// The sites whose logs forked.
    pub fn sites(&self) -> BTreeSet<SiteId> {
        self.forks.keys().map(|log| log.site).collect()
    }

    /// The forks of a scope, of each log in the order of the ends that they give to it.
    pub fn in_scope(&self, scope: ScopeId) -> impl DoubleEndedIterator<Item = &Fork> {
        self.forks.values().flatten().filter(move |fork| fork.log.scope == scope)
    }

    /// The forks of a log, as its records name it.
    pub fn of(&self, log: &LogId) -> impl Iterator<Item = &Fork> {
        self.forks.get(log).into_iter().flatten()
    }

    /// Whether a record is the last one before a fork of its log, as the record names it: then its hash stands in headers
    /// that its site signed.
    pub fn ends_at(&self, log: &LogId, seq: u64, hash: &RecordHash) -> bool {
        self.of(log).any(|fork| (fork.last, &fork.hash) == (seq, hash))
    }

    /// Whether this fork is known.
    pub fn contains(&self, fork: &Fork) -> bool {
        self.forks.get(&fork.log).is_some_and(|forks| forks.contains(fork))
    }

    /// The history behind a fork to which a record belongs; `None` for one before any fork.
    pub fn name_of(&self, no: LogNo, seq: u64) -> Option<LogId> {
        self.branches.get(&no)?.range(..=seq).next_back().map(|(_, id)| *id)
    }

    /// Whether any record that is held under a number stands behind a fork.
    fn holds_behind(&self, no: LogNo) -> bool {
        self.branches.contains_key(&no)
    }

    /// Where the history begins that follows a record under the same number; `None` if there is none.
    pub fn next_of(&self, no: LogNo, seq: u64) -> Option<u64> {
        self.branches.get(&no)?.range(seq + 1..).next().map(|(from, _)| *from)
    }

    /// The records from the first of a log up to one of them, as they follow one another by their hashes: under which numbers,
    /// from which seq to which, the last ones first. What a store calls them hangs on the order in which it heard of forks;
    /// this does not. Linear in the forks that they come through.
    pub fn past(&self, source: &impl Source, no: LogNo, seq: u64) -> Result<Vec<(LogNo, u64, u64)>, StoreError> {
        let (mut past, mut no, mut seq) = (Vec::new(), no, seq);
        loop {
            let begun: Option<LogState> = match self.holds_behind(no) {
                true => source.get_as(Table::Logs, &no.to_be_bytes())?,
                false => None,
            };
            let branch = begun.and_then(|state| state.branch);
            let first = branch.map_or(1, |branch| branch.from);
            past.push((no, first, seq));
            let Some(on) = branch.and_then(|branch| branch.on) else {
                return Ok(past);
            };
            (no, seq) = (on, first - 1);
        }
    }

    /// Names of all histories behind forks.
    pub fn names(&self) -> impl Iterator<Item = &LogId> {
        self.branches.values().flat_map(BTreeMap::values)
    }

    pub(super) fn load(&mut self, source: &impl Source) -> Result<(), StoreError> {
        for (_, bytes) in source.prefixed(Table::Forks, &[])? {
            let proof: ForkProof = decode(Table::Forks, &bytes)?;
            let fork = proof.fork().map_err(|_| StoreError::Damaged { table: Table::Forks.name() })?;
            self.forks.entry(fork.log).or_default().insert(fork);
        }
        Ok(())
    }

    pub(super) fn note_branch(&mut self, state: &LogState) {
        self.branches.entry(state.no).or_default().insert(state.from(), state.id);
    }

    pub(super) fn drop_fork(&mut self, fork: &Fork) {
        if let Some(forks) = self.forks.get_mut(&fork.log) {
            forks.remove(fork);
            if forks.is_empty() {
                self.forks.remove(&fork.log);
            }
        }
    }

    pub(super) fn drop_branch(&mut self, no: LogNo, from: u64) {
        if let Some(branches) = self.branches.get_mut(&no) {
            branches.remove(&from);
            if branches.is_empty() {
                self.branches.remove(&no);
            }
        }
    }
}

/// Every history behind a fork.
pub(super) fn branches(source: &impl Source) -> Result<Vec<LogState>, StoreError> {
    let rows = source.prefixed(Table::Branches, &[])?;
    rows.iter().map(|(_, bytes)| decode(Table::Branches, bytes)).collect()
}

/// The proof of a fork.
pub fn proof(source: &impl Source, fork: &Fork) -> Result<Option<ForkProof>, StoreError> {
    source.get_as(Table::Forks, &fork_key(fork))
}

impl Writing<'_> {
    /// Writes a history behind a fork: always in memory, since nothing closes it.
    pub(super) fn put_branch(&mut self, state: LogState) -> Result<(), StoreError> {
        let (id, no, from) = (state.id, state.no, state.from());
        self.put(Table::Branches, &id.to_bytes(), &state.to_bytes())?;
        // Under a number of its own it is found by that as well.
        let key = no.to_be_bytes();
        if self.get_as::<LogState>(Table::Logs, &key)?.is_none_or(|log| log.id == id) {
            self.put(Table::Logs, &key, &state.to_bytes())?;
        }
        let index = self.log_index.scopes.entry(id.scope).or_default();
        index.changed(id.site);
        if self.log_index.forks.name_of(no, from) != Some(id) {
            self.log_index.forks.note_branch(&state);
            self.undo.push(Undo::Branch(no, from));
        }
        let index = self.log_index.scopes.entry(id.scope).or_default();
        let before = index.open.insert(state.name(), state);
        self.undo.push(Undo::Log(id, before.map(Box::new)));
        Ok(())
    }

    /// What names a record behind a fork as the end of the log closes nothing: which of them were noted hung on the
    /// history that was held.
    fn forget_closings_behind(&mut self, fork: &Fork) -> Result<(), StoreError> {
        let Some(mut main) = self.log(&fork.log)? else {
            return Ok(());
        };
        let noted = main.successors.len();
        main.successors.retain(|successor| successor.seq <= fork.last);
        if main.successors.len() < noted { self.put_log(main) } else { Ok(()) }
    }

    /// Takes back what a log said of the end of the generation that it follows.
    fn forget_closing(&mut self, by: &LogId, closing: &Closing) -> Result<(), StoreError> {
        let Some(mut before) = self.log(&LogId { generation: closing.generation, ..*by })? else {
            return Ok(());
        };
        before.successors.retain(|successor| successor.generation != by.generation);
        let (id, is_forked) = (before.id, self.log_index.forks.of(&before.id).next().is_some());
        // One that is neither held nor named is not there.
        let is_nothing = before.seq == 0 && before.successors.is_empty() && before.branch.is_none() && !is_forked;
        self.put_log(before)?;
        if is_nothing { self.drop_log(&id) } else { Ok(()) }
    }

    /// Keeps the proof of a fork that is not known yet and ends the log there: what is held behind it becomes a log of its
    /// own, and so does each history that the proof names. Answers with what was held behind it. `header_at` reads a
    /// record held. Linear in the histories behind forks of this log.
    pub fn end_at(
        &mut self,
        proof: &ForkProof,
        fork: &Fork,
        header_at: impl Fn(&Self, LogNo, u64) -> Result<Header, StoreError>,
    ) -> Result<Vec<LogState>, StoreError> {
        self.put(Table::Forks, &fork_key(fork), &proof.to_bytes())?;
        self.log_index.forks.forks.entry(fork.log).or_default().insert(*fork);
        self.undo.push(Undo::Fork(*fork));
        // Of one that forked at its first record nothing is left, and everybody who holds the proof says so.
        let main = self.log_or_new(fork.log)?;
        self.put_log(main.clone())?;
        let open = self.log_index.open_of(&fork.log.site, &fork.log.scope);
        let is_part = |state: &&LogState| state.branch.is_some() && state.signed_as() == fork.log;
        let mut parts: Vec<LogState> = open.filter(is_part).cloned().collect();
        parts.push(main);
        // Behind the whole log the fork may be its very first record; a history does not fork before its own.
        parts.retain(|part| part.seq > fork.last && (part.branch.is_none() || part.from() <= fork.last));
        let branch = BranchOf { of: fork.log.generation, from: fork.last + 1, base: fork.hash, on: None };
        let mut behind = Vec::new();
        for part in parts {
            let before = match fork.last {
                0 => None,
                last => Some(header_at(self, part.no, last)?),
            };
            if before.as_ref().is_some_and(|before| before.hash() != fork.hash) {
                continue;
            }
            let id = branch_name(&fork.log, &header_at(self, part.no, fork.last + 1)?.hash());
            let (hlc, pin) = before.as_ref().map(|before| (before.hlc, before.pin)).unwrap_or_default();
            let mut left = LogState { seq: fork.last, hash: fork.hash, hlc, pin, ..part.clone() };
            // Its first record lies behind the fork, and with it what that says of the generation before.
            if let Some(closing) = left.follows.take_if(|_| fork.last == 0) {
                self.forget_closing(&fork.log, &closing)?;
            }
            self.put_log(left)?;
            self.put(Table::LogNumbers, &id.to_bytes(), &part.no.to_be_bytes())?;
            let (follows, successors) = (None, Vec::new());
            // What stands before it is held under the same number.
            let branch = BranchOf { on: before.map(|_| part.no), ..branch };
            behind.push(LogState { id, branch: Some(branch), follows, successors, ..part });
        }
        self.forget_closings_behind(fork)?;
        for part in &behind {
            self.put_log(part.clone())?;
        }
        for id in fork.names() {
            // Somebody may have named it before as the generation that theirs follows: nothing is held of it then.
            let new = self.log_or_new(id)?;
            if new.branch.is_none() && new.seq == 0 {
                self.remove(Table::OpenLogs, &new.no.to_be_bytes())?;
                let empty = LogState::empty(new.no, id);
                self.put_log(LogState { seq: fork.last, hash: fork.hash, branch: Some(branch), ..empty })?;
            }
        }
        Ok(behind)
    }
}
