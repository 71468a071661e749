//! The HTTP side: every route on one page, one file per subject.
//!
//! The API stands under `/api/v1`; its OpenAPI is generated from the handlers. Who asks is settled once, in
//! [`auth`]; what they may see comes from `schema::access`. Errors become `problem+json` in [`errors`] alone.

mod assets;
mod auth;
mod body;
mod control;
mod directory;
mod errors;
mod held;
mod history;
mod links;
mod live;
mod metrics;
mod sessions;
mod sync_status;
mod throttle;
mod tickets;
mod users;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::Config;
use crate::site::Site;
pub use errors::Problem;

/// Bytes of a request's body: a long description and its neighbours. Imports have their own limit.
const MAX_BODY: usize = 1024 * 1024;
/// Bytes of an imported file.
pub(crate) const MAX_IMPORT: usize = 256 * 1024 * 1024;

/// What every handler may use.
#[derive(Clone)]
pub struct App {
    /// The running site.
    pub site: Site,
    /// What it was told from outside.
    pub config: Arc<Config>,
    /// Failed logins.
    throttle: Arc<throttle::LoginThrottle>,
    /// The OpenAPI document.
    api: Arc<String>,
}

#[derive(OpenApi)]
#[openapi(info(title = "Archipel", description = "The API of one site's node.", license(name = "MIT OR Apache-2.0")))]
struct Api;

/// The API's description, generated from the handlers.
pub fn openapi() -> utoipa::openapi::OpenApi {
    api().split_for_parts().1
}

fn api() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(sessions::site))
        .routes(routes!(sessions::log_in))
        .routes(routes!(sessions::who, sessions::log_out))
        .routes(routes!(sessions::link))
        .routes(routes!(tickets::list, tickets::open))
        .routes(routes!(tickets::read, tickets::change))
        .routes(routes!(tickets::comment))
        .routes(routes!(tickets::advance))
        .routes(routes!(tickets::confirm))
        .routes(routes!(history::history))
        .routes(routes!(history::replication))
        .routes(routes!(directory::people))
        .routes(routes!(directory::groups))
        .routes(routes!(directory::categories))
        .routes(routes!(directory::locations))
        .routes(routes!(directory::structures, control::add_structure))
        .routes(routes!(directory::sites))
        .routes(routes!(users::enrol))
        .routes(routes!(users::user, users::change))
        .routes(routes!(sync_status::sync))
        .routes(routes!(sync_status::acknowledge))
        .routes(routes!(held::quarantine))
        .routes(routes!(held::unsent))
        .routes(routes!(held::adopt))
        .routes(routes!(held::discard))
        .routes(routes!(control::revoke))
        .routes(routes!(links::list))
        .routes(routes!(links::set))
        .routes(routes!(control::change_site))
        .routes(routes!(control::confirm_sequencer))
        .routes(routes!(control::confirm_kit))
        .routes(routes!(control::stand_by))
        .routes(routes!(control::hand_over))
        .routes(routes!(control::invite))
        .routes(routes!(control::rebuild))
        .routes(routes!(control::hashes))
}

/// All routes.
pub fn router(site: Site, config: Config) -> Router {
    let (routes, api) = api().split_for_parts();
    let document = serde_json::to_string_pretty(&api).unwrap_or_default();
    let app = App { site, config: Arc::new(config), throttle: Arc::default(), api: Arc::new(document) };
    let imports = Router::new()
        .route("/api/v1/imports/incident-log", axum::routing::post(control::import))
        .layer(DefaultBodyLimit::max(MAX_IMPORT));
    Router::new()
        .merge(routes)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .merge(imports)
        .route("/api/v1/openapi.json", get(control::document))
        .route("/api/v1/events", get(live::events))
        .route("/auth", get(sessions::enter))
        .route("/metrics", get(metrics::metrics))
        .route("/health", get(metrics::health))
        .fallback(assets::serve)
        .method_not_allowed_fallback(errors::wrong_method)
        .layer(middleware::from_fn_with_state(app.clone(), auth::same_origin))
        .layer(middleware::from_fn(body::drain))
        .with_state(app)
}

/// Serves until `stop` is done; requests under way get a moment to finish.
pub async fn serve(
    listener: tokio::net::TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (told, mut tell) = tokio::sync::watch::channel(false);
    let stop = async move {
        stop.await;
        let _ = told.send(true);
    };
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop).into_future();
    tokio::select! {
        served = serving => served,
        () = async {
            let _ = tell.wait_for(|told| *told).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        } => Ok(()),
    }
}
