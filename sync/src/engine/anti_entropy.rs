//! When a scope is quiet: comparing digests, and what frontier announcements tell.

use schema::id::{GenerationId, ScopeId, SiteId};

use super::{Effect, Engine, SessionId, Turn, differ, docs_at};
use crate::frontiers::Update;
use crate::limits::{DIGEST_INTERVAL, FRONTIER_FRAME_BYTES, MAX_ITEMS, VECTOR_INTERVAL};
use crate::wire::{DocsAt, Lane, Message, PackedRuns, portions};

impl Engine {
    /// Passes on announcements that are news, to whoever holds their scope (R17).
    pub(super) fn frontiers_grown(&mut self, turn: &mut Turn<'_>, from: Option<SessionId>, news: &[Update]) {
        let here = turn.here;
        let Some(policy) = here.policy else {
            return;
        };
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids {
            let Some(session) = self.sessions.get_mut(&id).filter(|session| session.hello.is_some()) else {
                continue;
            };
            let (peer, generation) = (session.peer, session.generation());
            for update in news {
                let (site, scope) = update.place();
                let lines = match update {
                    Update::Whole(signed) => &signed.frontier.lines,
                    Update::Difference(difference) => &difference.changed,
                };
                if let Some(sync) = session.scopes.get_mut(&scope).filter(|_| site == peer)
                    && Some(update.generation()) == generation
                {
                    lines.iter().for_each(|(site, generation, seq)| sync.holds((*site, *generation), *seq));
                }
            }
            // Another generation of the peer's own key is what it must hear of: a second copy (R1).
            let others = news.iter().filter(|update| {
                let (site, scope) = update.place();
                (site, Some(update.generation())) != (peer, generation) && policy.holds(&peer, &scope)
            });
            let others: Vec<Update> = others.cloned().collect();
            if from != Some(id) {
                // A difference to other lines is longer than what it was made from: what came in one frame may fill several.
                let some = portions(others, MAX_ITEMS as usize, FRONTIER_FRAME_BYTES);
                some.into_iter().for_each(|some| self.send(turn, id, Message::Frontiers(some)));
            }
        }
    }

    /// Lists which announcements are held of the scopes that both hold, once a session.
    pub(super) fn list_frontiers(&mut self, turn: &mut Turn<'_>, id: SessionId, answer: bool) {
        let here = turn.here;
        let (Some(policy), Some(session)) = (here.policy, self.sessions.get_mut(&id)) else {
            return;
        };
        if std::mem::replace(&mut session.listed, true) {
            return;
        }
        let peer = session.peer;
        let common = here.frontiers.iter().filter(|((_, scope), _)| self.is_common(policy, &peer, scope));
        let place = |((site, scope), newest): (&(SiteId, ScopeId), &crate::frontiers::Newest)| {
            (*site, *scope, newest.number, newest.generation)
        };
        let held = common.take(MAX_ITEMS as usize).map(place).collect();
        self.send(turn, id, Message::FrontierList { answer, held });
    }

    /// Sends what is newer here than in the peer's list.
    pub(super) fn frontier_list(
        &mut self,
        turn: &mut Turn<'_>,
        id: SessionId,
        answer: bool,
        held: &[(SiteId, ScopeId, u64, GenerationId)],
    ) {
        let here = turn.here;
        let (Some(policy), Some(session)) = (here.policy, self.sessions.get(&id)) else {
            return;
        };
        let peer = session.peer;
        let theirs: std::collections::BTreeMap<(SiteId, ScopeId), (u64, GenerationId)> =
            held.iter().map(|(site, scope, number, generation)| ((*site, *scope), (*number, *generation))).collect();
        let newer = here.frontiers.iter().filter(|((site, scope), newest)| {
            let known = theirs.get(&(*site, *scope));
            self.is_common(policy, &peer, scope)
                && known.is_none_or(|known| *known < (newest.number, newest.generation))
        });
        let newer: Vec<(SiteId, ScopeId)> = newer.map(|(place, _)| *place).collect();
        if !newer.is_empty() {
            turn.out.push(Effect::SendFrontiers(id, newer));
        }
        if answer {
            self.list_frontiers(turn, id, false);
        }
    }

    /// Sends announcements whole, of scopes that the peer holds.
    pub(super) fn frontier_want(&mut self, turn: &mut Turn<'_>, id: SessionId, places: Vec<(SiteId, ScopeId)>) {
        let (Some(policy), Some(session)) = (turn.here.policy, self.sessions.get(&id)) else {
            return;
        };
        let held = |place: &(SiteId, ScopeId)| policy.holds(&session.peer, &place.1);
        turn.out.push(Effect::SendFrontiers(id, places.into_iter().filter(held).collect()));
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
        let said = (here.log_index.vector_digest(&scope), docs_at(here, &scope));
        let is_news = sync.said.replace(said) != Some(said);
        let cursors = Lane::BOTH.map(|lane| sync.lane(lane).tell(now).map(|cursor| (lane, cursor)));
        for (lane, cursor) in cursors.into_iter().flatten() {
            self.send(turn, id, Message::Runs { scope, lane, cursor, runs: PackedRuns::none(scope) });
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
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        // What was sent of the authority log did not get there.
        let theirs = docs.map(|docs| docs.authority.at).filter(|theirs| *theirs < here.authority.at);
        if let Some(theirs) = theirs {
            session.authority_sent = Some(theirs);
            self.send_authority(turn, id);
        }
        let Some(sync) = self.sessions.get_mut(&id).and_then(|session| session.scopes.get_mut(&scope)) else {
            return;
        };
        sync.in_step = vector == here.log_index.vector_digest(&scope);
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
