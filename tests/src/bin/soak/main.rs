//! `endure`: real sites lose their process, their links, their folder; what they acknowledged is everywhere, once.
//!
//! The story in order: [`trial`] founds three sites; clients ([`writer`], several at once in a [`crowd`]) note in files
//! of their own ([`book`]) what they ask and what was acknowledged; [`kills`] ends sites with kill -9, under load and
//! while they heal; [`copied`] lets two processes of one copied folder write, unseen by each other; [`restored`] puts
//! back yesterday's folder; after each, [`proof`] reads the clients' files from the disk and asks every site.
//! What is kept alive, asked and compared is `tests::sites`; the seeded story of the same faults is `simulate`.

mod book;
mod copied;
mod crowd;
mod kills;
mod proof;
mod restored;
mod trial;
mod writer;

use std::process::ExitCode;

use clap::Parser;
use tests::sites::process::end_all;
use tests::sites::report::Report;
use tests::sites::signal::on_signal;
use trial::Trial;

/// Real processes under kill -9, copied folders and restored ones.
#[derive(Debug, Clone, Parser)]
#[command(name = "endure")]
struct Arguments {
    /// How often a site is killed.
    #[arg(long, default_value_t = 100)]
    kills: usize,
    /// Tickets before the first kill.
    #[arg(long, default_value_t = 10_000)]
    tickets: usize,
    /// Seconds in which two copies write without seeing each other.
    #[arg(long, default_value_t = 60)]
    minute: u64,
    /// Chooses who is killed, when, and what clients ask; the processes themselves keep their own time.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("endure: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    on_signal(|| {
        end_all();
        std::process::exit(130);
    });
    let mut report = Report::begin();
    let folder = std::env::temp_dir().join(format!("archipel-endure-{}", std::process::id()));
    report.step(&format!("Three sites are founded and joined (seed {})", arguments.seed));
    let mut trial = Trial::found(&folder, arguments.seed)?;
    let tickets = format!("{} tickets are opened", arguments.tickets);
    report.run(&tickets, |report| kills::fill(&mut trial, arguments.tickets, report));
    let killed = format!("Sites are killed {} times, under load and while they heal", arguments.kills);
    report.run(&killed, |report| kills::kills(&mut trial, arguments.kills, report));
    report.run("What was acknowledged, at every site", |report| proof::proof(&trial, report));
    report.run("Each site starts on what it holds now", |report| kills::starts(&trial, report));
    let copied = format!("Montréal's folder is copied, both copies write alone for {} s", arguments.minute);
    report.run(&copied, |report| copied::copied(&mut trial, arguments.minute, report));
    let again = "Dakar's folder of yesterday is put back";
    report.run(again, |report| restored::among_the_others(&mut trial, report));
    let alone = "Montréal's folder of yesterday is put back over its files, and it is alone";
    report.run(alone, |report| restored::alone(&mut trial, report));
    report.run("Every chain, hash and signature on the disks", |report| proof::verified(&trial, report));
    drop(trial);
    Ok(report.close(&folder))
}
