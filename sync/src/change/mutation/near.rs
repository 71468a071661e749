//! Changes written anew in the place of an honest one: valid in odd ways, or wrong in one small way.
//!
//! Predecessors stale, partial or none; chains and double deletes inside one change; inserts after elements long
//! deleted; strings of any length as one element. These are what the rules must get exactly right.

use std::num::NonZeroU64;

use automerge::legacy::{Key, ObjectId, Op, OpType};
use automerge::{ExpandedChange, ObjType, ScalarValue};

use super::honest;
use super::mutate::{emptied, old_id};
use super::rng::Rng;
use super::world::Clock;
use super::world::{Member, World, ancestors, union};
use crate::change::{Actor, Genesis, OpId, Operation};

/// What the new change may refer to: ancestors' operations, and as it grows its own.
struct Known {
    puts: Vec<(Box<str>, OpId)>,
    texts: Vec<OpId>,
    elements: Vec<(OpId, OpId)>,
    /// Ids that no operation of this change may name, or not so.
    strange: Vec<OpId>,
}

/// One to ten new operations: in the place of `subject`, by its actor or by a new one, or over any changes at all.
pub(super) fn change(rng: &mut Rng, world: &World, subject: &Member) -> (ExpandedChange, Genesis) {
    let mut change = emptied(subject);
    let (mut clock, mut genesis) = (ancestors(subject), subject.genesis);
    if rng.chance(60) {
        change.actor_id = honest::actor(rng);
        change.seq = 1;
        if rng.chance(60) {
            clock = anywhere(rng, world, &mut change);
            genesis = Genesis::No;
        }
    }
    let start = change.start_op.get();
    let actor = Actor::from_slice(change.actor_id.to_bytes()).unwrap_or(subject.facts.actor);
    let mut known = Known::new(rng, world, &clock);
    for counter in start..=start + rng.below(9) as u64 {
        let id = OpId { counter, actor };
        let op = match rng.below(10) {
            0 if genesis == Genesis::Random || rng.chance(5) => make(rng, &mut known, id),
            0..4 => put(rng, &mut known, id),
            4..6 => delete(rng, &mut known, id),
            6..9 => insert(rng, &mut known, id),
            _ => erase(rng, &mut known, id),
        };
        change.operations.push(op);
    }
    (change, genesis)
}

/// Puts `change` over one to three changes of `world`, newer ones more often, and answers what is below it.
fn anywhere(rng: &mut Rng, world: &World, change: &mut ExpandedChange) -> Clock {
    let newest = world.members.len().saturating_sub(12);
    let mut over: Vec<&Member> = Vec::new();
    for _ in 0..=rng.below(3) {
        let members = if rng.chance(70) { &world.members[newest..] } else { &world.members };
        over.extend(rng.pick(members));
    }
    change.deps = over.iter().map(|member| member.facts.hash.into()).collect();
    change.deps.sort_unstable();
    change.deps.dedup();
    let start = over.iter().map(|member| member.facts.max_op + 1).max();
    change.start_op = start.and_then(NonZeroU64::new).unwrap_or(change.start_op);
    union(over.iter().map(|member| member.clock.clone()))
}

impl Known {
    fn new(rng: &mut Rng, world: &World, clock: &Clock) -> Self {
        let mut known = Self { puts: Vec::new(), texts: Vec::new(), elements: Vec::new(), strange: Vec::new() };
        for (id, operation) in world.operations(clock, true) {
            match operation {
                Operation::Put { key, .. } => known.puts.push((key.clone(), id)),
                Operation::MakeText { .. } => known.texts.push(id),
                Operation::Insert { text, .. } => known.elements.push((*text, id)),
                Operation::Delete { .. } | Operation::Erase { .. } => known.strange.push(id),
            }
        }
        // Now and then what is not below this change passes for known: a concurrent put, an element of nobody here.
        if rng.chance(15) {
            for (id, operation) in world.operations(clock, false) {
                match operation {
                    Operation::Put { key, .. } => known.puts.push((key.clone(), id)),
                    Operation::Insert { text, .. } => known.elements.push((*text, id)),
                    Operation::MakeText { .. } | Operation::Delete { .. } | Operation::Erase { .. } => {
                        known.strange.push(id);
                    }
                }
            }
        }
        known.strange.extend(known.texts.iter().copied());
        known
    }

    /// Some puts on `key`, in any number; one change in a hundred names something else.
    fn predecessors(&self, rng: &mut Rng, key: &str, least: usize) -> Vec<OpId> {
        let on_key: Vec<OpId> = self.puts.iter().filter(|(other, _)| **other == *key).map(|(_, id)| *id).collect();
        let newest = on_key.iter().copied().max();
        let mut chosen: Vec<OpId> = match rng.below(3) {
            0 => newest.into_iter().collect(),
            1 => on_key.into_iter().filter(|_| rng.chance(30)).collect(),
            _ => Vec::new(),
        };
        if chosen.len() < least {
            chosen.extend(newest);
        }
        if rng.chance(1) {
            chosen.extend(rng.pick(&self.strange));
            chosen.extend(rng.pick(&self.puts).map(|(_, id)| *id));
        }
        chosen.sort_unstable();
        if rng.chance(99) {
            chosen.dedup();
        }
        chosen
    }
}

fn op(key: Key, obj: ObjectId, insert: bool, action: OpType, predecessors: Vec<OpId>) -> Op {
    let pred: Vec<_> = predecessors.into_iter().map(old_id).collect();
    Op { action, obj, key, pred: pred.into(), insert }
}

fn root_key(rng: &mut Rng, known: &Known) -> Box<str> {
    match rng.pick(&known.puts) {
        Some((key, _)) if rng.chance(85) => key.clone(),
        _ => if rng.chance(50) { "description" } else { "fresh" }.into(),
    }
}

fn put(rng: &mut Rng, known: &mut Known, id: OpId) -> Op {
    let key = root_key(rng, known);
    let predecessors = known.predecessors(rng, &key, 0);
    known.puts.push((key.clone(), id));
    op(Key::Map((*key).into()), ObjectId::Root, false, OpType::Put(honest::scalar(rng)), predecessors)
}

fn delete(rng: &mut Rng, known: &mut Known, id: OpId) -> Op {
    known.strange.push(id);
    let key = root_key(rng, known);
    let predecessors = known.predecessors(rng, &key, 1);
    op(Key::Map((*key).into()), ObjectId::Root, false, OpType::Delete, predecessors)
}

fn make(rng: &mut Rng, known: &mut Known, id: OpId) -> Op {
    let key = root_key(rng, known);
    let predecessors = known.predecessors(rng, &key, 0);
    known.texts.push(id);
    op(Key::Map((*key).into()), ObjectId::Root, false, OpType::Make(ObjType::Text), predecessors)
}

fn insert(rng: &mut Rng, known: &mut Known, id: OpId) -> Op {
    let Some(text) = rng.pick(&known.texts).copied() else {
        return put(rng, known, id);
    };
    let after = rng.pick(&known.elements).filter(|(other, _)| *other == text || rng.chance(2)).map(|(_, id)| *id);
    known.elements.push((text, id));
    let value = match rng.below(6) {
        0 => String::new(),
        1 => honest::words(rng),
        _ => "é".to_owned(),
    };
    let key = after.map_or(Key::head(), |id| automerge::legacy::ElementId::Id(old_id(id)).into_key());
    op(key, ObjectId::Id(old_id(text)), true, OpType::Put(ScalarValue::Str(value.into())), Vec::new())
}

fn erase(rng: &mut Rng, known: &mut Known, id: OpId) -> Op {
    let Some((text, element)) = rng.pick(&known.elements).copied() else {
        return delete(rng, known, id);
    };
    known.strange.push(id);
    let key = automerge::legacy::ElementId::Id(old_id(element)).into_key();
    op(key, ObjectId::Id(old_id(text)), false, OpType::Delete, vec![element])
}
