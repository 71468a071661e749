//! kill -9, again and again: while clients write, and while sites heal after a cut.

use std::time::{Duration, Instant};

use tests::sites::api::text;
use tests::sites::place::PLACES;
use tests::sites::report::Report;
use tests::sites::watch::{look_at_all, wait_until_equal};

use crate::crowd::{Crowd, refusals};
use crate::trial::{PATIENCE, Trial, start};
use crate::writer::Writer;

/// How soon a site must list its tickets after its process was started.
const BACK: Duration = Duration::from_secs(2);
/// Clients at each site: while filling, and among the kills.
const FILLING: usize = 4;
const WRITING: usize = 2;
/// After so many kills everybody rests until the sites agree.
const ROUNDS: usize = 10;
/// How long clients write before the kill, at most; under a cut always.
const LOAD_MS: u64 = 500;
/// A heal is interrupted within this time.
const HEAL_MS: u64 = 300;
/// One in so many sites is killed again, within this time of its start.
const AGAIN: usize = 5;
const AGAIN_MS: u64 = 200;
/// How long clients go on writing after a killed site is back.
const AFTER: Duration = Duration::from_millis(150);

/// Opens tickets at all sites at once and waits until they agree.
pub fn fill(trial: &mut Trial, tickets: usize, report: &mut Report) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut writers = trial.clients(&trial.doors(), FILLING)?;
    let count = writers.len();
    let share = |at: usize| tickets / count + usize::from(at < tickets % count);
    std::thread::scope(|scope| {
        let running: Vec<_> = writers
            .iter_mut()
            .enumerate()
            .map(|(at, writer)| scope.spawn(move || (0..share(at)).try_for_each(|_| writer.open())))
            .collect();
        running.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("a client broke off"))?)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let rate = tickets as f64 / seconds;
    report.holds(true, format!("{tickets} tickets by {count} clients in {seconds:.1} s, {rate:.0} a second"));
    trial.equal(report, "filled");
    Ok(())
}

/// What the kills showed.
#[derive(Default)]
struct Seen {
    /// From the start of a process until the site lists its tickets.
    starts: Vec<Duration>,
    /// Kills within a heal, and those at which the others did not know the killed site to have everything.
    heals: usize,
    unfinished: usize,
    /// Sites killed once more before they had come back.
    again: usize,
}

/// Kills sites, every second time within a heal; says how soon they were back.
pub fn kills(trial: &mut Trial, kills: usize, report: &mut Report) -> anyhow::Result<()> {
    let writers: Vec<Writer> = trial.clients(&trial.doors(), WRITING)?;
    let clients = writers.len();
    let crowd = Crowd::new(writers, Duration::ZERO);
    let mut seen = Seen::default();
    let killed = rounds(trial, kills, &crowd, &mut seen, report);
    let done = crowd.end();
    killed?;
    let (deeds, broken, told) = (done.deeds, done.broken, refusals(&done.refused));
    report.holds(
        done.refused.is_empty() && (deeds > 0 || kills == 0),
        format!("{deeds} acknowledged to {clients} clients, {broken} of them when asked again after a kill, {told}"),
    );
    let Seen { heals, unfinished, again, .. } = seen;
    let told = format!("{unfinished} of {heals} heals were not known to be over when the site was killed");
    report.holds(unfinished > 0 || heals == 0, told);
    println!("          {again} sites were killed again within their start");
    seen.starts.sort_unstable();
    // The shortest start that so many percent of all starts do not exceed.
    let at = |percent: usize| seen.starts.get((seen.starts.len() * percent).div_ceil(100).saturating_sub(1));
    let [half, nearly, most] = [50, 99, 100].map(|percent| at(percent).copied().unwrap_or_default());
    report.holds(
        most < BACK,
        format!(
            "from the start of the process to the list of tickets: p50 {half:.0?}, p99 {nearly:.0?}, most {most:.0?}"
        ),
    );
    Ok(())
}

fn rounds(trial: &mut Trial, kills: usize, crowd: &Crowd, seen: &mut Seen, report: &mut Report) -> anyhow::Result<()> {
    // Two kinds of rounds and three sites: in six rounds each site meets each kind.
    let first = trial.rng.below(PLACES.len() as u64) as usize;
    for number in 0..kills {
        let victim = (first + number) % PLACES.len();
        if number % 2 == 0 {
            under_load(trial, crowd, victim, seen)?
        } else {
            healing(trial, crowd, victim, seen)?
        }
        if (number + 1) % ROUNDS == 0 || number + 1 == kills {
            crowd.rest()?;
            told(trial, number + 1, crowd, seen, report);
        }
    }
    Ok(())
}

fn told(trial: &Trial, kills: usize, crowd: &Crowd, seen: &Seen, report: &mut Report) {
    let equal = wait_until_equal(&trial.cast, PATIENCE);
    let tickets: Vec<u64> = look_at_all(&trial.cast, &[]).iter().map(|one| one.tickets).collect();
    let after = equal.map_or("not equal".to_owned(), |after| format!("equal after {:.2} s", after.as_secs_f64()));
    let most = seen.starts.iter().max().copied().unwrap_or_default().as_millis();
    let deeds = crowd.deeds();
    let same = tickets.iter().all(|count| *count == tickets[0]);
    report.holds(
        equal.is_some() && same,
        format!("{kills} kills, {deeds} acknowledged, slowest start {most} ms, {after}, tickets {tickets:?}"),
    );
}

/// Clients write everywhere; a site is killed among it and started again at once.
fn under_load(trial: &mut Trial, crowd: &Crowd, victim: usize, seen: &mut Seen) -> anyhow::Result<()> {
    crowd.work();
    pause(trial, LOAD_MS);
    let member = &trial.cast.members[victim];
    member.process.kill_for_good();
    back(trial, victim, seen)
}

/// Clients write while everybody is alone; then the links are mended, and a site is killed before all is told.
fn healing(trial: &mut Trial, crowd: &Crowd, victim: usize, seen: &mut Seen) -> anyhow::Result<()> {
    for member in &trial.cast.members {
        member.api().link(member.place.code, false)?;
    }
    crowd.work();
    std::thread::sleep(Duration::from_millis(LOAD_MS));
    crowd.rest()?;
    for member in &trial.cast.members {
        member.api().link(member.place.code, true)?;
    }
    pause(trial, HEAL_MS);
    let member = &trial.cast.members[victim];
    member.process.kill_for_good();
    seen.heals += 1;
    seen.unfinished += usize::from(is_owed(trial, victim));
    crowd.work();
    back(trial, victim, seen)
}

/// Starts a site that was killed; some are killed in the middle of that first.
fn back(trial: &mut Trial, victim: usize, seen: &mut Seen) -> anyhow::Result<()> {
    if seen.starts.len() % AGAIN == AGAIN - 1 {
        trial.cast.members[victim].process.start()?;
        pause(trial, AGAIN_MS);
        trial.cast.members[victim].process.kill_for_good();
        seen.again += 1;
    }
    seen.starts.push(start(&trial.cast.members[victim])?);
    std::thread::sleep(AFTER);
    Ok(())
}

/// Whether some other site knows of records that the victim lacks, or has and did not give away.
fn is_owed(trial: &Trial, victim: usize) -> bool {
    let code = PLACES[victim].code;
    let others = trial.cast.members.iter().filter(|member| member.place.code != code);
    others.filter_map(|member| member.api().sync().ok()).any(|sync| {
        let peers = sync["peers"].as_array().into_iter().flatten();
        let mut victims = peers.filter(|peer| text(&peer["site"], "code") == code);
        victims.any(|peer| peer["to_send"].as_u64() > Some(0) || peer["to_receive"].as_u64() > Some(0))
    })
}

fn pause(trial: &mut Trial, most_ms: u64) {
    let ms = trial.rng.below(most_ms);
    std::thread::sleep(Duration::from_millis(ms));
}

/// Ends each site and starts it on what it holds by now; says how long that took.
pub fn starts(trial: &Trial, report: &mut Report) -> anyhow::Result<()> {
    for (member, seen) in trial.cast.members.iter().zip(look_at_all(&trial.cast, &[])) {
        member.process.kill_for_good();
        let took = start(member)?;
        let told =
            format!("{} lists {} tickets {} ms after its start", member.place.name, seen.tickets, took.as_millis());
        report.holds(took < BACK, told);
    }
    trial.equal(report, "all started anew");
    Ok(())
}
