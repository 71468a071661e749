//! `stage`: three sites on this machine with a cable between them, for people to look at and for programs to check.
//!
//! The sites themselves are `tests::sites`. The story in order: [`arguments`] says what is wanted; [`run`] starts the
//! sites and says where they are; [`filling`] writes the first tickets; [`serve`] is the page with its cables;
//! [`story`] plays the demo by itself; [`check`] plays it without a person and says what held. Nothing here reaches
//! into a site: everything goes through its programs and its HTTP API.

mod arguments;
mod check;
mod filling;
mod run;
mod serve;
mod story;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    let done = if arguments.check { check::check(&arguments) } else { run::run(&arguments).map(|()| true) };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("stage: {error:#}");
            ExitCode::FAILURE
        }
    }
}
