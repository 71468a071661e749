//! People, groups, categories, locations, structures, sites: what a ticket refers to.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schema::author::Author;
use schema::authority::{Grant, Role, SiteSelector, Standing, UserEntry};
use schema::doc::DocKind;
use schema::id::{SiteId, StructureId, UserId};
use schema::policy::Policy;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::Principal;
use super::errors::{JsonBody, Path, Query};
use super::sessions::SiteRef;
use super::{App, Problem};
use crate::clock::now;
use crate::commands::directory::person;
use crate::folder::random;
use crate::read_model::directory::{Ref, names};
use schema::authority::Body;

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
}

/// The organisation's active sites.
#[utoipa::path(get, path = "/api/v1/sites", responses((status = 200, body = Sites)))]
pub(super) async fn sites(asker: Principal) -> Json<Sites> {
    let active = asker.policy.sites.values().filter(|site| site.standing == Standing::Active);
    Json(Sites { items: active.map(|site| SiteRef::of(&asker.policy, &site.site)).collect() })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    login: String,
    name: String,
    /// At least 10 characters; at this site only.
    password: String,
    #[schema(value_type = String)]
    role: Role,
    /// A structure's id; absent: all structures (only where the authority log is kept).
    structure: Option<String>,
    /// Codes of the sites at which they may log in, `*` for all; absent: this one. Only where the authority log is kept.
    #[serde(default)]
    sites: Vec<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Enrolled {
    id: String,
    login: String,
}

/// Enrols somebody who may log in at this site at once. At another site than the organisation's first it is
/// this site's own statement (R15); the login may get a suffix when the first site confirms it.
#[utoipa::path(post, path = "/api/v1/users", request_body = NewUser, responses((status = 201, body = Enrolled)))]
pub(super) async fn enrol(
    State(app): State<App>,
    asker: Principal,
    JsonBody(given): JsonBody<NewUser>,
) -> Result<(StatusCode, Json<Enrolled>), Problem> {
    asker.admin()?;
    let structure = given.structure.map(|id| id.parse::<StructureId>()).transpose();
    let structure = structure.map_err(|_| Problem::field("structure", "Unknown"))?;
    if given.password.chars().count() < crate::credentials::MIN_PASSWORD {
        return Err(Problem::field("password", "TooShort"));
    }
    let status = app.site.status();
    let grants = vec![Grant { structure, role: given.role }];
    let login = given.login.trim().to_owned();
    let author = Author::User(asker.actor.user);
    let user = if status.sequencer {
        let user = UserId(random()?);
        let sites = speaking_sites(&asker.policy, &status.me, &given.sites)?;
        let entry = UserEntry { user, login: login.clone(), grants, sites, standing: Standing::Active };
        app.site
            .run(move |core| {
                let outputs = core.replica().say(now(), &Body::User(entry))?;
                core.send(outputs);
                Ok::<_, sync::replica::ReplicaError>(())
            })
            .await?
            .map_err(|error| Problem::refused(error_chain(&error)))?;
        user
    } else {
        let login = login.clone();
        let enrolled = app.site.write(move |batch, _| batch.enrol(author, &login, grants)).await?;
        enrolled.map_err(crate::commands::Failure::from)?
    };
    let name = given.name;
    app.site.write(move |batch, context| person(batch, context, author, &user, &name)).await??;
    let credentials = app.site.credentials.clone();
    let set = tokio::task::spawn_blocking(move || credentials.set_password(&user, &given.password));
    set.await.map_err(|_| Problem::internal())??;
    Ok((StatusCode::CREATED, Json(Enrolled { id: user.to_string(), login })))
}

/// The sites that may speak for somebody (R11): those named, or the one where they are enrolled.
fn speaking_sites(policy: &Policy, me: &SiteId, codes: &[String]) -> Result<Vec<SiteSelector>, Problem> {
    let named = |code: &String| match code.as_str() {
        "*" => Some(SiteSelector::All),
        code => policy.site_by_code(code).map(|site| SiteSelector::Site(site.site)),
    };
    let mut sites: Vec<SiteSelector> = match codes {
        [] => vec![SiteSelector::Site(*me)],
        codes => codes.iter().map(named).collect::<Option<_>>().ok_or_else(|| Problem::field("sites", "Unknown"))?,
    };
    sites.sort_unstable();
    sites.dedup();
    Ok(sites)
}

/// A user by login, for the node's own command line.
#[utoipa::path(get, path = "/api/v1/users/{login}", responses((status = 200, body = Enrolled)))]
pub(super) async fn user(asker: Principal, Path(login): Path<String>) -> Result<Json<Enrolled>, Problem> {
    asker.admin()?;
    let user = asker.policy.logins.get(&schema::fold::fold(&login)).and_then(|user| asker.policy.users.get(user));
    let user = user.ok_or_else(|| Problem::field("login", "Unknown"))?;
    Ok(Json(Enrolled { id: user.user.to_string(), login: user.login.clone() }))
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
