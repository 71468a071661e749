//! Several sites in one process: a seeded network, a hand-turned clock, disks that lose what was not
//! synced, and a naive model that says what must come out.
//!
//! [`world::World`] runs the same replica, admission, engine, frames and read model as production; only
//! network, disk, clock and randomness are its own. One seed is one story; `simulate` runs many.

pub mod disk;
pub mod model;
pub mod rng;
#[cfg(feature = "planted")]
pub mod world;
