//! Errors as `problem+json`, in one place. An error says what is safe, what happened, what to do, and a code.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schema::ticket::command::CommandError;
use serde::Serialize;
use sync::replica::WriteError;
use sync::store::rows::{Beyond, Verdict};

use crate::commands::Failure;
use crate::read_model::ViewError;
use crate::refusal::{Code, Refusal};
use crate::site::Unavailable;

/// A request that did not lead to what was asked.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    params: serde_json::Value,
    words: Words,
}

/// What is safe, what happened, what to do: the fallback for clients without words of their own.
#[derive(Debug, Clone, Copy)]
struct Words {
    safe: &'static str,
    happened: &'static str,
    todo: &'static str,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    code: &'a str,
    params: &'a serde_json::Value,
    safe: &'a str,
    happened: &'a str,
    todo: &'a str,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, words: [&'static str; 3]) -> Self {
        let [safe, happened, todo] = words;
        Self { status, code, params: serde_json::json!({}), words: Words { safe, happened, todo } }
    }

    /// Adds what the words can be completed with.
    #[must_use]
    pub fn with(mut self, params: serde_json::Value) -> Self {
        self.params = params;
        self
    }

    /// Nobody is logged in.
    pub fn no_session() -> Self {
        let words = ["Nothing was changed.", "You are not logged in.", "Log in and try again."];
        Self::new(StatusCode::UNAUTHORIZED, "SESSION-NONE", words)
    }
    /// Login or password is wrong.
    pub fn wrong_login() -> Self {
        let words = ["Nothing was changed.", "Login or password is not right.", "Try again."];
        Self::new(StatusCode::UNAUTHORIZED, "LOGIN-WRONG", words)
    }
    /// Too many attempts.
    pub fn wait(seconds: u64) -> Self {
        let words = ["Nothing was changed.", "There were too many attempts.", "Wait a moment, then try again."];
        Self::new(StatusCode::TOO_MANY_REQUESTS, "LOGIN-WAIT", words).with(serde_json::json!({ "seconds": seconds }))
    }
    /// There is no such ticket, for this reader.
    pub fn unknown() -> Self {
        let words = ["Nothing was changed.", "There is no such ticket, or you may not see it.", "Check the number."];
        Self::new(StatusCode::NOT_FOUND, "TICKET-UNKNOWN", words)
    }
    /// There is no such address.
    pub fn no_route() -> Self {
        let words = ["Nothing was changed.", "There is nothing at this address.", "Check the address."];
        Self::new(StatusCode::NOT_FOUND, "ADDRESS-UNKNOWN", words)
    }
    /// The role does not allow it.
    pub fn forbidden() -> Self {
        let words = ["Nothing was changed.", "Your role does not allow this.", "Ask an administrator."];
        Self::new(StatusCode::FORBIDDEN, "ACCESS-DENIED", words)
    }
    /// A request of another origin, or for a host that is not this one.
    pub fn origin() -> Self {
        let words = ["Nothing was changed.", "The request came from another site's page.", "Open the desk itself."];
        Self::new(StatusCode::FORBIDDEN, "ORIGIN-FOREIGN", words)
    }
    /// A field's value does not fit.
    pub fn field(field: &str, why: &str) -> Self {
        let words = ["Nothing was changed.", "A value does not fit its field.", "Correct the field and try again."];
        let params = serde_json::json!({ "field": field, "why": why });
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "FIELD-INVALID", words).with(params)
    }
    /// The body is not what it should be.
    pub fn body(detail: String) -> Self {
        let words =
            ["Nothing was changed.", "The request is not in the expected form.", "Correct it and send it again."];
        Self::new(StatusCode::BAD_REQUEST, "BODY-FORM", words).with(serde_json::json!({ "detail": detail }))
    }
    /// The body is larger than the limit.
    pub fn too_large() -> Self {
        let words = ["Nothing was changed.", "The request is larger than a site takes.", "Send less at once."];
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY-TOO-LARGE", words)
    }
    /// The site cannot take it now.
    pub fn unavailable() -> Self {
        let words = [
            "Nothing was changed.",
            "The site is starting or stopping, or has too much to do.",
            "Try again in a moment.",
        ];
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "SITE-BUSY", words)
    }
    /// A fault here; the log says more.
    pub fn internal() -> Self {
        let words = [
            "What was saved before is safe.",
            "Something failed inside the site.",
            "Try again; tell your administrator the code.",
        ];
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "SITE-FAULT", words)
    }
    /// Only where the authority log is kept.
    pub fn not_sequencer() -> Self {
        let words = ["Nothing was changed.", "Only the organisation's first site can do this.", "Do it there."];
        Self::new(StatusCode::CONFLICT, "NOT-SEQUENCER", words)
    }
    /// The site that keeps the authority log has heard no other site since its start.
    pub fn unheard() -> Self {
        let words = [
            "Nothing was changed.",
            "This site has just started and has heard no other site yet; after a restore others may know more.",
            "Try again when a link stands; `archipel sequencer confirm` if there is no other site.",
        ];
        Self::new(StatusCode::CONFLICT, "SEQUENCER-UNHEARD", words)
    }
    /// The key of this site is revoked.
    pub fn revoked() -> Self {
        let words = [
            "Nothing was changed.",
            "This site's key is revoked: what is written here counts nowhere any more.",
            "Work at another site, and tell your administrator.",
        ];
        Self::new(StatusCode::CONFLICT, "SITE-REVOKED", words)
    }
    /// This site is retired.
    pub fn retired() -> Self {
        let words = [
            "Nothing was changed.",
            "This site was given up, or another machine took its place: nothing can be written here any more.",
            "Work at another site, and tell your administrator.",
        ];
        Self::new(StatusCode::CONFLICT, "SITE-RETIRED", words)
    }
    /// A site that something is asked of is in the organisation no more: `ended` says why.
    pub fn ended(site: &str, ended: &str) -> Self {
        let words = [
            "Nothing was changed.",
            "This site is in the organisation no more: its key is revoked already, or it was given up.",
            "There is nothing to do; to use its code or its machine again, invite it.",
        ];
        Self::new(StatusCode::CONFLICT, "SITE-ENDED", words).with(serde_json::json!({ "site": site, "ended": ended }))
    }
    /// A held change goes on with `ticket`, or with notes beside it, and that is not here.
    pub fn not_here(ticket: &str) -> Self {
        let words = [
            "Nothing was changed.",
            "The ticket or note that this change goes on with is held too.",
            "Adopt that one first.",
        ];
        Self::new(StatusCode::CONFLICT, "HELD-FIRST", words).with(serde_json::json!({ "ticket": ticket }))
    }
    /// A held change was adopted already, in `ticket`.
    pub fn adopted(ticket: &str) -> Self {
        let words = ["Nothing was changed.", "Somebody has adopted this change already.", "Look at that ticket."];
        Self::new(StatusCode::CONFLICT, "HELD-ADOPTED", words).with(serde_json::json!({ "ticket": ticket }))
    }
    /// The ticket that was asked for is held.
    pub fn held(ticket: &str) -> Self {
        let words = [
            "Nothing was changed.",
            "This ticket is held: the change that opened it has no effect, or none yet.",
            "Look at the held changes; a technician may adopt it.",
        ];
        Self::new(StatusCode::NOT_FOUND, "TICKET-HELD", words).with(serde_json::json!({ "ticket": ticket }))
    }
    /// What an administrator asked cannot be done; `detail` says why.
    pub fn refused(detail: String) -> Self {
        let words = ["Nothing was changed.", "The rules of the organisation do not allow it.", "Read the detail."];
        Self::new(StatusCode::CONFLICT, "RULE-REFUSED", words).with(serde_json::json!({ "detail": detail }))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Words { safe, happened, todo } = self.words;
        let (status, code, params) = (self.status.as_u16(), self.code, &self.params);
        let body = Body { r#type: "about:blank", title: happened, status, code, params, safe, happened, todo };
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        match error {
            Unavailable::Busy | Unavailable::Stopping => Self::unavailable(),
            Unavailable::Disk => Self::internal(),
        }
    }
}

impl From<ViewError> for Problem {
    fn from(error: ViewError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a query failed");
        Self::internal()
    }
}

impl From<sync::store::StoreError> for Problem {
    fn from(error: sync::store::StoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the store could not be read");
        Self::internal()
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let Code { word, safe, happened, todo } = refusal.code;
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, word, [safe, happened, todo]);
        match refusal.detail {
            Some(detail) => problem.with(serde_json::json!({ "detail": detail })),
            None => problem,
        }
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<Refusal>() {
            Ok(refusal) => return refusal.into(),
            Err(error) => error,
        };
        tracing::error!(error = format!("{error:#}"), "a request failed");
        Self::internal()
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Command(CommandError::Field { field, misfit }) => Self::field(field, &format!("{misfit:?}")),
            Failure::Command(CommandError::Transition { from, to }) => {
                let words = [
                    "Nothing was changed.",
                    "The ticket cannot go to this status now.",
                    "Read it again and choose another.",
                ];
                let params = serde_json::json!({ "from": from.word(), "to": to.word() });
                Self::new(StatusCode::CONFLICT, "TICKET-TRANSITION", words).with(params)
            }
            Failure::Unknown | Failure::Write(WriteError::Unknown) => Self::unknown(),
            Failure::Write(WriteError::NotHere(doc)) => Self::not_here(&doc.short()),
            Failure::Forbidden => Self::forbidden(),
            Failure::Comment => Self::field("comment", "Unknown"),
            Failure::Structure => Self::field("structure", "Unknown"),
            Failure::Write(WriteError::Refused(code)) if code == Verdict::Beyond(Beyond::Cut).code() => Self::revoked(),
            Failure::Write(WriteError::Retired) => Self::retired(),
            Failure::Write(WriteError::Refused(code)) => Self::forbidden().with(serde_json::json!({ "rule": code })),
            Failure::Write(WriteError::TooLarge) => Self::field("body", "TooLong"),
            Failure::Write(WriteError::NotJoined) => Self::unavailable(),
            Failure::Write(error @ (WriteError::Store(_) | WriteError::NoSuchText)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a command failed");
                Self::internal()
            }
        }
    }
}

/// A JSON body; what is wrong with it becomes a problem.
pub struct JsonBody<T>(pub T);

impl<T, S> FromRequest<S> for JsonBody<T>
where
    Json<T>: FromRequest<S, Rejection = JsonRejection>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Problem> {
        super::body::announced_within(request.headers(), super::MAX_BODY)?;
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(Problem::too_large()),
            Err(rejection) => Err(Problem::body(rejection.body_text())),
        }
    }
}

/// Answers a known address that does not take this method.
pub(super) async fn wrong_method() -> Problem {
    let words = ["Nothing was changed.", "This address does not do that.", "See the API's description."];
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD-UNKNOWN", words)
}

/// A part of the address; what is wrong with it becomes a problem.
pub struct Path<T>(pub T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    axum::extract::Path<T>: FromRequestParts<S, Rejection = PathRejection>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::body(rejection.body_text())),
        }
    }
}

/// A query string; what is wrong with it becomes a problem.
pub struct Query<T>(pub T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    axum::extract::Query<T>: FromRequestParts<S, Rejection = QueryRejection>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::body(rejection.body_text())),
        }
    }
}
