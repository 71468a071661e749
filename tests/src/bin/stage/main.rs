//! `stage`: three sites on this machine with a cable between them, for people to look at and for programs to check.
//!
//! The story in order: [`arguments`] says what is wanted; [`place`] names the sites, their folders and ports;
//! [`program`] runs `archipel` once, [`process`] keeps a running one alive; [`api`] is a site's door as anybody uses
//! it; [`cast`] is the three sites together (found, cut, mend, kill, wipe); [`filling`] writes the first tickets;
//! [`serve`] is the page with its cables; [`story`] plays the demo by itself; [`check`] plays it without a person
//! and says what held. Nothing here reaches into a site: everything goes through its programs and its HTTP API.

mod api;
mod arguments;
mod cast;
mod check;
mod filling;
mod place;
mod process;
mod program;
mod run;
mod serve;
mod story;
mod watch;

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
