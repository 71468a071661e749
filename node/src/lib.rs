//! Serves a site: commands, read model, HTTP, command line.
//!
//! [`site`] puts the parts together and runs the one thread that writes; [`commands`] turns what people
//! ask into records; [`read_model`] is the SQLite read model; [`http`] is the API, the page and the events;
//! [`cli`] is the command line; [`refusal`] is what bad input gets; [`clock`] alone reads the time.

pub mod cli;
pub mod clock;
mod clone_detection;
pub mod commands;
pub mod config;
pub mod credentials;
pub mod folder;
pub mod http;
pub mod import;
pub mod kit;
pub mod membership;
pub mod passwords;
pub mod read_model;
pub mod refusal;
pub mod site;
pub mod status;
