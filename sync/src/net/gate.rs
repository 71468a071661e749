//! Who may talk to this site, who is talking, and which cables are cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use iroh::endpoint::{AfterHandshakeOutcome, BeforeConnectOutcome, Connection, EndpointHooks};
use iroh::{EndpointAddr, endpoint::VarInt};
use schema::id::SiteId;
use tokio::sync::{mpsc, watch};

use crate::engine::SessionId;

/// Bytes waiting to be written on one session; one that is further behind is ended. The engine's windows
/// keep an honest peer far below.
const MAX_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// How a session's packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Straight to the peer.
    Direct,
    /// Through one of the organisation's relays.
    Relayed,
}

/// A session as the gate sees it.
pub(super) struct Open {
    pub(super) peer: SiteId,
    pub(super) connection: Connection,
    pub(super) frames: mpsc::UnboundedSender<Vec<u8>>,
    pub(super) queued: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

#[derive(Default)]
struct State {
    peers: BTreeMap<SiteId, Vec<String>>,
    /// Sites that may come in to hear that they are in the organisation no more (R18). Nobody dials them.
    ended: BTreeSet<SiteId>,
    cut: BTreeSet<SiteId>,
    cut_all: bool,
    open: BTreeMap<SessionId, Open>,
}

/// Which keys may connect, which sessions are open and which links are cut: shared by the network and the site. Every
/// method is short.
pub struct Gate {
    state: Mutex<State>,
    grown: watch::Sender<u64>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { state: Mutex::default(), grown: watch::Sender::new(0) }
    }
}

impl Gate {
    /// Says who may come in and where they are found, and who to hear that they are in no more. Connections of others
    /// end.
    pub fn allow(&self, peers: BTreeMap<SiteId, Vec<String>>, ended: BTreeSet<SiteId>) {
        let mut state = self.lock();
        (state.peers, state.ended) = (peers, ended);
        let is_stranger = |open: &&Open| !state.peers.contains_key(&open.peer) && !state.ended.contains(&open.peer);
        state.open.values().filter(is_stranger).for_each(hang_up);
        drop(state);
        self.tell();
    }

    /// Cuts or mends the cable to one site.
    pub fn set_link(&self, site: SiteId, up: bool) {
        let mut state = self.lock();
        if up {
            state.cut.remove(&site);
        } else {
            state.cut.insert(site);
            state.open.values().filter(|open| open.peer == site).for_each(hang_up);
        }
        drop(state);
        self.tell();
    }

    /// Cuts or mends every cable of this site.
    pub fn set_all(&self, up: bool) {
        let mut state = self.lock();
        state.cut_all = !up;
        if !up {
            state.open.values().for_each(hang_up);
        }
        drop(state);
        self.tell();
    }

    /// Whether the cable to a site is whole on this side.
    pub fn is_up(&self, site: &SiteId) -> bool {
        let state = self.lock();
        !state.cut_all && !state.cut.contains(site)
    }

    /// Whether this site is cut from everybody.
    pub fn is_all_up(&self) -> bool {
        !self.lock().cut_all
    }

    /// How a session's packets travel now; `None` if it is gone.
    pub fn path(&self, session: SessionId) -> Option<Path> {
        let connection = self.lock().open.get(&session)?.connection.clone();
        let relayed = connection.paths().iter().any(|path| path.is_selected() && path.is_relay());
        Some(if relayed { Path::Relayed } else { Path::Direct })
    }

    pub(super) fn peers(&self) -> Vec<SiteId> {
        self.lock().peers.keys().copied().collect()
    }

    pub(super) fn addresses(&self, peer: &SiteId) -> Vec<String> {
        self.lock().peers.get(peer).cloned().unwrap_or_default()
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    /// Whether a session with the peer is allowed and missing.
    pub(super) fn is_wanted(&self, peer: &SiteId) -> bool {
        let state = self.lock();
        let up = !state.cut_all && !state.cut.contains(peer);
        up && state.peers.contains_key(peer) && !state.open.values().any(|open| open.peer == *peer)
    }

    pub(super) async fn wait_until_wanted(&self, peer: &SiteId) {
        let mut grown = self.watch();
        while !self.is_wanted(peer) {
            if grown.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits, but not longer than until something changes at the gate.
    pub(super) async fn pause(&self, pause: Duration) {
        let mut grown = self.watch();
        let _ = tokio::time::timeout(pause, grown.changed()).await;
    }

    fn may(&self, peer: &SiteId) -> bool {
        let state = self.lock();
        let is_known = state.peers.contains_key(peer) || state.ended.contains(peer);
        !state.cut_all && !state.cut.contains(peer) && is_known
    }

    pub(super) fn opened(&self, session: SessionId, open: Open) -> bool {
        if !self.may(&open.peer) {
            hang_up(&open);
            return false;
        }
        self.lock().open.insert(session, open);
        self.tell();
        true
    }

    pub(super) fn gone(&self, session: SessionId) {
        self.lock().open.remove(&session);
        self.tell();
    }

    pub(super) fn send(&self, session: SessionId, frame: Vec<u8>) {
        let state = self.lock();
        if let Some(open) = state.open.get(&session) {
            let waiting = open.queued.fetch_add(frame.len(), std::sync::atomic::Ordering::Relaxed);
            if waiting > MAX_QUEUED_BYTES || open.frames.send(frame).is_err() {
                hang_up(open);
            }
        }
    }

    /// Lets what is queued go out, then the writer closes the connection: an empty frame says so.
    pub(super) fn close(&self, session: SessionId) {
        if let Some(open) = self.lock().open.get(&session)
            && open.frames.send(Vec::new()).is_err()
        {
            hang_up(open);
        }
    }

    fn tell(&self) {
        self.grown.send_modify(|times| *times += 1);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic while the lock is held leaves plain data behind; going on with it is safe.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn hang_up(open: &Open) {
    open.connection.close(VarInt::from_u32(0), b"cut");
}

/// Asks the gate at both ends of a handshake: an unknown key ends there.
pub(super) struct Hook(pub(super) std::sync::Arc<Gate>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

impl EndpointHooks for Hook {
    async fn before_connect<'a>(&'a self, remote: &'a EndpointAddr, _alpn: &'a [u8]) -> BeforeConnectOutcome {
        match self.0.may(&SiteId(*remote.id.as_bytes())) {
            true => BeforeConnectOutcome::Accept,
            false => BeforeConnectOutcome::Reject,
        }
    }

    async fn after_handshake<'a>(&'a self, connection: &'a Connection) -> AfterHandshakeOutcome {
        let joins = connection.alpn() == super::join::ALPN && self.0.is_all_up();
        if joins || self.0.may(&SiteId(*connection.remote_id().as_bytes())) {
            return AfterHandshakeOutcome::accept();
        }
        AfterHandshakeOutcome::Reject { error_code: VarInt::from_u32(1), reason: b"unknown".to_vec() }
    }
}
