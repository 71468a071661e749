//! What sites say of their people in their own logs (R15), as far as it is held.

use schema::authority::{Enrolment, SiteSelector, Standing, UserEntry};
use schema::id::{SiteId, UserId};
use schema::policy::Policy;

use crate::store::rows::Said;
use crate::store::tables::{enrolment_prefix, uncopied_key};
use crate::store::{Source, StoreError, Table, Writing, decode};

/// Somebody as a site's own logs say: every role that they ever gave. What they take away holds at that site alone,
/// until the authority log says it (R15): two sites that hold different records of it must not judge apart.
pub fn enrolled(source: &impl Source, user: &UserId, site: &SiteId) -> Result<Option<UserEntry>, StoreError> {
    let mut entry: Option<UserEntry> = None;
    for (_, bytes) in source.prefixed(Table::Enrolments, &enrolment_prefix(user, site))? {
        let said: Said = decode(Table::Enrolments, &bytes)?;
        let Enrolment { user, login, grants, .. } = said.enrolment;
        let sites = vec![SiteSelector::Site(*site)];
        let known = entry.get_or_insert(UserEntry { user, login, grants: vec![], sites, standing: Standing::Active });
        known.grants.extend(grants);
        known.grants.sort_unstable();
        known.grants.dedup();
    }
    Ok(entry)
}

/// The last that a site's own logs say of somebody, by its own clock, which never goes back. Linear in what it said of
/// them.
pub fn last_said(source: &impl Source, user: &UserId, site: &SiteId) -> Result<Option<Said>, StoreError> {
    let mut last: Option<Said> = None;
    for (_, bytes) in source.prefixed(Table::Enrolments, &enrolment_prefix(user, site))? {
        let said: Said = decode(Table::Enrolments, &bytes)?;
        let order = |said: &Said| (said.hlc, said.place);
        if last.as_ref().is_none_or(|before| order(before) < order(&said)) {
            last = Some(said);
        }
    }
    Ok(last)
}

/// Notes whether the last that a site said of somebody is still to be copied into the authority log.
pub fn note_uncopied(
    writing: &mut Writing<'_>,
    policy: &Policy,
    user: &UserId,
    site: &SiteId,
) -> Result<(), StoreError> {
    let key = uncopied_key(site, user);
    match last_said(writing, user, site)? {
        Some(said) if policy.copied.get(&(*user, *site)) != Some(&said.place) => {
            writing.put(Table::Uncopied, &key, &[])
        }
        _ => writing.remove(Table::Uncopied, &key),
    }
}
