//! Mutations of an honest change, in the families of the campaign of R6.

use std::fmt;
use std::num::NonZeroU64;

use automerge::legacy::{self, ElementId, Key, MarkData, ObjectId, OpType};
use automerge::{ActorId, Change, ExpandedChange, ObjType, ScalarValue};

use super::raw::{self, Raw};
use super::rng::Rng;
use super::world::{Member, World, ancestors, reaches};
use super::{honest, near};
use crate::change::{Actor, Genesis, Hash, OpId};

/// What is mutated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Bytes of the body, checksum set right.
    Body,
    /// Contents and layout of columns, overlong numbers, runs of nulls.
    Columns,
    /// Sequence, start, dependencies, actors, time, message, extra bytes, header.
    Envelope,
    /// Operations, encoded again by Automerge itself.
    Operations,
    /// New operations that are right or very nearly so.
    Near,
}

impl Family {
    pub(super) const ALL: [Self; 5] = [Self::Body, Self::Columns, Self::Envelope, Self::Operations, Self::Near];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Columns => "columns",
            Self::Envelope => "envelope",
            Self::Operations => "operations",
            Self::Near => "near-valid",
        }
    }
}

/// A mutated change and how it is to be judged.
pub(super) struct Mutant {
    pub(super) family: Family,
    pub(super) bytes: Vec<u8>,
    pub(super) author: Actor,
    pub(super) genesis: Genesis,
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mutant of {} as {:?}: ", self.family.name(), self.author, self.genesis)?;
        self.bytes.iter().take(4_096).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        match raw::quietly(|| Change::try_from(&self.bytes[..]).map(|change| change.decode())) {
            Ok(Ok(change)) => write!(f, "\n{change:?}"),
            Ok(Err(error)) => write!(f, "\n{error}"),
            Err(panic) => write!(f, "\n{panic}"),
        }
    }
}

/// One mutant of `subject`, `None` where the family found nothing to change or Automerge could not encode it.
pub(super) fn mutate(family: Family, rng: &mut Rng, world: &World, subject: &Member) -> Option<Mutant> {
    let mut genesis = subject.genesis;
    let bytes = match family {
        Family::Body => body(rng, &subject.bytes)?,
        Family::Columns => columns(rng, &subject.bytes)?,
        Family::Envelope => envelope(rng, world, subject)?,
        Family::Operations => encode(operations(rng, world, subject))?,
        Family::Near => {
            let (change, judged_as) = near::change(rng, world, subject);
            genesis = judged_as;
            encode(change)?
        }
    };
    // An attacker speaks for an actor of his own choice as long as it is his: half the time, believe the mutant.
    let claimed = crate::change::scan(&bytes).ok().map(|scan| scan.actor).filter(|_| rng.chance(50));
    let believed =
        if family == Family::Near { crate::change::scan(&bytes).ok().map(|scan| scan.actor) } else { claimed };
    let author = believed.unwrap_or(subject.facts.actor);
    Some(Mutant { family, bytes, author, genesis })
}

fn encode(change: ExpandedChange) -> Option<Vec<u8>> {
    raw::quietly(|| Change::from(change).raw_bytes().to_vec()).ok()
}

fn body(rng: &mut Rng, chunk: &[u8]) -> Option<Vec<u8>> {
    let mut body = raw::body(chunk)?.to_vec();
    for _ in 0..=rng.below(3) {
        tamper(rng, &mut body);
    }
    Some(raw::chunk(&body))
}

/// Changes some byte: a bit, a value, an insertion, a removal, a copy.
fn tamper(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let at = rng.below(bytes.len());
    let Some(byte) = bytes.get(at).copied() else {
        return bytes.push(rng.next() as u8);
    };
    match rng.below(7) {
        0 => bytes[at] = byte ^ (1 << rng.below(8)),
        1 => bytes[at] = rng.next() as u8,
        2 => bytes[at] = byte.wrapping_add(1),
        3 => bytes[at] = byte.wrapping_sub(1),
        4 => bytes.insert(at, rng.next() as u8),
        5 => drop(bytes.remove(at)),
        _ => {
            let from = rng.below(bytes.len());
            bytes[at] = bytes[from];
        }
    }
}

const SPECIFICATIONS: [u64; 16] =
    [0x01, 0x02, 0x11, 0x13, 0x15, 0x34, 0x42, 0x56, 0x57, 0x70, 0x71, 0x73, 0x94, 0xa5, 0x4a, 0x21];

fn columns(rng: &mut Rng, chunk: &[u8]) -> Option<Vec<u8>> {
    let mut raw = Raw::read(chunk)?;
    for _ in 0..=rng.below(2) {
        let at = rng.below(raw.columns.len());
        let other = rng.below(raw.columns.len());
        match rng.below(19) {
            0 => drop(raw.columns.remove(at)),
            1 => raw.columns[at].0 = *rng.pick(&SPECIFICATIONS)?,
            2 => raw.columns.swap(at, other),
            3 => {
                let copied = raw.columns[other].1.clone();
                raw.columns[at].1 = copied;
            }
            4 => *raw.column(*rng.pick(&SPECIFICATIONS)?) = rng.bytes::<3>().to_vec(),
            5 => null_run(rng, &mut raw.columns[at].1),
            6 => overlong(rng, &mut raw.columns[at].1),
            7 => split_run(&mut raw.columns[at].1),
            8 => literal(&mut raw.columns[at].1),
            9 => raw.columns.insert(at, (raw.columns[at].0, raw.columns[at].1.clone())),
            10 => bomb(rng, &mut raw),
            11 | 12 => tamper(rng, &mut raw.columns[at].1),
            _ => nudge(rng, &mut raw.columns[at].1),
        }
        if raw.columns.is_empty() {
            break;
        }
    }
    Some(raw.write())
}

/// Makes one column say far more than it holds: operations, predecessors, values or keys without end.
fn bomb(rng: &mut Rng, raw: &mut Raw) {
    let most = *rng.pick(&[4_097, 65_537, 131_073, 10_000_000, i64::MAX]).unwrap_or(&4_097);
    let mut run = Vec::new();
    raw::put_signed(&mut run, most);
    match rng.below(3) {
        0 => *raw.column(0x42) = [run, vec![1]].concat(),
        1 => *raw.column(0x56) = [vec![0x7f], run].concat(),
        _ => *raw.column(0x70) = [vec![0x7f], run].concat(),
    }
}

/// Changes a byte to its neighbour: runs mostly stay runs, so that what they mean is what is wrong.
fn nudge(rng: &mut Rng, column: &mut [u8]) {
    let at = rng.below(column.len());
    if let Some(byte) = column.get_mut(at) {
        *byte = if rng.chance(50) { byte.wrapping_add(1) } else { byte.wrapping_sub(1) };
    }
}

fn null_run(rng: &mut Rng, column: &mut Vec<u8>) {
    let at = rng.below(column.len() + 1);
    column.splice(at..at, [0, rng.below(3) as u8]);
}

fn overlong(rng: &mut Rng, column: &mut Vec<u8>) {
    let at = rng.below(column.len());
    if let Some(byte) = column.get_mut(at).filter(|byte| **byte < 0x40) {
        *byte |= 0x80;
        column.insert(at + 1, 0);
    }
}

/// A repeated run of one-byte values written as two.
fn split_run(column: &mut Vec<u8>) {
    if let [length @ 2..0x40, value, ..] = **column {
        column.splice(0..1, [length - 1, value, 1]);
    }
}

/// A repeated run written as a literal, or a literal of equal values.
fn literal(column: &mut Vec<u8>) {
    if let [length @ 1..4, value, ..] = **column {
        let run = std::iter::once(0x80 - length).chain(std::iter::repeat_n(value, usize::from(length)));
        let run: Vec<u8> = run.collect();
        column.splice(0..2, run);
    }
}

fn envelope(rng: &mut Rng, world: &World, subject: &Member) -> Option<Vec<u8>> {
    let mut raw = Raw::read(&subject.bytes)?;
    for _ in 0..=rng.below(2) {
        let someone = rng.pick(&world.members)?;
        match rng.below(20) {
            0 => raw.seq = raw.seq.wrapping_add(1),
            1 => raw.seq = raw.seq.saturating_sub(1),
            2 => raw.seq = rng.odd_number(),
            3 => raw.start_op = raw.start_op.wrapping_add(1),
            4 => raw.start_op = raw.start_op.saturating_sub(1),
            5 => raw.start_op = rng.odd_number(),
            6 => drop(raw.dependencies.pop()),
            7 => add_dependency(&mut raw, someone.facts.hash),
            8 => ancestor_as_dependency(rng, world, subject, &mut raw),
            9 => raw.dependencies.push(rng.bytes()),
            10 => raw.dependencies.reverse(),
            11 => raw.dependencies.extend_from_within(..1.min(raw.dependencies.len())),
            12 => raw.dependencies.clear(),
            13 => raw.time = rng.odd_number() as i64,
            14 => raw.message = honest::words(rng).into_bytes(),
            15 => raw.extra = rng.bytes::<2>().to_vec(),
            16 => raw.actor = if rng.chance(50) { someone.facts.actor.0.to_vec() } else { rng.bytes::<16>().to_vec() },
            17 => others(rng, someone, &mut raw),
            18 => hide_previous(rng, world, subject, &mut raw),
            _ => return Some(header(rng, raw.write())),
        }
    }
    Some(raw.write())
}

fn add_dependency(raw: &mut Raw, hash: Hash) {
    raw.dependencies.push(hash.0);
    raw.dependencies.sort_unstable();
    raw.dependencies.dedup();
}

/// A dependency that says nothing new: the others imply it.
fn ancestor_as_dependency(rng: &mut Rng, world: &World, subject: &Member, raw: &mut Raw) {
    let below = |member: &&Member| reaches(&subject.clock, &member.facts);
    let ancestors: Vec<_> = world.members.iter().filter(below).filter(|m| m.facts.hash != subject.facts.hash).collect();
    if let Some(ancestor) = rng.pick(&ancestors) {
        add_dependency(raw, ancestor.facts.hash);
    }
}

/// The change over a later one that reaches the actor's previous change, which is then no dependency itself.
fn hide_previous(rng: &mut Rng, world: &World, subject: &Member, raw: &mut Raw) {
    let facts = &subject.facts;
    let reaches_previous = |member: &&Member| {
        let last = member.clock.get(&facts.actor).map(|last| last.seq);
        member.facts.actor != facts.actor && facts.seq > 1 && last == Some(facts.seq - 1)
    };
    let later: Vec<_> = world.members.iter().filter(reaches_previous).collect();
    if let Some(later) = rng.pick(&later) {
        raw.dependencies = vec![later.facts.hash.0];
        raw.start_op = later.facts.max_op + 1;
    }
}

fn others(rng: &mut Rng, someone: &Member, raw: &mut Raw) {
    match rng.below(5) {
        0 => raw.others.push(someone.facts.actor.0.to_vec()),
        1 => drop(raw.others.pop()),
        2 => raw.others.reverse(),
        3 => raw.others.extend(vec![raw.actor.clone(); 65]),
        _ => raw.others.push(rng.bytes::<7>().to_vec()),
    }
}

/// Changes the header: magic, checksum, type, length.
fn header(rng: &mut Rng, mut bytes: Vec<u8>) -> Vec<u8> {
    match rng.below(5) {
        0 => bytes[0] ^= 1,
        1 => bytes[4 + rng.below(4)] ^= 1 << rng.below(8),
        2 => bytes[8] = rng.below(5) as u8,
        3 => bytes.push(0),
        _ => drop(bytes.pop()),
    }
    bytes
}

/// The subject with one to three of its operations made wrong.
fn operations(rng: &mut Rng, world: &World, subject: &Member) -> ExpandedChange {
    let mut change = subject.parsed.change().decode();
    let known = world.operations(&ancestors(subject), true);
    let strange = world.operations(&ancestors(subject), false);
    let own = |rng: &mut Rng| OpId {
        counter: subject.facts.start_op + rng.below(change.operations.len() + 2) as u64,
        actor: subject.facts.actor,
    };
    let ids: Vec<OpId> = (0..24)
        .filter_map(|i| match i % 4 {
            0 => Some(own(rng)),
            1 => rng.pick(&strange).map(|(id, _)| *id),
            _ => rng.pick(&known).map(|(id, _)| *id),
        })
        .collect();
    for _ in 0..=rng.below(3) {
        let at = rng.below(change.operations.len());
        if at < change.operations.len() {
            operation(rng, &mut change.operations, at, &ids);
        }
    }
    change
}

fn operation(rng: &mut Rng, operations: &mut Vec<legacy::Op>, at: usize, ids: &[OpId]) {
    let id = rng.pick(ids).map(|id| old_id(*id));
    let other = rng.below(operations.len());
    let op = &mut operations[at];
    match rng.below(16) {
        0 => op.action = action(rng),
        1 => op.action = OpType::Delete,
        2 => op.action = OpType::Put(scalar(rng)),
        3 => op.insert = !op.insert,
        4 => op.obj = ObjectId::Root,
        5 => op.obj = id.map_or(ObjectId::Root, ObjectId::Id),
        6 => op.key = Key::Map(key(rng)),
        7 => op.key = id.map_or(Key::head(), |id| ElementId::Id(id).into_key()),
        8 => op.key = Key::head(),
        9 => op.pred = Vec::new().into(),
        10 => op.pred = id.into_iter().collect::<Vec<_>>().into(),
        11 => op.pred = op.pred.iter().cloned().chain(id).collect::<Vec<_>>().into(),
        12 => op.pred = op.pred.iter().chain(op.pred.iter()).cloned().collect::<Vec<_>>().into(),
        13 => drop(operations.remove(at)),
        14 => operations.insert(other, operations[at].clone()),
        _ => operations.swap(at, other),
    }
}

fn action(rng: &mut Rng) -> OpType {
    match rng.below(7) {
        0 => OpType::Make(ObjType::Map),
        1 => OpType::Make(ObjType::List),
        2 => OpType::Make(ObjType::Text),
        3 => OpType::Make(ObjType::Table),
        4 => OpType::Increment(rng.odd_number() as i64),
        5 => OpType::MarkBegin(MarkData { name: "bold".into(), value: scalar(rng), expand: rng.chance(50) }),
        _ => OpType::MarkEnd(rng.chance(50)),
    }
}

fn scalar(rng: &mut Rng) -> ScalarValue {
    match rng.below(10) {
        0 => ScalarValue::Counter((rng.odd_number() as i64).into()),
        1 => ScalarValue::Timestamp(rng.odd_number() as i64),
        2 => ScalarValue::Unknown { type_code: 10 + rng.below(6) as u8, bytes: rng.bytes::<3>().to_vec() },
        _ => honest::scalar(rng),
    }
}

fn key<T: From<String>>(rng: &mut Rng) -> T {
    match rng.below(4) {
        0 => String::new(),
        1 => "k".repeat(250 + rng.below(10)),
        2 => "description".to_owned(),
        _ => "status".to_owned(),
    }
    .into()
}

/// An id as Automerge's decoded form has it.
pub(super) fn old_id(id: OpId) -> legacy::OpId {
    legacy::OpId::new(id.counter, &ActorId::from(id.actor))
}

/// An empty change in the place of `subject`.
pub(super) fn emptied(subject: &Member) -> ExpandedChange {
    let mut change = subject.parsed.change().decode();
    change.operations.clear();
    change.start_op = NonZeroU64::new(subject.facts.start_op).unwrap_or(NonZeroU64::MIN);
    change
}
