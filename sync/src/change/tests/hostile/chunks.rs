//! The chunk itself: header, fields, the bytes as a whole.

use super::{Case, case, edited, tampered};
use crate::change::Reason;
use crate::change::mutation::raw::{body, chunk};
use crate::change::tests::desk::Desk;

pub(super) fn cases(desk: &Desk) -> Vec<Case> {
    let overlong = |desk: &Desk| {
        let plain = desk.plain();
        let body = body(&plain).expect("a chunk has a body");
        chunk(&[&[0x81, 0x00], &body[1..]].concat())
    };
    vec![
        case("nothing at all", Reason::NotAChunk, Vec::new()),
        case("begins with the magic bytes", Reason::NotAChunk, tampered(desk, |bytes| bytes[0] ^= 1)),
        case("is an uncompressed change", Reason::WrongChunkType, tampered(desk, |bytes| bytes[8] = 2)),
        case("is no document", Reason::WrongChunkType, tampered(desk, |bytes| bytes[8] = 0)),
        case("is as long as it says", Reason::WrongChunkLength, tampered(desk, |bytes| bytes.push(0))),
        case(
            "is as long as it says",
            Reason::WrongChunkLength,
            tampered(desk, |bytes| bytes.truncate(bytes.len() - 1)),
        ),
        case("numbers in their shortest form", Reason::BrokenField, overlong(desk)),
        case("fields end in the chunk", Reason::BrokenField, chunk(&[200, 1, 2])),
        case("more dependencies than memory", Reason::BrokenField, chunk(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])),
        case("an actor is 16 bytes", Reason::ActorLength, edited(desk, |raw| raw.actor.truncate(15))),
        case("an other actor is 16 bytes", Reason::ActorLength, edited(desk, |raw| raw.others[0].push(1))),
        case("time is 0", Reason::HasTime, edited(desk, |raw| raw.time = 1)),
        case("no message", Reason::HasMessage, edited(desk, |raw| raw.message = b"hi".to_vec())),
        case("no extra bytes, no author", Reason::HasExtraBytes, edited(desk, |raw| raw.extra = vec![1, 1, 7])),
        case(
            "at most 64 other actors",
            Reason::TooManyActors,
            edited(desk, |raw| {
                raw.others = (0..65).map(|actor| vec![actor; 16]).collect();
            }),
        ),
        case("the checksum counts", Reason::NotCanonical, tampered(desk, |bytes| bytes[4] ^= 1)),
        case(
            "an other actor that nothing names",
            Reason::NotCanonical,
            edited(desk, |raw| raw.others.push(vec![0xc; 16])),
        ),
    ]
}
