//! People as sites enrol them (R15), and the sequencer that copies them into the authority log.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use schema::authority::{Body, Enrolment, Grant, SiteSelector, Standing, UserEntry};
use schema::id::{SiteId, UserId};
use schema::policy::{AuthorityError, Pinned};
use schema::time::Timestamp;

use super::{Alarm, Replica, ReplicaError, id_at};
use crate::docs::enrolments::last_said;
use crate::limits::{COPIED_A_DAY, COPIED_AT_ONCE};
use crate::store::{Durability, Source, StoreError, Table};

/// In which `COPIED_A_DAY` of one site are copied.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Replica {
    /// The sequencer copies what sites said of their people (R15), a few at a time. Of two equal logins the one copied
    /// first stays, the other gets the site's code and a number behind it. Linear in `COPIED_AT_ONCE`. Beyond
    /// `COPIED_A_DAY` of one site the rest waits.
    pub(super) fn copy_enrolments(&mut self, now: Timestamp) -> Result<(), ReplicaError> {
        if !self.may_say() {
            return Ok(());
        }
        let rows = self.store.read()?.range(Table::Uncopied, &self.uncopied_from, None, COPIED_AT_ONCE)?;
        self.uncopied_from = match rows.last().filter(|_| rows.len() == COPIED_AT_ONCE) {
            Some((last, _)) => [last.as_slice(), &[0]].concat(),
            None => Vec::new(),
        };
        let mut dropped = Vec::new();
        let mut copied = false;
        for (key, _) in &rows {
            let (Some(site), Some(user)) = (id_at::<32>(key, 0), id_at::<16>(key, 32)) else {
                continue;
            };
            // Whose site a hand-over made unknown is passed over until it is known again.
            if self.policy().is_none_or(|policy| !policy.sites.contains_key(&SiteId(site))) {
                continue;
            }
            if !self.may_copy(now, SiteId(site)) {
                self.alarm(now, Alarm::Slowed(SiteId(site)));
                continue;
            }
            let said = match self.restated(&UserId(user), &SiteId(site))? {
                Some(body) => self.say_quietly(now, &body),
                None => Err(AuthorityError::Rule("a site says it of people whom it enrols").into()),
            };
            match said {
                Ok(()) => {
                    copied = true;
                    self.copied.entry(SiteId(site)).or_insert((now, 0)).1 += 1;
                }
                Err(ReplicaError::Authority(error)) => {
                    tracing::warn!(user = %UserId(user), %error, "what a site said of somebody was not copied");
                    dropped.push(key);
                }
                Err(error) => return Err(error),
            }
        }
        if !dropped.is_empty() {
            self.store.write(Durability::Derived, |writing| {
                dropped.iter().try_for_each(|key| writing.remove(Table::Uncopied, key))
            })?;
        }
        if copied {
            let outputs = self.authority_grown(now)?;
            self.out.extend(outputs);
        }
        Ok(())
    }

    /// Whether one more enrolment of a site is copied today.
    fn may_copy(&mut self, now: Timestamp, site: SiteId) -> bool {
        let (since, count) = self.copied.entry(site).or_insert((now, 0));
        if now < *since || now.since(*since) >= DAY {
            (*since, *count) = (now, 0);
        }
        *count < COPIED_A_DAY
    }

    /// The statement that copies what a site said of somebody last; `None` if the site may not say it by now. Of
    /// somebody known it takes what the site changed, and leaves what was said elsewhere meanwhile.
    fn restated(&self, user: &UserId, site: &SiteId) -> Result<Option<Body>, ReplicaError> {
        let reading = self.store.read()?;
        let (Some(policy), Some(said)) = (self.policy(), last_said(&reading, user, site)?) else {
            return Ok(None);
        };
        let (generation, seq) = said.place;
        let Enrolment { login, grants, standing, .. } = said.enrolment;
        let enrols = |grants: &[Grant]| {
            grants.iter().all(|grant| grant.structure.is_some_and(|structure| policy.enrols(site, structure)))
        };
        if !enrols(&grants) {
            return Ok(None);
        }
        let entry = match policy.users.get(user) {
            None => {
                let code = policy.sites.get(site).map(|site| site.code.to_lowercase()).unwrap_or_default();
                let login = free_login(&login, &code, |login| policy.logins.contains_key(login));
                UserEntry { user: *user, login, grants, sites: vec![SiteSelector::Site(*site)], standing }
            }
            Some(known) if !enrols(&known.grants) || !policy.speaks(site, &known.sites) => return Ok(None),
            Some(known) => {
                let before = match self.authority.pinned(said.pin) {
                    Pinned::Known(policy) => policy.users.get(user).cloned(),
                    Pinned::Ahead => None,
                };
                let mut entry = UserEntry::clone(known);
                if before.as_ref().is_none_or(|before| before.grants != grants) {
                    entry.grants = grants;
                }
                if before.as_ref().is_none_or(|before| before.standing != standing) {
                    entry.standing = standing;
                }
                entry
            }
        };
        Ok(Some(Body::Copied { site: *site, generation, seq, user: entry }))
    }

    /// People whom this site disabled in its own log, which the authority log does not say yet: they are out here at
    /// once, and everywhere when the sequencer has copied it (R15).
    pub fn disabled_here(&self) -> Arc<BTreeSet<UserId>> {
        self.disabled_here.clone()
    }

    /// Reads who is disabled here. Linear in what this site said and the authority log does not say yet.
    pub(super) fn note_disabled(&mut self) -> Result<(), StoreError> {
        let (reading, me) = (self.store.read()?, self.me());
        let mut disabled = BTreeSet::new();
        for (key, _) in reading.prefixed(Table::Uncopied, &me.0)? {
            let Some(user) = id_at::<16>(&key, 32).map(UserId) else {
                continue;
            };
            if last_said(&reading, &user, &me)?.is_some_and(|said| said.enrolment.standing == Standing::Ended) {
                disabled.insert(user);
            }
        }
        self.disabled_here = Arc::new(disabled);
        Ok(())
    }

    /// Somebody whom only this site's own log knows, as it says last: that holds here at once (R15).
    pub fn enrolled_here(&self, user: &UserId) -> Result<Option<UserEntry>, StoreError> {
        let me = self.me();
        let said = last_said(&self.store.read()?, user, &me)?;
        Ok(said.map(|said| {
            let Enrolment { user, login, grants, standing } = said.enrolment;
            UserEntry { user, login, grants, sites: vec![SiteSelector::Site(me)], standing }
        }))
    }

    /// The user whom this site enrolled with this folded login, if the authority log does not know them yet. Linear in
    /// those.
    pub fn enrolled_login(&self, login: &str) -> Result<Option<UserId>, StoreError> {
        let (reading, me) = (self.store.read()?, self.me());
        for (key, _) in reading.prefixed(Table::Uncopied, &me.0)? {
            let Some(user) = id_at::<16>(&key, 32).map(UserId) else {
                continue;
            };
            let is_known = self.policy().is_some_and(|policy| policy.users.contains_key(&user));
            let said = last_said(&reading, &user, &me)?.filter(|_| !is_known);
            if said.is_some_and(|said| schema::fold::fold(&said.enrolment.login) == login) {
                return Ok(Some(user));
            }
        }
        Ok(None)
    }
}

/// The login itself if it is free, otherwise with the site's code, then with a number.
fn free_login(wanted: &str, code: &str, taken: impl Fn(&str) -> bool) -> String {
    let named = |number: u64| match number {
        0 => wanted.to_owned(),
        1 => format!("{wanted}.{code}"),
        number => format!("{wanted}.{code}{number}"),
    };
    let is_free = |number: u64| !taken(&schema::fold::fold(&named(number)));
    if let Some(number) = (0..=2).find(|number| is_free(*number)) {
        return named(number);
    }
    // Between one that is taken and one that is not. A name may come so often that trying each would cost its square.
    let (mut last, mut free) = (2, 4);
    while !is_free(free) {
        (last, free) = (free, free * 2);
    }
    while free - last > 1 {
        let middle = last + (free - last) / 2;
        if is_free(middle) { free = middle } else { last = middle }
    }
    named(free)
}
