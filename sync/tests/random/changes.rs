//! The changes that a history is made of: each builds on one that was made before, on two, or on the document as it was born.
//! Who makes one need not hold the history in which the others stand, which is how honest people come to build on what does
//! not stand.

use automerge::Automerge;
use schema::doc::{Edits, Value};
use schema::id::{ChangeHash, DocId, GenerationId, SiteId};
use schema::record::actor;
use sync::change::chunk_hash;

use super::draws::Draws;

/// A change that somebody made.
#[derive(Clone)]
pub struct Made {
    pub name: String,
    /// The number of its document.
    pub doc: usize,
    /// The number of the generation of DAKAR whose actor made it; none: OSLO did.
    pub generation: Option<usize>,
    pub body: Vec<u8>,
    /// The document with it.
    pub after: Automerge,
}

impl Made {
    /// Whether it is the change of this name.
    pub fn is(&self, change: ChangeHash) -> bool {
        chunk_hash(&self.body) == Some(change)
    }
}

/// What a change builds on.
pub struct Base {
    pub document: Automerge,
    pub name: String,
}

impl Base {
    /// With this change as well; that one alone where both hold two changes of one place.
    pub fn on(self, made: &Made) -> Self {
        match merged(&self.document, &made.after) {
            Some(document) => Self { document, name: format!("{}&{}", self.name, made.name) },
            None => Self { document: made.after.clone(), name: made.name.clone() },
        }
    }
}

/// All changes of a history so far.
pub struct Changes {
    pub docs: Vec<DocId>,
    /// Each document as it was born.
    pub born: Vec<Automerge>,
    pub made: Vec<Made>,
}

impl Changes {
    /// Draws what a change of a document builds on: mostly one that was made lately.
    pub fn base(&self, draws: &mut Draws, doc: usize) -> Base {
        let of: Vec<&Made> = self.made.iter().filter(|made| made.doc == doc).collect();
        if of.is_empty() || draws.chance(30) {
            return Base { document: self.born[doc].clone(), name: "born".into() };
        }
        let late = draws.chance(50);
        let one = if late { of[of.len() - 1 - draws.below(of.len().min(3))] } else { draws.one(&of) };
        if draws.chance(25) {
            let other = draws.one(&of);
            if let Some(document) = merged(&one.after, &other.after) {
                return Base { document, name: format!("{}+{}", one.name, other.name) };
            }
        }
        Base { document: one.after.clone(), name: one.name.clone() }
    }

    /// Sets a key of a document as of `base`; nothing where that changes nothing, or cannot be applied to it.
    pub fn change(
        &self,
        (by, generation): (&SiteId, GenerationId),
        doc: usize,
        base: &Automerge,
        (key, text): (&str, &str),
    ) -> Option<(Vec<u8>, Automerge)> {
        let mut document = base.clone();
        let mut edits = Edits::default();
        edits.put(key, Value::Text(text.into()));
        let by = actor(by, &generation, &self.docs[doc]);
        let made = sync::docs::edit::change(&mut document, &by, &edits, false).ok()??;
        let body = made.raw_bytes().to_vec();
        let mut after = base.clone();
        after.apply_changes([made]).ok()?;
        Some((body, after))
    }
}

/// Both documents as one; nothing where they hold two changes of one place.
fn merged(one: &Automerge, other: &Automerge) -> Option<Automerge> {
    let (mut both, mut other) = (one.clone(), other.clone());
    both.merge(&mut other).ok()?;
    Some(both)
}
