//! Two replicas talk in memory: the smallest whole story of a split, and of what must not happen.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::VecDeque;

use redb::backends::InMemoryBackend;
use schema::authority::{AuthorityRef, Body, Grant, Role, Signed, SiteEntry, Standing, UserEntry};
use schema::doc::{DocKind, Edits, Value};
use schema::id::{DocId, GenerationId, ScopeId, SiteId, StoreId, StructureId, UserId};
use schema::identity::{Secret, organisation};
use schema::record::{Author, CommandName, scope_of};
use schema::time::{Hlc, Timestamp};
use sync::replica::{Output, Replica, Start, WriteError};
use sync::store::{Source as _, Store, Table};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const IT: StructureId = StructureId([1; 16]);
const ANA: UserId = UserId([7; 16]);

struct Pair {
    sites: [Replica; 2],
    now: Timestamp,
    sent: usize,
}

fn statements() -> (Vec<Signed>, Secret) {
    let (root, sequencer) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
    let org = organisation(&root.public());
    let scopes = |sites: [u8; 2]| {
        let mut scopes = vec![scope_of(&org, None), scope_of(&org, Some(&IT))];
        scopes.sort();
        sites.map(|site| SiteEntry {
            site: key(site).public(),
            code: format!("S{site}"),
            name: format!("Site {site}"),
            standing: Standing::Active,
            scopes: scopes.clone(),
            enrols: vec![IT],
            addresses: vec![],
        })
    };
    let [first, second] = scopes([0, 1]);
    let mut sites: Vec<SiteId> = vec![first.site, second.site];
    sites.sort();
    let ana = UserEntry {
        user: ANA,
        login: "ana".into(),
        grants: vec![Grant { structure: None, role: Role::Admin }],
        sites,
        standing: Standing::Active,
    };
    let bodies = [
        Body::Genesis { name: "Test".into(), root: root.public(), sequencer: sequencer.public() },
        Body::Structure { structure: IT, name: "IT".into(), parent: None },
        Body::Site(first),
        Body::Site(second),
        Body::User(ana),
    ];
    let mut previous = [0; 32];
    let mut signed = Vec::new();
    for (position, body) in bodies.iter().enumerate() {
        let at = AuthorityRef { epoch: 1, position: position as u64 };
        let signer = if position == 0 { &root } else { &sequencer };
        let statement = Signed::new(org, at, previous, Hlc(1 + position as u64), body, signer);
        previous = statement.statement.hash();
        signed.push(statement);
    }
    (signed, sequencer)
}

fn key(site: u8) -> Secret {
    Secret::from_bytes([10 + site; 32])
}

impl Pair {
    fn new() -> Self {
        let (signed, _) = statements();
        let site = |number: u8| {
            let start = Start {
                key: key(number),
                sequencer: None,
                generation: GenerationId([number; 16]),
                store_id: StoreId([number; 16]),
                copied: false,
                now: NOW,
            };
            let store = Store::open_on(InMemoryBackend::new()).unwrap();
            let mut replica = Replica::open(store, start).unwrap();
            replica.bootstrap(signed.clone()).unwrap();
            replica
        };
        Self { sites: [site(0), site(1)], now: NOW, sent: 0 }
    }

    fn scope(&self) -> ScopeId {
        scope_of(&self.sites[0].policy().unwrap().org, Some(&IT))
    }

    fn ticket(&mut self, site: usize, title: &str) -> DocId {
        let mut edits = Edits::default();
        edits.put("title", Value::Text(title.into()));
        edits.put("structure", Value::Text(IT.to_string()));
        edits.texts.insert("description".into(), "Il fait noir.".into());
        let scope = self.scope();
        let made = self.write(site, scope, |command| command.create(DocKind::Ticket, None, &edits).map(|_| ()));
        made.unwrap().docs[0]
    }

    fn put(&mut self, site: usize, doc: DocId, key: &str, value: &str) {
        let mut edits = Edits::default();
        edits.put(key, Value::Text(value.into()));
        let scope = self.scope();
        self.write(site, scope, |command| command.edit(doc, &edits).map(|_| ())).unwrap();
    }

    fn write(
        &mut self,
        site: usize,
        scope: ScopeId,
        work: impl FnOnce(&mut sync::replica::Command<'_, '_, '_>) -> Result<(), WriteError>,
    ) -> Result<sync::replica::Written, WriteError> {
        let (written, _) = self.sites[site]
            .write(self.now, |batch| batch.command(Author::User(ANA), CommandName::Place, scope, work))?;
        Ok(written)
    }

    /// Connects the two, lets them talk until both are silent, and counts bytes.
    fn meet(&mut self, session: u64) {
        let mut queue: VecDeque<(usize, Output)> = VecDeque::new();
        for site in 0..2 {
            let peer = self.sites[1 - site].me();
            let outputs = self.sites[site].connected(self.now, session, peer).unwrap();
            queue.extend(outputs.into_iter().map(|output| (site, output)));
        }
        for _ in 0..40 {
            while let Some((from, output)) = queue.pop_front() {
                match output {
                    Output::Send(session, frame) => {
                        self.sent += frame.len();
                        let outputs = self.sites[1 - from].received(self.now, session, &frame).unwrap();
                        queue.extend(outputs.into_iter().map(|output| (1 - from, output)));
                    }
                    Output::Close(_, code) => panic!("site {from} closed the session: {code}"),
                    Output::Alarm(alarm) => panic!("site {from} raised {alarm:?}"),
                    Output::Authority => {}
                }
            }
            self.now = Timestamp(self.now.0 + 500);
            for site in 0..2 {
                while self.sites[site].catch_up(self.now).unwrap() {}
                let outputs = self.sites[site].tick(self.now).unwrap();
                queue.extend(outputs.into_iter().map(|output| (site, output)));
            }
        }
        for site in &mut self.sites {
            site.closed(self.now, session).unwrap();
        }
    }

    fn agree(&self) {
        let scope = self.scope();
        let states = [0, 1].map(|site| self.sites[site].store().log_index().scope(&scope));
        assert_eq!(states[0].digest, states[1].digest, "equal documents after they met");
        let vectors = [0, 1].map(|site| self.sites[site].store().log_index().vector(&scope));
        assert_eq!(vectors[0], vectors[1], "equal records after they met");
        assert!(states.iter().all(|state| state.materialized == state.arrivals), "everything is materialised");
    }
}

#[test]
fn both_sides_of_a_split_are_kept_and_conflicts_seen() {
    let mut pair = Pair::new();
    let lamp = pair.ticket(0, "lampe morte");
    pair.meet(1);
    pair.agree();
    pair.put(0, lamp, "impact", "high");
    pair.put(1, lamp, "impact", "low");
    pair.put(1, lamp, "urgency", "low");
    let other = pair.ticket(1, "badge");
    pair.meet(2);
    pair.agree();
    for site in &pair.sites {
        let view = sync::docs::view::view(&site.read().unwrap(), &lamp).unwrap().unwrap();
        assert_eq!(view.distinct("impact").len(), 2, "two values, to settle");
        assert_eq!(view.text("urgency"), Some("low"), "an edit of one side alone is no conflict");
        assert_eq!(view.texts["description"], "Il fait noir.");
        let view = sync::docs::view::view(&site.read().unwrap(), &other).unwrap().unwrap();
        assert_eq!(view.text("title"), Some("badge"), "what was made alone exists everywhere");
    }
    pair.put(0, lamp, "impact", "high");
    pair.meet(3);
    pair.agree();
    let view = sync::docs::view::view(&pair.sites[1].read().unwrap(), &lamp).unwrap().unwrap();
    assert_eq!(view.distinct("impact").len(), 1, "the write that saw both settled it everywhere");
    let steps = sync::docs::history::steps(&pair.sites[1].read().unwrap(), &view).unwrap();
    let last = steps.iter().rfind(|step| step.key == "impact").expect("impact was changed");
    let told = (last.before.as_deref(), last.after.as_deref());
    assert_eq!(told, (Some("low"), Some("high")), "the history tells which value was not kept");
}

#[test]
fn meeting_again_with_nothing_new_costs_next_to_nothing() {
    let mut pair = Pair::new();
    for number in 0..200 {
        pair.ticket(number % 2, "x");
    }
    pair.meet(1);
    pair.agree();
    pair.sent = 0;
    pair.meet(2);
    assert!(pair.sent < 4096, "no vector and no record travelled: {} bytes, frontiers and pings included", pair.sent);
}

#[test]
fn what_the_read_model_may_lack_after_a_crash_is_listed() {
    let mut pair = Pair::new();
    let listed = |pair: &Pair| pair.sites[0].read().unwrap().prefixed(Table::Stale, &[]).unwrap().len();
    let lamp = pair.ticket(0, "lampe morte");
    assert_eq!(listed(&pair), 1, "nobody said that the read model has it");
    pair.sites[0].projected([lamp]);
    let badge = pair.ticket(0, "badge");
    assert_eq!(listed(&pair), 1, "the next transaction crosses it off and adds its own");
    pair.sites[0].projected([badge]);
    pair.put(0, badge, "impact", "high");
    assert_eq!(listed(&pair), 1, "what changed again is lacking again");
    pair.sites[0].projected_all().unwrap();
    assert_eq!(listed(&pair), 0, "a read model made anew lacks nothing");
}

#[test]
fn a_rebuild_gives_the_same_documents() {
    let mut pair = Pair::new();
    let doc = pair.ticket(0, "x");
    pair.put(0, doc, "title", "y");
    let scope = pair.scope();
    let before = pair.sites[0].store().log_index().scope(&scope);
    let view = sync::docs::view::view(&pair.sites[0].read().unwrap(), &doc).unwrap();
    pair.sites[0].rebuild(NOW).unwrap();
    assert_eq!(pair.sites[0].store().log_index().scope(&scope), before, "documents are a function of records");
    assert_eq!(sync::docs::view::view(&pair.sites[0].read().unwrap(), &doc).unwrap(), view);
}

#[test]
fn the_rules_stop_what_the_author_may_not() {
    let mut pair = Pair::new();
    let scope = pair.scope();
    let mallory = UserId([9; 16]);
    let (outcome, _) = pair.sites[0]
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
    assert!(pair.sites[0].store().log_index().logs.is_empty(), "and leaves nothing behind");
}
