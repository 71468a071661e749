//! A revoked key (R18): what it wrote beyond its cut has no effect anywhere, except where something that stands builds on
//! it, and there it is marked (R19).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use common::member::{End, Member};
use common::{ANA, Fleet};
use schema::author::Author;
use schema::authority::{Body, Cut};
use schema::doc::{DocKind, Edits, Value, View};
use schema::fork::{Branch, ForkProof};
use schema::id::{CommandId, DocId, GenerationId, RecordHash, SiteId};
use schema::identity::Purpose;
use schema::record::{CommandName, Previous, Skeleton, actor};
use schema::ticket::view::{Tainted, ticket};
use schema::time::Timestamp;
use sync::admission::RecordWithBodies;
use sync::quarantine;
use sync::replica::WriteError;
use sync::wire::{Message, encode};

const PARIS: usize = 0;
const LYON: usize = 1;
const DAKAR: usize = 2;
const OSLO: usize = 3;

/// Revokes Dakar's key at what Paris holds of it, or held at a time.
fn revoke(fleet: &mut Fleet, until: Option<Timestamp>) {
    let cuts = fleet.sites[PARIS].cuts_of(&fleet.id(DAKAR), until).unwrap();
    revoke_at(fleet, cuts);
}

/// Revokes Dakar's key at these cuts.
fn revoke_at(fleet: &mut Fleet, cuts: Vec<Cut>) {
    let (dakar, now) = (fleet.id(DAKAR), fleet.now);
    let paris = &mut fleet.sites[PARIS];
    paris.trust_authority();
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

/// A member writes two histories. The cut covers one of them, and a record of that one builds on the other, where both claim
/// one place in a document. Which of the two changes is there may not hang on what came first.
#[test]
fn r19_what_stands_keeps_its_place_before_what_is_only_built_on() {
    const FORKED: GenerationId = GenerationId([0x33; 16]);
    let mut fleet = Fleet::new(3);
    let doc = fleet.ticket(PARIS, "lampe");
    fleet.meet(PARIS, LYON);
    let (mut member, now, ana) = (Member::of(&fleet, DAKAR), fleet.now, Author::User(ANA));
    let born = sync::docs::load(&fleet.sites[PARIS].read().unwrap(), &doc).unwrap();
    let (body, base) = member.title(&born, FORKED, &doc, "commune");
    let (first, end) = member.record(FORKED, Previous::First, 1, ana, doc, body);
    let after = Previous::Record(end.hash);
    let (other, with_other) = member.title(&base, FORKED, &doc, "derrière la coupure");
    let (other, _) = member.record(FORKED, after, 2, ana, doc, other);
    let (covered, _) = member.title(&base, FORKED, &doc, "couverte");
    let (covered, end) = member.record(FORKED, after, 2, ana, doc, covered);
    let (built, _) = member.title(&with_other, FORKED, &doc, "construite dessus");
    let (built, _) = member.record(FORKED, Previous::Record(end.hash), 3, ana, doc, built);
    let shared = member.frame(&[member.run(vec![first])]);
    let covered = member.frame(&[member.run(vec![covered, built])]);
    let other = member.frame(&[member.run(vec![other])]);
    // Paris holds what its cut covers, then hears the rest from Lyon, which held that first.
    member.visit(&mut fleet.sites[PARIS], now, &[shared.clone(), covered]);
    member.visit(&mut fleet.sites[LYON], now, &[shared, other]);
    revoke(&mut fleet, None);
    for _ in 0..4 {
        fleet.meet(PARIS, LYON);
    }
    fleet.agree_on(&[PARIS, LYON]);
    for site in [PARIS, LYON] {
        assert_eq!(shown(&fleet, site, &doc, "title").as_deref(), Some("couverte"), "at {site}");
        let codes: Vec<String> = held(&fleet, site).into_iter().map(|(_, code)| code).collect();
        assert!(codes.contains(&"stranded".to_owned()), "{codes:?}");
        fleet.sites[site].rebuild(now).unwrap();
    }
    fleet.agree_on(&[PARIS, LYON]);
}

/// As above, where what is tainted was there first: an honest record builds on it, and the history that the cut covers comes
/// later, and finds its place taken.
#[test]
fn r19_what_stands_takes_its_place_back() {
    const FORKED: GenerationId = GenerationId([0x33; 16]);
    let mut fleet = Fleet::new(3);
    let doc = fleet.ticket(PARIS, "lampe");
    fleet.meet(PARIS, LYON);
    let (mut member, now, ana) = (Member::of(&fleet, DAKAR), fleet.now, Author::User(ANA));
    let born = sync::docs::load(&fleet.sites[PARIS].read().unwrap(), &doc).unwrap();
    let (covered, _) = member.title(&born, FORKED, &doc, "couverte");
    let (covered, _) = member.record(FORKED, Previous::First, 1, ana, doc, covered);
    let (other, _) = member.title(&born, FORKED, &doc, "derrière la coupure");
    let (other, _) = member.record(FORKED, Previous::First, 1, ana, doc, other);
    let covered = member.frame(&[member.run(vec![covered])]);
    let other = member.frame(&[member.run(vec![other])]);
    member.visit(&mut fleet.sites[PARIS], now, &[covered]);
    member.visit(&mut fleet.sites[LYON], now, &[other]);
    fleet.put(LYON, doc, "urgency", "low");
    revoke(&mut fleet, None);
    for _ in 0..4 {
        fleet.meet(PARIS, LYON);
    }
    fleet.agree_on(&[PARIS, LYON]);
    for site in [PARIS, LYON] {
        assert_eq!(shown(&fleet, site, &doc, "title").as_deref(), Some("couverte"), "at {site}");
        fleet.sites[site].rebuild(now).unwrap();
    }
    fleet.agree_on(&[PARIS, LYON]);
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

/// Another history of a generation that nobody asked for: two signed first records.
fn proof(member: &mut Member, generation: GenerationId) -> ForkProof {
    let branch = |member: &mut Member, text: u8| {
        let skeleton = Skeleton::new(CommandName::Given(CommandId([text; 8])), Author::Site);
        let (with, end) = member.sealed(generation, Previous::First, 1, skeleton, Vec::new());
        Branch { headers: vec![with.record.header], signature: member.key.sign(Purpose::Record, &end.hash.0) }
    };
    let (one, other) = (branch(member, 1), branch(member, 2));
    ForkProof::new(one, other)
}

fn tickets(fleet: &Fleet, site: usize, docs: &[DocId]) -> usize {
    docs.iter().filter(|doc| fleet.view(site, doc).is_some_and(|view| view.kind == DocKind::Ticket)).count()
}

/// Ten tickets of two generations of Dakar, held everywhere; its key is revoked at all of it, which the last has not heard.
fn two_generations() -> (Fleet, Vec<DocId>, [GenerationId; 2]) {
    let mut fleet = Fleet::new(4);
    let mut docs: Vec<_> = (0..5).map(|_| fleet.ticket(DAKAR, "panne")).collect();
    let first = fleet.sites[DAKAR].generation();
    fleet.restart(DAKAR, None);
    let second = fleet.sites[DAKAR].generation();
    docs.extend((0..5).map(|_| fleet.ticket(DAKAR, "encore")));
    fleet.meet_all();
    revoke(&mut fleet, None);
    fleet.meet(PARIS, LYON);
    for site in [PARIS, LYON] {
        assert_eq!(tickets(&fleet, site, &docs), 10, "everything of before the cut stands");
    }
    (fleet, docs, [first, second])
}

/// Who has the key shows proofs of forks to a site that has not heard of the revocation.
fn show(fleet: &mut Fleet, generations: &[GenerationId]) {
    let mut member = Member::of(fleet, DAKAR);
    let now = fleet.now;
    let frames: Vec<Vec<u8>> =
        generations.iter().map(|generation| encode(&Message::Fork(proof(&mut member, *generation)))).collect();
    member.visit(&mut fleet.sites[OSLO], now, &frames);
}

#[test]
fn r18_a_revoked_key_takes_back_nothing_that_its_cut_covers() {
    for last in [0, 1] {
        let (mut fleet, docs, generations) = two_generations();
        // Of both generations, or of the younger one alone: that is where the cut is.
        show(&mut fleet, &generations[last..]);
        for (one, other) in [(OSLO, LYON), (PARIS, LYON), (PARIS, OSLO), (OSLO, LYON)] {
            fleet.meet(one, other);
        }
        let left = |fleet: &Fleet| [PARIS, LYON, OSLO].map(|site| tickets(fleet, site, &docs));
        assert_eq!(left(&fleet), [10, 10, 10], "whatever it signs afterwards");
        fleet.agree_on(&[PARIS, LYON, OSLO]);
        for site in [PARIS, LYON, OSLO] {
            let now = fleet.now;
            fleet.sites[site].rebuild(now).unwrap();
        }
        assert_eq!(left(&fleet), [10, 10, 10], "and so they are made from nothing");
        fleet.agree_on(&[PARIS, LYON, OSLO]);
    }
}

/// What a cut covers is held as a history behind a fork where the fork was known first, and it may come last of all.
#[test]
fn r18_what_a_cut_covers_stands_under_whatever_name_it_is_held() {
    let mut fleet = Fleet::new(4);
    let common = fleet.ticket(DAKAR, "commune");
    fleet.meet_all();
    let before = fleet.disks[DAKAR].clone();
    let honest: Vec<DocId> = (0..3).map(|_| fleet.ticket(DAKAR, "panne")).collect();
    fleet.meet(DAKAR, PARIS);
    fleet.set_back(DAKAR, before);
    let stolen: Vec<DocId> = (0..4).map(|_| fleet.ticket(DAKAR, "volée")).collect();
    fleet.meet(DAKAR, LYON);
    // The first site knows one history alone, and says that this one stands.
    revoke(&mut fleet, None);
    fleet.meet(OSLO, LYON);
    for (one, other) in [(PARIS, LYON), (PARIS, OSLO), (PARIS, LYON), (LYON, OSLO)] {
        fleet.now.0 += 60_000;
        fleet.meet(one, other);
    }
    let check = |fleet: &Fleet| {
        for site in [PARIS, LYON, OSLO] {
            assert!(fleet.view(site, &common).is_some());
            assert_eq!(tickets(fleet, site, &honest), 3, "the cut covers them, at {site}");
            assert_eq!(tickets(fleet, site, &stolen), 0, "and nothing of the other history, at {site}");
        }
        fleet.agree_on(&[PARIS, LYON, OSLO]);
    };
    check(&fleet);
    for site in [PARIS, LYON, OSLO] {
        let now = fleet.now;
        fleet.sites[site].rebuild(now).unwrap();
    }
    check(&fleet);
}

fn edit(
    member: &mut Member,
    fleet: &Fleet,
    (generation, previous, seq): (u8, Previous, u64),
    doc: DocId,
    (key, value): (&str, &str),
) -> (RecordWithBodies, End) {
    let mut edits = Edits::default();
    edits.put(key, Value::Text(value.into()));
    let generation = GenerationId([generation; 16]);
    let body = member.change(&fleet.sites[PARIS], generation, &doc, &edits);
    member.record(generation, previous, seq, Author::User(common::ANA), doc, body)
}

/// A generation may name another end of the one before than there is, in good time for a cut to cover that. What stands
/// hangs neither on when the record comes that shows it, nor on what the key writes there later.
#[test]
fn r18_an_end_that_no_record_is_leads_no_cut_on() {
    let mut fleet = Fleet::new(3);
    let doc = fleet.ticket(PARIS, "lampe");
    let other = fleet.ticket(PARIS, "porte");
    fleet.meet(PARIS, LYON);
    let mut member = Member::of(&fleet, DAKAR);
    let now = fleet.now;
    // One generation; another that follows it; and a third whose closing names a hash that nobody signed.
    let (q1, q_end) = edit(&mut member, &fleet, (0x31, Previous::First, 1), doc, ("urgency", "high"));
    let q = member.frame(&[member.run(vec![q1])]);
    member.visit(&mut fleet.sites[PARIS], now, std::slice::from_ref(&q));
    let closing = member.closing(q_end);
    let (p1, p_end) = edit(&mut member, &fleet, (0x32, closing, 1), doc, ("impact", "low"));
    let p = member.frame(&[member.run(vec![p1])]);
    member.visit(&mut fleet.sites[PARIS], now, std::slice::from_ref(&p));
    let (p2, p_end) = edit(&mut member, &fleet, (0x32, Previous::Record(p_end.hash), 2), other, ("impact", "low"));
    let late = member.frame(&[member.run(vec![p2])]);
    member.visit(&mut fleet.sites[PARIS], now, std::slice::from_ref(&late));
    let bogus = member.closing(End { hash: RecordHash([9; 32]), ..p_end });
    let (g1, g_end) = edit(&mut member, &fleet, (0x33, bogus, 1), other, ("urgency", "low"));
    let g = member.frame(&[member.run(vec![g1])]);
    member.visit(&mut fleet.sites[PARIS], now, std::slice::from_ref(&g));
    // Lyon has all but the record that contradicts the closing.
    member.visit(&mut fleet.sites[LYON], now, &[q, p, g]);
    // Only the third is cut: what comes of the others hangs on where it leads.
    let cut = Cut { scope: fleet.scope(), generation: g_end.generation, seq: 1, hash: g_end.hash };
    revoke_at(&mut fleet, vec![cut]);
    // It hears of the revocation and judges; then the record comes.
    let news = fleet.sites[PARIS].statements(0).unwrap();
    fleet.sites[LYON].bootstrap(now, news).unwrap();
    while fleet.sites[LYON].catch_up(now).unwrap() {}
    let check = |fleet: &Fleet| {
        for site in [PARIS, LYON] {
            assert_eq!(shown(fleet, site, &doc, "urgency"), None, "the chain behind the cut does not reach it");
            assert_eq!(shown(fleet, site, &doc, "impact"), None);
            assert_eq!(shown(fleet, site, &other, "urgency").as_deref(), Some("low"), "what the cut names stands");
        }
    };
    assert_eq!(shown(&fleet, LYON, &doc, "urgency"), None, "nobody has shown that the chain leads there");
    fleet.meet(PARIS, LYON);
    fleet.meet(PARIS, LYON);
    check(&fleet);
    fleet.agree_on(&[PARIS, LYON]);
    for site in [PARIS, LYON] {
        fleet.sites[site].rebuild(now).unwrap();
    }
    check(&fleet);
    fleet.agree_on(&[PARIS, LYON]);
}

/// What the records of a chain are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Chain {
    /// They change nothing.
    Empty,
    /// Edits of one ticket, each on top of the one before.
    Edits,
    /// The same, and a record of another site builds on the last.
    BuiltOn,
}

/// A change of a ticket's urgency in this document, which takes it.
fn urgency(
    document: &mut automerge::Automerge,
    key: &SiteId,
    generation: GenerationId,
    doc: &DocId,
    to: u32,
) -> Vec<u8> {
    let mut edits = Edits::default();
    edits.put("urgency", Value::Text(to.to_string()));
    let made = sync::docs::edit::change(document, &actor(key, &generation, doc), &edits, false).unwrap().unwrap();
    made.raw_bytes().to_vec()
}

/// So many generations of Dakar's of one record each, every one closed by the next, a frame for each, youngest first; before
/// them what builds on the last.
fn youngest_first(fleet: &Fleet, doc: DocId, chain: Chain, count: u32) -> Vec<Vec<u8>> {
    let mut member = Member::of(fleet, DAKAR);
    let mut document = sync::docs::load(&fleet.sites[PARIS].read().unwrap(), &doc).unwrap();
    let (ana, dakar) = (Author::User(common::ANA), fleet.id(DAKAR));
    let (mut before, mut frames): (Option<End>, _) = (None, Vec::new());
    for number in 0..count {
        let mut generation = [0x33; 16];
        generation[..4].copy_from_slice(&number.to_be_bytes());
        let generation = GenerationId(generation);
        let previous = before.map_or(Previous::First, |end| member.closing(end));
        let (record, end) = match chain {
            Chain::Empty => {
                let skeleton = Skeleton::new(CommandName::Place, Author::Site);
                member.sealed(generation, previous, 1, skeleton, Vec::new())
            }
            Chain::Edits | Chain::BuiltOn => {
                let body = urgency(&mut document, &dakar, generation, &doc, number);
                member.record(generation, previous, 1, ana, doc, body)
            }
        };
        frames.push(member.frame(&[member.run(vec![record])]));
        before = Some(end);
    }
    if chain == Chain::BuiltOn {
        let (mut oslo, generation) = (Member::of(fleet, OSLO), GenerationId([0x44; 16]));
        let body = urgency(&mut document, &fleet.id(OSLO), generation, &doc, count);
        let (record, _) = oslo.record(generation, Previous::First, 1, ana, doc, body);
        frames.push(oslo.frame(&[oslo.run(vec![record])]));
    }
    frames.reverse();
    frames
}

/// What a site reads that has heard of the revocation, while such a chain arrives, passed on by another site; whether the cut
/// covers it.
fn reads(chain: Chain, is_covered: bool, count: u32) -> u64 {
    let mut fleet = Fleet::new(4);
    let doc = fleet.ticket(PARIS, "lampe");
    fleet.meet(PARIS, LYON);
    let frames = youngest_first(&fleet, doc, chain, count);
    let now = fleet.now;
    if is_covered {
        let oldest_first: Vec<Vec<u8>> = frames.iter().rev().cloned().collect();
        Member::of(&fleet, DAKAR).visit(&mut fleet.sites[PARIS], now, &oldest_first);
    }
    revoke(&mut fleet, None);
    let news = fleet.sites[PARIS].statements(0).unwrap();
    fleet.sites[LYON].bootstrap(now, news).unwrap();
    while fleet.sites[LYON].catch_up(now).unwrap() {}
    let before = fleet.sites[LYON].store().reads();
    let mut oslo = Member::of(&fleet, OSLO);
    for frame in frames {
        let (alarms, closed) = oslo.visit(&mut fleet.sites[LYON], now, &[frame]);
        assert_eq!((alarms, closed), (vec![], None));
    }
    let last = count - u32::from(chain != Chain::BuiltOn);
    let is_shown = chain != Chain::Empty && (is_covered || chain == Chain::BuiltOn);
    assert_eq!(shown(&fleet, LYON, &doc, "urgency"), is_shown.then(|| last.to_string()), "{chain:?} {is_covered}");
    fleet.sites[LYON].store().reads() - before
}

/// Each record that comes leads the walk from the cut one generation further: it costs what it brings, and not the way to it.
#[test]
fn r18_what_arrives_youngest_first_costs_what_it_brings() {
    let cases = [(Chain::Empty, false), (Chain::Empty, true), (Chain::Edits, false), (Chain::Edits, true)];
    for (chain, is_covered) in cases.into_iter().chain([(Chain::BuiltOn, true)]) {
        let [few, many] = [40, 160].map(|count| reads(chain, is_covered, count));
        assert!(many < few * 5, "{chain:?}, covered: {is_covered}: four times the records, {few} and {many} reads");
    }
}

/// The same whichever came first: the record of the cut, a part of its log, or what that follows.
#[test]
fn r18_where_a_cut_leads_hangs_on_no_order_of_arrival() {
    let expected = ["high", "low", "5"].map(|value| Some(value.to_owned()));
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 3, 0, 1], [2, 0, 3, 1], [1, 3, 2, 0]] {
        let mut fleet = Fleet::new(4);
        let docs = ["lampe", "porte", "serrure", "clef"].map(|title| fleet.ticket(PARIS, title));
        fleet.meet(PARIS, LYON);
        let (mut member, now) = (Member::of(&fleet, DAKAR), fleet.now);
        let (first, end) = edit(&mut member, &fleet, (0x31, Previous::First, 1), docs[0], ("urgency", "high"));
        let closing = member.closing(end);
        let (second, end) = edit(&mut member, &fleet, (0x32, closing, 1), docs[1], ("urgency", "low"));
        let closing = member.closing(end);
        // Of the cut's own generation a run that the cut does not reach, and one that goes on behind it.
        let (third, end) = edit(&mut member, &fleet, (0x33, closing, 1), docs[2], ("urgency", "4"));
        let (fourth, end) = edit(&mut member, &fleet, (0x33, Previous::Record(end.hash), 2), docs[3], ("impact", "5"));
        let (beyond, _) = edit(&mut member, &fleet, (0x33, Previous::Record(end.hash), 3), docs[0], ("impact", "9"));
        let frames = [vec![first], vec![second], vec![third], vec![fourth.clone()]].map(|run| member.run(run));
        let frames = frames.map(|run| member.frame(&[run]));
        member.visit(&mut fleet.sites[PARIS], now, &frames);
        revoke(&mut fleet, None);
        let news = fleet.sites[PARIS].statements(0).unwrap();
        fleet.sites[LYON].bootstrap(now, news).unwrap();
        while fleet.sites[LYON].catch_up(now).unwrap() {}
        let mut oslo = Member::of(&fleet, OSLO);
        for at in order {
            oslo.visit(&mut fleet.sites[LYON], now, std::slice::from_ref(&frames[at]));
        }
        // What had a gap before it comes again.
        let late = member.frame(&[member.run(vec![fourth, beyond])]);
        oslo.visit(&mut fleet.sites[LYON], now, &[late]);
        let held = |fleet: &Fleet| {
            let last = shown(fleet, LYON, &docs[3], "impact");
            [shown(fleet, LYON, &docs[0], "urgency"), shown(fleet, LYON, &docs[1], "urgency"), last]
        };
        assert_eq!(held(&fleet), expected, "{order:?}");
        assert_eq!(shown(&fleet, LYON, &docs[0], "impact"), None, "behind the cut nothing stands");
        fleet.sites[LYON].rebuild(now).unwrap();
        assert_eq!(held(&fleet), expected, "made from nothing it is the same: {order:?}");
    }
}
