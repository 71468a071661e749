//! A deterministic simulation of a few sites with their links, disks and users, all driven by one seed.
//!
//! A place is one site of the organisation, by index. Usually it has one instance; a clone is one more instance of the
//! same place. Instances are indexes into [`World::sites`].

mod authority;
mod check;
mod fault;
mod holdings;
mod hostile;
mod member;
mod site;
mod standing;
mod trace;
mod workload;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use schema::authority::{
    AuthorityRef, Body, Grant, Role, ScopeSelector, Signed, SiteEntry, SiteSelector, Standing, UserEntry,
};
use schema::id::scope_of;
use schema::id::{DocId, ScopeId, SiteId, StructureId, UserId};
use schema::identity::{Secret, organisation};
use schema::sealing::SealingSecret;
use schema::time::{Hlc, Timestamp};
use sync::engine::SessionId;
use sync::limits::GENERATION_PACE;

use crate::model::{CommandNo, Model};
use crate::rng::Rng;
pub use holdings::RecordAt;
pub use site::SimSite;

/// When the simulation begins, in milliseconds since 1970.
const EPOCH: u64 = 1_800_000_000_000;
/// The structure that every site holds.
pub const IT: StructureId = StructureId([1; 16]);
/// The structure that the last site does not hold.
pub const HR: StructureId = StructureId([2; 16]);
/// Occurs in every document of `HR`: no byte of it may reach the site that lacks this structure.
pub const CANARY: &str = "kanarienvogel-7f3a";
/// How long the sites may take to agree once everything is repaired, in milliseconds.
const CALM: u64 = 120_000;
/// Logs of the hostile member beyond those that are free, which a site may still lack then.
const SLOWED_LOGS: u64 = 15;
/// Seconds after which admins look at what their sites say of the rules, once every link is up.
const ADMINS_LOOK: u64 = 20;
/// Milliseconds between two ticks of a site.
const TICK: u64 = 250;
/// The largest disk that a site may need in a scenario, in bytes.
pub const MAX_DISK: usize = 256 * 1024 * 1024;

/// The parameters of a scenario, derived from its seed.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed of all randomness.
    pub seed: u64,
    /// The number of places at the beginning.
    pub sites: usize,
    /// Structures beside `IT` and `HR`, each held by two places in three.
    pub structures: usize,
    /// The links that a place begins with to places before it, at most.
    pub links: usize,
    /// How long faults and commands go on, in virtual seconds.
    pub seconds: u64,
    /// Milliseconds between two commands, on average.
    pub pace: u64,
    /// Milliseconds between two faults, on average.
    pub faults: u64,
    /// How often the last place is restarted, one time after the other.
    pub restarts: u64,
    /// Whether a member speaks raw frames, signed with a key of the organisation.
    pub hostile_member: bool,
}

/// Of so many seeds one has thirty sites and ten scopes.
const LARGE: u64 = 100;
/// Of so many seeds one restarts a site a thousand times.
const RESTARTED: u64 = 150;

impl Options {
    /// The options of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x0a11_0f5e);
        let options = Self {
            seed,
            sites: 2 + rng.below(3) as usize,
            structures: 0,
            links: usize::MAX,
            seconds: 20 + rng.below(30),
            pace: 120 + rng.below(300),
            faults: 400 + rng.below(2000),
            restarts: 0,
            hostile_member: seed % 3 == 2,
        };
        match (seed % LARGE, seed % RESTARTED) {
            (71, _) => Self { sites: 30, structures: 7, links: 3, seconds: 15, pace: 40, faults: 300, ..options },
            (_, 43) => Self { seconds: 30, pace: 600, restarts: 1000, ..options },
            (_, _) => options,
        }
    }
}

/// An event of the simulation.
enum Event {
    /// A timer tick of an instance; ignored if the instance was restarted since its incarnation in the second field.
    Tick(usize, u64),
    /// A frame arrives at an instance.
    Frame { to: usize, session: SessionId, frame: Vec<u8> },
    /// A session ends at both ends.
    CloseSession { at: usize, session: SessionId },
    /// The first instance connects to the second, unless they have a session.
    Dial(usize, usize),
    /// A user does something.
    Command,
    /// Something goes wrong.
    Fault,
    /// A stopped instance starts.
    Start(usize),
    /// An instance is stopped and started, so many times still.
    Restart(usize, u64),
    /// The hostile member does something.
    Member,
}

/// An event in the queue: events of the same time are handled in the order in which they were scheduled.
struct Scheduled {
    at: u64,
    no: u64,
    what: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.no) == (other.at, other.no)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.no).cmp(&(other.at, other.no))
    }
}

/// A command that was acknowledged.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// The instance that acknowledged.
    pub at: usize,
    /// Its record.
    pub record: RecordAt,
    /// The document it is about.
    pub doc: DocId,
    /// The number given to a new ticket; `None`: it opened none.
    pub number: Option<String>,
    /// The user that it enrolled and the requested login; `None`: it enrolled nobody.
    pub enrolled: Option<(UserId, String)>,
}

/// One direction of the link between two instances.
#[derive(Debug, Clone, Copy)]
struct Link {
    up: bool,
    /// The latency of a frame, in milliseconds.
    delay: u64,
    /// The share of frames lost; the session ends a little later.
    loss_percent: u64,
    duplicate_percent: u64,
    reorder_percent: u64,
}

/// The simulated world.
pub struct World {
    /// The parameters derived from the seed.
    pub options: Options,
    rng: Rng,
    /// The virtual time, in milliseconds since 1970.
    now: u64,
    queue: BinaryHeap<Reverse<Scheduled>>,
    /// The number of events scheduled so far.
    scheduled: u64,
    /// Running and stopped instances. A clone is one more instance of its site.
    pub sites: Vec<SimSite>,
    links: BTreeMap<(usize, usize), Link>,
    next_session: SessionId,
    /// The other end of a session: (instance, session) by (instance, session).
    ends: BTreeMap<(usize, SessionId), (usize, SessionId)>,
    /// When the last frame of a session arrives: streams keep their order.
    arrives: BTreeMap<(usize, SessionId), u64>,
    /// How often each fault and each verdict occurred.
    pub counters: BTreeMap<String, u64>,
    /// The reference model of all accepted commands.
    pub model: Model,
    /// Acknowledged commands by number.
    pub acknowledged: BTreeMap<CommandNo, Acknowledged>,
    commands: CommandNo,
    org: schema::id::OrgId,
    root: Secret,
    /// The sequencer's keys, by the place that made them: who has one keeps it, also once it is no longer in force.
    sequencers: BTreeMap<usize, Secret>,
    /// The place whose key the authority log names.
    sequencer_at: usize,
    /// The epoch in which it does.
    epoch: u32,
    /// Statements that were said and stand no more since a hand-over went back behind them.
    statements_dropped: bool,
    /// The place that joined while others worked; `None`: none did yet.
    joined: Option<usize>,
    /// A member in hostile hands; `None` in most scenarios.
    member: Option<member::HostileMember>,
    /// All that happened, as a hash: a seed replayed gives the same.
    trace: blake3::Hasher,
    /// Set when faults and commands are over.
    quiescent: bool,
    /// Places that were set back with their memory.
    set_back: BTreeSet<usize>,
    /// The public key of each place, from the first to the one that joins.
    public_keys: Vec<SiteId>,
    /// Places whose keys were revoked.
    revoked: BTreeSet<usize>,
    /// Openings of tickets that were named by their client: the place, who, and what came of it. They may be asked again.
    named: Vec<workload::NamedOpening>,
    /// Tickets that only hostile members write to; the reference model does not know them.
    forgery_targets: BTreeSet<schema::id::DocId>,
    /// What went wrong, in order.
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

/// The structures of a scenario.
fn structures(options: &Options) -> impl Iterator<Item = StructureId> + use<> {
    [IT, HR].into_iter().chain((0..options.structures).map(|number| StructureId([3 + number as u8; 16])))
}

/// Whether a place holds a structure's tickets. The first holds all; the last of those at the beginning lacks `HR`.
fn holds(options: &Options, place: usize, structure: StructureId) -> bool {
    match structure {
        IT => true,
        HR => place + 1 != options.sites,
        other => place == 0 || !(place + usize::from(other.0[0])).is_multiple_of(3),
    }
}

fn site_entry(options: &Options, place: usize) -> SiteEntry {
    let held = structures(options).filter(|structure| holds(options, place, *structure));
    SiteEntry {
        site: key(place).public(),
        code: format!("S{place}"),
        name: format!("Site {place}"),
        standing: Standing::Active,
        structure: Some(IT),
        holds: std::iter::once(ScopeSelector::Organisation).chain(held.map(ScopeSelector::Structure)).collect(),
        enrols: vec![ScopeSelector::Structure(IT)],
        sealing: Some(SealingSecret::of(&key(place)).public()),
    }
}

/// The technician and the requester of a place, who work nowhere else.
fn people_of(place: usize) -> [UserEntry; 2] {
    let sites = vec![SiteSelector::Site(key(place).public())];
    let entry = |user, login, role, structure| {
        let grants = vec![Grant { structure, role }];
        UserEntry { user, login, grants, sites: sites.clone(), standing: Standing::Active }
    };
    [
        entry(technician(place), format!("tech{place}"), Role::Technician, None),
        entry(requester(place), format!("user{place}"), Role::User, Some(IT)),
    ]
}

impl World {
    /// The world of a seed: all sites running and connected.
    pub fn new(options: Options) -> Self {
        let root = Secret::from_bytes([1; 32]);
        let org = organisation(&root.public());
        let mut world = Self {
            rng: Rng::new(options.seed),
            now: EPOCH,
            queue: BinaryHeap::new(),
            scheduled: 0,
            sites: Vec::new(),
            links: BTreeMap::new(),
            next_session: 1,
            ends: BTreeMap::new(),
            arrives: BTreeMap::new(),
            counters: BTreeMap::new(),
            model: Model::default(),
            acknowledged: BTreeMap::new(),
            commands: 0,
            org,
            root,
            sequencers: BTreeMap::from([(0, Secret::from_bytes([2; 32]))]),
            sequencer_at: 0,
            epoch: 1,
            statements_dropped: false,
            joined: None,
            member: None,
            trace: blake3::Hasher::new(),
            quiescent: false,
            set_back: BTreeSet::new(),
            public_keys: (0..=options.sites).map(|place| key(place).public()).collect(),
            revoked: BTreeSet::new(),
            named: Vec::new(),
            forgery_targets: BTreeSet::new(),
            failures: Vec::new(),
            options,
        };
        let statements = world.founding_statements();
        for place in 0..world.options.sites {
            let site = SimSite::new(place, key(place), statements.clone());
            world.sites.push(site);
            world.start(place, false);
            world.link_to_earlier(place);
        }
        if world.options.hostile_member {
            world.member = Some(member::HostileMember::new(world.org, world.scope(&IT)));
            world.schedule(500, Event::Member);
        }
        if world.options.restarts > 0 {
            world.schedule(400, Event::Restart(world.options.sites - 1, world.options.restarts));
        }
        world
    }

    fn founding_statements(&self) -> Vec<Signed> {
        let options = &self.options;
        let sequencer = &self.sequencers[&0];
        let root = self.root.public();
        let mut bodies = vec![Body::Genesis { name: "World".into(), root, sequencer: sequencer.public() }];
        bodies.extend(structures(options).map(|structure| {
            let name = match structure {
                IT => "IT".into(),
                HR => "HR".into(),
                other => format!("Structure {}", other.0[0]),
            };
            Body::Structure { structure, name, parent: None }
        }));
        bodies.extend((0..options.sites).map(|place| Body::Site(site_entry(options, place))));
        if options.hostile_member {
            bodies.push(Body::Site(member::entry()));
        }
        bodies.push(Body::User(UserEntry {
            user: ADMIN,
            login: "admin".into(),
            grants: vec![Grant { structure: None, role: Role::Admin }],
            sites: vec![SiteSelector::All],
            standing: Standing::Active,
        }));
        bodies.extend((0..options.sites).flat_map(people_of).map(Body::User));
        let mut previous = [0; 32];
        let mut hlc = Hlc::default();
        let mut signed = Vec::new();
        for (position, body) in bodies.iter().enumerate() {
            hlc = hlc.tick(Timestamp(EPOCH - 1000));
            let at = AuthorityRef { epoch: 1, position: position as u64 };
            let signer = if position == 0 { &self.root } else { sequencer };
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

    /// Links an instance to those of other places before it: to all, or to the first, which holds everything, and some
    /// drawn at random. A copy finds whom its original found.
    fn link_to_earlier(&mut self, at: usize) {
        let SimSite { place, is_clone, .. } = self.sites[at];
        let mut others: Vec<usize> = (0..at).filter(|other| self.sites[*other].place != place).collect();
        while others.len() > self.options.links && !is_clone {
            let drawn = 1 + self.rng.below(others.len() as u64 - 1) as usize;
            others.remove(drawn);
        }
        for other in others {
            self.add_link(at, other);
        }
    }

    fn add_link(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            let delay = 1 + self.rng.below(40);
            self.links.insert(
                (from, to),
                Link { up: true, delay, loss_percent: 0, duplicate_percent: 0, reorder_percent: 0 },
            );
        }
        self.schedule(10, Event::Dial(a, b));
    }

    fn count(&mut self, what: &str) {
        *self.counters.entry(what.to_owned()).or_default() += 1;
    }

    fn fail(&mut self, what: String) {
        self.failures.push(what);
    }

    /// Queues an event for `after` milliseconds from now.
    fn schedule(&mut self, after: u64, what: Event) {
        self.scheduled += 1;
        self.queue.push(Reverse(Scheduled { at: self.now + after, no: self.scheduled, what }));
    }

    /// Runs the scenario: faults and commands, then repair and quiescence, then the checks.
    pub fn run(&mut self) {
        let end = self.now + self.options.seconds * 1000;
        self.schedule(50, Event::Command);
        self.schedule(300, Event::Fault);
        self.advance(end);
        self.repair_everything();
        let calm = self.now;
        for second in 1.. {
            let next = self.now + 1000;
            self.advance(next);
            if self.now >= calm + self.patience() || !self.failures.is_empty() || self.has_converged() {
                break;
            }
            if second % ADMINS_LOOK == 0 {
                self.settle_authority();
            }
        }
        if self.failures.is_empty() {
            self.check();
        }
    }

    /// [`CALM`], and longer where a site was slowed down: of such a site everybody takes one log a minute (R1).
    fn patience(&self) -> u64 {
        let slowed = self.counters.contains_key("alarm:SITE-SLOWED");
        if slowed { CALM + SLOWED_LOGS * GENERATION_PACE.as_millis() as u64 } else { CALM }
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
            self.handle(next.what);
        }
        self.now = self.now.max(until);
    }

    fn handle(&mut self, what: Event) {
        self.note(&what);
        match what {
            Event::Tick(at, incarnation) => self.tick(at, incarnation),
            Event::Frame { to, session, frame } => self.deliver(to, session, &frame),
            Event::CloseSession { at, session } => self.close_session(at, session),
            Event::Dial(a, b) => self.dial(a, b),
            Event::Command => {
                if !self.quiescent {
                    self.random_command();
                    let pause = 1 + self.rng.below(self.options.pace * 2);
                    self.schedule(pause, Event::Command);
                }
            }
            Event::Fault => {
                if !self.quiescent {
                    self.random_fault();
                    let pause = 1 + self.rng.below(self.options.faults * 2);
                    self.schedule(pause, Event::Fault);
                }
            }
            Event::Start(at) => {
                if !self.sites[at].is_running() {
                    self.start(at, false);
                }
            }
            Event::Restart(at, left) => self.restart(at, left),
            Event::Member => {
                if !self.quiescent {
                    self.act_as_member();
                    let pause = 1 + self.rng.below(self.options.pace * 4);
                    self.schedule(pause, Event::Member);
                }
            }
        }
    }

    /// Whether two running instances of different places are connected in both directions.
    fn reachable(&self, a: usize, b: usize) -> bool {
        let place = |at: usize| self.sites[at].place;
        let link = |from, to| self.links.get(&(from, to)).is_some_and(|link| link.up);
        let both = self.sites[a].is_running() && self.sites[b].is_running();
        both && place(a) != place(b) && link(a, b) && link(b, a)
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
