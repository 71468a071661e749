//! Bugs planted on purpose, so that the simulator shows that it would find them.
//!
//! Without the test-only feature `planted` every question here is answered "no" at compile time.

/// The bugs, by number, as the campaign names them.
#[cfg(feature = "planted")]
pub mod chosen {
    use std::sync::atomic::{AtomicU8, Ordering};

    static BUG: AtomicU8 = AtomicU8::new(0);

    /// Chooses a bug for the whole process; 0 is none.
    pub fn choose(bug: u8) {
        BUG.store(bug, Ordering::SeqCst);
    }
    pub(super) fn is(bug: u8) -> bool {
        BUG.load(Ordering::SeqCst) == bug
    }
}

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident = $number:literal),+ $(,)?) => {
        $(
            $(#[$doc])*
            #[inline(always)]
            pub(crate) fn $name() -> bool {
                #[cfg(feature = "planted")]
                return chosen::is($number);
                #[cfg(not(feature = "planted"))]
                false
            }
        )+
        /// Names of the bugs, from number 1.
        pub const NAMES: &[&str] = &[$(stringify!($name)),+];
    };
}

bugs!(
    /// Acknowledges a peer's records before they are durable.
    acknowledges_before_commit = 1,
    /// Does not check that seqs are in order.
    skips_seq_check = 2,
    /// Stores and forwards runs without checking their signature.
    forwards_unverified = 3,
    /// Forgets a record that waits for a change.
    drops_waiting = 4,
    /// Goes on with the generation of the process before.
    reuses_generation = 5,
    /// Does not ask whether the author may.
    skips_rights = 6,
    /// Streams every scope to every peer.
    sends_every_scope = 7,
    /// Moves the cursor to what was sent, not to what was acknowledged.
    cursor_runs_ahead = 8,
);
