//! The authority log of the scenario: what its sequencer says, a site that joins, and the root key where that fails.

use std::collections::BTreeSet;

use schema::authority::{AuthorityRef, Body, Signed, Standing, UserEntry};
use schema::identity::Secret;
use schema::policy::Policy;
use schema::time::Hlc;
use sync::replica::{Alarm, Output, Replica, ReplicaError};

use super::{ADMIN, SimSite, World, key, people_of, requester, site_entry};

impl World {
    /// The instance that keeps the authority log, if it runs. A copy of it has the key too; it is not the one that the
    /// admins go to.
    pub(super) fn sequencer(&self) -> Option<usize> {
        let is_it = |site: &SimSite| site.place == self.sequencer_at && !site.is_clone && site.is_running();
        self.sites.iter().position(is_it)
    }

    /// What an admin says at an instance; `None` if it was not said, and that is counted or a failure.
    fn say(&mut self, at: usize, body: &Body) -> Option<()> {
        let now = self.clock(at);
        match self.sites[at].replica_mut()?.say(now, body) {
            Ok(outputs) => {
                self.count("authority");
                self.statements_dropped |= Some(at) != self.sequencer();
                self.handle_outputs(at, Some(Ok::<Vec<Output>, String>(outputs)));
                Some(())
            }
            Err(ReplicaError::Unheard) => {
                self.count("authority:not-heard-yet");
                None
            }
            Err(error) => {
                self.fail(format!("the sequencer's statement was refused: {error}"));
                None
            }
        }
    }

    /// The authority log grows: a user is disabled or enabled; now and then an attempt to disable the last admin, which
    /// must be refused. Whoever holds the key may try, also a copy, or the site that lost it and has not heard so.
    pub(super) fn change_authority(&mut self) {
        let keepers: Vec<usize> =
            (0..self.sites.len()).filter(|at| self.sites[*at].replica().is_some_and(Replica::is_sequencer)).collect();
        if keepers.is_empty() {
            return;
        }
        let at = *self.rng.pick(&keepers);
        let place = self.rng.below(self.options.sites as u64) as usize;
        if self.rng.chance(20) {
            self.try_to_disable_the_last_admin(at);
            return;
        }
        let standing = if self.rng.chance(50) { Standing::Ended } else { Standing::Active };
        let policy = self.sites[at].replica().and_then(Replica::policy);
        let entry = policy.and_then(|policy| policy.users.get(&requester(place)));
        let body = entry.map(|entry| Body::User(UserEntry { standing, ..UserEntry::clone(entry) }));
        body.and_then(|body| self.say(at, &body));
    }

    fn try_to_disable_the_last_admin(&mut self, at: usize) {
        let now = self.clock(at);
        let policy = self.sites[at].replica().and_then(Replica::policy);
        let Some(entry) = policy.and_then(|policy| policy.users.get(&ADMIN)).map(|entry| UserEntry::clone(entry))
        else {
            return;
        };
        let said = |replica: &mut Replica| {
            replica.say(now, &Body::User(UserEntry { standing: Standing::Ended, ..entry })).map(|_| ())
        };
        match self.sites[at].replica_mut().map(said) {
            Some(Ok(())) => self.fail("the last admin was disabled".into()),
            Some(Err(ReplicaError::Unheard)) => self.count("authority:not-heard-yet"),
            Some(Err(_)) => self.count("authority:last-admin-kept"),
            None => {}
        }
    }

    /// The key of a site is revoked at what the sequencer holds of it: once in a scenario, and of the last place.
    pub(super) fn revoke(&mut self) {
        let place = self.options.sites - 1;
        let is_wanted = place >= 2 && place != self.sequencer_at && !self.revoked.contains(&place);
        if !is_wanted || !self.rng.chance(50) {
            return;
        }
        let Some(at) = self.sequencer() else {
            return;
        };
        let site = key(place).public();
        let Some(cuts) =
            self.sites[at].replica().filter(|replica| replica.may_say()).map(|one| one.cuts_of(&site, None))
        else {
            return;
        };
        match cuts {
            Ok(cuts) => {
                if self.say(at, &Body::Revoke { site, cuts }).is_some() {
                    self.revoked.insert(place);
                    self.count("fault:revoked");
                }
            }
            Err(error) => self.fail(format!("a key was not revoked: {error}")),
        }
    }

    /// Whose keys are revoked: by an admin, or by the sequencer itself because their logs forked too often.
    pub(super) fn note_revoked(&mut self) {
        let Some(policy) = self.sequencer().and_then(|at| self.sites[at].replica()?.policy()) else {
            return;
        };
        self.revoked = self.revoked_by(policy);
    }

    fn revoked_by(&self, policy: &Policy) -> BTreeSet<usize> {
        let is_revoked = |place: &usize| policy.revoked.contains_key(&self.public_keys[*place]);
        (0..self.public_keys.len()).filter(is_revoked).collect()
    }

    /// Whether an instance has heard that its own key is revoked, be it by a statement that stands no more elsewhere.
    pub(super) fn is_revoked_for(&self, at: usize) -> bool {
        let is_revoked =
            |replica: &Replica| replica.policy().is_some_and(|policy| policy.revoked.contains_key(&replica.me()));
        self.sites[at].replica().is_some_and(is_revoked)
    }

    /// A site joins while the others work; often only one of them can reach it, which has not heard of it yet.
    pub(super) fn join(&mut self) {
        let place = self.options.sites;
        let keeper = self.sequencer().filter(|at| self.sites[*at].replica().is_some_and(Replica::may_say));
        let Some(at) = keeper.filter(|_| self.joined.is_none()) else {
            return;
        };
        self.joined = Some(place);
        for body in self.bodies_of_joined() {
            if self.say(at, &body).is_none() {
                return;
            }
        }
        let statements = self.sites[at].replica().and_then(|replica| replica.statements(0).ok()).unwrap_or_default();
        self.count("fault:join");
        self.sites.push(SimSite::new(place, key(place), statements));
        let at = self.sites.len() - 1;
        self.start(at, false);
        self.link_to_earlier(at);
        let reached = self.rng.below(at as u64) as usize;
        if self.rng.chance(60) {
            (0..at).filter(|other| *other != reached).for_each(|other| self.set_link(at, other, false));
        }
    }

    fn bodies_of_joined(&self) -> Vec<Body> {
        let Some(place) = self.joined else {
            return Vec::new();
        };
        let site = Body::Site(site_entry(&self.options, place));
        std::iter::once(site).chain(people_of(place).map(Body::User)).collect()
    }

    /// The rules move to another site, by the root key, whether the one that kept them is reached or not. An admin goes
    /// to a site that knows who belongs to the organisation.
    pub(super) fn hand_over(&mut self) {
        let at = self.rng.below(self.sites.len() as u64) as usize;
        let site = &self.sites[at];
        let Some(replica) = site.replica() else {
            return;
        };
        let (Some((head, hash)), Some(policy)) = (replica.authority().head(), replica.policy()) else {
            return;
        };
        let revoked = self.revoked_by(policy);
        let knows_all = self.joined.is_none_or(|place| policy.users.contains_key(&requester(place)));
        let may = !site.is_clone && site.place != self.sequencer_at && revoked == self.revoked && knows_all;
        if may && head.epoch == self.epoch && self.epoch < 4 {
            self.count("fault:hand-over");
            self.take_over(at, head, hash);
        }
    }

    /// A site takes the authority log over behind this statement, under a key of its own.
    fn take_over(&mut self, at: usize, base: AuthorityRef, base_hash: [u8; 32]) {
        let sequencer = Secret::from_bytes(self.rng.bytes());
        let next = AuthorityRef { epoch: self.epoch + 1, position: base.position + 1 };
        let body = Body::HandOver { base, base_hash, sequencer: sequencer.public() };
        let now = self.clock(at);
        let signed = Signed::new(self.org, next, base_hash, Hlc::at(now), &body, &self.root);
        let is_at_base = |site: &SimSite| {
            let head = site.replica().and_then(|replica| replica.authority().head());
            head.is_some_and(|(at, hash)| at < base || hash == base_hash)
        };
        self.statements_dropped |= !self.sites.iter().all(is_at_base);
        let Some(replica) = self.sites[at].replica_mut() else {
            return;
        };
        replica.stand_by(sequencer.clone());
        match replica.hand_over(now, signed) {
            Ok(outputs) => {
                self.epoch += 1;
                self.sequencer_at = self.sites[at].place;
                self.sequencers.insert(self.sequencer_at, sequencer);
                self.handle_outputs(at, Some(Ok::<Vec<Output>, String>(outputs)));
                self.note_revoked();
            }
            Err(error) => self.fail(format!("instance {at} did not take the authority log over: {error}")),
        }
    }

    /// What admins do once every link is up and something is still wrong with the rules: the root ends a fork of them, and
    /// statements that only a lost disk knew; a sequencer that waits for somebody who knows more is told that nobody does.
    pub(super) fn settle_authority(&mut self) {
        let Some(at) = self.sequencer() else {
            return;
        };
        let is_forked = |site: &SimSite| {
            let mut alarms = site.replica().into_iter().flat_map(|replica| replica.alarms.keys());
            alarms.any(|alarm| matches!(alarm, Alarm::AuthorityForked(_)))
        };
        let forked = self.sites.iter().any(is_forked) && !self.one_authority();
        let lost = self.sites[at].replica().is_some_and(Replica::has_forgotten_statements);
        if forked || lost {
            if let Some((base, hash)) = self.last_in_common(at) {
                self.count("authority:mended");
                self.take_over(at, base, hash);
            }
        } else if let Some(replica) = self.sites[at].replica_mut().filter(|replica| !replica.may_say()) {
            replica.trust_authority();
            self.count("authority:confirmed");
        }
        self.say_again(at);
    }

    /// The last statement that all members hold.
    fn last_in_common(&self, at: usize) -> Option<(AuthorityRef, [u8; 32])> {
        let logs: Vec<_> = self.sites.iter().filter_map(|site| Some(site.replica()?.authority())).collect();
        let own = self.sites[at].replica()?;
        let (head, _) = own.authority().head()?;
        let position = (0..=head.position).rev().find(|position| {
            let hashes: BTreeSet<_> = logs.iter().map(|log| log.hash_at(*position)).collect();
            hashes.len() == 1
        })?;
        let statement = own.statements(position).ok()?.into_iter().next()?.statement;
        Some((statement.at, statement.hash()))
    }

    /// Says again who joined, where the statements that said so stand no more.
    fn say_again(&mut self, at: usize) {
        for body in self.bodies_of_joined() {
            let policy = self.sites[at].replica().and_then(Replica::policy);
            let is_said = policy.is_some_and(|policy| match &body {
                Body::Site(entry) => policy.sites.contains_key(&entry.site),
                Body::User(entry) => policy.users.contains_key(&entry.user),
                _ => true,
            });
            if !is_said {
                self.say(at, &body);
            }
        }
    }
}
