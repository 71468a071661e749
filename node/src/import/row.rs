//! One row of an incident log.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use schema::ticket::priority::priority;
use schema::ticket::{Level, Status};
use schema::time::Timestamp;

use super::Skipped;
use crate::clock::from_civil;

/// The state of an incident at a time.
#[derive(Debug, Clone)]
pub struct RowState {
    /// The incident's number in its source.
    pub number: String,
    /// Its place among the incident's rows, from 0.
    pub ordinal: u32,
    /// The whole row, to name its command.
    pub raw: String,
    /// Where it stands.
    pub status: Status,
    /// The source's word where ours says less.
    pub reason: Option<String>,
    /// Who called.
    pub caller: Option<String>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Who wrote this row.
    pub updated_by: String,
    /// When.
    pub updated_at: Timestamp,
    /// Where.
    pub location: String,
    /// Category and subcategory.
    pub category: Option<String>,
    /// What was seen.
    pub symptom: Option<String>,
    /// How bad.
    pub impact: Level,
    /// How soon.
    pub urgency: Level,
    /// The source's priority, 1 to 4.
    pub priority: u8,
    /// The group in charge.
    pub group: Option<String>,
    /// The person in charge.
    pub assignee: Option<String>,
}

/// All rows, by incident in the order of the file.
pub struct Rows {
    /// By the incident's place in the file.
    pub incidents: BTreeMap<usize, Vec<RowState>>,
    /// Rows read.
    pub rows: u64,
    /// Bad rows.
    pub skipped: Vec<Skipped>,
}

const COLUMNS: [&str; 15] = [
    "number",
    "incident_state",
    "caller_id",
    "opened_at",
    "sys_updated_by",
    "sys_updated_at",
    "location",
    "category",
    "subcategory",
    "u_symptom",
    "impact",
    "urgency",
    "priority",
    "assignment_group",
    "assigned_to",
];

/// Reads the table. Errors if its columns are not those of an incident log.
pub fn read(file: &[u8], until: Option<u64>) -> anyhow::Result<Rows> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let headers = reader.headers().context("nothing was imported; the file is no table of text [IMPORT-FORM]")?.clone();
    let mut columns = BTreeMap::new();
    for name in COLUMNS {
        let found = headers.iter().position(|header| header.trim_start_matches('\u{feff}') == name);
        let missing = || format!("nothing was imported; the table has no column {name} [IMPORT-COLUMN]");
        columns.insert(name, found.with_context(missing)?);
    }
    let mut found = Rows { incidents: BTreeMap::new(), rows: 0, skipped: Vec::new() };
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for record in reader.records() {
        let (line, parsed) = match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                if until.is_some_and(|until| line > until) {
                    break;
                }
                (line, parse(&columns, &record))
            }
            Err(error) => (error.position().map_or(0, csv::Position::line), Err(error.into())),
        };
        found.rows += 1;
        match parsed {
            Ok(mut row) => {
                let next = places.len();
                let place = *places.entry(row.number.clone()).or_insert(next);
                let rows = found.incidents.entry(place).or_default();
                row.ordinal = rows.len() as u32;
                rows.push(row);
            }
            Err(error) => found.skipped.push(Skipped { line, why: format!("{error:#}") }),
        }
    }
    Ok(found)
}

fn parse(columns: &BTreeMap<&str, usize>, record: &csv::StringRecord) -> anyhow::Result<RowState> {
    let field = |name: &str| -> anyhow::Result<String> {
        let text = columns.get(name).and_then(|at| record.get(*at)).map(str::trim);
        text.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).with_context(|| format!("no {name}"))
    };
    let known = |name: &str| field(name).map(|text| Some(text).filter(|text| text != "?" && !text.is_empty()));
    let number = field("number")?;
    ensure!(!number.is_empty(), "no number");
    let (status, reason) = state(&field("incident_state")?)?;
    let category = match (known("category")?, known("subcategory")?) {
        (Some(category), Some(subcategory)) => Some(format!("{category} / {subcategory}")),
        (category, subcategory) => category.or(subcategory),
    };
    Ok(RowState {
        number,
        ordinal: 0,
        raw: record.iter().collect::<Vec<_>>().join("\u{1f}"),
        status,
        reason,
        caller: known("caller_id")?,
        opened_at: time(&field("opened_at")?)?,
        updated_by: field("sys_updated_by")?,
        updated_at: time(&field("sys_updated_at")?)?,
        location: field("location")?,
        category,
        symptom: known("u_symptom")?,
        impact: level(&field("impact")?)?,
        urgency: level(&field("urgency")?)?,
        priority: digit(&field("priority")?)
            .filter(|digit| (1..=4).contains(digit))
            .context("priority is not 1 to 4")?,
        group: known("assignment_group")?,
        assignee: known("assigned_to")?,
    })
}

fn state(word: &str) -> anyhow::Result<(Status, Option<String>)> {
    Ok(match word {
        "New" => (Status::New, None),
        "Active" => (Status::InProgress, None),
        "Resolved" => (Status::Resolved, None),
        "Closed" => (Status::Closed, None),
        waiting if waiting.starts_with("Awaiting ") => (Status::Pending, Some(waiting.to_owned())),
        other => anyhow::bail!("incident_state {other:?} is not known"),
    })
}

fn level(text: &str) -> anyhow::Result<Level> {
    match digit(text) {
        Some(1) => Ok(Level::High),
        Some(2) => Ok(Level::Medium),
        Some(3) => Ok(Level::Low),
        _ => anyhow::bail!("{text:?} is not a level from 1 to 3"),
    }
}

fn digit(text: &str) -> Option<u8> {
    text.split(' ').next()?.parse().ok()
}

/// `29-02-2016 01:23`, taken as UTC.
fn time(text: &str) -> anyhow::Result<Timestamp> {
    let read = || {
        let (date, clock) = text.split_once(' ')?;
        let mut date = date.split('-').map(|part| part.parse::<u32>().ok());
        let (day, month, year) = (date.next()??, date.next()??, date.next()??);
        let (hour, minute) = clock.split_once(':')?;
        from_civil(year.into(), month, day, hour.parse().ok()?, minute.parse().ok()?)
    };
    read().with_context(|| format!("{text:?} is not a day-month-year time"))
}

impl RowState {
    /// The priority that the levels give by our table.
    pub fn computed_priority(&self) -> u8 {
        priority(self.impact, self.urgency)
    }
    /// A line for lists: the source has no free text.
    pub fn title(&self) -> String {
        let symptom = self.symptom.as_deref().unwrap_or("Incident");
        format!("{symptom} – {}", self.location)
    }
    /// What else the first row says.
    pub fn description(&self) -> String {
        let category = self.category.as_deref().unwrap_or("?");
        format!("{} · {category} · {}", self.number, self.location)
    }
}
