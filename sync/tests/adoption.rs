//! What somebody adopts of a revoked site (R12) goes where it belongs: to what is here, or to what was adopted before.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use common::{ANA, Fleet};
use schema::author::Author;
use schema::authority::Body;
use schema::doc::{Adopted, DocKind, Edits, Value, doc_id_of_notes, notes_key};
use schema::id::DocId;
use schema::record::Record;
use schema::ticket::command::{comment, create_notes};
use schema::ticket::view::comments_of;
use sync::quarantine::{self, Quarantined};
use sync::replica::WriteError;

const PARIS: usize = 0;
const DAKAR: usize = 1;
const LYON: usize = 2;

/// Writes a note beside a ticket, as a site does.
fn note(fleet: &mut Fleet, site: usize, ticket: DocId, body: &str) {
    let written = fleet.write(site, |command| {
        let (natural, edits) = (Some(notes_key(&ticket)), comment(&command.id(), body).unwrap());
        let notes = command.id_of_next(DocKind::TicketNotes, natural);
        match command.view(&notes)? {
            Some(_) => command.edit(notes, &edits).map(drop),
            None => {
                let mut birth = create_notes(&ticket);
                birth.puts.extend(edits.puts);
                command.create(DocKind::TicketNotes, natural, &birth).map(drop)
            }
        }
    });
    written.unwrap();
}

/// Dakar opens a ticket beyond its cut, writes two notes beside it and raises its impact. Answers with what Paris holds of
/// it, in that order.
fn held(fleet: &mut Fleet) -> Vec<Quarantined> {
    fleet.ticket(DAKAR, "before");
    fleet.meet_all();
    let (cuts, dakar) = (fleet.sites[PARIS].cuts_of(&fleet.id(DAKAR), None).unwrap(), fleet.id(DAKAR));
    let ticket = fleet.ticket(DAKAR, "lampe");
    note(fleet, DAKAR, ticket, "first");
    note(fleet, DAKAR, ticket, "second");
    fleet.put(DAKAR, ticket, "impact", "high");
    fleet.meet_all();
    let now = fleet.now;
    fleet.sites[PARIS].say(now, &Body::Revoke { site: dakar, cuts }).unwrap();
    while fleet.sites[PARIS].catch_up(now).unwrap() {}
    let page = quarantine::list(&fleet.sites[PARIS].read().unwrap(), None, 500, |_| true).unwrap();
    assert_eq!(page.items.len(), 4, "all of it is held");
    page.items
}

fn adopt(fleet: &mut Fleet, record: &Record) -> Result<Vec<DocId>, WriteError> {
    adopt_at(fleet, PARIS, record, &[Author::User(ANA)])
}

fn adopt_at(fleet: &mut Fleet, site: usize, record: &Record, adopters: &[Author]) -> Result<Vec<DocId>, WriteError> {
    let (scope, now, hash) = (fleet.scope(), fleet.now, record.hash());
    let as_new = |kind: DocKind, edits: &mut Edits| {
        if kind == DocKind::Ticket {
            edits.put("number", Value::Text("S0-7".into()));
        }
    };
    let adopted = fleet.sites[site].write(now, |batch| {
        let name = quarantine::adoption_name(&hash);
        let written = batch.command(Author::User(ANA), name, scope, |command| command.adopt(record, adopters, as_new));
        if written.is_ok() {
            batch.discard(&hash, &ANA)?;
        }
        Ok(written)
    });
    adopted.unwrap().0.map(|written| written.docs)
}

fn bodies(fleet: &Fleet, doc: &DocId) -> Vec<String> {
    let notes = fleet.view(PARIS, doc).map(|view| comments_of(&view)).unwrap_or_default();
    notes.into_iter().map(|note| note.body).collect()
}

#[test]
fn r12_a_note_goes_beside_the_ticket_that_was_adopted() {
    let mut fleet = Fleet::new(2);
    let [ticket, first, second, impact] = &held(&mut fleet)[..] else { panic!("four are held") };
    let lamp = adopt(&mut fleet, &ticket.record).unwrap()[0];
    let made = adopt(&mut fleet, &first.record).unwrap();
    let org = fleet.sites[PARIS].policy().unwrap().org;
    let notes = doc_id_of_notes(&org, &fleet.scope(), &lamp);
    assert_eq!(made, [notes], "beside the ticket as it is here");
    assert_eq!(fleet.view(PARIS, &notes).unwrap().text("ticket"), Some(lamp.to_string().as_str()), "and it says so");
    assert_eq!(adopt(&mut fleet, &second.record).unwrap(), [notes], "what edits them goes there too");
    assert_eq!(bodies(&fleet, &notes), ["first", "second"]);
    assert_eq!(adopt(&mut fleet, &impact.record).unwrap(), [lamp]);
    assert_eq!(fleet.view(PARIS, &lamp).unwrap().text("impact"), Some("high"));
    fleet.restart(PARIS, None);
    let now = fleet.now;
    fleet.sites[PARIS].rebuild(now).unwrap();
    assert_eq!(bodies(&fleet, &notes), ["first", "second"], "it is in the records");
}

#[test]
fn r12_nothing_is_adopted_beside_what_is_not_here() {
    let mut fleet = Fleet::new(2);
    let [ticket, first, second, impact] = &held(&mut fleet)[..] else { panic!("four are held") };
    let [old, notes] = [ticket, first].map(|held| held.record.skeleton.entries[0].doc);
    let missing = |refused: Result<Vec<DocId>, WriteError>| match refused {
        Err(WriteError::NotHere(doc)) => doc,
        other => panic!("nothing may be made of it: {other:?}"),
    };
    assert_eq!(missing(adopt(&mut fleet, &first.record)), old, "its ticket is held itself");
    assert_eq!(missing(adopt(&mut fleet, &second.record)), notes);
    assert_eq!(missing(adopt(&mut fleet, &impact.record)), old);
    adopt(&mut fleet, &ticket.record).unwrap();
    assert_eq!(missing(adopt(&mut fleet, &second.record)), notes, "the notes that it goes on with come first");
}

#[test]
fn r12_what_was_adopted_is_found_again_at_every_site() {
    let mut fleet = Fleet::new(3);
    let [ticket, first, second, impact] = &held(&mut fleet)[..] else { panic!("four are held") };
    let old = ticket.record.skeleton.entries[0].doc;
    let lamp = adopt(&mut fleet, &ticket.record).unwrap()[0];
    adopt(&mut fleet, &first.record).unwrap();
    fleet.meet(PARIS, LYON);
    for site in [PARIS, LYON] {
        let said = Adopted::of(&fleet.view(site, &lamp).unwrap());
        let adopted = Adopted { record: ticket.record.hash(), document: Some(old), number: None };
        assert_eq!(said, [(adopted, Author::User(ANA))], "which record, which document, by whom");
    }
    let ana = [Author::User(ANA)];
    assert_eq!(adopt_at(&mut fleet, LYON, &impact.record, &ana).unwrap(), [lamp], "what follows goes there too");
    let made = adopt_at(&mut fleet, LYON, &second.record, &ana).unwrap();
    assert_eq!(bodies(&fleet, &made[0]).len(), 1, "Paris has not heard of it");
    fleet.meet(PARIS, LYON);
    assert_eq!(bodies(&fleet, &made[0]), ["first", "second"]);
    let said = Adopted::of(&fleet.view(PARIS, &made[0]).unwrap());
    let records: Vec<_> = said.iter().map(|(adopted, _)| adopted.record).collect();
    assert_eq!(records.len(), 2, "each says what it adopted");
    assert!(records.contains(&first.record.hash()) && records.contains(&second.record.hash()));
    fleet.agree_on(&[PARIS, LYON]);
}

#[test]
fn r12_notes_that_name_another_ticket_than_their_own_are_nobodys_to_adopt() {
    let mut fleet = Fleet::new(2);
    let lamp = fleet.ticket(PARIS, "lampe");
    fleet.meet_all();
    let (cuts, dakar) = (fleet.sites[PARIS].cuts_of(&fleet.id(DAKAR), None).unwrap(), fleet.id(DAKAR));
    let other = DocId([9; 32]);
    let birth = create_notes(&lamp);
    fleet
        .write(DAKAR, |command| command.create(DocKind::TicketNotes, Some(notes_key(&other)), &birth).map(drop))
        .unwrap();
    fleet.meet_all();
    let now = fleet.now;
    fleet.sites[PARIS].say(now, &Body::Revoke { site: dakar, cuts }).unwrap();
    while fleet.sites[PARIS].catch_up(now).unwrap() {}
    let page = quarantine::list(&fleet.sites[PARIS].read().unwrap(), None, 500, |_| true).unwrap();
    let refused = adopt(&mut fleet, &page.items[0].record);
    assert!(matches!(refused, Err(WriteError::NotHere(doc)) if doc == page.items[0].record.skeleton.entries[0].doc));
}

#[test]
fn r12_a_note_is_adopted_beside_notes_that_this_site_wrote() {
    let mut fleet = Fleet::new(2);
    let [ticket, first, second, _] = &held(&mut fleet)[..] else { panic!("four are held") };
    let lamp = adopt(&mut fleet, &ticket.record).unwrap()[0];
    note(&mut fleet, PARIS, lamp, "own");
    let notes = adopt(&mut fleet, &first.record).unwrap()[0];
    assert_eq!(bodies(&fleet, &notes), ["own", "first"], "one document holds both");
    adopt(&mut fleet, &second.record).unwrap();
    assert_eq!(bodies(&fleet, &notes), ["own", "first", "second"]);
}
