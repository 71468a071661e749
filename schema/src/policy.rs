//! The state that the authority log gives: who may do what, at each of its positions (R10, R14).
//!
//! [`AuthorityLog`] (`log`) takes statements in order, refuses what breaks the chain or a rule, and hands out
//! the [`Policy`] at any pinned position. It is a pure fold: the same statements give the same policy. The maps
//! of a policy share structure with those of its neighbours, so that a state costs its difference, not its size.

mod apply;
mod log;

use std::collections::BTreeSet;
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;
use thiserror::Error;

use crate::authority::{
    AuthorityRef, Cut, DeviceEntry, Grant, Pin, Role, ScopeSelector, ServiceEntry, SiteEntry, SiteSelector, Standing,
    UserEntry,
};
use crate::codec::CodecError;
use crate::id::{DeviceId, DocId, GenerationId, OrgId, ScopeId, ServiceId, SiteId, StructureId, UserId, scope_of};

pub use log::{AuthorityLog, Pinned};

/// Why a statement was refused.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum AuthorityError {
    /// Not the statement that comes next.
    #[error("statement {found:?} does not follow {expected:?}")]
    OutOfOrder {
        /// What comes next here.
        expected: AuthorityRef,
        /// What came.
        found: AuthorityRef,
    },
    /// The chain of hashes is broken.
    #[error("statement {at:?} names another statement before it")]
    Chain {
        /// Where.
        at: AuthorityRef,
    },
    /// Another statement of the same key stands at its place: the sequencer's key was used twice (R14).
    #[error("statement {at:?} is another than the one that stands there")]
    Forked {
        /// Where.
        at: AuthorityRef,
    },
    /// Signed by a key that may not.
    #[error("statement {at:?} is not signed by whom it must be")]
    Signer {
        /// Where.
        at: AuthorityRef,
    },
    /// Another organisation's statement.
    #[error("a statement of another organisation")]
    Foreign,
    /// The body is not what the statement names, or is not canonical.
    #[error("the body of a statement is broken")]
    Body(#[source] CodecError),
    /// A rule of the organisation.
    #[error("a statement breaks a rule: {0}")]
    Rule(&'static str),
}

/// A structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    /// For people.
    pub name: String,
    /// What it is part of.
    pub parent: Option<StructureId>,
}

/// A revoked key: since when, and what of its logs stands (R18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The statement that revoked it.
    pub at: AuthorityRef,
    /// What stands, by scope.
    pub cuts: Vec<Cut>,
}

/// Why a site is in the organisation no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its key is revoked.
    Revoked,
    /// It was given up, or another took its place.
    Retired,
}

impl Ended {
    /// The word for it, with which a session ends.
    pub fn word(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Retired => "retired",
        }
    }
}

/// A persistent map: a clone costs nothing, a change its path.
pub type Map<K, V> = RedBlackTreeMapSync<K, V>;

/// Who may do what, at one position. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The organisation.
    pub org: OrgId,
    /// Its name.
    pub name: Arc<str>,
    /// Its root key.
    pub root: SiteId,
    /// The key that signs statements of this epoch.
    pub sequencer: SiteId,
    /// The statement that this is the state after.
    pub pin: Pin,
    /// Structures.
    pub structures: Map<StructureId, Arc<Structure>>,
    /// Scopes of structures.
    pub scopes: Map<ScopeId, StructureId>,
    /// Sites, retired ones too.
    pub sites: Map<SiteId, Arc<SiteEntry>>,
    /// Where sites may be found.
    pub addresses: Map<SiteId, Arc<Vec<String>>>,
    /// Users, disabled ones too.
    pub users: Map<UserId, Arc<UserEntry>>,
    /// Of each site's own statements about its people the one that was copied last: its place in the site's log of the
    /// organisation's scope (R15).
    pub copied: Map<(UserId, SiteId), (GenerationId, u64)>,
    /// Folded logins.
    pub logins: Map<String, UserId>,
    /// Active admins of the whole organisation: there is always one.
    pub admins: Map<UserId, ()>,
    /// Desktops, ended ones too.
    pub devices: Map<DeviceId, Arc<DeviceEntry>>,
    /// Services, ended ones too.
    pub services: Map<ServiceId, Arc<ServiceEntry>>,
    /// The schema version authors write.
    pub schema: u32,
    /// Revoked keys.
    pub revoked: Map<SiteId, Arc<Revocation>>,
    /// The statements by which sites were retired that are so still.
    pub retired: Map<SiteId, AuthorityRef>,
    /// Set when a statement of an unknown kind came that may not be skipped: nothing after it can be judged here
    /// (R13).
    pub newer: bool,
}

impl Policy {
    /// The organisation's own scope.
    pub fn org_scope(&self) -> ScopeId {
        scope_of(&self.org, None)
    }

    /// Every scope there is, with the structure it belongs to (`None`: the organisation's own).
    pub fn scopes(&self) -> impl Iterator<Item = (ScopeId, Option<StructureId>)> + '_ {
        let structures = self.scopes.iter().map(|(scope, id)| (*scope, Some(*id)));
        std::iter::once((self.org_scope(), None)).chain(structures)
    }

    /// The structure whose scope this is; `None` for the organisation's own and unknown ones.
    pub fn structure_of(&self, scope: &ScopeId) -> Option<StructureId> {
        self.scopes.get(scope).copied()
    }

    /// Whether a site is in the organisation: neither retired nor revoked.
    pub fn is_active(&self, site: &SiteId) -> bool {
        let standing = self.sites.get(site).map(|entry| entry.standing);
        standing == Some(Standing::Active) && !self.revoked.contains_key(site)
    }

    /// The statement since which a site is in the organisation no more, and why; `None` while it is.
    pub fn ended(&self, site: &SiteId) -> Option<(Ended, AuthorityRef)> {
        let revoked = self.revoked.get(site).map(|revocation| (Ended::Revoked, revocation.at));
        revoked.or_else(|| Some((Ended::Retired, *self.retired.get(site)?)))
    }

    /// Whether `site` is active, not revoked, and holds `scope`.
    pub fn holds(&self, site: &SiteId, scope: &ScopeId) -> bool {
        let Some(entry) = self.sites.get(site).filter(|_| self.is_active(site)) else {
            return false;
        };
        match self.structure_of(scope) {
            Some(structure) => self.selects(&entry.holds, structure),
            None => {
                let own =
                    |selector: &ScopeSelector| matches!(selector, ScopeSelector::All | ScopeSelector::Organisation);
                *scope == self.org_scope() && entry.holds.iter().any(own)
            }
        }
    }

    /// Whether a site may enrol people for a structure (R15).
    pub fn enrols(&self, site: &SiteId, structure: StructureId) -> bool {
        let entry = self.sites.get(site).filter(|_| self.is_active(site));
        self.structures.contains_key(&structure) && entry.is_some_and(|entry| self.selects(&entry.enrols, structure))
    }

    /// Whether `site` may speak for whoever these selectors belong to (R11).
    pub fn speaks(&self, site: &SiteId, selectors: &[SiteSelector]) -> bool {
        let Some(entry) = self.sites.get(site) else {
            return false;
        };
        selectors.iter().any(|selector| match selector {
            SiteSelector::All => true,
            SiteSelector::Site(other) => other == site,
            SiteSelector::Below(structure) => entry.structure.is_some_and(|at| self.line(at).contains(structure)),
        })
    }

    fn selects(&self, selectors: &[ScopeSelector], structure: StructureId) -> bool {
        selectors.iter().any(|selector| match selector {
            ScopeSelector::All => true,
            ScopeSelector::Organisation => false,
            ScopeSelector::Structure(other) => *other == structure,
            ScopeSelector::Below(top) => self.line(structure).contains(top),
        })
    }

    /// A structure and all above it. Linear in the depth of the tree; a circle ends where it began.
    fn line(&self, structure: StructureId) -> BTreeSet<StructureId> {
        let mut line = BTreeSet::new();
        let mut next = Some(structure);
        while let Some(id) = next.filter(|id| line.insert(*id)) {
            next = self.structures.get(&id).and_then(|structure| structure.parent);
        }
        line
    }

    /// The highest of these roles in `structure`: granted there, above it, or everywhere.
    /// `None` for the structure asks for a role in all of the organisation.
    pub fn role(&self, grants: &[Grant], structure: Option<StructureId>) -> Option<Role> {
        let line = structure.map(|structure| self.line(structure)).unwrap_or_default();
        let counts = |grant: &&Grant| grant.structure.is_none_or(|id| line.contains(&id));
        grants.iter().filter(counts).map(|grant| grant.role).max()
    }

    /// The active site with this code, in any case. Linear in the sites.
    pub fn site_by_code(&self, code: &str) -> Option<&Arc<SiteEntry>> {
        let mut active = self.sites.values().filter(|entry| self.is_active(&entry.site));
        active.find(|entry| entry.code.eq_ignore_ascii_case(code))
    }

    /// The person document of a user (it stands in the organisation's scope).
    pub fn person_of(&self, user: &UserId) -> DocId {
        crate::doc::doc_id(&self.org, &self.org_scope(), crate::doc::DocKind::Person, &crate::doc::person_key(user))
    }
}

/// The highest of these roles in any structure.
pub fn highest_role(grants: &[Grant]) -> Option<Role> {
    grants.iter().map(|grant| grant.role).max()
}

/// Whether the user is active and an admin of the whole organisation.
pub fn is_admin(user: &UserEntry) -> bool {
    user.standing == Standing::Active
        && user.grants.iter().any(|grant| grant.role == Role::Admin && grant.structure.is_none())
}
