//! Canonical changes (R6): what stands between foreign bytes and Automerge.
//!
//! Automerge trusts its input. A change that decodes can still panic when it is applied, leave a document that
//! cannot be loaded again, or make replicas differ by order of arrival. So the
//! bytes of a change pass three gates, in this order, and only then may [`Parsed::change`] reach a document:
//!
//! 1. [`scan`] reads the envelope and the run lengths of the columns without expanding anything: bombs end here.
//! 2. [`parse`] decodes, encodes again and compares the bytes, and turns each operation into one of the five
//!    forms a document may hold ([`Operation`]). Both gates are functions of the bytes alone.
//! 3. [`judge`] checks envelope and operations against the *ancestors* of the change, and nothing else that
//!    happens to be held: all sites give the same [`Verdict`] whatever order records arrive in.
//!
//! An applied change is described by its [`Facts`], the stored index entry (R25) that later judgements read
//! through [`History`]. Left to others: who may write (R10), changes that share (actor, seq) (R19), what depends
//! on a void change (R8), and a panic of Automerge *after* these gates, which is our bug and voids nothing (R8).

mod ancestors;
mod columns;
mod facts;
mod history;
mod ids;
mod judge;
pub mod limits;
mod operation;
mod operations;
mod outline;
mod parse;
mod reason;
mod scan;
mod varint;

#[cfg(any(test, feature = "mutation"))]
pub mod mutation;
#[cfg(test)]
mod tests;

pub use facts::{Facts, FactsError};
pub use history::{History, MemoryHistory};
pub use ids::{Actor, Hash, OpId, chunk_hash};
pub use judge::{Genesis, JudgeError, Verdict, check_place, judge};
pub use operation::Operation;
pub use outline::Outline;
pub use parse::{Parsed, operations, parse};
pub use reason::Reason;
pub use scan::{Scan, scan};
