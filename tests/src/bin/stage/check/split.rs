//! The split: all sites are isolated, and people work at each. A third of the edits are to the same fields at all
//! sites.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use tests::sites::api::{Api, text};
use tests::sites::report::Report;
use tests::sites::setup::SITES;

use super::fixture::{Edit, Fixture, Person};
use super::model::Model;

/// The number of tickets opened at each site.
const NEW_TICKETS: usize = 100;
/// The number of edits at each site.
const EDITS: usize = 200;
/// How many of these are to the same fields of the same tickets at all three sites.
const SHARED_EDITS: usize = EDITS / 3;
/// The number of tickets from before the split that one site alone edits, each in several fields.
const OWN_TICKETS: usize = 11;
/// The number of tickets from before the split that the check needs.
pub const EXISTING: usize = SHARED_EDITS + 1 + 3 * OWN_TICKETS;
/// The number of concurrent writers at each site.
const WRITERS: usize = 4;

/// Cuts all links of every site by its own code and checks that each site reports being alone.
pub fn cut(fixture: &mut Fixture, report: &mut Report) -> anyhow::Result<()> {
    let open: usize =
        (0..3).map(|at| fixture.site(at).api().list_all("conflict=true").map_or(1, |found| found.len())).sum();
    report.check(open == 0, "nothing is to settle before the split");
    cut_all(fixture)?;
    for at in 0..3 {
        let member = fixture.site(at);
        let begun = Instant::now();
        let mut since = None;
        while since.is_none() && begun.elapsed() < Duration::from_secs(5) {
            since = member.api().sync()?["alone_since"].as_str().map(str::to_owned);
        }
        let since_text = since.as_deref().unwrap_or("nothing").to_owned();
        report.check(since.is_some(), format!("{} says: alone since {since_text}", member.spec.name));
    }
    Ok(())
}

/// Cuts all links of every site by its own code.
pub fn cut_all(fixture: &Fixture) -> anyhow::Result<()> {
    fixture.cluster.members.iter().try_for_each(|member| member.api().set_link(member.spec.code, false))
}

/// What one writer wrote.
#[derive(Default)]
pub struct Written {
    model: Model,
    edits: Vec<Edit>,
    made: Vec<(String, String)>,
    /// The number of requested edits, including those that change nothing.
    requested: usize,
    /// The errors of failed requests.
    errors: Vec<String>,
}

/// Lets several people at each site work concurrently.
pub fn work(fixture: &mut Fixture, report: &mut Report) -> anyhow::Result<()> {
    let begun = Instant::now();
    let all: Vec<Written> = std::thread::scope(|scope| {
        let fixture = &*fixture;
        let writers = (0..3).flat_map(|at| (0..WRITERS).map(move |writer| (at, writer)));
        let running: Vec<_> =
            writers.map(|(at, writer)| scope.spawn(move || run_writer(fixture, at, writer))).collect();
        running.into_iter().map(|one| one.join().unwrap_or_default()).collect()
    });
    let seconds = begun.elapsed().as_secs_f64();
    let errors: Vec<&String> = all.iter().flat_map(|written| &written.errors).collect();
    let (made, requested) = (
        all.iter().map(|written| written.made.len()).sum::<usize>(),
        all.iter().map(|written| written.requested).sum::<usize>(),
    );
    report.check(
        made == 3 * NEW_TICKETS && requested == 3 * EDITS,
        format!("{made} tickets made and {requested} edits in {seconds:.1} s"),
    );
    let first = errors.first().map_or(String::new(), |first| format!(", first: {first}"));
    report.check(errors.is_empty(), format!("{} refused{first}", errors.len()));
    for written in all {
        fixture.model.merge(written.model);
        fixture.edits.extend(written.edits);
        fixture.made.extend(written.made);
    }
    ticket_lifecycle(fixture, report)?;
    two_priorities(fixture, report)
}

fn run_writer(fixture: &Fixture, at: usize, writer: usize) -> Written {
    let mut written = Written::default();
    let person = &fixture.people[at][writer % 2];
    let code = SITES[at].code;
    for number in (writer..SHARED_EDITS).step_by(WRITERS) {
        let ticket = &fixture.existing[number];
        let field = ["impact", "urgency", "priority", "title"][number % 4];
        for value in same_field_values(field, number, at) {
            written.set(person, code, ticket, field, &value);
        }
        written.requested += 1;
    }
    for number in (writer..NEW_TICKETS).step_by(WRITERS) {
        let title = format!("{} {number} : panne au poste / desk {number} is down", SITES[at].name);
        let opened = person.api.open(&fixture.new_ticket(&title));
        let Some(opened) = written.ok_or_note(opened) else { continue };
        let (id, number_given) = (text(&opened, "id"), text(&opened, "number"));
        written.record(person, code, &id, "created", &number_given);
        written.made.push((id, number_given));
        written.edit_new(person, code, &opened, number);
    }
    let own = SHARED_EDITS + 1 + at * OWN_TICKETS;
    for (edit, number) in
        (0..EDITS - SHARED_EDITS - NEW_TICKETS).enumerate().filter(|(edit, _)| edit % WRITERS == writer)
    {
        let ticket = &fixture.existing[own + number % OWN_TICKETS];
        let (field, value) = match edit / OWN_TICKETS {
            0 => ("impact", if ticket["impact"] == "high" { "low" } else { "high" }.to_owned()),
            1 => ("urgency", if ticket["urgency"] == "high" { "low" } else { "high" }.to_owned()),
            2 => ("title", format!("{} ({code})", text(ticket, "title"))),
            _ => ("priority", "5".to_owned()),
        };
        written.set(person, code, ticket, field, &value);
        written.requested += 1;
    }
    written
}

/// The values that a site writes one after the other to a field that the others write too: sometimes the same at all
/// sites, sometimes the value that it has already, sometimes two values.
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

impl Written {
    fn ok_or_note(&mut self, answer: anyhow::Result<Value>) -> Option<Value> {
        answer.map_err(|error| self.errors.push(format!("{error:#}"))).ok()
    }

    fn record(&mut self, person: &Person, site: &'static str, ticket: &str, field: &str, after: &str) {
        let (ticket, field, after) = (ticket.to_owned(), field.to_owned(), after.to_owned());
        self.edits.push(Edit { ticket, field, after, site, author: person.name.clone() });
    }

    /// Sets a field of an existing ticket, at the site and in the model.
    fn set(&mut self, person: &Person, site: &'static str, ticket: &Value, field: &str, value: &str) {
        let id = text(ticket, "id");
        // A priority that nobody has set is not stored, whatever the default is.
        let before = if field == "priority" { "none".to_owned() } else { text(ticket, field) };
        let given = match (field, value.parse::<u8>()) {
            ("priority", Ok(number)) => json!({ "priority": number }),
            _ => json!({ field: value }),
        };
        let answer = person.api.change(&id, &given);
        if self.ok_or_note(answer).is_some() && self.model.set(site, &id, field, &before, value) {
            self.record(person, site, &id, field, value);
        }
    }

    /// One edit of a ticket that was just opened here.
    fn edit_new(&mut self, person: &Person, site: &'static str, ticket: &Value, number: usize) {
        self.requested += 1;
        let id = text(ticket, "id");
        match number % 4 {
            0 => self.set(person, site, ticket, "impact", "high"),
            1 => {
                let body = format!("Réponse {number} / reply {number}");
                let answer = person.api.comment(&id, &body, "public");
                if self.ok_or_note(answer).is_some() {
                    self.record(person, site, &id, "comment", &body);
                }
            }
            2 => {
                let answer = person.api.advance(&id, "in_progress", None);
                if self.ok_or_note(answer).is_some() {
                    self.record(person, site, &id, "status", "in_progress");
                }
            }
            _ => self.set(person, site, ticket, "title", &format!("{} !", text(ticket, "title"))),
        }
    }
}

/// One ticket passes through all statuses in Dakar.
fn ticket_lifecycle(fixture: &mut Fixture, report: &mut Report) -> anyhow::Result<()> {
    let person = fixture.people[1][1].clone();
    let mut written = Written::default();
    let opened = person.api.open(&fixture.new_ticket("Imprimante de Dakar : bac vide / out of paper"))?;
    let (id, number) = (text(&opened, "id"), text(&opened, "number"));
    for (body, visibility, field) in
        [("Nous passons avant midi.", "public", "comment"), ("Clé dans le tiroir.", "internal", "comment/internal")]
    {
        person.api.comment(&id, body, visibility)?;
        written.record(&person, "DAK", &id, field, body);
    }
    let steps = ["in_progress", "pending", "resolved", "closed", "in_progress", "closed"];
    for to in steps {
        let reason = (to == "pending").then_some("Papier commandé");
        let moved = person.api.advance(&id, to, reason)?;
        written.record(&person, "DAK", &id, "status", to);
        if to == "pending" {
            report.check(moved["status_reason"] == "Papier commandé", "waiting says why");
        }
    }
    let end = person.api.get(&format!("/api/v1/tickets/{id}"))?;
    let whole =
        end["status"] == "closed" && end["reopen_count"] == 1 && end["comments"].as_array().map(Vec::len) == Some(2);
    report.check(
        whole,
        format!("{number} lived its whole life in Dakar: open, reply, note, waiting, solved, closed, reopened, closed"),
    );
    fixture.edits.extend(written.edits);
    fixture.made.push((id, number));
    Ok(())
}

/// Two people set different priorities on one ticket, at two sites.
fn two_priorities(fixture: &mut Fixture, report: &mut Report) -> anyhow::Result<()> {
    let ticket = fixture.existing.get(SHARED_EDITS).context("no ticket for two priorities")?.clone();
    let mut written = Written::default();
    written.set(&fixture.people[0][1], "PAR", &ticket, "priority", "1");
    written.set(&fixture.people[1][1], "DAK", &ticket, "priority", "4");
    report.check(
        written.errors.is_empty(),
        format!("{}: priority 1 in Paris, priority 4 in Dakar", text(&ticket, "number")),
    );
    fixture.model.merge(written.model);
    fixture.edits.extend(written.edits);
    Ok(())
}

/// The administrator's API client of each site.
pub fn admin_apis(fixture: &Fixture) -> Vec<Api> {
    fixture.cluster.members.iter().map(tests::sites::cluster::Member::api).collect()
}
