//! Histories of a log that forked, and of a key that is revoked, as a member makes them: honest sites that hear the same in
//! another order agree (R8, R18 to R20), and nothing that was acknowledged is lost.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod members;
mod references;
mod standing;

use automerge::Automerge;
use common::Fleet;
use common::member::Member;
use schema::doc::{Edits, Value};
use schema::fork::branch_name;
use schema::id::{DocId, GenerationId, LogId};
use schema::record::actor;
use sync::admission::RecordWithBodies;

const PARIS: usize = 0;
const LYON: usize = 1;
const DAKAR: usize = 2;
const OSLO: usize = 3;
const HELD: GenerationId = GenerationId([0x33; 16]);
const OWN: GenerationId = GenerationId([0x51; 16]);
const HONEST: GenerationId = GenerationId([0x61; 16]);

fn shown(fleet: &Fleet, site: usize, doc: &DocId, key: &str) -> Option<String> {
    fleet.view(site, doc).and_then(|view| view.text(key).map(str::to_owned))
}

/// A change of a key by the member's actor in a generation as of `base`.
fn change(
    by: &Member,
    base: &Automerge,
    generation: GenerationId,
    doc: &DocId,
    key: &str,
    text: &str,
) -> (Vec<u8>, Automerge) {
    let mut document = base.clone();
    let mut edits = Edits::default();
    edits.put(key, Value::Text(text.into()));
    let by = actor(&by.key.public(), &generation, doc);
    let made = sync::docs::edit::change(&mut document, &by, &edits, false).unwrap().unwrap();
    let body = made.raw_bytes().to_vec();
    let mut after = base.clone();
    after.apply_changes([made]).unwrap();
    (body, after)
}

fn name(of: &RecordWithBodies) -> LogId {
    branch_name(&of.record.header.log, &of.record.hash())
}

fn base(fleet: &Fleet, doc: &DocId) -> Automerge {
    sync::docs::load(&fleet.sites[PARIS].read().unwrap(), doc).unwrap()
}

/// Whether two sites hold the same and show the same.
fn same(fleet: &Fleet) -> bool {
    let scope = fleet.scope();
    let index = |site: usize| fleet.sites[site].store().log_index();
    let records = index(PARIS).vector(&scope) == index(LYON).vector(&scope);
    records && index(PARIS).scope(&scope).digest == index(LYON).scope(&scope).digest
}

fn mingle(fleet: &mut Fleet) {
    for _ in 0..5 {
        fleet.meet(PARIS, LYON);
        fleet.now.0 += 60_000;
    }
}

fn rebuilt(fleet: &mut Fleet) {
    for site in [PARIS, LYON] {
        let now = fleet.now;
        fleet.sites[site].rebuild(now).unwrap();
    }
}

/// Both hold and show the same once they met, and made from nothing as well.
fn ends_alike(fleet: &mut Fleet) {
    mingle(fleet);
    let live = same(fleet);
    rebuilt(fleet);
    let made = same(fleet);
    assert!(live && made);
}

fn fleet_of(docs: usize) -> (Fleet, Vec<DocId>) {
    let mut fleet = Fleet::new(4);
    let docs = (0..docs).map(|number| fleet.ticket(PARIS, &format!("t{number}"))).collect();
    fleet.meet(PARIS, LYON);
    (fleet, docs)
}
