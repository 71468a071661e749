//! Many sites with many scopes that were restarted often: what a hello, a status, a commit and a round of announcements
//! cost one of them. Nothing may grow with the restarts.

mod organisation;

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use schema::author::Author;
use schema::doc::{DocKind, Edits, Value};
use schema::record::CommandName;
use schema::time::Timestamp;
use sync::replica::{Output, Replica, WriteError};

use super::figures::{Times, ms, row};
use organisation::Organisation;

/// How often each is measured.
const TIMES: usize = 20;

/// The size of a fleet.
#[derive(Debug, Clone, Copy, Args)]
pub struct Size {
    /// Sites.
    #[arg(long, default_value_t = 3)]
    sites: usize,
    /// Scopes beside the organisation's own.
    #[arg(long, default_value_t = 5)]
    scopes: usize,
    /// Restarts of each site, each with a record in every scope.
    #[arg(long, default_value_t = 0)]
    restarts: usize,
}

/// Makes the store of a site of such a fleet, and a copy of it for a peer, and measures.
pub fn measure(folder: &Path, size: Size) -> anyhow::Result<()> {
    let Size { sites, scopes, restarts } = size;
    let name = format!("{sites} sites, {scopes} scopes, {restarts} restarts");
    let organisation = Organisation::new(sites, scopes);
    let begun = Instant::now();
    let path = folder.join("fleet-0.redb");
    organisation.fill(&path, restarts)?;
    let peer = folder.join("fleet-1.redb");
    std::fs::copy(&path, &peer)?;
    let bytes = std::fs::metadata(&path)?.len() >> 20;
    row(&format!("{name}: made"), format!("{:.0} s, {bytes} MiB", begun.elapsed().as_secs_f64()));

    let begun = Instant::now();
    let mut here = organisation.open(&path, 0, restarts)?;
    row(&format!("{name}: start"), ms(begun.elapsed()));
    let mut there = organisation.open(&peer, 1, restarts)?;
    let mut now = organisation.now(restarts);
    // Both announce first: what a first meeting costs is another question.
    for replica in [&mut here, &mut there] {
        while replica.catch_up(now)? {}
        replica.tick(now)?;
        replica.take_outputs();
    }
    let mut pair = Talk { sites: [&mut here, &mut there], session: 0, bytes: 0, frames: 0 };
    pair.meet(now)?;

    let mut hello = Times::default();
    for _ in 0..TIMES {
        now = Timestamp(now.0 + 60_000);
        (pair.bytes, pair.frames) = (0, 0);
        hello.take(|| pair.meet(now))?;
    }
    row(
        &format!("{name}: hello of two that hold the same"),
        format!("{} both sides, {} bytes in {} frames", ms(hello.at(50)), pair.bytes, pair.frames),
    );

    let mut status = Times::default();
    let mut again = Times::default();
    for _ in 0..TIMES {
        pair.write(now, &organisation)?;
        for times in [&mut status, &mut again] {
            let site = &pair.sites[0];
            times.take(|| organisation.exchange(site))?;
        }
    }
    row(&format!("{name}: status after a change"), format!("{}, unchanged {}", ms(status.at(50)), ms(again.at(50))));

    let mut commit = Times::default();
    for _ in 0..TIMES {
        now = Timestamp(now.0 + 1000);
        commit.push(pair.write(now, &organisation)?);
    }
    row(&format!("{name}: commit, durable"), commit.summary(&[50, 100]));

    // One commit, announced to a peer that takes it.
    pair.connect(now)?;
    let mut round = Times::default();
    for _ in 0..TIMES {
        now = Timestamp(now.0 + 6000);
        pair.write(now, &organisation)?;
        (pair.bytes, pair.frames) = (0, 0);
        round.take(|| pair.tick(now))?;
    }
    row(
        &format!("{name}: round of announcements after a commit"),
        format!("{} both sides, {} bytes in {} frames", ms(round.at(50)), pair.bytes, pair.frames),
    );
    Ok(())
}

/// Two replicas that talk in memory.
struct Talk<'r> {
    sites: [&'r mut Replica; 2],
    session: u64,
    bytes: usize,
    frames: usize,
}

impl Talk<'_> {
    fn connect(&mut self, now: Timestamp) -> anyhow::Result<()> {
        self.session += 1;
        let mut queue = VecDeque::new();
        for site in 0..2 {
            let peer = self.sites[1 - site].me();
            let outputs = self.sites[site].connected(now, self.session, peer)?;
            queue.extend(outputs.into_iter().map(|output| (site, output)));
        }
        self.exchange(now, queue)
    }

    /// Connects, talks until nothing is left to say, and disconnects.
    fn meet(&mut self, now: Timestamp) -> anyhow::Result<()> {
        self.connect(now)?;
        for site in &mut self.sites {
            site.closed(now, self.session)?;
        }
        Ok(())
    }

    fn tick(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let mut queue = VecDeque::new();
        for site in 0..2 {
            queue.extend(self.sites[site].tick(now)?.into_iter().map(|output| (site, output)));
        }
        self.exchange(now, queue)
    }

    fn exchange(&mut self, now: Timestamp, mut queue: VecDeque<(usize, Output)>) -> anyhow::Result<()> {
        while let Some((from, output)) = queue.pop_front() {
            match output {
                Output::Send(session, frame) => {
                    self.bytes += frame.len() + 4;
                    self.frames += 1;
                    let outputs = self.sites[1 - from].received(now, session, &frame)?;
                    queue.extend(outputs.into_iter().map(|output| (1 - from, output)));
                }
                Output::Close(_, code) => anyhow::bail!("site {from} ended the session: {code}"),
                Output::Alarm(alarm) => anyhow::bail!("site {from} raised {alarm:?}"),
                Output::Authority => {}
            }
        }
        Ok(())
    }

    /// Opens a ticket at the first site; how long that took.
    fn write(&mut self, now: Timestamp, organisation: &Organisation) -> anyhow::Result<Duration> {
        let (scope, structure) = organisation.ticket_scope();
        let mut edits = Edits::default();
        edits.put("title", Value::Text("lampe".into()));
        edits.put("structure", Value::Text(structure.to_string()));
        let begun = Instant::now();
        let (_, outputs) = self.sites[0].write(now, |batch| {
            batch.command::<WriteError>(Author::User(organisation::ADMIN), CommandName::Place, scope, |command| {
                command.create(DocKind::Ticket, None, &edits).map(drop)
            })
        })?;
        let took = begun.elapsed();
        let outputs = outputs.into_iter().map(|output| (0, output)).collect();
        self.exchange(now, outputs)?;
        while self.sites[1].catch_up(now)? {}
        Ok(took)
    }
}
