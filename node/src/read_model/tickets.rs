//! Rows of tickets and their notes.

use rusqlite::{Connection, OptionalExtension, params};
use schema::author::Author;
use schema::doc::View;
use schema::id::DocId;
use schema::ticket::view::{Attribution, Comment, comments_of, ticket};

use super::tables::{drop_search_row, search_row};

/// Writes the rows of a ticket's document.
pub fn write(conn: &Connection, view: &View) -> rusqlite::Result<()> {
    let ticket = ticket(view);
    let id = ticket.id.to_string();
    let text = |id: &Option<DocId>| id.map(|id| id.to_string());
    // The requester of the genesis keeps their reading right (access::Reach::ticket).
    let requester_0 = text(&view.facts.requester);
    conn.prepare_cached(
        "INSERT OR REPLACE INTO tickets (id, scope, number, kind, title, description, status, status_reason, impact,
         urgency, priority, by_hand, category, requester, requester_0, assignee, grp, location, structure, home, external,
         created_at, updated_at, reopen_count, conflicts)
         VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    )?
    .execute(params![
        id,
        view.scope.to_string(),
        ticket.number,
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
    words.extend(ticket.comments.iter().map(|comment| comment.body.as_str()));
    let row = search_row(conn, &id)?;
    conn.prepare_cached("UPDATE search SET public = ?1 WHERE rowid = ?2 AND public <> ?1")?
        .execute(params![words.join("\n"), row])?;
    Ok(())
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
pub fn remove(conn: &Connection, doc: &DocId) -> rusqlite::Result<()> {
    let doc = doc.to_string();
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
            "INSERT INTO comments (ticket, internal, place, id, body, author, site, at, source)
             VALUES (?,?,?,?,?,?,?,?,?)",
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
            source
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
