//! Messages: read back as written, bounded, and never a panic.

use std::collections::BTreeSet;

use schema::authority::MAX_BODY_BYTES as MAX_STATEMENT_BYTES;
use schema::codec::{Canonical, CodecError, Writer};
use schema::fork::{Branch, MAX_BRANCH_HEADERS};
use schema::frontier::{Frontier, MAX_LINES, SignedFrontier};
use schema::id::{GenerationId, RecordHash, SiteId};
use schema::record::MAX_BODY_BYTES;
use sync::limits::{AUTHORITY_BATCH, MAX_FORK_POINTS, MAX_ITEMS, MAX_WANTED};
use sync::wire::{Cursor, Lane, Message, Offer, decode, encode};

use super::samples::{SCOPE, messages, values};
use super::{plain, read};

const SITE: SiteId = SiteId([9; 32]);
const GENERATION: GenerationId = GenerationId([8; 16]);

/// The tags that are messages; 12 and 15 are not used.
fn known() -> BTreeSet<u8> {
    (1..=11).chain([13, 14]).chain(16..=24).collect()
}

#[test]
fn there_is_a_sample_of_each_message() {
    let tags: BTreeSet<u8> = messages().iter().map(|(_, message)| plain(message)[0]).collect();
    assert_eq!(tags, known());
}

#[test]
fn what_is_empty_and_what_is_largest_is_read_back_as_written() {
    let (scope, largest) = (SCOPE, Cursor { counter: u64::MAX, chain: [0xff; 16] });
    let offer = Offer { scope, cursors: [None, None], vector: [0; 32], docs: None, floor: 0, announced: 0 };
    let hash = RecordHash([7; 32]);
    let cases = [
        Message::Offer(offer.clone()),
        Message::Offer(Offer { cursors: [None, Some(largest)], floor: u64::MAX, announced: u64::MAX, ..offer }),
        Message::Authority(vec![]),
        Message::Ack { scope, lane: Lane::Own, cursor: Cursor::default() },
        Message::Ack { scope, lane: Lane::Others, cursor: largest },
        Message::Vector { scope, lines: vec![], answer: false },
        Message::Vector {
            scope,
            lines: vec![(SITE, GENERATION, 0, hash), (SITE, GENERATION, u64::MAX, hash)],
            answer: true,
        },
        Message::Frontiers(vec![]),
        Message::FrontierList { answer: false, held: vec![] },
        Message::FrontierList { answer: true, held: vec![(SITE, scope, u64::MAX, GENERATION)] },
        Message::FrontierWant(vec![]),
        Message::Want { scope, records: vec![] },
        Message::Want { scope, records: vec![(SITE, GENERATION, u64::MAX)] },
        Message::Bodies { scope, bodies: vec![] },
        Message::Bodies { scope, bodies: vec![vec![], vec![0; MAX_BODY_BYTES]] },
        Message::ForkPoints { scope, log: (SITE, GENERATION), points: vec![] },
        Message::ForkPoints { scope, log: (SITE, GENERATION), points: vec![(u64::MAX, hash)] },
        Message::ForkList { scope, held: vec![] },
        Message::ForkWant { scope, wanted: vec![] },
        Message::Peers(vec![]),
        Message::Bye(String::new()),
        Message::Bye("é".repeat(32)),
    ];
    for message in cases {
        let shown: String = format!("{message:?}").chars().take(80).collect();
        assert!(decode(&encode(&message)).unwrap() == message, "{shown}");
    }
}

/// A message with so many items, what they are called, and how many there may be.
type Bounded = (&'static str, usize, Box<dyn Fn(usize) -> Message>);

fn bounded() -> Vec<Bounded> {
    let of = |what, limit, fill: Box<dyn Fn(usize) -> Message>| (what, limit, fill);
    let items = MAX_ITEMS as usize;
    let (scope, log, hash) = (SCOPE, (SITE, GENERATION), RecordHash([7; 32]));
    let statement = values::statements().swap_remove(4).1;
    let branch = values::fork().branches[1].clone();
    vec![
        of("statements", AUTHORITY_BATCH, Box::new(move |count| Message::Authority(vec![statement.clone(); count]))),
        of(
            "lines",
            items,
            Box::new(move |count| Message::Vector {
                scope,
                lines: vec![(SITE, GENERATION, 1, hash); count],
                answer: true,
            }),
        ),
        of("sites", items, Box::new(|count| Message::Peers(vec![SITE; count]))),
        of("code", 64, Box::new(|count| Message::Bye("x".repeat(count)))),
        of(
            "records with bodies wanted",
            MAX_WANTED,
            Box::new(move |count| Message::Want { scope, records: vec![(SITE, GENERATION, 1); count] }),
        ),
        of("bodies", MAX_WANTED, Box::new(move |count| Message::Bodies { scope, bodies: vec![vec![1]; count] })),
        of("body", MAX_BODY_BYTES, Box::new(move |count| Message::Bodies { scope, bodies: vec![vec![1; count]] })),
        of(
            "announcements held",
            items,
            Box::new(move |count| Message::FrontierList {
                answer: true,
                held: vec![(SITE, scope, 1, GENERATION); count],
            }),
        ),
        of("announcements wanted", items, Box::new(move |count| Message::FrontierWant(vec![(SITE, scope); count]))),
        of(
            "points",
            MAX_FORK_POINTS,
            Box::new(move |count| Message::ForkPoints { scope, log, points: vec![(1, hash); count] }),
        ),
        of(
            "headers",
            MAX_BRANCH_HEADERS,
            Box::new(move |count| {
                let headers = vec![branch.headers[0].clone(); count];
                Message::ForkBranch(Branch { headers, signature: branch.signature })
            }),
        ),
        of("forks", items, Box::new(move |count| Message::ForkList { scope, held: vec![[1; 32]; count] })),
        of("forks", items, Box::new(move |count| Message::ForkWant { scope, wanted: vec![[1; 32]; count] })),
    ]
}

#[test]
fn every_list_is_taken_up_to_its_bound() {
    for (what, limit, fill) in bounded() {
        for count in [limit - 1, limit] {
            let message = fill(count);
            assert!(decode(&encode(&message)).unwrap() == message, "{count} {what} are read back");
        }
        let (found, limit) = (limit as u64 + 1, limit as u64);
        assert_eq!(read(&plain(&fill(limit as usize + 1))), Err(CodecError::TooLong { what, found, limit }));
    }
}

/// A bound holds before anything behind it is looked at: a count costs its sender four bytes.
#[test]
fn a_count_is_refused_before_its_items_are_read() {
    let announcement = values::frontier();
    let Frontier { org, site, generation, scope, number, hlc, .. } = announcement.frontier.clone();
    let head = {
        let lines = Vec::new();
        let frontier = Frontier { org, site, generation, scope, number, hlc, heard: None, lines };
        SignedFrontier { frontier, signature: announcement.signature }.frontier.to_bytes()
    };
    // Up to the count of its lines, which stands last.
    let whole = &head[..head.len() - 4];
    let one = 1u32.to_be_bytes();
    let statement = values::statements().swap_remove(4).1;
    let signed = {
        let mut out = Writer::default();
        statement.statement.write(&mut out);
        statement.signature.write(&mut out);
        out.0
    };
    let difference = [&[8u8], one.as_slice(), &[1], &1u64.to_be_bytes(), &GENERATION.0, &head].concat();
    let items = MAX_ITEMS as usize;
    let cases: [(&str, Vec<u8>, usize); 10] = [
        ("statements", vec![3], AUTHORITY_BATCH),
        ("statement body", [&[3u8], one.as_slice(), &signed].concat(), MAX_STATEMENT_BYTES),
        ("lines", [&[6u8], SCOPE.0.as_slice(), &[1]].concat(), items),
        ("announcements", vec![8], items),
        ("lines", [&[8u8], one.as_slice(), &[0], whole].concat(), MAX_LINES),
        ("changed lines", difference.clone(), MAX_LINES),
        ("removed lines", [difference.as_slice(), &[0; 4]].concat(), MAX_LINES),
        ("body", [&[14u8], SCOPE.0.as_slice(), &one].concat(), MAX_BODY_BYTES),
        ("headers", vec![19], MAX_BRANCH_HEADERS),
        ("headers", vec![22], MAX_BRANCH_HEADERS),
    ];
    for (what, prefix, limit) in cases {
        let counted = |count: usize| read(&[prefix.as_slice(), &(count as u32).to_be_bytes()].concat());
        assert!(
            matches!(counted(limit), Err(CodecError::Short { .. })),
            "{limit} {what} are read on: {:?}",
            counted(limit)
        );
        for found in [limit as u64 + 1, u64::from(u32::MAX)] {
            assert_eq!(counted(found as usize), Err(CodecError::TooLong { what, found, limit: limit as u64 }));
        }
    }
}

#[test]
fn a_message_cut_anywhere_is_an_error() {
    for (name, message) in messages() {
        let content = plain(&message);
        for cut in 0..content.len() {
            assert!(matches!(read(&content[..cut]), Err(CodecError::Short { .. })), "{name} cut to {cut} bytes");
        }
        let packed = [vec![1], zstd::bulk::compress(&content, 3).unwrap()].concat();
        assert_eq!(decode(&packed).unwrap(), message, "{name} compressed");
        for cut in 0..packed.len() {
            assert!(decode(&packed[..cut]).is_err(), "{name} compressed, cut to {cut} bytes");
        }
    }
    assert!(decode(&[]).is_err() && decode(&[0]).is_err() && decode(&[1]).is_err(), "a frame of nothing is no message");
}

/// Whatever a bit of a frame becomes, it is a message or an error.
#[test]
fn no_flipped_bit_is_a_panic() {
    for (_, message) in messages() {
        let content = plain(&message);
        let packed = zstd::bulk::compress(&content, 3).unwrap();
        for (form, bytes) in [(0, content), (1, packed)] {
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    let mut frame = [&[form], bytes.as_slice()].concat();
                    frame[at + 1] ^= 1 << bit;
                    if let Ok(Message::Runs { runs, .. }) = decode(&frame) {
                        runs.heads().iter().for_each(|head| drop(runs.open(head)));
                    }
                }
            }
        }
    }
}

#[test]
fn what_a_newer_version_says_is_passed_over() {
    for tag in (0..=u8::MAX).filter(|tag| !known().contains(tag)) {
        for rest in [[].as_slice(), &[1, 2, 3], &[0xff; 300]] {
            let content = [&[tag], rest].concat();
            assert_eq!(read(&content), Ok(Message::Newer(tag)), "an unknown message is no error");
        }
        assert_eq!(decode(&encode(&Message::Newer(tag))).unwrap(), Message::Newer(tag));
    }
    for (name, message) in messages() {
        for added in [[0].as_slice(), &[1, 2, 3], &[0xff; 300]] {
            let content = [plain(&message).as_slice(), added].concat();
            assert_eq!(read(&content).as_ref(), Ok(&message), "{name} with fields of a newer version behind it");
        }
    }
}

/// What has one encoding has no other: a byte that could be two things would be two digests of one message.
#[test]
fn other_forms_of_a_value_are_refused() {
    let scope = SCOPE.0.as_slice();
    let cursor = |counter: &[u8]| [&[5], scope, &[0], counter, &[0; 16]].concat();
    let cases: [(&str, Vec<u8>, CodecError); 7] = [
        ("a lane that is none", [&[5], scope, &[2]].concat(), CodecError::Invalid { what: "lane" }),
        ("a varint longer than needed", cursor(&[0x80, 0]), CodecError::Invalid { what: "cursor" }),
        ("a varint of more than 64 bits", cursor(&[0xff; 10]), CodecError::Invalid { what: "cursor" }),
        ("a flag that is none", [&[6], scope, &[2]].concat(), CodecError::Invalid { what: "answer" }),
        ("an option that is none", [&[2], scope, &[2]].concat(), CodecError::Invalid { what: "cursor" }),
        ("a text that is none", vec![11, 0, 0, 0, 1, 0xff], CodecError::Invalid { what: "code" }),
        ("an announcement of an unknown form", vec![8, 0, 0, 0, 1, 2], CodecError::Invalid { what: "announcement" }),
    ];
    for (case, content, expected) in cases {
        assert_eq!(read(&content), Err(expected), "{case}");
    }
}
