//! A site's HTTP API, as any program uses it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// How long a request may take: a rebuild of everything is the longest.
const PATIENCE: Duration = Duration::from_secs(60);
/// A body larger than this is announced first, so that a site that will not take it can say so before it is sent.
const ANNOUNCED: usize = 1024 * 1024;
/// Bytes of an answer.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// A site's door with somebody's token. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Api {
    agent: ureq::Agent,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// Whose word it is.
    pub token: String,
}

/// What a site answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The content type.
    pub kind: String,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Api {
    /// The door at a port of this machine.
    pub fn new(port: u16, token: &str) -> Self {
        Self { agent: agent(), url: format!("http://127.0.0.1:{port}"), token: token.to_owned() }
    }

    /// The same door, with connections of its own: a request that breaks one disturbs no other.
    pub fn apart(&self) -> Self {
        Self { agent: agent(), ..self.clone() }
    }

    /// The same door for somebody else.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// Sends bytes; any answer is an answer. Errors: the site cannot be reached.
    pub fn send(&self, method: &str, path: &str, body: Option<&[u8]>) -> anyhow::Result<Answer> {
        self.send_named(method, path, body, None)
    }

    /// Sends bytes under a name of the client's own (sixteen hexadecimal digits): asking twice makes one thing.
    pub fn send_named(
        &self,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
        name: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let url = format!("{}{path}", self.url);
        let mut request = ureq::http::Request::builder().method(method).uri(&url);
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        if let Some(name) = name {
            request = request.header("idempotency-key", name);
        }
        if body.is_some_and(|bytes| bytes.len() > ANNOUNCED) {
            request = request.header("expect", "100-continue");
        }
        let mut answer = match body {
            None => self.agent.run(request.body(())?),
            Some(bytes) => self.agent.run(request.header("content-type", "application/json").body(bytes)?),
        }
        .with_context(|| format!("{method} {url}"))?;
        let status = answer.status().as_u16();
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.to_owned();
        let body = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec()?;
        Ok(Answer { status, kind, body })
    }

    /// Asks and expects a 2xx. Errors: anything else; the text names the code.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let bytes = body.map(serde_json::to_vec).transpose()?;
        let answer = self.send(method, path, bytes.as_deref())?;
        let value = answer.json();
        if (200..300).contains(&answer.status) {
            return Ok(value);
        }
        bail!("{method} {path}: {} {} {}", answer.status, value["code"].as_str().unwrap_or("?"), value["params"])
    }

    /// Reads.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask("GET", path, None)
    }

    /// Writes.
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask("POST", path, Some(body))
    }

    /// Opens a ticket and answers with it.
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

    /// Moves a ticket.
    pub fn advance(&self, id: &str, to: &str, reason: Option<&str>) -> anyhow::Result<Value> {
        let wanted = match reason {
            Some(reason) => json!({ "to": to, "reason": reason }),
            None => json!({ "to": to }),
        };
        self.post(&format!("/api/v1/tickets/{id}/transitions"), &wanted)
    }

    /// Every ticket of a list, page by page. `query` has no limit and no cursor.
    pub fn all(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/api/v1/tickets?limit=200&{query}{cursor}"))?;
            found.extend(page["items"].as_array().into_iter().flatten().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={}", encode(next)),
                None => return Ok(found),
            }
        }
    }

    /// The links of the site.
    pub fn sync(&self) -> anyhow::Result<Value> {
        self.get("/api/v1/sync")
    }

    /// Cuts or mends the cable to a site; the site's own code stands for all.
    pub fn link(&self, code: &str, up: bool) -> anyhow::Result<()> {
        self.post(&format!("/api/v1/links/{code}"), &json!({ "up": up })).map(drop)
    }

    /// Whether the site answers at all, and says that it is well.
    pub fn is_well(&self) -> bool {
        self.send("GET", "/health", None).is_ok_and(|answer| answer.status == 200)
    }

    /// Waits until the site serves; answers with how long that took.
    pub fn wait_until_well(&self, patience: Duration) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        while !self.is_well() {
            if begun.elapsed() > patience {
                bail!("{} does not answer after {} s", self.url, patience.as_secs());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(begun.elapsed())
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
    config.max_idle_connections_per_host(16).build().into()
}

/// A text as part of an address.
pub fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A text of an answer; empty if it is not there.
pub fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}
