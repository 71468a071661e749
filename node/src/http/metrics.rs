//! What operators watch: `/metrics` in Prometheus text and `/health`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use super::App;

/// Counts and ages, never contents. No login: it names no person and no ticket.
pub(super) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let status = app.site.status();
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, rows: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP archipel_{name} {help}\n# TYPE archipel_{name} gauge");
        for (labels, value) in rows {
            let _ = writeln!(text, "archipel_{name}{labels} {value}");
        }
    };
    let code = |id: &schema::id::SiteId| {
        let policy = status.policy.as_ref();
        policy.and_then(|policy| policy.sites.get(id)).map_or_else(|| id.short(), |site| site.code.clone())
    };
    let peers = |value: fn(&crate::status::PeerStatus) -> u64| {
        let row = |peer: &crate::status::PeerStatus| (format!("{{site=\"{}\"}}", code(&peer.site)), value(peer));
        status.sync.peers.iter().map(row).collect::<Vec<_>>()
    };
    gauge("peer_connected", "1 while there is a session with the site.", &peers(|peer| u64::from(peer.connected)));
    gauge("peer_to_send", "Records held here that the site lacks.", &peers(|peer| peer.to_send));
    gauge("peer_to_receive", "Records the site holds that are not here.", &peers(|peer| peer.to_receive));
    gauge(
        "peer_last_contact_ms",
        "When something of the site was last heard, milliseconds since 1970.",
        &peers(|peer| peer.last_contact.map_or(0, |at| at.0)),
    );
    let scopes = status.sync.scopes.iter().map(|scope| (format!("{{scope=\"{}\"}}", scope.id), scope.records));
    gauge("records", "Records held, by scope.", &scopes.collect::<Vec<_>>());
    gauge("records_behind", "Records received and not shown yet.", &[(String::new(), status.sync.catching_up)]);
    let mut alarms: BTreeMap<&str, u64> = BTreeMap::new();
    for (alarm, _) in &status.sync.alarms {
        *alarms.entry(alarm.code()).or_default() += 1;
    }
    let alarms = alarms.iter().map(|(code, times)| (format!("{{code=\"{code}\"}}"), *times));
    gauge("alarms", "What people must look at, by code.", &alarms.collect::<Vec<_>>());
    let verdicts = status.verdicts.iter().map(|(code, times)| (format!("{{outcome=\"{code}\"}}"), *times));
    gauge("records_judged", "Records judged since the start, by outcome.", &verdicts.collect::<Vec<_>>());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// Whether the site answers. A cut link is not a fault of the site.
pub(super) async fn health(State(app): State<App>) -> impl IntoResponse {
    let joined = app.site.status().policy.is_some();
    let status = if joined { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, if joined { "ok\n" } else { "not joined\n" })
}
