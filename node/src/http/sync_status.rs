//! The state of the links, and what is wrong.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use data_encoding::HEXLOWER;
use schema::time::Timestamp;
use serde::Serialize;
use sync::replica::Alarm;
use utoipa::ToSchema;

use super::auth::Principal;
use super::errors::Path;
use super::sessions::SiteRef;
use super::{App, Problem, held};
use crate::clock::rfc3339;
use crate::read_model::query;
use crate::status::{self, Ended, PathWord, PeerStatus, Status};

#[derive(Serialize, ToSchema)]
pub(super) struct Sync {
    site: SiteRef,
    alone_since: Option<String>,
    /// Why this site is in the organisation no more; absent while it is.
    ended: Option<Ended>,
    peers: Vec<Peer>,
    alarms: Vec<AlarmRow>,
    /// Held changes that the asker may see; at most 100 are counted.
    held: u64,
    /// Tickets that show the asker something in doubt.
    in_doubt: u64,
    catching_up: u64,
    scopes: Vec<Scope>,
}

#[derive(Serialize, ToSchema)]
struct Peer {
    site: SiteRef,
    connected: bool,
    path: PathWord,
    via: Option<SiteRef>,
    since: Option<String>,
    last_contact: Option<String>,
    to_send: u64,
    to_receive: u64,
    scopes: Vec<Scope>,
}

#[derive(Serialize, ToSchema)]
struct Scope {
    id: String,
    label: String,
    records: u64,
    digest: String,
    /// Records that the other site lacks; 0 for this site itself.
    to_send: u64,
}

#[derive(Serialize, ToSchema)]
struct AlarmRow {
    /// Names it by what it says: an alarm that says something else is another one.
    id: String,
    /// Whether the asker has acknowledged it.
    acknowledged: bool,
    code: &'static str,
    params: serde_json::Value,
    at: String,
    /// For clients without words of their own.
    words: &'static str,
}

/// The links of this site.
#[utoipa::path(get, path = "/api/v1/sync", responses((status = 200, body = Sync)))]
pub(super) async fn sync(State(app): State<App>, asker: Principal) -> Result<Json<Sync>, Problem> {
    let status = app.site.status();
    let policy = status.policy.clone().ok_or_else(Problem::unavailable)?;
    let held = held::count(&app, &asker).await?;
    let reach = asker.reach.clone();
    let in_doubt = app.site.views.read(move |conn| query::in_doubt(conn, &reach)).await?;
    let scopes = status.sync.scopes.iter().map(|scope| self::scope(&status, &scope.id, 0)).collect();
    let alarms = alarms(&app, &status, &asker).await?;
    Ok(Json(Sync {
        site: SiteRef::of(&policy, &status.me),
        // Who is the only site misses nobody.
        alone_since: status.sync.alone_since.filter(|_| !status.sync.peers.is_empty()).map(rfc3339),
        ended: status.sync.ended,
        peers: status.sync.peers.iter().map(|peer| self::peer(&status, peer)).collect(),
        alarms,
        held,
        in_doubt,
        catching_up: status.sync.catching_up,
        scopes,
    }))
}

/// Acknowledges an alarm, for the asker alone: it stays, and is new again once it says something else or comes back.
#[utoipa::path(post, path = "/api/v1/alarms/{id}/acknowledgement", responses((status = 204)))]
pub(super) async fn acknowledge(
    State(app): State<App>,
    asker: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let alarms = alarms(&app, &app.site.status(), &asker).await?;
    let current: Vec<String> = alarms.into_iter().map(|alarm| alarm.id).collect();
    if !current.contains(&id) {
        return Err(Problem::no_route());
    }
    app.site.credentials.acknowledge(&asker.actor.user, &id, &current)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The alarms as the asker may see them.
async fn alarms(app: &App, status: &Status, asker: &Principal) -> Result<Vec<AlarmRow>, Problem> {
    let acknowledged = app.site.credentials.acknowledged(&asker.actor.user)?;
    let mut rows = Vec::with_capacity(status.sync.alarms.len());
    for (alarm, at) in &status.sync.alarms {
        let row = shown(app, status, asker, alarm, *at).await?;
        rows.extend(row.map(|row| AlarmRow { acknowledged: acknowledged.contains(&row.id), ..row }));
    }
    Ok(rows)
}

fn site_of(status: &Status, id: &schema::id::SiteId) -> SiteRef {
    match &status.policy {
        Some(policy) => SiteRef::of(policy, id),
        None => SiteRef { id: id.to_string(), code: "?".into(), name: "?".into() },
    }
}

fn peer(status: &Status, peer: &PeerStatus) -> Peer {
    Peer {
        site: site_of(status, &peer.site),
        connected: peer.connected,
        path: peer.path,
        via: peer.via.map(|via| site_of(status, &via)),
        since: peer.since.map(rfc3339),
        last_contact: peer.last_contact.map(rfc3339),
        to_send: peer.to_send,
        to_receive: peer.to_receive,
        scopes: peer.scopes.iter().map(|(id, lacking)| scope(status, id, *lacking)).collect(),
    }
}

fn scope(status: &Status, id: &schema::id::ScopeId, to_send: u64) -> Scope {
    let label = status.policy.as_ref().and_then(|policy| {
        let structure = policy.structure_of(id)?;
        Some(policy.structures.get(&structure)?.name.clone())
    });
    let held = status.sync.scopes.iter().find(|scope| scope.id == *id);
    Scope {
        id: id.to_string(),
        label: label.unwrap_or_default(),
        records: held.map_or(0, |scope| scope.records),
        digest: HEXLOWER.encode(&held.map_or([0; 32], |scope| scope.digest)),
        to_send,
    }
}

/// An alarm as the asker may see it; `None` for one that concerns nothing that they may see.
async fn shown(
    app: &App,
    status: &Status,
    asker: &Principal,
    alarm: &status::Alarm,
    at: Timestamp,
) -> Result<Option<AlarmRow>, Problem> {
    let (params, at, words) = match alarm {
        status::Alarm::Replica(alarm) => {
            let (params, words) = noticed(status, alarm);
            (params, at, words)
        }
        status::Alarm::NumberTwice => {
            let reach = asker.reach.clone();
            let doubled = app.site.views.read(move |conn| query::doubled_numbers(conn, &reach)).await?;
            let Some(at) = doubled.iter().map(|(_, born)| *born).max() else {
                return Ok(None);
            };
            let numbers: Vec<&str> = doubled.iter().map(|(number, _)| number.as_str()).collect();
            (
                serde_json::json!({ "numbers": numbers.join(", ") }),
                Timestamp(at as u64),
                "Two tickets were given one number by a machine that was set back; the younger one carries letters.",
            )
        }
        status::Alarm::KitUnconfirmed if !schema::access::may_govern(&asker.actor.entry) => return Ok(None),
        status::Alarm::KitUnconfirmed => (
            serde_json::json!({}),
            at,
            "Nobody has said yet that the recovery kit is printed and kept away from this machine. On the \
             first site's machine run `archipel kit confirm` followed by the fingerprint that stands on it.",
        ),
        status::Alarm::SiteRevoked => (
            serde_json::json!({ "site": site_of(status, &status.me).name }),
            at,
            "The key of this site is revoked: what is written here counts nowhere any more, and nothing is sent. Work at \
             another site. If the machine is yours, invite its code again and join in an empty folder.",
        ),
        status::Alarm::SiteRetired => (
            serde_json::json!({ "site": site_of(status, &status.me).name }),
            at,
            "This site was given up, or another machine took its place: nothing can be written here any more, and nothing is \
             sent. Work at another site; what was written here last and is missing there has to be copied by hand. To use \
             this machine again, invite a code and join in an empty folder.",
        ),
    };
    let code = alarm.code();
    let said = blake3::hash(format!("{code} {params}").as_bytes());
    let id = HEXLOWER.encode(&said.as_bytes()[..16]);
    Ok(Some(AlarmRow { id, acknowledged: false, code, params, at: rfc3339(at), words }))
}

/// Parameters and words of what the replica noticed.
fn noticed(status: &Status, alarm: &Alarm) -> (serde_json::Value, &'static str) {
    match alarm {
        Alarm::CloneRunning(_) => (
            serde_json::json!({ "site": site_of(status, &status.me).name }),
            "A second copy of this site is running. Stop one of them; nothing written at either is lost.",
        ),
        Alarm::OwnRecordsBack => (
            serde_json::json!({ "site": site_of(status, &status.me).name }),
            "This site was restored from an older copy; what it had lost came back from the others.",
        ),
        Alarm::Diverged(scope) => (
            serde_json::json!({ "scope": scope.to_string() }),
            "Two sites hold the same changes and show different documents. Run `archipel rebuild` at both, and report it.",
        ),
        Alarm::Forked(site) => (
            serde_json::json!({ "site": site_of(status, site).name }),
            "A site's key has signed two histories: it was set back to an earlier state, or its key is in other hands. Both \
             histories are kept, and the site says again what it said in them.",
        ),
        Alarm::SetBack => (
            serde_json::json!({ "site": site_of(status, &status.me).name }),
            "This site was set back to an earlier state and went on from there. What it wrote before and after is kept, and \
             said again in its name; nothing of it is lost.",
        ),
        Alarm::RevokedForForks(site) => (
            serde_json::json!({ "site": site_of(status, site).name }),
            "A site's key signed two histories three times within a day, and was revoked: what it writes has no effect any \
             more. If the machine is yours, invite its code again and join in an empty folder.",
        ),
        Alarm::AuthorityForked(at) => (
            serde_json::json!({ "position": at.position }),
            "Two different lists of rights exist from one point on: the key that signs them was used twice. Changes go on; \
             stop the copy of the first site.",
        ),
        Alarm::Slowed(site) => (
            serde_json::json!({ "site": site_of(status, site).name }),
            "A site starts anew, or enrols people, far more often than it should; what it says is taken over slowly.",
        ),
        Alarm::Refused(site, code) => (
            serde_json::json!({ "site": site_of(status, site).name, "why": code }),
            "A site sent something that no healthy site sends; it was refused and nothing was changed.",
        ),
    }
}
