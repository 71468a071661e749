//! A revoked key (R18): what it wrote beyond its cut has no effect anywhere, except where something that stands builds on
//! it, and there it is marked (R19).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use common::Fleet;
use schema::authority::Body;
use schema::doc::View;
use schema::id::{DocId, SiteId};
use schema::ticket::view::{Tainted, ticket};
use schema::time::Timestamp;
use sync::quarantine;
use sync::replica::WriteError;

const PARIS: usize = 0;
const LYON: usize = 1;
const DAKAR: usize = 2;

/// Revokes Dakar's key at what Paris holds of it, or held at a time.
fn revoke(fleet: &mut Fleet, until: Option<Timestamp>) {
    let (dakar, now) = (fleet.id(DAKAR), fleet.now);
    let paris = &mut fleet.sites[PARIS];
    paris.trust_authority();
    let cuts = paris.cuts_of(&dakar, until).unwrap();
    paris.say(now, &Body::Revoke { site: dakar, cuts }).unwrap();
    while paris.catch_up(now).unwrap() {}
}

/// Codes of what a site lists as without effect, with whose it is.
fn held(fleet: &Fleet, site: usize) -> Vec<(SiteId, String)> {
    let page = quarantine::list(&fleet.sites[site].read().unwrap(), None, 500, |_| true).unwrap();
    page.items.iter().map(|item| (item.record.header.log.site, item.verdict.code().to_owned())).collect()
}

fn shown(fleet: &Fleet, site: usize, doc: &DocId, key: &str) -> Option<String> {
    fleet.view(site, doc).and_then(|view: View| view.text(key).map(str::to_owned))
}

/// Paris is alone; Dakar writes, Lyon hears it and builds on some of it; Paris revokes Dakar. Answers with a ticket of
/// Paris, one that Lyon built on, and one born beyond the cut.
fn story(fleet: &mut Fleet) -> [DocId; 3] {
    let plain = fleet.ticket(PARIS, "lampe");
    let built_on = fleet.ticket(PARIS, "porte");
    fleet.meet_all();
    fleet.put(DAKAR, plain, "urgency", "low");
    fleet.put(DAKAR, built_on, "title", "porte ouverte");
    let born = fleet.ticket(DAKAR, "née trop tard");
    fleet.meet(LYON, DAKAR);
    fleet.put(LYON, built_on, "impact", "high");
    revoke(fleet, None);
    [plain, built_on, born]
}

/// What every site must show once it knows of the revocation and holds everything.
fn check(fleet: &Fleet, site: usize, [plain, built_on, born]: &[DocId; 3]) {
    assert_eq!(shown(fleet, site, plain, "urgency"), None, "nothing that stands builds on it");
    assert!(fleet.view(site, born).is_none(), "a document whose birth does not stand is not there");
    assert_eq!(shown(fleet, site, built_on, "impact").as_deref(), Some("high"), "an honest edit stays");
    assert_eq!(shown(fleet, site, built_on, "title").as_deref(), Some("porte ouverte"), "and what it builds on");
    let view = fleet.view(site, built_on).unwrap();
    let tainted = Tainted { field: "title".into(), before: Some("porte".into()) };
    assert_eq!(ticket(&view).tainted, [tainted], "marked, with the last value that stands beside it");
    let dakar = fleet.id(DAKAR);
    let beyond = (dakar, "beyond-cut".to_owned());
    assert_eq!(held(fleet, site), [beyond.clone(), beyond], "both that have no effect are listed, as Dakar's");
}

#[test]
fn r18_what_a_revoked_key_wrote_later_has_no_effect_but_where_somebody_built_on_it() {
    let mut fleet = Fleet::new(3);
    let docs = story(&mut fleet);
    fleet.meet(PARIS, LYON);
    check(&fleet, PARIS, &docs);
    check(&fleet, LYON, &docs);
    fleet.agree_on(&[PARIS, LYON]);
    // Made from nothing it is the same: it is a function of the records held.
    for site in [PARIS, LYON] {
        let now = fleet.now;
        fleet.sites[site].rebuild(now).unwrap();
        check(&fleet, site, &docs);
    }
    fleet.agree_on(&[PARIS, LYON]);
    fleet.calm();
}

#[test]
fn r18_it_is_the_same_whether_the_news_or_the_records_come_first() {
    let mut fleet = Fleet::new(4);
    let docs = story(&mut fleet);
    // The fourth hears of the revocation before any of the records, Lyon holds all of them when it hears.
    fleet.meet(3, PARIS);
    fleet.meet(3, LYON);
    fleet.meet(PARIS, LYON);
    fleet.meet(3, LYON);
    for site in [PARIS, LYON, 3] {
        check(&fleet, site, &docs);
    }
    fleet.agree_on(&[PARIS, LYON, 3]);
    fleet.calm();
}

#[test]
fn r18_the_revoked_site_hears_it_and_writes_no_more() {
    let mut fleet = Fleet::new(3);
    let docs = story(&mut fleet);
    fleet.meet(DAKAR, PARIS);
    assert_eq!(fleet.closed[0], (PARIS, "revoked"), "the session with a revoked key ends at once");
    assert!(fleet.view(DAKAR, &docs[2]).is_none(), "it shows what everybody shows");
    assert_eq!(held(&fleet, DAKAR).len(), 3, "and lists what was held: nobody there has built on it");
    let refused = fleet.try_put(DAKAR, docs[0], "urgency", "high");
    assert!(matches!(refused, Err(WriteError::Refused(code)) if code == "beyond-cut"));
    assert!(fleet.sites[DAKAR].peers().is_empty(), "it dials nobody any more");
    // Nothing of it is asked for: what only Dakar held stays there.
    fleet.meet(PARIS, LYON);
    fleet.closed.clear();
    fleet.meet(DAKAR, LYON);
    assert_eq!(fleet.closed[0], (LYON, "revoked"));
}

#[test]
fn r18_a_revoked_site_writes_no_other_history_up_to_its_cut() {
    let mut fleet = Fleet::new(3);
    let doc = fleet.ticket(PARIS, "lampe");
    fleet.meet_all();
    let before = fleet.disks[DAKAR].clone();
    for level in ["low", "medium", "high"] {
        fleet.put(DAKAR, doc, "urgency", level);
    }
    fleet.meet(DAKAR, PARIS);
    revoke(&mut fleet, None);
    // It holds nothing of what stands, and would go on below the cut.
    fleet.set_back(DAKAR, before);
    fleet.meet(DAKAR, PARIS);
    let refused = fleet.try_put(DAKAR, doc, "urgency", "low");
    assert!(matches!(refused, Err(WriteError::Refused(code)) if code == "beyond-cut"));
}

#[test]
fn r19_who_knows_of_the_revocation_brings_in_nothing_new() {
    let mut fleet = Fleet::new(3);
    let plain = fleet.ticket(PARIS, "lampe");
    fleet.meet_all();
    fleet.put(DAKAR, plain, "title", "lampe cassée");
    fleet.meet(LYON, DAKAR);
    revoke(&mut fleet, None);
    // Lyon holds the revocation, and shows what Dakar wrote no more: what it writes builds on what stands.
    fleet.meet(PARIS, LYON);
    fleet.put(LYON, plain, "urgency", "low");
    fleet.meet(PARIS, LYON);
    for site in [PARIS, LYON] {
        assert_eq!(shown(&fleet, site, &plain, "title").as_deref(), Some("lampe"));
        assert_eq!(shown(&fleet, site, &plain, "urgency").as_deref(), Some("low"));
        assert!(ticket(&fleet.view(site, &plain).unwrap()).tainted.is_empty());
    }
    fleet.agree_on(&[PARIS, LYON]);
    fleet.calm();
}

#[test]
fn r18_a_cut_in_the_past_reaches_through_restarts() {
    let mut fleet = Fleet::new(4);
    let doc = fleet.ticket(DAKAR, "avant");
    fleet.restart(DAKAR, None);
    fleet.put(DAKAR, doc, "title", "encore bon");
    let stolen = fleet.now;
    fleet.meet(DAKAR, LYON);
    fleet.put(DAKAR, doc, "title", "volé");
    fleet.restart(DAKAR, None);
    fleet.put(DAKAR, doc, "title", "volé aussi");
    fleet.meet(DAKAR, PARIS);
    fleet.meet(DAKAR, LYON);
    revoke(&mut fleet, Some(stolen));
    fleet.meet(PARIS, LYON);
    // Who comes last hears of the revocation first, and then the youngest generation before the older ones.
    fleet.meet(3, PARIS);
    for site in [PARIS, LYON, 3] {
        assert_eq!(shown(&fleet, site, &doc, "title").as_deref(), Some("encore bon"), "two generations stand");
        assert_eq!(held(&fleet, site).len(), 2, "and what came later does not");
    }
    fleet.agree_on(&[PARIS, LYON, 3]);
    fleet.calm();
}

#[test]
fn r19_setting_a_tainted_value_right_is_an_ordinary_edit() {
    let mut fleet = Fleet::new(3);
    let docs = story(&mut fleet);
    fleet.meet(PARIS, LYON);
    fleet.put(PARIS, docs[1], "title", "porte fermée");
    fleet.meet(PARIS, LYON);
    for site in [PARIS, LYON] {
        let view = fleet.view(site, &docs[1]).unwrap();
        assert_eq!(view.text("title"), Some("porte fermée"));
        assert!(ticket(&view).tainted.is_empty(), "nothing that shows is tainted any more");
    }
    fleet.agree_on(&[PARIS, LYON]);
    fleet.calm();
}
