//! The N-th call to the disk fails, for every N; then the power is cut. Nothing that was acknowledged is lost.

use schema::author::Author;
use schema::authority::{AuthorityRef, Body, ScopeSelector, Signed, SiteEntry, Standing};
use schema::doc::{DocKind, Edits, Value};
use schema::id::scope_of;
use schema::id::{DocId, GenerationId, StoreId, StructureId};
use schema::identity::{Secret, organisation};
use schema::record::CommandName;
use schema::time::{Hlc, Timestamp};
use sync::replica::{Replica, Start, WriteError};
use sync::store::Store;
use tests::disk::SimDisk;
use tests::rng::Rng;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const IT: StructureId = StructureId([1; 16]);

fn statements() -> Vec<Signed> {
    let (root, sequencer, site) = (secret(1), secret(2), secret(3));
    let org = organisation(&root.public());
    let bodies = [
        Body::Genesis { name: "T".into(), root: root.public(), sequencer: sequencer.public() },
        Body::Structure { structure: IT, name: "IT".into(), parent: None },
        Body::Site(SiteEntry {
            site: site.public(),
            code: "PAR".into(),
            name: "Paris".into(),
            standing: Standing::Active,
            structure: None,
            holds: vec![ScopeSelector::All],
            enrols: vec![],
            sealing: None,
        }),
    ];
    let mut previous = [0; 32];
    let signed = bodies.iter().enumerate().map(|(position, body)| {
        let at = AuthorityRef { epoch: 1, position: position as u64 };
        let signer = if position == 0 { &root } else { &sequencer };
        let signed = Signed::new(org, at, previous, Hlc(position as u64 + 1), body, signer);
        previous = signed.statement.hash();
        signed
    });
    signed.collect()
}

fn secret(number: u8) -> Secret {
    Secret::from_bytes([number; 32])
}

fn open(disk: &SimDisk, generation: u8) -> Option<Replica> {
    let start = Start {
        key: secret(3),
        sequencer: None,
        draw: Box::new(move || Some(GenerationId([generation; 16]))),
        store_id: StoreId([1; 16]),
        copied: false,
        now: NOW,
    };
    let mut replica = Replica::open(Store::open_on(disk.clone()).ok()?, start).ok()?;
    if replica.policy().is_none() {
        replica.bootstrap(NOW, statements()).ok()?;
    }
    Some(replica)
}

/// Writes tickets until the disk fails or all are written; returns the acknowledged ones, `None` if the disk failed
/// while the store was created.
fn write_tickets(disk: &SimDisk) -> Option<Vec<DocId>> {
    let mut acknowledged = Vec::new();
    let mut replica = open(disk, 1)?;
    let scope = scope_of(&organisation(&secret(1).public()), Some(&IT));
    for number in 0..6 {
        let mut edits = Edits::default();
        edits.put("title", Value::Text(format!("ticket {number}")));
        edits.put("structure", Value::Text(IT.to_string()));
        let written = replica.write(NOW, |batch| {
            batch.command::<WriteError>(Author::Site, CommandName::Place, scope, |command| {
                command.create(DocKind::Ticket, None, &edits).map(|_| ())
            })
        });
        match written {
            Ok((written, _)) => acknowledged.extend(written.docs),
            Err(_) => return Some(acknowledged),
        }
    }
    Some(acknowledged)
}

#[test]
fn whatever_call_fails_nothing_answered_is_lost() {
    let mut rng = Rng::new(11);
    let mut call = 1;
    loop {
        let disk = SimDisk::default();
        disk.fail_at(call);
        let Some(acknowledged) = write_tickets(&disk) else {
            // The disk failed while the empty store was being created: there is nothing to open yet.
            call += 1;
            continue;
        };
        let failed = disk.has_failed();
        let left = disk.power_cut(&mut rng);
        let replica = open(&left, 2);
        let replica = replica.unwrap_or_else(|| panic!("the store does not open after call {call} failed"));
        let reading = replica.read().expect("the store is readable");
        for doc in &acknowledged {
            let view = sync::docs::view::view(&reading, doc).expect("the document is readable");
            assert!(view.is_some(), "an acknowledged ticket is lost after call {call} failed");
        }
        let verified = sync::verify::verify(&reading, replica.authority()).expect("the store is readable");
        assert!(verified.faults.is_empty(), "after call {call} failed: {:?}", verified.faults);
        if !failed {
            assert_eq!(acknowledged.len(), 6, "without a failure everything is acknowledged");
            break;
        }
        // Every call at first, where the store is created; then in larger steps, because writes are alike.
        call += 1 + call / 40;
    }
    assert!(call > 50, "the sweep reached into the writes: {call} calls");
}
