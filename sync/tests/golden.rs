//! Stored samples of every frame and of every row of the store that is not a frame's or `schema`'s own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "../../tests/samples/golden.rs"]
mod golden;
#[path = "common/messages.rs"]
mod messages;

use messages::values;
use messages::{SCOPE, messages, pin};
use schema::author::Author;
use schema::authority::{AuthorityRef, Enrolment, Pin, Standing};
use schema::codec::Canonical;
use schema::doc::{DocKind, GenesisFacts, Value};
use schema::id::{ActorId, ChangeHash, DocId, GenerationId, LogId, RecordHash, SiteId, UserId};
use schema::identity::Purpose;
use schema::record::{BodyName, Closing};
use schema::time::Hlc;
use sync::change::Facts;
use sync::docs::registers::{Content, Row};
use sync::store::log_index::{BranchOf, Successor};
use sync::store::rows::{Arrival, Beyond, Birth, DocRow, IndexEntry, Mark, Said, StoredRecord, Summary, Verdict, Wait};
use sync::store::{LogState, ScopeState};
use sync::wire::{Cursor, decode, encode};

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
    let of = BranchOf { of: GenerationId([7; 16]), from: 290, base: RecordHash([8; 32]), on: Some(5) };
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
