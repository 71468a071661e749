//! Saying again what a record says that does not stand: its site after a fork (R20), or a person who adopts it (R12).

use std::collections::BTreeMap;

use automerge::ChangeHash as AutomergeHash;
use schema::doc::{DocKind, Value, notes_key};
use schema::id::{ChangeHash, DocId};
use schema::record::{Genesis, Record, actor, item_id};

use super::{Command, WriteError, record_of};
use crate::admission::{again_key, record_naming, stored};
use crate::change::History as _;
use crate::docs::content::{Content, content};
use crate::docs::judge::OF_BIRTH;
use crate::docs::{StoredHistory, edit, entry_by_hash, load, row};
use crate::store::StoreError;

impl Command<'_, '_, '_> {
    /// Says again what a record says. Each change is made where its author had seen the document, as far as that stands,
    /// so that whatever others wrote meanwhile is kept beside it. Things that it gave birth to keep their ids where the
    /// command keeps its name; otherwise they get new ones.
    /// Errors: `Unknown` for what is not held here whole, or builds on what is not; what the rules refuse.
    pub fn take_over(&mut self, record: &Record) -> Result<(), WriteError> {
        let (old, new) = (item_id(&record.header, &record.skeleton), self.id());
        let mut renamed: BTreeMap<DocId, DocId> = BTreeMap::new();
        for entry in &record.skeleton.entries {
            let content = content(self.batch.writing, &entry.change)?.ok_or(WriteError::Unknown)?;
            let content = rename(content, (&old, &new), &renamed);
            let kind = entry.genesis.and_then(|genesis| genesis.kind());
            let natural = match entry.genesis {
                Some(Genesis::Natural(kind, key)) => Some(beside(kind, key, entry.doc, &renamed, record)),
                Some(Genesis::Computed(_) | Genesis::Other(_)) | None => None,
            };
            let doc = match kind {
                Some(kind) => self.id_of_next(kind, natural),
                None => renamed.get(&entry.doc).copied().unwrap_or(entry.doc),
            };
            if doc != entry.doc {
                renamed.insert(entry.doc, doc);
            }
            let is_here = row(self.batch.writing, &doc)?.is_some();
            let is_applied = entry_by_hash(self.batch.writing, &entry.change)?.is_some();
            match kind {
                _ if is_applied => self.restate(doc, &entry.change, content)?,
                None if is_here => self.edit_where_seen(doc, &content)?,
                None => return Err(WriteError::Unknown),
                // Two sites may give birth to one document.
                Some(kind) => drop(self.create(kind, natural, &content.edits)?),
            }
        }
        Ok(())
    }

    /// Edits a document as of what the author of `content` had seen of it.
    fn edit_where_seen(&mut self, doc: DocId, content: &Content) -> Result<(), WriteError> {
        let mut document = match self.batch.pass.edited(&doc) {
            Some(document) => document.clone(),
            None => load(self.batch.writing, &doc)?,
        };
        let actor = actor(&self.header.log.site, &self.header.log.generation, &doc);
        let mut heads = Vec::new();
        for hash in &content.after {
            heads.extend(self.stands_for(&doc, hash)?.map(|hash| AutomergeHash(hash.0)));
        }
        if heads.is_empty() {
            heads = document.get_heads();
        }
        // The changes of an actor follow one another.
        let last = StoredHistory::new(self.batch.writing, doc).last(&actor)?;
        heads.extend(last.map(|last| AutomergeHash(last.hash.0)));
        let mut seen = document.fork_at(&heads).map_err(|_| WriteError::Unknown)?;
        let made = edit::change(&mut seen, &actor, &content.edits, false).map_err(|_| WriteError::NoSuchText)?;
        if let Some(change) = &made {
            document.apply_changes([change.clone()]).map_err(|_| WriteError::Unknown)?;
        }
        self.add(doc, None, document, made).map(drop)
    }

    /// Says again, of what is here because something that stands builds on it, what still shows and may be said twice.
    fn restate(&mut self, doc: DocId, change: &ChangeHash, mut content: Content) -> Result<(), WriteError> {
        let view = self.view(&doc)?.ok_or(WriteError::Unknown)?;
        let shows = |key: &str| {
            let held = view.values.get(key).into_iter().flatten();
            held.filter_map(|held| view.changes.get(held.by)).any(|stamp| stamp.change == *change)
        };
        // Items are written once, and are there.
        let once = |key: &str| key.contains('/') || (view.kind == DocKind::Ticket && OF_BIRTH.contains(&key));
        content.edits.puts.retain(|key, _| shows(key) && !once(key));
        content.edits.texts.clear();
        let document = load(self.batch.writing, &doc)?;
        let actor = actor(&self.header.log.site, &self.header.log.generation, &doc);
        let mut document = document;
        let made = edit::restate(&mut document, &actor, &content.edits).map_err(|_| WriteError::NoSuchText)?;
        self.add(doc, None, document, made).map(drop)
    }

    /// The change that holds the place of another one: itself where it is applied, or what its command made when it was
    /// issued again; `None` if there is neither.
    fn stands_for(&self, doc: &DocId, hash: &ChangeHash) -> Result<Option<ChangeHash>, StoreError> {
        let source = &*self.batch.writing;
        if entry_by_hash(source, hash)?.is_some() {
            return Ok(Some(*hash));
        }
        let Some((no, seq)) = record_naming(source, hash)? else {
            return Ok(None);
        };
        let key = again_key(&stored(source, no, seq)?.record);
        let issued = key.map(|key| record_of(source, &key)).transpose()?.flatten();
        let entries = issued.into_iter().flat_map(|issued| issued.skeleton.entries);
        Ok(entries.filter(|entry| entry.doc == *doc).map(|entry| entry.change).next())
    }
}

/// What is said under the names of the command that says it now.
fn rename(mut content: Content, (old, new): (&str, &str), docs: &BTreeMap<DocId, DocId>) -> Content {
    let names: BTreeMap<String, String> = docs.iter().map(|(old, new)| (old.to_string(), new.to_string())).collect();
    let puts = std::mem::take(&mut content.edits.puts).into_iter().map(|(key, value)| {
        let key = key.split('/').map(|part| if part == old { new } else { part }).collect::<Vec<_>>().join("/");
        let value = value.map(|value| match value {
            Value::Text(text) => Value::Text(names.get(&text).cloned().unwrap_or(text)),
            other => other,
        });
        (key, value)
    });
    content.edits.puts = puts.collect();
    content
}

/// The natural key of a document beside one that this command gives birth to under another id.
fn beside(kind: DocKind, key: [u8; 16], doc: DocId, renamed: &BTreeMap<DocId, DocId>, record: &Record) -> [u8; 16] {
    let is_beside = |old: &DocId| {
        kind == DocKind::TicketNotes
            && schema::doc::doc_id_of_notes(&record.header.org, &record.header.log.scope, old) == doc
    };
    renamed.iter().find(|(old, _)| is_beside(old)).map_or(key, |(_, new)| notes_key(new))
}
