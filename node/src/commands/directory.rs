//! Commands on people, groups, categories and locations.

use schema::author::Author;
use schema::doc::{DocKind, Edits, Value, natural_key, person_key};
use schema::fold::fold;
use schema::id::{DocId, UserId};
use schema::record::CommandName;
use sync::replica::{Batch, WriteError};

use super::{Context, Failure};

/// Writes the person document of somebody who can log in.
pub fn person(
    batch: &mut Batch<'_, '_>,
    context: &Context<'_>,
    author: Author,
    user: &UserId,
    name: &str,
) -> Result<DocId, Failure> {
    named(batch, context, author, DocKind::Person, person_key(user), name)
}

/// Writes a directory document that two sites may make alike: its id comes from `source` and the name.
pub fn by_name(
    batch: &mut Batch<'_, '_>,
    context: &Context<'_>,
    author: Author,
    kind: DocKind,
    source: &str,
    name: &str,
) -> Result<DocId, Failure> {
    named(batch, context, author, kind, natural_key(source, &fold(name)), name)
}

fn named(
    batch: &mut Batch<'_, '_>,
    context: &Context<'_>,
    author: Author,
    kind: DocKind,
    natural: [u8; 16],
    name: &str,
) -> Result<DocId, Failure> {
    let scope = context.policy.org_scope();
    let id = schema::doc::doc_id(&context.policy.org, &scope, kind, &natural);
    let mut edits = Edits::default();
    edits.put("name", Value::Text(name.trim().to_owned()));
    if batch.view(&id).map_err(WriteError::from)?.is_some_and(|view| view.text("name") == Some(name.trim())) {
        return Ok(id);
    }
    batch.command(author, CommandName::Place, scope, |command| {
        match command.view(&id)? {
            Some(_) => drop(command.edit(id, &edits)?),
            None => drop(command.create(kind, Some(natural), &edits)?),
        }
        Ok::<_, Failure>(())
    })?;
    Ok(id)
}
