//! A stolen machine (R18): a thief with its key, and the revocation afterwards. What the site wrote before stays.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use common::Fleet;
use common::member::Member;
use schema::authority::Body;
use schema::id::{DocId, GenerationId};
use schema::record::Previous;
use schema::time::Timestamp;

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

/// The dates of a site's records are its own: whoever has the key may set them back. A time before those dates cuts them
/// off all the same, with what was honest since (the book says so of `--until`).
#[test]
fn r18_a_time_before_false_dates_cuts_them_off() {
    let told = |is_before_them: bool| {
        let mut fleet = Fleet::new(2);
        let start = fleet.now;
        let pass = |fleet: &mut Fleet| fleet.now.0 += 60_000;
        let early = fleet.ticket(1, "first");
        pass(&mut fleet);
        let false_date = fleet.now;
        pass(&mut fleet);
        let late = fleet.ticket(1, "second");
        pass(&mut fleet);
        let stolen = fleet.now;
        // The thief starts the machine with its clock set back.
        fleet.now = false_date;
        fleet.restart(1, None);
        let theirs = fleet.ticket(1, "theirs");
        fleet.now = stolen;
        fleet.meet(0, 1);
        let until = if is_before_them { Timestamp(start.0 + 30_000) } else { stolen };
        let (dakar, now) = (fleet.id(1), fleet.now);
        let paris = &mut fleet.sites[0];
        paris.trust_authority();
        let cuts = paris.cuts_of(&dakar, Some(until)).unwrap();
        paris.say(now, &Body::Revoke { site: dakar, cuts }).unwrap();
        while paris.catch_up(now).unwrap() {}
        [early, late, theirs].map(|doc| fleet.view(0, &doc).is_some())
    };
    assert_eq!(told(false), [true; 3], "nothing tells a false date from a true one");
    assert_eq!(told(true), [true, false, false], "what is beyond is held, and can be adopted");
}
