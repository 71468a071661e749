//! Who asks: cookies, tokens and origins.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use schema::access::{Reach, readable_by};
use schema::authority::{Standing, UserEntry};
use schema::id::UserId;
use schema::policy::Policy;
use std::sync::Arc;

use super::{App, Problem};
use crate::clock::now;
use crate::commands::Actor;
use crate::credentials::TokenKind;

/// Whoever asks, known and active.
#[derive(Debug, Clone)]
pub struct Principal {
    /// As commands see them.
    pub actor: Actor,
    /// What they may read.
    pub reach: Reach,
    /// The policy they were judged by.
    pub policy: Arc<Policy>,
}

impl Principal {
    /// The asker behind a user, if they are active and this site speaks for them.
    pub async fn of(app: &App, user: UserId) -> Result<Self, Problem> {
        Self::find(app, user).await?.ok_or_else(Problem::no_session)
    }

    /// The same; `None` for whom this site does not let in: unknown, disabled, or at home elsewhere.
    pub async fn find(app: &App, user: UserId) -> Result<Option<Self>, Problem> {
        let status = app.site.status();
        let policy = status.policy.clone().ok_or_else(Problem::unavailable)?;
        let entry = match policy.users.get(&user) {
            Some(entry) => UserEntry::clone(entry),
            None => match app.site.run(move |core| core.replica().enrolled_here(&user)).await?? {
                Some(entry) => entry,
                None => return Ok(None),
            },
        };
        let is_out = entry.standing != Standing::Active || status.disabled_here.contains(&user);
        if is_out || !policy.speaks(&status.me, &entry.sites) {
            return Ok(None);
        }
        let reach = readable_by(&policy, &entry);
        Ok(Some(Self { actor: Actor { user, entry }, reach, policy }))
    }

    /// The asker behind a request's token or session, as long as it holds.
    pub async fn asking(app: &App, headers: &HeaderMap) -> Result<Self, Problem> {
        let user = token_of(app, headers)?.ok_or_else(Problem::no_session)?;
        Self::of(app, user).await
    }

    /// Errors unless the asker may change what the authority log says.
    pub fn admin(&self) -> Result<(), Problem> {
        match schema::access::may_govern(&self.actor.entry) {
            true => Ok(()),
            false => Err(Problem::forbidden()),
        }
    }
}

impl FromRequestParts<App> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Self::asking(app, &parts.headers).await
    }
}

/// The name of the cookie: cookies ignore the port, so each site has its own.
pub fn cookie_name(app: &App) -> String {
    format!("archipel_{}", app.site.status().me.short())
}

/// The session's secret in the cookie.
pub fn cookie(app: &App, headers: &HeaderMap) -> Option<String> {
    let name = cookie_name(app);
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// The token that a program brings. Another scheme is a proxy's own matter, and says nothing here.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
}

fn token_of(app: &App, headers: &HeaderMap) -> Result<Option<UserId>, Problem> {
    if let Some(secret) = bearer(headers) {
        return Ok(app.site.credentials.token_user(TokenKind::Api, secret, now())?);
    }
    match cookie(app, headers) {
        Some(secret) => Ok(app.site.credentials.token_user(TokenKind::Session, &secret, now())?),
        None => Ok(None),
    }
}

/// Refuses what a foreign page or a rebound name sends: the host must be one of ours, and a request that
/// changes something, or opens the events, must come from the same origin unless it brings a token.
pub async fn same_origin(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    if !host.as_deref().is_none_or(|host| is_our_host(&app, host)) {
        return Err(Problem::origin());
    }
    // Only what then counts instead of the cookie may stand for the origin.
    let with_token = bearer(headers).is_some();
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let upgrade = headers.contains_key(header::UPGRADE);
    if (!safe || upgrade) && !with_token && !is_same_origin(headers, host.as_deref()) {
        return Err(Problem::origin());
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let stage = app.config.demo.as_ref().and_then(|demo| demo.stage.as_deref());
    let policy = format!(
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors {}",
        stage.unwrap_or("'none'")
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

fn is_our_host(app: &App, host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let loopback = name == "localhost" || name.ends_with(".localhost") || name == "127.0.0.1" || name == "[::1]";
    loopback || app.config.hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
}

fn is_same_origin(headers: &HeaderMap, host: Option<&str>) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match (text("origin"), text("sec-fetch-site"), host) {
        (Some(origin), _, Some(host)) => origin.split_once("://").is_some_and(|(_, authority)| authority == host),
        (Some(_), _, None) => false,
        (None, Some(site), _) => site == "same-origin",
        // Neither header: no browser of today, and a program has no cookie that was not given to it.
        (None, None, _) => true,
    }
}
