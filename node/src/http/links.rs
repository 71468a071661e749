//! The demo's cables: cut and mend links below the engine. Off unless the configuration has `[demo]`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schema::authority::SiteEntry;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Principal;
use super::errors::{JsonBody, Path};
use super::sessions::SiteRef;
use super::{App, Problem};

#[derive(Serialize, ToSchema)]
pub(super) struct Links {
    items: Vec<Link>,
}

#[derive(Serialize, ToSchema)]
struct Link {
    site: SiteRef,
    up: bool,
}

/// This site's cables; its own name stands for all of them.
#[utoipa::path(get, path = "/api/v1/links", responses((status = 200, body = Links)))]
pub(super) async fn list(State(app): State<App>, asker: Principal) -> Result<Json<Links>, Problem> {
    only_demo(&app)?;
    let status = app.site.status();
    let own = Link { site: SiteRef::of(&asker.policy, &status.me), up: app.site.gate.is_all_up() };
    let others = status.sync.peers.iter();
    let others =
        others.map(|peer| Link { site: SiteRef::of(&asker.policy, &peer.site), up: app.site.gate.is_up(&peer.site) });
    Ok(Json(Links { items: std::iter::once(own).chain(others).collect() }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    up: bool,
}

/// Cuts or mends the cable to a site; the own name cuts this site from everyone.
#[utoipa::path(post, path = "/api/v1/links/{site}", request_body = Wanted, responses((status = 204)))]
pub(super) async fn set(
    State(app): State<App>,
    asker: Principal,
    Path(name): Path<String>,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<StatusCode, Problem> {
    only_demo(&app)?;
    asker.admin()?;
    let is_named =
        |site: &&Arc<SiteEntry>| site.code.eq_ignore_ascii_case(&name) || site.name.eq_ignore_ascii_case(&name);
    // A cable also leads to a machine that is in the organisation no more.
    let named = asker.policy.sites.values().filter(is_named);
    let named = named.max_by_key(|site| asker.policy.is_active(&site.site));
    let site = named.map(|site| site.site).ok_or_else(|| Problem::field("site", "Unknown"))?;
    match site == app.site.status().me {
        true => app.site.gate.set_all(wanted.up),
        false => app.site.gate.set_link(site, wanted.up),
    }
    Ok(StatusCode::NO_CONTENT)
}

fn only_demo(app: &App) -> Result<(), Problem> {
    if app.config.demo.is_some() { Ok(()) } else { Err(Problem::no_route()) }
}
