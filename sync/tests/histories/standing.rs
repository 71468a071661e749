//! Which records stand, decide and count, where a log has forked or a key is revoked: each pair of sites hears the same in
//! another order.

use super::common::member::Member;
use super::common::{ANA, Fleet};
use super::*;
use automerge::Automerge;
use schema::author::Author;
use schema::authority::Body;
use schema::id::DocId;
use schema::record::Previous;
use sync::admission::RecordWithBodies;

/// Two forks give one history two names, one after the other: which copy of a change decides may not be asked once for all.
#[test]
fn r8_who_decides_a_change_hangs_on_no_order_of_forks() {
    let (mut fleet, docs) = fleet_of(2);
    let [d, e] = [docs[0], docs[1]];
    let (mut m, now) = (Member::of(&fleet, DAKAR), fleet.now);
    let (common, first) = m.empty(HELD, Previous::First, 1, 1);
    let (x, with_x) = change(&m, &base(&fleet, &d), HELD, &d, "title", "x");
    let (y, _) = change(&m, &base(&fleet, &e), HELD, &e, "title", "y");
    let (p, second) = m.record(HELD, Previous::Record(first.hash), 2, Author::User(ANA), d, x.clone());
    let q = loop {
        let (q, _) =
            m.edits(HELD, Previous::Record(second.hash), 3, Author::User(ANA), &[(d, x.clone()), (e, y.clone())]);
        if name(&q) < name(&p) {
            break q;
        }
    };
    let (r, _) = m.empty(HELD, Previous::Record(first.hash), 2, 8);
    let (z, _) = m.empty(HELD, Previous::Record(second.hash), 3, 9);
    let (s, _) = change(&m, &with_x, OWN, &d, "urgency", "low");
    let (s, _) = m.record(OWN, Previous::First, 1, Author::User(ANA), d, s);
    let (early, late) = (m.fork(&p, &r), m.fork(&q, &z));
    let [one, all, s] =
        [m.run(vec![common.clone()]), m.run(vec![common, p, q]), m.run(vec![s])].map(|run| m.frame(&[run]));
    m.visit(&mut fleet.sites[PARIS], now, &[all, s, late.clone(), early.clone()]);
    m.visit(&mut fleet.sites[LYON], now, &[one, early, late]);
    ends_alike(&mut fleet);
}

/// A history behind a fork waits for an earlier record of its log, under whatever number either is held.
#[test]
fn r8_what_comes_earlier_is_asked_along_the_chain() {
    let (mut fleet, docs) = fleet_of(1);
    let d = docs[0];
    let (mut m, now) = (Member::of(&fleet, DAKAR), fleet.now);
    let born = base(&fleet, &d);
    // 1: on D, its body never comes. 2: an edit of D. 2': nothing.
    let (never, _) = change(&m, &born, HELD, &d, "title", "never");
    let (mut w, end) = m.record(HELD, Previous::First, 1, Author::User(ANA), d, never);
    w.bodies = vec![None];
    let (x, with_x) = change(&m, &born, HELD, &d, "title", "x");
    let (p, _) = m.record(HELD, Previous::Record(end.hash), 2, Author::User(ANA), d, x);
    let (q, _) = m.empty(HELD, Previous::Record(end.hash), 2, 9);
    let (s, _) = change(&m, &with_x, OWN, &d, "urgency", "low");
    let (s, _) = m.record(OWN, Previous::First, 1, Author::User(ANA), d, s);
    let fork = m.fork(&p, &q);
    let [first, both, s] = [m.run(vec![w.clone()]), m.run(vec![w, p]), m.run(vec![s])].map(|run| m.frame(&[run]));
    m.visit(&mut fleet.sites[PARIS], now, &[both, s, fork.clone()]);
    m.visit(&mut fleet.sites[LYON], now, &[first, fork]);
    ends_alike(&mut fleet);
}

/// The same for "named-before".
#[test]
fn r8_what_was_named_before_is_asked_along_the_chain() {
    let (mut fleet, docs) = fleet_of(3);
    let [d, e, f] = [docs[0], docs[1], docs[2]];
    let (mut m, now) = (Member::of(&fleet, DAKAR), fleet.now);
    let (x, _) = change(&m, &base(&fleet, &d), HELD, &d, "title", "x");
    // By another generation's actor: void wherever it is read.
    let (wrong, _) = change(&m, &base(&fleet, &e), OWN, &e, "title", "wrong");
    let (t, end) = m.edits(HELD, Previous::First, 1, Author::User(ANA), &[(d, x.clone()), (e, wrong)]);
    let (y, with_y) = change(&m, &base(&fleet, &f), HELD, &f, "title", "y");
    let (p, _) = m.edits(HELD, Previous::Record(end.hash), 2, Author::User(ANA), &[(d, x), (f, y)]);
    let (q, _) = m.empty(HELD, Previous::Record(end.hash), 2, 9);
    let (s, _) = change(&m, &with_y, OWN, &f, "urgency", "low");
    let (s, _) = m.record(OWN, Previous::First, 1, Author::User(ANA), f, s);
    let fork = m.fork(&p, &q);
    let [first, both, s] = [m.run(vec![t.clone()]), m.run(vec![t, p]), m.run(vec![s])].map(|run| m.frame(&[run]));
    m.visit(&mut fleet.sites[PARIS], now, &[both, s, fork.clone()]);
    m.visit(&mut fleet.sites[LYON], now, &[first, fork]);
    ends_alike(&mut fleet);
}

/// A standing record that is void for one of its entries counts as building on what its other entry depends on, whether the
/// document is judged as a whole after it or not.
#[test]
fn r19_a_void_record_brings_in_nothing_by_order() {
    let (mut fleet, docs) = fleet_of(2);
    let [d, e] = [docs[0], docs[1]];
    let (mut m, now) = (Member::of(&fleet, DAKAR), fleet.now);
    let (common, end) = m.empty(HELD, Previous::First, 1, 1);
    let (x, with_x) = change(&m, &base(&fleet, &d), HELD, &d, "title", "x");
    let (p, _) = m.record(HELD, Previous::Record(end.hash), 2, Author::User(ANA), d, x);
    let (q, _) = m.empty(HELD, Previous::Record(end.hash), 2, 9);
    let (of_birth, _) = change(&m, &base(&fleet, &e), OWN, &e, "created_at", "1");
    let (on_x, _) = change(&m, &with_x, OWN, &d, "urgency", "low");
    let (s, _) = m.edits(OWN, Previous::First, 1, Author::User(ANA), &[(e, of_birth), (d, on_x)]);
    let fork = m.fork(&p, &q);
    let [first, both, s] =
        [m.run(vec![common.clone()]), m.run(vec![common, p]), m.run(vec![s])].map(|run| m.frame(&[run]));
    m.visit(&mut fleet.sites[PARIS], now, &[both, s, fork.clone()]);
    m.visit(&mut fleet.sites[LYON], now, &[first, fork]);
    ends_alike(&mut fleet);
}

/// Nor does such a record keep a place in a document from what honest work builds on.
#[test]
fn r19_a_void_record_that_stands_takes_no_place() {
    let (mut fleet, docs) = fleet_of(2);
    let [d, e] = [docs[0], docs[1]];
    let (mut m, now) = (Member::of(&fleet, DAKAR), fleet.now);
    // 1: stands, void for E, claims the first place of its actor in D. 2: claims it too, and is built on.
    let (of_birth, _) = change(&m, &base(&fleet, &e), HELD, &e, "created_at", "1");
    let (claim, _) = change(&m, &base(&fleet, &d), HELD, &d, "impact", "high");
    let (t, end) = m.edits(HELD, Previous::First, 1, Author::User(ANA), &[(e, of_birth), (d, claim)]);
    let (x, with_x) = change(&m, &base(&fleet, &d), HELD, &d, "title", "x");
    let (p, _) = m.record(HELD, Previous::Record(end.hash), 2, Author::User(ANA), d, x);
    let (q, _) = m.empty(HELD, Previous::Record(end.hash), 2, 9);
    // An honest edit on top, by a site at which the claim was void, and nothing forked yet.
    let mut oslo = Member::of(&fleet, OSLO);
    let (s, _) = change(&oslo, &with_x, HONEST, &d, "urgency", "low");
    let (s, _) = oslo.record(HONEST, Previous::First, 1, Author::User(ANA), d, s);
    let fork = m.fork(&p, &q);
    let both = m.frame(&[m.run(vec![t, p])]);
    let s = oslo.frame(&[oslo.run(vec![s])]);
    m.visit(&mut fleet.sites[PARIS], now, std::slice::from_ref(&both));
    oslo.visit(&mut fleet.sites[PARIS], now, std::slice::from_ref(&s));
    m.visit(&mut fleet.sites[PARIS], now, std::slice::from_ref(&fork));
    m.visit(&mut fleet.sites[LYON], now, &[fork]);
    mingle(&mut fleet);
    let live = same(&fleet);
    assert!(live && shown(&fleet, LYON, &d, "urgency").is_some());
}

fn revoke(fleet: &mut Fleet) {
    let (dakar, now) = (fleet.id(DAKAR), fleet.now);
    let paris = &mut fleet.sites[PARIS];
    paris.trust_authority();
    let cuts = paris.cuts_of(&dakar, None).unwrap();
    paris.say(now, &Body::Revoke { site: dakar, cuts }).unwrap();
    while paris.catch_up(now).unwrap() {}
    let news = fleet.sites[PARIS].statements(0).unwrap();
    fleet.sites[LYON].bootstrap(now, news).unwrap();
    while fleet.sites[LYON].catch_up(now).unwrap() {}
}

/// Two histories: P is an edit, Q names the same change beside one that nobody can read, and is void. `q_first` says whose
/// name is smaller.
fn twins(
    m: &mut Member,
    fleet: &Fleet,
    d: DocId,
    e: DocId,
    q_first: bool,
) -> (RecordWithBodies, RecordWithBodies, RecordWithBodies, Automerge) {
    let (common, end) = m.empty(HELD, Previous::First, 1, 1);
    let (x, with_x) = change(m, &base(fleet, &d), HELD, &d, "title", "x");
    let (wrong, _) = change(m, &base(fleet, &e), OWN, &e, "title", "wrong");
    let (p, _) = m.record(HELD, Previous::Record(end.hash), 2, Author::User(ANA), d, x.clone());
    loop {
        let (q, _) =
            m.edits(HELD, Previous::Record(end.hash), 2, Author::User(ANA), &[(d, x.clone()), (e, wrong.clone())]);
        if (name(&q) < name(&p)) == q_first {
            return (common, p, q, with_x);
        }
    }
}

/// A cut covers P, and Q names the same change. Who hears Q and an honest edit first finds that one void until P comes.
#[test]
fn r19_a_void_copy_voids_nothing_that_builds_on_the_change() {
    let (mut fleet, docs) = fleet_of(2);
    let [d, e] = [docs[0], docs[1]];
    let (mut m, now) = (Member::of(&fleet, DAKAR), fleet.now);
    let (common, p, q, with_x) = twins(&mut m, &fleet, d, e, true);
    let mut oslo = Member::of(&fleet, OSLO);
    let (s, _) = change(&oslo, &with_x, HONEST, &d, "urgency", "low");
    let (s, _) = oslo.record(HONEST, Previous::First, 1, Author::User(ANA), d, s);
    let s = oslo.frame(&[oslo.run(vec![s])]);
    let [with_p, with_q] = [m.run(vec![common.clone(), p]), m.run(vec![common, q])].map(|run| m.frame(&[run]));
    m.visit(&mut fleet.sites[PARIS], now, &[with_p]);
    oslo.visit(&mut fleet.sites[PARIS], now, std::slice::from_ref(&s));
    m.visit(&mut fleet.sites[LYON], now, &[with_q]);
    revoke(&mut fleet);
    oslo.visit(&mut fleet.sites[LYON], now, &[s]);
    ends_alike(&mut fleet);
}

/// An honest record of two documents is void until another history comes, and so is what builds on it in the other document.
#[test]
fn r19_what_is_void_through_another_record_may_be_void_no_more() {
    let (mut fleet, docs) = fleet_of(3);
    let [d, e, f] = [docs[0], docs[1], docs[2]];
    let (mut m, now) = (Member::of(&fleet, DAKAR), fleet.now);
    let (common, p, q, with_x) = twins(&mut m, &fleet, d, f, false);
    let mut oslo = Member::of(&fleet, OSLO);
    let (on_x, _) = change(&oslo, &with_x, HONEST, &d, "urgency", "low");
    let (e1, with_e1) = change(&oslo, &base(&fleet, &e), HONEST, &e, "urgency", "low");
    let (s, end) = oslo.edits(HONEST, Previous::First, 1, Author::User(ANA), &[(d, on_x), (e, e1)]);
    let (e2, _) = change(&oslo, &with_e1, HONEST, &e, "impact", "high");
    let (s2, _) = oslo.record(HONEST, Previous::Record(end.hash), 2, Author::User(ANA), e, e2);
    let s = oslo.frame(&[oslo.run(vec![s, s2])]);
    let [with_p, with_q] = [m.run(vec![common.clone(), p]), m.run(vec![common, q])].map(|run| m.frame(&[run]));
    m.visit(&mut fleet.sites[PARIS], now, &[with_p]);
    oslo.visit(&mut fleet.sites[PARIS], now, std::slice::from_ref(&s));
    m.visit(&mut fleet.sites[LYON], now, &[with_q]);
    oslo.visit(&mut fleet.sites[LYON], now, &[s]);
    ends_alike(&mut fleet);
}
