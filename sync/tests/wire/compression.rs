//! What a frame opens to is bounded by what it took on the wire (`docs/decisions/0014-frames-open-in-portions.md`).

use sync::limits::{MAX_FRAME_BYTES, MAX_OPENED_BYTES, MAX_OPENED_RATIO, MIN_OPENED_BYTES};
use sync::wire::{Message, WireError, decode, encode};

use super::samples::SCOPE;

/// A message that nobody here knows, so that any bytes may follow.
const UNKNOWN: u8 = 200;

/// What comes of a frame, in a word.
fn outcome(frame: &[u8]) -> &'static str {
    match decode(frame) {
        Ok(Message::Newer(UNKNOWN)) => "read",
        Ok(_) => "another message",
        Err(WireError::TooLarge) => "too large",
        Err(WireError::Compression) => "does not open",
        Err(WireError::Content(_)) => "does not decode",
    }
}

/// So many bytes of a message, of which `noise` do not compress.
fn content(bytes: usize, noise: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let mut content: Vec<u8> = std::iter::once(UNKNOWN).chain((0..noise).map(|_| random())).collect();
    content.resize(bytes, 0);
    content
}

fn packed(content: &[u8]) -> Vec<u8> {
    [vec![1], zstd::bulk::compress(content, 3).unwrap()].concat()
}

#[test]
fn a_frame_is_bounded_on_the_wire() {
    let plain = |bytes: usize| [vec![0], content(bytes - 1, 0)].concat();
    assert_eq!(outcome(&plain(MAX_FRAME_BYTES)), "read");
    assert_eq!(outcome(&plain(MAX_FRAME_BYTES + 1)), "too large");
    let packed = packed(&content(MAX_FRAME_BYTES + 1, MAX_FRAME_BYTES));
    assert!(packed.len() > MAX_FRAME_BYTES, "what does not compress is as long compressed");
    assert_eq!(outcome(&packed), "too large");
}

#[test]
fn a_small_frame_opens_to_little() {
    assert_eq!(outcome(&packed(&content(MIN_OPENED_BYTES, 0))), "read");
    assert_eq!(outcome(&packed(&content(MIN_OPENED_BYTES + 1, 0))), "too large", "a few bytes may not become more");
    assert_eq!(outcome(&packed(&content(1 << 30, 0))), "too large", "a gigabyte of nothing takes no memory");
}

#[test]
fn a_frame_opens_to_so_many_times_its_bytes() {
    let noise = 20_000;
    let mut seen = [0; 2];
    for bytes in (130_000..150_000).step_by(500) {
        let frame = packed(&content(bytes, noise));
        let fits = bytes <= (frame.len() - 1) * MAX_OPENED_RATIO;
        assert_eq!(outcome(&frame), if fits { "read" } else { "too large" }, "{bytes} of {}", frame.len());
        seen[usize::from(fits)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 5), "both sides of the bound were tried: {seen:?}");
}

#[test]
fn no_frame_opens_to_more_than_the_limit() {
    let noise = MAX_OPENED_BYTES / MAX_OPENED_RATIO + 100_000;
    assert_eq!(outcome(&packed(&content(MAX_OPENED_BYTES, noise))), "read");
    assert_eq!(outcome(&packed(&content(MAX_OPENED_BYTES + 1, noise))), "too large");
}

#[test]
fn what_lies_about_its_size_does_not_open() {
    let honest = packed(&content(10_000, 1_000));
    // zstd writes the size behind its magic number and a byte of flags; the form of a frame is one byte before.
    let size = u16::from_le_bytes([honest[6], honest[7]]) + 256;
    assert_eq!(size, 10_000, "where the size stands");
    let lies = |says: u16| {
        let mut frame = honest.clone();
        frame[6..8].copy_from_slice(&(says - 256).to_le_bytes());
        frame
    };
    let small = packed(&content(300, 299));
    let bomb = zstd::bulk::compress(&content(1 << 20, 0), 3).unwrap();
    let streamed = zstd::stream::encode_all(content(10_000, 1_000).as_slice(), 3).unwrap();
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("honest", honest.clone(), "read"),
        ("less than it is", lies(9_999), "does not open"),
        ("more than it is", lies(10_001), "does not open"),
        ("no size", [vec![1], streamed].concat(), "does not open"),
        ("no zstd", vec![1, 2, 3, 4, 5, 6, 7, 8, 9], "does not open"),
        ("nothing, which opens to nothing", vec![1], "does not decode"),
        ("a large one behind a small one", [small.clone(), bomb].concat(), "too large"),
        ("bytes behind it", [small, vec![1, 2, 3]].concat(), "does not open"),
        ("a form of a frame that is none", [vec![2], content(300, 0)].concat(), "does not open"),
    ];
    for (case, frame, expected) in cases {
        assert_eq!(outcome(&frame), expected, "{case}");
    }
}

/// A sender compresses only what a receiver opens.
#[test]
fn whatever_is_sent_can_be_opened() {
    for body in [0, 100, 190, 200, 10_000, MIN_OPENED_BYTES, 500_000] {
        for noise in [0, body / 20, body / 7, body / 2, body] {
            let message = Message::Bodies { scope: SCOPE, bodies: vec![content(body + 1, noise)] };
            assert!(decode(&encode(&message)).unwrap() == message, "{body} bytes, {noise} of them noise");
        }
    }
}
