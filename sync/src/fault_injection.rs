//! Faults injected on purpose, so that the simulator shows that it would find them.
//!
//! Without the test-only feature `fault-injection` every question here is answered "no" at compile time.

/// The bugs, by number, as the campaign names them.
#[cfg(feature = "fault-injection")]
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
            pub fn $name() -> bool {
                #[cfg(feature = "fault-injection")]
                return chosen::is($number);
                #[cfg(not(feature = "fault-injection"))]
                false
            }
        )+
        /// Names of the bugs, from number 1.
        pub const NAMES: &[&str] = &[$(stringify!($name)),+];
    };
}

bugs!(
    /// Answers a local write before it is durable.
    acknowledges_before_commit = 1,
    /// Stores a run without looking at how far its log is held.
    skips_seq_check = 2,
    /// Stores and forwards runs without checking their signature.
    forwards_unverified = 3,
    /// Forgets a record that waits for something.
    drops_waiting = 4,
    /// Goes on with the generation of the process before.
    reuses_generation = 5,
    /// Does not ask whether the author may.
    skips_rights = 6,
    /// Streams every scope to every peer.
    sends_every_scope = 7,
    /// A copied store numbers its tickets like the original.
    numbers_like_original = 8,
    /// Applies what it did not write itself without looking into it.
    skips_content_admission = 9,
    /// Lets a site speak for anybody.
    accepts_any_name = 10,
    /// Takes what a revoked key wrote after its cut for standing.
    ignores_cuts = 11,
    /// Says what its documents are before it has applied what it holds.
    compares_too_early = 12,
);
