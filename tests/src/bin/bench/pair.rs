//! Two sites on disk that talk in memory, bytes and turns counted.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use schema::authority::{AuthorityRef, Body, Grant, Role, Signed, SiteEntry, Standing, UserEntry};
use schema::doc::{DocKind, Edits, Value};
use schema::id::{DocId, GenerationId, LogId, ScopeId, StoreId, StructureId, UserId};
use schema::identity::{Secret, organisation};
use schema::record::{Author, CommandName, scope_of};
use schema::ticket::command::{NewTicket, create};
use schema::ticket::{Field, Level};
use schema::time::{Hlc, Timestamp};
use sync::replica::{Output, Replica, Start, WriteError};
use sync::store::{Source, Store, Table};

/// The structure of all tickets.
pub const IT: StructureId = StructureId([1; 16]);
const ANA: UserId = UserId([7; 16]);
const WORDS: [&str; 6] = ["imprimante", "réseau", "badge", "écran", "VPN", "mot de passe"];

/// A saved document and the changes it lacks.
pub type Behind = (Vec<u8>, Vec<Vec<u8>>);

/// What a meeting cost.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes of frames both ways.
    pub bytes: usize,
    /// Times the direction changed.
    pub turns: usize,
}

/// Two sites.
pub struct Pair {
    /// Their replicas.
    pub sites: [Replica; 2],
    folder: PathBuf,
    now: Timestamp,
    session: u64,
    docs: Vec<DocId>,
    edited: usize,
}

fn key(site: usize) -> Secret {
    Secret::from_bytes([10 + site as u8; 32])
}

impl Pair {
    /// Founds an organisation of two sites in `folder`.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        let now = Timestamp(1_800_000_000_000);
        let statements = statements(now);
        let site = |number: usize| -> anyhow::Result<Replica> {
            let start = Start {
                key: key(number),
                sequencer: None,
                generation: GenerationId([number as u8 + 1; 16]),
                store_id: StoreId([number as u8 + 1; 16]),
                copied: false,
                now,
            };
            let mut replica = Replica::open(Store::open(&folder.join(format!("site{number}.redb")))?, start)?;
            replica.found(statements.clone())?;
            Ok(replica)
        };
        let sites = [site(0)?, site(1)?];
        Ok(Self { sites, folder: folder.to_owned(), now, session: 0, docs: Vec::new(), edited: 0 })
    }

    /// Where the files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn scope(&self) -> ScopeId {
        scope_of(&self.sites[0].policy().map(|policy| policy.org).unwrap_or(schema::id::OrgId([0; 32])), Some(&IT))
    }

    /// Opens `count` tickets at a site in one group commit.
    pub fn tickets(&mut self, site: usize, from: usize, count: usize) -> anyhow::Result<()> {
        let (scope, me) = (self.scope(), self.sites[site].me());
        let (made, _) = self.sites[site].write(self.now, |batch| {
            let mut made = Vec::new();
            for number in from..from + count {
                let word = WORDS[number % WORDS.len()];
                let place = ["Dakar", "Paris", "Montréal"][number % 3];
                let fields = BTreeMap::from([
                    (Field::Title, format!("{word} {place} {number}")),
                    (Field::Impact, Level::ALL[number % 3].word().to_owned()),
                ]);
                let ticket = NewTicket {
                    number: format!("S{site}-{}", number + 1),
                    structure: IT,
                    home: me,
                    description: format!("La {word} du bureau {number} à {place} ne répond plus depuis ce matin."),
                    fields,
                };
                let edits = create(&ticket).map_err(|error| WriteError::Refused(error.to_string()))?;
                let written = batch.command::<WriteError>(Author::User(ANA), CommandName::Place, scope, |command| {
                    command.create(DocKind::Ticket, None, &edits).map(|_| ())
                })?;
                made.extend(written.docs);
            }
            Ok(made)
        })?;
        self.docs.extend(made);
        Ok(())
    }

    /// Edits `count` tickets at a site, one field or one comment each; half of them are edited at both sites.
    pub fn edits(&mut self, site: usize, count: usize) -> anyhow::Result<()> {
        let scope = self.scope();
        let step = (self.docs.len() / (count * 2).max(1)).max(1);
        let picked: Vec<DocId> = (0..count)
            .map(|number| {
                let shared = number % 2 == 0;
                let place = if shared { number * 2 } else { number * 2 + site };
                self.docs[(place * step) % self.docs.len()]
            })
            .collect();
        for portion in picked.chunks(50) {
            let edited = self.edited;
            self.sites[site].write(self.now, |batch| {
                for (number, doc) in portion.iter().enumerate() {
                    let mut edits = Edits::default();
                    let text = format!("rappel {} du technicien {site}", edited + number);
                    match number % 3 {
                        0 => edits.put(format!("comment/{edited:08x}{number:02x}{site}/body"), Value::Text(text)),
                        1 => edits.put("title", Value::Text(text)),
                        _ => edits.put("urgency", Value::Text(Level::ALL[(edited + number) % 3].word().into())),
                    }
                    batch.command::<WriteError>(Author::User(ANA), CommandName::Place, scope, |command| {
                        command.edit(*doc, &edits).map(|_| ())
                    })?;
                }
                Ok(())
            })?;
            self.edited += portion.len();
        }
        Ok(())
    }

    /// Lets the two talk until both are silent; documents are left behind unless `show`.
    pub fn meet(&mut self, show: bool) -> anyhow::Result<Traffic> {
        self.talk(8, show)
    }

    /// Connects and says hello, without the quiet time after it.
    pub fn meet_briefly(&mut self) -> anyhow::Result<Traffic> {
        self.talk(0, false)
    }

    fn talk(&mut self, ticks: usize, show: bool) -> anyhow::Result<Traffic> {
        self.session += 1;
        let mut traffic = Traffic::default();
        let mut queue: VecDeque<(usize, Output)> = VecDeque::new();
        let mut last = None;
        for site in 0..2 {
            let peer = self.sites[1 - site].me();
            let outputs = self.sites[site].connected(self.now, self.session, peer)?;
            queue.extend(outputs.into_iter().map(|output| (site, output)));
        }
        for tick in 0..=ticks {
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
            if tick < ticks {
                self.now = Timestamp(self.now.0 + 600);
                for site in 0..2 {
                    while show && self.sites[site].catch_up(self.now)? {}
                    let outputs = self.sites[site].tick(self.now)?;
                    queue.extend(outputs.into_iter().map(|output| (site, output)));
                }
            }
        }
        for site in &mut self.sites {
            site.closed(self.now, self.session)?;
        }
        Ok(traffic)
    }

    /// Lets documents catch up at a site; answers with the time it took.
    pub fn show(&mut self, site: usize) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        while self.sites[site].catch_up(self.now)? {}
        Ok(begun.elapsed())
    }

    /// Records that a site holds.
    pub fn records(&self, site: usize) -> u64 {
        self.sites[site].store().local().records(&self.scope())
    }

    /// Whether both hold and show the same.
    pub fn agree(&self) -> bool {
        let scope = self.scope();
        let state = |site: usize| self.sites[site].store().local().scope(&scope);
        state(0).digest == state(1).digest && state(0).arrivals == state(1).arrivals
    }

    /// The changes that one of the two holds and the other does not.
    pub fn missing_changes(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut missing = Vec::new();
        for site in 0..2 {
            let other = self.sites[1 - site].store().local();
            let local = self.sites[site].store().local();
            let reading = self.sites[site].read()?;
            for state in local.logs.values().filter(|state| state.id.scope == self.scope()) {
                let has = other.logs.get(&LogId { ..state.id }).map_or(0, |state| state.seq);
                for seq in has + 1..=state.seq {
                    let stored = sync::admission::stored(&reading, state.no, seq)?;
                    missing.extend(sync::admission::full(&reading, stored)?.bodies);
                }
            }
        }
        Ok(missing)
    }

    /// Each touched document as saved at a site that lacks some of the changes, with those.
    pub fn documents_missing(&self, changes: &[Vec<u8>]) -> anyhow::Result<Vec<Behind>> {
        let mut found = Vec::new();
        for site in 0..2 {
            let (here, there) = (self.sites[site].read()?, self.sites[1 - site].read()?);
            let mut by_doc: BTreeMap<DocId, Vec<Vec<u8>>> = BTreeMap::new();
            for change in changes {
                let Some(hash) = sync::change::chunk_hash(change) else {
                    continue;
                };
                if sync::docs::entry_by_hash(&here, &hash)?.is_none()
                    && let Some((doc, _)) = sync::docs::entry_by_hash(&there, &hash)?
                {
                    by_doc.entry(doc).or_default().push(change.clone());
                }
            }
            for (doc, missing) in by_doc {
                found.extend(here.get(Table::Snapshots, &doc.0)?.map(|saved| (saved, missing)));
            }
        }
        Ok(found)
    }
}

fn statements(now: Timestamp) -> Vec<Signed> {
    let (root, sequencer) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
    let org = organisation(&root.public());
    let mut scopes = vec![scope_of(&org, None), scope_of(&org, Some(&IT))];
    scopes.sort_unstable();
    let site = |number: usize| {
        Body::Site(SiteEntry {
            site: key(number).public(),
            code: format!("S{number}"),
            name: format!("Site {number}"),
            standing: Standing::Active,
            scopes: scopes.clone(),
            enrols: vec![IT],
            addresses: Vec::new(),
        })
    };
    let mut sites = vec![key(0).public(), key(1).public()];
    sites.sort_unstable();
    let ana = UserEntry {
        user: ANA,
        login: "ana".into(),
        grants: vec![Grant { structure: None, role: Role::Admin }],
        sites,
        standing: Standing::Active,
    };
    let bodies = [
        Body::Found { name: "Bench".into(), root: root.public(), sequencer: sequencer.public() },
        Body::Structure { structure: IT, name: "IT".into(), parent: None },
        site(0),
        site(1),
        Body::User(ana),
    ];
    let (mut previous, mut hlc) = ([0; 32], Hlc::default());
    let signed = bodies.iter().enumerate().map(|(position, body)| {
        hlc = hlc.tick(now);
        let at = AuthorityRef { epoch: 1, position: position as u64 };
        let signer = if position == 0 { &root } else { &sequencer };
        let signed = Signed::new(org, at, previous, hlc, body, signer);
        previous = signed.statement.hash();
        signed
    });
    signed.collect()
}
