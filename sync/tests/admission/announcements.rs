//! Announcements of what sites hold (R17): which are kept, which are asked for whole, and that what is kept can be read.

use schema::frontier::{Frontier, FrontierLine, MAX_LINES, SignedFrontier};
use schema::id::{GenerationId, OrgId, ScopeId, SiteId};
use schema::identity::{Secret, Signature};
use schema::policy::Policy;
use schema::time::Hlc;
use sync::frontiers::{self, Difference, Frontiers, Update};
use sync::store::{Durability, Source as _, Store, StoreError, Table};
use sync::wire::{Message, encode};

use super::common::member::Member;
use super::common::{Disk, Fleet, NOW, key};

/// A store that knows one announcement of a member, with the number 5 and one line.
struct Site {
    store: Store,
    policy: Policy,
    known: Frontiers,
    scope: ScopeId,
    first: SignedFrontier,
}

fn line(number: u64, seq: u64) -> FrontierLine {
    let mut site = [0; 32];
    site[..8].copy_from_slice(&number.to_be_bytes());
    (SiteId(site), GenerationId([1; 16]), seq)
}

fn said(org: OrgId, scope: ScopeId, number: u64, lines: Vec<FrontierLine>, key: &Secret) -> SignedFrontier {
    let (site, generation) = (key.public(), GenerationId([2; 16]));
    SignedFrontier::new(Frontier { org, site, generation, scope, number, hlc: Hlc(1), heard: None, lines }, key)
}

impl Site {
    fn new() -> Self {
        let fleet = Fleet::new(3);
        let policy = Policy::clone(fleet.sites[0].policy().unwrap());
        let scope = fleet.scope();
        let first = said(policy.org, scope, 5, vec![line(1, 1)], &key(2));
        let mut site = Self { store: Disk::default().store(), policy, known: Frontiers::default(), scope, first };
        assert_eq!(site.admit(Update::Whole(site.first.clone())), "kept");
        site
    }

    /// A later one of the member.
    fn said(&self, number: u64, lines: Vec<FrontierLine>) -> SignedFrontier {
        said(self.policy.org, self.scope, number, lines, &key(2))
    }

    fn admit(&mut self, update: Update) -> &'static str {
        let (policy, known) = (&self.policy, &mut self.known);
        let admitted = self.store.write(Durability::Derived, |writing| {
            Ok::<_, StoreError>(frontiers::admit(writing, policy, known, vec![update]))
        });
        let admitted = admitted.unwrap().unwrap();
        match (admitted.news.len(), admitted.lacking.len()) {
            (0, 0) => "passed over",
            (1, 0) => "kept",
            (0, 1) => "asked for whole",
            other => panic!("{other:?}"),
        }
    }
}

fn difference(before: &SignedFrontier, after: &SignedFrontier) -> Update {
    Update::Difference(Difference::between(&before.frontier, after))
}

fn lines(from: usize, to: usize) -> Vec<FrontierLine> {
    (from..to).map(|number| line(number as u64, 1)).collect()
}

#[test]
fn the_newest_genuine_announcement_of_a_holder_is_kept() {
    type Make = fn(&Site) -> Update;
    let cases: [(&str, Make, &str); 15] = [
        ("the same again", |site| Update::Whole(site.first.clone()), "passed over"),
        ("a later one", |site| Update::Whole(site.said(6, vec![line(1, 2)])), "kept"),
        ("an earlier one", |site| Update::Whole(site.said(4, vec![line(1, 2)])), "passed over"),
        ("the last number of all", |site| Update::Whole(site.said(u64::MAX, vec![])), "kept"),
        (
            "of another organisation",
            |site| Update::Whole(said(OrgId([9; 32]), site.scope, 6, vec![], &key(2))),
            "passed over",
        ),
        (
            "of a scope that nobody holds",
            |site| Update::Whole(said(site.policy.org, ScopeId([9; 16]), 6, vec![], &key(2))),
            "passed over",
        ),
        (
            "of a site that nobody knows",
            |site| Update::Whole(said(site.policy.org, site.scope, 6, vec![], &key(9))),
            "passed over",
        ),
        (
            "not signed by its site",
            |site| Update::Whole(SignedFrontier { signature: Signature([7; 64]), ..site.said(6, vec![]) }),
            "passed over",
        ),
        (
            "changed after it was signed",
            |site| {
                let mut later = site.said(6, vec![line(1, 2)]);
                later.frontier.lines[0].2 = 99;
                Update::Whole(later)
            },
            "passed over",
        ),
        ("as many lines as there may be", |site| Update::Whole(site.said(6, lines(0, MAX_LINES))), "kept"),
        ("what changed since", |site| difference(&site.first, &site.said(6, vec![line(1, 2), line(2, 1)])), "kept"),
        (
            "what changed since one that is not held",
            |site| difference(&site.said(4, vec![]), &site.said(6, vec![line(1, 2)])),
            "asked for whole",
        ),
        (
            "up to one that is not news",
            |site| difference(&site.said(3, vec![]), &site.said(4, vec![line(1, 2)])),
            "passed over",
        ),
        (
            "what changed, not signed by its site",
            |site| {
                let later = SignedFrontier { signature: Signature([7; 64]), ..site.said(6, vec![]) };
                difference(&site.first, &later)
            },
            "passed over",
        ),
        (
            "a difference to more lines than there may be",
            |site| difference(&site.first, &site.said(6, lines(1, MAX_LINES + 2))),
            "passed over",
        ),
    ];
    for (case, make, expected) in cases {
        let mut site = Site::new();
        let update = make(&site);
        let before = site.store.read().unwrap().prefixed(Table::Frontiers, &[]).unwrap();
        assert_eq!(site.admit(update.clone()), expected, "{case}");
        let reading = site.store.read().unwrap();
        let is_as_before = reading.prefixed(Table::Frontiers, &[]).unwrap() == before;
        assert_eq!(is_as_before, expected != "kept", "{case}: only what is kept is stored");
        let loaded =
            Frontiers::load(&reading).unwrap_or_else(|error| panic!("{case}: a start cannot read it: {error}"));
        assert!(loaded.iter().eq(site.known.iter()), "{case}: a start knows the same");
        drop(reading);
        let again = if expected == "kept" { "passed over" } else { expected };
        assert_eq!(site.admit(update), again, "{case}, once more");
    }
}

/// Lines that are added to those held, as many again as an announcement may have: a site that kept them could not read
/// its own store, nor start any more.
#[test]
fn an_announcement_that_grows_beyond_its_bound_stops_nobody() {
    let mut fleet = Fleet::new(3);
    let mut member = Member::of(&fleet, 2);
    let say = |number, lines| said(member.org, member.scope, number, lines, &member.key);
    let first = say(1, lines(0, MAX_LINES));
    let second = say(2, lines(0, 2 * MAX_LINES));
    let frames =
        [Update::Whole(first.clone()), difference(&first, &second)].map(|said| encode(&Message::Frontiers(vec![said])));
    member.visit(&mut fleet.sites[0], NOW, &frames);
    fleet.ticket(0, "lampe");
    fleet.meet(0, 1);
    fleet.restart(0, None);
    fleet.meet(0, 1);
    fleet.agree_on(&[0, 1]);
}
