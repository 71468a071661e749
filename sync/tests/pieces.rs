//! Long bodies that are wanted in pieces, and members that make something of it (R21): one gives them in crumbs, one slowly,
//! and one names what nobody has.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use std::collections::VecDeque;
use std::time::Duration;

use common::member::Member;
use common::{ANA, Fleet};
use schema::author::Author;
use schema::doc::{Edits, Value};
use schema::id::{ChangeHash, DocId, GenerationId, SiteId};
use schema::record::{CommandName, Entry, Previous, Skeleton};
use schema::time::Timestamp;
use sync::limits::{FRAME_MIN_BYTES, WANT_INTERVAL};
use sync::replica::{Alarm, Command, Output};
use sync::wire::{Message, WantedPiece, decode, encode};

const PARIS: usize = 0;
const LYON: usize = 1;
const DAKAR: usize = 2;
const OSLO: usize = 3;
const HELD: GenerationId = GenerationId([0x33; 16]);
/// The session of Paris with a member in hostile hands.
const HOSTILE: u64 = 77;
const STEP: u64 = 500;

/// Text that does not compress to less than half.
fn noise(bytes: usize) -> String {
    let mut hash = blake3::hash(b"noise");
    let mut text = String::new();
    while text.len() < bytes {
        hash = blake3::hash(hash.as_bytes());
        text.push_str(&hash.to_hex());
    }
    text[..bytes].to_owned()
}

/// A frame of a member with a record whose title is this long, named only, and the title's change.
fn long_title(member: &mut Member, fleet: &Fleet, doc: DocId, bytes: usize) -> (Vec<u8>, Vec<u8>) {
    let mut edits = Edits::default();
    edits.put("title", Value::Text(noise(bytes)));
    let body = member.change(&fleet.sites[PARIS], HELD, &doc, &edits);
    let (mut record, _) = member.record(HELD, Previous::First, 1, Author::Site, doc, body.clone());
    record.bodies = vec![None];
    (member.frame(&[member.run(vec![record])]), body)
}

/// Paris in session with honest sites, and with a member that answers as these tests say.
struct World {
    fleet: Fleet,
    queue: VecDeque<(usize, Output)>,
    /// The sessions with honest sites, numbered by them.
    peers: Vec<usize>,
    /// The piece that the member was asked for and did not give.
    wanted: Option<WantedPiece>,
    steps: u64,
    /// Questions of Paris for pieces.
    questions: u32,
    /// What sites told people, and why they ended sessions.
    told: Vec<Output>,
}

impl World {
    fn new(fleet: Fleet) -> Self {
        Self {
            fleet,
            queue: VecDeque::new(),
            peers: Vec::new(),
            wanted: None,
            steps: 0,
            questions: 0,
            told: Vec::new(),
        }
    }

    /// The member says hello to Paris, and sends this.
    fn member(&mut self, member: &Member, frames: &[Vec<u8>]) {
        let (now, me) = (self.fleet.now, member.key.public());
        let mut outputs = self.fleet.sites[PARIS].connected(now, HOSTILE, me).unwrap();
        for frame in member.opening().iter().chain(frames) {
            outputs.extend(self.fleet.sites[PARIS].received(now, HOSTILE, frame).unwrap());
        }
        self.take(PARIS, outputs);
    }

    fn connect(&mut self, site: usize) {
        self.peers.push(site);
        for (from, to) in [(PARIS, site), (site, PARIS)] {
            let (now, peer) = (self.fleet.now, self.fleet.sites[to].me());
            let outputs = self.fleet.sites[from].connected(now, site as u64, peer).unwrap();
            self.take(from, outputs);
        }
    }

    fn take(&mut self, from: usize, outputs: Vec<Output>) {
        self.queue.extend(outputs.into_iter().map(|output| (from, output)));
    }

    /// Lyon sets a title, and what it wrote goes out.
    fn title(&mut self, doc: DocId, bytes: usize) {
        let mut edits = Edits::default();
        edits.put("title", Value::Text(noise(bytes)));
        let (scope, now) = (self.fleet.scope(), self.fleet.now);
        let written = self.fleet.sites[LYON].write(now, |batch| {
            let work = |command: &mut Command<'_, '_, '_>| command.edit(doc, &edits).map(|_| ());
            batch.command(Author::User(ANA), CommandName::Place, scope, work)
        });
        self.take(LYON, written.unwrap().1);
    }

    /// What the member sends to Paris.
    fn give(&mut self, message: &Message) {
        let now = self.fleet.now;
        let outputs = self.fleet.sites[PARIS].received(now, HOSTILE, &encode(message)).unwrap();
        self.take(PARIS, outputs);
    }

    /// The member answers as an honest peer would, but for pieces.
    fn hostile(&mut self, message: Message) {
        match message {
            Message::WantPiece { wanted, .. } => self.wanted = Some(wanted),
            Message::Runs { scope, lane, cursor, .. } => self.give(&Message::Ack { scope, lane, cursor }),
            Message::Vector { scope, lines, answer: true } => {
                self.give(&Message::Vector { scope, lines, answer: false });
            }
            _ => {}
        }
    }

    /// Half a second passes. Of frames that answer one another at once, a link bears so many in that time.
    fn step(&mut self) {
        for _ in 0..300 {
            let Some((from, output)) = self.queue.pop_front() else {
                break;
            };
            match output {
                Output::Send(session, frame) => {
                    let message = decode(&frame).unwrap();
                    self.questions += u32::from(from == PARIS && matches!(message, Message::WantPiece { .. }));
                    if session == HOSTILE {
                        self.hostile(message);
                        continue;
                    }
                    let to = if from == PARIS { session as usize } else { PARIS };
                    let now = self.fleet.now;
                    let outputs = self.fleet.sites[to].received(now, session, &frame).unwrap();
                    self.take(to, outputs);
                }
                Output::Authority => {}
                output => {
                    if let Output::Close(HOSTILE, _) = output {
                        self.fleet.sites[PARIS].closed(self.fleet.now, HOSTILE).unwrap();
                    }
                    self.told.push(output);
                }
            }
        }
        self.steps += 1;
        self.fleet.now = Timestamp(self.fleet.now.0 + STEP);
        let now = self.fleet.now;
        for site in [vec![PARIS], self.peers.clone()].concat() {
            while self.fleet.sites[site].catch_up(now).unwrap() {}
            let outputs = self.fleet.sites[site].tick(now).unwrap();
            self.take(site, outputs);
        }
    }

    /// Lets so many seconds pass, or fewer, until Paris shows a title of this length. Every 15 s the member gives what it
    /// makes of the last question.
    fn shows(
        &mut self,
        seconds: u64,
        (doc, bytes): (DocId, usize),
        gives: impl Fn(&WantedPiece) -> Option<Message>,
    ) -> bool {
        for _ in 0..seconds * 1000 / STEP {
            self.step();
            if self.steps.is_multiple_of(30) && self.told.is_empty() {
                self.give(&Message::Ping);
                let given = self.wanted.as_ref().and_then(&gives);
                if let Some(piece) = given {
                    self.wanted = None;
                    self.give(&piece);
                }
            }
            let view = self.fleet.view(PARIS, &doc);
            if view.is_some_and(|view| view.text("title").is_some_and(|title| title.len() == bytes)) {
                return true;
            }
        }
        false
    }

    fn is_blamed(&self, member: SiteId) -> bool {
        let blames = |one: &Output| matches!(one, Output::Alarm(Alarm::Refused(peer, "bad-body")) if *peer == member);
        let closes = |one: &Output| matches!(one, Output::Close(HOSTILE, "bad-body"));
        self.told.iter().any(blames) && self.told.iter().any(closes)
    }
}

/// A fleet whose first sites hold two tickets.
fn fleet() -> (Fleet, [DocId; 2], Member) {
    let mut fleet = Fleet::new(4);
    let docs = [fleet.ticket(PARIS, "ours"), fleet.ticket(PARIS, "theirs")];
    fleet.meet(PARIS, OSLO);
    fleet.meet(PARIS, LYON);
    let member = Member::of(&fleet, DAKAR);
    (fleet, docs, member)
}

#[test]
fn r21_who_gives_a_long_body_in_crumbs_is_blamed_and_holds_up_nobody() {
    let (fleet, [ours, theirs], mut member) = fleet();
    let (names, body) = long_title(&mut member, &fleet, theirs, 100_000);
    let mut world = World::new(fleet);
    world.member(&member, &[names]);
    world.step();
    world.fleet.put(LYON, ours, "title", &noise(40_000));
    world.connect(LYON);
    let crumb = |wanted: &WantedPiece| {
        let at = wanted.offset as usize;
        let bytes = body.get(at..at + 1)?.to_vec();
        Some(Message::Piece { name: wanted.name, length: body.len() as u32, offset: wanted.offset, bytes })
    };
    assert!(world.shows(60, (ours, 40_000), crumb), "what another site has is asked of that one");
    assert!(world.is_blamed(member.key.public()), "no honest site gives so little at a time: {:?}", world.told);
}

#[test]
fn r21_who_gives_a_long_body_slowly_is_waited_for_and_holds_up_nobody() {
    let (fleet, [ours, theirs], mut member) = fleet();
    let (names, body) = long_title(&mut member, &fleet, theirs, 200_000);
    let mut world = World::new(fleet);
    world.member(&member, &[names]);
    world.connect(LYON);
    // As little as may be, as slowly as may be.
    let slowly = |wanted: &WantedPiece| {
        let at = wanted.offset as usize;
        let bytes = body.get(at..body.len().min(at + FRAME_MIN_BYTES))?.to_vec();
        Some(Message::Piece { name: wanted.name, length: body.len() as u32, offset: wanted.offset, bytes })
    };
    assert!(!world.shows(40, (theirs, 200_000), slowly));
    for bytes in [40_000, 50_000] {
        world.title(ours, bytes);
        assert!(world.shows(45, (ours, bytes), slowly), "others make better use of the time");
    }
    assert!(world.shows(1_000, (theirs, 200_000), slowly), "and what came of it is kept until the rest is there");
    assert!(world.told.is_empty(), "{:?}", world.told);
}

#[test]
fn r21_who_is_asked_for_long_bodies_and_says_nothing_holds_up_nobody_for_long() {
    let (fleet, [ours, theirs], mut member) = fleet();
    let (mut previous, mut records) = (Previous::First, Vec::new());
    for number in 1..=16 {
        let entry = Entry { doc: theirs, genesis: None, change: ChangeHash([number; 32]), length: 100_000 };
        let skeleton = Skeleton { entries: vec![entry], ..Skeleton::new(CommandName::Place, Author::Site) };
        let (record, end) = member.sealed(HELD, previous, u64::from(number), skeleton, vec![None]);
        previous = Previous::Record(end.hash);
        records.push(record);
    }
    let names = member.frame(&[member.run(records)]);
    let mut world = World::new(fleet);
    world.member(&member, &[names]);
    world.connect(LYON);
    assert!(!world.shows(10, (ours, 40_000), |_| None));
    world.title(ours, 40_000);
    assert!(world.shows(40, (ours, 40_000), |_| None), "it is not asked again and again");
}

#[test]
fn r21_a_long_body_that_nobody_has_is_asked_for_at_a_pace_and_holds_up_nothing() {
    let (mut fleet, [ours, theirs], mut member) = fleet();
    let (names, _) = long_title(&mut member, &fleet, theirs, 100_000);
    let now = fleet.now;
    for site in [PARIS, LYON, OSLO] {
        member.visit(&mut fleet.sites[site], now, std::slice::from_ref(&names));
    }
    fleet.put(LYON, ours, "title", &noise(40_000));
    let mut world = World::new(fleet);
    world.connect(OSLO);
    world.connect(LYON);
    assert!(world.shows(30, (ours, 40_000), |_| None), "it is asked of each in turn, whatever else is asked");
    world.questions = 0;
    let seconds = 100;
    assert!(!world.shows(seconds, (theirs, 100_000), |_| None));
    let rounds = Duration::from_secs(seconds).div_duration_f32(WANT_INTERVAL) as u32;
    assert!(world.questions <= 2 * (rounds + 1), "once of each peer in that time: {}", world.questions);
    assert!(world.questions >= rounds, "and again and again: {}", world.questions);
}
