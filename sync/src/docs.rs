//! The only code that reads and writes documents: content admission, applying, editing, reading.
//!
//! [`judge`] decides what becomes of a record, as a pure function of the records held (R8). [`apply`] puts
//! what was applied into documents. [`edit`] makes a change for somebody here, which then goes through the
//! same two. [`registers`] keeps what stands, [`view`] and [`history`] read. No other module gives bytes to Automerge.

mod anew;
pub mod apply;
pub mod content;
pub mod credentials;
pub mod deciders;
pub mod edit;
pub mod enrolments;
pub mod history;
pub mod judge;
pub mod registers;
pub mod said;
pub mod standing;
pub mod view;
mod walks;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use automerge::{Automerge, Change, LoadOptions, ReadDoc as _, TextEncoding};
use schema::doc::DocKind;
use schema::id::{ActorId, ChangeHash, DocId, LogId, ScopeId, SiteId};

use crate::admission::read_body;
use crate::change::{Facts, History, Operation, operations};
use crate::store::rows::{DocRow, IndexEntry};
use crate::store::tables::change_key;
use crate::store::{LogNo, LogState, Source, StoreError, Table, decode};
use schema::record::BodyName;
use walks::Walks;

/// A document changed: what, not how. Whoever cares reads again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocChanged {
    /// Which document.
    pub doc: DocId,
    /// Its kind.
    pub kind: DocKind,
    /// Its scope.
    pub scope: ScopeId,
}

/// Every document there is, as one that changed. Linear in them.
pub fn all_docs(source: &impl Source) -> Result<Vec<DocChanged>, StoreError> {
    let rows = source.prefixed(Table::Docs, &[])?.into_iter();
    let changed = |(key, bytes): (Vec<u8>, Vec<u8>)| {
        let row: DocRow = decode(Table::Docs, &bytes)?;
        let doc = DocId::from_slice(&key).ok_or(StoreError::Damaged { table: Table::Docs.name() })?;
        Ok(DocChanged { doc, kind: row.kind, scope: row.scope })
    };
    rows.map(changed).collect()
}

/// What is known of a document without loading it.
pub fn row(source: &impl Source, doc: &DocId) -> Result<Option<DocRow>, StoreError> {
    source.get_as(Table::Docs, &doc.0)
}

/// The index entry of an applied change.
pub fn entry_by_hash(source: &impl Source, hash: &ChangeHash) -> Result<Option<(DocId, IndexEntry)>, StoreError> {
    let Some(key) = source.get(Table::Applied, &hash.0)? else {
        return Ok(None);
    };
    let doc = key.get(..32).and_then(|doc| doc.try_into().ok()).map(DocId);
    let doc = doc.ok_or(StoreError::Missing { what: "the document of a change" })?;
    let entry = source.get_as(Table::Changes, &key)?;
    Ok(Some((doc, entry.ok_or(StoreError::Missing { what: "the index entry of a change" })?)))
}

/// The index entries of a document, by actor and seq.
pub fn entries(source: &impl Source, doc: &DocId) -> Result<Vec<IndexEntry>, StoreError> {
    let rows = source.prefixed(Table::Changes, &doc.0)?;
    rows.iter().map(|(_, bytes)| decode(Table::Changes, bytes)).collect()
}

/// The last change of a document, and the site that made it. Linear in its heads.
pub fn last_change(source: &impl Source, doc: &DocId) -> Result<Option<(IndexEntry, SiteId)>, StoreError> {
    let mut last: Option<IndexEntry> = None;
    for head in row(source, doc)?.into_iter().flat_map(|row| row.heads) {
        let entry = entry_by_hash(source, &head)?.map(|(_, entry)| entry);
        let place = |entry: &IndexEntry| (entry.order, entry.facts.hash);
        last = last.into_iter().chain(entry).max_by_key(place);
    }
    match last {
        Some(entry) => history::site_of(source, entry.log).map(|site| Some((entry, site))),
        None => Ok(None),
    }
}

/// Where the records of a document's changes stand: the last seq of each log.
pub fn places(source: &impl Source, doc: &DocId) -> Result<Vec<(LogId, u64)>, StoreError> {
    let mut places: BTreeMap<LogNo, u64> = BTreeMap::new();
    for entry in entries(source, doc)? {
        let last = places.entry(entry.log).or_default();
        *last = (*last).max(entry.seq);
    }
    let log = |no: LogNo| -> Result<LogId, StoreError> {
        let state: Option<LogState> = source.get_as(Table::Logs, &no.to_be_bytes())?;
        Ok(state.ok_or(StoreError::Missing { what: "a log" })?.id)
    };
    places.into_iter().map(|(no, seq)| Ok((log(no)?, seq))).collect()
}

/// The changes of a document, each behind what it depends on, as far as they are wanted.
fn changes(
    source: &impl Source,
    doc: &DocId,
    is_wanted: impl Fn(&ChangeHash) -> bool,
) -> Result<Vec<Change>, StoreError> {
    let mut entries = entries(source, doc)?;
    entries.retain(|entry| is_wanted(&entry.facts.hash));
    entries.sort_by_key(|entry| (entry.order, entry.facts.hash));
    let read = |entry: &IndexEntry| {
        let body = read_body(source, &BodyName::Change(entry.facts.hash))?;
        let body = body.ok_or(StoreError::Missing { what: "the body of a change" })?;
        Change::from_bytes(body).map_err(|_| StoreError::Damaged { table: Table::Bodies.name() })
    };
    entries.iter().map(read).collect()
}

/// Loads a document: as it was saved last, with the changes since; an empty one if it has none yet. Linear in its changes.
/// Errors: `Missing` where the body of a change is not held; `Damaged` for a saved document that cannot be read, and for
/// one on which Automerge panics (R8).
pub fn load(source: &impl Source, doc: &DocId) -> Result<Automerge, StoreError> {
    let damaged = || StoreError::Damaged { table: Table::Snapshots.name() };
    let saved = source.get(Table::Snapshots, &doc.0)?;
    let read = AssertUnwindSafe(move || match saved {
        None => Some(Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint)),
        Some(bytes) => {
            let options = LoadOptions::new().text_encoding(TextEncoding::UnicodeCodePoint);
            Automerge::load_with_options(&bytes, options).ok()
        }
    });
    let document = catch_unwind(read).ok().flatten().ok_or_else(damaged)?;
    let heads = row(source, doc)?.map(|row| row.heads).unwrap_or_default();
    if document.get_heads().iter().map(|head| head.0).eq(heads.iter().map(|head| head.0)) {
        return Ok(document);
    }
    let is_new = |hash: &ChangeHash| document.get_change_by_hash(&automerge::ChangeHash(hash.0)).is_none();
    let since = changes(source, doc, is_new)?;
    let mut grown = document;
    let work = AssertUnwindSafe(move || grown.apply_changes(since).map(|()| grown));
    catch_unwind(work).ok().and_then(Result::ok).ok_or_else(damaged)
}

/// The history of one document as the store's index gives it, with a memory for one pass.
pub struct StoredHistory<'s, S> {
    source: &'s S,
    doc: DocId,
    facts: RefCell<HashMap<ChangeHash, Arc<Facts>>>,
    operations: RefCell<HashMap<ChangeHash, Arc<[Operation]>>>,
    walks: Option<&'s Walks>,
}

impl<'s, S: Source> StoredHistory<'s, S> {
    /// The history of `doc` in `source`.
    pub fn new(source: &'s S, doc: DocId) -> Self {
        Self { source, doc, facts: RefCell::default(), operations: RefCell::default(), walks: None }
    }

    /// The same with what this pass remembers of its documents.
    pub fn with(source: &'s S, doc: DocId, walks: &'s Walks) -> Self {
        Self { walks: Some(walks), ..Self::new(source, doc) }
    }
}

impl<S: Source> History for StoredHistory<'_, S> {
    type Error = StoreError;

    fn by_hash(&self, hash: &ChangeHash) -> Result<Option<Arc<Facts>>, StoreError> {
        if let Some(known) = self.facts.borrow().get(hash) {
            return Ok(Some(known.clone()));
        }
        let found = entry_by_hash(self.source, hash)?.filter(|(doc, _)| *doc == self.doc);
        Ok(found.map(|(_, entry)| {
            let facts = Arc::new(entry.facts);
            self.facts.borrow_mut().insert(*hash, facts.clone());
            facts
        }))
    }

    fn by_seq(&self, actor: &ActorId, seq: u64) -> Result<Option<Arc<Facts>>, StoreError> {
        let found: Option<IndexEntry> = self.source.get_as(Table::Changes, &change_key(&self.doc, actor, seq))?;
        Ok(found.map(|entry| Arc::new(entry.facts)))
    }

    fn last(&self, actor: &ActorId) -> Result<Option<Arc<Facts>>, StoreError> {
        let prefix = [self.doc.0.as_slice(), &actor.0].concat();
        let found = self.source.last(Table::Changes, &prefix)?;
        let entry: Option<IndexEntry> = found.map(|(_, bytes)| decode(Table::Changes, &bytes)).transpose()?;
        Ok(entry.map(|entry| Arc::new(entry.facts)))
    }

    fn heads(&self) -> Result<Vec<ChangeHash>, StoreError> {
        Ok(row(self.source, &self.doc)?.map(|row| row.heads).unwrap_or_default())
    }

    fn operations(&self, facts: &Facts) -> Result<Arc<[Operation]>, StoreError> {
        if let Some(known) = self.operations.borrow().get(&facts.hash) {
            return Ok(known.clone());
        }
        let body = read_body(self.source, &BodyName::Change(facts.hash))?
            .ok_or(StoreError::Missing { what: "the body of a change" })?;
        let operations = operations(&body).map_err(|_| StoreError::Damaged { table: Table::Bodies.name() })?;
        self.operations.borrow_mut().insert(facts.hash, operations.clone());
        Ok(operations)
    }

    fn concurrent(&self, dependencies: &[Arc<Facts>]) -> Option<Arc<HashSet<ChangeHash>>> {
        self.walks.and_then(|walks| walks.find(&self.doc, dependencies))
    }

    fn note_concurrent(&self, dependencies: &[Arc<Facts>], concurrent: Arc<HashSet<ChangeHash>>) {
        if let Some(walks) = self.walks {
            walks.note(self.doc, dependencies, concurrent);
        }
    }
}
