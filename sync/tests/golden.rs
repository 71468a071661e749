//! Stored samples of every frame and of every row of the store that is not a frame's or `schema`'s own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "../../tests/samples/golden.rs"]
mod golden;
#[path = "../../schema/tests/common/mod.rs"]
mod values;

use schema::author::Author;
use schema::authority::{AuthorityRef, Enrolment, Pin, Standing};
use schema::codec::Canonical;
use schema::doc::{DocKind, GenesisFacts, Value};
use schema::id::{
    ActorId, ChangeHash, DocId, GenerationId, LogId, OrgId, RecordHash, ScopeId, SiteId, StoreId, UserId,
};
use schema::identity::Purpose;
use schema::record::{BodyName, Closing, Record};
use schema::time::Hlc;
use sync::admission::{RecordWithBodies, Run};
use sync::change::Facts;
use sync::docs::registers::{Content, Row};
use sync::frontiers::Update;
use sync::store::log_index::{BranchOf, LogName, Successor};
use sync::store::rows::{Arrival, Beyond, Birth, DocRow, IndexEntry, Mark, Said, StoredRecord, Summary, Verdict, Wait};
use sync::store::{LogState, ScopeState, StoreError};
use sync::wire::stripped::{FrameLogs, Sender};
use sync::wire::{Cursor, DocsAt, Hello, Lane, Message, Offer, PackedRun, PackedRuns, decode, encode};

const SCOPE: ScopeId = ScopeId([3; 16]);

fn pin() -> Pin {
    Pin { at: AuthorityRef { epoch: 1, position: 7 }, hash_head: [0x77; 8] }
}

/// Knows nothing: changes travel whole.
struct Nothing;

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

fn packed(runs: &[(Run, bool)], known: ChangeHash) -> PackedRuns {
    let mut logs = FrameLogs::default();
    let pack = |(run, stripped): &(Run, bool)| match stripped {
        true => PackedRun::pack(run, &Knows(known), &mut logs).unwrap(),
        false => PackedRun::pack(run, &Nothing, &mut logs).unwrap(),
    };
    let packed: Vec<PackedRun> = runs.iter().map(pack).collect();
    PackedRuns::of(SCOPE, &packed, logs)
}

fn signed_run(record: Record, bodies: Vec<Option<Vec<u8>>>) -> Run {
    let signature = values::secret().sign(Purpose::Record, &record.hash().0);
    Run { log: record.header.log, records: vec![RecordWithBodies { record, bodies }], signature }
}

/// A run of each shape: every record of the samples whole, named only, and one stripped.
fn runs() -> PackedRuns {
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

fn messages() -> Vec<(&'static str, Message)> {
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

fn rows() -> Vec<(&'static str, Vec<u8>)> {
    let log = LogId { site: SiteId([1; 32]), generation: GenerationId([2; 16]), scope: SCOPE };
    let closing = Closing { generation: GenerationId([1; 16]), seq: 4, hash: RecordHash([2; 32]), pin: pin() };
    let state = LogState {
        no: 9,
        id: log,
        seq: 300,
        hash: RecordHash([4; 32]),
        hlc: Hlc(77),
        pin: pin(),
        follows: Some(closing),
        successors: vec![Successor { seq: 300, hash: RecordHash([4; 32]), generation: GenerationId([6; 16]) }],
        branch: None,
    };
    let of = BranchOf { of: GenerationId([7; 16]), from: 290, base: RecordHash([8; 32]) };
    let branch = LogState { branch: Some(of), follows: None, successors: Vec::new(), ..state.clone() };
    let scope = ScopeState { arrivals: 5, chain: [6; 16], materialized: 4, digest: [7; 32] };
    let record = values::records().swap_remove(0).1;
    let signature = Some(values::secret().sign(Purpose::Record, &record.hash().0));
    let birth = Birth {
        genesis: ChangeHash([1; 32]),
        texts: vec!["description".into()],
        facts: GenesisFacts { requester: Some(DocId([2; 32])) },
    };
    let heads = vec![ChangeHash([3; 32]), ChangeHash([4; 32])];
    let values = [
        Content::Text("Il fait noir.".into()),
        Content::Value(Value::Null),
        Content::Value(Value::Bool(true)),
        Content::Value(Value::Int(-5)),
        Content::Value(Value::Text("lampe".into())),
        Content::Value(Value::Other("1.5".into())),
    ];
    let register = values.map(|content| Row { change: ChangeHash([5; 32]), content }.to_bytes()).concat();
    let first = Some((Hlc(76), ChangeHash([1; 32]), Hlc(75)));
    let summary = Summary { first, last_at: Some(Hlc(78)), tainted: true };
    let doc = DocRow { scope: SCOPE, kind: DocKind::Ticket, natural: false, births: vec![birth], heads, summary };
    let facts = Facts {
        hash: ChangeHash([5; 32]),
        actor: ActorId([6; 16]),
        seq: 7,
        start_op: 300,
        max_op: 305,
        dependencies: vec![ChangeHash([3; 32])],
    };
    let entry = IndexEntry {
        log: 9,
        seq: 300,
        author: Author::User(UserId([8; 16])),
        at: Hlc(76),
        order: Hlc(77),
        genesis: ChangeHash([1; 32]),
        tainted: true,
        doubt: true,
        ordered: true,
        ordered_before: vec![ChangeHash([2; 32])],
        facts,
    };
    let waits = [
        Wait::Change(ChangeHash([1; 32])),
        Wait::Authority(AuthorityRef { epoch: 1, position: 7 }),
        Wait::Version,
        Wait::Enrolment(UserId([1; 16]), SiteId([2; 32])),
        Wait::Earlier(DocId([1; 32]), 9),
        Wait::Body(BodyName::Opaque([1; 32])),
    ];
    let mut verdicts = Verdict::Void("role-may-not".into()).to_bytes();
    for wait in waits {
        verdicts.extend(wait.row_key(9, 300));
        verdicts.extend(Verdict::Waiting(wait).to_bytes());
    }
    for verdict in [Verdict::Beyond(Beyond::Cut), Verdict::Beyond(Beyond::Fork), Verdict::Stranded] {
        verdicts.extend(verdict.to_bytes());
    }
    let enrolment =
        Enrolment { user: UserId([5; 16]), login: "tom".into(), grants: vec![], standing: Standing::Active };
    let rank = values::credential().1.rank(Hlc(77), RecordHash([4; 32]));
    let at = AuthorityRef { epoch: 1, position: 4 };
    let said = Said { hlc: Hlc(9), place: (GenerationId([1; 16]), 300), pin: Pin { at, hash_head: [3; 8] }, enrolment };
    vec![
        ("row-log", state.to_bytes()),
        ("row-branch", branch.to_bytes()),
        ("row-mark", [Mark::Tainted.to_bytes(), Mark::Stranded.to_bytes()].concat()),
        ("row-scope", scope.to_bytes()),
        ("row-record", StoredRecord { record, signature }.to_bytes()),
        ("row-arrival", Arrival { log: 9, seq: 300, chain: [1; 16] }.to_bytes()),
        ("row-document", doc.to_bytes()),
        ("row-register", register),
        ("row-enrolment", said.to_bytes()),
        // The key under which it is listed; the value is the key of its record.
        ("row-credential-key", [UserId([1; 16]).0.as_slice(), &rank.to_bytes()].concat()),
        ("row-change", entry.to_bytes()),
        ("row-verdicts-and-their-keys", verdicts),
        ("row-cursor", Cursor { counter: 300, chain: [8; 16] }.to_bytes()),
    ]
}

#[test]
fn no_frame_and_no_row_changes_unseen() {
    let mut samples = rows();
    for (name, message) in messages() {
        let frame = encode(&message);
        assert_eq!(decode(&frame).unwrap(), message, "{name} is read back as written");
        // Plain, so that another version of the compressor is no other format.
        let plain = match frame[0] {
            0 => frame[1..].to_vec(),
            _ => zstd::bulk::decompress(&frame[1..], 1 << 20).unwrap(),
        };
        assert_eq!(decode(&[&[0], plain.as_slice()].concat()).unwrap(), message, "{name} needs no compression");
        samples.push((name, plain));
    }
    golden::check("sync", &samples);
}
