//! Long bodies on their way here, piece after piece (R21): which is asked for next, of whom, and what comes of it.
//!
//! One at a time comes, from one peer, whose pieces are put together with nobody else's: a wrong one is that peer's fault.
//! What one peer lacks the others are asked for in turn, each body for itself, and after such a round it rests.

use std::collections::BTreeMap;

use schema::id::{ScopeId, SiteId};
use schema::record::BodyName;
use schema::time::Timestamp;

use super::bodies::{LackingRow, RecordPlace};
use super::{Alarm, Output, Replica, ReplicaError};
use crate::admission::names_of;
use crate::engine::{ReceivedPiece, SessionId};
use crate::limits::{MAX_ROUNDS, MAX_WHOLE_BODY, PIECE_PATIENCE, WANT_INTERVAL};
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
    /// By row of what is lacking.
    rounds: BTreeMap<Vec<u8>, Round>,
}

impl LongBodies {
    /// Whom of these, in order, to ask for a body next; `None` while it rests, since all were asked a moment ago.
    fn turn(&mut self, now: Timestamp, key: &[u8], carrying: &[(SessionId, SiteId)]) -> Option<(SessionId, SiteId)> {
        let round = self.rounds.get_mut(key);
        let Some(round) = round else {
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
        if long.bytes.len() < long.length as usize {
            self.want_piece();
            return Ok(());
        }
        let Some(LongBody { scope, name, length, bytes, peer, .. }) = self.long_bodies.coming.take() else {
            return Ok(());
        };
        if bytes.len() != length as usize || !names_of(&bytes).any(|of| of == name) {
            tracing::warn!(session, "a peer's pieces are not the body that it says they are");
            self.alarm(now, Alarm::Refused(peer, "bad-body"));
            self.out.push_back(Output::Close(session, "bad-body"));
            return Ok(());
        }
        self.admit_bodies(&scope, &[bytes])?;
        Ok(self.fetch_long(now)?)
    }

    /// Sees to it that one long body is on its way if one is lacking and somebody may have it. One whose peer is gone or
    /// says nothing makes room for the next. Linear in `MAX_WANTED`.
    pub(super) fn fetch_long(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if let Some(long) = &mut self.long_bodies.coming {
            long.asked = long.asked.min(now);
            let is_here = self.engine.sessions().contains_key(&long.session);
            if is_here && now.since(long.asked) < PIECE_PATIENCE {
                return Ok(());
            }
            self.long_bodies.coming = None;
        }
        if let Some(next) = self.next_long(now)? {
            self.long_bodies.coming = Some(next);
            self.want_piece();
        }
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
            return Ok(Some(LongBody { session, peer, scope, record, name, length, bytes, asked: now }));
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
