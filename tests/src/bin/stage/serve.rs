//! The stage's own page: the sites in frames, the cables between them, and the few things a person may do to them.
//!
//! It listens on loopback alone, answers only under its own names, and takes orders only from its own page: the
//! page carries the demo's password.

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
use tests::sites::cast::{Cast, Member};
use tests::sites::place::{LOGIN, PLACES};
use tests::sites::watch::{self, Seen};

use crate::story::{self, Story};

/// How often the sites are asked how they are.
const LOOK: Duration = Duration::from_millis(250);

/// What the handlers share.
#[derive(Clone)]
struct Stage {
    cast: Arc<Cast>,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Sites whose page needs a one-time address: at the start, and after their folder was made anew.
    fresh: Arc<Mutex<BTreeMap<&'static str, bool>>>,
    story: Arc<Story>,
}

/// Opens the stage's port.
pub async fn listen(port: u16) -> anyhow::Result<tokio::net::TcpListener> {
    Ok(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?)
}

/// Serves until `stopped` says so.
pub async fn serve(
    listener: tokio::net::TcpListener,
    cast: Arc<Cast>,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let fresh = PLACES.iter().map(|place| (place.code, true)).collect();
    let stage = Stage {
        seen: Arc::default(),
        fresh: Arc::new(Mutex::new(fresh)),
        story: Arc::new(Story::new(cast.clone())),
        cast,
    };
    let (weak, seen) = (Arc::downgrade(&stage.cast), stage.seen.clone());
    std::thread::spawn(move || {
        while let Some(cast) = weak.upgrade() {
            let before = lock(&seen).clone();
            let now = watch::look_at_all(&cast, &before);
            *lock(&seen) = now;
            drop(cast);
            std::thread::sleep(LOOK);
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

/// Lets in what comes under the stage's own names, and orders only from its own page.
async fn own_page(State(stage): State<Stage>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let word = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let host = word(header::HOST).unwrap_or_default().to_owned();
    let port = stage.cast.stage_port();
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

/// The page and its parts, as the node carries them.
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
    let asked = tokio::task::spawn_blocking(move || told(&stage, french)).await;
    Json(asked.unwrap_or_default())
}

fn told(stage: &Stage, french: bool) -> Value {
    let seen = lock(&stage.seen).clone();
    let nobody = Seen::default();
    let site = |(at, member): (usize, &Member)| {
        let one = seen.get(at).unwrap_or(&nobody);
        json!({
            "code": member.place.code, "name": member.place.name,
            "url": format!("http://{}.localhost:{}", member.place.host, member.http),
            "frame": if one.running { frame(stage, member) } else { None },
            "running": one.running, "alone_since": one.alone_since,
            "to_send": one.to_send, "to_receive": one.to_receive, "tickets": one.tickets,
            "digest": watch::common_digest(one, &seen),
        })
    };
    let sites: Vec<Value> = stage.cast.members.iter().enumerate().map(site).collect();
    let links = stage.cast.cables().into_iter().map(|(a, b, up)| json!({ "a": a, "b": b, "up": up }));
    json!({
        "sites": sites, "links": links.collect::<Vec<_>>(),
        "agree": seen.len() == PLACES.len() && watch::agree(&seen),
        "script": stage.story.told(french),
        "login": { "login": LOGIN, "password": stage.cast.password() },
    })
}

/// A one-time address that logs the stage's window in, once for each life of a site's folder.
fn frame(stage: &Stage, member: &Member) -> Option<String> {
    let mut fresh = lock(&stage.fresh);
    let wanted = fresh.get_mut(member.place.code).filter(|wanted| **wanted)?;
    let made = member.api().post("/api/v1/sessions/links", &json!({})).ok()?;
    *wanted = false;
    Some(format!("http://{}.archipel.localhost:{}{}", member.place.host, member.http, text(&made, "path")))
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
    act(move || match (wanted.all, wanted.a, wanted.b) {
        (true, _, _) => stage.cast.set_all(wanted.up),
        (false, Some(a), Some(b)) => stage.cast.set_cable(&a, &b, wanted.up),
        (false, _, _) => anyhow::bail!("a cable has two ends"),
    })
    .await
}

async fn kill(State(stage): State<Stage>, Path(code): Path<String>) -> Response {
    act(move || {
        let Some(member) = stage.cast.member(&code) else { anyhow::bail!("there is no such site") };
        member.process.kill();
        // The page need not wait until the site is back; its cables are set by then.
        let (cast, code) = (stage.cast.clone(), member.place.code);
        std::thread::spawn(move || cast.member(code).map(|member| cast.back(member)));
        Ok(())
    })
    .await
}

async fn wipe(State(stage): State<Stage>, Path(code): Path<String>) -> Response {
    act(move || {
        let Some(member) = stage.cast.member(&code) else { anyhow::bail!("there is no such site") };
        stage.cast.wipe(member)?;
        lock(&stage.fresh).insert(member.place.code, true);
        Ok(())
    })
    .await
}

async fn script(State(stage): State<Stage>) -> Response {
    match story::play(&stage.story) {
        true => StatusCode::NO_CONTENT.into_response(),
        false => problem(StatusCode::CONFLICT, "STORY-RUNNING", "The story is being played already."),
    }
}

async fn act(work: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(error)) => problem(StatusCode::CONFLICT, "STAGE-REFUSED", &format!("{error:#}")),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "STAGE-FAULT", "The stage itself failed."),
    }
}
