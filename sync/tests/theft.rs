//! A stolen machine (R18): a thief with its key, and the revocation afterwards. What the site wrote before stays.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use common::Fleet;
use common::member::Member;
use schema::authority::Body;
use schema::id::{DocId, GenerationId};
use schema::record::Previous;

const PARIS: usize = 0;
const LYON: usize = 1;
const DAKAR: usize = 2;

/// Of five tickets of Dakar that everybody holds, how many Paris and Lyon show before and after `thief` visited Paris with
/// its key, and after the key was revoked: at a time before the theft, or at what Paris holds.
fn stolen(is_timed: bool, thief: impl Fn(&mut Member, GenerationId) -> Vec<u8>) -> [[usize; 2]; 3] {
    let mut fleet = Fleet::new(3);
    fleet.ticket(PARIS, "de Paris");
    fleet.meet_all();
    let docs: Vec<DocId> = (0..5).map(|number| fleet.ticket(DAKAR, &format!("honnête {number}"))).collect();
    fleet.meet_all();
    let count =
        |fleet: &Fleet| [PARIS, LYON].map(|site| docs.iter().filter(|doc| fleet.view(site, doc).is_some()).count());
    let before = count(&fleet);
    let (stolen, honest) = (fleet.now, fleet.sites[DAKAR].generation());
    fleet.now.0 += 60_000;
    let mut member = Member::of(&fleet, DAKAR);
    let (frame, now) = (thief(&mut member, honest), fleet.now);
    member.visit(&mut fleet.sites[PARIS], now, &[frame]);
    fleet.meet(PARIS, LYON);
    let meanwhile = count(&fleet);
    fleet.now.0 += 60_000;
    let (dakar, now) = (fleet.id(DAKAR), fleet.now);
    let paris = &mut fleet.sites[PARIS];
    paris.trust_authority();
    let cuts = paris.cuts_of(&dakar, is_timed.then_some(stolen)).unwrap();
    paris.say(now, &Body::Revoke { site: dakar, cuts }).unwrap();
    while paris.catch_up(now).unwrap() {}
    fleet.meet(PARIS, LYON);
    fleet.agree_on(&[PARIS, LYON]);
    [before, meanwhile, count(&fleet)]
}

/// A generation that follows none is a chain of its own: a cut of that one alone would leave nothing of the honest one.
#[test]
fn r18_a_thief_moves_no_cut() {
    for is_timed in [false, true] {
        let left = stolen(is_timed, |member, _| {
            let (record, _) = member.empty(GenerationId([0x19; 16]), Previous::First, 1, 1);
            member.frame(&[member.run(vec![record])])
        });
        assert_eq!(left, [[5, 5]; 3], "timed: {is_timed}");
    }
}

/// Behind a fork nothing stands, until a cut covers the history of which most is held.
#[test]
fn r18_a_thief_forks_nothing_away() {
    for is_timed in [false, true] {
        let left = stolen(is_timed, |member, honest| {
            let (one, _) = member.empty(honest, Previous::First, 1, 1);
            let (other, _) = member.empty(honest, Previous::First, 1, 2);
            member.fork(&one, &other)
        });
        assert_eq!(left[2], [5, 5], "timed: {is_timed}");
    }
}
