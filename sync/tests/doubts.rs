//! What a revoked key wrote beyond its cut and somebody built on is in doubt (R19), until somebody says that it is right.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use std::collections::BTreeMap;

use common::Fleet;
use schema::authority::Body;
use schema::doc::{Edits, Value};
use schema::id::DocId;
use schema::ticket::command::{comment, confirm, confirm_comment, fact, patch};
use schema::ticket::view::ticket;
use schema::ticket::{Field, Status};
use sync::docs::history::steps;
use sync::docs::registers::is_consistent;
use sync::docs::view;

const PARIS: usize = 0;
const LYON: usize = 1;
const DAKAR: usize = 2;

#[test]
fn r19_what_is_in_doubt_is_confirmed_by_writing_it_again() {
    let mut fleet = Fleet::new(3);
    let doc = fleet.ticket(PARIS, "porte");
    fleet.put(PARIS, doc, "external", "A1");
    fleet.meet_all();
    let at_dakar = |edits: Edits, fleet: &mut Fleet| {
        fleet.write(DAKAR, |command| command.edit(doc, &edits).map(drop)).unwrap();
    };
    let mut edits = Edits::default();
    edits.put("title", Value::Text("porte ouverte".into()));
    edits.puts.insert("external".into(), None);
    edits.texts.insert("description".into(), "Elle bat.".into());
    at_dakar(edits, &mut fleet);
    fleet.write(DAKAR, |c| c.edit(doc, &comment(&c.id(), "vite").unwrap()).map(drop)).unwrap();
    let moved = |id: &str| fact(id, Status::New, Status::InProgress, None).unwrap();
    fleet.write(DAKAR, |c| c.edit(doc, &moved(&c.id())).map(drop)).unwrap();
    let born = fleet.ticket(DAKAR, "née trop tard");
    fleet.meet(LYON, DAKAR);
    fleet.put(LYON, doc, "impact", "high");
    fleet.put(LYON, born, "impact", "high");
    let (cuts, dakar) = (fleet.sites[PARIS].cuts_of(&fleet.id(DAKAR), None).unwrap(), fleet.id(DAKAR));
    let now = fleet.now;
    fleet.sites[PARIS].trust_authority();
    fleet.sites[PARIS].say(now, &Body::Revoke { site: dakar, cuts }).unwrap();
    fleet.meet(PARIS, LYON);

    let doubts = |fleet: &Fleet, site: usize, doc: &DocId| -> Vec<String> {
        let seen = ticket(&fleet.view(site, doc).unwrap());
        let comments = seen.comments.into_iter().filter(|one| one.attribution.tainted).map(|one| one.body);
        seen.tainted.into_iter().map(|one| one.field).chain(comments).collect()
    };
    assert_eq!(doubts(&fleet, PARIS, &doc), ["title", "external", "description", "status", "vite"]);
    assert_eq!(doubts(&fleet, PARIS, &born), ["created"]);
    let before = fleet.view(PARIS, &doc).unwrap();

    // A value that is written again as an ordinary edit is written: it is not what stood there.
    let title = BTreeMap::from([(Field::Title, Some("porte ouverte".to_owned()))]);
    let edits = patch(&before, &title, None).unwrap();
    assert!(fleet.write(PARIS, |command| command.edit(doc, &edits).map(drop)).is_ok());
    for (doc, field) in [(doc, "external"), (doc, "description"), (doc, "status"), (born, "created")] {
        let view = fleet.view(PARIS, &doc).unwrap();
        fleet.write(PARIS, |c| c.edit(doc, &confirm(&view, &c.id(), field)).map(drop)).unwrap();
        let view = fleet.view(PARIS, &doc).unwrap();
        let again = confirm(&view, "0000000000000000", field);
        assert!(again.puts.is_empty() && again.texts.is_empty(), "{field} is in doubt no more");
    }
    let reply = ticket(&before).comments.remove(0).id;
    fleet.write(PARIS, |c| c.edit(doc, &confirm_comment(&before, &c.id(), &reply).unwrap()).map(drop)).unwrap();

    fleet.meet(PARIS, LYON);
    for site in [PARIS, LYON] {
        for doc in [doc, born] {
            assert_eq!(doubts(&fleet, site, &doc), [""; 0], "at every site");
        }
        let (then, now) = (ticket(&before), ticket(&fleet.view(site, &doc).unwrap()));
        assert_eq!(
            (&now.title, &now.external, &now.description, now.status, now.comments.len()),
            (&then.title, &then.external, &then.description, then.status, then.comments.len()),
            "nothing but the doubt is gone"
        );
        let reading = fleet.sites[site].read().unwrap();
        assert!(is_consistent(&reading, &doc).unwrap());
        let whole = view::whole(&reading, &doc).unwrap().unwrap();
        let steps = steps(&reading, &whole).unwrap();
        let kept = |key: &str| steps.iter().rev().find(|step| step.key == key).unwrap();
        assert_eq!(kept("description").before, kept("description").after, "the history tells who confirmed it");
        assert_eq!(kept("title").before, kept("title").after);
    }
    fleet.agree_on(&[PARIS, LYON]);
    fleet.calm();
}
