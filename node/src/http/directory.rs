//! People, groups, categories, locations, structures, sites: what a ticket refers to.

use axum::Json;
use axum::extract::State;
use schema::doc::DocKind;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::Principal;
use super::errors::Query;
use super::sessions::SiteRef;
use super::{App, Problem};
use crate::clock::rfc3339;
use crate::read_model::directory::{Ref, names};
use crate::status::Ended;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Prefix {
    /// The beginning of a word of the name.
    q: Option<String>,
    /// 1 to 100.
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Refs {
    items: Vec<Ref>,
}

async fn find(app: &App, kind: DocKind, given: Prefix) -> Result<Json<Refs>, Problem> {
    let limit = given.limit.unwrap_or(20).clamp(1, 100);
    let prefix = given.q.unwrap_or_default();
    let items = app.site.views.read(move |conn| names(conn, kind, &prefix, limit)).await?;
    Ok(Json(Refs { items }))
}

/// People by the beginning of a name.
#[utoipa::path(get, path = "/api/v1/people", params(Prefix), responses((status = 200, body = Refs)))]
pub(super) async fn people(
    State(app): State<App>,
    _: Principal,
    Query(q): Query<Prefix>,
) -> Result<Json<Refs>, Problem> {
    find(&app, DocKind::Person, q).await
}

/// Groups by the beginning of a name.
#[utoipa::path(get, path = "/api/v1/groups", params(Prefix), responses((status = 200, body = Refs)))]
pub(super) async fn groups(
    State(app): State<App>,
    _: Principal,
    Query(q): Query<Prefix>,
) -> Result<Json<Refs>, Problem> {
    find(&app, DocKind::Group, q).await
}

/// Categories by the beginning of a name.
#[utoipa::path(get, path = "/api/v1/categories", params(Prefix), responses((status = 200, body = Refs)))]
pub(super) async fn categories(
    State(app): State<App>,
    _: Principal,
    Query(q): Query<Prefix>,
) -> Result<Json<Refs>, Problem> {
    find(&app, DocKind::Category, q).await
}

/// Locations by the beginning of a name.
#[utoipa::path(get, path = "/api/v1/locations", params(Prefix), responses((status = 200, body = Refs)))]
pub(super) async fn locations(
    State(app): State<App>,
    _: Principal,
    Query(q): Query<Prefix>,
) -> Result<Json<Refs>, Problem> {
    find(&app, DocKind::Location, q).await
}

/// The structures in which the asker has a role.
#[utoipa::path(get, path = "/api/v1/structures", responses((status = 200, body = Refs)))]
pub(super) async fn structures(asker: Principal) -> Json<Refs> {
    let (policy, entry) = (&asker.policy, &asker.actor.entry);
    let mine = policy.structures.iter().filter(|(id, _)| policy.role(&entry.grants, Some(**id)).is_some());
    let mut items: Vec<Ref> =
        mine.map(|(id, structure)| Ref { id: id.to_string(), label: structure.name.clone() }).collect();
    items.sort_by(|a, b| a.label.cmp(&b.label));
    Json(Refs { items })
}

#[derive(Serialize, ToSchema)]
pub(super) struct Sites {
    items: Vec<SiteRef>,
    /// Those that are in the organisation no more, without those whose code another one has: their tickets stay.
    ended: Vec<EndedSite>,
}

#[derive(Serialize, ToSchema)]
struct EndedSite {
    #[serde(flatten)]
    site: SiteRef,
    why: Ended,
    /// Since when; absent: that cannot be read.
    since: Option<String>,
}

/// The organisation's sites, and apart from them those that were given up or whose key is revoked.
#[utoipa::path(get, path = "/api/v1/sites", responses((status = 200, body = Sites)))]
pub(super) async fn sites(State(app): State<App>, asker: Principal) -> Result<Json<Sites>, Problem> {
    let policy = &asker.policy;
    let active = policy.sites.values().filter(|site| policy.is_active(&site.site));
    let items = active.map(|site| SiteRef::of(policy, &site.site)).collect();
    let is_unused = |code: &str| policy.site_by_code(code).is_none();
    let ended = policy.sites.values().filter(|site| is_unused(&site.code));
    let ended: Vec<_> = ended.filter_map(|site| Some((site.site, policy.ended(&site.site)?))).collect();
    let positions: Vec<u64> = ended.iter().map(|(_, (_, at))| at.position).collect();
    let stated = app.site.run(move |core| {
        let stated = |position: &u64| core.replica().stated_at(*position).ok().flatten();
        positions.iter().map(stated).collect::<Vec<_>>()
    });
    let ended = ended.into_iter().zip(stated.await?).map(|((site, (why, _)), since)| EndedSite {
        site: SiteRef::of(policy, &site),
        why: why.into(),
        since: since.map(rfc3339),
    });
    Ok(Json(Sites { items, ended: ended.collect() }))
}
