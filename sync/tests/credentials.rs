//! What people log in with (R16): sealed to the sites where they may, the newest alike everywhere, nothing of it readable
//! anywhere else, and sealed again where sites come and go.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use common::member::Member;
use common::{ANA, Fleet, IT, site_entry};
use schema::author::Author;
use schema::authority::{AuthorityRef, Body, Grant, Role, Signed, SiteEntry, SiteSelector, Standing, UserEntry};
use schema::codec::Canonical;
use schema::credential::LoginSecrets;
use schema::id::UserId;
use schema::identity::Secret;
use schema::time::Hlc;
use sync::docs::credentials::{Newest, newest};
use sync::quarantine;
use sync::replica::WriteError;

const PARIS: usize = 0;
const LYON: usize = 1;
const DAKAR: usize = 2;
const TOM: UserId = UserId([9; 16]);

/// A verifier of so many bytes that no two words share.
fn verifier(word: &str) -> String {
    let hash = blake3::hash(word.as_bytes());
    format!("$argon2id$v=19$m=19456,t=2,p=1${}", hash.to_hex())
}

fn try_set(fleet: &mut Fleet, site: usize, user: UserId, word: &str) -> Result<(), WriteError> {
    let (now, secrets) = (fleet.now, LoginSecrets { verifier: verifier(word) });
    let (set, _) = fleet.sites[site].write(now, |batch| Ok(batch.set_credential(&user, &secrets))).unwrap();
    set
}

fn set(fleet: &mut Fleet, site: usize, user: UserId, word: &str) {
    try_set(fleet, site, user, word).unwrap();
}

/// Whether a site lets somebody in with this word, and with no other.
fn lets_in(fleet: &Fleet, site: usize, user: UserId, word: &str) -> bool {
    fleet.sites[site].login_secrets(&user).unwrap() == Some(LoginSecrets { verifier: verifier(word) })
}

fn newest_of(fleet: &Fleet, site: usize, user: UserId) -> Option<Newest> {
    let site = &fleet.sites[site];
    newest(&site.read().unwrap(), site.policy().unwrap(), &user).unwrap()
}

fn counts(fleet: &Fleet, site: usize, user: UserId) -> Vec<u8> {
    newest_of(fleet, site, user).map(|newest| newest.rank.to_bytes()).unwrap_or_default()
}

/// How often what counts was sealed again.
fn times(fleet: &Fleet, site: usize, user: UserId) -> u32 {
    newest_of(fleet, site, user).unwrap().rank.times
}

fn tom(fleet: &Fleet, sites: &[usize]) -> UserEntry {
    let mut sites: Vec<SiteSelector> = sites.iter().map(|site| SiteSelector::Site(fleet.id(*site))).collect();
    sites.sort_unstable();
    let grants = vec![Grant { structure: Some(IT), role: Role::Technician }];
    UserEntry { user: TOM, login: "tom".into(), grants, sites, standing: Standing::Active }
}

fn say(fleet: &mut Fleet, body: Body) {
    let now = fleet.now;
    fleet.sites[PARIS].trust_authority();
    fleet.sites[PARIS].say(now, &body).unwrap();
    while fleet.sites[PARIS].catch_up(now).unwrap() {}
}

/// Three sites, at some of which Tom may log in.
fn with_tom(sites: &[usize]) -> Fleet {
    let mut fleet = Fleet::new(3);
    let tom = tom(&fleet, sites);
    say(&mut fleet, Body::User(tom));
    fleet.meet_all();
    fleet
}

fn revoke(fleet: &mut Fleet, site: usize) {
    let id = fleet.id(site);
    let cuts = fleet.sites[PARIS].cuts_of(&id, None).unwrap();
    say(fleet, Body::Revoke { site: id, cuts });
}

fn held(fleet: &Fleet, site: usize) -> Vec<String> {
    let page = quarantine::list(&fleet.sites[site].read().unwrap(), None, 500, |_| true).unwrap();
    page.items.iter().map(|item| item.verdict.code().to_owned()).collect()
}

#[test]
fn r16_a_password_set_at_one_site_works_at_all_that_are_listed_and_at_no_other() {
    let mut fleet = with_tom(&[PARIS, DAKAR]);
    set(&mut fleet, PARIS, TOM, "first");
    assert!(lets_in(&fleet, PARIS, TOM, "first"), "at once where it was set");
    fleet.meet_all();
    assert!(lets_in(&fleet, DAKAR, TOM, "first"));
    assert_eq!(fleet.sites[LYON].login_secrets(&TOM).unwrap(), None, "Lyon holds the record, and no share of it");
    // Dakar is cut off, and somebody has forgotten their password there.
    set(&mut fleet, DAKAR, TOM, "second");
    assert!(lets_in(&fleet, DAKAR, TOM, "second") && lets_in(&fleet, PARIS, TOM, "first"));
    fleet.meet_all();
    for site in [PARIS, DAKAR] {
        assert!(lets_in(&fleet, site, TOM, "second"), "and after the split everywhere, at {site}");
    }
    assert_eq!(times(&fleet, LYON, TOM), 0, "nobody lacks a share, so nobody seals it again");
    fleet.agree();
    fleet.calm();
}

#[test]
fn r16_which_one_counts_does_not_depend_on_the_order_of_arrival() {
    let orders: [&[(usize, usize)]; 4] = [
        &[(0, 1), (1, 2), (2, 3), (0, 3)],
        &[(3, 2), (3, 1), (3, 0), (2, 1)],
        &[(0, 3), (1, 2), (0, 1), (2, 3)],
        &[(1, 3), (0, 2), (2, 1), (3, 0)],
    ];
    let mut found = Vec::new();
    for order in orders {
        let mut fleet = Fleet::new(4);
        // Of one number and at one moment at three sites; a second one at a site whose clock is a year behind.
        for site in [0, 1, 3] {
            set(&mut fleet, site, ANA, &format!("at {site}"));
        }
        let now = fleet.now;
        fleet.now.0 -= 365 * 86_400_000;
        set(&mut fleet, 2, ANA, "forgotten");
        set(&mut fleet, 2, ANA, "at 2");
        fleet.now = now;
        for (a, b) in order {
            fleet.meet(*a, *b);
        }
        fleet.meet_all();
        for site in 0..4 {
            assert!(lets_in(&fleet, site, ANA, "at 2"), "the highest number counts, whatever clocks say");
            found.push(counts(&fleet, site, ANA));
            let now = fleet.now;
            fleet.sites[site].rebuild(now).unwrap();
            found.push(counts(&fleet, site, ANA));
        }
        fleet.calm();
    }
    found.dedup();
    assert_eq!(found.len(), 1, "alike at every site, in every order, and made again from the records");
}

#[test]
fn r16_a_site_sets_it_for_nobody_but_those_for_whom_it_speaks() {
    let mut fleet = with_tom(&[PARIS]);
    set(&mut fleet, PARIS, TOM, "first");
    let refused = try_set(&mut fleet, DAKAR, TOM, "stolen");
    assert!(matches!(refused, Err(WriteError::Refused(code)) if code == "not-its-user"), "its own site says no");
    // One that does not ask its own rules.
    let (mut member, frame) = forged(&fleet, "stolen", 7);
    let now = fleet.now;
    member.visit(&mut fleet.sites[PARIS], now, &[frame]);
    assert_eq!(held(&fleet, PARIS), ["not-its-user"], "and every other site");
    assert!(lets_in(&fleet, PARIS, TOM, "first"));
    let unknown = try_set(&mut fleet, DAKAR, UserId([8; 16]), "nobody's");
    assert!(matches!(unknown, Err(WriteError::Refused(code)) if code == "waiting-enrolment"));
}

/// A record of Dakar's key in a generation of its own that sets Tom's password, and the frame that brings it.
fn forged(fleet: &Fleet, word: &str, number: u64) -> (Member, Vec<u8>) {
    let mut member = Member::of(fleet, DAKAR);
    let frame = member.credential(fleet, (TOM, number), &[PARIS, LYON], &verifier(word));
    (member, frame)
}

#[test]
fn r16_a_revoked_site_resets_nobodys_password_beyond_its_cut() {
    let mut fleet = with_tom(&[PARIS, LYON, DAKAR]);
    set(&mut fleet, DAKAR, TOM, "honest");
    fleet.meet_all();
    // Its machine is in other hands; Lyon hears it before the news, Paris after.
    set(&mut fleet, DAKAR, TOM, "stolen");
    fleet.meet(LYON, DAKAR);
    assert!(lets_in(&fleet, LYON, TOM, "stolen"), "until anybody knows");
    revoke(&mut fleet, DAKAR);
    fleet.meet(PARIS, LYON);
    for site in [PARIS, LYON] {
        assert!(lets_in(&fleet, site, TOM, "honest"), "what it wrote before its cut stands, at {site}");
        assert_eq!(held(&fleet, site), ["beyond-cut"]);
        let now = fleet.now;
        fleet.sites[site].rebuild(now).unwrap();
        assert!(lets_in(&fleet, site, TOM, "honest"));
    }
    fleet.agree_on(&[PARIS, LYON]);
    fleet.meet(PARIS, DAKAR);
    let refused = try_set(&mut fleet, DAKAR, TOM, "again");
    assert!(matches!(refused, Err(WriteError::Refused(code)) if code == "beyond-cut"), "it writes no more");
    assert!(lets_in(&fleet, DAKAR, TOM, "honest"), "and believes what everybody does");
}

#[test]
fn r16_neither_history_of_a_fork_counts() {
    let mut fleet = with_tom(&[PARIS, LYON, DAKAR]);
    set(&mut fleet, PARIS, TOM, "honest");
    fleet.meet(PARIS, LYON);
    let now = fleet.now;
    for (site, word) in [(PARIS, "one"), (LYON, "other")] {
        let (mut member, frame) = forged(&fleet, word, 9);
        member.visit(&mut fleet.sites[site], now, &[frame]);
        assert!(lets_in(&fleet, site, TOM, word), "each site sees one history, which is in order");
    }
    fleet.meet(PARIS, LYON);
    fleet.meet(PARIS, LYON);
    for site in [PARIS, LYON] {
        assert!(lets_in(&fleet, site, TOM, "honest"), "at {site}");
        assert_eq!(held(&fleet, site), ["beyond-fork", "beyond-fork"], "both are listed");
    }
}

#[test]
fn r20_a_machine_set_back_with_its_memory_loses_no_password() {
    let mut fleet = with_tom(&[PARIS, LYON]);
    set(&mut fleet, LYON, TOM, "before");
    fleet.meet_all();
    let before = fleet.disks[LYON].clone();
    set(&mut fleet, LYON, ANA, "of the first life");
    fleet.meet(PARIS, LYON);
    fleet.set_back(LYON, before);
    set(&mut fleet, LYON, TOM, "of the second life");
    fleet.now.0 += 60_000;
    fleet.meet_all();
    fleet.meet_all();
    for site in [PARIS, LYON] {
        assert!(lets_in(&fleet, site, ANA, "of the first life"), "at {site}");
        assert!(lets_in(&fleet, site, TOM, "of the second life"), "at {site}");
        assert_eq!(held(&fleet, site), [""; 0], "what was said again is listed no more");
    }
}

#[test]
fn r16_it_is_sealed_again_for_sites_that_come_later() {
    let mut fleet = with_tom(&[LYON]);
    set(&mut fleet, LYON, TOM, "first");
    fleet.meet_all();
    // Lyon is cut off while Tom is sent to Dakar.
    let moved = tom(&fleet, &[LYON, DAKAR]);
    say(&mut fleet, Body::User(moved));
    fleet.meet(PARIS, DAKAR);
    assert_eq!(fleet.sites[DAKAR].login_secrets(&TOM).unwrap(), None, "nobody there could seal it");
    fleet.restart(LYON, None);
    fleet.meet_all();
    assert!(lets_in(&fleet, DAKAR, TOM, "first"), "Lyon, which wrote it, seals it again");
    assert!(lets_in(&fleet, LYON, TOM, "first"));
    assert_eq!(fleet.sites[PARIS].login_secrets(&TOM).unwrap(), None, "for those who are listed alone");
    assert_eq!(times(&fleet, PARIS, TOM), 1, "once");
    fleet.restart(LYON, None);
    fleet.meet_all();
    assert_eq!(times(&fleet, PARIS, TOM), 1, "and no more after a restart");
    fleet.agree();
    fleet.calm();
}

#[test]
fn r16_sealing_again_undoes_no_password_that_was_set_elsewhere_meanwhile() {
    let mut fleet = with_tom(&[PARIS, DAKAR]);
    set(&mut fleet, PARIS, TOM, "leaked");
    fleet.meet_all();
    set(&mut fleet, DAKAR, TOM, "fresh");
    // Paris has not heard of it, and seals the old one for Lyon, later by its clock.
    fleet.now.0 += 3_600_000;
    let everywhere = tom(&fleet, &[PARIS, LYON, DAKAR]);
    say(&mut fleet, Body::User(everywhere));
    fleet.meet(PARIS, LYON);
    assert!(lets_in(&fleet, LYON, TOM, "leaked"));
    fleet.meet_all();
    for site in 0..3 {
        assert!(lets_in(&fleet, site, TOM, "fresh"), "at {site}, also where Dakar did not know of Lyon");
    }
    fleet.agree();
}

#[test]
fn r16_where_the_site_that_wrote_it_is_gone_another_seals_it_again() {
    let mut fleet = with_tom(&[LYON, DAKAR]);
    set(&mut fleet, DAKAR, TOM, "first");
    fleet.meet_all();
    let retired = SiteEntry { standing: Standing::Ended, ..site_entry(DAKAR) };
    say(&mut fleet, Body::Site(retired));
    let moved = tom(&fleet, &[PARIS, LYON]);
    say(&mut fleet, Body::User(moved));
    fleet.meet(PARIS, LYON);
    fleet.meet(PARIS, LYON);
    for site in [PARIS, LYON] {
        assert!(lets_in(&fleet, site, TOM, "first"), "Lyon can open it, and seals it for Paris; at {site}");
    }
}

#[test]
fn r16_a_site_that_was_given_up_still_lets_in_whom_it_let_in() {
    let mut fleet = with_tom(&[PARIS, DAKAR]);
    set(&mut fleet, PARIS, TOM, "first");
    fleet.meet_all();
    set(&mut fleet, DAKAR, TOM, "second");
    fleet.meet_all();
    let everywhere = tom(&fleet, &[PARIS, LYON, DAKAR]);
    say(&mut fleet, Body::User(everywhere));
    fleet.meet(PARIS, LYON);
    set(&mut fleet, LYON, TOM, "third");
    fleet.meet(PARIS, LYON);
    for site in [DAKAR, LYON] {
        let retired = SiteEntry { standing: Standing::Ended, ..site_entry(site) };
        say(&mut fleet, Body::Site(retired));
    }
    fleet.meet(PARIS, LYON);
    assert!(lets_in(&fleet, LYON, TOM, "third"), "what counts elsewhere now was never sealed for Lyon");
}

#[test]
fn r16_a_site_that_joins_later_gets_its_share_of_those_for_whom_it_speaks() {
    let mut fleet = Fleet::new(3);
    // Dakar has no sealing key at first.
    let without = SiteEntry { sealing: None, ..site_entry(DAKAR) };
    say(&mut fleet, Body::Site(without));
    fleet.meet_all();
    set(&mut fleet, PARIS, ANA, "first");
    fleet.meet_all();
    assert_eq!(fleet.sites[DAKAR].login_secrets(&ANA).unwrap(), None);
    say(&mut fleet, Body::Site(site_entry(DAKAR)));
    fleet.meet_all();
    for site in 0..3 {
        assert!(lets_in(&fleet, site, ANA, "first"), "at {site}");
    }
    assert_eq!(times(&fleet, LYON, ANA), 1);
    fleet.calm();
}

#[test]
fn r16_many_are_sealed_again_in_portions_that_survive_restarts() {
    let mut fleet = Fleet::new(2);
    let without = SiteEntry { sealing: None, ..site_entry(LYON) };
    say(&mut fleet, Body::Site(without));
    let users: Vec<UserId> =
        (0..300u16).map(|number| UserId([number.to_be_bytes(); 8].concat().try_into().unwrap())).collect();
    for (number, user) in users.iter().enumerate() {
        let entry = UserEntry { user: *user, login: format!("u{number}"), ..tom(&fleet, &[PARIS, LYON]) };
        say(&mut fleet, Body::User(entry));
        set(&mut fleet, PARIS, *user, "one");
    }
    fleet.meet_all();
    let sealed = |fleet: &Fleet| users.iter().filter(|user| times(fleet, PARIS, **user) > 0).count();
    let tick = |fleet: &mut Fleet| drop(fleet.sites[PARIS].tick(fleet.now).unwrap());
    tick(&mut fleet);
    assert_eq!(sealed(&fleet), 0, "nobody lacks anything while Lyon takes none");
    say(&mut fleet, Body::Site(site_entry(LYON)));
    tick(&mut fleet);
    let first = sealed(&fleet);
    assert!(first > 0 && first <= sync::limits::SEALED_AT_ONCE, "a portion: {first}");
    fleet.restart(PARIS, None);
    tick(&mut fleet);
    assert!(sealed(&fleet) > first, "it goes on where it was");
    fleet.meet_all();
    for user in users {
        assert!(lets_in(&fleet, LYON, user, "one"));
        assert_eq!(times(&fleet, LYON, user), 1);
    }
    fleet.calm();
}

#[test]
fn r16_people_log_in_while_a_hand_over_has_everything_judged_again() {
    let mut fleet = with_tom(&[PARIS, DAKAR]);
    set(&mut fleet, PARIS, TOM, "first");
    set(&mut fleet, PARIS, TOM, "second");
    fleet.meet_all();
    let now = fleet.now;
    let dakar = &mut fleet.sites[DAKAR];
    let (base, base_hash) = dakar.authority().head().unwrap();
    let key = Secret::from_bytes([0x77; 32]);
    let at = AuthorityRef { epoch: base.epoch + 1, position: base.position + 1 };
    let body = Body::HandOver { base, base_hash, sequencer: key.public() };
    let org = dakar.policy().unwrap().org;
    let signed = Signed::new(org, at, base_hash, Hlc::at(now), &body, &common::root());
    dakar.stand_by(key);
    dakar.hand_over(now, signed).unwrap();
    assert!(fleet.sites[DAKAR].backlog() > 0, "nothing is judged yet");
    assert!(lets_in(&fleet, DAKAR, TOM, "second"));
    while fleet.sites[DAKAR].catch_up(now).unwrap() {
        assert!(lets_in(&fleet, DAKAR, TOM, "second"));
    }
    assert!(lets_in(&fleet, DAKAR, TOM, "second"));
}

#[test]
fn r16_somebody_enrolled_at_a_cut_site_logs_in_there_at_once() {
    let mut fleet = Fleet::new(2);
    let now = fleet.now;
    let grants = vec![Grant { structure: Some(IT), role: Role::Technician }];
    let secrets = LoginSecrets { verifier: verifier("awa's") };
    let (awa, _) = fleet.sites[LYON]
        .write(now, |batch| {
            let user = batch.enrol(Author::User(ANA), "awa", grants)?;
            batch.set_credential(&user, &secrets).map(|()| user)
        })
        .unwrap();
    assert!(lets_in(&fleet, LYON, awa, "awa's"));
    fleet.meet_all();
    let known = fleet.sites[PARIS].policy().unwrap().users[&awa].as_ref().clone();
    say(&mut fleet, Body::User(UserEntry { sites: vec![SiteSelector::All], ..known }));
    fleet.meet_all();
    for site in 0..2 {
        assert!(lets_in(&fleet, site, awa, "awa's"), "and at {site} once the authority log lists it");
    }
    fleet.agree();
    fleet.calm();
}

#[test]
fn r16_nothing_of_it_stands_readable_in_any_frame_or_store() {
    let mut fleet = with_tom(&[PARIS, DAKAR]);
    fleet.tapped = Some(Vec::new());
    set(&mut fleet, PARIS, TOM, "canary");
    fleet.meet_all();
    assert!(lets_in(&fleet, DAKAR, TOM, "canary"));
    // The part that is no other password's.
    let hash = blake3::hash(b"canary").to_hex();
    let shows = |bytes: &[u8]| bytes.windows(hash.len()).any(|window| window == hash.as_bytes());
    let frames = fleet.tapped.take().unwrap();
    let mut records = 0;
    for frame in &frames {
        let plain = match frame[0] {
            0 => frame[1..].to_vec(),
            _ => zstd::bulk::decompress(&frame[1..], 1 << 24).unwrap(),
        };
        assert!(!shows(&plain), "a frame tells it");
        let share = [fleet.id(DAKAR).0.as_slice(), &[0, 0, 0]].concat();
        records += usize::from(plain.windows(share.len()).any(|window| window == share));
    }
    assert!(records > 0, "the sealed one did travel");
    for site in 0..3 {
        let mut found = false;
        for table in sync::store::Table::ALL {
            let reading = fleet.sites[site].read().unwrap();
            found |= sync::store::Source::prefixed(&reading, table, &[]).unwrap().iter().any(|(_, value)| shows(value));
        }
        assert!(!found && !shows(&fleet.disks[site].bytes()), "the store of {site} tells it");
    }
}
