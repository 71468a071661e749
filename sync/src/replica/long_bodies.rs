//! Long bodies on their way here, piece after piece (R21): which is asked for next, of whom, and what comes of it.
//!
//! One at a time comes, from one peer, whose pieces are put together with nobody else's: a wrong one is that peer's fault.
//! What one peer lacks the others are asked for in turn, each body for itself, and after such a round it rests. A peer that
//! is slow is waited for only while nobody else could give anything, and keeps what it gave; one that says nothing is not
//! asked for some time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use schema::id::{ScopeId, SiteId};
use schema::record::BodyName;
use schema::time::Timestamp;

use super::bodies::{LackingRow, RecordPlace};
use super::{Alarm, Output, Replica, ReplicaError};
use crate::admission::names_of;
use crate::engine::{ReceivedPiece, SessionId};
use crate::limits::{
    FRAME_MIN_BYTES, LONG_BODY_RATE, MAX_PARKED, MAX_ROUNDS, MAX_WHOLE_BODY, PIECE_PATIENCE, SILENT_REST, WANT_INTERVAL,
};
use crate::store::StoreError;
use crate::wire::{Message, WantedPiece};

/// A long body on its way.
#[derive(Debug)]
struct LongBody {
    session: SessionId,
    peer: SiteId,
    scope: ScopeId,
    /// A record that names it.
    record: RecordPlace,
    name: BodyName,
    length: u32,
    /// What came so far.
    bytes: Vec<u8>,
    /// When the next piece was asked for.
    asked: Timestamp,
    /// Since when it has the turn, and what had come before.
    since: (Timestamp, usize),
}

impl LongBody {
    /// Whether what comes of it comes slower than a thin link would bring it.
    fn is_slow(&mut self, now: Timestamp) -> bool {
        self.since.0 = self.since.0.min(now);
        let came = (self.bytes.len() - self.since.1) as u64;
        now.since(self.since.0) >= PIECE_PATIENCE + Duration::from_millis(came * 1000 / LONG_BODY_RATE)
    }
}

/// Who was asked for a body that is lacking.
#[derive(Debug)]
struct Round {
    last: SessionId,
    /// How many since it rested.
    count: usize,
    /// When the last of them was.
    at: Timestamp,
}

/// What is known of long bodies that are lacking here.
#[derive(Debug, Default)]
pub(super) struct LongBodies {
    /// Where the search goes on among what is lacking, and how often it came to the end.
    from: Vec<u8>,
    searches: usize,
    coming: Option<LongBody>,
    /// Those of slow peers, that wait until nobody else could give anything; no peer has two.
    parked: VecDeque<LongBody>,
    /// Sessions that did not answer, and when that was seen.
    silent: BTreeMap<SessionId, Timestamp>,
    /// By row of what is lacking.
    rounds: BTreeMap<Vec<u8>, Round>,
}

impl LongBodies {
    /// Whom of these, in order, to ask for a body next; `None` if all are busy or silent, or while it rests, since all were
    /// asked a moment ago.
    fn turn(&mut self, now: Timestamp, key: &[u8], carrying: &[(SessionId, SiteId)]) -> Option<(SessionId, SiteId)> {
        let is_busy = |id: &SessionId| self.coming.iter().chain(&self.parked).any(|long| long.session == *id);
        let is_free = |(id, _): &&(SessionId, SiteId)| !self.silent.contains_key(id) && !is_busy(id);
        let carrying: Vec<(SessionId, SiteId)> = carrying.iter().filter(is_free).copied().collect();
        let Some(round) = self.rounds.get_mut(key) else {
            return carrying.get(self.searches % carrying.len().max(1)).copied();
        };
        round.at = round.at.min(now);
        if round.count >= carrying.len() {
            if now.since(round.at) < WANT_INTERVAL {
                return None;
            }
            round.count = 0;
        }
        let next = carrying.iter().find(|(session, _)| *session > round.last).or(carrying.first());
        next.copied()
    }

    /// Notes who is asked. Linear in `MAX_ROUNDS` where more are lacking: what was asked for longest ago is forgotten.
    fn note(&mut self, now: Timestamp, key: Vec<u8>, session: SessionId) {
        let count = self.rounds.remove(&key).map_or(0, |round| round.count);
        if self.rounds.len() >= MAX_ROUNDS {
            let oldest = self.rounds.iter().min_by_key(|(_, round)| round.at).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.rounds.remove(&key));
        }
        self.rounds.insert(key, Round { last: session, count: count + 1, at: now });
    }
}

impl Replica {
    /// Takes the next piece of the long body that is on its way, and keeps the body when it is whole.
    pub(super) fn admit_piece(
        &mut self,
        now: Timestamp,
        session: SessionId,
        piece: ReceivedPiece,
    ) -> Result<(), ReplicaError> {
        // What nobody asked for, or came twice, is passed over.
        let is_next = |long: &&mut LongBody| {
            (long.session, long.name, long.bytes.len()) == (session, piece.name, piece.offset as usize)
        };
        let Some(long) = self.long_bodies.coming.as_mut().filter(is_next) else {
            return Ok(());
        };
        if piece.length != long.length || piece.bytes.is_empty() {
            // The peer lacks it too, or the record promises another length than the body has: that is its author's fault.
            self.long_bodies.coming = None;
            return Ok(self.fetch_long(now)?);
        }
        long.bytes.extend_from_slice(&piece.bytes);
        long.asked = now;
        let is_whole = long.bytes.len() >= long.length as usize;
        let peer = long.peer;
        // A peer on a thin link gives so much too. Less, again and again, would keep others waiting.
        if !is_whole && piece.bytes.len() < FRAME_MIN_BYTES {
            self.refuse_pieces(now, session, peer);
            return Ok(());
        }
        if !is_whole {
            self.want_piece();
            return Ok(());
        }
        let Some(LongBody { scope, name, length, bytes, .. }) = self.long_bodies.coming.take() else {
            return Ok(());
        };
        if bytes.len() != length as usize || !names_of(&bytes).any(|of| of == name) {
            self.refuse_pieces(now, session, peer);
            return Ok(());
        }
        self.admit_bodies(&scope, &[bytes])?;
        self.long_bodies.parked.retain(|long| long.name != name);
        Ok(self.fetch_long(now)?)
    }

    /// Blames a peer for its pieces and ends the session.
    fn refuse_pieces(&mut self, now: Timestamp, session: SessionId, peer: SiteId) {
        tracing::warn!(session, "a peer's pieces are not the body that it says they are");
        self.long_bodies.coming = None;
        self.alarm(now, Alarm::Refused(peer, "bad-body"));
        self.out.push_back(Output::Close(session, "bad-body"));
    }

    /// Sees to it that one long body is on its way if one is lacking and somebody may have it. One whose peer is gone or
    /// says nothing makes room for the next, and so does a slow one while there is another. Linear in `MAX_WANTED`.
    pub(super) fn fetch_long(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let long_bodies = &mut self.long_bodies;
        let sessions = self.engine.sessions();
        long_bodies.parked.retain(|long| sessions.contains_key(&long.session));
        long_bodies.silent.retain(|id, at| {
            *at = now.min(*at);
            sessions.contains_key(id) && now.since(*at) < SILENT_REST
        });
        if let Some(long) = &mut long_bodies.coming {
            long.asked = long.asked.min(now);
            let is_silent = now.since(long.asked) >= PIECE_PATIENCE;
            if is_silent {
                long_bodies.silent.insert(long.session, now);
            }
            if is_silent || !sessions.contains_key(&long.session) {
                long_bodies.coming = None;
            } else if !long.is_slow(now) {
                return Ok(());
            }
        }
        let next = self.next_long(now)?;
        let long_bodies = &mut self.long_bodies;
        // Those of slow peers take turns when the search is through.
        let is_through = long_bodies.from.is_empty();
        let next = next.or_else(|| if is_through { long_bodies.parked.pop_front() } else { None });
        let Some(mut next) = next else {
            return Ok(());
        };
        (next.asked, next.since) = (now, (now, next.bytes.len()));
        long_bodies.parked.extend(long_bodies.coming.replace(next));
        if long_bodies.parked.len() > MAX_PARKED {
            long_bodies.parked.pop_front();
        }
        self.want_piece();
        Ok(())
    }

    /// The next body that is lacking, and whom to ask for it.
    fn next_long(&mut self, now: Timestamp) -> Result<Option<LongBody>, StoreError> {
        let (rows, next) = self.next_lacking(&self.long_bodies.from)?;
        for LackingRow { key, scope, record, name, length } in rows {
            let carrying = self.carrying(&scope);
            if length <= MAX_WHOLE_BODY {
                continue;
            }
            let Some((session, peer)) = self.long_bodies.turn(now, &key, &carrying) else {
                continue;
            };
            // The others come after this one, also if nobody gives it.
            self.long_bodies.from = [key.as_slice(), &[0]].concat();
            self.long_bodies.note(now, key, session);
            let (length, bytes) = (length as u32, Vec::new());
            let since = (now, 0);
            return Ok(Some(LongBody { session, peer, scope, record, name, length, bytes, asked: now, since }));
        }
        if next.is_empty() {
            self.long_bodies.searches = self.long_bodies.searches.wrapping_add(1);
        }
        self.long_bodies.from = next;
        Ok(None)
    }

    fn want_piece(&mut self) {
        let Some(long) = &self.long_bodies.coming else {
            return;
        };
        let wanted = WantedPiece { record: long.record, name: long.name, offset: long.bytes.len() as u32 };
        let (session, message) = (long.session, Message::WantPiece { scope: long.scope, wanted });
        self.send(session, &message);
    }
}
