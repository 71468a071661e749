//! Document kinds and ids (R5), and the keys they have in common.

use std::collections::BTreeMap;
use std::fmt;

use crate::access::ADOPTED;
use crate::author::Author;
use crate::id::{ActorId, ChangeHash, DocId, OrgId, RecordHash, ScopeId, SiteId, UserId};
use crate::ticket::status::TRANSITION;
use crate::time::{Hlc, Timestamp};

/// Bytes of a root key: paths of ids and short words.
pub const MAX_KEY_BYTES: usize = 256;

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocKind {
    /// A ticket, as its requester may read it.
    Ticket,
    /// The internal notes beside a ticket.
    TicketNotes,
    /// Somebody: name and ways to reach them.
    Person,
    /// A group that tickets are given to.
    Group,
    /// What tickets are about.
    Category,
    /// A place.
    Location,
    /// A kind of a newer version: kept, forwarded, not shown.
    Other(u16),
}

impl DocKind {
    /// The kind with this number.
    pub fn from_number(number: u16) -> Self {
        match number {
            1 => Self::Ticket,
            2 => Self::TicketNotes,
            3 => Self::Person,
            4 => Self::Group,
            5 => Self::Category,
            6 => Self::Location,
            other => Self::Other(other),
        }
    }
    /// Its number in the format.
    pub fn number(self) -> u16 {
        match self {
            Self::Ticket => 1,
            Self::TicketNotes => 2,
            Self::Person => 3,
            Self::Group => 4,
            Self::Category => 5,
            Self::Location => 6,
            Self::Other(number) => number,
        }
    }
    /// The word for it in the API; `None` for kinds of a newer version.
    pub fn word(self) -> Option<&'static str> {
        Some(match self {
            Self::Ticket => "ticket",
            Self::TicketNotes => "ticket_notes",
            Self::Person => "person",
            Self::Group => "group",
            Self::Category => "category",
            Self::Location => "location",
            Self::Other(_) => return None,
        })
    }
    /// Whether documents of this kind stand in the organisation's own scope.
    pub fn is_shared(self) -> bool {
        match self {
            Self::Person | Self::Group | Self::Category | Self::Location => true,
            Self::Ticket | Self::TicketNotes | Self::Other(_) => false,
        }
    }
}

/// The id of a document (R5).
pub fn doc_id(org: &OrgId, scope: &ScopeId, kind: DocKind, nonce: &[u8; 16]) -> DocId {
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 document");
    hasher.update(&org.0).update(&scope.0).update(&kind.number().to_be_bytes()).update(nonce);
    DocId(*hasher.finalize().as_bytes())
}

/// The hash of a natural key: what two sites may create alike gets one id.
/// `source` keeps apart what different sources call by the same name.
pub fn natural_key(source: &str, name: &str) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 natural key");
    hasher.update(&(source.len() as u64).to_be_bytes()).update(source.as_bytes()).update(name.as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    key
}

/// The natural key of the person document of somebody who can log in.
pub fn person_key(user: &UserId) -> [u8; 16] {
    natural_key("user", &user.to_string())
}

/// Under this key the notes document beside a ticket says which ticket that is.
pub const NOTES_OF: &str = "ticket";

/// The natural key of the notes document beside a ticket.
pub fn notes_key(ticket: &DocId) -> [u8; 16] {
    natural_key("notes", &ticket.to_string())
}

/// The id of the notes document beside a ticket.
pub fn doc_id_of_notes(org: &OrgId, scope: &ScopeId, ticket: &DocId) -> DocId {
    doc_id(org, scope, DocKind::TicketNotes, &notes_key(ticket))
}

/// What the genesis change of a document says for ever.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GenesisFacts {
    /// The requester named at birth: their own tickets are theirs.
    pub requester: Option<DocId>,
}

/// A scalar under a root key, as far as Archipel's documents use Automerge's scalars.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Explicitly nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
    /// A scalar of another type: kept and shown as this text, never written.
    Other(String),
}

impl Value {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Other(_) => None,
        }
    }
    /// How it is shown in histories; `None` for nothing.
    pub fn shown(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Bool(flag) => Some(flag.to_string()),
            Self::Int(number) => Some(number.to_string()),
            Self::Text(text) | Self::Other(text) => Some(text.clone()),
        }
    }
}

/// Who made a change, where and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// In whose name.
    pub author: Author,
    /// At which site.
    pub site: SiteId,
    /// When: the record's own time (R28).
    pub at: Hlc,
    /// Where it stands among the changes of its document: never before what it depends on, whatever clocks said.
    pub order: Hlc,
    /// Whether something that it depends on, or that depends on it, has a time that contradicts it (R28).
    pub doubt: bool,
    /// Whether its record does not stand, and is here because one that does builds on it (R19).
    pub tainted: bool,
    /// The change.
    pub change: ChangeHash,
    /// Its actor.
    pub actor: ActorId,
    /// Its last operation.
    pub max_op: u64,
    /// What it depends on: indices into `View::changes`, each smaller than its own. Where not all changes are listed, the
    /// last of the keys with an order ([`is_ordered`]) that its author had seen.
    pub dependencies: Vec<usize>,
}

/// One of the values under a key, with the change that put it (an index into `View::changes`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributedValue {
    /// The value.
    pub value: Value,
    /// Which change.
    pub by: usize,
}

/// A document as its rules see it. A function of the records held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Which document.
    pub id: DocId,
    /// In which scope.
    pub scope: ScopeId,
    /// Its kind.
    pub kind: DocKind,
    /// What its genesis fixed for rights.
    pub facts: GenesisFacts,
    /// Concurrent values under each key, the winner first.
    pub values: BTreeMap<String, Vec<AttributedValue>>,
    /// Collaborative texts.
    pub texts: BTreeMap<String, String>,
    /// Keys whose values or text are a tainted change's, with the last value that is none's; `None` for nothing (R19).
    pub untainted: BTreeMap<String, Option<String>>,
    /// The changes whose values it shows, or, of a whole view, all that it holds; by order, then hash: each behind what it
    /// depends on.
    pub changes: Vec<Stamp>,
    /// The time of the first of all its changes.
    pub first_at: Timestamp,
    /// The latest time of all its changes but those that say what the source of an import knows; `None` if all do. Never
    /// later than the last of its heads: what was answered was not written after its answer (R28).
    pub last_at: Option<Timestamp>,
}

impl View {
    /// The winning value under `key`.
    pub fn value(&self, key: &str) -> Option<&Value> {
        Some(&self.values.get(key)?.first()?.value)
    }
    /// The winning text under `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.value(key)?.as_text()
    }
    /// Keys below `prefix` with their values.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Vec<AttributedValue>)> {
        let from = self.values.range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        from.take_while(move |(key, _)| key.starts_with(prefix)).map(|(key, held)| (&key[prefix.len()..], held))
    }
    /// Distinct values under `key`, each with the first change that holds it; more than one is a conflict.
    pub fn distinct(&self, key: &str) -> Vec<&AttributedValue> {
        let mut distinct: Vec<&AttributedValue> = Vec::new();
        for held in self.values.get(key).into_iter().flatten() {
            if !distinct.iter().any(|other| other.value == held.value) {
                distinct.push(held);
            }
        }
        distinct
    }
}

/// Which record was adopted (R12), as the document says that the adoption made or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The adopted record.
    pub record: RecordHash,
    /// The document that it gave birth to, of which this one takes the place; `None` if it gave birth to none.
    pub document: Option<DocId>,
    /// That one's number, if it had one.
    pub number: Option<String>,
}

impl fmt::Display for Adopted {
    /// Record, document and number, as far as there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.record)?;
        self.document.iter().try_for_each(|document| write!(f, " {document}"))?;
        self.number.iter().try_for_each(|number| write!(f, " {number}"))
    }
}

impl Adopted {
    /// What [`Adopted::to_string`] gave; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        let record = parts.next()?.parse().ok()?;
        let document = parts.next().map(str::parse).transpose().ok()?;
        Some(Self { record, document, number: parts.next().map(str::to_owned) })
    }

    /// What a document says of adoptions, with the author of each.
    pub fn of(view: &View) -> Vec<(Self, Author)> {
        let held = view.below(ADOPTED).flat_map(|(_, held)| held);
        let read =
            |held: &AttributedValue| Some((Self::parse(held.value.as_text()?)?, view.changes.get(held.by)?.author));
        held.filter_map(read).collect()
    }
}

/// Whether the changes that write such a key are told apart by which of them their authors had seen.
pub fn is_ordered(key: &str) -> bool {
    key.starts_with(TRANSITION)
}

/// What a command writes into one document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edits {
    /// Root keys with their new value; `None` deletes.
    pub puts: BTreeMap<String, Option<Value>>,
    /// Collaborative texts with the whole new text; the change holds the difference.
    pub texts: BTreeMap<String, String>,
    /// Whether what stands there already is written again: somebody says that it is right, or says it again.
    pub again: bool,
}

impl Edits {
    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.texts.is_empty()
    }
    /// Puts `value` under `key`.
    pub fn put(&mut self, key: impl Into<String>, value: Value) {
        self.puts.insert(key.into(), Some(value));
    }
}
