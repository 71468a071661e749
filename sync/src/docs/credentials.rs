//! What people log in with, as far as it is held (R16): which credential of a user counts, and which are to be sealed
//! again because a site came to their sites that has no share yet.
//!
//! Credentials that stand are listed for each user in the order of their ranks, which is alike everywhere; the last one
//! counts. One that stops standing is taken off the list, and the one before it counts again.

use schema::authority::Body;
use schema::codec::Canonical;
use schema::credential::{Credential, Rank};
use schema::id::{OrgId, SiteId, UserId};
use schema::policy::Policy;
use schema::record::{BodyName, Record};

use super::enrolments::enrolled;
use crate::admission::{RecordWithBodies, read_body, stored};
use crate::store::tables::{RECORD_KEY_BYTES, after_prefix, read_record_key};
use crate::store::{Source, StoreError, Table, Writing, decode};

/// The first byte of the key of a user who is listed by name.
const ONE: u8 = 0;
/// The key under which it stands from which user on all are to be looked at.
const ALL: [u8; 1] = [1];
const USER_BYTES: usize = 16;

/// The credential that counts of a user.
#[derive(Debug, Clone)]
pub struct Newest {
    /// The organisation.
    pub org: OrgId,
    /// The site that wrote it.
    pub site: SiteId,
    /// Where it stands among those of its user.
    pub rank: Rank,
    /// What it says.
    pub credential: Credential,
}

/// The credential that counts of a user: the one of the highest rank among those whose site speaks for the user by this
/// policy, so that a site that is trusted no more sets nothing by pinning a time when it was. `None` if none does. Linear
/// in the credentials of the user that do not count.
pub fn newest(source: &impl Source, policy: &Policy, user: &UserId) -> Result<Option<Newest>, StoreError> {
    for (_, place) in source.prefixed(Table::Credentials, &user.0)?.iter().rev() {
        let newest = read(source, place)?;
        if speaks(source, policy, &newest.site, user)? {
            return Ok(Some(newest));
        }
    }
    Ok(None)
}

/// The credential of the highest rank of a user, whoever set it.
pub fn highest(source: &impl Source, user: &UserId) -> Result<Option<Newest>, StoreError> {
    source.last(Table::Credentials, &user.0)?.map(|(_, place)| read(source, &place)).transpose()
}

/// What `open` makes of the first credential of a user of which it makes something, whoever set it, from the highest rank
/// down. Linear in the credentials of the user.
pub fn first_opened<T>(
    source: &impl Source,
    user: &UserId,
    open: impl Fn(&Newest) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    for (_, place) in source.prefixed(Table::Credentials, &user.0)?.iter().rev() {
        if let Some(opened) = open(&read(source, place)?) {
            return Ok(Some(opened));
        }
    }
    Ok(None)
}

/// Whether a site speaks for a user by this policy, or enrolled them and is alone to know them.
pub fn speaks(source: &impl Source, policy: &Policy, site: &SiteId, user: &UserId) -> Result<bool, StoreError> {
    match policy.users.get(user) {
        Some(known) => Ok(policy.is_active(site) && policy.speaks(site, &known.sites)),
        None => Ok(policy.is_active(site) && enrolled(source, user, site)?.is_some()),
    }
}

fn read(source: &impl Source, place: &[u8]) -> Result<Newest, StoreError> {
    let (no, seq) = read_record_key(place).ok_or(StoreError::Missing { what: "a credential's record" })?;
    let record = stored(source, no, seq)?.record;
    let opaque = record.skeleton.opaque.ok_or(StoreError::Missing { what: "the body of a credential" })?;
    let body = read_body(source, &BodyName::Opaque(opaque.hash))?;
    let body = body.ok_or(StoreError::Missing { what: "the body of a credential" })?;
    let credential: Credential = decode(Table::Bodies, &body)?;
    let rank = credential.rank(record.header.hlc, record.hash());
    Ok(Newest { org: record.header.org, site: record.header.log.site, rank, credential })
}

fn key(record: &Record, credential: &Credential) -> Vec<u8> {
    let rank = credential.rank(record.header.hlc, record.hash());
    [credential.user.0.as_slice(), &rank.to_bytes()].concat()
}

/// Lists a credential that stands, and that its user is to be looked at.
pub(super) fn keep(
    writing: &mut Writing<'_>,
    record: &Record,
    credential: &Credential,
    place: &[u8; RECORD_KEY_BYTES],
) -> Result<(), StoreError> {
    writing.put(Table::Credentials, &key(record, credential), place)?;
    note(writing, &credential.user)
}

/// Takes a credential off the list that does not stand; `true` if it was listed.
pub(super) fn forget(writing: &mut Writing<'_>, with: &RecordWithBodies) -> Result<bool, StoreError> {
    let body = with.bodies.iter().flatten().next();
    let Some(credential) = body.and_then(|body| Credential::from_bytes(body).ok()) else {
        return Ok(false);
    };
    let key = key(&with.record, &credential);
    if writing.get(Table::Credentials, &key)?.is_none() {
        return Ok(false);
    }
    writing.remove(Table::Credentials, &key)?;
    note(writing, &credential.user)?;
    Ok(true)
}

fn note(writing: &mut Writing<'_>, user: &UserId) -> Result<(), StoreError> {
    writing.put(Table::Unsealed, &[&[ONE], user.0.as_slice()].concat(), &[])
}

/// Notes whose credentials a statement may give another site: its user, or, where sites changed, everybody. `true` if
/// it noted anything.
pub(crate) fn note_statement(writing: &mut Writing<'_>, body: &Body) -> Result<bool, StoreError> {
    match body {
        Body::User(user) | Body::Copied { user, .. } => {
            let has_any = writing.last(Table::Credentials, &user.user.0)?.is_some();
            if has_any {
                note(writing, &user.user)?;
            }
            Ok(has_any)
        }
        // Which sites speak for somebody, have a sealing key, and are there to seal.
        Body::Site(_) | Body::Structure { .. } | Body::Revoke { .. } => {
            writing.put(Table::Unsealed, &ALL, &[0; USER_BYTES])?;
            Ok(true)
        }
        // After a hand-over every credential is judged again, which notes its user.
        Body::HandOver { .. }
        | Body::Genesis { .. }
        | Body::Version(_)
        | Body::Addresses { .. }
        | Body::Device(_)
        | Body::Service(_) => Ok(false),
    }
}

/// Users who are to be looked at.
#[derive(Debug)]
pub(crate) struct Listed {
    /// The next of them; none are left if there is none.
    pub users: Vec<UserId>,
    /// Whether they come from the list of all.
    is_all: bool,
}

/// The next users to be looked at, at most `limit`: first those listed by name.
pub(crate) fn listed(source: &impl Source, limit: usize) -> Result<Listed, StoreError> {
    let rows = source.range(Table::Unsealed, &[ONE], Some(&ALL), limit)?;
    let mut users: Vec<UserId> = rows.iter().filter_map(|(key, _)| user_at(key, 1)).collect();
    if !users.is_empty() {
        return Ok(Listed { users, is_all: false });
    }
    let mut next = source.get(Table::Unsealed, &ALL)?;
    while let Some(from) = next.filter(|_| users.len() < limit) {
        let found = source.range(Table::Credentials, &from, None, 1)?.pop().and_then(|(key, _)| user_at(&key, 0));
        users.extend(found);
        next = found.and_then(|user| after_prefix(&user.0));
    }
    Ok(Listed { users, is_all: true })
}

/// Crosses off the first `count` of these users. What was sealed again for them listed them once more, by name.
pub(crate) fn cross_off(writing: &mut Writing<'_>, listed: &Listed, count: usize) -> Result<(), StoreError> {
    let done = listed.users.get(..count).unwrap_or(&listed.users);
    done.iter().try_for_each(|user| writing.remove(Table::Unsealed, &[&[ONE], user.0.as_slice()].concat()))?;
    if !listed.is_all {
        return Ok(());
    }
    match done.last().and_then(|user| after_prefix(&user.0)) {
        Some(mut next) => {
            // Shorter where the last bytes of the user were the highest.
            next.resize(USER_BYTES, 0);
            writing.put(Table::Unsealed, &ALL, &next)
        }
        None => writing.remove(Table::Unsealed, &ALL),
    }
}

fn user_at(key: &[u8], at: usize) -> Option<UserId> {
    Some(UserId(key.get(at..at + USER_BYTES)?.try_into().ok()?))
}
