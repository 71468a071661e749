//! The state of the links, and the list of held changes (records without effect).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use data_encoding::HEXLOWER;
use schema::author::Author;
use schema::time::Timestamp;
use serde::{Deserialize, Serialize};
use sync::quarantine::Page;
use sync::replica::Alarm;
use sync::store::rows::Verdict;
use utoipa::{IntoParams, ToSchema};

use super::auth::Principal;
use super::errors::{Path, Query};
use super::sessions::SiteRef;
use super::{App, Problem};
use crate::clock::rfc3339;
use crate::commands::{self, held::Held};
use crate::read_model::directory::{Labels, Ref};
use crate::read_model::query;
use crate::status::{self, Ended, PathWord, PeerStatus, Status};

/// Held changes in one answer.
const MAX_HELD: usize = 500;
/// Of them in one page unless asked otherwise.
const USUAL_HELD: usize = 100;

#[derive(Serialize, ToSchema)]
pub(super) struct Sync {
    site: SiteRef,
    alone_since: Option<String>,
    /// Why this site is in the organisation no more; absent while it is.
    ended: Option<Ended>,
    peers: Vec<Peer>,
    alarms: Vec<AlarmRow>,
    held: u64,
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
    let held = app.site.reader.read()?;
    let held = sync::quarantine::count(&held)?;
    let scopes = status.sync.scopes.iter().map(|scope| self::scope(&status, &scope.id, 0)).collect();
    let mut alarms = Vec::with_capacity(status.sync.alarms.len());
    for (alarm, at) in &status.sync.alarms {
        alarms.extend(shown(&app, &status, &asker, alarm, *at).await?);
    }
    Ok(Json(Sync {
        site: SiteRef::of(&policy, &status.me),
        alone_since: status.sync.alone_since.map(rfc3339),
        ended: status.sync.ended,
        peers: status.sync.peers.iter().map(|peer| self::peer(&status, peer)).collect(),
        alarms,
        held,
        catching_up: status.sync.catching_up,
        scopes,
    }))
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
    };
    Ok(Some(AlarmRow { code: alarm.code(), params, at: rfc3339(at), words }))
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
            "A site starts anew far more often than it should; its changes are taken over slowly.",
        ),
        Alarm::Refused(site, code) => (
            serde_json::json!({ "site": site_of(status, site).name, "why": code }),
            "A site sent something that no healthy site sends; it was refused and nothing was changed.",
        ),
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct Quarantine {
    items: Vec<HeldRow>,
    /// Given as `from` it brings the next page; absent at the end.
    next: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct HeldPage {
    /// Where the page begins, as the one before said.
    from: Option<String>,
    /// 1 to 500; 100 if absent.
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
struct HeldRow {
    /// Names it at this site.
    id: String,
    site: SiteRef,
    author: Option<Ref>,
    at: String,
    state: &'static str,
    reason: String,
    label: Option<String>,
}

/// Changes without effect, or without effect yet, of the scopes that the asker may read whole.
#[utoipa::path(get, path = "/api/v1/quarantine", params(HeldPage), responses((status = 200, body = Quarantine)))]
pub(super) async fn quarantine(
    State(app): State<App>,
    asker: Principal,
    Query(page): Query<HeldPage>,
) -> Result<Json<Quarantine>, Problem> {
    let key = |text: String| HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok();
    let from = page.from.map(|text| key(text).ok_or_else(|| Problem::field("from", "Unknown"))).transpose()?;
    let limit = page.limit.unwrap_or(USUAL_HELD).clamp(1, MAX_HELD);
    let (policy, reach) = (asker.policy.clone(), asker.reach.clone());
    let governs = schema::access::may_govern(&asker.actor.entry);
    let reader = app.site.reader.clone();
    let held = tokio::task::spawn_blocking(move || {
        sync::quarantine::list(&reader.read()?, from.as_ref(), limit, |scope| match policy.structure_of(scope) {
            Some(structure) => reach.notes(&structure),
            None => governs,
        })
    });
    let Page { items: held, next } = held.await.map_err(|_| Problem::internal())??;
    let policy = asker.policy;
    let items = app.site.views.read(move |conn| {
        let mut labels = Labels::new(conn);
        held.iter().map(|held| row(&policy, &mut labels, held)).collect::<rusqlite::Result<Vec<_>>>()
    });
    let next = next.map(|key| HEXLOWER.encode(&key));
    Ok(Json(Quarantine { items: items.await?, next }))
}

/// A record of the list by its id.
fn held(id: &str) -> Result<Held, Problem> {
    let bytes = HEXLOWER.decode(id.as_bytes()).ok();
    let parts = bytes.as_ref().and_then(|bytes| bytes.split_at_checked(sync::store::tables::RECORD_KEY_BYTES));
    let read = |(key, head): (&[u8], &[u8])| Some(Held { key: key.try_into().ok()?, hash_head: head.try_into().ok()? });
    parts.and_then(read).ok_or_else(Problem::unknown)
}

#[derive(Serialize, ToSchema)]
pub(super) struct Adopted {
    /// Ids of the documents that it made or changed.
    documents: Vec<String>,
}

/// Says again, as the asker's own command, what a change says that does not stand or waits.
#[utoipa::path(post, path = "/api/v1/quarantine/{id}/adoption", responses((status = 201, body = Adopted)))]
pub(super) async fn adopt(
    State(app): State<App>,
    asker: Principal,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Adopted>), Problem> {
    let (held, actor) = (held(&id)?, asker.actor.clone());
    let adopted = app.site.write(move |batch, context| commands::held::adopt(batch, context, &actor, &held));
    let documents = adopted.await??.iter().map(ToString::to_string).collect();
    Ok((StatusCode::CREATED, Json(Adopted { documents })))
}

/// Takes a change without effect off this site's list.
#[utoipa::path(post, path = "/api/v1/quarantine/{id}/discard", responses((status = 204)))]
pub(super) async fn discard(
    State(app): State<App>,
    asker: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let (held, actor) = (held(&id)?, asker.actor.clone());
    let discarded = app.site.write(move |batch, context| commands::held::discard(batch, context, &actor, &held));
    discarded.await??;
    Ok(StatusCode::NO_CONTENT)
}

fn row(
    policy: &schema::policy::Policy,
    labels: &mut Labels<'_>,
    held: &sync::quarantine::Quarantined,
) -> rusqlite::Result<HeldRow> {
    let header = &held.record.header;
    let author = match held.record.skeleton.author {
        Author::User(user) => Some(labels.of(&policy.person_of(&user).to_string())?),
        Author::Service(id) => {
            policy.services.get(&id).map(|service| Ref { id: id.to_string(), label: service.name.clone() })
        }
        Author::Site | Author::Other(_) => None,
    };
    let structure = policy.structure_of(&header.log.scope).and_then(|id| policy.structures.get(&id));
    Ok(HeldRow {
        id: HEXLOWER.encode(&[held.key.as_slice(), &held.record.hash().head()].concat()),
        site: SiteRef::of(policy, &header.log.site),
        author,
        at: rfc3339(header.hlc.timestamp()),
        state: match held.verdict {
            Verdict::Void(_) => "void",

            Verdict::Waiting(_) => "waiting",
            Verdict::Beyond(_) | Verdict::Stranded => "beyond",
        },
        reason: held.verdict.code().to_owned(),
        label: structure.map(|structure| structure.name.clone()),
    })
}
