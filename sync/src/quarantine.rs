//! The list of records without effect, or without effect yet (R12). Not a second store: a reading of it.

use schema::id::{RecordHash, ScopeId, UserId};
use schema::record::Record;

use crate::admission::stored;
use crate::store::rows::Verdict;
use crate::store::tables::{RECORD_KEY_BYTES, read_record_key, record_key};
use crate::store::{Source, StoreError, Table, Writing, decode};

/// Names a record in this store, for as long as the store is the same.
pub type RecordKey = [u8; RECORD_KEY_BYTES];

/// A quarantined record and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it stands in this store.
    pub key: RecordKey,
    /// The record.
    pub record: Record,
    /// Why it has no effect.
    pub verdict: Verdict,
}

/// One page of the list.
#[derive(Debug, Default)]
pub struct Page {
    /// What it shows, in the order of the store's logs.
    pub items: Vec<Quarantined>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<RecordKey>,
}

/// Rows looked at for one page: a reader who may see few of many turns pages that are not full.
const LOOKED_AT: usize = 4096;

/// At most `limit` quarantined records of the scopes that `may_see` allows, from `from` on. Linear in the page, and in
/// [`LOOKED_AT`].
pub fn list(
    source: &impl Source,
    from: Option<&RecordKey>,
    limit: usize,
    may_see: impl Fn(&ScopeId) -> bool,
) -> Result<Page, StoreError> {
    let mut page = Page::default();
    let from = from.map(RecordKey::as_slice).unwrap_or_default();
    let rows = source.range(Table::Quarantine, from, None, LOOKED_AT)?;
    let is_last = rows.len() < LOOKED_AT;
    for (key, bytes) in &rows {
        let key: RecordKey = key.as_slice().try_into().map_err(|_| StoreError::Missing { what: KEY })?;
        if page.items.len() == limit {
            page.next = Some(key);
            return Ok(page);
        }
        let (log, seq) = read_record_key(&key).ok_or(StoreError::Missing { what: KEY })?;
        let record = stored(source, log, seq)?.record;
        if may_see(&record.header.log.scope) && !is_discarded(source, &record.hash())? {
            page.items.push(Quarantined { key, record, verdict: decode(Table::Quarantine, bytes)? });
        }
        page.next = (!is_last).then(|| record_key(log, seq + 1));
    }
    Ok(page)
}

/// How many are listed. Those that were discarded and are in the list no more for another reason count once too few.
pub fn count(source: &impl Source) -> Result<u64, StoreError> {
    Ok(source.count(Table::Quarantine)?.saturating_sub(source.count(Table::Discarded)?))
}

/// A listed record; `None` if it is not listed, or another one stands there.
pub fn find(source: &impl Source, key: &RecordKey, hash_head: &[u8; 8]) -> Result<Option<Quarantined>, StoreError> {
    let Some(verdict) = source.get_as(Table::Quarantine, key)? else {
        return Ok(None);
    };
    let (log, seq) = read_record_key(key).ok_or(StoreError::Missing { what: KEY })?;
    let record = stored(source, log, seq)?.record;
    let hash = record.hash();
    let is_it = hash.head() == *hash_head && !is_discarded(source, &hash)?;
    Ok(is_it.then_some(Quarantined { key: *key, record, verdict }))
}

fn is_discarded(source: &impl Source, hash: &RecordHash) -> Result<bool, StoreError> {
    Ok(source.get(Table::Discarded, &hash.0)?.is_some())
}

/// Takes a record off the list at this site, in somebody's name: it was adopted, or nobody wants it (R12).
pub fn discard(writing: &mut Writing<'_>, hash: &RecordHash, user: &UserId) -> Result<(), StoreError> {
    writing.put(Table::Discarded, &hash.0, &user.0)
}

const KEY: &str = "the key of a quarantined record";
