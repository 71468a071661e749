//! The first tickets of a new demo: people, requests in French and English, replies, notes, some of it under way.
//!
//! Everything is drawn from lists by a seed, so that two demos look alike; names are put together from lists and
//! mean nobody.

mod words;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tests::sites::api::{Api, text};
use tests::sites::cast::{Cast, Member, structures};
use tests::sites::place::{APART, PLACES, new_password};

use words::{FIRST_NAMES, LAST_NAMES, NOTES, REPLIES, REQUESTS, Request, WAITING};

/// Tickets of a new demo.
pub const TICKETS: usize = 126;
/// Every so many tickets, one belongs to the structure that Dakar lacks.
const APART_EVERY: usize = 7;
/// People who ask and people who help.
const PEOPLE: usize = 14;
/// Where the real log stands from the project's root, if somebody has it.
const LOG: &str = "../shared/data/incident-log/incident_event_log.csv";

/// Draws from lists.
struct Dice(ChaCha8Rng);

impl Dice {
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

/// Somebody of the demo, as tickets refer to them.
#[derive(Debug, Clone)]
struct Person {
    id: String,
    helps: bool,
}

/// Writes people and tickets, at all three sites at once.
pub fn fill(cast: &Cast) -> anyhow::Result<()> {
    let people = enrol(cast)?;
    let refused = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (at, member) in cast.members.iter().enumerate() {
            let (people, refused) = (&people, &refused);
            scope.spawn(move || {
                let done = (at..TICKETS).step_by(PLACES.len()).try_for_each(|number| one(member, people, number));
                if let Err(error) = done {
                    refused.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(error);
                }
            });
        }
    });
    let refused = refused.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    refused.into_iter().next().map_or(Ok(()), Err)
}

/// Enrols the people at Paris and waits until every site knows their names.
fn enrol(cast: &Cast) -> anyhow::Result<Vec<Person>> {
    let api = cast.members[0].api();
    let structures = structures(&api)?;
    let mut dice = Dice::new(7);
    for number in 0..PEOPLE {
        let (first, last) = (FIRST_NAMES[number % FIRST_NAMES.len()], dice.one_of(LAST_NAMES));
        let login = schema::fold::fold(&format!("{first}.{last}")).replace(' ', "");
        let role = if number % 2 == 0 { "technician" } else { "user" };
        let mut user =
            json!({ "login": login, "name": format!("{first} {last}"), "password": new_password()?, "role": role });
        if number % 4 != 0 {
            user["structure"] = structures.0.clone().into();
        }
        let enrolled = api.post("/api/v1/users", &user).context("somebody could not be enrolled")?;
        drop(enrolled);
    }
    let wanted = PEOPLE + 1;
    for member in &cast.members {
        let known = || member.api().get("/api/v1/people?limit=100").map(|people| count(&people) >= wanted);
        let begun = std::time::Instant::now();
        while !known()? && begun.elapsed().as_secs() < 20 {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
    let people = api.get("/api/v1/people?limit=100")?;
    let ids = people["items"].as_array().into_iter().flatten().map(|person| text(person, "id"));
    Ok(ids.enumerate().map(|(at, id)| Person { id, helps: at % 2 == 0 }).collect())
}

fn count(list: &Value) -> usize {
    list["items"].as_array().map_or(0, Vec::len)
}

/// Writes one ticket with its replies and moves.
fn one(member: &Member, people: &[Person], number: usize) -> anyhow::Result<()> {
    let api = member.api();
    let mut dice = Dice::new(1000 + number as u64);
    let structures = structures_at(member, &api)?;
    let apart = structures.len() > 1 && number % APART_EVERY == 3;
    let pool: Vec<&Request> = REQUESTS.iter().filter(|request| request.apart == apart).collect();
    let Request { title, description, kind, .. } = *dice.one_of(&pool);
    let place = dice.one_of(words::ROOMS);
    let asks: Vec<&Person> = people.iter().filter(|person| !person.helps).collect();
    let levels = ["high", "medium", "medium", "low"];
    let mut ticket = json!({
        "title": title.replace("{}", place), "description": description.replace("{}", place), "kind": kind,
        "impact": dice.one_of(&levels), "urgency": dice.one_of(&levels),
        "structure": structures[usize::from(apart)],
    });
    if !asks.is_empty() {
        ticket["requester"] = dice.one_of(&asks).id.clone().into();
    }
    let opened = api.open(&ticket)?;
    live(&api, &text(&opened, "id"), people, &mut dice)
}

/// A ticket's first days: taken, answered, noted, perhaps done.
fn live(api: &Api, id: &str, people: &[Person], dice: &mut Dice) -> anyhow::Result<()> {
    let helps: Vec<&Person> = people.iter().filter(|person| person.helps).collect();
    let stage = dice.below(6);
    if stage == 0 || helps.is_empty() {
        return Ok(());
    }
    api.change(id, &json!({ "assignee": dice.one_of(&helps).id }))?;
    api.advance(id, "in_progress", None)?;
    if stage > 1 {
        api.comment(id, dice.one_of(REPLIES), "public")?;
    }
    if stage == 2 {
        api.comment(id, dice.one_of(NOTES), "internal")?;
        api.advance(id, "pending", Some(dice.one_of(WAITING)))?;
    }
    if stage > 3 {
        api.advance(id, "resolved", None)?;
    }
    if stage > 4 {
        api.advance(id, "closed", None)?;
    }
    Ok(())
}

/// The structures whose tickets a member holds, the shared one first.
fn structures_at(member: &Member, api: &Api) -> anyhow::Result<Vec<String>> {
    let (shared, apart) = structures(api)?;
    Ok(if member.place.structures.contains(&APART) { vec![shared, apart] } else { vec![shared] })
}

/// The real log: where the environment says, or beside the project. `None`: nobody has it here.
pub fn incident_log() -> Option<PathBuf> {
    let named = std::env::var_os("ARCHIPEL_INCIDENT_LOG").map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|root| root.join(LOG));
    named.or(root).filter(|path| path.is_file())
}

/// Imports the log's rows up to a line at every site, each its own incidents; answers with the reports.
pub fn import(cast: &Cast, file: &Path, until: Option<u64>) -> anyhow::Result<Vec<Value>> {
    let file = file.to_str().context("the log's name is no text")?;
    let until = until.map(|line| line.to_string());
    let mut arguments = vec!["import", "incident-log", file];
    if let Some(line) = &until {
        arguments.extend(["--until", line]);
    }
    let arguments = &arguments;
    std::thread::scope(|scope| {
        let running: Vec<_> =
            cast.members.iter().map(|member| scope.spawn(move || member.program(arguments, ""))).collect();
        let told = running.into_iter().map(|one| one.join().map_err(|_| anyhow::anyhow!("an import broke off"))?);
        told.map(|told| Ok(serde_json::from_str(&told?)?)).collect()
    })
}
