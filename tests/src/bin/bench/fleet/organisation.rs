//! A fleet's organisation, and the store of one of its sites after many restarts of all.

use std::path::Path;

use schema::author::Author;
use schema::authority::{
    AuthorityRef, Body, Grant, Role, ScopeSelector, Signed, SiteEntry, SiteSelector, Standing, UserEntry,
};
use schema::frontier::{Frontier, FrontierLine, SignedFrontier};
use schema::id::scope_of;
use schema::id::{GenerationId, LogId, OrgId, ScopeId, StoreId, StructureId, UserId};
use schema::identity::{Purpose, Secret, organisation};
use schema::policy::AuthorityLog;
use schema::record::{
    BodyKind, Closing, CommandName, FORMAT, Header, OpaqueRef, Previous, Record, SCHEMA_VERSION, Skeleton,
};
use schema::time::{Hlc, Timestamp};
use sync::admission::{RecordWithBodies, Run, admit};
use sync::docs::standing::Cuts;
use sync::frontiers::{self, Frontiers};
use sync::replica::{Replica, Start};
use sync::store::{Durability, Store, StoreError};

/// Who opens the tickets.
pub const ADMIN: UserId = UserId([7; 16]);
/// When the fleet was founded.
const FOUNDED: u64 = 1_800_000_000_000;
/// Between two restarts: a day.
const DAY: u64 = 86_400_000;
/// Records of one transaction while the store is made.
const PORTION: usize = 5_000;

/// The organisation and its keys.
pub struct Organisation {
    sites: Vec<Secret>,
    structures: Vec<StructureId>,
    statements: Vec<Signed>,
    org: OrgId,
}

fn derived(what: &str, number: usize) -> [u8; 32] {
    *blake3::hash(format!("{what} {number}").as_bytes()).as_bytes()
}

fn sixteen(what: &str, number: usize) -> [u8; 16] {
    *derived(what, number).first_chunk().unwrap_or(&[0; 16])
}

/// The generation that a site began with its so-manieth start.
fn generation(site: usize, start: usize) -> GenerationId {
    GenerationId::drawn(sixteen(&format!("generation of {site}"), start))
}

impl Organisation {
    /// So many sites, each of which holds all of so many structures.
    pub fn new(sites: usize, scopes: usize) -> Self {
        let (root, sequencer) = (Secret::from_bytes(derived("root", 0)), Secret::from_bytes(derived("sequencer", 0)));
        let org = organisation(&root.public());
        let structures: Vec<_> = (0..scopes).map(|number| StructureId(sixteen("structure", number))).collect();
        let keys: Vec<_> = (0..sites).map(|number| Secret::from_bytes(derived("site", number))).collect();
        let genesis = Body::Genesis { name: "Fleet".into(), root: root.public(), sequencer: sequencer.public() };
        let mut bodies = vec![genesis];
        let structure =
            |structure: &StructureId| Body::Structure { structure: *structure, name: structure.short(), parent: None };
        bodies.extend(structures.iter().map(structure));
        let site = |(number, key): (usize, &Secret)| {
            let code: String =
                [number / 676, number / 26 % 26, number % 26].map(|at| (b'A' + at as u8) as char).iter().collect();
            Body::Site(SiteEntry {
                site: key.public(),
                code,
                name: format!("Site {number}"),
                standing: Standing::Active,
                structure: structures.first().copied(),
                holds: vec![ScopeSelector::All],
                enrols: vec![ScopeSelector::All],
                sealing: None,
            })
        };
        bodies.extend(keys.iter().enumerate().map(site));
        bodies.push(Body::User(UserEntry {
            user: ADMIN,
            login: "ana".into(),
            grants: vec![Grant { structure: None, role: Role::Admin }],
            sites: vec![SiteSelector::All],
            standing: Standing::Active,
        }));
        let (mut statements, mut previous): (Vec<Signed>, _) = (Vec::new(), [0; 32]);
        for (position, body) in bodies.iter().enumerate() {
            let at = AuthorityRef { epoch: 1, position: position as u64 };
            let signer = if position == 0 { &root } else { &sequencer };
            let hlc = Hlc::default().tick(Timestamp(FOUNDED - DAY + position as u64));
            let signed = Signed::new(org, at, previous, hlc, body, signer);
            previous = signed.statement.hash();
            statements.push(signed);
        }
        Self { sites: keys, structures, statements, org }
    }

    /// The time after so many restarts.
    pub fn now(&self, restarts: usize) -> Timestamp {
        Timestamp(FOUNDED + (restarts as u64 + 1) * DAY)
    }

    /// Where tickets are opened.
    pub fn ticket_scope(&self) -> (ScopeId, StructureId) {
        let structure = self.structures.first().copied().unwrap_or(StructureId([0; 16]));
        (scope_of(&self.org, Some(&structure)), structure)
    }

    /// Makes the store of a site that holds a record of every start of every site in every scope.
    pub fn fill(&self, path: &Path, restarts: usize) -> anyhow::Result<()> {
        drop(self.open(path, 0, restarts)?);
        let mut log = AuthorityLog::default();
        for statement in &self.statements {
            log.push(statement)?;
        }
        let (policy, pin) = (log.current().cloned(), log.pin());
        let (Some(policy), Some(pin)) = (policy, pin) else {
            anyhow::bail!("the authority log is empty");
        };
        let mut store = Store::open(path)?;
        let mut last: Vec<Vec<Option<Closing>>> = vec![vec![None; self.structures.len()]; self.sites.len()];
        let mut runs = Vec::with_capacity(PORTION);
        for start in 0..=restarts {
            for (site, key) in self.sites.iter().enumerate() {
                for (at, structure) in self.structures.iter().enumerate() {
                    let log = LogId {
                        site: key.public(),
                        generation: generation(site, start),
                        scope: scope_of(&self.org, Some(structure)),
                    };
                    let previous = last[site][at].map_or(Previous::First, Previous::After);
                    // Of a kind of tomorrow: it waits, and is in nobody's way.
                    let body = start.to_be_bytes().to_vec();
                    let opaque = Some(OpaqueRef::of(&body));
                    let skeleton = Skeleton { opaque, ..Skeleton::new(CommandName::Place, Author::User(ADMIN)) };
                    let header = Header {
                        format: FORMAT,
                        org: self.org,
                        log,
                        seq: 1,
                        previous,
                        pin,
                        hlc: Hlc::default().tick(Timestamp(FOUNDED + start as u64 * DAY + site as u64)),
                        schema: SCHEMA_VERSION,
                        kind: BodyKind::Other(99),
                        skeleton: skeleton.hash(),
                        extension: Vec::new(),
                    };
                    let hash = header.hash();
                    let signature = key.sign(Purpose::Record, &hash.0);
                    last[site][at] = Some(Closing { generation: log.generation, seq: 1, hash, pin });
                    let record = RecordWithBodies { record: Record { header, skeleton }, bodies: vec![Some(body)] };
                    runs.push(Run { log, records: vec![record], signature });
                    if runs.len() == PORTION {
                        keep(&mut store, &policy, std::mem::take(&mut runs))?;
                    }
                }
            }
        }
        keep(&mut store, &policy, runs)?;
        self.announce(&mut store, restarts)?;
        drop(store);
        // What came is judged, as it was when it came.
        let mut replica = self.open(path, 0, restarts)?;
        while replica.catch_up(self.now(restarts))? {}
        Ok(())
    }

    /// Every site said what it holds of every scope: all of it.
    fn announce(&self, store: &mut Store, restarts: usize) -> anyhow::Result<()> {
        for structure in &self.structures {
            let scope = scope_of(&self.org, Some(structure));
            let mut lines: Vec<FrontierLine> =
                store.log_index().open_in(&scope).map(|log| (log.id.site, log.id.generation, log.seq)).collect();
            lines.sort_unstable();
            store.write(Durability::Derived, |writing| {
                let mut known = Frontiers::default();
                for (site, key) in self.sites.iter().enumerate() {
                    let said = Frontier {
                        org: self.org,
                        site: key.public(),
                        generation: generation(site, restarts),
                        scope,
                        number: 1,
                        hlc: Hlc::default().tick(self.now(restarts)),
                        heard: None,
                        lines: lines.clone(),
                    };
                    frontiers::keep(writing, &mut known, None, SignedFrontier::new(said, key))?;
                }
                Ok::<_, StoreError>(())
            })?;
        }
        Ok(())
    }

    /// Opens the store of a site after its last restart.
    pub fn open(&self, path: &Path, site: usize, restarts: usize) -> anyhow::Result<Replica> {
        let start = Start {
            key: Secret::from_bytes(derived("site", site)),
            sequencer: None,
            draw: Box::new(move || Some(generation(site, restarts + 1))),
            store_id: StoreId(sixteen("store", site)),
            copied: site > 0,
            now: self.now(restarts),
        };
        let mut replica = Replica::open(Store::open(path)?, start)?;
        if replica.policy().is_none() {
            replica.bootstrap(self.now(restarts), self.statements.clone())?;
        }
        Ok(replica)
    }

    /// What a status counts: the records to be exchanged with every other site in every scope.
    pub fn exchange(&self, replica: &Replica) -> Result<u64, StoreError> {
        let mut records = 0;
        for site in self.sites.iter().skip(1) {
            for structure in &self.structures {
                let exchange = replica.exchange(&site.public(), &scope_of(&self.org, Some(structure)))?;
                records += exchange.to_send + exchange.to_receive;
            }
        }
        Ok(records)
    }
}

fn keep(store: &mut Store, policy: &schema::policy::Policy, runs: Vec<Run>) -> anyhow::Result<()> {
    store.write(Durability::Derived, |writing| {
        runs.iter().try_for_each(|run| match admit(writing, policy, &mut Cuts::default(), run) {
            Ok(_) => Ok(()),
            Err(sync::admission::Reject::Store(error)) => Err(error),
            Err(error) => Err(StoreError::Missing { what: Box::leak(error.to_string().into_boxed_str()) }),
        })
    })?;
    Ok(())
}
