//! `soak`: real sites lose their process, their links, their folder; what they acknowledged is everywhere, once.
//!
//! In order: [`run`] creates three sites; clients ([`writer`], several at once in a [`writer_pool`]) append to journals
//! ([`journal`]) what they request and what was acknowledged; [`kills`] ends sites with kill -9, under load and while
//! they heal; [`copied`] lets two processes of one copied folder write, isolated from each other; [`restored`] restores
//! an older backup; after each, [`verification`] reads the journals from the disk and compares every site.
//! What is kept alive, requested and compared is in `tests::sites`; the seeded simulation of these faults is
//! `simulate`.

mod copied;
mod journal;
mod kills;
mod restored;
mod run;
mod verification;
mod writer;
mod writer_pool;

use std::process::ExitCode;

use clap::Parser;
use run::Run;
use tests::sites::process::end_all;
use tests::sites::report::Report;
use tests::sites::signal::on_signal;

/// Real processes under kill -9, with copied and restored folders.
#[derive(Debug, Clone, Parser)]
#[command(name = "soak")]
struct Options {
    /// How often a site is killed.
    #[arg(long, default_value_t = 100)]
    kills: usize,
    /// Tickets before the first kill.
    #[arg(long, default_value_t = 10_000)]
    tickets: usize,
    /// Seconds in which two copies of one site write, isolated from each other.
    #[arg(long, default_value_t = 60)]
    copy_seconds: u64,
    /// Chooses which site is killed, when, and what clients write; the processes themselves keep their own time.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    match soak(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn soak(options: &Options) -> anyhow::Result<bool> {
    on_signal(|| {
        end_all();
        std::process::exit(130);
    });
    let mut report = Report::begin();
    let folder = std::env::temp_dir().join(format!("archipel-soak-{}", std::process::id()));
    report.step(&format!("Three sites are founded and joined (seed {})", options.seed));
    let mut run = Run::new(&folder, options.seed)?;
    let tickets = format!("{} tickets are opened", options.tickets);
    report.run(&tickets, |report| kills::fill(&mut run, options.tickets, report));
    let killed = format!("Sites are killed {} times, under load and while they heal", options.kills);
    report.run(&killed, |report| kills::kills(&mut run, options.kills, report));
    report.run("What was acknowledged, at every site", |report| verification::verify_all(&run, report));
    report.run("Each site starts on what it holds now", |report| kills::starts(&run, report));
    let copied = format!("Montréal's folder is copied, both copies write alone for {} s", options.copy_seconds);
    report.run(&copied, |report| copied::copied(&mut run, options.copy_seconds, report));
    let connected = "An older backup of Dakar's folder is restored";
    report.run(connected, |report| restored::while_connected(&mut run, report));
    let isolated = "An older backup of Montréal's folder is restored over its files while it is isolated";
    report.run(isolated, |report| restored::while_isolated(&mut run, report));
    report.run("Every chain, hash and signature on the disks", |report| verification::verify_disks(&run, report));
    drop(run);
    Ok(report.close(&folder))
}
