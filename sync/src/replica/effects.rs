//! Carrying out what the engine decided.

use std::collections::{BTreeSet, VecDeque};

use schema::authority::Signed;
use schema::codec::Canonical;
use schema::frontier::SignedFrontier;
use schema::id::{RecordHash, ScopeId, SiteId, StoreId};
use schema::policy::Policy;
use schema::time::{Hlc, Timestamp};

use super::fetch::Wanted;
use super::references::HeldRecords;
use super::{Alarm, Output, Replica, ReplicaError, cursor_key};
use crate::admission::{Admitted, Reject, admit, stored};
use crate::engine::{Admission, Effect, Event, SessionId};
use crate::limits::AUTHORITY_BATCH;
use crate::store::{Durability, StoreError, Table};
use crate::wire::runs::UnpackError;
use crate::wire::{Cursor, Lane, Message, PackedRun};

impl Replica {
    /// Lets the engine decide and does what it says, until nothing is left to do.
    pub(super) fn run(&mut self, now: Timestamp, event: Event) -> Result<Vec<Output>, ReplicaError> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let policy = self.policy().cloned();
            // The engine is taken out while it looks at the rest; nothing it calls can reach it meanwhile.
            let empty = crate::engine::Engine::new(self.me(), &Default::default());
            let mut engine = std::mem::replace(&mut self.engine, empty);
            let effects = engine.step(now, event, &self.here(policy.as_deref()));
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
            Effect::Fetch { session, scope, lane, after, mut held, young_after, direct, peer } => {
                if let (peer, Some(generation)) = peer {
                    held.insert((peer, generation), u64::MAX);
                }
                let wanted = Wanted { scope, lane, after, held, young_after, direct };
                return Ok(Some(Event::Fetched(session, scope, lane, self.fetch(&wanted)?)));
            }
            Effect::Admit { session, store, scope, lane, cursor, runs } => {
                let admission = self.admit(now, session, (store, scope, lane, cursor), runs)?;
                return Ok(Some(Event::Admitted(session, scope, lane, cursor, admission)));
            }
            Effect::AdmitAuthority(session, statements) => return self.admit_authority(now, session, statements),
            Effect::SendAuthority(session, from) => {
                for batch in self.statements(from)?.chunks(AUTHORITY_BATCH) {
                    self.send(session, &Message::Authority(batch.to_vec()));
                }
            }
            Effect::AdmitFrontiers(session, said) => return self.admit_frontiers(now, session, said),
            Effect::KeepStore(peer, store) => self.keep_store(peer, store)?,
            Effect::Close(session, code) => {
                self.send(session, &Message::Bye(code.to_owned()));
                self.out.push_back(Output::Close(session, code));
                return Ok(Some(Event::Closed(session)));
            }
            Effect::Diverged(session, scope) => {
                // Documents of one scope may wait for an enrolment in another: only a session that is in
                // step in every scope compares like with like.
                let visit = self.engine.sessions().get(&session);
                if visit.is_some_and(crate::engine::SyncSession::is_in_step) {
                    self.alarm(now, Alarm::Diverged(scope));
                }
            }
        }
        Ok(None)
    }

    fn send(&mut self, session: SessionId, message: &Message) {
        self.out.push_back(Output::Send(session, crate::wire::encode(message)));
    }

    /// Log admission of one frame, in one transaction with the cursor.
    fn admit(
        &mut self,
        now: Timestamp,
        session: SessionId,
        (store, scope, lane, cursor): (StoreId, ScopeId, Lane, Cursor),
        runs: Vec<PackedRun>,
    ) -> Result<Admission, ReplicaError> {
        let Some(policy) = self.policy().cloned() else {
            return Ok(Admission::Refused("no-authority"));
        };
        let me = self.me();
        let mut latest = Hlc::default();
        let mut own = Vec::new();
        let known: BTreeSet<_> = self.store.log_index().logs.keys().map(|log| (log.site, log.generation)).collect();
        let outcome = self.store.write(Durability::Durable, |writing| {
            let mut whole = true;
            for packed in runs {
                // Before it is put together: what it refers to may have been left out for the same reason.
                if !policy.sites.contains_key(&packed.log.site) {
                    whole = false;
                    continue;
                }
                let before = hash_before(writing, &packed)?;
                let held = HeldRecords { writing, scope };
                let run = packed.unpack(&policy.org, before, &held).map_err(|error| match error {
                    UnpackError::Reference => Reject::Reference,
                    UnpackError::Store(error) => Reject::Store(error),
                })?;
                let admitted = admit(writing, &policy, &run)?;
                match admitted {
                    Admitted::Stored(_) => {
                        let last = run.records.last().map(|full| full.record.header.hlc).unwrap_or_default();
                        latest = latest.max(last);
                        if run.log.site == me {
                            own.push((run.log.generation, last));
                        }
                    }
                    Admitted::Known | Admitted::BeyondCut => {}
                    Admitted::UnknownSite | Admitted::TooManyGenerations => whole = false,
                }
            }
            if whole {
                writing.put(Table::Cursors, &cursor_key(&store, &scope, lane), &cursor.to_bytes())?;
            }
            Ok::<_, Reject>(whole)
        });
        match outcome {
            Ok(whole) => {
                self.hlc = self.hlc.observe(latest, now);
                for (generation, last) in own {
                    self.own_record(now, generation, last, known.contains(&(me, generation)));
                }
                if whole {
                    self.cursors.insert((store, scope, lane), cursor);
                }
                Ok(if whole { Admission::Durable } else { Admission::Partly })
            }
            Err(Reject::Store(error)) => Err(error.into()),
            Err(reject) => {
                let code = refusal(&reject);
                tracing::warn!(session, code, error = %reject, "a peer's records were refused");
                // Each side may honestly be wrong about what the other holds; the next session begins with the truth.
                let visit = self.engine.sessions().get(&session).filter(|_| !matches!(reject, Reject::Reference));
                if let Some(visit) = visit {
                    let peer = visit.peer;
                    self.alarm(now, Alarm::Refused(peer, code));
                }
                if let Reject::Fork { log, .. } | Reject::Chain { log, .. } = reject {
                    self.alarm(now, Alarm::Forked(log.site));
                }
                Ok(Admission::Refused(code))
            }
        }
    }

    /// A record of this site's own key came from outside: lost and come back, or a second copy (R1).
    fn own_record(&mut self, now: Timestamp, generation: schema::id::GenerationId, last: Hlc, known: bool) {
        if generation == self.generation {
            return;
        }
        match last > self.started {
            true => self.alarm(now, Alarm::CloneRunning(generation)),
            false if !known => self.alarm(now, Alarm::OwnRecordsBack),
            false => {}
        }
    }

    fn admit_authority(
        &mut self,
        now: Timestamp,
        session: SessionId,
        statements: Vec<Signed>,
    ) -> Result<Option<Event>, ReplicaError> {
        let before = self.authority.head();
        match self.keep_statements(statements) {
            Ok(()) if self.authority.head() == before => Ok(None),
            Ok(()) => {
                self.out.push_back(Output::Authority);
                Ok(Some(Event::AuthorityGrown))
            }
            Err(ReplicaError::Authority(error)) => {
                tracing::warn!(session, %error, "a peer's statements were refused");
                if let Some(visit) = self.engine.sessions().get(&session) {
                    let peer = visit.peer;
                    self.alarm(now, Alarm::Refused(peer, "bad-statement"));
                }
                self.out.push_back(Output::Close(session, "bad-statement"));
                Ok(Some(Event::Closed(session)))
            }
            Err(error) => Err(error),
        }
    }

    fn admit_frontiers(
        &mut self,
        now: Timestamp,
        session: SessionId,
        said: Vec<SignedFrontier>,
    ) -> Result<Option<Event>, ReplicaError> {
        let Some(policy): Option<std::sync::Arc<Policy>> = self.policy().cloned() else {
            return Ok(None);
        };
        let (me, frontiers) = (self.me(), &self.frontiers);
        let news = self
            .store
            .write(Durability::Derived, |writing| crate::frontiers::admit(writing, &policy, frontiers, said))?;
        for signed in &news {
            let frontiers = &signed.frontier;
            if frontiers.site == me && frontiers.generation != self.generation && frontiers.hlc > self.started {
                self.alarm(now, Alarm::CloneRunning(frontiers.generation));
            }
        }
        self.frontiers.extend(news.iter().map(|signed| (signed.frontier.site, signed.clone())));
        Ok((!news.is_empty()).then_some(Event::FrontiersGrown(Some(session), news)))
    }

    fn keep_store(&mut self, peer: SiteId, store: StoreId) -> Result<(), StoreError> {
        if self.stores.insert(peer, store) != Some(store) {
            let key = [b"peer/".as_slice(), &peer.0].concat();
            self.store.write(Durability::Derived, |writing| writing.put(Table::Meta, &key, &store.0))?;
        }
        Ok(())
    }
}

/// The hash of the record before a run, as held here.
fn hash_before(source: &crate::store::Writing<'_>, run: &PackedRun) -> Result<Option<RecordHash>, StoreError> {
    let Some(state) = source.log_index().logs.get(&run.log) else {
        return Ok(None);
    };
    match run.from.checked_sub(1) {
        Some(0) | None => Ok(None),
        Some(before) if before == state.seq => Ok(Some(state.hash)),
        Some(before) if before < state.seq => Ok(Some(stored(source, state.no, before)?.record.hash())),
        Some(_) => Ok(None),
    }
}

fn refusal(reject: &Reject) -> &'static str {
    match reject {
        Reject::Size => "run-too-large",
        Reject::Reference => "unknown-reference",
        Reject::Gap { .. } => "gap",
        Reject::Chain { .. } => "broken-chain",
        Reject::Fork { .. } => "fork",
        Reject::Header { .. } => "bad-header",
        Reject::Body { .. } => "bad-body",
        Reject::Signature { .. } => "bad-signature",
        Reject::Store(_) => "store",
    }
}
