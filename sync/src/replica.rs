//! One site's replica: store, documents, authority log and engine put together.
//!
//! Single-threaded and without a clock: whoever owns it calls [`Replica::handle`] with what happened and
//! the time, sends the frames it returns, calls [`Replica::catch_up`] when there is time, and
//! [`Replica::write`] for people here. The node does that on a thread, the simulator in a loop; there is no
//! other difference between them.

mod effects;
mod fetch;
mod people;
mod references;
mod write;

use std::collections::{BTreeMap, VecDeque};

use schema::authority::{AuthorityRef, Body, Signed, Standing};
use schema::codec::{Canonical, CodecError};
use schema::id::{DocId, GenerationId, ScopeId, SiteId, StoreId};
use schema::identity::Secret;
use schema::policy::{AuthorityError, AuthorityLog, Policy};
use schema::time::{Hlc, Timestamp};
use std::sync::Arc;
use thiserror::Error;

use crate::docs::DocChanged;
use crate::docs::apply::{Materializer, WakeRange};
use crate::engine::{Engine, EngineInput, Event, SessionId};
use crate::frontiers::{self, Frontiers};
use crate::limits::{CATCH_UP_RECORDS, FRONTIER_INTERVAL, FRONTIER_REPEAT};
use crate::store::rows::Wait;
use crate::store::{Durability, Reading, Source, Store, StoreError, Table, Writing, decode};
use crate::wire::{Cursor, Lane};
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

/// What is wrong, with a stable code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// A younger generation of this site's own key writes somewhere (R1).
    CloneRunning(GenerationId),
    /// Records of this site came back that its disk had lost.
    OwnRecordsBack,
    /// Documents differ although the records are the same; they are made again (R22).
    Diverged(ScopeId),
    /// A key signed two records at one place of its log (R20).
    Forked(SiteId),
    /// A peer sent what no honest peer sends.
    Refused(SiteId, &'static str),
}

impl Alarm {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::CloneRunning(_) => "CLONE-RUNNING",
            Self::OwnRecordsBack => "OWN-RECORDS-BACK",
            Self::Diverged(_) => "DOCS-DIVERGED",
            Self::Forked(_) => "LOG-FORKED",
            Self::Refused(..) => "PEER-REFUSED",
        }
    }
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
    /// The replica has no authority log yet.
    #[error("this site has not joined an organisation yet")]
    NotJoined,
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
    /// Drawn for this start (R1).
    pub generation: GenerationId,
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
    store_id: StoreId,
    authority: AuthorityLog,
    engine: Engine,
    hlc: Hlc,
    started: Hlc,
    cursors: BTreeMap<(StoreId, ScopeId, Lane), Cursor>,
    stores: BTreeMap<SiteId, StoreId>,
    frontiers: Frontiers,
    frontier_said: Timestamp,
    /// Enrolments looked at by the sequencer.
    enrolments_seen: u64,
    changed: Vec<DocChanged>,
    /// Documents that the read model has taken: no longer stale, which the next transaction writes.
    noted: Vec<DocId>,
    /// Waiting records to be judged again, by key.
    due: VecDeque<WakeRange>,
    out: VecDeque<Output>,
    /// Judgements by code since the start: for metrics and for the campaign's counters.
    pub verdicts: BTreeMap<String, u64>,
    /// What people were told of already.
    pub alarms: BTreeMap<Alarm, Timestamp>,
}

impl Replica {
    /// Opens the replica on a store.
    pub fn open(mut store: Store, start: Start) -> Result<Self, ReplicaError> {
        let fresh = store.log_index().store_id.is_none();
        if fresh || start.copied {
            store.write(Durability::Durable, |writing| writing.put_store_id(start.store_id))?;
        }
        let store_id = store.log_index().store_id.unwrap_or(start.store_id);
        let reading = store.read()?;
        let mut authority = AuthorityLog::default();
        for (_, bytes) in reading.prefixed(Table::Authority, &[])? {
            authority.push(&decode::<Signed>(Table::Authority, &bytes)?)?;
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
        let frontiers = frontiers::load(&reading)?;
        let hlc = first_time(&store, &frontiers, &start);
        let me = start.key.public();
        let before = store.log_index().logs.values().filter(|state| state.id.site == me).max_by_key(|state| state.hlc);
        let generation = match before {
            Some(before) if crate::fault_injection::reuses_generation() => before.id.generation,
            Some(_) | None => start.generation,
        };
        let engine = Engine::new(me, store.log_index());
        // What was awaited may have come just before a crash, or with a newer version of this program.
        let mut due = VecDeque::from([Wait::for_version()]);
        due.extend(authority.head().map(|(head, _)| Wait::for_authority(head)));
        Ok(Self {
            store,
            key: start.key,
            sequencer: start.sequencer,
            generation,
            store_id,
            authority,
            engine,
            hlc,
            started: hlc,
            cursors,
            stores,
            frontiers,
            frontier_said: start.now,
            enrolments_seen: 0,
            changed: Vec::new(),
            noted: Vec::new(),
            due,
            out: VecDeque::new(),
            verdicts: BTreeMap::new(),
            alarms: BTreeMap::new(),
        })
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
    /// The newest frontier announcement of each site.
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
    /// [`Replica::shown`] says that the read model has it.
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
        self.run(now, Event::Closed(session))
    }

    /// A frame came.
    pub fn received(&mut self, now: Timestamp, session: SessionId, frame: &[u8]) -> Result<Vec<Output>, ReplicaError> {
        match crate::wire::decode(frame) {
            Ok(message) => self.run(now, Event::Received(session, message)),
            Err(error) => {
                tracing::warn!(session, %error, "a peer sent what is no frame");
                if let Some(visit) = self.engine.sessions().get(&session) {
                    self.alarm(now, Alarm::Refused(visit.peer, "bad-frame"));
                }
                self.out.push_back(Output::Close(session, "bad-frame"));
                Ok(self.out.drain(..).collect())
            }
        }
    }

    /// Time passed: digests, forwarding of what was held back, frontiers, silence.
    pub fn tick(&mut self, now: Timestamp) -> Result<Vec<Output>, ReplicaError> {
        self.say_frontier(now)?;
        self.copy_enrolments(now)?;
        self.run(now, Event::Tick)
    }

    /// Judges and applies at most one portion of what has arrived. `false`: everything is shown.
    pub fn catch_up(&mut self, now: Timestamp) -> Result<bool, ReplicaError> {
        let behind = |(_, state): &(&ScopeId, &crate::store::ScopeState)| state.materialized < state.arrivals;
        let scope = self.store.log_index().scopes.iter().find(behind).map(|(scope, _)| *scope);
        let due = self.due.front().cloned();
        if due.is_none() && scope.is_none() {
            return Ok(false);
        }
        let (authority, noted) = (&self.authority, &self.noted);
        let (changed, verdicts, left) = self.store.write(Durability::Derived, |writing| {
            forget_projected(writing, noted)?;
            let mut pass = Materializer::new(authority);
            let mut left = None;
            match (&due, &scope) {
                (Some(due), _) => left = pass.wake(writing, due, CATCH_UP_RECORDS)?,
                (None, Some(scope)) => drop(pass.catch_up(writing, scope, CATCH_UP_RECORDS)?),
                (None, None) => {}
            }
            let verdicts = std::mem::take(&mut pass.verdicts);
            Ok::<_, StoreError>((pass.finish(writing)?, verdicts, left))
        })?;
        self.noted.clear();
        if due.is_some() {
            self.due.pop_front();
            self.due.extend(left);
        }
        self.count(verdicts);
        self.changed.extend(changed);
        self.copy_enrolments(now)?;
        Ok(true)
    }

    /// What is to be sent and told since the last call that returned it.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        self.out.drain(..).collect()
    }

    /// How many arrivals are not shown yet; one more while records that waited are judged again.
    pub fn backlog(&self) -> u64 {
        let arrivals: u64 =
            self.store.log_index().scopes.values().map(|state| state.arrivals - state.materialized).sum();
        arrivals + u64::from(!self.due.is_empty())
    }

    /// Forgets everything that can be made again from records, and makes it again.
    pub fn rebuild(&mut self, now: Timestamp) -> Result<(), ReplicaError> {
        self.store.write(Durability::Durable, |writing| {
            for table in Table::DERIVED {
                writing.clear(table)?;
            }
            let scopes: Vec<_> = writing.log_index().scopes.iter().map(|(id, state)| (*id, state.clone())).collect();
            for (id, mut state) in scopes {
                state.materialized = 0;
                state.digest = [0; 32];
                writing.put_scope(id, state)?;
            }
            Ok::<_, StoreError>(())
        })?;
        self.enrolments_seen = 0;
        while self.catch_up(now)? {}
        Ok(())
    }

    /// Adds a statement to the authority log, as its sequencer.
    /// Errors: `NotSequencer`; `Authority` if it breaks a rule, and then nothing was said.
    pub fn say(&mut self, now: Timestamp, body: &Body) -> Result<Vec<Output>, ReplicaError> {
        self.say_quietly(now, body)?;
        self.authority_grown(now)
    }

    fn say_quietly(&mut self, now: Timestamp, body: &Body) -> Result<(), ReplicaError> {
        let sequencer = self.sequencer.as_ref().ok_or(ReplicaError::NotSequencer)?;
        let policy = self.authority.current().ok_or(ReplicaError::NotJoined)?;
        let (at, previous) = self.authority.head().ok_or(ReplicaError::NotJoined)?;
        self.hlc = self.hlc.tick(now);
        let next = AuthorityRef { epoch: at.epoch, position: at.position + 1 };
        let signed = Signed::new(policy.org, next, previous, self.hlc, body, sequencer);
        self.keep_statements(vec![signed])
    }

    /// Takes the first statements of an organisation: at `init`, or from an inviter.
    pub fn bootstrap(&mut self, statements: Vec<Signed>) -> Result<(), ReplicaError> {
        self.keep_statements(statements)
    }

    /// Statements from `position` on.
    pub fn statements(&self, position: u64) -> Result<Vec<Signed>, StoreError> {
        let rows = self.store.read()?.range(Table::Authority, &position.to_be_bytes(), None, usize::MAX)?;
        rows.iter().map(|(_, bytes)| decode(Table::Authority, bytes)).collect()
    }

    fn keep_statements(&mut self, statements: Vec<Signed>) -> Result<(), ReplicaError> {
        let mut authority = self.authority.clone();
        let mut kept = Vec::new();
        for signed in statements {
            if authority.hash_at(signed.statement.at.position) == Some(signed.statement.hash()) {
                continue;
            }
            authority.push(&signed)?;
            kept.push(signed);
        }
        let epoch = |log: &AuthorityLog| log.head().map_or(0, |(at, _)| at.epoch);
        let handed_over = !self.authority.is_empty() && epoch(&authority) > epoch(&self.authority);
        self.store.write(Durability::Durable, |writing| {
            for signed in &kept {
                let position = signed.statement.at.position;
                for (key, _) in writing.range(Table::Authority, &position.to_be_bytes(), None, usize::MAX)? {
                    writing.remove(Table::Authority, &key)?;
                }
                writing.put(Table::Authority, &position.to_be_bytes(), &signed.to_bytes())?;
            }
            writing.count_statements()?;
            Ok::<_, StoreError>(())
        })?;
        if let Some(last) = kept.last() {
            let now = last.statement.hlc.timestamp();
            self.hlc = self.hlc.observe(last.statement.hlc, now);
            self.authority = authority;
            if let Some((head, _)) = self.authority.head() {
                let fresh = Wait::for_authority(head);
                self.due.retain(|due| due.0.first() != fresh.0.first());
                self.due.push_back(fresh);
            }
            if handed_over {
                self.rebuild(now)?;
            }
        }
        Ok(())
    }

    fn authority_grown(&mut self, now: Timestamp) -> Result<Vec<Output>, ReplicaError> {
        self.out.push_back(Output::Authority);
        self.run(now, Event::AuthorityGrown)
    }

    /// Says what is held, if that is news and the last time is long enough ago.
    fn say_frontier(&mut self, now: Timestamp) -> Result<(), ReplicaError> {
        let Some(policy) = self.policy().cloned() else {
            return Ok(());
        };
        if now.since(self.frontier_said) < FRONTIER_INTERVAL {
            return Ok(());
        }
        let next = self.hlc.tick(now);
        let said = frontiers::say(policy.org, &self.key, self.generation, next, self.store.log_index());
        let held = self.frontiers.get(&self.me());
        let same = held.is_some_and(|held| {
            held.frontier.lines == said.frontier.lines && held.frontier.generation == said.frontier.generation
        });
        if same && now.since(self.frontier_said) < FRONTIER_REPEAT {
            return Ok(());
        }
        self.hlc = next;
        self.frontier_said = now;
        self.store.write(Durability::Derived, |writing| {
            writing.put(Table::Frontiers, &said.frontier.site.0, &said.to_bytes())
        })?;
        self.frontiers.insert(self.me(), said.clone());
        let outputs = self.run(now, Event::FrontiersGrown(None, vec![said]))?;
        self.out.extend(outputs);
        Ok(())
    }

    fn alarm(&mut self, now: Timestamp, alarm: Alarm) {
        if !self.alarms.contains_key(&alarm) {
            tracing::warn!(code = alarm.code(), ?alarm, "alarm");
            self.out.push_back(Output::Alarm(alarm.clone()));
            self.alarms.insert(alarm, now);
        }
    }

    fn count(&mut self, verdicts: BTreeMap<String, u64>) {
        for (code, times) in verdicts {
            *self.verdicts.entry(code).or_default() += times;
        }
    }

    /// Active sites other than this one.
    pub fn peers(&self) -> Vec<Arc<schema::authority::SiteEntry>> {
        let Some(policy) = self.policy() else {
            return Vec::new();
        };
        let counts = |site: &&Arc<schema::authority::SiteEntry>| {
            site.site != self.me() && site.standing == Standing::Active && !policy.revoked.contains_key(&site.site)
        };
        policy.sites.values().filter(counts).cloned().collect()
    }

    fn here<'a>(&'a self, policy: Option<&'a Policy>) -> EngineInput<'a> {
        EngineInput {
            policy,
            authority: self.authority.head().unwrap_or_default(),
            local: self.store.log_index(),
            settled: self.backlog() == 0,
            store: self.store_id,
            generation: self.generation,
            cursors: &self.cursors,
            stores: &self.stores,
            frontiers: &self.frontiers,
        }
    }
}

/// Removes what the read model has from the list of what it may lack.
fn forget_projected(writing: &mut Writing<'_>, docs: &[DocId]) -> Result<(), StoreError> {
    docs.iter().try_for_each(|doc| writing.remove(Table::Stale, &doc.0))
}

/// A time after everything that this site ever said, whatever its clock says now, and after what others said as
/// far as that may move it (R28).
fn first_time(store: &Store, frontiers: &Frontiers, start: &Start) -> Hlc {
    let me = start.key.public();
    let (own, others): (Vec<_>, Vec<_>) = store.log_index().logs.values().partition(|state| state.id.site == me);
    let latest = |states: Vec<&crate::store::LogState>| states.iter().map(|state| state.hlc).max().unwrap_or_default();
    let said = frontiers.get(&me).map(|signed| signed.frontier.hlc).unwrap_or_default();
    let own = latest(own).max(said);
    Hlc::default().tick(start.now).observe(latest(others), start.now).max(own)
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
