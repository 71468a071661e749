//! Every bound of this crate, with its unit and reason. R6's bounds on a change stand in `change::limits`.

use std::time::Duration;

/// Bytes of a frame on the wire: one run of at most 4 MiB of bodies, poorly compressible, and its headers.
pub const MAX_FRAME_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of a frame once opened: zstd may make much of little, a peer may not.
pub const MAX_OPENED_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of bodies after which a frame of runs is closed: large enough for zstd, small enough to resume.
pub const FRAME_TARGET_BYTES: usize = 256 * 1024;
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
/// A frame of records that is not acknowledged for this long ends the session: the next one begins from
/// what is known to be durable.
pub const ACK_PATIENCE: Duration = Duration::from_secs(30);
/// How often a session that has nothing to say says so.
pub const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How often a site tells its frontiers while they change.
pub const FRONTIER_INTERVAL: Duration = Duration::from_millis(500);
/// How often a site tells its frontiers while they do not change: a sign of life over any path, and what a
/// second copy of the site is noticed by.
pub const FRONTIER_REPEAT: Duration = Duration::from_secs(60);
/// Frontier announcements in one frame: each may have many lines.
pub const FRONTIER_BATCH: usize = 16;
/// Scopes that a peer may offer in one session.
pub const MAX_OFFERS: usize = 4096;
/// Quiet time after which two sides compare digests.
pub const DIGEST_INTERVAL: Duration = Duration::from_secs(2);
/// Shortest time between two vectors asked for in one scope of one session.
pub const VECTOR_INTERVAL: Duration = Duration::from_secs(5);
/// Generations of one site whose logs in one scope no successor has closed. An honest site leaves one open for
/// each time that it was copied or restored; what is beyond waits, so that vectors and frontier announcements stay within `MAX_ITEMS`.
pub const MAX_OPEN_GENERATIONS: usize = 4096;
/// Sites, scopes, logs or authors in one message.
pub const MAX_ITEMS: u64 = 65_536;
/// Statements in one message of the authority log.
pub const AUTHORITY_BATCH: usize = 512;
/// Records judged in one go before the store commits: bounds the time a local write waits.
pub const CATCH_UP_RECORDS: usize = 256;
/// Bytes of memory that redb may use as cache.
pub const CACHE_BYTES: usize = 64 * 1024 * 1024;
