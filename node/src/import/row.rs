//! One row of an incident log.

use std::collections::BTreeMap;

use schema::ticket::priority::priority;
use schema::ticket::{Level, Status};
use schema::time::Timestamp;

use super::Skipped;
use crate::clock::from_civil;
use crate::refusal::{Code, OrRefuse as _, Refusal, codes};

/// Bytes of a row. A real one has some 400.
const MAX_ROW_BYTES: usize = 64 * 1024;
/// Letters of a field, so that a title made of two still is one.
const MAX_FIELD_CHARS: usize = 200;
/// How far ahead of this site's clock the source's may stand, in milliseconds: it writes local times, taken as UTC.
const MAX_AHEAD_MS: u64 = 24 * 3600 * 1000;
/// Letters of a field shown in a report.
const MAX_SHOWN: usize = 60;

/// The state of an incident at a time.
#[derive(Debug, Clone)]
pub struct RowState {
    /// The incident's number in its source.
    pub number: String,
    /// Its line in the file, from 1.
    pub line: u64,
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

/// Reads the table at the time `now`. A row stands on one line, so that a mistake in it ends with it.
/// Errors if its columns are not those of an incident log.
pub fn read(file: &[u8], until: Option<u64>, now: Timestamp) -> Result<Rows, Refusal> {
    let file = file.strip_prefix("\u{feff}".as_bytes()).unwrap_or(file);
    let lines = file.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut lines = (1..).zip(lines).filter(|(_, line)| !line.is_empty());
    let (_, header) = lines.next().or_refuse(&codes::IMPORT_EMPTY)?;
    let table = Table { now, ..Table::from_header(header)? };
    let mut found = Rows { incidents: BTreeMap::new(), rows: 0, skipped: Vec::new() };
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (line, text) in lines.take_while(|(line, _)| until.is_none_or(|until| *line <= until)) {
        found.rows += 1;
        match split(text).and_then(|record| table.row(line, &record)) {
            Ok(mut row) => {
                let next = places.len();
                let place = *places.entry(row.number.clone()).or_insert(next);
                let rows = found.incidents.entry(place).or_default();
                row.ordinal = rows.len() as u32;
                rows.push(row);
            }
            Err(refusal) => found.skipped.push(Skipped::new(line, &refusal)),
        }
    }
    Ok(found)
}

/// The fields of a line.
fn split(line: &[u8]) -> Result<csv::StringRecord, Refusal> {
    if line.len() > MAX_ROW_BYTES {
        return Err(Refusal::with(&codes::ROW_LONG, format!("{} bytes", line.len())));
    }
    if line.contains(&0) {
        return Err(Refusal::with(&codes::ROW_TEXT, "it holds a zero byte"));
    }
    let text = std::str::from_utf8(line).or_refuse(&codes::ROW_TEXT)?;
    // Every quote that opens closes, and one inside is doubled.
    if text.matches('"').count() % 2 == 1 {
        return Err(Refusal::new(&codes::ROW_QUOTES));
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).buffer_capacity(1024).from_reader(line);
    let record = reader.records().next().transpose().or_refuse(&codes::ROW_TEXT)?;
    Ok(record.unwrap_or_default())
}

/// Where the columns are, and how many.
struct Table {
    columns: BTreeMap<&'static str, usize>,
    width: usize,
    now: Timestamp,
}

impl Table {
    fn from_header(header: &[u8]) -> Result<Self, Refusal> {
        let header = split(header).map_err(|refusal| Refusal { code: &codes::IMPORT_FORM, ..refusal })?;
        let mut columns = BTreeMap::new();
        let mut faults = Vec::new();
        for name in COLUMNS {
            let mut places = header.iter().enumerate().filter(|(_, found)| found.trim() == name);
            match (places.next(), places.next()) {
                (Some((place, _)), None) => drop(columns.insert(name, place)),
                (Some(_), Some(_)) => faults.push(format!("{name} stands there more than once")),
                (None, _) => faults.push(format!("{name} is missing{}", near(name, &header))),
            }
        }
        match faults.is_empty() {
            true => Ok(Self { columns, width: header.len(), now: Timestamp(0) }),
            false => Err(Refusal::with(&codes::IMPORT_COLUMN, faults.join("\n"))),
        }
    }

    fn row(&self, line: u64, record: &csv::StringRecord) -> Result<RowState, Refusal> {
        if record.len() != self.width {
            let counts = format!("{} fields instead of {}", record.len(), self.width);
            return Err(Refusal::with(&codes::ROW_FIELDS, counts));
        }
        let field = |name: &'static str| -> Result<String, Refusal> {
            let text = self.columns.get(name).and_then(|at| record.get(*at)).unwrap_or_default();
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            match text.chars().count() > MAX_FIELD_CHARS {
                true => Err(Refusal::with(&codes::ROW_LONG, format!("{name} has more than {MAX_FIELD_CHARS} letters"))),
                false => Ok(text),
            }
        };
        let known = |name| field(name).map(|text| Some(text).filter(|text| text != "?" && !text.is_empty()));
        let time = |name| -> Result<Timestamp, Refusal> {
            let text = field(name)?;
            let ends = self.now.0.saturating_add(MAX_AHEAD_MS);
            time(&text).filter(|time| time.0 <= ends).ok_or_else(|| misfit(&codes::ROW_TIME, name, &text))
        };
        let level = |name| -> Result<Level, Refusal> {
            let text = field(name)?;
            level(&text).ok_or_else(|| misfit(&codes::ROW_LEVEL, name, &text))
        };
        let number = known("number")?.or_refuse(&codes::ROW_NUMBER)?;
        let word = field("incident_state")?;
        let (status, reason) = state(&word).ok_or_else(|| misfit(&codes::ROW_STATE, "incident_state", &word))?;
        let category = match (known("category")?, known("subcategory")?) {
            (Some(category), Some(subcategory)) => Some(format!("{category} / {subcategory}")),
            (category, subcategory) => category.or(subcategory),
        };
        let priority = field("priority")?;
        let fits = digit(&priority).filter(|digit| (1..=4).contains(digit));
        Ok(RowState {
            number,
            line,
            ordinal: 0,
            raw: record.iter().collect::<Vec<_>>().join("\u{1f}"),
            status,
            reason,
            caller: known("caller_id")?,
            opened_at: time("opened_at")?,
            updated_by: field("sys_updated_by")?,
            updated_at: time("sys_updated_at")?,
            location: field("location")?,
            category,
            symptom: known("u_symptom")?,
            impact: level("impact")?,
            urgency: level("urgency")?,
            priority: fits.ok_or_else(|| misfit(&codes::ROW_LEVEL, "priority", &priority))?,
            group: known("assignment_group")?,
            assignee: known("assigned_to")?,
        })
    }
}

/// A column that is written nearly like a missing one: in another case, or with other separators.
fn near(name: &str, header: &csv::StringRecord) -> String {
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let found = header.iter().find(|found| plain(found) == plain(name));
    found.map(|found| format!("; is it {found:?}?")).unwrap_or_default()
}

fn misfit(code: &'static Code, column: &str, text: &str) -> Refusal {
    let shown: String = text.chars().take(MAX_SHOWN).collect();
    Refusal::with(code, format!("{column} is {shown:?}"))
}

fn state(word: &str) -> Option<(Status, Option<String>)> {
    Some(match word {
        "New" => (Status::New, None),
        "Active" => (Status::InProgress, None),
        "Resolved" => (Status::Resolved, None),
        "Closed" => (Status::Closed, None),
        waiting if waiting.starts_with("Awaiting ") => (Status::Pending, Some(waiting.to_owned())),
        _ => return None,
    })
}

fn level(text: &str) -> Option<Level> {
    match digit(text) {
        Some(1) => Some(Level::High),
        Some(2) => Some(Level::Medium),
        Some(3) => Some(Level::Low),
        Some(_) | None => None,
    }
}

fn digit(text: &str) -> Option<u8> {
    text.split(' ').next()?.parse().ok()
}

/// `29-02-2016 01:23`, taken as UTC.
fn time(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.split_once(' ')?;
    let mut date = date.split('-').map(|part| part.parse::<u32>().ok());
    let (day, month, year) = (date.next()??, date.next()??, date.next()??);
    let (hour, minute) = clock.split_once(':')?;
    let ends = date.next().is_none();
    from_civil(year.into(), month, day, hour.parse().ok()?, minute.parse().ok()?).filter(|_| ends)
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
