//! Prints figures as a column of `docs/benchmarks.md`; floors (minimal programs that do the same) are measured in the
//! same run. Nothing is asserted.
//!
//! In order: [`pair`] is two sites in this process, whose [`local`] figures come first; [`heal`] compares their
//! exchange with the [`floors`]; [`busy_ticket`] edits one field again and again; [`served`] measures a real process over
//! HTTP. By name alone: [`fleet`] is one site of many that were restarted often, [`rules`] a start with many people. Texts
//! come from [`text_generator`], date, commit and machine from [`machine`], and [`figures`] prints. `cargo xtask bench`
//! builds everything in release and runs it.

mod busy_ticket;
mod figures;
mod fleet;
mod floors;
mod heal;
mod local;
mod machine;
mod pair;
mod rules;
mod served;
mod text_generator;

use std::path::Path;

use clap::{Parser, ValueEnum};
use pair::Pair;
use tests::sites::process::end_all;
use tests::sites::signal::on_signal;

/// The number of edits of one group commit, where they come in groups.
const GROUP: usize = 50;

/// LogIndex writes, queries, reconnecting, healing, memory: against floors.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    /// The number of tickets of each site.
    #[arg(long, default_value_t = 10_000)]
    tickets: usize,
    /// Edits at each of two sites before they heal.
    #[arg(long, default_value_t = 2_000)]
    edits: usize,
    /// Edits of one field of one ticket.
    #[arg(long, default_value_t = 5_000)]
    busy: usize,
    /// How often each heal is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measure only this part; absent: the first two.
    #[arg(long, value_enum)]
    only: Option<Part>,
    #[command(flatten)]
    fleet: fleet::Size,
    /// People of the organisation whose rules a start reads.
    #[arg(long, default_value_t = 100_000)]
    people: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Two sites in this process.
    Pair,
    /// A site as a process of its own.
    Served,
    /// A site of many, after many restarts: `--sites`, `--scopes`, `--restarts`. Not part of the rest.
    Fleet,
    /// A start with `--people`. Not part of the rest.
    Rules,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    on_signal(|| {
        end_all();
        std::process::exit(130);
    });
    let folder = std::env::temp_dir().join(format!("archipel-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let done = run(&folder, &arguments);
    end_all();
    std::fs::remove_dir_all(&folder)?;
    done
}

fn run(folder: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { tickets, edits, busy, rounds, only, fleet, people } = *arguments;
    println!("| {tickets} tickets | {} |\n| --- | --- |", machine::description());
    match only {
        Some(Part::Fleet) => return fleet::measure(folder, fleet),
        Some(Part::Rules) => return rules::measure(folder, people),
        Some(Part::Pair | Part::Served) | None => {}
    }
    if only != Some(Part::Served) {
        let mut pair = Pair::new(folder)?;
        local::writes(&mut pair, tickets)?;
        local::first_fill(&mut pair)?;
        local::reads(&pair)?;
        local::reconnect(&mut pair)?;
        heal::measure(&mut pair, edits, 1, rounds)?;
        heal::measure(&mut pair, edits, GROUP, rounds)?;
        busy_ticket::measure(&mut pair, busy)?;
    }
    if only != Some(Part::Pair) {
        served::measure(folder, tickets)?;
    }
    Ok(())
}
