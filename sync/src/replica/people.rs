//! People as sites enrol them (R15), and the sequencer that copies them into the authority log.

use schema::authority::{Body, UserEntry};
use schema::id::{SiteId, UserId};
use schema::time::Timestamp;

use super::{Replica, ReplicaError, id_at};
use crate::docs::judge::{as_entry, enrolled};
use crate::store::rows::EnrolmentRow;
use crate::store::{Source, StoreError, Table, decode};

impl Replica {
    /// The sequencer copies what sites said of their people (R15). Of two equal logins the one copied first
    /// stays, the other gets the site's code and a number behind it.
    pub(super) fn copy_enrolments(&mut self, now: Timestamp) -> Result<(), ReplicaError> {
        if self.sequencer.is_none() {
            return Ok(());
        }
        let Some(policy) = self.policy().cloned() else {
            return Ok(());
        };
        let reading = self.store.read()?;
        if reading.count(Table::Enrolments)? == self.enrolments_seen {
            return Ok(());
        }
        let rows = reading.prefixed(Table::Enrolments, &[])?;
        self.enrolments_seen = rows.len() as u64;
        let mut copied = false;
        for (key, bytes) in rows {
            let (Some(user), Some(site)) = (id_at::<16>(&key, 0), id_at::<32>(&key, 16)) else {
                continue;
            };
            let (user, site) = (UserId(user), SiteId(site));
            let known = self.authority.current().is_some_and(|policy| policy.users.contains_key(&user));
            if known {
                continue;
            }
            let EnrolmentRow { enrolment, generation, seq } = decode(Table::Enrolments, &bytes)?;
            let code = policy.sites.get(&site).map(|site| site.code.to_lowercase()).unwrap_or_default();
            let taken = |login: &str| self.policy().is_some_and(|policy| policy.logins.contains_key(login));
            let login = free_login(&enrolment.login, &code, taken);
            let entry = UserEntry { login, ..as_entry(enrolment, &site) };
            let body = Body::Copied { site, generation, seq, user: entry };
            match self.say_quietly(now, &body) {
                Ok(()) => copied = true,
                Err(ReplicaError::Authority(error)) => tracing::warn!(%user, %error, "an enrolment was not copied"),
                Err(error) => return Err(error),
            }
        }
        if copied {
            let outputs = self.authority_grown(now)?;
            self.out.extend(outputs);
        }
        Ok(())
    }

    /// Whether somebody may act through this site now: as the authority log or this site's own log says.
    pub fn user(&self, user: &UserId) -> Result<Option<UserEntry>, StoreError> {
        if let Some(entry) = self.policy().and_then(|policy| policy.users.get(user)) {
            return Ok(Some(UserEntry::clone(entry)));
        }
        let found = enrolled(&self.store.read()?, user, &self.me())?;
        Ok(found.map(|enrolment| as_entry(enrolment, &self.me())))
    }

    /// The user whom this site enrolled with this folded login, if the authority log does not know them yet.
    pub fn enrolled_login(&self, login: &str) -> Result<Option<UserId>, StoreError> {
        let me = self.me();
        for (key, bytes) in self.store.read()?.prefixed(Table::Enrolments, &[])? {
            let EnrolmentRow { enrolment, .. } = decode(Table::Enrolments, &bytes)?;
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
