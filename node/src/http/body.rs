//! Bodies that are larger than a site takes, or that nobody reads.
//!
//! A server that answers and hangs up while the client still sends makes the client see a reset connection and never
//! the answer. So what is left of a body after the answer is known is read and thrown away, up to a limit and for
//! a while. A client that waits for `100 Continue` before it sends gets its answer at once instead.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;

use super::{MAX_BODY, MAX_IMPORT, Problem};

/// Bytes thrown away after an answer is known: four times the largest body, so that whoever sends a little too much
/// hears why, and whoever sends without end is hung up on.
const MAX_DRAINED: usize = 4 * MAX_BODY;
/// How long a client may take to send what is thrown away.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// An imported file: the body as it comes, up to its own limit.
pub struct File(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for File {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        announced_within(request.headers(), MAX_IMPORT)?;
        Bytes::from_request(request, state).await.map(Self).map_err(|_| Problem::too_large())
    }
}

/// Refuses a body that says beforehand that it is larger than `limit`.
pub fn announced_within(headers: &HeaderMap, limit: usize) -> Result<(), Problem> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > limit) { Err(Problem::too_large()) } else { Ok(()) }
}

/// Lends the request's body to the handlers, and throws away what they leave of it before the answer goes out.
pub async fn drain(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let waits = parts.headers.contains_key(header::EXPECT);
    let begun = Arc::new(AtomicBool::new(false));
    let (back, mut returned) = oneshot::channel();
    let lent = Lent { body: Some(body), begun: begun.clone(), back: Some(back) };
    let mut response = next.run(Request::from_parts(parts, Body::new(lent))).await;
    let Ok(rest) = returned.try_recv() else {
        return response;
    };
    // Reading would ask a waiting client to send.
    let asked = !waits || begun.load(Ordering::Relaxed);
    let drained = asked && tokio::time::timeout(DRAIN_TIME, throw_away(rest)).await.unwrap_or(false);
    if !drained {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether the body came to its end within the limit.
async fn throw_away(mut body: Body) -> bool {
    let mut left = MAX_DRAINED;
    if body.size_hint().lower() > left as u64 {
        return false;
    }
    loop {
        match std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            None => return true,
            Some(Err(_)) => return false,
            Some(Ok(frame)) => match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(less) => left = less,
                None => return false,
            },
        }
    }
}

/// A body that comes back when its reader has enough of it.
struct Lent {
    body: Option<Body>,
    /// Whether anybody read from it.
    begun: Arc<AtomicBool>,
    back: Option<oneshot::Sender<Body>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.begun.store(true, Ordering::Relaxed);
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }
    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }
    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(rest), Some(back)) = (rest, self.back.take()) {
            // The request may have been given up; then nobody waits for an answer either.
            let _ = back.send(rest);
        }
    }
}
