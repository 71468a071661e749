//! The authority log hands out, at every position, the state that was there when it was the last.

use schema::authority::{AuthorityRef, Body, Grant, Pin, Role, Signed, SiteSelector, Standing, UserEntry, pin};
use schema::id::UserId;
use schema::identity::{Secret, organisation};
use schema::policy::{AuthorityLog, Pinned, Policy};
use schema::time::Hlc;

/// An organisation's statements, as its sequencer makes them.
struct Desk {
    log: AuthorityLog,
    root: Secret,
    sequencer: Secret,
    hlc: Hlc,
}

impl Desk {
    fn new() -> Self {
        let (root, sequencer) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
        let found = Body::Genesis { name: "Test".into(), root: root.public(), sequencer: sequencer.public() };
        let org = organisation(&root.public());
        let first = Signed::new(org, AuthorityRef { epoch: 1, position: 0 }, [0; 32], Hlc(1), &found, &root);
        let mut log = AuthorityLog::default();
        log.push(&first).expect("the first statement stands");
        Self { log, root, sequencer, hlc: Hlc(1) }
    }

    fn sign(&mut self, at: AuthorityRef, previous: [u8; 32], body: &Body) -> Signed {
        self.hlc = Hlc(self.hlc.0 + 1);
        let signer = if matches!(body, Body::HandOver { .. }) { &self.root } else { &self.sequencer };
        Signed::new(organisation(&self.root.public()), at, previous, self.hlc, body, signer)
    }

    fn say(&mut self, body: &Body) -> Result<(), schema::policy::AuthorityError> {
        let (at, previous) = self.log.head().expect("the log has begun");
        let signed = self.sign(AuthorityRef { position: at.position + 1, ..at }, previous, body);
        self.log.push(&signed)
    }

    /// The pin of the statement that stands at a position.
    fn pin(&self, position: u64) -> Pin {
        pin(AuthorityRef { epoch: 1, position }, &self.log.hash_at(position).expect("held"))
    }

    fn state(&self) -> Policy {
        Policy::clone(self.log.current().expect("the log has begun"))
    }
}

fn user(number: u16, role: Role, standing: Standing) -> Body {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&number.to_be_bytes());
    Body::User(UserEntry {
        user: UserId(id),
        login: format!("user{number}"),
        grants: vec![Grant { structure: None, role }],
        sites: vec![SiteSelector::All],
        standing,
    })
}

#[test]
fn every_position_answers_with_its_own_state() {
    let mut desk = Desk::new();
    let mut states = vec![desk.state()];
    for number in 0..600 {
        desk.say(&user(number % 300, Role::Admin, Standing::Active)).expect("users are added and changed");
        states.push(desk.state());
    }
    // From the end to the beginning, and again: neither order nor what is at hand may matter.
    for position in (0..=600u64).rev().chain([300, 1, 511, 512, 513]) {
        let Pinned::Known(state) = desk.log.pinned(desk.pin(position)) else {
            panic!("position {position} is held");
        };
        assert_eq!(*state, states[position as usize], "position {position}");
    }
    let ahead = |at: AuthorityRef| Pin { at, hash_head: desk.pin(3).hash_head };
    let pinned = |at| desk.log.pinned(ahead(at));
    assert!(matches!(pinned(AuthorityRef { epoch: 1, position: 601 }), Pinned::Ahead), "not said yet");
    let later = AuthorityRef { epoch: 2, position: 3 };
    assert!(matches!(pinned(later), Pinned::Ahead), "of an epoch whose hand-over is not held");
    let other = AuthorityRef { epoch: 1, position: 4 };
    assert!(matches!(pinned(other), Pinned::Ahead), "another statement stands there: a fork is not judged by");
}

#[test]
fn a_hand_over_judges_the_ended_epoch_at_its_base() {
    let mut desk = Desk::new();
    for number in 0..400 {
        desk.say(&user(number, Role::Admin, Standing::Active)).expect("users are added");
    }
    let base = AuthorityRef { epoch: 1, position: 300 };
    let Pinned::Known(at_base) = desk.log.pinned(desk.pin(300)) else { panic!("the base is held") };
    let (void, head) = (desk.pin(390), desk.state());
    assert_eq!(head.users.size(), 400, "all of them before the hand-over");
    let base_hash = desk.log.hash_at(300).expect("the base is held");
    let sequencer = Secret::from_bytes([3; 32]);
    let hand_over = Body::HandOver { base, base_hash, sequencer: sequencer.public() };
    let signed = desk.sign(AuthorityRef { epoch: 2, position: 301 }, base_hash, &hand_over);
    desk.log.push(&signed).expect("the root hands over");
    desk.sequencer = sequencer;
    desk.say(&user(900, Role::User, Standing::Active)).expect("the new sequencer speaks");
    let Pinned::Known(state) = desk.log.pinned(void) else {
        panic!("what pins a void statement is judged at the base");
    };
    assert_eq!(*state, *at_base);
    let newest = desk.log.pin().expect("the log has begun");
    assert_eq!(newest.at, AuthorityRef { epoch: 2, position: 302 });
    let Pinned::Known(state) = desk.log.pinned(newest) else {
        panic!("the new epoch's statement is held");
    };
    assert_eq!(state.users.size(), 301, "300 users up to the base, and one of the new epoch");
}

#[test]
fn the_last_admin_stays_and_a_refused_statement_changes_nothing() {
    let mut desk = Desk::new();
    desk.say(&user(1, Role::Admin, Standing::Active)).expect("an admin");
    desk.say(&user(2, Role::Admin, Standing::Active)).expect("another");
    desk.say(&user(1, Role::User, Standing::Active)).expect("one of two may go");
    let before = desk.state();
    assert!(desk.say(&user(2, Role::Admin, Standing::Ended)).is_err(), "the last one may not be disabled");
    assert!(desk.say(&user(2, Role::User, Standing::Active)).is_err(), "nor become a user");
    assert_eq!(desk.state(), before, "a refused statement changes nothing");
}

#[test]
fn of_several_hand_overs_the_one_that_went_back_furthest_counts() {
    let mut desk = Desk::new();
    for number in 0..40 {
        desk.say(&user(number, Role::Admin, Standing::Active)).expect("users are added");
    }
    let (base_of_all, void) = (desk.pin(10), desk.pin(35));
    for (epoch, base) in [(2, 30), (3, 10)] {
        let base_hash = desk.log.hash_at(base).expect("held");
        let base = AuthorityRef { epoch: 1, position: base };
        let sequencer = Secret::from_bytes([epoch as u8; 32]);
        let hand_over = Body::HandOver { base, base_hash, sequencer: sequencer.public() };
        let signed = desk.sign(AuthorityRef { epoch, position: base.position + 1 }, base_hash, &hand_over);
        desk.log.push(&signed).expect("the root hands over");
    }
    let Pinned::Known(state) = desk.log.pinned(void) else {
        panic!("records of the first epoch never wait for ever");
    };
    let Pinned::Known(base) = desk.log.pinned(base_of_all) else { panic!("the base stands") };
    assert_eq!(*state, *base, "judged at the lower of both bases");
}

#[test]
fn a_refused_hand_over_leaves_the_log_as_it_was() {
    let mut desk = Desk::new();
    for number in 0..20 {
        desk.say(&user(number, Role::Admin, Standing::Active)).expect("users are added");
    }
    let base_hash = desk.log.hash_at(5).expect("held");
    let base = AuthorityRef { epoch: 1, position: 5 };
    let hand_over = Body::HandOver { base, base_hash, sequencer: desk.sequencer.public() };
    let wrong = desk.sign(AuthorityRef { epoch: 2, position: 6 }, [9; 32], &hand_over);
    assert!(desk.log.push(&wrong).is_err(), "it names another statement before it");
    assert_eq!(desk.log.len(), 21, "and nothing was dropped for it");
    desk.say(&user(30, Role::User, Standing::Active)).expect("the log goes on");
}

#[test]
fn what_is_not_understood_is_passed_over_or_ends_what_can_be_judged() {
    let mut desk = Desk::new();
    desk.say(&user(1, Role::Admin, Standing::Active)).expect("an admin");
    let unknown = |desk: &mut Desk, skippable: bool| {
        let (at, previous) = desk.log.head().expect("the log has begun");
        let mut signed = desk.sign(AuthorityRef { position: at.position + 1, ..at }, previous, &Body::Version(1));
        signed.statement.kind = 999;
        signed.statement.skippable = skippable;
        signed.signature = desk.sequencer.sign(schema::identity::Purpose::Statement, &signed.statement.hash());
        desk.log.push(&signed).expect("kept, whatever it says");
    };
    unknown(&mut desk, true);
    desk.say(&user(2, Role::User, Standing::Active)).expect("the log goes on");
    assert_eq!(desk.state().users.size(), 2, "what may be skipped holds nothing up");
    unknown(&mut desk, false);
    let pin = desk.log.pin().expect("the log has begun");
    assert!(matches!(desk.log.pinned(pin), Pinned::Ahead), "a record judged by it waits for a newer version");
    let before = desk.pin(2);
    assert!(matches!(desk.log.pinned(before), Pinned::Known(_)), "what pins an earlier one is judged");
}
