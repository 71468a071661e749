//! Joining: one question and one answer on a connection of its own, before there is any membership.

use std::time::Duration;

use iroh::endpoint::{Connection, RecvStream, VarInt};
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
/// How long either side waits for the other to say anything more.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes a second that a link has to carry at the least, so that a long answer comes through a thin one.
const LEAST_RATE: u64 = 2 * 1024;
/// Bytes read at once.
const PORTION: usize = 64 * 1024;

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
    let asked = async {
        let (send, mut receive) = connection.accept_bi().await.ok()?;
        let question = receive.read_to_end(MAX_QUESTION_BYTES).await.ok()?;
        let (answer, answered) = oneshot::channel();
        events.send(NetEvent::Join(JoinRequest { site, question, answer })).await.ok()?;
        Some((send, answered.await.ok()?))
    };
    let told = match tokio::time::timeout(TIMEOUT, asked).await.ok().flatten() {
        None => None,
        Some((mut send, answer)) => {
            let patience = TIMEOUT + Duration::from_secs(answer.len() as u64 / LEAST_RATE);
            let work = async {
                send.write_all(&answer).await.ok()?;
                send.finish().ok()?;
                // The asker closes once it has read the answer.
                connection.closed().await;
                Some(())
            };
            tokio::time::timeout(patience, work).await.ok().flatten()
        }
    };
    if told.is_none() {
        connection.close(VarInt::from_u32(2), b"no");
    }
}

/// Reads an answer to its end, for as long as something more comes; `None` if it stops, or is too long.
async fn read_answer(receive: &mut RecvStream) -> Option<Vec<u8>> {
    let (mut answer, mut portion) = (Vec::new(), vec![0; PORTION]);
    loop {
        let read = tokio::time::timeout(TIMEOUT, receive.read(&mut portion)).await.ok()?.ok()?;
        match read {
            None => return Some(answer),
            Some(bytes) if answer.len() + bytes <= MAX_ANSWER_BYTES => answer.extend_from_slice(&portion[..bytes]),
            Some(_) => return None,
        }
    }
}

pub(super) async fn ask(endpoint: &Endpoint, inviter: EndpointAddr, question: &[u8]) -> Result<JoinAnswer, JoinError> {
    let connecting = tokio::time::timeout(TIMEOUT, endpoint.connect(inviter, ALPN)).await;
    let Ok(Ok(connection)) = connecting else {
        return Err(JoinError::Unreachable);
    };
    let asked = async {
        let (mut send, receive) = connection.open_bi().await.ok()?;
        send.write_all(question).await.ok()?;
        send.finish().ok()?;
        Some(receive)
    };
    let answer = match tokio::time::timeout(TIMEOUT, asked).await.ok().flatten() {
        Some(mut receive) => read_answer(&mut receive).await,
        None => None,
    };
    connection.close(VarInt::from_u32(0), b"done");
    answer.ok_or(JoinError::NoAnswer)
}
