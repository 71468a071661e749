//! The start of a site whose organisation has many people: reading the authority log, in a process of its own.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use schema::authority::{
    AuthorityRef, Body, Grant, Role, ScopeSelector, Signed, SiteEntry, SiteSelector, Standing, UserEntry,
};
use schema::id::{GenerationId, StoreId, StructureId, UserId};
use schema::identity::{Secret, organisation};
use schema::time::{Hlc, Timestamp};
use sync::replica::{Replica, Start};
use sync::store::Store;

use super::figures::{ms, row};
use super::machine::memory_mb;

/// Tells the process that starts the site where its store is.
const STORE: &str = "ARCHIPEL_BENCH_STORE";
const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// Makes the store of an organisation of so many people, and starts a site on it.
pub fn measure(folder: &Path, users: usize) -> anyhow::Result<()> {
    if let Some(store) = std::env::var_os(STORE) {
        let before = resident()?;
        let begun = Instant::now();
        let replica = open(Path::new(&store))?;
        let took = ms(begun.elapsed());
        let known = replica.policy().map_or(0, |policy| policy.users.size());
        println!("{took}, {:.0} MB more resident, {known} people known", resident()? - before);
        return Ok(());
    }
    let path = folder.join("rules.redb");
    let begun = Instant::now();
    open(&path)?.bootstrap(NOW, statements(users))?;
    row(&format!("{users} people: their statements verified and stored"), ms(begun.elapsed()));
    let program = std::env::current_exe()?;
    let child = std::process::Command::new(program).args(["--only", "rules"]).env(STORE, &path).output()?;
    let said = String::from_utf8_lossy(&child.stdout).lines().last().unwrap_or_default().to_owned();
    anyhow::ensure!(child.status.success(), "the site did not start: {}", String::from_utf8_lossy(&child.stderr));
    row(&format!("{users} people: start"), said);
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<Replica> {
    let start = Start {
        key: Secret::from_bytes([3; 32]),
        sequencer: None,
        draw: Box::new(|| Some(GenerationId([1; 16]))),
        store_id: StoreId([1; 16]),
        copied: false,
        now: NOW,
    };
    Ok(Replica::open(Store::open(path)?, start)?)
}

/// Megabytes of this process in memory.
fn resident() -> anyhow::Result<f64> {
    let (now, _) = memory_mb(std::process::id()).context("the system does not tell a process's memory")?;
    Ok(now)
}

fn statements(users: usize) -> Vec<Signed> {
    let (root, sequencer) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
    let org = organisation(&root.public());
    let structure = StructureId([1; 16]);
    let site = SiteEntry {
        site: Secret::from_bytes([3; 32]).public(),
        code: "S0".into(),
        name: "Site".into(),
        standing: Standing::Active,
        structure: Some(structure),
        holds: vec![ScopeSelector::All],
        enrols: vec![ScopeSelector::All],
        sealing: None,
    };
    let founding = [
        Body::Genesis { name: "People".into(), root: root.public(), sequencer: sequencer.public() },
        Body::Structure { structure, name: "IT".into(), parent: None },
        Body::Site(site),
    ];
    let user = |number: usize| {
        let id = *blake3::hash(&number.to_be_bytes()).as_bytes().first_chunk().unwrap_or(&[0; 16]);
        let role = if number == 0 { Role::Admin } else { Role::User };
        let structure = (number > 0).then_some(structure);
        Body::User(UserEntry {
            user: UserId(id),
            login: format!("prenom.nom{number}"),
            grants: vec![Grant { structure, role }],
            sites: vec![SiteSelector::All],
            standing: Standing::Active,
        })
    };
    let mut previous = [0; 32];
    let bodies = founding.into_iter().chain((0..users).map(user));
    bodies
        .enumerate()
        .map(|(position, body)| {
            let at = AuthorityRef { epoch: 1, position: position as u64 };
            let signer = if position == 0 { &root } else { &sequencer };
            let signed = Signed::new(org, at, previous, Hlc(1 + position as u64), &body, signer);
            previous = signed.statement.hash();
            signed
        })
        .collect()
}
