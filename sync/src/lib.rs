//! Keeps and moves Archipel's documents.
//!
//! The story of a change: [`docs`] alone applies it to a document, whether a person here made it or
//! [`admission`] let it in from a peer; [`store`] keeps it; [`engine`] decides, without touching anything, what to
//! tell which peer; [`wire`] turns that into frames; [`replica`] puts these together for one site; `net` carries frames
//! over iroh. Time, randomness, network and disk come in as arguments, so that the simulator runs this code and no
//! other.

pub mod admission;
pub mod change;
pub mod docs;
pub mod engine;
pub mod fault_injection;
pub mod frontiers;
pub mod limits;
#[cfg(feature = "net")]
pub mod net;
pub mod quarantine;
pub mod replica;
pub mod store;
pub mod verify;
pub mod wire;
