//! Which records stand (R18 to R20), worked out once more: from the records and the proofs that a store holds, and from
//! nothing that the product noted of them. It names no history and no end of a log; what it goes by is hashes.
//!
//! A record of a revoked key stands if the walk from a cut back along its hashes comes past it. One of another key stands
//! unless its log forked before it or at it. What does not stand may show in a document only where a standing record
//! builds on it, and then it is marked.

use std::collections::{BTreeMap, BTreeSet};

use schema::authority::{AuthorityRef, Cut};
use schema::codec::Canonical;
use schema::fork::ForkProof;
use schema::id::{ChangeHash, DocId, LogId, RecordHash, SiteId};
use schema::policy::Policy;
use schema::record::{BodyKind, BodyName, Previous, Record};
use sync::admission::{again_key, read_body, stored};
use sync::change::scan;
use sync::docs::view::whole;
use sync::store::rows::{Mark, Verdict};
use sync::store::tables::{read_record_key, record_key};
use sync::store::{LogNo, Reading, Source as _, StoreError, Table};

/// A record that is held.
struct HeldRecord {
    record: Record,
    place: (LogNo, u64),
    stands: bool,
}

/// The records of a store, and which of them stand.
pub struct StandingModel<'s> {
    reading: &'s Reading,
    policy: &'s Policy,
    records: Vec<HeldRecord>,
    by_hash: BTreeMap<RecordHash, usize>,
    /// The first seq of each log that is held or proven twice, as its records name the log.
    forked_at: BTreeMap<LogId, u64>,
}

impl<'s> StandingModel<'s> {
    /// Reads every record. Linear in those.
    pub fn of(reading: &'s Reading, policy: &'s Policy) -> Result<Self, StoreError> {
        let places = reading.prefixed(Table::Records, &[])?;
        let places = places.iter().filter_map(|(key, _)| read_record_key(key));
        let read = |place: (LogNo, u64)| {
            stored(reading, place.0, place.1).map(|stored| HeldRecord { record: stored.record, place, stands: false })
        };
        let records: Vec<HeldRecord> = places.map(read).collect::<Result<_, _>>()?;
        let by_hash = records.iter().map(|held| held.record.hash()).zip(0..).collect();
        let forked_at = forked_at(reading, &records)?;
        let mut model = Self { reading, policy, records, by_hash, forked_at };
        let standing: Vec<bool> = model.standing();
        for (held, stands) in model.records.iter_mut().zip(standing) {
            held.stands = stands;
        }
        Ok(model)
    }

    fn standing(&self) -> Vec<bool> {
        let mut covered: BTreeMap<SiteId, BTreeSet<usize>> = BTreeMap::new();
        for (site, revocation) in self.policy.revoked.iter() {
            let of_site = covered.entry(*site).or_default();
            revocation.cuts.iter().for_each(|cut| self.cover(site, cut, of_site));
        }
        let stands = |(index, held): (usize, &HeldRecord)| {
            let header = &held.record.header;
            match covered.get(&header.log.site) {
                Some(covered) => covered.contains(&index),
                None => self.forked_at.get(&header.log).is_none_or(|first| header.seq < *first),
            }
        };
        self.records.iter().enumerate().map(stands).collect()
    }

    /// Adds the records that a cut covers (R18): that which it names, and whatever leads to it by hashes. The record itself
    /// may still be on its way: until it comes, what is held before any fork of its generation counts as leading to it,
    /// unless that goes as far and ends in another record.
    fn cover(&self, site: &SiteId, cut: &Cut, covered: &mut BTreeSet<usize>) {
        let log = LogId { site: *site, generation: cut.generation, scope: cut.scope };
        let last_before = || {
            let forked_at = self.forked_at.get(&log).copied().unwrap_or(u64::MAX);
            let seq = |index: &usize| self.records[*index].record.header.seq;
            let of_log = |index: &usize| self.records[*index].record.header.log == log && seq(index) < forked_at;
            (0..self.records.len()).filter(of_log).max_by_key(seq).filter(|index| seq(index) < cut.seq)
        };
        let mut next = self.at(&log, cut.seq, &cut.hash).or_else(last_before);
        while let Some(index) = next.filter(|index| covered.insert(*index)) {
            let header = &self.records[index].record.header;
            next = match header.previous {
                Previous::First => None,
                Previous::Record(hash) => self.at(&header.log, header.seq - 1, &hash),
                Previous::After(closing) => {
                    let before = LogId { generation: closing.generation, ..header.log };
                    self.at(&before, closing.seq, &closing.hash)
                }
            };
        }
    }

    /// The record with this hash, if it is the one of that place.
    fn at(&self, log: &LogId, seq: u64, hash: &RecordHash) -> Option<usize> {
        let is_there = |index: &usize| {
            let header = &self.records[*index].record.header;
            (header.log, header.seq) == (*log, seq)
        };
        self.by_hash.get(hash).copied().filter(is_there)
    }

    /// The first of the store's answers that contradicts the rules; `None` if none does.
    pub fn first_contradiction(&self) -> Result<Option<String>, StoreError> {
        if let Some(found) = self.contradiction_in_documents()? {
            return Ok(Some(found));
        }
        if let Some(found) = self.contradiction_in_credentials()? {
            return Ok(Some(found));
        }
        for held in &self.records {
            if let Some(found) = self.contradiction_in_lists(held)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// R12: what does not stand is listed, until it is issued again; and nothing that stands is listed as if it did not.
    fn contradiction_in_lists(&self, held: &HeldRecord) -> Result<Option<String>, StoreError> {
        let key = record_key(held.place.0, held.place.1);
        let verdict: Option<Verdict> = self.reading.get_as(Table::Quarantine, &key)?;
        let mark: Option<Mark> = self.reading.get_as(Table::Tainted, &key)?;
        let is_said_beyond = matches!(verdict, Some(Verdict::Beyond(_) | Verdict::Stranded)) || mark.is_some();
        if held.stands {
            let contradicts = is_said_beyond.then(|| format!("R18: {} stands and is listed as beyond", held.name()));
            return Ok(contradicts);
        }
        let is_edit = held.record.header.kind == BodyKind::Edit;
        let again = again_key(&held.record).map(|name| self.reading.get(Table::Commands, &name)).transpose()?;
        let is_listed = verdict.is_some() || mark.is_some() || again.flatten().is_some();
        Ok((is_edit && !is_listed).then(|| format!("R18: {} does not stand and is listed nowhere", held.name())))
    }

    /// R16: what does not stand lets nobody in.
    fn contradiction_in_credentials(&self) -> Result<Option<String>, StoreError> {
        let by_place: BTreeMap<(LogNo, u64), &HeldRecord> =
            self.records.iter().map(|held| (held.place, held)).collect();
        for (_, place) in self.reading.prefixed(Table::Credentials, &[])? {
            let held = read_record_key(&place).and_then(|place| by_place.get(&place));
            if let Some(held) = held.filter(|held| !held.stands) {
                return Ok(Some(format!("R16: the credential of {} does not stand and counts", held.name())));
            }
        }
        Ok(None)
    }

    /// R19: a document shows no change of records that do not stand, but marked ones on which a standing record depends.
    fn contradiction_in_documents(&self) -> Result<Option<String>, StoreError> {
        let beyond = self.records.iter().filter(|held| !held.stands);
        let docs: BTreeSet<DocId> =
            beyond.flat_map(|held| held.record.skeleton.entries.iter().map(|entry| entry.doc)).collect();
        if docs.is_empty() {
            return Ok(None);
        }
        let makers = self.makers();
        let pinned_by = self.lowest_pins(&makers)?;
        for doc in docs {
            let Some(view) = whole(self.reading, &doc)? else {
                continue;
            };
            for change in &view.changes {
                let names = |index: &&usize| {
                    let mut entries = self.records[**index].record.skeleton.entries.iter();
                    entries.any(|entry| (entry.doc, entry.change) == (doc, change.change))
                };
                let of_change: Vec<usize> =
                    makers.get(&change.change).into_iter().flatten().filter(names).copied().collect();
                if of_change.iter().any(|index| self.records[*index].stands) {
                    continue;
                }
                let names: Vec<String> = of_change.iter().map(|index| self.records[*index].name()).collect();
                if !of_change.iter().any(|index| self.may_be_tainted(*index, &pinned_by)) {
                    return Ok(Some(format!("R19: {names:?} do not stand and show in document {}", doc.short())));
                }
                if !change.tainted {
                    return Ok(Some(format!("R19: {names:?} show in document {} without a mark", doc.short())));
                }
            }
        }
        Ok(None)
    }

    /// The records that name each change.
    fn makers(&self) -> BTreeMap<ChangeHash, Vec<usize>> {
        let mut makers: BTreeMap<ChangeHash, Vec<usize>> = BTreeMap::new();
        for (index, held) in self.records.iter().enumerate() {
            for entry in &held.record.skeleton.entries {
                makers.entry(entry.change).or_default().push(index);
            }
        }
        makers
    }

    /// The lowest position that is pinned by a standing record which depends on each, however far. Whether that record has
    /// an effect is not asked, so this names some that nothing builds on, and leaves out none.
    fn lowest_pins(
        &self,
        makers: &BTreeMap<ChangeHash, Vec<usize>>,
    ) -> Result<BTreeMap<usize, AuthorityRef>, StoreError> {
        let standing = self.records.iter().enumerate().filter(|(_, held)| held.stands);
        let mut left: Vec<(usize, AuthorityRef)> =
            standing.map(|(index, held)| (index, held.record.header.pin.at)).collect();
        let mut lowest: BTreeMap<usize, AuthorityRef> = BTreeMap::new();
        let mut known: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        while let Some((index, pin)) = left.pop() {
            let before = match known.entry(index) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => entry.insert(self.builds_on(index, makers)?),
            };
            for before in before.iter().copied() {
                if lowest.get(&before).is_none_or(|known| pin < *known) {
                    lowest.insert(before, pin);
                    left.push((before, pin));
                }
            }
        }
        Ok(lowest)
    }

    /// The records that name what the changes of a record depend on.
    fn builds_on(
        &self,
        index: usize,
        makers: &BTreeMap<ChangeHash, Vec<usize>>,
    ) -> Result<BTreeSet<usize>, StoreError> {
        let mut before = BTreeSet::new();
        for entry in &self.records[index].record.skeleton.entries {
            let body = read_body(self.reading, &BodyName::Change(entry.change))?;
            let Some(read) = body.as_ref().and_then(|body| scan(body).ok()) else {
                continue;
            };
            before.extend(read.dependencies().filter_map(|hash| makers.get(&hash)).flatten().copied());
        }
        Ok(before)
    }

    /// Whether something builds on a record that does not stand, and did not know that its key is revoked.
    fn may_be_tainted(&self, index: usize, pinned_by: &BTreeMap<usize, AuthorityRef>) -> bool {
        let revoked = self.policy.revoked.get(&self.records[index].record.header.log.site);
        let knew = |pin: &AuthorityRef| revoked.is_some_and(|revocation| *pin >= revocation.at);
        pinned_by.get(&index).is_some_and(|pin| !knew(pin))
    }
}

impl HeldRecord {
    fn name(&self) -> String {
        let header = &self.record.header;
        format!("record {} of log {} ({})", header.seq, header.log, self.record.hash().short())
    }
}

/// Where each log forked first: at the first seq that two records of it have which are held, or that a proof names.
fn forked_at(reading: &Reading, records: &[HeldRecord]) -> Result<BTreeMap<LogId, u64>, StoreError> {
    let mut seats: BTreeMap<(LogId, u64), RecordHash> = BTreeMap::new();
    let mut first: BTreeMap<LogId, u64> = BTreeMap::new();
    let mut note = |log: LogId, seq: u64| {
        let known = first.entry(log).or_insert(seq);
        *known = seq.min(*known);
    };
    for HeldRecord { record, .. } in records {
        let (header, hash) = (&record.header, record.hash());
        if seats.insert((header.log, header.seq), hash).is_some_and(|other| other != hash) {
            note(header.log, header.seq);
        }
    }
    let rows = reading.prefixed(Table::Forks, &[])?;
    let proofs: Vec<ForkProof> = rows.iter().filter_map(|(_, bytes)| ForkProof::from_bytes(bytes).ok()).collect();
    // A history may end unsigned where another fork of its log does.
    let said = proofs.iter().filter_map(|proof| proof.fork().ok());
    let ends: BTreeSet<(LogId, u64, RecordHash)> = said.map(|fork| (fork.log, fork.last, fork.hash)).collect();
    for proof in &proofs {
        let fork = proof.verify(|log, seq, hash| ends.contains(&(*log, seq, *hash)));
        let fork = fork.map_err(|_| StoreError::Missing { what: "the proof of a fork" })?;
        note(fork.log, fork.last + 1);
    }
    Ok(first)
}
