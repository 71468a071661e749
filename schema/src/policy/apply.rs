//! What a statement makes of the state before it, and how to go back.

use std::sync::Arc;

use super::{AuthorityError, Policy, Revocation, Structure, is_admin};
use crate::authority::{AuthorityRef, Body, Cut, DeviceEntry, ServiceEntry, SiteEntry, Standing, UserEntry};
use crate::fold::fold;
use crate::id::{DeviceId, GenerationId, ServiceId, SiteId, StructureId, UserId, scope_of};

/// What a statement put in the place of what: enough to go back from the state after it to the one before.
#[derive(Debug, Clone)]
pub(super) enum Undo {
    Nothing,
    Structure(StructureId, Option<Arc<Structure>>),
    Site(SiteId, Option<Arc<SiteEntry>>, Option<AuthorityRef>),
    User(UserId, Option<Arc<UserEntry>>),
    Copied((UserId, SiteId), Option<(GenerationId, u64)>, Option<Arc<UserEntry>>),
    Addresses(SiteId, Option<Arc<Vec<String>>>),
    Device(DeviceId, Option<Arc<DeviceEntry>>),
    Service(ServiceId, Option<Arc<ServiceEntry>>),
    Version(u32),
    Revoked(SiteId, Option<Arc<Revocation>>),
    Sequencer(SiteId),
    /// It was the first that is not understood here.
    Newer,
}

impl Policy {
    /// Goes on by one statement; `None` for a body that is not understood here: passed over if `skippable`,
    /// otherwise the end of what can be judged (R13). On an error nothing has changed.
    pub(super) fn advance(&mut self, body: Option<&Body>, skippable: bool) -> Result<Undo, AuthorityError> {
        match body {
            _ if self.newer => Ok(Undo::Nothing),
            Some(body) => self.apply(body),
            None if skippable => Ok(Undo::Nothing),
            None => {
                self.newer = true;
                Ok(Undo::Newer)
            }
        }
    }

    fn apply(&mut self, body: &Body) -> Result<Undo, AuthorityError> {
        match body {
            Body::Genesis { .. } => Err(AuthorityError::Rule("an organisation is founded once")),
            Body::Structure { structure, name, parent } => {
                self.check_structure(structure, name, parent.as_ref())?;
                let made = Arc::new(Structure { name: name.clone(), parent: *parent });
                Ok(Undo::Structure(*structure, self.set_structure(*structure, Some(made))))
            }
            Body::Site(entry) => {
                self.check_site(entry)?;
                let before = self.sites.get(&entry.site).cloned();
                let retired = self.retired.get(&entry.site).copied();
                match entry.standing {
                    Standing::Active => drop(self.retired.remove_mut(&entry.site)),
                    // It is renamed without being retired again.
                    Standing::Ended if retired.is_some() => {}
                    Standing::Ended => self.retired.insert_mut(entry.site, self.pin.at),
                }
                self.sites.insert_mut(entry.site, Arc::new(entry.clone()));
                Ok(Undo::Site(entry.site, before, retired))
            }
            Body::User(entry) => {
                self.check_user(entry)?;
                Ok(Undo::User(entry.user, self.set_user(entry.user, Some(Arc::new(entry.clone())))))
            }
            Body::Copied { site, generation, seq, user: entry } => {
                self.check_user(entry)?;
                let from = (entry.user, *site);
                let before = self.copied.get(&from).copied();
                self.copied.insert_mut(from, (*generation, *seq));
                Ok(Undo::Copied(from, before, self.set_user(entry.user, Some(Arc::new(entry.clone())))))
            }
            Body::Version(version) if *version < self.schema => {
                Err(AuthorityError::Rule("the schema version never decreases"))
            }
            Body::Version(version) => Ok(Undo::Version(std::mem::replace(&mut self.schema, *version))),
            Body::Revoke { site, cuts } => self.revoke(site, cuts),
            Body::HandOver { sequencer, .. } => Ok(Undo::Sequencer(std::mem::replace(&mut self.sequencer, *sequencer))),
            Body::Addresses { site, addresses } => {
                if !self.sites.contains_key(site) {
                    return Err(AuthorityError::Rule("addresses are a known site's"));
                }
                let before = self.addresses.get(site).cloned();
                self.addresses.insert_mut(*site, Arc::new(addresses.clone()));
                Ok(Undo::Addresses(*site, before))
            }
            Body::Device(entry) => {
                if !self.users.contains_key(&entry.user) || !self.sites.contains_key(&entry.home) {
                    return Err(AuthorityError::Rule("a device has a known user and a known home"));
                }
                let before = self.devices.get(&entry.device).cloned();
                self.devices.insert_mut(entry.device, Arc::new(entry.clone()));
                Ok(Undo::Device(entry.device, before))
            }
            Body::Service(entry) => {
                let before = self.services.get(&entry.service).cloned();
                self.services.insert_mut(entry.service, Arc::new(entry.clone()));
                Ok(Undo::Service(entry.service, before))
            }
        }
    }

    /// Back to the state before the statement that gave this.
    pub(super) fn go_back(&mut self, undo: &Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::Structure(id, before) => drop(self.set_structure(*id, before.clone())),
            Undo::Site(id, before, retired) => {
                restore(&mut self.sites, id, before);
                restore(&mut self.retired, id, retired);
            }
            Undo::User(id, before) => drop(self.set_user(*id, before.clone())),
            Undo::Copied(from, place, before) => {
                restore(&mut self.copied, from, place);
                drop(self.set_user(from.0, before.clone()));
            }
            Undo::Addresses(id, before) => restore(&mut self.addresses, id, before),
            Undo::Device(id, before) => restore(&mut self.devices, id, before),
            Undo::Service(id, before) => restore(&mut self.services, id, before),
            Undo::Version(before) => self.schema = *before,
            Undo::Revoked(id, before) => restore(&mut self.revoked, id, before),
            Undo::Sequencer(before) => self.sequencer = *before,
            Undo::Newer => self.newer = false,
        }
    }

    fn check_structure(
        &self,
        structure: &StructureId,
        name: &str,
        parent: Option<&StructureId>,
    ) -> Result<(), AuthorityError> {
        if name.trim().is_empty() {
            return Err(AuthorityError::Rule("a structure has a name"));
        }
        let Some(parent) = parent else {
            return Ok(());
        };
        if !self.structures.contains_key(parent) {
            return Err(AuthorityError::Rule("a structure's parent exists"));
        }
        if self.line(*parent).contains(structure) {
            return Err(AuthorityError::Rule("a structure is not below itself"));
        }
        Ok(())
    }

    fn set_structure(&mut self, id: StructureId, entry: Option<Arc<Structure>>) -> Option<Arc<Structure>> {
        let before = self.structures.get(&id).cloned();
        let scope = scope_of(&self.org, Some(&id));
        match entry {
            Some(entry) => {
                self.structures.insert_mut(id, entry);
                self.scopes.insert_mut(scope, id);
            }
            None => {
                self.structures.remove_mut(&id);
                self.scopes.remove_mut(&scope);
            }
        }
        before
    }

    fn check_site(&self, entry: &SiteEntry) -> Result<(), AuthorityError> {
        let plain = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit();
        if !(2..=5).contains(&entry.code.len()) || !entry.code.chars().all(plain) {
            return Err(AuthorityError::Rule("a site's code is 2 to 5 capital letters or digits"));
        }
        if entry.structure.is_some_and(|structure| !self.structures.contains_key(&structure)) {
            return Err(AuthorityError::Rule("a site stands in a structure that exists"));
        }
        let taken = |other: &&Arc<SiteEntry>| {
            other.code == entry.code && other.site != entry.site && self.is_active(&other.site)
        };
        if entry.standing == Standing::Active && self.sites.values().any(|other| taken(&other)) {
            return Err(AuthorityError::Rule("a site's code is its own while it is active"));
        }
        Ok(())
    }

    fn check_user(&self, entry: &UserEntry) -> Result<(), AuthorityError> {
        let login = fold(&entry.login);
        if login.is_empty() || login.contains(' ') {
            return Err(AuthorityError::Rule("a login is one word"));
        }
        if self.logins.get(&login).is_some_and(|other| *other != entry.user) {
            return Err(AuthorityError::Rule("a login is one user's"));
        }
        let last = self.admins.size() == 1 && self.admins.contains_key(&entry.user);
        if last && !is_admin(entry) {
            return Err(AuthorityError::Rule("there is always an active admin"));
        }
        Ok(())
    }

    /// Puts or takes away a user, with the indices that hang on it.
    fn set_user(&mut self, id: UserId, entry: Option<Arc<UserEntry>>) -> Option<Arc<UserEntry>> {
        let before = self.users.get(&id).cloned();
        if let Some(before) = &before {
            self.logins.remove_mut(&fold(&before.login));
        }
        match entry {
            Some(entry) => {
                match is_admin(&entry) {
                    true => self.admins.insert_mut(id, ()),
                    false => drop(self.admins.remove_mut(&id)),
                }
                self.logins.insert_mut(fold(&entry.login), id);
                self.users.insert_mut(id, entry);
            }
            None => {
                self.admins.remove_mut(&id);
                self.users.remove_mut(&id);
            }
        }
        before
    }

    fn revoke(&mut self, site: &SiteId, cuts: &[Cut]) -> Result<Undo, AuthorityError> {
        if !self.sites.contains_key(site) {
            return Err(AuthorityError::Rule("a revoked key is a known site's"));
        }
        if self.revoked.contains_key(site) {
            return Err(AuthorityError::Rule("a key is revoked once"));
        }
        let revocation = Revocation { at: self.pin.at, cuts: cuts.to_vec() };
        self.revoked.insert_mut(*site, Arc::new(revocation));
        Ok(Undo::Revoked(*site, None))
    }
}

fn restore<K: Ord + Copy, V: Clone>(map: &mut super::Map<K, V>, key: &K, before: &Option<V>) {
    match before {
        Some(before) => map.insert_mut(*key, before.clone()),
        None => drop(map.remove_mut(key)),
    }
}
