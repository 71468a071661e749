//! What is signed, before anybody hears of it: DAKAR's records, which part wherever a record has two that follow it, and
//! OSLO's, in one chain, on top of any of it.

use schema::author::Author;
use schema::fork::branch_name;
use schema::id::{DocId, GenerationId, LogId};
use schema::record::Previous;
use sync::admission::RecordWithBodies;

use super::changes::{Changes, Made};
use super::common::ANA;
use super::common::member::{End, Member};
use super::draws::Draws;
use super::{KEYS, state::Names};

/// DAKAR's generations; a history uses the first, the first two, or all.
const GENERATIONS: [GenerationId; 3] = [GenerationId([0x33; 16]), GenerationId([0x51; 16]), GenerationId([0x52; 16])];
const OSLOS: GenerationId = GenerationId([0x61; 16]);
/// A field that no edit may set: what sets it is void.
const FORBIDDEN: &str = "created_at";

/// A record of DAKAR.
pub struct Node {
    pub with: RecordWithBodies,
    /// The one that it follows in its generation.
    parent: Option<usize>,
    generation: usize,
    end: End,
}

/// All that is signed.
pub struct Plan {
    pub nodes: Vec<Node>,
    pub oslo: Vec<RecordWithBodies>,
    oslo_end: Option<End>,
    changes: Changes,
    /// What was drawn, for people.
    pub log: Vec<String>,
}

impl Plan {
    /// Draws what both members sign.
    pub fn drawn(draws: &mut Draws, changes: Changes, dakar: &mut Member, oslo: &mut Member) -> Self {
        let mut plan = Self { nodes: Vec::new(), oslo: Vec::new(), oslo_end: None, changes, log: Vec::new() };
        let generations = 1 + draws.below(GENERATIONS.len());
        let records = 8 + draws.below(16);
        let forks = draws.one(&[10, 25, 40]);
        for step in 0..records {
            match draws.chance(30) {
                true => plan.oslo_edits(draws, oslo, step),
                false => plan.dakar_signs(draws, dakar, step, generations, forks),
            }
        }
        plan
    }

    /// OSLO edits a document or two on top of something, and of its own last change of it.
    fn oslo_edits(&mut self, draws: &mut Draws, oslo: &mut Member, step: usize) {
        let count = if draws.chance(30) { 2 } else { 1 };
        let mut parts: Vec<(DocId, Vec<u8>)> = Vec::new();
        let (mut said, mut drawn) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let doc = draws.below(self.changes.docs.len());
            if drawn.contains(&doc) {
                continue;
            }
            drawn.push(doc);
            let mut base = self.changes.base(draws, doc);
            let own = self.changes.made.iter().rfind(|made| made.doc == doc && made.generation.is_none());
            if let Some(own) = own {
                base = base.on(own);
            }
            let (key, mark) = if draws.chance(12) { (FORBIDDEN, "!") } else { (draws.one(&KEYS), "") };
            let by = (&oslo.key.public(), OSLOS);
            let made = self.changes.change(by, doc, &base.document, (key, &format!("o{step}")));
            if let Some((body, after)) = made {
                let name = format!("o{step}.{doc}{mark}");
                said.push(format!("{name}({})", base.name));
                parts.push((self.changes.docs[doc], body.clone()));
                self.changes.made.push(Made { name, doc, generation: None, body, after });
            }
        }
        if parts.is_empty() {
            return;
        }
        let previous = self.oslo_end.map_or(Previous::First, |end| Previous::Record(end.hash));
        let (record, end) = oslo.edits(OSLOS, previous, self.oslo.len() as u64 + 1, Author::User(ANA), &parts);
        self.log.push(format!("OSLO signs o{}: {}", self.oslo.len() + 1, said.join(" ")));
        self.oslo_end = Some(end);
        self.oslo.push(record);
    }

    /// DAKAR signs a record after any other of a generation, or as the first of one.
    fn dakar_signs(&mut self, draws: &mut Draws, dakar: &mut Member, step: usize, generations: usize, forks: usize) {
        let generation = draws.below(generations);
        let parent = self.parent(draws, generation, forks);
        let (previous, seq) = match parent {
            Some(parent) => (Previous::Record(self.nodes[parent].end.hash), self.nodes[parent].end.seq + 1),
            None => (self.first(draws, dakar, generation), 1),
        };
        let (parts, said) = self.dakar_edits(draws, dakar, step, generation, parent);
        let (with, end) = match parts.is_empty() {
            true => dakar.empty(GENERATIONS[generation], previous, seq, step as u8),
            false => dakar.edits(GENERATIONS[generation], previous, seq, Author::User(ANA), &parts),
        };
        let after = match (parent, previous) {
            (Some(parent), _) => format!("after n{parent}"),
            (None, Previous::After(_)) => "closing one before".into(),
            (None, _) => "after nothing".into(),
        };
        let number = self.nodes.len();
        self.log
            .push(format!("DAKAR signs n{number}: generation {generation}, seq {seq}, {after}: {}", said.join(" ")));
        self.nodes.push(Node { with, parent, generation, end });
    }

    /// Which record the next one of a generation follows: mostly one that none follows yet.
    fn parent(&self, draws: &mut Draws, generation: usize, forks: usize) -> Option<usize> {
        let of: Vec<usize> = self.numbers(|node| node.generation == generation);
        if of.is_empty() || draws.chance(4) {
            return None;
        }
        if draws.chance(forks) {
            return Some(draws.one(&of));
        }
        let ends: Vec<usize> = of.into_iter().filter(|number| self.children(*number).is_empty()).collect();
        Some(draws.one(&ends))
    }

    /// How a generation begins: after nothing, or closing any record of an earlier one.
    fn first(&self, draws: &mut Draws, dakar: &Member, generation: usize) -> Previous {
        let before = self.numbers(|node| node.generation < generation);
        match !before.is_empty() && draws.chance(50) {
            true => dakar.closing(self.nodes[draws.one(&before)].end),
            false => Previous::First,
        }
    }

    /// DAKAR's next changes, each of another document, and what they are, for people: honest ones, copies of earlier ones,
    /// some that set what none may, and some by the actor of another generation.
    fn dakar_edits(
        &mut self,
        draws: &mut Draws,
        dakar: &Member,
        step: usize,
        generation: usize,
        parent: Option<usize>,
    ) -> (Vec<(DocId, Vec<u8>)>, Vec<String>) {
        let (mut parts, mut said): (Vec<(DocId, Vec<u8>)>, Vec<String>) = (Vec::new(), Vec::new());
        let holds = |parts: &[(DocId, Vec<u8>)], id: DocId| parts.iter().any(|(doc, _)| *doc == id);
        for _ in 0..draws.one(&[0, 1, 1, 1, 1, 2, 2, 3]) {
            let doc = draws.below(self.changes.docs.len());
            let id = self.changes.docs[doc];
            if holds(&parts, id) {
                continue;
            }
            let own: Vec<&Made> = self.changes.made.iter().filter(|made| made.generation.is_some()).collect();
            if draws.chance(20) && !own.is_empty() {
                let copied = draws.one(&own);
                let id = self.changes.docs[copied.doc];
                if !holds(&parts, id) {
                    said.push(format!("={}", copied.name));
                    parts.push((id, copied.body.clone()));
                }
                continue;
            }
            let mut base = self.changes.base(draws, doc);
            if draws.chance(70)
                && let Some(before) = self.before(generation, parent, id)
            {
                base = base.on(before);
            }
            let kind = draws.below(100);
            let (key, void) = if kind < 8 { (FORBIDDEN, "!") } else { (draws.one(&KEYS), "") };
            let (by, wrong) = if (8..14).contains(&kind) { ((generation + 1) % 3, "?") } else { (generation, "") };
            let actor = (&dakar.key.public(), GENERATIONS[by]);
            let made = self.changes.change(actor, doc, &base.document, (key, &format!("d{step}")));
            if let Some((body, after)) = made {
                let name = format!("d{step}.{doc}{void}{wrong}");
                said.push(format!("{name}({})", base.name));
                parts.push((id, body.clone()));
                self.changes.made.push(Made { name, doc, generation: Some(by), body, after });
            }
        }
        (parts, said)
    }

    /// The last change of a document in the history that ends at `parent`, if its generation made it.
    fn before(&self, generation: usize, parent: Option<usize>, doc: DocId) -> Option<&Made> {
        let path = parent.map(|parent| self.path(parent)).unwrap_or_default();
        let entries = |number: &usize| &self.nodes[*number].with.record.skeleton.entries;
        let last = path.iter().rev().find_map(|number| entries(number).iter().find(|entry| entry.doc == doc))?;
        self.changes.made.iter().find(|made| made.is(last.change) && made.generation == Some(generation))
    }

    fn numbers(&self, of: impl Fn(&Node) -> bool) -> Vec<usize> {
        (0..self.nodes.len()).filter(|number| of(&self.nodes[*number])).collect()
    }

    /// The records that follow this one.
    pub fn children(&self, of: usize) -> Vec<usize> {
        self.numbers(|node| node.parent == Some(of))
    }

    /// The records in the place of this one, itself among them.
    pub fn places(&self, of: usize) -> Vec<usize> {
        let of = &self.nodes[of];
        self.numbers(|node| node.parent == of.parent && node.generation == of.generation)
    }

    /// The chain that ends at a record.
    pub fn path(&self, to: usize) -> Vec<usize> {
        let mut path: Vec<usize> = std::iter::successors(Some(to), |number| self.nodes[*number].parent).collect();
        path.reverse();
        path
    }

    /// The first record of the history to which this one belongs, once all forks are known.
    pub fn head(&self, of: usize) -> usize {
        let path = self.path(of);
        path.iter().copied().rfind(|number| self.places(*number).len() > 1).unwrap_or(path[0])
    }

    /// The name under which the history travels that begins with this record.
    pub fn log_name(&self, head: usize) -> LogId {
        let record = &self.nodes[head].with.record;
        match self.places(head).len() > 1 {
            true => branch_name(&record.header.log, &record.hash()),
            false => record.header.log,
        }
    }

    /// What people call each record.
    pub fn names(&self) -> Names {
        let of = |word, from: usize, hashes: Vec<_>| {
            hashes.into_iter().enumerate().map(move |(number, hash)| (hash, format!("{word}{}", number + from)))
        };
        let dakar = self.nodes.iter().map(|node| node.with.record.hash()).collect();
        let oslo = self.oslo.iter().map(|with| with.record.hash()).collect();
        Names(of("n", 0, dakar).chain(of("o", 1, oslo)).collect())
    }
}
