//! What is refused, each with its reason.

use schema::author::Author;
use schema::authority::{AuthorityRef, Pin};
use schema::codec::{Canonical, Tagged};
use schema::doc::DocKind;
use schema::id::{ChangeHash, DocId, GenerationId, OrgId, ScopeId, UserId};
use schema::identity::{Purpose, Signature};
use schema::record::{
    BlobRef, BodyKind, Closing, Entry, Genesis, MAX_BLOBS, MAX_BODY_BYTES, MAX_ENTRIES, MAX_EXTENSION_BYTES,
    MAX_LOG_SEQ, MAX_RUN_RECORDS, OpaqueRef, Previous, Skeleton, body_hash,
};
use sync::admission::{NO_SIGNATURE, Run};
use sync::change::chunk_hash;

use super::common::key;
use super::{HELD, NOBODY, OTHER, check, chunk, entry, skeleton};

/// A value of an unknown sort with this tag.
pub fn tagged(tag: u8) -> Tagged {
    Tagged::from_bytes(&[tag, 0]).unwrap()
}

#[test]
fn what_breaks_the_chain() {
    check(&[
        ("a record is missing", |site| site.one(HELD, Previous::Record(NOBODY), 5), "gap 3 5"),
        ("a log that begins later", |site| site.one(OTHER, Previous::Record(NOBODY), 2), "gap 0 2"),
        ("far beyond", |site| site.one(HELD, Previous::Record(NOBODY), MAX_LOG_SEQ), "gap 3 281474976710656"),
        ("the second follows another", |site| site.pair(|_| Previous::Record(NOBODY), 5), "chain 5"),
        ("a seq is left out", |site| site.pair(Previous::Record, 6), "chain 6"),
        ("a seq stands twice", |site| site.pair(Previous::Record, 4), "chain 4"),
        ("a seq goes back", |site| site.pair(Previous::Record, 3), "chain 3"),
    ]);
}

/// What is pinned never decreases along a log, nor from a generation to the one that follows it (R10).
#[test]
fn what_is_pinned_falls_back() {
    check(&[
        ("behind what is held", |site| site.pinned(4, &[3]), "header"),
        ("behind what is held, which comes with it", |site| site.pinned(2, &[3]), "header"),
        ("within the run", |site| site.pinned(4, &[6, 5]), "header"),
        (
            "in its epoch, whatever the position",
            |site| site.header(|it| it.pin.at = AuthorityRef { epoch: 0, position: 99 }),
            "header",
        ),
        (
            "from the generation before",
            |site| {
                let after = site.member.closing(site.ends[2]);
                site.member.pin.at.position = 3;
                site.one(OTHER, after, 1)
            },
            "header",
        ),
        (
            "from one that nobody holds",
            |site| {
                let pin = Pin { at: AuthorityRef { epoch: 2, position: 0 }, hash_head: [0; 8] };
                let closing = Closing { generation: GenerationId([5; 16]), seq: 7, hash: NOBODY, pin };
                site.one(OTHER, Previous::After(closing), 1)
            },
            "header",
        ),
    ]);
}

#[test]
fn what_is_too_large() {
    check(&[
        ("no record", |site| Run { records: vec![], ..site.next(|_| {}) }, "size"),
        ("a record more than a run may have", |site| site.promising(&[20; MAX_RUN_RECORDS + 1]), "size"),
        ("a byte more than a record may have", |site| site.promising(&[MAX_BODY_BYTES + 1]), "size"),
        ("a byte more than a run may have", |site| site.promising(&[MAX_BODY_BYTES, MAX_BODY_BYTES - 1, 2]), "size"),
        ("as many as can be said", |site| site.promising(&[u32::MAX as usize; MAX_RUN_RECORDS]), "size"),
    ]);
}

/// A header says what its run says, and what is stored is read back: a record that only a frame can hold would stop every
/// reader.
#[test]
fn what_is_no_record_of_its_log() {
    check(&[
        ("another organisation", |site| site.header(|it| it.org = OrgId([9; 32])), "header"),
        ("another scope", |site| site.header(|it| it.log.scope = ScopeId([9; 16])), "header"),
        ("another site", |site| site.header(|it| it.log.site = key(1).public()), "header"),
        ("another generation", |site| site.header(|it| it.log.generation = OTHER), "header"),
        ("another skeleton than it names", |site| site.header(|it| it.skeleton = [9; 32]), "header"),
        (
            "another author than is named",
            |site| site.next(|next| next.record.skeleton.author = Author::User(UserId([7; 16]))),
            "header",
        ),
        ("format 0", |site| site.header(|it| it.format = 0), "header"),
        ("format 1 with what a newer one adds", |site| site.header(|it| it.extension = vec![1]), "header"),
        (
            "more than a header may add",
            |site| site.header(|it| (it.format, it.extension) = (2, vec![1; MAX_EXTENSION_BYTES + 1])),
            "header",
        ),
        (
            "more than a skeleton may add",
            |site| site.skeleton(|it| it.extension = vec![1; MAX_EXTENSION_BYTES + 1]),
            "header",
        ),
        ("seq 0", |site| site.one(OTHER, Previous::First, 0), "header"),
        ("a first record that follows another", |site| site.one(OTHER, Previous::Record(NOBODY), 1), "header"),
        ("a later record that follows nothing", |site| site.header(|it| it.previous = Previous::First), "header"),
        (
            "a later record that follows a generation",
            |site| site.one(HELD, site.member.closing(site.ends[2]), 4),
            "header",
        ),
        ("a known kind as an unknown one", |site| site.header(|it| it.kind = BodyKind::Other(1)), "header"),
        ("a known author as an unknown one", |site| site.skeleton(|it| it.author = Author::Other(tagged(0))), "header"),
        (
            "no birth as an unknown one",
            |site| site.skeleton(|it| it.entries[0].genesis = Some(Genesis::Other(tagged(0)))),
            "header",
        ),
        (
            "a known document as an unknown one",
            |site| site.skeleton(|it| it.entries[0].genesis = Some(Genesis::Computed(DocKind::Other(1)))),
            "header",
        ),
        ("a document twice", |site| site.with(skeleton(vec![entry(1, 9); 2]), vec![None; 2]), "header"),
        (
            "an entry more than there may be",
            |site| site.with(skeleton(entries(MAX_ENTRIES + 1)), vec![None; MAX_ENTRIES + 1]),
            "header",
        ),
        ("blobs out of order", |site| site.skeleton(|it| it.blobs = vec![blob(2), blob(1)]), "header"),
        ("a blob twice", |site| site.skeleton(|it| it.blobs = vec![blob(1); 2]), "header"),
        (
            "a blob more than there may be",
            |site| site.skeleton(|it| it.blobs = (0..=MAX_BLOBS).map(blob).collect()),
            "header",
        ),
    ]);
}

/// So many entries, each of another document.
fn entries(count: usize) -> Vec<Entry> {
    let doc = |number: usize| DocId(std::array::from_fn(|at| number.to_le_bytes()[at % 8]));
    (0..count).map(|number| Entry { doc: doc(number), ..entry(1, 9) }).collect()
}

fn blob(number: usize) -> BlobRef {
    BlobRef { hash: std::array::from_fn(|at| if at < 8 { number.to_be_bytes()[at] } else { 0 }), length: 9 }
}

#[test]
fn what_is_not_the_body_that_is_named() {
    check(&[
        ("another", |site| site.next(|next| next.bodies = vec![Some(chunk(9))]), "body"),
        ("of another length", |site| site.skeleton(|it| it.entries[0].length += 1), "body"),
        ("cut", |site| site.next(|next| next.bodies = vec![Some(chunk(4)[..19].to_vec())]), "body"),
        ("nothing where there is one", |site| site.next(|next| next.bodies = vec![Some(vec![])]), "body"),
        ("one too few", |site| site.next(|next| next.bodies = vec![]), "body"),
        ("one too many", |site| site.next(|next| next.bodies.push(None)), "body"),
        (
            "opaque bytes for a change",
            |site| {
                let named = Entry { change: ChangeHash(body_hash(&chunk(7))), ..entry(4, 20) };
                site.with(skeleton(vec![named]), vec![Some(chunk(7))])
            },
            "body",
        ),
        (
            "a change for opaque bytes",
            |site| {
                let hash = chunk_hash(&chunk(7)).unwrap().0;
                let opaque = Some(OpaqueRef { hash, length: 20 });
                site.with(Skeleton { opaque, ..skeleton(vec![]) }, vec![Some(chunk(7))])
            },
            "body",
        ),
    ]);
}

/// A stored signature is a verified one, and nobody but its own key can make a log look forked (R3, R20).
#[test]
fn what_its_site_did_not_sign() {
    check(&[
        ("signed by nobody", |site| Run { signature: NO_SIGNATURE, ..site.next(|_| {}) }, "signature"),
        ("by another site", |site| resigned(site.pair(Previous::Record, 5), 1, Purpose::Record, 1), "signature"),
        ("for another purpose", |site| resigned(site.pair(Previous::Record, 5), 2, Purpose::Frontier, 1), "signature"),
        (
            "over its first record alone",
            |site| resigned(site.pair(Previous::Record, 5), 2, Purpose::Record, 0),
            "signature",
        ),
        (
            "over what it was before somebody changed it",
            |site| {
                let honest = site.next(|_| {});
                Run { signature: honest.signature, ..site.header(|it| it.schema = 2) }
            },
            "signature",
        ),
        (
            "what is held, with another signature",
            |site| Run { signature: Signature([7; 64]), ..site.again(1, 3) },
            "signature",
        ),
        ("another history", |site| Run { signature: NO_SIGNATURE, ..site.one(HELD, site.behind(2), 3) }, "signature"),
    ]);
}

/// A run with the signature of the site with this number over one of its records.
fn resigned(run: Run, site: usize, purpose: Purpose, record: usize) -> Run {
    Run { signature: key(site).sign(purpose, &run.records[record].record.hash().0), ..run }
}
