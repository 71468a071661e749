//! When a scope is quiet: comparing digests, and what frontier announcements tell.

use schema::frontier::SignedFrontier;
use schema::id::ScopeId;

use super::{Effect, Engine, SessionId, Turn, differ, docs_at, frontier_of};
use crate::limits::{DIGEST_INTERVAL, VECTOR_INTERVAL};
use crate::store::log_index::vector_digest;
use crate::wire::{DocsAt, Lane, Message};

impl Engine {
    pub(super) fn frontiers_grown(&mut self, turn: &mut Turn<'_>, from: Option<SessionId>, news: &[SignedFrontier]) {
        let here = turn.here;
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            let Some(session) = self.sessions.get_mut(&id).filter(|session| session.hello.is_some()) else {
                continue;
            };
            let (peer, generation) = (session.peer, session.generation());
            if news.iter().any(|signed| signed.frontier.site == peer) {
                for (scope, sync) in &mut session.scopes {
                    for (log, seq) in frontier_of(here, &peer, generation, scope) {
                        sync.holds(log, seq);
                    }
                }
            }
            // Another generation of the peer's own key is what it must hear of: a second copy (R1).
            let others: Vec<SignedFrontier> = news
                .iter()
                .filter(|signed| (signed.frontier.site, Some(signed.frontier.generation)) != (peer, generation))
                .cloned()
                .collect();
            if from != Some(id) && !others.is_empty() {
                self.send(turn, id, Message::Frontiers(others));
            }
        }
    }

    /// Once a scope has been quiet for a while: says its digests if they are news, and how far the peer's
    /// cursors may follow.
    pub(super) fn compare(&mut self, turn: &mut Turn<'_>, id: SessionId, scope: ScopeId) {
        let (now, here) = (turn.now, turn.here);
        let Some(sync) = self.sessions.get_mut(&id).and_then(|session| session.scopes.get_mut(&scope)) else {
            return;
        };
        // A question that crossed an older answer is asked again: without a vector the lanes never start.
        let asked = sync.vector_said.is_some_and(|at| now.since(at) < VECTOR_INTERVAL);
        if sync.begun && !sync.has_started() && !asked {
            self.say_vector(turn, id, scope, true);
            return;
        }
        if !sync.begun || !sync.is_idle() || now.since(sync.touched) < DIGEST_INTERVAL {
            return;
        }
        let said = (vector_digest(&here.local.vector(&scope)), docs_at(here, &scope));
        let is_news = sync.said.replace(said) != Some(said);
        let cursors = Lane::BOTH.map(|lane| sync.lane(lane).tell(now).map(|cursor| (lane, cursor)));
        for (lane, cursor) in cursors.into_iter().flatten() {
            self.send(turn, id, Message::Runs { scope, lane, cursor, runs: Vec::new() });
        }
        if is_news {
            self.send(turn, id, Message::Digest { scope, vector: said.0, docs: said.1 });
        }
    }

    pub(super) fn digest(
        &mut self,
        turn: &mut Turn<'_>,
        id: SessionId,
        scope: ScopeId,
        vector: [u8; 32],
        docs: Option<DocsAt>,
    ) {
        let (now, here) = (turn.now, turn.here);
        let mine = here.local.vector(&scope);
        let Some(sync) = self.sessions.get_mut(&id).and_then(|session| session.scopes.get_mut(&scope)) else {
            return;
        };
        sync.in_step = vector == vector_digest(&mine);
        if sync.in_step {
            if differ(docs, docs_at(here, &scope)) {
                turn.out.push(Effect::Diverged(id, scope));
            }
            return;
        }
        let long_ago = sync.vector_at.is_none_or(|at| now.since(at) >= VECTOR_INTERVAL);
        if long_ago && now.since(sync.touched) >= DIGEST_INTERVAL {
            sync.vector_at = Some(now);
            self.say_vector(turn, id, scope, true);
        } else {
            // Said again when this side is quiet, so that the question does not get lost.
            sync.said = None;
        }
    }
}
