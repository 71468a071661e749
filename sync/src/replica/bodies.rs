//! Bodies that records name and that are not here: asking for them, giving them, taking them (R2, R21).
//!
//! What is short comes whole, several at a time, from whoever has it. What is longer than `MAX_WHOLE_BODY` never travels
//! with its record: it comes in pieces, one after the other, so that it holds up nothing else on a thin link
//! ([`super::long_bodies`]).

use std::collections::{BTreeMap, BTreeSet};

use schema::codec::Canonical;
use schema::id::{GenerationId, LogId, ScopeId, SiteId};
use schema::record::{BodyName, Record};
use schema::time::Timestamp;

use super::effects::is_due;
use super::{Replica, ReplicaError};
use crate::admission::{names_of, put_body, read_body, stored};
use crate::engine::{SessionId, SyncSession};
use crate::limits::{
    BODIES_FRAME_BYTES, MAX_BODIES_AT_HAND, MAX_WANTED, MAX_WHOLE_BODY, WANT_INTERVAL, WANT_READ_BYTES,
};
use crate::store::tables::{RECORD_KEY_BYTES, after_prefix, read_record_key};
use crate::store::{Durability, Source, StoreError, Table};
use crate::wire::{Message, WantedPiece};

/// A record by site, generation and seq, as peers name it.
pub(super) type RecordPlace = (SiteId, GenerationId, u64);

/// A row of what is lacking.
pub(super) struct LackingRow {
    pub(super) key: Vec<u8>,
    pub(super) scope: ScopeId,
    /// As it is held: a history behind a fork goes by its own name.
    pub(super) record: RecordPlace,
    pub(super) name: BodyName,
    /// What the record promises of it.
    pub(super) length: usize,
}

/// What is known of bodies that are lacking here.
#[derive(Debug)]
pub(super) struct Lacking {
    /// Whether there may be any: documents are not what records make of them until those come.
    pub(super) any: bool,
    /// Where the next question goes on among them.
    from: Vec<u8>,
    /// When a session was last asked.
    asked: Timestamp,
}

impl Lacking {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { any: true, from: Vec::new(), asked: now }
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
        let (mut bodies, mut bytes, mut read) = (Vec::new(), 0, 0);
        let (mut places, mut names) = (BTreeSet::new(), BTreeSet::new());
        for place in wanted.iter().take(MAX_WANTED).filter(|place| places.insert(**place)) {
            let Some((log, seq)) = self.held_at(&reading, scope, place)? else {
                continue;
            };
            // What is too long is not even read, nor is anything twice.
            for (name, length) in stored(&reading, log, seq)?.record.bodies() {
                let is_full = bodies.len() == MAX_WANTED || read >= WANT_READ_BYTES;
                if is_full || length as usize > MAX_WHOLE_BODY || !names.insert((name, length)) {
                    continue;
                }
                let body = read_body(&reading, &name)?.unwrap_or_default();
                read += body.len();
                if body.len() == length as usize {
                    bytes += body.len();
                    bodies.push(body);
                }
            }
            if bytes >= BODIES_FRAME_BYTES || bodies.len() == MAX_WANTED || read >= WANT_READ_BYTES {
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
        let is_its = |(of, length): (BodyName, u32)| of == *name && *offset < length;
        let is_its = match self.held_at(&reading, scope, record)? {
            Some((log, seq)) => stored(&reading, log, seq)?.record.bodies().any(is_its),
            None => false,
        };
        // Whoever asks for one piece asks for the next.
        let at_hand = self.at_hand.iter().position(|(of, _)| is_its && of == name);
        let body = match at_hand.and_then(|at| self.at_hand.remove(at)) {
            Some((_, body)) => body,
            None if is_its => read_body(&reading, name)?.unwrap_or_default(),
            None => Vec::new(),
        };
        let rest = body.get(*offset as usize..).unwrap_or_default();
        let bytes = rest[..rest.len().min(*most)].to_vec();
        let length = body.len() as u32;
        if bytes.len() < rest.len() {
            self.at_hand.truncate(MAX_BODIES_AT_HAND - 1);
            self.at_hand.push_front((*name, body));
        }
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
        let begun_anew = self.lacking.from.is_empty();
        let (records, next) = self.next_lacking(&self.lacking.from)?;
        self.lacking.any = !(records.is_empty() && begun_anew);
        self.lacking.from = next;
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

    /// The next rows of records that lack a body, with that body's name, and where the ones after them begin.
    pub(super) fn next_lacking(&self, from: &[u8]) -> Result<(Vec<LackingRow>, Vec<u8>), StoreError> {
        let reading = self.store.read()?;
        let rows = reading.range(Table::NamedOnly, from, None, MAX_WANTED)?;
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

    /// Sessions that carry a scope, in order, and their peers.
    pub(super) fn carrying(&self, scope: &ScopeId) -> Vec<(SessionId, SiteId)> {
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
