//! The split: everybody is cut from everybody, and works. A third of the edits hit the same fields at all sites.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use tests::sites::api::{Api, text};
use tests::sites::place::PLACES;
use tests::sites::report::Report;

use super::model::Model;
use super::world::{Edit, Person, World};

/// Tickets made at each site.
const NEW: usize = 100;
/// Edits at each site.
const EDITS: usize = 200;
/// Edits on the same fields of the same tickets at all three sites.
const SAME: usize = EDITS / 3;
/// Tickets from before the split that one site alone edits, each in three fields.
const OWN: usize = 11;
/// Tickets from before the split that the check needs.
pub const EARLY: usize = SAME + 1 + 3 * OWN;
/// People who write at once at each site.
const WRITERS: usize = 4;

/// Cuts every site by its own name and asks each whether it knows.
pub fn cut(world: &mut World, report: &mut Report) -> anyhow::Result<()> {
    let open: usize = (0..3).map(|at| world.site(at).api().all("conflict=true").map_or(1, |found| found.len())).sum();
    report.holds(open == 0, "nothing is to settle before the split");
    cut_all(world)?;
    for at in 0..3 {
        let member = world.site(at);
        let begun = Instant::now();
        let mut since = None;
        while since.is_none() && begun.elapsed() < Duration::from_secs(5) {
            since = member.api().sync()?["alone_since"].as_str().map(str::to_owned);
        }
        let told = since.as_deref().unwrap_or("nothing").to_owned();
        report.holds(since.is_some(), format!("{} says: alone since {told}", member.place.name));
    }
    Ok(())
}

/// Cuts every site by its own name.
pub fn cut_all(world: &World) -> anyhow::Result<()> {
    world.cast.members.iter().try_for_each(|member| member.api().link(member.place.code, false))
}

/// What one writer did.
#[derive(Default)]
pub struct Done {
    model: Model,
    edits: Vec<Edit>,
    made: Vec<(String, String)>,
    /// Edits of fields asked for, also such that change nothing.
    asked: usize,
    refused: Vec<String>,
}

/// Lets four people at each site work at once.
pub fn work(world: &mut World, report: &mut Report) -> anyhow::Result<()> {
    let begun = Instant::now();
    let all: Vec<Done> = std::thread::scope(|scope| {
        let world = &*world;
        let writers = (0..3).flat_map(|at| (0..WRITERS).map(move |writer| (at, writer)));
        let running: Vec<_> = writers.map(|(at, writer)| scope.spawn(move || one_writer(world, at, writer))).collect();
        running.into_iter().map(|one| one.join().unwrap_or_default()).collect()
    });
    let seconds = begun.elapsed().as_secs_f64();
    let refused: Vec<&String> = all.iter().flat_map(|done| &done.refused).collect();
    let (made, asked) =
        (all.iter().map(|done| done.made.len()).sum::<usize>(), all.iter().map(|done| done.asked).sum::<usize>());
    report.holds(
        made == 3 * NEW && asked == 3 * EDITS,
        format!("{made} tickets made and {asked} edits in {seconds:.1} s"),
    );
    let first = refused.first().map_or(String::new(), |first| format!(", first: {first}"));
    report.holds(refused.is_empty(), format!("{} refused{first}", refused.len()));
    for done in all {
        world.model.merge(done.model);
        world.edits.extend(done.edits);
        world.made.extend(done.made);
    }
    a_life(world, report)?;
    two_priorities(world, report)
}

fn one_writer(world: &World, at: usize, writer: usize) -> Done {
    let mut done = Done::default();
    let person = &world.people[at][writer % 2];
    let code = PLACES[at].code;
    for number in (writer..SAME).step_by(WRITERS) {
        let ticket = &world.early[number];
        let field = ["impact", "urgency", "priority", "title"][number % 4];
        for value in same_field_values(field, number, at) {
            done.set(person, code, ticket, field, &value);
        }
        done.asked += 1;
    }
    for number in (writer..NEW).step_by(WRITERS) {
        let title = format!("{} {number} : panne au poste / desk {number} is down", PLACES[at].name);
        let opened = person.api.open(&world.opening(&title));
        let Some(opened) = done.note(opened) else { continue };
        let (id, number_given) = (text(&opened, "id"), text(&opened, "number"));
        done.wrote(person, code, &id, "created", &number_given);
        done.made.push((id, number_given));
        done.edit_new(person, code, &opened, number);
    }
    let own = SAME + 1 + at * OWN;
    for (edit, number) in (0..EDITS - SAME - NEW).enumerate().filter(|(edit, _)| edit % WRITERS == writer) {
        let ticket = &world.early[own + number % OWN];
        let (field, value) = match edit / OWN {
            0 => ("impact", if ticket["impact"] == "high" { "low" } else { "high" }.to_owned()),
            1 => ("urgency", if ticket["urgency"] == "high" { "low" } else { "high" }.to_owned()),
            2 => ("title", format!("{} ({code})", text(ticket, "title"))),
            _ => ("priority", "5".to_owned()),
        };
        done.set(person, code, ticket, field, &value);
        done.asked += 1;
    }
    done
}

/// What a site writes into a field that the others write too: sometimes the same, sometimes what stands there,
/// sometimes twice.
fn same_field_values(field: &str, number: usize, at: usize) -> Vec<String> {
    let shift = match number % 5 {
        0 => 0,
        1 => at / 2,
        _ => at,
    };
    let one = |shift: usize| match field {
        "title" => format!("Titre {number} revu / title {number} revised, version {shift}"),
        "priority" => ((number / 4 + shift) % 5 + 1).to_string(),
        _ => ["high", "medium", "low"][(number / 4 + shift) % 3].to_owned(),
    };
    if number % 5 == 2 && at == 1 { vec![one(shift + 1), one(shift)] } else { vec![one(shift)] }
}

impl Done {
    fn note(&mut self, answer: anyhow::Result<Value>) -> Option<Value> {
        answer.map_err(|error| self.refused.push(format!("{error:#}"))).ok()
    }

    fn wrote(&mut self, person: &Person, site: &'static str, ticket: &str, field: &str, after: &str) {
        let (ticket, field, after) = (ticket.to_owned(), field.to_owned(), after.to_owned());
        self.edits.push(Edit { ticket, field, after, site, author: person.name.clone() });
    }

    /// Sets a field of a ticket from before the split, in the world and in the model.
    fn set(&mut self, person: &Person, site: &'static str, ticket: &Value, field: &str, value: &str) {
        let id = text(ticket, "id");
        // A priority that nobody has set is not written yet, whatever the table gives.
        let before = if field == "priority" { "none".to_owned() } else { text(ticket, field) };
        let given = match (field, value.parse::<u8>()) {
            ("priority", Ok(number)) => json!({ "priority": number }),
            _ => json!({ field: value }),
        };
        let answer = person.api.change(&id, &given);
        if self.note(answer).is_some() && self.model.set(site, &id, field, &before, value) {
            self.wrote(person, site, &id, field, value);
        }
    }

    /// One edit of a ticket just made here.
    fn edit_new(&mut self, person: &Person, site: &'static str, ticket: &Value, number: usize) {
        self.asked += 1;
        let id = text(ticket, "id");
        match number % 4 {
            0 => self.set(person, site, ticket, "impact", "high"),
            1 => {
                let body = format!("Réponse {number} / reply {number}");
                let answer = person.api.comment(&id, &body, "public");
                if self.note(answer).is_some() {
                    self.wrote(person, site, &id, "comment", &body);
                }
            }
            2 => {
                let answer = person.api.advance(&id, "in_progress", None);
                if self.note(answer).is_some() {
                    self.wrote(person, site, &id, "status", "in_progress");
                }
            }
            _ => self.set(person, site, ticket, "title", &format!("{} !", text(ticket, "title"))),
        }
    }
}

/// A request lives its whole life in Dakar.
fn a_life(world: &mut World, report: &mut Report) -> anyhow::Result<()> {
    let person = world.people[1][1].clone();
    let mut done = Done::default();
    let opened = person.api.open(&world.opening("Imprimante de Dakar : bac vide / out of paper"))?;
    let (id, number) = (text(&opened, "id"), text(&opened, "number"));
    for (body, visibility, field) in
        [("Nous passons avant midi.", "public", "comment"), ("Clé dans le tiroir.", "internal", "comment/internal")]
    {
        person.api.comment(&id, body, visibility)?;
        done.wrote(&person, "DAK", &id, field, body);
    }
    let steps = ["in_progress", "pending", "resolved", "closed", "in_progress", "closed"];
    for to in steps {
        let reason = (to == "pending").then_some("Papier commandé");
        let moved = person.api.advance(&id, to, reason)?;
        done.wrote(&person, "DAK", &id, "status", to);
        if to == "pending" {
            report.holds(moved["status_reason"] == "Papier commandé", "waiting says why");
        }
    }
    let end = person.api.get(&format!("/api/v1/tickets/{id}"))?;
    let whole =
        end["status"] == "closed" && end["reopen_count"] == 1 && end["comments"].as_array().map(Vec::len) == Some(2);
    report.holds(
        whole,
        format!("{number} lived its whole life in Dakar: open, reply, note, waiting, solved, closed, reopened, closed"),
    );
    world.edits.extend(done.edits);
    world.made.push((id, number));
    Ok(())
}

/// Two people set different priorities on one ticket, at two sites.
fn two_priorities(world: &mut World, report: &mut Report) -> anyhow::Result<()> {
    let ticket = world.early.get(SAME).context("no ticket for two priorities")?.clone();
    let mut done = Done::default();
    done.set(&world.people[0][1], "PAR", &ticket, "priority", "1");
    done.set(&world.people[1][1], "DAK", &ticket, "priority", "4");
    report.holds(
        done.refused.is_empty(),
        format!("{}: priority 1 in Paris, priority 4 in Dakar", text(&ticket, "number")),
    );
    world.model.merge(done.model);
    world.edits.extend(done.edits);
    Ok(())
}

/// The administrator's door at each site.
pub fn doors(world: &World) -> Vec<Api> {
    world.cast.members.iter().map(tests::sites::cast::Member::api).collect()
}
