//! Commands on records without effect (R12): somebody adopts one, or discards it.

use schema::author::Author;
use schema::authority::Role;
use schema::doc::{DocKind, Edits, Value};
use schema::id::{DocId, ScopeId};
use schema::policy::Policy;
use schema::record::BodyKind;
use sync::quarantine::{Quarantined, RecordKey, adoption_name};
use sync::replica::{Batch, WriteError};
use sync::store::rows::Verdict;

use super::{Actor, Context, Failure};

/// Which one: its place in this store, and the first bytes of its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its place.
    pub key: RecordKey,
    /// The first bytes of its hash.
    pub hash_head: [u8; 8],
}

/// Says what a record says that does not stand, or cannot have an effect yet, as the asker's own command. Answers with
/// the documents that it made or changed. A record that breaks a rule is nobody's to adopt, and nor is one that goes on with
/// what is neither here nor adopted, at this site or by one of `adopters`.
pub fn adopt(
    batch: &mut Batch<'_, '_>,
    context: &mut Context<'_>,
    actor: &Actor,
    held: &Held,
    adopters: &[Author],
) -> Result<Vec<DocId>, Failure> {
    let found = find(batch, context, actor, held)?;
    if !may_be_adopted(&found) {
        return Err(Failure::Forbidden);
    }
    // Asked twice it makes one thing.
    let name = adoption_name(&found.record.hash());
    let (author, scope) = (Author::User(actor.user), found.record.header.log.scope);
    let (code, home) = (context.code(), Value::Text(context.me.to_string()));
    let as_new = |kind: DocKind, edits: &mut Edits| {
        // Whoever opens a ticket gives it its number, and looks after it.
        if kind == DocKind::Ticket {
            edits.put("number", Value::Text(context.numbers.next(&code)));
            edits.put("home", home.clone());
        }
    };
    let written = batch.command(author, name, scope, |command| command.adopt(&found.record, adopters, as_new))?;
    batch.discard(&found.record.hash(), &actor.user).map_err(WriteError::from)?;
    Ok(written.docs)
}

/// Takes a record off the list at this site. Its bytes stay; other sites list it still.
pub fn discard(batch: &mut Batch<'_, '_>, context: &Context<'_>, actor: &Actor, held: &Held) -> Result<(), Failure> {
    let found = find(batch, context, actor, held)?;
    if !may_be_discarded(&found) {
        return Err(Failure::Forbidden);
    }
    Ok(batch.discard(&found.record.hash(), &actor.user).map_err(WriteError::from)?)
}

/// Whether anybody may adopt it.
pub fn may_be_adopted(held: &Quarantined) -> bool {
    held.record.header.kind == BodyKind::Edit && !matches!(held.verdict, Verdict::Void(_))
}

/// Whether anybody may discard it: what waits may have an effect yet.
pub fn may_be_discarded(held: &Quarantined) -> bool {
    !matches!(held.verdict, Verdict::Waiting(_))
}

fn find(batch: &Batch<'_, '_>, context: &Context<'_>, actor: &Actor, held: &Held) -> Result<Quarantined, Failure> {
    let found = batch.quarantined(&held.key, &held.hash_head).map_err(WriteError::from)?;
    let found = found.filter(|found| may(&context.policy, actor, &found.record.header.log.scope));
    found.ok_or(Failure::Unknown)
}

/// Whoever works on all of a scope: technicians of its structure, administrators of the organisation's own.
fn may(policy: &Policy, actor: &Actor, scope: &ScopeId) -> bool {
    let role = policy.role(&actor.entry.grants, policy.structure_of(scope));
    match policy.structure_of(scope) {
        Some(_) => role >= Some(Role::Technician),
        None => role == Some(Role::Admin),
    }
}
