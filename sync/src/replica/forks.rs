//! Forks of a log (R20): finding where two histories part, keeping the proof, ending the log there, and issuing this
//! site's own commands again.

use std::collections::BTreeSet;

use schema::authority::Body;
use schema::fork::{Branch, Fork, ForkError, ForkProof, MAX_BRANCH_HEADERS, NO_SIGNATURE};
use schema::id::{GenerationId, LogId, RecordHash, ScopeId, SiteId};
use schema::record::{BodyKind, MAX_RUN_RECORDS, Previous};
use schema::time::Timestamp;

use super::{Alarm, Output, Replica, ReplicaError, id_at};
use crate::admission::{again, hash_at, stored};
use crate::docs::standing::{Before, restand};
use crate::engine::{Event, SessionId};
use crate::limits::{
    FORK_MEMORY, FORKS_TOLD_AT_PACE, FORKS_UNTIL_REVOKED, FREE_GENERATIONS, GENERATION_PACE, MAX_FORK_POINTS,
    REISSUED_AT_ONCE,
};
use crate::store::log_index::{self, ForkIndex, Line, LogName};
use crate::store::{Durability, LogNo, LogState, Source, StoreError, Table, Writing};
use crate::wire::Message;

impl Replica {
    /// Goes on looking where a peer's history of a log parts from the one held here: with hashes of the records between
    /// the last that is known to agree and the first that does not, or, where these follow one another, with this site's
    /// records from there. Linear in `MAX_FORK_POINTS`.
    pub(super) fn find_fork(
        &mut self,
        session: SessionId,
        scope: ScopeId,
        log: LogName,
        points: &[(u64, RecordHash)],
    ) -> Result<(), StoreError> {
        let (reading, id) = (self.store.read()?, LogId { site: log.0, generation: log.1, scope });
        let Some(state) = self.store.log_index().log(&reading, &id)?.filter(|state| state.seq >= state.from()) else {
            return Ok(());
        };
        let (mut agree, mut differ) = (state.from() - 1, None);
        let mut points = points.to_vec();
        points.sort_unstable();
        for (seq, hash) in &points {
            match hash_at(&reading, &state, *seq)? {
                Some(held) if held == *hash => agree = agree.max(*seq),
                Some(_) => {
                    differ = Some(*seq);
                    break;
                }
                None => {}
            }
        }
        let seqs: Vec<u64> = match differ {
            // To begin, or all that is known agrees: one of the two holds more.
            None if points.is_empty() => steps_back(state.from(), state.seq),
            None => return Ok(()),
            Some(differ) if differ == agree + 1 => {
                if let Some(branch) = branch(&reading, self.store.log_index().forks(), &state, differ)? {
                    self.send(session, &Message::ForkBranch(branch));
                }
                return Ok(());
            }
            Some(differ) => between(agree, differ),
        };
        let mut said = Vec::with_capacity(seqs.len());
        for seq in seqs {
            said.extend(hash_at(&reading, &state, seq)?.map(|hash| (seq, hash)));
        }
        self.send(session, &Message::ForkPoints { scope, log, points: said });
        Ok(())
    }

    /// Looks for forks of logs that are closed here, and not where the lines come from. Linear in the lines.
    pub(super) fn compare_closed(
        &mut self,
        session: SessionId,
        scope: ScopeId,
        lines: &[Line],
    ) -> Result<(), StoreError> {
        let reading = self.store.read()?;
        for (site, generation, seq, hash) in lines {
            let id = LogId { site: *site, generation: *generation, scope };
            let Some(state) = self.store.log_index().log(&reading, &id)? else {
                continue;
            };
            if hash_at(&reading, &state, *seq)?.is_some_and(|held| held != *hash) {
                self.find_fork(session, scope, (*site, *generation), &[(*seq, *hash)])?;
            }
        }
        Ok(())
    }

    /// A peer's history of a log: with this site's it proves the fork.
    pub(super) fn admit_branch(
        &mut self,
        now: Timestamp,
        session: SessionId,
        theirs: Branch,
    ) -> Result<Option<Event>, ReplicaError> {
        let Some(first) = theirs.headers.first() else {
            return Ok(None);
        };
        // Before anything is looked up for it.
        let forks = self.store.log_index().forks();
        if let Err(error) = theirs.check(|log, seq, hash| forks.ends_at(log, seq, hash)) {
            // The proof of the fork at which it ends is not here yet, and once it is, this history is asked for again.
            if error == ForkError::Unproven {
                return Ok(None);
            }
            tracing::warn!(session, %error, "a peer sent a history that is nobody's");
            self.blame(now, session, "bad-fork");
            self.out.push_back(Output::Close(session, "bad-fork"));
            return Ok(Some(Event::Closed(session)));
        }
        let (reading, index) = (self.store.read()?, self.store.log_index());
        let parts = index.open_of(&first.log.site, &first.log.scope).filter(|state| state.signed_as() == first.log);
        // A log that ended has another state than the one in memory only while it is closed.
        let parts: Vec<LogState> = parts.cloned().chain(index.log(&reading, &first.log)?).collect();
        for state in parts {
            let before = match first.previous {
                Previous::Record(hash) => Some(hash),
                Previous::First | Previous::After(_) => None,
            };
            let is_here = (state.from()..=state.seq).contains(&first.seq)
                && (first.seq == 1 || hash_at(&reading, &state, first.seq - 1)? == before)
                && hash_at(&reading, &state, first.seq)? != Some(first.hash());
            if is_here && let Some(ours) = branch(&reading, index.forks(), &state, first.seq)? {
                return self.admit_fork(now, session, ForkProof::new(ours, theirs), None);
            }
        }
        Ok(None)
    }

    /// Takes the proof of a fork, which `teller` told whole or which was found here: the log ends there, here and now, in
    /// one transaction with what that makes to be judged again.
    pub(super) fn admit_fork(
        &mut self,
        now: Timestamp,
        session: SessionId,
        proof: ForkProof,
        teller: Option<SiteId>,
    ) -> Result<Option<Event>, ReplicaError> {
        let Some(policy) = self.policy().cloned() else {
            return Ok(None);
        };
        let forks = self.store.log_index().forks();
        let fork = match proof.verify(|log, seq, hash| forks.ends_at(log, seq, hash)) {
            Ok(fork) => fork,
            // Listed again with what the peer says of its forks the next time; they come in an order that it can be
            // checked in, unless one of them is put off.
            Err(ForkError::Unproven) => return Ok(None),
            Err(error) => {
                tracing::warn!(session, %error, "a peer sent a proof that proves nothing");
                self.blame(now, session, "bad-fork");
                return Ok(None);
            }
        };
        let LogId { site, scope, .. } = fork.log;
        if proof.branches.iter().flat_map(|branch| &branch.headers).any(|header| header.org != policy.org) {
            return Ok(None);
        }
        let is_ours = policy.sites.contains_key(&site) && policy.holds(&self.me(), &scope);
        if forks.contains(&fork) || !is_ours {
            return Ok(None);
        }
        if !self.may_take(now, &fork.log, teller) {
            // Until it is taken, what refers to the log may come out wrong, through no fault of who sends it.
            self.put_off.insert(site, now);
            return Ok(None);
        }
        self.awaited.values_mut().for_each(|logs| logs.retain(|log| *log != fork.log));
        let counts = self.is_sequencer() && site != self.me();
        // When the later of the two histories began, by its site's clock; not after now.
        let firsts = proof.branches.iter().filter_map(|branch| branch.headers.first());
        let at = firsts.map(|header| header.hlc.timestamp()).max().unwrap_or(now).min(now);
        let news = self.store.write(Durability::Durable, |writing| {
            if counts {
                count_fork(writing, &site, fork.log.generation, at)?;
            }
            // The histories are called otherwise now, and what they say of earlier generations is noted no more.
            let before = Before::of(writing, &policy, &fork.log)?;
            let news = end_log(writing, proof, fork)?;
            before.map_or(Ok(()), |before| before.restand(writing))?;
            Ok::<_, StoreError>(news)
        })?;
        self.due = true;
        for torn in self.torn.values_mut() {
            torn.retain(|log| (log.site, log.scope) != (site, scope));
        }
        if site == self.me() {
            self.begin_anew(now, &fork.log);
        } else {
            self.alarm(now, Alarm::Forked(site));
            self.find_to_revoke(&site)?;
        }
        Ok(Some(Event::Forked(scope, news.iter().map(Fork::name).collect())))
    }

    /// Whether the proof of one more fork is taken now: of a site with many, some a minute. What is put off is told again.
    /// Each kind has a pace of its own, so that none is behind all that the site makes up of another.
    fn may_take(&mut self, now: Timestamp, log: &LogId, teller: Option<SiteId>) -> bool {
        let site = log.site;
        let known = self.store.log_index().forks().in_scope(log.scope).filter(|fork| fork.log.site == site).count();
        if known < FREE_GENERATIONS {
            return true;
        }
        let rests = |last: &Timestamp| now >= *last && now.since(*last) < GENERATION_PACE;
        // A session has what builds on it already.
        let is_awaited = self.awaited.values().any(|logs| logs.contains(log));
        if is_awaited && !self.awaited_paced.get(&site).is_some_and(rests) {
            self.awaited_paced.insert(site, now);
            return true;
        }
        if teller.is_some_and(|teller| teller != site) {
            let (since, taken) = self.told_paced.entry(site).or_insert((now, 0));
            if !rests(since) {
                (*since, *taken) = (now, 0);
            }
            if *taken < FORKS_TOLD_AT_PACE {
                *taken += 1;
                return true;
            }
        }
        let may = !self.paced.get(&site).is_some_and(rests);
        if may {
            self.paced.insert(site, now);
        }
        may
    }

    /// Whether the generations of a site that forked are too many within a day: then its key is to be revoked here.
    pub(super) fn find_to_revoke(&mut self, site: &SiteId) -> Result<(), StoreError> {
        let mut times: Vec<Timestamp> = forked(&self.store.read()?, site)?.into_iter().map(|(_, at)| at).collect();
        times.sort_unstable();
        let close = |times: &[Timestamp]| match times {
            [first, .., last] => last.since(*first) < FORK_MEMORY,
            _ => false,
        };
        if times.windows(FORKS_UNTIL_REVOKED).any(close) {
            self.to_revoke.insert(*site);
        }
        Ok(())
    }

    /// Revokes keys that forked too often, as soon as this site may say so.
    pub(super) fn revoke_forked(&mut self, now: Timestamp) -> Result<(), ReplicaError> {
        while let Some(site) = self.to_revoke.first().copied().filter(|_| self.may_say()) {
            self.to_revoke.remove(&site);
            if self.policy().is_some_and(|policy| policy.is_active(&site)) {
                let cuts = self.cuts_of(&site, None)?;
                let outputs = self.say(now, &Body::Revoke { site, cuts })?;
                self.out.extend(outputs);
                self.alarm(now, Alarm::RevokedForForks(site));
            }
        }
        Ok(())
    }

    /// This site's own log forked: what it writes from now on stands in another generation, and what stands behind the
    /// fork is issued again.
    fn begin_anew(&mut self, now: Timestamp, log: &LogId) {
        self.alarm(now, Alarm::SetBack);
        self.to_reissue = true;
        if log.generation != self.generation {
            return;
        }
        match (self.draw)() {
            Some(generation) => self.generation = generation,
            None => {
                // Nothing more is written under a name that says nothing; the next start draws another.
                tracing::error!("the system gives no random bytes; this process goes on in a generation that forked");
                return;
            }
        }
        // Each session knows the generation that its peer began with.
        let sessions: Vec<SessionId> = self.engine.sessions().keys().copied().collect();
        for session in sessions {
            self.send(session, &Message::Bye("begun-anew".to_owned()));
            self.out.push_back(Output::Close(session, "begun-anew"));
        }
    }

    pub(super) fn send_forks(&mut self, session: SessionId, forks: &[Fork]) -> Result<(), StoreError> {
        let reading = self.store.read()?;
        for fork in forks {
            if let Some(proof) = log_index::proof(&reading, fork)? {
                self.send(session, &Message::Fork(proof));
            }
        }
        Ok(())
    }

    /// Issues this site's own commands again that stand behind a fork, a few at a time (R20): those of each history in a
    /// generation of their own, so that neither overwrites the other. One that was issued again before is found by its
    /// name. Linear in the records behind forks that were not looked at yet.
    pub(super) fn reissue(&mut self, now: Timestamp) -> Result<(), ReplicaError> {
        let me = self.me();
        let is_in = self.policy().is_some_and(|policy| policy.is_active(&me));
        if !self.to_reissue || !is_in || self.backlog() > 0 {
            return Ok(());
        }
        let index = self.store.log_index();
        let own = index.forks().names().filter(|id| id.site == me);
        let behind: BTreeSet<(LogNo, u64, u64)> =
            own.filter_map(|id| index.open(id)).map(|state| (state.no, state.from(), state.seq)).collect();
        for (no, from, to) in behind {
            let note = format!("reissued/{no}/{from}");
            let done = self.note(&note)?.and_then(|bytes| bytes.try_into().ok()).map_or(from - 1, u64::from_be_bytes);
            if done >= to {
                continue;
            }
            let end = to.min(done + REISSUED_AT_ONCE);
            let Some(drawn) = self.reissued_in.get(&(no, from)).copied().or_else(|| (self.draw)()) else {
                return Ok(());
            };
            self.reissued_in.insert((no, from), drawn);
            let own = std::mem::replace(&mut self.generation, drawn);
            let issued = (done + 1..=end).try_for_each(|seq| self.reissue_one(now, no, seq));
            self.generation = own;
            issued?;
            self.set_note(&note, Some(&end.to_be_bytes()))?;
            return Ok(());
        }
        // Until a fork is found again, or more comes of a history behind one.
        self.to_reissue = false;
        Ok(())
    }

    fn reissue_one(&mut self, now: Timestamp, no: LogNo, seq: u64) -> Result<(), ReplicaError> {
        let record = stored(&self.store.read()?, no, seq)?.record;
        let (name, author, scope) = (again(&record), record.skeleton.author, record.header.log.scope);
        let written = self.write(now, |batch| {
            Ok(match record.header.kind {
                BodyKind::Edit => {
                    batch.command_again(author, name, scope, |command| command.take_over(&record, |_, _| ())).map(drop)
                }
                BodyKind::Credential => batch.reissue_credential(&record),
                // What a site says of its people is judged wherever it stands.
                BodyKind::Enrolment | BodyKind::Other(_) => Ok(()),
            })
        });
        let refused = match written {
            Ok((outcome, outputs)) => {
                // Among them is what this tick had to send already.
                self.out.extend(outputs);
                outcome.err()
            }
            Err(error) => Some(error),
        };
        if let Some(error) = refused {
            // It stays in the list of what does not stand, for somebody to adopt.
            tracing::warn!(no, seq, %error, "a command was not issued again");
        }
        Ok(())
    }
}

/// The note of the generations of a site that forked: where the authority log is kept.
fn forked_note(site: &SiteId) -> Vec<u8> {
    [b"note/forks/".as_slice(), &site.0].concat()
}

/// The generations of a site that forked, as far as they are remembered, and when.
fn forked(source: &impl Source, site: &SiteId) -> Result<Vec<(GenerationId, Timestamp)>, StoreError> {
    let rows = source.get(Table::Meta, &forked_note(site))?.unwrap_or_default();
    let row = |row: &[u8]| Some((GenerationId(id_at(row, 0)?), Timestamp(u64::from_be_bytes(id_at(row, 16)?))));
    Ok(rows.chunks_exact(24).filter_map(row).collect())
}

/// Remembers that a generation forked, once: the proofs of its other scopes change nothing. Of more than are counted the
/// latest stay.
fn count_fork(
    writing: &mut Writing<'_>,
    site: &SiteId,
    generation: GenerationId,
    at: Timestamp,
) -> Result<(), StoreError> {
    let mut known = forked(writing, site)?;
    if known.iter().any(|(other, _)| *other == generation) {
        return Ok(());
    }
    known.push((generation, at));
    known.sort_unstable_by_key(|(_, at)| *at);
    let from = known.len().saturating_sub(FORKS_UNTIL_REVOKED);
    let row = |(generation, at): &(GenerationId, Timestamp)| [generation.0.as_slice(), &at.0.to_be_bytes()].concat();
    let rows: Vec<u8> = known[from..].iter().flat_map(row).collect();
    writing.put(Table::Meta, &forked_note(site), &rows)
}

/// Keeps a proof, and those that this site's own third histories give with it.
fn end_log(writing: &mut Writing<'_>, proof: ForkProof, fork: Fork) -> Result<Vec<Fork>, StoreError> {
    let (mut left, mut news) = (vec![(proof, fork)], Vec::new());
    while let Some((proof, fork)) = left.pop() {
        if writing.log_index().forks().contains(&fork) {
            continue;
        }
        let behind = writing.end_at(&proof, &fork, |writing, no, seq| Ok(stored(writing, no, seq)?.record.header))?;
        news.push(fork);
        for part in &behind {
            restand(writing, &part.no.to_be_bytes(), (part.from(), part.from()))?;
            if !fork.names().contains(&part.id)
                && let Some(ours) = branch(writing, writing.log_index().forks(), part, part.from())?
            {
                let third = ForkProof::new(ours, proof.branches[0].clone());
                // What is held was admitted, and the proof verified: they part at the same place.
                if let Ok(fork) = third.fork() {
                    left.push((third, fork));
                }
            }
        }
    }
    Ok(news)
}

/// A log's headers from `from` on, up to one that is signed: where it ended inside a run because it forked there, the proof
/// of that goes on to one. Where it does so too far on, the headers end there unsigned, which whoever knows that fork can
/// check: so every history is proven that was admitted, whatever its site left unsigned. `None` where the store holds no
/// such fork.
fn branch(source: &impl Source, forks: &ForkIndex, state: &LogState, from: u64) -> Result<Option<Branch>, StoreError> {
    let mut headers = Vec::new();
    for seq in (from..=state.seq).take(MAX_RUN_RECORDS) {
        let found = stored(source, state.no, seq)?;
        headers.push(found.record.header);
        if let Some(signature) = found.signature {
            return Ok(Some(Branch { headers, signature }));
        }
    }
    let log = state.signed_as();
    let Some(fork) = forks.of(&log).find(|fork| (fork.last, fork.hash) == (state.seq, state.hash)) else {
        return Ok(None);
    };
    let Some(ForkProof { branches }) = log_index::proof(source, fork)? else {
        return Ok(None);
    };
    let Some(onward) = branches.into_iter().min_by_key(|branch| branch.headers.len()) else {
        return Ok(None);
    };
    if headers.len() + onward.headers.len() > MAX_BRANCH_HEADERS {
        return Ok(Some(Branch { headers, signature: NO_SIGNATURE }));
    }
    headers.extend(onward.headers);
    Ok(Some(Branch { headers, signature: onward.signature }))
}

/// The last seq, and others in steps that double.
fn steps_back(from: u64, last: u64) -> Vec<u64> {
    let steps = std::iter::successors(Some(1u64), |step| step.checked_mul(2));
    let back = steps.map_while(|step| last.checked_sub(step)).take_while(|seq| *seq >= from);
    let mut seqs: Vec<u64> = std::iter::once(last).chain(back).take(MAX_FORK_POINTS - 1).collect();
    seqs.push(from);
    seqs
}

/// Evenly from one that agrees to one that does not, both with them.
fn between(agree: u64, differ: u64) -> Vec<u64> {
    let steps = MAX_FORK_POINTS as u64 - 1;
    let width = differ - agree;
    let mut seqs: Vec<u64> =
        (0..=steps).map(|step| agree + (u128::from(width) * u128::from(step) / u128::from(steps)) as u64).collect();
    seqs.dedup();
    seqs
}
