//! The stage's own page: the sites in frames, the links between them, and the actions a person may take on them.
//!
//! It listens on loopback alone, answers only under its own host names, and accepts actions only from its own page,
//! because the page shows the demo's password.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tests::sites::api::text;
use tests::sites::cluster::{Cluster, Member};
use tests::sites::setup::{LOGIN, SITES};
use tests::sites::watch::{self, SiteStatus};

use crate::scenario::{self, Scenario};

/// How often the sites are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// What the handlers share.
#[derive(Clone)]
struct Stage {
    cluster: Arc<Cluster>,
    statuses: Arc<Mutex<Vec<SiteStatus>>>,
    /// By site code, whether its frame needs a one-time login address: at the start, and after its folder was wiped.
    needs_login: Arc<Mutex<BTreeMap<&'static str, bool>>>,
    scenario: Arc<Scenario>,
}

/// Opens the stage's port.
pub async fn listen(port: u16) -> anyhow::Result<tokio::net::TcpListener> {
    Ok(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?)
}

/// Serves until `stopped` says so.
pub async fn serve(
    listener: tokio::net::TcpListener,
    cluster: Arc<Cluster>,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let needs_login = SITES.iter().map(|site| (site.code, true)).collect();
    let stage = Stage {
        statuses: Arc::default(),
        needs_login: Arc::new(Mutex::new(needs_login)),
        scenario: Arc::new(Scenario::new(cluster.clone())),
        cluster,
    };
    let (weak, statuses) = (Arc::downgrade(&stage.cluster), stage.statuses.clone());
    std::thread::spawn(move || {
        while let Some(cluster) = weak.upgrade() {
            let before = lock(&statuses).clone();
            let now = watch::poll_all(&cluster, &before);
            *lock(&statuses) = now;
            drop(cluster);
            std::thread::sleep(POLL_INTERVAL);
        }
    });
    let app = Router::new()
        .route("/stage/state", get(state))
        .route("/stage/links", post(links))
        .route("/stage/sites/{code}/kill", post(kill))
        .route("/stage/sites/{code}/wipe", post(wipe))
        .route("/stage/script", post(script))
        .fallback(files)
        .layer(middleware::from_fn_with_state(stage.clone(), own_page))
        .with_state(stage);
    tokio::select! {
        served = axum::serve(listener, app).into_future() => served?,
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Rejects requests under other host names than the stage's own, and actions from other pages than its own.
async fn own_page(State(stage): State<Stage>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let word = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let host = word(header::HOST).unwrap_or_default().to_owned();
    let port = stage.cluster.stage_port();
    let own = ["archipel.localhost", "localhost", "127.0.0.1"].iter().any(|name| host == format!("{name}:{port}"));
    let origin = word(header::ORIGIN).is_none_or(|origin| origin == format!("http://{host}"));
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !own || !(reads || origin) {
        return problem(StatusCode::FORBIDDEN, "ORIGIN-FOREIGN", "The request came from another page.");
    }
    // The sites' pages let themselves be framed by this name alone.
    if request.uri().path() == "/" && host != format!("archipel.localhost:{port}") {
        return Redirect::temporary(&format!("http://archipel.localhost:{port}/")).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let policy = "default-src 'self'; frame-src http://*.archipel.localhost:* http://*.localhost:*; object-src 'none'; \
                  base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn problem(status: StatusCode, code: &str, happened: &str) -> Response {
    let body = json!({ "type": "about:blank", "title": happened, "status": status.as_u16(), "code": code, "params": {},
        "safe": "Nothing was changed.", "happened": happened, "todo": "Look at the stage and try again." });
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, kind, body.to_string()).into_response()
}

/// The page and its files, from the UI that is built into the node.
async fn files(uri: Uri) -> Response {
    let path = match uri.path().trim_start_matches('/') {
        "" => "stage.html",
        path => path,
    };
    let Some(found) = ui::file(path) else {
        return problem(StatusCode::NOT_FOUND, "ADDRESS-UNKNOWN", "There is nothing at this address.");
    };
    let kind = match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], found).into_response()
}

async fn state(State(stage): State<Stage>, headers: HeaderMap) -> Json<Value> {
    let language = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let french = language.is_some_and(|language| language.starts_with("fr"));
    let asked = tokio::task::spawn_blocking(move || state_json(&stage, french)).await;
    Json(asked.unwrap_or_default())
}

fn state_json(stage: &Stage, french: bool) -> Value {
    let statuses = lock(&stage.statuses).clone();
    let unknown = SiteStatus::default();
    let site = |(at, member): (usize, &Member)| {
        let one = statuses.get(at).unwrap_or(&unknown);
        json!({
            "code": member.spec.code, "name": member.spec.name,
            "url": format!("http://{}.localhost:{}", member.spec.host, member.http),
            "frame": if one.running { frame(stage, member) } else { None },
            "running": one.running, "alone_since": one.alone_since,
            "to_send": one.to_send, "to_receive": one.to_receive, "tickets": one.tickets,
            "digest": watch::common_digest(one, &statuses),
        })
    };
    let sites: Vec<Value> = stage.cluster.members.iter().enumerate().map(site).collect();
    let links = stage.cluster.links().into_iter().map(|(a, b, up)| json!({ "a": a, "b": b, "up": up }));
    json!({
        "sites": sites, "links": links.collect::<Vec<_>>(),
        "agree": statuses.len() == SITES.len() && watch::converged(&statuses),
        "script": stage.scenario.transcript(french),
        "login": { "login": LOGIN, "password": stage.cluster.password() },
    })
}

/// A one-time address that logs the stage's frame in; `None` once it was given out for a site's current folder.
fn frame(stage: &Stage, member: &Member) -> Option<String> {
    let mut needs_login = lock(&stage.needs_login);
    let wanted = needs_login.get_mut(member.spec.code).filter(|wanted| **wanted)?;
    let made = member.api().post("/api/v1/sessions/links", &json!({})).ok()?;
    *wanted = false;
    Some(format!("http://{}.archipel.localhost:{}{}", member.spec.host, member.http, text(&made, "path")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    a: Option<String>,
    b: Option<String>,
    #[serde(default)]
    all: bool,
    up: bool,
}

async fn links(State(stage): State<Stage>, Json(wanted): Json<Wanted>) -> Response {
    respond(move || match (wanted.all, wanted.a, wanted.b) {
        (true, _, _) => stage.cluster.set_all_links(wanted.up),
        (false, Some(a), Some(b)) => stage.cluster.set_link(&a, &b, wanted.up),
        (false, _, _) => anyhow::bail!("a link has two ends"),
    })
    .await
}

async fn kill(State(stage): State<Stage>, Path(code): Path<String>) -> Response {
    respond(move || {
        let Some(member) = stage.cluster.member(&code) else { anyhow::bail!("there is no such site") };
        member.process.kill();
        // The page need not wait until the site is back and its cut links are restored.
        let (cluster, code) = (stage.cluster.clone(), member.spec.code);
        std::thread::spawn(move || cluster.member(code).map(|member| cluster.wait_restarted(member)));
        Ok(())
    })
    .await
}

async fn wipe(State(stage): State<Stage>, Path(code): Path<String>) -> Response {
    respond(move || {
        let Some(member) = stage.cluster.member(&code) else { anyhow::bail!("there is no such site") };
        stage.cluster.wipe(member)?;
        lock(&stage.needs_login).insert(member.spec.code, true);
        Ok(())
    })
    .await
}

async fn script(State(stage): State<Stage>) -> Response {
    match scenario::play(&stage.scenario) {
        true => StatusCode::NO_CONTENT.into_response(),
        false => problem(StatusCode::CONFLICT, "SCENARIO-RUNNING", "The scenario is running already."),
    }
}

async fn respond(work: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(error)) => problem(StatusCode::CONFLICT, "STAGE-REFUSED", &format!("{error:#}")),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "STAGE-FAULT", "The stage itself failed."),
    }
}
