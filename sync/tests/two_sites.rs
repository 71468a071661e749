//! Two replicas talk in memory: the smallest whole story of a split, and of what must not happen.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod common;

use common::{Fleet, NOW};
use schema::author::Author;
use schema::doc::{DocKind, Edits, Value};
use schema::id::UserId;
use schema::record::CommandName;
use sync::replica::WriteError;
use sync::store::{Source as _, Table};

#[test]
fn both_sides_of_a_split_are_kept_and_conflicts_seen() {
    let mut fleet = Fleet::new(2);
    let lamp = fleet.ticket(0, "lampe morte");
    fleet.meet(0, 1);
    fleet.agree();
    fleet.put(0, lamp, "impact", "high");
    fleet.put(1, lamp, "impact", "low");
    fleet.put(1, lamp, "urgency", "low");
    let other = fleet.ticket(1, "badge");
    fleet.meet(0, 1);
    fleet.agree();
    for site in &fleet.sites {
        let view = sync::docs::view::view(&site.read().unwrap(), &lamp).unwrap().unwrap();
        assert_eq!(view.distinct("impact").len(), 2, "two values, to settle");
        assert_eq!(view.text("urgency"), Some("low"), "an edit of one side alone is no conflict");
        assert_eq!(view.texts["description"], "Il fait noir.");
        let view = sync::docs::view::view(&site.read().unwrap(), &other).unwrap().unwrap();
        assert_eq!(view.text("title"), Some("badge"), "what was made alone exists everywhere");
    }
    fleet.put(0, lamp, "impact", "high");
    fleet.meet(0, 1);
    fleet.agree();
    let view = sync::docs::view::whole(&fleet.sites[1].read().unwrap(), &lamp).unwrap().unwrap();
    assert_eq!(view.distinct("impact").len(), 1, "the write that saw both settled it everywhere");
    let steps = sync::docs::history::steps(&fleet.sites[1].read().unwrap(), &view).unwrap();
    let last = steps.iter().rfind(|step| step.key == "impact").expect("impact was changed");
    let told = (last.before.as_deref(), last.after.as_deref());
    assert_eq!(told, (Some("low"), Some("high")), "the history tells which value was not kept");
}

#[test]
fn meeting_again_with_nothing_new_costs_next_to_nothing() {
    let mut fleet = Fleet::new(2);
    for number in 0..200 {
        fleet.ticket(number % 2, "x");
    }
    fleet.meet(0, 1);
    fleet.agree();
    fleet.sent = 0;
    fleet.meet(0, 1);
    assert!(fleet.sent < 4096, "no vector and no record travelled: {} bytes, frontiers and pings included", fleet.sent);
}

#[test]
fn what_the_read_model_may_lack_after_a_crash_is_listed() {
    let mut fleet = Fleet::new(2);
    let listed = |fleet: &Fleet| fleet.sites[0].read().unwrap().prefixed(Table::Stale, &[]).unwrap().len();
    let lamp = fleet.ticket(0, "lampe morte");
    assert_eq!(listed(&fleet), 1, "nobody said that the read model has it");
    fleet.sites[0].projected([lamp]);
    let badge = fleet.ticket(0, "badge");
    assert_eq!(listed(&fleet), 1, "the next transaction crosses it off and adds its own");
    fleet.sites[0].projected([badge]);
    fleet.put(0, badge, "impact", "high");
    assert_eq!(listed(&fleet), 1, "what changed again is lacking again");
    fleet.sites[0].projected_all().unwrap();
    assert_eq!(listed(&fleet), 0, "a read model made anew lacks nothing");
}

#[test]
fn a_rebuild_gives_the_same_documents() {
    let mut fleet = Fleet::new(2);
    let doc = fleet.ticket(0, "x");
    fleet.put(0, doc, "title", "y");
    let scope = fleet.scope();
    let before = fleet.sites[0].store().log_index().scope(&scope);
    let view = sync::docs::view::view(&fleet.sites[0].read().unwrap(), &doc).unwrap();
    fleet.sites[0].rebuild(NOW).unwrap();
    assert_eq!(fleet.sites[0].store().log_index().scope(&scope), before, "documents are a function of records");
    assert_eq!(sync::docs::view::view(&fleet.sites[0].read().unwrap(), &doc).unwrap(), view);
}

#[test]
fn the_rules_stop_what_the_author_may_not() {
    let mut fleet = Fleet::new(2);
    let scope = fleet.scope();
    let mallory = UserId([9; 16]);
    let (outcome, _) = fleet.sites[0]
        .write(NOW, |batch| {
            let mut edits = Edits::default();
            edits.put("title", Value::Text("x".into()));
            let made = batch.command::<WriteError>(Author::User(mallory), CommandName::Place, scope, |command| {
                command.create(DocKind::Ticket, None, &edits).map(|_| ())
            });
            Ok(made.is_err())
        })
        .unwrap();
    assert!(outcome, "a user nobody enrolled writes nothing");
    assert!(fleet.sites[0].store().log_index().vector(&scope).is_empty(), "and leaves nothing behind");
}
