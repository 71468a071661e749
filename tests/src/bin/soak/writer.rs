//! A client that writes: it appends its intent to its journal, sends the request, appends the acknowledgement, and only
//! then goes on.
//!
//! A request that fails was not acknowledged; it is sent again with the same idempotency key until it is, as the client
//! of a killed site does. Now and then an acknowledged request is sent again too, which must have no effect.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tests::rng::Rng;
use tests::sites::api::{Api, Response, text};

use crate::journal::{Journal, Operation};

/// The pause before a failed request is sent again.
const RETRY_DELAY: Duration = Duration::from_millis(10);
/// How long a client retries one operation.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The shares of new tickets and of comments, in percent; the rest are edits.
const OPEN_PERCENT: u64 = 25;
const COMMENT_PERCENT: u64 = 60;
/// The share of acknowledged requests that are sent again, in percent.
const REPEAT_PERCENT: u64 = 4;

/// A client of one site.
pub struct Writer {
    /// Its number: the first half of its idempotency keys.
    client: u32,
    api: Api,
    structure: String,
    journal: Journal,
    rng: Rng,
    /// The number of operations so far: the second half of its idempotency keys.
    operations: u32,
    /// The tickets that it opened: id and idempotency key.
    own: Vec<(String, String)>,
    /// The number of acknowledged operations that took more than one request, because a site was killed.
    pub retried: usize,
}

impl Writer {
    /// A client that has written nothing yet; its tickets belong to the structure with the id `structure`.
    pub fn new(client: u32, api: Api, structure: &str, journal: Journal, rng: Rng) -> Self {
        let structure = structure.to_owned();
        Self { client, api, structure, journal, rng, operations: 0, own: Vec::new(), retried: 0 }
    }

    /// Opens a ticket.
    pub fn open(&mut self) -> anyhow::Result<()> {
        let key = self.new_key();
        let title = format!("{key} poste en panne / desk is down");
        let (id, _) = self.perform(&key, &Operation::Open { title })?;
        self.own.push((id, key));
        Ok(())
    }

    /// Opens a ticket, or comments on or retitles one of its own.
    pub fn random_operation(&mut self) -> anyhow::Result<()> {
        if self.own.is_empty() || self.rng.chance(OPEN_PERCENT) {
            return self.open();
        }
        let (ticket, opened) = self.rng.pick(&self.own).clone();
        let key = self.new_key();
        let operation = if self.rng.chance(COMMENT_PERCENT * 100 / (100 - OPEN_PERCENT)) {
            let visibility = if self.rng.chance(30) { "internal" } else { "public" };
            Operation::Comment { ticket, body: format!("{key} réponse / reply"), visibility: visibility.to_owned() }
        } else {
            Operation::Edit { ticket, title: format!("{opened} revu / revised {key}") }
        };
        self.perform(&key, &operation).map(drop)
    }

    /// An idempotency key that no other operation of this run has: sixteen hexadecimal digits.
    fn new_key(&mut self) -> String {
        self.operations += 1;
        format!("{:08x}{:08x}", self.client, self.operations)
    }

    /// Sends a request until it is acknowledged; returns the id and the number that the site gave.
    fn perform(&mut self, key: &str, operation: &Operation) -> anyhow::Result<(String, String)> {
        self.journal.intent(key, operation)?;
        let begun = Instant::now();
        let mut requests = 0;
        let made = loop {
            requests += 1;
            match self.request(key, operation) {
                Ok(response) if (200..300).contains(&response.status) => break response.json(),
                Ok(response) if response.status < 500 => {
                    bail!("{} refused {key}: {} {}", self.api.url, response.status, response.json())
                }
                Ok(_) | Err(_) if begun.elapsed() < TIMEOUT => std::thread::sleep(RETRY_DELAY),
                Ok(response) => bail!("{} still answers {} to {key}", self.api.url, response.status),
                Err(error) => return Err(error).with_context(|| format!("{key} is not acknowledged")),
            }
        };
        let (id, number) = (text(&made, "id"), text(&made, "number"));
        self.journal.acknowledged(key, &id, &number)?;
        self.retried += usize::from(requests > 1);
        if self.rng.chance(REPEAT_PERCENT) {
            self.repeat(key, operation, &id)?;
        }
        Ok((id, number))
    }

    /// Sends an acknowledged request again. A site that does not answer is ignored. Errors: it made something else.
    fn repeat(&self, key: &str, operation: &Operation, id: &str) -> anyhow::Result<()> {
        let again = self.request(key, operation).ok().filter(|response| response.status < 500);
        let same = again.as_ref().is_none_or(|response| text(&response.json(), "id") == id);
        let again = again.map(|response| response.json());
        ensure!(same, "{key} made {id}, and something else when sent twice: {again:?}");
        Ok(())
    }

    fn request(&self, key: &str, operation: &Operation) -> anyhow::Result<Response> {
        let (method, path, body): (&str, String, Value) = match operation {
            Operation::Open { title } => {
                ("POST", "/api/v1/tickets".to_owned(), json!({ "title": title, "structure": self.structure }))
            }
            Operation::Comment { ticket, body, visibility } => {
                let body = json!({ "body": body, "visibility": visibility });
                ("POST", format!("/api/v1/tickets/{ticket}/comments"), body)
            }
            Operation::Edit { ticket, title } => {
                ("PATCH", format!("/api/v1/tickets/{ticket}"), json!({ "title": title }))
            }
        };
        self.api.send_with_key(method, &path, Some(&serde_json::to_vec(&body)?), Some(key))
    }
}
