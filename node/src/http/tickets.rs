//! Tickets: list, open, read, change, comment, move.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use schema::id::{CommandId, DocId, SiteId, UserId};
use schema::policy::Policy;
use schema::record::CommandName;
use schema::ticket::{Field, Status};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::Principal;
use super::errors::{JsonBody, Path, Query};
use super::sessions::SiteRef;
use super::{App, Problem, held};
use crate::clock::rfc3339;
use crate::commands::{self, tickets::Confirmed};
use crate::read_model::directory::{Labels, Ref};
use crate::read_model::query::{self, Filter, MAX_LIMIT, Sort, TicketDetail, TicketRow};
use schema::time::Timestamp;

/// A ticket in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Summary {
    id: String,
    number: String,
    kind: String,
    title: String,
    status: String,
    priority: u8,
    impact: String,
    urgency: String,
    category: Option<Ref>,
    requester: Option<Ref>,
    assignee: Option<Ref>,
    group: Option<Ref>,
    location: Option<Ref>,
    structure: Option<Ref>,
    site: Option<SiteRef>,
    created_at: String,
    updated_at: String,
    conflicts: i64,
    /// Fields, replies and notes that come from changes that do not stand: their key is revoked, or their log forked.
    taints: i64,
}

/// A reply or a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Comment {
    id: String,
    visibility: Visibility,
    body: String,
    author: Ref,
    site: SiteRef,
    at: String,
    /// Whether it comes from a change that does not stand.
    tainted: bool,
    /// Whether its time is in doubt: what it answers, or what answers it, says that a clock was wrong.
    clock_in_doubt: bool,
}

/// Who reads a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// The requester too.
    Public,
    /// Technicians.
    Internal,
}

/// A field with values to settle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Conflict {
    field: String,
    values: Vec<ConflictValue>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConflictValue {
    value: String,
    label: String,
    author: Ref,
    site: SiteRef,
    at: String,
    working: bool,
}

/// A ticket whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Ticket {
    #[serde(flatten)]
    summary: Summary,
    description: String,
    priority_by_hand: bool,
    status_reason: Option<String>,
    external: Option<String>,
    /// The number that it had at another site, where it has no effect: somebody adopted it.
    adopted_from: Option<String>,
    reopen_count: i64,
    comments: Vec<Comment>,
    conflict_list: Vec<Conflict>,
    /// Fields that show what a change put there that does not stand; `created` for all that the opening of the ticket filled.
    tainted: Vec<Tainted>,
    transitions_allowed: Vec<&'static str>,
}

/// A field that shows what a change put there that does not stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Tainted {
    field: String,
    /// The last value of a change that stands; absent: there was none.
    before: Option<String>,
    /// How that is shown.
    label: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct TicketList {
    items: Vec<Summary>,
    total: u64,
    next_cursor: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// Comma list; `open` stands for every status that is not finished.
    status: Option<String>,
    /// A person's id, `me` or `none`.
    assignee: Option<String>,
    /// Home site's code.
    site: Option<String>,
    /// A location's id.
    location: Option<String>,
    /// A category's id.
    category: Option<String>,
    /// A group's id.
    group: Option<String>,
    /// A reference in another system.
    external: Option<String>,
    /// Only tickets with values to settle.
    conflict: Option<bool>,
    /// Only tickets that show something of a change that does not stand.
    tainted: Option<bool>,
    /// Words; each begins a word of the ticket.
    q: Option<String>,
    /// `updated`, `created`, `priority`, `number` or `title`; `-` in front for descending.
    sort: Option<String>,
    /// 1 to 200.
    limit: Option<usize>,
    /// Where the page begins.
    cursor: Option<String>,
}

/// Tickets that the asker may see, by page.
#[utoipa::path(get, path = "/api/v1/tickets", params(Listing), responses((status = 200, body = TicketList)))]
pub(super) async fn list(
    State(app): State<App>,
    asker: Principal,
    Query(given): Query<Listing>,
) -> Result<Json<TicketList>, Problem> {
    let filter = filter(&asker, &given)?;
    let sort = given.sort.as_deref().unwrap_or("-updated");
    let (word, descending) = sort.strip_prefix('-').map_or((sort, false), |word| (word, true));
    let sort = Sort::from_word(word).ok_or_else(|| Problem::field("sort", "Unknown"))?;
    let limit = given.limit.unwrap_or(50).clamp(1, MAX_LIMIT);
    let (reach, policy) = (asker.reach, asker.policy);
    let page = app.site.views.read(move |conn| {
        let page = query::list(conn, &reach, &filter, sort, descending, limit, given.cursor.as_deref())?;
        let mut labels = Labels::new(conn);
        let items = page.rows.into_iter().map(|row| summary(&policy, &mut labels, row)).collect::<Result<_, _>>()?;
        Ok(TicketList { items, total: page.total, next_cursor: page.next })
    });
    Ok(Json(page.await?))
}

fn filter(asker: &Principal, given: &Listing) -> Result<Filter, Problem> {
    let mut statuses = Vec::new();
    for word in given.status.iter().flat_map(|list| list.split(',')).filter(|word| !word.is_empty()) {
        match (word, Status::from_word(word)) {
            ("open", _) => statuses.extend(Status::ALL.into_iter().filter(|status| status.is_open())),
            (_, Some(status)) => statuses.push(status),
            (_, None) => return Err(Problem::field("status", "Unknown")),
        }
    }
    let doc = |field: &str, text: &str| text.parse::<DocId>().map_err(|_| Problem::field(field, "Unknown"));
    let assignee = match given.assignee.as_deref() {
        None | Some("") => None,
        Some("me") => Some(Some(asker.reach.person)),
        Some("none") => Some(None),
        Some(id) => Some(Some(doc("assignee", id)?)),
    };
    // A code may have passed from a machine to the one that took its place: the tickets of both are the site's.
    let code = given.site.as_deref().filter(|code| !code.is_empty());
    let is_meant = |wanted: &str| code.is_some_and(|code| code.eq_ignore_ascii_case(wanted));
    let meant = asker.policy.sites.values().filter(|site| is_meant(&site.code));
    let homes: Vec<String> = meant.map(|site| site.site.to_string()).collect();
    if code.is_some() && homes.is_empty() {
        return Err(Problem::field("site", "Unknown"));
    }
    let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Ok(Filter {
        statuses,
        assignee,
        homes,
        location: some(&given.location),
        category: some(&given.category),
        group: some(&given.group),
        external: some(&given.external),
        conflict: given.conflict.unwrap_or(false),
        tainted: given.tainted.unwrap_or(false),
        words: some(&given.q).filter(|words| !words.trim().is_empty()),
    })
}

/// The fields of a ticket as a client gives them: a text, a number for `priority`, `null` to clear.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Opening {
    title: String,
    description: Option<String>,
    structure: Option<String>,
    #[serde(flatten)]
    fields: Fields,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Changes {
    #[serde(default, deserialize_with = "present")]
    title: Option<Option<String>>,
    description: Option<String>,
    #[serde(flatten)]
    fields: Fields,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
pub(super) struct Fields {
    #[serde(default, deserialize_with = "present")]
    kind: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    impact: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    urgency: Option<Option<String>>,
    #[serde(default, deserialize_with = "present_number")]
    #[schema(value_type = Option<u8>)]
    priority: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    category: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    requester: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    assignee: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    group: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    location: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    external: Option<Option<String>>,
}

/// Tells a field that is `null` from one that is not there.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

fn present_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    let number = Option::<u8>::deserialize(deserializer)?;
    Ok(Some(number.map(|number| number.to_string())))
}

impl Fields {
    fn given(self) -> BTreeMap<Field, Option<String>> {
        let fields = [
            (Field::Kind, self.kind),
            (Field::Impact, self.impact),
            (Field::Urgency, self.urgency),
            (Field::Priority, self.priority),
            (Field::Category, self.category),
            (Field::Requester, self.requester),
            (Field::Assignee, self.assignee),
            (Field::Group, self.group),
            (Field::Location, self.location),
            (Field::External, self.external),
        ];
        fields.into_iter().filter_map(|(field, given)| given.map(|given| (field, given))).collect()
    }
}

/// The name that a client gives a command, so that asking twice makes one thing.
fn command_name(headers: &HeaderMap) -> Result<CommandName, Problem> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(CommandName::Place);
    };
    let id = key.to_str().ok().and_then(|text| text.parse::<CommandId>().ok());
    id.map(CommandName::Given).ok_or_else(|| Problem::field("Idempotency-Key", "Unknown"))
}

/// Opens a ticket.
#[utoipa::path(post, path = "/api/v1/tickets", request_body = Opening, responses((status = 201, body = Ticket)))]
pub(super) async fn open(
    State(app): State<App>,
    asker: Principal,
    headers: HeaderMap,
    JsonBody(given): JsonBody<Opening>,
) -> Result<(StatusCode, Json<Ticket>), Problem> {
    let name = command_name(&headers)?;
    let structure = given.structure.map(|id| id.parse()).transpose();
    let structure = structure.map_err(|_| Problem::field("structure", "Unknown"))?;
    let mut fields: BTreeMap<Field, String> =
        given.fields.given().into_iter().filter_map(|(field, value)| Some((field, value?))).collect();
    fields.insert(Field::Title, given.title);
    let opening = commands::tickets::Opening { structure, description: given.description.unwrap_or_default(), fields };
    let actor = asker.actor.clone();
    let opened = app.site.write(move |batch, context| commands::tickets::open(batch, context, &actor, name, opening));
    let id = opened.await??;
    Ok((StatusCode::CREATED, Json(whole(&app, &asker, id.to_string()).await?)))
}

/// A ticket by id or number.
#[utoipa::path(get, path = "/api/v1/tickets/{ticket}", responses((status = 200, body = Ticket)))]
pub(super) async fn read(
    State(app): State<App>,
    asker: Principal,
    Path(name): Path<String>,
) -> Result<Json<Ticket>, Problem> {
    Ok(Json(whole(&app, &asker, name).await?))
}

/// Sets or clears fields; a field with two values is settled by it.
#[utoipa::path(patch, path = "/api/v1/tickets/{ticket}", request_body = Changes, responses((status = 200, body = Ticket)))]
pub(super) async fn change(
    State(app): State<App>,
    asker: Principal,
    Path(name): Path<String>,
    JsonBody(given): JsonBody<Changes>,
) -> Result<Json<Ticket>, Problem> {
    let id = find_id(&app, &asker, name).await?;
    let mut fields = given.fields.given();
    if let Some(title) = given.title {
        fields.insert(Field::Title, title);
    }
    let (actor, description) = (asker.actor.clone(), given.description);
    let changed = app.site.write(move |batch, context| {
        commands::tickets::change(batch, context, &actor, id, &fields, description.as_deref())
    });
    changed.await??;
    Ok(Json(whole(&app, &asker, id.to_string()).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewComment {
    body: String,
    visibility: Visibility,
}

/// Adds a public reply or an internal note.
#[utoipa::path(post, path = "/api/v1/tickets/{ticket}/comments", request_body = NewComment, responses((status = 201, body = Comment)))]
pub(super) async fn comment(
    State(app): State<App>,
    asker: Principal,
    Path(name): Path<String>,
    headers: HeaderMap,
    JsonBody(given): JsonBody<NewComment>,
) -> Result<(StatusCode, Json<Comment>), Problem> {
    let command = command_name(&headers)?;
    let id = find_id(&app, &asker, name).await?;
    let (actor, body) = (asker.actor.clone(), given.body.clone());
    let written = app.site.write(move |batch, context| match given.visibility {
        Visibility::Public => commands::tickets::reply(batch, context, &actor, command, id, &body),
        Visibility::Internal => commands::tickets::note(batch, context, &actor, command, id, &body),
    });
    let made = written.await??;
    let ticket = whole(&app, &asker, id.to_string()).await?;
    let mut same = ticket.comments.into_iter().rev().filter(|comment| comment.visibility == given.visibility);
    let found = match made.is_empty() {
        // Asked twice: the comment is the one that was written then.
        true => same.find(|comment| comment.body == given.body),
        false => same.find(|comment| comment.id == made),
    };
    Ok((StatusCode::CREATED, Json(found.ok_or_else(Problem::internal)?)))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Confirmation {
    /// A field as `tainted` of the ticket names it: `created` confirms all that the opening filled.
    Field(String),
    /// The id of a reply or a note.
    Comment(String),
}

/// Says of what is in doubt that it is right: it stands in the asker's name from then on, at every site.
#[utoipa::path(post, path = "/api/v1/tickets/{ticket}/confirmations", request_body = Confirmation, responses((status = 201, body = Ticket)))]
pub(super) async fn confirm(
    State(app): State<App>,
    asker: Principal,
    Path(name): Path<String>,
    JsonBody(given): JsonBody<Confirmation>,
) -> Result<(StatusCode, Json<Ticket>), Problem> {
    let id = find_id(&app, &asker, name).await?;
    let actor = asker.actor.clone();
    let confirmed = match given {
        Confirmation::Field(field) => Confirmed::Field(field),
        Confirmation::Comment(comment) => Confirmed::Comment(comment),
    };
    let written =
        app.site.write(move |batch, context| commands::tickets::confirm(batch, context, &actor, id, &confirmed));
    written.await??;
    Ok((StatusCode::CREATED, Json(whole(&app, &asker, id.to_string()).await?)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Move {
    to: String,
    reason: Option<String>,
}

/// Moves a ticket to another status.
#[utoipa::path(post, path = "/api/v1/tickets/{ticket}/transitions", request_body = Move, responses((status = 201, body = Ticket)))]
pub(super) async fn advance(
    State(app): State<App>,
    asker: Principal,
    Path(name): Path<String>,
    JsonBody(given): JsonBody<Move>,
) -> Result<(StatusCode, Json<Ticket>), Problem> {
    let to = Status::from_word(&given.to).ok_or_else(|| Problem::field("to", "Unknown"))?;
    let id = find_id(&app, &asker, name).await?;
    let actor = asker.actor.clone();
    let moved = app.site.write(move |batch, context| {
        commands::tickets::advance(batch, context, &actor, id, to, given.reason.as_deref())
    });
    moved.await??;
    Ok((StatusCode::CREATED, Json(whole(&app, &asker, id.to_string()).await?)))
}

/// The id of a ticket that the asker may see.
pub(super) async fn find_id(app: &App, asker: &Principal, name: String) -> Result<DocId, Problem> {
    let (reach, wanted) = (asker.reach.clone(), name.clone());
    let found = app.site.views.read(move |conn| query::find(conn, &reach, &wanted)).await?;
    match found.and_then(|whole| whole.row.id.parse().ok()) {
        Some(id) => Ok(id),
        None => Err(held::absent(app, asker, name).await),
    }
}

async fn whole(app: &App, asker: &Principal, name: String) -> Result<Ticket, Problem> {
    let (reach, policy, wanted) = (asker.reach.clone(), asker.policy.clone(), name.clone());
    let found = app.site.views.read(move |conn| {
        let Some(found) = query::find(conn, &reach, &wanted)? else {
            return Ok(None);
        };
        ticket(&policy, &mut Labels::new(conn), found).map(Some)
    });
    match found.await? {
        Some(found) => Ok(found),
        None => Err(held::absent(app, asker, name).await),
    }
}

fn at(ms: i64) -> String {
    rfc3339(Timestamp(ms.max(0) as u64))
}

fn summary(policy: &Policy, labels: &mut Labels<'_>, row: TicketRow) -> rusqlite::Result<Summary> {
    let structure = row.structure.and_then(|id| {
        let label = policy.structures.get(&id.parse().ok()?)?.name.clone();
        Some(Ref { id, label })
    });
    Ok(Summary {
        id: row.id,
        number: row.number,
        kind: row.kind,
        title: row.title,
        status: row.status,
        priority: row.priority,
        impact: row.impact,
        urgency: row.urgency,
        category: labels.of_some(row.category)?,
        requester: labels.of_some(row.requester)?,
        assignee: labels.of_some(row.assignee)?,
        group: labels.of_some(row.group)?,
        location: labels.of_some(row.location)?,
        structure,
        site: row.home.and_then(|id| id.parse().ok()).map(|id| SiteRef::of(policy, &id)),
        created_at: at(row.created_at),
        updated_at: at(row.updated_at),
        conflicts: row.conflicts,
        taints: row.taints,
    })
}

fn ticket(policy: &Policy, labels: &mut Labels<'_>, found: TicketDetail) -> rusqlite::Result<Ticket> {
    let TicketDetail { row, description, comments, values, tainted, .. } = found;
    let allowed = Status::from_word(&row.status).map(Status::next).unwrap_or_default();
    let (priority_by_hand, status_reason, external, adopted_from, reopen_count) =
        (row.by_hand, row.status_reason.clone(), row.external.clone(), row.adopted_from.clone(), row.reopen_count);
    let comments = comments
        .into_iter()
        .map(|row| {
            Ok(Comment {
                id: row.id,
                visibility: if row.internal { Visibility::Internal } else { Visibility::Public },
                body: row.body,
                author: author(policy, labels, row.author, row.source, &row.site)?,
                site: site_ref(policy, &row.site),
                at: at(row.at),
                tainted: row.tainted,
                clock_in_doubt: row.clock_in_doubt,
            })
        })
        .collect::<rusqlite::Result<_>>()?;
    let mut conflict_list: Vec<Conflict> = Vec::new();
    for row in values {
        let label = value_label(labels, &row.field, &row.value)?;
        let value = ConflictValue {
            label,
            author: author(policy, labels, row.author, None, &row.site)?,
            site: site_ref(policy, &row.site),
            at: at(row.at),
            working: row.place == 0,
            value: row.value,
        };
        match conflict_list.last_mut().filter(|conflict| conflict.field == row.field) {
            Some(conflict) => conflict.values.push(value),
            None => conflict_list.push(Conflict { field: row.field, values: vec![value] }),
        }
    }
    let tainted = tainted.into_iter().map(|(field, before)| {
        let label = before.as_ref().map(|before| value_label(labels, &field, before)).transpose()?;
        Ok(Tainted { field, before, label })
    });
    let tainted = tainted.collect::<rusqlite::Result<_>>()?;
    Ok(Ticket {
        tainted,
        summary: summary(policy, labels, row)?,
        description,
        priority_by_hand,
        status_reason,
        external,
        adopted_from,
        reopen_count,
        comments,
        conflict_list,
        transitions_allowed: allowed.iter().map(|status| status.word()).collect(),
    })
}

/// How a value of a field is shown: references by name, words as they are.
pub(super) fn value_label(labels: &mut Labels<'_>, field: &str, value: &str) -> rusqlite::Result<String> {
    let reference = ["category", "requester", "assignee", "group", "location"].contains(&field);
    if reference { Ok(labels.of(value)?.label) } else { Ok(value.to_owned()) }
}

/// Who wrote: the source's author of an import, a user's person, or the site itself.
pub(super) fn author(
    policy: &Policy,
    labels: &mut Labels<'_>,
    user: Option<String>,
    source: Option<String>,
    site: &str,
) -> rusqlite::Result<Ref> {
    if let Some(label) = source {
        return Ok(Ref { id: String::new(), label });
    }
    match user.and_then(|id| id.parse::<UserId>().ok()) {
        Some(user) => labels.of(&policy.person_of(&user).to_string()),
        None => Ok(Ref { id: site.to_owned(), label: site_ref(policy, site).name }),
    }
}

pub(super) fn site_ref(policy: &Policy, site: &str) -> SiteRef {
    match site.parse::<SiteId>() {
        Ok(id) => SiteRef::of(policy, &id),
        Err(_) => SiteRef { id: site.to_owned(), code: "?".into(), name: "?".into() },
    }
}
