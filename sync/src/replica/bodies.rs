//! Bodies that records name and that are not here: asking for them, giving them, taking them (R2, R21).
//!
//! What is short comes whole, several at a time, from whoever has it. What is longer than `MAX_WHOLE_BODY` never travels
//! with its record: it comes in pieces, one after the other, so that it holds up nothing else on a thin link. One body at
//! a time is fetched so, from one peer, whose pieces are put together with nobody else's: a wrong one is that peer's fault.

use std::collections::BTreeMap;

use schema::codec::Canonical;
use schema::id::{GenerationId, LogId, ScopeId, SiteId};
use schema::record::{BodyName, Record};
use schema::time::Timestamp;

use super::effects::is_due;
use super::{Alarm, Output, Replica, ReplicaError};
use crate::admission::{names_of, put_body, read_body, stored, with_bodies};
use crate::engine::{ReceivedPiece, SessionId, SyncSession};
use crate::limits::{BODIES_FRAME_BYTES, MAX_WANTED, MAX_WHOLE_BODY, PIECE_PATIENCE, WANT_INTERVAL};
use crate::store::tables::{RECORD_KEY_BYTES, after_prefix, read_record_key};
use crate::store::{Durability, Source, StoreError, Table};
use crate::wire::{Message, WantedPiece};

/// A record by site, generation and seq, as peers name it.
type RecordPlace = (SiteId, GenerationId, u64);

/// A row of what is lacking.
struct LackingRow {
    key: Vec<u8>,
    scope: ScopeId,
    /// As it is held: a history behind a fork goes by its own name.
    record: RecordPlace,
    name: BodyName,
    /// What the record promises of it.
    length: usize,
}

/// A long body on its way.
#[derive(Debug)]
pub(super) struct LongBody {
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

/// What is known of bodies that are lacking here.
#[derive(Debug)]
pub(super) struct Lacking {
    /// Whether there may be any: documents are not what records make of them until those come.
    pub(super) any: bool,
    /// Where the next question goes on among them, and the search for a long one.
    from: [Vec<u8>; 2],
    /// When a session was last asked.
    asked: Timestamp,
    /// The long one on its way.
    long: Option<LongBody>,
    /// Which of the sessions that carry a scope is asked for the next long one.
    turn: usize,
}

impl Lacking {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { any: true, from: Default::default(), asked: now, long: None, turn: 0 }
    }
}

impl Replica {
    /// Sends the bodies that a peer lacks of records of a scope, up to a frame; it asks for the rest again. What is
    /// not held, of another scope, or too long to travel whole is left out.
    pub(super) fn send_bodies(
        &mut self,
        session: SessionId,
        scope: ScopeId,
        wanted: &[RecordPlace],
    ) -> Result<(), StoreError> {
        let reading = self.store.read()?;
        let (mut bodies, mut bytes) = (Vec::new(), 0);
        for place in wanted.iter().take(MAX_WANTED) {
            let Some((log, seq)) = self.held_at(&reading, scope, place)? else {
                continue;
            };
            let held = with_bodies(&reading, stored(&reading, log, seq)?)?.bodies.into_iter().flatten();
            for body in held.filter(|body| body.len() <= MAX_WHOLE_BODY).take(MAX_WANTED - bodies.len()) {
                bytes += body.len();
                bodies.push(body);
            }
            if bytes >= BODIES_FRAME_BYTES || bodies.len() == MAX_WANTED {
                break;
            }
        }
        if !bodies.is_empty() {
            self.send(session, &Message::Bodies { scope, bodies });
        }
        Ok(())
    }

    /// Sends a piece of a body, of at most so many bytes, if a record of this scope names it; an empty one of no length says
    /// that it is not held, so that somebody else is asked at once.
    pub(super) fn send_piece(
        &mut self,
        session: SessionId,
        scope: ScopeId,
        (wanted, most): &(WantedPiece, usize),
    ) -> Result<(), StoreError> {
        let reading = self.store.read()?;
        let WantedPiece { record, name, offset } = wanted;
        let is_its = match self.held_at(&reading, scope, record)? {
            Some((log, seq)) => stored(&reading, log, seq)?.record.bodies().any(|(of, _)| of == *name),
            None => false,
        };
        let body = if is_its { read_body(&reading, name)? } else { None };
        let body = body.unwrap_or_default();
        let rest = body.get(*offset as usize..).unwrap_or_default();
        let bytes = rest[..rest.len().min(*most)].to_vec();
        let length = body.len() as u32;
        self.send(session, &Message::Piece { name: *name, length, offset: *offset, bytes });
        Ok(())
    }

    /// Where a record is held; `None` if it is not.
    fn held_at(
        &self,
        reading: &impl Source,
        scope: ScopeId,
        (site, generation, seq): &RecordPlace,
    ) -> Result<Option<(u32, u64)>, StoreError> {
        let id = LogId { site: *site, generation: *generation, scope };
        let log = self.store.log_index().log(reading, &id)?;
        Ok(log.filter(|log| (log.from()..=log.seq).contains(seq)).map(|log| (log.no, *seq)))
    }

    /// Keeps bodies that records of this scope lack here, and judges those again.
    pub(super) fn admit_bodies(&mut self, scope: &ScopeId, bodies: &[Vec<u8>]) -> Result<(), StoreError> {
        self.due |= self.store.write(Durability::Durable, |writing| {
            for body in bodies {
                for name in names_of(body) {
                    if is_lacking(writing, scope, &name, body.len())? {
                        put_body(writing, &name, body)?;
                    }
                }
            }
            is_due(writing)
        })?;
        Ok(())
    }

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
        let Some(long) = self.lacking.long.as_mut().filter(is_next) else {
            return Ok(());
        };
        if piece.length != long.length || piece.bytes.is_empty() {
            // The peer lacks it too, or the record promises another length than the body has: that is its author's fault.
            self.lacking.long = None;
            return Ok(self.fetch_long(now)?);
        }
        long.bytes.extend_from_slice(&piece.bytes);
        long.asked = now;
        if long.bytes.len() < long.length as usize {
            self.want_piece();
            return Ok(());
        }
        let Some(LongBody { scope, name, length, bytes, peer, .. }) = self.lacking.long.take() else {
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

    /// Asks for bodies that are lacking here, others each time: what nobody gives holds up nothing else. Linear in
    /// `MAX_WANTED`.
    pub(super) fn want_bodies(&mut self, now: Timestamp) -> Result<(), ReplicaError> {
        if !self.lacking.any {
            return Ok(());
        }
        self.fetch_long(now)?;
        if now >= self.lacking.asked && now.since(self.lacking.asked) < WANT_INTERVAL {
            return Ok(());
        }
        self.lacking.asked = now;
        let begun_anew = self.lacking.from[0].is_empty();
        let (records, next) = self.next_lacking(0)?;
        self.lacking.any = !(records.is_empty() && begun_anew);
        self.lacking.from[0] = next;
        let mut wanted: BTreeMap<ScopeId, Vec<RecordPlace>> = BTreeMap::new();
        for row in records.into_iter().filter(|row| row.length <= MAX_WHOLE_BODY) {
            wanted.entry(row.scope).or_default().push(row.record);
        }
        for (scope, records) in wanted {
            for (session, _) in self.carrying(&scope) {
                self.send(session, &Message::Want { scope, records: records.clone() });
            }
        }
        Ok(())
    }

    /// Sees to it that one long body is on its way if one is lacking and somebody may have it. One whose peer is gone or
    /// says nothing makes room for the next. Linear in `MAX_WANTED`.
    fn fetch_long(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if let Some(long) = &mut self.lacking.long {
            long.asked = long.asked.min(now);
            let is_here = self.engine.sessions().contains_key(&long.session);
            if is_here && now.since(long.asked) < PIECE_PATIENCE {
                return Ok(());
            }
            self.lacking.long = None;
        }
        let (records, next) = self.next_lacking(1)?;
        self.lacking.from[1] = next;
        for LackingRow { key, scope, record, name, length } in records {
            let sessions = self.carrying(&scope);
            if length <= MAX_WHOLE_BODY || sessions.is_empty() {
                continue;
            }
            // The others come after this one, also if nobody gives it.
            self.lacking.from[1] = [key.as_slice(), &[0]].concat();
            self.lacking.turn = self.lacking.turn.wrapping_add(1);
            let (session, peer) = sessions[self.lacking.turn % sessions.len()];
            self.lacking.long = Some(LongBody {
                session,
                peer,
                scope,
                record,
                name,
                length: length as u32,
                bytes: Vec::new(),
                asked: now,
            });
            self.want_piece();
            break;
        }
        Ok(())
    }

    fn want_piece(&mut self) {
        let Some(long) = &self.lacking.long else {
            return;
        };
        let wanted = WantedPiece { record: long.record, name: long.name, offset: long.bytes.len() as u32 };
        let (session, message) = (long.session, Message::WantPiece { scope: long.scope, wanted });
        self.send(session, &message);
    }

    /// The next rows of records that lack a body, with that body's name, and where the ones after them begin.
    fn next_lacking(&self, list: usize) -> Result<(Vec<LackingRow>, Vec<u8>), StoreError> {
        let reading = self.store.read()?;
        let rows = reading.range(Table::NamedOnly, &self.lacking.from[list], None, MAX_WANTED)?;
        let next = match rows.last().filter(|_| rows.len() == MAX_WANTED) {
            Some((last, _)) => [last.as_slice(), &[0]].concat(),
            None => Vec::new(),
        };
        let damaged = || StoreError::Damaged { table: Table::NamedOnly.name() };
        let mut records = Vec::with_capacity(rows.len());
        for (key, _) in &rows {
            let (name, place) = key.split_at(key.len().checked_sub(RECORD_KEY_BYTES).ok_or_else(damaged)?);
            let (no, seq) = read_record_key(place).ok_or_else(damaged)?;
            let name = BodyName::from_bytes(name).map_err(|_| damaged())?;
            let record = stored(&reading, no, seq)?.record;
            let log = self.store.log_index().forks().name_of(no, seq).unwrap_or(record.header.log);
            let length = length_of(&record, &name);
            let place = (log.site, log.generation, seq);
            records.push(LackingRow { key: key.clone(), scope: log.scope, record: place, name, length });
        }
        Ok((records, next))
    }

    /// Sessions that carry a scope, and their peers.
    fn carrying(&self, scope: &ScopeId) -> Vec<(SessionId, SiteId)> {
        let carries = |(id, session): (&SessionId, &SyncSession)| {
            session.scope(scope).is_some_and(|sync| sync.begun).then_some((*id, session.peer))
        };
        self.engine.sessions().iter().filter_map(carries).collect()
    }
}

/// The length that a record promises of one of its bodies.
fn length_of(record: &Record, name: &BodyName) -> usize {
    record.bodies().find(|(of, _)| of == name).map_or(0, |(_, length)| length as usize)
}

/// Whether one of the first records that name a body here and lack it is of this scope, and of this length.
fn is_lacking(source: &impl Source, scope: &ScopeId, name: &BodyName, length: usize) -> Result<bool, StoreError> {
    let key = name.to_bytes();
    for (row, _) in source.range(Table::NamedOnly, &key, after_prefix(&key).as_deref(), MAX_WANTED)? {
        let Some((no, seq)) = row.get(key.len()..).and_then(read_record_key) else {
            continue;
        };
        let record = stored(source, no, seq)?.record;
        let is_its = |(of, promised): (BodyName, u32)| of == *name && promised as usize == length;
        if record.header.log.scope == *scope && record.bodies().any(is_its) {
            return Ok(true);
        }
    }
    Ok(false)
}
