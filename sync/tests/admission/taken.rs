//! What is taken.

use schema::author::Author;
use schema::authority::AuthorityRef;
use schema::codec::Canonical;
use schema::doc::DocKind;
use schema::id::{CommandId, GenerationId, UserId};
use schema::record::{
    BlobRef, BodyKind, CommandName, Genesis, MAX_BODY_BYTES, MAX_EXTENSION_BYTES, MAX_RUN_BYTES, MAX_RUN_RECORDS,
    OpaqueRef, Previous, Skeleton,
};
use schema::time::Hlc;

use super::common::member::End;
use super::refused::tagged;
use super::{HELD, NOBODY, OTHER, check, entry, skeleton};

#[test]
fn what_goes_on_from_what_is_held_is_taken_once() {
    check(&[
        ("one record", |site| site.next(|_| {}), "stored 1"),
        ("two records", |site| site.pair(Previous::Record, 5), "stored 2"),
        ("two that are held and two that are not", |site| site.pinned(2, &[4, 4]), "stored 2"),
        ("positions that grow", |site| site.pinned(4, &[5, 5, 9]), "stored 3"),
        ("all that is held", |site| site.again(1, 3), "known"),
        ("a part of it, with a signature of its own", |site| site.again(2, 2), "known"),
        ("the first of another log", |site| site.one(OTHER, Previous::First, 1), "stored 1"),
        ("of a generation that follows the one held", |site| site.follows(site.ends[2]), "stored 1"),
        ("that follows an earlier record of it", |site| site.follows(site.ends[0]), "stored 1"),
        // It closes nothing, and is no reason to refuse what its site signed (R1).
        ("that names another end of it", |site| site.follows(End { hash: NOBODY, ..site.ends[2] }), "stored 1"),
        (
            "that follows one nobody holds",
            |site| site.follows(End { generation: GenerationId([5; 16]), ..site.ends[2] }),
            "stored 1",
        ),
        ("as many records as a run may have", |site| site.promising(&[20; MAX_RUN_RECORDS]), "stored 1024"),
        ("as many bytes", |site| site.promising(&[MAX_BODY_BYTES, MAX_RUN_BYTES - MAX_BODY_BYTES]), "stored 2"),
    ]);
}

/// What two sites can answer differently at one moment of the log is not asked here: rights, clocks, statements that are
/// not held, versions. Whether a record has an effect is judged where its content is.
#[test]
fn what_a_record_means_is_not_asked() {
    check(&[
        ("named only", |site| site.next(|next| next.bodies = vec![None]), "stored 1"),
        ("no entry", |site| site.with(skeleton(vec![]), vec![]), "stored 1"),
        ("a name that no change has", |site| site.with(skeleton(vec![entry(4, 3)]), vec![None]), "stored 1"),
        (
            "an opaque body",
            |site| {
                let opaque = Some(OpaqueRef::of(&[7; 9]));
                site.with(Skeleton { opaque, ..skeleton(vec![]) }, vec![Some(vec![7; 9])])
            },
            "stored 1",
        ),
        ("blobs", |site| site.skeleton(|it| it.blobs = vec![BlobRef { hash: [7; 32], length: u64::MAX }]), "stored 1"),
        (
            "a user for whom the site does not speak",
            |site| site.skeleton(|it| it.author = Author::User(UserId([9; 16]))),
            "stored 1",
        ),
        (
            "an author of a newer version",
            |site| site.skeleton(|it| it.author = Author::from_bytes(&[9, 0]).unwrap()),
            "stored 1",
        ),
        (
            "a birth of a newer version",
            |site| site.skeleton(|it| it.entries[0].genesis = Some(Genesis::Other(tagged(200)))),
            "stored 1",
        ),
        (
            "a birth with another id than it gives",
            |site| site.skeleton(|it| it.entries[0].genesis = Some(Genesis::Computed(DocKind::Ticket))),
            "stored 1",
        ),
        (
            "what a newer skeleton adds",
            |site| site.skeleton(|it| it.extension = vec![1; MAX_EXTENSION_BYTES]),
            "stored 1",
        ),
        (
            "a command that its client named",
            |site| site.skeleton(|it| it.command = CommandName::Given(CommandId([1; 8]))),
            "stored 1",
        ),
        (
            "a newer format",
            |site| site.header(|it| (it.format, it.extension) = (2, vec![1; MAX_EXTENSION_BYTES])),
            "stored 1",
        ),
        ("an unknown kind of body", |site| site.header(|it| it.kind = BodyKind::Other(42)), "stored 1"),
        ("rules of a newer version", |site| site.header(|it| it.schema = 99), "stored 1"),
        ("a statement that is not held", |site| site.header(|it| it.pin.at.position = 1_000), "stored 1"),
        (
            "an epoch that is not held",
            |site| site.header(|it| it.pin.at = AuthorityRef { epoch: 9, position: 0 }),
            "stored 1",
        ),
        ("another statement at the same place", |site| site.header(|it| it.pin.hash_head = [9; 8]), "stored 1"),
        ("a clock that was set back", |site| site.header(|it| it.hlc = Hlc(1)), "stored 1"),
        ("a clock far ahead", |site| site.header(|it| it.hlc = Hlc(u64::MAX)), "stored 1"),
        // A change is decided by the earliest record that names it; later ones hold their place (R8).
        (
            "a change that is held",
            |site| {
                let held = site.held(3, 3).remove(0);
                site.with(held.record.skeleton, held.bodies)
            },
            "stored 1",
        ),
    ]);
}

/// Another record of the same key where one is held: nothing of it is stored here, and who brings it is blamed for
/// nothing (R20).
#[test]
fn another_history_of_a_log_is_seen_as_one() {
    check(&[
        ("in the place of the first", |site| site.one(HELD, Previous::First, 1), "forked"),
        ("in the place of the last", |site| site.one(HELD, site.behind(2), 3), "forked"),
        ("behind another record than the last", |site| site.one(HELD, Previous::Record(NOBODY), 4), "forked"),
        (
            "in the place of the last, and further",
            |site| {
                let (third, end) = site.record(HELD, site.behind(2), 3);
                let (fourth, _) = site.record(HELD, Previous::Record(end.hash), 4);
                site.member.run(vec![third, fourth])
            },
            "forked",
        ),
        (
            "behind one that is held",
            |site| {
                let mut records = site.held(1, 2);
                records.push(site.record(HELD, site.behind(2), 3).0);
                site.member.run(records)
            },
            "forked",
        ),
    ]);
}
