//! Questions to the read model: lists with filters, search, one ticket whole. Every one takes the reader's
//! reach, so that none can forget it.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension as _, Row};
use schema::access::Reach;
use schema::fold::fold;
use schema::id::{DocId, StructureId};
use schema::ticket::Status;
use schema::time::Timestamp;

/// Most tickets in one answer.
pub const MAX_LIMIT: usize = 200;
/// Most words of a search that count.
const MAX_WORDS: usize = 12;

/// A ticket's row, references as ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketRow {
    /// Document id.
    pub id: String,
    /// Number.
    pub number: String,
    /// Kind's word.
    pub kind: String,
    /// Title.
    pub title: String,
    /// Status's word.
    pub status: String,
    /// Why it is there.
    pub status_reason: Option<String>,
    /// Impact's word.
    pub impact: String,
    /// Urgency's word.
    pub urgency: String,
    /// 1 to 5.
    pub priority: u8,
    /// Set by hand.
    pub by_hand: bool,
    /// Category.
    pub category: Option<String>,
    /// Requester.
    pub requester: Option<String>,
    /// The requester named at birth.
    pub requester_0: Option<String>,
    /// Assignee.
    pub assignee: Option<String>,
    /// Group.
    pub group: Option<String>,
    /// Location.
    pub location: Option<String>,
    /// Structure.
    pub structure: Option<String>,
    /// Home site.
    pub home: Option<String>,
    /// Reference elsewhere.
    pub external: Option<String>,
    /// Milliseconds.
    pub created_at: i64,
    /// Milliseconds.
    pub updated_at: i64,
    /// Reopenings.
    pub reopen_count: i64,
    /// Values to settle.
    pub conflicts: i64,
    /// The number that it had before it was adopted.
    pub adopted_from: Option<String>,
    /// Fields, replies, and notes that the reader may read, that come from changes that do not stand (R19).
    pub taints: i64,
}

const COLUMNS: &str = "t.id, t.number, t.kind, t.title, t.status, t.status_reason, t.impact, t.urgency, t.priority,
 t.by_hand, t.category, t.requester, t.requester_0, t.assignee, t.grp, t.location, t.structure, t.home, t.external,
 t.created_at, t.updated_at, t.reopen_count, t.conflicts, t.taints, t.adopted_from";

fn ticket_row(row: &Row<'_>) -> rusqlite::Result<TicketRow> {
    Ok(TicketRow {
        id: row.get(0)?,
        number: row.get(1)?,
        kind: row.get(2)?,
        title: row.get(3)?,
        status: row.get(4)?,
        status_reason: row.get(5)?,
        impact: row.get(6)?,
        urgency: row.get(7)?,
        priority: row.get(8)?,
        by_hand: row.get(9)?,
        category: row.get(10)?,
        requester: row.get(11)?,
        requester_0: row.get(12)?,
        assignee: row.get(13)?,
        group: row.get(14)?,
        location: row.get(15)?,
        structure: row.get(16)?,
        home: row.get(17)?,
        external: row.get(18)?,
        created_at: row.get(19)?,
        updated_at: row.get(20)?,
        reopen_count: row.get(21)?,
        conflicts: row.get(22)?,
        taints: row.get(23)?,
        adopted_from: row.get(24)?,
    })
}

/// What a list is sorted by; the id settles ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Last change.
    Updated,
    /// Opening.
    Created,
    /// Priority.
    Priority,
    /// Number.
    Number,
    /// Title.
    Title,
}

impl Sort {
    /// The sort with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "updated" => Self::Updated,
            "created" => Self::Created,
            "priority" => Self::Priority,
            "number" => Self::Number,
            "title" => Self::Title,
            _ => return None,
        })
    }

    fn column(self) -> &'static str {
        match self {
            Self::Updated => "t.updated_at",
            Self::Created => "t.created_at",
            Self::Priority => "t.priority",
            Self::Number => "t.number",
            Self::Title => "t.title",
        }
    }

    fn key(self, row: &TicketRow) -> Sql {
        match self {
            Self::Updated => row.updated_at.into(),
            Self::Created => row.created_at.into(),
            Self::Priority => i64::from(row.priority).into(),
            Self::Number => row.number.clone().into(),
            Self::Title => row.title.clone().into(),
        }
    }
}

/// What somebody looks for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Any of these.
    pub statuses: Vec<Status>,
    /// A person, or (`Some(None)`) nobody.
    pub assignee: Option<Option<DocId>>,
    /// Ids of home sites, any of these: one code may have had several machines.
    pub homes: Vec<String>,
    /// A location.
    pub location: Option<String>,
    /// A category.
    pub category: Option<String>,
    /// A group.
    pub group: Option<String>,
    /// A reference in another system.
    pub external: Option<String>,
    /// Only tickets with values to settle.
    pub conflict: bool,
    /// Only tickets that show something of a change that does not stand.
    pub tainted: bool,
    /// Words; each must begin some word of the ticket.
    pub words: Option<String>,
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// The rows.
    pub rows: Vec<TicketRow>,
    /// How many there are in all.
    pub total: u64,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// The text after which a page begins: a sort key and an id.
fn cursor(sort: Sort, row: &TicketRow) -> String {
    match sort.key(row) {
        Sql::Integer(number) => format!("{}:i{number}", row.id),
        Sql::Text(text) => format!("{}:t{text}", row.id),
        Sql::Null | Sql::Real(_) | Sql::Blob(_) => row.id.clone(),
    }
}

fn read_cursor(text: &str) -> Option<(Sql, String)> {
    let (id, key) = text.split_once(':')?;
    let (kind, rest) = key.split_at_checked(1)?;
    match kind {
        "i" => Some((Sql::Integer(rest.parse().ok()?), id.to_owned())),
        "t" => Some((Sql::Text(rest.to_owned()), id.to_owned())),
        _ => None,
    }
}

struct Where {
    from: String,
    conditions: Vec<String>,
    values: Vec<Sql>,
}

impl Where {
    fn and(&mut self, condition: &str, value: impl Into<Sql>) {
        self.values.push(value.into());
        self.conditions.push(condition.replace('?', &format!("?{}", self.values.len())));
    }

    fn any(&mut self, column: &str, values: impl IntoIterator<Item = String>) -> String {
        let mut places = Vec::new();
        for value in values {
            self.values.push(value.into());
            places.push(format!("?{}", self.values.len()));
        }
        format!("{column} IN ({})", places.join(","))
    }

    fn reach(&mut self, reach: &Reach) {
        let structures = self.any("t.structure", reach.structures.iter().map(StructureId::to_string));
        self.values.push(reach.person.to_string().into());
        let own = self.values.len();
        self.conditions.push(format!("({structures} OR t.requester = ?{own} OR t.requester_0 = ?{own})"));
    }
}

/// Tickets that the filter and the reach let through.
pub fn list(
    conn: &Connection,
    reach: &Reach,
    filter: &Filter,
    sort: Sort,
    descending: bool,
    limit: usize,
    after: Option<&str>,
) -> rusqlite::Result<Page> {
    let mut wanted = Where { from: "tickets t".into(), conditions: Vec::new(), values: Vec::new() };
    wanted.reach(reach);
    if !filter.statuses.is_empty() {
        let condition = wanted.any("t.status", filter.statuses.iter().map(|status| status.word().to_owned()));
        wanted.conditions.push(condition);
    }
    if !filter.homes.is_empty() {
        let condition = wanted.any("t.home", filter.homes.iter().cloned());
        wanted.conditions.push(condition);
    }
    match &filter.assignee {
        Some(Some(person)) => wanted.and("t.assignee = ?", person.to_string()),
        Some(None) => wanted.conditions.push("t.assignee IS NULL".into()),
        None => {}
    }
    let columns = [
        ("t.location = ?", &filter.location),
        ("t.category = ?", &filter.category),
        ("t.grp = ?", &filter.group),
        ("t.external = ?", &filter.external),
    ];
    for (condition, value) in columns {
        if let Some(value) = value {
            wanted.and(condition, value.clone());
        }
    }
    if filter.conflict {
        wanted.conditions.push("t.conflicts > 0".into());
    }
    if filter.tainted {
        let notes = wanted.any("t.structure", reach.structures.iter().map(StructureId::to_string));
        let beside = "SELECT ticket FROM comments WHERE tainted AND internal = 1";
        wanted.conditions.push(format!("(t.taints > 0 OR ({notes} AND t.id IN ({beside})))"));
    }
    if let Some(words) = &filter.words {
        search(&mut wanted, reach, words);
    }
    let conditions = wanted.conditions.join(" AND ");
    let count = format!("SELECT count(*) FROM {} WHERE {conditions}", wanted.from);
    let total: i64 =
        conn.prepare_cached(&count)?.query_row(rusqlite::params_from_iter(&wanted.values), |row| row.get(0))?;
    if let Some((key, id)) = after.and_then(read_cursor) {
        let compare = if descending { "<" } else { ">" };
        let (key_at, id_at) = (wanted.values.len() + 1, wanted.values.len() + 2);
        wanted.values.extend([key, id.into()]);
        wanted.conditions.push(format!("({}, t.id) {compare} (?{key_at}, ?{id_at})", sort.column()));
    }
    let order = if descending { "DESC" } else { "ASC" };
    let select = format!(
        "SELECT {COLUMNS} FROM {} WHERE {} ORDER BY {} {order}, t.id {order} LIMIT {}",
        wanted.from,
        wanted.conditions.join(" AND "),
        sort.column(),
        limit + 1
    );
    let mut found = conn.prepare_cached(&select)?;
    let rows = found.query_map(rusqlite::params_from_iter(&wanted.values), ticket_row)?;
    let mut rows: Vec<TicketRow> = rows.collect::<Result<_, _>>()?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    rows.iter_mut().try_for_each(|row| count_notes(conn, reach, row))?;
    let next = rows.last().filter(|_| more).map(|row| cursor(sort, row));
    Ok(Page { rows, total: total as u64, next })
}

/// Counts the notes that do not stand too, if the reader may read them: they are rows of another document.
fn count_notes(conn: &Connection, reach: &Reach, row: &mut TicketRow) -> rusqlite::Result<()> {
    if may_read(reach, row).is_some_and(|structure| reach.notes(&structure)) {
        let count = "SELECT count(*) FROM comments WHERE ticket = ? AND internal = 1 AND tainted";
        row.taints += conn.prepare_cached(count)?.query_row([&row.id], |row| row.get::<_, i64>(0))?;
    }
    Ok(())
}

/// Adds a search: notes count only in structures whose notes the reader may read.
fn search(wanted: &mut Where, reach: &Reach, words: &str) {
    let folded = fold(words);
    let is_word = |word: &&str| word.chars().any(char::is_alphanumeric);
    let terms: Vec<String> = folded
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(is_word)
        .take(MAX_WORDS)
        .map(|word| format!("\"{word}\"*"))
        .collect();
    if terms.is_empty() {
        wanted.conditions.push("0".into());
        return;
    }
    wanted.from = "tickets t".into();
    let both = terms.join(" AND ");
    let public: Vec<String> = terms.iter().map(|term| format!("public : {term}")).collect();
    wanted.values.extend([both.into(), public.join(" AND ").into()]);
    let (both_at, public_at) = (wanted.values.len() - 1, wanted.values.len());
    let notes = wanted.any("t.structure", reach.structures.iter().map(StructureId::to_string));
    wanted.conditions.push(format!(
        "(({notes} AND t.id IN (SELECT ticket FROM search WHERE search MATCH ?{both_at}))
          OR t.id IN (SELECT ticket FROM search WHERE search MATCH ?{public_at}))"
    ));
}

/// Of how many tickets a reader sees something in doubt. Asked with every state of the links, so it reads those alone.
pub fn in_doubt(conn: &Connection, reach: &Reach) -> rusqlite::Result<u64> {
    let select = format!(
        "SELECT {COLUMNS}, 1 FROM tickets t WHERE t.id IN (SELECT id FROM tickets INDEXED BY tickets_tainted WHERE taints > 0)
         UNION ALL SELECT {COLUMNS}, 0 FROM tickets t
         WHERE t.id IN (SELECT ticket FROM comments WHERE tainted AND internal = 1) AND t.taints = 0"
    );
    let mut found = conn.prepare_cached(&select)?;
    let rows = found.query_map([], |row| Ok((ticket_row(row)?, row.get::<_, bool>(25)?)))?;
    let mut count = 0;
    for row in rows {
        let (row, is_public) = row?;
        let structure = may_read(reach, &row);
        count += u64::from(structure.is_some_and(|structure| is_public || reach.notes(&structure)));
    }
    Ok(count)
}

/// The ticket that a document is, or stands beside.
pub fn of_document(conn: &Connection, reach: &Reach, doc: &DocId) -> rusqlite::Result<Option<TicketRow>> {
    let mut beside = conn.prepare_cached("SELECT ticket FROM notes WHERE doc = ?")?;
    let ticket: Option<String> = beside.query_row([doc.to_string()], |row| row.get(0)).optional()?;
    Ok(find(conn, reach, &ticket.unwrap_or_else(|| doc.to_string()))?.map(|found| found.row))
}

/// A comment's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentRow {
    /// Its id.
    pub id: String,
    /// Whether it is an internal note.
    pub internal: bool,
    /// Its text.
    pub body: String,
    /// A user's id; `None` for the site itself.
    pub author: Option<String>,
    /// The site's id.
    pub site: String,
    /// Milliseconds.
    pub at: i64,
    /// The author that the source of an import names.
    pub source: Option<String>,
    /// Whether it comes from a change that does not stand (R19).
    pub tainted: bool,
    /// Whether the clock that gave its time is in doubt (R28).
    pub clock_in_doubt: bool,
}

/// One of several values of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueRow {
    /// The field.
    pub field: String,
    /// 0: the working value.
    pub place: i64,
    /// The value.
    pub value: String,
    /// A user's id; `None` for the site itself.
    pub author: Option<String>,
    /// The site's id.
    pub site: String,
    /// Milliseconds.
    pub at: i64,
}

/// A ticket whole, as far as the reader may see it.
#[derive(Debug, Clone)]
pub struct TicketDetail {
    /// Its row.
    pub row: TicketRow,
    /// The long text.
    pub description: String,
    /// Replies, and notes if the reader may read them.
    pub comments: Vec<CommentRow>,
    /// Values to settle.
    pub values: Vec<ValueRow>,
    /// Fields whose value comes from a change that does not stand, with the last one that does (R19).
    pub tainted: Vec<(String, Option<String>)>,
    /// Whether the reader may read the notes.
    pub notes: bool,
}

/// Tickets that share a number and are named in an alarm.
const DOUBLED_NAMED: usize = 16;
/// Tickets with one number that are looked at: honest sites make one.
const SAME_NUMBER: usize = 16;

/// A ticket by id, otherwise by number (in any case), otherwise by the id or the number that it had before it was adopted;
/// `None` for what the reader may not see.
pub fn find(conn: &Connection, reach: &Reach, name: &str) -> rusqlite::Result<Option<TicketDetail>> {
    let mut candidates = rows_where(conn, "t.id = ?1", name)?;
    if candidates.is_empty() {
        candidates = rows_where(conn, "t.number = upper(?1)", name)?;
    }
    if candidates.is_empty() {
        let before =
            "SELECT doc FROM adopted WHERE document = ?1 UNION SELECT doc FROM adopted WHERE number = upper(?1)";
        candidates = rows_where(conn, &format!("t.id IN ({before})"), name)?;
    }
    let readable =
        candidates.into_iter().find_map(|(row, description)| Some((may_read(reach, &row)?, row, description)));
    let Some((structure, mut row, description)) = readable else {
        return Ok(None);
    };
    count_notes(conn, reach, &mut row)?;
    let notes = reach.notes(&structure);
    let comments = comments(conn, &row.id, notes)?;
    let mut found = conn.prepare_cached(
        "SELECT field, place, value, author, site, at FROM conflicts WHERE ticket = ? ORDER BY field, place",
    )?;
    let values = found.query_map([&row.id], |row| {
        Ok(ValueRow {
            field: row.get(0)?,
            place: row.get(1)?,
            value: row.get(2)?,
            author: row.get(3)?,
            site: row.get(4)?,
            at: row.get(5)?,
        })
    })?;
    let values = values.collect::<Result<_, _>>()?;
    let mut found = conn.prepare_cached("SELECT field, before FROM tainted WHERE ticket = ? ORDER BY field")?;
    let tainted = found.query_map([&row.id], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    Ok(Some(TicketDetail { row, description, comments, values, tainted, notes }))
}

fn rows_where(conn: &Connection, condition: &str, name: &str) -> rusqlite::Result<Vec<(TicketRow, String)>> {
    let select =
        format!("SELECT {COLUMNS}, t.description FROM tickets t WHERE {condition} ORDER BY t.id LIMIT {SAME_NUMBER}");
    let mut found = conn.prepare_cached(&select)?;
    let rows = found.query_map([name], |row| Ok((ticket_row(row)?, row.get(25)?)))?;
    rows.collect()
}

fn comments(conn: &Connection, ticket: &str, notes: bool) -> rusqlite::Result<Vec<CommentRow>> {
    let mut found = conn.prepare_cached(
        "SELECT id, internal, body, author, site, at, source, tainted, clock_in_doubt FROM comments
         WHERE ticket = ?1 AND internal <= ?2 ORDER BY ordered, internal, place",
    )?;
    let rows = found.query_map(rusqlite::params![ticket, notes], |row| {
        Ok(CommentRow {
            id: row.get(0)?,
            internal: row.get(1)?,
            body: row.get(2)?,
            author: row.get(3)?,
            site: row.get(4)?,
            at: row.get(5)?,
            source: row.get(6)?,
            tainted: row.get(7)?,
            clock_in_doubt: row.get(8)?,
        })
    })?;
    rows.collect()
}

/// Tickets that are shown with letters because another one was given their number, as far as the reader may see them: the
/// number with its letters, and when each was opened; the first few.
pub fn doubled_numbers(conn: &Connection, reach: &Reach) -> rusqlite::Result<Vec<(String, i64)>> {
    let select = format!("SELECT {COLUMNS}, t.born FROM tickets t WHERE t.number <> t.given ORDER BY t.number");
    let mut found = conn.prepare_cached(&select)?;
    let rows = found.query_map([], |row| Ok((ticket_row(row)?, row.get::<_, i64>(25)?)))?;
    let mut numbers = Vec::new();
    for found in rows {
        let (row, born) = found?;
        if may_read(reach, &row).is_some() {
            numbers.push((row.number, born));
        }
        if numbers.len() == DOUBLED_NAMED {
            break;
        }
    }
    Ok(numbers)
}

/// When the youngest ticket was opened that is shown with letters because another one was given its number; `None` if
/// none is. Asked with every status, so it reads the index of those tickets alone.
pub fn last_doubled(conn: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let select = "SELECT max(born) FROM tickets INDEXED BY tickets_twice WHERE number <> given";
    let born: Option<i64> = conn.prepare_cached(select)?.query_row([], |row| row.get(0))?;
    Ok(born.map(|born| Timestamp(born as u64)))
}

/// The structure of a ticket, if the reader may see it.
fn may_read(reach: &Reach, row: &TicketRow) -> Option<StructureId> {
    let person = |id: &Option<String>| id.as_ref().and_then(|id| id.parse::<DocId>().ok());
    let structure: StructureId = row.structure.as_ref()?.parse().ok()?;
    let requesters = [person(&row.requester), person(&row.requester_0)];
    reach.ticket(&structure, &requesters).then_some(structure)
}

/// The highest number given out under a site's code, also of what was adopted under another one, 0 if none. One row of an
/// index each, however many tickets there are.
pub fn highest_number(conn: &Connection, code: &str) -> rusqlite::Result<u64> {
    let mut find = conn.prepare_cached(HIGHEST_NUMBER)?;
    let found: Option<i64> = find.query_row([code], |row| row.get(0))?;
    Ok(found.unwrap_or(0) as u64)
}

pub(super) const HIGHEST_NUMBER: &str =
    "SELECT max(counter) FROM (SELECT max(counter) counter FROM tickets WHERE code = ?1
     UNION ALL SELECT max(counter) FROM adopted WHERE code = ?1)";
