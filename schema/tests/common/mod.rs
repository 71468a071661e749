//! One value of everything that is hashed, signed or sent, as fixed as its format.

#![allow(dead_code, reason = "each test file uses a part of it")]

use schema::author::Author;
use schema::authority::{
    AuthorityRef, Body, Cut, DeviceEntry, Enrolment, Grant, Pin, Role, ScopeSelector, SealingKey, ServiceEntry, Signed,
    SiteEntry, SiteSelector, Standing, UserEntry,
};
use schema::codec::Canonical;
use schema::credential::{Credential, LoginSecrets, SealedAgain, Share};
use schema::doc::DocKind;
use schema::fork::{Branch, ForkProof};
use schema::frontier::{Frontier, SignedFrontier};
use schema::id::{
    ChangeHash, CommandId, DeviceId, DocId, GenerationId, LogId, RecordHash, ScopeId, ServiceId, SiteId, StructureId,
    UserId,
};
use schema::identity::{Purpose, Secret, organisation};
use schema::record::{
    BlobRef, BodyKind, Closing, CommandName, Entry, FORMAT, Genesis, Header, OpaqueRef, Origin, Previous, Record,
    Skeleton,
};
use schema::sealing::SealingSecret;
use schema::time::Hlc;

pub fn secret() -> Secret {
    Secret::from_bytes([5; 32])
}

fn pin() -> Pin {
    Pin { at: AuthorityRef { epoch: 1, position: 7 }, hash_head: [0x77; 8] }
}

fn skeleton() -> Skeleton {
    Skeleton::new(CommandName::Given(CommandId([4; 8])), Author::User(UserId([6; 16])))
}

fn record(kind: BodyKind, skeleton: Skeleton, previous: Previous, seq: u64) -> Record {
    let log = LogId { site: secret().public(), generation: GenerationId([2; 16]), scope: ScopeId([3; 16]) };
    let header = Header {
        format: FORMAT,
        org: organisation(&secret().public()),
        log,
        seq,
        previous,
        pin: pin(),
        hlc: Hlc(1 << 20),
        schema: 1,
        kind,
        skeleton: skeleton.hash(),
        extension: Vec::new(),
    };
    Record { header, skeleton }
}

/// An enrolment's body.
pub fn enrolment() -> Enrolment {
    Enrolment {
        user: UserId([1; 16]),
        login: "neu".into(),
        grants: vec![Grant { structure: Some(StructureId([1; 16])), role: Role::User }],
        standing: Standing::Active,
    }
}

/// What a credential seals.
pub fn login_secrets() -> LoginSecrets {
    LoginSecrets { verifier: "$argon2id$v=19$m=19456,t=2,p=1$YXJjaGlwZWw$c2FtcGxl".into() }
}

/// A credential's body, sealed again to two sites by the site of the samples, and one of them.
pub fn credential() -> ((SiteId, SealingSecret), Credential) {
    let again = Some(SealedAgain { times: 1, hlc: Hlc(1 << 19), hash: RecordHash([9; 32]) });
    let mut credential = Credential { user: UserId([1; 16]), number: 2, again, shares: Vec::new() };
    let (org, site) = (organisation(&secret().public()), secret().public());
    let context = credential.context(org, site);
    let sites = [3, 4].map(|byte| Secret::from_bytes([byte; 32]));
    credential.shares = sites
        .iter()
        .map(|site| {
            let key = SealingSecret::of(site).public();
            let sealed = SealingSecret::of(&secret()).seal(&key, &context, &login_secrets().to_bytes());
            Share { site: site.public(), sealed: sealed.expect("a key that a secret gives takes what is sealed") }
        })
        .collect();
    credential.shares.sort_by_key(|share| share.site);
    ((sites[0].public(), SealingSecret::of(&sites[0])), credential)
}

/// Records of every shape, by name.
pub fn records() -> Vec<(&'static str, Record)> {
    let entry =
        |doc: u8, genesis| Entry { doc: DocId([doc; 32]), genesis, change: ChangeHash([doc + 1; 32]), length: 99 };
    let edit = Skeleton {
        entries: vec![
            entry(1, Some(Genesis::Computed(DocKind::Ticket))),
            entry(9, Some(Genesis::Natural(DocKind::Person, [8; 16]))),
            entry(20, None),
        ],
        ..skeleton()
    };
    let opaque = Skeleton { opaque: Some(OpaqueRef::of(&enrolment().to_bytes())), ..skeleton() };
    let sealed = Skeleton {
        opaque: Some(OpaqueRef::of(&credential().1.to_bytes())),
        ..Skeleton::new(CommandName::Place, Author::Site)
    };
    let closing = Closing { generation: GenerationId([1; 16]), seq: 4, hash: RecordHash([2; 32]), pin: pin() };
    let follows = Previous::Record(RecordHash([7; 32]));
    let again = CommandName::Again { generation: GenerationId([8; 16]), seq: 31, hlc: Hlc(1 << 19), hash_head: [6; 8] };
    let origin = Origin {
        device: DeviceId([11; 32]),
        generation: GenerationId([12; 16]),
        seq: 3,
        hash: RecordHash([13; 32]),
        signature: Secret::from_bytes([14; 32]).sign(Purpose::Record, &[13; 32]),
    };
    let admitted = Skeleton {
        command: again,
        author: Author::Service(ServiceId([15; 16])),
        blobs: vec![BlobRef { hash: [1; 32], length: 1 << 33 }, BlobRef { hash: [2; 32], length: 5 }],
        origin: Some(origin),
        ..edit.clone()
    };
    let mut newer = record(BodyKind::Other(42), opaque.clone(), follows, 5);
    newer.header.format = 2;
    newer.header.extension = vec![1, 2, 3];
    let own = Skeleton { command: CommandName::Place, author: Author::Site, ..edit.clone() };
    vec![
        ("record-edit-first", record(BodyKind::Edit, edit.clone(), Previous::First, 1)),
        ("record-edit-first-of-generation", record(BodyKind::Edit, edit, Previous::After(closing), 1)),
        ("record-edit", record(BodyKind::Edit, own, follows, 2)),
        ("record-enrolment", record(BodyKind::Enrolment, opaque.clone(), follows, 3)),
        ("record-credential", record(BodyKind::Credential, sealed, follows, 4)),
        ("record-of-a-newer-format", newer),
        ("record-with-blobs-and-origin", record(BodyKind::Other(2), admitted, follows, 6)),
    ]
}

/// The proof of a fork behind the fourth record of a log: of one history two headers, of the other one.
pub fn fork() -> ForkProof {
    let header = |author: u8, previous, seq| {
        let author = Author::User(UserId([author; 16]));
        record(BodyKind::Edit, Skeleton { author, ..skeleton() }, Previous::Record(previous), seq).header
    };
    let branch = |headers: Vec<Header>| {
        let last = headers.last().map(Header::hash).unwrap_or(RecordHash([0; 32]));
        Branch { headers, signature: secret().sign(Purpose::Record, &last.0) }
    };
    let last = RecordHash([4; 32]);
    let first = header(1, last, 5);
    let second = header(1, first.hash(), 6);
    ForkProof::new(branch(vec![first, second]), branch(vec![header(2, last, 5)]))
}

/// A user entry.
pub fn user() -> UserEntry {
    UserEntry {
        user: UserId([1; 16]),
        login: "ana".into(),
        grants: vec![
            Grant { structure: None, role: Role::Admin },
            Grant { structure: Some(StructureId([2; 16])), role: Role::Technician },
        ],
        sites: vec![SiteSelector::Site(secret().public()), SiteSelector::Below(StructureId([2; 16]))],
        standing: Standing::Active,
    }
}

/// Statements of every kind, by name; each signed, in a chain of its own.
pub fn statements() -> Vec<(&'static str, Signed)> {
    let (root, sequencer) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
    let site = secret().public();
    let cut = |scope: u8| Cut {
        scope: ScopeId([scope; 16]),
        generation: GenerationId([2; 16]),
        seq: 9,
        hash: RecordHash([3; 32]),
    };
    let bodies = vec![
        (
            "statement-genesis",
            Body::Genesis { name: "Test".into(), root: root.public(), sequencer: sequencer.public() },
        ),
        (
            "statement-structure",
            Body::Structure {
                structure: StructureId([2; 16]),
                name: "Dakar".into(),
                parent: Some(StructureId([1; 16])),
            },
        ),
        (
            "statement-site",
            Body::Site(SiteEntry {
                site,
                code: "PAR".into(),
                name: "Paris".into(),
                standing: Standing::Active,
                structure: Some(StructureId([1; 16])),
                holds: vec![
                    ScopeSelector::Organisation,
                    ScopeSelector::Structure(StructureId([3; 16])),
                    ScopeSelector::Below(StructureId([1; 16])),
                ],
                enrols: vec![ScopeSelector::All],
                sealing: Some(SealingKey([9; 32])),
            }),
        ),
        ("statement-user", Body::User(user())),
        ("statement-version", Body::Version(2)),
        ("statement-revoke", Body::Revoke { site, cuts: vec![cut(1), cut(2)] }),
        (
            "statement-hand-over",
            Body::HandOver {
                base: AuthorityRef { epoch: 1, position: 5 },
                base_hash: [6; 32],
                sequencer: SiteId([8; 32]),
            },
        ),
        ("statement-copied", Body::Copied { site, generation: GenerationId([2; 16]), seq: 3, user: user() }),
        (
            "statement-addresses",
            Body::Addresses { site, addresses: vec!["192.0.2.1:4433".into(), "https://relay.example".into()] },
        ),
        (
            "statement-device",
            Body::Device(DeviceEntry {
                device: DeviceId([11; 32]),
                user: UserId([1; 16]),
                home: site,
                sealing: SealingKey([10; 32]),
                standing: Standing::Ended,
                name: "Laptop".into(),
            }),
        ),
        (
            "statement-service",
            Body::Service(ServiceEntry {
                service: ServiceId([15; 16]),
                name: "Mail".into(),
                grants: vec![Grant { structure: None, role: Role::Technician }],
                sites: vec![SiteSelector::All],
                standing: Standing::Active,
            }),
        ),
    ];
    let sign = |(name, body): (&'static str, Body)| {
        let position = u64::from(body.number());
        let signer = if position == 0 { &root } else { &sequencer };
        let previous = if position == 0 { [0; 32] } else { [position as u8; 32] };
        let at = AuthorityRef { epoch: 1, position };
        (name, Signed::new(organisation(&root.public()), at, previous, Hlc(5), &body, signer))
    };
    bodies.into_iter().map(sign).collect()
}

/// A frontier announcement.
pub fn frontier() -> SignedFrontier {
    let frontier = Frontier {
        org: organisation(&secret().public()),
        site: secret().public(),
        generation: GenerationId([9; 16]),
        scope: ScopeId([3; 16]),
        number: 12,
        hlc: Hlc(77),
        heard: Some(GenerationId([7; 16])),
        lines: vec![(SiteId([1; 32]), GenerationId([2; 16]), 12), (SiteId([1; 32]), GenerationId([3; 16]), 0)],
    };
    SignedFrontier::new(frontier, &secret())
}
