//! A member in hostile hands: a key of the organisation, no honest process behind it, and frames of any bytes. Whatever
//! it says, honest sites go on, agree, and blame nobody else.

#[path = "../../../sync/tests/common/raw.rs"]
#[allow(dead_code, missing_docs, clippy::unwrap_used, reason = "shared with the tests of `sync`, where a part is used")]
mod raw;

use std::collections::{BTreeMap, VecDeque};

use raw::{End, Member};
use schema::author::Author;
use schema::authority::{AuthorityRef, Body, Pin, ScopeSelector, Signed, SiteEntry, Standing};
use schema::doc::{Edits, Value};
use schema::fork::{Branch, ForkProof};
use schema::frontier::{Frontier, SignedFrontier};
use schema::id::{DocId, GenerationId, OrgId, RecordHash, ScopeId, SiteId};
use schema::identity::{Purpose, Secret};
use schema::record::{Closing, CommandName, OpaqueRef, Previous, Skeleton};
use schema::time::Hlc;
use sync::admission::RecordWithBodies;
use sync::engine::SessionId;
use sync::frontiers::Update;
use sync::replica::Replica;
use sync::wire::{Cursor, Lane, Message, Offer, encode};

use super::site::decompressed;
use super::{Event, HR, IT, World, technician};
use crate::rng::Rng;

/// The other end of the member's sessions: no instance.
pub(super) const MEMBER: usize = usize::MAX;
/// Frames of honest sites that it remembers.
const REMEMBERED: usize = 24;
/// Generations that it begins: with a few more it would be slowed, and what it says would come a minute apart (R1).
const GENERATIONS: usize = 40;
/// Records of one of its logs that it remembers.
const KEPT: usize = 8;

fn key() -> Secret {
    Secret::from_bytes([9; 32])
}

/// Its place in the organisation: it holds what all hold, and speaks for nobody.
pub(super) fn entry() -> SiteEntry {
    SiteEntry {
        site: key().public(),
        code: "EVIL".into(),
        name: "Member".into(),
        standing: Standing::Active,
        structure: Some(IT),
        holds: vec![ScopeSelector::Organisation, ScopeSelector::Structure(IT)],
        enrols: vec![],
        sealing: None,
    }
}

/// The member, its sessions and its logs.
pub(super) struct HostileMember {
    raw: Member,
    /// By the instance at the other end.
    sessions: BTreeMap<usize, SessionId>,
    heard: VecDeque<Vec<u8>>,
    /// The ends of its logs, one a generation.
    ends: Vec<End>,
    /// The last records of the log that it writes now.
    written: VecDeque<RecordWithBodies>,
}

impl HostileMember {
    pub(super) fn new(org: OrgId, scope: ScopeId) -> Self {
        let raw = Member::new(key(), org, scope, Pin::default(), Hlc::default());
        let (sessions, heard, ends, written) = (BTreeMap::new(), VecDeque::new(), Vec::new(), VecDeque::new());
        Self { raw, sessions, heard, ends, written }
    }

    /// A frame that an honest site sent to another, as a member that forwards would see it.
    pub(super) fn overhear(&mut self, frame: &[u8]) {
        self.heard.push_back(frame.to_vec());
        if self.heard.len() > REMEMBERED {
            self.heard.pop_front();
        }
    }

    pub(super) fn closed(&mut self, at: usize) {
        self.sessions.remove(&at);
    }

    fn signed(&mut self, skeleton: Skeleton, bodies: Vec<Option<Vec<u8>>>) -> RecordWithBodies {
        let (generation, previous, seq) = match self.ends.last() {
            Some(end) => (end.generation, Previous::Record(end.hash), end.seq + 1),
            None => (GenerationId([1; 16]), Previous::First, 1),
        };
        let (record, end) = self.raw.sealed(generation, previous, seq, skeleton, bodies);
        self.ends.pop();
        self.ends.push(end);
        record
    }

    /// All that is remembered of the log in one run, with this record at its end.
    fn run_to(&mut self, record: RecordWithBodies) -> Vec<u8> {
        if record.record.header.seq == 1 {
            self.written.clear();
        }
        self.written.push_back(record);
        if self.written.len() > KEPT {
            self.written.pop_front();
        }
        let run = self.raw.run(self.written.iter().cloned().collect());
        self.raw.frame(&[run])
    }

    /// Begins another generation: after the last one, or with a wrong word about it.
    fn begin(&mut self, rng: &mut Rng, honest: bool) -> Vec<u8> {
        let previous = match self.ends.last() {
            Some(end) if honest => self.raw.closing(*end),
            Some(end) => {
                let hash = RecordHash(rng.bytes());
                Previous::After(Closing { generation: end.generation, seq: end.seq, hash, pin: self.raw.pin })
            }
            None => Previous::First,
        };
        let opaque = b"nothing".to_vec();
        let skeleton =
            Skeleton { opaque: Some(OpaqueRef::of(&opaque)), ..Skeleton::new(CommandName::Place, Author::Site) };
        let (record, end) =
            self.raw.sealed(GenerationId::drawn(rng.bytes()), previous, 1, skeleton, vec![Some(opaque)]);
        self.ends.push(end);
        self.run_to(record)
    }

    /// An edit of a document as a replica shows it.
    fn edit(&mut self, replica: &Replica, doc: &DocId, author: Author, value: String) -> Option<RecordWithBodies> {
        let mut edits = Edits::default();
        edits.put("title", Value::Text(value));
        let generation = self.ends.last().map_or(GenerationId([1; 16]), |end| end.generation);
        let reading = replica.read().ok()?;
        let mut document = sync::docs::load(&reading, doc).ok()?;
        let actor = schema::record::actor(&self.raw.key.public(), &generation, doc);
        let body = sync::docs::edit::change(&mut document, &actor, &edits, false).ok()??.raw_bytes().to_vec();
        let change = sync::change::chunk_hash(&body)?;
        let entries = vec![schema::record::Entry { doc: *doc, genesis: None, change, length: body.len() as u32 }];
        let skeleton = Skeleton { entries, ..Skeleton::new(CommandName::Place, author) };
        Some(self.signed(skeleton, vec![Some(body)]))
    }

    fn generation(&self, rng: &mut Rng) -> GenerationId {
        match self.ends.is_empty() {
            true => GenerationId([1; 16]),
            false => rng.pick(&self.ends).generation,
        }
    }
}

/// What is there to aim at.
struct Target<'a> {
    replica: &'a Replica,
    /// A ticket of the people.
    ticket: Option<DocId>,
    /// A ticket that the reference model does not know.
    spare: Option<DocId>,
    /// Somebody for whom another site speaks.
    other: Author,
    /// A scope that the member does not hold.
    foreign: ScopeId,
    /// Sites of the organisation.
    sites: Vec<SiteId>,
}

impl World {
    /// The member says something to somebody.
    pub(super) fn act_as_member(&mut self) {
        let running: Vec<usize> = (0..self.sites.len()).filter(|at| self.sites[*at].is_running()).collect();
        let Some(mut member) = self.member.take().filter(|_| !running.is_empty()) else {
            return;
        };
        let at = *self.rng.pick(&running);
        self.member_meets(&mut member, at);
        let ticket = self.random_ticket(at).map(|(doc, _)| doc);
        let targets: Vec<DocId> = self.forgery_targets.iter().copied().collect();
        let spare = (!targets.is_empty()).then(|| *self.rng.pick(&targets));
        let other = Author::User(technician(self.sites[at].place));
        let foreign = self.scope(&HR);
        let sites = self.sites.iter().map(|site| site.key.public()).collect();
        let mut rng = Rng::new(self.rng.number());
        let frames = self.sites[at].replica().map(|replica| {
            member.raw.pin = replica.authority().pin().unwrap_or_default();
            member.raw.hlc = member.raw.hlc.max(Hlc::at(schema::time::Timestamp(self.now)));
            let target = Target { replica, ticket, spare, other, foreign, sites };
            member.frames(&mut rng, &target)
        });
        let (what, frames) = frames.unwrap_or(("away", Vec::new()));
        self.count(&format!("member:{what}"));
        if let Some(session) = member.sessions.get(&at).copied() {
            for (after, frame) in (1..).zip(frames) {
                self.schedule(after, Event::Frame { to: at, session, frame });
            }
        }
        self.member = Some(member);
    }

    fn member_meets(&mut self, member: &mut HostileMember, at: usize) {
        if member.sessions.contains_key(&at) && !self.rng.chance(10) {
            return;
        }
        if let Some(session) = member.sessions.remove(&at) {
            self.close_session(at, session);
        }
        let session = self.next_session;
        self.next_session += 2;
        self.ends.insert((at, session), (MEMBER, session + 1));
        member.sessions.insert(at, session);
        let (now, peer) = (self.clock(at), key().public());
        if let Some(replica) = self.sites[at].replica() {
            member.raw.pin = replica.authority().pin().unwrap_or_default();
        }
        for (after, frame) in (1..).zip(member.raw.opening()) {
            self.schedule(after, Event::Frame { to: at, session, frame });
        }
        let outputs = self.sites[at].replica_mut().map(|replica| replica.connected(now, session, peer));
        self.handle_outputs(at, outputs);
    }
}

impl HostileMember {
    /// What it says now, and what that is called in the counters.
    fn frames(&mut self, rng: &mut Rng, target: &Target<'_>) -> (&'static str, Vec<Vec<u8>>) {
        match rng.below(20) {
            0 => ("noise", vec![noise(rng)]),
            1 | 2 => ("flipped", self.flipped(rng).into_iter().collect()),
            3 => ("replayed", (0..3).filter_map(|_| self.replayed(rng)).collect()),
            4 if self.ends.len() < GENERATIONS => ("generations", (0..6).map(|_| self.begin(rng, false)).collect()),
            5 if self.ends.len() < GENERATIONS => ("restart", vec![self.begin(rng, true)]),
            6 | 7 => ("edit", self.honest_edit(rng, target)),
            8 | 9 => ("in-anothers-name", self.stolen_name(target)),
            10 => ("fork", self.fork(rng, target)),
            11 => ("withheld", vec![self.withheld(rng)]),
            12 => ("pin", self.pinned_elsewhere(rng, target)),
            13 => ("vector", vec![self.vector(rng, target)]),
            14 => ("offers", self.offers(rng, target)),
            15 => ("wants", self.wants(rng, target)),
            16 => ("announcements", self.announcements(rng, target)),
            17 => ("histories", self.histories(rng, target)),
            18 => ("statements", self.statements(rng, target)),
            _ => ("acknowledgements", self.acknowledgements(rng)),
        }
    }

    fn flipped(&mut self, rng: &mut Rng) -> Option<Vec<u8>> {
        let mut content = decompressed(&self.replayed(rng)?).filter(|content| !content.is_empty())?;
        for _ in 0..=rng.below(4) {
            let at = rng.below(content.len() as u64) as usize;
            content[at] ^= 1 << rng.below(8);
        }
        Some([&[0], content.as_slice()].concat())
    }

    fn replayed(&mut self, rng: &mut Rng) -> Option<Vec<u8>> {
        let heard = self.heard.make_contiguous();
        (!heard.is_empty()).then(|| rng.pick(heard).clone())
    }

    /// An edit that nothing forbids, of a ticket that nobody looks at.
    fn honest_edit(&mut self, rng: &mut Rng, target: &Target<'_>) -> Vec<Vec<u8>> {
        let Some(doc) = target.spare else {
            return Vec::new();
        };
        let value = format!("membre {}", rng.below(99));
        let record = self.edit(target.replica, &doc, Author::Site, value);
        record.map(|record| self.run_to(record)).into_iter().collect()
    }

    fn stolen_name(&mut self, target: &Target<'_>) -> Vec<Vec<u8>> {
        let Some(doc) = target.ticket else {
            return Vec::new();
        };
        let record = self.edit(target.replica, &doc, target.other, "gehackt".into());
        record.map(|record| self.run_to(record)).into_iter().collect()
    }

    /// Two records at one place, in two frames.
    fn fork(&mut self, rng: &mut Rng, target: &Target<'_>) -> Vec<Vec<u8>> {
        let before = (self.ends.clone(), self.written.clone());
        let one = self.honest_edit(rng, target);
        let other = if rng.chance(50) { Some(before) } else { None };
        let Some((ends, written)) = other else {
            return one;
        };
        (self.ends, self.written) = (ends, written);
        [one, self.honest_edit(rng, target)].concat()
    }

    /// A record whose body nobody ever sees.
    fn withheld(&mut self, rng: &mut Rng) -> Vec<u8> {
        let promised = OpaqueRef::of(&rng.bytes::<32>());
        let skeleton = Skeleton { opaque: Some(promised), ..Skeleton::new(CommandName::Place, Author::Site) };
        let record = self.signed(skeleton, vec![None]);
        self.run_to(record)
    }

    /// A record that names a statement which does not exist, or an older one than the record before.
    fn pinned_elsewhere(&mut self, rng: &mut Rng, target: &Target<'_>) -> Vec<Vec<u8>> {
        let before = self.raw.pin;
        let position = match rng.chance(50) {
            true => before.at.position + 1 + rng.below(5),
            false => rng.below(before.at.position + 1),
        };
        self.raw.pin = Pin { at: AuthorityRef { position, ..before.at }, ..before };
        let frames = self.honest_edit(rng, target);
        self.raw.pin = before;
        frames
    }

    fn vector(&mut self, rng: &mut Rng, target: &Target<'_>) -> Vec<u8> {
        let count = [1, 40, 3000][rng.below(3) as usize];
        let mut line = |_| {
            let site = if rng.chance(50) { *rng.pick(&target.sites) } else { SiteId(rng.bytes()) };
            (site, GenerationId(rng.bytes()), rng.number() >> rng.below(64), RecordHash(rng.bytes()))
        };
        let mut lines: Vec<_> = (0..count).map(&mut line).collect();
        lines.sort_unstable_by_key(|line| (line.0, line.1));
        let scope = self.raw.scope;
        encode(&Message::Vector { scope, lines, answer: count == 1 })
    }

    fn offers(&mut self, rng: &mut Rng, target: &Target<'_>) -> Vec<Vec<u8>> {
        let mut offer = |scope| {
            let counter = rng.below(500);
            let cursor = Some(Cursor { counter, chain: rng.bytes() });
            let cursors = [cursor, None];
            let (vector, floor, announced) = (rng.bytes(), rng.below(3), rng.number());
            encode(&Message::Offer(Offer { scope, cursors, vector, docs: None, floor, announced }))
        };
        let mut frames = vec![offer(target.foreign), offer(self.raw.scope)];
        frames.extend((0..20).map(|number| offer(ScopeId([number; 16]))));
        frames
    }

    fn wants(&mut self, rng: &mut Rng, target: &Target<'_>) -> Vec<Vec<u8>> {
        let log = (*rng.pick(&target.sites), target.replica.generation());
        let records: Vec<_> = (1..=60).map(|seq| (log.0, log.1, seq)).collect();
        let want = |scope| encode(&Message::Want { scope, records: records.clone() });
        let bodies = vec![rng.bytes::<64>().to_vec(), Vec::new()];
        let list = Message::FrontierList { answer: true, held: Vec::new() };
        let places = target.sites.iter().map(|site| (*site, target.foreign)).collect();
        vec![
            want(target.foreign),
            want(self.raw.scope),
            encode(&Message::Bodies { scope: self.raw.scope, bodies }),
            encode(&list),
            encode(&Message::FrontierWant(places)),
        ]
    }

    fn announcements(&mut self, rng: &mut Rng, target: &Target<'_>) -> Vec<Vec<u8>> {
        let mut lines: Vec<_> =
            (0..rng.below(50)).map(|_| (*rng.pick(&target.sites), GenerationId(rng.bytes()), rng.number())).collect();
        lines.sort_unstable();
        let site = if rng.chance(60) { self.raw.key.public() } else { *rng.pick(&target.sites) };
        let frontier = Frontier {
            org: self.raw.org,
            site,
            generation: self.generation(rng),
            scope: if rng.chance(70) { self.raw.scope } else { target.foreign },
            number: rng.number() >> rng.below(64),
            hlc: Hlc(rng.number()),
            heard: Some(target.replica.generation()),
            lines,
        };
        let signed = SignedFrontier::new(frontier, &self.raw.key);
        vec![encode(&Message::Frontiers(vec![Update::Whole(signed)]))]
    }

    /// Words about histories that do not exist, and a proof against itself.
    fn histories(&mut self, rng: &mut Rng, target: &Target<'_>) -> Vec<Vec<u8>> {
        let (scope, log) = (self.raw.scope, (*rng.pick(&target.sites), target.replica.generation()));
        let points = (1..20).map(|seq| (seq, RecordHash(rng.bytes()))).collect();
        let names = vec![rng.bytes(), rng.bytes()];
        let mut frames = vec![
            encode(&Message::ForkPoints { scope, log, points }),
            encode(&Message::ForkList { scope, held: names.clone() }),
            encode(&Message::ForkWant { scope, wanted: names }),
        ];
        let mut branch = |value: u8| {
            let skeleton =
                Skeleton { opaque: Some(OpaqueRef::of(&[value])), ..Skeleton::new(CommandName::Place, Author::Site) };
            let generation = GenerationId::drawn([value / 2 + 100; 16]);
            let (record, _) = self.raw.sealed(generation, Previous::First, 1, skeleton, vec![None]);
            let header = record.record.header;
            let signature = self.raw.key.sign(Purpose::Record, &header.hash().0);
            Branch { headers: vec![header], signature }
        };
        let number = rng.below(20) as u8 * 2;
        let (one, other) = (branch(number), branch(number + 1));
        frames.push(encode(&Message::ForkBranch(one.clone())));
        frames.push(encode(&Message::Fork(ForkProof::new(one, other))));
        frames
    }

    /// A statement under the wrong key: it wants to be the sequencer.
    fn statements(&mut self, rng: &mut Rng, target: &Target<'_>) -> Vec<Vec<u8>> {
        let Some((at, previous)) = target.replica.authority().head() else {
            return Vec::new();
        };
        let key = &self.raw.key;
        let body = match rng.chance(50) {
            true => Body::HandOver { base: at, base_hash: previous, sequencer: key.public() },
            false => Body::Structure { structure: IT, name: "mine".into(), parent: None },
        };
        let epoch = at.epoch + rng.below(2) as u32;
        let next = AuthorityRef { epoch, position: at.position + 1 };
        let signed = Signed::new(self.raw.org, next, previous, self.raw.hlc, &body, key);
        vec![encode(&Message::Authority(vec![signed]))]
    }

    fn acknowledgements(&mut self, rng: &mut Rng) -> Vec<Vec<u8>> {
        let scope = self.raw.scope;
        let mut ack = |lane| {
            let cursor = Cursor { counter: rng.number() >> rng.below(64), chain: rng.bytes() };
            encode(&Message::Ack { scope, lane, cursor })
        };
        let peers = vec![self.raw.key.public(); 3];
        vec![ack(Lane::Own), ack(Lane::Others), encode(&Message::Peers(peers)), encode(&Message::Ping)]
    }
}

/// Bytes of no frame, and a frame that opens to far too much.
fn noise(rng: &mut Rng) -> Vec<u8> {
    if rng.chance(30) {
        let bomb = zstd::bulk::compress(&vec![0; 32 << 20], 3).unwrap_or_default();
        return [&[1], bomb.as_slice()].concat();
    }
    let length = rng.below(300);
    (0..length).map(|_| rng.number() as u8).collect()
}
