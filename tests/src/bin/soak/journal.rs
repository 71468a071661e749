//! The journal of one client: a file of the writes that it is about to request, and of those that a site acknowledged.
//!
//! One entry per line, as JSON. An acknowledgement is synced to the disk before the client sends its next request; the
//! verification reads the journals back from the disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

/// A write that a client requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A new ticket.
    Open {
        /// Begins with the idempotency key, so that it is unique.
        title: String,
    },
    /// A reply or a note on a ticket of the same client.
    Comment {
        /// The ticket's id.
        ticket: String,
        /// Contains the idempotency key.
        body: String,
        /// `internal` or `public`.
        visibility: String,
    },
    /// A new title for a ticket of the same client.
    Edit {
        /// The ticket's id.
        ticket: String,
        /// The new title.
        title: String,
    },
}

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// Written before the request is sent.
    Intent {
        /// The idempotency key, chosen by the client.
        key: String,
        /// The write that is requested.
        operation: Operation,
    },
    /// Written when a site has acknowledged the write.
    Acknowledged {
        /// The idempotency key of its intent.
        key: String,
        /// The id that the site gave to the ticket or comment.
        id: String,
        /// The number that the site gave to a new ticket; empty for other writes.
        number: String,
    },
}

/// A journal, open for appending.
pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Creates a journal. Errors: the file exists already.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::options().create_new(true).append(true).open(path);
        Ok(Self { file: file.with_context(|| format!("cannot write {}", path.display()))?, path: path.to_owned() })
    }

    /// Appends a write that is about to be requested.
    pub fn intent(&mut self, key: &str, operation: &Operation) -> anyhow::Result<()> {
        self.append(&Entry::Intent { key: key.to_owned(), operation: operation.clone() })
    }

    /// Appends an acknowledgement; returns when it is on the disk.
    pub fn acknowledged(&mut self, key: &str, id: &str, number: &str) -> anyhow::Result<()> {
        self.append(&Entry::Acknowledged { key: key.to_owned(), id: id.to_owned(), number: number.to_owned() })?;
        self.file.sync_data().with_context(|| format!("cannot sync {}", self.path.display()))
    }

    fn append(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(entry)?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// What every site must show of a ticket that one of them acknowledged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpectedTicket {
    /// The number that the acknowledging site gave it.
    pub number: String,
    /// The title that was acknowledged last.
    pub title: String,
    /// The acknowledged comments: text by comment id.
    pub comments: BTreeMap<String, String>,
}

/// What every site must show: everything that was acknowledged to any client.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The tickets by id.
    pub tickets: BTreeMap<String, ExpectedTicket>,
    /// The number of acknowledged operations of any kind.
    pub operations: usize,
}

impl Expected {
    /// Reads every journal in a folder.
    /// Errors: a journal is damaged, or two clients were given the same ticket id.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut expected = Self::default();
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        paths.sort();
        for path in paths {
            let text = std::fs::read_to_string(&path)?;
            let entries = text.lines().map(serde_json::from_str).collect::<Result<Vec<Entry>, _>>();
            expected.add(entries.with_context(|| format!("{} is damaged", path.display()))?)?;
        }
        Ok(expected)
    }

    /// The part about the tickets whose id `wanted` accepts.
    pub fn only(&self, mut wanted: impl FnMut(&str) -> bool) -> Self {
        let tickets = self.tickets.iter().filter(|(id, _)| wanted(id));
        let tickets: BTreeMap<String, ExpectedTicket> =
            tickets.map(|(id, ticket)| (id.clone(), ticket.clone())).collect();
        Self { operations: tickets.values().map(|ticket| 1 + ticket.comments.len()).sum(), tickets }
    }

    fn add(&mut self, entries: Vec<Entry>) -> anyhow::Result<()> {
        let mut requested: BTreeMap<String, Operation> = BTreeMap::new();
        for entry in entries {
            match entry {
                Entry::Intent { key, operation } => drop(requested.insert(key, operation)),
                Entry::Acknowledged { key, id, number } => {
                    let operation =
                        requested.remove(&key).with_context(|| format!("{key} was acknowledged, never requested"))?;
                    self.acknowledge(operation, id, number)?;
                }
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, operation: Operation, id: String, number: String) -> anyhow::Result<()> {
        self.operations += 1;
        match operation {
            Operation::Open { title } => {
                let ticket = ExpectedTicket { number, title, comments: BTreeMap::new() };
                let before = self.tickets.insert(id.clone(), ticket);
                ensure!(before.is_none(), "the ticket {id} was acknowledged to two clients");
            }
            Operation::Comment { ticket, body, .. } => drop(self.ticket(&ticket)?.comments.insert(id, body)),
            Operation::Edit { ticket, title } => self.ticket(&ticket)?.title = title,
        }
        Ok(())
    }

    fn ticket(&mut self, id: &str) -> anyhow::Result<&mut ExpectedTicket> {
        self.tickets.get_mut(id).with_context(|| format!("{id} is not a ticket of this client"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_acknowledged_is_expected() {
        let folder = std::env::temp_dir().join(format!("archipel-journal-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut journal = Journal::create(&folder.join("one")).unwrap();
        journal.intent("a", &Operation::Open { title: "a first".into() }).unwrap();
        journal.acknowledged("a", "ticket", "PAR-1").unwrap();
        journal.intent("b", &Operation::Edit { ticket: "ticket".into(), title: "a second".into() }).unwrap();
        journal.acknowledged("b", "ticket", "").unwrap();
        journal.intent("c", &Operation::Edit { ticket: "ticket".into(), title: "a third".into() }).unwrap();
        journal.intent("d", &Operation::Open { title: "d".into() }).unwrap();
        let expected = Expected::read(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(expected.tickets.len(), 1, "a ticket that was requested but not acknowledged is not expected");
        assert_eq!(expected.tickets["ticket"].title, "a second", "the last acknowledged title stands");
        assert_eq!(expected.operations, 2, "two operations were acknowledged");
    }
}
