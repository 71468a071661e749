//! Which records stand (R18 to R20): of a revoked key those that its cut covers, of others all, but for those behind a
//! fork.
//!
//! Standing concerns documents: what a site says of its people is judged wherever it stands, and copied into the
//! authority log only while the site is in the organisation (docs/decisions/0017).
//!
//! What is beyond is held, passed on and listed, and has no effect, but for what a standing record builds on: that is
//! *tainted*, applied and marked. [`super::anew`] works out what is.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use schema::authority::Cut;
use schema::id::{LogId, RecordHash, ScopeId, SiteId};
use schema::policy::{Policy, Revocation};
use schema::record::Previous;

use crate::admission::{history_at, stored};
use crate::store::rows::{Beyond, Mark};
use crate::store::tables::{LogNo, record_key};
use crate::store::{LogState, Source, StoreError, Table, Writing};

/// What a record may do to documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It stands.
    Stands,
    /// It does not, and no standing record builds on it.
    Beyond(Beyond),
    /// It does not, and a standing record builds on it.
    Tainted,
    /// As `Tainted`, but another record of the same place in its document came before it.
    Stranded,
}

/// The last seq that stands of each history of a site in a scope, by its name; nothing of those that are missing.
type Limits = BTreeMap<LogId, u64>;

/// Where the records of revoked keys end. What arrives of a key is followed from where the walk from its cut came to; it is
/// walked anew only where its cut, or its logs in another way, have changed since: an arrival then costs what it brings, and
/// not what led to it.
#[derive(Debug, Default)]
pub struct Cuts(BTreeMap<(SiteId, ScopeId), Known>);

/// What was worked out of a site in a scope, and from what.
#[derive(Debug)]
struct Known {
    cut: Option<Cut>,
    changes: u64,
    walk: Walk,
}

impl Cuts {
    /// Why a record does not stand; `None` if it does. Linear in the generations behind the cut, once after each change.
    pub fn beyond(
        &mut self,
        writing: &Writing<'_>,
        policy: Option<&Policy>,
        log: &LogId,
        (no, seq): (LogNo, u64),
    ) -> Result<Option<Beyond>, StoreError> {
        let forked = writing.log_index().forks().name_of(no, seq).map(|_| Beyond::Fork);
        let policy = policy.filter(|_| !crate::fault_injection::ignores_cuts());
        let Some(revocation) = policy.and_then(|policy| policy.revoked.get(&log.site)) else {
            return Ok(forked);
        };
        let known = self.known(writing, cut_in(revocation, log), log)?;
        let name = writing.log_index().forks().name_of(no, seq).unwrap_or(*log);
        let stands = known.walk.limits.get(&name).is_some_and(|last| seq <= *last);
        // Who knows of the revocation asks the cut alone: what it covers stands whatever else the key signed.
        Ok((!stands).then_some(forked.unwrap_or(Beyond::Cut)))
    }

    /// What stands of a log that forked because a cut covers it, as its records name it: under which numbers, from which seq to
    /// which. Nothing of one whose key is not revoked: of that stands what led to both histories. Linear in the generations
    /// behind the cut.
    pub fn covered(
        &mut self,
        writing: &Writing<'_>,
        policy: Option<&Policy>,
        log: &LogId,
    ) -> Result<Vec<(LogNo, u64, u64)>, StoreError> {
        let revocation = policy.and_then(|policy| policy.revoked.get(&log.site));
        let Some(revocation) = revocation.filter(|_| writing.log_index().forks().of(log).next().is_some()) else {
            return Ok(Vec::new());
        };
        let mut covered = Vec::new();
        for (id, last) in &self.known(writing, cut_in(revocation, log), log)?.walk.limits {
            let state = writing.log(id)?.filter(|state| state.signed_as() == *log);
            // Until the cut's own record is held, it counts as if it were: what is here ends before.
            covered.extend(state.map(|state| (state.no, state.from(), state.seq.min(*last))));
        }
        Ok(covered)
    }

    /// Stores more of a log, as its records name it, by `append`, and has those logs looked at again that end elsewhere then
    /// (R18). Linear in what the walk from the cut goes on along, beside what is stored.
    pub fn grow(
        &mut self,
        writing: &mut Writing<'_>,
        policy: &Policy,
        (log, first, last): (&LogId, u64, u64),
        append: impl FnOnce(&mut Writing<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let Some(revocation) = policy.revoked.get(&log.site) else {
            return append(writing);
        };
        // Where it ended must be known before anything is written: what ends elsewhere afterwards follows from both.
        self.known(writing, cut_in(revocation, log), log)?;
        append(writing)?;
        let Some(known) = self.0.get_mut(&(log.site, log.scope)) else {
            return Ok(());
        };
        let brings = |other: &LogId, seq: u64| other == log && (first..=last).contains(&seq);
        // What is held stays where it is held, and so does what it follows: only these can lead elsewhere.
        let cut = known.cut.as_ref().filter(|_| !known.walk.holds_cut);
        if let Some(cut) = cut.filter(|cut| cut.generation == log.generation && (first == 1 || brings(log, cut.seq))) {
            let walk = Walk::from(writing, Some(cut), log)?;
            restand_changed(writing, &known.walk.limits, &walk.limits)?;
            known.walk = walk;
        } else if known.walk.end.is_some_and(|(other, seq, _)| brings(&other, seq)) {
            for id in known.walk.go_on(writing)? {
                restand_log(writing, &id)?;
            }
        }
        // Nothing else has changed; if all this is taken back, that counts as another change.
        known.changes = writing.log_index().changes(&log.site, &log.scope);
        Ok(())
    }

    /// What is known of a log's site in its scope, as of now.
    fn known(&mut self, writing: &Writing<'_>, cut: Option<Cut>, log: &LogId) -> Result<&Known, StoreError> {
        let changes = writing.log_index().changes(&log.site, &log.scope);
        let current = || Walk::from(writing, cut.as_ref(), log).map(|walk| Known { cut, changes, walk });
        Ok(match self.0.entry((log.site, log.scope)) {
            Entry::Vacant(place) => place.insert(current()?),
            Entry::Occupied(place) => {
                let known = place.into_mut();
                if (known.changes, known.cut) != (changes, cut) {
                    *known = current()?;
                }
                known
            }
        })
    }
}

fn cut_in(revocation: &Revocation, log: &LogId) -> Option<Cut> {
    revocation.cuts.iter().find(|cut| cut.scope == log.scope).copied()
}

/// The way from a cut back along the records that lead to it, through whatever histories hold them, and on along the
/// generations that they follow. The sequencer signed the cut's hash, and with it every record before it: what stands is
/// found by hashes, never by which history is called what.
#[derive(Debug, Default)]
struct Walk {
    limits: Limits,
    /// Whether the cut's own record is held.
    holds_cut: bool,
    /// The record to which it leads next, which is not held; `None` if it leads no further.
    end: Option<(LogId, u64, RecordHash)>,
}

impl Walk {
    /// The whole of it. Linear in the generations, and for one that forked in the open logs of its site.
    fn from(writing: &Writing<'_>, cut: Option<&Cut>, log: &LogId) -> Result<Self, StoreError> {
        let mut walk = Self::default();
        let Some(cut) = cut else {
            return Ok(walk);
        };
        let main = LogId { generation: cut.generation, ..*log };
        walk.end = Some((main, cut.seq, cut.hash));
        walk.holds_cut = history_at(writing, writing.log_index(), &main, cut.seq, &cut.hash)?.is_some();
        if !walk.holds_cut {
            // The sequencer held that record, so it will come: until then what may lead to it counts as if it did.
            let state = writing.log(&main)?.filter(|state| state.branch.is_none());
            if state.as_ref().is_some_and(|state| state.seq >= cut.seq) {
                walk.end = None;
                return Ok(walk);
            }
            walk.limits.insert(main, cut.seq);
            walk.end = state.filter(|state| state.seq > 0).map(|state| before(writing, &state)).transpose()?.flatten();
        }
        walk.go_on(writing)?;
        Ok(walk)
    }

    /// Goes on as far as what it leads to is held, and says which histories it came through. Linear in those.
    fn go_on(&mut self, writing: &Writing<'_>) -> Result<Vec<LogId>, StoreError> {
        let mut passed = Vec::new();
        // Nobody need ever have held what a generation says of the one before: it leads on where that record is held.
        while let Some((log, seq, hash)) = self.end {
            let Some(state) = history_at(writing, writing.log_index(), &log, seq, &hash)? else {
                break;
            };
            passed.push(state.id);
            // What names itself in a circle leads no further.
            let is_circle = self.limits.insert(state.id, seq).is_some();
            self.end = if is_circle { None } else { before(writing, &state)? };
        }
        Ok(passed)
    }
}

/// The last record before a history of which something is held: of the log that forked, or, as its own first record says,
/// of the generation that it follows.
pub fn before(source: &impl Source, state: &LogState) -> Result<Option<(LogId, u64, RecordHash)>, StoreError> {
    if let Some(branch) = state.branch.filter(|branch| branch.from > 1) {
        return Ok(Some((state.signed_as(), branch.from - 1, branch.base)));
    }
    Ok(match stored(source, state.no, 1)?.record.header.previous {
        Previous::After(closing) => {
            Some((LogId { generation: closing.generation, ..state.id }, closing.seq, closing.hash))
        }
        Previous::First | Previous::Record(_) => None,
    })
}

/// A record's standing: whether it is beyond an end, and what was made of it there.
pub fn standing(source: &impl Source, beyond: Option<Beyond>, no: LogNo, seq: u64) -> Result<Standing, StoreError> {
    let Some(beyond) = beyond else {
        return Ok(Standing::Stands);
    };
    Ok(match source.get_as::<Mark>(Table::Tainted, &record_key(no, seq))? {
        None => Standing::Beyond(beyond),
        Some(Mark::Tainted) => Standing::Tainted,
        Some(Mark::Stranded) => Standing::Stranded,
    })
}

/// Has every log of a site looked at again: what stands of it may have changed. Linear in those.
pub fn restand_site(writing: &mut Writing<'_>, site: &SiteId) -> Result<(), StoreError> {
    for (_, no) in writing.prefixed(Table::LogNumbers, &site.0)? {
        restand(writing, &no, (1, u64::MAX))?;
    }
    Ok(())
}

/// Where a revoked site's records end in a scope, before something is written that may change it.
#[derive(Debug)]
pub struct Before {
    cut: Option<Cut>,
    log: LogId,
    limits: Limits,
}

impl Before {
    /// Of the site and the scope of a log; `None` while the site is not revoked. Linear as the walk from its cut.
    pub fn of(writing: &Writing<'_>, policy: &Policy, log: &LogId) -> Result<Option<Self>, StoreError> {
        let Some(revocation) = policy.revoked.get(&log.site) else {
            return Ok(None);
        };
        let cut = cut_in(revocation, log);
        let limits = Walk::from(writing, cut.as_ref(), log)?.limits;
        Ok(Some(Self { cut, log: *log, limits }))
    }

    /// Has those logs looked at again that end elsewhere now. Linear as the walk from the cut.
    pub fn restand(self, writing: &mut Writing<'_>) -> Result<(), StoreError> {
        let after = Walk::from(writing, self.cut.as_ref(), &self.log)?.limits;
        restand_changed(writing, &self.limits, &after)
    }
}

/// Has those logs looked at again that end elsewhere now. Linear in both.
fn restand_changed(writing: &mut Writing<'_>, before: &Limits, after: &Limits) -> Result<(), StoreError> {
    for id in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        if before.get(id) != after.get(id) {
            restand_log(writing, id)?;
        }
    }
    Ok(())
}

fn restand_log(writing: &mut Writing<'_>, id: &LogId) -> Result<(), StoreError> {
    match writing.log(id)? {
        Some(state) => restand(writing, &state.no.to_be_bytes(), (1, u64::MAX)),
        None => Ok(()),
    }
}

/// Has a log looked at again, by its number, from one of its records on. From `moved` on the documents are judged anew whether
/// the records stand as before or not: they came behind a fork, where another history may name what they name, or are the first
/// to build on what another history names.
pub fn restand(writing: &mut Writing<'_>, no: &[u8], (from, moved): (u64, u64)) -> Result<(), StoreError> {
    let listed = writing.get(Table::Restand, no)?.as_deref().and_then(read_restand);
    let (listed, listed_moved) = listed.unwrap_or((u64::MAX, u64::MAX));
    writing.put(Table::Restand, no, &restand_row(from.min(listed), moved.min(listed_moved)))
}

/// The row of a log that is to be looked at again: from which seq on, and from which on it moved.
pub fn restand_row(from: u64, moved: u64) -> [u8; 16] {
    let mut row = [0; 16];
    row[..8].copy_from_slice(&from.to_be_bytes());
    row[8..].copy_from_slice(&moved.to_be_bytes());
    row
}

/// Reads such a row.
pub fn read_restand(row: &[u8]) -> Option<(u64, u64)> {
    let (from, moved) = row.split_at_checked(8)?;
    Some((u64::from_be_bytes(from.try_into().ok()?), u64::from_be_bytes(moved.try_into().ok()?)))
}
