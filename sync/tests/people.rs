//! What a site says of its people while it is cut off, and what becomes of it when the link heals (R15).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use common::{ANA, Fleet, IT, NOW};
use schema::author::Author;
use schema::authority::{Body, Enrolment, Grant, Role, SiteSelector, Standing, UserEntry};
use schema::id::UserId;
use sync::limits::COPIED_A_DAY;
use sync::replica::{Alarm, Batch};

fn grants(role: Role) -> Vec<Grant> {
    vec![Grant { structure: Some(IT), role }]
}

fn enrol(fleet: &mut Fleet, site: usize, login: &str) -> UserId {
    let now = fleet.now;
    let (user, _) =
        fleet.sites[site].write(now, |batch| batch.enrol(Author::User(ANA), login, grants(Role::Technician))).unwrap();
    user
}

/// Says something new of somebody at a site; the code of the refusal, if there is one.
fn restate(fleet: &mut Fleet, site: usize, user: UserId, role: Role, standing: Standing) -> Result<(), String> {
    let now = fleet.now;
    let enrolment = Enrolment { user, login: "tom".into(), grants: grants(role), standing };
    let said = |batch: &mut Batch<'_, '_>| Ok(batch.enrol_again(Author::User(ANA), &enrolment));
    let (said, _) = fleet.sites[site].write(now, said).unwrap();
    said.map_err(|error| error.to_string())
}

fn known(fleet: &Fleet, site: usize, user: &UserId) -> Option<UserEntry> {
    fleet.sites[site].policy().unwrap().users.get(user).map(|entry| UserEntry::clone(entry))
}

fn say(fleet: &mut Fleet, body: Body) {
    let now = fleet.now;
    fleet.sites[0].say(now, &body).unwrap();
}

/// Tom, enrolled at site 1 and known to all.
fn with_tom() -> (Fleet, UserId) {
    let mut fleet = Fleet::new(2);
    let tom = enrol(&mut fleet, 1, "tom");
    fleet.meet_all();
    (fleet, tom)
}

#[test]
fn who_is_disabled_before_the_sequencer_heard_of_them_is_copied_as_disabled() {
    let mut fleet = Fleet::new(2);
    let tom = enrol(&mut fleet, 1, "tom");
    restate(&mut fleet, 1, tom, Role::Technician, Standing::Ended).unwrap();
    let here = fleet.sites[1].enrolled_here(&tom).unwrap().unwrap();
    assert_eq!(here.standing, Standing::Ended, "the site itself believes what it said last");
    fleet.meet_all();
    for site in 0..2 {
        assert_eq!(known(&fleet, site, &tom).unwrap().standing, Standing::Ended, "never active for a moment");
    }
    fleet.calm();
}

#[test]
fn who_is_disabled_during_a_split_is_out_at_once_there_and_everywhere_after_it() {
    let (mut fleet, tom) = with_tom();
    assert_eq!(known(&fleet, 0, &tom).unwrap().standing, Standing::Active);
    restate(&mut fleet, 1, tom, Role::Technician, Standing::Ended).unwrap();
    assert!(fleet.sites[1].disabled_here().contains(&tom), "out here before anybody else heard of it");
    fleet.restart(1, None);
    assert!(fleet.sites[1].disabled_here().contains(&tom), "and after a restart");
    fleet.meet_all();
    for site in 0..2 {
        assert_eq!(known(&fleet, site, &tom).unwrap().standing, Standing::Ended);
    }
    assert!(fleet.sites[1].disabled_here().is_empty(), "from here on the authority log says it");
    restate(&mut fleet, 1, tom, Role::Technician, Standing::Active).unwrap();
    fleet.meet_all();
    assert_eq!(known(&fleet, 0, &tom).unwrap().standing, Standing::Active, "and let in again the same way");
    fleet.calm();
}

#[test]
fn what_was_said_at_both_ends_of_a_split_holds() {
    let (mut fleet, tom) = with_tom();
    let entry = known(&fleet, 0, &tom).unwrap();
    say(&mut fleet, Body::User(UserEntry { grants: grants(Role::User), ..entry }));
    restate(&mut fleet, 1, tom, Role::Technician, Standing::Ended).unwrap();
    fleet.meet_all();
    for site in 0..2 {
        let entry = known(&fleet, site, &tom).unwrap();
        assert_eq!(entry.standing, Standing::Ended, "site 1 disabled him");
        assert_eq!(entry.grants, grants(Role::User), "and did not touch his role, which was changed meanwhile");
    }
    fleet.calm();
}

#[test]
fn a_site_says_nothing_of_people_beyond_its_own() {
    let mut fleet = Fleet::new(2);
    // The sequencer says nothing before it heard another site (R14).
    fleet.meet_all();
    let elsewhere = UserEntry {
        user: UserId([9; 16]),
        login: "eve".into(),
        grants: grants(Role::Technician),
        sites: vec![SiteSelector::Site(fleet.id(0))],
        standing: Standing::Active,
    };
    say(&mut fleet, Body::User(elsewhere.clone()));
    fleet.meet_all();
    let refused = restate(&mut fleet, 1, elsewhere.user, Role::Technician, Standing::Ended).unwrap_err();
    assert!(refused.contains("not-its-user"), "{refused}");
    let refused = restate(&mut fleet, 1, ANA, Role::Technician, Standing::Ended).unwrap_err();
    assert!(refused.contains("role-may-not"), "an admin of the whole organisation is nobody's to disable: {refused}");
    fleet.meet_all();
    assert_eq!(known(&fleet, 1, &elsewhere.user).unwrap().standing, Standing::Active);
    fleet.calm();
}

#[test]
fn what_is_copied_is_copied_once() {
    let (mut fleet, tom) = with_tom();
    let head = fleet.sites[0].authority().head();
    fleet.restart(0, None);
    fleet.meet_all();
    fleet.sites[0].rebuild(NOW).unwrap();
    fleet.meet_all();
    assert_eq!(fleet.sites[0].authority().head(), head, "neither a restart nor a rebuild says it again");
    assert_eq!(known(&fleet, 1, &tom).unwrap().login, "tom");
}

#[test]
fn a11_a_site_that_enrols_without_end_is_copied_a_few_at_a_time_and_so_many_a_day() {
    let mut fleet = Fleet::new(2);
    let now = fleet.now;
    let beyond = 100;
    for _ in 0..(COPIED_A_DAY + beyond).div_ceil(256) {
        let enrolled = fleet.sites[1].write(now, |batch| {
            (0..256).try_for_each(|_| batch.enrol(Author::User(ANA), "tom", grants(Role::Technician)).map(drop))
        });
        enrolled.unwrap();
    }
    let said = |fleet: &Fleet| fleet.sites[0].authority().head().unwrap().0.position;
    let before = said(&fleet);
    fleet.meet(0, 1);
    let ordinary = fleet.ticket(1, "meanwhile");
    fleet.meet(0, 1);
    assert!(fleet.view(0, &ordinary).is_some(), "what people do passes beside it");
    for _ in 0..2 * COPIED_A_DAY / 16 {
        let (now, known) = (fleet.now, said(&fleet));
        fleet.sites[0].tick(now).unwrap();
        assert!(said(&fleet) - known <= 16, "no step takes more than a few");
    }
    assert_eq!((said(&fleet) - before) as usize, COPIED_A_DAY, "the rest waits for another day");
    fleet.meet(0, 1);
    assert!(fleet.alarms.contains(&(0, Alarm::Slowed(fleet.id(1)))), "and an administrator hears why");
    let logins = &fleet.sites[0].policy().unwrap().logins;
    assert!(logins.contains_key("tom") && logins.contains_key("tom.s1"), "of one name each gets a login of their own");

    fleet.now.0 += 24 * 60 * 60 * 1000;
    let (now, known) = (fleet.now, said(&fleet));
    (0..40).for_each(|_| drop(fleet.sites[0].tick(now).unwrap()));
    assert!(said(&fleet) > known, "on the next day it goes on");
}
