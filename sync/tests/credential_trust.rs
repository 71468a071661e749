//! Credentials of members in other hands (R11, R16): who is trusted no more sets nothing, whatever old statement a record
//! pins, and a site opens nothing of somebody else's people.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use common::member::Member;
use common::{Fleet, IT, site_entry};
use schema::authority::{Body, Grant, Role, SiteSelector, Standing, UserEntry};
use schema::credential::LoginSecrets;
use schema::id::UserId;

const PARIS: usize = 0;
const LYON: usize = 1;
const DAKAR: usize = 2;
const TOM: UserId = UserId([9; 16]);

fn say(fleet: &mut Fleet, body: Body) {
    let now = fleet.now;
    fleet.sites[PARIS].trust_authority();
    fleet.sites[PARIS].say(now, &body).unwrap();
    while fleet.sites[PARIS].catch_up(now).unwrap() {}
}

fn tom(fleet: &Fleet, sites: &[usize]) -> UserEntry {
    let mut sites: Vec<SiteSelector> = sites.iter().map(|site| SiteSelector::Site(fleet.id(*site))).collect();
    sites.sort_unstable();
    let grants = vec![Grant { structure: Some(IT), role: Role::Technician }];
    UserEntry { user: TOM, login: "tom".into(), grants, sites, standing: Standing::Active }
}

#[test]
fn r16_a_site_that_speaks_for_somebody_no_more_resets_no_password() {
    let mut fleet = Fleet::new(3);
    let before = tom(&fleet, &[PARIS, DAKAR]);
    say(&mut fleet, Body::User(before));
    fleet.meet_all();
    let old = fleet.sites[PARIS].policy().unwrap().pin;
    // Dakar is trusted with Tom no more, and then not at all: it is retired.
    let after = tom(&fleet, &[PARIS, LYON]);
    say(&mut fleet, Body::User(after));
    let mut retired = site_entry(DAKAR);
    retired.standing = Standing::Ended;
    say(&mut fleet, Body::Site(retired));
    fleet.meet(PARIS, LYON);
    let now = fleet.now;
    let secrets = LoginSecrets { verifier: "honest".into() };
    fleet.sites[PARIS].write(now, |batch| Ok(batch.set_credential(&TOM, &secrets))).unwrap().0.unwrap();
    fleet.meet(PARIS, LYON);

    let mut member = Member::of(&fleet, DAKAR);
    member.pin = old;
    let frame = member.credential(&fleet, (TOM, 7), &[PARIS, LYON], "stolen");
    member.visit(&mut fleet.sites[PARIS], now, &[frame]);
    fleet.meet(PARIS, LYON);
    let lets_in = [PARIS, LYON].map(|site| fleet.sites[site].login_secrets(&TOM).unwrap().unwrap().verifier);
    assert_eq!(lets_in, ["honest", "honest"], "whoever has the old key does not get in");
}

#[test]
fn r16_a_site_opens_no_credential_of_somebody_elses_people() {
    let mut fleet = Fleet::new(3);
    let now = fleet.now;
    fleet.sites[0].trust_authority();
    let grants = vec![Grant { structure: Some(IT), role: Role::User }];
    let sites = vec![SiteSelector::Site(fleet.id(2))];
    let tom = UserEntry { user: TOM, login: "tom".into(), grants, sites, standing: Standing::Active };
    fleet.sites[0].say(now, &Body::User(tom)).unwrap();
    let mut member = Member::of(&fleet, 2);
    let costly =
        "$argon2id$v=19$m=4294967295,t=4294967295,p=1$YXJjaGlwZWwtbm9ib2R5$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let frame = member.credential(&fleet, (TOM, 1), &[0, 1], costly);
    member.visit(&mut fleet.sites[0], now, &[frame]);
    fleet.meet(0, 1);
    for site in [0, 1] {
        let opened = fleet.sites[site].login_secrets(&TOM).unwrap();
        assert_eq!(opened.map(|secrets| secrets.verifier), None, "Tom may log in at Dakar alone");
    }
}
