//! What a held change says, in the words of a ticket's history, and of which ticket.

use std::fmt;

use schema::author::Author;
use schema::doc::{Adopted, DocKind, Edits, NOTES_OF};
use schema::id::DocId;
use schema::record::{Entry, Record};
use schema::ticket::command::DESCRIPTION;
use sync::docs::{self, said};
use sync::quarantine;
use sync::store::{Source, StoreError};

use crate::http::history::field_of;

/// Letters of a value that are shown: whoever wants to read all of it adopts it.
const SHOWN_CHARS: usize = 200;

/// A ticket as its birth calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// As it was given.
    pub(super) number: String,
    /// One line.
    pub(super) title: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number, self.title)
    }
}

/// What a held change says.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The ticket that it concerns, if that is here: itself, or as it was adopted.
    pub(super) here: Option<DocId>,
    /// That ticket as its birth calls it, if it is not.
    pub(super) name: Option<Name>,
    /// Fields, as the history of a ticket calls them, with their values; `None` clears one.
    pub(super) changes: Vec<(String, Option<String>)>,
}

/// What a held record says; of those that one of `adopters` adopted it knows as what. Linear in its bytes, and in the records that name the ticket.
pub(super) fn told(source: &impl Source, record: &Record, adopters: &[Author]) -> Result<Told, StoreError> {
    let mut told = Told::default();
    for entry in &record.skeleton.entries {
        // Nothing can be told of a body that is not held, or is no change.
        let (Some(edits), Some(kind)) = (said::said(source, &entry.change)?, kind_of(source, entry)?) else {
            continue;
        };
        if let Some(ticket) = ticket_of(source, kind, entry, &edits)? {
            told.here = match docs::row(source, &ticket)? {
                Some(_) => Some(ticket),
                None => quarantine::adopted_as(source, &ticket, adopters)?,
            };
            told.name = if told.here.is_none() { name_of(source, &ticket)? } else { None };
        }
        told.changes.extend(changes(kind, edits));
    }
    Ok(told)
}

fn kind_of(source: &impl Source, entry: &Entry) -> Result<Option<DocKind>, StoreError> {
    if let Some(genesis) = entry.genesis {
        return Ok(genesis.kind());
    }
    match docs::row(source, &entry.doc)? {
        Some(row) => Ok(Some(row.kind)),
        None => Ok(quarantine::birth(source, &entry.doc)?.map(|(kind, _)| kind)),
    }
}

/// The ticket that a document is, or stands beside; `None` for another kind.
fn ticket_of(source: &impl Source, kind: DocKind, entry: &Entry, edits: &Edits) -> Result<Option<DocId>, StoreError> {
    match kind {
        DocKind::Ticket => Ok(Some(entry.doc)),
        DocKind::TicketNotes if entry.genesis.is_some() => Ok(beside(edits)),
        DocKind::TicketNotes => Ok(quarantine::birth(source, &entry.doc)?.and_then(|(_, birth)| beside(&birth))),
        DocKind::Person | DocKind::Group | DocKind::Category | DocKind::Location | DocKind::Other(_) => Ok(None),
    }
}

fn beside(birth: &Edits) -> Option<DocId> {
    text(birth, NOTES_OF)?.parse().ok()
}

fn text<'e>(edits: &'e Edits, key: &str) -> Option<&'e str> {
    edits.puts.get(key)?.as_ref()?.as_text()
}

/// The name of the ticket that a document is, or stands beside, as its birth says; `None` if nothing is known of it.
pub(super) fn name_of(source: &impl Source, doc: &DocId) -> Result<Option<Name>, StoreError> {
    let named = |birth: &Edits| {
        let text = |key: &str| text(birth, key).unwrap_or_default().to_owned();
        Name { number: text("number"), title: text("title") }
    };
    match quarantine::birth(source, doc)? {
        Some((DocKind::Ticket, birth)) => Ok(Some(named(&birth))),
        Some((DocKind::TicketNotes, birth)) => {
            let ticket = beside(&birth).map(|ticket| quarantine::birth(source, &ticket)).transpose()?.flatten();
            Ok(ticket.filter(|(kind, _)| *kind == DocKind::Ticket).map(|(_, birth)| named(&birth)))
        }
        Some(_) | None => Ok(None),
    }
}

/// What edits do to which fields, the birth of a ticket first.
fn changes(kind: DocKind, edits: Edits) -> Vec<(String, Option<String>)> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    for (key, value) in edits.puts {
        let Some(field) = field_of(kind, &key) else {
            continue;
        };
        let value = value.and_then(|value| value.shown());
        let value = match field {
            "status" => value.map(|moved| moved.rsplit('>').next().unwrap_or_default().to_owned()),
            "adopted" => value.and_then(|said| Adopted::parse(&said)?.number),
            _ => value,
        };
        let place = if field == "created" { 0 } else { found.len() };
        found.insert(place, (field.to_owned(), value));
    }
    // A ticket has one text.
    found.extend(edits.texts.into_values().map(|letters| (DESCRIPTION.to_owned(), Some(letters))));
    found
}

/// The beginning of a text.
pub(super) fn shortened(text: String) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
