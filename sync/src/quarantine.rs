//! The list of records without effect, or without effect yet (R12). Not a second store: a reading of it.

use schema::author::Author;
use schema::doc::{DocKind, Edits};
use schema::id::{CommandId, DocId, RecordHash, ScopeId, UserId};
use schema::record::{CommandName, Record};

use crate::admission::stored;
use crate::docs::row;
use crate::docs::said::said;
use crate::replica::record_anywhere;
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

/// The name of the command by which somebody adopts a record: asked twice it makes one thing.
pub fn adoption_name(hash: &RecordHash) -> CommandName {
    CommandName::Given(CommandId(hash.head()))
}

/// The record of the command by which somebody at this site, or one of `adopters` anywhere, adopted a record; `None` if none
/// did. Linear in those.
pub fn adoption(source: &impl Source, record: &Record, adopters: &[Author]) -> Result<Option<Record>, StoreError> {
    let (log, hash) = (&record.header.log, record.hash());
    let here = source.get(Table::Discarded, &hash.0)?.and_then(|user| user.try_into().ok());
    for author in here.map(|user| Author::User(UserId(user))).iter().chain(adopters) {
        if let Some(adopted) = record_anywhere(source, &log.scope, author, &adoption_name(&hash))? {
            return Ok(Some(adopted));
        }
    }
    Ok(None)
}

/// The document that stands for one whose birth has no effect: the one that its adoption made. `None` if nobody adopted it,
/// as far as [`adoption`] knows. Linear in the records that name the document.
pub fn adopted_as(source: &impl Source, doc: &DocId, adopters: &[Author]) -> Result<Option<DocId>, StoreError> {
    for (record, place) in births(source, doc)? {
        // What is said again whole has a change for each.
        let adopted = adoption(source, &record, adopters)?.map(|adopted| adopted.skeleton.entries);
        let adopted = adopted.filter(|entries| entries.len() == record.skeleton.entries.len());
        if let Some(entry) = adopted.as_ref().and_then(|entries| entries.get(place))
            && row(source, &entry.doc)?.is_some()
        {
            return Ok(Some(entry.doc));
        }
    }
    Ok(None)
}

/// What a document is, and what its birth says, whether that has an effect or not; `None` if no birth of it is held whole.
/// Linear in the records that name it.
pub fn birth(source: &impl Source, doc: &DocId) -> Result<Option<(DocKind, Edits)>, StoreError> {
    for (record, place) in births(source, doc)? {
        let entry = record.skeleton.entries.get(place);
        let kind = entry.and_then(|entry| entry.genesis?.kind());
        let said = entry.map(|entry| said(source, &entry.change)).transpose()?.flatten();
        if let (Some(kind), Some(said)) = (kind, said) {
            return Ok(Some((kind, said)));
        }
    }
    Ok(None)
}

/// The records that give birth to a document, whether they have an effect or not, and which of their changes does. Linear
/// in the records that name it.
pub fn births(source: &impl Source, doc: &DocId) -> Result<Vec<(Record, usize)>, StoreError> {
    let mut found = Vec::new();
    for (key, _) in source.prefixed(Table::DocRecords, &doc.0)? {
        let place = key.get(doc.0.len()..).and_then(read_record_key);
        let (log, seq) = place.ok_or(StoreError::Damaged { table: Table::DocRecords.name() })?;
        let record = stored(source, log, seq)?.record;
        let birth = record.skeleton.entries.iter().position(|entry| entry.doc == *doc && entry.genesis.is_some());
        found.extend(birth.map(|place| (record, place)));
    }
    Ok(found)
}

const KEY: &str = "the key of a quarantined record";
