//! Rows of people, groups, categories and locations: what a reference is shown as.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use schema::doc::{DocKind, View};
use schema::fold::fold;
use schema::id::DocId;

/// An id and how it is shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Ref {
    /// The id.
    pub id: String,
    /// For people.
    pub label: String,
}

/// Writes the row of a directory document.
pub fn write(conn: &Connection, view: &View) -> rusqlite::Result<()> {
    let (Some(kind), Some(label)) = (view.kind.word(), view.text("name")) else {
        return remove(conn, &view.id);
    };
    conn.prepare_cached("INSERT OR REPLACE INTO names (id, kind, label, folded) VALUES (?, ?, ?, ?)")?
        .execute(params![view.id.to_string(), kind, label, fold(label)])?;
    Ok(())
}

/// Removes the row of a document that is gone.
pub fn remove(conn: &Connection, doc: &DocId) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM names WHERE id = ?")?.execute([doc.to_string()]).map(drop)
}

/// How a reference is shown: its name, or the head of its id if it is not held here (R4).
pub fn label(conn: &Connection, id: &str) -> rusqlite::Result<Ref> {
    let mut find = conn.prepare_cached("SELECT label FROM names WHERE id = ?")?;
    let found: Option<String> = find.query_row([id], |row| row.get(0)).optional()?;
    let label = found.unwrap_or_else(|| format!("#{}", id.get(..8).unwrap_or(id)));
    Ok(Ref { id: id.to_owned(), label })
}

/// Names of one kind that begin with `prefix`, or of which a word does; accents and case do not matter.
pub fn names(conn: &Connection, kind: DocKind, prefix: &str, limit: usize) -> rusqlite::Result<Vec<Ref>> {
    let prefix = fold(prefix).replace(['%', '_'], "");
    let mut find = conn.prepare_cached(
        "SELECT id, label FROM names WHERE kind = ?1 AND (folded LIKE ?2 || '%' OR folded LIKE '% ' || ?2 || '%')
         ORDER BY folded, id LIMIT ?3",
    )?;
    let rows = find
        .query_map(params![kind.word(), prefix, limit as i64], |row| Ok(Ref { id: row.get(0)?, label: row.get(1)? }))?;
    rows.collect()
}

/// Labels remembered during one answer.
pub struct Labels<'c> {
    conn: &'c Connection,
    known: BTreeMap<String, Ref>,
}

impl<'c> Labels<'c> {
    /// Reads labels from `conn`.
    pub fn new(conn: &'c Connection) -> Self {
        Self { conn, known: BTreeMap::new() }
    }

    /// How `id` is shown.
    pub fn of(&mut self, id: &str) -> rusqlite::Result<Ref> {
        if let Some(known) = self.known.get(id) {
            return Ok(known.clone());
        }
        let found = label(self.conn, id)?;
        self.known.insert(id.to_owned(), found.clone());
        Ok(found)
    }

    /// As [`Labels::of`], for a reference that may be missing.
    pub fn of_some(&mut self, id: Option<String>) -> rusqlite::Result<Option<Ref>> {
        id.map(|id| self.of(&id)).transpose()
    }
}
