//! Two honest sites hear a history: each its own parts of it, in its own order, while they edit, meet, restart, are rebuilt
//! and hear that the key is revoked. Then they meet until they hold the same, and everything they hold and show has to be
//! the same, also when it is made anew from the records.

use schema::authority::{Body, Cut};
use schema::id::DocId;
use sync::replica::Alarm;

use super::changes::Changes;
use super::common::Fleet;
use super::common::member::Member;
use super::draws::Draws;
use super::plan::Plan;
use super::saying::{Frame, frames};
use super::state::{Names, State, lacking, records, told};
use super::{DAKAR, HONEST, KEYS, LYON, NAMES, OSLO, PARIS};

/// Plays the history of a seed. Answers with what is wrong in the end; what happened goes to the log.
pub fn hear(seed: u64, log: &mut Vec<String>) -> Vec<String> {
    let mut draws = Draws::of(seed);
    let mut fleet = Fleet::new(4);
    let count = 1 + draws.below(3);
    let docs: Vec<DocId> = (0..count).map(|number| fleet.ticket(PARIS, &format!("t{number}"))).collect();
    fleet.meet(PARIS, LYON);
    let born = docs.iter().map(|doc| sync::docs::load(&fleet.sites[PARIS].read().unwrap(), doc).unwrap()).collect();
    let changes = Changes { docs: docs.clone(), born, made: Vec::new() };
    let (mut dakar, mut oslo) = (Member::of(&fleet, DAKAR), Member::of(&fleet, OSLO));
    let plan = Plan::drawn(&mut draws, changes, &mut dakar, &mut oslo);
    log.extend(plan.log.iter().cloned());
    let left_out = draws.one(&[0, 0, 15]);
    let revoked = draws.chance(55);
    let mut said: Vec<(usize, Frame)> = Vec::new();
    for site in HONEST {
        let mut all = frames(&mut draws, &plan, &dakar, &oslo, left_out);
        all.extend(frames(&mut draws, &plan, &dakar, &oslo, 0));
        let kept = draws.one(&[30, 60, 90]);
        all.retain(|_| draws.chance(kept));
        draws.shuffle(&mut all);
        said.extend(all.into_iter().map(|frame| (site, frame)));
    }
    draws.shuffle(&mut said);
    let revoked_at = revoked.then(|| draws.below(said.len().max(1)));
    let mut hearing = Hearing { draws, fleet, docs, names: plan.names(), revoked: false, log };
    hearing.all(said, revoked_at);
    hearing.faults()
}

/// Two sites while they hear.
struct Hearing<'a> {
    draws: Draws,
    fleet: Fleet,
    docs: Vec<DocId>,
    names: Names,
    /// Whether the key is revoked by now.
    revoked: bool,
    log: &'a mut Vec<String>,
}

impl Hearing<'_> {
    /// Lets each site hear what is said to it, and something else happen in between.
    fn all(&mut self, said: Vec<(usize, Frame)>, revoked_at: Option<usize>) {
        let mut courier = Member::of(&self.fleet, OSLO);
        for (step, (site, frame)) in said.into_iter().enumerate() {
            let now = self.fleet.now;
            self.fleet.now.0 += 50;
            let (_, closed) = courier.visit(&mut self.fleet.sites[site], now, &[frame.bytes]);
            self.log.push(format!("{} hears {}: {closed:?}", NAMES[site], frame.what));
            if revoked_at == Some(step) {
                self.revoke(now);
            }
            if self.revoked && self.draws.chance(10) {
                let news = self.fleet.sites[PARIS].statements(0).unwrap();
                self.fleet.sites[LYON].bootstrap(now, news).unwrap();
                while self.fleet.sites[LYON].catch_up(now).unwrap() {}
                self.log.push("LYON hears the statements".into());
            }
            self.between(step);
        }
    }

    /// PARIS revokes the key: with the cut that it would choose, or one at any record that it holds.
    fn revoke(&mut self, now: schema::time::Timestamp) {
        let dakar = self.fleet.id(DAKAR);
        let cuts = if self.draws.chance(60) {
            self.fleet.sites[PARIS].cuts_of(&dakar, None).unwrap()
        } else {
            let held = records(&self.fleet, PARIS).into_iter().map(|record| record.header);
            let held: Vec<Cut> = held
                .filter(|header| header.log.site == dakar)
                .map(|header| Cut {
                    scope: header.log.scope,
                    generation: header.log.generation,
                    seq: header.seq,
                    hash: header.hash(),
                })
                .collect();
            if held.is_empty() { Vec::new() } else { vec![self.draws.one(&held)] }
        };
        let at: Vec<String> = cuts.iter().map(|cut| self.names.hash(&cut.hash)).collect();
        self.fleet.sites[PARIS].trust_authority();
        let said = self.fleet.sites[PARIS].say(now, &Body::Revoke { site: dakar, cuts });
        self.log.push(format!("PARIS revokes with a cut at {at:?}: {said:?}"));
        if said.is_ok() {
            self.revoked = true;
            while self.fleet.sites[PARIS].catch_up(now).unwrap() {}
        }
    }

    /// Now and then a site edits, restarts or is rebuilt, or the two meet.
    fn between(&mut self, step: usize) {
        match self.draws.below(100) {
            0..=7 => {
                let (site, doc) = (self.draws.below(2), self.draws.below(self.docs.len()));
                let key = self.draws.one(&KEYS);
                let edited = self.fleet.try_put(site, self.docs[doc], key, &format!("h{step}"));
                self.log.push(format!("{} edits {doc}: {:?}", NAMES[site], edited.err()));
            }
            8..=10 => {
                let site = self.draws.below(2);
                self.fleet.restart(site, None);
                self.log.push(format!("{} restarts", NAMES[site]));
            }
            11..=12 => {
                let site = self.draws.below(2);
                self.fleet.sites[site].rebuild(self.fleet.now).unwrap();
                self.log.push(format!("{} is rebuilt", NAMES[site]));
            }
            13..=15 => {
                self.fleet.meet(PARIS, LYON);
                self.log.push("they meet".into());
            }
            _ => {}
        }
    }

    fn equal_vectors(&self) -> bool {
        let vector = |site: usize| self.fleet.sites[site].store().log_index().vector(&self.fleet.scope());
        vector(PARIS) == vector(LYON)
    }

    fn equal_digests(&self) -> bool {
        let digest = |site: usize| self.fleet.sites[site].store().log_index().scope(&self.fleet.scope()).digest;
        digest(PARIS) == digest(LYON)
    }

    /// Lets the two meet until they hold the same, and then once more.
    fn meet(&mut self) {
        for round in 0..14 {
            self.fleet.meet(PARIS, LYON);
            self.fleet.now.0 += 61_000;
            if round > 0 && self.equal_vectors() {
                break;
            }
        }
        self.fleet.meet(PARIS, LYON);
    }

    fn state(&self, site: usize) -> State {
        State::of(&self.fleet, site, &self.docs, &self.names)
    }

    /// What is wrong after all.
    fn faults(&mut self) -> Vec<String> {
        self.meet();
        let mut faults = Vec::new();
        if !self.equal_vectors() {
            faults.push(format!("the vectors differ: {}", lacking(&self.fleet, &self.names)));
        }
        let [paris, lyon] = HONEST.map(|site| self.state(site));
        if !self.equal_digests() {
            faults.push("the digests differ".into());
        }
        if paris != lyon {
            faults.push(format!("the sites differ\n    {}", paris.difference(&lyon)));
        }
        faults.extend(paris.honest_without_effect());
        for (site, before) in [(PARIS, paris), (LYON, lyon)] {
            self.log.extend(told(&self.fleet, site, &self.names));
            self.fleet.sites[site].rebuild(self.fleet.now).unwrap();
            let rebuilt = self.state(site);
            if rebuilt != before {
                faults.push(format!("rebuilt {} differs\n    {}", NAMES[site], before.difference(&rebuilt)));
            }
        }
        for (site, alarm) in &self.fleet.alarms {
            if matches!(alarm, Alarm::Refused(..) | Alarm::Diverged(_)) {
                faults.push(format!("{} raises {alarm:?}", NAMES[*site]));
            }
        }
        faults.extend(self.fleet.closed.iter().map(|(site, code)| format!("{} ends a session: {code}", NAMES[*site])));
        faults
    }
}
