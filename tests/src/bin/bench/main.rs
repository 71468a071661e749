//! Prints figures: local writes, reads, reconnecting, healing, memory. Floors are measured in the same run.
//!
//! `cargo xtask bench` runs it in release; `--tickets N --edits N` change the size. Nothing is asserted: the
//! history of the figures stands in `docs/benchmarks.md`.

mod floors;
mod pair;

use std::time::{Duration, Instant};

use node::views::{Views, query};
use pair::{Pair, Traffic};
use schema::access::Reach;

/// Sizes of a run.
struct Sizes {
    tickets: usize,
    edits: usize,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str, default: usize| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let sizes = Sizes { tickets: value("--tickets", 10_000), edits: value("--edits", 2_000) };
    let folder = std::env::temp_dir().join(format!("archipel-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let done = run(&folder, &sizes);
    std::fs::remove_dir_all(&folder)?;
    done
}

fn run(folder: &std::path::Path, sizes: &Sizes) -> anyhow::Result<()> {
    let mut pair = Pair::new(folder)?;
    println!("sizes: {} tickets, {} edits at each of 2 sites", sizes.tickets, sizes.edits);
    local_writes(&mut pair, sizes)?;
    let memory = resident_mb();
    first_fill(&mut pair)?;
    reads(&pair, folder)?;
    reconnect(&mut pair)?;
    heal(&mut pair, sizes)?;
    println!(
        "memory: {memory:.0} MB after the writes with one site's store, {:.0} MB at the end with both",
        resident_mb()
    );
    Ok(())
}

fn local_writes(pair: &mut Pair, sizes: &Sizes) -> anyhow::Result<()> {
    let mut single = Vec::new();
    for number in 0..200.min(sizes.tickets) {
        let begun = Instant::now();
        pair.tickets(0, number, 1)?;
        single.push(begun.elapsed());
    }
    let begun = Instant::now();
    let rest = sizes.tickets.saturating_sub(single.len());
    for portion in 0..rest.div_ceil(100) {
        pair.tickets(0, 200 + portion * 100, 100.min(rest - portion * 100))?;
    }
    let grouped = rest as f64 / begun.elapsed().as_secs_f64();
    println!(
        "local write, durable, one at a time: p50 {} p99 {}; {:.0}/s in groups of 100",
        ms(percentile(&mut single, 50)),
        ms(percentile(&mut single, 99)),
        grouped
    );
    Ok(())
}

fn first_fill(pair: &mut Pair) -> anyhow::Result<()> {
    let begun = Instant::now();
    let traffic = pair.meet(false)?;
    let durable = begun.elapsed();
    let shown = pair.show(1)?;
    println!(
        "first fill: {} records, {} bytes, durable in {}, shown in {} more",
        pair.records(1),
        traffic.bytes,
        ms(durable),
        ms(shown)
    );
    Ok(())
}

fn reads(pair: &Pair, folder: &std::path::Path) -> anyhow::Result<()> {
    let mut views = Views::open(&folder.join("views.sqlite"))?;
    let begun = Instant::now();
    let rows = views.catch_up(&pair.sites[0].read()?, pair.sites[0].store().local())?.len();
    println!("read model made from nothing: {rows} documents in {}", ms(begun.elapsed()));
    let reach = Reach { structures: [pair::IT].into(), person: schema::id::DocId([0; 32]) };
    let time = |what: &str, work: &dyn Fn(usize) -> rusqlite::Result<usize>| -> anyhow::Result<()> {
        let mut times = Vec::new();
        let mut found = 0;
        for round in 0..200 {
            let begun = Instant::now();
            found = work(round)?;
            times.push(begun.elapsed());
        }
        let (half, most) = (percentile(&mut times, 50), percentile(&mut times, 95));
        println!("{what}: p50 {} p95 {} ({found} found)", ms(half), ms(most));
        Ok(())
    };
    let conn = views.conn();
    let list = |words: Option<&str>, statuses: Vec<schema::ticket::Status>| {
        let filter = query::Filter { words: words.map(str::to_owned), statuses, ..query::Filter::default() };
        query::list(conn, &reach, &filter, query::Sort::Updated, true, 50, None).map(|page| page.total as usize)
    };
    time("list, newest 50", &|_| list(None, Vec::new()))?;
    time("list, filtered by status", &|_| list(None, vec![schema::ticket::Status::New]))?;
    time("search, one word", &|_| list(Some("imprimante"), Vec::new()))?;
    time("search, two beginnings", &|_| list(Some("impr dak"), Vec::new()))?;
    time("open by number", &|round| {
        query::find(conn, &reach, &format!("S0-{}", 1 + round * 7)).map(|found| usize::from(found.is_some()))
    })
}

fn reconnect(pair: &mut Pair) -> anyhow::Result<()> {
    let begun = Instant::now();
    let Traffic { bytes, turns, .. } = pair.meet_briefly()?;
    println!("reconnect with nothing new, 2 scopes: {bytes} bytes both ways, {turns} turns, {}", ms(begun.elapsed()));
    Ok(())
}

fn heal(pair: &mut Pair, sizes: &Sizes) -> anyhow::Result<()> {
    for site in 0..2 {
        pair.edits(site, sizes.edits)?;
    }
    let changes = pair.missing_changes()?;
    let raw: usize = changes.iter().map(Vec::len).sum();
    let compressed = floors::compressed(&changes)?;
    let floor_durable = floors::durable(pair.folder(), &changes)?;
    let floor_visible = floors::visible(pair, &changes)?;
    let begun = Instant::now();
    let traffic = pair.meet(false)?;
    let durable = begun.elapsed();
    let shown = pair.show(0)? + pair.show(1)?;
    let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
    println!(
        "heal of 2 x {} edits: {} changes, {raw} raw bytes, {compressed} under zstd-3",
        sizes.edits,
        changes.len()
    );
    println!(
        "  bytes {}: {:.2} of zstd-3 of the raw changes",
        traffic.bytes,
        ratio(traffic.bytes as f64, compressed as f64)
    );
    println!(
        "  durable {}: {:.2} of the floor ({})",
        ms(durable),
        ratio(durable.as_secs_f64(), floor_durable.as_secs_f64()),
        ms(floor_durable)
    );
    println!(
        "  shown {} more: {:.2} of loading, applying and saving with Automerge ({})",
        ms(shown),
        ratio(shown.as_secs_f64(), floor_visible.as_secs_f64()),
        ms(floor_visible)
    );
    anyhow::ensure!(pair.agree(), "the two sites differ after healing");
    Ok(())
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// Resident memory of this process in MB; 0 where the kernel does not say.
fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1024.0
}
