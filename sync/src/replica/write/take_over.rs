//! Saying again what a record says that does not stand: its site after a fork (R20), or a person who adopts it (R12).

use std::collections::{BTreeMap, BTreeSet};

use automerge::{Automerge, ChangeHash as AutomergeHash, TextEncoding};
use schema::access::ADOPTED;
use schema::author::Author;
use schema::doc::{Adopted, DocKind, Edits, NOTES_OF, Value, doc_id_of_notes, notes_key};
use schema::id::{ChangeHash, DocId};
use schema::record::{BodyName, Entry, Genesis, Record, actor, item_id};

use super::{Command, WriteError, record_of};
use crate::admission::{again_key, read_body, stored};
use crate::change::{History as _, scan};
use crate::docs::content::{Content, content};
use crate::docs::deciders;
use crate::docs::judge::OF_BIRTH;
use crate::docs::{StoredHistory, edit, entry_by_hash, load, row};
use crate::quarantine::{adopted_as, adoption};
use crate::store::{Source, StoreError};

impl Command<'_, '_, '_> {
    /// Says what a record says as somebody's own command (R12), as [`Command::take_over`] does, and that it was adopted. What
    /// it edits, or stands beside, is meant as what somebody at this site, or one of `adopters`, adopted it as, where it is
    /// not here itself.
    /// Errors: as that; `NotHere` for what is neither here nor adopted.
    pub fn adopt(
        &mut self,
        record: &Record,
        adopters: &[Author],
        as_new: impl FnMut(DocKind, &mut Edits),
    ) -> Result<(), WriteError> {
        let mut renamed = BTreeMap::new();
        for entry in &record.skeleton.entries {
            let meant = match entry.genesis.map(|genesis| genesis.kind()) {
                None => Some(entry.doc),
                Some(Some(DocKind::TicketNotes)) => Some(self.beside(record, entry)?),
                Some(_) => None,
            };
            let is_born =
                |doc: &DocId| record.skeleton.entries.iter().any(|other| other.doc == *doc && other.genesis.is_some());
            let Some(doc) = meant.filter(|doc| !is_born(doc)) else {
                continue;
            };
            let source = &*self.batch.writing;
            if row(source, &doc)?.is_none() {
                let adopted = adopted_as(source, &doc, adopters)?;
                renamed.insert(doc, adopted.ok_or(WriteError::NotHere(doc))?);
            }
        }
        self.say_again(record, renamed, Some(adopters), as_new)
    }

    /// The document beside which a birth puts another one. Errors: `Unknown` if that is not held whole; `NotHere` if it names
    /// none, or another than its id says.
    fn beside(&self, record: &Record, entry: &Entry) -> Result<DocId, WriteError> {
        let content = content(self.batch.writing, &entry.change)?.ok_or(WriteError::Unknown)?;
        let named = content.edits.puts.get(NOTES_OF).and_then(|named| named.as_ref()?.as_text()?.parse().ok());
        let is_parent =
            |parent: &DocId| doc_id_of_notes(&record.header.org, &record.header.log.scope, parent) == entry.doc;
        named.filter(is_parent).ok_or(WriteError::NotHere(entry.doc))
    }

    /// Says again what a record says. Each change is made where its author had seen the document, as far as that stands,
    /// so that whatever others wrote meanwhile is kept beside it. Things that it gave birth to keep their ids where the
    /// command keeps its name; otherwise they get new ones, and `as_new` says what else is theirs alone and must be given
    /// anew.
    /// Errors: `Unknown` for what is not held here whole, or builds on what is not; what the rules refuse.
    pub fn take_over(&mut self, record: &Record, as_new: impl FnMut(DocKind, &mut Edits)) -> Result<(), WriteError> {
        self.say_again(record, BTreeMap::new(), None, as_new)
    }

    /// As [`Command::take_over`], with documents that are called otherwise here; as [`Command::adopt`], if there are adopters.
    fn say_again(
        &mut self,
        record: &Record,
        mut renamed: BTreeMap<DocId, DocId>,
        adopters: Option<&[Author]>,
        mut as_new: impl FnMut(DocKind, &mut Edits),
    ) -> Result<(), WriteError> {
        let (old, new) = (item_id(&record.header, &record.skeleton), self.id());
        for (place, entry) in record.skeleton.entries.iter().enumerate() {
            let content = content(self.batch.writing, &entry.change)?.ok_or(WriteError::Unknown)?;
            let mut content = rename(content, (&old, &new), &renamed);
            let kind = entry.genesis.and_then(|genesis| genesis.kind());
            // Said once, with the first of its changes.
            if adopters.is_some() && place == 0 {
                let number = content.edits.puts.get("number").and_then(|number| number.as_ref()?.as_text());
                let (number, document) = (number.map(str::to_owned), kind.map(|_| entry.doc));
                let adopted = Adopted { record: record.hash(), document, number };
                content.edits.put(format!("{ADOPTED}{new}"), Value::Text(adopted.to_string()));
            }
            let natural = match entry.genesis {
                Some(Genesis::Natural(kind, key)) => Some(natural_key(kind, key, entry.doc, &renamed, record)),
                Some(Genesis::Computed(_) | Genesis::Other(_)) | None => None,
            };
            let doc = match kind {
                Some(kind) => self.id_of_next(kind, natural),
                None => renamed.get(&entry.doc).copied().unwrap_or(entry.doc),
            };
            if doc != entry.doc {
                renamed.insert(entry.doc, doc);
                if let Some(kind) = kind {
                    as_new(kind, &mut content.edits);
                }
            }
            let is_here = row(self.batch.writing, &doc)?.is_some();
            let is_applied = entry_by_hash(self.batch.writing, &entry.change)?.is_some();
            match kind {
                _ if is_applied => self.restate(doc, &entry.change, content, (kind.is_some(), adopters))?,
                None if is_here => self.edit_where_seen(doc, &content, adopters)?,
                None => return Err(WriteError::Unknown),
                Some(_) if is_here && self.has_written(&doc)? => self.add_what_lacks(doc, content.edits)?,
                // Two sites may give birth to one document, and so may two histories of one.
                Some(kind) => self.give_birth(doc, Genesis::of(kind, natural), &content)?,
            }
        }
        Ok(())
    }

    /// Gives birth to a document, whether it is here or not.
    fn give_birth(&mut self, doc: DocId, genesis: Genesis, content: &Content) -> Result<(), WriteError> {
        let actor = actor(&self.header.log.site, &self.header.log.generation, &doc);
        let mut born = Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint);
        let made = edit::change(&mut born, &actor, &content.edits, true).map_err(|_| WriteError::NoSuchText)?;
        self.add(doc, Some(genesis), made).map(drop)
    }

    /// Whether a change of a document is this generation's: then it cannot give birth to it too.
    fn has_written(&self, doc: &DocId) -> Result<bool, StoreError> {
        let actor = actor(&self.header.log.site, &self.header.log.generation, doc);
        Ok(StoredHistory::new(&*self.batch.writing, *doc).last(&actor)?.is_some())
    }

    /// Puts what a birth says and the document does not show.
    fn add_what_lacks(&mut self, doc: DocId, mut edits: Edits) -> Result<(), WriteError> {
        let view = self.view(&doc)?.ok_or(WriteError::Unknown)?;
        edits.puts.retain(|key, value| view.value(key) != value.as_ref());
        self.edit(doc, &edits).map(drop)
    }

    /// Edits a document as of what the author of `content` had seen of it.
    fn edit_where_seen(
        &mut self,
        doc: DocId,
        content: &Content,
        adopters: Option<&[Author]>,
    ) -> Result<(), WriteError> {
        let own = [self.skeleton.author];

        let (mut heads, mut seen) = (Vec::new(), BTreeSet::new());
        let mut left = content.after.clone();
        while let Some(hash) = left.pop() {
            if !seen.insert(hash) {
                continue;
            }
            match self.stands_for(&doc, &hash, adopters.unwrap_or(&own))? {
                Some(hash) => heads.push(hash),
                // What was not said again is passed over.
                None => left.extend(dependencies_of(self.batch.writing, &hash)?),
            }
        }
        self.edit_at(doc, heads, &content.edits)
    }

    /// Edits a document as these changes leave it.
    fn edit_at(&mut self, doc: DocId, mut heads: Vec<ChangeHash>, edits: &Edits) -> Result<(), WriteError> {
        if heads.is_empty() {
            return Err(WriteError::Unknown);
        }
        let document = load(self.batch.writing, &doc)?;
        let actor = actor(&self.header.log.site, &self.header.log.generation, &doc);
        // The changes of an actor follow one another.
        let last = StoredHistory::new(self.batch.writing, doc).last(&actor)?;
        heads.extend(last.map(|last| last.hash));
        let heads: Vec<AutomergeHash> = heads.into_iter().map(|hash| AutomergeHash(hash.0)).collect();
        let mut seen = document.fork_at(&heads).map_err(|_| WriteError::Unknown)?;
        let made = edit::change(&mut seen, &actor, edits, false).map_err(|_| WriteError::NoSuchText)?;
        self.add(doc, None, made).map(drop)
    }

    /// Says again, of what is here because something that stands builds on it, what still shows and may be said twice.
    fn restate(
        &mut self,
        doc: DocId,
        change: &ChangeHash,
        mut content: Content,
        (is_birth, adopters): (bool, Option<&[Author]>),
    ) -> Result<(), WriteError> {
        let view = self.view(&doc)?.ok_or(WriteError::Unknown)?;
        let shows = |key: &str| {
            let held = view.values.get(key).into_iter().flatten();
            held.filter_map(|held| view.changes.get(held.by)).any(|stamp| stamp.change == *change)
        };
        // Items are written once, and are there.
        let once = |key: &str| key.contains('/') || (view.kind == DocKind::Ticket && OF_BIRTH.contains(&key));
        content.edits.puts.retain(|key, _| shows(key) && !once(key));
        content.edits.texts.clear();
        match content.edits.is_empty() {
            true => Ok(()),
            // A document is born once: its texts are those that others went on writing.
            false if is_birth => {
                content.edits.again = true;
                self.edit_at(doc, vec![*change], &content.edits)
            }
            false => self.edit_where_seen(doc, &content, adopters),
        }
    }

    /// The change that holds the place of another one: itself where it stands or gave birth to the document, or what its
    /// command made when it was issued again or adopted; `None` if there is none of these. What is only built on is not built on again:
    /// another change of its place may turn up.
    fn stands_for(
        &self,
        doc: &DocId,
        hash: &ChangeHash,
        adopters: &[Author],
    ) -> Result<Option<ChangeHash>, StoreError> {
        let source = &*self.batch.writing;
        let applied = entry_by_hash(source, hash)?.map(|(_, entry)| entry);
        if applied.is_some_and(|entry| !entry.tainted || entry.facts.dependencies.is_empty()) {
            return Ok(Some(*hash));
        }
        for (no, seq) in deciders::all(source, source.log_index().forks(), hash)? {
            let record = stored(source, no, seq)?.record;
            let issued = again_key(&record).map(|key| record_of(source, &key)).transpose()?.flatten();
            let issued = match issued {
                Some(issued) => Some(issued),
                None => adoption(source, &record, adopters)?,
            };
            let change = issued.into_iter().flat_map(|issued| issued.skeleton.entries).find(|entry| entry.doc == *doc);
            if let Some(Entry { change, .. }) = change
                && entry_by_hash(source, &change)?.is_some()
            {
                return Ok(Some(change));
            }
        }
        Ok(None)
    }
}

/// What a change depends on, whether it is applied or not; nothing if it is not held.
fn dependencies_of(source: &impl Source, hash: &ChangeHash) -> Result<Vec<ChangeHash>, StoreError> {
    let body = read_body(source, &BodyName::Change(*hash))?;
    let scan = body.as_ref().and_then(|body| scan(body).ok());
    Ok(scan.map(|scan| scan.dependencies().collect()).unwrap_or_default())
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
fn natural_key(
    kind: DocKind,
    key: [u8; 16],
    doc: DocId,
    renamed: &BTreeMap<DocId, DocId>,
    record: &Record,
) -> [u8; 16] {
    let is_beside = |old: &DocId| {
        kind == DocKind::TicketNotes && doc_id_of_notes(&record.header.org, &record.header.log.scope, old) == doc
    };
    renamed.iter().find(|(old, _)| is_beside(old)).map_or(key, |(_, new)| notes_key(new))
}
