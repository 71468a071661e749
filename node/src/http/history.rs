//! What happened to a ticket, and where it is by now.

use axum::Json;
use axum::extract::State;
use schema::author::Author;
use schema::doc::{Adopted, DocKind, View, doc_id_of_notes};
use schema::id::DocId;
use schema::ticket::status::TRANSITION;
use schema::ticket::view::Attributions;
use serde::Serialize;
use sync::docs::history::{Step, steps};
use sync::docs::{self, view};
use utoipa::ToSchema;

use super::auth::Principal;
use super::errors::Path;
use super::sessions::SiteRef;
use super::tickets::{author, find_id, value_label};
use super::{App, Problem};
use crate::clock::rfc3339;
use crate::read_model::directory::{Labels, Ref};

/// What the confirmation of a status is called here; that of a reply or a note is `confirmed`.
const CONFIRMED_STATUS: &str = "confirmed/status";

/// One field that somebody changed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Entry {
    /// The change: entries of one command on one document share it.
    change: String,
    at: String,
    author: Ref,
    site: SiteRef,
    field: String,
    before: Option<String>,
    after: Option<String>,
    /// What the source of an import says: shown first.
    source: Option<Source>,
    /// Whether the change does not stand, and shows because one that does builds on it.
    tainted: bool,
    /// Whether its time is in doubt: what it builds on, or what builds on it, says that a clock was wrong.
    clock_in_doubt: bool,
}

/// Time and author by the source of an import.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Source {
    at: String,
    author: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct History {
    items: Vec<Entry>,
}

/// Who changed what, where and when, newest last.
#[utoipa::path(get, path = "/api/v1/tickets/{ticket}/history", responses((status = 200, body = History)))]
pub(super) async fn history(
    State(app): State<App>,
    asker: Principal,
    Path(name): Path<String>,
) -> Result<Json<History>, Problem> {
    let id = find_id(&app, &asker, name).await?;
    let reader = app.site.reader.clone();
    let reach = asker.reach.clone();
    let policy = asker.policy.clone();
    let org = policy.org;
    let read = tokio::task::spawn_blocking(move || -> Result<Vec<(View, Vec<Step>)>, Problem> {
        let reading = reader.read()?;
        let ticket = view::whole(&reading, &id)?.ok_or_else(Problem::unknown)?;
        let structure = policy.structure_of(&ticket.scope);
        let mut found = vec![(ticket.clone(), steps(&reading, &ticket)?)];
        if structure.is_some_and(|structure| reach.notes(&structure)) {
            let notes = doc_id_of_notes(&org, &ticket.scope, &id);
            if let Some(notes) = view::whole(&reading, &notes)? {
                let steps = steps(&reading, &notes)?;
                found.push((notes, steps));
            }
        }
        Ok(found)
    });
    let found = read.await.map_err(|_| Problem::internal())??;
    let policy = asker.policy;
    let items = app.site.views.read(move |conn| {
        let mut labels = Labels::new(conn);
        let mut items = Vec::new();
        for (view, steps) in &found {
            let attributions = Attributions::of(view);
            for step in steps {
                if let Some(field) = field_of(view.kind, &step.key) {
                    let attribution = attributions.attribution(step.by);
                    items.push((
                        attribution.shown_at(),
                        attribution.at,
                        entry(&policy, &mut labels, &attribution, field, step, view)?,
                    ));
                }
            }
        }
        items.sort_by_key(|(shown, at, _)| (*shown, *at));
        Ok(items.into_iter().map(|(_, _, entry)| entry).collect())
    });
    Ok(Json(History { items: items.await? }))
}

fn entry(
    policy: &schema::policy::Policy,
    labels: &mut Labels<'_>,
    attribution: &schema::ticket::view::Attribution,
    field: &str,
    step: &Step,
    view: &View,
) -> rusqlite::Result<Entry> {
    let user = match attribution.author {
        Author::User(user) => Some(user.to_string()),
        Author::Site | Author::Service(_) | Author::Other(_) => None,
    };
    let shown = |labels: &mut Labels<'_>, value: &Option<String>| match value {
        Some(value) => value_label(labels, field, value).map(Some),
        None => Ok(None),
    };
    let is_move = |item: &String| item.starts_with(TRANSITION);
    let field = if field == "confirmed" && step.after.as_ref().is_some_and(is_move) { CONFIRMED_STATUS } else { field };
    let (before, after) = match field {
        "status" => match step.after.as_deref().and_then(|value| value.split_once('>')) {
            Some((from, to)) => (Some(from.to_owned()), Some(to.to_owned())),
            None => (None, step.after.clone()),
        },
        "adopted" => (None, step.after.as_ref().and_then(|said| Adopted::parse(said)?.number)),
        // What was said once is told as it was said then.
        "confirmed" | CONFIRMED_STATUS => (None, step.after.as_ref().and_then(|item| said_of(view, item))),
        _ => (shown(labels, &step.before)?, shown(labels, &step.after)?),
    };
    Ok(Entry {
        change: view.changes[step.by].change.to_string(),
        at: rfc3339(attribution.at),
        author: author(policy, labels, user, None, &attribution.site.to_string())?,
        site: SiteRef::of(policy, &attribution.site),
        field: field.to_owned(),
        before,
        after,
        source: attribution.source.as_ref().map(|(at, author)| Source { at: rfc3339(*at), author: author.clone() }),
        tainted: attribution.tainted,
        clock_in_doubt: attribution.doubt,
    })
}

/// The text of a reply or a note, or the status that a move led to.
fn said_of(view: &View, item: &str) -> Option<String> {
    let text = view.text(&format!("{item}/body")).or_else(|| view.text(item)?.split('>').next_back())?;
    Some(text.to_owned())
}

/// The field that a key is to people; `None` for bookkeeping.
pub(super) fn field_of(kind: DocKind, key: &str) -> Option<&str> {
    let (head, rest) = key.split_once('/').unwrap_or((key, ""));
    match head {
        "comment" if kind == DocKind::TicketNotes => Some("comment/internal"),
        "comment" => Some("comment"),
        "transition" if rest.ends_with("/reason") => Some("status_reason"),
        "transition" => Some("status"),
        "imported" | "created_at" | "home" | "structure" | "ticket" => None,
        "number" => Some("created"),
        "confirmed" => Some("confirmed"),
        "adopted" => Some("adopted"),
        _ => Some(key),
    }
}

/// Whether a site has the ticket as it is here.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AtSite {
    code: String,
    name: String,
    /// `has`, `waiting` or `unknown`.
    state: &'static str,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Replication {
    /// When its last change was written, wherever that was.
    received_at: String,
    /// The site that wrote its last change.
    from: Option<String>,
    sites: Vec<AtSite>,
}

/// Which sites have the ticket's last change: what depends on the site that is asked.
#[utoipa::path(get, path = "/api/v1/tickets/{ticket}/replication", responses((status = 200, body = Replication)))]
pub(super) async fn replication(
    State(app): State<App>,
    asker: Principal,
    Path(name): Path<String>,
) -> Result<Json<Replication>, Problem> {
    let id: DocId = find_id(&app, &asker, name).await?;
    let found = app.site.run(move |core| -> Result<Option<Replication>, sync::store::StoreError> {
        let replica = core.replica();
        let reading = replica.read()?;
        let (Some(row), Some((last, from))) = (docs::row(&reading, &id)?, docs::last_change(&reading, &id)?) else {
            return Ok(None);
        };
        let places = docs::places(&reading, &id)?;
        let policy = replica.policy().cloned();
        let (local, frontiers) = (replica.store().log_index(), replica.frontiers());
        let sites = replica.peers().into_iter().map(|entry| {
            let held = sync::frontiers::lines(&reading, &entry.site, &row.scope)?;
            let peer = sync::store::PeerLogs::new(local, &reading, row.scope, &held);
            let mut all = true;
            for (log, seq) in &places {
                all &= log.site == entry.site || peer.seq((log.site, log.generation))? >= *seq;
            }
            let holds = policy.as_ref().is_some_and(|policy| policy.holds(&entry.site, &row.scope));
            let state = match (holds, frontiers.get(&entry.site, &row.scope).is_some()) {
                (false, _) | (_, false) => "unknown",
                (true, true) if all => "has",
                (true, true) => "waiting",
            };
            Ok(AtSite { code: entry.code.clone(), name: entry.name.clone(), state })
        });
        let sites = sites.collect::<Result<_, sync::store::StoreError>>()?;
        let received_at = rfc3339(last.at.timestamp());
        let from = policy.as_ref().and_then(|policy| Some(policy.sites.get(&from)?.name.clone()));
        Ok(Some(Replication { received_at, from, sites }))
    });
    Ok(Json(found.await??.ok_or_else(Problem::unknown)?))
}
