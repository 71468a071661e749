//! What two sites say to one another (`docs/formats/frame.md`): messages and their frames.

pub mod layout;
mod message;
pub mod runs;
pub mod stripped;

use schema::authority::Pin;
use schema::codec::{Canonical, CodecError, Reader, Writer};
use schema::id::{GenerationId, OrgId, RecordHash, ScopeId, SiteId, StoreId};
use schema::record::BodyName;
use thiserror::Error;

use crate::limits::{
    AUTHORITY_BATCH, FRAME_TARGET_BYTES, MAX_FORK_POINTS, MAX_FRAME_BYTES, MAX_ITEMS, MAX_OPENED_BYTES,
    MAX_OPENED_RATIO, MAX_WANTED, MIN_OPENED_BYTES,
};
pub use layout::PackedRuns;
pub use message::Message;
pub use runs::PackedRun;

/// The protocol's name on QUIC. A change that no version range can bridge is another name.
pub const ALPN: &[u8] = b"archipel/sync/1";
/// The lowest and the highest protocol spoken here: both sides use the highest that they have in common (R13).
pub const VERSIONS: (u16, u16) = (1, 1);
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
    /// Lowest and highest protocol that the sender speaks.
    pub versions: (u16, u16),
    /// The organisation; another one ends the session.
    pub org: OrgId,
    /// The sender's store: cursors are bound to it.
    pub store: StoreId,
    /// The sender's generation.
    pub generation: GenerationId,
    /// Where the sender's authority log ends.
    pub authority: Pin,
    /// Digest of the frontier announcements it holds, of the scopes that both hold as far as it knows.
    pub frontiers: [u8; 32],
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
    /// Arrivals of the sender up to this one have headers and skeletons only; 0: everything has its bodies.
    pub floor: u64,
    /// The number of the sender's newest announcement as far as it knows; 0: none. Later ones are of before it was set
    /// back.
    pub announced: u64,
}

/// A piece of a body that somebody lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPiece {
    /// A record that names the body: site, generation, seq.
    pub record: (SiteId, GenerationId, u64),
    /// The body.
    pub name: BodyName,
    /// How many bytes of it are there already.
    pub offset: u32,
}

/// A digest of documents and the authority log it was judged by: only at equal ends of that log do equal
/// records make equal documents (what waits for a statement is not shown yet).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocsAt {
    /// Sum over the documents (R22).
    pub digest: [u8; 32],
    /// Where the authority log ends.
    pub authority: Pin,
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
        && out.0.len() <= most_opened(packed.len())
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
        0 => read_whole(content.to_vec()),
        1 => {
            let opened = zstd::bulk::decompress(content, opened_bytes(content)?).map_err(|_| WireError::Compression)?;
            read_whole(opened)
        }
        _ => Err(WireError::Compression),
    }
}

/// What a zstd frame says it opens to; refused when it says nothing or too much.
fn opened_bytes(content: &[u8]) -> Result<usize, WireError> {
    match zstd::bulk::Decompressor::upper_bound(content) {
        Some(bytes) if bytes <= most_opened(content.len()) => Ok(bytes),
        Some(_) => Err(WireError::TooLarge),
        None => Err(WireError::Compression),
    }
}

/// What this many compressed bytes may open to: what a stranger sends takes memory in proportion before anything of it
/// is verified.
fn most_opened(bytes: usize) -> usize {
    bytes.saturating_mul(MAX_OPENED_RATIO).clamp(MIN_OPENED_BYTES, MAX_OPENED_BYTES)
}

fn read_whole(content: Vec<u8>) -> Result<Message, WireError> {
    let mut input = Reader::new(&content);
    // What is left over was added by a newer version (R13).
    let mut message = read_message(&mut input)?;
    if let Message::Runs { runs, .. } = &mut message {
        runs.keep(content);
    }
    Ok(message)
}

/// Items in portions for a message each, in order: at most `most`, and no more bytes than `bytes` but for one alone. A
/// frame that its receiver cannot read would be the fault of whoever sends it.
pub(crate) fn portions<T: Canonical>(items: Vec<T>, most: usize, bytes: usize) -> Vec<Vec<T>> {
    let mut portions: Vec<Vec<T>> = Vec::new();
    let mut room = 0;
    for item in items {
        let size = item.to_bytes().len();
        match portions.last_mut().filter(|last| size <= room && last.len() < most) {
            Some(last) => last.push(item),
            None => {
                room = bytes;
                portions.push(vec![item]);
            }
        }
        room = room.saturating_sub(size);
    }
    portions
}

fn write_message(message: &Message, out: &mut Writer) {
    match message {
        Message::Hello(hello) => {
            out.u8(1);
            out.u16(hello.versions.0);
            out.u16(hello.versions.1);
            hello.org.write(out);
            hello.store.write(out);
            hello.generation.write(out);
            hello.authority.write(out);
            out.raw(&hello.frontiers);
        }
        Message::Offer(offer) => {
            out.u8(2);
            offer.scope.write(out);
            for cursor in &offer.cursors {
                out.option(cursor.as_ref(), |out, cursor| cursor.write(out));
            }
            out.raw(&offer.vector);
            out.option(offer.docs.as_ref(), |out, docs| docs.write(out));
            out.varint(offer.floor);
            out.varint(offer.announced);
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
            runs.write(out);
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
        Message::Frontiers(updates) => {
            out.u8(8);
            out.list(updates, |out, update| update.write(out));
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
        Message::Want { scope, records } => {
            out.u8(13);
            scope.write(out);
            out.list(records, |out, (site, generation, seq)| {
                site.write(out);
                generation.write(out);
                out.varint(*seq);
            });
        }
        Message::Bodies { scope, bodies } => {
            out.u8(14);
            scope.write(out);
            out.list(bodies, |out, body| out.bytes(body));
        }
        Message::FrontierList { answer, held } => {
            out.u8(16);
            out.flag(*answer);
            out.list(held, |out, (site, scope, number, generation)| {
                site.write(out);
                scope.write(out);
                out.varint(*number);
                generation.write(out);
            });
        }
        Message::FrontierWant(places) => {
            out.u8(17);
            out.list(places, |out, (site, scope)| {
                site.write(out);
                scope.write(out);
            });
        }
        Message::ForkPoints { scope, log: (site, generation), points } => {
            out.u8(18);
            scope.write(out);
            site.write(out);
            generation.write(out);
            out.list(points, |out, (seq, hash)| {
                out.varint(*seq);
                hash.write(out);
            });
        }
        Message::ForkBranch(branch) => {
            out.u8(19);
            branch.write(out);
        }
        Message::ForkList { scope, held } => {
            out.u8(20);
            scope.write(out);
            out.list(held, |out, name| out.raw(name));
        }
        Message::ForkWant { scope, wanted } => {
            out.u8(21);
            scope.write(out);
            out.list(wanted, |out, name| out.raw(name));
        }
        Message::Fork(proof) => {
            out.u8(22);
            proof.write(out);
        }
        Message::WantPiece { scope, wanted: WantedPiece { record: (site, generation, seq), name, offset } } => {
            out.u8(23);
            scope.write(out);
            site.write(out);
            generation.write(out);
            out.varint(*seq);
            name.write(out);
            out.u32(*offset);
        }
        Message::Piece { name, length, offset, bytes } => {
            out.u8(24);
            name.write(out);
            out.u32(*length);
            out.u32(*offset);
            out.bytes(bytes);
        }
        // Nobody makes one here.
        Message::Newer(tag) => out.u8(*tag),
    }
}

fn read_message(input: &mut Reader<'_>) -> Result<Message, CodecError> {
    let docs = |input: &mut Reader<'_>| input.option("document digest", Canonical::read);
    Ok(match input.u8("message")? {
        1 => Message::Hello(Hello {
            versions: (input.u16("lowest version")?, input.u16("highest version")?),
            org: Canonical::read(input)?,
            store: Canonical::read(input)?,
            generation: Canonical::read(input)?,
            authority: Canonical::read(input)?,
            frontiers: input.array("frontier digest")?,
        }),
        2 => Message::Offer(Offer {
            scope: Canonical::read(input)?,
            cursors: [input.option("cursor", Canonical::read)?, input.option("cursor", Canonical::read)?],
            vector: input.array("vector digest")?,
            docs: docs(input)?,
            floor: input.varint("floor")?,
            announced: input.varint("announced")?,
        }),
        3 => Message::Authority(input.list(AUTHORITY_BATCH, "statements", Canonical::read)?),
        4 => {
            let scope = Canonical::read(input)?;
            let (lane, cursor) = (Lane::read(input)?, Canonical::read(input)?);
            Message::Runs { scope, lane, cursor, runs: PackedRuns::read(scope, input)? }
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
        8 => Message::Frontiers(input.list(MAX_ITEMS as usize, "announcements", Canonical::read)?),
        9 => Message::Peers(input.list(MAX_ITEMS as usize, "sites", Canonical::read)?),
        10 => Message::Ping,
        11 => Message::Bye(input.text(64, "code")?),
        13 => Message::Want {
            scope: Canonical::read(input)?,
            records: input.list(MAX_WANTED, "records with bodies wanted", |input| {
                Ok((Canonical::read(input)?, Canonical::read(input)?, input.varint("seq")?))
            })?,
        },
        14 => Message::Bodies {
            scope: Canonical::read(input)?,
            bodies: input.list(MAX_WANTED, "bodies", |input| {
                Ok(input.bytes(schema::record::MAX_BODY_BYTES, "body")?.to_vec())
            })?,
        },
        16 => Message::FrontierList {
            answer: input.flag("answer")?,
            held: input.list(MAX_ITEMS as usize, "announcements held", |input| {
                let (site, scope) = (Canonical::read(input)?, Canonical::read(input)?);
                Ok((site, scope, input.varint("number")?, Canonical::read(input)?))
            })?,
        },
        17 => Message::FrontierWant(input.list(MAX_ITEMS as usize, "announcements wanted", |input| {
            Ok((Canonical::read(input)?, Canonical::read(input)?))
        })?),
        18 => Message::ForkPoints {
            scope: Canonical::read(input)?,
            log: (Canonical::read(input)?, Canonical::read(input)?),
            points: input
                .list(MAX_FORK_POINTS, "points", |input| Ok((input.varint("seq")?, Canonical::read(input)?)))?,
        },
        19 => Message::ForkBranch(Canonical::read(input)?),
        20 => Message::ForkList {
            scope: Canonical::read(input)?,
            held: input.list(MAX_ITEMS as usize, "forks", |input| input.array("fork"))?,
        },
        21 => Message::ForkWant {
            scope: Canonical::read(input)?,
            wanted: input.list(MAX_ITEMS as usize, "forks", |input| input.array("fork"))?,
        },
        22 => Message::Fork(Canonical::read(input)?),
        23 => Message::WantPiece {
            scope: Canonical::read(input)?,
            wanted: WantedPiece {
                record: (Canonical::read(input)?, Canonical::read(input)?, input.varint("seq")?),
                name: Canonical::read(input)?,
                offset: input.u32("offset")?,
            },
        },
        24 => Message::Piece {
            name: Canonical::read(input)?,
            length: input.u32("length")?,
            offset: input.u32("offset")?,
            bytes: input.bytes(FRAME_TARGET_BYTES, "piece")?.to_vec(),
        },
        newer => Message::Newer(newer),
    })
}
