//! What waits, in a document that also holds what does not stand (R9, R19).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use automerge::Automerge;
use common::member::Member;
use common::{ANA, Fleet};
use schema::author::Author;
use schema::authority::Body;
use schema::doc::{Edits, Value, View};
use schema::id::{DocId, GenerationId};
use schema::record::{Previous, actor};
use sync::limits::WAKE_AT_ONCE;
use sync::quarantine;

const PARIS: usize = 0;
const LYON: usize = 1;
const DAKAR: usize = 2;
const OSLO: usize = 3;

/// A change of a ticket's urgency in this document, which takes it: the first or next one of a generation of the member's.
fn urgency(member: &Member, document: &mut Automerge, generation: u8, doc: &DocId, to: &str) -> Vec<u8> {
    let mut edits = Edits::default();
    edits.put("urgency", Value::Text(to.into()));
    let by = actor(&member.key.public(), &GenerationId([generation; 16]), doc);
    sync::docs::edit::change(document, &by, &edits, false).unwrap().unwrap().raw_bytes().to_vec()
}

/// A frame with a whole generation of the member's, of these changes of a ticket.
fn generation(member: &mut Member, number: u8, doc: DocId, bodies: Vec<Vec<u8>>) -> Vec<u8> {
    let (mut previous, mut records) = (Previous::First, Vec::new());
    for (seq, body) in (1..).zip(bodies) {
        let (record, end) = member.record(GenerationId([number; 16]), previous, seq, Author::User(ANA), doc, body);
        previous = Previous::Record(end.hash);
        records.push(record);
    }
    member.frame(&[member.run(records)])
}

/// The urgency that Lyon shows, and the codes of what it lists as without effect.
fn shows(fleet: &Fleet, doc: &DocId) -> (Option<String>, Vec<String>) {
    let page = quarantine::list(&fleet.sites[LYON].read().unwrap(), None, 500, |_| true).unwrap();
    let mut codes: Vec<String> = page.items.iter().map(|item| item.verdict.code().to_owned()).collect();
    codes.sort_unstable();
    (fleet.view(LYON, doc).and_then(|view: View| view.text("urgency").map(str::to_owned)), codes)
}

/// One change answers more than a portion of what waits, and one of those waits for another one then. If the document were
/// judged as a whole for that, all of them would wait again, for ever.
#[test]
fn r9_what_waits_for_one_thing_after_the_other_is_judged_to_an_end() {
    let mut fleet = Fleet::new(4);
    let doc = fleet.ticket(PARIS, "lampe");
    fleet.meet(PARIS, LYON);
    let (now, dakar) = (fleet.now, fleet.id(DAKAR));
    fleet.sites[PARIS].say(now, &Body::Revoke { site: dakar, cuts: Vec::new() }).unwrap();
    let news = fleet.sites[PARIS].statements(0).unwrap();
    fleet.sites[LYON].bootstrap(now, news).unwrap();
    let [mut revoked, mut member] = [DAKAR, OSLO].map(|site| Member::of(&fleet, site));
    let base = sync::docs::load(&fleet.sites[PARIS].read().unwrap(), &doc).unwrap();

    let beyond = urgency(&revoked, &mut base.clone(), 1, &doc, "beyond");
    let mut frames = vec![generation(&mut revoked, 1, doc, vec![beyond])];
    let mut document = base.clone();
    let awaited = urgency(&member, &mut document, 1, &doc, "awaited");
    let mut elsewhere = base.clone();
    let late = urgency(&member, &mut elsewhere, 2, &doc, "late");
    for number in (3..).take(WAKE_AT_ONCE) {
        let body = urgency(&member, &mut document.clone(), number, &doc, "waits once");
        frames.push(generation(&mut member, number, doc, vec![body]));
    }
    let last = 100;
    let first = urgency(&member, &mut document, last, &doc, "waits once");
    document.merge(&mut elsewhere).unwrap();
    let second = urgency(&member, &mut document, last, &doc, "waits twice");
    frames.push(generation(&mut member, last, doc, vec![first, second]));
    let [awaited, late] =
        [(1, awaited), (2, late)].map(|(number, body)| generation(&mut member, number, doc, vec![body]));

    member.visit(&mut fleet.sites[LYON], now, &frames);
    let (value, codes) = shows(&fleet, &doc);
    assert_eq!((value, codes.len()), (None, frames.len() + 1), "all wait, and one does not stand: {codes:?}");
    let lyon = &mut fleet.sites[LYON];
    lyon.connected(now, 1_000, member.key.public()).unwrap();
    for frame in member.opening().iter().chain([&awaited]) {
        lyon.received(now, 1_000, frame).unwrap();
    }
    let portions = (0..100).take_while(|_| lyon.catch_up(now).unwrap()).count();
    assert!(portions < 100, "it is never through");
    let codes = ["beyond-cut", "waiting-change"].map(str::to_owned).to_vec();
    assert_eq!(shows(&fleet, &doc), (Some("waits once".to_owned()), codes.clone()));
    fleet.sites[LYON].rebuild(now).unwrap();
    assert_eq!(shows(&fleet, &doc).1, codes, "made from nothing it is the same");

    member.visit(&mut fleet.sites[LYON], now, &[late]);
    let expected = (Some("waits twice".to_owned()), vec!["beyond-cut".to_owned()]);
    assert_eq!(shows(&fleet, &doc), expected);
    fleet.sites[LYON].rebuild(now).unwrap();
    assert_eq!(shows(&fleet, &doc), expected);
}
