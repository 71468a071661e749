//! The engine by scripted events: what it decides on one event after another, with nothing around it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{IT, NOW, founding, key, sign};
use schema::authority::{AuthorityRef, Body, Pin, ScopeSelector, SiteEntry};
use schema::frontier::{Frontier, MAX_LINES, SignedFrontier};
use schema::id::{GenerationId, OrgId, ScopeId, SiteId, StoreId, scope_of};
use schema::policy::{AuthorityLog, Policy};
use schema::time::{Hlc, Timestamp};
use sync::engine::{Effect, Engine, EngineInput, Event, SessionId};
use sync::frontiers::{Difference, Frontiers, Update};
use sync::limits::{ACK_PATIENCE, MAX_OFFERS, PING_INTERVAL, SESSION_SILENCE, VECTOR_INTERVAL};
use sync::store::LogIndex;
use sync::wire::{Cursor, Hello, Lane, Message, Offer, PackedRuns, VERSIONS, decode, encode};

/// The session of every script.
const SESSION: SessionId = 1;

/// The engine of the first of two sites, which holds no record.
struct Script {
    engine: Engine,
    authority: AuthorityLog,
    now: Timestamp,
    frontiers: Frontiers,
}

impl Script {
    /// With the second site connected.
    fn connected() -> Self {
        Self::of(&founding(2))
    }

    fn of(bodies: &[Body]) -> Self {
        let mut authority = AuthorityLog::default();
        sign(bodies).iter().for_each(|statement| authority.push(statement).unwrap());
        let engine = Engine::new(key(0).public(), &LogIndex::default());
        let mut script = Self { engine, authority, now: NOW, frontiers: Frontiers::default() };
        script.step(Event::Connected(SESSION, peer()));
        script
    }

    /// And with a hello of the peer.
    fn greeted() -> Self {
        let mut script = Self::connected();
        let hello = script.hello();
        script.hear(Message::Hello(hello));
        script
    }

    fn policy(&self) -> &Policy {
        self.authority.current().unwrap()
    }

    fn scope(&self) -> ScopeId {
        scope_of(&self.policy().org, Some(&IT))
    }

    fn step(&mut self, event: Event) -> Vec<Effect> {
        let (cursors, stores, index) = (BTreeMap::new(), BTreeMap::new(), LogIndex::default());
        let lines = |_: &SiteId, _: &ScopeId| BTreeMap::new();
        let here = EngineInput {
            policy: self.authority.current().map(AsRef::as_ref),
            authority: self.authority.pin().unwrap(),
            log_index: &index,
            settled: true,
            store: StoreId([1; 16]),
            generation: GenerationId([1; 16]),
            cursors: &cursors,
            stores: &stores,
            frontiers: &self.frontiers,
            lines: &lines,
        };
        self.engine.step(self.now, event, &here)
    }

    fn hear(&mut self, message: Message) -> Vec<Effect> {
        self.step(Event::Received(SESSION, message))
    }

    /// Lets so much time pass, with a tick each second on both sides and a ping of the peer if it is `alive`; the codes
    /// with which this side ended the session, each with the second.
    fn wait(&mut self, long: Duration, alive: bool) -> Vec<(u64, &'static str)> {
        let mut codes = Vec::new();
        for second in 1..=long.as_secs() {
            self.now = Timestamp(self.now.0 + 1000);
            if alive {
                self.hear(Message::Ping);
            }
            codes.extend(closes(&self.step(Event::Tick)).into_iter().map(|code| (second, code)));
        }
        codes
    }

    fn hello(&self) -> Hello {
        Hello {
            versions: VERSIONS,
            org: self.policy().org,
            store: StoreId([2; 16]),
            generation: GenerationId([2; 16]),
            authority: self.authority.pin().unwrap(),
            frontiers: [0; 32],
        }
    }

    fn offer(&self, scope: ScopeId) -> Offer {
        Offer { scope, cursors: [None; 2], vector: [9; 32], docs: None, floor: 0, announced: 0 }
    }
}

fn peer() -> SiteId {
    key(1).public()
}

fn closes(effects: &[Effect]) -> Vec<&'static str> {
    let code = |effect: &Effect| if let Effect::Close(SESSION, code) = effect { Some(*code) } else { None };
    effects.iter().filter_map(code).collect()
}

fn said(effects: &[Effect]) -> Vec<&Message> {
    let message = |effect| match effect {
        &Effect::Send(SESSION, ref message) => Some(message),
        _ => None,
    };
    effects.iter().filter_map(message).collect()
}

fn asks(effects: &[Effect]) -> bool {
    said(effects).into_iter().any(|message| matches!(message, Message::Vector { answer: true, .. }))
}

#[test]
fn a_peer_that_begins_otherwise_than_with_a_hello_that_fits_is_told_why() {
    let fits = Script::connected().hello();
    let cases: [(&str, Message, &[&str]); 7] = [
        ("a hello that fits", Message::Hello(fits.clone()), &[]),
        ("newer, but knows this version", Message::Hello(Hello { versions: (VERSIONS.0, 9), ..fits.clone() }), &[]),
        ("only newer", Message::Hello(Hello { versions: (VERSIONS.1 + 1, 9), ..fits.clone() }), &["no-common-version"]),
        ("only older", Message::Hello(Hello { versions: (0, VERSIONS.0 - 1), ..fits.clone() }), &["no-common-version"]),
        ("a stranger", Message::Hello(Hello { org: OrgId([5; 32]), ..fits }), &["another-organisation"]),
        ("no hello", Message::Ping, &["hello-first"]),
        ("it only takes its leave", Message::Bye("over".into()), &["bye"]),
    ];
    for (case, message, codes) in cases {
        assert_eq!(closes(&Script::connected().hear(message)), codes, "{case}");
    }
    let mut script = Script::greeted();
    let again = script.hello();
    assert_eq!(closes(&script.hear(Message::Hello(again))), ["another-organisation"], "a second hello is none");
}

#[test]
fn a_session_ends_by_the_clock_where_nothing_more_can_come_of_it() {
    // A peer that says nothing.
    let mut script = Script::greeted();
    assert_eq!(script.wait(SESSION_SILENCE, false), [(SESSION_SILENCE.as_secs(), "silent")]);

    // It lives, and never answers where the lanes of a scope are to begin: its offer or ours was lost on its side.
    let mut script = Script::greeted();
    let offer = script.offer(script.scope());
    assert!(asks(&script.hear(Message::Offer(offer))), "without cursors the vector is asked for");
    let codes = script.wait(ACK_PATIENCE, true);
    assert_eq!(codes, [(ACK_PATIENCE.as_secs(), "not-answered")]);

    // It answers late: then the session goes on.
    let mut script = Script::greeted();
    let (scope, offer) = (script.scope(), script.offer(script.scope()));
    script.hear(Message::Offer(offer));
    assert_eq!(script.wait(ACK_PATIENCE / 2, true), []);
    script.hear(Message::Vector { scope, lines: Vec::new(), answer: false });
    assert_eq!(script.wait(2 * ACK_PATIENCE, true), []);

    // This machine's clock is set back by a day: no wait becomes a day longer.
    let mut script = Script::greeted();
    script.wait(PING_INTERVAL, false);
    script.now = Timestamp(script.now.0 - 86_400_000);
    assert_eq!(script.wait(SESSION_SILENCE + Duration::from_secs(1), false).first().unwrap().1, "silent");
}

#[test]
fn a_quiet_session_says_that_it_lives_and_asks_again_what_was_not_answered() {
    let mut script = Script::greeted();
    let offer = script.offer(script.scope());
    script.hear(Message::Offer(offer));
    let (mut pings, mut questions) = (0, 0);
    for _ in 0..20 {
        script.now = Timestamp(script.now.0 + 1000);
        script.hear(Message::Ping);
        let effects = script.step(Event::Tick);
        pings += said(&effects).iter().filter(|message| matches!(message, Message::Ping)).count();
        questions += usize::from(asks(&effects));
    }
    let every = VECTOR_INTERVAL.as_secs() as usize;
    assert!((20 / every..=20 / every + 1).contains(&questions), "{questions} questions in 20 s");
    assert!(pings <= 4, "who says something else has no need of {pings} pings in 20 s");
}

/// What a peer asks for of a scope that it does not hold, or that nobody offered, is not even looked up (R23).
#[test]
fn a_peer_hears_of_no_scope_that_it_does_not_hold() {
    let mut bodies = founding(2);
    let Some(Body::Site(entry)) = bodies.iter_mut().rfind(|body| matches!(body, Body::Site(_))) else {
        unreachable!("the founding statements name sites");
    };
    *entry = SiteEntry { holds: vec![ScopeSelector::Organisation], ..entry.clone() };
    let log = (peer(), GenerationId([3; 16]));
    type Asking = fn(ScopeId, (SiteId, GenerationId)) -> Message;
    let cases: [(&str, Asking); 6] = [
        ("bodies", |scope, log| Message::Want { scope, records: vec![(log.0, log.1, 1)] }),
        ("proofs", |scope, _| Message::ForkWant { scope, wanted: vec![[1; 32]] }),
        ("which proofs", |scope, _| Message::ForkList { scope, held: vec![[1; 32]] }),
        ("hashes", |scope, log| Message::ForkPoints { scope, log, points: vec![(1, schema::id::RecordHash([1; 32]))] }),
        ("a vector", |scope, _| Message::Vector { scope, lines: Vec::new(), answer: true }),
        ("an acknowledgement", |scope, _| Message::Ack { scope, lane: Lane::Own, cursor: Cursor::default() }),
    ];
    for (case, message) in cases {
        let mut script = Script::of(&bodies);
        let hello = script.hello();
        script.hear(Message::Hello(hello));
        let scope = script.scope();
        let offer = script.offer(scope);
        let effects = script.hear(Message::Offer(offer));
        assert!(effects.is_empty(), "an offer of what it does not hold begins nothing: {effects:?}");
        let effects = script.hear(message(scope, log));
        assert!(effects.is_empty(), "{case}: {effects:?}");
    }
    // Where both hold it and have begun to carry it, each question has an answer.
    for (case, message) in cases.into_iter().filter(|(case, _)| *case != "an acknowledgement") {
        let mut script = Script::greeted();
        let (scope, offer) = (script.scope(), script.offer(script.scope()));
        script.hear(Message::Offer(offer));
        script.now = Timestamp(script.now.0 + VECTOR_INTERVAL.as_millis() as u64);
        assert!(!script.hear(message(scope, log)).is_empty(), "{case}");
    }
}

#[test]
fn what_no_honest_peer_sends_ends_the_session() {
    let mut script = Script::greeted();
    let other = ScopeId([8; 16]);
    let runs =
        |scope| Message::Runs { scope, lane: Lane::Own, cursor: Cursor::default(), runs: PackedRuns::none(scope) };
    assert_eq!(closes(&script.hear(runs(other))), ["scope-not-offered"]);

    let mut script = Script::greeted();
    let offer = script.offer(other);
    script.hear(Message::Offer(offer));
    assert_eq!(closes(&script.hear(runs(other))), ["scope-not-held"]);

    let mut script = Script::greeted();
    let before = script.engine.sessions()[&SESSION].scope(&script.scope()).is_some();
    assert!(before, "what both hold was offered");
    let offers = 0..MAX_OFFERS as u64 + 1;
    let codes: Vec<_> = offers
        .flat_map(|no| {
            let mut scope = [0xee; 16];
            scope[..8].copy_from_slice(&no.to_be_bytes());
            let offer = script.offer(ScopeId(scope));
            closes(&script.hear(Message::Offer(offer)))
        })
        .collect();
    assert_eq!(codes.first(), Some(&"too-many-offers"), "memory has a bound");
}

/// Whose key is revoked hears the statement that says so and nothing later, whatever it holds (R18).
#[test]
fn a_revoked_peer_hears_why_and_nothing_more() {
    let mut script = Script::of(
        &[
            founding(2),
            vec![
                Body::Revoke { site: peer(), cuts: Vec::new() },
                Body::Structure { structure: schema::id::StructureId([9; 16]), name: "Later".into(), parent: None },
            ],
        ]
        .concat(),
    );
    let revoked_at = script.policy().revoked.get(&peer()).unwrap().at.position;
    let hello =
        Hello { authority: Pin { at: AuthorityRef { epoch: 1, position: 1 }, hash_head: [0; 8] }, ..script.hello() };
    let effects = script.hear(Message::Hello(hello));
    let sent: Vec<(u64, u64)> = effects
        .iter()
        .filter_map(|effect| if let Effect::SendAuthority(_, from, to) = effect { Some((*from, *to)) } else { None })
        .collect();
    assert_eq!(sent, [(2, revoked_at)]);
    assert_eq!(closes(&effects), ["revoked"]);
    assert!(!said(&effects).iter().any(|message| matches!(message, Message::Offer(_))), "no scope is common any more");
}

/// Two questions that cross answer one another: no third message goes out.
#[test]
fn questions_that_cross_answer_one_another() {
    let mut script = Script::greeted();
    let (scope, offer) = (script.scope(), script.offer(script.scope()));
    assert!(asks(&script.hear(Message::Offer(offer))));
    let effects = script.hear(Message::Vector { scope, lines: Vec::new(), answer: true });
    assert!(said(&effects).is_empty(), "{effects:?}");
    script.now = Timestamp(script.now.0 + VECTOR_INTERVAL.as_millis() as u64);
    let effects = script.hear(Message::Vector { scope, lines: Vec::new(), answer: true });
    assert!(matches!(said(&effects).as_slice(), [Message::Vector { answer: false, .. }]), "{effects:?}");
}

/// A member that signs one history after the other makes every site say its vector, which is long, no more than every few
/// seconds.
#[test]
fn forks_are_told_at_once_and_vectors_are_not() {
    let mut script = Script::greeted();
    let (scope, offer) = (script.scope(), script.offer(script.scope()));
    script.hear(Message::Offer(offer));
    script.hear(Message::Vector { scope, lines: Vec::new(), answer: false });
    script.now = Timestamp(script.now.0 + VECTOR_INTERVAL.as_millis() as u64);
    let (mut lists, mut vectors) = (0, 0);
    for fork in 0..100 {
        let effects = script.step(Event::Forked(scope, vec![[fork; 32]]));
        lists += said(&effects).iter().filter(|message| matches!(message, Message::ForkList { .. })).count();
        vectors += said(&effects).iter().filter(|message| matches!(message, Message::Vector { .. })).count();
    }
    assert_eq!((lists, vectors), (100, 1));
}

/// What came in one frame may fill several: of ten whole announcements of one site nine go on as differences, and a
/// difference to other lines is longer than both. A frame that its receiver cannot read would put the blame on whoever
/// passed it on.
#[test]
fn news_is_passed_on_in_frames_that_can_be_read() {
    let mut script = Script::greeted();
    let (org, scope) = (script.policy().org, script.scope());
    let announced = |number: u64| {
        let line = |at: u64| {
            let mut site = [0; 32];
            site[..8].copy_from_slice(&(number % 2 * MAX_LINES as u64 + at).to_be_bytes());
            (SiteId(site), GenerationId([1; 16]), 1)
        };
        let (site, generation) = (key(0).public(), GenerationId([2; 16]));
        let lines = (0..MAX_LINES as u64).map(line).collect();
        SignedFrontier::new(Frontier { org, site, generation, scope, number, hlc: Hlc(1), heard: None, lines }, &key(0))
    };
    let all: Vec<SignedFrontier> = (1..=10).map(announced).collect();
    let mut news = vec![Update::Whole(all[0].clone())];
    news.extend(all.windows(2).map(|pair| Update::Difference(Difference::between(&pair[0].frontier, &pair[1]))));
    let together = encode(&Message::Frontiers(news.clone()));
    assert!(decode(&together).is_err(), "together they are more than a frame");
    let effects = script.step(Event::FrontiersGrown(None, news.clone()));
    let mut heard = Vec::new();
    for message in said(&effects) {
        let Message::Frontiers(updates) = decode(&encode(message)).unwrap() else { panic!("{message:?}") };
        heard.extend(updates);
    }
    assert!(heard == news, "all of them, in order");
}
