//! Who may log in, and as what: enrolling people, and changing what was said of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schema::author::Author;
use schema::authority::{Body, Enrolment, Grant, Role, SiteSelector, Standing, UserEntry};
use schema::credential::LoginSecrets;
use schema::id::{SiteId, StructureId, UserId};
use schema::policy::Policy;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Principal;
use super::errors::{JsonBody, Path};
use super::{App, Problem};
use crate::commands::directory::person;
use crate::folder::random;
use crate::passwords;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    login: String,
    name: String,
    /// At least 10 characters; at every site where they may log in.
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
    /// Whether they may log in.
    active: bool,
}

impl Enrolled {
    fn of(entry: &UserEntry) -> Self {
        let active = entry.standing == Standing::Active;
        Self { id: entry.user.to_string(), login: entry.login.clone(), active }
    }
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
    passwords::long_enough(&given.password)?;
    let status = app.site.status();
    let grants = vec![Grant { structure, role: given.role }];
    let login = given.login.trim().to_owned();
    let author = Author::User(asker.actor.user);
    // What may fail comes before anything is said.
    let secrets = hashed(given.password).await?;
    let mut elsewhere = None;
    let user = if status.sequencer {
        let user = UserId(random()?);
        let sites = speaking_sites(&asker.policy, &status.me, &given.sites)?;
        let mut entry = UserEntry { user, login: login.clone(), grants, sites, standing: Standing::Active };
        if !asker.policy.speaks(&status.me, &entry.sites) {
            // Only a site that speaks for somebody sets their password (R16): this one does until that is done.
            elsewhere = Some(entry.clone());
            entry.sites.push(SiteSelector::Site(status.me));
            entry.sites.sort_unstable();
        }
        super::control::say(&app, Body::User(entry)).await?;
        user
    } else {
        let login = login.clone();
        let enrolled = app.site.write(move |batch, _| batch.enrol(author, &login, grants)).await?;
        enrolled.map_err(crate::commands::Failure::from)?
    };
    let name = given.name;
    app.site.write(move |batch, context| person(batch, context, author, &user, &name)).await??;
    set_password(&app, user, secrets).await?;
    if let Some(entry) = elsewhere {
        super::control::say(&app, Body::User(entry)).await?;
    }
    Ok((StatusCode::CREATED, Json(Enrolled { id: user.to_string(), login, active: true })))
}

/// What a password is checked against. Not on the threads that serve, and not on the one that writes.
async fn hashed(password: String) -> Result<LoginSecrets, Problem> {
    let hashed = tokio::task::spawn_blocking(move || passwords::hash(&password));
    Ok(hashed.await.map_err(|_| Problem::internal())??)
}

async fn set_password(app: &App, user: UserId, secrets: LoginSecrets) -> Result<(), Problem> {
    let set = app.site.write(move |batch, _| batch.set_credential(&user, &secrets)).await?;
    set.map_err(|error| match passwords::refused(&error) {
        Some(refusal) => refusal.into(),
        None => crate::commands::Failure::from(error).into(),
    })
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
pub(super) async fn user(
    State(app): State<App>,
    asker: Principal,
    Path(login): Path<String>,
) -> Result<Json<Enrolled>, Problem> {
    asker.admin()?;
    Ok(Json(Enrolled::of(&entry_of(&app, &asker, &login).await?)))
}

/// Somebody by login: of the organisation, or enrolled by this site and not copied yet.
async fn entry_of(app: &App, asker: &Principal, login: &str) -> Result<UserEntry, Problem> {
    let folded = schema::fold::fold(login);
    match asker.policy.logins.get(&folded).and_then(|user| asker.policy.users.get(user)).cloned() {
        Some(known) => Ok(Arc::unwrap_or_clone(known)),
        None => app.site.run(move |core| enrolled_entry(core, &folded)).await?,
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserChange {
    /// `false`: they may not log in any more, and what they have open ends within a second of the news at each site.
    active: Option<bool>,
    /// All their roles from now on.
    roles: Option<Vec<GivenRole>>,
    /// Codes of all sites at which they may log in from now on, `*` for all. Only where the authority log is kept.
    sites: Option<Vec<String>>,
    /// Their password from now on, at least 10 characters, at every site where they may log in; only at one of those.
    password: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GivenRole {
    #[schema(value_type = String)]
    role: Role,
    /// A structure's id; absent: all structures (only where the authority log is kept).
    structure: Option<String>,
}

/// Disables somebody, lets them in again, gives them other roles, sites or another password. Where the authority log is kept it holds at
/// once; at another site it is that site's own statement about its people (R15): a disabled account ends here at once,
/// everything else holds when the site that keeps the authority log has heard of it.
#[utoipa::path(patch, path = "/api/v1/users/{login}", request_body = UserChange, responses((status = 200, body = Enrolled)))]
pub(super) async fn change(
    State(app): State<App>,
    asker: Principal,
    Path(login): Path<String>,
    JsonBody(given): JsonBody<UserChange>,
) -> Result<Json<Enrolled>, Problem> {
    asker.admin()?;
    let status = app.site.status();
    let mut entry = entry_of(&app, &asker, &login).await?;
    let secrets = match given.password {
        Some(password) => Some(hashed(password).await?),
        None => None,
    };
    let says_more = given.active.is_some() || given.roles.is_some() || given.sites.is_some();
    if let Some(active) = given.active {
        entry.standing = if active { Standing::Active } else { Standing::Ended };
    }
    if let Some(roles) = given.roles {
        entry.grants = roles.iter().map(|role| grant(&asker.policy, role)).collect::<Result<_, _>>()?;
        entry.grants.sort_unstable();
        entry.grants.dedup();
    }
    if let Some(codes) = &given.sites {
        if !status.sequencer {
            return Err(Problem::not_sequencer());
        }
        entry.sites = speaking_sites(&asker.policy, &status.me, codes)?;
    }
    let (changed, user) = (Enrolled::of(&entry), entry.user);
    if !says_more {
        // Nothing of it concerns the authority log.
    } else if status.sequencer {
        super::control::say(&app, Body::User(entry)).await?;
    } else {
        let author = Author::User(asker.actor.user);
        let UserEntry { user, login, grants, standing, .. } = entry;
        let enrolment = Enrolment { user, login, grants, standing };
        let said = app.site.write(move |batch, _| batch.enrol_again(author, &enrolment)).await?;
        said.map_err(crate::commands::Failure::from)?;
    }
    if let Some(secrets) = secrets {
        set_password(&app, user, secrets).await?;
    }
    Ok(Json(changed))
}

/// Somebody whom only this site's own log knows.
fn enrolled_entry(core: &mut crate::site::Core, folded: &str) -> Result<UserEntry, Problem> {
    let replica = core.replica();
    let found = replica.enrolled_login(folded)?.map(|user| replica.enrolled_here(&user)).transpose()?.flatten();
    found.ok_or_else(|| Problem::field("login", "Unknown"))
}

fn grant(policy: &Policy, given: &GivenRole) -> Result<Grant, Problem> {
    let known = |id: &String| id.parse::<StructureId>().ok().filter(|id| policy.structures.contains_key(id));
    let structure = match &given.structure {
        None => None,
        Some(id) => Some(known(id).ok_or_else(|| Problem::field("structure", "Unknown"))?),
    };
    Ok(Grant { structure, role: given.role })
}
