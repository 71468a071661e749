//! What a frame may be (`docs/formats/frame.md`): each message and each bound, and what comes of bytes that are none.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod compression;
mod frames;
mod records;
mod runs;
#[path = "../common/messages.rs"]
mod samples;

use schema::codec::CodecError;
use sync::wire::{Message, WireError, decode, encode};

/// A message's bytes, without the compression that its frame may have.
fn plain(message: &Message) -> Vec<u8> {
    let frame = encode(message);
    match frame[0] {
        0 => frame[1..].to_vec(),
        _ => zstd::bulk::decompress(&frame[1..], 1 << 24).unwrap(),
    }
}

/// Reads a message that is not compressed.
fn read(content: &[u8]) -> Result<Message, CodecError> {
    match decode(&[&[0], content].concat()) {
        Ok(message) => Ok(message),
        Err(WireError::Content(error)) => Err(error),
        Err(other) => panic!("nothing but the content can be wrong: {other}"),
    }
}
