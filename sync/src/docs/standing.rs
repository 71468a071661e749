//! Which records stand (R18 to R20): those of a key that is not revoked, of a revoked one those up to its cut, and of a
//! log that forked those before the fork.
//!
//! Standing concerns documents: what a site says of its people is judged wherever it stands, and copied into the
//! authority log only while the site is in the organisation (docs/decisions/0017).
//!
//! What is beyond is held, passed on and listed, and has no effect, but for what a standing record builds on: that is
//! *tainted*, applied and marked. [`super::anew`] works out what is.

use std::collections::BTreeMap;

use schema::authority::Cut;
use schema::id::{GenerationId, LogId, ScopeId, SiteId};
use schema::policy::Policy;
use schema::record::Closing;

use crate::admission::stored;
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

/// The last seq that stands of each generation of a site in a scope; nothing of those that are missing.
type Limits = BTreeMap<GenerationId, u64>;

/// Where the records of revoked keys end, worked out again only where a log of the key has changed since, or its cut has:
/// what is looked at again comes in many passes.
#[derive(Debug, Default)]
pub struct Cuts(BTreeMap<(SiteId, ScopeId), Known>);

/// What was worked out of a site in a scope, and from what.
#[derive(Debug)]
struct Known {
    cut: Option<Cut>,
    changes: u64,
    limits: Limits,
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
        let cut = revocation.cuts.iter().find(|cut| cut.scope == log.scope).copied();
        let changes = writing.log_index().changes(&log.site, &log.scope);
        let place = (log.site, log.scope);
        let is_current = |known: &Known| known.changes == changes && known.cut == cut;
        if !self.0.get(&place).is_some_and(is_current) {
            let limits = limits(writing, cut.as_ref(), log)?;
            self.0.insert(place, Known { cut, changes, limits });
        }
        let last = self.0.get(&place).and_then(|known| known.limits.get(&log.generation));
        Ok(last.is_none_or(|last| seq > *last).then_some(Beyond::Cut).or(forked))
    }
}

/// Walks from the cut back along the generations that it follows. A chain that contradicts what is held ends there:
/// the sequencer signed the cut's hash, and with it every record before it.
fn limits(writing: &Writing<'_>, cut: Option<&Cut>, log: &LogId) -> Result<Limits, StoreError> {
    let mut limits = Limits::new();
    let mut end = cut.map(|cut| (cut.generation, cut.seq, cut.hash));
    while let Some((generation, seq, hash)) = end.filter(|(generation, ..)| !limits.contains_key(generation)) {
        let state = writing.log(&LogId { generation, ..*log })?;
        if let Some(state) = state.as_ref().filter(|state| state.seq >= seq && seq > 0)
            && stored(writing, state.no, seq)?.record.hash() != hash
        {
            break;
        }
        limits.insert(generation, seq);
        let follows = state.and_then(|state| state.follows);
        end = follows.map(|Closing { generation, seq, hash, .. }| (generation, seq, hash));
    }
    Ok(limits)
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
        restand(writing, &no)?;
    }
    Ok(())
}

/// Has the logs looked at again that the cut of a revoked site reaches through this one, which has just grown. Linear in
/// those.
pub fn restand_behind(writing: &mut Writing<'_>, log: &LogState) -> Result<(), StoreError> {
    let mut next = Some(log.clone());
    let mut seen = std::collections::BTreeSet::new();
    while let Some(log) = next.filter(|log| seen.insert(log.id)) {
        restand(writing, &log.no.to_be_bytes())?;
        next = match log.follows {
            Some(closing) => writing.log(&LogId { generation: closing.generation, ..log.id })?,
            None => None,
        };
    }
    Ok(())
}

/// Has a log looked at again, by its number.
pub fn restand(writing: &mut Writing<'_>, no: &[u8]) -> Result<(), StoreError> {
    writing.put(Table::Restand, no, &1u64.to_be_bytes())
}
