//! One instance of a site, and how the world drives it.

use node::commands::Numbers;
use node::views::{Views, query};
use schema::id::{GenerationId, StoreId};
use schema::identity::Secret;
use schema::time::Timestamp;
use sync::replica::{Output, Replica, Start};
use sync::store::Store;

use super::{CANARY, Happening, MAX_DISK, TICK, World};
use crate::disk::SimDisk;

/// An instance of a site: a disk, and a process while it runs.
pub struct SimSite {
    /// Which place it belongs to.
    pub place: usize,
    /// The place's key.
    pub key: Secret,
    /// Its disk.
    pub disk: SimDisk,
    /// How far its clock is off, in milliseconds.
    pub skew: i64,
    /// An older copy of the disk, to restore from, and how many commands were answered by then.
    pub backup: Option<(Vec<u8>, usize)>,
    /// Whether it is a copy of another instance.
    pub is_clone: bool,
    /// Whether its disk was ever a copy: it marks its numbers from then on.
    pub copied: bool,
    /// Starts so far.
    pub lives: u64,
    process: Option<Process>,
}

struct Process {
    replica: Replica,
    views: Views,
    numbers: Numbers,
}

impl SimSite {
    /// An instance on an empty disk, not running.
    pub fn new(place: usize, key: Secret) -> Self {
        let disk = SimDisk::default();
        Self { place, key, disk, skew: 0, backup: None, is_clone: false, copied: false, lives: 0, process: None }
    }

    /// Whether its process runs.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }
    /// Its replica, while it runs.
    pub fn replica(&self) -> Option<&Replica> {
        self.process.as_ref().map(|process| &process.replica)
    }
    /// Its replica, to change it.
    pub fn replica_mut(&mut self) -> Option<&mut Replica> {
        self.process.as_mut().map(|process| &mut process.replica)
    }
    /// Its read model.
    pub fn views(&self) -> Option<&Views> {
        self.process.as_ref().map(|process| &process.views)
    }
    /// Its read model, to rebuild it.
    pub fn replica_and_views(&mut self) -> Option<(&mut Replica, &mut Views)> {
        self.process.as_mut().map(|process| (&mut process.replica, &mut process.views))
    }
    /// Its replica and numbers.
    pub fn replica_and_numbers(&mut self) -> Option<(&mut Replica, &mut Numbers)> {
        self.process.as_mut().map(|process| (&mut process.replica, &mut process.numbers))
    }
    /// Ends its process without a word.
    pub fn kill(&mut self) {
        self.process = None;
    }
}

impl World {
    /// What time an instance thinks it is.
    pub(super) fn clock(&self, at: usize) -> Timestamp {
        Timestamp(self.now.saturating_add_signed(self.sites[at].skew))
    }

    /// Starts an instance on its disk; `copied` if the disk is a copy of another.
    pub(super) fn start(&mut self, at: usize, copied: bool) {
        let generation = GenerationId(self.rng.bytes());
        self.sites[at].copied |= copied;
        let marked = self.sites[at].copied.then_some(generation);
        let start = Start {
            key: self.sites[at].key.clone(),
            sequencer: (self.sites[at].place == 0 && !self.sites[at].is_clone).then(|| self.sequencer.clone()),
            generation,
            store_id: StoreId(self.rng.bytes()),
            copied,
            now: self.clock(at),
        };
        let statements = self.statements.clone();
        let now = self.clock(at);
        let opened = (|| -> anyhow::Result<Process> {
            let store = Store::open_on(self.sites[at].disk.clone())?;
            let mut replica = Replica::open(store, start)?;
            if replica.policy().is_none() {
                replica.found(statements)?;
            }
            let mut views = Views::in_memory()?;
            while replica.catch_up(now)? {}
            replica.take_changed();
            let shown = views.catch_up(&replica.read()?, replica.store().local())?;
            replica.shown(shown);
            let highest = query::highest_number(views.conn(), &format!("S{}", self.sites[at].place))?;
            let numbers = Numbers::new(highest, marked);
            Ok(Process { replica, views, numbers })
        })();
        match opened {
            Ok(process) => {
                let site = &mut self.sites[at];
                site.process = Some(process);
                site.lives += 1;
                let life = site.lives;
                self.at(TICK, Happening::Tick(at, life));
                for other in 0..self.sites.len() {
                    if self.sites[other].place != self.sites[at].place {
                        self.at(20, Happening::Dial(at, other));
                    }
                }
            }
            Err(error) => self.fail(format!("instance {at} does not start on its disk: {error:#}")),
        }
    }

    pub(super) fn tick(&mut self, at: usize, life: u64) {
        if self.sites[at].lives != life || !self.sites[at].is_running() {
            return;
        }
        let now = self.clock(at);
        let outputs = self.sites[at].replica_mut().map(|replica| replica.tick(now));
        self.take(at, outputs);
        if self.sites[at].disk.size() > MAX_DISK {
            self.fail(format!("instance {at} takes more disk than it may"));
        }
        self.at(TICK, Happening::Tick(at, life));
    }

    /// Takes what a replica wants done, after letting it catch up and show.
    pub(super) fn take<E: std::fmt::Display>(&mut self, at: usize, outputs: Option<Result<Vec<Output>, E>>) {
        match outputs {
            None => {}
            Some(Ok(outputs)) => {
                self.carry(at, outputs);
                self.show(at);
            }
            Some(Err(error)) => self.fail(format!("instance {at} cannot go on: {error}")),
        }
    }

    fn show(&mut self, at: usize) {
        let now = self.clock(at);
        let Some((replica, views)) = self.sites[at].replica_and_views() else {
            return;
        };
        let shown = (|| -> anyhow::Result<Vec<Output>> {
            while replica.catch_up(now)? {}
            let changed = replica.take_changed();
            if !changed.is_empty() {
                views.apply(&replica.read()?, &changed, replica.store().local())?;
                replica.shown(changed.iter().map(|changed| changed.doc));
            }
            Ok(replica.take_outputs())
        })();
        match shown {
            Ok(outputs) => self.carry(at, outputs),
            Err(error) => self.fail(format!("instance {at} cannot show what arrived: {error:#}")),
        }
    }

    fn carry(&mut self, at: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send(session, frame) => self.transmit(at, session, frame),
                Output::Close(session, code) => {
                    self.count(&format!("close:{code}"));
                    // What was sent before is delivered first.
                    self.at(5, Happening::Hangup { at, session });
                }
                Output::Alarm(alarm) => self.count(&format!("alarm:{}", alarm.code())),
                Output::Authority => {}
            }
        }
    }

    /// Connects two instances if their cables are whole and they have no session.
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
                self.take(at, outputs);
            }
        }
        if a > b {
            let pause = 300 + self.rng.below(700);
            self.at(pause, Happening::Dial(a, b));
        }
    }

    /// Ends a session at both ends.
    pub(super) fn hang_up(&mut self, at: usize, session: u64) {
        let Some((other, far)) = self.ends.remove(&(at, session)) else {
            return;
        };
        self.ends.remove(&(other, far));
        for (at, session) in [(at, session), (other, far)] {
            self.arrives.remove(&(at, session));
            let now = self.clock(at);
            let outputs = self.sites[at].replica_mut().map(|replica| replica.closed(now, session));
            self.take(at, outputs);
        }
    }

    /// Ends all sessions of an instance, or between two.
    pub(super) fn hang_up_all(&mut self, at: usize, with: Option<usize>) {
        let sessions: Vec<u64> = self
            .ends
            .iter()
            .filter(|((from, _), (to, _))| *from == at && with.is_none_or(|with| *to == with))
            .map(|((_, session), _)| *session)
            .collect();
        for session in sessions {
            self.hang_up(at, session);
        }
    }

    fn transmit(&mut self, from: usize, session: u64, frame: Vec<u8>) {
        let Some((to, far)) = self.ends.get(&(from, session)).copied() else {
            return;
        };
        let Some(cable) = self.cables.get(&(from, to)).copied() else {
            return;
        };
        self.look_for_canaries(to, &frame);
        if !cable.up {
            // A one-way cut: packets vanish until somebody notices the silence.
            self.count("fault:lost-one-way");
            let patience = 1000 + self.rng.below(9000);
            self.at(patience, Happening::Hangup { at: from, session });
            return;
        }
        if self.rng.chance(cable.loss) {
            self.count("fault:drop");
            let patience = 1000 + self.rng.below(8000);
            self.at(patience, Happening::Hangup { at: from, session });
            return;
        }
        let mut arrives = self.now + cable.delay + (frame.len() as u64) / 2000;
        if self.rng.chance(cable.swaps) {
            self.count("fault:reorder");
            arrives += 5 + self.rng.below(200);
        } else {
            arrives = arrives.max(self.arrives.get(&(to, far)).copied().unwrap_or(0) + 1);
            self.arrives.insert((to, far), arrives);
        }
        let after = arrives - self.now;
        if self.rng.chance(cable.doubles) {
            self.count("fault:duplicate");
            self.at(after + 1, Happening::Frame { to, session: far, frame: frame.clone() });
        }
        let frame = self.corrupt(frame);
        self.at(after, Happening::Frame { to, session: far, frame });
    }

    pub(super) fn deliver(&mut self, to: usize, session: u64, frame: &[u8]) {
        if !self.ends.contains_key(&(to, session)) {
            return;
        }
        let now = self.clock(to);
        let outputs = self.sites[to].replica_mut().map(|replica| replica.received(now, session, frame));
        self.take(to, outputs);
    }

    /// No byte of a scope may travel to a site that lacks it (I8).
    fn look_for_canaries(&mut self, to: usize, frame: &[u8]) {
        if self.sites[to].place + 1 == self.options.sites && opened(frame).is_some_and(|bytes| contains(&bytes, CANARY))
        {
            self.fail(format!("a frame to instance {to} holds content of a scope that it lacks"));
        }
    }
}

/// A frame's content, opened.
pub(super) fn opened(frame: &[u8]) -> Option<Vec<u8>> {
    match frame.split_first()? {
        (0, content) => Some(content.to_vec()),
        (_, content) => zstd::bulk::decompress(content, 16 << 20).ok(),
    }
}

/// Whether the text stands somewhere in the bytes.
pub(super) fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
