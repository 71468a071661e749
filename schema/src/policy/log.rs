//! The statements that stand, and the state after any of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use rpds::VectorSync;

use super::apply::Undo;
use super::{AuthorityError, Map, Policy};
use crate::authority::{AuthorityRef, Body, MAX_BODY_BYTES, Pin, Signed, body_hash, pin};
use crate::codec::CodecError;
use crate::id::SiteId;
use crate::identity::{Purpose, organisation, verify};

/// While going back to an old state, the states at multiples of this are kept at hand: the next record of a site
/// that was cut off pins the next position.
const KEPT_EVERY: u64 = 64;
/// States kept at hand. They share structure with the current one.
const AT_HAND: usize = 64;

/// What a pinned position means to this replica.
#[derive(Debug, Clone)]
pub enum Pinned {
    /// The state to judge by.
    Known(Arc<Policy>),
    /// Not held yet, beyond a statement of a newer version, or another statement than the one that stands here:
    /// wait for it (R9, R13).
    Ahead,
}

/// A statement that stands.
#[derive(Debug, Clone)]
struct Stated {
    at: AuthorityRef,
    hash: [u8; 32],
    undo: Undo,
}

/// All statements that stand, and the state after the last. Older states are made by going back from it. Cheap to
/// clone.
#[derive(Debug, Clone, Default)]
pub struct AuthorityLog {
    statements: VectorSync<Stated>,
    current: Option<Arc<Policy>>,
    at_hand: RefCell<BTreeMap<u64, Arc<Policy>>>,
    /// The last statement that stands of each epoch that ended, in order of epochs.
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

    /// What a record written now pins; `None` before the first statement.
    pub fn pin(&self) -> Option<Pin> {
        self.head().map(|(at, hash)| pin(at, &hash))
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
        self.stated(position).map(|stated| stated.hash)
    }

    fn stated(&self, position: u64) -> Option<&Stated> {
        self.statements.get(usize::try_from(position).ok()?)
    }

    /// The state that a record with this pin is judged by. Statements of an ended epoch beyond the hand-over's
    /// base are void: records that pin them are judged at the base (R14).
    pub fn pinned(&self, pinned: Pin) -> Pinned {
        let Pin { at, hash_head } = pinned;
        if self.statements.last().is_none_or(|last| last.at.epoch < at.epoch) {
            return Pinned::Ahead;
        }
        let position = match self.bound_of(at.epoch) {
            Some(bound) if at.position > bound => bound,
            Some(_) | None => {
                let stands = |stated: &&Stated| stated.at == at && pin(at, &stated.hash).hash_head == hash_head;
                match self.stated(at.position).filter(stands) {
                    Some(_) => at.position,
                    None => return Pinned::Ahead,
                }
            }
        };
        match self.state_at(position) {
            Some(state) if !state.newer => Pinned::Known(state),
            Some(_) | None => Pinned::Ahead,
        }
    }

    /// The last position that stands of what an epoch that ended and those before it said: of several hand-overs since,
    /// the one that went back furthest bounds it. `None`: the epoch goes on.
    fn bound_of(&self, epoch: u32) -> Option<u64> {
        self.ended.iter().filter(|ended| ended.epoch >= epoch).map(|ended| ended.position).min()
    }

    /// Whether a statement stands beyond the base of a hand-over that ended its epoch: then it is void (R14).
    pub fn is_past(&self, at: AuthorityRef) -> bool {
        self.bound_of(at.epoch).is_some_and(|bound| at.position > bound)
    }

    /// The state after the statement at `position`, if that is held. Linear in the statements between it and the
    /// nearest later state at hand.
    fn state_at(&self, position: u64) -> Option<Arc<Policy>> {
        let current = self.current.as_ref()?;
        if position >= current.pin.at.position {
            return (position == current.pin.at.position).then(|| current.clone());
        }
        let nearest = self.at_hand.borrow().range(position..).next().map(|(_, state)| state.clone());
        let nearest = nearest.unwrap_or_else(|| current.clone());
        if nearest.pin.at.position == position {
            return Some(nearest);
        }
        let mut state = Policy::clone(&nearest);
        for after in (position + 1..=nearest.pin.at.position).rev() {
            state.go_back(&self.stated(after)?.undo);
            let before = self.stated(after - 1)?;
            state.pin = pin(before.at, &before.hash);
            if (after - 1).is_multiple_of(KEPT_EVERY) || after - 1 == position {
                self.keep(Arc::new(state.clone()));
            }
        }
        Some(Arc::new(state))
    }

    /// Keeps a state at hand. Of more than `AT_HAND` the ones at the roundest positions stay: those are spread evenly, so
    /// that no pin, and no row of pins, makes every other one go back through the whole log.
    fn keep(&self, state: Arc<Policy>) {
        let mut at_hand = self.at_hand.borrow_mut();
        at_hand.insert(state.pin.at.position, state);
        if at_hand.len() > AT_HAND {
            let least = at_hand.keys().copied().min_by_key(|position| position.trailing_zeros());
            least.and_then(|position| at_hand.remove(&position));
        }
    }

    /// Checks a statement as the next one and adds it. A hand-over drops the statements beyond its base. On an
    /// error nothing has changed.
    pub fn push(&mut self, signed: &Signed) -> Result<(), AuthorityError> {
        let statement = &signed.statement;
        if !verify(&statement.signer, Purpose::Statement, &statement.hash(), &signed.signature) {
            return Err(AuthorityError::Signer { at: statement.at });
        }
        self.push_verified(signed)
    }

    /// As [`AuthorityLog::push`], of a statement whose signature was verified when it was stored.
    pub fn push_verified(&mut self, signed: &Signed) -> Result<(), AuthorityError> {
        let statement = &signed.statement;
        if signed.body.len() > MAX_BODY_BYTES
            || signed.body.len() != statement.body_length as usize
            || body_hash(&signed.body) != statement.body_hash
        {
            return Err(AuthorityError::Body(CodecError::Invalid { what: "statement body" }));
        }
        let understood = statement.format == crate::authority::FORMAT;
        let body = match understood {
            true => Body::from_bytes(statement.kind, &signed.body).map_err(AuthorityError::Body)?,
            false => None,
        };
        // A flag that the body's kind contradicts would make old and new versions judge apart.
        if body.as_ref().is_some_and(|body| body.is_skippable() != statement.skippable) {
            return Err(AuthorityError::Rule("a statement is skippable as its kind is"));
        }
        let next = match (&body, self.current.clone()) {
            (Some(Body::Genesis { name, root, sequencer }), None) => Self::bootstrap(signed, name, *root, *sequencer)?,
            (_, None) => {
                let expected = AuthorityRef { epoch: 1, position: 0 };
                return Err(AuthorityError::OutOfOrder { expected, found: statement.at });
            }
            (Some(Body::HandOver { base, base_hash, .. }), Some(last)) => {
                self.hand_over(signed, &last, *base, *base_hash)?.append(signed, body.as_ref())?
            }
            (_, Some(last)) => {
                let expected = AuthorityRef { epoch: last.pin.at.epoch, position: last.pin.at.position + 1 };
                if statement.at != expected {
                    return Err(match self.stated(statement.at.position) {
                        Some(stated) if stated.at == statement.at && stated.hash != statement.hash() => {
                            AuthorityError::Forked { at: statement.at }
                        }
                        Some(_) | None => AuthorityError::OutOfOrder { expected, found: statement.at },
                    });
                }
                if statement.signer != last.sequencer {
                    return Err(AuthorityError::Signer { at: statement.at });
                }
                // The same key, and another history behind it: somebody used it twice.
                if self.statements.last().is_some_and(|stated| stated.hash != statement.previous) {
                    return Err(AuthorityError::Forked { at: statement.at });
                }
                self.clone().append(signed, body.as_ref())?
            }
        };
        *self = next;
        Ok(())
    }

    fn bootstrap(signed: &Signed, name: &str, root: SiteId, sequencer: SiteId) -> Result<Self, AuthorityError> {
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
        let policy = Policy {
            org: statement.org,
            name: name.into(),
            root,
            sequencer,
            pin: statement.pin(),
            structures: Map::new_sync(),
            scopes: Map::new_sync(),
            sites: Map::new_sync(),
            addresses: Map::new_sync(),
            users: Map::new_sync(),
            copied: Map::new_sync(),
            logins: Map::new_sync(),
            admins: Map::new_sync(),
            devices: Map::new_sync(),
            services: Map::new_sync(),
            schema: 1,
            revoked: Map::new_sync(),
            retired: Map::new_sync(),
            newer: false,
        };
        let mut log = Self { current: Some(Arc::new(policy)), ..Self::default() };
        log.statements.push_back_mut(Stated { at: statement.at, hash: statement.hash(), undo: Undo::Nothing });
        Ok(log)
    }

    /// The log as it stands at the base of a hand-over.
    fn hand_over(
        &self,
        signed: &Signed,
        last: &Policy,
        base: AuthorityRef,
        base_hash: [u8; 32],
    ) -> Result<Self, AuthorityError> {
        let at = signed.statement.at;
        if signed.statement.signer != last.root {
            return Err(AuthorityError::Signer { at });
        }
        // The root key was used at two ends of a split, or names a statement that another branch holds: who passes it on
        // believes what the root signed.
        let known = self.stated(base.position).is_some_and(|stated| stated.at == base && stated.hash == base_hash);
        let epoch = last.pin.at.epoch;
        if !known || at.epoch == epoch {
            return Err(AuthorityError::Forked { at });
        }
        // A hand-over between may stand no more, and then nobody tells of it.
        if at.epoch < epoch || at.position != base.position + 1 {
            let expected = AuthorityRef { epoch: epoch + 1, position: base.position + 1 };
            return Err(AuthorityError::OutOfOrder { expected, found: at });
        }
        let mut log = self.clone();
        log.current = Some(self.state_at(base.position).ok_or(AuthorityError::Chain { at })?);
        while log.statements.len() as u64 > base.position + 1 {
            log.statements.drop_last_mut();
        }
        log.at_hand.borrow_mut().clear();
        log.ended.push(AuthorityRef { epoch: at.epoch - 1, position: base.position });
        Ok(log)
    }

    fn append(mut self, signed: &Signed, body: Option<&Body>) -> Result<Self, AuthorityError> {
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
        let hash = statement.hash();
        let mut next = Policy::clone(current);
        next.pin = pin(statement.at, &hash);
        let undo = next.advance(body, statement.skippable)?;
        *current = Arc::new(next);
        self.statements.push_back_mut(Stated { at: statement.at, hash, undo });
        Ok(self)
    }
}
