//! What the panel, the metrics and the permission checks read without asking the site's thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schema::id::{ScopeId, SiteId, UserId};
use schema::policy::{self, Policy};
use schema::time::{Hlc, Timestamp};
use sync::net::{Gate, Path};
use sync::replica::{self, Exchange, Replica};

use crate::kit;

/// A site's state at one moment.
#[derive(Debug, Clone)]
pub struct Status {
    /// Who may do what.
    pub policy: Option<Arc<Policy>>,
    /// This site.
    pub me: SiteId,
    /// Links, what is to send, what is wrong.
    pub sync: SyncStatus,
    /// Records judged since the start, by outcome.
    pub verdicts: BTreeMap<String, u64>,
    /// Whether this site holds the sequencer's key.
    pub sequencer: bool,
    /// People whom this site has disabled and the authority log does not know as disabled yet (R15).
    pub disabled_here: Arc<BTreeSet<UserId>>,
}

/// Links, what is to send, what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncStatus {
    /// Since when no other site is reachable; `None` while one is.
    pub alone_since: Option<Timestamp>,
    /// Why this site is in the organisation no more, as far as it knows; `None` while it is.
    pub ended: Option<Ended>,
    /// The other sites.
    pub peers: Vec<PeerStatus>,
    /// What people must hear of, and since when.
    pub alarms: Vec<(Alarm, Timestamp)>,
    /// Records received and not shown yet.
    pub catching_up: u64,
    /// Digest of vector and documents per scope here.
    pub scopes: Vec<ScopeStatus>,
}

/// What people must hear of. Each has its words in the page and a row in `docs/operating.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// What the replica noticed since the start.
    Replica(replica::Alarm),
    /// Tickets that were given one number are held, since the youngest of them was opened (docs/decisions/0004). Which
    /// they are, each reader is told as far as they may see them.
    NumberTwice,
    /// Nobody has typed the fingerprint of the recovery kit back, since it was made (R14). For who may govern alone.
    KitUnconfirmed,
    /// This site's own key is revoked, as far as it knows (R18): what is written here counts nowhere.
    SiteRevoked,
    /// This site is retired, as far as it knows (R17): it writes nothing any more.
    SiteRetired,
}

impl Alarm {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Replica(alarm) => alarm.code(),
            Self::NumberTwice => "NUMBER-TWICE",
            Self::KitUnconfirmed => "KIT-UNCONFIRMED",
            Self::SiteRevoked => "SITE-REVOKED",
            Self::SiteRetired => "SITE-RETIRED",
        }
    }
}

/// Why a site is in the organisation no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Its key is revoked.
    Revoked,
    /// It was given up, or another took its place.
    Retired,
}

impl From<policy::Ended> for Ended {
    fn from(why: policy::Ended) -> Self {
        match why {
            policy::Ended::Revoked => Self::Revoked,
            policy::Ended::Retired => Self::Retired,
        }
    }
}

/// One scope as held here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeStatus {
    /// Which.
    pub id: schema::id::ScopeId,
    /// Records held.
    pub records: u64,
    /// Digest of records and documents: equal where both are.
    pub digest: [u8; 32],
}

/// How packets travel to a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathWord {
    /// Straight.
    Direct,
    /// Through a relay.
    Relayed,
    /// Through another site.
    Via,
    /// Not at all.
    None,
}

/// Another site as seen from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which.
    pub site: SiteId,
    /// Whether there is a session.
    pub connected: bool,
    /// How packets travel.
    pub path: PathWord,
    /// Through which site, for `Via`.
    pub via: Option<SiteId>,
    /// Since when it is connected.
    pub since: Option<Timestamp>,
    /// When something of it was last heard, over whatever path.
    pub last_contact: Option<Timestamp>,
    /// Records held here that it lacks.
    pub to_send: u64,
    /// Records it holds that are not here.
    pub to_receive: u64,
    /// Common scopes and what it lacks of them.
    pub scopes: Vec<(schema::id::ScopeId, u64)>,
}

impl Status {
    /// The state of a replica and its links. `number_twice` is when the youngest of the tickets was opened whose number
    /// an older one has too.
    pub fn of(replica: &Replica, gate: &Gate, alone_since: Option<Timestamp>, number_twice: Option<Timestamp>) -> Self {
        let local = replica.store().log_index();
        let scopes = local.scopes().map(|(id, state)| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&local.vector_digest(id)).update(&state.digest);
            ScopeStatus { id: *id, records: state.arrivals, digest: *hasher.finalize().as_bytes() }
        });
        let sync = SyncStatus {
            alone_since,
            ended: ended(replica).map(|(why, _)| why.into()),
            peers: replica.peers().iter().map(|entry| peer(replica, gate, entry.site)).collect(),
            alarms: alarms(replica, number_twice),
            catching_up: replica.backlog(),
            scopes: scopes.collect(),
        };
        Self {
            policy: replica.policy().cloned(),
            me: replica.me(),
            sync,
            verdicts: replica.verdicts.clone(),
            sequencer: replica.is_sequencer(),
            disabled_here: replica.disabled_here(),
        }
    }
}

fn alarms(replica: &Replica, number_twice: Option<Timestamp>) -> Vec<(Alarm, Timestamp)> {
    let noticed = replica.alarms.iter().map(|(alarm, at)| (Alarm::Replica(alarm.clone()), *at));
    let twice = number_twice.map(|at| (Alarm::NumberTwice, at));
    let kit = kit_unconfirmed(replica).map(|at| (Alarm::KitUnconfirmed, at));
    let ended = ended(replica).map(|(why, at)| match why {
        policy::Ended::Revoked => (Alarm::SiteRevoked, at),
        policy::Ended::Retired => (Alarm::SiteRetired, at),
    });
    noticed.chain(twice).chain(kit).chain(ended).collect()
}

/// Why this site is in the organisation no more, and since when; `None` while it is, as far as it knows.
fn ended(replica: &Replica) -> Option<(policy::Ended, Timestamp)> {
    let (why, at) = replica.policy()?.ended(&replica.me())?;
    let stated = replica.stated_at(at.position);
    let stated = stated.inspect_err(|error| tracing::warn!(%error, "a statement cannot be read"));
    // Whoever works here hears of it also where the time cannot be read.
    Some((why, stated.ok().flatten().unwrap_or_default()))
}

fn kit_unconfirmed(replica: &Replica) -> Option<Timestamp> {
    let note = replica.note(kit::UNCONFIRMED).ok().flatten()?;
    Some(Timestamp(u64::from_be_bytes(note.try_into().ok()?)))
}

fn peer(replica: &Replica, gate: &Gate, site: SiteId) -> PeerStatus {
    let sessions = replica.engine().sessions();
    let session = sessions.iter().find(|(_, session)| session.peer == site);
    let via = sessions.values().find(|session| session.direct().contains(&site)).map(|session| session.peer);
    let path = match (session.and_then(|(id, _)| gate.path(*id)), via) {
        (Some(Path::Direct), _) => PathWord::Direct,
        (Some(Path::Relayed), _) => PathWord::Relayed,
        (None, Some(_)) => PathWord::Via,
        (None, None) => PathWord::None,
    };
    let Some(policy) = replica.policy() else {
        return PeerStatus {
            site,
            connected: false,
            path,
            via: None,
            since: None,
            last_contact: None,
            to_send: 0,
            to_receive: 0,
            scopes: Vec::new(),
        };
    };
    let common: Vec<(ScopeId, Exchange)> = policy
        .scopes()
        .map(|(scope, _)| scope)
        .filter(|scope| policy.holds(&replica.me(), scope) && policy.holds(&site, scope))
        .map(|scope| {
            let counted = replica.exchange(&site, &scope);
            let counted = counted.inspect_err(|error| tracing::warn!(%error, "what is to be sent cannot be counted"));
            (scope, counted.unwrap_or_default())
        })
        .collect();
    let said = replica.frontiers().last_of(&site).map(Hlc::timestamp);
    PeerStatus {
        site,
        connected: session.is_some(),
        path,
        via: via.filter(|_| path == PathWord::Via),
        since: session.map(|(_, session)| session.since),
        last_contact: session.map(|(_, session)| session.heard).max(said),
        to_send: common.iter().map(|(_, exchange)| exchange.to_send).sum(),
        to_receive: common.iter().map(|(_, exchange)| exchange.to_receive).sum(),
        scopes: common.into_iter().map(|(scope, exchange)| (scope, exchange.to_send)).collect(),
    }
}
