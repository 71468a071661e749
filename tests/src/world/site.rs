//! One instance of a site, and how the simulation drives it.

use node::commands::TicketNumbers;
use node::read_model::{ReadModel, query};
use schema::authority::Signed;
use schema::id::{GenerationId, StoreId};
use schema::identity::Secret;
use schema::time::Timestamp;
use sync::replica::{Alarm, Output, Replica, Start};
use sync::store::Store;

use super::member::MEMBER;
use super::{CANARY, Event, HR, MAX_DISK, TICK, World, holds};
use crate::disk::SimDisk;

/// An instance of a site: a disk, and a process while it runs.
pub struct SimSite {
    /// The index of its place.
    pub place: usize,
    /// The key of the place, shared by its instances.
    pub key: Secret,
    /// Its disk, which outlives its process.
    pub disk: SimDisk,
    /// How far its clock is off, in milliseconds.
    pub skew: i64,
    /// A backup to restore from, or a snapshot of the whole machine to set it back to. `None`: there is none.
    pub backup: Option<Backup>,
    /// Whether it is a copy of another instance.
    pub is_clone: bool,
    /// Whether its disk was ever a copy: it marks its ticket numbers from then on.
    pub copied: bool,
    /// The number of starts so far.
    pub incarnation: u64,
    /// The statements that it begins with on an empty disk: those of the founding, or of an answer to its join.
    pub founding: Vec<Signed>,
    process: Option<Process>,
}

/// A running machine as it was: its disk, and what its process had in memory.
pub struct Backup {
    /// The disk.
    pub content: Vec<u8>,
    /// The generation that its process ran in.
    pub generation: GenerationId,
}

struct Process {
    replica: Replica,
    views: ReadModel,
    numbers: TicketNumbers,
}

impl SimSite {
    /// An instance on an empty disk, not running.
    pub fn new(place: usize, key: Secret, founding: Vec<Signed>) -> Self {
        let (disk, process) = (SimDisk::default(), None);
        let (skew, backup, is_clone, copied, incarnation) = (0, None, false, false, 0);
        Self { place, key, disk, skew, backup, is_clone, copied, incarnation, founding, process }
    }

    /// Whether its process runs.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }
    /// Its replica; `None`: it does not run.
    pub fn replica(&self) -> Option<&Replica> {
        self.process.as_ref().map(|process| &process.replica)
    }
    /// Its replica, mutable; `None`: it does not run.
    pub fn replica_mut(&mut self) -> Option<&mut Replica> {
        self.process.as_mut().map(|process| &mut process.replica)
    }
    /// Its read model; `None`: it does not run.
    pub fn views(&self) -> Option<&ReadModel> {
        self.process.as_ref().map(|process| &process.views)
    }
    /// Its replica and read model, mutable; `None`: it does not run.
    pub fn replica_and_views(&mut self) -> Option<(&mut Replica, &mut ReadModel)> {
        self.process.as_mut().map(|process| (&mut process.replica, &mut process.views))
    }
    /// Its replica and ticket numbers, mutable; `None`: it does not run.
    pub fn replica_and_numbers(&mut self) -> Option<(&mut Replica, &mut TicketNumbers)> {
        self.process.as_mut().map(|process| (&mut process.replica, &mut process.numbers))
    }
    /// Ends its process at once.
    pub fn kill(&mut self) {
        self.process = None;
    }
}

impl World {
    /// The time on an instance's own clock.
    pub(super) fn clock(&self, at: usize) -> Timestamp {
        Timestamp(self.now.saturating_add_signed(self.sites[at].skew))
    }

    /// Starts an instance on its disk; `copied` if the disk is a copy of another.
    pub(super) fn start(&mut self, at: usize, copied: bool) {
        let generation = GenerationId::drawn(self.rng.bytes());
        self.start_in(at, copied, generation);
    }

    /// Starts an instance on its disk, as a process that goes on in this generation.
    pub(super) fn start_in(&mut self, at: usize, copied: bool, generation: GenerationId) {
        self.sites[at].copied |= copied;
        let marked = self.sites[at].copied.then_some(generation);
        let mut next = Some(generation);
        let mut later = crate::rng::Rng::new(self.rng.number());
        let draw = move || Some(next.take().unwrap_or_else(|| GenerationId::drawn(later.bytes())));
        let start = Start {
            key: self.sites[at].key.clone(),
            sequencer: self.sequencers.get(&self.sites[at].place).cloned(),
            draw: Box::new(draw),
            store_id: StoreId(self.rng.bytes()),
            copied,
            now: self.clock(at),
        };
        let statements = self.sites[at].founding.clone();
        let now = self.clock(at);
        let opened = (|| -> anyhow::Result<Process> {
            let store = Store::open_on(self.sites[at].disk.clone())?;
            let mut replica = Replica::open(store, start)?;
            if replica.policy().is_none() {
                replica.bootstrap(now, statements)?;
            }
            let mut views = ReadModel::in_memory()?;
            while replica.catch_up(now)? {}
            replica.take_changed();
            let shown = views.catch_up(&replica.read()?, replica.store().log_index())?;
            replica.projected(shown);
            let highest = query::highest_number(views.conn(), &format!("S{}", self.sites[at].place))?;
            let numbers = TicketNumbers::new(highest, marked);
            Ok(Process { replica, views, numbers })
        })();
        match opened {
            Ok(process) => {
                let site = &mut self.sites[at];
                site.process = Some(process);
                site.incarnation += 1;
                let incarnation = site.incarnation;
                self.schedule(TICK, Event::Tick(at, incarnation));
                for other in 0..self.sites.len() {
                    if self.links.contains_key(&(at, other)) {
                        self.schedule(20, Event::Dial(at, other));
                    }
                }
            }
            Err(error) => self.fail(format!("instance {at} does not start on its disk: {error:#}")),
        }
    }

    pub(super) fn tick(&mut self, at: usize, incarnation: u64) {
        if self.sites[at].incarnation != incarnation || !self.sites[at].is_running() {
            return;
        }
        let now = self.clock(at);
        let outputs = self.sites[at].replica_mut().map(|replica| replica.tick(now));
        self.handle_outputs(at, outputs);
        self.note_revoked();
        if self.sites[at].disk.size() > MAX_DISK {
            self.fail(format!("instance {at} takes more disk than it may"));
        }
        self.schedule(TICK, Event::Tick(at, incarnation));
    }

    /// Executes the outputs of a replica, then applies what it received to documents and read model.
    pub(super) fn handle_outputs<E: std::fmt::Display>(&mut self, at: usize, outputs: Option<Result<Vec<Output>, E>>) {
        match outputs {
            None => {}
            Some(Ok(outputs)) => {
                self.execute(at, outputs);
                self.apply_received(at);
            }
            Some(Err(error)) => self.fail(format!("instance {at} cannot go on: {error}")),
        }
    }

    fn apply_received(&mut self, at: usize) {
        let now = self.clock(at);
        let Some((replica, views)) = self.sites[at].replica_and_views() else {
            return;
        };
        let shown = (|| -> anyhow::Result<Vec<Output>> {
            while replica.catch_up(now)? {}
            let changed = replica.take_changed();
            if !changed.is_empty() {
                views.apply(&replica.read()?, &changed, replica.store().log_index())?;
                replica.projected(changed.iter().map(|changed| changed.doc));
            }
            Ok(replica.take_outputs())
        })();
        match shown {
            Ok(outputs) => self.execute(at, outputs),
            Err(error) => self.fail(format!("instance {at} cannot show what arrived: {error:#}")),
        }
    }

    fn execute(&mut self, at: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send(session, frame) => self.transmit(at, session, frame),
                Output::Close(session, code) => {
                    self.count(&format!("close:{code}"));
                    // What was sent before is delivered first.
                    let far = self.ends.get(&(at, session)).copied();
                    let last = far.and_then(|far| self.arrives.get(&far)).copied().unwrap_or_default();
                    self.schedule(5 + last.saturating_sub(self.now), Event::CloseSession { at, session });
                }
                Output::Alarm(alarm) => {
                    self.count(&format!("alarm:{}", alarm.code()));
                    self.check_blame(at, &alarm);
                }
                Output::Authority => {}
            }
        }
    }

    /// Connects two instances if their links are up and they have no session.
    pub(super) fn dial(&mut self, a: usize, b: usize) {
        let connected = self.ends.iter().any(|((from, _), (to, _))| (*from, *to) == (a, b));
        if !connected && self.reachable(a, b) {
            let (here, there) = (self.next_session, self.next_session + 1);
            self.next_session += 2;
            self.ends.insert((a, here), (b, there));
            self.ends.insert((b, there), (a, here));
            for (at, session, peer) in [(a, here, b), (b, there, a)] {
                let (now, peer) = (self.clock(at), self.sites[peer].key.public());
                let outputs = self.sites[at].replica_mut().map(|replica| replica.connected(now, session, peer));
                self.handle_outputs(at, outputs);
            }
        }
        if a > b {
            let pause = 300 + self.rng.below(700);
            self.schedule(pause, Event::Dial(a, b));
        }
    }

    /// Ends a session at both ends.
    pub(super) fn close_session(&mut self, at: usize, session: u64) {
        let Some((other, far)) = self.ends.remove(&(at, session)) else {
            return;
        };
        self.ends.remove(&(other, far));
        if let Some(member) = self.member.as_mut().filter(|_| other == MEMBER) {
            member.closed(at);
        }
        for (at, session) in [(at, session), (other, far)].into_iter().filter(|(at, _)| *at != MEMBER) {
            self.arrives.remove(&(at, session));
            let now = self.clock(at);
            let outputs = self.sites[at].replica_mut().map(|replica| replica.closed(now, session));
            self.handle_outputs(at, outputs);
        }
    }

    /// Ends all sessions of an instance, or between two.
    pub(super) fn close_sessions(&mut self, at: usize, with: Option<usize>) {
        let sessions: Vec<u64> = self
            .ends
            .iter()
            .filter(|((from, _), (to, _))| *from == at && with.is_none_or(|with| *to == with))
            .map(|((_, session), _)| *session)
            .collect();
        for session in sessions {
            self.close_session(at, session);
        }
    }

    fn transmit(&mut self, from: usize, session: u64, frame: Vec<u8>) {
        let Some((to, far)) = self.ends.get(&(from, session)).copied() else {
            return;
        };
        self.check_canary(to, &frame);
        if let Some(member) = &mut self.member {
            member.overhear(&frame);
        }
        let Some(link) = self.links.get(&(from, to)).copied() else {
            return;
        };
        if !link.up {
            // A one-way cut: frames are lost until a timeout ends the session.
            self.count("fault:lost-one-way");
            let timeout = 1000 + self.rng.below(9000);
            self.schedule(timeout, Event::CloseSession { at: from, session });
            return;
        }
        if self.rng.chance(link.loss_percent) {
            self.count("fault:drop");
            let timeout = 1000 + self.rng.below(8000);
            self.schedule(timeout, Event::CloseSession { at: from, session });
            return;
        }
        let mut arrives = self.now + link.delay + (frame.len() as u64) / 2000;
        if self.rng.chance(link.reorder_percent) {
            self.count("fault:reorder");
            arrives += 5 + self.rng.below(200);
        } else {
            arrives = arrives.max(self.arrives.get(&(to, far)).copied().unwrap_or(0) + 1);
            self.arrives.insert((to, far), arrives);
        }
        let after = arrives - self.now;
        if self.rng.chance(link.duplicate_percent) {
            self.count("fault:duplicate");
            self.schedule(after + 1, Event::Frame { to, session: far, frame: frame.clone() });
        }
        let frame = self.corrupt(frame);
        self.schedule(after, Event::Frame { to, session: far, frame });
    }

    pub(super) fn deliver(&mut self, to: usize, session: u64, frame: &[u8]) {
        if !self.ends.contains_key(&(to, session)) {
            return;
        }
        let now = self.clock(to);
        let outputs = self.sites[to].replica_mut().map(|replica| replica.received(now, session, frame));
        self.handle_outputs(to, outputs);
    }

    /// No byte of a scope may travel to a site that lacks it (I8).
    fn check_canary(&mut self, to: usize, frame: &[u8]) {
        let lacks = self.sites.get(to).is_none_or(|site| !holds(&self.options, site.place, HR));
        if lacks && decompressed(frame).is_some_and(|bytes| contains(&bytes, CANARY)) {
            self.fail(format!("a frame to instance {to} holds content of a scope that it lacks"));
        }
    }

    /// R20: where one member speaks raw frames and nobody's are changed on their way, nobody else is blamed.
    fn check_blame(&mut self, at: usize, alarm: &Alarm) {
        if let (Alarm::Refused(peer, code), true) = (alarm, self.options.hostile_member) {
            match self.sites.iter().any(|site| site.key.public() == *peer) {
                true => self.fail(format!("instance {at} blames the honest site {} for {code}", peer.short())),
                false => self.count(&format!("member:blamed-for-{code}")),
            }
        }
    }
}

/// The content of a frame, decompressed; `None`: it is damaged.
pub(super) fn decompressed(frame: &[u8]) -> Option<Vec<u8>> {
    match frame.split_first()? {
        (0, content) => Some(content.to_vec()),
        (_, content) => zstd::bulk::decompress(content, 16 << 20).ok(),
    }
}

/// Whether the bytes contain the text.
pub(super) fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
