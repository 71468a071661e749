//! What the steps of a run share: the three sites, the folder of the journals, and the random number generator.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
use tests::rng::Rng;
use tests::sites::api::Api;
use tests::sites::cluster::{Cluster, Member, START_TIMEOUT, structures};
use tests::sites::deployment::Deployment;
use tests::sites::report::Report;
use tests::sites::watch::wait_until_converged;

use crate::journal::Journal;
use crate::writer::Writer;

/// How long sites may take to converge: the backlog of a minute's writing at two copies takes longest.
pub const TIMEOUT: Duration = Duration::from_secs(180);
/// Between two requests to a site that starts.
const POLL_INTERVAL: Duration = Duration::from_millis(3);

/// One run: three sites and their clients.
pub struct Run {
    /// The three sites.
    pub cluster: Cluster,
    /// The id of the structure that all of them hold.
    pub shared: String,
    /// Chooses which site is killed, and when.
    pub rng: Rng,
    /// The folder of the clients' journals.
    pub journals: PathBuf,
    /// The number of clients so far.
    clients: u32,
    seed: u64,
}

impl Run {
    /// Creates the sites in a new folder.
    pub fn new(folder: &Path, seed: u64) -> anyhow::Result<Self> {
        let (cluster, _) = Cluster::open_or_create(Deployment::prepare(folder, None, false)?)?;
        let shared = structures(&cluster.members[0].api())?.0;
        let journals = folder.join("clients");
        std::fs::create_dir_all(&journals)?;
        Ok(Self { cluster, shared, rng: Rng::new(seed), journals, clients: 0, seed })
    }

    /// A new client of a site, with a journal of its own.
    pub fn client(&mut self, api: &Api) -> anyhow::Result<Writer> {
        self.clients += 1;
        let journal = Journal::create(&self.journals.join(format!("client-{:04}", self.clients)))?;
        let rng = Rng::new(self.seed.wrapping_mul(1_000_003).wrapping_add(u64::from(self.clients)));
        Ok(Writer::new(self.clients, api.with_new_connections(), &self.shared, journal, rng))
    }

    /// `count` new clients of each of some sites.
    pub fn clients(&mut self, apis: &[Api], count: usize) -> anyhow::Result<Vec<Writer>> {
        let each = apis.iter().flat_map(|api| std::iter::repeat_n(api, count));
        each.map(|api| self.client(api)).collect()
    }

    /// The administrator's API client of each site.
    pub fn apis(&self) -> Vec<Api> {
        self.cluster.members.iter().map(Member::api).collect()
    }

    /// Waits until all sites have converged and reports it; `when` begins the line.
    pub fn check_converged(&self, report: &mut Report, when: &str) {
        match wait_until_converged(&self.cluster, TIMEOUT) {
            Some(after) => report.check(true, format!("{when}: all equal after {:.2} s", after.as_secs_f64())),
            None => report.check(false, format!("{when}: not equal after {} s", TIMEOUT.as_secs())),
        }
    }
}

/// Starts a stopped site; returns the time from the start of its process until it is healthy and lists tickets.
pub fn start(member: &Member) -> anyhow::Result<Duration> {
    let api = member.api().with_new_connections();
    let lists = || api.send("GET", "/api/v1/tickets", None).is_ok_and(|response| response.status == 200);
    let begun = Instant::now();
    member.process.start()?;
    while !(api.is_healthy() && lists()) {
        let name = member.spec.name;
        ensure!(begun.elapsed() < START_TIMEOUT, "{name} does not list its tickets after {START_TIMEOUT:?}");
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(begun.elapsed())
}
