//! Rows of tickets and their notes.

use rusqlite::{Connection, OptionalExtension, params};
use schema::author::Author;
use schema::doc::View;
use schema::id::DocId;
use schema::ticket::view::{Attribution, Comment, comments_of, ticket};

use crate::commands::parts_of_number;

use super::tables::{drop_search_row, search_row};

/// Writes the rows of a ticket's document. Answers with other tickets whose numbers are shown otherwise from now on: one of
/// the same number, and one of the number that it had before.
pub fn write(conn: &Connection, view: &View) -> rusqlite::Result<Vec<DocId>> {
    let mut ticket = ticket(view);
    let id = ticket.id.to_string();
    let (given, born) = (ticket.number.clone(), view.first_at.0 as i64);
    let (code, counter) = parts_of_number(&given).unzip();
    // Of several tickets that were given one number the eldest shows it, the others with letters (docs/decisions/0004).
    let before = first_of(conn, &given, &id)?;
    let is_first = before.as_ref().is_none_or(|(first, other)| (born, &id) < (*first, other));
    if !is_first {
        ticket.number = format!("{given}-{}", letters(&ticket.id));
    }
    let other = before.and_then(|(_, other)| other.parse::<DocId>().ok());
    let left = match given_to(conn, &id)? {
        Some(had) if had != given => first_of(conn, &had, &id)?.and_then(|(_, left)| left.parse::<DocId>().ok()),
        Some(_) | None => None,
    };
    let text = |id: &Option<DocId>| id.map(|id| id.to_string());
    // The requester of the genesis keeps their reading right (access::Reach::ticket).
    let requester_0 = text(&view.facts.requester);
    conn.prepare_cached(
        "INSERT OR REPLACE INTO tickets (id, scope, number, given, code, counter, born, kind, title, description, status,
         status_reason, impact, urgency, priority, by_hand, category, requester, requester_0, assignee, grp, location, structure, home, external,
         created_at, updated_at, reopen_count, conflicts, taints, adopted_from)
         VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    )?
    .execute(params![
        id,
        view.scope.to_string(),
        ticket.number,
        given,
        code,
        counter.map(|counter| counter as i64),
        born,
        ticket.kind,
        ticket.title,
        ticket.description,
        ticket.status.word(),
        ticket.status_reason,
        ticket.impact,
        ticket.urgency,
        ticket.priority,
        ticket.priority_by_hand,
        text(&ticket.category),
        text(&ticket.requester),
        requester_0,
        text(&ticket.assignee),
        text(&ticket.group),
        text(&ticket.location),
        ticket.structure.map(|id| id.to_string()),
        ticket.home.map(|id| id.to_string()),
        ticket.external,
        ticket.created_at.0 as i64,
        ticket.updated_at.0 as i64,
        ticket.reopen_count,
        ticket.conflicts.len() as i64,
        (ticket.tainted.len() + ticket.comments.iter().filter(|comment| comment.attribution.tainted).count()) as i64,
        ticket.adopted_from,
    ])?;
    write_comments(conn, &id, false, &ticket.comments)?;
    conn.prepare_cached("DELETE FROM conflicts WHERE ticket = ?")?.execute([&id])?;
    for conflict in &ticket.conflicts {
        for (place, (value, attribution)) in conflict.values.iter().enumerate() {
            let (author, site, at, source) = columns(attribution);
            conn.prepare_cached(
                "INSERT INTO conflicts (ticket, field, place, value, author, site, at, source) VALUES (?,?,?,?,?,?,?,?)",
            )?
            .execute(params![id, conflict.field, place as i64, value, author, site, at, source])?;
        }
    }
    conn.prepare_cached("DELETE FROM tainted WHERE ticket = ?")?.execute([&id])?;
    for tainted in &ticket.tainted {
        conn.prepare_cached("INSERT INTO tainted (ticket, field, before) VALUES (?, ?, ?)")?.execute(params![
            id,
            tainted.field,
            tainted.before
        ])?;
    }
    let mut words = vec![ticket.number.as_str(), &ticket.title, &ticket.description];
    words.extend(ticket.external.as_deref());
    words.extend(ticket.adopted_from.as_deref());
    words.extend(ticket.comments.iter().map(|comment| comment.body.as_str()));
    let row = search_row(conn, &id)?;
    conn.prepare_cached("UPDATE search SET public = ?1 WHERE rowid = ?2 AND public <> ?1")?
        .execute(params![words.join("\n"), row])?;
    // Of this one and the first of the others one shows the number as it was given.
    let mut again: Vec<DocId> = left.into_iter().collect();
    if let Some(other) = other
        && shows_as_given(conn, &other)? == is_first
    {
        again.push(other);
    }
    Ok(again)
}

/// The number that a ticket was given, as its row says.
fn given_to(conn: &Connection, id: &str) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT given FROM tickets WHERE id = ?")?.query_row([id], |row| row.get(0)).optional()
}

/// The first of the other tickets that were given a number: when it was born, and which.
fn first_of(conn: &Connection, given: &str, id: &str) -> rusqlite::Result<Option<(i64, String)>> {
    // Half a ticket, whose birth waits, has none yet.
    if given.is_empty() {
        return Ok(None);
    }
    let mut find =
        conn.prepare_cached("SELECT born, id FROM tickets WHERE given = ? AND id <> ? ORDER BY born, id LIMIT 1")?;
    find.query_row([given, id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Whether a ticket shows its number as it was given.
fn shows_as_given(conn: &Connection, doc: &DocId) -> rusqlite::Result<bool> {
    let mut find = conn.prepare_cached("SELECT number = given FROM tickets WHERE id = ?")?;
    Ok(find.query_row([doc.to_string()], |row| row.get(0)).optional()?.unwrap_or(false))
}

/// Three letters that a ticket's id gives.
fn letters(doc: &DocId) -> String {
    let number = doc.0[..8].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    [676, 26, 1].map(|place| char::from(b'A' + (number / place % 26) as u8)).iter().collect()
}

/// Writes the rows of the notes beside `ticket`.
pub fn write_notes(conn: &Connection, view: &View, ticket: &DocId) -> rusqlite::Result<()> {
    let ticket = ticket.to_string();
    let ticket = ticket.as_str();
    conn.prepare_cached("INSERT OR REPLACE INTO notes (doc, ticket) VALUES (?, ?)")?
        .execute(params![view.id.to_string(), ticket])?;
    let notes = comments_of(view);
    write_comments(conn, ticket, true, &notes)?;
    let words: Vec<&str> = notes.iter().map(|note| note.body.as_str()).collect();
    let row = search_row(conn, ticket)?;
    conn.prepare_cached("UPDATE search SET internal = ?1 WHERE rowid = ?2 AND internal <> ?1")?
        .execute(params![words.join("\n"), row])?;
    Ok(())
}

/// Removes what a document of a ticket, or of the notes beside one, gave: nothing that stands gave birth to it any more.
/// Answers with another ticket whose number is shown otherwise from now on.
pub fn remove(conn: &Connection, doc: &DocId) -> rusqlite::Result<Option<DocId>> {
    let doc = doc.to_string();
    let next = given_to(conn, &doc)?.map_or(Ok(None), |given| first_of(conn, &given, &doc))?;
    remove_rows(conn, doc)?;
    Ok(next.and_then(|(_, next)| next.parse().ok()))
}

fn remove_rows(conn: &Connection, doc: String) -> rusqlite::Result<()> {
    let mut find = conn.prepare_cached("SELECT ticket FROM notes WHERE doc = ?")?;
    let of_notes: Option<String> = find.query_row([&doc], |row| row.get(0)).optional()?;
    let is_ticket = conn.prepare_cached("DELETE FROM tickets WHERE id = ?")?.execute([&doc])? > 0;
    let (ticket, internal, column) = match of_notes {
        Some(ticket) => (ticket, true, "internal"),
        None if is_ticket => (doc.clone(), false, "public"),
        None => return Ok(()),
    };
    conn.prepare_cached("DELETE FROM notes WHERE doc = ?")?.execute([&doc])?;
    write_comments(conn, &ticket, internal, &[])?;
    if !internal {
        conn.prepare_cached("DELETE FROM conflicts WHERE ticket = ?")?.execute([&ticket])?;
        conn.prepare_cached("DELETE FROM tainted WHERE ticket = ?")?.execute([&ticket])?;
    }
    let beside = "SELECT EXISTS (SELECT 1 FROM tickets WHERE id = ?1) + EXISTS (SELECT 1 FROM notes WHERE ticket = ?1)";
    let left: i64 = conn.prepare_cached(beside)?.query_row([&ticket], |row| row.get(0))?;
    if left == 0 {
        return drop_search_row(conn, &ticket);
    }
    let row = search_row(conn, &ticket)?;
    conn.execute(&format!("UPDATE search SET {column} = '' WHERE rowid = ?"), [row])?;
    Ok(())
}

fn write_comments(conn: &Connection, ticket: &str, internal: bool, comments: &[Comment]) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM comments WHERE ticket = ? AND internal = ?")?
        .execute(params![ticket, internal])?;
    for (place, comment) in comments.iter().enumerate() {
        let (author, site, at, source) = columns(&comment.attribution);
        conn.prepare_cached(
            "INSERT INTO comments (ticket, internal, place, id, body, author, site, at, ordered, source, tainted, clock_in_doubt)
             VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        )?
        .execute(params![
            ticket,
            internal,
            place as i64,
            comment.id,
            comment.body,
            author,
            site,
            at,
            comment.attribution.ordered_at().0 as i64,
            source,
            comment.attribution.tainted,
            comment.attribution.doubt
        ])?;
    }
    Ok(())
}

/// Author (a user's id, nothing for the site itself), site, time shown, and the source's author.
fn columns(attribution: &Attribution) -> (Option<String>, String, i64, Option<String>) {
    let author = match attribution.author {
        Author::User(user) => Some(user.to_string()),
        Author::Site | Author::Service(_) | Author::Other(_) => None,
    };
    let source = attribution.source.as_ref().map(|(_, author)| author.clone());
    (author, attribution.site.to_string(), attribution.shown_at().0 as i64, source)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schema::doc::{AttributedValue, DocKind, GenesisFacts, Stamp, Value};
    use schema::id::{ActorId, ChangeHash, ScopeId, SiteId};
    use schema::time::{Hlc, Timestamp};

    use super::super::tables;
    use super::*;

    /// A ticket with a number, opened at this second.
    fn opened(id: u8, number: &str, second: u64) -> View {
        let at = Hlc::default().tick(Timestamp(second * 1000));
        let stamp = Stamp {
            author: Author::Site,
            site: SiteId([1; 32]),
            at,
            order: at,
            doubt: false,
            tainted: false,
            change: ChangeHash([id; 32]),
            actor: ActorId([1; 16]),
            max_op: 1,
            dependencies: Vec::new(),
        };
        let number = vec![AttributedValue { value: Value::Text(number.into()), by: 0 }];
        View {
            id: DocId([id; 32]),
            scope: ScopeId([1; 16]),
            kind: DocKind::Ticket,
            facts: GenesisFacts::default(),
            values: BTreeMap::from([("number".to_owned(), number)]),
            texts: BTreeMap::new(),
            untainted: BTreeMap::new(),
            changes: vec![stamp],
            first_at: at.timestamp(),
            last_at: Some(at.timestamp()),
        }
    }

    fn shown(conn: &Connection) -> Vec<String> {
        let mut found = conn.prepare("SELECT number FROM tickets ORDER BY born, id").expect("the table is there");
        let rows = found.query_map([], |row| row.get(0)).expect("it is read");
        rows.collect::<Result<_, _>>().expect("numbers are text")
    }

    /// Writes tickets, each with whatever follows from it, as `read_model::row` does.
    fn write_all(conn: &Connection, views: &[&View]) {
        for view in views {
            let mut left = vec![view.id];
            while let Some(doc) = left.pop() {
                let view = views.iter().find(|view| view.id == doc).expect("what follows was written before");
                left.extend(write(conn, view).expect("a ticket is written"));
            }
        }
    }

    #[test]
    fn the_highest_number_of_a_site_is_one_step_in_an_index() {
        let conn = Connection::open_in_memory().expect("memory");
        tables::create(&conn).expect("tables are made");
        let highest = |code: &str| super::super::query::highest_number(&conn, code).expect("it is read");
        assert_eq!(highest("PAR"), 0, "none was given yet");
        let numbers = ["PAR-9", "PAR-10", "PAR-KD-41", "PARI-700", "LYO-3", "PAR-none", "", "PAR-1000000000000"];
        for (id, number) in numbers.iter().enumerate() {
            write(&conn, &opened(id as u8, number, 1)).expect("a ticket is written");
        }
        assert_eq!(
            (highest("PAR"), highest("LYO"), highest("DAK")),
            (41, 3, 0),
            "letters are between, others elsewhere"
        );
        let mut adopted = opened(20, "PAR-42", 2);
        let before = format!("{} {} DAK-6", schema::id::RecordHash([7; 32]), DocId([8; 32]));
        adopted.values.insert("adopted/a".into(), vec![AttributedValue { value: Value::Text(before), by: 0 }]);
        super::super::adopted::write(&conn, &adopted).expect("an adoption is written");
        assert_eq!(highest("DAK"), 6, "a number to which an adopted ticket answers is given to no other");
        let plan = format!("EXPLAIN QUERY PLAN {}", super::super::query::HIGHEST_NUMBER);
        let mut steps = conn.prepare(&plan).expect("a plan");
        let steps = steps.query_map(["PAR"], |row| row.get::<_, String>("detail")).expect("a plan");
        let plan: Vec<String> = steps.map(|step| step.expect("a step")).collect();
        for index in ["tickets_counter", "adopted_counter"] {
            let is_used = plan.iter().any(|step| step.contains("SEARCH") && step.contains(index));
            assert!(is_used, "a start may not read every number: {plan:?}");
        }
    }

    #[test]
    fn of_tickets_with_one_number_the_eldest_shows_it_whatever_comes_first() {
        let (elder, younger, youngest) = (opened(9, "PAR-5", 1), opened(3, "PAR-5", 2), opened(4, "PAR-5", 3));
        let other = opened(5, "PAR-6", 4);
        let half = [opened(6, "", 5), opened(7, "", 6)];
        let expected = ["PAR-5", "PAR-5-ONR", "PAR-5-TJO", "PAR-6", "", ""];
        let orders: [[&View; 3]; 4] = [
            [&elder, &younger, &youngest],
            [&younger, &elder, &youngest],
            [&youngest, &younger, &elder],
            [&younger, &youngest, &elder],
        ];
        for order in orders {
            let conn = Connection::open_in_memory().expect("memory");
            tables::create(&conn).expect("tables are made");
            write_all(&conn, &[order[0], order[1], order[2], &other, &half[0], &half[1]]);
            assert_eq!(shown(&conn), expected);
            let found = |number: &str| -> i64 {
                conn.query_row("SELECT count(*) FROM search WHERE public = ?", [format!("{number}\n\n")], |row| {
                    row.get(0)
                })
                .expect("searched")
            };
            assert_eq!((found("PAR-5"), found("PAR-5-ONR")), (1, 1), "a search finds it as it is shown");

            // One that comes to have another number leaves its place to the next (two births of one document).
            let renamed = opened(9, "PAR-7", 1);
            write_all(&conn, &[&renamed, &younger, &youngest]);
            assert_eq!(shown(&conn)[..3], ["PAR-7", "PAR-5", "PAR-5-TJO"]);
            write_all(&conn, &[&elder, &younger, &youngest]);
            assert_eq!(shown(&conn)[..3], expected[..3]);

            // The eldest no longer stands: the next one shows the number.
            let next = remove(&conn, &elder.id).expect("removed");
            assert_eq!(next, Some(younger.id));
            write(&conn, &younger).expect("written");
            assert_eq!(shown(&conn)[..2], ["PAR-5", "PAR-5-TJO"]);
        }
    }
}
