//! The three sites together: creating or reopening them, cutting links, killing a site, wiping and rejoining one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::api::{Api, text};
use super::deployment::Deployment;
use super::process::Process;
use super::setup::{LOGIN, RESTRICTED, SHARED, SITES, SiteSpec, new_password};
use super::{program, watch};

/// How long a site may take from its start until it serves.
pub const START_TIMEOUT: Duration = Duration::from_secs(20);

/// After convergence, until the joined sites have noticed it: two of their ticks.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(600);

/// One of the three sites.
pub struct Member {
    /// Its fixed data: code, name, structures.
    pub spec: SiteSpec,
    /// Its data folder; absolute.
    pub folder: PathBuf,
    /// Its HTTP port.
    pub http: u16,
    /// Its UDP port for replication.
    pub udp: u16,
    /// Its process, running or not.
    pub process: Arc<Process>,
    api: Mutex<Api>,
}

impl Member {
    /// A client of its API with the administrator's token.
    pub fn api(&self) -> Api {
        lock(&self.api).clone()
    }

    /// Runs an `archipel` command on its folder, `input` on its standard input; returns what it printed.
    pub fn program(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        program::run(&self.folder, arguments, input)
    }
}

/// The three sites.
pub struct Cluster {
    /// Paris, Dakar and Montréal, in the order of `SITES`.
    pub members: Vec<Member>,
    deployment: Mutex<Deployment>,
    /// Whether each link is up, in the order of `LINKS`.
    links: Mutex<[bool; 3]>,
}

/// The two ends of each link, as indexes into `members`.
pub const LINKS: [(usize, usize); 3] = [(0, 1), (1, 2), (0, 2)];

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cluster {
    /// Creates the sites in an empty folder, or starts those that are there; returns when all three serve.
    /// `true`: they are new and empty.
    pub fn open_or_create(deployment: Deployment) -> anyhow::Result<(Self, bool)> {
        let members = SITES.iter().enumerate().map(|(at, spec)| member(&deployment, at, *spec));
        let members: Vec<Member> = members.collect();
        let new = !deployment.saved.complete;
        let cluster = Self { members, deployment: Mutex::new(deployment), links: Mutex::new([true; 3]) };
        for member in &cluster.members {
            cluster.configure(member)?;
        }
        if new {
            cluster.create()?;
        } else {
            cluster.start_all()?;
        }
        Ok((cluster, new))
    }

    /// The administrator's password.
    pub fn password(&self) -> String {
        lock(&self.deployment).saved.password.clone()
    }

    /// The stage's port.
    pub fn stage_port(&self) -> u16 {
        lock(&self.deployment).stage
    }

    /// The folder that holds the folders of all three sites.
    pub fn folder(&self) -> PathBuf {
        lock(&self.deployment).folder.clone()
    }

    /// Stores that the sites are created and filled: a later run reuses them.
    pub fn complete(&self) -> anyhow::Result<()> {
        let mut deployment = lock(&self.deployment);
        deployment.saved.complete = true;
        deployment.saved.write(&deployment.folder)
    }

    /// The member with a site code; `None` if there is none.
    pub fn member(&self, code: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.spec.code == code)
    }

    fn configure(&self, member: &Member) -> anyhow::Result<()> {
        let deployment = lock(&self.deployment);
        std::fs::create_dir_all(&member.folder)?;
        write_config(&member.folder, member.http, member.udp, deployment.stage, deployment.saved.lan)
    }

    fn create(&self) -> anyhow::Result<()> {
        let paris = &self.members[0];
        let password = {
            let mut deployment = lock(&self.deployment);
            deployment.saved.password = new_password()?;
            deployment.saved.write(&deployment.folder)?;
            deployment.saved.password.clone()
        };
        let kit = self.folder().join("recovery-kit.txt");
        let kit = kit.to_str().context("the folder's name is no text")?;
        let spec = paris.spec;
        let mut arguments = vec!["init", "--organisation", "Archipel Demo", "--code", spec.code, "--name", spec.name];
        arguments.extend(["--structure", SHARED, "--structure", RESTRICTED, "--login", LOGIN, "--person", "Ana Demo"]);
        arguments.extend(["--kit", kit]);
        let output = paris.program(&arguments, &password)?;
        let passphrase = output.lines().find_map(|line| line.strip_prefix("Its passphrase, shown once: "));
        lock(&self.deployment).saved.kit_passphrase = passphrase.unwrap_or_default().to_owned();
        let fingerprint = output.lines().find_map(|line| line.strip_prefix("Its fingerprint: "));
        paris.program(&["kit", "confirm", fingerprint.unwrap_or_default()], "")?;
        self.start(paris)?;
        for member in &self.members[1..] {
            self.join(member)?;
        }
        // A site that has just joined marks its numbers with letters until it has caught up (decision 0004).
        watch::wait_until_converged(self, START_TIMEOUT);
        std::thread::sleep(CATCH_UP_PAUSE);
        Ok(())
    }

    /// Joins a member by a new invitation and starts it. Its folder holds nothing but its configuration.
    fn join(&self, member: &Member) -> anyhow::Result<()> {
        let line = self.invite(&member.spec)?;
        member.program(&["join", &line], "")?;
        member.program(&["password", "--login", LOGIN], &self.password())?;
        self.start(member)
    }

    /// An invitation line for a new site, made at Paris.
    pub fn invite(&self, spec: &SiteSpec) -> anyhow::Result<String> {
        let mut arguments = vec!["invite", "--code", spec.code, "--name", spec.name, "--login", LOGIN];
        for structure in spec.structures {
            arguments.extend(["--structure", structure]);
        }
        self.members[0].program(&arguments, "")
    }

    fn start_all(&self) -> anyhow::Result<()> {
        for member in &self.members {
            member.process.start()?;
        }
        self.members.iter().try_for_each(|member| self.finish_start(member))
    }

    fn start(&self, member: &Member) -> anyhow::Result<()> {
        member.process.start()?;
        self.finish_start(member)
    }

    /// Waits until a member serves, creates a token unless a valid one is stored, and restores the state of its links.
    fn finish_start(&self, member: &Member) -> anyhow::Result<()> {
        let log = member.folder.with_extension("log");
        let waited = member.api().wait_until_healthy(START_TIMEOUT);
        waited.with_context(|| format!("{} did not start; see {}", member.spec.name, log.display()))?;
        let stored = lock(&self.deployment).saved.tokens.get(member.spec.code).cloned();
        let mut api = member.api().with_token(&stored.unwrap_or_default());
        if api.token.is_empty() || api.get("/api/v1/session").is_err() {
            api = api.with_token(&member.program(&["token", "create", "--login", LOGIN], "")?);
            let mut deployment = lock(&self.deployment);
            deployment.saved.tokens.insert(member.spec.code.to_owned(), api.token.clone());
            deployment.saved.write(&deployment.folder)?;
        }
        *lock(&member.api) = api;
        self.restore_links(member)
    }

    /// Tells a member which of its links are cut: a process that has just started has forgotten them.
    fn restore_links(&self, member: &Member) -> anyhow::Result<()> {
        let links = *lock(&self.links);
        for ((a, b), up) in LINKS.iter().zip(links) {
            let (a, b) = (&self.members[*a], &self.members[*b]);
            let (near, far) = if a.spec == member.spec { (a, b) } else { (b, a) };
            if near.spec == member.spec && !up {
                near.api().set_link(far.spec.code, false)?;
                // A rejoined site has another key, and its neighbour's cut was for the old one. Cutting the near end
                // is enough while the neighbour does not know the new key yet.
                let _ = far.api().set_link(near.spec.code, false);
            }
        }
        Ok(())
    }

    /// Every link: the site codes of its two ends, and whether it is up.
    pub fn links(&self) -> Vec<(&'static str, &'static str, bool)> {
        let links = *lock(&self.links);
        let code = |at: usize| SITES[at].code;
        LINKS.iter().zip(links).map(|((a, b), up)| (code(*a), code(*b), up)).collect()
    }

    /// Cuts or mends one link, at both its ends. Errors: there is no such link, or an end does not answer.
    pub fn set_link(&self, a: &str, b: &str, up: bool) -> anyhow::Result<()> {
        let ends = |(x, y): &(usize, usize)| {
            let (x, y) = (SITES[*x].code, SITES[*y].code);
            (x == a && y == b) || (x == b && y == a)
        };
        let at = LINKS.iter().position(ends).context("there is no such link")?;
        lock(&self.links)[at] = up;
        let (x, y) = (&self.members[LINKS[at].0], &self.members[LINKS[at].1]);
        // Both ends are told, even if one does not answer: that one is told again when it is back.
        let results = [x.api().set_link(y.spec.code, up), y.api().set_link(x.spec.code, up)];
        results.into_iter().collect()
    }

    /// Cuts or mends every link.
    pub fn set_all_links(&self, up: bool) -> anyhow::Result<()> {
        let results: Vec<anyhow::Result<()>> =
            LINKS.iter().map(|(a, b)| self.set_link(SITES[*a].code, SITES[*b].code, up)).collect();
        results.into_iter().collect()
    }

    /// Kills a member with kill -9 and waits until it serves again; returns the time that took.
    pub fn kill(&self, member: &Member) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let starts = member.process.starts();
        member.process.kill();
        while member.process.starts() == starts {
            ensure!(begun.elapsed() < START_TIMEOUT, "{} was not started again", member.spec.name);
            std::thread::sleep(Duration::from_millis(5));
        }
        member.api().wait_until_healthy(START_TIMEOUT)?;
        let back = begun.elapsed();
        self.restore_links(member)?;
        Ok(back)
    }

    /// Waits until a killed member serves again, and restores the state of its links.
    pub fn wait_restarted(&self, member: &Member) -> anyhow::Result<()> {
        member.api().wait_until_healthy(START_TIMEOUT)?;
        self.restore_links(member)
    }

    /// Deletes a member's folder and lets the site join again by one invitation. Errors: the member is Paris.
    pub fn wipe(&self, member: &Member) -> anyhow::Result<()> {
        if member.spec == SITES[0] {
            bail!("Paris gives out the invitations; its folder stays");
        }
        member.process.stop();
        std::fs::remove_dir_all(&member.folder)?;
        lock(&self.deployment).saved.tokens.remove(member.spec.code);
        self.configure(member)?;
        // The invitation is fetched from Paris over a connection that is not one of the links of the stage.
        self.join(member)
    }
}

fn member(deployment: &Deployment, at: usize, spec: SiteSpec) -> Member {
    let folder = deployment.folder.join(spec.host);
    let process = Process::new(&folder, &folder.with_extension("log"));
    let api = Mutex::new(Api::new(deployment.http[at], ""));
    Member { spec, http: deployment.http[at], udp: deployment.saved.udp[at], process, api, folder }
}

/// Writes a site's configuration: addresses, links that can be cut, and the stage whose page may frame the site's.
/// `lan`: the address for replication; `None`: loopback.
pub fn write_config(
    folder: &Path,
    http: u16,
    udp: u16,
    stage: u16,
    lan: Option<std::net::IpAddr>,
) -> anyhow::Result<()> {
    let net = lan.map_or("127.0.0.1".to_owned(), |lan| lan.to_string());
    let text = format!(
        "http = \"127.0.0.1:{http}\"\nnet = \"{net}:{udp}\"\n\n[demo]\nstage = \"http://archipel.localhost:{stage}\"\n"
    );
    std::fs::write(folder.join("archipel.toml"), text)?;
    Ok(())
}

/// The ids of the two structures: the one that every site holds, and the one that Dakar lacks.
pub fn structures(api: &Api) -> anyhow::Result<(String, String)> {
    let known = api.get("/api/v1/structures")?;
    let id = |name: &str| {
        let mut items = known["items"].as_array().into_iter().flatten();
        items.find(|item| item["label"] == name).map(|item| text(item, "id"))
    };
    Ok((id(SHARED).context("no shared structure")?, id(RESTRICTED).context("no second structure")?))
}
