//! Applying judged records: index, documents, digests, and waking what waited.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use automerge::Automerge;
use schema::access::IMPORTED;
use schema::codec::Canonical;
use schema::doc::{DocKind, is_ordered};
use schema::id::{ChangeHash, DocId, LogId, ScopeId};
use schema::policy::AuthorityLog;
use schema::record::BodyKind;
use schema::time::Hlc;

use super::credentials;
use super::enrolments::note_uncopied;
use super::judge::{Accepted, Outcome, judge};
use super::standing::{Cuts, Standing, standing};
use super::walks::Walks;
use super::{DocChanged, deciders, entry_by_hash, load, registers, row};
use crate::admission::{RecordWithBodies, again_key, command_key, stored, with_bodies};
use crate::change::{Facts, Operation, scan};
use crate::limits::{WAKE_AT_ONCE, WAKE_QUEUE};
use crate::store::log_index::digest_sum;
use crate::store::rows::{Arrival, Beyond, DocRow, IndexEntry, Said, Verdict, Wait};
use crate::store::tables::{
    LogNo, RECORD_KEY_BYTES, after_prefix, arrival_key, change_key, enrolment_prefix, read_record_key, record_key,
};
use crate::store::{Source, StoreError, Table, Writing, decode};

/// One pass: records are judged one after the other; documents whose texts change are loaded and saved once at the end.
pub struct Materializer<'a> {
    pub(super) authority: &'a AuthorityLog,
    /// Documents that changed.
    pub(super) touched: BTreeSet<DocId>,
    /// Those of them whose texts are to be read again.
    pub(super) texts: BTreeSet<DocId>,
    pub(super) wake: VecDeque<(LogNo, u64)>,
    cuts: &'a mut Cuts,
    /// What was walked of documents in this pass.
    pub(super) walks: Walks,
    /// Records of documents that were judged anew in this pass: what is tainted of those is known.
    pub(super) anew: BTreeSet<(LogNo, u64)>,
    /// Documents that were taken apart in this pass, and what they were.
    pub(super) emptied: BTreeMap<DocId, (DocKind, ScopeId)>,
    /// Records judged again in this pass.
    woken: usize,
    pub(super) leaves_due: bool,
    enrolled: bool,
    credentials: bool,
    /// What this pass judged, by reason: for metrics and the campaign's counters.
    pub verdicts: BTreeMap<String, u64>,
}

impl<'a> Materializer<'a> {
    /// A pass that judges by these statements.
    pub fn new(authority: &'a AuthorityLog, cuts: &'a mut Cuts) -> Self {
        Self {
            authority,
            touched: BTreeSet::new(),
            texts: BTreeSet::new(),
            wake: VecDeque::new(),
            cuts,
            walks: Walks::default(),
            anew: BTreeSet::new(),
            emptied: BTreeMap::new(),
            woken: 0,
            leaves_due: false,
            enrolled: false,
            credentials: false,
            verdicts: BTreeMap::new(),
        }
    }

    /// Judges the next arrivals of a scope, at most `limit`. Returns how many there were.
    pub fn catch_up(&mut self, writing: &mut Writing<'_>, scope: &ScopeId, limit: usize) -> Result<usize, StoreError> {
        let mut state = writing.log_index().scope(scope);
        let from = arrival_key(scope, state.materialized + 1);
        let end = arrival_key(scope, u64::MAX);
        let rows = writing.range(Table::Arrivals, &from, Some(&end), limit)?;
        for (_, bytes) in &rows {
            let arrival: Arrival = decode(Table::Arrivals, bytes)?;
            self.judge_at(writing, arrival.log, arrival.seq)?;
        }
        if !rows.is_empty() {
            state = writing.log_index().scope(scope);
            state.materialized += rows.len() as u64;
            writing.put_scope(*scope, state)?;
        }
        Ok(rows.len())
    }

    /// Judges a stored record, and whatever it wakes.
    pub fn judge_at(&mut self, writing: &mut Writing<'_>, no: LogNo, seq: u64) -> Result<(), StoreError> {
        self.wake.push_back((no, seq));
        self.drain(writing)
    }

    /// Judges the records that were woken, and whatever those wake.
    pub(super) fn drain(&mut self, writing: &mut Writing<'_>) -> Result<(), StoreError> {
        while let Some((no, seq)) = self.wake.pop_front() {
            let record = with_bodies(writing, stored(writing, no, seq)?)?;
            if already_applied(writing, no, seq, &record)? {
                continue;
            }
            let standing = self.standing(writing, no, &record)?;
            let beside = self.beside(writing, standing, &record)?;
            let outcome = judge((writing, &self.walks), self.authority, no, &record, (standing, &beside))?;
            let verdict = match &outcome {
                Outcome::Quarantined(verdict) => Some(verdict.clone()),
                Outcome::Edit(_) | Outcome::Enrol(_) | Outcome::Credential(_) => None,
            };
            let is_beyond = standing != Standing::Stands;
            let is_checked = self.may_end(writing) && record.record.header.kind == BodyKind::Edit;
            let has_waited = is_checked && waits_in_documents(writing, no, seq)?;
            self.settle(writing, no, &record, outcome, standing)?;
            if is_checked {
                self.check_standing(writing, (no, seq), &record, (is_beyond, has_waited), verdict.as_ref())?;
            }
        }
        Ok(())
    }

    /// Whether any log may end before its last record.
    fn may_end(&self, writing: &Writing<'_>) -> bool {
        let is_cut = self.authority.current().is_some_and(|policy| !policy.revoked.is_empty());
        is_cut || !writing.log_index().forks().is_empty()
    }

    /// Why a record does not stand; `None` if it does.
    pub(super) fn beyond(
        &mut self,
        writing: &Writing<'_>,
        log: &LogId,
        place: (LogNo, u64),
    ) -> Result<Option<Beyond>, StoreError> {
        self.cuts.beyond(writing, self.authority.current().map(AsRef::as_ref), log, place)
    }

    fn standing(
        &mut self,
        writing: &Writing<'_>,
        no: LogNo,
        record: &RecordWithBodies,
    ) -> Result<Standing, StoreError> {
        let header = &record.record.header;
        let beyond = self.beyond(writing, &header.log, (no, header.seq))?;
        standing(writing, beyond, no, header.seq)
    }

    /// What stands beside a record that does not, in another history of its log: that takes its places in documents first.
    fn beside(
        &mut self,
        writing: &Writing<'_>,
        standing: Standing,
        record: &RecordWithBodies,
    ) -> Result<Vec<(LogNo, u64, u64)>, StoreError> {
        match standing {
            Standing::Tainted => {
                let policy = self.authority.current().map(AsRef::as_ref);
                self.cuts.covered(writing, policy, &record.record.header.log)
            }
            Standing::Stands | Standing::Beyond(_) | Standing::Stranded => Ok(Vec::new()),
        }
    }

    /// Takes a record made here: judged like any other.
    pub fn own(
        &mut self,
        writing: &mut Writing<'_>,
        no: LogNo,
        record: &RecordWithBodies,
    ) -> Result<Option<Verdict>, StoreError> {
        let standing = self.standing(writing, no, record)?;
        let outcome = judge((writing, &self.walks), self.authority, no, record, (standing, &[]))?;
        if let Outcome::Quarantined(verdict) = outcome {
            *self.verdicts.entry(verdict.code().to_owned()).or_default() += 1;
            return Ok(Some(verdict));
        }
        self.settle(writing, no, record, outcome, standing)?;
        if self.may_end(writing) && record.record.header.kind == BodyKind::Edit && standing == Standing::Stands {
            self.check_own(writing, (no, record.record.header.seq), record)?;
        }
        Ok(None)
    }

    /// Whether this pass left records for a later portion.
    pub fn leaves_due(&self) -> bool {
        self.leaves_due
    }

    /// Whether this pass took what a site says of its people.
    pub fn enrolled(&self) -> bool {
        self.enrolled
    }

    /// Whether this pass changed what somebody logs in with.
    pub fn credentials(&self) -> bool {
        self.credentials
    }

    /// Judges again at most `limit` of the records that are due, from the first range on. `false`: none is due.
    pub fn wake(&mut self, writing: &mut Writing<'_>, limit: usize) -> Result<bool, StoreError> {
        let Some((from, end)) = writing.range(Table::Due, &[], None, 1)?.pop() else {
            return Ok(false);
        };
        let end = Some(end).filter(|end| !end.is_empty());
        let rows = writing.range(Table::Waiting, &from, end.as_deref(), limit)?;
        writing.remove(Table::Due, &from)?;
        // What waits again, for something later, stands behind the end or where this pass has been.
        if let Some((last, _)) = rows.last().filter(|_| rows.len() == limit) {
            writing.put(Table::Due, &[last.as_slice(), &[0]].concat(), &end.unwrap_or_default())?;
        }
        for (key, _) in &rows {
            let place = key.len().checked_sub(RECORD_KEY_BYTES).and_then(|at| read_record_key(&key[at..]));
            if let Some((no, seq)) = place {
                self.judge_at(writing, no, seq)?;
            }
        }
        Ok(true)
    }

    fn settle(
        &mut self,
        writing: &mut Writing<'_>,
        no: LogNo,
        record: &RecordWithBodies,
        outcome: Outcome,
        standing: Standing,
    ) -> Result<(), StoreError> {
        let seq = record.record.header.seq;
        let key = record_key(no, seq);
        let before: Option<Verdict> = writing.get_as(Table::Quarantine, &key)?;
        if let Some(before) = &before {
            forget_awaited(writing, (no, seq), record, before)?;
        }
        let mut answered = Vec::new();
        // What is only built on is still to be issued again.
        if !matches!(outcome, Outcome::Quarantined(_))
            && standing == Standing::Stands
            && let Some(name) = command_key(&record.record)
        {
            if writing.get(Table::Commands, &name)?.is_none() {
                writing.put(Table::Commands, &name, &key)?;
            }
            issued(writing, &name)?;
        }
        match outcome {
            Outcome::Quarantined(verdict) => {
                *self.verdicts.entry(verdict.code().to_owned()).or_default() += 1;
                self.quarantine(writing, no, record, &verdict)?;
                if record.record.header.kind == BodyKind::Credential {
                    self.credentials |= credentials::forget(writing, record)?;
                }
                match verdict {
                    Verdict::Waiting(_) => return Ok(()),
                    // Whether something builds on it is looked at for its documents as a whole.
                    Verdict::Beyond(_) | Verdict::Stranded => {}
                    Verdict::Void(_) => {
                        // A copy of somebody's change is void and says nothing of the change itself.
                        for entry in &record.record.skeleton.entries {
                            if deciders::decides(writing, &entry.change, (no, seq))? {
                                answered.push(Wait::Change(entry.change));
                            }
                        }
                    }
                }
            }
            Outcome::Edit(accepted) => {
                *self.verdicts.entry("applied".to_owned()).or_default() += 1;
                writing.remove(Table::Quarantine, &key)?;
                answered.extend(accepted.iter().map(|accepted| Wait::Change(accepted.facts.hash)));
                let tainted = standing != Standing::Stands;
                for accepted in accepted {
                    self.index(writing, no, record, accepted, tainted)?;
                }
            }
            Outcome::Enrol(enrolment) => {
                *self.verdicts.entry("applied".to_owned()).or_default() += 1;
                writing.remove(Table::Quarantine, &key)?;
                let site = record.record.header.log.site;
                let user = enrolment.user;
                let place = [enrolment_prefix(&user, &site).as_slice(), &key].concat();
                let header = &record.record.header;
                let (hlc, at, pin) = (header.hlc, (header.log.generation, seq), header.pin);
                writing.put(Table::Enrolments, &place, &Said { hlc, place: at, pin, enrolment }.to_bytes())?;
                if let Some(policy) = self.authority.current() {
                    note_uncopied(writing, policy, &user, &site)?;
                }
                self.enrolled = true;
                answered.push(Wait::Enrolment(user, site));
            }
            Outcome::Credential(credential) => {
                *self.verdicts.entry("applied".to_owned()).or_default() += 1;
                writing.remove(Table::Quarantine, &key)?;
                credentials::keep(writing, &record.record, &credential, &key)?;
                self.credentials = true;
            }
        }
        self.unmark(writing, no, record)?;
        answered.extend(record.record.skeleton.entries.iter().map(|entry| Wait::Earlier(entry.doc, no)));
        answered.iter().try_for_each(|wait| self.answer(writing, wait))
    }

    /// Judges again what waited for this: the first few within this pass, the rest in later portions (R9).
    fn answer(&mut self, writing: &mut Writing<'_>, wait: &Wait) -> Result<(), StoreError> {
        let key = wait.key();
        let end = after_prefix(&key);
        let Wait::Earlier(_, no) = wait else {
            return self.answer_between(writing, (&key, end), (key.len(), WAKE_AT_ONCE));
        };
        // Of later records of this log only the next is looked at: its settling wakes the one after it.
        let (own, others) = (wait.row_key(*no, 0), wait.row_key(no + 1, 0));
        self.answer_between(writing, (&own, Some(others.clone())), (key.len(), 1))?;
        if writing.log_index().forks().is_empty() {
            return Ok(());
        }
        // Of each other history that goes on from this log or stands beside it the first, which waits under its own number too.
        self.answer_between(writing, (&key, Some(own)), (key.len(), WAKE_AT_ONCE))?;
        self.answer_between(writing, (&others, end), (key.len(), WAKE_AT_ONCE))
    }

    fn answer_between(
        &mut self,
        writing: &mut Writing<'_>,
        (from, end): (&[u8], Option<Vec<u8>>),
        (prefix, limit): (usize, usize),
    ) -> Result<(), StoreError> {
        let rows = writing.range(Table::Waiting, from, end.as_deref(), limit)?;
        let more = rows.len() == WAKE_AT_ONCE;
        if more || (!rows.is_empty() && self.woken >= WAKE_QUEUE) {
            self.leaves_due = true;
            return writing.put(Table::Due, from, &end.unwrap_or_default());
        }
        self.woken += rows.len();
        self.wake.extend(rows.iter().filter_map(|(row, _)| row.get(prefix..).and_then(read_record_key)));
        Ok(())
    }

    /// Lists a record as void or waiting, and marks its documents so that later ones of its log wait too.
    pub(crate) fn quarantine(
        &self,
        writing: &mut Writing<'_>,
        no: LogNo,
        record: &RecordWithBodies,
        verdict: &Verdict,
    ) -> Result<(), StoreError> {
        let seq = record.record.header.seq;
        let key = record_key(no, seq);
        if *verdict == Verdict::Beyond(Beyond::Fork)
            && let Some(name) = again_key(&record.record)
        {
            // What is said again is in nobody's way.
            if writing.get(Table::Commands, &name)?.is_some() {
                return writing.remove(Table::Quarantine, &key);
            }
            writing.put(Table::Unissued, &[name.as_slice(), &key].concat(), &[])?;
        }
        writing.put(Table::Quarantine, &key, &verdict.to_bytes())?;
        if let Verdict::Waiting(wait) = verdict {
            if !crate::fault_injection::drops_waiting() {
                writing.put(Table::Waiting, &wait.row_key(no, seq), &[])?;
            }
            for entry in &record.record.skeleton.entries {
                writing.put(Table::Waiting, &Wait::Earlier(entry.doc, no).row_key(no, seq), &[])?;
            }
        }
        // What is stranded counts as building on what it lacks as well.
        if matches!(verdict, Verdict::Waiting(_) | Verdict::Stranded) {
            for needed in needed_by(record) {
                writing.put(Table::Waiting, &[Wait::needed(&needed).as_slice(), &key].concat(), &[])?;
            }
        }
        Ok(())
    }

    fn unmark(&self, writing: &mut Writing<'_>, no: LogNo, record: &RecordWithBodies) -> Result<(), StoreError> {
        for entry in &record.record.skeleton.entries {
            let row = Wait::Earlier(entry.doc, no).row_key(no, record.record.header.seq);
            writing.remove(Table::Waiting, &row)?;
        }
        Ok(())
    }

    fn index(
        &mut self,
        writing: &mut Writing<'_>,
        no: LogNo,
        record: &RecordWithBodies,
        accepted: Accepted,
        tainted: bool,
    ) -> Result<(), StoreError> {
        let Accepted { doc, parsed, facts, at, order, genesis, birth, .. } = accepted;
        let key = change_key(&doc, &facts.actor, facts.seq);
        let known = row(writing, &doc)?;
        let before = known.as_ref().map(|row| row.digest(&doc));
        let mut row = match (known, birth) {
            (Some(mut known), birth) => {
                known.births.extend(birth.into_iter().flat_map(|row| row.births));
                known.births.sort_unstable_by_key(|birth| birth.genesis);
                known
            }
            (None, Some(birth)) => birth,
            (None, None) => return Err(StoreError::Missing { what: "a document" }),
        };
        row.heads.retain(|head| !facts.dependencies.contains(head));
        row.heads.push(facts.hash);
        row.heads.sort_unstable();
        let writes = |what: fn(&str) -> bool| parsed.operations().iter().filter_map(Operation::key).any(what);
        let (ordered, imports) = (writes(is_ordered), writes(|key| key.starts_with(IMPORTED)));
        let (doubt, ordered_before) = look_back(writing, at, &facts)?;
        let author = record.record.skeleton.author;
        let seq = record.record.header.seq;
        let entry =
            IndexEntry { log: no, seq, author, at, order, genesis, tainted, doubt, ordered, ordered_before, facts };
        row.summary.add(&entry, imports);
        writing.put(Table::Docs, &doc.0, &row.to_bytes())?;
        writing.put(Table::Applied, &entry.facts.hash.0, &key)?;
        self.walks.applied(&doc, entry.facts.hash);
        let mut scope = writing.log_index().scope(&row.scope);
        if let Some(before) = before {
            digest_sum(&mut scope.digest, &before, false);
        }
        digest_sum(&mut scope.digest, &row.digest(&doc), true);
        writing.put_scope(row.scope, scope)?;
        writing.put(Table::Changes, &key, &entry.to_bytes())?;
        // Of two births one may have made a Text where the other put a value: which of them is shown may change with any
        // change.
        let may_uncover = row.births.len() > 1 && row.births.iter().any(|birth| !birth.texts.is_empty());
        if registers::add(writing, &doc, parsed.change())? || may_uncover {
            self.texts.insert(doc);
        }
        self.touched.insert(doc);
        Ok(())
    }

    /// Reads the texts again that this pass changed. Linear in their documents.
    pub fn renew_texts(&mut self, writing: &mut Writing<'_>) -> Result<(), StoreError> {
        for doc in std::mem::take(&mut self.texts) {
            // Nothing of it may stand any more.
            if row(writing, &doc)?.is_some()
                && let Some(mut document) = loaded(writing, &doc)?
            {
                registers::renew(writing, &doc, &mut document)?;
            }
        }
        Ok(())
    }

    /// Brings the texts up to date and says which documents changed.
    pub fn finish(mut self, writing: &mut Writing<'_>) -> Result<Vec<DocChanged>, StoreError> {
        self.renew_texts(writing)?;
        let mut changed = Vec::with_capacity(self.touched.len());
        for doc in self.touched {
            writing.put(Table::Stale, &doc.0, &[])?;
            self.emptied.remove(&doc);
            if let Some(DocRow { kind, scope, .. }) = row(writing, &doc)? {
                changed.push(DocChanged { doc, kind, scope });
            }
        }
        // Nothing that stands gave birth to these.
        for (doc, (kind, scope)) in self.emptied {
            writing.put(Table::Stale, &doc.0, &[])?;
            changed.push(DocChanged { doc, kind, scope });
        }
        Ok(changed)
    }
}

/// What the changes that this one depends on say of it: whether a time contradicts another, which is noted with both, and
/// the last changes with a key of an order among its ancestors.
fn look_back(writing: &mut Writing<'_>, at: Hlc, facts: &Facts) -> Result<(bool, Vec<ChangeHash>), StoreError> {
    let (mut doubt, mut last) = (false, BTreeSet::new());
    // Where all say the same there is nothing to compare: the last of one change are no ancestors of one another.
    let mut before: Option<Vec<ChangeHash>> = None;
    let mut differ = false;
    for hash in &facts.dependencies {
        let Some((doc, mut entry)) = entry_by_hash(writing, hash)? else {
            continue;
        };
        if entry.at > at {
            doubt = true;
            if !std::mem::replace(&mut entry.doubt, true) {
                let key = change_key(&doc, &entry.facts.actor, entry.facts.seq);
                writing.put(Table::Changes, &key, &entry.to_bytes())?;
            }
        }
        let of_this = if entry.ordered { vec![*hash] } else { entry.ordered_before };
        last.extend(of_this.iter().copied());
        differ |= before.as_ref().is_some_and(|before| *before != of_this);
        before = Some(of_this);
    }
    match before {
        Some(before) if !differ => Ok((doubt, before)),
        Some(_) | None => Ok((doubt, not_followed(writing, last)?)),
    }
}

/// Those of some changes that are no ancestor of another one. Linear in the changes with a key of an order between them.
fn not_followed(source: &impl Source, mut last: BTreeSet<ChangeHash>) -> Result<Vec<ChangeHash>, StoreError> {
    if last.len() < 2 {
        return Ok(last.into_iter().collect());
    }
    let mut entries = Vec::new();
    for hash in &last {
        entries.extend(entry_by_hash(source, hash)?.map(|(_, entry)| entry));
    }
    // What stands before the first of them is an ancestor of none that matters.
    let first = entries.iter().map(|entry| entry.order).min();
    let mut seen = BTreeSet::new();
    let mut left: Vec<ChangeHash> = entries.into_iter().flat_map(|entry| entry.ordered_before).collect();
    while let Some(hash) = left.pop() {
        if !seen.insert(hash) {
            continue;
        }
        last.remove(&hash);
        let entry = entry_by_hash(source, &hash)?.map(|(_, entry)| entry);
        left.extend(entry.filter(|entry| Some(entry.order) > first).into_iter().flat_map(|entry| entry.ordered_before));
    }
    Ok(last.into_iter().collect())
}

/// The changes that a record's changes build on, as far as their bytes can be read. Linear in the record.
fn needed_by(record: &RecordWithBodies) -> Vec<ChangeHash> {
    let scans = record.bodies.iter().flatten().filter_map(|body| scan(body).ok());
    scans.flat_map(|scan| scan.dependencies().collect::<Vec<_>>()).collect()
}

/// Forgets what a record waited for and needed. Linear in the record.
pub(super) fn forget_awaited(
    writing: &mut Writing<'_>,
    (no, seq): (LogNo, u64),
    record: &RecordWithBodies,
    verdict: &Verdict,
) -> Result<(), StoreError> {
    if let Verdict::Waiting(wait) = verdict {
        writing.remove(Table::Waiting, &wait.row_key(no, seq))?;
    }
    if matches!(verdict, Verdict::Waiting(_) | Verdict::Stranded) {
        for needed in needed_by(record) {
            writing.remove(Table::Waiting, &[Wait::needed(&needed).as_slice(), &record_key(no, seq)].concat())?;
        }
    }
    Ok(())
}

/// Takes commands behind a fork off the list of what has no effect, once they are issued again. Linear in those of one
/// name, which are as many as there are histories.
fn issued(writing: &mut Writing<'_>, name: &[u8]) -> Result<(), StoreError> {
    if writing.log_index().forks().is_empty() {
        return Ok(());
    }
    for (row, _) in writing.prefixed(Table::Unissued, name)? {
        if let Some(key) = row.get(name.len()..).filter(|key| key.len() == RECORD_KEY_BYTES) {
            writing.remove(Table::Quarantine, key)?;
            writing.remove(Table::Unissued, &row)?;
        }
    }
    Ok(())
}

/// Whether a record was read and has waited since for other changes: what it depends on, and which places it claims, is known.
fn waits_in_documents(source: &impl Source, no: LogNo, seq: u64) -> Result<bool, StoreError> {
    let before: Option<Verdict> = source.get_as(Table::Quarantine, &record_key(no, seq))?;
    Ok(matches!(before, Some(Verdict::Waiting(Wait::Change(_) | Wait::Earlier(..)))))
}

fn already_applied(source: &impl Source, no: LogNo, seq: u64, record: &RecordWithBodies) -> Result<bool, StoreError> {
    let Some(entry) = record.record.skeleton.entries.first() else {
        return Ok(false);
    };
    let found = entry_by_hash(source, &entry.change)?;
    Ok(found.is_some_and(|(_, entry)| (entry.log, entry.seq) == (no, seq)))
}

/// A document with all its changes; where what was saved of it cannot be used, from its records alone (R8). `None` if
/// Automerge cannot make it: then its texts stay as they were read last.
fn loaded(writing: &mut Writing<'_>, doc: &DocId) -> Result<Option<Automerge>, StoreError> {
    match load(writing, doc) {
        Err(StoreError::Damaged { .. }) => {}
        done => return done.map(Some),
    }
    tracing::warn!(%doc, "a document did not take its changes; rebuilding it from its records");
    writing.remove(Table::Snapshots, &doc.0)?;
    match load(writing, doc) {
        Err(StoreError::Damaged { .. }) => {
            tracing::error!(%doc, "a document cannot be made of its records");
            Ok(None)
        }
        done => done.map(Some),
    }
}
