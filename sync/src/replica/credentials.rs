//! Sealing again what people log in with (R16): when sites come to those where somebody may log in, or a site takes
//! another's place, the site that wrote what counts seals it for them too; where that one is gone or speaks for the user
//! no more, the one with the smallest key that can open it does.

use schema::authority::{SiteSelector, Standing};
use schema::credential::LoginSecrets;
use schema::id::{SiteId, UserId};
use schema::policy::Policy;
use schema::sealing::SealingSecret;
use schema::time::Timestamp;

use super::write::recipients;
use super::{Replica, ReplicaError, WriteError};
use crate::docs::credentials::{Newest, cross_off, first_opened, highest, listed, newest, speaks};
use crate::docs::enrolments::enrolled;
use crate::limits::{SEALED_AT_ONCE, UNSEALED_LOOKS};
use crate::store::{Durability, Source, StoreError};

impl Replica {
    /// What somebody logs in with at this site; `None` if nothing was set, or what counts is not sealed to this site yet.
    pub fn login_secrets(&self, user: &UserId) -> Result<Option<LoginSecrets>, StoreError> {
        let Some(policy) = self.policy() else {
            return Ok(None);
        };
        login_secrets(&self.store.read()?, policy, (&self.me(), &SealingSecret::of(&self.key)), user)
    }

    /// Looks at a portion of those who are listed for it, and seals again what counts of them where a site lacks its
    /// share. Linear in those, and in the shares that it makes.
    pub(super) fn seal_again(&mut self, now: Timestamp) -> Result<(), ReplicaError> {
        let me = self.me();
        // What has arrived and is not judged yet may count more than what is known here.
        let is_ready = self.to_seal && self.backlog() == 0;
        let Some(policy) = self.policy().cloned().filter(|policy| is_ready && policy.is_active(&me)) else {
            return Ok(());
        };
        let reading = self.store.read()?;
        let listed = listed(&reading, UNSEALED_LOOKS)?;
        let secret = SealingSecret::of(&self.key);
        let (mut due, mut looked, mut shares) = (Vec::new(), 0, 0);
        for user in &listed.users {
            looked += 1;
            if let Some((newest, secrets)) = lacking(&reading, &policy, (&me, &secret), user)? {
                // As many as there were; what came to them is bounded by the sites.
                shares += newest.credential.shares.len() + 1;
                due.push((newest, secrets));
            }
            if shares >= SEALED_AT_ONCE {
                break;
            }
        }
        drop(reading);
        if !due.is_empty() {
            let sealed = self.write(now, |batch| {
                for (newest, secrets) in &due {
                    match batch.seal_again(newest, secrets) {
                        Ok(()) => {}
                        Err(error @ WriteError::Store(_)) => return Err(error),
                        // Somebody has to set it anew.
                        Err(error) => {
                            tracing::warn!(user = %newest.credential.user, %error, "a credential was not sealed again");
                        }
                    }
                }
                Ok(())
            });
            match sealed {
                // Among them is what this tick had to send already.
                Ok(((), outputs)) => self.out.extend(outputs),
                Err(WriteError::Store(error)) => return Err(error.into()),
                Err(error) => tracing::warn!(%error, "credentials were not sealed again"),
            }
        }
        self.store.write(Durability::Derived, |writing| cross_off(writing, &listed, looked))?;
        self.to_seal = !listed.users.is_empty();
        Ok(())
    }
}

/// What somebody logs in with at the site `me`, from any view of its store; `None` if they may not log in there, nothing
/// was set, or what counts is not sealed to this site, or cannot be opened here.
pub fn login_secrets(
    source: &impl Source,
    policy: &Policy,
    (me, secret): (&SiteId, &SealingSecret),
    user: &UserId,
) -> Result<Option<LoginSecrets>, StoreError> {
    let is_ours = match policy.users.get(user) {
        Some(known) => policy.speaks(me, &known.sites),
        None => enrolled(source, user, me)?.is_some(),
    };
    if !is_ours {
        return Ok(None);
    }
    // Whose site is no longer in the organisation still sees what it holds, and writes nothing: with the last password that
    // was sealed for it, since nobody seals another one.
    if !policy.is_active(me) {
        return first_opened(source, user, |newest| opened(newest, me, secret));
    }
    Ok(newest(source, policy, user)?.and_then(|newest| opened(&newest, me, secret)))
}

fn opened(newest: &Newest, me: &SiteId, secret: &SealingSecret) -> Option<LoginSecrets> {
    let user = newest.credential.user;
    let opened = newest.credential.open(newest.org, newest.site, me, secret);
    opened.unwrap_or_else(|error| {
        tracing::warn!(%user, site = %newest.site.short(), %error, "a credential does not open here");
        None
    })
}

/// What counts of a user, if a site that it is for has no share of it, and it is for this site to seal it again.
fn lacking(
    source: &impl Source,
    policy: &Policy,
    (me, secret): (&SiteId, &SealingSecret),
    user: &UserId,
) -> Result<Option<(Newest, LoginSecrets)>, StoreError> {
    // Where none counts any more, because its site is gone, the last one does that was held when that became known.
    let newest = match newest(source, policy, user)? {
        Some(newest) => newest,
        None => match highest(source, user)? {
            Some(highest) => highest,
            None => return Ok(None),
        },
    };
    let entry = match policy.users.get(user) {
        Some(known) => Some(known.as_ref().clone()),
        None => enrolled(source, user, me)?,
    };
    // Whoever is let in again is said anew, and looked at then.
    let Some(entry) = entry.filter(|entry| entry.standing == Standing::Active) else {
        return Ok(None);
    };
    if sealer(policy, &newest, &entry.sites) != Some(*me) {
        return Ok(None);
    }
    let recipients = recipients(policy, &entry.sites, (*me, secret.public()));
    let is_lacking = recipients.iter().any(|(site, key)| newest.credential.share(site).is_none() && key.is_usable());
    if !is_lacking && speaks(source, policy, &newest.site, user)? {
        return Ok(None);
    }
    Ok(opened(&newest, me, secret).map(|secrets| (newest, secrets)))
}

/// The site that is to seal it again: the one that wrote it, while it may; otherwise the one with the smallest key that
/// has a share and may.
fn sealer(policy: &Policy, newest: &Newest, selectors: &[SiteSelector]) -> Option<SiteId> {
    let scope = policy.org_scope();
    let may = |site: &SiteId| policy.holds(site, &scope) && policy.speaks(site, selectors);
    if may(&newest.site) {
        return Some(newest.site);
    }
    newest.credential.shares.iter().map(|share| share.site).find(may)
}
