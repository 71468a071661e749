//! The workload: random commands of users, as a real desk would send them, through the commands that serve people.

use std::collections::{BTreeMap, BTreeSet};

use node::commands::{Actor, Context, Failure, tickets};
use schema::author::Author;
use schema::authority::UserEntry;
use schema::credential::LoginSecrets;
use schema::doc::{DocKind, Edits, Value, doc_id, notes_key};
use schema::id::{CommandId, DocId, LogId, StructureId, UserId, scope_of};
use schema::record::CommandName;
use schema::ticket::command::patch;
use schema::ticket::{Field, Status};
use sync::replica::{Batch, Output, WriteError};

use super::holdings::{Holdings, RecordAt};
use super::{ADMIN, Acknowledged, CANARY, HR, IT, World, holds, requester, structures, technician};
use crate::model::{CommandNo, Effect};

/// A ticket whose opening was named by its client, which may ask again.
pub(super) struct NamedOpening {
    /// The instance that acknowledged it.
    at: usize,
    author: UserId,
    structure: StructureId,
    name: CommandName,
    no: CommandNo,
}

/// The effect of a command, before it is given to the model.
struct Outcome {
    doc: DocId,
    puts: BTreeMap<String, Option<String>>,
    comments: Vec<(String, String)>,
    moved: Option<String>,
    number: Option<String>,
}

impl Outcome {
    fn to(doc: DocId) -> Self {
        Self { doc, puts: BTreeMap::new(), comments: Vec::new(), moved: None, number: None }
    }
}

/// Words for titles and comments.
const WORDS: [&str; 8] = ["Réseau", "imprimante", "badge", "écran", "mot de passe", "VPN", "Straße", "onduleur"];

impl World {
    pub(super) fn random_command(&mut self) {
        let running: Vec<usize> = (0..self.sites.len()).filter(|at| self.sites[*at].is_running()).collect();
        if running.is_empty() {
            return;
        }
        let at = *self.rng.pick(&running);
        match self.rng.below(30) {
            0..=5 => self.open_ticket(at),
            6..=12 => self.change_field(at),
            13..=15 => self.reply_or_note(at),
            16..=19 => self.advance_ticket(at),
            20 => self.enrol(at),
            25 => self.ask_again(at),
            21 => self.act_as_enrolled(at),
            22 => self.write_newer(at),
            23 => self.write_unauthorised(at),
            24 => self.set_password(at),
            _ => self.forge(at),
        }
    }

    fn seen_by(&self, at: usize) -> BTreeSet<CommandNo> {
        let Some(replica) = self.sites[at].replica() else {
            return BTreeSet::new();
        };
        let holdings = Holdings::of(replica.store());
        let held = holdings.without_effect();
        let seen = |acknowledged: &Acknowledged| {
            let record = &acknowledged.record;
            let has_effect = holdings.place_of(record).is_some_and(|place| !held.contains(&place));
            has_effect || holdings.is_issued_again(record)
        };
        self.acknowledged.iter().filter(|(_, acknowledged)| seen(acknowledged)).map(|(no, _)| *no).collect()
    }

    /// A user as they may act at an instance; `None`: nobody knows them there.
    fn actor(&self, at: usize, user: UserId) -> Option<Actor> {
        let replica = self.sites[at].replica()?;
        let known = replica.policy()?.users.get(&user).map(|entry| UserEntry::clone(entry));
        let entry = known.or_else(|| replica.enrolled_here(&user).ok().flatten())?;
        Some(Actor { user, entry })
    }

    /// Runs a command at an instance in the scope of `structure`, as `author`, and gives its effect to the model. Answers
    /// with its number; `None`: it had no effect.
    fn command(
        &mut self,
        at: usize,
        author: UserId,
        structure: &StructureId,
        work: impl FnOnce(&mut Batch<'_, '_>, &mut Context<'_>, &Actor) -> Result<Outcome, Failure>,
    ) -> Option<CommandNo> {
        let (now, scope) = (self.clock(at), scope_of(&self.org, Some(structure)));
        let seen = self.seen_by(at);
        let me = self.key_of(at);
        let actor = self.actor(at, author)?;
        let (replica, numbers) = self.sites[at].replica_and_numbers()?;
        let policy = replica.policy().cloned()?;
        let last = |replica: &sync::replica::Replica| {
            RecordAt::last(replica.store(), LogId { site: me, generation: replica.generation(), scope })
        };
        let before = last(replica);
        let mut context = Context { policy, me, numbers };
        let written = replica.write(now, |batch| Ok(work(batch, &mut context, &actor)));
        let (outcome, outputs) = match written {
            Ok(written) => written,
            Err(error) => {
                self.fail(format!("instance {at} could not write: {error}"));
                return None;
            }
        };
        let record = last(replica).filter(|record| before.as_ref() != Some(record));
        let mut accepted = None;
        match (outcome, record) {
            (Ok(effect), Some(record)) => {
                self.commands += 1;
                let no = self.commands;
                let Outcome { doc, puts, comments, moved, number } = effect;
                self.acknowledged.insert(no, Acknowledged { at, record, doc, number, enrolled: None });
                self.model.accept(no, Effect { doc, puts, comments, moved, seen });
                self.count("command");
                accepted = Some(no);
            }
            (Ok(_), None) => self.count("command:without-effect"),
            (Err(Failure::Write(WriteError::Refused(code))), _) => self.count(&format!("refused:{code}")),
            (Err(Failure::Write(error)), _) => self.fail(format!("instance {at} could not write: {error}")),
            (Err(failure), _) => self.count(&format!("refused:{failure}")),
        }
        self.handle_outputs(at, Some(Ok::<Vec<Output>, String>(outputs)));
        accepted
    }

    fn writer(&mut self, at: usize) -> UserId {
        let place = self.sites[at].place;
        if self.rng.chance(30) { ADMIN } else { technician(place) }
    }

    fn structure_at(&mut self, at: usize) -> StructureId {
        let place = self.sites[at].place;
        let held: Vec<StructureId> =
            structures(&self.options).filter(|structure| holds(&self.options, place, *structure)).collect();
        if self.rng.chance(60) { IT } else { *self.rng.pick(&held) }
    }

    /// Something small, that always has an effect where it is allowed.
    pub(super) fn write_something(&mut self, at: usize) {
        match self.random_ticket(at) {
            Some((doc, structure)) => self.change_field_of(at, doc, structure),
            None => self.open_ticket(at),
        }
    }

    fn open_ticket(&mut self, at: usize) {
        let structure = self.structure_at(at);
        let place = self.sites[at].place;
        let own = structure == IT && self.rng.chance(30);
        let author = if own { requester(place) } else { self.writer(at) };
        let word = *self.rng.pick(&WORDS);
        let mark = if structure == HR { CANARY } else { "" };
        let title = format!("{word} {} {mark}", self.rng.below(1000));
        let name = match self.rng.chance(30) {
            true => CommandName::Given(CommandId(self.rng.bytes())),
            false => CommandName::Place,
        };
        let opening = tickets::Opening {
            structure: Some(structure),
            description: self.long_text(word, mark),
            fields: BTreeMap::from([(Field::Title, title)]),
        };
        let accepted = self.command(at, author, &structure, |batch, context, actor| {
            let doc = tickets::open(batch, context, actor, name, opening)?;
            let view = batch.view(&doc).map_err(WriteError::from)?.ok_or(Failure::Unknown)?;
            let put = |key: &String| (key.clone(), view.distinct(key).first().and_then(|held| held.value.shown()));
            let puts = view.values.keys().filter(|key| *key != "description").map(put).collect();
            let number = view.text("number").map(str::to_owned);
            Ok(Outcome { puts, number, ..Outcome::to(doc) })
        });
        if let (Some(no), CommandName::Given(_)) = (accepted, name) {
            self.named.push(NamedOpening { at, author, structure, name, no });
        }
    }

    /// A description: now and then one that is too long to travel with its record (R21).
    fn long_text(&mut self, word: &str, mark: &str) -> String {
        let words = if self.rng.chance(5) { 4000 } else { 1 };
        let mut text = format!("{word} {mark}");
        (1..words).for_each(|_| text.push_str(&format!(" {:08x}", self.rng.number() as u32)));
        text
    }

    /// A client asks again for a ticket that it named: it gets the one that it has, and no other.
    fn ask_again(&mut self, at: usize) {
        let asked: Vec<usize> = (0..self.named.len()).filter(|index| self.named[*index].at == at).collect();
        if asked.is_empty() {
            return;
        }
        let index = *self.rng.pick(&asked);
        let NamedOpening { author, structure, name, no, .. } = self.named[index];
        // What a disk lost may have been lost before it was told to anybody: then it is written anew.
        let is_whole = !self.sites[at].copied && !self.set_back.contains(&self.sites[at].place);
        let Some(doc) = self.acknowledged.get(&no).map(|acknowledged| acknowledged.doc).filter(|_| is_whole) else {
            return;
        };
        let mut again = None;
        let opening = tickets::Opening { structure: Some(structure), ..tickets::Opening::default() };
        let accepted = self.command(at, author, &structure, |batch, context, actor| {
            again = Some(tickets::open(batch, context, actor, name, opening)?);
            Ok(Outcome::to(doc))
        });
        self.count("command:asked-again");
        if accepted.is_some() || again.is_some_and(|again| again != doc) {
            self.fail(format!("R4: a command asked again at instance {at} was carried out twice"));
        }
    }

    /// A ticket that an instance shows, and its structure; `None`: it shows none. Often it is one that was written last
    /// somewhere: people work on the same ticket. Those of hostile members are left out.
    pub(super) fn random_ticket(&mut self, at: usize) -> Option<(DocId, StructureId)> {
        let tickets = self.tickets(at);
        if tickets.is_empty() {
            return None;
        }
        if self.rng.chance(25) {
            let latest: Vec<DocId> = self.acknowledged.values().rev().take(10).map(|one| one.doc).collect();
            let busy: Vec<_> = tickets.iter().filter(|(doc, _)| latest.contains(doc)).copied().collect();
            if !busy.is_empty() {
                return Some(*self.rng.pick(&busy));
            }
        }
        Some(*self.rng.pick(&tickets))
    }

    /// The tickets that an instance shows, and their structures.
    fn tickets(&self, at: usize) -> Vec<(DocId, StructureId)> {
        let known: BTreeSet<DocId> = self.model.docs().into_iter().collect();
        let read = || {
            let views = self.sites[at].views()?;
            let mut found = views.conn().prepare_cached("SELECT id, structure FROM tickets ORDER BY id").ok()?;
            let rows = found.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).ok()?;
            let tickets =
                rows.flatten().filter_map(|(id, structure)| Some((id.parse().ok()?, structure.parse().ok()?)));
            Some(tickets.filter(|(doc, _)| known.contains(doc)).collect())
        };
        read().unwrap_or_default()
    }

    /// Somebody writes to a ticket if the instance shows it.
    pub(super) fn write_to(&mut self, at: usize, doc: DocId) {
        if let Some((doc, structure)) = self.tickets(at).into_iter().find(|(shown, _)| *shown == doc) {
            self.change_field_of(at, doc, structure);
        }
    }

    fn change_field(&mut self, at: usize) {
        if let Some((doc, structure)) = self.random_ticket(at) {
            self.change_field_of(at, doc, structure);
        }
    }

    fn change_field_of(&mut self, at: usize, doc: DocId, structure: StructureId) {
        let author = self.writer(at);
        let level = ["high", "medium", "low"][self.rng.below(3) as usize].to_owned();
        let (field, value) = match self.rng.below(6) {
            0 => (Field::Title, Some(format!("titre {}", self.rng.below(50)))),
            1 => (Field::Priority, self.rng.chance(70).then(|| (1 + self.rng.below(5)).to_string())),
            2 => (Field::External, self.rng.chance(70).then(|| format!("X{}", self.rng.below(9)))),
            3 => (Field::Impact, Some(level)),
            _ => (Field::Urgency, Some(level)),
        };
        let description = self.rng.chance(15).then(|| format!("texte {}", self.rng.below(1000)));
        self.patch(at, author, doc, structure, BTreeMap::from([(field, value)]), description);
    }

    fn patch(
        &mut self,
        at: usize,
        author: UserId,
        doc: DocId,
        structure: StructureId,
        fields: BTreeMap<Field, Option<String>>,
        description: Option<String>,
    ) {
        self.command(at, author, &structure, |batch, context, actor| {
            let view = batch.view(&doc).map_err(WriteError::from)?.ok_or(Failure::Unknown)?;
            let edits = patch(&view, &fields, description.as_deref())?;
            tickets::change(batch, context, actor, doc, &fields, description.as_deref())?;
            Ok(Outcome { puts: shown(&edits), ..Outcome::to(doc) })
        });
    }

    fn reply_or_note(&mut self, at: usize) {
        let Some((doc, structure)) = self.random_ticket(at) else {
            return;
        };
        let author = self.writer(at);
        let body = format!("{} {}", self.rng.pick(&WORDS), self.rng.below(1000));
        let internal = self.rng.chance(50);
        let notes = doc_id(&self.org, &scope_of(&self.org, Some(&structure)), DocKind::TicketNotes, &notes_key(&doc));
        self.command(at, author, &structure, |batch, context, actor| {
            let (target, id) = match internal {
                true => (notes, tickets::note(batch, context, actor, CommandName::Place, doc, &body)?),
                false => (doc, tickets::reply(batch, context, actor, CommandName::Place, doc, &body)?),
            };
            Ok(Outcome { comments: vec![(id, body)], ..Outcome::to(target) })
        });
    }

    fn advance_ticket(&mut self, at: usize) {
        let Some((doc, structure)) = self.random_ticket(at) else {
            return;
        };
        let author = self.writer(at);
        let to = *self.rng.pick(&Status::ALL);
        self.command(at, author, &structure, |batch, context, actor| {
            tickets::advance(batch, context, actor, doc, to, None)?;
            Ok(Outcome { moved: Some(to.word().into()), ..Outcome::to(doc) })
        });
    }

    /// A site enrols a user, often with a login that another site uses too (R15).
    fn enrol(&mut self, at: usize) {
        let now = self.clock(at);
        let login = format!("neu{}", self.rng.below(4));
        let (me, org) = (self.key_of(at), self.org);
        let Some(replica) = self.sites[at].replica_mut() else {
            return;
        };
        let written = replica.write(now, |batch| batch.enrol(Author::Site, &login, Self::grants()));
        let log = LogId { site: me, generation: replica.generation(), scope: scope_of(&org, None) };
        let record = RecordAt::last(replica.store(), log);
        match written {
            Ok((user, outputs)) => {
                let Some(record) = record else {
                    self.fail(format!("instance {at} enrolled somebody and has no record of it"));
                    return;
                };
                self.count("enrolment");
                self.commands += 1;
                let doc = DocId([0; 32]);
                let enrolled = Some((user, login));
                self.acknowledged.insert(self.commands, Acknowledged { at, record, doc, number: None, enrolled });
                self.handle_outputs(at, Some(Ok::<_, String>(outputs)));
            }
            // A site that heard that its key is revoked enrols nobody.
            Err(WriteError::Refused(code)) if self.is_revoked_for(at) => {
                self.count(&format!("refused:{code}"));
            }
            Err(error) => self.fail(format!("instance {at} could not enrol: {error}")),
        }
    }

    /// A site sets the password of somebody for whom it speaks (R16).
    fn set_password(&mut self, at: usize) {
        let (now, user) = (self.clock(at), self.writer(at));
        let secrets = LoginSecrets { verifier: format!("{CANARY} {}", self.rng.number()) };
        let Some(replica) = self.sites[at].replica_mut() else {
            return;
        };
        match replica.write(now, |batch| Ok(batch.set_credential(&user, &secrets))) {
            Ok((set, outputs)) => {
                match set {
                    Ok(()) => self.count("credential"),
                    Err(WriteError::Refused(code)) => self.count(&format!("refused:{code}")),
                    Err(error) => self.fail(format!("instance {at} could not set a password: {error}")),
                }
                self.handle_outputs(at, Some(Ok::<_, String>(outputs)));
            }
            Err(error) => self.fail(format!("instance {at} could not set a password: {error}")),
        }
    }

    /// A user whom this site enrolled writes at once.
    fn act_as_enrolled(&mut self, at: usize) {
        let place = self.sites[at].place;
        let here: Vec<UserId> = self
            .acknowledged
            .values()
            .filter(|acknowledged| self.sites[acknowledged.at].place == place)
            .filter_map(|acknowledged| acknowledged.enrolled.as_ref().map(|(user, _)| *user))
            .collect();
        let Some((doc, structure)) = self.random_ticket(at) else {
            return;
        };
        if here.is_empty() || structure != IT {
            return;
        }
        let author = *self.rng.pick(&here);
        let value = format!("von {}", self.rng.below(50));
        self.count("command:as-enrolled");
        self.patch(at, author, doc, structure, BTreeMap::from([(Field::Title, Some(value))]), None);
    }
}

/// The puts with their values as the model compares them.
fn shown(edits: &Edits) -> BTreeMap<String, Option<String>> {
    let value = |value: &Option<Value>| value.as_ref().and_then(Value::shown);
    edits.puts.iter().map(|(key, put)| (key.clone(), value(put))).collect()
}
