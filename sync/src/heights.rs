//! Height statements (R17): making one's own, keeping the newest of everybody's, and what they answer.

use std::collections::BTreeMap;

use schema::codec::Canonical;
use schema::height::{Heights, SignedHeights};
use schema::id::{GenerationId, LogId, OrgId, ScopeId, SiteId};
use schema::identity::Secret;
use schema::policy::Policy;
use schema::time::Hlc;

use crate::store::local::Held;
use crate::store::{Local, Source, StoreError, Table, Writing, decode};

/// The newest statement of each site.
pub type Book = BTreeMap<SiteId, SignedHeights>;

/// Reads the book from the store.
pub fn load(source: &impl Source) -> Result<Book, StoreError> {
    let rows = source.prefixed(Table::Heights, &[])?;
    let read = |(_, bytes): &(Vec<u8>, Vec<u8>)| decode::<SignedHeights>(Table::Heights, bytes);
    rows.iter().map(|row| read(row).map(|signed| (signed.heights.site, signed))).collect()
}

/// Says what this site holds.
pub fn say(org: OrgId, key: &Secret, generation: GenerationId, hlc: Hlc, local: &Local) -> SignedHeights {
    let mut lines: Vec<(LogId, u64)> = Vec::new();
    for scope in local.scopes.keys() {
        let line = |(site, generation, seq, _)| (LogId { site, generation, scope: *scope }, seq);
        lines.extend(local.vector(scope).into_iter().map(line));
    }
    lines.sort_unstable();
    SignedHeights::new(Heights { org, site: key.public(), generation, hlc, lines }, key)
}

/// Keeps the statements that are genuine, of known sites and newer than what is held; answers with those.
pub fn admit(
    writing: &mut Writing<'_>,
    policy: &Policy,
    book: &Book,
    said: Vec<SignedHeights>,
) -> Result<Vec<SignedHeights>, StoreError> {
    let mut news = Vec::new();
    for signed in said {
        let heights = &signed.heights;
        let known = policy.sites.contains_key(&heights.site) && heights.org == policy.org;
        // Two copies of a site may speak at one instant: the generation settles it alike everywhere.
        let place = |heights: &Heights| (heights.hlc, heights.generation);
        let newer = book.get(&heights.site).is_none_or(|held| place(&held.heights) < place(heights));
        if known && newer && signed.is_genuine() {
            writing.put(Table::Heights, &heights.site.0, &signed.to_bytes())?;
            news.push(signed);
        }
    }
    Ok(news)
}

/// How many records of a scope held here a site does not hold yet, by its newest statement.
pub fn missing_at(local: &Local, book: &Book, site: &SiteId, scope: &ScopeId) -> u64 {
    lacking(local, &held_by(local, book, site, scope), scope)
}

/// What a site says it holds of a scope, as far as its logs are known here.
pub fn held_by(local: &Local, book: &Book, site: &SiteId, scope: &ScopeId) -> Held {
    let Some(signed) = book.get(site) else {
        return Held::new();
    };
    let lines = signed.heights.lines.iter().filter(|(log, _)| log.scope == *scope);
    local.expand(scope, &lines.map(|(log, seq)| ((log.site, log.generation), *seq)).collect())
}

/// How many records that a site says it holds are not here yet.
pub fn missing_here(local: &Local, book: &Book, site: &SiteId, scope: &ScopeId) -> u64 {
    let Some(signed) = book.get(site) else {
        return 0;
    };
    let lines = signed.heights.lines.iter().filter(|(log, _)| log.scope == *scope);
    let missing = lines.map(|(log, seq)| seq.saturating_sub(local.logs.get(log).map_or(0, |state| state.seq)));
    missing.fold(0, u64::saturating_add)
}

/// How many records of a scope held here somebody who holds this lacks.
pub fn lacking(local: &Local, held: &Held, scope: &ScopeId) -> u64 {
    let logs = local.logs.values().filter(|state| state.id.scope == *scope);
    logs.map(|state| {
        let has = held.get(&(state.id.site, state.id.generation)).copied().unwrap_or_default();
        state.seq.saturating_sub(has)
    })
    .sum()
}
