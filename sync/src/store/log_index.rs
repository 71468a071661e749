//! The small state that every decision needs: logs, scopes, who this store is. In memory, mirrored from
//! the tables, and changed only through a transaction.

use std::collections::BTreeMap;

use schema::authority::AuthorityRef;
use schema::codec::{Canonical, CodecError, Reader, Writer};
use schema::id::{GenerationId, LogId, RecordHash, ScopeId, SiteId, StoreId};
use schema::time::Hlc;

use super::tables::LogNo;
use super::{Source, StoreError, Table, Writing, decode};

/// The end of a log as held here, and what its first record said it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    /// Its number in this store.
    pub no: LogNo,
    /// Which log.
    pub id: LogId,
    /// Last seq held; always a signed record.
    pub seq: u64,
    /// Its hash.
    pub hash: RecordHash,
    /// Its time.
    pub hlc: Hlc,
    /// The authority position it pins.
    pub authority: AuthorityRef,
    /// The generation it follows, as far as known when it began (R1).
    pub follows: Option<Closing>,
}

/// Where a generation ended, as the first record of its successor says: both belong to its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Closing {
    /// The generation that ended.
    pub generation: GenerationId,
    /// Its last seq.
    pub seq: u64,
    /// The hash there.
    pub hash: RecordHash,
}

impl Canonical for LogState {
    fn write(&self, out: &mut Writer) {
        out.u32(self.no);
        self.id.write(out);
        out.u64(self.seq);
        self.hash.write(out);
        self.hlc.write(out);
        self.authority.write(out);
        out.option(self.follows.as_ref(), |out, closing| {
            closing.generation.write(out);
            out.u64(closing.seq);
            closing.hash.write(out);
        });
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            no: input.u32("log number")?,
            id: Canonical::read(input)?,
            seq: input.u64("seq")?,
            hash: Canonical::read(input)?,
            hlc: Canonical::read(input)?,
            authority: Canonical::read(input)?,
            follows: input.option("follows", |input| {
                let generation = Canonical::read(input)?;
                Ok(Closing { generation, seq: input.u64("seq")?, hash: Canonical::read(input)? })
            })?,
        })
    }
}

/// One scope as held here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScopeState {
    /// Counter of the last arrival; 0 before the first.
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

/// How far somebody holds each log of a scope.
pub type HeldSeqs = BTreeMap<(SiteId, GenerationId), u64>;

/// A line of a vector: a generation's log in a scope, how far it is held, and the hash there.
pub type Line = (SiteId, GenerationId, u64, RecordHash);

/// Logs and scopes of a store.
#[derive(Debug, Clone, Default)]
pub struct LogIndex {
    /// By id.
    pub logs: BTreeMap<LogId, LogState>,
    /// Ids by number.
    pub numbers: BTreeMap<LogNo, LogId>,
    /// By id.
    pub scopes: BTreeMap<ScopeId, ScopeState>,
    /// Drawn when the store was created or restored (R21); `None` before that.
    pub store_id: Option<StoreId>,
    /// Statements of the authority log held.
    pub statements: u64,
}

impl LogIndex {
    /// Reads the state from the tables.
    pub fn load(source: &impl Source) -> Result<Self, StoreError> {
        let mut local = Self::default();
        for (_, bytes) in source.prefixed(Table::Logs, &[])? {
            let state: LogState = decode(Table::Logs, &bytes)?;
            local.numbers.insert(state.no, state.id);
            local.logs.insert(state.id, state);
        }
        for (key, bytes) in source.prefixed(Table::Meta, b"scope/")? {
            let id = key[b"scope/".len()..].try_into().map_err(|_| StoreError::Missing { what: "a scope's id" })?;
            local.scopes.insert(ScopeId(id), decode(Table::Meta, &bytes)?);
        }
        local.store_id = source.get_as(Table::Meta, b"store")?;
        local.statements = source.count(Table::Authority)?;
        Ok(local)
    }

    /// The scope's state; an empty one if nothing of it was ever held.
    pub fn scope(&self, scope: &ScopeId) -> ScopeState {
        self.scopes.get(scope).cloned().unwrap_or_default()
    }

    /// The vector of a scope, sorted: one line per log, except that a generation named by its successor's
    /// first record and held exactly to the seq and hash named there has none (R1). One that is named and not
    /// held to there has a line, with seq 0 if nothing of it is held, so that a missing line always means
    /// "held", and equal vectors prove equal records.
    pub fn vector(&self, scope: &ScopeId) -> Vec<Line> {
        let in_scope = || self.logs.values().filter(|state| state.id.scope == *scope);
        let mut lines: BTreeMap<(SiteId, GenerationId), (u64, RecordHash)> =
            in_scope().map(|state| ((state.id.site, state.id.generation), (state.seq, state.hash))).collect();
        // Copies of a site may follow one generation at different places: the last one counts.
        let mut closings: BTreeMap<(SiteId, GenerationId), Closing> = BTreeMap::new();
        for state in in_scope() {
            if let Some(closing) = state.follows {
                let last = closings.entry((state.id.site, closing.generation)).or_insert(closing);
                *last = closing.max(*last);
            }
        }
        for (log, closing) in closings {
            let line = lines.entry(log).or_insert((0, RecordHash([0; 32])));
            if *line == (closing.seq, closing.hash) {
                lines.remove(&log);
            }
        }
        lines.into_iter().map(|((site, generation), (seq, hash))| (site, generation, seq, hash)).collect()
    }

    /// What a peer with these lines holds of the logs known here: a closed generation without a line is held
    /// to where the last of its successors, of which the peer holds something, says it ended.
    pub fn expand(&self, scope: &ScopeId, lines: &BTreeMap<(SiteId, GenerationId), u64>) -> HeldSeqs {
        let mut held = lines.clone();
        let mut closings: Vec<(SiteId, GenerationId, GenerationId, u64)> = self
            .logs
            .values()
            .filter(|state| state.id.scope == *scope)
            .filter_map(|state| {
                let Closing { generation, seq, .. } = state.follows?;
                Some((state.id.site, state.id.generation, generation, seq))
            })
            .collect();
        // Each round settles at least one generation, so there are at most as many rounds as generations.
        loop {
            let left = closings.len();
            closings.retain(|(site, generation, before, seq)| {
                let follows = held.get(&(*site, *generation)).is_some_and(|seq| *seq > 0);
                if follows && !lines.contains_key(&(*site, *before)) {
                    let implied = held.entry((*site, *before)).or_default();
                    *implied = (*implied).max(*seq);
                }
                !follows
            });
            if closings.len() == left {
                return held;
            }
        }
    }

    /// How many generations of a site have a log in the scope that no successor has closed.
    pub fn open_generations(&self, site: &SiteId, scope: &ScopeId) -> usize {
        let logs = || self.logs.values().filter(|state| state.id.site == *site && state.id.scope == *scope);
        let closed: std::collections::BTreeSet<GenerationId> =
            logs().filter_map(|state| state.follows.map(|closing| closing.generation)).collect();
        logs().filter(|state| !closed.contains(&state.id.generation)).count()
    }

    /// Takes back what a transaction did, newest first.
    pub(super) fn take_back(&mut self, undo: Vec<Undo>) {
        for step in undo.into_iter().rev() {
            match step {
                Undo::Log(id, Some(before)) => {
                    self.numbers.insert(before.no, id);
                    self.logs.insert(id, before);
                }
                Undo::Log(id, None) => {
                    if let Some(state) = self.logs.remove(&id) {
                        self.numbers.remove(&state.no);
                    }
                }
                Undo::Scope(id, Some(before)) => drop(self.scopes.insert(id, before)),
                Undo::Scope(id, None) => drop(self.scopes.remove(&id)),
                Undo::StoreId(before) => self.store_id = before,
                Undo::Statements(before) => self.statements = before,
            }
        }
    }

    /// How many records of the scope are held.
    pub fn records(&self, scope: &ScopeId) -> u64 {
        self.logs.values().filter(|state| state.id.scope == *scope).map(|state| state.seq).sum()
    }
}

/// What something of [`LogIndex`] was before a transaction changed it.
#[derive(Debug)]
pub(super) enum Undo {
    Log(LogId, Option<LogState>),
    Scope(ScopeId, Option<ScopeState>),
    StoreId(Option<StoreId>),
    Statements(u64),
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
    /// Writes a log's state.
    pub fn put_log(&mut self, state: LogState) -> Result<(), StoreError> {
        self.put(Table::Logs, &state.no.to_be_bytes(), &state.to_bytes())?;
        self.local.numbers.insert(state.no, state.id);
        let id = state.id;
        let before = self.local.logs.insert(id, state);
        self.undo.push(Undo::Log(id, before));
        Ok(())
    }

    /// Takes back a log that was reserved and got no record.
    pub fn drop_log(&mut self, id: &LogId) -> Result<(), StoreError> {
        if let Some(state) = self.local.logs.remove(id) {
            self.local.numbers.remove(&state.no);
            let no = state.no;
            self.undo.push(Undo::Log(*id, Some(state)));
            self.remove(Table::Logs, &no.to_be_bytes())?;
        }
        Ok(())
    }

    /// The number for a log that is not in the store yet.
    pub fn next_log_number(&self) -> LogNo {
        self.local.numbers.last_key_value().map_or(1, |(last, _)| last + 1)
    }

    /// Writes a scope's state.
    pub fn put_scope(&mut self, scope: ScopeId, state: ScopeState) -> Result<(), StoreError> {
        let key = [b"scope/".as_slice(), &scope.0].concat();
        self.put(Table::Meta, &key, &state.to_bytes())?;
        let before = self.local.scopes.insert(scope, state);
        self.undo.push(Undo::Scope(scope, before));
        Ok(())
    }

    /// Writes who this store is.
    pub fn put_store_id(&mut self, id: StoreId) -> Result<(), StoreError> {
        self.put(Table::Meta, b"store", &id.0)?;
        let before = self.local.store_id.replace(id);
        self.undo.push(Undo::StoreId(before));
        Ok(())
    }

    /// Counts the statements after some were written.
    pub fn count_statements(&mut self) -> Result<(), StoreError> {
        let count = self.count(Table::Authority)?;
        let before = std::mem::replace(&mut self.local.statements, count);
        self.undo.push(Undo::Statements(before));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_generation_needs_no_line_and_a_missing_one_has_one() {
        let scope = ScopeId([1; 16]);
        let id = |generation: u8| LogId { site: SiteId([9; 32]), generation: GenerationId([generation; 16]), scope };
        let state = |no: u32, seq: u64, follows: Option<(u8, u64)>| LogState {
            no,
            id: id(no as u8),
            seq,
            hash: RecordHash([no as u8; 32]),
            hlc: Hlc(1),
            authority: AuthorityRef::default(),
            follows: follows.map(|(generation, seq)| Closing {
                generation: GenerationId([generation; 16]),
                seq,
                hash: RecordHash([generation; 32]),
            }),
        };
        let with = |states: Vec<LogState>| LogIndex {
            logs: states.into_iter().map(|state| (state.id, state)).collect(),
            ..LogIndex::default()
        };
        let whole = with(vec![state(1, 5, None), state(2, 3, Some((1, 5)))]);
        assert_eq!(whole.vector(&scope).len(), 1, "generation 1 is closed at 5 and held to 5");
        let missing = with(vec![state(2, 3, Some((1, 5)))]);
        let lines: Vec<u64> = missing.vector(&scope).iter().map(|line| line.2).collect();
        assert_eq!(lines, [0, 3], "generation 1 is named and not held");
        let said = |local: &LogIndex| local.vector(&scope).iter().map(|line| ((line.0, line.1), line.2)).collect();
        let peer = whole.expand(&scope, &said(&missing));
        assert_eq!(peer[&(SiteId([9; 32]), GenerationId([1; 16]))], 0, "it must be sent");
        let peer = whole.expand(&scope, &said(&whole));
        assert_eq!(peer[&(SiteId([9; 32]), GenerationId([1; 16]))], 5, "no line: held to the closing seq");
        let mut other = state(1, 5, None);
        other.hash = RecordHash([8; 32]);
        let forked = with(vec![other, state(2, 3, Some((1, 5)))]);
        assert_eq!(forked.vector(&scope).len(), 2, "held to the same seq of another chain: not the same records");
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
