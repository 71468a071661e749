//! What the steps of the check share: the three sites, their people, and what was acknowledged there.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use tests::sites::api::{Api, text};
use tests::sites::cluster::{Cluster, Member, structures};
use tests::sites::deployment::Deployment;
use tests::sites::report::Report;
use tests::sites::setup::{SHARED, new_password};
use tests::sites::watch;

use super::model::Model;
use crate::demo_data;

/// How long the sites may take to converge when all links are up.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// An acknowledged edit, as the history of its ticket must show it.
#[derive(Debug, Clone)]
pub struct Edit {
    /// The ticket's id.
    pub ticket: String,
    /// The field, as the history names it.
    pub field: String,
    /// The value after the edit.
    pub after: String,
    /// The code of the site.
    pub site: &'static str,
    /// The author's name.
    pub author: String,
}

/// A user at one site.
#[derive(Clone)]
pub struct Person {
    /// The name that histories show.
    pub name: String,
    /// An API client of the site with their token.
    pub api: Api,
}

/// The state that the steps share.
pub struct Fixture {
    /// The three sites.
    pub cluster: Cluster,
    /// The id of the structure that all sites hold.
    pub shared: String,
    /// Tickets of that structure from before the split.
    pub existing: Vec<Value>,
    /// For each site an administrator and a technician.
    pub people: Vec<[Person; 2]>,
    /// For each site an API client of the same requester, who has no other role.
    pub requesters: Vec<Api>,
    /// What the reference model expects.
    pub model: Model,
    /// The acknowledged edits.
    pub edits: Vec<Edit>,
    /// Id and number of each ticket made during the check.
    pub made: Vec<(String, String)>,
}

impl Fixture {
    /// Creates the sites, fills them, and waits until they converge.
    pub fn new(folder: &Path, port: Option<u16>, report: &mut Report) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let deployment = Deployment::prepare(folder, port, false)?;
        let (cluster, _) = Cluster::open_or_create(deployment)?;
        report.check(true, format!("three sites run and have joined, {:.1} s", begun.elapsed().as_secs_f64()));
        demo_data::fill(&cluster)?;
        let shared = structures(&cluster.members[0].api())?.0;
        let names = enrol(&cluster, &shared)?;
        let equal = watch::wait_until_converged(&cluster, TIMEOUT);
        report.check(equal.is_some(), format!("all equal after the first {} tickets", demo_data::TICKETS));
        let (people, requesters) = log_in(&cluster, &names)?;
        let existing = existing(&cluster.members[0].api())?;
        let (model, edits, made) = (Model::default(), Vec::new(), Vec::new());
        Ok(Self { cluster, shared, existing, people, requesters, model, edits, made })
    }

    /// The site at an index of `SITES`.
    pub fn site(&self, at: usize) -> &Member {
        &self.cluster.members[at]
    }

    /// Waits until all sites have converged and reports it; `what` begins the line.
    pub fn check_converged(&self, report: &mut Report, what: &str) {
        match watch::wait_until_converged(&self.cluster, TIMEOUT) {
            Some(after) => report.check(true, format!("{what}: all equal after {:.2} s", after.as_secs_f64())),
            None => report.check(false, format!("{what}: not equal after {} s", TIMEOUT.as_secs())),
        }
    }

    /// The request body that opens a ticket in the shared structure.
    pub fn new_ticket(&self, title: &str) -> Value {
        json!({ "title": title, "description": title, "structure": self.shared })
    }
}

/// Login, name and role: the technician of each site, and the requester.
const LOGINS: [(&str, &str, &str); 4] = [
    ("check.paris", "Technicien Paris", "technician"),
    ("check.dakar", "Technicienne Dakar", "technician"),
    ("check.montreal", "Technicien Montréal", "technician"),
    ("check.requesters", "Demandeuse Dakar", "user"),
];

fn enrol(cluster: &Cluster, shared: &str) -> anyhow::Result<Vec<String>> {
    let api = cluster.members[0].api();
    for (login, name, role) in LOGINS {
        let mut user =
            json!({ "login": login, "name": name, "password": new_password()?, "role": role, "sites": ["*"] });
        if role == "user" {
            user["structure"] = shared.into();
        }
        api.post("/api/v1/users", &user)?;
    }
    Ok(LOGINS.iter().map(|(_, name, _)| (*name).to_owned()).collect())
}

/// For each site an administrator and a technician; for each site the requester.
type Users = (Vec<[Person; 2]>, Vec<Api>);

fn log_in(cluster: &Cluster, names: &[String]) -> anyhow::Result<Users> {
    let mut people = Vec::new();
    let mut requesters = Vec::new();
    for (at, member) in cluster.members.iter().enumerate() {
        let token = |login: &str| member.program(&["token", "create", "--login", login], "");
        let api = member.api();
        let who = api.get("/api/v1/session")?;
        let admin = Person { name: text(&who["user"], "name"), api: api.clone() };
        let technician = Person { name: names[at].clone(), api: api.with_token(&token(LOGINS[at].0)?) };
        people.push([admin, technician]);
        requesters.push(api.with_token(&token(LOGINS[3].0)?));
    }
    Ok((people, requesters))
}

/// Tickets that all three sites hold.
fn existing(api: &Api) -> anyhow::Result<Vec<Value>> {
    let all = api.list_all("sort=number")?;
    let existing: Vec<Value> = all.into_iter().filter(|ticket| ticket["structure"]["label"] == SHARED).collect();
    existing.len().ge(&super::split::EXISTING).then_some(existing).context("there are too few tickets for the check")
}
