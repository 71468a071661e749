//! What administrators do: invite a site, import, rebuild, compare.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use schema::id::StructureId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Principal;
use super::body::File;
use super::errors::{JsonBody, Query};
use super::{App, Problem};
use crate::clock::now;
use crate::import;
use crate::membership::{self, Invited};
use crate::read_model::tables;

/// The OpenAPI document.
pub(super) async fn document(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], app.api.as_ref().clone())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Invite {
    /// 2 to 5 capital letters or digits; of an existing site: the new one takes its place.
    code: String,
    name: String,
    /// Ids of the structures whose tickets the site holds; absent: all.
    structures: Option<Vec<String>>,
    /// Logins of the people for whom the site may speak, so that they can log in there; absent: nobody yet.
    #[serde(default)]
    logins: Vec<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Line {
    /// To be pasted into `archipel join`.
    line: String,
}

/// Makes an invitation for a new site.
#[utoipa::path(post, path = "/api/v1/invitations", request_body = Invite, responses((status = 201, body = Line)))]
pub(super) async fn invite(
    State(app): State<App>,
    asker: Principal,
    JsonBody(given): JsonBody<Invite>,
) -> Result<(StatusCode, Json<Line>), Problem> {
    asker.admin()?;
    let status = app.site.status();
    if !status.sequencer {
        return Err(Problem::not_sequencer());
    }
    let structures = match given.structures {
        None => None,
        Some(ids) => {
            let parse =
                |id: &String| id.parse::<StructureId>().ok().filter(|id| asker.policy.structures.contains_key(id));
            let ids: Option<Vec<StructureId>> = ids.iter().map(parse).collect();
            Some(ids.ok_or_else(|| Problem::field("structures", "Unknown"))?)
        }
    };
    let logins: Vec<String> = given.logins.iter().map(|login| schema::fold::fold(login)).collect();
    if logins.iter().any(|login| !asker.policy.logins.contains_key(login)) {
        return Err(Problem::field("logins", "Unknown"));
    }
    let invited = Invited { code: given.code, name: given.name, structures, logins };
    let line = membership::invite(&asker.policy, &status.me, &app.site.credentials, &invited)?;
    Ok((StatusCode::CREATED, Json(Line { line })))
}

/// What an import is told besides the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Portion {
    /// Only rows up to this line of the file; absent: all.
    until: Option<u64>,
}

/// Imports an incident log: the body is the CSV file. Running it again adds nothing.
pub(super) async fn import(
    State(app): State<App>,
    asker: Principal,
    Query(portion): Query<Portion>,
    File(file): File,
) -> Result<Json<import::Report>, Problem> {
    asker.admin()?;
    Ok(Json(import::incident_log(&app.site, &file, portion.until).await?))
}

#[derive(Serialize, ToSchema)]
pub(super) struct Rebuilt {
    documents: usize,
    milliseconds: u64,
}

/// Throws away everything that can be made again, and makes it again.
#[utoipa::path(post, path = "/api/v1/rebuild", responses((status = 200, body = Rebuilt)))]
pub(super) async fn rebuild(State(app): State<App>, asker: Principal) -> Result<Json<Rebuilt>, Problem> {
    asker.admin()?;
    let begun = now();
    let documents = app.site.run(crate::site::Core::rebuild).await??;
    Ok(Json(Rebuilt { documents, milliseconds: now().since(begun).as_millis() as u64 }))
}

#[derive(Serialize, ToSchema)]
pub(super) struct Hashes {
    /// Over every derived table of the read model.
    views: String,
}

/// The hash of the read model: equal at sites that hold the same scopes and the same records.
#[utoipa::path(get, path = "/api/v1/sync/hash", responses((status = 200, body = Hashes)))]
pub(super) async fn hashes(State(app): State<App>, asker: Principal) -> Result<Json<Hashes>, Problem> {
    asker.admin()?;
    let hash = app.site.views.read(tables::hash).await?;
    Ok(Json(Hashes { views: data_encoding::HEXLOWER.encode(&hash) }))
}
