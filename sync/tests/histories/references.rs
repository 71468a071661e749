//! What a run says by reference to other records: what its receiver can follow, and nobody's fault where it cannot.

use super::common::ANA;
use super::common::member::Member;
use super::*;
use schema::author::Author;
use schema::record::Previous;

/// One log, no fork, nobody revoked: a change that builds on one that is named later in its log reaches everybody all the
/// same, and so does the honest edit on top.
#[test]
fn r2_a_run_refers_to_nothing_that_comes_later_in_it() {
    let (mut fleet, docs) = fleet_of(1);
    let d = docs[0];
    let (mut m, now) = (Member::of(&fleet, DAKAR), fleet.now);
    let (a, with_a) = change(&m, &base(&fleet, &d), HELD, &d, "title", "a");
    let (b, _) = change(&m, &with_a, HELD, &d, "urgency", "b");
    let (one, end) = m.record(HELD, Previous::First, 1, Author::User(ANA), d, b);
    let (two, _) = m.record(HELD, Previous::Record(end.hash), 2, Author::User(ANA), d, a);
    let frame = m.frame(&[m.run(vec![one, two])]);
    let said = m.visit(&mut fleet.sites[PARIS], now, &[frame]);
    assert_eq!(said.1, None);
    fleet.put(PARIS, d, "impact", "honest");
    mingle(&mut fleet);
    assert!(same(&fleet));
    assert_eq!(shown(&fleet, LYON, &d, "impact").as_deref(), Some("honest"));
}

/// An honest record of two documents builds on one history where its sender holds that one, and its receiver another: the
/// header that comes out wrong there is neither's fault.
#[test]
fn r20_nobody_is_blamed_for_a_reference_into_another_history() {
    let (mut fleet, docs) = fleet_of(2);
    let [d, e] = [docs[0], docs[1]];
    let (mut m, mut oslo, now) = (Member::of(&fleet, DAKAR), Member::of(&fleet, OSLO), fleet.now);
    let (on_d, with_d) = change(&m, &base(&fleet, &d), HELD, &d, "title", "p");
    let (on_e, _) = change(&m, &base(&fleet, &e), HELD, &e, "title", "q");
    let (p, _) = m.record(HELD, Previous::First, 1, Author::User(ANA), d, on_d);
    let (q, _) = m.record(HELD, Previous::First, 1, Author::User(ANA), e, on_e);
    let (x, _) = change(&oslo, &with_d, HONEST, &d, "urgency", "low");
    let (y, _) = change(&oslo, &base(&fleet, &e), HONEST, &e, "urgency", "low");
    let (s, _) = oslo.edits(HONEST, Previous::First, 1, Author::User(ANA), &[(d, x), (e, y)]);
    let [p, q, s] = [m.frame(&[m.run(vec![p])]), m.frame(&[m.run(vec![q])]), oslo.frame(&[oslo.run(vec![s])])];
    m.visit(&mut fleet.sites[PARIS], now, &[p]);
    oslo.visit(&mut fleet.sites[PARIS], now, &[s]);
    m.visit(&mut fleet.sites[LYON], now, &[q]);
    mingle(&mut fleet);
    assert!(fleet.closed.is_empty(), "{:?} {:?}", fleet.closed, fleet.alarms);
    assert!(same(&fleet));
}
