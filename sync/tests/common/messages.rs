//! A message of each kind, with the runs of each shape that one may carry.

#![allow(dead_code, reason = "each test file uses a part of it")]

#[path = "../../../schema/tests/common/mod.rs"]
pub mod values;

use schema::authority::{AuthorityRef, Pin};
use schema::codec::Canonical;
use schema::id::{ActorId, ChangeHash, DocId, GenerationId, LogId, OrgId, RecordHash, ScopeId, SiteId, StoreId};
use schema::identity::Purpose;
use schema::record::{BodyName, Record};
use sync::admission::{RecordWithBodies, Run};
use sync::frontiers::Update;
use sync::store::StoreError;
use sync::store::log_index::LogName;
use sync::wire::stripped::{FrameLogs, Sender};
use sync::wire::{Cursor, DocsAt, Hello, Lane, Message, Offer, PackedRun, PackedRuns, WantedPiece};

/// The scope of every message that names one.
pub const SCOPE: ScopeId = ScopeId([3; 16]);

pub fn pin() -> Pin {
    Pin { at: AuthorityRef { epoch: 1, position: 7 }, hash_head: [0x77; 8] }
}

/// Knows nothing: changes travel whole.
pub struct Nothing;

impl Sender for Nothing {
    fn place(&self, _: &ChangeHash) -> Result<Option<(LogName, u64, u32, DocId)>, StoreError> {
        Ok(None)
    }
    fn author(&self, _: &DocId, _: &ActorId) -> Result<Option<LogName>, StoreError> {
        Ok(None)
    }
}

/// A chunk that an honest author in this log would make: it travels stripped where its dependency is known.
fn chunk(log: &LogId, doc: &DocId) -> (Vec<u8>, ChangeHash) {
    use automerge::ReadDoc;
    use automerge::transaction::{CommitOptions, Transactable};
    let mut document = automerge::Automerge::new_with_encoding(automerge::TextEncoding::UnicodeCodePoint);
    let put = |document: &mut automerge::Automerge, actor: [u8; 16], value: &str| {
        document.set_actor(automerge::ActorId::from(actor));
        let mut tx = document.transaction();
        tx.put(automerge::ROOT, "title", value).unwrap();
        tx.commit_with(CommitOptions::default().with_time(0)).0.unwrap()
    };
    let first = put(&mut document, [0x21; 16], "lampe");
    let own = schema::record::actor(&log.site, &log.generation, doc);
    let second = put(&mut document, own.0, "badge");
    (document.get_change_by_hash(&second).unwrap().raw_bytes().to_vec(), ChangeHash(first.0))
}

/// Knows where one change stands, and whose the other actor is.
struct Knows(ChangeHash);

impl Sender for Knows {
    fn place(&self, change: &ChangeHash) -> Result<Option<(LogName, u64, u32, DocId)>, StoreError> {
        let log = (SiteId([4; 32]), GenerationId([5; 16]));
        Ok((*change == self.0).then_some((log, 77, 1, DocId([20; 32]))))
    }
    fn author(&self, _: &DocId, _: &ActorId) -> Result<Option<LogName>, StoreError> {
        Ok(Some((SiteId([4; 32]), GenerationId([5; 16]))))
    }
}

/// Lays out runs; of those with `true` the changes travel stripped, as of a receiver that knows this one.
fn packed(runs: &[(Run, bool)], known: ChangeHash) -> PackedRuns {
    let mut logs = FrameLogs::default();
    let pack = |(run, stripped): &(Run, bool)| match stripped {
        true => PackedRun::pack(run, &Knows(known), &mut logs).unwrap(),
        false => PackedRun::pack(run, &Nothing, &mut logs).unwrap(),
    };
    let packed: Vec<PackedRun> = runs.iter().map(pack).collect();
    PackedRuns::of(SCOPE, &packed, logs)
}

/// A run of one record.
pub fn signed_run(record: Record, bodies: Vec<Option<Vec<u8>>>) -> Run {
    let signature = values::secret().sign(Purpose::Record, &record.hash().0);
    Run { log: record.header.log, records: vec![RecordWithBodies { record, bodies }], signature }
}

/// A run of each shape: every record of the samples whole, named only, and one stripped.
pub fn runs() -> PackedRuns {
    let mut runs = Vec::new();
    let mut known = ChangeHash([0; 32]);
    for (name, record) in values::records() {
        let bodies = |with: bool| record.bodies().map(|(name, _)| with.then(|| name.to_bytes())).collect();
        runs.push((signed_run(record.clone(), bodies(true)), false));
        if name == "record-edit" {
            runs.push((signed_run(record.clone(), bodies(false)), false));
            let mut stripped = record.clone();
            stripped.skeleton.entries.truncate(1);
            stripped.skeleton.entries[0].genesis = None;
            stripped.skeleton.entries[0].doc = DocId([20; 32]);
            let (body, first) = chunk(&record.header.log, &DocId([20; 32]));
            known = first;
            runs.push((signed_run(stripped, vec![Some(body)]), true));
        }
    }
    packed(&runs, known)
}

/// A message of each kind, by the name of its sample.
pub fn messages() -> Vec<(&'static str, Message)> {
    let cursor = Cursor { counter: 300, chain: [8; 16] };
    let docs = Some(DocsAt { digest: [9; 32], authority: pin() });
    let hello = Hello {
        versions: (1, 2),
        org: OrgId([1; 32]),
        store: StoreId([2; 16]),
        generation: GenerationId([3; 16]),
        authority: pin(),
        frontiers: [4; 32],
    };
    let offer = Offer { scope: SCOPE, cursors: [Some(cursor), None], vector: [5; 32], docs, floor: 12, announced: 300 };
    let statement = values::statements().swap_remove(3).1;
    let line = (SiteId([1; 32]), GenerationId([2; 16]), 300, RecordHash([3; 32]));
    let place = (SiteId([1; 32]), SCOPE);
    let later = {
        let mut later = values::frontier().frontier;
        later.number += 1;
        later.lines[0].2 = 400;
        later.lines.remove(1);
        schema::frontier::SignedFrontier::new(later, &values::secret())
    };
    let difference = sync::frontiers::Difference::between(&values::frontier().frontier, &later);
    vec![
        ("frame-hello", Message::Hello(hello)),
        ("frame-offer", Message::Offer(offer)),
        ("frame-authority", Message::Authority(vec![statement])),
        ("frame-runs", Message::Runs { scope: SCOPE, lane: Lane::Others, cursor, runs: runs() }),
        ("frame-ack", Message::Ack { scope: SCOPE, lane: Lane::Own, cursor }),
        ("frame-vector", Message::Vector { scope: SCOPE, lines: vec![line], answer: true }),
        ("frame-digest", Message::Digest { scope: SCOPE, vector: [6; 32], docs: None }),
        (
            "frame-frontiers",
            Message::Frontiers(vec![Update::Whole(values::frontier()), Update::Difference(difference)]),
        ),
        ("frame-peers", Message::Peers(vec![SiteId([7; 32])])),
        ("frame-ping", Message::Ping),
        ("frame-bye", Message::Bye("bad-run".into())),
        ("frame-want", Message::Want { scope: SCOPE, records: vec![(SiteId([9; 32]), GenerationId([8; 16]), 300)] }),
        (
            "frame-want-piece",
            Message::WantPiece {
                scope: SCOPE,
                wanted: WantedPiece {
                    record: (SiteId([9; 32]), GenerationId([8; 16]), 300),
                    name: BodyName::Change(ChangeHash([7; 32])),
                    offset: 16_384,
                },
            },
        ),
        (
            "frame-piece",
            Message::Piece { name: BodyName::Opaque([6; 32]), length: 40_000, offset: 16_384, bytes: vec![1, 2, 3] },
        ),
        ("frame-bodies", Message::Bodies { scope: SCOPE, bodies: vec![vec![1, 2, 3]] }),
        (
            "frame-frontier-list",
            Message::FrontierList { answer: true, held: vec![(place.0, place.1, 300, GenerationId([2; 16]))] },
        ),
        ("frame-frontier-want", Message::FrontierWant(vec![place])),
        (
            "frame-fork-points",
            Message::ForkPoints {
                scope: SCOPE,
                log: (SiteId([9; 32]), GenerationId([8; 16])),
                points: vec![(300, RecordHash([7; 32]))],
            },
        ),
        ("frame-fork-branch", Message::ForkBranch(values::fork().branches[0].clone())),
        ("frame-fork-list", Message::ForkList { scope: SCOPE, held: vec![[1; 32]] }),
        ("frame-fork-want", Message::ForkWant { scope: SCOPE, wanted: vec![[1; 32]] }),
        ("frame-fork", Message::Fork(values::fork())),
    ]
}
