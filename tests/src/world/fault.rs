//! The faults of the simulation, and their repair.

use schema::authority::{Body, Grant, Role, Standing, UserEntry};
use schema::id::{DocId, SiteId};

use super::holdings::Holdings;
use super::site::{Backup, decompressed};
use super::{ADMIN, Event, World, requester};

impl World {
    pub(super) fn random_fault(&mut self) {
        match self.rng.below(18) {
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
            _ => self.change_authority(),
        }
    }

    fn random_link(&mut self) -> Option<(usize, usize)> {
        let links: Vec<(usize, usize)> = self.links.keys().copied().collect();
        if links.is_empty() { None } else { Some(*self.rng.pick(&links)) }
    }

    fn set_link(&mut self, a: usize, b: usize, up: bool) {
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

    /// A site is restored from its backup. The sequencer's site is never restored.
    fn restore(&mut self) {
        let at = self.rng.below(self.sites.len() as u64) as usize;
        let can = self.sites[at].is_running() && self.sites[at].place != 0;
        let Some(Backup { content, .. }) = self.sites[at].backup.take().filter(|_| can) else {
            return;
        };
        self.count("fault:restore");
        self.close_sessions(at, None);
        self.sites[at].kill();
        self.forget_what_only_this_disk_had(at, &content);
        self.sites[at].disk = crate::disk::SimDisk::with(content);
        self.start(at, true);
    }

    /// A machine is set back with its memory: its process goes on in the generation that it ran in then. The sequencer's
    /// site never is.
    fn set_back(&mut self) {
        let at = self.rng.below(self.sites.len() as u64) as usize;
        let can = self.sites[at].is_running() && self.sites[at].place != 0;
        let Some(Backup { content, generation }) = self.sites[at].backup.take().filter(|_| can) else {
            return;
        };
        self.count("fault:set-back");
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

    /// The key of a site is revoked at what the sequencer holds of it: once in a scenario, and of the last place.
    fn revoke(&mut self) {
        let place = self.options.sites - 1;
        if place < 2 || self.revoked.contains(&place) || !self.rng.chance(50) {
            return;
        }
        let (now, site) = (self.clock(0), self.sites[place].key.public());
        let Some(replica) = self.sites[0].replica_mut().filter(|replica| replica.may_say()) else {
            return;
        };
        let said = replica
            .cuts_of(&site, None)
            .map_err(|error| error.to_string())
            .and_then(|cuts| replica.say(now, &Body::Revoke { site, cuts }).map_err(|error| error.to_string()));
        match said {
            Ok(outputs) => {
                self.revoked.insert(place);
                self.count("fault:revoked");
                self.handle_outputs(0, Some(Ok::<_, String>(outputs)));
            }
            Err(error) => self.fail(format!("a key was not revoked: {error}")),
        }
    }

    /// Whose keys the first site revoked by itself, because their logs forked too often.
    pub(super) fn note_revoked(&mut self) {
        let Some(policy) = self.sites[0].replica().and_then(|replica| replica.policy()) else {
            return;
        };
        let is_revoked = |place: &usize| policy.revoked.contains_key(&self.sites[*place].key.public());
        let revoked: std::collections::BTreeSet<usize> = (0..self.options.sites).filter(is_revoked).collect();
        self.revoked = revoked;
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
        if clones > 0 || !original.is_running() || original.is_clone || original.place == 0 {
            return;
        }
        let mut copy = super::SimSite::new(original.place, original.key.clone());
        copy.disk = crate::disk::SimDisk::with(original.disk.content());
        copy.is_clone = true;
        self.count("fault:clone");
        self.sites.push(copy);
        let at = self.sites.len() - 1;
        for other in 0..at {
            if self.sites[other].place != self.sites[at].place {
                self.add_link(at, other);
            }
        }
        self.start(at, true);
    }

    fn skew_clock(&mut self) {
        let at = self.rng.below(self.sites.len() as u64) as usize;
        let skew = [0, 30_000, -30_000, 400_000, -3_600_000][self.rng.below(5) as usize];
        self.sites[at].skew = skew;
        self.count("fault:clock");
    }

    /// The authority log grows: a user is disabled or enabled; now and then an attempt to disable the last admin, which
    /// must be refused.
    fn change_authority(&mut self) {
        let now = self.clock(0);
        let place = self.rng.below(self.options.sites as u64) as usize;
        let last_admin = self.rng.chance(20);
        let standing = if self.rng.chance(50) { Standing::Ended } else { Standing::Active };
        let Some(replica) = self.sites[0].replica_mut() else {
            return;
        };
        let user = if last_admin { ADMIN } else { requester(place) };
        let standing = if last_admin { Standing::Ended } else { standing };
        let Some(entry) = replica.policy().and_then(|policy| policy.users.get(&user)) else {
            return;
        };
        let entry = UserEntry { standing, ..UserEntry::clone(entry) };
        let said = replica.say(now, &Body::User(entry));
        match said {
            Ok(_) if last_admin => self.fail("the last admin was disabled".into()),
            Ok(outputs) => {
                self.count("authority");
                self.handle_outputs(0, Some(Ok::<_, String>(outputs)));
            }
            Err(sync::replica::ReplicaError::Unheard) => self.count("authority:not-heard-yet"),
            Err(_) if last_admin => self.count("authority:last-admin-kept"),
            Err(error) => self.fail(format!("the sequencer's statement was refused: {error}")),
        }
    }

    /// Now and then a hostile peer flips a bit of what it sends. Encryption does not help: it is a member.
    pub(super) fn corrupt(&mut self, frame: Vec<u8>) -> Vec<u8> {
        if self.quiescent || frame.len() < 100 || !self.rng.chance(1) {
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
