//! Changes on the wire: what an author alone knows of them (R2), with references into logs for the rest.
//!
//! A receiver reads the hashes of dependencies, and the document, from the skeletons of records that it holds.
//! The sender strips only what it knows the receiver can put back; anything else travels whole.

use std::collections::BTreeMap;

use schema::id::{ActorId, ChangeHash, DocId};
use schema::record::actor;

use crate::change::Outline;
use crate::store::StoreError;
use crate::store::log_index::LogName;

/// References of one change that may be stripped: bounds what a short frame opens to.
pub const MAX_REFERENCES: u64 = 64;

/// The number of a log among those that a frame names.
pub type FrameLog = u32;

/// Logs that a frame names, each once. In a change stands their number: 16 bytes for the three that a reference takes
/// in a frame, where the names themselves would be twenty times as long as what a stranger sends.
#[derive(Debug, Clone, Default)]
pub struct FrameLogs {
    names: Vec<LogName>,
    numbers: BTreeMap<LogName, FrameLog>,
}

impl FrameLogs {
    /// The number of a log, which is added if it has none yet.
    pub fn number(&mut self, log: LogName) -> FrameLog {
        let next = self.names.len() as FrameLog;
        let number = *self.numbers.entry(log).or_insert(next);
        if number == next {
            self.names.push(log);
        }
        number
    }
    /// All of them, by number.
    pub fn into_names(self) -> Vec<LogName> {
        self.names
    }
}

/// An entry of a record: it names a document and a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// In which log.
    pub log: FrameLog,
    /// Which of the record's entries.
    pub entry: u32,
    /// The record's seq.
    pub seq: u64,
}

/// A change without what its receiver computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stripped {
    /// Its place among those of its author.
    pub seq: u64,
    /// The counter of its first operation.
    pub start_op: u64,
    /// Where the changes that it depends on stand.
    pub dependencies: Vec<Place>,
    /// The logs of the other actors.
    pub others: Vec<FrameLog>,
    /// The columns, as in the chunk.
    pub columns: Vec<u8>,
}

/// What a sender can look up: all of it among records that the receiver holds by then.
pub trait Sender {
    /// Log, seq and index of an entry that names this change, and the document it names there.
    fn place(&self, change: &ChangeHash) -> Result<Option<(LogName, u64, u32, DocId)>, StoreError>;
    /// The log whose author is this actor in this document.
    fn author(&self, doc: &DocId, actor: &ActorId) -> Result<Option<LogName>, StoreError>;
}

/// What a receiver looks up among the records that it holds.
pub trait Receiver {
    /// The log with this number in the frame.
    fn log(&self, number: FrameLog) -> Option<LogName>;
    /// What an entry names; `None` if it is not held here.
    fn entry(&self, place: &Place) -> Result<Option<(DocId, ChangeHash)>, StoreError>;
}

/// Strips a change of `author` in `doc`. `named`: the receiver takes the document from the first dependency.
/// `None` if it must travel whole.
pub fn strip(
    sender: &impl Sender,
    logs: &mut FrameLogs,
    author: LogName,
    doc: &DocId,
    named: bool,
    body: &[u8],
) -> Result<Option<Stripped>, StoreError> {
    let Some(outline) = Outline::read(body) else {
        return Ok(None);
    };
    let references = outline.dependencies.len().max(outline.others.len()) as u64;
    if outline.actor != actor(&author.0, &author.1, doc) || references > MAX_REFERENCES {
        return Ok(None);
    }
    let mut dependencies = Vec::with_capacity(outline.dependencies.len());
    for hash in &outline.dependencies {
        match sender.place(hash)? {
            Some((log, seq, entry, of)) if of == *doc || !named || !dependencies.is_empty() => {
                dependencies.push((log, seq, entry));
            }
            Some(_) | None => return Ok(None),
        }
    }
    if named && dependencies.is_empty() {
        return Ok(None);
    }
    let mut others = Vec::with_capacity(outline.others.len());
    for other in &outline.others {
        match sender.author(doc, other)? {
            Some(log) => others.push(log),
            None => return Ok(None),
        }
    }
    let Outline { seq, start_op, columns, .. } = outline;
    let place = |(log, seq, entry)| Place { log: logs.number(log), seq, entry };
    let dependencies = dependencies.into_iter().map(place).collect();
    let others = others.into_iter().map(|log| logs.number(log)).collect();
    Ok(Some(Stripped { seq, start_op, dependencies, others, columns }))
}

impl Stripped {
    /// What its dependencies name, in order, each looked up once; `None` if one of them is not held here. The document of
    /// the first is the change's own, where no genesis names it.
    pub fn entries(&self, receiver: &impl Receiver) -> Result<Option<Vec<(DocId, ChangeHash)>>, StoreError> {
        self.dependencies.iter().map(|place| receiver.entry(place)).collect()
    }

    /// The chunk, of what its dependencies name; `None` if the frame does not name another actor's log.
    pub fn whole(
        self,
        receiver: &impl Receiver,
        author: LogName,
        doc: &DocId,
        entries: &[(DocId, ChangeHash)],
    ) -> Option<Vec<u8>> {
        let actor_of = |(site, generation): LogName| actor(&site, &generation, doc);
        let Self { seq, start_op, columns, .. } = self;
        let dependencies = entries.iter().map(|(_, change)| *change).collect();
        let others = self.others.iter().map(|number| receiver.log(*number).map(actor_of)).collect::<Option<_>>()?;
        Some(Outline { dependencies, actor: actor_of(author), seq, start_op, others, columns }.write())
    }
}
