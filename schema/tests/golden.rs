//! Stored samples of what this crate hashes, signs and encodes.

#[path = "../../tests/samples/golden.rs"]
mod golden;

mod common;

use schema::authority::SealingKey;
use schema::codec::Canonical;
use schema::id::{OrgId, SiteId};
use schema::identity::organisation;
use schema::invitation::Invitation;
use schema::join::{JoinAnswer, JoinQuestion};
use schema::time::Timestamp;

#[test]
fn no_format_changes_unseen() {
    let mut samples: Vec<(&str, Vec<u8>)> = Vec::new();
    for (name, record) in common::records() {
        // The hash is what everybody agrees on, so it stands in the sample too.
        samples.push((name, [record.to_bytes(), record.hash().0.to_vec()].concat()));
        assert_eq!(schema::record::Record::from_bytes(&record.to_bytes()), Ok(record), "{name} is read back");
    }
    for (name, signed) in common::statements() {
        samples.push((name, [signed.to_bytes(), signed.statement.hash().to_vec()].concat()));
        assert_eq!(schema::authority::Signed::from_bytes(&signed.to_bytes()), Ok(signed), "{name} is read back");
    }
    samples.push(("frontier", common::frontier().to_bytes()));
    let fork = common::fork().verify(|_, _, _| false).expect("the proof proves a fork");
    let names = fork.names().map(|name| name.to_bytes()).concat();
    samples.push(("fork-proof", [common::fork().to_bytes(), fork.name().to_vec(), names].concat()));
    samples.push(("enrolment", common::enrolment().to_bytes()));
    let (site, credential) = common::credential();
    let opened = credential.open(organisation(&common::secret().public()), common::secret().public(), &site.0, &site.1);
    assert_eq!(opened, Ok(Some(common::login_secrets())), "a share of the sample opens at its site");
    samples.push(("credential", credential.to_bytes()));
    samples.push(("login-secrets", common::login_secrets().to_bytes()));
    let invitation = Invitation {
        org: OrgId([1; 32]),
        inviter: SiteId([2; 32]),
        addresses: vec!["192.0.2.1:4433".into()],
        token: [3; 16],
        code: "LYO".into(),
        expires: Timestamp(1_800_000_000_000),
    };
    samples.push(("invitation", invitation.to_line().into_bytes()));
    let question =
        JoinQuestion { token: [3; 16], sealing: SealingKey([4; 32]), addresses: vec!["192.0.2.1:4433".into()] };
    samples.push(("join-question", question.to_bytes()));
    let statements = common::statements().into_iter().take(2).map(|(_, signed)| signed).collect();
    samples.push(("join-answer", JoinAnswer::Statements(statements).to_bytes()));
    samples.push(("join-refusal", JoinAnswer::Refused("INVITE-SPENT".into()).to_bytes()));
    golden::check("schema", &samples);
}
