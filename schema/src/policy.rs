//! The state that the authority log gives: who may do what, at each of its positions (R10, R14).
//!
//! [`AuthorityLog`] takes statements in order, refuses what breaks the chain or a rule, and hands out
//! the [`Policy`] at any pinned position. It is a pure fold: the same statements give the same policy.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thiserror::Error;

use crate::authority::{
    AuthorityRef, Body, Cut, MAX_BODY_BYTES, Role, Signed, SiteEntry, Standing, UserEntry, body_hash,
};
use crate::codec::CodecError;
use crate::fold::fold;
use crate::id::{DocId, OrgId, ScopeId, SiteId, StructureId, UserId};
use crate::identity::{Purpose, organisation, verify};
use crate::record::scope_of;

/// A state is kept at every so many positions; those between are made again when a record pins them.
const KEPT_EVERY: u64 = 256;
/// States made again that are kept at hand: records that came together pin few positions.
const AT_HAND: usize = 32;

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

/// Who may do what, at one position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The organisation.
    pub org: OrgId,
    /// Its name.
    pub name: String,
    /// Its root key.
    pub root: SiteId,
    /// The key that signs statements of this epoch.
    pub sequencer: SiteId,
    /// The position that this is the state of.
    pub at: AuthorityRef,
    /// Structures.
    pub structures: BTreeMap<StructureId, Structure>,
    /// Sites, retired ones too.
    pub sites: BTreeMap<SiteId, Arc<SiteEntry>>,
    /// Users, disabled ones too.
    pub users: BTreeMap<UserId, Arc<UserEntry>>,
    /// Folded logins.
    pub logins: BTreeMap<String, UserId>,
    /// Active admins of the whole organisation: there is always one.
    pub admins: BTreeSet<UserId>,
    /// The schema version authors write.
    pub schema: u32,
    /// Revoked keys and what stays of their logs (R18).
    pub revoked: BTreeMap<SiteId, Arc<Vec<Cut>>>,
    /// Set when a statement of an unknown kind came: nothing after it can be judged here (R13).
    pub newer: bool,
}

impl Policy {
    /// The organisation's own scope.
    pub fn org_scope(&self) -> ScopeId {
        scope_of(&self.org, None)
    }

    /// Every scope there is, with the structure it belongs to (`None`: the organisation's own).
    pub fn scopes(&self) -> impl Iterator<Item = (ScopeId, Option<StructureId>)> + '_ {
        let structures = self.structures.keys().map(|id| (scope_of(&self.org, Some(id)), Some(*id)));
        std::iter::once((self.org_scope(), None)).chain(structures)
    }

    /// The structure whose scope this is; `None` for the organisation's own and unknown ones.
    pub fn structure_of(&self, scope: &ScopeId) -> Option<StructureId> {
        self.structures.keys().find(|id| scope_of(&self.org, Some(id)) == *scope).copied()
    }

    /// Whether `site` is active, not revoked, and holds `scope`.
    pub fn holds(&self, site: &SiteId, scope: &ScopeId) -> bool {
        !self.revoked.contains_key(site)
            && self
                .sites
                .get(site)
                .is_some_and(|entry| entry.standing == Standing::Active && entry.scopes.binary_search(scope).is_ok())
    }

    /// The highest role of `user` in `structure`: granted there, above it, or everywhere.
    /// `None` for the structure asks for a role in all of the organisation.
    pub fn role(&self, user: &UserEntry, structure: Option<StructureId>) -> Option<Role> {
        let mut line = BTreeSet::new();
        let mut next = structure;
        while let Some(id) = next {
            if !line.insert(id) {
                break;
            }
            next = self.structures.get(&id).and_then(|structure| structure.parent);
        }
        let counts = |grant: &&crate::authority::Grant| grant.structure.is_none_or(|id| line.contains(&id));
        user.grants.iter().filter(counts).map(|grant| grant.role).max()
    }

    /// The highest role of `user` in any structure.
    pub fn highest_role(&self, user: &UserEntry) -> Option<Role> {
        user.grants.iter().map(|grant| grant.role).max()
    }

    /// The active site with this code, in any case.
    pub fn site_by_code(&self, code: &str) -> Option<&Arc<SiteEntry>> {
        let active = self.sites.values().filter(|entry| entry.standing == Standing::Active);
        active.into_iter().find(|entry| entry.code.eq_ignore_ascii_case(code))
    }

    /// The person document of a user (it stands in the organisation's scope).
    pub fn person_of(&self, user: &UserId) -> DocId {
        crate::doc::doc_id(&self.org, &self.org_scope(), crate::doc::DocKind::Person, &crate::doc::person_key(user))
    }

    /// Goes on to the next statement; one of an unknown kind (`None`) ends what can be judged here (R13). On an
    /// error nothing has changed.
    fn advance(&mut self, at: AuthorityRef, body: Option<&Body>) -> Result<(), AuthorityError> {
        match body {
            Some(body) if !self.newer => self.apply(body)?,
            Some(_) | None => self.newer = true,
        }
        self.at = at;
        Ok(())
    }

    fn apply(&mut self, body: &Body) -> Result<(), AuthorityError> {
        match body {
            Body::Genesis { .. } => return Err(AuthorityError::Rule("an organisation is founded once")),
            Body::Structure { structure, name, parent } => {
                if name.trim().is_empty() {
                    return Err(AuthorityError::Rule("a structure has a name"));
                }
                if parent.is_some_and(|parent| !self.structures.contains_key(&parent)) {
                    return Err(AuthorityError::Rule("a structure's parent exists"));
                }
                self.structures.insert(*structure, Structure { name: name.clone(), parent: *parent });
            }
            Body::Site(entry) => self.apply_site(entry)?,
            Body::User(entry) => self.apply_user(entry)?,
            Body::Copied { user, .. } => self.apply_user(user)?,
            Body::Version(version) => {
                if *version < self.schema {
                    return Err(AuthorityError::Rule("the schema version never decreases"));
                }
                self.schema = *version;
            }
            Body::Revoke { site, cuts } => {
                if !self.sites.contains_key(site) {
                    return Err(AuthorityError::Rule("a revoked key is a known site's"));
                }
                self.revoked.insert(*site, Arc::new(cuts.clone()));
            }
            Body::HandOver { sequencer, .. } => self.sequencer = *sequencer,
        }
        Ok(())
    }

    fn apply_site(&mut self, entry: &SiteEntry) -> Result<(), AuthorityError> {
        let plain = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit();
        if !(2..=5).contains(&entry.code.len()) || !entry.code.chars().all(plain) {
            return Err(AuthorityError::Rule("a site's code is 2 to 5 capital letters or digits"));
        }
        let taken = |other: &Arc<SiteEntry>| {
            other.code == entry.code && other.site != entry.site && other.standing == Standing::Active
        };
        if entry.standing == Standing::Active && self.sites.values().any(taken) {
            return Err(AuthorityError::Rule("a site's code is its own while it is active"));
        }
        self.sites.insert(entry.site, Arc::new(entry.clone()));
        Ok(())
    }

    fn apply_user(&mut self, entry: &UserEntry) -> Result<(), AuthorityError> {
        let login = fold(&entry.login);
        if login.is_empty() || login.contains(' ') {
            return Err(AuthorityError::Rule("a login is one word"));
        }
        if self.logins.get(&login).is_some_and(|other| *other != entry.user) {
            return Err(AuthorityError::Rule("a login is one user's"));
        }
        let others = self.admins.iter().any(|admin| *admin != entry.user);
        if !self.admins.is_empty() && !others && !is_admin(entry) {
            return Err(AuthorityError::Rule("there is always an active admin"));
        }
        match is_admin(entry) {
            true => self.admins.insert(entry.user),
            false => self.admins.remove(&entry.user),
        };
        if let Some(before) = self.users.insert(entry.user, Arc::new(entry.clone())) {
            self.logins.remove(&fold(&before.login));
        }
        self.logins.insert(login, entry.user);
        Ok(())
    }
}

/// Whether the user is active and an admin of the whole organisation.
pub fn is_admin(user: &UserEntry) -> bool {
    user.standing == Standing::Active
        && user.grants.iter().any(|grant| grant.role == Role::Admin && grant.structure.is_none())
}

/// What a pinned position means to this replica.
#[derive(Debug, Clone)]
pub enum Pinned {
    /// The state to judge by.
    Known(Arc<Policy>),
    /// Not held yet, or beyond a statement of a newer version: wait for it (R9, R13).
    Ahead,
}

/// A statement that stands, as far as later states need it.
#[derive(Debug, Clone)]
struct Stated {
    at: AuthorityRef,
    hash: [u8; 32],
    /// `None`: of a kind that this version does not know.
    body: Option<Arc<Body>>,
}

/// All statements that stand, and the state after each: the last one and some are kept, the others are made
/// again from those.
#[derive(Debug, Clone, Default)]
pub struct AuthorityLog {
    statements: Vec<Stated>,
    current: Option<Arc<Policy>>,
    /// The states at multiples of `KEPT_EVERY`.
    kept: Vec<Arc<Policy>>,
    at_hand: RefCell<BTreeMap<u64, Arc<Policy>>>,
    /// (epoch that ended, position of its last statement that stands), in order.
    ended: Vec<AuthorityRef>,
}

impl AuthorityLog {
    /// The state after the last statement; `None` before the first.
    pub fn current(&self) -> Option<&Arc<Policy>> {
        self.current.as_ref()
    }

    /// The last statement's place and hash.
    pub fn head(&self) -> Option<(AuthorityRef, [u8; 32])> {
        self.statements.last().map(|last| (last.at, last.hash))
    }

    /// How many statements stand.
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// The hash of the statement at `position`, if held.
    pub fn hash_at(&self, position: u64) -> Option<[u8; 32]> {
        self.statements.get(position as usize).map(|stated| stated.hash)
    }

    /// The state that a record pinning `at` is judged by. Statements of an ended epoch beyond the
    /// hand-over's base are void: records that pin them are judged at the base (R14).
    pub fn pinned(&self, at: AuthorityRef) -> Pinned {
        if self.statements.last().is_none_or(|last| last.at.epoch < at.epoch) {
            return Pinned::Ahead;
        }
        let bound = self.ended.iter().find(|ended| ended.epoch >= at.epoch);
        let position = bound.map_or(at.position, |ended| ended.position.min(at.position));
        match self.state_at(position) {
            Some(state) if !state.newer && state.at.epoch <= at.epoch => Pinned::Known(state),
            Some(_) | None => Pinned::Ahead,
        }
    }

    /// The state after the statement at `position`, if that is held.
    fn state_at(&self, position: u64) -> Option<Arc<Policy>> {
        let current = self.current.as_ref()?;
        if position >= current.at.position {
            return (position == current.at.position).then(|| current.clone());
        }
        if let Some(state) = self.at_hand.borrow().get(&position) {
            return Some(state.clone());
        }
        let mut state = Policy::clone(self.kept.get((position / KEPT_EVERY) as usize)?);
        for stated in self.statements.get(state.at.position as usize + 1..=position as usize)? {
            // Each was accepted after this very state.
            state.advance(stated.at, stated.body.as_deref()).ok()?;
        }
        let state = Arc::new(state);
        let mut at_hand = self.at_hand.borrow_mut();
        if at_hand.len() >= AT_HAND {
            at_hand.pop_first();
        }
        at_hand.insert(position, state.clone());
        Some(state)
    }

    /// Checks a statement as the next one and adds it. A hand-over drops the statements beyond its base.
    pub fn push(&mut self, signed: &Signed) -> Result<(), AuthorityError> {
        let statement = &signed.statement;
        if signed.body.len() > MAX_BODY_BYTES
            || signed.body.len() != statement.body_length as usize
            || body_hash(&signed.body) != statement.body_hash
        {
            return Err(AuthorityError::Body(CodecError::Invalid { what: "statement body" }));
        }
        if !verify(&statement.signer, Purpose::Statement, &statement.hash(), &signed.signature) {
            return Err(AuthorityError::Signer { at: statement.at });
        }
        let body = Body::from_bytes(statement.kind, &signed.body).map_err(AuthorityError::Body)?;
        match (&body, self.current.clone()) {
            (Some(Body::Genesis { name, root, sequencer }), None) => self.bootstrap(signed, name, *root, *sequencer),
            (_, None) => Err(AuthorityError::OutOfOrder {
                expected: AuthorityRef { epoch: 1, position: 0 },
                found: statement.at,
            }),
            (Some(Body::HandOver { base, base_hash, .. }), Some(last)) => {
                self.hand_over(signed, &last, *base, *base_hash)?;
                self.append(signed, body)
            }
            (_, Some(last)) => {
                let expected = AuthorityRef { epoch: last.at.epoch, position: last.at.position + 1 };
                if statement.at != expected {
                    return Err(AuthorityError::OutOfOrder { expected, found: statement.at });
                }
                if statement.signer != last.sequencer {
                    return Err(AuthorityError::Signer { at: statement.at });
                }
                // Nobody else holds the state while it goes on: it is changed in place.
                drop(last);
                self.append(signed, body)
            }
        }
    }

    fn bootstrap(
        &mut self,
        signed: &Signed,
        name: &str,
        root: SiteId,
        sequencer: SiteId,
    ) -> Result<(), AuthorityError> {
        let statement = &signed.statement;
        let first = AuthorityRef { epoch: 1, position: 0 };
        if statement.at != first || statement.previous != [0; 32] {
            return Err(AuthorityError::OutOfOrder { expected: first, found: statement.at });
        }
        if statement.signer != root {
            return Err(AuthorityError::Signer { at: statement.at });
        }
        if statement.org != organisation(&root) {
            return Err(AuthorityError::Foreign);
        }
        let policy = Arc::new(Policy {
            org: statement.org,
            name: name.to_owned(),
            root,
            sequencer,
            at: statement.at,
            structures: BTreeMap::new(),
            sites: BTreeMap::new(),
            users: BTreeMap::new(),
            logins: BTreeMap::new(),
            admins: BTreeSet::new(),
            schema: 1,
            revoked: BTreeMap::new(),
            newer: false,
        });
        self.statements.push(Stated { at: statement.at, hash: statement.hash(), body: None });
        self.kept.push(policy.clone());
        self.current = Some(policy);
        Ok(())
    }

    fn hand_over(
        &mut self,
        signed: &Signed,
        last: &Policy,
        base: AuthorityRef,
        base_hash: [u8; 32],
    ) -> Result<(), AuthorityError> {
        let at = signed.statement.at;
        let known = self.statements.get(base.position as usize).is_some_and(|stated| stated.at == base);
        if !known || self.hash_at(base.position) != Some(base_hash) {
            return Err(AuthorityError::Chain { at });
        }
        if at.epoch != last.at.epoch + 1 || at.position != base.position + 1 {
            let expected = AuthorityRef { epoch: last.at.epoch + 1, position: base.position + 1 };
            return Err(AuthorityError::OutOfOrder { expected, found: at });
        }
        if signed.statement.signer != last.root {
            return Err(AuthorityError::Signer { at });
        }
        let state = self.state_at(base.position).ok_or(AuthorityError::Chain { at })?;
        self.statements.truncate(base.position as usize + 1);
        self.kept.truncate((base.position / KEPT_EVERY) as usize + 1);
        self.at_hand.borrow_mut().clear();
        self.current = Some(state);
        self.ended.push(AuthorityRef { epoch: last.at.epoch, position: base.position });
        Ok(())
    }

    fn append(&mut self, signed: &Signed, body: Option<Body>) -> Result<(), AuthorityError> {
        let statement = &signed.statement;
        let (Some(current), Some(last)) = (&mut self.current, self.statements.last()) else {
            return Err(AuthorityError::Chain { at: statement.at });
        };
        if statement.org != current.org {
            return Err(AuthorityError::Foreign);
        }
        if statement.previous != last.hash {
            return Err(AuthorityError::Chain { at: statement.at });
        }
        Arc::make_mut(current).advance(statement.at, body.as_ref())?;
        if statement.at.position.is_multiple_of(KEPT_EVERY) {
            self.kept.push(current.clone());
        }
        self.statements.push(Stated { at: statement.at, hash: statement.hash(), body: body.map(Arc::new) });
        Ok(())
    }
}
