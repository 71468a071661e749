//! What is true in Archipel: types, rules and document shapes, as pure functions.
//!
//! `schema` knows every rule and does nothing: no clock, no randomness, no disk, no network. Two sites
//! that call these functions with the same records get the same answers; that is what makes them agree.
//! The rules are `docs/rules.md`, cited by number (R1 to R36); the bytes are `docs/formats/`.

pub mod access;
pub mod author;
pub mod authority;
pub mod codec;
pub mod credential;
pub mod doc;
pub mod fields;
pub mod fold;
pub mod fork;
pub mod frontier;
pub mod id;
pub mod identity;
pub mod invitation;
pub mod join;
pub mod policy;
pub mod record;
pub mod sealing;
pub mod ticket;
pub mod time;
