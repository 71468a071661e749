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

use super::apply::Materializer;
use super::judge::{SEQ_TAKEN, dependencies};
use super::{entries, registers, row};
use crate::admission::{RecordWithBodies, again_key, command_key, record_naming, stored, with_bodies};
use crate::change::scan;
use crate::store::log_index::digest_sum;
use crate::store::rows::{Beyond, Mark, Verdict, Wait};
use crate::store::tables::{LogNo, after_prefix, change_key, doc_record_key, read_record_key, record_key};
use crate::store::{Source, StoreError, Table, Writing};

/// A record of the documents at hand.
struct Member {
    with: RecordWithBodies,
    hash: RecordHash,
    beyond: Option<Beyond>,
    /// What its changes depend on; `None` if they have no place in any document, or cannot be read yet.
    builds_on: Option<Vec<(LogNo, u64)>>,
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
        from: &[u8],
        limit: u64,
        docs: &mut BTreeSet<DocId>,
    ) -> Result<u64, StoreError> {
        let damaged = || StoreError::Damaged { table: Table::Restand.name() };
        let no = LogNo::from_be_bytes(key.try_into().map_err(|_| damaged())?);
        let from = u64::from_be_bytes(from.try_into().map_err(|_| damaged())?);
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
                if was != beyond {
                    docs.insert(entry.doc);
                }
            }
        }
        match end > last {
            true => writing.remove(Table::Restand, key)?,
            false => writing.put(Table::Restand, key, &end.to_be_bytes())?,
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
        is_beyond: bool,
        verdict: Option<&Verdict>,
    ) -> Result<(), StoreError> {
        let mut docs = BTreeSet::new();
        for entry in &record.record.skeleton.entries {
            let is_affected = |writing: &Writing<'_>, prefix: &[u8], table| {
                let end = after_prefix(prefix);
                writing.range(table, prefix, end.as_deref(), 1).map(|rows| !rows.is_empty())
            };
            let touched = match (is_beyond, verdict) {
                // Something may have waited for it.
                (true, Some(Verdict::Beyond(_))) => {
                    is_affected(writing, &Wait::earlier_on(&entry.doc), Table::Waiting)?
                }
                // It may build on what is beyond.
                (false, Some(Verdict::Waiting(_))) => is_affected(writing, &entry.doc.0, Table::Beyond)?,
                // What is beyond may hold its place.
                (false, Some(Verdict::Void(code))) if code == SEQ_TAKEN => {
                    is_affected(writing, &entry.doc.0, Table::Beyond)?
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
        // What cannot be read yet builds on nothing so far.
        if docs.is_empty() || dependencies(writing, self.authority, no, record)?.is_none() {
            return Ok(());
        }
        self.judge_anew(writing, docs)
    }

    /// Takes back whatever was made of these documents and of those that their records touch as well, marks what is
    /// tainted, and queues all their records to be judged. Linear in those.
    fn judge_anew(&mut self, writing: &mut Writing<'_>, docs: BTreeSet<DocId>) -> Result<(), StoreError> {
        if docs.is_empty() {
            return Ok(());
        }
        let (docs, mut members) = self.component(writing, docs)?;
        for doc in &docs {
            self.unapply(writing, doc)?;
        }
        for (place, member) in &members {
            forget(writing, *place, member)?;
        }
        for (place, mark) in self.marks(writing, &mut members)? {
            writing.put(Table::Tainted, &record_key(place.0, place.1), &mark.to_bytes())?;
        }
        for (place, member) in members {
            if member.builds_on.is_some() {
                self.anew.insert(place);
            }
            self.wake.push_back(place);
        }
        Ok(())
    }

    /// The documents, those that share a record with them that is not void, and so on; and all their records.
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
                let verdict: Option<Verdict> = writing.get_as(Table::Quarantine, &record_key(place.0, place.1))?;
                if !matches!(verdict, Some(Verdict::Void(_))) {
                    left.extend(
                        with.record.skeleton.entries.iter().map(|entry| entry.doc).filter(|doc| docs.insert(*doc)),
                    );
                }
                let beyond = self.beyond(writing, &with.record.header.log, place)?;
                let hash = with.record.hash();
                members.insert(place, Member { with, hash, beyond, builds_on: None });
            }
        }
        Ok((docs, members))
    }

    /// Takes every change out of a document.
    fn unapply(&mut self, writing: &mut Writing<'_>, doc: &DocId) -> Result<(), StoreError> {
        self.touched.remove(doc);
        self.texts.remove(doc);
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
    /// from the revocation on. Of several that claim one place in a document, in different histories of a log, the one
    /// with the smallest hash stays, unless something that stands claims it; of one history the first counts. Linear in the members, and in what each depends on.
    fn marks(
        &mut self,
        writing: &Writing<'_>,
        members: &mut Members,
    ) -> Result<BTreeMap<(LogNo, u64), Mark>, StoreError> {
        let standing = made_by_standing(writing, members)?;
        for (place, member) in members.iter_mut() {
            let Some(hashes) = dependencies(writing, self.authority, place.0, &member.with)? else {
                continue;
            };
            let named = hashes.iter().map(|hash| match standing.get(hash) {
                Some(place) => Ok(Some(*place)),
                None => record_naming(writing, hash),
            });
            member.builds_on = Some(named.filter_map(Result::transpose).collect::<Result<_, _>>()?);
        }
        // The lowest position that is pinned by a standing record which depends on each.
        let mut lowest: BTreeMap<(LogNo, u64), AuthorityRef> = BTreeMap::new();
        let mut left: Vec<((LogNo, u64), AuthorityRef)> = Vec::new();
        for (place, member) in members.iter().filter(|(_, member)| member.beyond.is_none()) {
            left.push((*place, member.with.record.header.pin.at));
        }
        while let Some((place, pin)) = left.pop() {
            for before in members.get(&place).and_then(|member| member.builds_on.as_ref()).into_iter().flatten() {
                if lowest.get(before).is_none_or(|known| pin < *known) {
                    lowest.insert(*before, pin);
                    left.push((*before, pin));
                }
            }
        }
        let mut marks = BTreeMap::new();
        // What each history claims first: of its own records the earlier is judged first anyway. Numbers of logs say
        // nothing here: another site has given others.
        let forks = writing.log_index().forks();
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
        // What stands claims its places before anything that does not, whichever can be judged first.
        let standing = members.values().filter(|member| member.beyond.is_none() && member.builds_on.is_some());
        let by_standing: BTreeSet<Seat> = standing.flat_map(|member| seats(&member.with)).collect();
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
            let is_taken = |seat| by_standing.contains(seat) || taken.get(seat).is_some_and(|name| *name != own);
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
fn seats(with: &RecordWithBodies) -> Vec<Seat> {
    let bodies = with.record.skeleton.entries.iter().zip(&with.bodies);
    let seat = |(entry, body): (&schema::record::Entry, &Option<Vec<u8>>)| {
        let scan = scan(body.as_ref()?).ok()?;
        Some((entry.doc, scan.actor, scan.seq))
    };
    bodies.filter_map(seat).collect()
}

/// The standing records that make a change of which a copy in another history of their log decides by its name (R8): what
/// depends on that change builds on these, and on nothing that does not stand. Linear in the members.
fn made_by_standing(source: &impl Source, members: &Members) -> Result<BTreeMap<ChangeHash, (LogNo, u64)>, StoreError> {
    let mut made: BTreeMap<ChangeHash, (LogNo, u64)> = BTreeMap::new();
    for (place, member) in members.iter().filter(|(_, member)| member.beyond.is_none()) {
        let record = &member.with.record;
        for entry in &record.skeleton.entries {
            let decides = record_naming(source, &entry.change)?.and_then(|decider| members.get(&decider));
            let is_copy = |other: &&Member| other.beyond.is_some() && other.with.record.header.log == record.header.log;
            if decides.filter(is_copy).is_some() {
                let first = made.entry(entry.change).or_insert(*place);
                // What stands of one log is one chain.
                if place.1 < first.1 {
                    *first = *place;
                }
            }
        }
    }
    Ok(made)
}

/// Forgets what was found of a record.
fn forget(writing: &mut Writing<'_>, (no, seq): (LogNo, u64), member: &Member) -> Result<(), StoreError> {
    let (key, record) = (record_key(no, seq), &member.with.record);
    if let Some(Verdict::Waiting(wait)) = writing.get_as(Table::Quarantine, &key)? {
        writing.remove(Table::Waiting, &wait.row_key(no, seq))?;
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
