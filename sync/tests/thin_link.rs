//! Two sites over a thin link (A13, R21): nothing that one of them sends may take so long that it ends their session, or
//! holds up what people just wrote.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use std::collections::VecDeque;
use std::time::Duration;

use common::member::Member;
use common::{ANA, Fleet};
use schema::author::Author;
use schema::doc::{Edits, Value};
use schema::id::{DocId, GenerationId};
use schema::record::{CommandName, Previous};
use schema::time::Timestamp;
use sync::replica::{Alarm, Command, Output};
use sync::wire::{Message, decode, encode};

/// 64 kbit/s.
const BYTES_A_SECOND: u64 = 8_000;
const TICK: u64 = 250;

/// Text that does not compress to less than half.
fn noise(seed: u64, bytes: usize) -> String {
    let mut hash = blake3::hash(&seed.to_be_bytes()).to_hex().to_string();
    let mut text = String::new();
    while text.len() < bytes {
        hash = blake3::hash(hash.as_bytes()).to_hex().to_string();
        text.push_str(&hash);
    }
    text[..bytes].to_owned()
}

/// A session of the sites 0 and 1 over a link of so many bytes a second each way.
struct Link {
    fleet: Fleet,
    /// Frames on the way to each, and when each is there.
    queues: [VecDeque<(u64, Vec<u8>)>; 2],
    free_at: [u64; 2],
    next_tick: u64,
    /// The longest that one frame took on the link.
    longest: Duration,
}

impl Link {
    fn new(fleet: Fleet) -> Self {
        let (now, queues) = (fleet.now.0, Default::default());
        let mut link = Self { fleet, queues, free_at: [now; 2], next_tick: now, longest: Duration::ZERO };
        for site in 0..2 {
            let (now, peer) = (link.fleet.now, link.fleet.sites[1 - site].me());
            let outputs = link.fleet.sites[site].connected(now, 1, peer).unwrap();
            link.take(site, outputs);
        }
        link
    }

    fn take(&mut self, from: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send(_, frame) => {
                    let took = frame.len() as u64 * 1000 / BYTES_A_SECOND;
                    let at = self.free_at[1 - from].max(self.fleet.now.0) + took;
                    self.free_at[1 - from] = at;
                    self.longest = self.longest.max(Duration::from_millis(took));
                    self.queues[1 - from].push_back((at, frame));
                }
                Output::Close(_, code) => panic!("site {from} ended the session: {code}"),
                Output::Alarm(alarm) => panic!("site {from} raised {alarm:?}"),
                Output::Authority => {}
            }
        }
    }

    /// Lets so many seconds pass, or fewer, until `done`; answers with how long that took.
    fn pass(&mut self, seconds: u64, done: impl Fn(&Fleet) -> bool) -> Option<Duration> {
        let begun = self.fleet.now.0;
        while self.fleet.now.0 < begun + seconds * 1000 {
            let arrival = |site: usize| self.queues[site].front().map(|(at, _)| (*at, site));
            let next = arrival(0).into_iter().chain(arrival(1)).min().filter(|(at, _)| *at <= self.next_tick);
            match next {
                Some((at, site)) => {
                    self.fleet.now = Timestamp(at);
                    let (_, frame) = self.queues[site].pop_front().unwrap();
                    let outputs = self.fleet.sites[site].received(Timestamp(at), 1, &frame).unwrap();
                    self.take(site, outputs);
                }
                None => {
                    self.fleet.now = Timestamp(self.next_tick);
                    self.next_tick += TICK;
                    for site in 0..2 {
                        let now = self.fleet.now;
                        while self.fleet.sites[site].catch_up(now).unwrap() {}
                        let outputs = self.fleet.sites[site].tick(now).unwrap();
                        self.take(site, outputs);
                    }
                }
            }
            if done(&self.fleet) {
                return Some(Duration::from_millis(self.fleet.now.0 - begun));
            }
        }
        None
    }

    /// Ana sets a field at a site, and what she wrote goes out.
    fn put(&mut self, site: usize, doc: DocId, key: &str, value: &str) {
        let mut edits = Edits::default();
        edits.put(key, Value::Text(value.into()));
        let (scope, now) = (self.fleet.scope(), self.fleet.now);
        let written = self.fleet.sites[site].write(now, |batch| {
            let work = |command: &mut Command<'_, '_, '_>| command.edit(doc, &edits).map(|_| ());
            batch.command(Author::User(ANA), CommandName::Place, scope, work)
        });
        let (_, outputs) = written.unwrap();
        self.take(site, outputs);
    }
}

#[test]
fn a13_a_long_body_and_much_else_pass_a_thin_link_and_people_hardly_wait() {
    let mut fleet = Fleet::new(2);
    let ticket = fleet.ticket(0, "lampe");
    let other = fleet.ticket(0, "badge");
    fleet.meet_all();
    // Two thirds of a megabyte in one field, and a few hundred tickets, none of which the other site has.
    let long = noise(0, 640_000);
    fleet.put(0, ticket, "title", &long);
    for number in 0..300 {
        fleet.ticket(0, &noise(1 + number, 200));
    }
    let mut link = Link::new(fleet);
    link.pass(20, |_| false);
    // In the middle of all that somebody at the other site writes, and the first site shows it.
    link.put(1, other, "urgency", "high");
    let shows = move |fleet: &Fleet| fleet.view(0, &other).unwrap().text("urgency") == Some("high");
    let answered = link.pass(30, shows).expect("it is shown");
    assert!(answered < Duration::from_secs(2), "nothing goes the other way: {answered:?}");
    // And somebody at the busy site: what is on the way already goes first.
    link.put(0, other, "impact", "low");
    let shows = move |fleet: &Fleet| fleet.view(1, &other).unwrap().text("impact") == Some("low");
    let busy = link.pass(120, shows).expect("it is shown");
    assert!(busy < Duration::from_secs(60), "it waits for what its lane had sent, and not for the rest: {busy:?}");
    let whole =
        |fleet: &Fleet| fleet.view(1, &ticket).unwrap().text("title").is_some_and(|title| title.len() == long.len());
    let took = link.pass(600, whole).expect("the long field comes in the end");
    assert!(took > Duration::from_secs(10), "or this test is about a fast link: {took:?}");
    let longest = link.longest;
    assert!(longest <= Duration::from_millis(2500), "no frame takes longer than about 2 s of its link: {longest:?}");
    link.pass(30, |_| false);
    link.fleet.agree();
}

#[test]
fn who_sends_wrong_pieces_is_blamed_and_somebody_else_is_asked() {
    let mut fleet = Fleet::new(3);
    let ticket = fleet.ticket(0, "lampe");
    fleet.meet_all();
    let mut member = Member::of(&fleet, 2);
    let generation = GenerationId([0x33; 16]);
    let mut edits = Edits::default();
    edits.put("title", Value::Text(noise(0, 40_000)));
    let body = member.change(&fleet.sites[0], generation, &ticket, &edits);
    let (whole, _) = member.record(generation, Previous::First, 1, Author::Site, ticket, body.clone());
    let mut bare = whole.clone();
    bare.bodies = vec![None];
    // The second site gets the body whole; the first hears of it and is given something else.
    let now = fleet.now;
    let with = member.frame(&[member.run(vec![whole])]);
    member.visit(&mut fleet.sites[1], now, &[with]);
    let without = member.frame(&[member.run(vec![bare])]);
    let (session, me) = (77, schema::identity::Secret::public(&member.key));
    let mut outputs = fleet.sites[0].connected(now, session, me).unwrap();
    for frame in member.opening().iter().chain([&without]) {
        outputs.extend(fleet.sites[0].received(now, session, frame).unwrap());
    }
    while fleet.sites[0].catch_up(now).unwrap() {}
    outputs.extend(fleet.sites[0].tick(now).unwrap());
    let asks = |output: &Output| match output {
        Output::Send(_, frame) => match decode(frame) {
            Ok(Message::WantPiece { wanted, .. }) => Some(wanted),
            _ => None,
        },
        _ => None,
    };
    let asked = outputs.iter().find_map(asks).expect("a long body is asked for in pieces");
    assert_eq!(asked.offset, 0);
    let wrong =
        Message::Piece { name: asked.name, length: body.len() as u32, offset: 0, bytes: vec![0x55; body.len()] };
    let outputs = fleet.sites[0].received(now, session, &encode(&wrong)).unwrap();
    let is_blamed =
        outputs.iter().any(|one| matches!(one, Output::Alarm(Alarm::Refused(peer, "bad-body")) if *peer == me));
    assert!(is_blamed && outputs.iter().any(|one| matches!(one, Output::Close(77, "bad-body"))), "{outputs:?}");
    fleet.sites[0].closed(now, session).unwrap();
    fleet.sites.truncate(2);
    fleet.meet(0, 1);
    let shown = fleet.view(0, &ticket).unwrap();
    assert_eq!(shown.text("title").map(str::len), Some(40_000), "the other site has it");
    fleet.agree();
    fleet.calm();
}
