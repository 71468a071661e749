//! One hostile change at a time, for a world that sends what no honest site would.

use automerge::Change;
use automerge::legacy::{Key, OpType};

use super::mutate::{self, Family};
use super::raw;
use super::rng::Rng;
use super::world::{Member, World};
use crate::change::ids::seal_head;
use crate::change::varint::put_unsigned;
use crate::change::{Genesis, Verdict, judge, parse, scan};

/// A chunk, and what its record's entry says of it.
pub type Grown = (Vec<u8>, Genesis);

/// A mutant of `honest`, the next change of a document that holds these, each after its dependencies. Log
/// admission lets it pass: magic bytes and checksum are right. Same seed, same mutant; `None` if it comes to
/// nothing.
pub fn forge(seed: u64, document: &[Grown], honest: &Grown) -> Option<Vec<u8>> {
    raw::quieten_caught_panics();
    let mut rng = Rng::new(seed);
    let mut world = World::default();
    for grown in document {
        let member = judged(&world, grown)?;
        world.adopt([member]);
    }
    let subject = judged(&world, honest)?;
    // What is mutated may also be chosen from the document, as the campaign does.
    world.adopt([judged(&world, honest)?]);
    let family = *rng.pick(&Family::ALL)?;
    let mut bytes = mutate::mutate(family, &mut rng, &world, &subject)?.bytes;
    seal_head(&mut bytes);
    (bytes != honest.0).then_some(bytes)
}

/// The change with its first operation moved to another key of the root, where it replaces nothing.
pub fn onto_key(honest: &[u8], key: &str) -> Option<Vec<u8>> {
    let mut change = Change::try_from(honest).ok()?.decode();
    let operation = change.operations.first_mut()?;
    operation.key = Key::Map(key.into());
    operation.pred = Vec::new().into();
    Some(Change::from(change).raw_bytes().to_vec())
}

/// The change with the put of `key` made a second time, with another value.
pub fn twice_put(honest: &[u8], key: &str) -> Option<Vec<u8>> {
    let mut change = Change::try_from(honest).ok()?.decode();
    let mut again = change.operations.iter().find(|op| op.key == Key::Map(key.into()))?.clone();
    again.action = OpType::Put("another".into());
    again.pred = Vec::new().into();
    change.operations.push(again);
    Some(Change::from(change).raw_bytes().to_vec())
}

/// The change as its actor's second one.
pub fn second(honest: &[u8]) -> Option<Vec<u8>> {
    let mut change = Change::try_from(honest).ok()?.decode();
    change.seq = change.seq.checked_add(1)?;
    Some(Change::from(change).raw_bytes().to_vec())
}

/// The change with its first operation so many times.
pub fn repeated(honest: &[u8], times: usize) -> Option<Vec<u8>> {
    let mut change = Change::try_from(honest).ok()?.decode();
    let first = change.operations.first()?.clone();
    change.operations = vec![first; times];
    Some(Change::from(change).raw_bytes().to_vec())
}

/// The change that begins one operation late.
pub fn late(honest: &[u8]) -> Option<Vec<u8>> {
    let mut change = Change::try_from(honest).ok()?.decode();
    change.start_op = change.start_op.checked_add(1)?;
    Some(Change::from(change).raw_bytes().to_vec())
}

/// The change without one of the changes that it builds on, of which it has several: perhaps its own actor's last one.
pub fn without_a_dependency(honest: &[u8], which: usize) -> Option<Vec<u8>> {
    let mut change = Change::try_from(honest).ok()?.decode();
    let count = change.deps.len();
    if count < 2 {
        return None;
    }
    change.deps.remove(which % count);
    Some(Change::from(change).raw_bytes().to_vec())
}

/// The change with a value that says it has 5 MiB.
pub fn bomb(honest: &[u8]) -> Option<Vec<u8>> {
    let mut raw = raw::Raw::read(honest)?;
    let mut value = vec![0x7f];
    put_unsigned(&mut value, 5 << 20 << 4 | 6);
    *raw.column(0x56) = value;
    let mut bytes = raw.write();
    seal_head(&mut bytes);
    Some(bytes)
}

fn judged(world: &World, (bytes, genesis): &Grown) -> Option<Member> {
    let actor = scan(bytes).ok()?.actor;
    let parsed = parse(bytes).ok()?;
    match judge(&parsed, actor, *genesis, &world.memory).ok()? {
        Verdict::Applied(facts) => Some(world.member(bytes.clone(), parsed, facts, *genesis)),
        Verdict::Waiting(_) | Verdict::Void(_) => None,
    }
}
