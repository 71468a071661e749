//! People as sites enrol them (R15), and the sequencer that copies them into the authority log.

use schema::authority::{Body, Enrolment, UserEntry};
use schema::id::{SiteId, UserId};
use schema::time::{Hlc, Timestamp};

use super::{Replica, ReplicaError, id_at};
use crate::admission::stored;
use crate::docs::judge::enrolled;
use crate::limits::COPIED_AT_ONCE;
use crate::store::tables::{enrolment_prefix, read_record_key};
use crate::store::{Source, StoreError, Table, decode};

impl Replica {
    /// The sequencer copies what sites said of their people (R15), a few at a time. Of two equal logins the one copied
    /// first stays, the other gets the site's code and a number behind it.
    pub(super) fn copy_enrolments(&mut self, now: Timestamp) -> Result<(), ReplicaError> {
        if !self.may_say() {
            return Ok(());
        }
        let Some(policy) = self.policy().cloned() else {
            return Ok(());
        };
        let reading = self.store.read()?;
        let count = reading.count(Table::Enrolments)?;
        if count == self.enrolments_seen {
            return Ok(());
        }
        let (mut copied, mut left) = (0, false);
        for (key, bytes) in reading.prefixed(Table::Enrolments, &[])? {
            let (Some(user), Some(site)) = (id_at::<16>(&key, 0), id_at::<32>(&key, 16)) else {
                continue;
            };
            let (user, site) = (UserId(user), SiteId(site));
            let known = self.authority.current().is_some_and(|policy| policy.users.contains_key(&user));
            // A site that may no longer enrol is not spoken for by the sequencer either.
            let Enrolment { login, grants, .. } = decode(Table::Enrolments, &bytes)?;
            let may = grants.iter().all(|grant| grant.structure.is_some_and(|id| policy.enrols(&site, id)));
            if known || !may {
                continue;
            }
            if copied == COPIED_AT_ONCE {
                left = true;
                break;
            }
            let code = policy.sites.get(&site).map(|site| site.code.to_lowercase()).unwrap_or_default();
            let taken = |login: &str| self.policy().is_some_and(|policy| policy.logins.contains_key(login));
            let login = free_login(&login, &code, taken);
            let Some(entry) = enrolled(&reading, &user, &site)? else {
                continue;
            };
            let place = key.get(48..).and_then(read_record_key).ok_or(StoreError::Missing { what: "an enrolment" })?;
            let record = stored(&reading, place.0, place.1)?.record;
            let (generation, seq) = (record.header.log.generation, record.header.seq);
            let body = Body::Copied { site, generation, seq, user: UserEntry { login, ..entry } };
            match self.say_quietly(now, &body) {
                Ok(()) => copied += 1,
                Err(ReplicaError::Authority(error)) => tracing::warn!(%user, %error, "an enrolment was not copied"),
                Err(error) => return Err(error),
            }
        }
        if !left {
            self.enrolments_seen = count;
        }
        if copied > 0 {
            let outputs = self.authority_grown(now)?;
            self.out.extend(outputs);
        }
        Ok(())
    }

    /// Whether somebody may act through this site now: as the authority log or this site's own log says. What this
    /// site said last of somebody whom only it knows holds here at once (R15).
    pub fn user(&self, user: &UserId) -> Result<Option<UserEntry>, StoreError> {
        if let Some(entry) = self.policy().and_then(|policy| policy.users.get(user)) {
            return Ok(Some(UserEntry::clone(entry)));
        }
        let (reading, me) = (self.store.read()?, self.me());
        let Some(entry) = enrolled(&reading, user, &me)? else {
            return Ok(None);
        };
        let mut last: Option<(Hlc, Enrolment)> = None;
        for (key, bytes) in reading.prefixed(Table::Enrolments, &enrolment_prefix(user, &me))? {
            let place = key.get(48..).and_then(read_record_key).ok_or(StoreError::Missing { what: "an enrolment" })?;
            let at = stored(&reading, place.0, place.1)?.record.header.hlc;
            if last.as_ref().is_none_or(|(before, _)| *before < at) {
                last = Some((at, decode(Table::Enrolments, &bytes)?));
            }
        }
        Ok(last.map(|(_, said)| UserEntry { login: said.login, grants: said.grants, standing: said.standing, ..entry }))
    }

    /// The user whom this site enrolled with this folded login, if the authority log does not know them yet. Linear in
    /// those.
    pub fn enrolled_login(&self, login: &str) -> Result<Option<UserId>, StoreError> {
        let me = self.me();
        for (key, bytes) in self.store.read()?.prefixed(Table::Enrolments, &[])? {
            let enrolment: Enrolment = decode(Table::Enrolments, &bytes)?;
            let copied = self.policy().is_some_and(|policy| policy.users.contains_key(&enrolment.user));
            if !copied && id_at::<32>(&key, 16) == Some(me.0) && schema::fold::fold(&enrolment.login) == login {
                return Ok(Some(enrolment.user));
            }
        }
        Ok(None)
    }
}

/// The login itself if it is free, otherwise with the site's code, then with a number.
fn free_login(wanted: &str, code: &str, taken: impl Fn(&str) -> bool) -> String {
    let candidates = std::iter::once(wanted.to_owned())
        .chain(std::iter::once(format!("{wanted}.{code}")))
        .chain((2..).map(|number| format!("{wanted}.{code}{number}")));
    let mut free = candidates.filter(|login| !taken(&schema::fold::fold(login)));
    free.next().expect("the candidates never end")
}
