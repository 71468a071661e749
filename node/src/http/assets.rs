//! The page: files built by npm and embedded.

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::Problem;

/// Serves a file of the page; unknown addresses below `/api` are problems, others the page itself.
pub(super) async fn serve(uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path.starts_with("api/") {
        return Problem::no_route().into_response();
    }
    let path = if path.is_empty() { "index.html" } else { path };
    file(path).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

/// A file of the page with its type. Hashed names never change; the rest is asked for again.
pub fn file(path: &str) -> Option<Response> {
    let found = ui::file(path)?;
    let kind = match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    };
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    Some(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache)], found).into_response())
}
