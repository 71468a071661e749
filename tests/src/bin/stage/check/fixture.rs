//! The three sites of the check, its people, and what was done there.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use tests::sites::api::{Api, text};
use tests::sites::cast::{Cast, Member, structures};
use tests::sites::ground::ground;
use tests::sites::place::{SHARED, new_password};
use tests::sites::report::Report;
use tests::sites::watch;

use super::model::Model;
use crate::filling;

/// How long the sites may take to agree when nothing is cut.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An edit that a site acknowledged: what its history must show.
#[derive(Debug, Clone)]
pub struct Edit {
    /// The ticket's id.
    pub ticket: String,
    /// The field as the history names it.
    pub field: String,
    /// What it says afterwards.
    pub after: String,
    /// The site's code.
    pub site: &'static str,
    /// The author's name.
    pub author: String,
}

/// Somebody at a site.
#[derive(Clone)]
pub struct Person {
    /// Their name.
    pub name: String,
    /// Their door at the site.
    pub api: Api,
}

/// Everything the steps share.
pub struct World {
    /// The sites.
    pub cast: Cast,
    /// The id of the structure that all sites hold.
    pub shared: String,
    /// Tickets of that structure from before the split.
    pub early: Vec<Value>,
    /// By site: an administrator and a technician.
    pub people: Vec<[Person; 2]>,
    /// By site: a plain requester's door.
    pub requester: Vec<Api>,
    /// What a plain model expects.
    pub model: Model,
    /// What was acknowledged.
    pub edits: Vec<Edit>,
    /// Ids and numbers of tickets made during the check.
    pub made: Vec<(String, String)>,
}

impl World {
    /// Founds the sites, fills them, and waits until they agree.
    pub fn found(folder: &Path, port: Option<u16>, report: &mut Report) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let ground = ground(folder, port, false)?;
        let (cast, _) = Cast::enter(ground)?;
        report.holds(true, format!("three sites run and have joined, {:.1} s", begun.elapsed().as_secs_f64()));
        filling::fill(&cast)?;
        let shared = structures(&cast.members[0].api())?.0;
        let names = enrol(&cast, &shared)?;
        let equal = watch::wait_until_equal(&cast, PATIENCE);
        report.holds(equal.is_some(), format!("all equal after the first {} tickets", filling::TICKETS));
        let (people, requester) = doors(&cast, &names)?;
        let early = early(&cast.members[0].api())?;
        let (model, edits, made) = (Model::default(), Vec::new(), Vec::new());
        Ok(Self { cast, shared, early, people, requester, model, edits, made })
    }

    /// The site at a place of the cast.
    pub fn site(&self, at: usize) -> &Member {
        &self.cast.members[at]
    }

    /// Waits until all agree; says so.
    pub fn equal(&self, report: &mut Report, told: &str) {
        match watch::wait_until_equal(&self.cast, PATIENCE) {
            Some(after) => report.holds(true, format!("{told}: all equal after {:.2} s", after.as_secs_f64())),
            None => report.holds(false, format!("{told}: not equal after {} s", PATIENCE.as_secs())),
        }
    }

    /// Opens a ticket in the shared structure and remembers it.
    pub fn opening(&self, title: &str) -> Value {
        json!({ "title": title, "description": title, "structure": self.shared })
    }
}

const LOGINS: [(&str, &str, &str); 4] = [
    ("check.paris", "Technicien Paris", "technician"),
    ("check.dakar", "Technicienne Dakar", "technician"),
    ("check.montreal", "Technicien Montréal", "technician"),
    ("check.requester", "Demandeuse Dakar", "user"),
];

fn enrol(cast: &Cast, shared: &str) -> anyhow::Result<Vec<String>> {
    let api = cast.members[0].api();
    for (login, name, role) in LOGINS {
        let mut user = json!({ "login": login, "name": name, "password": new_password()?, "role": role });
        if role == "user" {
            user["structure"] = shared.into();
        }
        api.post("/api/v1/users", &user)?;
    }
    Ok(LOGINS.iter().map(|(_, name, _)| (*name).to_owned()).collect())
}

type Doors = (Vec<[Person; 2]>, Vec<Api>);

fn doors(cast: &Cast, names: &[String]) -> anyhow::Result<Doors> {
    let mut people = Vec::new();
    let mut requester = Vec::new();
    for (at, member) in cast.members.iter().enumerate() {
        let token = |login: &str| member.program(&["token", "create", "--login", login], "");
        let api = member.api();
        let who = api.get("/api/v1/session")?;
        let admin = Person { name: text(&who["user"], "name"), api: api.clone() };
        let technician = Person { name: names[at].clone(), api: api.with_token(&token(LOGINS[at].0)?) };
        people.push([admin, technician]);
        requester.push(api.with_token(&token(LOGINS[3].0)?));
    }
    Ok((people, requester))
}

/// Tickets that all three sites hold.
fn early(api: &Api) -> anyhow::Result<Vec<Value>> {
    let all = api.all("sort=number")?;
    let early: Vec<Value> = all.into_iter().filter(|ticket| ticket["structure"]["label"] == SHARED).collect();
    early.len().ge(&super::split::EARLY).then_some(early).context("there are too few tickets for the check")
}
