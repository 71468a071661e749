//! What a frame says, one variant a message; `docs/formats/frame.md` has their bytes.

use schema::authority::Signed;
use schema::fork::{Branch, ForkProof};
use schema::id::{GenerationId, RecordHash, ScopeId, SiteId};
use schema::record::BodyName;

use super::layout::PackedRuns;
use super::{Cursor, DocsAt, Hello, Lane, Offer, WantedPiece};
use crate::frontiers::Update;
use crate::store::log_index::{Line, LogName};

/// A frame's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// First.
    Hello(Hello),
    /// A scope joins the session.
    Offer(Offer),
    /// Statements the other lacks, in order.
    Authority(Vec<Signed>),
    /// Records.
    Runs {
        /// Of which scope.
        scope: ScopeId,
        /// From which lane.
        lane: Lane,
        /// How far in the sender's arrivals this brings the lane.
        cursor: Cursor,
        /// The runs.
        runs: PackedRuns,
    },
    /// Everything of this lane up to the cursor is durable here.
    Ack {
        /// Of which scope.
        scope: ScopeId,
        /// Of which lane.
        lane: Lane,
        /// Up to where.
        cursor: Cursor,
    },
    /// What the sender holds of a scope.
    Vector {
        /// Which scope.
        scope: ScopeId,
        /// Its lines.
        lines: Vec<Line>,
        /// Whether the receiver shall say its own.
        answer: bool,
    },
    /// Where the sender stands after a quiet moment.
    Digest {
        /// Which scope.
        scope: ScopeId,
        /// Digest of its vector.
        vector: [u8; 32],
        /// Its documents, if everything held is applied.
        docs: Option<DocsAt>,
    },
    /// Frontier announcements that are news.
    Frontiers(Vec<Update>),
    /// Which announcements the sender holds, by site, scope, number and generation: asked and answered once where
    /// the digests of hello differ.
    FrontierList {
        /// Whether the receiver shall list its own.
        answer: bool,
        /// What is held.
        held: Vec<(SiteId, ScopeId, u64, GenerationId)>,
    },
    /// Announcements wanted whole.
    FrontierWant(Vec<(SiteId, ScopeId)>),
    /// The sender holds these records and lacks bodies of theirs.
    Want {
        /// Of which scope.
        scope: ScopeId,
        /// The records: site, generation, seq.
        records: Vec<(SiteId, GenerationId, u64)>,
    },
    /// Bodies that were wanted.
    Bodies {
        /// Of which scope.
        scope: ScopeId,
        /// Their bytes: the hash is computed.
        bodies: Vec<Vec<u8>>,
    },
    /// The sender holds a record and lacks this body of it, which is too long for one message: it wants the next piece.
    WantPiece {
        /// Of which scope.
        scope: ScopeId,
        /// The record and its body.
        wanted: WantedPiece,
    },
    /// A piece of a body that was wanted.
    Piece {
        /// Which body.
        name: BodyName,
        /// Bytes of the whole body, whatever a record promises.
        length: u32,
        /// Where in it the piece begins.
        offset: u32,
        /// What stands there, at most `FRAME_TARGET_BYTES`.
        bytes: Vec<u8>,
    },
    /// Hashes of records of a log that the sender holds in another history than the receiver, as far as it knows: asks
    /// where the two part (R20).
    ForkPoints {
        /// Which scope.
        scope: ScopeId,
        /// Which log.
        log: LogName,
        /// Seqs and hashes, at most `MAX_FORK_POINTS`.
        points: Vec<(u64, RecordHash)>,
    },
    /// The sender's history of a log from the first record on that the receiver holds another of.
    ForkBranch(Branch),
    /// Names of proofs of forks that the sender holds of a scope.
    ForkList {
        /// Which scope.
        scope: ScopeId,
        /// BLAKE3 of each fork.
        held: Vec<[u8; 32]>,
    },
    /// Proofs wanted, by name.
    ForkWant {
        /// Of which scope.
        scope: ScopeId,
        /// As in `ForkList`.
        wanted: Vec<[u8; 32]>,
    },
    /// The proof of a fork.
    Fork(ForkProof),
    /// The sites that the sender has a session with.
    Peers(Vec<SiteId>),
    /// Nothing new; still here.
    Ping,
    /// The session ends, and why.
    Bye(String),
    /// A message of a newer version: passed over (R13).
    Newer(u8),
}
