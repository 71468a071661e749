//! Polling the status of the sites, and waiting until they converge.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::api::{Api, text};
use super::cluster::{Cluster, Member};

/// Between two polls while waiting.
const POLL_INTERVAL: Duration = Duration::from_millis(40);
/// How long convergence must be observed without a change: a site publishes its status at least this often.
const STABLE_FOR: Duration = Duration::from_millis(300);

/// A site's status as of the last poll.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SiteStatus {
    /// Whether it answered.
    pub running: bool,
    /// Since when it has had no session with any other site (RFC 3339); `None`: it has one.
    pub alone_since: Option<String>,
    /// Records held there that another site lacks: the largest number over its peers.
    pub to_send: u64,
    /// Records that another site holds and this one lacks: the largest number over its peers.
    pub to_receive: u64,
    /// Records received but not yet applied to documents and read model.
    pub catching_up: u64,
    /// The number of tickets that the administrator may read there.
    pub tickets: u64,
    /// The digest of each scope held there, by scope id.
    pub digests: BTreeMap<String, String>,
}

/// Polls a member; if it does not answer, the status is `before` with `running` unset.
pub fn poll(member: &Member, before: &SiteStatus) -> SiteStatus {
    let api = member.api();
    let request = || -> anyhow::Result<(Value, Value)> { Ok((api.sync()?, api.get("/api/v1/tickets?limit=1")?)) };
    match request() {
        Ok((sync, tickets)) => status(&sync, &tickets),
        Err(_) => SiteStatus { running: false, ..before.clone() },
    }
}

fn status(sync: &Value, tickets: &Value) -> SiteStatus {
    let peers = || sync["peers"].as_array().into_iter().flatten();
    let most = |name: &str| peers().filter_map(|peer| peer[name].as_u64()).max().unwrap_or(0);
    SiteStatus {
        running: true,
        alone_since: sync["alone_since"].as_str().map(str::to_owned),
        to_send: most("to_send"),
        to_receive: most("to_receive"),
        catching_up: sync["catching_up"].as_u64().unwrap_or(0),
        tickets: tickets["total"].as_u64().unwrap_or(0),
        digests: digests(sync),
    }
}

/// The digest of each scope in a site's replication status, by scope id.
pub fn digests(sync: &Value) -> BTreeMap<String, String> {
    let scopes = sync["scopes"].as_array().into_iter().flatten();
    scopes.map(|scope| (text(scope, "id"), text(scope, "digest"))).collect()
}

/// Whether all sites run, have applied everything they received, and any two have equal digests of each scope that
/// both hold.
pub fn converged(statuses: &[SiteStatus]) -> bool {
    let equal = |a: &SiteStatus, b: &SiteStatus| {
        let common = a.digests.iter().filter_map(|(scope, digest)| Some((digest, b.digests.get(scope)?)));
        common.clone().count() > 0 && common.clone().all(|(one, other)| one == other)
    };
    let idle = statuses.iter().all(|one| one.running && one.catching_up == 0);
    idle && statuses.iter().all(|one| statuses.iter().all(|other| equal(one, other)))
}

/// One digest over the scopes that all sites hold: equal at sites that have converged.
pub fn common_digest(of: &SiteStatus, all: &[SiteStatus]) -> String {
    let mut hasher = blake3::Hasher::new();
    for (scope, digest) in &of.digests {
        if all.iter().all(|one| one.digests.contains_key(scope)) {
            hasher.update(scope.as_bytes()).update(digest.as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// Polls all members concurrently; `before` are their previous statuses, or empty.
pub fn poll_all(cluster: &Cluster, before: &[SiteStatus]) -> Vec<SiteStatus> {
    std::thread::scope(|scope| {
        let polls = cluster.members.iter().enumerate().map(|(at, member)| {
            let before = before.get(at).cloned().unwrap_or_default();
            scope.spawn(move || poll(member, &before))
        });
        let polls: Vec<_> = polls.collect();
        polls.into_iter().map(|one| one.join().unwrap_or_default()).collect()
    })
}

/// Waits until all sites have converged and nothing is left to send; returns after how long that was so, `None` if not
/// within `timeout`. A site publishes its status a moment after it acknowledged a write, so the same statuses must be
/// observed for longer than that.
pub fn wait_until_converged(cluster: &Cluster, timeout: Duration) -> Option<Duration> {
    let begun = Instant::now();
    let mut since: Option<(Duration, Vec<SiteStatus>)> = None;
    loop {
        let at = begun.elapsed();
        let statuses = poll_all(cluster, &[]);
        let equal = converged(&statuses) && statuses.iter().all(|one| one.to_send == 0 && one.to_receive == 0);
        since = match since {
            Some((first, same)) if equal && same == statuses => {
                if at.saturating_sub(first) > STABLE_FOR {
                    return Some(first);
                }
                Some((first, same))
            }
            _ if equal => Some((begun.elapsed(), statuses)),
            _ => None,
        };
        if at > timeout {
            return None;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Waits until a condition holds; returns after how long it did, `None` if not within `timeout`.
pub fn wait(timeout: Duration, mut holds: impl FnMut() -> bool) -> Option<Duration> {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > timeout {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(begun.elapsed())
}

/// The result of [`wait`] as text: `after 0.25 s` or `never`.
pub fn wait_result(waited: Option<Duration>) -> String {
    waited.map_or("never".to_owned(), |waited| format!("after {:.2} s", waited.as_secs_f64()))
}

/// The codes of the alarms that a site reports; empty if it does not answer.
pub fn alarms(api: &Api) -> BTreeSet<String> {
    let sync = api.sync().unwrap_or_default();
    sync["alarms"].as_array().into_iter().flatten().map(|alarm| text(alarm, "code")).collect()
}

/// For each site the hash over every table of its read model. Errors: a site does not answer.
pub fn read_model_hashes(apis: &[Api]) -> anyhow::Result<Vec<String>> {
    apis.iter().map(|api| Ok(text(&api.get("/api/v1/sync/hash")?, "views"))).collect()
}
