//! The sync engine: what to tell which peer, decided without touching anything (R21 to R23).
//!
//! [`Engine::step`] takes an event and what this site holds ([`EngineInput`]) and answers with effects; it has no
//! socket, clock or disk. Per session and scope the story is: both sides *offer* (cursor, digests); each
//! then *pumps* two lanes of arrivals that the other lacks, a window of frames at a time; what arrives is
//! admitted, made durable and acknowledged; the lanes stay open and carry live edits. After a quiet
//! moment digests are compared, and vectors if they differ: nothing stays missing because of a bug or a
//! lost message. [`crate::replica`] carries the effects out.

mod anti_entropy;
mod events;
mod forks;
mod records;
pub mod scope;

pub use events::{Admission, Effect, EngineInput, Event, Fetched, ReceivedPiece, SessionId};
pub use scope::ScopeSync;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use schema::authority::AuthorityRef;
use schema::id::{GenerationId, ScopeId, SiteId};
use schema::policy::Policy;
use schema::time::Timestamp;

use crate::frontiers::Newest;
use crate::limits::{
    ACK_PATIENCE, FRAME_MIN_BYTES, FRAME_START_BYTES, FRAME_TARGET_BYTES, LINK_FAST, LINK_SLOW, MAX_OFFERS,
    MAX_WHOLE_BODY, PING_INTERVAL, SESSION_SILENCE, SESSION_WINDOW, SKIPPED_INTERVAL,
};
use crate::store::LogIndex;
use crate::store::log_index::HeldSeqs;
use crate::wire::{DocsAt, Hello, Lane, Message, Offer, VERSIONS};

/// One peer's visit.
#[derive(Debug)]
pub struct SyncSession {
    /// The peer.
    pub peer: SiteId,
    /// When it began.
    pub since: Timestamp,
    /// When something last came.
    pub heard: Timestamp,
    hello: Option<Hello>,
    said: Timestamp,
    authority_sent: Option<AuthorityRef>,
    direct: BTreeSet<SiteId>,
    scopes: BTreeMap<ScopeId, ScopeSync>,
    /// Scopes with something to send that wait for their turn.
    waiting: VecDeque<ScopeId>,
    /// Bytes of bodies in a frame: fewer on a slow link, so that none takes long (R21).
    frame_bytes: usize,
    /// Whether a frame of records was acknowledged. Until then one is on the way: those that follow are of a size that
    /// the link is known to bear, and larger frames hold more of what repeats.
    is_link_known: bool,
    /// When what was left out was last asked for again.
    asked_again: Timestamp,
    /// Whether this side listed its frontier announcements.
    listed: bool,
}

impl SyncSession {
    /// The peer's generation, once it said hello.
    pub fn generation(&self) -> Option<GenerationId> {
        self.hello.as_ref().map(|hello| hello.generation)
    }
    /// Sites that the peer has sessions with.
    pub fn direct(&self) -> &BTreeSet<SiteId> {
        &self.direct
    }
    /// A scope that the session carries.
    pub fn scope(&self, scope: &ScopeId) -> Option<&ScopeSync> {
        self.scopes.get(scope)
    }
    /// Frames of records on the way.
    fn in_flight(&self) -> usize {
        self.scopes.values().map(ScopeSync::in_flight).sum()
    }
    /// A frame of this size took this long from here to being durable there: the next ones are of a size that takes seconds
    /// at most. One that was small says nothing of what a large one would take.
    fn measured(&mut self, took: std::time::Duration, size: usize) {
        self.is_link_known = true;
        let tells = size >= self.frame_bytes / 4;
        self.frame_bytes = match took {
            took if took > LINK_SLOW => self.frame_bytes / 2,
            took if took < LINK_FAST && tells => {
                let bearable = size as u128 * LINK_FAST.as_millis() / took.as_millis().max(1);
                self.frame_bytes.max(bearable.min(FRAME_TARGET_BYTES as u128) as usize)
            }
            _ => self.frame_bytes,
        }
        .clamp(FRAME_MIN_BYTES, FRAME_TARGET_BYTES);
    }
    /// How many frames of records of all its scopes may be on the way together.
    fn window(&self) -> usize {
        if self.is_link_known { SESSION_WINDOW } else { 1 }
    }
    /// Whether both sides said they hold the same records of every scope carried.
    pub fn is_in_step(&self) -> bool {
        let mut begun = self.scopes.values().filter(|sync| sync.begun).peekable();
        self.hello.is_some() && begun.peek().is_some() && begun.all(|sync| sync.in_step)
    }
    /// A clock that was set back must not stretch every wait by as much.
    fn turn_back(&mut self, now: Timestamp) {
        self.heard = self.heard.min(now);
        self.said = self.said.min(now);
        self.asked_again = self.asked_again.min(now);
        self.scopes.values_mut().for_each(|sync| sync.turn_back(now));
    }
}

/// One step: when, on what, and what is decided so far.
struct Turn<'a> {
    now: Timestamp,
    here: &'a EngineInput<'a>,
    out: Vec<Effect>,
}

/// All sessions of a site.
#[derive(Debug)]
pub struct Engine {
    me: SiteId,
    sessions: BTreeMap<SessionId, SyncSession>,
    recent: BTreeMap<ScopeId, Recent>,
}

/// When the newest arrivals of a scope came.
#[derive(Debug, Default)]
struct Recent {
    /// The last arrival seen.
    seen: u64,
    /// First arrival of each step, and its time; not older than `FORWARD_DELAY`.
    steps: VecDeque<(u64, Timestamp)>,
}

impl Engine {
    /// An engine without sessions, on a store that holds this; all of it counts as old.
    pub fn new(me: SiteId, local: &LogIndex) -> Self {
        let old = |state: &crate::store::ScopeState| Recent { seen: state.arrivals, steps: VecDeque::new() };
        let recent = local.scopes().map(|(scope, state)| (*scope, old(state))).collect();
        Self { me, sessions: BTreeMap::new(), recent }
    }

    /// The sessions, by number.
    pub fn sessions(&self) -> &BTreeMap<SessionId, SyncSession> {
        &self.sessions
    }

    /// Decides what follows from an event.
    pub fn step(&mut self, now: Timestamp, event: Event, here: &EngineInput<'_>) -> Vec<Effect> {
        let mut whole = Turn { now, here, out: Vec::new() };
        let turn = &mut whole;
        match event {
            Event::Connected(id, peer) => self.connected(turn, id, peer),
            Event::Closed(id) => {
                self.sessions.remove(&id);
                self.tell_peers(turn);
            }
            Event::Received(id, message) => self.received(turn, id, message),
            Event::Fetched(id, scope, lane, fetched) => self.fetched(turn, id, scope, lane, fetched),
            Event::Admitted(id, scope, lane, cursor, admission) => {
                self.admitted(turn, id, scope, lane, cursor, admission);
            }
            Event::AuthorityGrown => self.authority_grown(turn),
            Event::Arrived => self.arrived(turn),
            Event::Forked(scope, forks) => self.forked(turn, scope, &forks),
            Event::FrontiersGrown(from, news) => self.frontiers_grown(turn, from, &news),
            Event::Tick => self.tick(turn),
        }
        whole.out
    }

    fn connected(&mut self, turn: &mut Turn<'_>, id: SessionId, peer: SiteId) {
        let (now, here) = (turn.now, turn.here);
        let Some(policy) = here.policy else {
            turn.out.push(Effect::Close(id, "no-authority"));
            return;
        };
        let session = SyncSession {
            peer,
            since: now,
            heard: now,
            hello: None,
            said: now,
            authority_sent: None,
            direct: BTreeSet::new(),
            scopes: BTreeMap::new(),
            waiting: VecDeque::new(),
            frame_bytes: FRAME_START_BYTES,
            is_link_known: false,
            asked_again: now,
            listed: false,
        };
        self.sessions.insert(id, session);
        let frontiers = here.frontiers.digest(|scope| self.is_common(policy, &peer, scope));
        self.send(
            turn,
            id,
            Message::Hello(Hello {
                versions: VERSIONS,
                org: policy.org,
                store: here.store,
                generation: here.generation,
                authority: here.authority,
                frontiers,
            }),
        );
        self.offer_scopes(turn, id);
        self.tell_peers(turn);
    }

    /// Whether this site and a peer both hold a scope, by the current policy.
    fn is_common(&self, policy: &Policy, peer: &SiteId, scope: &ScopeId) -> bool {
        policy.holds(&self.me, scope) && policy.holds(peer, scope)
    }

    /// Offers every scope that both hold by the current policy and that was not offered yet (R23).
    fn offer_scopes(&mut self, turn: &mut Turn<'_>, id: SessionId) {
        let here = turn.here;
        let (Some(policy), Some(session)) = (here.policy, self.sessions.get(&id)) else {
            return;
        };
        let peer = session.peer;
        let offered = |scope: &ScopeId| session.scopes.get(scope).is_some_and(|sync| sync.offered);
        let common: Vec<ScopeId> = policy
            .scopes()
            .map(|(scope, _)| scope)
            .filter(|scope| policy.holds(&self.me, scope) && !offered(scope))
            .filter(|scope| policy.holds(&peer, scope) || crate::fault_injection::sends_every_scope())
            .collect();
        for scope in common {
            let store = here.stores.get(&peer);
            let cursor = |lane| store.and_then(|store| here.cursors.get(&(*store, scope, lane)).copied());
            let offer = Offer {
                scope,
                cursors: Lane::BOTH.map(cursor),
                vector: here.log_index.vector_digest(&scope),
                docs: docs_at(here, &scope),
                floor: 0,
                announced: here.frontiers.get(&self.me, &scope).map_or(0, |newest| newest.number),
            };
            if let Some(session) = self.sessions.get_mut(&id) {
                session.scopes.entry(scope).or_default().offered = true;
            }
            self.send(turn, id, Message::Offer(offer));
            self.begin(turn, id, scope);
        }
    }

    fn received(&mut self, turn: &mut Turn<'_>, id: SessionId, message: Message) {
        let now = turn.now;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.heard = now;
        if session.hello.is_none() && !matches!(message, Message::Hello(_) | Message::Bye(_)) {
            turn.out.push(Effect::Close(id, "hello-first"));
            return;
        }
        match message {
            Message::Hello(hello) => self.hello(turn, id, hello),
            Message::Offer(offer) => {
                let scope = offer.scope;
                // A scope may be offered before its statement is here; many that nobody knows are an attack.
                if session.scopes.len() >= MAX_OFFERS && !session.scopes.contains_key(&scope) {
                    turn.out.push(Effect::Close(id, "too-many-offers"));
                    return;
                }
                session.scopes.entry(scope).or_default().offer = Some(offer);
                self.begin(turn, id, scope);
            }
            Message::Authority(statements) => turn.out.push(Effect::AdmitAuthority(id, statements)),
            Message::Runs { scope, lane, cursor, runs } => self.runs(turn, id, scope, lane, cursor, runs),
            Message::Ack { scope, lane, cursor: _ } => {
                let took = session.scopes.get_mut(&scope).and_then(|sync| sync.lane(lane).acknowledged(now));
                took.into_iter().for_each(|(took, size)| session.measured(took, size));
                self.pump(turn, id, scope);
                self.pump_waiting(turn, id);
            }
            Message::Vector { scope, lines, answer } => self.vector(turn, id, scope, &lines, answer),
            Message::Digest { scope, vector, docs } => self.digest(turn, id, scope, vector, docs),
            Message::Frontiers(updates) => turn.out.push(Effect::AdmitFrontiers(id, updates)),
            Message::FrontierList { answer, held } => self.frontier_list(turn, id, answer, &held),
            Message::FrontierWant(places) => self.frontier_want(turn, id, places),
            Message::Want { scope, records } => {
                if self.may_carry(turn, id, &scope) {
                    turn.out.push(Effect::SendBodies(id, scope, records));
                }
            }
            Message::Bodies { scope, bodies } => turn.out.push(Effect::AdmitBodies(scope, bodies)),
            Message::WantPiece { scope, wanted } => {
                let most = session.frame_bytes.min(MAX_WHOLE_BODY);
                if self.may_carry(turn, id, &scope) {
                    turn.out.push(Effect::SendPiece(id, scope, (wanted, most)));
                }
            }
            Message::Piece { name, length, offset, bytes } => {
                turn.out.push(Effect::AdmitPiece(id, ReceivedPiece { name, length, offset, bytes }));
            }
            Message::ForkPoints { scope, log, points } => self.fork_points(turn, id, scope, log, points),
            Message::ForkBranch(branch) => turn.out.push(Effect::AdmitBranch(id, branch)),
            Message::ForkList { scope, held } => self.fork_list(turn, id, scope, held),
            Message::ForkWant { scope, wanted } => self.fork_want(turn, id, scope, &wanted),
            Message::Fork(proof) => turn.out.push(Effect::AdmitFork(id, proof)),
            Message::Newer(tag) => tracing::debug!(id, tag, "a message of a newer version is passed over"),
            Message::Peers(sites) => session.direct = sites.into_iter().collect(),
            Message::Ping => {}
            Message::Bye(_) => turn.out.push(Effect::Close(id, "bye")),
        }
    }

    fn hello(&mut self, turn: &mut Turn<'_>, id: SessionId, hello: Hello) {
        let here = turn.here;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.hello.is_some() || here.policy.is_none_or(|policy| policy.org != hello.org) {
            turn.out.push(Effect::Close(id, "another-organisation"));
            return;
        }
        let common = hello.versions.1.min(VERSIONS.1);
        if common < hello.versions.0.max(VERSIONS.0) {
            turn.out.push(Effect::Close(id, "no-common-version"));
            return;
        }
        turn.out.push(Effect::KeepStore(session.peer, hello.store));
        let (peer, theirs) = (session.peer, hello.authority);
        session.authority_sent = Some(theirs.at);
        let frontiers = hello.frontiers;
        session.hello = Some(hello);
        if theirs.at <= here.authority.at {
            turn.out.push(Effect::AuthorityHeard(id, theirs));
        }
        self.send_authority(turn, id);
        let common = |scope: &ScopeId| here.policy.is_some_and(|policy| self.is_common(policy, &peer, scope));
        if here.frontiers.digest(common) != frontiers {
            self.list_frontiers(turn, id, true);
        }
    }

    /// Sends what the authority log says beyond what the peer was sent; ends the session of a site that is in the
    /// organisation no more.
    fn send_authority(&mut self, turn: &mut Turn<'_>, id: SessionId) {
        let here = turn.here;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let at = here.authority.at;
        let ended = here.policy.and_then(|policy| policy.ended(&session.peer));
        if let Some(sent) = session.authority_sent.filter(|sent| *sent < at) {
            // After a hand-over the other side may hold statements that no longer stand: begin early.
            let from = if sent.epoch == at.epoch { sent.position + 1 } else { 0 };
            // Who is in no more hears that, and nothing of what came after.
            let to = ended.map_or(u64::MAX, |(_, since)| since.position);
            turn.out.push(Effect::SendAuthority(id, from, to));
            session.authority_sent = Some(at);
        }
        if let Some((why, _)) = ended {
            turn.out.push(Effect::Close(id, why.word()));
        }
    }

    fn authority_grown(&mut self, turn: &mut Turn<'_>) {
        let here = turn.here;
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            let Some(session) = self.sessions.get(&id) else {
                continue;
            };
            let peer = session.peer;
            self.send_authority(turn, id);
            if here.policy.is_some_and(|policy| policy.ended(&peer).is_some()) {
                continue;
            }
            self.offer_scopes(turn, id);
            self.ask_for_skipped(turn, id);
            let scopes: Vec<ScopeId> =
                self.sessions.get(&id).into_iter().flat_map(|s| s.scopes.keys().copied()).collect();
            for scope in scopes {
                self.begin(turn, id, scope);
            }
        }
    }

    /// Logs whose key was not known are asked for again by saying what is held (R9).
    fn ask_for_skipped(&mut self, turn: &mut Turn<'_>, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let take = |(id, sync): (&ScopeId, &mut ScopeSync)| std::mem::take(&mut sync.skipped).then_some(*id);
        let skipped: Vec<ScopeId> = session.scopes.iter_mut().filter_map(take).collect();
        for scope in skipped {
            self.say_vector(turn, id, scope, false);
        }
    }

    fn tell_peers(&mut self, turn: &mut Turn<'_>) {
        let peers: BTreeSet<SiteId> = self.sessions.values().map(|session| session.peer).collect();
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            self.send(turn, id, Message::Peers(peers.iter().copied().collect()));
        }
    }

    fn tick(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        for (_, at) in self.recent.values_mut().flat_map(|recent| &mut recent.steps) {
            *at = now.min(*at);
        }
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            let Some(session) = self.sessions.get_mut(&id) else {
                continue;
            };
            session.turn_back(now);
            if now.since(session.heard) >= SESSION_SILENCE {
                turn.out.push(Effect::Close(id, "silent"));
                continue;
            }
            if session.scopes.values().any(|sync| sync.waits_since(now) >= ACK_PATIENCE) {
                turn.out.push(Effect::Close(id, "not-acknowledged"));
                continue;
            }
            // The offer may have been lost on a peer's side: the next session begins with new ones.
            if session.scopes.values().any(|sync| sync.unanswered_for(now) >= ACK_PATIENCE) {
                turn.out.push(Effect::Close(id, "not-answered"));
                continue;
            }
            if now.since(session.said) >= PING_INTERVAL {
                self.send(turn, id, Message::Ping);
            }
            let asks = self.sessions.get_mut(&id).filter(|session| now.since(session.asked_again) >= SKIPPED_INTERVAL);
            if let Some(session) = asks {
                session.asked_again = now;
                self.ask_for_skipped(turn, id);
            }
            let scopes: Vec<ScopeId> =
                self.sessions.get(&id).into_iter().flat_map(|session| session.scopes.keys().copied()).collect();
            for scope in scopes {
                self.pump(turn, id, scope);
                self.compare(turn, id, scope);
            }
        }
    }

    fn send(&mut self, turn: &mut Turn<'_>, id: SessionId, message: Message) {
        let now = turn.now;
        if let Some(session) = self.sessions.get_mut(&id) {
            session.said = now;
            turn.out.push(Effect::Send(id, message));
        }
    }
}

/// A scope's documents, if everything held is applied: in every scope, since records of one may wait for an
/// enrolment in another.
fn docs_at(here: &EngineInput<'_>, scope: &ScopeId) -> Option<DocsAt> {
    let authority = here.authority;
    let settled = here.settled || crate::fault_injection::compares_too_early();
    settled.then(|| DocsAt { digest: here.log_index.scope(scope).digest, authority })
}

/// Whether documents made of equal records by equal statements differ: a local fault (R22).
fn differ(theirs: Option<DocsAt>, ours: Option<DocsAt>) -> bool {
    match (theirs, ours) {
        (Some(theirs), Some(ours)) => theirs.authority == ours.authority && theirs.digest != ours.digest,
        (None, _) | (_, None) => false,
    }
}

/// What a site's newest frontier announcement says of one scope, if it is of this generation.
fn frontier_of(here: &EngineInput<'_>, site: &SiteId, generation: Option<GenerationId>, offer: &Offer) -> HeldSeqs {
    let scope = &offer.scope;
    // What a machine said that was set back with its memory is of before.
    let is_its = |newest: &&Newest| Some(newest.generation) == generation && newest.number <= offer.announced;
    let said = here.frontiers.get(site, scope).filter(is_its);
    said.map(|_| (here.lines)(site, scope)).unwrap_or_default()
}
