//! Several sites: in one process, and as real processes on this machine.
//!
//! In one process there is a seeded network, a virtual clock, disks that lose what was not synced, and a reference
//! model that says what must come out.
//!
//! [`world::World`] runs the same replica, admission, engine, frames and read model as production; only
//! network, disk, clock and randomness are its own. One seed is one scenario; `simulate` runs many.

pub mod disk;
pub mod fuzz_targets;
pub mod model;
pub mod rng;
pub mod sites;
#[cfg(feature = "fault-injection")]
pub mod world;
