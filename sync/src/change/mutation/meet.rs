//! A change that passed the gates meets Automerge: four orders of arrival must end in one document.

use std::fmt::Write;

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, Automerge, Change, ChangeHash, ROOT, ReadDoc};

use super::rng::Rng;
use super::world::{Clock, Last, Member, World, reaches};
use super::{honest, raw};
use crate::change::{Facts, Parsed};

/// Documents kept for one subject: its mutants mostly have the same ancestors.
const KEPT: usize = 8;

/// Where the mutants of one subject meet documents.
pub(super) struct Meeting<'w> {
    world: &'w World,
    places: Vec<Place>,
}

/// The documents a mutant with these ancestors meets.
struct Place {
    ancestors: Clock,
    below: Automerge,
    /// Changes that are neither ancestors of the mutant nor in its place or after it.
    beside: Vec<Change>,
    everything: Automerge,
    all: Vec<Change>,
    last_own: Last,
    actor: crate::change::Actor,
}

impl<'w> Meeting<'w> {
    pub(super) fn new(world: &'w World) -> Self {
        Self { world, places: Vec::new() }
    }

    /// Applies `parsed` in four orders with an honest concurrent change; the answer is what went wrong.
    pub(super) fn meet(&mut self, parsed: &Parsed, facts: &Facts, rng: &mut Rng) -> Result<(), String> {
        let place = self.place(facts)?;
        let seed = rng.next();
        raw::quietly(|| place.try_orders(parsed, &mut Rng::new(seed))).map_err(|panic| format!("panic: {panic}"))?
    }

    fn place(&mut self, facts: &Facts) -> Result<&Place, String> {
        let mut ancestors = self.world.clock(facts);
        ancestors.remove(&facts.actor);
        let last_own = Last { seq: facts.seq, max_op: 0 };
        let is_same =
            |place: &Place| place.ancestors == ancestors && place.last_own == last_own && place.actor == facts.actor;
        if let Some(found) = self.places.iter().position(is_same) {
            return Ok(&self.places[found]);
        }
        let in_place = |member: &&Member| member.clock.get(&facts.actor).is_some_and(|last| last.seq >= facts.seq);
        let (mut below, mut beside) = (Vec::new(), Vec::new());
        for member in &self.world.members {
            let change = member.parsed.change().clone();
            let own = member.facts.actor == facts.actor && member.facts.seq < facts.seq;
            if own || reaches(&ancestors, &member.facts) {
                below.push(change);
            } else if !in_place(&member) {
                beside.push(change);
            }
        }
        let below_document = applied(&Automerge::new(), &below)?;
        let everything = applied(&below_document, &beside)?;
        let all = below.into_iter().chain(beside.iter().cloned()).collect();
        let (below, actor) = (below_document, facts.actor);
        if self.places.len() >= KEPT {
            self.places.remove(0);
        }
        self.places.push(Place { ancestors, below, beside, everything, all, last_own, actor });
        self.places.last().ok_or_else(|| "no place".to_owned())
    }
}

impl Place {
    fn try_orders(&self, parsed: &Parsed, rng: &mut Rng) -> Result<(), String> {
        let mutant = parsed.change().clone();
        let honest = self.honest(rng)?;
        let writer: ActorId = rng.bytes::<16>().into();
        let mut batch = vec![honest.clone(), mutant.clone()];
        rng.shuffle(&mut batch);
        let mut scratch: Vec<Change> = self.all.iter().chain(&batch).cloned().collect();
        rng.shuffle(&mut scratch);
        let one = |change: &Change| vec![change.clone()];
        let orders = [
            ("before", &self.below, vec![one(&mutant), self.beside.clone(), one(&honest)]),
            ("after", &self.everything, vec![one(&honest), one(&mutant)]),
            ("one batch", &self.everything, vec![batch]),
            ("from scratch", &Automerge::new(), vec![scratch]),
        ];
        let mut first: Option<String> = None;
        for (order, start, arrivals) in orders {
            let mut document = start.clone();
            let arrived = arrivals.into_iter().try_for_each(|changes| document.apply_changes(changes));
            arrived.map_err(|error| format!("{order}: apply: {error}"))?;
            let reading = exercise(&document, [&mutant, &honest], &self.all, &writer)
                .map_err(|error| format!("{order}: {error}"))?;
            match &first {
                None => first = Some(reading),
                Some(expected) if *expected != reading => {
                    return Err(format!("order \"{order}\" differs:\n{expected}\n{reading}"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// An honest change by a new actor that knows nothing of the mutant: after all others, or after its ancestors.
    fn honest(&self, rng: &mut Rng) -> Result<Change, String> {
        let base = if rng.chance(50) { &self.everything } else { &self.below };
        let mut document = AutoCommit::load(&base.save()).map_err(|error| error.to_string())?;
        document.set_actor(honest::actor(rng));
        loop {
            honest::edit(rng, &mut document);
            if let Some(change) = document.get_last_local_change() {
                return Ok(change);
            }
        }
    }
}

fn applied(document: &Automerge, changes: &[Change]) -> Result<Automerge, String> {
    let mut document = document.clone();
    document.apply_changes(changes.to_vec()).map_err(|error| format!("apply: {error}"))?;
    Ok(document)
}

/// Reads, saves, loads, fetches and writes; answers all that was seen.
fn exercise(document: &Automerge, met: [&Change; 2], all: &[Change], writer: &ActorId) -> Result<String, String> {
    let seen = read(document)?;
    let loaded = Automerge::load(&document.save()).map_err(|error| format!("load: {error}"))?;
    let again = read(&loaded)?;
    if seen != again {
        return Err(format!("loaded differs:\n{seen}\n{again}"));
    }
    for change in met.into_iter().chain(all.first()).chain(all.last()) {
        for held in [document, &loaded] {
            let fetched = held.get_change_by_hash(&change.hash());
            if fetched.is_none_or(|fetched| fetched.raw_bytes() != change.raw_bytes()) {
                return Err(format!("{} is not fetched as it came", change.hash()));
            }
        }
    }
    let every = loaded.get_changes(&[]);
    if every.len() != all.len() + met.len() {
        return Err(format!("{} changes fetched of {}", every.len(), all.len() + met.len()));
    }
    let written = write(document, writer)?;
    if written != write(&loaded, writer)? {
        return Err("a write after load differs".to_owned());
    }
    Ok(format!("{seen}{written}"))
}

/// Every value of every key with its id, every Text with its elements, and the heads.
fn read(document: &Automerge) -> Result<String, String> {
    let mut seen = String::new();
    let wrong = |error: &dyn std::fmt::Display| error.to_string();
    writeln!(seen, "{:?}", document.get_heads()).map_err(|error| wrong(&error))?;
    let keys: Vec<String> = document.keys(ROOT).collect();
    for key in keys {
        let values = document.get_all(ROOT, key.as_str()).map_err(|error| wrong(&error))?;
        let winner = document.get(ROOT, key.as_str()).map_err(|error| wrong(&error))?;
        writeln!(seen, "{key}: {winner:?} of {values:?}").map_err(|error| wrong(&error))?;
    }
    for text in honest::texts(document) {
        let length = document.length(&text);
        let string = document.text(&text).map_err(|error| wrong(&error))?;
        writeln!(seen, "{text}: {length} {string:?}").map_err(|error| wrong(&error))?;
        for item in document.list_range(&text, ..).take(500) {
            write!(seen, "{item:?} ").map_err(|error| wrong(&error))?;
        }
    }
    Ok(seen)
}

/// Two local writes by `writer`; answers the hashes of their changes, which say all about them, and a reading.
fn write(document: &Automerge, writer: &ActorId) -> Result<String, String> {
    let mut document = document.clone();
    document.set_actor(writer.clone());
    let mut hashes: Vec<Option<ChangeHash>> = Vec::new();
    for round in 0..2 {
        let keys: Vec<String> = document.keys(ROOT).take(3).collect();
        let texts = honest::texts(&document);
        let mut transaction = document.transaction();
        for key in &keys {
            // A Text stays: rules and honest code never overwrite one.
            if transaction.get(ROOT, key.as_str()).is_ok_and(|found| found.is_some_and(|(value, _)| !value.is_object()))
            {
                transaction.put(ROOT, key.as_str(), round).map_err(|error| error.to_string())?;
            }
        }
        transaction.put(ROOT, "written", round).map_err(|error| error.to_string())?;
        for text in &texts {
            let length = transaction.length(text);
            let deleted = length.min(1) as isize;
            transaction.splice_text(text, length / 2, 0, "w").map_err(|error| error.to_string())?;
            transaction.splice_text(text, 0, deleted, "🔧").map_err(|error| error.to_string())?;
        }
        hashes.push(transaction.commit().0);
    }
    Ok(format!("{hashes:?} {}", read(&document)?))
}
