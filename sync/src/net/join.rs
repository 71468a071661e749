//! Joining: one question and one answer on a connection of its own, before there is any membership.

use std::time::Duration;

use iroh::endpoint::{Connection, VarInt};
use iroh::{Endpoint, EndpointAddr};
use schema::id::SiteId;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::NetEvent;

/// The protocol's name on QUIC.
pub(super) const ALPN: &[u8] = b"archipel/join/1";
/// Bytes of a question: token and addresses.
const MAX_QUESTION_BYTES: usize = 16 * 1024;
/// Bytes of an answer: the whole authority log.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// How long either side waits for the other.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What the inviter's site makes of a question.
pub type JoinAnswer = Vec<u8>;

/// Somebody with a proven key asks to be let in.
#[derive(Debug)]
pub struct JoinRequest {
    /// Their key.
    pub site: SiteId,
    /// What they say.
    pub question: Vec<u8>,
    /// Where the answer goes; dropping it refuses.
    pub answer: oneshot::Sender<JoinAnswer>,
}

/// Why joining did not work.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum JoinError {
    /// The inviter does not answer at any of its addresses.
    #[error("the inviting site cannot be reached")]
    Unreachable,
    /// It answered and hung up.
    #[error("the inviting site did not answer the question")]
    NoAnswer,
}

pub(super) async fn serve(events: &mpsc::Sender<NetEvent>, connection: Connection) {
    let site = SiteId(*connection.remote_id().as_bytes());
    let work = async {
        let (mut send, mut receive) = connection.accept_bi().await.ok()?;
        let question = receive.read_to_end(MAX_QUESTION_BYTES).await.ok()?;
        let (answer, answered) = oneshot::channel();
        events.send(NetEvent::Join(JoinRequest { site, question, answer })).await.ok()?;
        send.write_all(&answered.await.ok()?).await.ok()?;
        send.finish().ok()?;
        // The asker closes once it has read the answer.
        connection.closed().await;
        Some(())
    };
    if tokio::time::timeout(TIMEOUT, work).await.ok().flatten().is_none() {
        connection.close(VarInt::from_u32(2), b"no");
    }
}

pub(super) async fn ask(endpoint: &Endpoint, inviter: EndpointAddr, question: &[u8]) -> Result<JoinAnswer, JoinError> {
    let connecting = tokio::time::timeout(TIMEOUT, endpoint.connect(inviter, ALPN)).await;
    let Ok(Ok(connection)) = connecting else {
        return Err(JoinError::Unreachable);
    };
    let work = async {
        let (mut send, mut receive) = connection.open_bi().await.ok()?;
        send.write_all(question).await.ok()?;
        send.finish().ok()?;
        receive.read_to_end(MAX_ANSWER_BYTES).await.ok()
    };
    let answer = tokio::time::timeout(TIMEOUT, work).await.ok().flatten();
    connection.close(VarInt::from_u32(0), b"done");
    answer.ok_or(JoinError::NoAnswer)
}
