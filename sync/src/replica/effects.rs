//! Carrying out what the engine decided.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use schema::authority::{Signed, pin};
use schema::codec::Canonical;
use schema::id::{GenerationId, LogId, ScopeId, SiteId, StoreId};
use schema::policy::{AuthorityError, Policy};
use schema::time::{Hlc, Timestamp};

use super::fetch::Wanted;
use super::references::HeldRecords;
use super::{Alarm, Output, Replica, ReplicaError, cursor_key};
use crate::admission::{Admitted, NO_SIGNATURE, Reject, Run, admit, hash_at};
use crate::engine::{Admission, Effect, Event, SessionId, SyncSession};
use crate::frontiers::{self, Update};
use crate::limits::{
    AUTHORITY_BATCH, AUTHORITY_FRAME_BYTES, FREE_GENERATIONS, FRONTIER_FRAME_BYTES, GENERATION_PACE, MAX_LEFT_OUT,
    MISTAKE_PATIENCE, PUT_OFF_PATIENCE,
};
use crate::store::log_index::HeldSeqs;
use crate::store::{Durability, LogState, Source, StoreError, Table, Writing};
use crate::wire::layout::RunHead;
use crate::wire::runs::UnpackError;
use crate::wire::{Cursor, Lane, Message, PackedRuns, portions};

/// What came of a frame of runs.
#[derive(Default)]
struct Received {
    /// Whether something was left out for now.
    partly: bool,
    /// Whether the peer takes more for held here than is.
    lacking: bool,
    latest: Hlc,
    /// Records of this site's own key: the generation, and whether the log was known before.
    own: Vec<(GenerationId, bool)>,
    /// Logs that go on from another record than the one held.
    torn: BTreeSet<LogId>,
    /// Logs of which something was left out that refers to other logs: what it refers to is not held here, or has another
    /// history there (R20).
    mistaken: BTreeSet<LogId>,
    /// The logs that those refer to.
    suspected: BTreeSet<LogId>,
    slowed: Vec<SiteId>,
    /// Logs of which something was stored.
    taken: Vec<LogId>,
    /// Whether records wait to be judged again.
    due: bool,
    /// Sites that began a log.
    begun: BTreeSet<SiteId>,
}

impl Replica {
    /// Lets the engine decide and does what it says, until nothing is left to do.
    pub(super) fn run(&mut self, now: Timestamp, event: Event) -> Result<Vec<Output>, ReplicaError> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let policy = self.policy().cloned();
            // The engine is taken out while it looks at the rest; nothing it calls can reach it meanwhile.
            let empty = crate::engine::Engine::new(self.me(), &Default::default());
            let mut engine = std::mem::replace(&mut self.engine, empty);
            let lines = |site: &SiteId, scope: &ScopeId| -> HeldSeqs {
                let read = self.store.read().and_then(|reading| frontiers::lines(&reading, site, scope));
                read.inspect_err(|error| tracing::warn!(%error, "an announcement could not be read"))
                    .unwrap_or_default()
            };
            let effects = engine.step(now, event, &self.engine_input(policy.as_deref(), &lines));
            self.engine = engine;
            for effect in effects {
                events.extend(self.carry_out(now, effect)?);
            }
        }
        Ok(self.out.drain(..).collect())
    }

    fn carry_out(&mut self, now: Timestamp, effect: Effect) -> Result<Option<Event>, ReplicaError> {
        match effect {
            Effect::Send(session, message) => self.send(session, &message),
            Effect::Fetch { session, scope, lane, after, young_after, target_bytes } => {
                let visit = self.engine.sessions().get(&session);
                let Some((visit, sync)) = visit.and_then(|visit| Some((visit, visit.scope(&scope)?))) else {
                    return Ok(None);
                };
                let (held, direct) = (&sync.held, visit.direct());
                let peer = (visit.peer, visit.generation().filter(|_| !sync.own_lost));
                let wanted = Wanted { scope, lane, after, held, peer, young_after, direct, target_bytes };
                return Ok(Some(Event::Fetched(session, scope, lane, self.fetch(&wanted)?)));
            }
            Effect::Admit { session, store, scope, lane, cursor, runs } => {
                let (admission, parted) = self.admit(now, session, (store, scope, lane, cursor), &runs)?;
                for log in parted {
                    self.find_fork(session, scope, (log.site, log.generation), &[])?;
                }
                return Ok(Some(Event::Admitted(session, scope, lane, cursor, admission)));
            }
            Effect::AdmitAuthority(session, statements) => return self.admit_authority(now, session, statements),
            Effect::SendAuthority(session, from, to) => {
                self.send_statements(session, from, to)?;
            }
            Effect::AdmitFrontiers(session, said) => return self.admit_frontiers(now, session, said),
            Effect::SendFrontiers(session, places) => self.send_frontiers(session, &places)?,
            Effect::SendBodies(session, scope, wanted) => self.send_bodies(session, scope, &wanted)?,
            Effect::AdmitBodies(scope, bodies) => self.admit_bodies(&scope, &bodies)?,
            Effect::SendPiece(session, scope, wanted) => self.send_piece(session, scope, &wanted)?,
            Effect::AdmitPiece(session, piece) => self.admit_piece(now, session, piece)?,
            Effect::FindFork(session, scope, log, points) => self.find_fork(session, scope, log, &points)?,
            Effect::CompareClosed(session, scope, lines) => self.compare_closed(session, scope, &lines)?,
            Effect::AdmitBranch(session, branch) => return self.admit_branch(now, session, branch),
            Effect::AdmitFork(session, proof) => {
                let teller = self.engine.sessions().get(&session).map(|visit| visit.peer);
                return self.admit_fork(now, session, proof, teller);
            }
            Effect::SendForks(session, forks) => self.send_forks(session, &forks)?,
            Effect::KeepStore(peer, store) => self.keep_store(peer, store)?,
            Effect::AuthorityHeard(session, theirs) => {
                let stands = self.authority.hash_at(theirs.at.position).map(|hash| pin(theirs.at, &hash));
                let is_same = stands == Some(theirs);
                self.authority_heard |= is_same;
                // Both go on with what they hold; which statement stands an admin has to say (R14).
                let epoch = self.authority.head().map(|(at, _)| at.epoch);
                if !is_same && epoch == Some(theirs.at.epoch) {
                    self.authority_forked(now);
                    // What follows would tell the peer nothing: it sees where the two part.
                    self.send_statements(session, theirs.at.position, theirs.at.position)?;
                }
            }
            Effect::Close(session, code) => {
                self.send(session, &Message::Bye(code.to_owned()));
                self.out.push_back(Output::Close(session, code));
                return Ok(Some(Event::Closed(session)));
            }
            Effect::Diverged(session, scope) => {
                // Documents of one scope may wait for an enrolment in another: only a session that is in
                // step in every scope compares like with like.
                let visit = self.engine.sessions().get(&session);
                if visit.is_some_and(SyncSession::is_in_step) {
                    self.alarm(now, Alarm::Diverged(scope));
                }
            }
        }
        Ok(None)
    }

    pub(super) fn send(&mut self, session: SessionId, message: &Message) {
        self.out.push_back(Output::Send(session, crate::wire::encode(message)));
    }

    /// Log admission of one frame, in one transaction with the cursor.
    fn admit(
        &mut self,
        now: Timestamp,
        session: SessionId,
        (store, scope, lane, cursor): (StoreId, ScopeId, Lane, Cursor),
        runs: &PackedRuns,
    ) -> Result<(Admission, BTreeSet<LogId>), ReplicaError> {
        let Some(policy) = self.policy().cloned() else {
            return Ok((Admission::Refused("no-authority"), BTreeSet::new()));
        };
        let (me, paced, cuts) = (self.me(), &self.paced, &mut self.cuts);
        let put_off = &self.put_off;
        let is_put_off = |log: &LogId| {
            put_off.get(&log.site).is_some_and(|last| now >= *last && now.since(*last) < PUT_OFF_PATIENCE)
        };
        let (no_torn, no_mistaken) = Default::default();
        let torn = self.torn.get(&session).unwrap_or(&no_torn);
        let mistaken = self.mistaken.get(&session).unwrap_or(&no_mistaken);
        // A frame without records only moves the cursor, which is no loss to lose.
        let durability = if runs.is_empty() { Durability::Derived } else { Durability::Durable };
        let outcome = self.store.write(durability, |writing| {
            let mut received = Received::default();
            for head in runs.heads() {
                let (site, generation) = runs.log(head);
                let log = LogId { site, generation, scope };
                // Before it is put together: what it refers to may have been left out for the same reason.
                if !policy.sites.contains_key(&site) || torn.contains(&log) || received.torn.contains(&log) {
                    received.partly = true;
                    continue;
                }
                let state = writing.log(&log)?;
                if state.as_ref().is_some_and(|state| state.branch.is_some()) != head.is_behind_fork {
                    // A history behind a fork that is not known here yet.
                    received.partly = true;
                    continue;
                }
                let last = if received.begun.contains(&site) { Some(now) } else { paced.get(&site).copied() };
                if head.from == 1 && !may_begin(writing, &log, last, now)? {
                    received.partly = true;
                    received.slowed.push(site);
                    continue;
                }
                let known = state.as_ref().is_some_and(|state| state.seq >= state.from());
                let (run, refers_to) = match unpack(writing, &policy, (scope, runs, head), state.as_ref())? {
                    Unpacked::Run(run, refers_to) => (run, refers_to),
                    // It may refer to what was left out, or to what this site held before it was set back.
                    Unpacked::Lacking => {
                        received.lacking |= !received.partly;
                        received.partly = true;
                        received.mistaken.insert(log);
                        continue;
                    }
                    Unpacked::Forked => {
                        received.partly = true;
                        received.torn.insert(log);
                        continue;
                    }
                };
                let admitted = match admit(writing, &policy, cuts, &run) {
                    Err(Reject::Signature { .. } | Reject::Body { .. } | Reject::Header { .. } | Reject::Size)
                        if !refers_to.is_empty()
                            && (mistaken.get(&log).is_none_or(|first| now.since(*first) < MISTAKE_PATIENCE)
                                || refers_to.iter().any(is_put_off)) =>
                    {
                        received.partly = true;
                        received.mistaken.insert(log);
                        received.suspected.extend(refers_to);
                        continue;
                    }
                    // It ends at a fork whose proof is not here yet.
                    Err(Reject::Signature { .. }) if run.signature == NO_SIGNATURE => {
                        received.partly = true;
                        received.mistaken.insert(log);
                        continue;
                    }
                    // It goes on from what was left out here, or what this site lost.
                    Err(Reject::Gap { .. }) => {
                        // A history behind a fork may go on from what was left out of this very frame.
                        received.lacking |= !received.partly || !head.is_behind_fork;
                        received.partly = true;
                        continue;
                    }
                    admitted => admitted?,
                };
                match admitted {
                    Admitted::Stored(_) => {
                        received.taken.push(log);
                        let last = run.records.last().map(|with| with.record.header.hlc).unwrap_or_default();
                        received.latest = received.latest.max(last);
                        if !known {
                            received.begun.insert(site);
                        }
                        if site == me {
                            let is_behind_fork = state.is_some_and(|state| state.branch.is_some());
                            received.own.push((generation, known || is_behind_fork));
                        }
                    }
                    Admitted::Known => {}
                    Admitted::Forked => {
                        received.partly = true;
                        received.torn.insert(log);
                    }
                }
            }
            if !received.partly {
                writing.put(Table::Cursors, &cursor_key(&store, &scope, lane), &cursor.to_bytes())?;
            }
            received.due = is_due(writing)?;
            Ok::<_, Reject>(received)
        });
        match outcome {
            Ok(received) => {
                let parted = received.torn.union(&received.suspected).copied().collect();
                Ok((self.received_runs(now, session, (store, scope, lane, cursor), received), parted))
            }
            Err(Reject::Store(error)) => Err(error.into()),
            Err(reject) => {
                let code = refusal(&reject);
                tracing::warn!(session, code, error = %reject, "a peer's records were refused");
                self.blame(now, session, code);
                Ok((Admission::Refused(code), BTreeSet::new()))
            }
        }
    }

    fn received_runs(
        &mut self,
        now: Timestamp,
        session: SessionId,
        (store, scope, lane, cursor): (StoreId, ScopeId, Lane, Cursor),
        received: Received,
    ) -> Admission {
        self.hlc = self.hlc.observe(received.latest, now);
        self.due |= received.due;
        // Lost by this disk and come back (R1). That a second copy runs is said by its announcements, which name this
        // generation.
        if received.own.iter().any(|(generation, known)| *generation != self.generation && !known) {
            self.alarm(now, Alarm::OwnRecordsBack);
        }
        self.to_reissue |= !received.own.is_empty();
        self.paced.extend(received.begun.into_iter().map(|site| (site, now)));
        for site in received.slowed {
            self.alarm(now, Alarm::Slowed(site));
        }
        for log in &received.suspected {
            // Its records name the log that forked.
            let log = self.store.log_index().open(log).map_or(*log, LogState::signed_as);
            let awaited = self.awaited.entry(session).or_default();
            if awaited.len() < MAX_LEFT_OUT {
                awaited.insert(log);
            }
        }
        // What came out right at last is wrong for the first time if it ever is again.
        if let Some(mistaken) = self.mistaken.get_mut(&session) {
            mistaken.retain(|log, _| !received.taken.contains(log));
        }
        for log in received.mistaken {
            self.mistaken.entry(session).or_default().entry(log).or_insert(now);
        }
        if !received.torn.is_empty() {
            self.torn.entry(session).or_default().extend(received.torn);
        }
        let left_out =
            self.torn.get(&session).map_or(0, BTreeSet::len) + self.mistaken.get(&session).map_or(0, BTreeMap::len);
        if left_out > MAX_LEFT_OUT {
            return Admission::Refused("too-much-left-out");
        }
        if received.lacking {
            return Admission::Lacking;
        }
        if received.partly {
            return Admission::Partly;
        }
        self.cursors.insert((store, scope, lane), cursor);
        Admission::Durable
    }

    fn admit_authority(
        &mut self,
        now: Timestamp,
        session: SessionId,
        statements: Vec<Signed>,
    ) -> Result<Option<Event>, ReplicaError> {
        let before = self.authority.head();
        match self.keep_statements(now, statements) {
            Ok(()) if self.authority.head() == before => Ok(None),
            Ok(()) => {
                // What came goes on from what this site said itself: nobody who holds it holds more that it forgot.
                self.authority_heard = true;
                self.out.push_back(Output::Authority);
                Ok(Some(Event::AuthorityGrown))
            }
            // The peer believes what the same key signed: it is blamed for nothing.
            Err(ReplicaError::Authority(AuthorityError::Forked { .. })) => {
                self.authority_forked(now);
                Ok(None)
            }
            // It holds another branch, and passes on what somebody signed there.
            Err(ReplicaError::Authority(error)) if self.is_authority_forked() => {
                tracing::debug!(session, %error, "a peer's statements are of another branch of the authority log");
                Ok(None)
            }
            // What goes on from statements that this site does not hold: it missed some.
            Err(ReplicaError::Authority(error @ AuthorityError::OutOfOrder { .. })) => {
                tracing::debug!(session, %error, "a peer's statements do not go on from here");
                self.out.push_back(Output::Close(session, "out-of-step"));
                Ok(Some(Event::Closed(session)))
            }
            Err(ReplicaError::Authority(error)) => {
                tracing::warn!(session, %error, "a peer's statements were refused");
                self.blame(now, session, "bad-statement");
                self.out.push_back(Output::Close(session, "bad-statement"));
                Ok(Some(Event::Closed(session)))
            }
            Err(error) => Err(error),
        }
    }

    fn is_authority_forked(&self) -> bool {
        self.alarms.keys().any(|alarm| matches!(alarm, Alarm::AuthorityForked(_)))
    }

    fn authority_forked(&mut self, now: Timestamp) {
        if let Some((at, _)) = self.authority.head() {
            self.alarm(now, Alarm::AuthorityForked(at));
        }
    }

    /// Sends the statements at these positions, both with them.
    fn send_statements(&mut self, session: SessionId, from: u64, to: u64) -> Result<(), StoreError> {
        let mut statements = self.statements(from)?;
        statements.retain(|signed| signed.statement.at.position <= to);
        for some in portions(statements, AUTHORITY_BATCH, AUTHORITY_FRAME_BYTES) {
            self.send(session, &Message::Authority(some));
        }
        Ok(())
    }

    fn admit_frontiers(
        &mut self,
        now: Timestamp,
        session: SessionId,
        said: Vec<Update>,
    ) -> Result<Option<Event>, ReplicaError> {
        let Some(policy): Option<std::sync::Arc<Policy>> = self.policy().cloned() else {
            return Ok(None);
        };
        let known = &mut self.frontiers;
        let admitted =
            self.store.write(Durability::Derived, |writing| frontiers::admit(writing, &policy, known, said))?;
        let me = self.me();
        for (site, scope) in admitted.news.iter().map(Update::place) {
            if site == me {
                // Said before this machine was set back, or by a copy of it: what holds is said again, with a later number.
                self.announced.remove(&scope);
            }
            // Nobody who ended before this process began can name its generation.
            let newest = self.frontiers.get(&site, &scope).filter(|_| site == me).copied();
            if let Some(newest) = newest.filter(|newest| newest.heard == Some(self.generation)) {
                self.alarm(now, Alarm::CloneRunning(newest.generation));
            }
        }
        if !admitted.lacking.is_empty() {
            self.send(session, &Message::FrontierWant(admitted.lacking));
        }
        Ok((!admitted.news.is_empty()).then_some(Event::FrontiersGrown(Some(session), admitted.news)))
    }

    fn send_frontiers(&mut self, session: SessionId, places: &[(SiteId, ScopeId)]) -> Result<(), StoreError> {
        let reading = self.store.read()?;
        let (mut portion, mut bytes) = (Vec::new(), 0);
        for (site, scope) in places {
            let Some(signed) = frontiers::read(&reading, site, scope)? else {
                continue;
            };
            bytes += signed.to_bytes().len();
            portion.push(Update::Whole(signed));
            if bytes >= FRONTIER_FRAME_BYTES {
                bytes = 0;
                self.send(session, &Message::Frontiers(std::mem::take(&mut portion)));
            }
        }
        if !portion.is_empty() {
            self.send(session, &Message::Frontiers(portion));
        }
        Ok(())
    }

    fn keep_store(&mut self, peer: SiteId, store: StoreId) -> Result<(), StoreError> {
        if self.stores.insert(peer, store) != Some(store) {
            let key = [b"peer/".as_slice(), &peer.0].concat();
            self.store.write(Durability::Derived, |writing| writing.put(Table::Meta, &key, &store.0))?;
        }
        Ok(())
    }
}

/// Whether records are due to be judged again.
pub(super) fn is_due(source: &impl Source) -> Result<bool, StoreError> {
    let has_rows = |table| source.range(table, &[], None, 1).map(|rows| !rows.is_empty());
    Ok(has_rows(Table::Due)? || has_rows(Table::Restand)?)
}

/// Whether a log may begin now: a site with many open logs begins one a minute (R1).
fn may_begin(writing: &Writing<'_>, log: &LogId, last: Option<Timestamp>, now: Timestamp) -> Result<bool, StoreError> {
    let known = writing.log(log)?.is_some();
    let open = writing.log_index().open_of(&log.site, &log.scope).count();
    let rests = last.is_some_and(|last| now >= last && now.since(last) < GENERATION_PACE);
    Ok(known || open < FREE_GENERATIONS || !rests)
}

/// A run of a frame, as far as it can be put together here.
enum Unpacked {
    /// The run, and the other logs to which it refers.
    Run(Run, BTreeSet<LogId>),
    /// It follows another record than the one held here.
    Forked,
    /// It refers to a record that is not held here.
    Lacking,
}

/// Takes a run out of its frame and puts it together.
fn unpack(
    writing: &Writing<'_>,
    policy: &Policy,
    (scope, runs, head): (ScopeId, &PackedRuns, &RunHead),
    state: Option<&LogState>,
) -> Result<Unpacked, Reject> {
    let before = match (state, head.from.checked_sub(1)) {
        (Some(state), Some(before)) => hash_at(writing, state, before)?,
        (None, _) | (_, None) => None,
    };
    let signed_as = state.map_or(runs.log(head).1, |state| state.signed_as().generation);
    let held = HeldRecords { writing, scope, logs: runs.logs() };
    let packed = runs.open(head)?;
    let named = packed.refers_to().into_iter().filter_map(|number| runs.logs().get(number as usize));
    let others = named.filter(|log| **log != runs.log(head));
    let refers_to = others.map(|(site, generation)| LogId { site: *site, generation: *generation, scope }).collect();
    match packed.unpack(&policy.org, signed_as, before, &held) {
        Ok(run) => Ok(Unpacked::Run(run, refers_to)),
        Err(UnpackError::Forked) => Ok(Unpacked::Forked),
        Err(UnpackError::Reference) => Ok(Unpacked::Lacking),
        Err(UnpackError::Store(error)) => Err(Reject::Store(error)),
    }
}

fn refusal(reject: &Reject) -> &'static str {
    match reject {
        Reject::Size => "run-too-large",
        Reject::Form(_) => "bad-run",
        Reject::Gap { .. } => "gap",
        Reject::Chain { .. } => "broken-chain",
        Reject::Header { .. } => "bad-header",
        Reject::Body { .. } => "bad-body",
        Reject::Signature { .. } => "bad-signature",
        Reject::Store(_) => "store",
    }
}
