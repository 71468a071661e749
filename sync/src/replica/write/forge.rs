//! What a hostile member writes, for the simulator: records that are well-formed, with content that is not.

use automerge::Automerge;
use schema::author::Author;
use schema::doc::{DocKind, Edits};
use schema::id::{ChangeHash, DocId, ScopeId};
use schema::record::{BodyKind, CommandName, Entry, Genesis, OpaqueRef, Skeleton, actor, nonce};

use super::{Batch, WriteError};
use crate::change::mutation::Grown;
use crate::change::{self, chunk_hash};
use crate::docs::{edit, load, row};
use crate::store::StoreError;

impl Batch<'_, '_> {
    /// Whether a document is here.
    pub fn has(&self, doc: &DocId) -> Result<bool, StoreError> {
        Ok(row(self.writing, doc)?.is_some())
    }

    /// The changes that a document holds, each after its dependencies.
    pub fn grown(&self, doc: &DocId) -> Result<Vec<Grown>, StoreError> {
        let changes = load(self.writing, doc)?.get_changes(&[]);
        let place = |first: bool| if first { change::Genesis::Random } else { change::Genesis::No };
        Ok(changes.iter().map(|change| (change.raw_bytes().to_vec(), place(change.deps().is_empty()))).collect())
    }

    /// The change that an honest edit would be, after `before`, which no record holds.
    pub fn honest(&self, doc: &DocId, edits: &Edits, before: &[Vec<u8>]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut document = load(self.writing, doc)?;
        for bytes in before {
            let applied = automerge::Change::try_from(bytes.as_slice()).map(|change| document.apply_changes([change]));
            if !matches!(applied, Ok(Ok(()))) {
                return Ok(None);
            }
        }
        let made = edit::change(&mut document, &actor(&self.key.public(), &self.generation, doc), edits, false);
        Ok(made.ok().flatten().map(|change| change.raw_bytes().to_vec()))
    }

    /// The document that the next record in a scope would give birth to, and an honest genesis of it.
    pub fn born(
        &self,
        scope: ScopeId,
        kind: DocKind,
        natural: Option<[u8; 16]>,
        edits: &Edits,
    ) -> Option<(DocId, Vec<u8>)> {
        let header = self.next_header(scope, BodyKind::Edit).ok()?;
        let skeleton = Skeleton::new(CommandName::Place, Author::Site);
        let nonce = natural.unwrap_or_else(|| nonce(&header, &skeleton, 0));
        let doc = schema::doc::doc_id(&header.org, &scope, kind, &nonce);
        let mut empty = Automerge::new_with_encoding(automerge::TextEncoding::UnicodeCodePoint);
        let made = edit::change(&mut empty, &actor(&header.log.site, &header.log.generation, &doc), edits, true);
        Some((doc, made.ok()??.raw_bytes().to_vec()))
    }

    /// Writes a record of one entry, whatever the rules say of it.
    pub fn forge(
        &mut self,
        scope: ScopeId,
        doc: DocId,
        genesis: Option<Genesis>,
        body: Vec<u8>,
    ) -> Result<(), WriteError> {
        let change = chunk_hash(&body).unwrap_or(ChangeHash([0; 32]));
        let entries = vec![Entry { doc, genesis, change, length: body.len() as u32 }];
        let skeleton = Skeleton { entries, ..Skeleton::new(CommandName::Place, Author::Site) };
        self.force(scope, BodyKind::Edit, skeleton, vec![body])
    }

    /// Writes a record of one edit in somebody's name.
    pub fn forge_as(&mut self, author: Author, scope: ScopeId, doc: DocId, body: Vec<u8>) -> Result<(), WriteError> {
        let change = chunk_hash(&body).unwrap_or(ChangeHash([0; 32]));
        let entries = vec![Entry { doc, genesis: None, change, length: body.len() as u32 }];
        let skeleton = Skeleton { entries, ..Skeleton::new(CommandName::Place, author) };
        self.force(scope, BodyKind::Edit, skeleton, vec![body])
    }

    /// Writes an edit with a second body that is no change.
    pub fn forge_misshapen(&mut self, scope: ScopeId, doc: DocId, body: Vec<u8>) -> Result<(), WriteError> {
        let change = chunk_hash(&body).unwrap_or(ChangeHash([0; 32]));
        let entries = vec![Entry { doc, genesis: None, change, length: body.len() as u32 }];
        let beside = b"beside".to_vec();
        let opaque = Some(OpaqueRef::of(&beside));
        let skeleton = Skeleton { entries, opaque, ..Skeleton::new(CommandName::Place, Author::Site) };
        self.force(scope, BodyKind::Edit, skeleton, vec![body, beside])
    }

    /// Writes a record of another kind than an edit: an enrolment that breaks a rule, a kind of tomorrow.
    pub fn forge_opaque(&mut self, scope: ScopeId, kind: BodyKind, body: Vec<u8>) -> Result<(), WriteError> {
        let opaque = Some(OpaqueRef::of(&body));
        let skeleton = Skeleton { opaque, ..Skeleton::new(CommandName::Place, Author::Site) };
        self.force(scope, kind, skeleton, vec![body])
    }

    /// Writes a record with this skeleton, whatever the rules say of it.
    pub fn force(
        &mut self,
        scope: ScopeId,
        kind: BodyKind,
        skeleton: Skeleton,
        bodies: Vec<Vec<u8>>,
    ) -> Result<(), WriteError> {
        let header = self.next_header(scope, kind)?;
        self.hostile = true;
        let written = self.record(header, skeleton, bodies);
        self.hostile = false;
        written
    }
}
