//! Two sites on disk that talk in memory: each with its store and its read model, bytes and turns counted.
//!
//! Everything runs on one thread, both sites in turn, so a time is the work of both.

mod founding;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use node::read_model::ReadModel;
use schema::author::Author;
use schema::doc::{DocKind, Edits, View};
use schema::id::{DocId, ScopeId, StructureId, UserId};
use schema::record::CommandName;
use schema::ticket::command::{NewTicket, comment, create, patch};
use schema::ticket::{Field, Level};
use schema::time::Timestamp;
use sync::replica::{Command, Output, Replica, WriteError};
use sync::store::Reading;
use sync::store::log_index::every_log;
use tests::rng::Rng;

use super::text_generator::TextGenerator;

/// The structure of all tickets.
pub const IT: StructureId = StructureId([1; 16]);
/// One in so many edits is a comment; the others set a field.
const COMMENT_EVERY: u64 = 5;
/// Fields that edits set.
const EDITED: [Field; 10] = [
    Field::Title,
    Field::Kind,
    Field::Impact,
    Field::Urgency,
    Field::Priority,
    Field::Category,
    Field::Assignee,
    Field::Group,
    Field::Location,
    Field::External,
];
/// The number of different categories, groups and locations.
const CHOICES: u64 = 24;
/// The longest virtual time between two writes, in milliseconds.
const BETWEEN_MS: u64 = 60_000;
/// The virtual time between two ticks, in milliseconds.
const TICK_MS: u64 = 600;

/// What was transferred in an exchange.
#[derive(Debug, Default, Clone, Copy)]
pub struct Traffic {
    /// The bytes of all frames, both ways.
    pub bytes: usize,
    /// How often the direction changed.
    pub turns: usize,
}

/// How long it took until something is shown.
#[derive(Debug, Default, Clone, Copy)]
pub struct Shown {
    /// Judging, applying and saving documents.
    pub documents: Duration,
    /// Writing the read model's rows.
    pub rows: Duration,
}

/// A change that the other site lacks.
pub struct Missing {
    /// The document that it changes.
    pub doc: DocId,
    /// Its bytes as Automerge made them.
    pub change: Vec<u8>,
}

/// Two sites in this process.
pub struct Pair {
    /// The replica of each site.
    pub sites: [Replica; 2],
    /// The read model of each site.
    pub views: [ReadModel; 2],
    /// The folder of their files.
    pub folder: PathBuf,
    /// All tickets, in the order in which they were opened.
    pub docs: Vec<DocId>,
    texts: TextGenerator,
    users: Vec<UserId>,
    now: Timestamp,
    session: u64,
}

impl Pair {
    /// Founds an organisation of two sites in `folder`.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        let now = Timestamp(1_800_000_000_000);
        let sites = founding::sites(folder, now)?;
        let views = |number: usize| ReadModel::open(&folder.join(format!("views{number}.sqlite")));
        Ok(Self {
            sites,
            views: [views(0)?, views(1)?],
            folder: folder.to_owned(),
            docs: Vec::new(),
            texts: TextGenerator::new(1),
            users: founding::users(),
            now,
            session: 0,
        })
    }

    /// The scope of all tickets.
    pub fn scope(&self) -> ScopeId {
        founding::scope()
    }

    /// Opens `count` tickets at a site in one group commit.
    pub fn open(&mut self, site: usize, count: usize) -> anyhow::Result<()> {
        self.advance_clock();
        let (scope, home, from) = (self.scope(), self.sites[site].me(), self.docs.len());
        let (texts, users) = (&mut self.texts, &self.users);
        let (made, _) = self.sites[site].write(self.now, |batch| {
            let mut made = Vec::new();
            for number in from..from + count {
                let author = Author::User(*texts.rng.pick(users));
                let impact = texts.rng.pick(Level::ALL).word().to_owned();
                let ticket = NewTicket {
                    number: format!("S{site}-{}", number + 1),
                    structure: IT,
                    home,
                    description: texts.description(),
                    fields: BTreeMap::from([(Field::Title, texts.title()), (Field::Impact, impact)]),
                };
                let edits = create(&ticket).map_err(|error| WriteError::Refused(error.to_string()))?;
                let written = batch.command::<WriteError>(author, CommandName::Place, scope, |command| {
                    command.create(DocKind::Ticket, None, &edits).map(drop)
                })?;
                made.extend(written.docs);
            }
            Ok(made)
        })?;
        self.docs.extend(made);
        Ok(())
    }

    /// Edits tickets at a site in one group commit: a comment or one field each.
    pub fn edit(&mut self, site: usize, tickets: &[DocId]) -> anyhow::Result<()> {
        self.advance_clock();
        let scope = self.scope();
        let policy = self.sites[site].policy().cloned();
        let people: Vec<DocId> = self.users.iter().filter_map(|user| Some(policy.as_ref()?.person_of(user))).collect();
        let (texts, users) = (&mut self.texts, &self.users);
        self.sites[site].write(self.now, |batch| {
            for ticket in tickets {
                let author = Author::User(*texts.rng.pick(users));
                batch.command::<WriteError>(author, CommandName::Place, scope, |command| {
                    let edits = edits(command, ticket, texts, &people)?;
                    command.edit(*ticket, &edits).map(drop)
                })?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Sets one field of a ticket at a site; what is to be sent.
    pub fn set(&mut self, site: usize, ticket: DocId, field: Field, value: &str) -> anyhow::Result<Vec<Output>> {
        self.advance_clock();
        let (scope, author) = (self.scope(), Author::User(*self.texts.rng.pick(&self.users)));
        let (_, outputs) = self.sites[site].write(self.now, |batch| {
            batch.command::<WriteError>(author, CommandName::Place, scope, |command| {
                let view = command.view(&ticket)?.ok_or(WriteError::Unknown)?;
                let edits = patch(&view, &BTreeMap::from([(field, Some(value.to_owned()))]), None)
                    .map_err(|error| WriteError::Refused(error.to_string()))?;
                command.edit(ticket, &edits).map(drop)
            })
        })?;
        Ok(outputs)
    }

    /// Sends what a site has to say, and what follows from it.
    pub fn send(&mut self, site: usize, outputs: Vec<Output>) -> anyhow::Result<Traffic> {
        self.exchange(outputs.into_iter().map(|output| (site, output)).collect())
    }

    fn advance_clock(&mut self) {
        self.now = Timestamp(self.now.0 + 1 + self.texts.rng.below(BETWEEN_MS));
    }

    /// The tickets that two sites edit, `count` each in an order of its own: half of them are edited at both.
    pub fn pick_tickets(&mut self, count: usize) -> [Vec<DocId>; 2] {
        let rng = &mut self.texts.rng;
        let mut docs = self.docs.clone();
        shuffle(rng, &mut docs);
        let (shared, others) = docs.split_at((count / 2).min(docs.len()));
        let mut apart = others.iter().copied();
        [(); 2].map(|()| {
            let mut picked: Vec<DocId> = shared.iter().copied().chain(apart.by_ref().take(count - count / 2)).collect();
            shuffle(rng, &mut picked);
            picked
        })
    }

    /// Connects the two sites and exchanges frames until nothing is left to send: all is durable and acknowledged at
    /// both.
    pub fn connect(&mut self) -> anyhow::Result<Traffic> {
        self.session += 1;
        let mut queue = VecDeque::new();
        for site in 0..2 {
            let peer = self.sites[1 - site].me();
            let outputs = self.sites[site].connected(self.now, self.session, peer)?;
            queue.extend(outputs.into_iter().map(|output| (site, output)));
        }
        self.exchange(queue)
    }

    /// Lets `ticks` ticks pass with nothing new to exchange, then disconnects.
    pub fn idle_and_disconnect(&mut self, ticks: usize) -> anyhow::Result<Traffic> {
        let mut traffic = Traffic::default();
        for _ in 0..ticks {
            self.now = Timestamp(self.now.0 + TICK_MS);
            let mut queue = VecDeque::new();
            for site in 0..2 {
                let outputs = self.sites[site].tick(self.now)?;
                queue.extend(outputs.into_iter().map(|output| (site, output)));
            }
            let exchanged = self.exchange(queue)?;
            traffic = Traffic { bytes: traffic.bytes + exchanged.bytes, turns: traffic.turns + exchanged.turns };
        }
        for site in &mut self.sites {
            site.closed(self.now, self.session)?;
        }
        Ok(traffic)
    }

    fn exchange(&mut self, mut queue: VecDeque<(usize, Output)>) -> anyhow::Result<Traffic> {
        let mut traffic = Traffic::default();
        let mut last = None;
        while let Some((from, output)) = queue.pop_front() {
            match output {
                Output::Send(session, frame) => {
                    traffic.bytes += frame.len() + 4;
                    traffic.turns += usize::from(last != Some(from));
                    last = Some(from);
                    let outputs = self.sites[1 - from].received(self.now, session, &frame)?;
                    queue.extend(outputs.into_iter().map(|output| (1 - from, output)));
                }
                Output::Close(_, code) => anyhow::bail!("site {from} ended the session: {code}"),
                Output::Alarm(alarm) => anyhow::bail!("site {from} raised {alarm:?}"),
                Output::Authority => {}
            }
        }
        Ok(traffic)
    }

    /// Applies what a site has received to its documents and read model, portion by portion as a running site does.
    pub fn show(&mut self, site: usize) -> anyhow::Result<Shown> {
        let mut shown = Shown::default();
        loop {
            let begun = Instant::now();
            let more = self.sites[site].catch_up(self.now)?;
            let caught_up = begun.elapsed();
            let changed = self.sites[site].take_changed();
            if !changed.is_empty() {
                let reading = self.sites[site].read()?;
                self.views[site].apply(&reading, &changed, self.sites[site].store().log_index())?;
                self.sites[site].projected(changed.iter().map(|changed| changed.doc));
            }
            shown.documents += caught_up;
            shown.rows += begun.elapsed() - caught_up;
            if !more {
                return Ok(shown);
            }
        }
    }

    /// Records that a site holds.
    pub fn records(&self, site: usize) -> u64 {
        self.sites[site].store().log_index().scope(&self.scope()).arrivals
    }

    /// Whether both hold and show the same, rows included.
    pub fn agree(&self) -> anyhow::Result<bool> {
        let state = |site: usize| self.sites[site].store().log_index().scope(&self.scope());
        let rows = |site: usize| node::read_model::tables::hash(self.views[site].conn());
        let same = state(0).digest == state(1).digest && state(0).arrivals == state(1).arrivals;
        Ok(same && rows(0)? == rows(1)?)
    }

    /// The changes that a site holds and the other does not, in the order of its logs.
    pub fn missing_at_other(&self, site: usize) -> anyhow::Result<Vec<Missing>> {
        let reading = self.sites[site].read()?;
        let other = every_log(&self.sites[1 - site].read()?)?;
        let mut missing = Vec::new();
        for state in every_log(&reading)?.values().filter(|state| state.id.scope == self.scope()) {
            let has = other.get(&state.id).map_or(0, |state| state.seq);
            for seq in has + 1..=state.seq {
                let stored = sync::admission::stored(&reading, state.no, seq)?;
                let with = sync::admission::with_bodies(&reading, stored)?;
                let docs: Vec<DocId> = with.record.skeleton.entries.iter().map(|entry| entry.doc).collect();
                let changes = docs.into_iter().zip(with.bodies.into_iter().flatten());
                missing.extend(changes.map(|(doc, change)| Missing { doc, change }));
            }
        }
        Ok(missing)
    }

    /// A saved document of a site.
    pub fn saved(reading: &Reading, doc: &DocId) -> anyhow::Result<Vec<u8>> {
        Ok(sync::docs::load(reading, doc)?.save_nocompress())
    }
}

/// A comment, or a field set to another value than it has.
fn edits(
    command: &Command<'_, '_, '_>,
    ticket: &DocId,
    texts: &mut TextGenerator,
    people: &[DocId],
) -> Result<Edits, WriteError> {
    let refused = |error: schema::ticket::command::CommandError| WriteError::Refused(error.to_string());
    if texts.rng.below(COMMENT_EVERY) == 0 {
        return comment(&command.id(), &texts.comment()).map_err(refused);
    }
    let view: View = command.view(ticket)?.ok_or(WriteError::Unknown)?;
    loop {
        let field = *texts.rng.pick(&EDITED);
        let value = value(field, texts, people);
        let edits = patch(&view, &BTreeMap::from([(field, Some(value))]), None).map_err(refused)?;
        if !edits.is_empty() {
            return Ok(edits);
        }
    }
}

fn value(field: Field, texts: &mut TextGenerator, people: &[DocId]) -> String {
    match field {
        Field::Title => texts.title(),
        Field::Kind => texts.rng.pick(schema::ticket::Kind::ALL).word().to_owned(),
        Field::Impact | Field::Urgency => texts.rng.pick(Level::ALL).word().to_owned(),
        Field::Priority => (1 + texts.rng.below(5)).to_string(),
        Field::Requester | Field::Assignee => texts.rng.pick(people).to_string(),
        Field::Category | Field::Group | Field::Location => {
            let choice = format!("{} {}", field.word(), texts.rng.below(CHOICES));
            DocId(*blake3::hash(choice.as_bytes()).as_bytes()).to_string()
        }
        Field::External => format!("INC{:07}", texts.rng.below(10_000_000)),
    }
}

fn shuffle(rng: &mut Rng, docs: &mut [DocId]) {
    for place in (1..docs.len()).rev() {
        docs.swap(place, rng.below(place as u64 + 1) as usize);
    }
}
