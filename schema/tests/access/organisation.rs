//! The organisation of the tables, told by its signed statements.
//!
//! Structures: the seat, IT below it, the laboratory below IT; the shop beside them. Paris, in IT, holds everything and
//! enrols for IT and below; Nancy enrols for all there are.

use schema::author::Author;
use schema::authority::{
    AuthorityRef, Body, Grant, Role, ScopeSelector, ServiceEntry, Signed, SiteEntry, SiteSelector, Standing, UserEntry,
};
use schema::codec::Canonical;
use schema::id::{ScopeId, ServiceId, SiteId, StructureId, UserId, scope_of};
use schema::identity::{Secret, organisation};
use schema::policy::{AuthorityLog, Policy};
use schema::time::Hlc;

pub const SEAT: StructureId = StructureId([1; 16]);
pub const IT: StructureId = StructureId([2; 16]);
pub const LAB: StructureId = StructureId([3; 16]);
pub const SHOP: StructureId = StructureId([4; 16]);
/// One of which no statement speaks.
pub const NOWHERE: StructureId = StructureId([9; 16]);

/// Every site, by what it is.
pub const SITES: [&str; 7] = ["paris", "dakar", "lille", "retired", "revoked", "stranger", "nancy"];

/// A site by its name in the tables.
pub fn site(name: &str) -> SiteId {
    let number = SITES.iter().position(|site| *site == name).expect("a site of the tables");
    Secret::from_bytes([10 + number as u8; 32]).public()
}

pub fn grant(role: Role, structure: StructureId) -> Grant {
    Grant { structure: Some(structure), role }
}

fn everywhere(role: Role) -> Grant {
    Grant { structure: None, role }
}

/// Somebody of the tables: what they are called there, what they may, which sites speak for them, whether they count.
struct Somebody {
    name: &'static str,
    grants: Vec<Grant>,
    sites: Vec<SiteSelector>,
    standing: Standing,
}

/// Everybody; those without another word are spoken for by Paris.
fn everybody() -> Vec<Somebody> {
    use Role::{Admin, Technician, User};
    let of = |name, grants: &[Grant], sites: &[SiteSelector], standing| {
        let mut somebody = Somebody { name, grants: grants.to_vec(), sites: sites.to_vec(), standing };
        somebody.grants.sort_unstable();
        somebody
    };
    let paris = [SiteSelector::Site(site("paris"))];
    let at_paris = |name, grants: &[Grant]| of(name, grants, &paris, Standing::Active);
    let spoken_for = |name, selector: &[SiteSelector]| of(name, &[everywhere(Admin)], selector, Standing::Active);
    vec![
        at_paris("user", &[grant(User, IT)]),
        at_paris("technician", &[grant(Technician, IT)]),
        at_paris("admin", &[grant(Admin, IT)]),
        at_paris("user of the structure above", &[grant(User, SEAT)]),
        at_paris("technician of the structure above", &[grant(Technician, SEAT)]),
        at_paris("admin of the structure above", &[grant(Admin, SEAT)]),
        at_paris("user of the structure below", &[grant(User, LAB)]),
        at_paris("technician of the structure below", &[grant(Technician, LAB)]),
        at_paris("admin of the structure below", &[grant(Admin, LAB)]),
        at_paris("user elsewhere", &[grant(User, SHOP)]),
        at_paris("technician elsewhere", &[grant(Technician, SHOP)]),
        at_paris("admin elsewhere", &[grant(Admin, SHOP)]),
        at_paris("user everywhere", &[everywhere(User)]),
        at_paris("technician everywhere", &[everywhere(Technician)]),
        at_paris("admin everywhere", &[everywhere(Admin)]),
        at_paris("user here, admin elsewhere", &[grant(User, IT), grant(Admin, SHOP)]),
        at_paris("user here, technician above", &[grant(User, IT), grant(Technician, SEAT)]),
        at_paris("nobody's", &[]),
        of("disabled user", &[grant(User, IT)], &paris, Standing::Ended),
        of("disabled admin", &[everywhere(Admin)], &paris, Standing::Ended),
        // Admins everywhere, so that only who speaks for them matters.
        spoken_for("of every site", &[SiteSelector::All]),
        spoken_for("of Dakar", &[SiteSelector::Site(site("dakar"))]),
        spoken_for("of sites in IT", &[SiteSelector::Below(IT)]),
        spoken_for("of sites in the seat", &[SiteSelector::Below(SEAT)]),
        spoken_for("of sites in the laboratory", &[SiteSelector::Below(LAB)]),
        spoken_for("of sites in the shop", &[SiteSelector::Below(SHOP)]),
        spoken_for("of Dakar or sites in IT", &[SiteSelector::Site(site("dakar")), SiteSelector::Below(IT)]),
        spoken_for("of no site", &[]),
        of("disabled, of Dakar", &[everywhere(Admin)], &[SiteSelector::Site(site("dakar"))], Standing::Ended),
    ]
}

/// The organisation, and who is who in the tables.
pub struct Organisation {
    pub policy: Policy,
}

impl Organisation {
    pub fn new() -> Self {
        let (root, sequencer) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
        let org = organisation(&root.public());
        let mut log = AuthorityLog::default();
        let mut previous = [0; 32];
        let found = Body::Genesis { name: "Test".into(), root: root.public(), sequencer: sequencer.public() };
        for (position, body) in std::iter::once(found).chain(statements()).enumerate() {
            let at = AuthorityRef { epoch: 1, position: position as u64 };
            let signer = if position == 0 { &root } else { &sequencer };
            let signed = Signed::new(org, at, previous, Hlc(1 + position as u64), &body, signer);
            previous = signed.statement.hash();
            log.push(&signed).expect("the organisation's statements stand");
        }
        Self { policy: Policy::clone(log.current().expect("the log has begun")) }
    }

    /// The scope that a table names.
    pub fn scope(&self, name: &str) -> ScopeId {
        match name {
            "the organisation" => self.policy.org_scope(),
            "IT" => scope_of(&self.policy.org, Some(&IT)),
            "the laboratory" => scope_of(&self.policy.org, Some(&LAB)),
            "the shop" => scope_of(&self.policy.org, Some(&SHOP)),
            "nowhere" => scope_of(&self.policy.org, Some(&NOWHERE)),
            other => panic!("{other} is no scope of the tables"),
        }
    }

    /// The entry of somebody whom the authority log knows.
    pub fn user(&self, name: &str) -> Option<&UserEntry> {
        self.policy.users.get(&user_id(name)?).map(AsRef::as_ref)
    }

    /// The author that a table names: a person, a service, the site itself.
    pub fn author(&self, name: &str) -> Author {
        match name {
            "the site itself" => Author::Site,
            "somebody unknown" => Author::User(UserId([0xff; 16])),
            // A tag that this version does not know, without content.
            "somebody of a newer version" => Author::from_bytes(&[9, 0]).expect("unknown tags are kept"),
            _ => match user_id(name) {
                Some(user) => Author::User(user),
                None => Author::Service(service_id(name)),
            },
        }
    }
}

fn user_id(name: &str) -> Option<UserId> {
    let number = everybody().iter().position(|somebody| somebody.name == name)?;
    Some(UserId([1 + number as u8; 16]))
}

const SERVICES: [&str; 8] = [
    "service, technician everywhere",
    "service, user",
    "service, admin",
    "service, technician elsewhere",
    "service without a right",
    "service ended",
    "service of Dakar",
    "service unknown",
];

fn service_id(name: &str) -> ServiceId {
    let number = SERVICES.iter().position(|service| *service == name);
    ServiceId([1 + number.unwrap_or_else(|| panic!("{name} is nobody of the tables")) as u8; 16])
}

fn services() -> Vec<Body> {
    let paris = SiteSelector::Site(site("paris"));
    let service = |name: &str, grants: &[Grant], at: SiteSelector, standing| {
        let (service, grants, sites) = (service_id(name), grants.to_vec(), vec![at]);
        Body::Service(ServiceEntry { service, name: name.into(), grants, sites, standing })
    };
    let technician = [everywhere(Role::Technician)];
    let dakar = SiteSelector::Site(site("dakar"));
    vec![
        service(SERVICES[0], &technician, paris, Standing::Active),
        service(SERVICES[1], &[grant(Role::User, IT)], paris, Standing::Active),
        service(SERVICES[2], &[grant(Role::Admin, IT)], paris, Standing::Active),
        service(SERVICES[3], &[grant(Role::Technician, SHOP)], paris, Standing::Active),
        service(SERVICES[4], &[], paris, Standing::Active),
        service(SERVICES[5], &technician, paris, Standing::Ended),
        service(SERVICES[6], &technician, dakar, Standing::Active),
    ]
}

fn statements() -> Vec<Body> {
    let structure = |structure, name: &str, parent| Body::Structure { structure, name: name.into(), parent };
    let mut bodies = vec![
        structure(SEAT, "Seat", None),
        structure(IT, "IT", Some(SEAT)),
        structure(LAB, "Laboratory", Some(IT)),
        structure(SHOP, "Shop", None),
    ];
    let entry = |name: &str, structure, holds: &[ScopeSelector], enrols: &[ScopeSelector], standing| {
        let (holds, enrols) = (holds.to_vec(), enrols.to_vec());
        let code = name[..3].to_uppercase();
        Body::Site(SiteEntry {
            site: site(name),
            code,
            name: name.into(),
            standing,
            structure,
            holds,
            enrols,
            sealing: None,
        })
    };
    let (all, active) = ([ScopeSelector::All], Standing::Active);
    bodies.extend([
        entry("paris", Some(IT), &all, &[ScopeSelector::Below(IT)], active),
        entry("dakar", Some(SHOP), &[ScopeSelector::Structure(SHOP)], &all, active),
        entry("lille", None, &[ScopeSelector::Organisation, ScopeSelector::Below(IT)], &[], active),
        entry("nancy", Some(IT), &all, &all, active),
        entry("retired", Some(IT), &all, &all, Standing::Ended),
        entry("revoked", Some(IT), &all, &all, active),
        Body::Revoke { site: site("revoked"), cuts: Vec::new() },
    ]);
    for (number, somebody) in (1u8..).zip(everybody()) {
        let Somebody { grants, sites, standing, .. } = somebody;
        let login = format!("user{number}");
        bodies.push(Body::User(UserEntry { user: UserId([number; 16]), login, grants, sites, standing }));
    }
    bodies.extend(services());
    bodies
}
