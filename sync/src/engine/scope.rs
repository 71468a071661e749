//! One scope of one session: what the peer is known to hold, and how far each lane is.

use std::collections::VecDeque;
use std::time::Duration;

use schema::time::Timestamp;

use crate::limits::MAX_ITEMS;
use crate::store::log_index::{HeldSeqs, LogName};
use crate::wire::{Cursor, DocsAt, Lane, Offer};

/// Where a lane stands.
#[derive(Debug, Clone, Default)]
pub struct LaneState {
    /// Everything up to this arrival was looked at, and sent if the peer lacked it.
    sent: Option<Cursor>,
    /// The last cursor that the peer was told, or told us.
    told: u64,
    /// The peer's cursor, to be checked by the next fetch.
    check: Option<[u8; 16]>,
    in_flight: usize,
    /// When each frame of records on the way was sent, and its size in bytes before compression.
    sent_at: VecDeque<(Timestamp, usize)>,
    /// When the oldest frame on the way was sent, or the last acknowledgement came.
    waits_from: Timestamp,
    fetching: bool,
}

impl LaneState {
    /// Goes on from a peer's cursor.
    pub fn resume(cursor: Cursor) -> Self {
        let check = (cursor.counter > 0).then_some(cursor.chain);
        Self { sent: Some(cursor), told: cursor.counter, check, ..Self::default() }
    }

    /// Where to fetch from, if the lane has begun, has room in its window and something to look at.
    pub fn next(&mut self, arrivals: u64, window: usize) -> Option<(u64, Option<[u8; 16]>)> {
        let sent = self.sent?.counter;
        if self.fetching || self.in_flight >= window || (sent >= arrivals && self.check.is_none()) {
            return None;
        }
        self.fetching = true;
        Some((sent, self.check.take()))
    }

    /// Whether nothing of it is on the way.
    pub fn is_clear(&self) -> bool {
        self.in_flight == 0 && !self.fetching
    }

    /// Whether it has begun and has something to look at.
    pub fn has_more(&self, arrivals: u64) -> bool {
        self.sent.is_some_and(|sent| sent.counter < arrivals)
    }

    /// Takes the answer of a fetch, with so many bytes to send; `true` if it moved nothing, so that asking again at once is
    /// no use.
    pub fn fetched(&mut self, now: Timestamp, cursor: Cursor, size: Option<usize>) -> bool {
        let sends = size.is_some();
        self.fetching = false;
        if self.in_flight == 0 {
            self.waits_from = now;
        }
        self.in_flight += usize::from(sends);
        self.sent_at.extend(size.map(|size| (now, size)));
        let stopped = self.sent.is_some_and(|sent| sent.counter == cursor.counter);
        self.sent = self.sent.map(|_| cursor);
        if sends {
            self.told = cursor.counter;
        }
        stopped
    }

    /// The cursor to tell a peer that has everything before it, so that its cursor follows; once.
    pub fn tell(&mut self, now: Timestamp) -> Option<Cursor> {
        let cursor = self.sent.filter(|cursor| cursor.counter > self.told)?;
        self.told = cursor.counter;
        self.in_flight += 1;
        self.sent_at.push_back((now, 0));
        self.waits_from = now;
        Some(cursor)
    }

    /// The peer made a frame durable; answers with how long that took from when it was given to the link, and its size.
    pub fn acknowledged(&mut self, now: Timestamp) -> Option<(Duration, usize)> {
        self.waits_from = now;
        self.in_flight = self.in_flight.saturating_sub(1);
        self.sent_at.pop_front().map(|(sent, size)| (now.since(sent), size))
    }
}

/// One scope of one session.
#[derive(Debug, Default)]
pub struct ScopeSync {
    /// Whether this side offered it.
    pub offered: bool,
    /// What the other side offered.
    pub offer: Option<Offer>,
    /// Whether the lanes were started.
    pub begun: bool,
    /// What the peer holds, as far as known: never less than the truth when a lane skips by it.
    pub held: HeldSeqs,
    /// Own and others'.
    pub lanes: [LaneState; 2],
    /// When something last moved.
    pub touched: Timestamp,
    /// When vectors were last exchanged.
    pub vector_at: Option<Timestamp>,
    /// When this side last said its vector.
    pub vector_said: Option<Timestamp>,
    /// When it first asked where the lanes are to begin, and has heard no answer since.
    pub asked: Option<Timestamp>,
    /// Digests last said.
    pub said: Option<([u8; 32], Option<DocsAt>)>,
    /// Whether the peer last said that it holds the same records.
    pub in_step: bool,
    /// Whether a log was left out for now, and is to be asked for again.
    pub skipped: bool,
    /// Whether the peer lost records of the generation that it runs in: then it gets its own.
    pub own_lost: bool,
    /// Whether a lane has something to send and waits for its turn on the link.
    pub waiting: bool,
}

impl ScopeSync {
    /// The state of a lane.
    pub fn lane(&mut self, lane: Lane) -> &mut LaneState {
        &mut self.lanes[lane.number() as usize]
    }

    /// The peer said what it holds.
    pub fn knows(&mut self, held: HeldSeqs) {
        self.held = held;
    }

    /// The peer holds this log at least to `seq`. What it only claims is not remembered without end: of more logs than a
    /// vector can name it gets again what it sent.
    pub fn holds(&mut self, log: LogName, seq: u64) {
        if self.held.len() < MAX_ITEMS as usize || self.held.contains_key(&log) {
            let held = self.held.entry(log).or_default();
            *held = (*held).max(seq);
        }
    }

    /// Starts both lanes after this arrival.
    pub fn start_at(&mut self, cursor: Cursor) {
        let cursors = self.offer.as_ref().map_or([None; 2], |offer| offer.cursors);
        let told = |lane: usize| cursors[lane].map_or(0, |cursor| cursor.counter).min(cursor.counter);
        let mut lanes = 0..;
        self.lanes = self.lanes.clone().map(|lane| LaneState {
            sent: Some(cursor),
            told: told(lanes.next().unwrap_or_default()),
            in_flight: lane.in_flight,
            sent_at: lane.sent_at,
            waits_from: lane.waits_from,
            ..LaneState::default()
        });
    }

    /// Frames on the way.
    pub fn in_flight(&self) -> usize {
        self.lanes.iter().map(|lane| lane.in_flight).sum()
    }

    /// How long the peer has left a frame without acknowledgement; zero if none is on the way.
    pub fn waits_since(&self, now: Timestamp) -> Duration {
        let waiting = self.lanes.iter().filter(|lane| lane.in_flight > 0);
        waiting.map(|lane| now.since(lane.waits_from)).max().unwrap_or_default()
    }

    /// How long the question where the lanes are to begin has had no answer; zero if it has one, or none was asked.
    pub fn unanswered_for(&self, now: Timestamp) -> Duration {
        let asked = self.asked.filter(|_| self.begun && !self.has_started());
        asked.map(|at| now.since(at)).unwrap_or_default()
    }

    /// Nothing lies in the future of a clock that was set back.
    pub fn turn_back(&mut self, now: Timestamp) {
        self.touched = self.touched.min(now);
        self.vector_at = self.vector_at.map(|at| at.min(now));
        self.vector_said = self.vector_said.map(|at| at.min(now));
        self.asked = self.asked.map(|at| at.min(now));
        for lane in &mut self.lanes {
            lane.waits_from = lane.waits_from.min(now);
            lane.sent_at.iter_mut().for_each(|(sent, _)| *sent = now.min(*sent));
        }
    }

    /// Whether it is known where each lane begins.
    pub fn has_started(&self) -> bool {
        self.lanes.iter().all(|lane| lane.sent.is_some())
    }

    /// Whether the peer made everything durable that is held here up to this arrival.
    pub fn has_all(&self, arrivals: u64) -> bool {
        self.is_idle() && self.lanes.iter().all(|lane| !lane.has_more(arrivals))
    }

    /// Whether both lanes have begun and have nothing on the way.
    pub fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.sent.is_some() && lane.in_flight == 0 && !lane.fetching)
    }
}
