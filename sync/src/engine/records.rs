//! Records on their way: starting a scope, pumping its lanes, taking what comes.

use schema::id::{LogId, ScopeId};
use schema::time::Timestamp;

use super::scope::LaneState;
use super::{Admission, Effect, Engine, Fetched, SessionId, Turn, differ, docs_at, frontier_of};
use crate::limits::{FORWARD_DELAY, LANE_WINDOW, MAX_ITEMS, VECTOR_INTERVAL};
use crate::store::log_index::Line;
use crate::wire::{Cursor, Lane, Message, Offer, PackedRuns};

impl Engine {
    /// Starts the lanes of a scope once both sides offered it.
    pub(super) fn begin(&mut self, turn: &mut Turn<'_>, id: SessionId, scope: ScopeId) {
        let (now, here) = (turn.now, turn.here);
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
        let may = policy.holds(&peer, &scope) || crate::fault_injection::sends_every_scope();
        let unasked = || Offer {
            scope,
            cursors: [Some(Cursor::default()); 2],
            vector: [0; 32],
            docs: None,
            floor: 0,
            announced: 0,
        };
        let offer = sync.offer.clone().or_else(|| crate::fault_injection::sends_every_scope().then(unasked));
        let (true, true, false, Some(offer)) = (sync.offered, may, sync.begun, offer) else {
            return;
        };
        sync.begun = true;
        sync.touched = now;
        let state = here.log_index.scope(&scope);
        if offer.vector == here.log_index.vector_digest(&scope) {
            sync.in_step = true;
            sync.knows(here.log_index.held(&scope));
            sync.start_at(Cursor { counter: state.arrivals, chain: state.chain });
            if differ(offer.docs, docs_at(here, &scope)) {
                turn.out.push(Effect::Diverged(id, scope));
            }
        } else if let [Some(own), Some(others)] = offer.cursors {
            // A statement of another generation may be of before a restore: then only the cursor counts.
            let generation = session.hello.as_ref().map(|hello| hello.generation);
            sync.held = frontier_of(here, &peer, generation, &offer);
            sync.lanes = [LaneState::resume(own), LaneState::resume(others)];
        } else {
            self.say_vector(turn, id, scope, true);
        }
        self.list_forks(turn, id, scope);
        self.pump(turn, id, scope);
    }

    pub(super) fn vector(&mut self, turn: &mut Turn<'_>, id: SessionId, scope: ScopeId, lines: &[Line], answer: bool) {
        let now = turn.now;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let (peer, generation) = (session.peer, session.generation());
        let Some(sync) = session.scopes.get_mut(&scope) else {
            return;
        };
        // Only what both offered is told and sent (R23).
        if !sync.begun {
            return;
        }
        // A peer that holds less of its own generation than this site was set back with its memory.
        let own = lines.iter().find(|line| line.0 == peer && Some(line.1) == generation).map_or(0, |line| line.2);
        let log = generation.map(|generation| LogId { site: peer, generation, scope });
        let held = log.and_then(|log| turn.here.log_index.open(&log));
        // Closed here, it may be held to any seq.
        sync.own_lost = held.is_none_or(|state| state.seq > own);
        sync.knows(lines.iter().map(|line| ((line.0, line.1), line.2)).collect());
        sync.start_at(Cursor::default());
        sync.touched = now;
        sync.asked = None;
        sync.vector_at = Some(now);
        // Two questions that crossed answer one another.
        if answer && sync.vector_said.is_none_or(|at| now.since(at) >= VECTOR_INTERVAL) {
            self.say_vector(turn, id, scope, false);
        }
        self.find_forks(turn, id, scope, lines);
        // What was not asked for the last time is listed again.
        self.list_forks(turn, id, scope);
        self.pump(turn, id, scope);
    }

    /// Says what is held of a scope.
    pub(super) fn say_vector(&mut self, turn: &mut Turn<'_>, id: SessionId, scope: ScopeId, answer: bool) {
        let mut lines = turn.here.log_index.vector(&scope);
        // Beyond this a message would not be read; what is left out is sent again.
        lines.truncate(MAX_ITEMS as usize);
        if let Some(sync) = self.sessions.get_mut(&id).and_then(|session| session.scopes.get_mut(&scope)) {
            sync.vector_said = Some(turn.now);
            sync.asked = sync.asked.or(answer.then_some(turn.now));
        }
        self.send(turn, id, Message::Vector { scope, lines, answer });
    }

    pub(super) fn runs(
        &mut self,
        turn: &mut Turn<'_>,
        id: SessionId,
        scope: ScopeId,
        lane: Lane,
        cursor: Cursor,
        runs: PackedRuns,
    ) {
        let (now, here) = (turn.now, turn.here);
        let may = here.policy.is_some_and(|policy| policy.holds(&self.me, &scope));
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let (Some(hello), Some(sync)) = (&session.hello, session.scopes.get_mut(&scope)) else {
            turn.out.push(Effect::Close(id, "scope-not-offered"));
            return;
        };
        if !may {
            turn.out.push(Effect::Close(id, "scope-not-held"));
            return;
        }
        sync.touched = now;
        sync.in_step &= runs.is_empty();
        for run in runs.heads() {
            sync.holds(runs.log(run), run.to());
        }
        let store = hello.store;
        turn.out.push(Effect::Admit { session: id, store, scope, lane, cursor, runs });
    }

    pub(super) fn admitted(
        &mut self,
        turn: &mut Turn<'_>,
        id: SessionId,
        scope: ScopeId,
        lane: Lane,
        cursor: Cursor,
        admission: Admission,
    ) {
        match admission {
            Admission::Refused(code) => turn.out.push(Effect::Close(id, code)),
            Admission::Durable | Admission::Partly | Admission::Lacking => {
                if admission != Admission::Durable
                    && let Some(sync) = self.sessions.get_mut(&id).and_then(|session| session.scopes.get_mut(&scope))
                {
                    let now = turn.now;
                    let said = sync.vector_said.is_some_and(|at| now.since(at) < VECTOR_INTERVAL);
                    sync.skipped = admission == Admission::Partly || said;
                    if !sync.skipped {
                        self.say_vector(turn, id, scope, false);
                    }
                }
                self.send(turn, id, Message::Ack { scope, lane, cursor });
            }
        }
        self.arrived(turn);
    }

    pub(super) fn fetched(&mut self, turn: &mut Turn<'_>, id: SessionId, scope: ScopeId, lane: Lane, fetched: Fetched) {
        let now = turn.now;
        let Some(sync) = self.sessions.get_mut(&id).and_then(|session| session.scopes.get_mut(&scope)) else {
            return;
        };
        match fetched {
            Fetched::CursorRefused => {
                sync.lanes = Default::default();
                self.say_vector(turn, id, scope, true);
            }
            Fetched::Runs(cursor, runs) => {
                let stopped = sync.lane(lane).fetched(now, cursor, (!runs.is_empty()).then(|| runs.size()));
                if !runs.is_empty() {
                    sync.touched = now;
                    sync.in_step = false;
                    for run in runs.heads() {
                        sync.holds(runs.log(run), run.to());
                    }
                    self.send(turn, id, Message::Runs { scope, lane, cursor, runs });
                }
                if !stopped {
                    self.pump(turn, id, scope);
                }
            }
        }
    }

    /// Asks for the next frame of each lane that has room and something to look at. A scope whose turn it is not on a
    /// link that is full waits behind the others.
    pub(super) fn pump(&mut self, turn: &mut Turn<'_>, id: SessionId, scope: ScopeId) {
        let (now, here) = (turn.now, turn.here);
        let arrivals = here.log_index.scope(&scope).arrivals;
        let young_after = self.young_after(now, &scope, arrivals);
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let may = here.policy.is_some_and(|policy| policy.holds(&session.peer, &scope));
        let (mut on_the_way, window, target_bytes) = (session.in_flight(), session.window(), session.frame_bytes);
        let Some(sync) = session.scopes.get_mut(&scope).filter(|_| may || crate::fault_injection::sends_every_scope())
        else {
            return;
        };
        for lane in Lane::BOTH {
            // What people here just wrote goes before what others did, however much of that there is.
            let first = lane == Lane::Own && sync.lane(lane).is_clear();
            if on_the_way >= window && !first {
                if sync.lane(lane).has_more(arrivals) && !std::mem::replace(&mut sync.waiting, true) {
                    session.waiting.push_back(scope);
                }
                break;
            }
            let Some(after) = sync.lane(lane).next(arrivals, LANE_WINDOW) else {
                continue;
            };
            on_the_way += 1;
            turn.out.push(Effect::Fetch { session: id, scope, lane, after, young_after, target_bytes });
        }
    }

    /// Gives the scopes that wait their turn, until the link is full again.
    pub(super) fn pump_waiting(&mut self, turn: &mut Turn<'_>, id: SessionId) {
        let waiting = self.sessions.get(&id).map_or(0, |session| session.waiting.len());
        for _ in 0..waiting {
            let Some(session) = self.sessions.get_mut(&id).filter(|session| session.in_flight() < session.window())
            else {
                return;
            };
            let Some(scope) = session.waiting.pop_front() else {
                return;
            };
            if let Some(sync) = session.scopes.get_mut(&scope) {
                sync.waiting = false;
            }
            self.pump(turn, id, scope);
        }
    }

    /// The last arrival that is older than `FORWARD_DELAY`.
    pub(super) fn young_after(&self, now: Timestamp, scope: &ScopeId, arrivals: u64) -> u64 {
        let steps = self.recent.get(scope).map(|recent| &recent.steps);
        let young = steps.and_then(|steps| steps.iter().find(|(_, at)| now.since(*at) < FORWARD_DELAY));
        young.map_or(arrivals, |(first, _)| first - 1)
    }

    pub(super) fn arrived(&mut self, turn: &mut Turn<'_>) {
        let (now, here) = (turn.now, turn.here);
        let mut grown = Vec::new();
        for (scope, state) in here.log_index.scopes() {
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
                let sync = self.sessions.get_mut(&id).and_then(|session| session.scopes.get_mut(scope));
                if let Some(sync) = sync {
                    sync.in_step = false;
                }
                self.pump(turn, id, *scope);
            }
        }
    }
}
