//! A real site: `archipel run` as a process of its own, with clients in this one that send requests over loopback.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tests::sites::api::{Api, percent_encode};
use tests::sites::process::Process;
use tests::sites::program;
use tests::sites::setup::{http_ports, new_password, udp_ports};

use super::figures::{Times, rate, row};
use super::machine::memory_mb;
use super::text_generator::TextGenerator;

/// The number of clients that write concurrently.
const CLIENTS: usize = 16;
/// The number of cold starts.
const STARTS: usize = 5;
/// The number of requests of each kind.
const REQUESTS: usize = 200;
/// How long a start may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// After so long a site that has just started is taken to be idle.
const IDLE_AFTER: Duration = Duration::from_secs(5);
/// The login of the administrator whose token the clients use.
const LOGIN: &str = "ana";

/// Creates a site in `folder`, fills it, and prints its times and memory.
pub fn measure(folder: &Path, tickets: usize) -> anyhow::Result<()> {
    let site = Served::create(folder)?;
    site.fill(tickets)?;
    row("node memory after these", site.memory()?);
    site.starts()?;
    std::thread::sleep(IDLE_AFTER);
    row("node memory after start, at rest", site.memory()?);
    site.reads(tickets)?;
    row(&format!("node memory after {} requests", 5 * REQUESTS), site.memory()?);
    site.process.stop();
    Ok(())
}

struct Served {
    process: Arc<Process>,
    api: Api,
}

impl Served {
    fn create(folder: &Path) -> anyhow::Result<Self> {
        let data: PathBuf = folder.join("site");
        std::fs::create_dir_all(&data)?;
        let [http, ..] = http_ports(None)?;
        let [udp, ..] = udp_ports(&[http])?;
        let config = format!("http = \"127.0.0.1:{http}\"\nnet = \"127.0.0.1:{udp}\"\n");
        std::fs::write(data.join("archipel.toml"), config)?;
        let kit = folder.join("recovery-kit.txt");
        let kit = kit.to_str().context("the folder's name is no text")?;
        let init = ["init", "--organisation", "Bench", "--code", "BEN", "--name", "Bench", "--structure", "IT"];
        let founder = ["--login", LOGIN, "--person", "Ana", "--kit", kit];
        program::run(&data, &[init.as_slice(), &founder].concat(), &new_password()?)?;
        let process = Process::new(&data, &folder.join("site.log"));
        let api = Api::new(http, "");
        process.start()?;
        api.wait_until_healthy(TIMEOUT)?;
        let token = program::run(&data, &["token", "create", "--login", LOGIN], "")?;
        Ok(Self { process, api: api.with_token(&token) })
    }

    /// Opens tickets by several clients at once; each is answered when its ticket is durable and shown.
    fn fill(&self, tickets: usize) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut times = Times::default();
        std::thread::scope(|scope| {
            let clients = (0..CLIENTS).map(|client| {
                let share = tickets / CLIENTS + usize::from(client < tickets % CLIENTS);
                let api = self.api.with_new_connections();
                scope.spawn(move || write(&api, client, share))
            });
            let clients: Vec<_> = clients.collect();
            for client in clients {
                times.extend(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
            }
            anyhow::Ok(())
        })?;
        let figures = format!("{}, {}", rate(tickets, begun.elapsed()), times.summary(&[50, 99]));
        row(&format!("tickets opened over HTTP by {CLIENTS} clients at once, up to {tickets}"), figures);
        Ok(())
    }

    /// Restarts it several times, with its files in the system's page cache.
    fn starts(&self) -> anyhow::Result<()> {
        let (mut well, mut listed) = (Times::default(), Times::default());
        for _ in 0..STARTS {
            self.process.stop();
            let api = self.api.with_new_connections();
            let lists = || api.send("GET", "/api/v1/tickets", None).is_ok_and(|answer| answer.status == 200);
            let begun = Instant::now();
            self.process.start()?;
            wait(|| api.is_healthy())?;
            well.push(begun.elapsed());
            wait(lists)?;
            listed.push(begun.elapsed());
        }
        row("cold start: spawn to /health", well.summary(&[50, 100]));
        row("cold start: spawn to the first list", listed.summary(&[50, 100]));
        Ok(())
    }

    fn memory(&self) -> anyhow::Result<String> {
        let process = self.process.id().context("the site does not run")?;
        let (now, most) = memory_mb(process).context("the system does not tell a process's memory")?;
        Ok(format!("{now:.0} MB, at most {most:.0} MB"))
    }

    fn reads(&self, tickets: usize) -> anyhow::Result<()> {
        self.measure_requests("list, newest 50", |_| "/api/v1/tickets?limit=50".to_owned())?;
        self.measure_requests("list, one status", |_| "/api/v1/tickets?limit=50&status=new".to_owned())?;
        self.measure_requests("search, one word", |_| "/api/v1/tickets?limit=50&q=imprimante".to_owned())?;
        let two = percent_encode("impr ser");
        self.measure_requests("search, two beginnings", |_| format!("/api/v1/tickets?limit=50&q={two}"))?;
        self.measure_requests("open by number", |round| {
            format!("/api/v1/tickets/BEN-{}", 1 + round * tickets / REQUESTS)
        })
    }

    fn measure_requests(&self, what: &str, path: impl Fn(usize) -> String) -> anyhow::Result<()> {
        let mut times = Times::default();
        for round in 0..REQUESTS {
            let path = path(round);
            let answer = times.take(|| self.api.send("GET", &path, None))?;
            ensure!(answer.status == 200, "{path}: {}", answer.status);
        }
        row(&format!("{what}, HTTP"), times.summary(&[50, 95]));
        Ok(())
    }
}

/// Opens tickets one after the other.
fn write(api: &Api, client: usize, count: usize) -> anyhow::Result<Times> {
    let (mut times, mut texts) = (Times::default(), TextGenerator::new(1_000 + client as u64));
    for _ in 0..count {
        let impact = *texts.rng.pick(&["high", "medium", "low"]);
        let ticket = json!({ "title": texts.title(), "description": texts.description(), "impact": impact });
        times.take(|| api.open(&ticket))?;
    }
    Ok(times)
}

fn wait(ready: impl Fn() -> bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !ready() {
        ensure!(begun.elapsed() < TIMEOUT, "the site does not answer");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
