//! What the sites say of themselves, asked a few times a second, and whether they agree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::api::{Api, text};
use super::cast::{Cast, Member};

/// Between two looks while waiting.
const BETWEEN: Duration = Duration::from_millis(40);
/// How long agreement must be seen to hold: a site publishes how it is at least this often.
const SETTLED: Duration = Duration::from_millis(300);

/// A site as last seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether it answers.
    pub running: bool,
    /// Since when it reaches nobody.
    pub alone_since: Option<String>,
    /// Records that some other site lacks.
    pub to_send: u64,
    /// Records that some other site has and this one lacks.
    pub to_receive: u64,
    /// Records received and not shown yet.
    pub catching_up: u64,
    /// Tickets that the administrator sees there.
    pub tickets: u64,
    /// Digest by scope id.
    pub digests: BTreeMap<String, String>,
}

/// Asks a member; one that does not answer keeps what it last said.
pub fn look(member: &Member, before: &Seen) -> Seen {
    let api = member.api();
    let asked = || -> anyhow::Result<(Value, Value)> { Ok((api.sync()?, api.get("/api/v1/tickets?limit=1")?)) };
    match asked() {
        Ok((sync, tickets)) => seen(&sync, &tickets),
        Err(_) => Seen { running: false, ..before.clone() },
    }
}

fn seen(sync: &Value, tickets: &Value) -> Seen {
    let peers = || sync["peers"].as_array().into_iter().flatten();
    let most = |name: &str| peers().filter_map(|peer| peer[name].as_u64()).max().unwrap_or(0);
    Seen {
        running: true,
        alone_since: sync["alone_since"].as_str().map(str::to_owned),
        to_send: most("to_send"),
        to_receive: most("to_receive"),
        catching_up: sync["catching_up"].as_u64().unwrap_or(0),
        tickets: tickets["total"].as_u64().unwrap_or(0),
        digests: digests(sync),
    }
}

/// A site's digest of each scope that it holds.
pub fn digests(sync: &Value) -> BTreeMap<String, String> {
    let scopes = sync["scopes"].as_array().into_iter().flatten();
    scopes.map(|scope| (text(scope, "id"), text(scope, "digest"))).collect()
}

/// Whether any two sites have equal digests wherever both hold a scope, and nobody waits to show something.
pub fn agree(seen: &[Seen]) -> bool {
    let equal = |a: &Seen, b: &Seen| {
        let common = a.digests.iter().filter_map(|(scope, digest)| Some((digest, b.digests.get(scope)?)));
        common.clone().count() > 0 && common.clone().all(|(one, other)| one == other)
    };
    let settled = seen.iter().all(|one| one.running && one.catching_up == 0);
    settled && seen.iter().all(|one| seen.iter().all(|other| equal(one, other)))
}

/// One digest of a site's part of what all sites hold: equal at sites that agree.
pub fn common_digest(of: &Seen, all: &[Seen]) -> String {
    let mut hasher = blake3::Hasher::new();
    for (scope, digest) in &of.digests {
        if all.iter().all(|one| one.digests.contains_key(scope)) {
            hasher.update(scope.as_bytes()).update(digest.as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// Looks at all members at once.
pub fn look_at_all(cast: &Cast, before: &[Seen]) -> Vec<Seen> {
    std::thread::scope(|scope| {
        let asked = cast.members.iter().enumerate().map(|(at, member)| {
            let before = before.get(at).cloned().unwrap_or_default();
            scope.spawn(move || look(member, &before))
        });
        let asked: Vec<_> = asked.collect();
        asked.into_iter().map(|one| one.join().unwrap_or_default()).collect()
    })
}

/// Waits until all sites agree and nothing is left to send; answers after how long that was so, `None` if not in time.
/// A site says how it is a moment after it acknowledged a write, so what is seen must hold for longer than that.
pub fn wait_until_equal(cast: &Cast, patience: Duration) -> Option<Duration> {
    let begun = Instant::now();
    let mut since: Option<(Duration, Vec<Seen>)> = None;
    loop {
        let at = begun.elapsed();
        let seen = look_at_all(cast, &[]);
        let equal = agree(&seen) && seen.iter().all(|one| one.to_send == 0 && one.to_receive == 0);
        since = match since {
            Some((first, same)) if equal && same == seen => {
                if at.saturating_sub(first) > SETTLED {
                    return Some(first);
                }
                Some((first, same))
            }
            _ if equal => Some((begun.elapsed(), seen)),
            _ => None,
        };
        if at > patience {
            return None;
        }
        std::thread::sleep(BETWEEN);
    }
}

/// Waits until something holds; answers after how long it did, `None` if not in time.
pub fn wait(patience: Duration, mut holds: impl FnMut() -> bool) -> Option<Duration> {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > patience {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(begun.elapsed())
}

/// What [`wait`] answered, for people.
pub fn told(waited: Option<Duration>) -> String {
    waited.map_or("never".to_owned(), |waited| format!("after {:.2} s", waited.as_secs_f64()))
}

/// The codes of the alarms that a site shows.
pub fn alarms(api: &Api) -> BTreeSet<String> {
    let sync = api.sync().unwrap_or_default();
    sync["alarms"].as_array().into_iter().flatten().map(|alarm| text(alarm, "code")).collect()
}

/// The hash over every table of each site's read model.
pub fn hashes(apis: &[Api]) -> anyhow::Result<Vec<String>> {
    apis.iter().map(|api| Ok(text(&api.get("/api/v1/sync/hash")?, "views"))).collect()
}
