//! What administrators do: invite a site, import, rebuild, compare.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use data_encoding::HEXLOWER;
use schema::authority::{Body, Signed, SiteEntry, Standing};
use schema::codec::Canonical as _;
use schema::id::StructureId;
use schema::identity::Secret;
use schema::policy::{Ended, Policy};
use serde::{Deserialize, Serialize};
use sync::replica::ReplicaError;
use utoipa::ToSchema;

use super::auth::Principal;
use super::body::File;
use super::errors::{JsonBody, Path, Query};
use super::sessions::SiteRef;
use super::{App, Problem};
use crate::clock::{from_rfc3339, now};
use crate::folder::random;
use crate::import;
use crate::kit;
use crate::membership::{self, Invited};
use crate::read_model::tables;
use crate::refusal::Refusal;

/// The OpenAPI document.
pub(super) async fn document(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], app.api.as_ref().clone())
}

/// Adds a statement to the authority log, where it is kept.
pub(super) async fn say(app: &App, body: Body) -> Result<(), Problem> {
    let said = app.site.run(move |core| {
        let outputs = core.replica().say(now(), &body)?;
        core.send(outputs);
        Ok(())
    });
    said.await?.map_err(|error: ReplicaError| match error {
        ReplicaError::NotSequencer => Problem::not_sequencer(),
        ReplicaError::Unheard => Problem::unheard(),
        ReplicaError::Authority(error) => Problem::refused(error.to_string()),
        error => {
            tracing::error!(%error, "a statement could not be made");
            Problem::internal()
        }
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewStructure {
    name: String,
    /// The id of the structure that it is part of; absent: it stands by itself.
    parent: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Made {
    id: String,
}

/// Adds a structure, with tickets of its own. Sites that hold all structures hold it too.
#[utoipa::path(post, path = "/api/v1/structures", request_body = NewStructure, responses((status = 201, body = Made)))]
pub(super) async fn add_structure(
    State(app): State<App>,
    asker: Principal,
    JsonBody(given): JsonBody<NewStructure>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    asker.admin()?;
    membership::is_name(&given.name)?;
    let parent = given.parent.map(|id| id.parse::<StructureId>()).transpose();
    let parent = parent.map_err(|_| Problem::field("parent", "Unknown"))?;
    let structure = StructureId(random()?);
    say(&app, Body::Structure { structure, name: given.name.trim().to_owned(), parent }).await?;
    Ok((StatusCode::CREATED, Json(Made { id: structure.to_string() })))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SiteChange {
    /// For people.
    name: Option<String>,
    /// `true`: the site is given up; others wait for it no more and it may write nothing from then on. Its code is free.
    retired: Option<bool>,
}

/// Renames a site, or retires it.
#[utoipa::path(patch, path = "/api/v1/sites/{code}", request_body = SiteChange, responses((status = 200, body = SiteRef)))]
pub(super) async fn change_site(
    State(app): State<App>,
    asker: Principal,
    Path(code): Path<String>,
    JsonBody(given): JsonBody<SiteChange>,
) -> Result<Json<SiteRef>, Problem> {
    asker.admin()?;
    let status = app.site.status();
    if !status.sequencer {
        return Err(Problem::not_sequencer());
    }
    let site = asker.policy.site_by_code(&code).ok_or_else(|| no_site(&asker.policy, &code))?;
    let mut entry = SiteEntry::clone(site);
    if let Some(name) = given.name {
        membership::is_name(&name)?;
        entry.name = name;
    }
    if given.retired == Some(true) {
        if entry.site == status.me {
            return Err(Problem::refused("the site that keeps the authority log is not retired".into()));
        }
        entry.standing = Standing::Ended;
    }
    let shown = SiteRef { id: entry.site.to_string(), code: entry.code.clone(), name: entry.name.clone() };
    say(&app, Body::Site(entry)).await?;
    Ok(Json(shown))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Revocation {
    /// By the site's own clock: what it wrote later does not stand. Absent: what the first site holds of it stands.
    until: Option<String>,
}

/// Ends a site's key (R18): what it wrote beyond the cut has no effect, and nobody talks to it any more. For good.
#[utoipa::path(post, path = "/api/v1/sites/{code}/revocation", request_body = Revocation, responses((status = 200, body = SiteRef)))]
pub(super) async fn revoke(
    State(app): State<App>,
    asker: Principal,
    Path(code): Path<String>,
    JsonBody(given): JsonBody<Revocation>,
) -> Result<Json<SiteRef>, Problem> {
    asker.admin()?;
    let status = app.site.status();
    if !status.sequencer {
        return Err(Problem::not_sequencer());
    }
    // A machine that was given up may turn out to be in other hands.
    let entry = asker.policy.site_by_code(&code).or_else(|| retired_by_code(&asker.policy, &code));
    let entry = entry.ok_or_else(|| no_site(&asker.policy, &code))?;
    let until = given.until.map(|text| from_rfc3339(&text).ok_or_else(|| Problem::field("until", "Time")));
    let until = until.transpose()?;
    if entry.site == status.me {
        return Err(Problem::refused("the site that keeps the authority log does not revoke itself".into()));
    }
    let shown = SiteRef { id: entry.site.to_string(), code: entry.code.clone(), name: entry.name.clone() };
    let site = entry.site;
    let cuts = app.site.run(move |core| core.replica().cuts_of(&site, until)).await??;
    say(&app, Body::Revoke { site, cuts }).await?;
    Ok(Json(shown))
}

/// The site that was given up last of those with a code, and whose key still counts.
fn retired_by_code<'p>(policy: &'p Policy, code: &str) -> Option<&'p Arc<SiteEntry>> {
    let is_meant = |entry: &&Arc<SiteEntry>| entry.code.eq_ignore_ascii_case(code);
    let ended = |entry: &&Arc<SiteEntry>| policy.ended(&entry.site);
    let retired = policy.sites.values().filter(is_meant);
    let retired = retired.filter(|entry| ended(entry).is_some_and(|(why, _)| why == Ended::Retired));
    retired.max_by_key(|entry| ended(entry).map(|(_, at)| at))
}

/// What to answer where no active site has a code: one that had it is in the organisation no more.
fn no_site(policy: &Policy, code: &str) -> Problem {
    let mut had = policy.sites.values().filter(|entry| entry.code.eq_ignore_ascii_case(code));
    match had.find_map(|entry| Some((entry, policy.ended(&entry.site)?.0))) {
        Some((entry, why)) => Problem::ended(&entry.name, why.word()),
        None => Problem::field("code", "Unknown"),
    }
}

/// Says that no other site holds a longer authority log than this one, after a restore (R14).
#[utoipa::path(post, path = "/api/v1/sequencer/confirmation", responses((status = 204)))]
pub(super) async fn confirm_sequencer(State(app): State<App>, asker: Principal) -> Result<StatusCode, Problem> {
    asker.admin()?;
    let is_sequencer = app.site.run(|core| {
        let replica = core.replica();
        replica.trust_authority();
        replica.is_sequencer()
    });
    if is_sequencer.await? { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_sequencer()) }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KitSeen {
    /// As it stands on the recovery kit.
    fingerprint: String,
}

/// Says that somebody has the recovery kit in hand: its fingerprint is typed back (R14).
#[utoipa::path(post, path = "/api/v1/kit/confirmation", request_body = KitSeen, responses((status = 204)))]
pub(super) async fn confirm_kit(
    State(app): State<App>,
    asker: Principal,
    JsonBody(given): JsonBody<KitSeen>,
) -> Result<StatusCode, Problem> {
    asker.admin()?;
    let confirmed = app.site.run(move |core| kit::confirm(core.replica(), &given.fingerprint)).await?;
    match confirmed.map_err(Refusal::of) {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(refusal) => Err(refusal.into()),
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct Candidate {
    /// The organisation's id, in hexadecimal.
    organisation: String,
    /// The last statement that stands here: its epoch, position and hash.
    epoch: u32,
    position: u64,
    hash: String,
    /// The key that is to sign from then on.
    key: String,
}

/// Makes this site ready to keep the authority log, and says what the root key has to sign for that (R14). Only while
/// another site is reachable, so that it knows what was said.
#[utoipa::path(post, path = "/api/v1/sequencer/candidate", responses((status = 200, body = Candidate)))]
pub(super) async fn stand_by(State(app): State<App>, asker: Principal) -> Result<Json<Candidate>, Problem> {
    asker.admin()?;
    let status = app.site.status();
    if status.sequencer {
        return Err(Problem::refused("this site keeps the authority log".into()));
    }
    if !status.sync.peers.iter().any(|peer| peer.connected) {
        return Err(Problem::unheard());
    }
    // On the disk before any statement names it.
    let sequencer = Secret::from_bytes(random()?);
    app.site.folder.keep_sequencer(&sequencer)?;
    let key = HEXLOWER.encode(&sequencer.public().0);
    let head = app.site.run(move |core| {
        core.replica().stand_by(sequencer);
        core.replica().authority().head()
    });
    let (at, hash) = head.await?.ok_or_else(Problem::unavailable)?;
    Ok(Json(Candidate {
        organisation: HEXLOWER.encode(&asker.policy.org.0),
        epoch: at.epoch,
        position: at.position,
        hash: HEXLOWER.encode(&hash),
        key,
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HandOver {
    /// The statement that the root key signed, in hexadecimal.
    statement: String,
}

/// Takes the authority log over, with what the root key signed of `candidate`. Refused if something was said meanwhile.
#[utoipa::path(post, path = "/api/v1/sequencer/hand-over", request_body = HandOver, responses((status = 204)))]
pub(super) async fn hand_over(
    State(app): State<App>,
    asker: Principal,
    JsonBody(given): JsonBody<HandOver>,
) -> Result<StatusCode, Problem> {
    asker.admin()?;
    let bytes = HEXLOWER.decode(given.statement.as_bytes()).ok();
    let signed = bytes.and_then(|bytes| Signed::from_bytes(&bytes).ok());
    let signed = signed.ok_or_else(|| Problem::field("statement", "Unknown"))?;
    let body = Body::from_bytes(signed.statement.kind, &signed.body);
    let Ok(Some(Body::HandOver { base, .. })) = body else {
        return Err(Problem::field("statement", "Unknown"));
    };
    let taken = app.site.run(move |core| {
        let head = core.replica().authority().head();
        if head.is_none_or(|(at, _)| at != base) {
            return Err("something was said meanwhile; try again".to_owned());
        }
        let outputs = core.replica().hand_over(now(), signed).map_err(|error| error.to_string())?;
        core.send(outputs);
        Ok(())
    });
    taken.await?.map_err(Problem::refused)?;
    Ok(StatusCode::NO_CONTENT)
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
