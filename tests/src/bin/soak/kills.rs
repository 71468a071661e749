//! Repeated kill -9: while clients write, and while sites heal after a cut.

use std::time::{Duration, Instant};

use tests::sites::api::text;
use tests::sites::report::Report;
use tests::sites::setup::SITES;
use tests::sites::watch::{poll_all, wait_until_converged};

use crate::run::{Run, TIMEOUT, start};
use crate::writer::Writer;
use crate::writer_pool::{WriterPool, error_summary};

/// How soon a site must list its tickets after its process was started.
const MAX_RESTART: Duration = Duration::from_secs(2);
/// The number of clients of each site: while filling, and between the kills.
const FILLING_CLIENTS: usize = 4;
const WRITING_CLIENTS: usize = 2;
/// After so many kills the clients pause until the sites have converged.
const KILLS_PER_CHECK: usize = 10;
/// How long clients write before a kill under load, at most; before a heal exactly.
const LOAD_MS: u64 = 500;
/// How long after the links are mended a healing site is killed, at most.
const HEAL_MS: u64 = 300;
/// One in so many restarts is interrupted by another kill, within this time of the start.
const SECOND_KILL_EVERY: usize = 5;
const SECOND_KILL_MS: u64 = 200;
/// How long clients go on writing after a killed site is back.
const AFTER_RESTART: Duration = Duration::from_millis(150);

/// Opens tickets at all sites at once and waits until the sites converge.
pub fn fill(run: &mut Run, tickets: usize, report: &mut Report) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut writers = run.clients(&run.apis(), FILLING_CLIENTS)?;
    let count = writers.len();
    let share = |at: usize| tickets / count + usize::from(at < tickets % count);
    std::thread::scope(|scope| {
        let running: Vec<_> = writers
            .iter_mut()
            .enumerate()
            .map(|(at, writer)| scope.spawn(move || (0..share(at)).try_for_each(|_| writer.open())))
            .collect();
        running.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let rate = tickets as f64 / seconds;
    report.check(true, format!("{tickets} tickets by {count} clients in {seconds:.1} s, {rate:.0} a second"));
    run.check_converged(report, "filled");
    Ok(())
}

/// What was measured and counted over the kills.
#[derive(Default)]
struct KillStats {
    /// For each restart the time from the start of the process until the site lists its tickets.
    starts: Vec<Duration>,
    /// The number of kills within a heal.
    heals: usize,
    /// How many of these hit a site that, as the others knew, still had records to send or to receive.
    unfinished: usize,
    /// The number of sites that were killed a second time while starting.
    killed_twice: usize,
}

/// Kills sites, every second time within a heal, and reports how soon they were back.
pub fn kills(run: &mut Run, kills: usize, report: &mut Report) -> anyhow::Result<()> {
    let writers: Vec<Writer> = run.clients(&run.apis(), WRITING_CLIENTS)?;
    let clients = writers.len();
    let pool = WriterPool::new(writers, Duration::ZERO);
    let mut stats = KillStats::default();
    let killed = kill_all(run, kills, &pool, &mut stats, report);
    let summary = pool.stop();
    killed?;
    let (acknowledged, retried, errors) = (summary.acknowledged, summary.retried, error_summary(&summary.errors));
    report.check(
        summary.errors.is_empty() && (acknowledged > 0 || kills == 0),
        format!("{acknowledged} acknowledged to {clients} clients, {retried} of them on retry after a kill, {errors}"),
    );
    let KillStats { heals, unfinished, killed_twice, .. } = stats;
    let figures = format!("{unfinished} of {heals} heals were not known to be over when the site was killed");
    report.check(unfinished > 0 || heals == 0, figures);
    println!("          {killed_twice} sites were killed again while starting");
    stats.starts.sort_unstable();
    // The shortest start that so many percent of all starts do not exceed.
    let at = |percent: usize| stats.starts.get((stats.starts.len() * percent).div_ceil(100).saturating_sub(1));
    let [p50, p99, most] = [50, 99, 100].map(|percent| at(percent).copied().unwrap_or_default());
    report.check(
        most < MAX_RESTART,
        format!("from the start of the process to the list of tickets: p50 {p50:.0?}, p99 {p99:.0?}, most {most:.0?}"),
    );
    Ok(())
}

fn kill_all(
    run: &mut Run,
    kills: usize,
    pool: &WriterPool,
    stats: &mut KillStats,
    report: &mut Report,
) -> anyhow::Result<()> {
    // Two kinds of kills and three sites: in six kills each site meets each kind.
    let first = run.rng.below(SITES.len() as u64) as usize;
    for number in 0..kills {
        let victim = (first + number) % SITES.len();
        if number % 2 == 0 {
            kill_under_load(run, pool, victim, stats)?
        } else {
            kill_while_healing(run, pool, victim, stats)?
        }
        if (number + 1) % KILLS_PER_CHECK == 0 || number + 1 == kills {
            pool.pause()?;
            check_progress(run, number + 1, pool, stats, report);
        }
    }
    Ok(())
}

fn check_progress(run: &Run, kills: usize, pool: &WriterPool, stats: &KillStats, report: &mut Report) {
    let converged = wait_until_converged(&run.cluster, TIMEOUT);
    let tickets: Vec<u64> = poll_all(&run.cluster, &[]).iter().map(|site| site.tickets).collect();
    let after = converged.map_or("not equal".to_owned(), |after| format!("equal after {:.2} s", after.as_secs_f64()));
    let slowest = stats.starts.iter().max().copied().unwrap_or_default().as_millis();
    let acknowledged = pool.acknowledged();
    let same = tickets.iter().all(|count| *count == tickets[0]);
    report.check(
        converged.is_some() && same,
        format!("{kills} kills, {acknowledged} acknowledged, slowest start {slowest} ms, {after}, tickets {tickets:?}"),
    );
}

/// Clients write everywhere; meanwhile a site is killed and started again at once.
fn kill_under_load(run: &mut Run, pool: &WriterPool, victim: usize, stats: &mut KillStats) -> anyhow::Result<()> {
    pool.resume();
    sleep_up_to(run, LOAD_MS);
    let member = &run.cluster.members[victim];
    member.process.kill_without_restart();
    restart(run, victim, stats)
}

/// Clients write while all links are cut; then the links are mended, and a site is killed before all is exchanged.
fn kill_while_healing(run: &mut Run, pool: &WriterPool, victim: usize, stats: &mut KillStats) -> anyhow::Result<()> {
    for member in &run.cluster.members {
        member.api().set_link(member.spec.code, false)?;
    }
    pool.resume();
    std::thread::sleep(Duration::from_millis(LOAD_MS));
    pool.pause()?;
    for member in &run.cluster.members {
        member.api().set_link(member.spec.code, true)?;
    }
    sleep_up_to(run, HEAL_MS);
    let member = &run.cluster.members[victim];
    member.process.kill_without_restart();
    stats.heals += 1;
    stats.unfinished += usize::from(has_unexchanged(run, victim));
    pool.resume();
    restart(run, victim, stats)
}

/// Starts a killed site; some are killed again while starting.
fn restart(run: &mut Run, victim: usize, stats: &mut KillStats) -> anyhow::Result<()> {
    if stats.starts.len() % SECOND_KILL_EVERY == SECOND_KILL_EVERY - 1 {
        run.cluster.members[victim].process.start()?;
        sleep_up_to(run, SECOND_KILL_MS);
        run.cluster.members[victim].process.kill_without_restart();
        stats.killed_twice += 1;
    }
    stats.starts.push(start(&run.cluster.members[victim])?);
    std::thread::sleep(AFTER_RESTART);
    Ok(())
}

/// Whether some other site knows of records that the victim lacks, or that only the victim has.
fn has_unexchanged(run: &Run, victim: usize) -> bool {
    let code = SITES[victim].code;
    let others = run.cluster.members.iter().filter(|member| member.spec.code != code);
    others.filter_map(|member| member.api().sync().ok()).any(|sync| {
        let peers = sync["peers"].as_array().into_iter().flatten();
        let mut victims = peers.filter(|peer| text(&peer["site"], "code") == code);
        victims.any(|peer| peer["to_send"].as_u64() > Some(0) || peer["to_receive"].as_u64() > Some(0))
    })
}

fn sleep_up_to(run: &mut Run, most_ms: u64) {
    let ms = run.rng.below(most_ms);
    std::thread::sleep(Duration::from_millis(ms));
}

/// Kills each site and starts it on what it holds by now; reports how long that took.
pub fn starts(run: &Run, report: &mut Report) -> anyhow::Result<()> {
    for (member, status) in run.cluster.members.iter().zip(poll_all(&run.cluster, &[])) {
        member.process.kill_without_restart();
        let took = start(member)?;
        let (name, tickets, ms) = (member.spec.name, status.tickets, took.as_millis());
        report.check(took < MAX_RESTART, format!("{name} lists {tickets} tickets {ms} ms after its start"));
    }
    run.check_converged(report, "all restarted");
    Ok(())
}
