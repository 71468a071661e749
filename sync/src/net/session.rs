//! One connection: frames in, frames out, until either side ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt};
use schema::id::SiteId;
use tokio::sync::mpsc;

use super::NetEvent;
use super::gate::{Gate, Open};
use crate::engine::SessionId;
use crate::limits::MAX_FRAME_BYTES;

/// Runs a session to its end. The side that connected opens the stream.
pub(super) async fn run(
    id: SessionId,
    connection: Connection,
    opens: bool,
    gate: &Arc<Gate>,
    events: &mpsc::Sender<NetEvent>,
) {
    let peer = SiteId(*connection.remote_id().as_bytes());
    let (frames, outgoing) = mpsc::unbounded_channel();
    let queued = Arc::new(AtomicUsize::new(0));
    let open = Open { peer, connection: connection.clone(), frames, queued: queued.clone() };
    if !gate.opened(id, open) {
        return;
    }
    if events.send(NetEvent::Connected(id, peer)).await.is_ok() {
        let stream = match opens {
            true => connection.open_bi().await,
            false => connection.accept_bi().await,
        };
        if let Ok((send, receive)) = stream {
            tokio::select! {
                () = write(send, outgoing, &queued) => {}
                () = read(id, receive, events) => {}
                _ = connection.closed() => {}
            }
        }
        connection.close(VarInt::from_u32(0), b"end");
    }
    gate.gone(id);
    // The site's thread is gone when nobody receives; then there is nothing to tell.
    let _ = events.send(NetEvent::Closed(id)).await;
}

/// Writes frames: `u32` length and body. An empty frame ends the session.
async fn write(mut send: SendStream, mut frames: mpsc::UnboundedReceiver<Vec<u8>>, queued: &AtomicUsize) {
    while let Some(frame) = frames.recv().await {
        if frame.is_empty() {
            let _ = send.finish();
            // The peer acknowledges the end; without it the last frame could be lost with the connection.
            let _ = tokio::time::timeout(std::time::Duration::from_secs(1), send.stopped()).await;
            return;
        }
        queued.fetch_sub(frame.len(), Ordering::Relaxed);
        let length = (frame.len() as u32).to_be_bytes();
        if send.write_all(&length).await.is_err() || send.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// Reads frames and hands them on; a full queue stops reading, and so the peer.
async fn read(id: SessionId, mut receive: RecvStream, events: &mpsc::Sender<NetEvent>) {
    let mut length = [0; 4];
    while receive.read_exact(&mut length).await.is_ok() {
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_FRAME_BYTES {
            tracing::warn!(session = id, length, "a frame is longer than allowed");
            return;
        }
        let mut frame = vec![0; length];
        if receive.read_exact(&mut frame).await.is_err() || events.send(NetEvent::Frame(id, frame)).await.is_err() {
            return;
        }
    }
}
