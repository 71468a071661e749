//! Every table of the read model, and the position it stands for.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use schema::id::ScopeId;
use sync::store::LogIndex;

/// Another number throws the whole read model away and makes it again.
const VERSION: i64 = 6;

/// The tables that are a function of documents, in the order of [`hash`].
pub const DERIVED: [&str; 7] = ["tickets", "comments", "conflicts", "tainted", "adopted", "names", "search"];

const CREATE: &str = "
CREATE TABLE IF NOT EXISTS tickets (
  id TEXT PRIMARY KEY, scope TEXT NOT NULL, number TEXT NOT NULL, given TEXT NOT NULL, code TEXT, counter INTEGER, born INTEGER NOT NULL,
  kind TEXT NOT NULL, title TEXT NOT NULL,
  description TEXT NOT NULL, status TEXT NOT NULL, status_reason TEXT, impact TEXT NOT NULL, urgency TEXT NOT NULL,
  priority INTEGER NOT NULL, by_hand INTEGER NOT NULL, category TEXT, requester TEXT, requester_0 TEXT, assignee TEXT,
  grp TEXT, location TEXT, structure TEXT, home TEXT, external TEXT, created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL, reopen_count INTEGER NOT NULL, conflicts INTEGER NOT NULL,
  taints INTEGER NOT NULL, adopted_from TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tickets_number ON tickets(number);
CREATE INDEX IF NOT EXISTS tickets_given ON tickets(given, born, id);
CREATE INDEX IF NOT EXISTS tickets_counter ON tickets(code, counter);
CREATE INDEX IF NOT EXISTS tickets_twice ON tickets(number) WHERE number <> given;
CREATE INDEX IF NOT EXISTS tickets_updated ON tickets(updated_at, id);
CREATE INDEX IF NOT EXISTS tickets_created ON tickets(created_at, id);
CREATE INDEX IF NOT EXISTS tickets_priority ON tickets(priority, id);
CREATE INDEX IF NOT EXISTS tickets_status ON tickets(status, updated_at, id);
CREATE INDEX IF NOT EXISTS tickets_assignee ON tickets(assignee, updated_at, id);
CREATE INDEX IF NOT EXISTS tickets_requester ON tickets(requester, updated_at, id);
CREATE INDEX IF NOT EXISTS tickets_tainted ON tickets(id) WHERE taints > 0;
CREATE INDEX IF NOT EXISTS tickets_external ON tickets(external);
CREATE TABLE IF NOT EXISTS comments (
  ticket TEXT NOT NULL, internal INTEGER NOT NULL, place INTEGER NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
  author TEXT, site TEXT NOT NULL, at INTEGER NOT NULL, ordered INTEGER NOT NULL, source TEXT,
  tainted INTEGER NOT NULL, clock_in_doubt INTEGER NOT NULL, PRIMARY KEY (ticket, internal, place)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS comments_tainted ON comments(ticket, internal) WHERE tainted;
CREATE TABLE IF NOT EXISTS conflicts (
  ticket TEXT NOT NULL, field TEXT NOT NULL, place INTEGER NOT NULL, value TEXT NOT NULL,
  author TEXT, site TEXT NOT NULL, at INTEGER NOT NULL, source TEXT,
  PRIMARY KEY (ticket, field, place)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tainted (
  ticket TEXT NOT NULL, field TEXT NOT NULL, before TEXT, PRIMARY KEY (ticket, field)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS adopted (
  doc TEXT NOT NULL, scope TEXT NOT NULL, record TEXT NOT NULL, author TEXT NOT NULL, document TEXT, number TEXT,
  code TEXT, counter INTEGER, PRIMARY KEY (doc, record, author)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS adopted_record ON adopted(record);
CREATE INDEX IF NOT EXISTS adopted_document ON adopted(document);
CREATE INDEX IF NOT EXISTS adopted_number ON adopted(number);
CREATE INDEX IF NOT EXISTS adopted_counter ON adopted(code, counter);
CREATE TABLE IF NOT EXISTS names (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, label TEXT NOT NULL, folded TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS names_folded ON names(kind, folded, id);
CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5(
  ticket UNINDEXED, public, internal, tokenize = \"unicode61 remove_diacritics 2\", prefix = '2 3 4'
);
CREATE TABLE IF NOT EXISTS notes (doc TEXT PRIMARY KEY, ticket TEXT NOT NULL UNIQUE) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS search_rows (ticket TEXT PRIMARY KEY, row INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS position (what TEXT PRIMARY KEY, counter INTEGER NOT NULL) WITHOUT ROWID;
";

/// Makes the tables. Errors if the file holds another version's.
pub fn create(conn: &Connection) -> rusqlite::Result<()> {
    let version: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    if tables > 0 && version != VERSION {
        return Err(rusqlite::Error::InvalidQuery);
    }
    conn.execute_batch(CREATE)?;
    conn.pragma_update(None, "user_version", VERSION)
}

/// Empties every table.
pub fn empty(conn: &Connection) -> rusqlite::Result<()> {
    for table in DERIVED.iter().chain(&["notes", "search_rows", "position"]) {
        conn.execute_batch(&format!("DELETE FROM {table}"))?;
    }
    Ok(())
}

/// What the tables stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Shown arrivals of each scope.
    pub scopes: BTreeMap<ScopeId, u64>,
    /// Statements of the authority log: one more may have answered what waited.
    pub authority: u64,
}

/// The noted position; `None` before the first.
pub fn position(conn: &Connection) -> rusqlite::Result<Option<Position>> {
    let mut position = Position { scopes: BTreeMap::new(), authority: 0 };
    let mut found = conn.prepare("SELECT what, counter FROM position")?;
    let rows = found.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)? as u64)))?;
    let mut any = false;
    for row in rows {
        let (what, counter) = row?;
        any = true;
        match what.parse() {
            Ok(scope) => drop(position.scopes.insert(scope, counter)),
            Err(_) => position.authority = counter,
        }
    }
    Ok(any.then_some(position))
}

/// Notes the position inside the transaction that brings the tables there.
pub fn set_position(conn: &Connection, local: &LogIndex) -> rusqlite::Result<()> {
    let mut write = conn.prepare_cached("INSERT OR REPLACE INTO position (what, counter) VALUES (?, ?)")?;
    for (scope, state) in local.scopes() {
        write.execute(params![scope.to_string(), state.materialized as i64])?;
    }
    write.execute(params!["authority", local.statements as i64])?;
    Ok(())
}

/// One hash over every derived table, the same at sites with the same documents.
pub fn hash(conn: &Connection) -> rusqlite::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    for table in DERIVED {
        let order = if table == "search" { "ticket" } else { "1, 2, 3" };
        let mut rows = conn.prepare(&format!("SELECT * FROM {table} ORDER BY {order}"))?;
        let columns = rows.column_count();
        let mut found = rows.query([])?;
        while let Some(row) = found.next()? {
            hasher.update(table.as_bytes());
            for column in 0..columns {
                match row.get_ref(column)? {
                    rusqlite::types::ValueRef::Null => hasher.update(&[0]),
                    rusqlite::types::ValueRef::Integer(number) => hasher.update(&[1]).update(&number.to_be_bytes()),
                    rusqlite::types::ValueRef::Real(number) => hasher.update(&[2]).update(&number.to_be_bytes()),
                    rusqlite::types::ValueRef::Text(bytes) => {
                        hasher.update(&[3]).update(&(bytes.len() as u64).to_be_bytes()).update(bytes)
                    }
                    rusqlite::types::ValueRef::Blob(bytes) => {
                        hasher.update(&[4]).update(&(bytes.len() as u64).to_be_bytes()).update(bytes)
                    }
                };
            }
        }
    }
    Ok(*hasher.finalize().as_bytes())
}

/// Removes the search row of a ticket.
pub fn drop_search_row(conn: &Connection, ticket: &str) -> rusqlite::Result<()> {
    let row = search_row(conn, ticket)?;
    conn.prepare_cached("DELETE FROM search WHERE rowid = ?")?.execute([row])?;
    conn.prepare_cached("DELETE FROM search_rows WHERE ticket = ?")?.execute([ticket])?;
    Ok(())
}

/// The number of the search row of a ticket, made if there is none: FTS5 finds its rows by number only.
pub fn search_row(conn: &Connection, ticket: &str) -> rusqlite::Result<i64> {
    let mut find = conn.prepare_cached("SELECT row FROM search_rows WHERE ticket = ?")?;
    if let Some(row) = find.query_row([ticket], |row| row.get(0)).optional()? {
        return Ok(row);
    }
    conn.prepare_cached("INSERT INTO search (ticket, public, internal) VALUES (?, '', '')")?.execute([ticket])?;
    let row = conn.last_insert_rowid();
    conn.prepare_cached("INSERT INTO search_rows (ticket, row) VALUES (?, ?)")?.execute(params![ticket, row])?;
    Ok(row)
}
