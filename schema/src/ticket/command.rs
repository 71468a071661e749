//! What somebody asks of a ticket, turned into edits of its document.

use std::collections::BTreeMap;

use thiserror::Error;

use super::field::{Field, Kind, Level, MAX_COMMENT_CHARS, MAX_DESCRIPTION_CHARS, MAX_SHORT_CHARS, Misfit};
use super::status::{self, Status, TRANSITION};
use super::view::{STATUS, comments_of, doubted};
use crate::access::{COMMENT, CONFIRMED};
use crate::doc::{Edits, NOTES_OF, Value, View};
use crate::id::{DocId, SiteId, StructureId};

/// The key under which a description stands.
pub const DESCRIPTION: &str = "description";

/// Why a command makes no sense here. Nothing was changed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// A value does not fit its field.
    #[error("the value of {field} does not fit: {misfit:?}")]
    Field {
        /// The field's word.
        field: &'static str,
        /// Why.
        misfit: Misfit,
    },
    /// The status does not lead there.
    #[error("a ticket does not go from {from} to {to}")]
    Transition {
        /// The working status.
        from: Status,
        /// Where it was asked to go.
        to: Status,
    },
}

/// What a new ticket begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTicket {
    /// The number drawn for it.
    pub number: String,
    /// Whose ticket it is.
    pub structure: StructureId,
    /// The site that keeps its timers.
    pub home: SiteId,
    /// The long text.
    pub description: String,
    /// Fields as given, by field; title is needed, kind, impact and urgency have defaults.
    pub fields: BTreeMap<Field, String>,
}

/// Edits of a ticket's genesis change.
pub fn create(ticket: &NewTicket) -> Result<Edits, CommandError> {
    let mut edits = Edits::default();
    edits.put("number", Value::Text(ticket.number.clone()));
    edits.put("structure", Value::Text(ticket.structure.to_string()));
    edits.put("home", Value::Text(ticket.home.to_string()));
    edits.put(Field::Kind.word(), Value::Text(Kind::Incident.word().to_owned()));
    edits.put(Field::Impact.word(), Value::Text(Level::Medium.word().to_owned()));
    edits.put(Field::Urgency.word(), Value::Text(Level::Medium.word().to_owned()));
    let title = ticket.fields.get(&Field::Title).map(String::as_str);
    edits.puts.insert(Field::Title.word().to_owned(), fit(Field::Title, title)?);
    for (field, given) in &ticket.fields {
        edits.puts.insert(field.word().to_owned(), fit(*field, Some(given))?);
    }
    edits.texts.insert(DESCRIPTION.to_owned(), long_text(DESCRIPTION, &ticket.description, MAX_DESCRIPTION_CHARS)?);
    Ok(edits)
}

/// Edits that set or clear fields, and the description if given. What already has that one value is
/// left alone; a field with two values is written, which settles it, and one whose value is in doubt, which confirms it.
pub fn patch(
    view: &View,
    fields: &BTreeMap<Field, Option<String>>,
    description: Option<&str>,
) -> Result<Edits, CommandError> {
    let mut edits = Edits::default();
    for (field, given) in fields {
        let value = fit(*field, given.as_deref())?;
        let in_doubt = view.untainted.contains_key(field.word());
        edits.again |= in_doubt;
        if in_doubt || !already(view, field.word(), value.as_ref()) {
            edits.puts.insert(field.word().to_owned(), value);
        }
    }
    if let Some(text) = description {
        let text = long_text(DESCRIPTION, text, MAX_DESCRIPTION_CHARS)?;
        let in_doubt = view.untainted.contains_key(DESCRIPTION);
        edits.again |= in_doubt;
        if in_doubt || view.texts.get(DESCRIPTION) != Some(&text) {
            edits.texts.insert(DESCRIPTION.to_owned(), text);
        }
    }
    Ok(edits)
}

/// Edits that say of what is in doubt that it is right (R19): the fields that `field` names, as [`super::view::Tainted::field`] does,
/// are written again as they show. Nothing of what is not in doubt. `id` names the confirmation of a status, which is not
/// written again: the move to it was made once.
pub fn confirm(view: &View, id: &str, field: &str) -> Edits {
    let mut edits = Edits { again: true, ..Edits::default() };
    for key in doubted(view, field) {
        match (key, view.texts.get(key)) {
            (DESCRIPTION, Some(text)) => drop(edits.texts.insert(key.to_owned(), text.clone())),
            (STATUS, _) => {
                let last = status::derive(view).last.map(|last| format!("{TRANSITION}{}", last.id));
                edits.puts.extend(last.map(|last| (format!("{CONFIRMED}{id}"), Some(Value::Text(last)))));
            }
            _ => drop(edits.puts.insert(key.to_owned(), view.value(key).cloned())),
        }
    }
    edits
}

/// Edits that say of a reply (in the ticket) or a note (in the notes document) in doubt that it is right; `None` if there is
/// no such one. `id` names the confirmation.
pub fn confirm_comment(view: &View, id: &str, comment: &str) -> Option<Edits> {
    let found = comments_of(view).into_iter().find(|found| found.id == comment)?;
    let mut edits = Edits::default();
    if found.attribution.tainted {
        edits.put(format!("{CONFIRMED}{id}"), Value::Text(format!("{COMMENT}{comment}")));
    }
    Some(edits)
}

/// Edits that move the ticket. `id` names the transition. A conflict of status is settled by any move
/// that is legal from one of its values, also to one of them.
pub fn transition(view: &View, id: &str, to: Status, reason: Option<&str>) -> Result<Edits, CommandError> {
    let state = status::derive(view);
    let from = state.status;
    let settles = state.conflict.iter().any(|one| one.to == to || one.to.next().contains(&to));
    if !settles && !from.next().contains(&to) {
        return Err(CommandError::Transition { from, to });
    }
    fact(id, from, to, reason)
}

/// Edits that state a move without asking the table: for imports, whose source had its own.
pub fn fact(id: &str, from: Status, to: Status, reason: Option<&str>) -> Result<Edits, CommandError> {
    let mut edits = Edits::default();
    edits.put(format!("{TRANSITION}{id}"), Value::Text(status::encode(from, to)));
    if let Some(reason) = reason {
        let reason = long_text("reason", reason, MAX_SHORT_CHARS)?;
        edits.put(format!("{TRANSITION}{id}/reason"), Value::Text(reason));
    }
    Ok(edits)
}

/// Edits that add a reply (to the ticket) or a note (to the notes document).
pub fn comment(id: &str, body: &str) -> Result<Edits, CommandError> {
    let body = long_text("body", body, MAX_COMMENT_CHARS)?;
    if body.trim().is_empty() {
        return Err(CommandError::Field { field: "body", misfit: Misfit::Empty });
    }
    let mut edits = Edits::default();
    edits.put(format!("{COMMENT}{id}/body"), Value::Text(body));
    Ok(edits)
}

/// Edits of the genesis change of a ticket's notes document.
pub fn create_notes(ticket: &DocId) -> Edits {
    let mut edits = Edits::default();
    edits.put(NOTES_OF, Value::Text(ticket.to_string()));
    edits
}

/// Marks the change that these edits make as imported: the source's time in milliseconds and author.
pub fn imported(edits: &mut Edits, id: &str, at_ms: u64, author: &str) {
    edits.put(format!("imported/{id}"), Value::Text(format!("{at_ms} {author}")));
}

fn fit(field: Field, given: Option<&str>) -> Result<Option<Value>, CommandError> {
    field.value(given).map_err(|misfit| CommandError::Field { field: field.word(), misfit })
}

fn long_text(field: &'static str, text: &str, limit: usize) -> Result<String, CommandError> {
    match text.chars().count() > limit {
        true => Err(CommandError::Field { field, misfit: Misfit::TooLong(limit) }),
        false => Ok(text.to_owned()),
    }
}

fn already(view: &View, key: &str, value: Option<&Value>) -> bool {
    let held = view.distinct(key);
    match value {
        None => held.is_empty(),
        Some(value) => held.len() == 1 && held[0].value == *value,
    }
}
