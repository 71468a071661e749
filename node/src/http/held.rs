//! The list of held changes (records without effect), and what people do about one (R12).

mod told;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use data_encoding::HEXLOWER;
use rusqlite::Connection;
use schema::access::Reach;
use schema::author::Author;
use schema::policy::Policy;
use serde::{Deserialize, Serialize};
use sync::quarantine::{self, Page, Quarantined};
use sync::replica::WriteError;
use sync::store::StoreError;
use sync::store::rows::Verdict;
use utoipa::{IntoParams, ToSchema};

use super::auth::Principal;
use super::errors::{Path, Query};
use super::sessions::SiteRef;
use super::tickets::value_label;
use super::{App, Problem};
use crate::clock::rfc3339;
use crate::commands::{self, Failure, held::Held};
use crate::read_model::directory::{Labels, Ref};
use crate::read_model::query::{self, TicketRow};
use told::{Name, Told, name_of, shortened, told};

/// Held changes in one answer.
const MAX_HELD: usize = 500;
/// Of them in one page unless asked otherwise.
const USUAL_HELD: usize = 100;

#[derive(Serialize, ToSchema)]
pub(super) struct Quarantine {
    items: Vec<HeldRow>,
    /// Given as `from` it brings the next page; absent at the end.
    next: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct HeldPage {
    /// Where the page begins, as the one before said.
    from: Option<String>,
    /// 1 to 500; 100 if absent.
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
struct HeldRow {
    /// Names it at this site.
    id: String,
    site: SiteRef,
    author: Option<Ref>,
    at: String,
    state: &'static str,
    reason: String,
    /// The structure.
    label: Option<String>,
    /// The ticket that it concerns; absent: none, or nothing is known of it.
    ticket: Option<HeldTicket>,
    /// What it would change.
    changes: Vec<HeldChange>,
}

#[derive(Serialize, ToSchema)]
struct HeldTicket {
    /// Of the ticket as it stands here; absent: it is held itself.
    id: Option<String>,
    number: String,
    title: String,
}

#[derive(Serialize, ToSchema)]
struct HeldChange {
    /// As in a ticket's history.
    field: String,
    /// The beginning of the value; absent: it is cleared.
    value: Option<String>,
    /// How that is shown.
    label: Option<String>,
}

/// Changes without effect, or without effect yet, of the scopes that the asker may read whole.
#[utoipa::path(get, path = "/api/v1/quarantine", params(HeldPage), responses((status = 200, body = Quarantine)))]
pub(super) async fn quarantine(
    State(app): State<App>,
    asker: Principal,
    Query(page): Query<HeldPage>,
) -> Result<Json<Quarantine>, Problem> {
    let key = |text: String| HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok();
    let from = page.from.map(|text| key(text).ok_or_else(|| Problem::field("from", "Unknown"))).transpose()?;
    let limit = page.limit.unwrap_or(USUAL_HELD).clamp(1, MAX_HELD);
    let (policy, reach, author) = (asker.policy.clone(), asker.reach.clone(), Author::User(asker.actor.user));
    let governs = schema::access::may_govern(&asker.actor.entry);
    let reader = app.site.reader.clone();
    let held = tokio::task::spawn_blocking(move || {
        let reading = reader.read()?;
        let page = quarantine::list(&reading, from.as_ref(), limit, |scope| match policy.structure_of(scope) {
            Some(structure) => reach.notes(&structure),
            None => governs,
        })?;
        let told =
            page.items.iter().map(|held| told(&reading, &held.record, &author)).collect::<Result<Vec<_>, _>>()?;
        Ok::<_, StoreError>((page, told))
    });
    let (Page { items: held, next }, told) = held.await.map_err(|_| Problem::internal())??;
    let (policy, reach) = (asker.policy, asker.reach);
    let items = app.site.views.read(move |conn| {
        let mut labels = Labels::new(conn);
        let rows = held.iter().zip(told).map(|(held, told)| {
            let ticket = ticket(conn, &reach, &told)?;
            row(&policy, &mut labels, held, (ticket, told))
        });
        rows.collect::<rusqlite::Result<Vec<_>>>()
    });
    let next = next.map(|key| HEXLOWER.encode(&key));
    Ok(Json(Quarantine { items: items.await?, next }))
}

/// A record of the list by its id.
fn held(id: &str) -> Result<Held, Problem> {
    let bytes = HEXLOWER.decode(id.as_bytes()).ok();
    let parts = bytes.as_ref().and_then(|bytes| bytes.split_at_checked(sync::store::tables::RECORD_KEY_BYTES));
    let read = |(key, head): (&[u8], &[u8])| Some(Held { key: key.try_into().ok()?, hash_head: head.try_into().ok()? });
    parts.and_then(read).ok_or_else(Problem::unknown)
}

#[derive(Serialize, ToSchema)]
pub(super) struct Adopted {
    /// Ids of the documents that it made or changed.
    documents: Vec<String>,
}

/// Says again, as the asker's own command, what a change says that does not stand or waits.
#[utoipa::path(post, path = "/api/v1/quarantine/{id}/adoption", responses((status = 201, body = Adopted)))]
pub(super) async fn adopt(
    State(app): State<App>,
    asker: Principal,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Adopted>), Problem> {
    let (held, actor) = (held(&id)?, asker.actor.clone());
    let adopted = app.site.write(move |batch, context| commands::held::adopt(batch, context, &actor, &held));
    let adopted = match adopted.await? {
        Err(Failure::Write(WriteError::NotHere(doc))) => {
            let name = name_of(&app.site.reader.read()?, &doc)?;
            return Err(Problem::not_here(&name.map_or_else(|| doc.short(), |name| name.to_string())));
        }
        adopted => adopted?,
    };
    let documents = adopted.iter().map(ToString::to_string).collect();
    Ok((StatusCode::CREATED, Json(Adopted { documents })))
}

/// Takes a change without effect off this site's list.
#[utoipa::path(post, path = "/api/v1/quarantine/{id}/discard", responses((status = 204)))]
pub(super) async fn discard(
    State(app): State<App>,
    asker: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let (held, actor) = (held(&id)?, asker.actor.clone());
    let discarded = app.site.write(move |batch, context| commands::held::discard(batch, context, &actor, &held));
    discarded.await??;
    Ok(StatusCode::NO_CONTENT)
}

/// The ticket that a change concerns: as it stands here, or else as its birth calls it.
fn ticket(conn: &Connection, reach: &Reach, told: &Told) -> rusqlite::Result<Option<HeldTicket>> {
    let found = told.here.map(|id| query::find(conn, reach, &id.to_string())).transpose()?.flatten();
    Ok(match (found, &told.name) {
        (Some(found), _) => {
            let TicketRow { id, number, title, .. } = found.row;
            Some(HeldTicket { id: Some(id), number, title })
        }
        (None, Some(Name { number, title })) => {
            Some(HeldTicket { id: None, number: number.clone(), title: title.clone() })
        }
        (None, None) => None,
    })
}

fn row(
    policy: &Policy,
    labels: &mut Labels<'_>,
    held: &Quarantined,
    (ticket, told): (Option<HeldTicket>, Told),
) -> rusqlite::Result<HeldRow> {
    let header = &held.record.header;
    let author = match held.record.skeleton.author {
        Author::User(user) => Some(labels.of(&policy.person_of(&user).to_string())?),
        Author::Service(id) => {
            policy.services.get(&id).map(|service| Ref { id: id.to_string(), label: service.name.clone() })
        }
        Author::Site | Author::Other(_) => None,
    };
    let changes = told.changes.into_iter().map(|(field, value)| {
        let label = value.as_ref().map(|value| value_label(labels, &field, value)).transpose()?;
        Ok(HeldChange { label: label.map(shortened), value: value.map(shortened), field })
    });
    let changes = changes.collect::<rusqlite::Result<_>>()?;
    let structure = policy.structure_of(&header.log.scope).and_then(|id| policy.structures.get(&id));
    Ok(HeldRow {
        id: HEXLOWER.encode(&[held.key.as_slice(), &held.record.hash().head()].concat()),
        site: SiteRef::of(policy, &header.log.site),
        author,
        at: rfc3339(header.hlc.timestamp()),
        state: match held.verdict {
            Verdict::Void(_) => "void",
            Verdict::Waiting(_) => "waiting",
            Verdict::Beyond(_) | Verdict::Stranded => "beyond",
        },
        reason: held.verdict.code().to_owned(),
        label: structure.map(|structure| structure.name.clone()),
        ticket,
        changes,
    })
}
