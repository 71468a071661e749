//! The three sites together: founded or found again, their cables, a site killed, a folder wiped and filled again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::api::{Api, text};
use super::ground::Ground;
use super::place::{APART, LOGIN, PLACES, Place, SHARED, new_password};
use super::process::Process;
use super::{program, watch};

/// How long a site may take to serve.
pub const START: Duration = Duration::from_secs(20);

/// After the sites agree, until the new ones have noticed it: two of their ticks.
const CAUGHT_UP: Duration = Duration::from_millis(600);

/// One of the three.
pub struct Member {
    /// Where it is.
    pub place: Place,
    /// Its folder.
    pub folder: PathBuf,
    /// The port of its page.
    pub http: u16,
    /// The port of its cable.
    pub udp: u16,
    /// Its process.
    pub process: Arc<Process>,
    door: Mutex<Api>,
}

impl Member {
    /// Its door with the administrator's token.
    pub fn api(&self) -> Api {
        lock(&self.door).clone()
    }

    /// Runs `archipel` on its folder.
    pub fn program(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        program::run(&self.folder, arguments, input)
    }
}

/// The three sites.
pub struct Cast {
    /// Paris, Dakar, Montréal.
    pub members: Vec<Member>,
    ground: Mutex<Ground>,
    /// Which cables are whole: Paris–Dakar, Paris–Montréal, Dakar–Montréal.
    cables: Mutex<[bool; 3]>,
}

/// The two ends of each cable, as places in `members`.
pub const CABLES: [(usize, usize); 3] = [(0, 1), (1, 2), (0, 2)];

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cast {
    /// Makes the sites in an empty folder, or starts those that live there; answers when all three serve.
    /// `true`: they are new and empty.
    pub fn enter(ground: Ground) -> anyhow::Result<(Self, bool)> {
        let members = PLACES.iter().enumerate().map(|(at, place)| member(&ground, at, *place));
        let members: Vec<Member> = members.collect();
        let new = !ground.kept.complete;
        let cast = Self { members, ground: Mutex::new(ground), cables: Mutex::new([true; 3]) };
        for member in &cast.members {
            cast.configure(member)?;
        }
        if new {
            cast.found()?;
        } else {
            cast.start_all()?;
        }
        Ok((cast, new))
    }

    /// The administrator's password.
    pub fn password(&self) -> String {
        lock(&self.ground).kept.password.clone()
    }

    /// The stage's port.
    pub fn stage_port(&self) -> u16 {
        lock(&self.ground).stage
    }

    /// The folder of all three.
    pub fn folder(&self) -> PathBuf {
        lock(&self.ground).folder.clone()
    }

    /// Notes that the sites are made and filled: a later run goes on with them.
    pub fn complete(&self) -> anyhow::Result<()> {
        let mut ground = lock(&self.ground);
        ground.kept.complete = true;
        ground.kept.write(&ground.folder)
    }

    /// The member with a code.
    pub fn member(&self, code: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.place.code == code)
    }

    fn configure(&self, member: &Member) -> anyhow::Result<()> {
        let ground = lock(&self.ground);
        std::fs::create_dir_all(&member.folder)?;
        write_config(&member.folder, member.http, member.udp, ground.stage, ground.kept.lan)
    }

    fn found(&self) -> anyhow::Result<()> {
        let paris = &self.members[0];
        let password = {
            let mut ground = lock(&self.ground);
            ground.kept.password = new_password()?;
            ground.kept.write(&ground.folder)?;
            ground.kept.password.clone()
        };
        let kit = self.folder().join("recovery-kit.txt");
        let kit = kit.to_str().context("the folder's name is no text")?;
        let place = paris.place;
        let mut arguments = vec!["init", "--organisation", "Archipel Demo", "--code", place.code, "--name", place.name];
        arguments.extend(["--structure", SHARED, "--structure", APART, "--login", LOGIN, "--person", "Ana Demo"]);
        arguments.extend(["--kit", kit]);
        let told = paris.program(&arguments, &password)?;
        let passphrase = told.lines().find_map(|line| line.strip_prefix("Its passphrase, shown once: "));
        lock(&self.ground).kept.kit_passphrase = passphrase.unwrap_or_default().to_owned();
        self.start(paris)?;
        for member in &self.members[1..] {
            self.join(member)?;
        }
        // A site that has just joined marks its numbers with letters until it has caught up (decision 0004).
        watch::wait_until_equal(self, START);
        std::thread::sleep(CAUGHT_UP);
        Ok(())
    }

    /// Makes a member from an invitation and starts it. Its folder holds nothing but its configuration.
    fn join(&self, member: &Member) -> anyhow::Result<()> {
        let line = self.invite(&member.place)?;
        member.program(&["join", &line], "")?;
        member.program(&["password", "--login", LOGIN], &self.password())?;
        self.start(member)
    }

    /// An invitation for a place, made at Paris.
    pub fn invite(&self, place: &Place) -> anyhow::Result<String> {
        let mut arguments = vec!["invite", "--code", place.code, "--name", place.name];
        for structure in place.structures {
            arguments.extend(["--structure", structure]);
        }
        self.members[0].program(&arguments, "")
    }

    fn start_all(&self) -> anyhow::Result<()> {
        for member in &self.members {
            member.process.start()?;
        }
        self.members.iter().try_for_each(|member| self.settle_in(member))
    }

    fn start(&self, member: &Member) -> anyhow::Result<()> {
        member.process.start()?;
        self.settle_in(member)
    }

    /// Waits until a member serves, sees to a token that is good there, and sets its cables.
    fn settle_in(&self, member: &Member) -> anyhow::Result<()> {
        let log = member.folder.with_extension("log");
        let waited = member.api().wait_until_well(START);
        waited.with_context(|| format!("{} did not start; see {}", member.place.name, log.display()))?;
        let kept = lock(&self.ground).kept.tokens.get(member.place.code).cloned();
        let mut api = member.api().with_token(&kept.unwrap_or_default());
        if api.token.is_empty() || api.get("/api/v1/session").is_err() {
            api = api.with_token(&member.program(&["token", "create", "--login", LOGIN], "")?);
            let mut ground = lock(&self.ground);
            ground.kept.tokens.insert(member.place.code.to_owned(), api.token.clone());
            ground.kept.write(&ground.folder)?;
        }
        *lock(&member.door) = api;
        self.lay_cables(member)
    }

    /// Tells a member which of its cables are cut: a process that has just started knows of none.
    fn lay_cables(&self, member: &Member) -> anyhow::Result<()> {
        let cables = *lock(&self.cables);
        for ((a, b), up) in CABLES.iter().zip(cables) {
            let (a, b) = (&self.members[*a], &self.members[*b]);
            let (near, far) = if a.place == member.place { (a, b) } else { (b, a) };
            if near.place == member.place && !up {
                near.api().link(far.place.code, false)?;
                // A site made anew has another key: its neighbour's cut was for the old one. The near end holds
                // by itself, also while the neighbour has not heard of the new one.
                let _ = far.api().link(near.place.code, false);
            }
        }
        Ok(())
    }

    /// Cables with their two codes, and whether each is whole.
    pub fn cables(&self) -> Vec<(&'static str, &'static str, bool)> {
        let cables = *lock(&self.cables);
        let code = |at: usize| PLACES[at].code;
        CABLES.iter().zip(cables).map(|((a, b), up)| (code(*a), code(*b), up)).collect()
    }

    /// Cuts or mends one cable, at both its ends. Errors: there is no such cable, or an end does not answer.
    pub fn set_cable(&self, a: &str, b: &str, up: bool) -> anyhow::Result<()> {
        let ends = |(x, y): &(usize, usize)| {
            let (x, y) = (PLACES[*x].code, PLACES[*y].code);
            (x == a && y == b) || (x == b && y == a)
        };
        let at = CABLES.iter().position(ends).context("there is no such cable")?;
        lock(&self.cables)[at] = up;
        let (x, y) = (&self.members[CABLES[at].0], &self.members[CABLES[at].1]);
        // Both ends are told, also if one does not answer: it is told again when it is back.
        let told = [x.api().link(y.place.code, up), y.api().link(x.place.code, up)];
        told.into_iter().collect()
    }

    /// Cuts or mends every cable.
    pub fn set_all(&self, up: bool) -> anyhow::Result<()> {
        let told: Vec<anyhow::Result<()>> =
            CABLES.iter().map(|(a, b)| self.set_cable(PLACES[*a].code, PLACES[*b].code, up)).collect();
        told.into_iter().collect()
    }

    /// kill -9, and back; answers with the time from the kill until it serves again.
    pub fn kill(&self, member: &Member) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let starts = member.process.starts();
        member.process.kill();
        while member.process.starts() == starts {
            ensure!(begun.elapsed() < START, "{} was not started again", member.place.name);
            std::thread::sleep(Duration::from_millis(5));
        }
        member.api().wait_until_well(START)?;
        let back = begun.elapsed();
        self.lay_cables(member)?;
        Ok(back)
    }

    /// Waits until a member that was killed serves again, and sets its cables.
    pub fn back(&self, member: &Member) -> anyhow::Result<()> {
        member.api().wait_until_well(START)?;
        self.lay_cables(member)
    }

    /// Deletes a member's folder and fills it again by one invitation.
    pub fn wipe(&self, member: &Member) -> anyhow::Result<()> {
        if member.place == PLACES[0] {
            bail!("Paris gives out the invitations; its folder stays");
        }
        member.process.stop();
        std::fs::remove_dir_all(&member.folder)?;
        lock(&self.ground).kept.tokens.remove(member.place.code);
        self.configure(member)?;
        // The invitation is fetched from Paris, by a road that is not one of the stage's cables.
        self.join(member)
    }
}

fn member(ground: &Ground, at: usize, place: Place) -> Member {
    let folder = ground.folder.join(place.host);
    let process = Process::new(&folder, &folder.with_extension("log"));
    let door = Mutex::new(Api::new(ground.http[at], ""));
    Member { place, http: ground.http[at], udp: ground.kept.udp[at], process, door, folder }
}

/// Writes a site's configuration: loopback, the demo's cables, the stage that may frame its page.
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
    Ok((id(SHARED).context("no shared structure")?, id(APART).context("no second structure")?))
}
