//! The one permission rule: who may write what, who may read what.
//!
//! The author's site asks it before signing, every receiver asks it again at content admission (R10),
//! and the HTTP door asks it for every reader. It reads only what no replica can see differently: the
//! policy at the pinned position, scope, kind, genesis facts and the keys touched.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::authority::{Grant, Role, Standing, UserEntry};
use crate::doc::DocKind;
use crate::id::{DocId, ScopeId, SiteId, StructureId, UserId};
use crate::policy::Policy;
use crate::record::Author;

/// What the genesis change of a document says for ever.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GenesisFacts {
    /// The requester named at birth: their own tickets are theirs.
    pub requester: Option<DocId>,
}

/// One change, as far as rights are concerned.
#[derive(Debug, Clone)]
pub struct Write<'a> {
    /// The site whose log it stands in.
    pub site: SiteId,
    /// In whose name.
    pub author: Author,
    /// The user as the authority log or the site's own enrolment knows them (R15); `None` for the site
    /// itself and for users nobody knows.
    pub user: Option<&'a UserEntry>,
    /// The scope.
    pub scope: ScopeId,
    /// The document's kind.
    pub kind: DocKind,
    /// Whether this change gives birth to the document.
    pub genesis: bool,
    /// What the document's genesis says.
    pub facts: &'a GenesisFacts,
    /// Every root key that the change writes, deletes or edits the text of.
    pub keys: &'a BTreeSet<String>,
}

/// Why a change or a reading is refused. The code is stable.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The site is retired, revoked, unknown or does not hold the scope.
    #[error("the site may not write in this scope")]
    Site,
    /// The site may not speak for this user (R11), or there is no such user.
    #[error("the site may not speak for this user")]
    Speaker,
    /// The user is disabled.
    #[error("the user is disabled")]
    Disabled,
    /// The user's role does not allow it.
    #[error("the role does not allow it")]
    Role,
    /// A document of this kind does not stand in this scope.
    #[error("a document of this kind does not stand in this scope")]
    Scope,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Site, Self::Speaker, Self::Disabled, Self::Role, Self::Scope];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Site => "site-may-not",
            Self::Speaker => "not-its-user",
            Self::Disabled => "user-disabled",
            Self::Role => "role-may-not",
            Self::Scope => "wrong-scope",
        }
    }
}

/// Whether the change may be. Sources: R10, R11, design section 2.
pub fn may(policy: &Policy, write: &Write<'_>) -> Result<(), Refusal> {
    if !policy.holds(&write.site, &write.scope) {
        return Err(Refusal::Site);
    }
    let structure = policy.structure_of(&write.scope);
    if write.kind.is_shared() != structure.is_none() {
        return Err(Refusal::Scope);
    }
    let user = match write.author {
        Author::Site => return Ok(()),
        Author::User(id) => speaker(&write.site, &id, write.user)?,
    };
    let role = match write.kind.is_shared() {
        true => policy.highest_role(user),
        false => policy.role(user, structure),
    };
    let allowed = match (write.kind, role) {
        (_, None) | (DocKind::Other(_), _) => false,
        (DocKind::Ticket | DocKind::TicketNotes, Some(Role::Technician | Role::Admin)) => true,
        (DocKind::Ticket, Some(Role::User)) => own_ticket(policy, user, write),
        (DocKind::TicketNotes, Some(Role::User)) => false,
        (DocKind::Person, Some(Role::Technician | Role::Admin)) => true,
        (DocKind::Group | DocKind::Category | DocKind::Location, Some(Role::Admin)) => true,
        (DocKind::Person | DocKind::Group | DocKind::Category | DocKind::Location, Some(_)) => false,
    };
    if allowed { Ok(()) } else { Err(Refusal::Role) }
}

/// Whether a site may enrol somebody with these grants (R15): in its own log of the organisation's scope, below
/// admin, in structures that the authority log gives it; for itself, or for an admin of each of them.
pub fn may_enrol(
    policy: &Policy,
    site: &SiteId,
    scope: &ScopeId,
    author: &Author,
    grants: &[Grant],
) -> Result<(), Refusal> {
    if !policy.holds(site, scope) {
        return Err(Refusal::Site);
    }
    if *scope != policy.org_scope() {
        return Err(Refusal::Scope);
    }
    let enrols = policy.sites.get(site).map(|site| site.enrols.as_slice()).unwrap_or_default();
    let granted = |grant: &Grant| {
        grant.role < Role::Admin && grant.structure.is_some_and(|structure| enrols.binary_search(&structure).is_ok())
    };
    if grants.is_empty() || !grants.iter().all(granted) {
        return Err(Refusal::Role);
    }
    let Author::User(id) = author else {
        return Ok(());
    };
    let user = speaker(site, id, policy.users.get(id).map(std::sync::Arc::as_ref))?;
    let admin = grants.iter().all(|grant| policy.role(user, grant.structure) == Some(Role::Admin));
    if admin { Ok(()) } else { Err(Refusal::Role) }
}

/// What a reader may see of an organisation's documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Structures whose tickets and notes they see whole.
    pub structures: BTreeSet<StructureId>,
    /// Their own person: they see tickets that they requested, without notes.
    pub person: DocId,
}

impl Reach {
    /// Whether a ticket may be read.
    pub fn ticket(&self, structure: &StructureId, requesters: &[Option<DocId>]) -> bool {
        self.notes(structure) || requesters.contains(&Some(self.person))
    }
    /// Whether the internal notes of a structure's tickets may be read.
    pub fn notes(&self, structure: &StructureId) -> bool {
        self.structures.contains(structure)
    }
}

/// What `user` may read: hand this out, so that a handler cannot forget a limit.
pub fn readable_by(policy: &Policy, user: &UserEntry) -> Reach {
    let technician = |id: &&StructureId| policy.role(user, Some(**id)) >= Some(Role::Technician);
    Reach {
        structures: policy.structures.keys().filter(technician).copied().collect(),
        person: policy.person_of(&user.user),
    }
}

/// Whether `user` may change what the authority log says.
pub fn may_govern(user: &UserEntry) -> bool {
    crate::policy::is_admin(user)
}

fn speaker<'a>(site: &SiteId, id: &UserId, user: Option<&'a UserEntry>) -> Result<&'a UserEntry, Refusal> {
    let user = user.filter(|user| user.user == *id).ok_or(Refusal::Speaker)?;
    if user.sites.binary_search(site).is_err() {
        return Err(Refusal::Speaker);
    }
    match user.standing {
        Standing::Active => Ok(user),
        Standing::Ended => Err(Refusal::Disabled),
    }
}

/// A user opens tickets for themselves, and on those replies and moves the status; nothing else.
fn own_ticket(policy: &Policy, user: &UserEntry, write: &Write<'_>) -> bool {
    let own = write.facts.requester == Some(policy.person_of(&user.user));
    let conversation = |key: &String| key.starts_with("comment/") || key.starts_with("transition/");
    own && (write.genesis || write.keys.iter().all(conversation))
}
