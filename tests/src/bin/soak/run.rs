//! What the steps share: the three sites, the folder of the clients' files, and the dice.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
use tests::rng::Rng;
use tests::sites::api::Api;
use tests::sites::cast::{Cast, Member, START, structures};
use tests::sites::ground::ground;
use tests::sites::report::Report;
use tests::sites::watch::wait_until_equal;

use crate::book::Book;
use crate::writer::Writer;

/// How long sites may take to agree: the backlog of a minute's writing at two copies is the longest.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// Between two questions to a site that starts.
const BETWEEN: Duration = Duration::from_millis(3);

/// The three sites under trial.
pub struct Trial {
    /// The sites.
    pub cast: Cast,
    /// The structure that all of them hold.
    pub shared: String,
    /// Chooses victims and moments.
    pub rng: Rng,
    /// Where the clients' files are.
    pub books: PathBuf,
    /// How many clients there were.
    clients: u32,
    seed: u64,
}

impl Trial {
    /// Founds the sites in a folder of their own.
    pub fn found(folder: &Path, seed: u64) -> anyhow::Result<Self> {
        let (cast, _) = Cast::enter(ground(folder, None, false)?)?;
        let shared = structures(&cast.members[0].api())?.0;
        let books = folder.join("clients");
        std::fs::create_dir_all(&books)?;
        Ok(Self { cast, shared, rng: Rng::new(seed), books, clients: 0, seed })
    }

    /// A new client at a door, with a file of its own.
    pub fn client(&mut self, api: &Api) -> anyhow::Result<Writer> {
        self.clients += 1;
        let book = Book::open(&self.books.join(format!("client-{:04}", self.clients)))?;
        let rng = Rng::new(self.seed.wrapping_mul(1_000_003).wrapping_add(u64::from(self.clients)));
        Ok(Writer::new(self.clients, api.apart(), &self.shared, book, rng))
    }

    /// `count` new clients at each of some doors.
    pub fn clients(&mut self, doors: &[Api], count: usize) -> anyhow::Result<Vec<Writer>> {
        let each = doors.iter().flat_map(|door| std::iter::repeat_n(door, count));
        each.map(|door| self.client(door)).collect()
    }

    /// The doors of all sites.
    pub fn doors(&self) -> Vec<Api> {
        self.cast.members.iter().map(Member::api).collect()
    }

    /// Waits until all agree; says so.
    pub fn equal(&self, report: &mut Report, told: &str) {
        match wait_until_equal(&self.cast, PATIENCE) {
            Some(after) => report.holds(true, format!("{told}: all equal after {:.2} s", after.as_secs_f64())),
            None => report.holds(false, format!("{told}: not equal after {} s", PATIENCE.as_secs())),
        }
    }
}

/// Starts a site that is down; answers with the time from the start of its process until it is well and lists tickets.
pub fn start(member: &Member) -> anyhow::Result<Duration> {
    let api = member.api().apart();
    let lists = || api.send("GET", "/api/v1/tickets", None).is_ok_and(|answer| answer.status == 200);
    let begun = Instant::now();
    member.process.start()?;
    while !(api.is_well() && lists()) {
        ensure!(begun.elapsed() < START, "{} does not list its tickets after {START:?}", member.place.name);
        std::thread::sleep(BETWEEN);
    }
    Ok(begun.elapsed())
}
