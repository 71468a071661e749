//! The faults of the simulation, and their repair.

use schema::authority::{Grant, Role};
use schema::id::{DocId, SiteId};

use super::holdings::Holdings;
use super::site::{Backup, decompressed};
use super::{Event, World};

impl World {
    pub(super) fn random_fault(&mut self) {
        match self.rng.below(20) {
            0 | 1 => self.cut_one(),
            2 => self.cut_one_way(),
            3 => self.cut_all(),
            4 | 5 => self.mend_one(),
            6 => self.flap(),
            7 => self.degrade_link(),
            8 => self.crash(),
            9 | 15 => self.backup(),
            10 => self.restore(),
            11 => self.clone_site(),
            12 => self.skew_clock(),
            13 => self.set_back(),
            14 => self.revoke(),
            16 => self.join(),
            17 => self.hand_over(),
            _ => self.change_authority(),
        }
    }

    fn random_link(&mut self) -> Option<(usize, usize)> {
        let links: Vec<(usize, usize)> = self.links.keys().copied().collect();
        if links.is_empty() { None } else { Some(*self.rng.pick(&links)) }
    }

    pub(super) fn set_link(&mut self, a: usize, b: usize, up: bool) {
        for pair in [(a, b), (b, a)] {
            if let Some(link) = self.links.get_mut(&pair) {
                link.up = up;
            }
        }
        if !up {
            self.close_sessions(a, Some(b));
        }
    }

    fn cut_one(&mut self) {
        if let Some((a, b)) = self.random_link() {
            self.count("fault:cut");
            self.set_link(a, b, false);
        }
    }

    fn cut_one_way(&mut self) {
        if let Some((a, b)) = self.random_link()
            && let Some(link) = self.links.get_mut(&(a, b))
        {
            link.up = false;
            self.count("fault:one-way-cut");
        }
    }

    fn cut_all(&mut self) {
        self.count("fault:split");
        let links: Vec<(usize, usize)> = self.links.keys().copied().collect();
        for (a, b) in links {
            self.set_link(a, b, false);
        }
    }

    fn mend_one(&mut self) {
        if let Some((a, b)) = self.random_link() {
            self.count("fault:mend");
            self.set_link(a, b, true);
        }
    }

    fn flap(&mut self) {
        if let Some((a, b)) = self.random_link() {
            self.count("fault:flap");
            self.set_link(a, b, true);
            self.close_sessions(a, Some(b));
        }
    }

    /// A link becomes slow, or loses, duplicates or reorders frames.
    fn degrade_link(&mut self) {
        let (delay, loss_percent) = (self.rng.below(3000), self.rng.below(6));
        let (duplicate_percent, reorder_percent) = (self.rng.below(10), self.rng.below(6));
        if let Some((a, b)) = self.random_link()
            && let Some(link) = self.links.get_mut(&(a, b))
        {
            (link.delay, link.loss_percent, link.duplicate_percent, link.reorder_percent) =
                (delay, loss_percent, duplicate_percent, reorder_percent);
            self.count("fault:rough");
            if delay > 500 {
                self.count("fault:slow");
            }
        }
    }

    /// The power is cut: the process is gone, and what was not synced may be lost.
    fn crash(&mut self) {
        let at = self.rng.below(self.sites.len() as u64) as usize;
        if !self.sites[at].is_running() {
            return;
        }
        self.count("fault:crash");
        self.close_sessions(at, None);
        let disk = self.sites[at].disk.clone().power_cut(&mut self.rng);
        self.sites[at].kill();
        self.sites[at].disk = disk;
        let pause = 100 + self.rng.below(4000);
        self.schedule(pause, Event::Start(at));
    }

    fn backup(&mut self) {
        let at = self.rng.below(self.sites.len() as u64) as usize;
        if self.sites[at].is_running() {
            self.count("fault:backup");
            // A copy of a running store: what is synced, as a power cut would leave it.
            let content = self.sites[at].disk.content();
            let generation = self.sites[at].replica().map(sync::replica::Replica::generation);
            self.sites[at].backup = generation.map(|generation| Backup { content, generation });
        }
    }

    /// A site is restored from its backup.
    fn restore(&mut self) {
        let at = self.rng.below(self.sites.len() as u64) as usize;
        let can = self.sites[at].is_running();
        let Some(Backup { content, .. }) = self.sites[at].backup.take().filter(|_| can) else {
            return;
        };
        self.count("fault:restore");
        self.note_lost_statements(at);
        self.close_sessions(at, None);
        self.sites[at].kill();
        self.forget_what_only_this_disk_had(at, &content);
        self.sites[at].disk = crate::disk::SimDisk::with(content);
        self.start(at, true);
    }

    /// What a sequencer said and nobody heard is lost with its disk.
    fn note_lost_statements(&mut self, at: usize) {
        let is_sequencer = self.sites[at].replica().is_some_and(sync::replica::Replica::is_sequencer);
        if is_sequencer {
            self.count("fault:sequencer-restored");
            self.statements_dropped = true;
        }
    }

    /// A machine is set back with its memory: its process goes on in the generation that it ran in then.
    fn set_back(&mut self) {
        let at = self.rng.below(self.sites.len() as u64) as usize;
        let can = self.sites[at].is_running();
        let Some(Backup { content, generation }) = self.sites[at].backup.take().filter(|_| can) else {
            return;
        };
        self.count("fault:set-back");
        self.note_lost_statements(at);
        self.set_back.insert(self.sites[at].place);
        self.close_sessions(at, None);
        self.sites[at].kill();
        self.forget_what_only_this_disk_had(at, &content);
        let lost = self.said_since(at, &content);
        self.sites[at].disk = crate::disk::SimDisk::with(content);
        self.start_in(at, false, generation);
        // Often nobody but one other hears of it for a while.
        if self.rng.chance(50) {
            let kept = self.rng.below(self.sites.len() as u64) as usize;
            (0..self.sites.len())
                .filter(|other| ![at, kept].contains(other))
                .for_each(|other| self.set_link(at, other, false));
        }
        // People see that what they wrote is gone, and write it again.
        for doc in lost {
            if self.rng.chance(50) {
                self.write_to(at, doc);
            }
        }
    }

    /// The tickets about which an instance was told something that this copy of its disk does not hold; the last few.
    fn said_since(&self, at: usize, content: &[u8]) -> Vec<DocId> {
        let Ok(kept) = sync::store::Store::open_on(crate::disk::SimDisk::with(content.to_vec())) else {
            return Vec::new();
        };
        let kept = Holdings::of(&kept);
        let said = self.acknowledged.values().rev().filter(|one| one.at == at && one.enrolled.is_none());
        said.filter(|one| kept.place_of(&one.record).is_none()).map(|one| one.doc).take(4).collect()
    }

    /// Commands whose records no other disk holds are lost with the disk: durability does not cover them.
    fn forget_what_only_this_disk_had(&mut self, at: usize, backup: &[u8]) {
        let kept = sync::store::Store::open_on(crate::disk::SimDisk::with(backup.to_vec()));
        let Ok(kept) = kept else {
            return;
        };
        let mut stores = vec![Holdings::of(&kept)];
        for (other, site) in self.sites.iter().enumerate() {
            if other == at {
                continue;
            }
            match site.replica() {
                Some(replica) => stores.push(Holdings::of(replica.store())),
                None => {
                    let copy = crate::disk::SimDisk::with(site.disk.content());
                    stores.extend(sync::store::Store::open_on(copy).ok().map(|store| Holdings::of(&store)));
                }
            }
        }
        let has = |record: &super::RecordAt| stores.iter().any(|held| held.place_of(record).is_some());
        let lost: Vec<usize> = self
            .acknowledged
            .iter()
            .filter(|(_, acknowledged)| !has(&acknowledged.record))
            .map(|(no, _)| *no)
            .collect();
        for no in lost {
            self.count("lost-with-its-only-disk");
            self.acknowledged.remove(&no);
            self.model.forget(no);
        }
    }

    /// A copy of a running site starts beside it.
    fn clone_site(&mut self) {
        let clones = self.sites.iter().filter(|site| site.is_clone).count();
        let at = self.rng.below(self.sites.len() as u64) as usize;
        let original = &self.sites[at];
        // What one place alone holds, its two copies would have nobody to tell through.
        let is_alone = original.place == 0 && self.options.sites == 2;
        if clones > 0 || !original.is_running() || original.is_clone || is_alone {
            return;
        }
        let mut copy = super::SimSite::new(original.place, original.key.clone(), original.founding.clone());
        copy.disk = crate::disk::SimDisk::with(original.disk.content());
        copy.is_clone = true;
        self.count("fault:clone");
        self.sites.push(copy);
        let at = self.sites.len() - 1;
        self.link_to_earlier(at);
        self.start(at, true);
    }

    fn skew_clock(&mut self) {
        let at = self.rng.below(self.sites.len() as u64) as usize;
        const YEAR: i64 = 31_536_000_000;
        let skew = [0, 30_000, -30_000, 400_000, -3_600_000, YEAR, -YEAR][self.rng.below(7) as usize];
        self.sites[at].skew = skew;
        self.count("fault:clock");
    }

    /// An instance is stopped and started, as after an update; before that somebody writes, so that it opens a log.
    pub(super) fn restart(&mut self, at: usize, left: u64) {
        if self.quiescent || left == 0 {
            return;
        }
        if self.sites[at].is_running() {
            self.write_something(at);
            self.count("fault:restart");
            self.close_sessions(at, None);
            self.sites[at].kill();
            self.start(at, false);
        }
        self.schedule(20, Event::Restart(at, left - 1));
    }

    /// Now and then a hostile peer flips a bit of what it sends. Encryption does not help: it is a member.
    pub(super) fn corrupt(&mut self, frame: Vec<u8>) -> Vec<u8> {
        // Where a member speaks raw frames nobody else does: then it is seen whom the honest sites blame.
        if self.quiescent || self.options.hostile_member || frame.len() < 100 || !self.rng.chance(1) {
            return frame;
        }
        let Some(mut content) = decompressed(&frame) else {
            return frame;
        };
        let at = self.rng.below(content.len() as u64) as usize;
        content[at] ^= 1 << self.rng.below(8);
        self.count("fault:corrupt");
        [&[0], content.as_slice()].concat()
    }

    /// Ends all faults: links up, clocks right, all sites running.
    pub(super) fn repair_everything(&mut self) {
        self.quiescent = true;
        for link in self.links.values_mut() {
            (link.up, link.delay, link.loss_percent, link.duplicate_percent, link.reorder_percent) = (true, 5, 0, 0, 0);
        }
        for at in 0..self.sites.len() {
            self.sites[at].skew = 0;
            if !self.sites[at].is_running() {
                self.start(at, false);
            }
        }
    }

    /// Grants of a plain user of `IT`, for enrolments.
    pub(super) fn grants() -> Vec<Grant> {
        vec![Grant { structure: Some(super::IT), role: Role::Technician }]
    }

    /// The public key of a place.
    pub(super) fn key_of(&self, at: usize) -> SiteId {
        self.sites[at].key.public()
    }
}
