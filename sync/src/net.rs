//! The network: frames over iroh, and nothing that leaves for a host that is not configured.
//!
//! [`Net`] binds one endpoint with the site's key, dials the peers that its [`Gate`] knows until there is a
//! session with each, and turns sessions into [`NetEvent`]s. Who may come in is asked at the handshake: an
//! unknown key ends there. A cut (the demo's and the tests' cable) is a state of the gate: it closes live
//! connections and refuses new ones in both directions, below the engine.

mod gate;
mod join;
mod session;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use iroh::dns::DnsResolver;
use iroh::endpoint::{Connection, NetReportConfig, PortmapperConfig, QuicTransportConfig, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode, RelayUrl, SecretKey};
use schema::id::SiteId;
use schema::identity::Secret;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::engine::SessionId;
use crate::wire::ALPN;
pub use gate::{Gate, Path};
pub use join::{JoinAnswer, JoinError, JoinRequest};

/// A connection attempt that takes longer is given up and tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// First pause after a failed attempt; it doubles, with a spread from the site's key.
const RETRY_MIN: Duration = Duration::from_millis(200);
/// Longest pause between attempts: a healed link is used within this.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Longest pause after sessions that end soon after they began: what one side refuses it will refuse again.
const RETRY_REFUSED_MAX: Duration = Duration::from_secs(60);
/// A session that lasted this long was a success.
const STEADY: Duration = Duration::from_secs(10);
/// The site with the larger key lets the other one dial first for this long.
const YIELD: Duration = Duration::from_millis(1500);
/// Events waiting for the site's thread; readers of sessions wait when it is full.
const EVENT_QUEUE: usize = 256;

/// Why the network did not start.
#[derive(Debug, Error)]
pub enum NetError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A relay's address is no URL.
    #[error("{0} is not a relay's address")]
    Relay(String),
}

/// What happened on the network.
#[derive(Debug)]
pub enum NetEvent {
    /// A session with a proven peer stands.
    Connected(SessionId, SiteId),
    /// A frame came.
    Frame(SessionId, Vec<u8>),
    /// A session is gone.
    Closed(SessionId),
    /// Somebody holds an invitation.
    Join(JoinRequest),
}

/// Where to listen and which relays to use.
#[derive(Debug, Clone)]
pub struct NetConfig {
    /// UDP address.
    pub bind: SocketAddr,
    /// Own relays; none: direct paths only.
    pub relays: Vec<String>,
}

/// The site's endpoint and its sessions.
#[derive(Clone)]
pub struct Net {
    endpoint: Endpoint,
    gate: Arc<Gate>,
    events: mpsc::Sender<NetEvent>,
    sessions: Arc<AtomicU64>,
}

impl Net {
    /// Binds the endpoint and begins to accept and to dial. Works with no network at all.
    pub async fn start(
        key: &Secret,
        config: &NetConfig,
        gate: Arc<Gate>,
    ) -> Result<(Self, mpsc::Receiver<NetEvent>), NetError> {
        let endpoint = bind(key, config, vec![ALPN.to_vec(), join::ALPN.to_vec()], Some(gate.clone())).await?;
        let (events, receiver) = mpsc::channel(EVENT_QUEUE);
        let net = Self { endpoint, gate, events, sessions: Arc::new(AtomicU64::new(1)) };
        tokio::spawn(net.clone().accept());
        tokio::spawn(net.clone().dial_peers());
        Ok((net, receiver))
    }

    /// Sends a frame on a session. A session that does not keep up is ended, never waited for.
    pub fn send(&self, session: SessionId, frame: Vec<u8>) {
        self.gate.send(session, frame);
    }

    /// Ends a session once what was sent before is on its way.
    pub fn close(&self, session: SessionId) {
        self.gate.close(session);
    }

    /// The addresses this endpoint listens on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.endpoint.bound_sockets()
    }

    /// Ends everything; what was sent is delivered first.
    pub async fn stop(&self) {
        self.endpoint.close().await;
    }

    /// Asks an inviter to let this site in.
    pub async fn join(
        key: &Secret,
        config: &NetConfig,
        inviter: SiteId,
        addresses: &[String],
        request: &[u8],
    ) -> Result<Vec<u8>, JoinError> {
        let endpoint = bind(key, config, vec![], None).await.map_err(|_| JoinError::Unreachable)?;
        let answer = join::ask(&endpoint, peer_address(&inviter, addresses), request).await;
        endpoint.close().await;
        answer
    }

    async fn accept(self) {
        while let Some(incoming) = self.endpoint.accept().await {
            let net = self.clone();
            tokio::spawn(async move {
                let Ok(accepting) = incoming.accept() else {
                    return;
                };
                match accepting.await {
                    Ok(connection) if connection.alpn() == join::ALPN => join::serve(&net.events, connection).await,
                    Ok(connection) => net.session(connection, false).await,
                    Err(error) => tracing::debug!(%error, "a handshake failed"),
                }
            });
        }
    }

    /// Keeps one dialling task for each known peer.
    async fn dial_peers(self) {
        let mut dialled = std::collections::BTreeSet::new();
        let mut grown = self.gate.watch();
        loop {
            for peer in self.gate.peers() {
                if dialled.insert(peer) {
                    tokio::spawn(self.clone().dial(peer));
                }
            }
            if grown.changed().await.is_err() {
                return;
            }
        }
    }

    async fn dial(self, peer: SiteId) {
        let me = SiteId(*self.endpoint.id().as_bytes());
        let mut pause = Duration::ZERO;
        loop {
            self.gate.wait_until_wanted(&peer).await;
            if me > peer {
                tokio::time::sleep(YIELD).await;
            }
            if !self.gate.is_wanted(&peer) {
                continue;
            }
            let address = peer_address(&peer, &self.gate.addresses(&peer));
            let attempt = tokio::time::timeout(CONNECT_TIMEOUT, self.endpoint.connect(address, ALPN)).await;
            let begun = tokio::time::Instant::now();
            let lasted = match attempt {
                Ok(Ok(connection)) => {
                    self.clone().session(connection, true).await;
                    Some(begun.elapsed())
                }
                Ok(Err(error)) => {
                    tracing::trace!(peer = %peer.short(), %error, "could not connect");
                    None
                }
                Err(_) => {
                    tracing::trace!(peer = %peer.short(), "connecting took too long");
                    None
                }
            };
            pause = next_pause(pause, lasted);
            let spread = Duration::from_millis(u64::from(me.0[0]) % 100);
            self.gate.pause(pause + spread).await;
        }
    }

    async fn session(self, connection: Connection, opens: bool) {
        let id = self.sessions.fetch_add(1, Ordering::Relaxed);
        session::run(id, connection, opens, &self.gate, &self.events).await;
    }
}

async fn bind(
    key: &Secret,
    config: &NetConfig,
    alpns: Vec<Vec<u8>>,
    gate: Option<Arc<Gate>>,
) -> Result<Endpoint, NetError> {
    let mut relays = Vec::new();
    for relay in &config.relays {
        relays.push(relay.parse::<RelayUrl>().map_err(|_| NetError::Relay(relay.clone()))?);
    }
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| NetError::Bind { address: config.bind, source };
    // A path that is gone is noticed within 3 s; a session survives a cut of less than 10 s.
    let idle = Duration::from_secs(10).try_into().map_err(|_| failed("idle time".into()))?;
    let transport = QuicTransportConfig::builder()
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Duration::from_secs(1))
        .default_path_max_idle_timeout(Duration::from_secs(3))
        .default_path_keep_alive_interval(Duration::from_secs(1))
        .build();
    let relay_mode = if relays.is_empty() { RelayMode::Disabled } else { RelayMode::custom(relays) };
    let mut builder = Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(&key.to_bytes()))
        .alpns(alpns)
        .relay_mode(relay_mode)
        .portmapper_config(PortmapperConfig::Disabled)
        .dns_resolver(DnsResolver::builder().with_system_defaults().disable_fallback().build())
        .net_report_config(NetReportConfig::minimal())
        .transport_config(transport)
        .clear_ip_transports()
        .bind_addr(config.bind)
        .map_err(|error| failed(Box::new(error)))?;
    if let Some(gate) = gate {
        builder = builder.hooks(gate::Hook(gate));
    }
    builder.bind().await.map_err(|error| failed(Box::new(error)))
}

fn peer_address(peer: &SiteId, addresses: &[String]) -> EndpointAddr {
    let Ok(id) = EndpointId::from_bytes(&peer.0) else {
        // Not a key: nothing to connect to, and `connect` says so.
        return EndpointAddr::new(SecretKey::from_bytes(&[0; 32]).public());
    };
    let mut found = EndpointAddr::new(id);
    for address in addresses {
        match (address.parse::<SocketAddr>(), address.parse::<RelayUrl>()) {
            (Ok(socket), _) => found = found.with_ip_addr(socket),
            (_, Ok(relay)) => found = found.with_relay_url(relay),
            (Err(_), Err(_)) => tracing::warn!(address, "an address of a site is neither a socket nor a relay"),
        }
    }
    found
}

/// The pause after an attempt: `lasted` is how long its session did, `None` if there was none.
fn next_pause(pause: Duration, lasted: Option<Duration>) -> Duration {
    let longest = match lasted {
        Some(lasted) if lasted >= STEADY => return RETRY_MIN,
        Some(_) => RETRY_REFUSED_MAX,
        None => RETRY_MAX,
    };
    (pause * 2).clamp(RETRY_MIN, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_asks_less_and_less_often_and_a_healed_link_is_used_soon() {
        let after = |lasted: Option<Duration>, times: usize| {
            (0..times).fold(Duration::ZERO, |pause, _| next_pause(pause, lasted))
        };
        let (short, steady) = (Some(Duration::from_secs(1)), Some(STEADY));
        assert_eq!(after(None, 1), RETRY_MIN);
        assert_eq!(after(None, 100), RETRY_MAX, "a site that is away is asked for every few seconds");
        assert_eq!(after(short, 100), RETRY_REFUSED_MAX, "one that ends each session is not hammered");
        assert_eq!(next_pause(after(short, 100), steady), RETRY_MIN, "a session that held makes up for all");
        assert_eq!(next_pause(after(short, 100), None), RETRY_MAX);
    }
}
