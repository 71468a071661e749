//! Frontier announcements (R17): making one's own, keeping the newest of everybody's, and what they answer.

use std::collections::BTreeMap;

use schema::codec::Canonical;
use schema::frontier::{Frontier, SignedFrontier};
use schema::id::{GenerationId, LogId, OrgId, ScopeId, SiteId};
use schema::identity::Secret;
use schema::policy::Policy;
use schema::time::Hlc;

use crate::store::log_index::HeldSeqs;
use crate::store::{LogIndex, Source, StoreError, Table, Writing, decode};

/// The newest statement of each site.
pub type Frontiers = BTreeMap<SiteId, SignedFrontier>;

/// Reads the frontiers from the store.
pub fn load(source: &impl Source) -> Result<Frontiers, StoreError> {
    let rows = source.prefixed(Table::Frontiers, &[])?;
    let read = |(_, bytes): &(Vec<u8>, Vec<u8>)| decode::<SignedFrontier>(Table::Frontiers, bytes);
    rows.iter().map(|row| read(row).map(|signed| (signed.frontier.site, signed))).collect()
}

/// Says what this site holds.
pub fn say(org: OrgId, key: &Secret, generation: GenerationId, hlc: Hlc, local: &LogIndex) -> SignedFrontier {
    let mut lines: Vec<(LogId, u64)> = Vec::new();
    for scope in local.scopes.keys() {
        let line = |(site, generation, seq, _)| (LogId { site, generation, scope: *scope }, seq);
        lines.extend(local.vector(scope).into_iter().map(line));
    }
    lines.sort_unstable();
    SignedFrontier::new(Frontier { org, site: key.public(), generation, hlc, lines }, key)
}

/// Keeps the statements that are genuine, of known sites and newer than what is held; answers with those.
pub fn admit(
    writing: &mut Writing<'_>,
    policy: &Policy,
    frontiers: &Frontiers,
    said: Vec<SignedFrontier>,
) -> Result<Vec<SignedFrontier>, StoreError> {
    let mut news = Vec::new();
    for signed in said {
        let frontier = &signed.frontier;
        let known = policy.sites.contains_key(&frontier.site) && frontier.org == policy.org;
        // Two copies of a site may speak at one instant: the generation settles it alike everywhere.
        let place = |frontier: &Frontier| (frontier.hlc, frontier.generation);
        let newer = frontiers.get(&frontier.site).is_none_or(|held| place(&held.frontier) < place(frontier));
        if known && newer && signed.is_genuine() {
            writing.put(Table::Frontiers, &frontier.site.0, &signed.to_bytes())?;
            news.push(signed);
        }
    }
    Ok(news)
}

/// How many records of a scope held here a site does not hold yet, by its newest statement.
pub fn missing_at(local: &LogIndex, frontiers: &Frontiers, site: &SiteId, scope: &ScopeId) -> u64 {
    lacking(local, &held_by(local, frontiers, site, scope), scope)
}

/// What a site says it holds of a scope, as far as its logs are known here.
pub fn held_by(local: &LogIndex, frontiers: &Frontiers, site: &SiteId, scope: &ScopeId) -> HeldSeqs {
    let Some(signed) = frontiers.get(site) else {
        return HeldSeqs::new();
    };
    let lines = signed.frontier.lines.iter().filter(|(log, _)| log.scope == *scope);
    local.expand(scope, &lines.map(|(log, seq)| ((log.site, log.generation), *seq)).collect())
}

/// How many records that a site says it holds are not here yet.
pub fn missing_here(local: &LogIndex, frontiers: &Frontiers, site: &SiteId, scope: &ScopeId) -> u64 {
    let Some(signed) = frontiers.get(site) else {
        return 0;
    };
    let lines = signed.frontier.lines.iter().filter(|(log, _)| log.scope == *scope);
    let missing = lines.map(|(log, seq)| seq.saturating_sub(local.logs.get(log).map_or(0, |state| state.seq)));
    missing.fold(0, u64::saturating_add)
}

/// How many records of a scope held here somebody who holds this lacks.
pub fn lacking(local: &LogIndex, held: &HeldSeqs, scope: &ScopeId) -> u64 {
    let logs = local.logs.values().filter(|state| state.id.scope == *scope);
    logs.map(|state| {
        let has = held.get(&(state.id.site, state.id.generation)).copied().unwrap_or_default();
        state.seq.saturating_sub(has)
    })
    .sum()
}
