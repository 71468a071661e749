//! Judging whole documents anew (R19): where records stop standing or stand again, and where what stands builds on
//! what does not.
//!
//! What a document holds is a function of the records held: all changes of standing records and, marked as tainted,
//! those of other records on which a standing one depends. As long as nothing in a document is beyond an end, or
//! everything that stands finds what it depends on, judging record by record gives just that. Otherwise all records of
//! the document, and of those that its records touch as well, are judged again, with marks worked out before.

use std::collections::{BTreeMap, BTreeSet};

use schema::authority::AuthorityRef;
use schema::codec::Canonical;
use schema::id::{ActorId, ChangeHash, DocId, LogId, RecordHash, SiteId};
use schema::record::BodyKind;

use super::apply::{Materializer, forget_awaited};
use super::judge::{SEQ_TAKEN, dependencies};
use super::standing::{read_restand, restand, restand_row};
use super::{deciders, entries, entry_by_hash, registers, row};
use crate::admission::{RecordWithBodies, again_key, command_key, stored, with_bodies};
use crate::change::scan;
use crate::store::log_index::digest_sum;
use crate::store::rows::{Beyond, IndexEntry, Mark, Verdict, Wait};
use crate::store::tables::{LogNo, after_prefix, change_key, doc_record_key, read_record_key, record_key};
use crate::store::{Source, StoreError, Table, Writing};

/// A record of the documents at hand.
struct Member {
    with: RecordWithBodies,
    hash: RecordHash,
    beyond: Option<Beyond>,
    /// What its changes depend on; `None` if they have no place in any document, or cannot be read yet.
    builds_on: Option<Vec<ChangeHash>>,
}

type Members = BTreeMap<(LogNo, u64), Member>;

/// A place in a document: the number of an actor's change.
type Seat = (DocId, ActorId, u64);

impl Materializer<'_> {
    /// Looks again at what stands of logs that are listed for it, at most about `limit` records, or as many logs. `false`:
    /// none is.
    pub fn restand(&mut self, writing: &mut Writing<'_>, limit: usize) -> Result<bool, StoreError> {
        let listed = writing.range(Table::Restand, &[], None, limit)?;
        let (mut left, mut docs) = (limit as u64, BTreeSet::new());
        for (key, from) in &listed {
            left -= self.restand_log(writing, key, from, left, &mut docs)?;
            if left == 0 {
                break;
            }
        }
        self.judge_anew(writing, docs)?;
        self.drain(writing)?;
        Ok(!listed.is_empty())
    }

    /// Looks at what is left of one log, at most `limit` records, for documents that are to be judged anew. Answers with how
    /// many it looked at.
    fn restand_log(
        &mut self,
        writing: &mut Writing<'_>,
        key: &[u8],
        row: &[u8],
        limit: u64,
        docs: &mut BTreeSet<DocId>,
    ) -> Result<u64, StoreError> {
        let damaged = || StoreError::Damaged { table: Table::Restand.name() };
        let no = LogNo::from_be_bytes(key.try_into().map_err(|_| damaged())?);
        let (from, moved) = read_restand(row).ok_or_else(damaged)?;
        let (first, last) = writing.log_index().bounds(writing, no)?;
        let from = from.max(first);
        let end = from.saturating_add(limit).min(last + 1);
        for seq in from..end {
            let record = stored(writing, no, seq)?.record;
            let beyond = self.beyond(writing, &record.header.log, (no, seq))?.is_some();
            if record.header.kind == BodyKind::Credential {
                // It is in no document, and is judged by itself.
                self.wake.push_back((no, seq));
            }
            for entry in &record.skeleton.entries {
                let was = writing.get(Table::Beyond, &doc_record_key(&entry.doc, no, seq))?.is_some();
                if was != beyond || seq >= moved {
                    docs.insert(entry.doc);
                }
            }
        }
        match end > last {
            true => writing.remove(Table::Restand, key)?,
            false => writing.put(Table::Restand, key, &restand_row(end, moved))?,
        }
        Ok(end.saturating_sub(from))
    }

    /// Looks at a record that was just judged by itself: whether its documents are to be judged as a whole. Costs
    /// nothing while nobody is revoked and no log ended.
    pub(super) fn check_standing(
        &mut self,
        writing: &mut Writing<'_>,
        (no, seq): (LogNo, u64),
        record: &RecordWithBodies,
        (is_beyond, has_waited): (bool, bool),
        verdict: Option<&Verdict>,
    ) -> Result<(), StoreError> {
        let mut docs = BTreeSet::new();
        for (entry, body) in record.record.skeleton.entries.iter().zip(&record.bodies) {
            let touched = match (is_beyond, verdict) {
                // Something waits for it, or builds on the change that another history names too.
                (true, Some(Verdict::Beyond(_))) => {
                    has_rows(writing, Table::Waiting, &Wait::needed(&entry.change))?
                        || is_brought_in(writing, &entry.change, (no, seq))?
                }
                // It may build on what is beyond, or what is beyond hold its place. What stands and has waited for other changes counts from then on: to judge its
                // documents as a whole once more would put back what later portions have still to judge, and that leads here
                // again, for ever.
                (false, Some(Verdict::Waiting(_))) if !has_waited => {
                    has_rows(writing, Table::Beyond, &entry.doc.0)?
                        && (lacks_what_is_held(writing, body.as_ref())?
                            || is_held_by_tainted(writing, &entry.doc, body.as_ref())?)
                }
                // It may be the first to build on what another history names as well, applied or void: what it builds on is
                // brought in either way. Where its place is taken, what is beyond may hold it; judged as a whole that waits
                // for it.
                (false, None | Some(Verdict::Void(_))) => {
                    let is_taken =
                        verdict.is_some_and(|verdict| matches!(verdict, Verdict::Void(code) if code == SEQ_TAKEN));
                    (is_taken && is_held_by_tainted(writing, &entry.doc, body.as_ref())?)
                        || self.has_idle_makers(writing, record, body.as_ref())?
                }
                _ => false,
            };
            if is_beyond {
                writing.put(Table::Beyond, &doc_record_key(&entry.doc, no, seq), &[])?;
            }
            if touched && !self.anew.contains(&(no, seq)) {
                docs.insert(entry.doc);
            }
        }
        // What cannot be read yet builds on nothing so far, and nothing on it.
        if docs.is_empty() || dependencies(writing, self.authority, no, record)?.is_none() {
            return Ok(());
        }
        self.judge_anew(writing, docs)
    }

    /// Has a record that was made here, and is not stored yet, looked at again in a later portion if it is the first to build on
    /// what another history names as well.
    pub(super) fn check_own(
        &mut self,
        writing: &mut Writing<'_>,
        (no, seq): (LogNo, u64),
        record: &RecordWithBodies,
    ) -> Result<(), StoreError> {
        for body in &record.bodies {
            if self.has_idle_makers(writing, record, body.as_ref())? {
                restand(writing, &no.to_be_bytes(), (seq, seq))?;
                self.leaves_due = true;
            }
        }
        Ok(())
    }

    /// Whether something that a change builds on is named by a history that nothing brings in so far, and this record would:
    /// once judged as a whole, it is no more. Linear in the histories that name those.
    fn has_idle_makers(
        &self,
        writing: &Writing<'_>,
        record: &RecordWithBodies,
        body: Option<&Vec<u8>>,
    ) -> Result<bool, StoreError> {
        let Some(scan) = body.and_then(|body| scan(body).ok()) else {
            return Ok(false);
        };
        for hash in scan.dependencies() {
            let makers = deciders::all(writing, writing.log_index().forks(), &hash)?;
            // The only one brought it in.
            for (no, seq) in makers.iter().copied().filter(|_| makers.len() > 1) {
                let verdict: Option<Verdict> = writing.get_as(Table::Quarantine, &record_key(no, seq))?;
                let site = stored(writing, no, seq)?.record.header.log.site;
                let knew = self.revoked_at(&site).is_some_and(|at| record.record.header.pin.at >= at);
                if matches!(verdict, Some(Verdict::Beyond(_))) && !knew {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Takes back whatever was made of these documents and of those that their records touch as well, marks what is
    /// tainted, and queues all their records to be judged. Linear in those.
    fn judge_anew(&mut self, writing: &mut Writing<'_>, docs: BTreeSet<DocId>) -> Result<(), StoreError> {
        if docs.is_empty() {
            return Ok(());
        }
        let (docs, members) = self.component(writing, docs)?;
        for doc in &docs {
            self.unapply(writing, doc)?;
        }
        for (place, member) in &members {
            forget(writing, *place, member)?;
        }
        for (place, mark) in self.marks(writing, &members)? {
            writing.put(Table::Tainted, &record_key(place.0, place.1), &mark.to_bytes())?;
        }
        // What stands takes its places in documents first, or waits, and has what does not stand wait for it.
        let (mut standing, mut beyond): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|(_, member)| member.beyond.is_none());
        // Of one history the earlier first, under whatever numbers its parts are held.
        standing.sort_by_key(|((_, seq), _)| *seq);
        beyond.sort_by_key(|((_, seq), _)| *seq);
        for (place, member) in standing.into_iter().chain(beyond) {
            if member.builds_on.is_some() {
                self.anew.insert(place);
            }
            self.wake.push_back(place);
        }
        Ok(())
    }

    /// The documents, those that share a record with them which has a place in any, and so on; and all their records. Also
    /// what is void by what is held beside it: it may be no more.
    fn component(
        &mut self,
        writing: &Writing<'_>,
        seeds: BTreeSet<DocId>,
    ) -> Result<(BTreeSet<DocId>, Members), StoreError> {
        let mut members = Members::new();
        let mut left: Vec<DocId> = seeds.iter().copied().collect();
        let mut docs = seeds;
        while let Some(doc) = left.pop() {
            for (key, _) in writing.prefixed(Table::DocRecords, &doc.0)? {
                let place = key.get(doc.0.len()..).and_then(read_record_key);
                let place = place.ok_or(StoreError::Damaged { table: Table::DocRecords.name() })?;
                if members.contains_key(&place) {
                    continue;
                }
                let with = with_bodies(writing, stored(writing, place.0, place.1)?)?;
                let builds_on = dependencies(writing, self.authority, place.0, &with)?;
                if builds_on.is_some() {
                    left.extend(
                        with.record.skeleton.entries.iter().map(|entry| entry.doc).filter(|doc| docs.insert(*doc)),
                    );
                }
                let beyond = self.beyond(writing, &with.record.header.log, place)?;
                let hash = with.record.hash();
                members.insert(place, Member { with, hash, beyond, builds_on });
            }
        }
        Ok((docs, members))
    }

    /// Takes every change out of a document.
    fn unapply(&mut self, writing: &mut Writing<'_>, doc: &DocId) -> Result<(), StoreError> {
        self.touched.remove(doc);
        self.texts.remove(doc);
        self.walks.forget(doc);
        registers::remove(writing, doc)?;
        for entry in entries(writing, doc)? {
            writing.remove(Table::Changes, &change_key(doc, &entry.facts.actor, entry.facts.seq))?;
            writing.remove(Table::Applied, &entry.facts.hash.0)?;
        }
        let Some(row) = row(writing, doc)? else {
            return Ok(());
        };
        let mut scope = writing.log_index().scope(&row.scope);
        digest_sum(&mut scope.digest, &row.digest(doc), false);
        writing.put_scope(row.scope, scope)?;
        writing.remove(Table::Docs, &doc.0)?;
        writing.remove(Table::Snapshots, &doc.0)?;
        self.emptied.insert(*doc, (row.kind, row.scope));
        Ok(())
    }

    /// What is tainted: of the records that do not stand, those on which a standing one depends that pins no position
    /// from the revocation on, whatever becomes of that one. Of several that claim one place in a document, in different
    /// histories of a log, the one with the smallest hash stays; of one history the first counts. Linear in the members, and in
    /// what each depends on.
    fn marks(&mut self, writing: &Writing<'_>, members: &Members) -> Result<BTreeMap<(LogNo, u64), Mark>, StoreError> {
        let forks = writing.log_index().forks();
        // Every history that names a change may bring it in.
        let mut makers: BTreeMap<ChangeHash, Vec<(LogNo, u64)>> = BTreeMap::new();
        for hash in members.values().filter_map(|member| member.builds_on.as_ref()).flatten() {
            if !makers.contains_key(hash) {
                makers.insert(*hash, deciders::all(writing, forks, hash)?);
            }
        }
        // The lowest position that is pinned by a standing record which depends on each.
        let mut lowest: BTreeMap<(LogNo, u64), AuthorityRef> = BTreeMap::new();
        let mut left: Vec<((LogNo, u64), AuthorityRef)> = Vec::new();
        for (place, member) in members.iter().filter(|(_, member)| member.beyond.is_none()) {
            left.push((*place, member.with.record.header.pin.at));
        }
        while let Some((place, pin)) = left.pop() {
            let builds_on = members.get(&place).and_then(|member| member.builds_on.as_ref()).into_iter().flatten();
            for before in builds_on.filter_map(|hash| makers.get(hash)).flatten() {
                if lowest.get(before).is_none_or(|known| pin < *known) {
                    lowest.insert(*before, pin);
                    left.push((*before, pin));
                }
            }
        }
        let mut marks = BTreeMap::new();
        // What each history claims first: of its own records the earlier is judged first anyway. Numbers of logs say
        // nothing here: another site has given others.
        let history =
            |(no, seq): (LogNo, u64), member: &Member| forks.name_of(no, seq).unwrap_or(member.with.record.header.log);
        let mut claims: BTreeMap<Seat, BTreeMap<LogId, (u64, RecordHash)>> = BTreeMap::new();
        for (place, member) in members.iter().filter(|(_, member)| member.beyond.is_some()) {
            let bound = self.revoked_at(&member.with.record.header.log.site);
            let is_built_on = |pin: &AuthorityRef| bound.is_none_or(|bound| *pin < bound);
            if member.builds_on.is_none() || !lowest.get(place).is_some_and(is_built_on) {
                continue;
            }
            marks.insert(*place, Mark::Tainted);
            for seat in seats(&member.with) {
                let claim = (place.1, member.hash);
                let first = claims.entry(seat).or_default().entry(history(*place, member)).or_insert(claim);
                *first = claim.min(*first);
            }
        }
        let taken: BTreeMap<Seat, LogId> = claims
            .into_iter()
            .filter_map(|(seat, firsts)| {
                let (name, _) = firsts.into_iter().min_by_key(|(_, (_, hash))| *hash)?;
                Some((seat, name))
            })
            .collect();
        for (place, mark) in &mut marks {
            let Some(member) = members.get(place) else {
                continue;
            };
            let own = history(*place, member);
            let is_taken = |seat| taken.get(seat).is_some_and(|name| *name != own);
            if seats(&member.with).iter().any(is_taken) {
                *mark = Mark::Stranded;
            }
        }
        Ok(marks)
    }

    /// The statement that revoked a site's key.
    fn revoked_at(&self, site: &SiteId) -> Option<AuthorityRef> {
        Some(self.authority.current()?.revoked.get(site)?.at)
    }
}

/// The places in documents that a record's changes claim: each actor's changes are numbered.
pub(super) fn seats(with: &RecordWithBodies) -> Vec<Seat> {
    let bodies = with.record.skeleton.entries.iter().zip(&with.bodies);
    let seat = |(entry, body): (&schema::record::Entry, &Option<Vec<u8>>)| {
        let scan = scan(body.as_ref()?).ok()?;
        Some((entry.doc, scan.actor, scan.seq))
    };
    bodies.filter_map(seat).collect()
}

fn has_rows(source: &impl Source, table: Table, prefix: &[u8]) -> Result<bool, StoreError> {
    Ok(!source.range(table, prefix, after_prefix(prefix).as_deref(), 1)?.is_empty())
}

/// Whether another history brings in the change that a record names, or would if something were not in its way. Linear in the
/// histories that name it.
fn is_brought_in(writing: &Writing<'_>, change: &ChangeHash, by: (LogNo, u64)) -> Result<bool, StoreError> {
    let others = deciders::all(writing, writing.log_index().forks(), change)?;
    for (no, seq) in others.into_iter().filter(|other| *other != by) {
        let verdict: Option<Verdict> = writing.get_as(Table::Quarantine, &record_key(no, seq))?;
        if !matches!(verdict, Some(Verdict::Beyond(_))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a change that is only built on has the place of this one.
fn is_held_by_tainted(writing: &Writing<'_>, doc: &DocId, body: Option<&Vec<u8>>) -> Result<bool, StoreError> {
    let Some(scan) = body.and_then(|body| scan(body).ok()) else {
        return Ok(false);
    };
    let held: Option<IndexEntry> = writing.get_as(Table::Changes, &change_key(doc, &scan.actor, scan.seq))?;
    Ok(held.is_some_and(|entry| entry.tainted))
}

/// Whether a change builds on one that is not applied although a record is held that decides it. Linear in what it builds on.
fn lacks_what_is_held(writing: &Writing<'_>, body: Option<&Vec<u8>>) -> Result<bool, StoreError> {
    let Some(scan) = body.and_then(|body| scan(body).ok()) else {
        return Ok(false);
    };
    for hash in scan.dependencies() {
        if entry_by_hash(writing, &hash)?.is_none() && deciders::any(writing, &hash)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Forgets what was found of a record.
fn forget(writing: &mut Writing<'_>, (no, seq): (LogNo, u64), member: &Member) -> Result<(), StoreError> {
    let (key, record) = (record_key(no, seq), &member.with.record);
    if let Some(verdict) = writing.get_as(Table::Quarantine, &key)? {
        forget_awaited(writing, (no, seq), &member.with, &verdict)?;
    }
    writing.remove(Table::Quarantine, &key)?;
    writing.remove(Table::Tainted, &key)?;
    // Also of what was behind a fork when it was looked at, and stands since because a cut covers it.
    if let Some(name) = again_key(record) {
        writing.remove(Table::Unissued, &[name.as_slice(), &key].concat())?;
    }
    for entry in &record.skeleton.entries {
        writing.remove(Table::Waiting, &Wait::Earlier(entry.doc, no).row_key(no, seq))?;
        writing.remove(Table::Beyond, &doc_record_key(&entry.doc, no, seq))?;
    }
    if let Some(name) = command_key(record)
        && writing.get(Table::Commands, &name)?.as_deref() == Some(&key)
    {
        writing.remove(Table::Commands, &name)?;
    }
    Ok(())
}
