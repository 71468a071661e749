//! The first data of a new demo: people, and tickets in French and English with replies, notes and status changes.
//!
//! Everything is chosen from lists by a seed, so that all demos look alike; names are combined from lists and belong to
//! nobody.

mod words;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tests::sites::api::{Api, text};
use tests::sites::cluster::{Cluster, Member, structures};
use tests::sites::setup::{RESTRICTED, SITES, new_password};

use words::{FIRST_NAMES, LAST_NAMES, NOTES, REPLIES, REQUESTS, Request, WAITING};

/// The number of tickets of a new demo.
pub const TICKETS: usize = 126;
/// One in so many tickets belongs to the structure that Dakar lacks.
const RESTRICTED_EVERY: usize = 7;
/// The number of people to enrol.
const PEOPLE: usize = 14;
/// The path of the real incident log from the repository's root; not part of the repository.
const INCIDENT_LOG: &str = "../shared/data/incident-log/incident_event_log.csv";

/// A seeded random number generator.
struct Random(ChaCha8Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }
    fn below(&mut self, limit: usize) -> usize {
        self.0.next_u32() as usize % limit.max(1)
    }
    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// A person of the demo, as tickets refer to them.
#[derive(Debug, Clone)]
struct Person {
    id: String,
    /// Tickets are assigned to these people; the others are requesters.
    is_assignee: bool,
}

/// Creates people and tickets, at all three sites concurrently.
pub fn fill(cluster: &Cluster) -> anyhow::Result<()> {
    let people = enrol(cluster)?;
    let errors = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (at, member) in cluster.members.iter().enumerate() {
            let (people, errors) = (&people, &errors);
            scope.spawn(move || {
                let done =
                    (at..TICKETS).step_by(SITES.len()).try_for_each(|number| write_ticket(member, people, number));
                if let Err(error) = done {
                    errors.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(error);
                }
            });
        }
    });
    let errors = errors.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    errors.into_iter().next().map_or(Ok(()), Err)
}

/// Enrols the people at Paris and waits until every site lists them.
fn enrol(cluster: &Cluster) -> anyhow::Result<Vec<Person>> {
    let api = cluster.members[0].api();
    let structures = structures(&api)?;
    let mut random = Random::new(7);
    for number in 0..PEOPLE {
        let (first, last) = (FIRST_NAMES[number % FIRST_NAMES.len()], random.one_of(LAST_NAMES));
        let login = schema::fold::fold(&format!("{first}.{last}")).replace(' ', "");
        let role = if number % 2 == 0 { "technician" } else { "user" };
        let mut user = json!({ "login": login, "name": format!("{first} {last}"), "password": new_password()?, "role": role, "sites": ["*"] });
        if number % 4 != 0 {
            user["structure"] = structures.0.clone().into();
        }
        let enrolled = api.post("/api/v1/users", &user).context("somebody could not be enrolled")?;
        drop(enrolled);
    }
    let wanted = PEOPLE + 1;
    for member in &cluster.members {
        let known = || member.api().get("/api/v1/people?limit=100").map(|people| count(&people) >= wanted);
        let begun = std::time::Instant::now();
        while !known()? && begun.elapsed().as_secs() < 20 {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
    let people = api.get("/api/v1/people?limit=100")?;
    let ids = people["items"].as_array().into_iter().flatten().map(|person| text(person, "id"));
    Ok(ids.enumerate().map(|(at, id)| Person { id, is_assignee: at % 2 == 0 }).collect())
}

fn count(list: &Value) -> usize {
    list["items"].as_array().map_or(0, Vec::len)
}

/// Opens ticket `number` and processes it.
fn write_ticket(member: &Member, people: &[Person], number: usize) -> anyhow::Result<()> {
    let api = member.api();
    let mut random = Random::new(1000 + number as u64);
    let structures = held_structures(member, &api)?;
    let restricted = structures.len() > 1 && number % RESTRICTED_EVERY == 3;
    let pool: Vec<&Request> = REQUESTS.iter().filter(|request| request.restricted == restricted).collect();
    let Request { title, description, kind, .. } = *random.one_of(&pool);
    let room = random.one_of(words::ROOMS);
    let requesters: Vec<&Person> = people.iter().filter(|person| !person.is_assignee).collect();
    let levels = ["high", "medium", "medium", "low"];
    let mut ticket = json!({
        "title": title.replace("{}", room), "description": description.replace("{}", room), "kind": kind,
        "impact": random.one_of(&levels), "urgency": random.one_of(&levels),
        "structure": structures[usize::from(restricted)],
    });
    if !requesters.is_empty() {
        ticket["requester"] = random.one_of(&requesters).id.clone().into();
    }
    let opened = api.open(&ticket)?;
    process_ticket(&api, &text(&opened, "id"), people, &mut random)
}

/// Assigns, answers and perhaps closes a ticket; how far it gets is random.
fn process_ticket(api: &Api, id: &str, people: &[Person], random: &mut Random) -> anyhow::Result<()> {
    let assignees: Vec<&Person> = people.iter().filter(|person| person.is_assignee).collect();
    let stage = random.below(6);
    if stage == 0 || assignees.is_empty() {
        return Ok(());
    }
    api.change(id, &json!({ "assignee": random.one_of(&assignees).id }))?;
    api.advance(id, "in_progress", None)?;
    if stage > 1 {
        api.comment(id, random.one_of(REPLIES), "public")?;
    }
    if stage == 2 {
        api.comment(id, random.one_of(NOTES), "internal")?;
        api.advance(id, "pending", Some(random.one_of(WAITING)))?;
    }
    if stage > 3 {
        api.advance(id, "resolved", None)?;
    }
    if stage > 4 {
        api.advance(id, "closed", None)?;
    }
    Ok(())
}

/// The ids of the structures whose tickets a member holds, the shared one first.
fn held_structures(member: &Member, api: &Api) -> anyhow::Result<Vec<String>> {
    let (shared, restricted) = structures(api)?;
    Ok(if member.spec.structures.contains(&RESTRICTED) { vec![shared, restricted] } else { vec![shared] })
}

/// The real incident log: `ARCHIPEL_INCIDENT_LOG`, or beside the repository. `None`: it is not on this machine.
pub fn incident_log() -> Option<PathBuf> {
    let named = std::env::var_os("ARCHIPEL_INCIDENT_LOG").map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|root| root.join(INCIDENT_LOG));
    named.or(root).filter(|path| path.is_file())
}

/// Imports the rows of the log at every site concurrently, each its own incidents; returns their reports as JSON.
/// `until`: the last line to import; `None`: all lines.
pub fn import(cluster: &Cluster, file: &Path, until: Option<u64>) -> anyhow::Result<Vec<Value>> {
    let file = file.to_str().context("the log's name is no text")?;
    let until = until.map(|line| line.to_string());
    let mut arguments = vec!["import", "incident-log", file];
    if let Some(line) = &until {
        arguments.extend(["--until", line]);
    }
    let arguments = &arguments;
    std::thread::scope(|scope| {
        let running: Vec<_> =
            cluster.members.iter().map(|member| scope.spawn(move || member.program(arguments, ""))).collect();
        let outputs = running.into_iter().map(|one| one.join().map_err(|_| anyhow::anyhow!("an import panicked"))?);
        outputs.map(|output| Ok(serde_json::from_str(&output?)?)).collect()
    })
}
