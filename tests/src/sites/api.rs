//! A site's HTTP API, as any program uses it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// How long a request may take; rebuilding all documents takes longest.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A larger body is sent with `Expect: 100-continue`, so that the site can refuse it before it is transferred.
const EXPECT_CONTINUE_BYTES: usize = 1024 * 1024;
/// The longest response body that is read, in bytes.
const MAX_RESPONSE_BYTES: u64 = 64 * 1024 * 1024;

/// An HTTP client of one site with one user's token. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Api {
    agent: ureq::Agent,
    /// The base URL, `http://127.0.0.1:PORT`.
    pub url: String,
    /// The bearer token; empty: the requests are anonymous.
    pub token: String,
}

/// A site's response.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type` header.
    pub kind: String,
    /// The body, unparsed.
    pub body: Vec<u8>,
}

impl Response {
    /// The body parsed as JSON; `null` if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Api {
    /// A client of the site at a port of this machine.
    pub fn new(port: u16, token: &str) -> Self {
        Self { agent: agent(), url: format!("http://127.0.0.1:{port}"), token: token.to_owned() }
    }

    /// The same client with connections of its own: a request that breaks one disturbs no other.
    pub fn with_new_connections(&self) -> Self {
        Self { agent: agent(), ..self.clone() }
    }

    /// The same client with another user's token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// Sends a request; a response of any status is returned. Errors: the site cannot be reached.
    pub fn send(&self, method: &str, path: &str, body: Option<&[u8]>) -> anyhow::Result<Response> {
        self.send_with_key(method, path, body, None)
    }

    /// Sends a request with an idempotency key (sixteen hexadecimal digits): repeating it has no further effect.
    pub fn send_with_key(
        &self,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
        idempotency_key: Option<&str>,
    ) -> anyhow::Result<Response> {
        let url = format!("{}{path}", self.url);
        let mut request = ureq::http::Request::builder().method(method).uri(&url);
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if body.is_some_and(|bytes| bytes.len() > EXPECT_CONTINUE_BYTES) {
            request = request.header("expect", "100-continue");
        }
        let mut response = match body {
            None => self.agent.run(request.body(())?),
            Some(bytes) => self.agent.run(request.header("content-type", "application/json").body(bytes)?),
        }
        .with_context(|| format!("{method} {url}"))?;
        let status = response.status().as_u16();
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.to_owned();
        let body = response.body_mut().with_config().limit(MAX_RESPONSE_BYTES).read_to_vec()?;
        Ok(Response { status, kind, body })
    }

    /// Sends JSON and returns the JSON of a 2xx response. Errors: any other status; the text names the code.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let bytes = body.map(serde_json::to_vec).transpose()?;
        let response = self.send(method, path, bytes.as_deref())?;
        let value = response.json();
        if (200..300).contains(&response.status) {
            return Ok(value);
        }
        bail!("{method} {path}: {} {} {}", response.status, value["code"].as_str().unwrap_or("?"), value["params"])
    }

    /// Sends a `GET` and returns the JSON of the response. Errors: as of [`Api::ask`].
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask("GET", path, None)
    }

    /// Sends a `POST` and returns the JSON of the response. Errors: as of [`Api::ask`].
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask("POST", path, Some(body))
    }

    /// Opens a ticket and returns it.
    pub fn open(&self, ticket: &Value) -> anyhow::Result<Value> {
        self.post("/api/v1/tickets", ticket)
    }

    /// Sets fields of a ticket.
    pub fn change(&self, id: &str, fields: &Value) -> anyhow::Result<Value> {
        self.ask("PATCH", &format!("/api/v1/tickets/{id}"), Some(fields))
    }

    /// Adds a reply (`public`) or a note (`internal`).
    pub fn comment(&self, id: &str, body: &str, visibility: &str) -> anyhow::Result<Value> {
        self.post(&format!("/api/v1/tickets/{id}/comments"), &json!({ "body": body, "visibility": visibility }))
    }

    /// Moves a ticket to another status.
    pub fn advance(&self, id: &str, to: &str, reason: Option<&str>) -> anyhow::Result<Value> {
        let wanted = match reason {
            Some(reason) => json!({ "to": to, "reason": reason }),
            None => json!({ "to": to }),
        };
        self.post(&format!("/api/v1/tickets/{id}/transitions"), &wanted)
    }

    /// Every ticket of a list, page by page. `query` has no limit and no cursor.
    pub fn list_all(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/api/v1/tickets?limit=200&{query}{cursor}"))?;
            found.extend(page["items"].as_array().into_iter().flatten().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={}", percent_encode(next)),
                None => return Ok(found),
            }
        }
    }

    /// The site's replication status: its peers and links, what is to send, digests, alarms.
    pub fn sync(&self) -> anyhow::Result<Value> {
        self.get("/api/v1/sync")
    }

    /// Cuts or mends the link to another site; this site's own code means all its links.
    pub fn set_link(&self, code: &str, up: bool) -> anyhow::Result<()> {
        self.post(&format!("/api/v1/links/{code}"), &json!({ "up": up })).map(drop)
    }

    /// Whether the site responds to its health check.
    pub fn is_healthy(&self) -> bool {
        self.send("GET", "/health", None).is_ok_and(|response| response.status == 200)
    }

    /// Waits until the site passes its health check; returns how long that took. Errors: not within `timeout`.
    pub fn wait_until_healthy(&self, timeout: Duration) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        while !self.is_healthy() {
            if begun.elapsed() > timeout {
                bail!("{} does not answer after {} s", self.url, timeout.as_secs());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(begun.elapsed())
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
    config.max_idle_connections_per_host(16).build().into()
}

/// Percent-encodes a text for a URL query.
pub fn percent_encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A text field of a JSON object; empty if it is not there.
pub fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}
