//! Commands on tickets.

use std::collections::BTreeMap;

use schema::access::readable_by;
use schema::author::Author;
use schema::authority::Role;
use schema::doc::{DocKind, View, doc_id_of_notes, notes_key};
use schema::id::scope_of;
use schema::id::{DocId, ScopeId, SiteId, StructureId};
use schema::record::CommandName;
use schema::ticket::command::{NewTicket, comment, confirm_comment, create, create_notes, patch, transition};
use schema::ticket::{self, Field, Status};
use sync::replica::{Batch, WriteError};

use super::{Actor, Context, Failure};

/// What somebody wants to open.
#[derive(Debug, Clone, Default)]
pub struct Opening {
    /// Whose ticket; `None`: the asker's own structure, the first by name.
    pub structure: Option<StructureId>,
    /// The long text.
    pub description: String,
    /// Fields as given.
    pub fields: BTreeMap<Field, String>,
}

/// Fields that a requester without another role may set when opening a ticket.
const OF_REQUESTERS: [Field; 6] =
    [Field::Title, Field::Kind, Field::Impact, Field::Urgency, Field::Category, Field::Location];

/// Opens a ticket; the requester is the asker unless somebody else is named.
pub fn open(
    batch: &mut Batch<'_, '_>,
    context: &mut Context<'_>,
    actor: &Actor,
    name: CommandName,
    mut opening: Opening,
) -> Result<DocId, Failure> {
    let policy = context.policy.clone();
    let structure = match opening.structure {
        Some(structure) => structure,
        None => default_structure(&policy, &context.me, actor).ok_or(Failure::Structure)?,
    };
    let role = policy.role(&actor.entry.grants, Some(structure)).ok_or(Failure::Structure)?;
    let own = policy.person_of(&actor.user).to_string();
    if role == Role::User {
        let allowed = |field: &Field| OF_REQUESTERS.contains(field) || *field == Field::Requester;
        let for_others = opening.fields.get(&Field::Requester).is_some_and(|requester| *requester != own);
        if for_others || !opening.fields.keys().all(allowed) {
            return Err(Failure::Forbidden);
        }
    }
    opening.fields.entry(Field::Requester).or_insert(own);
    let code = context.code();
    let scope = scope_of(&policy.org, Some(&structure));
    let me = context.me;
    let written = batch.command(Author::User(actor.user), name, scope, |command| {
        let number = context.numbers.next(&code);
        let ticket =
            NewTicket { number, structure, home: me, description: opening.description, fields: opening.fields };
        command.create(DocKind::Ticket, None, &create(&ticket)?)?;
        Ok::<_, Failure>(())
    })?;
    written.docs.first().copied().ok_or(Failure::Unknown)
}

/// Sets or clears fields and the description.
pub fn change(
    batch: &mut Batch<'_, '_>,
    context: &Context<'_>,
    actor: &Actor,
    ticket: DocId,
    fields: &BTreeMap<Field, Option<String>>,
    description: Option<&str>,
) -> Result<(), Failure> {
    let view = readable(batch, context, actor, &ticket)?;
    let edits = patch(&view, fields, description)?;
    edit(batch, actor, view.scope, CommandName::Place, ticket, edits)
}

/// Moves a ticket.
pub fn advance(
    batch: &mut Batch<'_, '_>,
    context: &Context<'_>,
    actor: &Actor,
    ticket: DocId,
    to: Status,
    reason: Option<&str>,
) -> Result<(), Failure> {
    let view = readable(batch, context, actor, &ticket)?;
    batch
        .command(Author::User(actor.user), CommandName::Place, view.scope, |command| {
            let edits = transition(&view, &command.id(), to, reason)?;
            command.edit(ticket, &edits)?;
            Ok::<_, Failure>(())
        })
        .map(|_| ())
}

/// Adds a public reply.
pub fn reply(
    batch: &mut Batch<'_, '_>,
    context: &Context<'_>,
    actor: &Actor,
    name: CommandName,
    ticket: DocId,
    body: &str,
) -> Result<String, Failure> {
    let view = readable(batch, context, actor, &ticket)?;
    let mut id = String::new();
    batch.command(Author::User(actor.user), name, view.scope, |command| {
        id = command.id();
        command.edit(ticket, &comment(&id, body)?)?;
        Ok::<_, Failure>(())
    })?;
    Ok(id)
}

/// Adds an internal note. The notes document is made with the first.
pub fn note(
    batch: &mut Batch<'_, '_>,
    context: &Context<'_>,
    actor: &Actor,
    name: CommandName,
    ticket: DocId,
    body: &str,
) -> Result<String, Failure> {
    let view = readable(batch, context, actor, &ticket)?;
    let structure = context.policy.structure_of(&view.scope).ok_or(Failure::Unknown)?;
    if context.policy.role(&actor.entry.grants, Some(structure)) < Some(Role::Technician) {
        return Err(Failure::Forbidden);
    }
    let mut id = String::new();
    batch.command(Author::User(actor.user), name, view.scope, |command| {
        id = command.id();
        let edits = comment(&id, body)?;
        let natural = Some(notes_key(&ticket));
        let notes = command.id_of_next(DocKind::TicketNotes, natural);
        match command.view(&notes)? {
            Some(_) => drop(command.edit(notes, &edits)?),
            None => {
                let mut birth = create_notes(&ticket);
                birth.puts.extend(edits.puts);
                command.create(DocKind::TicketNotes, natural, &birth)?;
            }
        }
        Ok::<_, Failure>(())
    })?;
    Ok(id)
}

/// What somebody says is right although it comes from a change that does not stand (R19).
#[derive(Debug, Clone)]
pub enum Confirmed {
    /// The fields that show under this name in a ticket's doubts.
    Field(String),
    /// The reply or note with this id.
    Comment(String),
}

/// Ends a doubt at every site: what shows is said again, in the asker's name. Nothing if it is in doubt no more.
pub fn confirm(
    batch: &mut Batch<'_, '_>,
    context: &Context<'_>,
    actor: &Actor,
    ticket: DocId,
    confirmed: &Confirmed,
) -> Result<(), Failure> {
    let view = readable(batch, context, actor, &ticket)?;
    let structure = context.policy.structure_of(&view.scope).ok_or(Failure::Unknown)?;
    if context.policy.role(&actor.entry.grants, Some(structure)) < Some(Role::Technician) {
        return Err(Failure::Forbidden);
    }
    let notes = doc_id_of_notes(&context.policy.org, &view.scope, &ticket);
    let notes = batch.view(&notes).map_err(WriteError::from)?;
    batch
        .command(Author::User(actor.user), CommandName::Place, view.scope, |command| {
            let id = command.id();
            let (doc, edits) = match confirmed {
                Confirmed::Field(field) => (ticket, ticket::command::confirm(&view, &id, field)),
                Confirmed::Comment(comment) => {
                    let mut docs = [Some(&view), notes.as_ref()].into_iter().flatten();
                    let found = docs.find_map(|doc| Some((doc.id, confirm_comment(doc, &id, comment)?)));
                    found.ok_or(Failure::Comment)?
                }
            };
            command.edit(doc, &edits)?;
            Ok::<_, Failure>(())
        })
        .map(|_| ())
}

fn edit(
    batch: &mut Batch<'_, '_>,
    actor: &Actor,
    scope: ScopeId,
    name: CommandName,
    doc: DocId,
    edits: schema::doc::Edits,
) -> Result<(), Failure> {
    if edits.is_empty() {
        return Ok(());
    }
    batch
        .command(Author::User(actor.user), name, scope, |command| {
            command.edit(doc, &edits)?;
            Ok::<_, Failure>(())
        })
        .map(|_| ())
}

/// The ticket's document, if the asker may read it: nobody learns that another one exists.
fn readable(batch: &Batch<'_, '_>, context: &Context<'_>, actor: &Actor, doc: &DocId) -> Result<View, Failure> {
    let view = batch.view(doc).map_err(WriteError::from)?.filter(|view| view.kind == DocKind::Ticket);
    let view = view.ok_or(Failure::Unknown)?;
    let structure = context.policy.structure_of(&view.scope).ok_or(Failure::Unknown)?;
    let requesters = [view.text("requester").and_then(|text| text.parse().ok()), view.facts.requester];
    match readable_by(&context.policy, &actor.entry).ticket(&structure, &requesters) {
        true => Ok(view),
        false => Err(Failure::Unknown),
    }
}

/// The structure that a ticket without one goes to: of those in which the asker has a role the first by name, those first that
/// this site holds. A site that is gone holds none, and says so when it is to write.
fn default_structure(policy: &schema::policy::Policy, me: &SiteId, actor: &Actor) -> Option<StructureId> {
    let is_held = |id: &StructureId| policy.holds(me, &scope_of(&policy.org, Some(id)));
    let reachable = policy.structures.iter().filter(|(id, _)| policy.role(&actor.entry.grants, Some(**id)).is_some());
    reachable.min_by_key(|(id, structure)| (!is_held(id), structure.name.as_str())).map(|(id, _)| *id)
}
