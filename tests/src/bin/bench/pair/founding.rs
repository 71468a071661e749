//! The organisation of the two sites: its first statements, a structure, a team.

use std::path::Path;

use schema::authority::{
    AuthorityRef, Body, Grant, Role, ScopeSelector, Signed, SiteEntry, SiteSelector, Standing, UserEntry,
};
use schema::id::scope_of;
use schema::id::{GenerationId, OrgId, ScopeId, StoreId, UserId};
use schema::identity::{Secret, organisation};
use schema::time::{Hlc, Timestamp};
use sync::replica::{Replica, Start};
use sync::store::Store;

use super::IT;

/// The number of users who work at the desk.
const TEAM: u8 = 12;

/// The ids of the users who work at the desk.
pub fn users() -> Vec<UserId> {
    (0..TEAM).map(|number| UserId(*blake3::hash(&[number]).as_bytes().first_chunk().unwrap_or(&[0; 16]))).collect()
}

/// The scope of the structure's tickets.
pub fn scope() -> ScopeId {
    scope_of(&org(), Some(&IT))
}

/// Two new sites of the organisation, their stores in `folder`.
pub fn sites(folder: &Path, now: Timestamp) -> anyhow::Result<[Replica; 2]> {
    let statements = statements(now);
    let site = |number: usize| -> anyhow::Result<Replica> {
        let start = Start {
            key: key(number),
            sequencer: None,
            draw: Box::new(move || derived_bytes("generation", number).first_chunk().copied().map(GenerationId)),
            store_id: StoreId(*derived_bytes("store", number).first_chunk().unwrap_or(&[0; 16])),
            copied: false,
            now,
        };
        let mut replica = Replica::open(Store::open(&folder.join(format!("site{number}.redb")))?, start)?;
        replica.bootstrap(now, statements.clone())?;
        Ok(replica)
    };
    Ok([site(0)?, site(1)?])
}

fn derived_bytes(what: &str, number: usize) -> [u8; 32] {
    *blake3::hash(format!("{what} {number}").as_bytes()).as_bytes()
}

fn key(site: usize) -> Secret {
    Secret::from_bytes(derived_bytes("site", site))
}

fn root() -> Secret {
    Secret::from_bytes(derived_bytes("root", 0))
}

fn org() -> OrgId {
    organisation(&root().public())
}

fn statements(now: Timestamp) -> Vec<Signed> {
    let (root, sequencer, org) = (root(), Secret::from_bytes(derived_bytes("sequencer", 0)), org());
    let site = |number: usize| {
        Body::Site(SiteEntry {
            site: key(number).public(),
            code: format!("S{number}"),
            name: format!("Site {number}"),
            standing: Standing::Active,
            structure: Some(IT),
            holds: vec![ScopeSelector::All],
            enrols: vec![ScopeSelector::All],
            sealing: None,
        })
    };
    let user = |(number, user): (usize, UserId)| {
        Body::User(UserEntry {
            user,
            login: format!("person{number}"),
            grants: vec![Grant { structure: None, role: Role::Admin }],
            sites: vec![SiteSelector::All],
            standing: Standing::Active,
        })
    };
    let mut bodies = vec![
        Body::Genesis { name: "Bench".into(), root: root.public(), sequencer: sequencer.public() },
        Body::Structure { structure: IT, name: "IT".into(), parent: None },
        site(0),
        site(1),
    ];
    bodies.extend(users().into_iter().enumerate().map(user));
    let (mut previous, mut hlc) = ([0; 32], Hlc::default());
    let signed = bodies.iter().enumerate().map(|(position, body)| {
        hlc = hlc.tick(now);
        let at = AuthorityRef { epoch: 1, position: position as u64 };
        let signer = if position == 0 { &root } else { &sequencer };
        let signed = Signed::new(org, at, previous, hlc, body, signer);
        previous = signed.statement.hash();
        signed
    });
    signed.collect()
}
