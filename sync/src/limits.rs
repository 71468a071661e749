//! Every bound of this crate, with its unit and reason. R6's bounds on a change stand in `change::limits`.

use std::time::Duration;

/// Bytes of a frame on the wire: one run of at most 4 MiB of bodies, poorly compressible, and its headers.
pub const MAX_FRAME_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of a frame once opened: zstd may make much of little, a peer may not.
pub const MAX_OPENED_BYTES: usize = 16 * 1024 * 1024;
/// Opened bytes for each byte on the wire. The frame, what it opens to, and what is read from that live together for a
/// moment: at most 16 times the frame before its signatures are checked, and what a frame of any size may take.
pub const MAX_OPENED_RATIO: usize = 7;
/// Opened bytes that any frame may have, however small it is.
pub const MIN_OPENED_BYTES: usize = 64 * 1024;
/// Bytes of bodies after which a frame of runs is closed, at most: large enough for zstd, small enough to resume.
pub const FRAME_TARGET_BYTES: usize = 256 * 1024;
/// The same for the first frame of a session, before its link is known.
pub const FRAME_START_BYTES: usize = 16 * 1024;
/// The same at the least: 2 s of a link of 16 kbit/s.
pub const FRAME_MIN_BYTES: usize = 4 * 1024;
/// A frame that takes longer than this to be durable at the peer halves the next ones (R21).
pub const LINK_SLOW: Duration = Duration::from_secs(2);
/// One that takes less than this makes them as large as would take this long.
pub const LINK_FAST: Duration = Duration::from_millis(500);
/// Frames of records of all scopes of a session that are on the way together: others wait for their turn.
pub const SESSION_WINDOW: usize = 8;
/// How often a session is asked again for what was left out for now.
pub const SKIPPED_INTERVAL: Duration = Duration::from_secs(60);
/// Frames of one lane sent and not yet acknowledged: bounds what a cut link sends twice.
pub const LANE_WINDOW: usize = 4;
/// Arrivals looked at for one frame: bounds a step when a peer needs few of many.
pub const MAX_SCAN: usize = 20_000;
/// Records of others wait this long before they are forwarded to a peer that has a session with their
/// origin: in a full mesh everything would travel twice otherwise.
pub const FORWARD_DELAY: Duration = Duration::from_secs(3);
/// A session without a frame for this long is closed by the engine; peers send something every
/// `PING_INTERVAL`.
pub const SESSION_SILENCE: Duration = Duration::from_secs(20);
/// A frame of records that is not acknowledged for this long ends the session, and so does a question for a vector
/// without an answer: the next one begins from what is known to be durable.
pub const ACK_PATIENCE: Duration = Duration::from_secs(30);
/// How often a session that has nothing to say says so.
pub const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How often a site announces what it holds of a scope, while that changes (R17).
pub const FRONTIER_INTERVAL: Duration = Duration::from_secs(5);
/// Bytes of announcements in one frame, about.
pub const FRONTIER_FRAME_BYTES: usize = 16 * 1024;
/// Bytes of a body that travels with its record, or with other bodies: 2 s of a link of 64 kbit/s. A longer one comes
/// in pieces (R21).
pub const MAX_WHOLE_BODY: usize = 16 * 1024;
/// How long a peer that was asked for the next piece of a body may take before somebody else is asked: twice what a piece
/// takes on a link of 16 kbit/s.
pub const PIECE_PATIENCE: Duration = Duration::from_secs(20);
/// Bytes a second of a long body, beside `PIECE_PATIENCE`, below which others are asked for theirs meanwhile: half of what a
/// link of 16 kbit/s bears.
pub const LONG_BODY_RATE: u64 = 1024;
/// Long bodies of slow peers that are kept as far as they came, while others come; each has 2 MiB at most.
pub const MAX_PARKED: usize = 4;
/// How long a session is asked for no long body after it did not answer: a few times what that holds up the others.
pub const SILENT_REST: Duration = Duration::from_secs(60);
/// Bytes of bodies sent in one message, beside the last of them.
pub const BODIES_FRAME_BYTES: usize = 16 * 1024;
/// Bytes of bodies read for one such message: several times what is read where records promise the lengths that their
/// bodies have. Others are read for nothing.
pub const WANT_READ_BYTES: usize = 4 * 1024 * 1024;
/// Long bodies kept in memory while peers ask for one piece of them after the other; each has 2 MiB at most.
pub const MAX_BODIES_AT_HAND: usize = 4;
/// Records whose bodies are asked for, and bodies sent, in one message.
pub const MAX_WANTED: usize = 64;
/// How often a session is asked for bodies that are lacking here, and how long a long one rests after every session was
/// asked for it.
pub const WANT_INTERVAL: Duration = Duration::from_secs(5);
/// Long bodies of which is known who was asked for them: as many more are begun anew with whoever has the turn.
pub const MAX_ROUNDS: usize = 1024;
/// Logs that one session may have left out because of their history, or of what they refer to.
pub const MAX_LEFT_OUT: usize = 4096;
/// How long a run that refers to other logs may come out wrong before its sender is blamed: time to find out whether
/// one of those has another history there.
pub const MISTAKE_PATIENCE: Duration = Duration::from_secs(30);
/// How long after a valid proof of a fork was put off (`GENERATION_PACE`) nobody is blamed for a run that comes out wrong and
/// refers to logs of that site: twice `SKIPPED_INTERVAL`, after which what is put off is told again.
pub const PUT_OFF_PATIENCE: Duration = Duration::from_secs(120);
/// Hashes of records in one question where two histories of a log part: a log of a million records takes four.
pub const MAX_FORK_POINTS: usize = 32;
/// Proofs of forks sent for one question; the rest is asked for again.
pub const FORKS_AT_ONCE: usize = 16;
/// Proofs of forks of a site with many that are taken whole from peers in each `GENERATION_PACE`, beside those that this
/// site finds itself: as many as one question brings. The peer took each at a pace before, so that what sites find, each at
/// its own, comes together; a site that tells its own forks is not a peer in this.
pub const FORKS_TOLD_AT_PACE: usize = FORKS_AT_ONCE;
/// Commands issued again in one transaction, after a fork of this site's own log.
pub const REISSUED_AT_ONCE: u64 = 64;
/// Scopes that a peer may offer in one session.
pub const MAX_OFFERS: usize = 4096;
/// Quiet time after which two sides compare digests.
pub const DIGEST_INTERVAL: Duration = Duration::from_secs(2);
/// Shortest time between two vectors asked for in one scope of one session.
pub const VECTOR_INTERVAL: Duration = Duration::from_secs(5);
/// Open logs of one site in one scope up to which it begins new ones as it likes. An honest site leaves one open for
/// each time that it was copied or restored.
pub const FREE_GENERATIONS: usize = 64;
/// Generations of one site that fork within a day until its key is revoked: a machine that is set back goes on, a key in two
/// hands does not (R20).
pub const FORKS_UNTIL_REVOKED: usize = 3;
/// That day.
pub const FORK_MEMORY: Duration = Duration::from_secs(86_400);
/// How often a site with more open logs than that is let begin another one: delayed, never refused (R1, R8).
pub const GENERATION_PACE: Duration = Duration::from_secs(60);
/// Bytes of bodies that one signature of this site ends: a run is never torn, so this is what a slow link must pass at
/// once. A single record may have more.
pub const MAX_UNSIGNED_BYTES: usize = 16 * 1024;
/// Sites, scopes, logs or authors in one message.
pub const MAX_ITEMS: u64 = 65_536;
/// Statements in one message of the authority log.
pub const AUTHORITY_BATCH: usize = 512;
/// Bytes of statements in one message, beside one that is longer alone: a statement may have 256 KiB.
pub const AUTHORITY_FRAME_BYTES: usize = 16 * 1024;
/// Enrolments that the sequencer copies in one go: each is a statement for everybody, for ever (R15).
pub const COPIED_AT_ONCE: usize = 16;
/// Enrolments of one site that the sequencer copies within a day: what a site with a thief in it may add to the list that
/// everybody keeps for ever. People act at their own site meanwhile.
pub const COPIED_A_DAY: usize = 4096;
/// Users of whom is looked in one go whether what they log in with is sealed to every site that it is for (R16).
pub const UNSEALED_LOOKS: usize = 256;
/// Shares sealed again in one go, about: each takes some 100 us of the thread that writes.
pub const SEALED_AT_ONCE: usize = 256;
/// Records judged in one go before the store commits: bounds the time a local write waits.
pub const CATCH_UP_RECORDS: usize = 256;
/// Records that wait for one thing and are judged again in the transaction that brings it; more go through the store.
pub const WAKE_AT_ONCE: usize = 16;
/// Records judged again in one transaction because of what they waited for.
pub const WAKE_QUEUE: usize = 256;
/// Bytes of memory that redb may use as cache.
pub const CACHE_BYTES: usize = 64 * 1024 * 1024;
