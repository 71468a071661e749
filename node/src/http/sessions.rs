//! Logging in and out, and who is logged in.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use schema::authority::Role;
use schema::fold::fold;
use schema::id::UserId;
use schema::policy::highest_role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::{Principal, cookie, cookie_name};
use super::errors::{JsonBody, Query};
use super::{App, Problem};
use crate::clock::now;
use crate::credentials::TokenKind;
use crate::read_model::directory::label;

/// Password checks at a time: each takes 19 MB and tens of milliseconds of a core.
static CHECKS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);

/// A site as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SiteRef {
    /// Its id.
    pub id: String,
    /// The head of its numbers.
    pub code: String,
    /// For people.
    pub name: String,
}

impl SiteRef {
    /// How a site is shown; a site nobody knows by the head of its id.
    pub fn of(policy: &schema::policy::Policy, id: &schema::id::SiteId) -> Self {
        match policy.sites.get(id) {
            Some(site) => Self { id: id.to_string(), code: site.code.clone(), name: site.name.clone() },
            None => Self { id: id.to_string(), code: "?".into(), name: format!("#{}", id.short()) },
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct SiteInfo {
    organisation: String,
    site: SiteRef,
    languages: [&'static str; 2],
    demo: bool,
}

/// Where this is; needs no login.
#[utoipa::path(get, path = "/api/v1/site", responses((status = 200, body = SiteInfo)))]
pub(super) async fn site(State(app): State<App>) -> Result<Json<SiteInfo>, Problem> {
    let status = app.site.status();
    let policy = status.policy.as_ref().ok_or_else(Problem::unavailable)?;
    let site = SiteRef::of(policy, &status.me);
    let demo = app.config.demo.is_some();
    Ok(Json(SiteInfo { organisation: policy.name.to_string(), site, languages: ["en", "fr"], demo }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogIn {
    login: String,
    password: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct User {
    id: String,
    person: String,
    login: String,
    name: String,
    #[schema(value_type = String)]
    role: Role,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Who {
    user: User,
    site: SiteRef,
}

/// Logs in and sets a cookie.
#[utoipa::path(post, path = "/api/v1/sessions", request_body = LogIn, responses((status = 201, body = Who)))]
pub(super) async fn log_in(State(app): State<App>, JsonBody(given): JsonBody<LogIn>) -> Result<Response, Problem> {
    let login = fold(&given.login);
    if let Some(seconds) = app.throttle.must_wait(now(), &login) {
        return Err(Problem::wait(seconds));
    }
    let user = find_user(&app, &login).await?;
    let policy = app.site.status().policy.clone().ok_or_else(Problem::unavailable)?;
    let turn = CHECKS.acquire().await;
    // Others may have failed for this login while this one stood in the queue.
    if let Some(seconds) = app.throttle.must_wait(now(), &login) {
        return Err(Problem::wait(seconds));
    }
    let passwords = app.site.passwords.clone();
    // The turn ends with the work, also when nobody waits for it any more.
    let check = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        passwords.check(&policy, user.as_ref(), &given.password)
    });
    let right = check.await.map_err(|_| Problem::internal())??;
    // Whom this site does not let in hears what a wrong password is answered with, and it counts as one: nothing tells
    // that the password was right.
    let asker = match user.filter(|_| right) {
        Some(user) => Principal::find(&app, user).await?,
        None => None,
    };
    app.throttle.attempted(now(), &login, asker.is_some());
    enter_as(&app, &asker.ok_or_else(Problem::wrong_login)?).await
}

/// The user with this folded login: of the organisation, or enrolled by this site and not copied yet.
async fn find_user(app: &App, login: &str) -> Result<Option<UserId>, Problem> {
    let status = app.site.status();
    let known = status.policy.as_ref().and_then(|policy| policy.logins.get(login).copied());
    if known.is_some() {
        return Ok(known);
    }
    let login = login.to_owned();
    Ok(app.site.run(move |core| core.replica().enrolled_login(&login)).await??)
}

async fn enter_as(app: &App, asker: &Principal) -> Result<Response, Problem> {
    let who = describe(app, asker).await?;
    let secret = app.site.credentials.new_token(TokenKind::Session, &asker.actor.user, now())?;
    let mut response = (StatusCode::CREATED, Json(who)).into_response();
    response.headers_mut().append(header::SET_COOKIE, set_cookie(app, &secret)?);
    Ok(response)
}

fn set_cookie(app: &App, secret: &str) -> Result<HeaderValue, Problem> {
    let age = if secret.is_empty() { 0 } else { 14 * 24 * 3600 };
    let text = format!("{}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}", cookie_name(app));
    HeaderValue::from_str(&text).map_err(|_| Problem::internal())
}

async fn describe(app: &App, asker: &Principal) -> Result<Who, Problem> {
    let person = asker.policy.person_of(&asker.actor.user).to_string();
    let id = person.clone();
    let named = app.site.views.read(move |conn| label(conn, &id)).await?;
    let entry = &asker.actor.entry;
    let role = highest_role(&entry.grants).unwrap_or(Role::User);
    let user = User { id: asker.actor.user.to_string(), person, login: entry.login.clone(), name: named.label, role };
    Ok(Who { user, site: SiteRef::of(&asker.policy, &app.site.status().me) })
}

/// Who is logged in.
#[utoipa::path(get, path = "/api/v1/session", responses((status = 200, body = Who)))]
pub(super) async fn who(State(app): State<App>, asker: Principal) -> Result<Json<Who>, Problem> {
    Ok(Json(describe(&app, &asker).await?))
}

/// Logs out.
#[utoipa::path(delete, path = "/api/v1/session", responses((status = 204)))]
pub(super) async fn log_out(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    if let Some(secret) = cookie(&app, &headers) {
        app.site.credentials.end_token(&secret)?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().append(header::SET_COOKIE, set_cookie(&app, "")?);
    Ok(response)
}

#[derive(Serialize, ToSchema)]
pub(super) struct Link {
    path: String,
}

/// Makes a link that logs the asker in once, within ten minutes.
#[utoipa::path(post, path = "/api/v1/sessions/links", responses((status = 201, body = Link)))]
pub(super) async fn link(State(app): State<App>, asker: Principal) -> Result<(StatusCode, Json<Link>), Problem> {
    let secret = app.site.credentials.new_token(TokenKind::Link, &asker.actor.user, now())?;
    Ok((StatusCode::CREATED, Json(Link { path: format!("/auth?token={secret}") })))
}

#[derive(Deserialize)]
pub(super) struct Enter {
    token: String,
}

/// Uses a one-time link: a fresh cookie, and the page.
pub(super) async fn enter(State(app): State<App>, Query(given): Query<Enter>) -> Result<Response, Problem> {
    let user =
        app.site.credentials.token_user(TokenKind::Link, &given.token, now())?.ok_or_else(Problem::no_session)?;
    app.site.credentials.end_token(&given.token)?;
    let secret = app.site.credentials.new_token(TokenKind::Session, &user, now())?;
    let mut response = Redirect::to("/").into_response();
    response.headers_mut().append(header::SET_COOKIE, set_cookie(&app, &secret)?);
    Ok(response)
}
