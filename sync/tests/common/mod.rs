//! A few replicas in memory that talk when told to: disks that can be copied, clocks turned by hand.

#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]

pub mod member;
pub mod raw;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use schema::author::Author;
use schema::authority::{
    AuthorityRef, Body, Grant, Role, ScopeSelector, Signed, SiteEntry, SiteSelector, Standing, UserEntry,
};
use schema::doc::{DocKind, Edits, Value, View};
use schema::id::{DocId, GenerationId, ScopeId, SiteId, StoreId, StructureId, UserId, scope_of};
use schema::identity::{Secret, organisation};
use schema::record::CommandName;
use schema::sealing::SealingSecret;
use schema::time::{Hlc, Timestamp};
use sync::replica::{Alarm, Command, Output, Replica, Start, WriteError, Written};
use sync::store::Store;

pub const NOW: Timestamp = Timestamp(1_800_000_000_000);
/// The structure whose tickets all sites hold.
pub const IT: StructureId = StructureId([1; 16]);
/// An admin for whom every site speaks.
pub const ANA: UserId = UserId([7; 16]);

/// A disk in memory. A clone is a copy of what it holds now.
#[derive(Debug, Default)]
pub struct Disk(Arc<Mutex<Vec<u8>>>);

impl Clone for Disk {
    fn clone(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().unwrap().clone())))
    }
}

impl Disk {
    /// A store that works on it.
    pub fn store(&self) -> Store {
        Store::open_on(Opened(self.0.clone())).unwrap()
    }

    /// What it holds now.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

/// The same disk, for the store that works on it.
#[derive(Debug)]
struct Opened(Arc<Mutex<Vec<u8>>>);

impl redb::StorageBackend for Opened {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        let bytes = self.0.lock().unwrap();
        out.copy_from_slice(&bytes[offset as usize..offset as usize + out.len()]);
        Ok(())
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }
    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.lock().unwrap()[offset as usize..offset as usize + data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// The key of a site.
pub fn key(site: usize) -> Secret {
    Secret::from_bytes([10 + site as u8; 32])
}

/// The sequencer's key, which the first site has.
pub fn sequencer() -> Secret {
    Secret::from_bytes([2; 32])
}

/// The organisation's root key.
pub fn root() -> Secret {
    Secret::from_bytes([1; 32])
}

/// A site that holds everything.
pub fn site_entry(site: usize) -> SiteEntry {
    SiteEntry {
        site: key(site).public(),
        code: format!("S{site}"),
        name: format!("Site {site}"),
        standing: Standing::Active,
        structure: Some(IT),
        holds: vec![ScopeSelector::All],
        enrols: vec![ScopeSelector::All],
        sealing: Some(SealingSecret::of(&key(site)).public()),
    }
}

/// Signs statements from the first position on.
pub fn sign(bodies: &[Body]) -> Vec<Signed> {
    let org = organisation(&root().public());
    let mut previous = [0; 32];
    let mut signed = Vec::new();
    for (position, body) in bodies.iter().enumerate() {
        let at = AuthorityRef { epoch: 1, position: position as u64 };
        let signer = if position == 0 { root() } else { sequencer() };
        let statement = Signed::new(org, at, previous, Hlc(1 + position as u64), body, &signer);
        previous = statement.statement.hash();
        signed.push(statement);
    }
    signed
}

/// What an organisation of so many sites begins with.
pub fn founding(sites: usize) -> Vec<Body> {
    let mut bodies = vec![
        Body::Genesis { name: "Test".into(), root: root().public(), sequencer: sequencer().public() },
        Body::Structure { structure: IT, name: "IT".into(), parent: None },
    ];
    bodies.extend((0..sites).map(|site| Body::Site(site_entry(site))));
    bodies.push(Body::User(UserEntry {
        user: ANA,
        login: "ana".into(),
        grants: vec![Grant { structure: None, role: Role::Admin }],
        sites: vec![SiteSelector::All],
        standing: Standing::Active,
    }));
    bodies
}

/// Opens a replica on a disk.
pub fn open(site: usize, disk: &Disk, generation: u8, now: Timestamp) -> Replica {
    let mut drawn = 0;
    let draw = move || {
        let mut bytes = [generation; 16];
        // The first is the one asked for; what is drawn after a fork is another.
        bytes[1..3].iter_mut().for_each(|byte| *byte = byte.wrapping_add(drawn));
        drawn = u8::wrapping_add(drawn, 101);
        Some(GenerationId(bytes))
    };
    let start = Start {
        key: key(site),
        sequencer: (site == 0).then(sequencer),
        draw: Box::new(draw),
        store_id: StoreId([generation; 16]),
        copied: false,
        now,
    };
    Replica::open(disk.store(), start).unwrap()
}

/// Sites, their disks, and what happened.
pub struct Fleet {
    pub sites: Vec<Replica>,
    pub disks: Vec<Disk>,
    pub now: Timestamp,
    /// Bytes of all frames.
    pub sent: usize,
    pub alarms: Vec<(usize, Alarm)>,
    /// Sessions that a site ended, and why.
    pub closed: Vec<(usize, &'static str)>,
    /// Every frame that was sent, if somebody listens.
    pub tapped: Option<Vec<Vec<u8>>>,
    sessions: u64,
    generations: u8,
}

impl Fleet {
    /// So many sites, each with its own generation from 1 on, that have not met.
    pub fn new(count: usize) -> Self {
        let signed = sign(&founding(count));
        let disks: Vec<Disk> = (0..count).map(|_| Disk::default()).collect();
        let site = |(site, disk): (usize, &Disk)| {
            let mut replica = open(site, disk, site as u8 + 1, NOW);
            replica.bootstrap(NOW, signed.clone()).unwrap();
            replica
        };
        Self {
            sites: disks.iter().enumerate().map(site).collect(),
            disks,
            now: NOW,
            sent: 0,
            alarms: Vec::new(),
            closed: Vec::new(),
            tapped: None,
            sessions: 0,
            generations: count as u8,
        }
    }

    /// The scope of the tickets.
    pub fn scope(&self) -> ScopeId {
        scope_of(&self.sites[0].policy().unwrap().org, Some(&IT))
    }

    /// Ends a site's process and starts it again, on this disk or its own.
    pub fn restart(&mut self, site: usize, disk: Option<Disk>) {
        self.generations += 1;
        let generation = self.generations;
        self.reopen(site, disk, generation);
    }

    /// Puts a site back to what this copy of its disk holds, with its memory: it goes on in the same generation.
    pub fn set_back(&mut self, site: usize, disk: Disk) {
        let generation = self.sites[site].generation().0[0];
        self.reopen(site, Some(disk), generation);
    }

    fn reopen(&mut self, site: usize, disk: Option<Disk>, generation: u8) {
        let disk = disk.unwrap_or_else(|| Disk(self.disks[site].0.clone()));
        // The process that ends must let go of the disk before the next one takes it.
        let spare = Disk::default();
        self.sites[site] = open(site, &spare, generation, self.now);
        self.sites[site] = open(site, &disk, generation, self.now);
        self.disks[site] = disk;
        while self.sites[site].catch_up(self.now).unwrap() {}
    }

    /// Opens a ticket at a site.
    pub fn ticket(&mut self, site: usize, title: &str) -> DocId {
        let mut edits = Edits::default();
        edits.put("title", Value::Text(title.into()));
        edits.put("structure", Value::Text(IT.to_string()));
        edits.texts.insert("description".into(), "Il fait noir.".into());
        self.write(site, |command| command.create(DocKind::Ticket, None, &edits).map(|_| ())).unwrap().docs[0]
    }

    /// Sets a field at a site.
    pub fn put(&mut self, site: usize, doc: DocId, key: &str, value: &str) {
        self.try_put(site, doc, key, value).unwrap();
    }

    /// As [`Fleet::put`], where it may be refused.
    pub fn try_put(&mut self, site: usize, doc: DocId, key: &str, value: &str) -> Result<Written, WriteError> {
        let mut edits = Edits::default();
        edits.put(key, Value::Text(value.into()));
        self.write(site, |command| command.edit(doc, &edits).map(|_| ()))
    }

    /// Runs a command of Ana's in the tickets' scope.
    pub fn write(
        &mut self,
        site: usize,
        work: impl FnOnce(&mut Command<'_, '_, '_>) -> Result<(), WriteError>,
    ) -> Result<Written, WriteError> {
        let (scope, now) = (self.scope(), self.now);
        let (written, _) = self.sites[site]
            .write(now, |batch| Ok(batch.command(Author::User(ANA), CommandName::Place, scope, work)))
            .unwrap();
        written
    }

    /// A document as a site shows it.
    pub fn view(&self, site: usize, doc: &DocId) -> Option<View> {
        sync::docs::view::view(&self.sites[site].read().unwrap(), doc).unwrap()
    }

    /// Connects two sites, lets them talk for 20 seconds, and parts them.
    pub fn meet(&mut self, a: usize, b: usize) {
        self.sessions += 1;
        let session = self.sessions;
        let other = |site: usize| if site == a { b } else { a };
        let mut queue: VecDeque<(usize, Output)> = VecDeque::new();
        let mut ended = [false; 2];
        for site in [a, b] {
            let peer = self.sites[other(site)].me();
            let outputs = self.sites[site].connected(self.now, session, peer).unwrap();
            queue.extend(outputs.into_iter().map(|output| (site, output)));
        }
        for _ in 0..40 {
            while let Some((from, output)) = queue.pop_front() {
                match output {
                    Output::Send(session, frame) => {
                        self.sent += frame.len();
                        if let Some(tapped) = &mut self.tapped {
                            tapped.push(frame.clone());
                        }
                        if ended[usize::from(other(from) == b)] {
                            continue;
                        }
                        let outputs = self.sites[other(from)].received(self.now, session, &frame).unwrap();
                        queue.extend(outputs.into_iter().map(|output| (other(from), output)));
                    }
                    Output::Close(_, code) => {
                        self.closed.push((from, code));
                        ended[usize::from(from == b)] = true;
                    }
                    Output::Alarm(alarm) => self.alarms.push((from, alarm)),
                    Output::Authority => {}
                }
            }
            self.pass(&[a, b], 500, &mut queue);
        }
        for site in [a, b] {
            self.sites[site].closed(self.now, session).unwrap();
        }
    }

    /// Lets two sites talk for so many seconds, or until one of them ends the session. Answers with what they told people,
    /// and why they parted.
    pub fn talk(&mut self, [a, b]: [usize; 2], seconds: u64) -> Vec<(usize, Output)> {
        self.sessions += 1;
        let (session, mut told) = (self.sessions, Vec::new());
        let mut queue: VecDeque<(usize, Output)> = VecDeque::new();
        for (site, other) in [(a, b), (b, a)] {
            let peer = self.sites[other].me();
            let outputs = self.sites[site].connected(self.now, session, peer).unwrap();
            queue.extend(outputs.into_iter().map(|output| (site, output)));
        }
        for _ in 0..2 * seconds {
            while let Some((from, output)) = queue.pop_front() {
                let other = if from == a { b } else { a };
                match output {
                    Output::Send(_, frame) => {
                        let outputs = self.sites[other].received(self.now, session, &frame).unwrap();
                        queue.extend(outputs.into_iter().map(|output| (other, output)));
                    }
                    Output::Authority => {}
                    output => told.push((from, output)),
                }
            }
            if told.iter().any(|(_, output)| matches!(output, Output::Close(..))) {
                break;
            }
            self.pass(&[a, b], 500, &mut queue);
        }
        for site in [a, b] {
            self.sites[site].closed(self.now, session).unwrap();
        }
        told
    }

    fn pass(&mut self, sites: &[usize], ms: u64, queue: &mut VecDeque<(usize, Output)>) {
        self.now = Timestamp(self.now.0 + ms);
        for site in sites {
            while self.sites[*site].catch_up(self.now).unwrap() {}
            let outputs = self.sites[*site].tick(self.now).unwrap();
            queue.extend(outputs.into_iter().map(|output| (*site, output)));
        }
    }

    /// Lets every site meet every other, until nothing more can be new.
    pub fn meet_all(&mut self) {
        for _ in 0..2 {
            for a in 0..self.sites.len() {
                for b in 0..a {
                    self.meet(a, b);
                }
            }
        }
    }

    /// All sites hold the same records and show the same documents.
    pub fn agree(&self) {
        self.agree_on(&(0..self.sites.len()).collect::<Vec<_>>());
    }

    /// As [`Fleet::agree`], of these sites.
    pub fn agree_on(&self, sites: &[usize]) {
        let scope = self.scope();
        let index = |site: usize| self.sites[site].store().log_index();
        let first = sites[0];
        for site in sites.iter().copied() {
            assert_eq!(index(first).vector(&scope), index(site).vector(&scope), "equal records at {first} and {site}");
            let digests = [first, site].map(|site| index(site).scope(&scope).digest);
            assert_eq!(digests[0], digests[1], "equal documents at {first} and {site}");
            assert_eq!(self.sites[site].backlog(), 0, "everything is materialised");
        }
    }

    /// Nobody was blamed and no session was ended.
    pub fn calm(&self) {
        assert!(self.alarms.is_empty() && self.closed.is_empty(), "{:?} {:?}", self.alarms, self.closed);
    }

    /// The site behind a key.
    pub fn id(&self, site: usize) -> SiteId {
        key(site).public()
    }
}
