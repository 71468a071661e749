//! What a member in hostile hands says: records, runs and frames, signed with its own key, whatever they hold. Shared with
//! the simulator.

use schema::author::Author;
use schema::authority::Pin;
use schema::doc::Edits;
use schema::id::{ChangeHash, DocId, GenerationId, LogId, OrgId, RecordHash, ScopeId, StoreId};
use schema::identity::{Purpose, Secret};
use schema::record::{BodyKind, Closing, CommandName, Entry, FORMAT, Header, Previous, Record, Skeleton, actor};
use schema::time::Hlc;
use sync::admission::{RecordWithBodies, Run};
use sync::change::chunk_hash;
use sync::replica::Replica;
use sync::store::StoreError;
use sync::store::log_index::LogName;
use sync::wire::stripped::{FrameLogs, Sender};
use sync::wire::{Cursor, Hello, Lane, Message, Offer, PackedRun, PackedRuns, VERSIONS, encode};

/// Refers to nothing: all changes travel whole.
struct Nothing;

impl Sender for Nothing {
    fn place(&self, _: &ChangeHash) -> Result<Option<(LogName, u64, u32, DocId)>, StoreError> {
        Ok(None)
    }
    fn author(&self, _: &DocId, _: &schema::id::ActorId) -> Result<Option<LogName>, StoreError> {
        Ok(None)
    }
}

/// The end of one of the member's logs.
#[derive(Clone, Copy)]
pub struct End {
    pub generation: GenerationId,
    pub seq: u64,
    pub hash: RecordHash,
}

/// A hostile member.
pub struct Member {
    pub key: Secret,
    pub org: OrgId,
    pub scope: ScopeId,
    pub pin: Pin,
    pub hlc: Hlc,
    /// What its records are.
    pub kind: BodyKind,
    /// Sessions so far.
    pub sessions: u64,
}

impl Member {
    /// A member with this key.
    pub fn new(key: Secret, org: OrgId, scope: ScopeId, pin: Pin, hlc: Hlc) -> Self {
        Self { key, org, scope, pin, hlc, kind: BodyKind::Edit, sessions: 1_000_000 }
    }

    /// The same, with another key.
    pub fn keyed(self, key: Secret) -> Self {
        Self { key, ..self }
    }

    /// The change that these edits make in a document as a replica holds it, by this member's actor.
    pub fn change(&self, replica: &Replica, generation: GenerationId, doc: &DocId, edits: &Edits) -> Vec<u8> {
        let mut document = sync::docs::load(&replica.read().unwrap(), doc).unwrap();
        let actor = actor(&self.key.public(), &generation, doc);
        sync::docs::edit::change(&mut document, &actor, edits, false).unwrap().unwrap().raw_bytes().to_vec()
    }

    /// A record after `end`, or the first of a generation.
    pub fn record(
        &mut self,
        generation: GenerationId,
        previous: Previous,
        seq: u64,
        author: Author,
        doc: DocId,
        body: Vec<u8>,
    ) -> (RecordWithBodies, End) {
        self.edits(generation, previous, seq, author, &[(doc, body)])
    }

    /// A record with a change of each of these documents.
    pub fn edits(
        &mut self,
        generation: GenerationId,
        previous: Previous,
        seq: u64,
        author: Author,
        parts: &[(DocId, Vec<u8>)],
    ) -> (RecordWithBodies, End) {
        let entry = |(doc, body): &(DocId, Vec<u8>)| {
            let change = chunk_hash(body).unwrap_or(ChangeHash([0; 32]));
            Entry { doc: *doc, genesis: None, change, length: body.len() as u32 }
        };
        let entries = parts.iter().map(entry).collect();
        let skeleton = Skeleton { entries, ..Skeleton::new(CommandName::Place, author) };
        self.sealed(generation, previous, seq, skeleton, parts.iter().map(|(_, body)| Some(body.clone())).collect())
    }

    /// A record with this skeleton.
    pub fn sealed(
        &mut self,
        generation: GenerationId,
        previous: Previous,
        seq: u64,
        skeleton: Skeleton,
        bodies: Vec<Option<Vec<u8>>>,
    ) -> (RecordWithBodies, End) {
        self.hlc = Hlc(self.hlc.0 + 1);
        let header = Header {
            format: FORMAT,
            org: self.org,
            log: LogId { site: self.key.public(), generation, scope: self.scope },
            seq,
            previous,
            pin: self.pin,
            hlc: self.hlc,
            schema: 1,
            kind: self.kind,
            skeleton: skeleton.hash(),
            extension: Vec::new(),
        };
        let hash = header.hash();
        (RecordWithBodies { record: Record { header, skeleton }, bodies }, End { generation, seq, hash })
    }

    /// Where a generation ended, as its successor says.
    pub fn closing(&self, end: End) -> Previous {
        Previous::After(Closing { generation: end.generation, seq: end.seq, hash: end.hash, pin: self.pin })
    }

    /// A signed run of these records.
    pub fn run(&self, records: Vec<RecordWithBodies>) -> Run {
        let last = &records.last().unwrap().record;
        let signature = self.key.sign(Purpose::Record, &last.hash().0);
        Run { log: last.header.log, records, signature }
    }

    /// A frame of these runs.
    pub fn frame(&self, runs: &[Run]) -> Vec<u8> {
        let mut logs = FrameLogs::default();
        let packed: Vec<PackedRun> =
            runs.iter().map(|run| PackedRun::pack(run, &Nothing, &mut logs).unwrap()).collect();
        let runs = PackedRuns::of(self.scope, &packed, logs);
        encode(&Message::Runs { scope: self.scope, lane: Lane::Own, cursor: Cursor::default(), runs })
    }

    /// How it begins a session: hello, and an offer of its scope, of which it holds nothing.
    pub fn opening(&self) -> [Vec<u8>; 2] {
        let hello = Hello {
            versions: VERSIONS,
            org: self.org,
            store: StoreId([0xee; 16]),
            generation: GenerationId([0xee; 16]),
            authority: self.pin,
            frontiers: [0; 32],
        };
        let offer =
            Offer { scope: self.scope, cursors: [None, None], vector: [0; 32], docs: None, floor: 0, announced: 0 };
        [encode(&Message::Hello(hello)), encode(&Message::Offer(offer))]
    }
}
