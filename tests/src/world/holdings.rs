//! What a store holds of the records that were acknowledged: by their hashes, since a log may have two histories.

use std::collections::{BTreeMap, BTreeSet};

use schema::codec::Canonical;
use schema::id::{LogId, RecordHash, ScopeId};
use sync::admission::{again_key, command_key, hash_at, stored};
use sync::store::log_index::every_log;
use sync::store::rows::{Mark, Verdict};
use sync::store::tables::{read_record_key, record_key};
use sync::store::{LogNo, LogState, Reading, Source, Store, Table};

/// A record by its place in its log, and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordAt {
    /// The log, as the record names it.
    pub log: LogId,
    /// The sequence number.
    pub seq: u64,
    /// The record's hash.
    pub hash: RecordHash,
    /// The key of its command, should it be issued again; `None` for one that cannot be.
    pub again: Option<Vec<u8>>,
}

impl RecordAt {
    /// The last record of a log.
    pub fn last(store: &Store, log: LogId) -> Option<Self> {
        let (reading, state) = (store.read().ok()?, store.log_index().open(&log)?);
        let again = again_key(&stored(&reading, state.no, state.seq).ok()?.record);
        Some(Self { log, seq: state.seq, hash: state.hash, again })
    }
}

/// The logs of a store, by what their records name.
pub struct Holdings {
    reading: Option<Reading>,
    logs: BTreeMap<LogId, Vec<LogState>>,
    /// The names of commands that do not stand, and have an effect because what stands builds on them.
    tainted: BTreeSet<Vec<u8>>,
}

impl Holdings {
    /// Reads them.
    pub fn of(store: &Store) -> Self {
        let reading = store.read().ok();
        let mut logs: BTreeMap<LogId, Vec<LogState>> = BTreeMap::new();
        for state in reading.as_ref().and_then(|reading| every_log(reading).ok()).unwrap_or_default().into_values() {
            logs.entry(state.signed_as()).or_default().push(state);
        }
        let tainted = reading.as_ref().map(tainted_commands).unwrap_or_default();
        Self { reading, logs, tainted }
    }

    /// Where a record is held; `None` if it is not.
    pub fn place_of(&self, record: &RecordAt) -> Option<(LogNo, u64)> {
        let reading = self.reading.as_ref()?;
        let holds = |state: &&LogState| {
            (state.from()..=state.seq).contains(&record.seq)
                && hash_at(reading, state, record.seq).ok().flatten() == Some(record.hash)
        };
        self.logs.get(&record.log)?.iter().find(holds).map(|state| (state.no, record.seq))
    }

    /// The records without effect, or without effect yet.
    pub fn quarantined(&self) -> BTreeMap<(LogNo, u64), Verdict> {
        let rows = self.reading.as_ref().and_then(|reading| reading.prefixed(Table::Quarantine, &[]).ok());
        let verdict = |(key, bytes): (Vec<u8>, Vec<u8>)| {
            let verdict = Verdict::from_bytes(&bytes).ok()?;
            Some((read_record_key(&key)?, verdict))
        };
        rows.unwrap_or_default().into_iter().filter_map(verdict).collect()
    }

    /// The records of a scope without effect, or without effect yet: their logs, places, hashes and the changes they name.
    pub fn left_out(&self, scope: &ScopeId) -> Vec<(String, Verdict)> {
        let Some(reading) = self.reading.as_ref() else {
            return Vec::new();
        };
        let name = |((no, seq), verdict)| {
            let record = stored(reading, no, seq).ok()?.record;
            let log = record.header.log;
            let named: Vec<String> = record.skeleton.entries.iter().map(|entry| entry.change.short()).collect();
            let name =
                format!("{}/{} {seq} {} {named:?}", log.site.short(), log.generation.short(), record.hash().short());
            (log.scope == *scope).then_some((name, verdict))
        };
        self.quarantined().into_iter().filter_map(name).collect()
    }

    /// Whether the command of a record was issued again, and has an effect: it stands, or what stands builds on it.
    pub fn is_issued_again(&self, record: &RecordAt) -> bool {
        let reading = self.reading.as_ref();
        let issued = reading.and_then(|reading| reading.get(Table::Commands, record.again.as_ref()?).ok()?);
        let stands =
            issued.is_some_and(|place| self.place_of(record).is_none_or(|(no, seq)| place != record_key(no, seq)));
        stands || record.again.as_ref().is_some_and(|name| self.tainted.contains(name))
    }

    /// Their places.
    pub fn without_effect(&self) -> BTreeSet<(LogNo, u64)> {
        self.quarantined().into_keys().collect()
    }
}

fn tainted_commands(reading: &Reading) -> BTreeSet<Vec<u8>> {
    let rows = reading.prefixed(Table::Tainted, &[]).unwrap_or_default().into_iter();
    let tainted = rows.filter(|(_, bytes)| Mark::from_bytes(bytes) == Ok(Mark::Tainted));
    let name = |(key, _): (Vec<u8>, Vec<u8>)| {
        let (no, seq) = read_record_key(&key)?;
        command_key(&stored(reading, no, seq).ok()?.record)
    };
    tainted.filter_map(name).collect()
}
