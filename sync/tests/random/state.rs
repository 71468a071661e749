//! What a site holds and shows after a history, in words that mean the same at every site.

use std::collections::{BTreeMap, BTreeSet};

use schema::id::{DocId, RecordHash};
use schema::record::Record;
use sync::admission::stored;
use sync::store::rows::{IndexEntry, Mark, StoredRecord, Verdict};
use sync::store::tables::read_record_key;
use sync::store::{Source as _, Table};

use super::common::Fleet;
use super::{HONEST, LYON, NAMES, PARIS};

/// What people call the records that members signed.
pub struct Names(pub BTreeMap<RecordHash, String>);

impl Names {
    /// A record's; that of an honest site is called by its place.
    fn record(&self, fleet: &Fleet, record: &Record) -> String {
        let log = record.header.log;
        let by = HONEST.into_iter().find(|site| fleet.id(*site) == log.site);
        let place = || {
            let by = by.map_or("nobody", |site| NAMES[site]);
            format!("{by}/{}/{}", log.generation.0[0], record.header.seq)
        };
        self.0.get(&record.hash()).cloned().unwrap_or_else(place)
    }

    /// A member's record by its hash.
    pub fn hash(&self, hash: &RecordHash) -> String {
        self.0.get(hash).cloned().unwrap_or_else(|| format!("{hash:?}"))
    }
}

/// What may not differ.
#[derive(PartialEq, Eq)]
pub struct State {
    /// Why a record has no effect, or none yet. What a record waits for first of several things may differ.
    verdicts: BTreeMap<String, String>,
    /// All that is said of each change that is applied.
    applied: BTreeMap<String, String>,
    views: Vec<String>,
}

impl State {
    /// A site's.
    pub fn of(fleet: &Fleet, site: usize, docs: &[DocId], names: &Names) -> Self {
        let reading = fleet.sites[site].read().unwrap();
        let name = |log, seq| names.record(fleet, &stored(&reading, log, seq).unwrap().record);
        let mut verdicts = BTreeMap::new();
        for (key, bytes) in reading.prefixed(Table::Quarantine, &[]).unwrap() {
            let (log, seq) = read_record_key(&key).unwrap();
            let verdict: Verdict = sync::store::decode(Table::Quarantine, &bytes).unwrap();
            let code = if matches!(verdict, Verdict::Waiting(_)) { "waiting" } else { verdict.code() };
            verdicts.insert(name(log, seq), code.to_owned());
        }
        let mut applied = BTreeMap::new();
        for (key, bytes) in reading.prefixed(Table::Changes, &[]).unwrap() {
            let entry: IndexEntry = sync::store::decode(Table::Changes, &bytes).unwrap();
            let IndexEntry { tainted, doubt, order, genesis, ordered_before, .. } = &entry;
            let said = format!(
                "by {}, tainted {tainted}, in doubt {doubt}, at {}, born {genesis:?}, after {ordered_before:?}",
                name(entry.log, entry.seq),
                order.0,
            );
            applied.insert(key.iter().map(|byte| format!("{byte:02x}")).collect(), said);
        }
        let views = docs.iter().map(|doc| format!("{:?}", fleet.view(site, doc))).collect();
        Self { verdicts, applied, views }
    }

    /// What differs from another, a line each.
    pub fn difference(&self, other: &Self) -> String {
        let mut lines = Vec::new();
        for (what, one, other) in
            [("verdict", &self.verdicts, &other.verdicts), ("applied", &self.applied, &other.applied)]
        {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            let differing = keys.into_iter().filter(|key| one.get(*key) != other.get(*key));
            lines.extend(differing.map(|key| format!("{what} {key}: {:?} / {:?}", one.get(key), other.get(key))));
        }
        let views = self.views.iter().zip(&other.views).enumerate();
        lines.extend(views.filter(|(_, (one, other))| one != other).map(|(doc, _)| format!("view of document {doc}")));
        lines.join("\n    ")
    }

    /// Records of honest sites that are void, or do not stand. They may wait: for what somebody signed who is not honest.
    pub fn honest_without_effect(&self) -> Vec<String> {
        let honest = |name: &str| NAMES.iter().any(|site| name.starts_with(site));
        let without = self.verdicts.iter().filter(|(name, code)| honest(name) && *code != "waiting");
        without.map(|(name, code)| format!("the honest {name} is {code}")).collect()
    }
}

/// Every record that a site holds.
pub fn records(fleet: &Fleet, site: usize) -> Vec<Record> {
    let reading = fleet.sites[site].read().unwrap();
    let rows = reading.prefixed(Table::Records, &[]).unwrap();
    let record = |bytes: &[u8]| sync::store::decode::<StoredRecord>(Table::Records, bytes).unwrap().record;
    rows.iter().map(|(_, bytes)| record(bytes)).collect()
}

/// Every record that a site holds, how it is marked, and why it has no effect; for people.
pub fn told(fleet: &Fleet, site: usize, names: &Names) -> Vec<String> {
    let reading = fleet.sites[site].read().unwrap();
    let mut lines = Vec::new();
    for (key, bytes) in reading.prefixed(Table::Records, &[]).unwrap() {
        let (log, seq) = read_record_key(&key).unwrap();
        let record: StoredRecord = sync::store::decode(Table::Records, &bytes).unwrap();
        let verdict: Option<Verdict> = reading.get_as(Table::Quarantine, &key).unwrap();
        let mark: Option<Mark> = reading.get_as(Table::Tainted, &key).unwrap();
        let name = names.record(fleet, &record.record);
        lines.push(format!("{} holds {name} at {log}/{seq}: {mark:?}, {verdict:?}", NAMES[site]));
    }
    lines
}

/// What one of the two holds and the other does not.
pub fn lacking(fleet: &Fleet, names: &Names) -> String {
    let held = |site: usize| records(fleet, site).iter().map(|record| names.record(fleet, record)).collect();
    let [paris, lyon]: [BTreeSet<String>; 2] = [held(PARIS), held(LYON)];
    let forks = |site: usize| -> BTreeSet<String> {
        let index = fleet.sites[site].store().log_index();
        let forks = index.forks().in_scope(fleet.scope());
        forks.map(|fork| fork.firsts.map(|first| names.hash(&first)).join("|")).collect()
    };
    let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| one.difference(other).cloned().collect::<Vec<_>>();
    let (paris_alone, lyon_alone) = (only(&paris, &lyon), only(&lyon, &paris));
    format!("PARIS alone {paris_alone:?}, LYON alone {lyon_alone:?}; forks {:?} / {:?}", forks(PARIS), forks(LYON))
}
