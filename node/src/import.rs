//! Imports: histories from elsewhere, replayed as edits.
//!
//! The incident log is a table with one row per state of an incident at a time. Locations are not sites:
//! a location belongs to the site whose place among the active sites' codes is its number modulo their
//! count (`?` and names without a number: the first). Each site imports the incidents whose first row is at
//! one of its locations, so that running the import at every site replays the whole log once. Every row is
//! a command named by the row itself: running it again adds nothing.

mod row;

use std::collections::BTreeMap;

use anyhow::Context as _;
use schema::author::Author;
use schema::authority::Standing;
use schema::doc::{DocKind, Edits, Value, View};
use schema::id::scope_of;
use schema::id::{CommandId, DocId, SiteId, StructureId};
use schema::policy::Policy;
use schema::record::CommandName;
use schema::ticket::command::{NewTicket, create, fact, imported, patch};
use schema::ticket::{Field, Status};
use serde::Serialize;
use sync::replica::{Batch, WriteError};

use crate::clock::now;
use crate::commands::directory::by_name;
use crate::commands::{Context, Failure};
use crate::refusal::{Refusal, codes};
use crate::site::Site;
use row::{RowState, read};

/// Where the importer's natural keys come from.
const SOURCE: &str = "incident-log";
/// Bad rows named in a report; more are only counted.
const MAX_NAMED: usize = 100;

/// What came of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Rows read.
    pub rows: u64,
    /// Incidents of this site.
    pub incidents: u64,
    /// Incidents left to other sites, by code.
    pub elsewhere: BTreeMap<String, u64>,
    /// Rows that became edits.
    pub edits: u64,
    /// Rows that were imported before.
    pub known: u64,
    /// Rows that change nothing.
    pub without_change: u64,
    /// Bad rows: line and reason. The rest went in.
    pub skipped: Vec<Skipped>,
    /// How many bad rows there were.
    pub skipped_total: u64,
}

impl Report {
    fn skip(&mut self, skipped: Vec<Skipped>) {
        self.skipped_total += skipped.len() as u64;
        self.skipped.extend(skipped);
        self.skipped.truncate(MAX_NAMED);
    }
}

/// A row that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Line of the file, from 1.
    pub line: u64,
    /// The code of what is wrong with it.
    pub code: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Skipped {
    fn new(line: u64, refusal: &Refusal) -> Self {
        let why = match &refusal.detail {
            Some(detail) => format!("{} {detail}", refusal.code.happened),
            None => refusal.code.happened.to_owned(),
        };
        Self { line, code: refusal.code.word, why }
    }
}

/// Imports the file's rows up to line `until` at this site.
/// Errors: not this table at all; nothing was imported then.
pub async fn incident_log(site: &Site, file: &[u8], until: Option<u64>) -> anyhow::Result<Report> {
    let table = read(file, until, now())?;
    let mut report = Report { rows: table.rows, ..Report::default() };
    report.skip(table.skipped);
    let status = site.status();
    let policy = status.policy.clone().context("this site has not joined an organisation yet")?;
    let structure = policy.structures.iter().min_by_key(|(_, structure)| structure.name.clone()).map(|(id, _)| *id);
    let structure = structure.context("the organisation has no structure")?;
    for rows in table.incidents.into_values() {
        let home = site_of_location(&policy, &rows[0].location);
        if home != Some(status.me) {
            let code = home.and_then(|home| Some(policy.sites.get(&home)?.code.clone()));
            *report.elsewhere.entry(code.unwrap_or_default()).or_default() += 1;
            continue;
        }
        report.incidents += 1;
        let done = site.write(move |batch, context| replay(batch, context, structure, &rows)).await?;
        let done = done.context("an incident could not be written")?;
        report.skip(done.skipped);
        report.edits += done.edits;
        report.known += done.known;
        report.without_change += done.without_change;
    }
    Ok(report)
}

/// The site that a location belongs to.
pub fn site_of_location(policy: &Policy, location: &str) -> Option<SiteId> {
    let mut sites: Vec<_> = policy.sites.values().filter(|site| site.standing == Standing::Active).collect();
    sites.sort_by(|a, b| a.code.cmp(&b.code));
    let number: usize = location.rsplit(' ').next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    sites.get(number.checked_rem(sites.len())?).map(|site| site.site)
}

#[derive(Default)]
struct Done {
    edits: u64,
    known: u64,
    without_change: u64,
    skipped: Vec<Skipped>,
}

/// Replays one incident: the first row opens the ticket, each further one is an edit. A row that the rules of
/// tickets refuse is skipped.
fn replay(
    batch: &mut Batch<'_, '_>,
    context: &mut Context<'_>,
    structure: StructureId,
    rows: &[RowState],
) -> Result<Done, Failure> {
    let mut done = Done::default();
    let scope = scope_of(&context.policy.org, Some(&structure));
    let mut ticket: Option<DocId> = None;
    let mut state = (Status::New, None::<String>);
    let mut last: BTreeMap<Field, Option<String>> = BTreeMap::new();
    for row in rows {
        let fields = fields(batch, context, row)?;
        // What a row changes is what differs from the row before it, whatever the ticket says by now: an import
        // in portions, or one that runs again, writes the same edits.
        let changed = fields.iter().filter(|(field, value)| last.get(field) != Some(value));
        let changed: BTreeMap<_, _> = changed.map(|(field, value)| (*field, value.clone())).collect();
        let code = context.code();
        let me = context.me;
        let before = state.clone();
        let written = batch.command(Author::Site, row_name(row), scope, |command| {
            let id = command.id();
            let mut edits = match ticket {
                None => {
                    let number = context.numbers.next(&code);
                    let given = fields.iter().filter_map(|(field, value)| Some((*field, value.clone()?)));
                    let fields = given.chain([(Field::Title, row.title()), (Field::External, row.number.clone())]);
                    let description = row.description();
                    let opening = NewTicket { number, structure, home: me, description, fields: fields.collect() };
                    let mut edits = create(&opening)?;
                    edits.put("created_at", Value::Int(row.opened_at.0 as i64));
                    edits
                }
                Some(doc) => {
                    let view: View = command.view(&doc)?.ok_or(Failure::Unknown)?;
                    patch(&view, &changed, None)?
                }
            };
            if (row.status, &row.reason) != (before.0, &before.1) {
                edits.puts.extend(fact(&id, before.0, row.status, row.reason.as_deref())?.puts);
            }
            if edits == Edits::default() {
                return Ok(());
            }
            imported(&mut edits, &id, row.updated_at.0, &row.updated_by);
            match ticket {
                None => drop(command.create(DocKind::Ticket, None, &edits)?),
                Some(doc) => drop(command.edit(doc, &edits)?),
            }
            Ok::<_, Failure>(())
        });
        let written = match written {
            Err(Failure::Command(error)) => {
                done.skipped.push(Skipped::new(row.line, &Refusal::with(&codes::ROW_REFUSED, error)));
                continue;
            }
            other => other?,
        };
        match (written.repeated, written.docs.first()) {
            (true, _) => done.known += 1,
            (false, Some(_)) => done.edits += 1,
            (false, None) => done.without_change += 1,
        }
        last = fields;
        ticket = ticket.or_else(|| written.docs.first().copied());
        state = (row.status, row.reason.clone());
    }
    Ok(done)
}

/// The row's references and levels as fields; unknown values clear.
fn fields(
    batch: &mut Batch<'_, '_>,
    context: &Context<'_>,
    row: &RowState,
) -> Result<BTreeMap<Field, Option<String>>, Failure> {
    let mut named = |kind: DocKind, name: &Option<String>| -> Result<Option<String>, Failure> {
        let Some(name) = name else {
            return Ok(None);
        };
        let id = by_name(batch, context, Author::Site, kind, SOURCE, name)?;
        Ok(Some(id.to_string()))
    };
    let by_hand = (row.priority != row.computed_priority()).then(|| row.priority.to_string());
    Ok(BTreeMap::from([
        (Field::Impact, Some(row.impact.word().to_owned())),
        (Field::Urgency, Some(row.urgency.word().to_owned())),
        (Field::Priority, by_hand),
        (Field::Requester, named(DocKind::Person, &row.caller)?),
        (Field::Assignee, named(DocKind::Person, &row.assignee)?),
        (Field::Group, named(DocKind::Group, &row.group)?),
        (Field::Category, named(DocKind::Category, &row.category)?),
        (Field::Location, named(DocKind::Location, &Some(row.location.clone()).filter(|name| name != "?"))?),
    ]))
}

/// The name of a row's command: the row itself, and its place in the incident.
fn row_name(row: &RowState) -> CommandName {
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 import incident-log");
    hasher.update(row.number.as_bytes()).update(&row.ordinal.to_be_bytes()).update(row.raw.as_bytes());
    let mut id = [0; 8];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    CommandName::Given(CommandId(id))
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Write(error) => error,
            other => Self::Refused(other.to_string()),
        }
    }
}
