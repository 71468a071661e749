//! The sync engine: what to tell which peer, decided without touching anything (R21 to R23).
//!
//! [`Engine::step`] takes an event and what this site holds ([`Here`]) and answers with effects; it has no
//! socket, clock or disk. Per session and scope the story is: both sides *offer* (cursor, digests); each
//! then *pumps* two lanes of arrivals that the other lacks, a window of frames at a time; what arrives is
//! admitted, made durable and acknowledged; the lanes stay open and carry live edits. After a quiet
//! moment digests are compared, and vectors if they differ: nothing stays missing because of a bug or a
//! lost message. [`crate::replica`] carries the effects out.

mod events;
pub mod scope;

pub use events::{Admission, Effect, Event, Fetched, Here, SessionId};

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use schema::authority::AuthorityRef;
use schema::height::SignedHeights;
use schema::id::{GenerationId, ScopeId, SiteId};
use schema::time::Timestamp;

use crate::limits::{
    ACK_PATIENCE, DIGEST_INTERVAL, FORWARD_DELAY, LANE_WINDOW, PING_INTERVAL, SESSION_SILENCE, VECTOR_INTERVAL,
};
use crate::store::Local;
use crate::store::local::{Held, vector_digest};
use crate::wire::{DocsAt, Hello, Lane, Mark, Message, Offer, PackedRun, VERSION};
use scope::{LaneState, ScopeSync};

/// One peer's visit.
#[derive(Debug)]
pub struct Session {
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
}

impl Session {
    /// The peer's generation, once it said hello.
    pub fn generation(&self) -> Option<GenerationId> {
        self.hello.as_ref().map(|hello| hello.generation)
    }
    /// What the peer is known to hold of a scope.
    pub fn held(&self, scope: &ScopeId) -> Option<&Held> {
        self.scopes.get(scope).and_then(|sync| sync.known.then_some(&sync.held))
    }
    /// Sites that the peer has sessions with.
    pub fn direct(&self) -> &BTreeSet<SiteId> {
        &self.direct
    }
    /// Whether both sides said they hold the same records of every scope carried.
    pub fn is_in_step(&self) -> bool {
        self.hello.is_some() && !self.scopes.is_empty() && self.scopes.values().all(|sync| sync.in_step)
    }
    /// A clock that was set back must not stretch every wait by as much.
    fn turn_back(&mut self, now: Timestamp) {
        self.heard = self.heard.min(now);
        self.said = self.said.min(now);
        self.scopes.values_mut().for_each(|sync| sync.turn_back(now));
    }
    /// Whether every scope carried has nothing left to send.
    pub fn is_idle(&self) -> bool {
        self.hello.is_some() && self.scopes.values().all(ScopeSync::is_idle)
    }
}

/// All sessions of a site.
#[derive(Debug)]
pub struct Engine {
    me: SiteId,
    sessions: BTreeMap<SessionId, Session>,
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
    pub fn new(me: SiteId, local: &Local) -> Self {
        let old = |state: &crate::store::ScopeState| Recent { seen: state.arrivals, steps: VecDeque::new() };
        let recent = local.scopes.iter().map(|(scope, state)| (*scope, old(state))).collect();
        Self { me, sessions: BTreeMap::new(), recent }
    }

    /// The sessions, by number.
    pub fn sessions(&self) -> &BTreeMap<SessionId, Session> {
        &self.sessions
    }

    /// Decides what follows from an event.
    pub fn step(&mut self, now: Timestamp, event: Event, here: &Here<'_>) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::Connected(id, peer) => self.connected(now, id, peer, here, &mut out),
            Event::Closed(id) => {
                self.sessions.remove(&id);
                self.tell_peers(now, &mut out);
            }
            Event::Received(id, message) => self.received(now, id, message, here, &mut out),
            Event::Fetched(id, scope, lane, fetched) => self.fetched(now, id, scope, lane, fetched, here, &mut out),
            Event::Admitted(id, scope, lane, mark, admission) => {
                self.admitted(now, id, scope, lane, mark, admission, here, &mut out);
            }
            Event::AuthorityGrown => self.authority_grown(now, here, &mut out),
            Event::Arrived => self.arrived(now, here, &mut out),
            Event::HeightsGrown(from, news) => self.heights_grown(now, from, &news, here, &mut out),
            Event::Tick => self.tick(now, here, &mut out),
        }
        out
    }

    fn connected(&mut self, now: Timestamp, id: SessionId, peer: SiteId, here: &Here<'_>, out: &mut Vec<Effect>) {
        let Some(policy) = here.policy else {
            out.push(Effect::Close(id, "no-authority"));
            return;
        };
        let session = Session {
            peer,
            since: now,
            heard: now,
            hello: None,
            said: now,
            authority_sent: None,
            direct: BTreeSet::new(),
            scopes: BTreeMap::new(),
        };
        self.sessions.insert(id, session);
        self.send(
            now,
            id,
            Message::Hello(Hello {
                version: VERSION,
                org: policy.org,
                store: here.store,
                generation: here.generation,
                authority: here.authority.0,
                authority_hash: here.authority.1,
            }),
            out,
        );
        self.offer_scopes(now, id, here, out);
        self.tell_peers(now, out);
    }

    /// Offers every scope that both hold by the current policy and that was not offered yet (R23).
    fn offer_scopes(&mut self, now: Timestamp, id: SessionId, here: &Here<'_>, out: &mut Vec<Effect>) {
        let (Some(policy), Some(session)) = (here.policy, self.sessions.get(&id)) else {
            return;
        };
        let peer = session.peer;
        let offered = |scope: &ScopeId| session.scopes.get(scope).is_some_and(|sync| sync.offered);
        let common: Vec<ScopeId> = policy
            .scopes()
            .map(|(scope, _)| scope)
            .filter(|scope| policy.holds(&self.me, scope) && !offered(scope))
            .filter(|scope| policy.holds(&peer, scope) || crate::planted::sends_every_scope())
            .collect();
        for scope in common {
            let store = here.stores.get(&peer);
            let cursor = |lane| store.and_then(|store| here.cursors.get(&(*store, scope, lane)).copied());
            let offer = Offer {
                scope,
                cursors: Lane::BOTH.map(cursor),
                vector: vector_digest(&here.local.vector(&scope)),
                docs: docs_at(here, &scope),
            };
            if let Some(session) = self.sessions.get_mut(&id) {
                session.scopes.entry(scope).or_default().offered = true;
            }
            self.send(now, id, Message::Offer(offer), out);
            self.begin(now, id, scope, here, out);
        }
    }

    fn received(&mut self, now: Timestamp, id: SessionId, message: Message, here: &Here<'_>, out: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.heard = now;
        if session.hello.is_none() && !matches!(message, Message::Hello(_) | Message::Bye(_)) {
            out.push(Effect::Close(id, "hello-first"));
            return;
        }
        match message {
            Message::Hello(hello) => self.hello(now, id, hello, here, out),
            Message::Offer(offer) => {
                let scope = offer.scope;
                session.scopes.entry(scope).or_default().offer = Some(offer);
                self.begin(now, id, scope, here, out);
            }
            Message::Authority(statements) => out.push(Effect::AdmitAuthority(id, statements)),
            Message::Runs { scope, lane, mark, runs } => self.runs(now, id, scope, lane, mark, runs, here, out),
            Message::Ack { scope, lane, mark: _ } => {
                if let Some(sync) = session.scopes.get_mut(&scope) {
                    sync.lane(lane).acknowledged(now);
                }
                self.pump(now, id, scope, here, out);
            }
            Message::Vector { scope, lines, answer } => self.vector(now, id, scope, &lines, answer, here, out),
            Message::Digest { scope, vector, docs } => self.digest(now, id, scope, vector, docs, here, out),
            Message::Heights(statements) => out.push(Effect::AdmitHeights(id, statements)),
            Message::Peers(sites) => session.direct = sites.into_iter().collect(),
            Message::Ping => {}
            Message::Bye(_) => out.push(Effect::Close(id, "bye")),
        }
    }

    fn hello(&mut self, now: Timestamp, id: SessionId, hello: Hello, here: &Here<'_>, out: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.hello.is_some() || here.policy.is_none_or(|policy| policy.org != hello.org) {
            out.push(Effect::Close(id, "another-organisation"));
            return;
        }
        let (at, hash) = here.authority;
        if hello.authority == at && hello.authority_hash != hash {
            out.push(Effect::Close(id, "authority-forked"));
            return;
        }
        out.push(Effect::KeepStore(session.peer, hello.store));
        session.authority_sent = Some(hello.authority);
        session.hello = Some(hello);
        self.send_authority(id, here, out);
        let statements: Vec<SignedHeights> = here.heights.values().cloned().collect();
        if !statements.is_empty() {
            self.send(now, id, Message::Heights(statements), out);
        }
    }

    fn send_authority(&mut self, id: SessionId, here: &Here<'_>, out: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let (at, _) = here.authority;
        if let Some(sent) = session.authority_sent.filter(|sent| *sent < at) {
            // After a hand-over the other side may hold statements that no longer stand: begin early.
            let from = if sent.epoch == at.epoch { sent.position + 1 } else { 0 };
            out.push(Effect::SendAuthority(id, from));
            session.authority_sent = Some(at);
        }
    }

    /// Starts the lanes of a scope once both sides offered it.
    fn begin(&mut self, now: Timestamp, id: SessionId, scope: ScopeId, here: &Here<'_>, out: &mut Vec<Effect>) {
        let Some(policy) = here.policy else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let peer = session.peer;
        let Some(sync) = session.scopes.get_mut(&scope) else {
            return;
        };
        let may = policy.holds(&peer, &scope) || crate::planted::sends_every_scope();
        let unasked = || Offer { scope, cursors: [Some(Mark::default()); 2], vector: [0; 32], docs: None };
        let offer = sync.offer.clone().or_else(|| crate::planted::sends_every_scope().then(unasked));
        let (true, true, false, Some(offer)) = (sync.offered, may, sync.begun, offer) else {
            return;
        };
        sync.begun = true;
        sync.touched = now;
        let mine = here.local.vector(&scope);
        let state = here.local.scope(&scope);
        if offer.vector == vector_digest(&mine) {
            sync.in_step = true;
            sync.knows(here.local.expand(&scope, &mine.iter().map(|line| ((line.0, line.1), line.2)).collect()));
            sync.start_at(state.arrivals);
            if differ(offer.docs, docs_at(here, &scope)) {
                out.push(Effect::Diverged(id, scope));
            }
        } else if let [Some(own), Some(others)] = offer.cursors {
            // A statement of another generation may be of before a restore: then only the cursor counts.
            let generation = session.hello.as_ref().map(|hello| hello.generation);
            sync.held = heights_of(here, &peer, generation, &scope);
            sync.lanes = [LaneState::resume(own), LaneState::resume(others)];
        } else {
            self.send(now, id, Message::Vector { scope, lines: mine, answer: true }, out);
        }
        self.pump(now, id, scope, here, out);
    }

    fn vector(
        &mut self,
        now: Timestamp,
        id: SessionId,
        scope: ScopeId,
        lines: &[crate::store::local::Line],
        answer: bool,
        here: &Here<'_>,
        out: &mut Vec<Effect>,
    ) {
        let Some(sync) = self.sessions.get_mut(&id).and_then(|session| session.scopes.get_mut(&scope)) else {
            return;
        };
        let lines: Held = lines.iter().map(|line| ((line.0, line.1), line.2)).collect();
        sync.knows(here.local.expand(&scope, &lines));
        sync.start_at(0);
        sync.touched = now;
        sync.vector_at = Some(now);
        if answer {
            let lines = here.local.vector(&scope);
            self.send(now, id, Message::Vector { scope, lines, answer: false }, out);
        }
        self.pump(now, id, scope, here, out);
    }

    fn runs(
        &mut self,
        now: Timestamp,
        id: SessionId,
        scope: ScopeId,
        lane: Lane,
        mark: Mark,
        runs: Vec<PackedRun>,
        here: &Here<'_>,
        out: &mut Vec<Effect>,
    ) {
        let may = here.policy.is_some_and(|policy| policy.holds(&self.me, &scope));
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let (Some(hello), Some(sync)) = (&session.hello, session.scopes.get_mut(&scope)) else {
            out.push(Effect::Close(id, "scope-not-offered"));
            return;
        };
        if !may {
            out.push(Effect::Close(id, "scope-not-held"));
            return;
        }
        sync.touched = now;
        for run in &runs {
            sync.holds((run.log.site, run.log.generation), run.to());
        }
        let store = hello.store;
        out.push(Effect::Admit { session: id, store, scope, lane, mark, runs });
    }

    fn admitted(
        &mut self,
        now: Timestamp,
        id: SessionId,
        scope: ScopeId,
        lane: Lane,
        mark: Mark,
        admission: Admission,
        here: &Here<'_>,
        out: &mut Vec<Effect>,
    ) {
        match admission {
            Admission::Refused(code) => out.push(Effect::Close(id, code)),
            Admission::Durable | Admission::Partly => {
                if admission == Admission::Partly
                    && let Some(sync) = self.sessions.get_mut(&id).and_then(|session| session.scopes.get_mut(&scope))
                {
                    sync.skipped = true;
                }
                self.send(now, id, Message::Ack { scope, lane, mark }, out);
            }
        }
        self.arrived(now, here, out);
    }

    fn fetched(
        &mut self,
        now: Timestamp,
        id: SessionId,
        scope: ScopeId,
        lane: Lane,
        fetched: Fetched,
        here: &Here<'_>,
        out: &mut Vec<Effect>,
    ) {
        let Some(sync) = self.sessions.get_mut(&id).and_then(|session| session.scopes.get_mut(&scope)) else {
            return;
        };
        match fetched {
            Fetched::CursorRefused => {
                sync.lanes = Default::default();
                let lines = here.local.vector(&scope);
                self.send(now, id, Message::Vector { scope, lines, answer: true }, out);
            }
            Fetched::Runs(mark, runs) => {
                let stopped = sync.lane(lane).fetched(now, mark, !runs.is_empty());
                if !runs.is_empty() {
                    sync.touched = now;
                    for run in &runs {
                        sync.holds((run.log.site, run.log.generation), run.to());
                    }
                    self.send(now, id, Message::Runs { scope, lane, mark, runs }, out);
                }
                if !stopped {
                    self.pump(now, id, scope, here, out);
                }
            }
        }
    }

    /// Asks for the next frame of each lane that has room and something to look at.
    fn pump(&mut self, now: Timestamp, id: SessionId, scope: ScopeId, here: &Here<'_>, out: &mut Vec<Effect>) {
        let arrivals = here.local.scope(&scope).arrivals;
        let young_after = self.young_after(now, &scope, arrivals);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let may = here.policy.is_some_and(|policy| policy.holds(&session.peer, &scope));
        let Some(sync) = session.scopes.get_mut(&scope).filter(|_| may || crate::planted::sends_every_scope()) else {
            return;
        };
        for lane in Lane::BOTH {
            let Some(after) = sync.lane(lane).next(arrivals, LANE_WINDOW) else {
                continue;
            };
            out.push(Effect::Fetch {
                session: id,
                scope,
                lane,
                after,
                held: sync.held.clone(),
                young_after,
                direct: session.direct.clone(),
                peer: (session.peer, session.hello.as_ref().map(|hello| hello.generation)),
            });
        }
    }

    /// The last arrival that is older than `FORWARD_DELAY`.
    fn young_after(&self, now: Timestamp, scope: &ScopeId, arrivals: u64) -> u64 {
        let steps = self.recent.get(scope).map(|recent| &recent.steps);
        let young = steps.and_then(|steps| steps.iter().find(|(_, at)| now.since(*at) < FORWARD_DELAY));
        young.map_or(arrivals, |(first, _)| first - 1)
    }

    fn arrived(&mut self, now: Timestamp, here: &Here<'_>, out: &mut Vec<Effect>) {
        let mut grown = Vec::new();
        for (scope, state) in &here.local.scopes {
            let recent = self.recent.entry(*scope).or_default();
            if state.arrivals > recent.seen {
                recent.steps.push_back((recent.seen + 1, now));
                recent.seen = state.arrivals;
                grown.push(*scope);
            }
            while recent.steps.front().is_some_and(|(_, at)| now.since(*at) >= FORWARD_DELAY) {
                recent.steps.pop_front();
            }
        }
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            for scope in &grown {
                self.pump(now, id, *scope, here, out);
            }
        }
    }

    fn authority_grown(&mut self, now: Timestamp, here: &Here<'_>, out: &mut Vec<Effect>) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            let Some(session) = self.sessions.get(&id) else {
                continue;
            };
            if here.policy.is_some_and(|policy| policy.revoked.contains_key(&session.peer)) {
                out.push(Effect::Close(id, "revoked"));
                continue;
            }
            self.send_authority(id, here, out);
            self.offer_scopes(now, id, here, out);
            self.ask_for_skipped(now, id, here, out);
            let scopes: Vec<ScopeId> =
                self.sessions.get(&id).into_iter().flat_map(|s| s.scopes.keys().copied()).collect();
            for scope in scopes {
                self.begin(now, id, scope, here, out);
            }
        }
    }

    /// Logs whose key was not known are asked for again by saying what is held (R9).
    fn ask_for_skipped(&mut self, now: Timestamp, id: SessionId, here: &Here<'_>, out: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let take = |(id, sync): (&ScopeId, &mut ScopeSync)| std::mem::take(&mut sync.skipped).then_some(*id);
        let skipped: Vec<ScopeId> = session.scopes.iter_mut().filter_map(take).collect();
        for scope in skipped {
            let lines = here.local.vector(&scope);
            self.send(now, id, Message::Vector { scope, lines, answer: false }, out);
        }
    }

    fn heights_grown(
        &mut self,
        now: Timestamp,
        from: Option<SessionId>,
        news: &[SignedHeights],
        here: &Here<'_>,
        out: &mut Vec<Effect>,
    ) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            let Some(session) = self.sessions.get_mut(&id).filter(|session| session.hello.is_some()) else {
                continue;
            };
            let (peer, generation) = (session.peer, session.generation());
            if news.iter().any(|signed| signed.heights.site == peer) {
                for (scope, sync) in &mut session.scopes {
                    for (log, seq) in heights_of(here, &peer, generation, scope) {
                        sync.holds(log, seq);
                    }
                }
            }
            // Another generation of the peer's own key is what it must hear of: a second copy (R1).
            let others: Vec<SignedHeights> = news
                .iter()
                .filter(|signed| (signed.heights.site, Some(signed.heights.generation)) != (peer, generation))
                .cloned()
                .collect();
            if from != Some(id) && !others.is_empty() {
                self.send(now, id, Message::Heights(others), out);
            }
        }
    }

    fn tell_peers(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let peers: BTreeSet<SiteId> = self.sessions.values().map(|session| session.peer).collect();
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            self.send(now, id, Message::Peers(peers.iter().copied().collect()), out);
        }
    }

    fn tick(&mut self, now: Timestamp, here: &Here<'_>, out: &mut Vec<Effect>) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            let Some(session) = self.sessions.get_mut(&id) else {
                continue;
            };
            session.turn_back(now);
            if now.since(session.heard) >= SESSION_SILENCE {
                out.push(Effect::Close(id, "silent"));
                continue;
            }
            if session.scopes.values().any(|sync| sync.waits_since(now) >= ACK_PATIENCE) {
                out.push(Effect::Close(id, "not-acknowledged"));
                continue;
            }
            if now.since(session.said) >= PING_INTERVAL {
                self.send(now, id, Message::Ping, out);
            }
            let scopes: Vec<ScopeId> =
                self.sessions.get(&id).into_iter().flat_map(|session| session.scopes.keys().copied()).collect();
            for scope in scopes {
                self.pump(now, id, scope, here, out);
                self.compare(now, id, scope, here, out);
            }
        }
    }

    /// Says the digests of a scope once it has been quiet for a while and they are news.
    fn compare(&mut self, now: Timestamp, id: SessionId, scope: ScopeId, here: &Here<'_>, out: &mut Vec<Effect>) {
        let Some(sync) = self.sessions.get_mut(&id).and_then(|session| session.scopes.get_mut(&scope)) else {
            return;
        };
        if !sync.begun || !sync.is_idle() || now.since(sync.touched) < DIGEST_INTERVAL {
            return;
        }
        let said = (vector_digest(&here.local.vector(&scope)), docs_at(here, &scope));
        if sync.said != Some(said) {
            sync.said = Some(said);
            self.send(now, id, Message::Digest { scope, vector: said.0, docs: said.1 }, out);
        }
    }

    fn digest(
        &mut self,
        now: Timestamp,
        id: SessionId,
        scope: ScopeId,
        vector: [u8; 32],
        docs: Option<DocsAt>,
        here: &Here<'_>,
        out: &mut Vec<Effect>,
    ) {
        let mine = here.local.vector(&scope);
        let Some(sync) = self.sessions.get_mut(&id).and_then(|session| session.scopes.get_mut(&scope)) else {
            return;
        };
        sync.in_step = vector == vector_digest(&mine);
        if sync.in_step {
            if differ(docs, docs_at(here, &scope)) {
                out.push(Effect::Diverged(id, scope));
            }
            return;
        }
        let long_ago = sync.vector_at.is_none_or(|at| now.since(at) >= VECTOR_INTERVAL);
        if long_ago && now.since(sync.touched) >= DIGEST_INTERVAL {
            sync.vector_at = Some(now);
            self.send(now, id, Message::Vector { scope, lines: mine, answer: true }, out);
        } else {
            // Said again when this side is quiet, so that the question does not get lost.
            sync.said = None;
        }
    }

    fn send(&mut self, now: Timestamp, id: SessionId, message: Message, out: &mut Vec<Effect>) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.said = now;
            out.push(Effect::Send(id, message));
        }
    }
}

/// A scope's documents, if everything held is applied.
fn docs_at(here: &Here<'_>, scope: &ScopeId) -> Option<DocsAt> {
    let state = here.local.scope(scope);
    let authority = here.authority.0;
    (state.shown == state.arrivals).then_some(DocsAt { digest: state.digest, authority })
}

/// Whether documents made of equal records by equal statements differ: a local fault (R22).
fn differ(theirs: Option<DocsAt>, ours: Option<DocsAt>) -> bool {
    match (theirs, ours) {
        (Some(theirs), Some(ours)) => theirs.authority == ours.authority && theirs.digest != ours.digest,
        (None, _) | (_, None) => false,
    }
}

/// What a site's newest height statement says of one scope, if it is of this generation.
fn heights_of(here: &Here<'_>, site: &SiteId, generation: Option<GenerationId>, scope: &ScopeId) -> Held {
    let said = here.heights.get(site).filter(|signed| Some(signed.heights.generation) == generation);
    let Some(signed) = said else {
        return Held::new();
    };
    let lines = signed.heights.lines.iter().filter(|(log, _)| log.scope == *scope);
    here.local.expand(scope, &lines.map(|(log, seq)| ((log.site, log.generation), *seq)).collect())
}
