//! A client's own file: what it is about to ask, and what a site acknowledged. It is what the client relies on.
//!
//! One line of JSON each. An acknowledgement is on the disk before the client asks anything else; it is read back from
//! the disk for the proof.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// A new ticket.
    Open {
        /// Begins with the command's name, which no other ticket's title does.
        title: String,
    },
    /// A reply or a note on an own ticket.
    Comment {
        /// The ticket's id.
        ticket: String,
        /// Holds the command's name.
        body: String,
        /// `internal` or `public`.
        visibility: String,
    },
    /// Another title for an own ticket.
    Edit {
        /// The ticket's id.
        ticket: String,
        /// The new title.
        title: String,
    },
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Written before it is asked.
    Intent {
        /// The command's name, given by the client.
        name: String,
        /// What is asked.
        deed: Deed,
    },
    /// Written when a site has acknowledged it.
    Done {
        /// The command's name.
        name: String,
        /// The id that the site gave to what was made.
        id: String,
        /// The number that the site gave; empty but for tickets.
        number: String,
    },
}

/// The file, open at its end.
pub struct Book {
    file: File,
    path: PathBuf,
}

impl Book {
    /// A new file. Errors: there is one already.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::options().create_new(true).append(true).open(path);
        Ok(Self { file: file.with_context(|| format!("cannot write {}", path.display()))?, path: path.to_owned() })
    }

    /// Notes what is about to be asked.
    pub fn intend(&mut self, name: &str, deed: &Deed) -> anyhow::Result<()> {
        self.append(&Line::Intent { name: name.to_owned(), deed: deed.clone() })
    }

    /// Notes what was acknowledged, and answers when it is on the disk.
    pub fn done(&mut self, name: &str, id: &str, number: &str) -> anyhow::Result<()> {
        self.append(&Line::Done { name: name.to_owned(), id: id.to_owned(), number: number.to_owned() })?;
        self.file.sync_data().with_context(|| format!("cannot sync {}", self.path.display()))
    }

    fn append(&mut self, line: &Line) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// A ticket that a site acknowledged, and what must be seen of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// The name of the command that opened it.
    pub name: String,
    /// Its number.
    pub number: String,
    /// The title acknowledged last.
    pub title: String,
    /// Acknowledged comments, text by id.
    pub comments: BTreeMap<String, String>,
}

/// What all clients were acknowledged, by ticket id.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// The tickets.
    pub tickets: BTreeMap<String, Claim>,
    /// Acknowledged deeds of any kind.
    pub deeds: usize,
}

impl Claims {
    /// Reads every client's file in a folder.
    /// Errors: a file is damaged, or one ticket id was given twice.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut claims = Self::default();
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        paths.sort();
        for path in paths {
            let text = std::fs::read_to_string(&path)?;
            let lines = text.lines().map(serde_json::from_str).collect::<Result<Vec<Line>, _>>();
            claims.take(lines.with_context(|| format!("{} is damaged", path.display()))?)?;
        }
        Ok(claims)
    }

    /// Those of some tickets alone.
    pub fn only(&self, mut wanted: impl FnMut(&str) -> bool) -> Self {
        let tickets = self.tickets.iter().filter(|(id, _)| wanted(id));
        let tickets: BTreeMap<String, Claim> = tickets.map(|(id, claim)| (id.clone(), claim.clone())).collect();
        Self { deeds: tickets.values().map(|claim| 1 + claim.comments.len()).sum(), tickets }
    }

    fn take(&mut self, lines: Vec<Line>) -> anyhow::Result<()> {
        let mut asked: BTreeMap<String, Deed> = BTreeMap::new();
        for line in lines {
            match line {
                Line::Intent { name, deed } => drop(asked.insert(name, deed)),
                Line::Done { name, id, number } => {
                    let deed = asked.remove(&name).with_context(|| format!("{name} was acknowledged, never asked"))?;
                    self.acknowledge(name, deed, id, number)?;
                }
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, name: String, deed: Deed, id: String, number: String) -> anyhow::Result<()> {
        self.deeds += 1;
        match deed {
            Deed::Open { title } => {
                let claim = Claim { name, number, title, comments: BTreeMap::new() };
                let before = self.tickets.insert(id.clone(), claim);
                ensure!(before.is_none(), "the ticket {id} was acknowledged to two clients");
            }
            Deed::Comment { ticket, body, .. } => drop(self.of(&ticket)?.comments.insert(id, body)),
            Deed::Edit { ticket, title } => self.of(&ticket)?.title = title,
        }
        Ok(())
    }

    fn of(&mut self, ticket: &str) -> anyhow::Result<&mut Claim> {
        self.tickets.get_mut(ticket).with_context(|| format!("{ticket} is no ticket of its client"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_acknowledged_is_claimed() {
        let folder = std::env::temp_dir().join(format!("archipel-book-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut book = Book::open(&folder.join("one")).unwrap();
        book.intend("a", &Deed::Open { title: "a first".into() }).unwrap();
        book.done("a", "ticket", "PAR-1").unwrap();
        book.intend("b", &Deed::Edit { ticket: "ticket".into(), title: "a second".into() }).unwrap();
        book.done("b", "ticket", "").unwrap();
        book.intend("c", &Deed::Edit { ticket: "ticket".into(), title: "a third".into() }).unwrap();
        book.intend("d", &Deed::Open { title: "d".into() }).unwrap();
        let claims = Claims::read(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(claims.tickets.len(), 1, "a ticket that was asked for only is not claimed");
        assert_eq!(claims.tickets["ticket"].title, "a second", "the last acknowledged title stands");
        assert_eq!(claims.deeds, 2, "two deeds were acknowledged");
    }
}
