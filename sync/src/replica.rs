//! One site's replica: store, documents, authority log and engine put together.
//!
//! Single-threaded and without a clock: whoever owns it calls [`Replica::handle`] with what happened and
//! the time, sends the frames it returns, calls [`Replica::catch_up`] when there is time, and
//! [`Replica::write`] for people here. The node does that on a thread, the simulator in a loop; there is no
//! other difference between them.

mod alarm;
mod authority;
mod bodies;
mod credentials;
mod effects;
mod exchange;
mod fetch;
mod forks;
mod long_bodies;
mod people;
mod references;
mod write;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use schema::authority::{Signed, SiteEntry};
use schema::codec::CodecError;
use schema::id::{DocId, GenerationId, LogId, ScopeId, SiteId, StoreId, UserId};
use schema::identity::Secret;
use schema::policy::{AuthorityError, AuthorityLog, Policy};
use schema::record::BodyName;
use schema::time::{Hlc, Timestamp};
use thiserror::Error;

use crate::docs::DocChanged;
use crate::docs::apply::Materializer;
use crate::docs::standing::Cuts;
use crate::engine::{Engine, EngineInput, Event, SessionId};
use crate::frontiers::{self, Frontiers};
use crate::limits::{CATCH_UP_RECORDS, FRONTIER_INTERVAL};
use crate::store::log_index::HeldSeqs;
use crate::store::rows::Wait;
use crate::store::{Durability, LogNo, Reading, Source, Store, StoreError, Table, Writing, decode};
use crate::wire::{Cursor, Lane};
pub use alarm::Alarm;
pub use credentials::login_secrets;
pub use exchange::Exchange;
pub(crate) use write::record_anywhere;
pub use write::{Batch, Command, WriteError, Written};

/// What the owner of a replica must do or know.
#[derive(Debug)]
pub enum Output {
    /// Send this frame.
    Send(SessionId, Vec<u8>),
    /// End this session; the code says why.
    Close(SessionId, &'static str),
    /// Something people or operators must hear of.
    Alarm(Alarm),
    /// The authority log grew.
    Authority,
}

/// Why the replica cannot go on, or could not do what was asked.
#[derive(Debug, Error)]
pub enum ReplicaError {
    /// The store.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The authority log refused a statement.
    #[error("the statement does not stand")]
    Authority(#[from] AuthorityError),
    /// Only the sequencer may say it.
    #[error("this site does not hold the sequencer's key")]
    NotSequencer,
    /// The sequencer has not heard since its start how far the other sites' authority logs go (R14).
    #[error("this site has not heard another one since it started")]
    Unheard,
    /// The replica has no authority log yet.
    #[error("this site has not joined an organisation yet")]
    NotJoined,
    /// The system gives no random bytes.
    #[error("no random bytes to begin with")]
    Random,
    /// Something stored does not decode.
    #[error("stored bytes do not decode")]
    Decode(#[from] CodecError),
}

/// Who a replica is and how it starts.
pub struct Start {
    /// The site's key.
    pub key: Secret,
    /// The sequencer's key, at the site that has it.
    pub sequencer: Option<Secret>,
    /// Draws a generation, for this start and whenever a log of the one before ended in a fork (R1, R20); `None` if the
    /// system gives no random bytes.
    pub draw: Box<dyn FnMut() -> Option<GenerationId> + Send>,
    /// Taken if the store has none yet, or was copied or restored (R21).
    pub store_id: StoreId,
    /// Whether this store is known to be a copy: then it gets `store_id` as its new name.
    pub copied: bool,
    /// Now.
    pub now: Timestamp,
}

/// One site's replica.
pub struct Replica {
    store: Store,
    key: Secret,
    sequencer: Option<Secret>,
    generation: GenerationId,
    draw: Box<dyn FnMut() -> Option<GenerationId> + Send>,
    /// Whether commands of this site may stand behind a fork that were not issued again yet (R20).
    to_reissue: bool,
    /// Whether what people log in with may lack shares, of users who are listed in the store (R16).
    to_seal: bool,
    /// Sites whose keys forked too often, and are to be revoked here.
    to_revoke: BTreeSet<SiteId>,
    /// The generation in which the commands of each history behind a fork are issued again, by its number and first seq.
    reissued_in: BTreeMap<(LogNo, u64), GenerationId>,
    store_id: StoreId,
    authority: AuthorityLog,
    engine: Engine,
    hlc: Hlc,
    cursors: BTreeMap<(StoreId, ScopeId, Lane), Cursor>,
    stores: BTreeMap<SiteId, StoreId>,
    frontiers: Frontiers,
    /// What was announced last of each scope: arrivals held, and when.
    announced: BTreeMap<ScopeId, (u64, Timestamp)>,
    /// Logs of which a session told another branch than the one held: what continues that is left out (R20). Nothing of
    /// it is verified, so it counts for that session alone.
    torn: BTreeMap<SessionId, BTreeSet<LogId>>,
    /// Logs of which a session sent what came out wrong here, and when it first did: for a while the fault may be in what
    /// they refer to.
    mistaken: BTreeMap<SessionId, BTreeMap<LogId, Timestamp>>,
    /// Where the records of revoked keys end.
    cuts: Cuts,
    /// Logs to which a session's runs refer that came out wrong: the proof that one of them forked is waited for.
    awaited: BTreeMap<SessionId, BTreeSet<LogId>>,
    /// When such a proof was last taken of a site with many forks: it waits for its own kind only.
    awaited_paced: BTreeMap<SiteId, Timestamp>,
    /// Since when proofs that peers tell whole are counted of a site with many forks, and how many were taken.
    told_paced: BTreeMap<SiteId, (Timestamp, usize)>,
    /// Since when enrolments are counted that the sequencer copies of each site, and how many it copied.
    copied: BTreeMap<SiteId, (Timestamp, usize)>,
    /// When the proof of a fork was last put off, of sites with many forks.
    put_off: BTreeMap<SiteId, Timestamp>,
    /// When a site with many open logs was last let begin another one (R1).
    paced: BTreeMap<SiteId, Timestamp>,
    /// What is to be exchanged with each site, as last counted.
    counted: exchange::Counted,
    /// Whether a peer was heard, since this process began, whose authority log is no longer than this site's (R14).
    authority_heard: bool,
    /// Whether an admin said that nobody knows more of it.
    authority_trusted: bool,
    /// Bodies that are lacking here.
    lacking: bodies::Lacking,
    /// The long ones among them.
    long_bodies: long_bodies::LongBodies,
    /// Long bodies of which peers were sent a piece, the newest first.
    at_hand: VecDeque<(BodyName, Vec<u8>)>,
    /// Where copying what sites said of their people goes on.
    uncopied_from: Vec<u8>,
    /// People whom this site disabled in its own log, which the authority log does not say yet.
    disabled_here: Arc<BTreeSet<UserId>>,
    changed: Vec<DocChanged>,
    /// Documents that a hand-over took apart, to be judged again: those that do not come back are gone (R14).
    taken_apart: Vec<DocChanged>,
    /// Documents that the read model has taken: no longer stale, which the next transaction writes.
    noted: Vec<DocId>,
    /// Whether waiting records may be due to be judged again.
    due: bool,
    /// The scope that was materialised last: the next one comes after it.
    served: Option<ScopeId>,
    out: VecDeque<Output>,
    /// Judgements by code since the start: for metrics and for the campaign's counters.
    pub verdicts: BTreeMap<String, u64>,
    /// What people were told of already.
    pub alarms: BTreeMap<Alarm, Timestamp>,
}

impl Replica {
    /// Opens the replica on a store.
    pub fn open(mut store: Store, mut start: Start) -> Result<Self, ReplicaError> {
        let fresh = store.log_index().store_id.is_none();
        if fresh || start.copied {
            store.write(Durability::Durable, |writing| writing.put_store_id(start.store_id))?;
        }
        let store_id = store.log_index().store_id.unwrap_or(start.store_id);
        let reading = store.read()?;
        let mut authority = AuthorityLog::default();
        for (_, bytes) in reading.prefixed(Table::Authority, &[])? {
            // Its signature was verified when it was stored, and the row's seal says that it is the same.
            authority.push_verified(&decode::<Signed>(Table::Authority, &bytes)?)?;
        }
        let mut cursors = BTreeMap::new();
        for (key, bytes) in reading.prefixed(Table::Cursors, &[])? {
            if let Some(key) = read_cursor_key(&key) {
                cursors.insert(key, decode(Table::Cursors, &bytes)?);
            }
        }
        let mut stores = BTreeMap::new();
        for (key, bytes) in reading.prefixed(Table::Meta, b"peer/")? {
            if let Ok(site) = key[b"peer/".len()..].try_into() {
                stores.insert(SiteId(site), decode(Table::Meta, &bytes)?);
            }
        }
        let frontiers = Frontiers::load(&reading)?;
        drop(reading);
        // What was awaited may have come just before a crash, or with a newer version of this program.
        let awaited = authority.head().map(|(head, _)| Wait::for_authority(head));
        store.write(Durability::Derived, |writing| {
            let ranges = std::iter::once(Wait::for_version()).chain(awaited);
            ranges.into_iter().try_for_each(|(from, end)| writing.put(Table::Due, &from, &end))
        })?;
        let me = start.key.public();
        let hlc = first_time(&store, &start);
        let own = || store.log_index().scopes().flat_map(|(scope, _)| store.log_index().open_of(&me, scope));
        let generation = match own().max_by_key(|state| state.hlc) {
            Some(before) if crate::fault_injection::reuses_generation() => before.id.generation,
            Some(_) | None => (start.draw)().ok_or(ReplicaError::Random)?,
        };
        let engine = Engine::new(me, store.log_index());
        let mut replica = Self {
            store,
            key: start.key,
            sequencer: start.sequencer,
            generation,
            draw: start.draw,
            to_reissue: true,
            to_seal: true,
            to_revoke: BTreeSet::new(),
            reissued_in: BTreeMap::new(),
            store_id,
            authority,
            engine,
            hlc,
            cursors,
            stores,
            frontiers,
            announced: BTreeMap::new(),
            torn: BTreeMap::new(),
            mistaken: BTreeMap::new(),
            cuts: Cuts::default(),
            awaited: BTreeMap::new(),
            awaited_paced: BTreeMap::new(),
            told_paced: BTreeMap::new(),
            copied: BTreeMap::new(),
            put_off: BTreeMap::new(),
            paced: BTreeMap::new(),
            counted: exchange::Counted::default(),
            authority_heard: false,
            authority_trusted: false,
            lacking: bodies::Lacking::new(start.now),
            long_bodies: Default::default(),
            at_hand: VecDeque::new(),
            uncopied_from: Vec::new(),
            disabled_here: Arc::default(),
            changed: Vec::new(),
            taken_apart: Vec::new(),
            noted: Vec::new(),
            due: true,
            served: None,
            out: VecDeque::new(),
            verdicts: BTreeMap::new(),
            alarms: BTreeMap::new(),
        };
        replica.note_disabled()?;
        for site in replica.store.log_index().forks().sites() {
            replica.find_to_revoke(&site)?;
        }
        Ok(replica)
    }

    /// This site.
    pub fn me(&self) -> SiteId {
        self.key.public()
    }
    /// Whether this site may add to the authority log.
    pub fn is_sequencer(&self) -> bool {
        let key = self.sequencer.as_ref().map(Secret::public);
        key.is_some() && key == self.policy().map(|policy| policy.sequencer)
    }
    /// This start of the process.
    pub fn generation(&self) -> GenerationId {
        self.generation
    }
    /// The state of the authority log; `None` before the site joined.
    pub fn policy(&self) -> Option<&Arc<Policy>> {
        self.authority.current()
    }
    /// The authority log.
    pub fn authority(&self) -> &AuthorityLog {
        &self.authority
    }
    /// The sessions and what they carry.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
    /// The store, for reading and counting.
    pub fn store(&self) -> &Store {
        &self.store
    }
    /// Which frontier announcement of each site and scope is the newest.
    pub fn frontiers(&self) -> &Frontiers {
        &self.frontiers
    }
    /// A view of the store as of now.
    pub fn read(&self) -> Result<Reading, StoreError> {
        self.store.read()
    }
    /// A handle that reads the store from other threads.
    pub fn reader(&self) -> crate::store::Reader {
        self.store.reader()
    }
    /// A small note that a site keeps for itself, under a name of its owner's choice.
    pub fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.read()?.get(Table::Meta, format!("note/{name}").as_bytes())
    }
    /// Writes or (`None`) removes a note.
    pub fn set_note(&mut self, name: &str, value: Option<&[u8]>) -> Result<(), StoreError> {
        let key = format!("note/{name}");
        self.store.write(Durability::Durable, |writing| match value {
            Some(value) => writing.put(Table::Meta, key.as_bytes(), value),
            None => writing.remove(Table::Meta, key.as_bytes()),
        })
    }
    /// Documents that changed since this was last asked. Each stays listed in `Table::Stale` until
    /// [`Replica::projected`] says that the read model has it.
    pub fn take_changed(&mut self) -> Vec<DocChanged> {
        std::mem::take(&mut self.changed)
    }

    /// The read model has these documents as they are now (R27).
    pub fn projected(&mut self, docs: impl IntoIterator<Item = DocId>) {
        self.noted.extend(docs);
    }

    /// The read model has every document as it is now: it was made anew.
    pub fn projected_all(&mut self) -> Result<(), StoreError> {
        self.noted.clear();
        self.store.write(Durability::Durable, |writing| writing.clear(Table::Stale))
    }

    /// A transport session with a proven peer stands.
    pub fn connected(&mut self, now: Timestamp, session: SessionId, peer: SiteId) -> Result<Vec<Output>, ReplicaError> {
        self.run(now, Event::Connected(session, peer))
    }

    /// A transport session is gone.
    pub fn closed(&mut self, now: Timestamp, session: SessionId) -> Result<Vec<Output>, ReplicaError> {
        self.torn.remove(&session);
        self.mistaken.remove(&session);
        self.awaited.remove(&session);
        self.run(now, Event::Closed(session))
    }

    /// A frame came.
    pub fn received(&mut self, now: Timestamp, session: SessionId, frame: &[u8]) -> Result<Vec<Output>, ReplicaError> {
        match crate::wire::decode(frame) {
            Ok(message) => self.run(now, Event::Received(session, message)),
            Err(error) => {
                tracing::warn!(session, %error, "a peer sent what is no frame");
                self.blame(now, session, "bad-frame");
                self.out.push_back(Output::Close(session, "bad-frame"));
                Ok(self.out.drain(..).collect())
            }
        }
    }

    /// Time passed: digests, forwarding of what was held back, announcements, silence.
    pub fn tick(&mut self, now: Timestamp) -> Result<Vec<Output>, ReplicaError> {
        self.announce(now)?;
        self.copy_enrolments(now)?;
        self.want_bodies(now)?;
        self.reissue(now)?;
        self.seal_again(now)?;
        self.revoke_forked(now)?;
        self.run(now, Event::Tick)
    }

    /// Judges and applies at most one portion of what has arrived. `false`: everything is shown. Scopes take turns, so
    /// that much in one does not hold up little in another.
    pub fn catch_up(&mut self, now: Timestamp) -> Result<bool, ReplicaError> {
        let behind: Vec<ScopeId> = self
            .store
            .log_index()
            .scopes()
            .filter(|(_, state)| state.materialized < state.arrivals)
            .map(|(scope, _)| *scope)
            .collect();
        let after = |served: ScopeId| behind.iter().find(|scope| **scope > served);
        let scope = self.served.and_then(after).or(behind.first()).copied();
        if !self.due && scope.is_none() {
            return Ok(self.drop_what_fell()?);
        }
        let (authority, noted, due, cuts) = (&self.authority, &self.noted, self.due, &mut self.cuts);
        let (changed, verdicts, due, enrolled, credentials) = self.store.write(Durability::Derived, |writing| {
            forget_projected(writing, noted)?;
            let mut pass = Materializer::new(authority, cuts);
            // What no longer stands is taken back before anything is built on it.
            let woken = due && (pass.restand(writing, CATCH_UP_RECORDS)? || pass.wake(writing, CATCH_UP_RECORDS)?);
            if let Some(scope) = scope.filter(|_| !woken) {
                pass.catch_up(writing, &scope, CATCH_UP_RECORDS)?;
            }
            let verdicts = std::mem::take(&mut pass.verdicts);
            let due = woken || pass.leaves_due();
            let (enrolled, credentials) = (pass.enrolled(), pass.credentials());
            Ok::<_, StoreError>((pass.finish(writing)?, verdicts, due, enrolled, credentials))
        })?;
        if enrolled {
            self.note_disabled()?;
        }
        self.to_seal |= credentials;
        self.noted.clear();
        self.due = due;
        self.served = scope.or(self.served);
        self.lacking.any |= verdicts.contains_key("waiting-body");
        self.count(verdicts);
        self.changed.extend(changed);
        self.copy_enrolments(now)?;
        Ok(true)
    }

    /// What is to be sent and told since the last call that returned it.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        self.out.drain(..).collect()
    }

    /// How many arrivals are not materialised yet; one more while records that waited are judged again.
    pub fn backlog(&self) -> u64 {
        let left = |(_, state): (&ScopeId, &crate::store::ScopeState)| state.arrivals - state.materialized;
        self.store.log_index().scopes().map(left).sum::<u64>() + u64::from(self.due)
    }

    /// Forgets everything that can be made again from records, and makes it again.
    pub fn rebuild(&mut self, now: Timestamp) -> Result<(), ReplicaError> {
        self.store.write(Durability::Durable, |writing| {
            writing.clear(Table::Credentials)?;
            forget_derived(writing)
        })?;
        while self.catch_up(now)? {}
        Ok(())
    }

    /// Announces what is held of each scope, if that changed and the last time is long enough ago (R17). Linear in the
    /// scopes, and in the open logs of those that changed.
    fn announce(&mut self, now: Timestamp) -> Result<(), ReplicaError> {
        let Some(policy) = self.policy().cloned() else {
            return Ok(());
        };
        let me = self.me();
        let mut news = Vec::new();
        let scopes: Vec<(ScopeId, u64)> =
            self.store.log_index().scopes().map(|(scope, state)| (*scope, state.arrivals)).collect();
        for (scope, arrivals) in scopes {
            let (said, at) = self.announced.get(&scope).copied().unwrap_or((u64::MAX, Timestamp(0)));
            let mine = self.frontiers.get(&me, &scope).is_some_and(|newest| newest.generation == self.generation);
            let waits = now >= at && now.since(at) < FRONTIER_INTERVAL;
            if (said == arrivals && mine) || waits || !policy.holds(&me, &scope) {
                continue;
            }
            self.hlc = self.hlc.tick(now);
            let known = (&self.frontiers, self.store.log_index());
            let whole = frontiers::say(policy.org, &self.key, self.generation, self.hlc, scope, known);
            let known = &mut self.frontiers;
            news.push(self.store.write(Durability::Derived, |writing| {
                let before = frontiers::read(writing, &me, &scope)?;
                frontiers::keep(writing, known, before, whole)
            })?);
            self.announced.insert(scope, (arrivals, now));
        }
        if !news.is_empty() {
            let outputs = self.run(now, Event::FrontiersGrown(None, news))?;
            self.out.extend(outputs);
        }
        Ok(())
    }

    fn alarm(&mut self, now: Timestamp, alarm: Alarm) {
        if !self.alarms.contains_key(&alarm) {
            tracing::warn!(code = alarm.code(), ?alarm, "alarm");
            self.out.push_back(Output::Alarm(alarm.clone()));
            self.alarms.insert(alarm, now);
        }
    }

    /// Says that the peer of a session sent what no honest one sends.
    fn blame(&mut self, now: Timestamp, session: SessionId, code: &'static str) {
        if let Some(peer) = self.engine.sessions().get(&session).map(|visit| visit.peer) {
            self.alarm(now, Alarm::Refused(peer, code));
        }
    }

    fn count(&mut self, verdicts: BTreeMap<String, u64>) {
        for (code, times) in verdicts {
            *self.verdicts.entry(code).or_default() += times;
        }
    }

    /// Sites that are in the organisation no more: their keys are revoked, or they are retired.
    pub fn ended(&self) -> BTreeSet<SiteId> {
        let ended = |policy: &Arc<Policy>| policy.revoked.keys().chain(policy.retired.keys()).copied().collect();
        self.policy().map(ended).unwrap_or_default()
    }

    /// Active sites other than this one; none for a site that is in the organisation no more, as far as it knows.
    pub fn peers(&self) -> Vec<Arc<SiteEntry>> {
        let Some(policy) = self.policy().filter(|policy| policy.ended(&self.me()).is_none()) else {
            return Vec::new();
        };
        let counts = |site: &&Arc<SiteEntry>| site.site != self.me() && policy.is_active(&site.site);
        policy.sites.values().filter(counts).cloned().collect()
    }

    fn engine_input<'a>(
        &'a self,
        policy: Option<&'a Policy>,
        lines: &'a dyn Fn(&SiteId, &ScopeId) -> HeldSeqs,
    ) -> EngineInput<'a> {
        EngineInput {
            policy,
            authority: self.authority.pin().unwrap_or_default(),
            log_index: self.store.log_index(),
            settled: self.backlog() == 0 && !self.lacking.any,
            store: self.store_id,
            generation: self.generation,
            cursors: &self.cursors,
            stores: &self.stores,
            frontiers: &self.frontiers,
            lines,
        }
    }
}

/// Takes back everything that is made of records, so that it is made again in portions. What people log in with stays until
/// its record is judged again: they go on logging in meanwhile.
fn forget_derived(writing: &mut Writing<'_>) -> Result<(), StoreError> {
    for table in Table::DERIVED.into_iter().filter(|table| *table != Table::Credentials) {
        writing.clear(table)?;
    }
    let scopes: Vec<_> = writing.log_index().scopes().map(|(id, state)| (*id, state.clone())).collect();
    for (id, mut state) in scopes {
        state.materialized = 0;
        state.digest = [0; 32];
        writing.put_scope(id, state)?;
    }
    Ok(())
}

/// Removes what the read model has from the list of what it may lack.
fn forget_projected(writing: &mut Writing<'_>, docs: &[DocId]) -> Result<(), StoreError> {
    docs.iter().try_for_each(|doc| writing.remove(Table::Stale, &doc.0))
}

/// A new generation starts at its own clock, moved on by what was held before as far as that may (R28): a clock that
/// was once far ahead does not stay so.
fn first_time(store: &Store, start: &Start) -> Hlc {
    let index = store.log_index();
    let logs = index.scopes().flat_map(|(scope, _)| index.open_in(scope));
    logs.fold(Hlc::default().tick(start.now), |hlc, log| hlc.observe(log.hlc, start.now))
}

fn id_at<const N: usize>(key: &[u8], at: usize) -> Option<[u8; N]> {
    key.get(at..at + N)?.try_into().ok()
}

fn cursor_key(store: &StoreId, scope: &ScopeId, lane: Lane) -> Vec<u8> {
    [&store.0, &scope.0, [lane.number()].as_slice()].concat()
}

fn read_cursor_key(key: &[u8]) -> Option<(StoreId, ScopeId, Lane)> {
    let lane = match key.get(32)? {
        0 => Lane::Own,
        1 => Lane::Others,
        _ => return None,
    };
    Some((StoreId(id_at(key, 0)?), ScopeId(id_at(key, 16)?), lane))
}
