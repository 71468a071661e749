//! One WebSocket per page: what changed, not how; the page reads again.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::Response;
use tokio::sync::broadcast::error::RecvError;

use super::App;
use super::auth::Principal;
use crate::read_model::query;
use crate::site::Event;

/// Shortest time between two words about the links.
const SYNC_PAUSE: Duration = Duration::from_millis(250);
/// How often the asker and their session are looked at again: a disabled account is refused within a second (R16).
const RECHECK: Duration = Duration::from_millis(500);
/// Bytes of a message from a page, which has nothing to say.
const MAX_MESSAGE: usize = 1024;

/// Tells a page what changes, as far as its reader may know.
pub(super) async fn events(
    State(app): State<App>,
    asker: Principal,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.max_message_size(MAX_MESSAGE).on_upgrade(move |socket| tell(app, asker, headers, socket))
}

async fn tell(app: App, mut asker: Principal, headers: HeaderMap, mut socket: WebSocket) {
    let mut events = app.site.events.subscribe();
    let mut recheck = tokio::time::interval(RECHECK);
    let mut sync_due = false;
    let mut sync_tick = tokio::time::interval(SYNC_PAUSE);
    if send(&mut socket, r#"{"type":"hello"}"#).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(Event::Sync) => sync_due = true,
                Ok(event) => {
                    if may_hear(&app, &asker, &event).await
                        && let Ok(text) = serde_json::to_string(&event)
                        && send(&mut socket, &text).await.is_err()
                    {
                        return;
                    }
                }
                // Too slow to hear everything: reading again is always right.
                Err(RecvError::Lagged(_)) => {
                    if send(&mut socket, r#"{"type":"hello"}"#).await.is_err() {
                        return;
                    }
                }
                Err(RecvError::Closed) => return,
            },
            _ = sync_tick.tick(), if sync_due => {
                sync_due = false;
                if send(&mut socket, r#"{"type":"sync"}"#).await.is_err() {
                    return;
                }
            }
            _ = recheck.tick() => match Principal::asking(&app, &headers).await {
                Ok(again) => asker = again,
                Err(_) => return,
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}

/// Tickets of structures that the reader sees whole, their own tickets (but not the notes beside them), and
/// the directory.
async fn may_hear(app: &App, asker: &Principal, event: &Event) -> bool {
    let Event::Changed { id, scope, internal, .. } = event else {
        return true;
    };
    match asker.policy.structure_of(scope) {
        None => true,
        Some(structure) if asker.reach.notes(&structure) => true,
        Some(_) if *internal => false,
        Some(_) => {
            let (reach, id) = (asker.reach.clone(), id.clone());
            let own = app.site.views.read(move |conn| query::find(conn, &reach, &id)).await;
            own.is_ok_and(|found| found.is_some())
        }
    }
}

async fn send(socket: &mut WebSocket, text: &str) -> Result<(), axum::Error> {
    socket.send(Message::Text(text.into())).await
}
