//! A few sites, their cables, their disks and their people, all driven by one seed.

mod act;
mod check;
mod fault;
mod hostile;
mod site;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use schema::authority::{AuthorityRef, Body, Grant, Role, Signed, SiteEntry, Standing, UserEntry};
use schema::id::{DocId, LogId, ScopeId, SiteId, StructureId, UserId};
use schema::identity::{Secret, organisation};
use schema::record::scope_of;
use schema::time::{Hlc, Timestamp};
use sync::engine::SessionId;

use crate::model::{CommandNo, Model};
use crate::rng::Rng;
pub use site::SimSite;

/// When the story begins.
const EPOCH: u64 = 1_800_000_000_000;
/// The structure that every site holds.
pub const IT: StructureId = StructureId([1; 16]);
/// The structure that the last site does not hold.
pub const HR: StructureId = StructureId([2; 16]);
/// Stands in every document of `HR`: no byte of it may reach the site that lacks it.
pub const CANARY: &str = "kanarienvogel-7f3a";
/// Milliseconds between two ticks of a site.
const TICK: u64 = 250;
/// Bytes that a site's disk may take in a story.
pub const MAX_DISK: usize = 256 * 1024 * 1024;

/// What a seed makes of the world.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// Places with a node.
    pub sites: usize,
    /// Virtual seconds of faults.
    pub seconds: u64,
    /// Milliseconds between two commands, on average.
    pub pace: u64,
    /// Milliseconds between two faults, on average.
    pub faults: u64,
}

impl Options {
    /// The options that a seed stands for.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x0a11_0f5e);
        Self {
            seed,
            sites: 2 + rng.below(3) as usize,
            seconds: 20 + rng.below(30),
            pace: 120 + rng.below(300),
            faults: 400 + rng.below(2000),
        }
    }
}

/// What happens at a time.
enum Happening {
    Tick(usize, u64),
    Frame { to: usize, session: SessionId, frame: Vec<u8> },
    Hangup { at: usize, session: SessionId },
    Dial(usize, usize),
    Command,
    Fault,
    Start(usize),
}

struct Queued {
    at: u64,
    no: u64,
    what: Happening,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.no) == (other.at, other.no)
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.no).cmp(&(other.at, other.no))
    }
}

/// A command that was answered.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The instance that answered.
    pub at: usize,
    /// Its record's log and seq.
    pub place: (LogId, u64),
    /// The document it is about.
    pub doc: DocId,
    /// The number given to a new ticket.
    pub number: Option<String>,
    /// A person enrolled, with the login asked for.
    pub enrolled: Option<(UserId, String)>,
}

/// The cable between two places, from the first to the second.
#[derive(Debug, Clone, Copy)]
struct Cable {
    up: bool,
    delay: u64,
    /// Percent of frames lost; the session dies of it a little later.
    loss: u64,
    doubles: u64,
    swaps: u64,
}

/// The world.
pub struct World {
    /// What the seed made.
    pub options: Options,
    rng: Rng,
    now: u64,
    queue: BinaryHeap<Reverse<Queued>>,
    queued: u64,
    /// Running and stopped instances. A clone is one more instance of its site.
    pub sites: Vec<SimSite>,
    cables: BTreeMap<(usize, usize), Cable>,
    next_session: SessionId,
    /// The other end of a session: (instance, session) by (instance, session).
    ends: BTreeMap<(usize, SessionId), (usize, SessionId)>,
    /// When the last frame of a session arrives: streams keep their order.
    arrives: BTreeMap<(usize, SessionId), u64>,
    /// How often each fault and each judgement occurred.
    pub counters: BTreeMap<String, u64>,
    /// Accepted commands.
    pub model: Model,
    /// Answered commands by number.
    pub answered: BTreeMap<CommandNo, Answered>,
    commands: CommandNo,
    org: schema::id::OrgId,
    statements: Vec<Signed>,
    sequencer: Secret,
    /// Faults are over.
    calm: bool,
    /// Tickets that only hostile members write to.
    grounds: BTreeSet<schema::id::DocId>,
    /// What went wrong, first thing first.
    pub failures: Vec<String>,
}

/// The admin, known at all sites.
pub const ADMIN: UserId = UserId([0xad; 16]);

/// The technician of a place.
pub fn technician(place: usize) -> UserId {
    UserId([0x70 + place as u8; 16])
}

/// A requester of a place: a plain user.
pub fn requester(place: usize) -> UserId {
    UserId([0x40 + place as u8; 16])
}

fn key(place: usize) -> Secret {
    Secret::from_bytes([10 + place as u8; 32])
}

impl World {
    /// The world of a seed, all sites up and linked.
    pub fn new(options: Options) -> Self {
        let root = Secret::from_bytes([1; 32]);
        let sequencer = Secret::from_bytes([2; 32]);
        let org = organisation(&root.public());
        let mut world = Self {
            rng: Rng::new(options.seed),
            now: EPOCH,
            queue: BinaryHeap::new(),
            queued: 0,
            sites: Vec::new(),
            cables: BTreeMap::new(),
            next_session: 1,
            ends: BTreeMap::new(),
            arrives: BTreeMap::new(),
            counters: BTreeMap::new(),
            model: Model::default(),
            answered: BTreeMap::new(),
            commands: 0,
            org,
            statements: Vec::new(),
            sequencer,
            calm: false,
            grounds: BTreeSet::new(),
            failures: Vec::new(),
            options,
        };
        world.statements = world.found(&root);
        for place in 0..world.options.sites {
            let site = SimSite::new(place, key(place));
            world.sites.push(site);
            world.start(place, false);
            for other in 0..place {
                world.lay_cable(place, other);
            }
        }
        world
    }

    fn found(&mut self, root: &Secret) -> Vec<Signed> {
        let count = self.options.sites;
        let scope = |structure: &StructureId| scope_of(&self.org, Some(structure));
        let mut keys: Vec<SiteId> = (0..count).map(|place| key(place).public()).collect();
        keys.sort_unstable();
        let mut bodies = vec![
            Body::Found { name: "World".into(), root: root.public(), sequencer: self.sequencer.public() },
            Body::Structure { structure: IT, name: "IT".into(), parent: None },
            Body::Structure { structure: HR, name: "HR".into(), parent: None },
        ];
        for place in 0..count {
            let mut scopes = vec![scope_of(&self.org, None), scope(&IT)];
            if place + 1 < count {
                scopes.push(scope(&HR));
            }
            scopes.sort_unstable();
            bodies.push(Body::Site(SiteEntry {
                site: key(place).public(),
                code: format!("S{place}"),
                name: format!("Site {place}"),
                standing: Standing::Active,
                scopes,
                enrols: vec![IT],
                addresses: Vec::new(),
            }));
        }
        let user = |user: UserId, login: String, role: Role, structure: Option<StructureId>, sites: Vec<SiteId>| {
            let grants = vec![Grant { structure, role }];
            Body::User(UserEntry { user, login, grants, sites, standing: Standing::Active })
        };
        bodies.push(user(ADMIN, "admin".into(), Role::Admin, None, keys));
        for place in 0..count {
            let here = vec![key(place).public()];
            bodies.push(user(technician(place), format!("tech{place}"), Role::Technician, None, here.clone()));
            bodies.push(user(requester(place), format!("user{place}"), Role::User, Some(IT), here));
        }
        let mut previous = [0; 32];
        let mut hlc = Hlc::default();
        let mut signed = Vec::new();
        for (position, body) in bodies.iter().enumerate() {
            hlc = hlc.tick(Timestamp(EPOCH - 1000));
            let at = AuthorityRef { epoch: 1, position: position as u64 };
            let signer = if position == 0 { root } else { &self.sequencer };
            let statement = Signed::new(self.org, at, previous, hlc, body, signer);
            previous = statement.statement.hash();
            signed.push(statement);
        }
        signed
    }

    /// The scope of a structure.
    pub fn scope(&self, structure: &StructureId) -> ScopeId {
        scope_of(&self.org, Some(structure))
    }

    fn lay_cable(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            let delay = 1 + self.rng.below(40);
            self.cables.insert((from, to), Cable { up: true, delay, loss: 0, doubles: 0, swaps: 0 });
        }
        self.at(10, Happening::Dial(a, b));
    }

    fn count(&mut self, what: &str) {
        *self.counters.entry(what.to_owned()).or_default() += 1;
    }

    fn fail(&mut self, what: String) {
        self.failures.push(what);
    }

    fn at(&mut self, after: u64, what: Happening) {
        self.queued += 1;
        self.queue.push(Reverse(Queued { at: self.now + after, no: self.queued, what }));
    }

    /// Runs the story: faults and commands, then calm, then the checks.
    pub fn run(&mut self) {
        let end = self.now + self.options.seconds * 1000;
        self.at(50, Happening::Command);
        self.at(300, Happening::Fault);
        self.advance(end);
        self.mend_everything();
        let patience = self.now + 120_000;
        while self.now < patience && self.failures.is_empty() {
            let next = self.now + 1000;
            self.advance(next);
            if self.has_settled() {
                break;
            }
        }
        if self.failures.is_empty() {
            self.check();
        }
    }

    fn advance(&mut self, until: u64) {
        while self.failures.is_empty() {
            match self.queue.peek() {
                Some(Reverse(next)) if next.at <= until => {}
                Some(_) | None => break,
            }
            let Some(Reverse(next)) = self.queue.pop() else {
                break;
            };
            self.now = next.at;
            self.happen(next.what);
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Tick(at, life) => self.tick(at, life),
            Happening::Frame { to, session, frame } => self.deliver(to, session, &frame),
            Happening::Hangup { at, session } => self.hang_up(at, session),
            Happening::Dial(a, b) => self.dial(a, b),
            Happening::Command => {
                if !self.calm {
                    self.act();
                    let pause = 1 + self.rng.below(self.options.pace * 2);
                    self.at(pause, Happening::Command);
                }
            }
            Happening::Fault => {
                if !self.calm {
                    self.fault();
                    let pause = 1 + self.rng.below(self.options.faults * 2);
                    self.at(pause, Happening::Fault);
                }
            }
            Happening::Start(at) => {
                if !self.sites[at].is_running() {
                    self.start(at, false);
                }
            }
        }
    }

    /// The instances of other places that an instance may talk to.
    fn reachable(&self, a: usize, b: usize) -> bool {
        let place = |at: usize| self.sites[at].place;
        let cable = |from, to| self.cables.get(&(from, to)).is_some_and(|cable| cable.up);
        let both = self.sites[a].is_running() && self.sites[b].is_running();
        both && place(a) != place(b) && cable(a, b) && cable(b, a)
    }

    /// The places that hold a scope.
    pub fn holders(&self, scope: &ScopeId) -> BTreeSet<usize> {
        let holds = |at: &usize| {
            let site = &self.sites[*at];
            site.replica().and_then(|replica| Some(replica.policy()?.holds(&site.key.public(), scope))) == Some(true)
        };
        (0..self.sites.len()).filter(holds).collect()
    }
}
