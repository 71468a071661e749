//! Tickets: incidents, service requests, problems, change requests.
//!
//! [`command`] turns what somebody asks into edits of one document, [`view`] turns a document into the
//! ticket that people see. Both are pure, so every site resolves and shows the same.

pub mod command;
pub mod field;
pub mod priority;
pub mod status;
pub mod view;

pub use field::{Field, Kind, Level};
pub use status::Status;
pub use view::Ticket;
