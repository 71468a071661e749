//! What two sites say to one another (`docs/formats/frame.md`): messages and their frames.

mod layout;
pub mod runs;
pub mod stripped;

use schema::authority::{AuthorityRef, Signed};
use schema::codec::{Canonical, CodecError, Reader, Writer};
use schema::frontier::SignedFrontier;
use schema::id::{GenerationId, OrgId, RecordHash, ScopeId, SiteId, StoreId};
use thiserror::Error;

use crate::limits::{AUTHORITY_BATCH, MAX_FRAME_BYTES, MAX_ITEMS, MAX_OPENED_BYTES};
use crate::store::log_index::Line;
pub use runs::PackedRun;

/// The protocol's name on QUIC. Another major version is another name.
pub const ALPN: &[u8] = b"archipel/sync/1";
/// The minor version said in hello.
pub const VERSION: u32 = 1;
/// Frames below this many bytes are not worth compressing.
const COMPRESS_FROM: usize = 200;
/// zstd's level: 9 gains 3 % and costs three times as much.
const LEVEL: i32 = 3;

/// Which records of a scope a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// The sender's own.
    Own,
    /// Everybody else's.
    Others,
}

impl Lane {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Own, Self::Others];

    /// Its number in messages and tables.
    pub fn number(self) -> u8 {
        match self {
            Self::Own => 0,
            Self::Others => 1,
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        match input.u8("lane")? {
            0 => Ok(Self::Own),
            1 => Ok(Self::Others),
            _ => Err(CodecError::Invalid { what: "lane" }),
        }
    }
}

/// A place in a store's arrivals, tied to their order by a hash chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// Arrival counter; 0 is before the first.
    pub counter: u64,
    /// The chain there.
    pub chain: [u8; 16],
}

impl Canonical for Cursor {
    fn write(&self, out: &mut Writer) {
        out.varint(self.counter);
        out.raw(&self.chain);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { counter: input.varint("cursor")?, chain: input.array("chain")? })
    }
}

/// The first message of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Minor protocol version.
    pub version: u32,
    /// The organisation; another one ends the session.
    pub org: OrgId,
    /// The sender's store: cursors are bound to it.
    pub store: StoreId,
    /// The sender's generation.
    pub generation: GenerationId,
    /// Where the sender's authority log ends.
    pub authority: AuthorityRef,
    /// The hash there.
    pub authority_hash: [u8; 32],
}

/// What a side says of one scope when a session begins to carry it (R21).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Which scope.
    pub scope: ScopeId,
    /// How far the receiver's arrivals are held here, by lane, if known.
    pub cursors: [Option<Cursor>; 2],
    /// Digest of the sender's vector.
    pub vector: [u8; 32],
    /// The sender's documents, if everything held is applied.
    pub docs: Option<DocsAt>,
}

/// A digest of documents and the authority log it was judged by: only at equal ends of that log do equal
/// records make equal documents (what waits for a statement is not shown yet).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocsAt {
    /// Sum over the documents (R22).
    pub digest: [u8; 32],
    /// Where the authority log ends.
    pub authority: AuthorityRef,
}

impl Canonical for DocsAt {
    fn write(&self, out: &mut Writer) {
        out.raw(&self.digest);
        self.authority.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { digest: input.array("document digest")?, authority: Canonical::read(input)? })
    }
}

/// A frame's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// First.
    Hello(Hello),
    /// A scope joins the session.
    Offer(Offer),
    /// Statements the other lacks, in order.
    Authority(Vec<Signed>),
    /// Records.
    Runs {
        /// Of which scope.
        scope: ScopeId,
        /// From which lane.
        lane: Lane,
        /// How far in the sender's arrivals this brings the lane.
        cursor: Cursor,
        /// The runs.
        runs: Vec<PackedRun>,
    },
    /// Everything of this lane up to the cursor is durable here.
    Ack {
        /// Of which scope.
        scope: ScopeId,
        /// Of which lane.
        lane: Lane,
        /// Up to where.
        cursor: Cursor,
    },
    /// What the sender holds of a scope.
    Vector {
        /// Which scope.
        scope: ScopeId,
        /// Its lines.
        lines: Vec<Line>,
        /// Whether the receiver shall say its own.
        answer: bool,
    },
    /// Where the sender stands after a quiet moment.
    Digest {
        /// Which scope.
        scope: ScopeId,
        /// Digest of its vector.
        vector: [u8; 32],
        /// Its documents, if everything held is applied.
        docs: Option<DocsAt>,
    },
    /// Frontier announcements.
    Frontiers(Vec<SignedFrontier>),
    /// The sites that the sender has a session with.
    Peers(Vec<SiteId>),
    /// Nothing new; still here.
    Ping,
    /// The session ends, and why.
    Bye(String),
}

/// Why a frame is no message. Ends the session.
#[derive(Debug, Error)]
pub enum WireError {
    /// Longer than allowed, on the wire or opened.
    #[error("a frame is larger than its limit")]
    TooLarge,
    /// Not zstd, or more than it says.
    #[error("a frame does not open")]
    Compression,
    /// Not a message.
    #[error("a frame does not decode")]
    Content(#[from] CodecError),
}

/// Encodes a message as the body of a frame (without the length that the transport writes).
pub fn encode(message: &Message) -> Vec<u8> {
    let mut out = Writer(vec![0]);
    write_message(message, &mut out);
    if out.0.len() >= COMPRESS_FROM
        && let Ok(packed) = zstd::bulk::compress(&out.0[1..], LEVEL)
        && packed.len() + 1 < out.0.len()
    {
        let mut frame = vec![1];
        frame.extend_from_slice(&packed);
        return frame;
    }
    out.0
}

/// Decodes the body of a frame.
pub fn decode(frame: &[u8]) -> Result<Message, WireError> {
    if frame.len() > MAX_FRAME_BYTES {
        return Err(WireError::TooLarge);
    }
    let (form, content) = frame.split_first().ok_or(WireError::Compression)?;
    match form {
        0 => read_whole(content),
        1 => {
            let opened = zstd::bulk::decompress(content, opened_bytes(content)?).map_err(|_| WireError::Compression)?;
            read_whole(&opened)
        }
        _ => Err(WireError::Compression),
    }
}

/// What a zstd frame says it opens to; refused when it says nothing or too much.
fn opened_bytes(content: &[u8]) -> Result<usize, WireError> {
    match zstd::bulk::Decompressor::upper_bound(content) {
        Some(bytes) if bytes <= MAX_OPENED_BYTES => Ok(bytes),
        Some(_) => Err(WireError::TooLarge),
        None => Err(WireError::Compression),
    }
}

fn read_whole(content: &[u8]) -> Result<Message, WireError> {
    let mut input = Reader::new(content);
    let message = read_message(&mut input)?;
    input.end()?;
    Ok(message)
}

fn write_message(message: &Message, out: &mut Writer) {
    match message {
        Message::Hello(hello) => {
            out.u8(1);
            out.u32(hello.version);
            hello.org.write(out);
            hello.store.write(out);
            hello.generation.write(out);
            hello.authority.write(out);
            out.raw(&hello.authority_hash);
        }
        Message::Offer(offer) => {
            out.u8(2);
            offer.scope.write(out);
            for cursor in &offer.cursors {
                out.option(cursor.as_ref(), |out, cursor| cursor.write(out));
            }
            out.raw(&offer.vector);
            out.option(offer.docs.as_ref(), |out, docs| docs.write(out));
        }
        Message::Authority(statements) => {
            out.u8(3);
            out.list(statements, |out, signed| signed.write(out));
        }
        Message::Runs { scope, lane, cursor, runs } => {
            out.u8(4);
            scope.write(out);
            out.u8(lane.number());
            cursor.write(out);
            layout::write(runs, out);
        }
        Message::Ack { scope, lane, cursor } => {
            out.u8(5);
            scope.write(out);
            out.u8(lane.number());
            cursor.write(out);
        }
        Message::Vector { scope, lines, answer } => {
            out.u8(6);
            scope.write(out);
            out.flag(*answer);
            out.list(lines, |out, (site, generation, seq, hash)| {
                site.write(out);
                generation.write(out);
                out.varint(*seq);
                hash.write(out);
            });
        }
        Message::Digest { scope, vector, docs } => {
            out.u8(7);
            scope.write(out);
            out.raw(vector);
            out.option(docs.as_ref(), |out, docs| docs.write(out));
        }
        Message::Frontiers(statements) => {
            out.u8(8);
            out.list(statements, |out, signed| signed.write(out));
        }
        Message::Peers(sites) => {
            out.u8(9);
            out.list(sites, |out, site| site.write(out));
        }
        Message::Ping => out.u8(10),
        Message::Bye(code) => {
            out.u8(11);
            out.text(code);
        }
    }
}

fn read_message(input: &mut Reader<'_>) -> Result<Message, CodecError> {
    let docs = |input: &mut Reader<'_>| input.option("document digest", Canonical::read);
    Ok(match input.u8("message")? {
        1 => Message::Hello(Hello {
            version: input.u32("version")?,
            org: Canonical::read(input)?,
            store: Canonical::read(input)?,
            generation: Canonical::read(input)?,
            authority: Canonical::read(input)?,
            authority_hash: input.array("authority hash")?,
        }),
        2 => Message::Offer(Offer {
            scope: Canonical::read(input)?,
            cursors: [input.option("cursor", Canonical::read)?, input.option("cursor", Canonical::read)?],
            vector: input.array("vector digest")?,
            docs: docs(input)?,
        }),
        3 => Message::Authority(input.list(AUTHORITY_BATCH, "statements", Canonical::read)?),
        4 => {
            let scope = Canonical::read(input)?;
            let (lane, cursor) = (Lane::read(input)?, Canonical::read(input)?);
            Message::Runs { scope, lane, cursor, runs: layout::read(&scope, input)? }
        }
        5 => Message::Ack { scope: Canonical::read(input)?, lane: Lane::read(input)?, cursor: Canonical::read(input)? },
        6 => {
            let (scope, answer) = (Canonical::read(input)?, input.flag("answer")?);
            let lines = input.list(MAX_ITEMS as usize, "lines", |input| {
                let (site, generation) = (Canonical::read(input)?, Canonical::read(input)?);
                Ok((site, generation, input.varint("seq")?, RecordHash(input.array("hash")?)))
            })?;
            Message::Vector { scope, lines, answer }
        }
        7 => Message::Digest {
            scope: Canonical::read(input)?,
            vector: input.array("vector digest")?,
            docs: docs(input)?,
        },
        8 => Message::Frontiers(input.list(MAX_ITEMS as usize, "frontiers", Canonical::read)?),
        9 => Message::Peers(input.list(MAX_ITEMS as usize, "sites", Canonical::read)?),
        10 => Message::Ping,
        11 => Message::Bye(input.text(64, "code")?),
        _ => return Err(CodecError::Invalid { what: "message" }),
    })
}
