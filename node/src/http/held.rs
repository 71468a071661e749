//! The list of held changes (records without effect), and what people do about one (R12).

mod told;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use data_encoding::HEXLOWER;
use rusqlite::Connection;
use schema::access::Reach;
use schema::author::Author;
use schema::id::{DocId, ScopeId, SiteId};
use schema::policy::Policy;
use schema::record::Record;
use serde::{Deserialize, Serialize};
use sync::frontiers;
use sync::quarantine::{self, Page, Quarantined};
use sync::replica::WriteError;
use sync::store::rows::Verdict;
use sync::store::{Source, StoreError};
use utoipa::{IntoParams, ToSchema};

use super::auth::Principal;
use super::errors::{Path, Query};
use super::sessions::SiteRef;
use super::tickets::value_label;
use super::{App, Problem};
use crate::clock::rfc3339;
use crate::commands::{self, Failure, held::Held, parts_of_number};
use crate::read_model::adopted;
use crate::read_model::directory::{Labels, Ref};
use crate::read_model::query::{self, TicketRow};
use told::{Name, Told, name_of, shortened, told};

/// The state of what has an effect here, and that no other site has said that it holds.
const UNSENT: &str = "unsent";
/// Held changes that are counted: who has more has enough to do.
const MAX_COUNTED: usize = 100;
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
    /// Names it at this site, where it is held.
    id: Option<String>,
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
    /// Whether somebody may say it again.
    adoptable: bool,
    /// Whether it may be taken off the list: what waits may have an effect yet.
    discardable: bool,
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

/// Changes without effect, or without effect yet, of the scopes that the asker may read whole; without those that somebody
/// has adopted, wherever that was.
#[utoipa::path(get, path = "/api/v1/quarantine", params(HeldPage), responses((status = 200, body = Quarantine)))]
pub(super) async fn quarantine(
    State(app): State<App>,
    asker: Principal,
    Query(page): Query<HeldPage>,
) -> Result<Json<Quarantine>, Problem> {
    let key = |text: String| HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok();
    let from = page.from.map(|text| key(text).ok_or_else(|| Problem::field("from", "Unknown"))).transpose()?;
    let limit = page.limit.unwrap_or(USUAL_HELD).clamp(1, MAX_HELD);
    let adopters = adopters(&app, &asker).await?;
    let (reader, viewer) = (app.site.reader.clone(), asker.clone());
    let held = tokio::task::spawn_blocking(move || {
        let reading = reader.read()?;
        let page = quarantine::list(&reading, from.as_ref(), limit, |scope| sees(&viewer, scope))?;
        let told =
            page.items.iter().map(|held| told(&reading, &held.record, &adopters)).collect::<Result<Vec<_>, _>>()?;
        Ok::<_, StoreError>((page, told))
    });
    let (Page { items: held, next }, told) = held.await.map_err(|_| Problem::internal())??;
    let (policy, reach) = (asker.policy, asker.reach);
    let items = app.site.views.read(move |conn| {
        let mut labels = Labels::new(conn);
        let mut rows = Vec::with_capacity(held.len());
        for (held, told) in held.iter().zip(told) {
            if adopted::of_record(conn, &held.record)?.is_none() {
                let ticket = ticket(conn, &reach, &told)?;
                rows.push(row(&policy, &mut labels, &held.record, Some(held), (ticket, told))?);
            }
        }
        Ok(rows)
    });
    let next = next.map(|key| HEXLOWER.encode(&key));
    Ok(Json(Quarantine { items: items.await?, next }))
}

/// Whether somebody may see what is held of a scope.
fn sees(asker: &Principal, scope: &ScopeId) -> bool {
    match asker.policy.structure_of(scope) {
        Some(structure) => asker.reach.notes(&structure),
        None => schema::access::may_govern(&asker.actor.entry),
    }
}

/// In whose names something held may have been adopted: the asker's, and everybody's of whom it is known.
async fn adopters(app: &App, asker: &Principal) -> Result<Vec<Author>, Problem> {
    let mut adopters = app.site.views.read(adopted::adopters).await?;
    adopters.push(Author::User(asker.actor.user));
    Ok(adopters)
}

/// How many held changes the asker may see, at most [`MAX_COUNTED`]. Linear in those.
pub(super) async fn count(app: &App, asker: &Principal) -> Result<u64, Problem> {
    if asker.reach.structures.is_empty() {
        return Ok(0);
    }
    let (reader, viewer) = (app.site.reader.clone(), asker.clone());
    let page = tokio::task::spawn_blocking(move || {
        quarantine::list(&reader.read()?, None, MAX_COUNTED, |scope| sees(&viewer, scope))
    });
    let held = page.await.map_err(|_| Problem::internal())??.items;
    let count = app.site.views.read(move |conn| {
        let left = held.iter().map(|held| Ok(adopted::of_record(conn, &held.record)?.is_none()));
        left.map(|is_left: rusqlite::Result<bool>| is_left.map(u64::from)).sum()
    });
    Ok(count.await?)
}

/// What to answer where a ticket is asked for that is not here: that it is held, to whoever may see that.
pub(super) async fn absent(app: &App, asker: &Principal, name: String) -> Problem {
    let (reader, viewer) = (app.site.reader.clone(), asker.clone());
    let held = tokio::task::spawn_blocking(move || held_ticket(&reader.read()?, &viewer, &name));
    match held.await {
        Ok(Ok(Some(name))) => Problem::held(&name.to_string()),
        Ok(Ok(None)) => Problem::unknown(),
        Ok(Err(error)) => error.into(),
        Err(_) => Problem::internal(),
    }
}

/// The held ticket with this id or number, or whose opening has this id in the list; by number among the first [`MAX_HELD`]; `None` if there is none, or the asker may not see it.
fn held_ticket(source: &impl Source, asker: &Principal, name: &str) -> Result<Option<Name>, StoreError> {
    if let Ok(doc) = name.parse::<DocId>() {
        let births = quarantine::births(source, &doc)?;
        let is_seen = births.iter().any(|(record, _)| sees(asker, &record.header.log.scope));
        return if is_seen { name_of(source, &doc) } else { Ok(None) };
    }
    if let Ok(Held { key, hash_head }) = held(name) {
        let found = quarantine::find(source, &key, &hash_head)?;
        let found = found.filter(|found| sees(asker, &found.record.header.log.scope));
        let mut entries = found.iter().flat_map(|found| &found.record.skeleton.entries);
        let born = entries.find(|entry| entry.genesis.is_some());
        return born.map_or(Ok(None), |entry| name_of(source, &entry.doc));
    }
    if asker.reach.structures.is_empty() || parts_of_number(&name.to_ascii_uppercase()).is_none() {
        return Ok(None);
    }
    for held in quarantine::list(source, None, MAX_HELD, |scope| sees(asker, scope))?.items {
        for entry in held.record.skeleton.entries.iter().filter(|entry| entry.genesis.is_some()) {
            let named = name_of(source, &entry.doc)?;
            if let Some(found) = named.filter(|found| found.number.eq_ignore_ascii_case(name)) {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// What this site wrote that no other site has said that it holds, newest first: at a site that is in the organisation no
/// more, what may be missing elsewhere.
#[utoipa::path(get, path = "/api/v1/unsent", responses((status = 200, body = Quarantine)))]
pub(super) async fn unsent(State(app): State<App>, asker: Principal) -> Result<Json<Quarantine>, Problem> {
    let adopters = adopters(&app, &asker).await?;
    let viewer = asker.clone();
    let found = app.site.run(move |core| {
        let replica = core.replica();
        let (reading, me) = (replica.read()?, replica.me());
        let others: Vec<SiteId> = viewer.policy.sites.keys().copied().filter(|site| *site != me).collect();
        let unsent = frontiers::unsent(&reading, replica.store().log_index(), &me, &others, USUAL_HELD)?;
        let seen = unsent.into_iter().filter(|record| sees(&viewer, &record.header.log.scope));
        let found = seen.map(|record| Ok((told(&reading, &record, &adopters)?, record)));
        found.filter(|found| found.as_ref().is_ok_and(|(told, _)| !told.changes.is_empty())).collect()
    });
    let found: Result<Vec<(Told, Record)>, StoreError> = found.await?;
    let (found, policy, reach) = (found?, asker.policy, asker.reach);
    let items = app.site.views.read(move |conn| {
        let mut labels = Labels::new(conn);
        let rows = found.into_iter().map(|(told, record)| {
            let ticket = ticket(conn, &reach, &told)?;
            row(&policy, &mut labels, &record, None, (ticket, told))
        });
        rows.collect()
    });
    Ok(Json(Quarantine { items: items.await?, next: None }))
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
    /// The tickets that these are, or stand beside, as they are called here.
    tickets: Vec<HeldTicket>,
}

/// Says again, as the asker's own command, what a change says that does not stand or waits.
#[utoipa::path(post, path = "/api/v1/quarantine/{id}/adoption", responses((status = 201, body = Adopted)))]
pub(super) async fn adopt(
    State(app): State<App>,
    asker: Principal,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Adopted>), Problem> {
    let (held, actor) = (held(&id)?, asker.actor.clone());
    let adopters = adopters(&app, &asker).await?;
    let found = quarantine::find(&app.site.reader.read()?, &held.key, &held.hash_head)?;
    if let Some(found) = found.filter(|found| sees(&asker, &found.record.header.log.scope)) {
        let (record, reach) = (found.record, asker.reach.clone());
        let adopted = app.site.views.read(move |conn| match adopted::of_record(conn, &record)? {
            Some(doc) => tickets(conn, &reach, [doc.parse().ok()].into_iter().flatten()).map(Some),
            None => Ok(None),
        });
        if let Some(tickets) = adopted.await? {
            let numbers: Vec<String> = tickets.into_iter().map(|ticket| ticket.number).collect();
            return Err(Problem::adopted(&numbers.join(", ")));
        }
    }
    let adopted = app.site.write(move |batch, context| commands::held::adopt(batch, context, &actor, &held, &adopters));
    let adopted = match adopted.await? {
        Err(Failure::Write(WriteError::NotHere(doc))) => {
            let name = name_of(&app.site.reader.read()?, &doc)?;
            return Err(Problem::not_here(&name.map_or_else(|| doc.short(), |name| name.to_string())));
        }
        adopted => adopted?,
    };
    let documents = adopted.iter().map(ToString::to_string).collect();
    let tickets = app.site.views.read(move |conn| tickets(conn, &asker.reach, adopted)).await?;
    Ok((StatusCode::CREATED, Json(Adopted { documents, tickets })))
}

/// The tickets that documents are, or stand beside, each once.
fn tickets(
    conn: &Connection,
    reach: &Reach,
    docs: impl IntoIterator<Item = DocId>,
) -> rusqlite::Result<Vec<HeldTicket>> {
    let mut tickets: Vec<HeldTicket> = Vec::new();
    for doc in docs {
        let found = query::of_document(conn, reach, &doc)?;
        let is_new = |row: &TicketRow| !tickets.iter().any(|ticket| ticket.number == row.number);
        if let Some(TicketRow { id, number, title, .. }) = found.filter(is_new) {
            tickets.push(HeldTicket { id: Some(id), number, title });
        }
    }
    Ok(tickets)
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
    record: &Record,
    held: Option<&Quarantined>,
    (ticket, told): (Option<HeldTicket>, Told),
) -> rusqlite::Result<HeldRow> {
    let header = &record.header;
    let author = match record.skeleton.author {
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
        id: held.map(|held| HEXLOWER.encode(&[held.key.as_slice(), &record.hash().head()].concat())),
        site: SiteRef::of(policy, &header.log.site),
        author,
        at: rfc3339(header.hlc.timestamp()),
        state: match held.map(|held| &held.verdict) {
            Some(Verdict::Void(_)) => "void",
            Some(Verdict::Waiting(_)) => "waiting",
            Some(Verdict::Beyond(_) | Verdict::Stranded) => "beyond",
            None => UNSENT,
        },
        reason: held.map_or(UNSENT, |held| held.verdict.code()).to_owned(),
        label: structure.map(|structure| structure.name.clone()),
        ticket,
        changes,
        adoptable: held.is_some_and(commands::held::may_be_adopted),
        discardable: held.is_some_and(commands::held::may_be_discarded),
    })
}
