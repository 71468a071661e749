//! A site that is given up hears of it, whenever it comes back (R17).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use common::{Fleet, site_entry};
use schema::authority::{Body, SiteEntry, Standing};
use schema::policy::Ended;
use sync::replica::WriteError;

const PARIS: usize = 0;
const LYON: usize = 1;
const DAKAR: usize = 2;

fn say(fleet: &mut Fleet, body: &Body) {
    let now = fleet.now;
    let paris = &mut fleet.sites[PARIS];
    paris.trust_authority();
    paris.say(now, body).unwrap();
}

fn retire(fleet: &mut Fleet, name: &str) {
    let retired = SiteEntry { standing: Standing::Ended, name: name.into(), ..site_entry(DAKAR) };
    say(fleet, &Body::Site(retired));
}

/// Why a site is in the organisation no more, as far as it knows, and the last statement that it holds.
fn knows(fleet: &Fleet, site: usize) -> (Option<Ended>, u64) {
    let policy = fleet.sites[site].policy().unwrap();
    (policy.ended(&fleet.id(site)).map(|(why, _)| why), policy.pin.at.position)
}

#[test]
fn r17_a_retired_site_hears_it_and_writes_no_more() {
    let mut fleet = Fleet::new(3);
    let lamp = fleet.ticket(PARIS, "lampe");
    fleet.meet_all();
    retire(&mut fleet, "Dakar");
    let (_, since) = knows(&fleet, PARIS);
    say(&mut fleet, &Body::Version(1));
    retire(&mut fleet, "Dakar, given up");
    fleet.meet(PARIS, LYON);
    assert_eq!(knows(&fleet, DAKAR).0, None, "it was away");
    fleet.put(DAKAR, lamp, "urgency", "low");

    // Whoever it meets first tells it, and nothing of what was said later.
    fleet.closed.clear();
    fleet.meet(DAKAR, LYON);
    assert_eq!(fleet.closed[0], (LYON, "retired"));
    assert_eq!(knows(&fleet, DAKAR), (Some(Ended::Retired), since));
    assert!(fleet.sites[DAKAR].peers().is_empty(), "it dials nobody any more");
    assert!(fleet.sites[LYON].ended().contains(&fleet.id(DAKAR)), "and may come in to hear it");
    let refused = fleet.try_put(DAKAR, lamp, "urgency", "high");
    assert!(matches!(refused, Err(WriteError::Retired)), "{refused:?}");
    assert!(fleet.alarms.is_empty(), "nobody is blamed for not having heard of it: {:?}", fleet.alarms);

    // It is taken in again by the same key, and then its key is revoked.
    say(&mut fleet, &Body::Site(site_entry(DAKAR)));
    fleet.meet_all();
    assert_eq!(knows(&fleet, DAKAR).0, None);
    fleet.put(DAKAR, lamp, "urgency", "high");
    retire(&mut fleet, "Dakar");
    let dakar = fleet.id(DAKAR);
    say(&mut fleet, &Body::Revoke { site: dakar, cuts: Vec::new() });
    fleet.meet(DAKAR, PARIS);
    assert_eq!(knows(&fleet, DAKAR).0, Some(Ended::Revoked), "the graver of the two is what it is told");
}
