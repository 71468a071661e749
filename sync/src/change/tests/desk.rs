//! A small document made by hand, and the means to write any change for it, honest or not.

use std::num::NonZeroU64;

use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType};
use automerge::{ActorId, Change, ExpandedChange, ObjType, ScalarValue};

use crate::change::{Actor, Facts, Genesis, Hash, MemoryHistory, Reason, Verdict, judge, parse};

/// The authors of the desk, and one that never wrote.
pub(super) const ANA: Actor = Actor([0xa; 16]);
pub(super) const BEN: Actor = Actor([0xb; 16]);
pub(super) const CLEO: Actor = Actor([0xc; 16]);
pub(super) const DORA: Actor = Actor([0xd; 16]);
pub(super) const NOBODY: Actor = Actor([0xe; 16]);

/// `ana` makes the document: 1 puts status, 2 makes description with 3..=5 "abc", 6 makes notes with 7 "x".
/// `ben` then puts title (8), and `dora` puts place over that (9). `cleo`, who has seen neither, deletes "a" (8) and
/// puts due (9).
pub(in crate::change) struct Desk {
    pub(super) history: MemoryHistory,
    pub(super) genesis: Facts,
    pub(super) ben: Facts,
    pub(super) cleo: Facts,
    pub(super) dora: Facts,
}

impl Desk {
    pub(in crate::change) fn new() -> Self {
        let mut history = MemoryHistory::default();
        let description = at(2, ANA);
        let genesis = change(
            ANA,
            1,
            1,
            &[],
            vec![
                put("status", "open", &[]),
                make("description", &[]),
                insert(&description, None, "a"),
                insert(&description, Some(at(3, ANA)), "b"),
                insert(&description, Some(at(4, ANA)), "c"),
                make("notes", &[]),
                insert(&at(6, ANA), None, "x"),
            ],
        );
        let genesis = add(&mut history, genesis, ANA, Genesis::Random);
        let ben = change(BEN, 1, 8, &[genesis.hash], vec![put("title", "badge", &[])]);
        let ben = add(&mut history, ben, BEN, Genesis::No);
        let cleo = vec![erase(&description, at(3, ANA), &[at(3, ANA)]), put("due", "noon", &[])];
        let cleo = add(&mut history, change(CLEO, 1, 8, &[genesis.hash], cleo), CLEO, Genesis::No);
        let dora = change(DORA, 1, 9, &[ben.hash], vec![put("place", "Lyon", &[])]);
        let dora = add(&mut history, dora, DORA, Genesis::No);
        Self { history, genesis, ben, cleo, dora }
    }

    /// Ben's second change, over his first alone, with these operations: what most hostile changes start from.
    pub(super) fn bens(&self, operations: Vec<Op>) -> ExpandedChange {
        change(BEN, 2, 9, &[self.ben.hash], operations)
    }

    /// Ben's second change with one honest operation, as bytes.
    pub(in crate::change) fn plain(&self) -> Vec<u8> {
        bytes(self.bens(vec![put("status", "closed", &[at(1, ANA)])]))
    }

    pub(super) fn verdict(&self, chunk: &[u8], author: Actor, genesis: Genesis) -> Result<Verdict, Reason> {
        let parsed = parse(chunk)?;
        Ok(judge(&parsed, author, genesis, &self.history).expect("memory does not fail"))
    }
}

/// Judges an honest change and keeps it.
pub(super) fn add(history: &mut MemoryHistory, change: ExpandedChange, author: Actor, genesis: Genesis) -> Facts {
    let parsed = parse(&bytes(change)).expect("an honest change parses");
    match judge(&parsed, author, genesis, history).expect("memory does not fail") {
        Verdict::Applied(facts) => {
            assert!(history.insert(facts.clone(), &parsed), "one change per (actor, seq)");
            facts
        }
        other => panic!("an honest change is refused: {other:?}"),
    }
}

pub(super) fn change(actor: Actor, seq: u64, start: u64, dependencies: &[Hash], operations: Vec<Op>) -> ExpandedChange {
    let mut deps: Vec<automerge::ChangeHash> = dependencies.iter().map(|hash| (*hash).into()).collect();
    deps.sort_unstable();
    ExpandedChange {
        operations,
        actor_id: actor.into(),
        hash: None,
        seq,
        start_op: NonZeroU64::new(start).expect("operations are numbered from 1"),
        time: 0,
        message: None,
        deps,
        extra_bytes: Vec::new(),
        author: None,
    }
}

pub(super) fn bytes(change: ExpandedChange) -> Vec<u8> {
    Change::from(change).raw_bytes().to_vec()
}

pub(super) fn at(counter: u64, actor: Actor) -> OpId {
    OpId::new(counter, &ActorId::from(actor))
}

pub(super) fn op(obj: ObjectId, key: Key, insert: bool, action: OpType, pred: &[OpId]) -> Op {
    Op { action, obj, key, pred: pred.to_vec().into(), insert }
}

pub(super) fn on_root(key: &str, action: OpType, pred: &[OpId]) -> Op {
    op(ObjectId::Root, Key::Map(key.into()), false, action, pred)
}

pub(super) fn put(key: &str, value: &str, pred: &[OpId]) -> Op {
    on_root(key, OpType::Put(value.into()), pred)
}

pub(super) fn delete(key: &str, pred: &[OpId]) -> Op {
    on_root(key, OpType::Delete, pred)
}

pub(super) fn make(key: &str, pred: &[OpId]) -> Op {
    on_root(key, OpType::Make(ObjType::Text), pred)
}

pub(super) fn in_text(text: &OpId, element: Option<OpId>, insert: bool, action: OpType, pred: &[OpId]) -> Op {
    let key = element.map_or(Key::head(), |id| ElementId::Id(id).into_key());
    op(ObjectId::Id(text.clone()), key, insert, action, pred)
}

pub(super) fn insert(text: &OpId, after: Option<OpId>, value: &str) -> Op {
    in_text(text, after, true, OpType::Put(ScalarValue::Str(value.into())), &[])
}

pub(super) fn erase(text: &OpId, element: OpId, pred: &[OpId]) -> Op {
    in_text(text, Some(element), false, OpType::Delete, pred)
}
