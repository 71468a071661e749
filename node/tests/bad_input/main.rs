//! Bad input at every entry point of a site: invitation, import, configuration, command line, HTTP bodies.
//!
//! Each case is given to the real program on a real folder. It gets one clear error (what is safe, what happened, what
//! to do, a code), nothing that was there is lost or changed, and no secret is printed. The other requests over HTTP
//! are the stage's (`stage --check`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod bodies;
mod command_line;
mod configuration;
mod documentation;
mod import;
mod invitation;
#[path = "../common/mod.rs"]
mod site;
