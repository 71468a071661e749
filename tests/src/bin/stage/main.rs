//! `stage`: three sites on this machine with links between them, for people to look at and for programs to check.
//!
//! The sites themselves are `tests::sites`. In order: [`arguments`] are the command-line options; [`run`] starts the
//! sites and prints their addresses; [`demo_data`] writes the first tickets; [`serve`] is the page with its links;
//! [`scenario`] plays the demo by itself; [`check`] runs it unattended and checks every step. Nothing here reaches into
//! a site: everything goes through its command line and its HTTP API.

mod arguments;
mod check;
mod demo_data;
mod run;
mod scenario;
mod serve;

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
