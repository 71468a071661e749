//! Forks (R20): finding where two histories of a log part, and telling everybody who holds the scope.

use schema::id::{RecordHash, ScopeId};

use super::{Effect, Engine, SessionId, Turn};
use crate::limits::{FORKS_AT_ONCE, MAX_ITEMS, VECTOR_INTERVAL};
use crate::store::log_index::{Line, LogName};
use crate::wire::Message;

impl Engine {
    /// Lists the forks of a scope that both sides have begun to carry, if there are any. Linear in those. Of one log the
    /// last comes first: a history may end unsigned at a fork further on, and is checked with that.
    pub(super) fn list_forks(&mut self, turn: &mut Turn<'_>, id: SessionId, scope: ScopeId) {
        let forks = turn.here.log_index.forks().in_scope(scope).rev();
        let held: Vec<[u8; 32]> = forks.take(MAX_ITEMS as usize).map(schema::fork::Fork::name).collect();
        if !held.is_empty() {
            self.send(turn, id, Message::ForkList { scope, held });
        }
    }

    /// Tells of forks that are news, and asks again for what was left out because of them; where a vector was said a moment
    /// ago, once the scope is quiet and its digest differs.
    pub(super) fn forked(&mut self, turn: &mut Turn<'_>, scope: ScopeId, held: &[[u8; 32]]) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().filter(|id| self.carries(turn, *id, &scope)).collect();
        for id in ids {
            self.send(turn, id, Message::ForkList { scope, held: held.to_vec() });
            let Some(sync) = self.sessions.get_mut(&id).and_then(|session| session.scopes.get_mut(&scope)) else {
                continue;
            };
            match sync.vector_said.is_some_and(|at| turn.now.since(at) < VECTOR_INTERVAL) {
                true => sync.said = None,
                false => self.say_vector(turn, id, scope, true),
            }
        }
    }

    pub(super) fn fork_list(&mut self, turn: &mut Turn<'_>, id: SessionId, scope: ScopeId, held: Vec<[u8; 32]>) {
        if !self.may_carry(turn, id, &scope) {
            return;
        }
        let known: std::collections::BTreeSet<[u8; 32]> =
            turn.here.log_index.forks().in_scope(scope).map(schema::fork::Fork::name).collect();
        let wanted: Vec<[u8; 32]> = held.into_iter().filter(|name| !known.contains(name)).take(FORKS_AT_ONCE).collect();
        if !wanted.is_empty() {
            self.send(turn, id, Message::ForkWant { scope, wanted });
        }
    }

    pub(super) fn fork_want(&mut self, turn: &mut Turn<'_>, id: SessionId, scope: ScopeId, wanted: &[[u8; 32]]) {
        if !self.may_carry(turn, id, &scope) {
            return;
        }
        let forks = turn.here.log_index.forks().in_scope(scope).rev().filter(|fork| wanted.contains(&fork.name()));
        let forks = forks.take(FORKS_AT_ONCE).copied().collect();
        turn.out.push(Effect::SendForks(id, forks));
    }

    pub(super) fn fork_points(
        &mut self,
        turn: &mut Turn<'_>,
        id: SessionId,
        scope: ScopeId,
        log: LogName,
        points: Vec<(u64, RecordHash)>,
    ) {
        if self.may_carry(turn, id, &scope) && !points.is_empty() {
            turn.out.push(Effect::FindFork(id, scope, log, points));
        }
    }

    /// A line of the same length with another hash is another history. What goes on here is seen where it arrives; what
    /// is closed here is looked up.
    pub(super) fn find_forks(&mut self, turn: &mut Turn<'_>, id: SessionId, scope: ScopeId, lines: &[Line]) {
        let mut closed = Vec::new();
        for (site, generation, seq, hash) in lines.iter().filter(|line| line.2 > 0) {
            let log = schema::id::LogId { site: *site, generation: *generation, scope };
            match turn.here.log_index.open(&log) {
                Some(state) if state.seq == *seq && state.hash != *hash => {
                    turn.out.push(Effect::FindFork(id, scope, (*site, *generation), Vec::new()));
                }
                Some(_) => {}
                None => closed.push((*site, *generation, *seq, *hash)),
            }
        }
        if !closed.is_empty() {
            turn.out.push(Effect::CompareClosed(id, scope, closed));
        }
    }

    /// Whether both hold a scope by the current policy, and the session has begun to carry it.
    fn carries(&self, turn: &Turn<'_>, id: SessionId, scope: &ScopeId) -> bool {
        let begun = self.sessions.get(&id).and_then(|session| session.scope(scope)).is_some_and(|sync| sync.begun);
        begun && self.may_carry(turn, id, scope)
    }

    /// Whether both hold a scope by the current policy.
    pub(super) fn may_carry(&self, turn: &Turn<'_>, id: SessionId, scope: &ScopeId) -> bool {
        let peer = self.sessions.get(&id).map(|session| session.peer);
        peer.is_some_and(|peer| turn.here.policy.is_some_and(|policy| self.is_common(policy, &peer, scope)))
    }
}
