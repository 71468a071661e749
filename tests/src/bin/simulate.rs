//! Runs seeded scenarios: `simulate --seeds 300`, `simulate --seed 17`, `simulate --bugs`, and `simulate --seeds 100
//! --append tests/campaign.txt`, which goes on where the file ends.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::num::NonZero;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tests::world::{Options, World};

/// From so many seeds on, everything must have occurred.
const FULL_CAMPAIGN: u64 = 300;

/// Seeds of one line of a file of results.
const PORTION: u64 = 25;

/// Each of these must occur in a full campaign: a fault or a verdict that never occurs is not tested.
const MUST_OCCUR: [&str; 59] = [
    "alarm:AUTHORITY-FORKED",
    "alarm:CLONE-RUNNING",
    "alarm:LOG-FORKED",
    "alarm:OWN-RECORDS-BACK",
    "alarm:PEER-REFUSED",
    "alarm:SET-BACK",
    "authority",
    "authority:confirmed",
    "authority:last-admin-kept",
    "authority:mended",
    "authority:not-heard-yet",
    "command",
    "command:as-enrolled",
    "command:asked-again",
    "credential",
    "enrolment",
    "fault:clock",
    "fault:clone",
    "fault:corrupt",
    "fault:crash",
    "fault:cut",
    "fault:drop",
    "fault:duplicate",
    "fault:flap",
    "fault:forged",
    "fault:hand-over",
    "fault:hostile",
    "fault:join",
    "fault:lost-one-way",
    "fault:mend",
    "fault:newer-version",
    "fault:one-way-cut",
    "fault:reorder",
    "fault:restart",
    "fault:restore",
    "fault:revoked",
    "fault:sequencer-restored",
    "fault:set-back",
    "fault:slow",
    "fault:split",
    "judged:applied",
    "listed-as-without-effect",
    "member:acknowledgements",
    "member:announcements",
    "member:edit",
    "member:flipped",
    "member:fork",
    "member:generations",
    "member:histories",
    "member:in-anothers-name",
    "member:noise",
    "member:offers",
    "member:pin",
    "member:replayed",
    "member:restart",
    "member:statements",
    "member:vector",
    "member:wants",
    "member:withheld",
];

/// Reasons that no scenario can reach, and why.
const UNREACHABLE: [(&str, &str); 4] = [
    ("not-a-chunk", "log admission refuses such bytes"),
    ("panics-on-decode", "no bytes are known that reach it"),
    ("body-length", "needs a record that is named only; `sync` has a test of its own"),
    ("genesis-id", "the wire leaves the id out and receivers compute it; an own one is never wrong"),
];

/// The codes of all reasons for which a record may be void or wait.
fn reasons() -> impl Iterator<Item = &'static str> {
    let changes = sync::change::Reason::ALL.iter().map(|reason| reason.code());
    let refusals = schema::access::Refusal::ALL.iter().map(|refusal| refusal.code());
    let waits = sync::store::rows::Wait::CODES.into_iter();
    let beyond = sync::store::rows::Verdict::BEYOND.into_iter();
    changes.chain(refusals).chain(sync::docs::judge::REASONS).chain(waits).chain(beyond)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let (from, count) = match value("--seed") {
        Some(seed) => (seed, 1),
        None => (value("--from").unwrap_or(0), value("--seeds").unwrap_or(300)),
    };
    if let Some(bug) = value("--bug") {
        sync::fault_injection::chosen::choose(bug as u8);
    }
    if arguments.iter().any(|argument| argument == "--bugs") {
        return find_injected_bugs(from, count);
    }
    let at = arguments.iter().position(|argument| argument == "--append");
    if let Some(file) = at.and_then(|at| arguments.get(at + 1)) {
        return match append(std::path::Path::new(file), count) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("simulate: {file}: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let passed = campaign(from, count, value("--seed").is_none() && value("--bug").is_none());
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Goes on with the seeds after those that a file names, and adds a line for each portion: the first seed, the one
/// after the last, how many failed. `true` if all passed.
fn append(file: &std::path::Path, count: u64) -> std::io::Result<bool> {
    let before = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let ends = before.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    let from = ends.max().unwrap_or(0);
    let mut passed = true;
    for first in (from..from + count).step_by(PORTION as usize) {
        let next = (first + PORTION).min(from + count);
        let failed = run_all(first..next, |seed| !run_seed(seed).failures.is_empty(), |_| false);
        let failed = failed.into_iter().filter(|(_, failed)| *failed).count();
        passed &= failed == 0;
        let mut out = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
        writeln!(out, "{first} {next} {failed}")?;
    }
    Ok(passed)
}

/// Runs the seeds and prints how often everything occurred; `true` if all passed. With `complete`, a full campaign in
/// which something never occurred does not pass.
fn campaign(from: u64, count: u64, complete: bool) -> bool {
    let begun = Instant::now();
    let mut counters: BTreeMap<String, u64> = BTreeMap::new();
    let mut failed = 0;
    let run = |seed| {
        let world = run_seed(seed);
        (world.counters, !world.failures.is_empty())
    };
    let outcomes = run_all(from..from + count, run, |(_, has_failed)| {
        failed += u64::from(*has_failed);
        failed >= 5
    });
    if failed >= 5 {
        println!("five seeds failed; the rest was not run");
    }
    for (what, times) in outcomes.into_iter().flat_map(|(_, (counters, _))| counters) {
        *counters.entry(what).or_default() += times;
    }
    println!("{count} seeds in {:.1} s, {failed} failed", begun.elapsed().as_secs_f64());
    for (what, times) in &counters {
        println!("  {times:>9}  {what}");
    }
    let reachable = |reason: &&str| UNREACHABLE.iter().all(|(other, _)| other != reason);
    let judged = reasons().filter(reachable).map(|reason| format!("judged:{reason}"));
    let all = MUST_OCCUR.iter().map(|what| (*what).to_owned()).chain(judged);
    let never: Vec<String> = all.filter(|what| !counters.contains_key(what)).collect();
    for (reason, why) in UNREACHABLE {
        println!("          -  judged:{reason}: {why}");
    }
    if complete && count >= FULL_CAMPAIGN && !never.is_empty() {
        println!("never occurred: {never:?}");
        return false;
    }
    failed == 0
}

/// What a thread of seeds may put on its stack: as much as a program's first thread.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// Runs seeds, as many at a time as there are processors, until `is_enough` says so of what came of one of them. Answers
/// with what came of each seed that was run, in their order; all before the last of them were.
fn run_all<T: Send>(
    seeds: Range<u64>,
    run: impl Fn(u64) -> T + Sync,
    is_enough: impl FnMut(&T) -> bool + Send,
) -> BTreeMap<u64, T> {
    let next = AtomicU64::new(seeds.start);
    let end = AtomicU64::new(seeds.end);
    let outcomes = Mutex::new((BTreeMap::new(), is_enough));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= end.load(Ordering::SeqCst) {
                return;
            }
            let outcome = run(seed);
            let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            let (outcomes, is_enough) = &mut *outcomes;
            if is_enough(&outcome) {
                end.store(0, Ordering::SeqCst);
            }
            outcomes.insert(seed, outcome);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            let started = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
            started.expect("a thread starts");
        }
    });
    outcomes.into_inner().unwrap_or_else(PoisonError::into_inner).0
}

/// Of so many seeds one is run twice: nothing but the seed may decide what happens.
const REPLAYED: u64 = 25;

/// Runs a seed to its end and prints what failed.
fn run_seed(seed: u64) -> World {
    let options = Options::of(seed);
    let mut world = World::new(options.clone());
    world.run();
    if seed.is_multiple_of(REPLAYED) && world.failures.is_empty() {
        let mut again = World::new(options.clone());
        again.run();
        if again.trace() != world.trace() {
            world.failures.push("another trace when it was run again".to_owned());
        }
    }
    if !world.failures.is_empty() {
        println!("seed {seed} FAILED ({options:?})");
        world.failures.iter().take(6).for_each(|failure| println!("    {failure}"));
        println!("    again: cargo run -p tests --bin simulate --features fault-injection -- --seed {seed}");
    }
    world
}

/// Injects each bug in turn and looks for the first seed that finds it.
fn find_injected_bugs(from: u64, count: u64) -> ExitCode {
    let mut missed = 0;
    for (index, name) in sync::fault_injection::NAMES.iter().enumerate() {
        sync::fault_injection::chosen::choose(index as u8 + 1);
        let run = |seed| {
            let mut world = World::new(Options::of(seed));
            world.run();
            world.failures.first().cloned()
        };
        let outcomes = run_all(from..from + count, run, Option::is_some);
        match outcomes.into_iter().find_map(|(seed, failure)| Some((seed, failure?))) {
            Some((seed, failure)) => println!("bug {} {name}: found by seed {seed}: {failure}", index + 1),
            None => {
                missed += 1;
                println!("bug {} {name}: NOT FOUND in {count} seeds", index + 1);
            }
        }
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
