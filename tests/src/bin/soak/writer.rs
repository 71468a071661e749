//! A client: it notes what it will ask, asks, notes what was acknowledged, and only then goes on.
//!
//! A request that fails was not acknowledged; it is asked again under the same name until it is, as the client of a
//! site that was killed does. Now and then an acknowledged one is asked again too: nothing may come of it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tests::rng::Rng;
use tests::sites::api::{Answer, Api, text};

use crate::book::{Book, Deed};

/// Before a request that failed is asked again.
const AGAIN: Duration = Duration::from_millis(10);
/// How long a client goes on asking for one thing.
const PATIENCE: Duration = Duration::from_secs(60);
/// In percent: new tickets, and comments; the rest are edits.
const OPENS: u64 = 25;
const COMMENTS: u64 = 60;
/// In percent: asked again though it was acknowledged.
const TWICE: u64 = 4;

/// A client at a site.
pub struct Writer {
    client: u32,
    api: Api,
    structure: String,
    book: Book,
    rng: Rng,
    /// Commands so far.
    commands: u32,
    /// Ids and names of the tickets that it opened.
    own: Vec<(String, String)>,
    /// Acknowledged deeds that took more than one request, because a site went away.
    pub broken: usize,
}

impl Writer {
    /// A client with nothing of its own yet.
    pub fn new(client: u32, api: Api, structure: &str, book: Book, rng: Rng) -> Self {
        Self { client, api, structure: structure.to_owned(), book, rng, commands: 0, own: Vec::new(), broken: 0 }
    }

    /// Opens a ticket.
    pub fn open(&mut self) -> anyhow::Result<()> {
        let name = self.name();
        let title = format!("{name} poste en panne / desk is down");
        let (id, _) = self.perform(&name, &Deed::Open { title })?;
        self.own.push((id, name));
        Ok(())
    }

    /// Does what clients do: opens tickets, comments and retitles them.
    pub fn anything(&mut self) -> anyhow::Result<()> {
        if self.own.is_empty() || self.rng.chance(OPENS) {
            return self.open();
        }
        let (ticket, opened) = self.rng.pick(&self.own).clone();
        let name = self.name();
        let deed = if self.rng.chance(COMMENTS * 100 / (100 - OPENS)) {
            let visibility = if self.rng.chance(30) { "internal" } else { "public" };
            Deed::Comment { ticket, body: format!("{name} réponse / reply"), visibility: visibility.to_owned() }
        } else {
            Deed::Edit { ticket, title: format!("{opened} revu / revised {name}") }
        };
        self.perform(&name, &deed).map(drop)
    }

    /// Sixteen hexadecimal digits that no other command of this run has.
    fn name(&mut self) -> String {
        self.commands += 1;
        format!("{:08x}{:08x}", self.client, self.commands)
    }

    /// Asks until it is acknowledged; answers with the id and the number given.
    fn perform(&mut self, name: &str, deed: &Deed) -> anyhow::Result<(String, String)> {
        self.book.intend(name, deed)?;
        let begun = Instant::now();
        let mut requests = 0;
        let made = loop {
            requests += 1;
            match self.ask(name, deed) {
                Ok(answer) if (200..300).contains(&answer.status) => break answer.json(),
                Ok(answer) if answer.status < 500 => {
                    bail!("{} refused {name}: {} {}", self.api.url, answer.status, answer.json())
                }
                Ok(_) | Err(_) if begun.elapsed() < PATIENCE => std::thread::sleep(AGAIN),
                Ok(answer) => bail!("{} still answers {} to {name}", self.api.url, answer.status),
                Err(error) => return Err(error).with_context(|| format!("{name} is not acknowledged")),
            }
        };
        let (id, number) = (text(&made, "id"), text(&made, "number"));
        self.book.done(name, &id, &number)?;
        self.broken += usize::from(requests > 1);
        if self.rng.chance(TWICE) {
            self.ask_twice(name, deed, &id)?;
        }
        Ok((id, number))
    }

    /// Asks again what was acknowledged. A site that is away does not matter.
    fn ask_twice(&self, name: &str, deed: &Deed, id: &str) -> anyhow::Result<()> {
        let again = self.ask(name, deed).ok().filter(|answer| answer.status < 500);
        let same = again.as_ref().is_none_or(|answer| text(&answer.json(), "id") == id);
        ensure!(same, "{name} made {id}, and something else when asked twice: {:?}", again.map(|answer| answer.json()));
        Ok(())
    }

    fn ask(&self, name: &str, deed: &Deed) -> anyhow::Result<Answer> {
        let (method, path, body): (&str, String, Value) = match deed {
            Deed::Open { title } => {
                ("POST", "/api/v1/tickets".to_owned(), json!({ "title": title, "structure": self.structure }))
            }
            Deed::Comment { ticket, body, visibility } => {
                let body = json!({ "body": body, "visibility": visibility });
                ("POST", format!("/api/v1/tickets/{ticket}/comments"), body)
            }
            Deed::Edit { ticket, title } => ("PATCH", format!("/api/v1/tickets/{ticket}"), json!({ "title": title })),
        };
        self.api.send_named(method, &path, Some(&serde_json::to_vec(&body)?), Some(name))
    }
}
