//! Healing: two sites that edited while disconnected exchange their changes; compared with the floors.
//!
//! A round is written, measured and compared as one; of several rounds each figure is the median.

use std::time::{Duration, Instant};

use super::figures::{ms, ratio, row};
use super::floors::{self, MinimalStore};
use super::pair::{Missing, Pair, Shown};

/// The number of ticks of the idle time after an exchange: about five seconds.
const IDLE_TICKS: usize = 8;

/// The figures of one round.
struct Round {
    changes: usize,
    raw: usize,
    compressed: usize,
    bytes: usize,
    idle: usize,
    durable: Duration,
    shown: Shown,
    floor_durable: Duration,
    floor_visible: Duration,
}

impl Round {
    fn visible(&self) -> Duration {
        self.durable + self.shown.documents + self.shown.rows
    }

    fn floor(&self) -> Duration {
        self.floor_durable + self.floor_visible
    }
}

/// Heals `rounds` times after `edits` at each site, written in groups of `group`, and prints the figures.
pub fn measure(pair: &mut Pair, edits: usize, group: usize, rounds: usize) -> anyhow::Result<()> {
    let name = if group == 1 { "edits one by one".to_owned() } else { format!("edits in groups of {group}") };
    let mut done = Vec::new();
    for number in 0..rounds {
        eprintln!("heal, {name}: round {} of {rounds}", number + 1);
        done.push(round(pair, edits, group, &format!("{group}-{number}"))?);
    }
    print_rows(&format!("heal 2 × {edits}, {name}"), &done);
    Ok(())
}

fn round(pair: &mut Pair, edits: usize, group: usize, name: &str) -> anyhow::Result<Round> {
    for (site, tickets) in pair.pick_tickets(edits).iter().enumerate() {
        for portion in tickets.chunks(group) {
            pair.edit(site, portion)?;
        }
        pair.show(site)?;
    }
    let missing = [pair.missing_at_other(0)?, pair.missing_at_other(1)?];
    let bytes = |missing: &Missing| missing.change.len();
    let raw = missing.iter().flatten().map(bytes).sum();
    let changes = missing.iter().map(Vec::len).sum();
    let compressed = floors::compressed(&missing[0])? + floors::compressed(&missing[1])?;
    let bare = [MinimalStore::like(pair, 0, name, &missing)?, MinimalStore::like(pair, 1, name, &missing)?];
    let (floor_durable, floor_visible) = (floors::durable(&bare)?, floors::visible(&bare)?);
    let begun = Instant::now();
    let traffic = pair.connect()?;
    let durable = begun.elapsed();
    anyhow::ensure!(pair.records(0) == pair.records(1), "the two sites do not hold the same after the exchange");
    let (a, b) = (pair.show(0)?, pair.show(1)?);
    let idle = pair.idle_and_disconnect(IDLE_TICKS)?.bytes;
    anyhow::ensure!(pair.agree()?, "the two sites differ after healing");
    let shown = Shown { documents: a.documents + b.documents, rows: a.rows + b.rows };
    let bytes = traffic.bytes;
    Ok(Round { changes, raw, compressed, bytes, idle, durable, shown, floor_durable, floor_visible })
}

fn print_rows(name: &str, rounds: &[Round]) {
    let Some(first) = rounds.first() else {
        return;
    };
    let time = |of: &dyn Fn(&Round) -> Duration| median(rounds.iter().map(of));
    let against = |ours: &dyn Fn(&Round) -> Duration, floor: &dyn Fn(&Round) -> Duration, what: &str| {
        let ratios = median(rounds.iter().map(|round| (ratio(ours(round), floor(round)) * 1000.0) as u64));
        format!("{} = {:.2} of {what} ({})", ms(time(ours)), ratios as f64 / 1000.0, ms(time(floor)))
    };
    let Round { changes, raw, compressed, bytes, idle, .. } = first;
    let share = *bytes as f64 / *compressed as f64;
    row(&format!("{name}: raw"), format!("{changes} changes, {raw} bytes; zstd-3 {compressed}"));
    row(&format!("{name}: bytes"), format!("{bytes} = {share:.2} of zstd-3; {idle} more in 5 s of quiet"));
    let durable = against(&|round| round.durable, &|round| round.floor_durable, "the floor");
    row(&format!("{name}: durable"), durable);
    row(&format!("{name}: visible"), against(&Round::visible, &Round::floor, "the floor"));
    let documents = against(&|round| round.shown.documents, &|round| round.floor_visible, "load, apply, save");
    row(&format!("{name}: of it documents"), documents);
    row(&format!("{name}: of it rows"), ms(time(&|round| round.shown.rows)));
}

fn median<T: Ord + Default>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    let half = values.len() / 2;
    values.into_iter().nth(half).unwrap_or_default()
}
