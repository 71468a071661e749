//! Every byte of what is signed matters: flipped, it is refused, and the test says by what.

use std::collections::BTreeMap;

use schema::authority::{AuthorityRef, Body, Enrolment, Grant, Role, Signed, Standing, UserEntry};
use schema::codec::Canonical;
use schema::doc::DocKind;
use schema::frontier::{Frontier, SignedFrontier};
use schema::id::{ChangeHash, CommandId, DocId, GenerationId, LogId, RecordHash, ScopeId, StructureId, UserId};
use schema::identity::{Purpose, Secret, Signature, organisation, verify};
use schema::policy::AuthorityLog;
use schema::record::{
    Author, BodyKind, CommandName, Content, Entry, FORMAT, Genesis, Header, Previous, Record, Skeleton, body_hash,
};
use schema::time::Hlc;

fn secret() -> Secret {
    Secret::from_bytes([5; 32])
}

fn record(kind: BodyKind, content: Content, previous: Previous, seq: u64) -> Record {
    let log = LogId { site: secret().public(), generation: GenerationId([2; 16]), scope: ScopeId([3; 16]) };
    let skeleton =
        Skeleton { command: CommandName::Given(CommandId([4; 8])), author: Author::User(UserId([6; 16])), content };
    let header = Header {
        format: FORMAT,
        org: organisation(&secret().public()),
        log,
        seq,
        previous,
        authority: AuthorityRef { epoch: 1, position: 7 },
        hlc: Hlc(1 << 20),
        schema: 1,
        kind,
        skeleton: skeleton.hash(),
    };
    Record { header, skeleton }
}

fn samples() -> Vec<(&'static str, Record)> {
    let entry =
        |doc: u8, genesis| Entry { doc: DocId([doc; 32]), genesis, change: ChangeHash([doc + 1; 32]), length: 99 };
    let edit = Content::Edit(vec![
        entry(1, Some(Genesis { kind: DocKind::Ticket, natural: None })),
        entry(9, Some(Genesis { kind: DocKind::Person, natural: Some([8; 16]) })),
        entry(20, None),
    ]);
    let enrolment = Enrolment {
        user: UserId([1; 16]),
        login: "neu".into(),
        grants: vec![Grant { structure: Some(StructureId([1; 16])), role: Role::User }],
        standing: Standing::Active,
    };
    let body = enrolment.to_bytes();
    let opaque = || Content::Opaque { hash: body_hash(&body), length: body.len() as u32 };
    let after = Previous::After { generation: GenerationId([1; 16]), seq: 4, hash: RecordHash([2; 32]) };
    vec![
        ("edit, first of all", record(BodyKind::Edit, edit.clone(), Previous::First, 1)),
        ("edit, first of a generation", record(BodyKind::Edit, edit.clone(), after, 1)),
        ("edit", record(BodyKind::Edit, edit, Previous::Record(RecordHash([7; 32])), 2)),
        ("enrolment", record(BodyKind::Enrolment, opaque(), Previous::Record(RecordHash([7; 32])), 3)),
        ("a kind of a newer version", record(BodyKind::Other(42), opaque(), Previous::Record(RecordHash([7; 32])), 4)),
    ]
}

/// What stops a flipped record; `None` if nothing does.
fn stopped_by(bytes: &[u8], signature: &Signature) -> Option<&'static str> {
    let Ok(record) = Record::from_bytes(bytes) else {
        return Some("does not decode");
    };
    if record.header.skeleton != record.skeleton.hash() {
        return Some("skeleton is not the one named");
    }
    let genuine = verify(&record.header.log.site, Purpose::Record, &record.hash().0, signature);
    (!genuine).then_some("signature is not over this")
}

#[test]
fn no_bit_of_a_record_can_be_flipped() {
    for (name, record) in samples() {
        let bytes = record.to_bytes();
        assert_eq!(Record::from_bytes(&bytes).as_ref(), Ok(&record), "{name} is read back as written");
        let signature = secret().sign(Purpose::Record, &record.hash().0);
        assert_eq!(stopped_by(&bytes, &signature), None, "{name} itself is genuine");
        let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let stop = stopped_by(&flipped, &signature);
                assert!(stop.is_some(), "{name}: bit {bit} of byte {at} changed nothing that anybody checks");
                *outcomes.entry(stop.unwrap_or_default()).or_default() += 1;
            }
        }
        println!("{name}, {} bytes: {outcomes:?}", bytes.len());
    }
}

#[test]
fn no_bit_of_a_statement_can_be_flipped() {
    let (root, sequencer) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
    let org = organisation(&root.public());
    let found = Body::Genesis { name: "Test".into(), root: root.public(), sequencer: sequencer.public() };
    let first = Signed::new(org, AuthorityRef { epoch: 1, position: 0 }, [0; 32], Hlc(1), &found, &root);
    let user = Body::User(UserEntry {
        user: UserId([1; 16]),
        login: "ana".into(),
        grants: vec![Grant { structure: None, role: Role::Admin }],
        sites: vec![secret().public()],
        standing: Standing::Active,
    });
    let at = AuthorityRef { epoch: 1, position: 1 };
    let second = Signed::new(org, at, first.statement.hash(), Hlc(2), &user, &sequencer);
    let mut log = AuthorityLog::default();
    log.push(&first).expect("the first statement stands");
    log.clone().push(&second).expect("the second statement stands");
    let bytes = second.to_bytes();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let refused = match Signed::from_bytes(&flipped) {
                Ok(signed) => log.clone().push(&signed).is_err(),
                Err(_) => true,
            };
            assert!(refused, "bit {bit} of byte {at} changed nothing that anybody checks");
        }
    }
}

#[test]
fn no_bit_of_a_height_statement_can_be_flipped() {
    let log = LogId { site: secret().public(), generation: GenerationId([2; 16]), scope: ScopeId([3; 16]) };
    let frontiers = Frontier {
        org: organisation(&secret().public()),
        site: secret().public(),
        generation: GenerationId([9; 16]),
        hlc: Hlc(77),
        lines: vec![(log, 12)],
    };
    let bytes = SignedFrontier::new(frontiers, &secret()).to_bytes();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let refused = SignedFrontier::from_bytes(&flipped).map_or(true, |signed| !signed.is_genuine());
            assert!(refused, "bit {bit} of byte {at} changed nothing that anybody checks");
        }
    }
}

#[test]
fn the_form_of_a_record_never_changes_unseen() {
    let hashes: Vec<String> = samples().iter().map(|(_, record)| record.hash().short()).collect();
    let lengths: Vec<usize> = samples().iter().map(|(_, record)| record.to_bytes().len()).collect();
    assert_eq!(lengths, [421, 477, 453, 258, 258], "lengths of the stored samples");
    assert_eq!(hashes, ["4ffdf718", "79dc915d", "8e25e5b7", "4c99c9d3", "765a4e6c"], "hashes of the stored samples");
}
