//! A real site: `archipel run` as a process of its own, asked over loopback by clients in this one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tests::sites::api::{Api, encode};
use tests::sites::place::{http_ports, new_password, udp_ports};
use tests::sites::process::Process;
use tests::sites::program;

use super::figures::{Times, rate, row};
use super::machine::memory_mb;
use super::prose::Prose;

/// Clients that write at once.
const CLIENTS: usize = 16;
/// Cold starts.
const STARTS: usize = 5;
/// Of each kind of request.
const REQUESTS: usize = 200;
/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Until a site that has just started is taken to be at rest.
const REST: Duration = Duration::from_secs(5);
/// Who asks.
const LOGIN: &str = "ana";

/// Founds a site in `folder`, fills it, and prints what it does and takes.
pub fn measure(folder: &Path, tickets: usize) -> anyhow::Result<()> {
    let site = Served::found(folder)?;
    site.fill(tickets)?;
    row("node memory after these", site.memory()?);
    site.starts()?;
    std::thread::sleep(REST);
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
    fn found(folder: &Path) -> anyhow::Result<Self> {
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
        api.wait_until_well(PATIENCE)?;
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
                let api = self.api.apart();
                scope.spawn(move || write(&api, client, share))
            });
            let clients: Vec<_> = clients.collect();
            for client in clients {
                times.extend(client.join().map_err(|_| anyhow::anyhow!("a client broke off"))??);
            }
            anyhow::Ok(())
        })?;
        let figures = format!("{}, {}", rate(tickets, begun.elapsed()), times.told(&[50, 99]));
        row(&format!("tickets opened over HTTP by {CLIENTS} clients at once, up to {tickets}"), figures);
        Ok(())
    }

    /// Starts it again and again, its files still in the system's cache.
    fn starts(&self) -> anyhow::Result<()> {
        let (mut well, mut listed) = (Times::default(), Times::default());
        for _ in 0..STARTS {
            self.process.stop();
            let api = self.api.apart();
            let lists = || api.send("GET", "/api/v1/tickets", None).is_ok_and(|answer| answer.status == 200);
            let begun = Instant::now();
            self.process.start()?;
            wait(|| api.is_well())?;
            well.push(begun.elapsed());
            wait(lists)?;
            listed.push(begun.elapsed());
        }
        row("cold start: spawn to /health", well.told(&[50, 100]));
        row("cold start: spawn to the first list", listed.told(&[50, 100]));
        Ok(())
    }

    fn memory(&self) -> anyhow::Result<String> {
        let process = self.process.id().context("the site does not run")?;
        let (now, most) = memory_mb(process).context("the system does not tell a process's memory")?;
        Ok(format!("{now:.0} MB, at most {most:.0} MB"))
    }

    fn reads(&self, tickets: usize) -> anyhow::Result<()> {
        self.asked("list, newest 50", |_| "/api/v1/tickets?limit=50".to_owned())?;
        self.asked("list, one status", |_| "/api/v1/tickets?limit=50&status=new".to_owned())?;
        self.asked("search, one word", |_| "/api/v1/tickets?limit=50&q=imprimante".to_owned())?;
        let two = encode("impr ser");
        self.asked("search, two beginnings", |_| format!("/api/v1/tickets?limit=50&q={two}"))?;
        self.asked("open by number", |round| format!("/api/v1/tickets/BEN-{}", 1 + round * tickets / REQUESTS))
    }

    fn asked(&self, what: &str, path: impl Fn(usize) -> String) -> anyhow::Result<()> {
        let mut times = Times::default();
        for round in 0..REQUESTS {
            let path = path(round);
            let answer = times.take(|| self.api.send("GET", &path, None))?;
            ensure!(answer.status == 200, "{path}: {}", answer.status);
        }
        row(&format!("{what}, HTTP"), times.told(&[50, 95]));
        Ok(())
    }
}

/// Opens tickets one after the other.
fn write(api: &Api, client: usize, count: usize) -> anyhow::Result<Times> {
    let (mut times, mut prose) = (Times::default(), Prose::new(1_000 + client as u64));
    for _ in 0..count {
        let impact = *prose.rng.pick(&["high", "medium", "low"]);
        let ticket = json!({ "title": prose.title(), "description": prose.description(), "impact": impact });
        times.take(|| api.open(&ticket))?;
    }
    Ok(times)
}

fn wait(ready: impl Fn() -> bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !ready() {
        ensure!(begun.elapsed() < PATIENCE, "the site does not answer");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
