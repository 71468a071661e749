//! Writing what somebody logs in with, sealed to every site that it is for (R16).

use schema::author::Author;
use schema::authority::{SealingKey, SiteSelector};
use schema::codec::Canonical;
use schema::credential::{
    Credential, LoginSecrets, MAX_NUMBER, MAX_SECRETS_BYTES, MAX_SHARES, Rank, SealedAgain, Share,
};
use schema::id::{SiteId, UserId};
use schema::policy::Policy;
use schema::record::{BodyKind, CommandName, OpaqueRef, Record, Skeleton};
use schema::sealing::SealingSecret;

use super::{Batch, WriteError};
use crate::admission::{again, with_bodies};
use crate::docs::credentials::{Newest, highest};
use crate::docs::enrolments::enrolled;
use crate::store::rows::StoredRecord;

impl Batch<'_, '_> {
    /// Sets what somebody logs in with, at every site where they may log in, in the site's own name: a receiver could not
    /// judge who asked for it, and trusts the site for everybody for whom it speaks.
    /// Errors: `Refused` for somebody for whom this site does not speak.
    pub fn set_credential(&mut self, user: &UserId, secrets: &LoginSecrets) -> Result<(), WriteError> {
        let known = highest(self.writing, user)?;
        let number = known.map_or(1, |newest| newest.rank.number.saturating_add(1).min(MAX_NUMBER));
        let credential = Credential { user: *user, number, again: None, shares: Vec::new() };
        self.write_credential(CommandName::Place, credential, secrets)
    }

    /// Seals what counts of somebody again, for the sites where they may log in by now. It keeps its rank, so that it
    /// undoes nothing that was set elsewhere meanwhile.
    pub(in crate::replica) fn seal_again(&mut self, newest: &Newest, secrets: &LoginSecrets) -> Result<(), WriteError> {
        self.write_credential(CommandName::Place, again_of(newest.credential.user, &newest.rank), secrets)
    }

    /// Issues a credential of this site again that stands behind a fork of its log (R20), with the rank that it had. One
    /// that was issued again before is found by its name.
    pub(in crate::replica) fn reissue_credential(&mut self, record: &Record) -> Result<(), WriteError> {
        let (name, me) = (again(record), self.key.public());
        if self.written_here(Author::Site, name, record.header.log.scope)?.is_some() {
            return Ok(());
        }
        let with = with_bodies(self.writing, StoredRecord { record: record.clone(), signature: None })?;
        let body = with.bodies.into_iter().flatten().next();
        let credential = body.and_then(|body| Credential::from_bytes(&body).ok());
        let opened = credential.and_then(|credential| {
            let secrets = credential.open(self.policy.org, me, &me, &SealingSecret::of(self.key)).ok().flatten()?;
            Some((again_of(credential.user, &credential.rank(record.header.hlc, record.hash())), secrets))
        });
        match opened {
            Some((credential, secrets)) => self.write_credential(name, credential, &secrets),
            // None that this site can have made.
            None => Err(WriteError::Refused("credential-body".to_owned())),
        }
    }

    fn write_credential(
        &mut self,
        name: CommandName,
        mut credential: Credential,
        secrets: &LoginSecrets,
    ) -> Result<(), WriteError> {
        let (me, secret) = (self.key.public(), SealingSecret::of(self.key));
        let plain = secrets.to_bytes();
        let sites = match self.policy.users.get(&credential.user) {
            Some(known) => known.sites.clone(),
            None => enrolled(self.writing, &credential.user, &me)?.map(|entry| entry.sites).unwrap_or_default(),
        };
        let recipients = recipients(self.policy, &sites, (me, secret.public()));
        if plain.len() > MAX_SECRETS_BYTES || recipients.len() > MAX_SHARES {
            return Err(WriteError::TooLarge);
        }
        let context = credential.context(self.policy.org, me);
        for (site, key) in recipients {
            match secret.seal(&key, &context, &plain) {
                Ok(sealed) => credential.shares.push(Share { site, sealed }),
                Err(error) => tracing::warn!(site = %site.short(), %error, "a site takes no credentials"),
            }
        }
        let header = self.next_header(self.policy.org_scope(), BodyKind::Credential)?;
        let body = credential.to_bytes();
        let opaque = Some(OpaqueRef::of(&body));
        let skeleton = Skeleton { opaque, ..Skeleton::new(name, Author::Site) };
        let recorded = self.record(header, skeleton, vec![body]);
        self.broken |= matches!(recorded, Err(WriteError::Store(_)));
        recorded
    }
}

/// A credential without shares that says again what the one with this rank says.
fn again_of(user: UserId, rank: &Rank) -> Credential {
    let again = SealedAgain { times: rank.times.saturating_add(1), hlc: rank.set_at, hash: rank.set_in };
    Credential { user, number: rank.number, again: Some(again), shares: Vec::new() }
}

/// The sites to which a credential is sealed, sorted: the active ones that speak for its user and have a sealing key, and
/// this one, whatever its entry says of its key. Linear in the sites.
pub(in crate::replica) fn recipients(
    policy: &Policy,
    selectors: &[SiteSelector],
    (me, own): (SiteId, SealingKey),
) -> Vec<(SiteId, SealingKey)> {
    let listed = policy
        .sites
        .values()
        .filter(|entry| entry.site == me || (policy.is_active(&entry.site) && policy.speaks(&entry.site, selectors)));
    let key = |entry: &schema::authority::SiteEntry| if entry.site == me { Some(own) } else { entry.sealing };
    listed.filter_map(|entry| Some((entry.site, key(entry)?))).collect()
}
