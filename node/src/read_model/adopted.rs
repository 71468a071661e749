//! Which held changes were adopted, as the documents say that the adoptions made or changed (R12).

use data_encoding::HEXLOWER;
use rusqlite::{Connection, OptionalExtension, params};
use schema::author::Author;
use schema::codec::Canonical as _;
use schema::doc::{Adopted, View};
use schema::id::DocId;
use schema::record::Record;

use crate::commands::parts_of_number;

/// Writes what a document says of adoptions.
pub fn write(conn: &Connection, view: &View) -> rusqlite::Result<()> {
    remove(conn, &view.id)?;
    let mut write = conn.prepare_cached(
        "INSERT OR REPLACE INTO adopted (doc, scope, record, author, document, number, code, counter)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for (Adopted { record, document, number }, author) in Adopted::of(view) {
        let (document, author) = (document.map(|id| id.to_string()), HEXLOWER.encode(&author.to_bytes()));
        let (doc, scope) = (view.id.to_string(), view.scope.to_string());
        let (code, counter) = number.as_deref().and_then(parts_of_number).unzip();
        let counter = counter.map(|counter| counter as i64);
        write.execute(params![doc, scope, record.to_string(), author, document, number, code, counter])?;
    }
    Ok(())
}

/// Removes what a document said of adoptions.
pub fn remove(conn: &Connection, doc: &DocId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM adopted WHERE doc = ?")?.execute([doc.to_string()]).map(drop)
}

/// The document in which a record was adopted; `None` if it was not, as far as this site knows. What a document of another
/// scope says of it counts for nothing: whoever may write there may not adopt it.
pub fn of_record(conn: &Connection, record: &Record) -> rusqlite::Result<Option<String>> {
    let mut find =
        conn.prepare_cached("SELECT doc FROM adopted WHERE record = ? AND scope = ? ORDER BY doc LIMIT 1")?;
    find.query_row([record.hash().to_string(), record.header.log.scope.to_string()], |row| row.get(0)).optional()
}

/// Everybody who ever adopted something, as far as this site knows.
pub fn adopters(conn: &Connection) -> rusqlite::Result<Vec<Author>> {
    let mut find = conn.prepare_cached("SELECT DISTINCT author FROM adopted")?;
    let rows = find.query_map([], |row| row.get::<_, String>(0))?;
    let read = |text: String| Author::from_bytes(&HEXLOWER.decode(text.as_bytes()).ok()?).ok();
    rows.filter_map(|row| row.map(read).transpose()).collect()
}
