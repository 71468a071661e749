//! One honest history, judged, and what a mutation may choose from it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;

use super::honest;
use super::report::Report;
use super::rng::Rng;
use crate::change::{Actor, Facts, Genesis, Hash, History, MemoryHistory, OpId, Operation, Parsed, Verdict};

/// The newest change of one actor below a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) seq: u64,
    pub(super) max_op: u64,
}

/// All that is below a change, itself included, as the newest of each actor: what the product works out from the
/// graph, kept here per change so that both can be compared.
pub(super) type Clock = BTreeMap<Actor, Last>;

/// An honest change that was applied.
pub(super) struct Member {
    pub(super) bytes: Vec<u8>,
    pub(super) parsed: Parsed,
    pub(super) facts: Facts,
    pub(super) genesis: Genesis,
    pub(super) clock: Clock,
}

/// A history in causal order: honest changes, and mutants that passed.
#[derive(Default)]
pub(super) struct World {
    pub(super) members: Vec<Member>,
    pub(super) memory: MemoryHistory,
    chunks: HashSet<Vec<u8>>,
    clocks: HashMap<Hash, Clock>,
}

impl World {
    /// Grows a history and judges each change in causal order; a refusal is a failure of the campaign.
    pub(super) fn grow(rng: &mut Rng, report: &mut Report) -> Self {
        let natural_key = rng.chance(25);
        let mut world = Self::default();
        for bytes in honest::history(rng, natural_key) {
            report.honest += 1;
            let has_dependencies = crate::change::scan(&bytes).is_ok_and(|scan| scan.dependencies().next().is_some());
            let genesis = match (has_dependencies, natural_key) {
                (true, _) => Genesis::No,
                (false, true) => Genesis::NaturalKey,
                (false, false) => Genesis::Random,
            };
            match super::honest_verdict(&bytes, genesis, &world.memory, &mut report.timing) {
                Ok((parsed, Verdict::Applied(facts))) => {
                    if Facts::decode(&facts.encode()).as_ref() != Ok(&facts) {
                        report.failures.push(format!("facts do not survive: {facts:?}"));
                    }
                    let member = world.member(bytes, parsed, facts, genesis);
                    world.adopt([member]);
                }
                other => report.failures.push(format!("an honest change is refused: {other:?}")),
            }
        }
        world
    }

    /// An applied change with all that is below it.
    pub(super) fn member(&self, bytes: Vec<u8>, parsed: Parsed, facts: Facts, genesis: Genesis) -> Member {
        let clock = self.clock(&facts);
        Member { bytes, parsed, facts, genesis, clock }
    }

    /// What is below a change whose dependencies are here, itself included.
    pub(super) fn clock(&self, facts: &Facts) -> Clock {
        let mut clock = union(facts.dependencies.iter().filter_map(|hash| self.clocks.get(hash).cloned()));
        clock.insert(facts.actor, Last { seq: facts.seq, max_op: facts.max_op });
        clock
    }

    /// A change to mutate: a genesis, a new one (so that mutants build on mutants), or any.
    pub(super) fn subject(&self, rng: &mut Rng) -> Option<&Member> {
        let newest = self.members.len().saturating_sub(12);
        match rng.below(8) {
            0 => self.members.first(),
            1 | 2 => rng.pick(&self.members[newest..]),
            _ => rng.pick(&self.members),
        }
    }

    pub(super) fn holds(&self, chunk: &[u8]) -> bool {
        self.chunks.contains(chunk)
    }

    /// Adds changes that were judged; those whose (actor, seq) is taken stay out. Answers how many came in.
    pub(super) fn adopt(&mut self, members: impl IntoIterator<Item = Member>) -> u64 {
        let mut added = 0;
        for member in members {
            if self.memory.insert(member.facts.clone(), &member.parsed) {
                self.chunks.insert(member.bytes.clone());
                self.clocks.insert(member.facts.hash, member.clock.clone());
                self.members.push(member);
                added += 1;
            }
        }
        added
    }

    /// The operations of changes that are (or are not) below `clock`.
    pub(super) fn operations(&self, clock: &Clock, below: bool) -> Vec<(OpId, &Operation)> {
        let members = self.members.iter().filter(|member| reaches(clock, &member.facts) == below);
        members.flat_map(|member| numbered(&member.parsed)).collect()
    }
}

/// The ancestors of a change, itself not included.
pub(super) fn ancestors(member: &Member) -> Clock {
    let facts = &member.facts;
    let mut clock = member.clock.clone();
    clock.remove(&facts.actor);
    if facts.seq > 1 {
        // Whatever the last operation was: here the clock is only asked for seq.
        let (seq, max_op) = (facts.seq - 1, facts.start_op - 1);
        clock.insert(facts.actor, Last { seq, max_op });
    }
    clock
}

/// Whether a change is below `clock`.
pub(super) fn reaches(clock: &Clock, facts: &Facts) -> bool {
    clock.get(&facts.actor).is_some_and(|last| facts.seq <= last.seq)
}

/// All that is below any of these clocks.
pub(super) fn union(clocks: impl Iterator<Item = Clock>) -> Clock {
    let mut all = Clock::new();
    for (actor, last) in clocks.flatten() {
        let newest = all.entry(actor).or_insert(last);
        if last.seq > newest.seq {
            *newest = last;
        }
    }
    all
}

fn numbered(parsed: &Parsed) -> impl Iterator<Item = (OpId, &Operation)> {
    let id = move |place| OpId { counter: parsed.start_op() + place, actor: parsed.actor() };
    (0..).map(id).zip(parsed.operations().iter())
}

/// A history that holds the ancestors of one change and nothing else.
pub(super) struct AncestorsOnly<'a> {
    all: &'a MemoryHistory,
    heads: Vec<Hash>,
    clock: Clock,
}

impl<'a> AncestorsOnly<'a> {
    pub(super) fn of(parsed: &Parsed, world: &'a World) -> Self {
        let heads: Vec<Hash> =
            parsed.dependencies().iter().filter(|hash| world.clocks.contains_key(hash)).copied().collect();
        let clock = union(heads.iter().map(|hash| world.clocks[hash].clone()));
        Self { all: &world.memory, heads, clock }
    }

    fn only(&self, found: Option<Arc<Facts>>) -> Option<Arc<Facts>> {
        found.filter(|facts| reaches(&self.clock, facts))
    }
}

impl History for AncestorsOnly<'_> {
    type Error = Infallible;

    fn by_hash(&self, hash: &Hash) -> Result<Option<Arc<Facts>>, Infallible> {
        Ok(self.only(self.all.by_hash(hash)?))
    }

    fn by_seq(&self, actor: &Actor, seq: u64) -> Result<Option<Arc<Facts>>, Infallible> {
        Ok(self.only(self.all.by_seq(actor, seq)?))
    }

    fn last(&self, actor: &Actor) -> Result<Option<Arc<Facts>>, Infallible> {
        self.clock.get(actor).map_or(Ok(None), |last| self.by_seq(actor, last.seq))
    }

    fn heads(&self) -> Result<Vec<Hash>, Infallible> {
        Ok(self.heads.clone())
    }

    fn operations(&self, facts: &Facts) -> Result<Arc<[Operation]>, Infallible> {
        self.all.operations(facts)
    }
}
