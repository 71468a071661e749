//! What the engine is told, what it may look at, and what it decides.

use std::collections::BTreeMap;

use schema::authority::Pin;
use schema::fork::{Branch, Fork, ForkProof};
use schema::id::{GenerationId, RecordHash, ScopeId, SiteId, StoreId};
use schema::policy::Policy;
use schema::record::BodyName;

use crate::frontiers::{Frontiers, Update};
use crate::store::LogIndex;
use crate::store::log_index::{HeldSeqs, Line, LogName};
use crate::wire::{Cursor, Lane, Message, PackedRuns, WantedPiece};

/// A session's number, given by whoever runs the transport. Never used twice.
pub type SessionId = u64;

/// What this site holds, as the engine needs it.
pub struct EngineInput<'a> {
    /// The current policy; `None` before the authority log was received.
    pub policy: Option<&'a Policy>,
    /// Where the authority log ends.
    pub authority: Pin,
    /// Logs and scopes.
    pub log_index: &'a LogIndex,
    /// Whether everything held, in every scope, is judged and applied.
    pub settled: bool,
    /// This store.
    pub store: StoreId,
    /// This generation.
    pub generation: GenerationId,
    /// How far the arrivals of peers' stores are held here.
    pub cursors: &'a BTreeMap<(StoreId, ScopeId, Lane), Cursor>,
    /// The store that each peer had when it was last met.
    pub stores: &'a BTreeMap<SiteId, StoreId>,
    /// Which frontier announcement of each site and scope is the newest.
    pub frontiers: &'a Frontiers,
    /// The lines of the newest announcement of a site in a scope.
    pub lines: &'a dyn Fn(&SiteId, &ScopeId) -> HeldSeqs,
}

/// A piece of a body, as it came.
#[derive(Debug)]
pub struct ReceivedPiece {
    /// Which body.
    pub name: BodyName,
    /// Bytes of the whole, as the sender has it.
    pub length: u32,
    /// Where in it the piece begins.
    pub offset: u32,
    /// What stands there.
    pub bytes: Vec<u8>,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A transport session with a proven peer stands.
    Connected(SessionId, SiteId),
    /// It is gone.
    Closed(SessionId),
    /// A message came.
    Received(SessionId, Message),
    /// What a `Fetch` found.
    Fetched(SessionId, ScopeId, Lane, Fetched),
    /// What came of an `Admit`, after it is durable.
    Admitted(SessionId, ScopeId, Lane, Cursor, Admission),
    /// The authority log grew, here or from a peer.
    AuthorityGrown,
    /// Records were stored, here or from a peer.
    Arrived,
    /// Logs of this scope forked, as far as was not known before (R20); the names of the proofs.
    Forked(ScopeId, Vec<[u8; 32]>),
    /// Frontier announcements that were news, and the session they came from.
    FrontiersGrown(Option<SessionId>, Vec<Update>),
    /// Time passed.
    Tick,
}

/// Records read for one frame.
#[derive(Debug)]
pub enum Fetched {
    /// Up to this cursor; no runs if the peer lacks none of them.
    Runs(Cursor, PackedRuns),
    /// The peer's cursor does not belong to this store's arrivals.
    CursorRefused,
}

/// What came of received runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Durable here, all of them.
    Durable,
    /// Some were left out for now: their key is not known yet, or their site begins logs faster than it may.
    Partly,
    /// Some refer to what the peer takes for held here, and is not: it is to hear what is.
    Lacking,
    /// Refused: the session ends with this code.
    Refused(&'static str),
}

/// What to do.
#[derive(Debug)]
pub enum Effect {
    /// Send a message.
    Send(SessionId, Message),
    /// Read what the peer lacks of a lane.
    Fetch {
        /// For which session.
        session: SessionId,
        /// Which scope.
        scope: ScopeId,
        /// Which lane.
        lane: Lane,
        /// After this arrival; with a chain if it is a peer's cursor to be checked.
        after: (u64, Option<[u8; 16]>),
        /// Arrivals after this one are young: those that the peer gets from their origin are left for later.
        young_after: u64,
        /// Bytes of bodies after which the frame is closed.
        target_bytes: usize,
    },
    /// Admit received runs, make them durable, keep the cursor, then answer `Admitted`.
    Admit {
        /// From which session.
        session: SessionId,
        /// The sender's store.
        store: StoreId,
        /// Which scope.
        scope: ScopeId,
        /// Which lane.
        lane: Lane,
        /// The cursor to keep.
        cursor: Cursor,
        /// The runs.
        runs: PackedRuns,
    },
    /// Check and keep statements of the authority log.
    AdmitAuthority(SessionId, Vec<schema::authority::Signed>),
    /// Send the statements from the first of these positions to the second.
    SendAuthority(SessionId, u64, u64),
    /// Check and keep frontier announcements.
    AdmitFrontiers(SessionId, Vec<Update>),
    /// Send these announcements whole, as far as they are held.
    SendFrontiers(SessionId, Vec<(SiteId, ScopeId)>),
    /// Send bodies that a peer lacks, as far as they are held and of this scope.
    SendBodies(SessionId, ScopeId, Vec<(SiteId, GenerationId, u64)>),
    /// Keep bodies that were asked for.
    AdmitBodies(ScopeId, Vec<Vec<u8>>),
    /// Send a piece of a body, of at most so many bytes.
    SendPiece(SessionId, ScopeId, (WantedPiece, usize)),
    /// Take a piece of a body that is lacking.
    AdmitPiece(SessionId, ReceivedPiece),
    /// Find out where a peer's history of a log parts from this site's: the hashes that it holds, or none to begin.
    FindFork(SessionId, ScopeId, LogName, Vec<(u64, RecordHash)>),
    /// Compare a peer's lines of logs that are not open here with what is held.
    CompareClosed(SessionId, ScopeId, Vec<Line>),
    /// Check and keep the proof that a peer's history of a log gives with this site's.
    AdmitBranch(SessionId, Branch),
    /// Check and keep the proof of a fork.
    AdmitFork(SessionId, ForkProof),
    /// Send the proofs of these forks.
    SendForks(SessionId, Vec<Fork>),
    /// Remember which store a peer has.
    KeepStore(SiteId, StoreId),
    /// A peer's authority log ends here, which is no later than this site's.
    AuthorityHeard(SessionId, Pin),
    /// End the session.
    Close(SessionId, &'static str),
    /// Documents differ although the records are the same (R22).
    Diverged(SessionId, ScopeId),
}
