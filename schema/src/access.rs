//! The one permission rule: who may write what, who may read what.
//!
//! The author's site asks it before signing, every receiver asks it again at content admission (R10),
//! and the HTTP interface asks it for every reader. It reads only what no replica can see differently: the
//! policy at the pinned position, scope, kind, genesis facts and the keys touched.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::author::Author;
use crate::authority::{Grant, Role, ServiceEntry, SiteSelector, Standing, UserEntry};
use crate::doc::{DocKind, GenesisFacts};
use crate::id::{DocId, ScopeId, SiteId, StructureId, UserId};
use crate::policy::{Policy, highest_role};
use crate::ticket::status::TRANSITION;

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
    /// The number that it gives the document at birth, if any.
    pub number: Option<&'a str>,
    /// Every root key that the change writes, deletes or edits the text of.
    pub keys: &'a BTreeSet<String>,
    /// Those of them under which it replaces or deletes a value.
    pub replaced: &'a BTreeSet<String>,
    /// The id that items of this record have (`record::item_id`).
    pub item: &'a str,
}

/// Keyed parts of a document: `<prefix><item id>`, or below that. Their id is that of the record that makes them, so
/// that nobody can aim at another's, and they are written once.
const ITEMS: [&str; 5] = [COMMENT, TRANSITION, IMPORTED, CONFIRMED, ADOPTED];
/// Replies, or notes.
pub const COMMENT: &str = "comment/";
/// What somebody says is right although the change that made it does not stand (R19): the beginning of that item's key.
pub const CONFIRMED: &str = "confirmed/";
/// Which record somebody adopted by the record that has this item (R12): [`crate::doc::Adopted`].
pub const ADOPTED: &str = "adopted/";
/// What the source of an import says: nobody's own word.
pub const IMPORTED: &str = "imported/";

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
    /// A comment, a move or an import's source under an id of another record, or one that was written before.
    #[error("an item is made once, by the record whose id it has")]
    Item,
    /// A number that begins with the code of another site: numbers of a site are its own to give.
    #[error("a document's number begins with the code of the site that gives it")]
    Number,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Site, Self::Speaker, Self::Disabled, Self::Role, Self::Scope, Self::Item, Self::Number];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Site => "site-may-not",
            Self::Speaker => "not-its-user",
            Self::Disabled => "user-disabled",
            Self::Role => "role-may-not",
            Self::Scope => "wrong-scope",
            Self::Item => "not-its-item",
            Self::Number => "not-its-number",
        }
    }
}

/// Whether the change may be. Sources: R10, R11, R36.
pub fn may(policy: &Policy, write: &Write<'_>) -> Result<(), Refusal> {
    if !policy.holds(&write.site, &write.scope) {
        return Err(Refusal::Site);
    }
    let structure = policy.structure_of(&write.scope);
    if write.kind.is_shared() != structure.is_none() {
        return Err(Refusal::Scope);
    }
    if !own_items(write) {
        return Err(Refusal::Item);
    }
    if write.number.is_some_and(|number| !gives(policy, &write.site, number)) {
        return Err(Refusal::Number);
    }
    let (grants, user) = match &write.author {
        Author::Site => return Ok(()),
        Author::User(id) => {
            let user = speaker(policy, &write.site, id, write.user)?;
            (&user.grants, Some(user))
        }
        Author::Service(id) => (&service(policy, &write.site, policy.services.get(id))?.grants, None),
        // Whoever judges waits for a newer version before it asks (R13).
        Author::Other(_) => return Err(Refusal::Speaker),
    };
    // A person who could write it would put words into anybody's mouth.
    if user.is_some() && write.keys.iter().any(|key| key.starts_with(IMPORTED)) {
        return Err(Refusal::Role);
    }
    let role = match write.kind.is_shared() {
        true => highest_role(grants),
        false => policy.role(grants, structure),
    };
    let allowed = match (write.kind, role) {
        (_, None) | (DocKind::Other(_), _) => false,
        (DocKind::Ticket | DocKind::TicketNotes, Some(Role::Technician | Role::Admin)) => true,
        (DocKind::Ticket, Some(Role::User)) => user.is_some_and(|user| own_ticket(policy, user, write)),
        (DocKind::TicketNotes, Some(Role::User)) => false,
        (DocKind::Person, Some(Role::Technician | Role::Admin)) => true,
        (DocKind::Group | DocKind::Category | DocKind::Location, Some(Role::Admin)) => true,
        (DocKind::Person | DocKind::Group | DocKind::Category | DocKind::Location, Some(_)) => false,
    };
    if allowed { Ok(()) } else { Err(Refusal::Role) }
}

/// Whether a site may say something new in its own log of somebody whom the authority log knows: it speaks for them,
/// and may enrol for all that they have and all that they get. Source: R15.
pub fn may_restate(
    policy: &Policy,
    site: &SiteId,
    scope: &ScopeId,
    author: &Author,
    known: &UserEntry,
    grants: &[Grant],
) -> Result<(), Refusal> {
    if !policy.speaks(site, &known.sites) {
        return Err(Refusal::Speaker);
    }
    may_enrol(policy, site, scope, author, &known.grants)?;
    may_enrol(policy, site, scope, author, grants)
}

/// Whether a number is a site's to give: its code, a hyphen, the rest. Only so is what shows a number that two documents
/// were given a question between them and the site (docs/decisions/0004).
fn gives(policy: &Policy, site: &SiteId, number: &str) -> bool {
    let code = policy.sites.get(site).map(|entry| entry.code.as_str());
    code.and_then(|code| number.strip_prefix(code)).is_some_and(|rest| rest.starts_with('-'))
}

/// Whether every item that is written has the id of this record, and replaces nothing.
fn own_items(write: &Write<'_>) -> bool {
    write.keys.iter().all(|key| match ITEMS.iter().find_map(|prefix| key.strip_prefix(prefix)) {
        Some(rest) => rest.split('/').next() == Some(write.item) && !write.replaced.contains(key),
        None => true,
    })
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
    let granted = |grant: &Grant| {
        grant.role < Role::Admin && grant.structure.is_some_and(|structure| policy.enrols(site, structure))
    };
    if grants.is_empty() || !grants.iter().all(granted) {
        return Err(Refusal::Role);
    }
    let admin_of = |own: &[Grant]| grants.iter().all(|grant| policy.role(own, grant.structure) == Some(Role::Admin));
    let allowed = match author {
        Author::Site => true,
        Author::User(id) => {
            admin_of(&speaker(policy, site, id, policy.users.get(id).map(std::sync::Arc::as_ref))?.grants)
        }
        Author::Service(id) => admin_of(&service(policy, site, policy.services.get(id))?.grants),
        Author::Other(_) => return Err(Refusal::Speaker),
    };
    if allowed { Ok(()) } else { Err(Refusal::Role) }
}

/// Whether a site may set what somebody logs in with (R16): in its own log of the organisation's scope, for whom these
/// selectors let it speak. In whose name is the site's own matter: it could sign in theirs anyway. Somebody who is
/// disabled may get a password before they are let in again.
pub fn may_set_credential(
    policy: &Policy,
    site: &SiteId,
    scope: &ScopeId,
    selectors: &[SiteSelector],
) -> Result<(), Refusal> {
    if !policy.holds(site, scope) {
        return Err(Refusal::Site);
    }
    if *scope != policy.org_scope() {
        return Err(Refusal::Scope);
    }
    if policy.speaks(site, selectors) { Ok(()) } else { Err(Refusal::Speaker) }
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
    let technician = |id: &&StructureId| policy.role(&user.grants, Some(**id)) >= Some(Role::Technician);
    Reach {
        structures: policy.structures.keys().filter(technician).copied().collect(),
        person: policy.person_of(&user.user),
    }
}

/// Whether `user` may change what the authority log says.
pub fn may_govern(user: &UserEntry) -> bool {
    crate::policy::is_admin(user)
}

/// The user, if the site may speak for them (R11) and they are active.
fn speaker<'a>(
    policy: &Policy,
    site: &SiteId,
    id: &UserId,
    user: Option<&'a UserEntry>,
) -> Result<&'a UserEntry, Refusal> {
    let user = user.filter(|user| user.user == *id).ok_or(Refusal::Speaker)?;
    if !policy.speaks(site, &user.sites) {
        return Err(Refusal::Speaker);
    }
    match user.standing {
        Standing::Active => Ok(user),
        Standing::Ended => Err(Refusal::Disabled),
    }
}

/// As [`speaker`], of a service (R36).
fn service<'a>(
    policy: &Policy,
    site: &SiteId,
    service: Option<&'a std::sync::Arc<ServiceEntry>>,
) -> Result<&'a ServiceEntry, Refusal> {
    let service = service.filter(|service| policy.speaks(site, &service.sites)).ok_or(Refusal::Speaker)?;
    match service.standing {
        Standing::Active => Ok(service),
        Standing::Ended => Err(Refusal::Disabled),
    }
}

/// A user opens tickets for themselves, and on those replies and moves the status; nothing else.
fn own_ticket(policy: &Policy, user: &UserEntry, write: &Write<'_>) -> bool {
    let own = write.facts.requester == Some(policy.person_of(&user.user));
    let conversation = |key: &String| key.starts_with("comment/") || key.starts_with("transition/");
    own && (write.genesis || write.keys.iter().all(conversation))
}
