//! The read model: one SQLite database of lists, counts, search. Derived: delete it and it comes back.
//!
//! [`ReadModel::apply`] turns changed documents into rows, in one transaction with the position they stand for
//! (R27). Rows are a function of documents alone, so equal documents give equal tables at every site.
//! [`Pool`] gives read connections to the HTTP side; queries stand in one file per subject.

pub mod adopted;
pub mod directory;
pub mod query;
pub mod tables;
pub mod tickets;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OpenFlags};
use schema::authority::Signed;
use schema::doc::{DocKind, NOTES_OF, doc_id_of_notes};
use schema::id::DocId;
use sync::docs::{DocChanged, view};
use sync::store::{LogIndex, Source, StoreError, Table};
use thiserror::Error;

/// Read connections kept open: as many requests read at once, others wait.
const READERS: usize = 8;

/// Why the read model failed. It can be deleted and made again.
#[derive(Debug, Error)]
pub enum ViewError {
    /// SQLite.
    #[error("the read model failed")]
    Sql(#[from] rusqlite::Error),
    /// The store it is made from.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// The writing side, owned by the site's thread.
pub struct ReadModel {
    conn: Connection,
}

impl ReadModel {
    /// Opens the read model at `path`, or makes it; another version's is thrown away.
    pub fn open(path: &Path) -> Result<Self, ViewError> {
        match Self::start(Connection::open(path)?) {
            Ok(views) => Ok(views),
            Err(error) => {
                tracing::warn!(%error, "the read model is of another version or damaged; it is made again");
                for end in ["", "-wal", "-shm"] {
                    let mut file = path.as_os_str().to_owned();
                    file.push(end);
                    let _ = std::fs::remove_file(file);
                }
                Self::start(Connection::open(path)?)
            }
        }
    }

    /// A read model in memory, for the simulator.
    pub fn in_memory() -> Result<Self, ViewError> {
        Self::start(Connection::open_in_memory()?)
    }

    fn start(conn: Connection) -> Result<Self, ViewError> {
        // Derived data: losing the last transactions in a power cut costs making them again, never truth.
        conn.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY; \
             PRAGMA cache_size=-16000;",
        )?;
        tables::create(&conn)?;
        Ok(Self { conn })
    }

    /// The connection, for queries on the site's own thread.
    pub fn conn(&self) -> &Connection {
        &self.conn
    }

    /// Makes the rows of changed documents again, and notes the position that this brings the tables to.
    pub fn apply(&mut self, source: &impl Source, changed: &[DocChanged], local: &LogIndex) -> Result<(), ViewError> {
        let tx = self.conn.transaction()?;
        for changed in changed {
            row(&tx, source, &changed.doc)?;
        }
        tables::set_position(&tx, local)?;
        tx.commit()?;
        Ok(())
    }

    /// Writes what was applied so that a power cut takes none of it back; `false` if a reader is in the way, and then
    /// some of it may still be lost. Commits alone are not synced (`synchronous=NORMAL`).
    pub fn settle(&mut self) -> Result<bool, ViewError> {
        let passed = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        let (written, copied) = self.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], passed)?;
        Ok(written == copied)
    }

    /// Brings the tables up to the documents after a start: everything above the noted position is made again,
    /// and all of it if there is none.
    pub fn catch_up(&mut self, source: &impl Source, local: &LogIndex) -> Result<Vec<DocId>, ViewError> {
        let docs = match tables::position(&self.conn)? {
            None => all_docs(source)?,
            Some(position) => docs_above(source, local, &position)?,
        };
        let tx = self.conn.transaction()?;
        for doc in &docs {
            row(&tx, source, doc)?;
        }
        tables::set_position(&tx, local)?;
        tx.commit()?;
        Ok(docs)
    }

    /// Empties every table and makes all rows again.
    pub fn rebuild(&mut self, source: &impl Source, local: &LogIndex) -> Result<usize, ViewError> {
        tables::empty(&self.conn)?;
        Ok(self.catch_up(source, local)?.len())
    }
}

/// Makes the rows of a document again, and those of tickets whose numbers are shown otherwise then.
fn row(conn: &Connection, source: &impl Source, doc: &DocId) -> Result<(), ViewError> {
    let mut left = vec![*doc];
    while let Some(doc) = left.pop() {
        left.extend(row_of(conn, source, &doc)?);
    }
    Ok(())
}

fn row_of(conn: &Connection, source: &impl Source, doc: &DocId) -> Result<Vec<DocId>, ViewError> {
    let Some(view) = view::view(source, doc)? else {
        let next = tickets::remove(conn, doc)?;
        directory::remove(conn, doc)?;
        adopted::remove(conn, doc)?;
        return Ok(next.into_iter().collect());
    };
    adopted::write(conn, &view)?;
    match view.kind {
        DocKind::Ticket => return Ok(tickets::write(conn, &view)?),
        DocKind::TicketNotes => {
            // Whoever may write notes may write any ticket's id into them: the document's own id proves it.
            let founded: Option<Signed> = source.get_as(Table::Authority, &0u64.to_be_bytes())?;
            let ticket = view.text(NOTES_OF).and_then(|text| text.parse::<DocId>().ok());
            if let (Some(founded), Some(ticket)) = (founded, ticket)
                && doc_id_of_notes(&founded.statement.org, &view.scope, &ticket) == view.id
            {
                tickets::write_notes(conn, &view, &ticket)?;
            }
        }
        DocKind::Person | DocKind::Group | DocKind::Category | DocKind::Location => directory::write(conn, &view)?,
        DocKind::Other(_) => {}
    }
    Ok(Vec::new())
}

fn all_docs(source: &impl Source) -> Result<Vec<DocId>, StoreError> {
    let rows = source.prefixed(Table::Docs, &[])?;
    Ok(rows.iter().filter_map(|(key, _)| DocId::from_slice(key)).collect())
}

/// Documents that changed and were not noted as shown, and those of records that arrived above the position.
/// All of them if the tables stand for more than the store holds: it is an older one than they were made from.
fn docs_above(source: &impl Source, local: &LogIndex, position: &tables::Position) -> Result<Vec<DocId>, ViewError> {
    let stale = source.prefixed(Table::Stale, &[])?;
    let mut docs: std::collections::BTreeSet<DocId> =
        stale.iter().filter_map(|(key, _)| DocId::from_slice(key)).collect();
    // Those that a hand-over took away are listed, and in no other table.
    if position.authority > source.count(Table::Authority)? {
        docs.extend(all_docs(source)?);
        return Ok(docs.into_iter().collect());
    }
    for (scope, state) in local.scopes() {
        let from = position.scopes.get(scope).copied().unwrap_or_default();
        if from > state.arrivals {
            docs.extend(all_docs(source)?);
            return Ok(docs.into_iter().collect());
        }
        for counter in from + 1..=state.materialized {
            docs.extend(sync::admission::docs_of_arrival(source, scope, counter)?);
        }
    }
    Ok(docs.into_iter().collect())
}

/// Read connections for whoever asks; each is used by one request at a time.
#[derive(Clone)]
pub struct Pool {
    path: Arc<PathBuf>,
    idle: Arc<Mutex<Vec<Connection>>>,
    places: Arc<tokio::sync::Semaphore>,
}

impl Pool {
    /// A pool on the read model at `path`.
    pub fn new(path: PathBuf) -> Self {
        let places = Arc::new(tokio::sync::Semaphore::new(READERS));
        Self { path: Arc::new(path), idle: Arc::default(), places }
    }

    /// Runs a query on a thread that may block.
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ViewError> {
        let _place = self.places.acquire().await;
        let pool = self.clone();
        let work = move || {
            let conn = match pool.lock().pop() {
                Some(conn) => conn,
                None => Connection::open_with_flags(pool.path.as_path(), OpenFlags::SQLITE_OPEN_READ_ONLY)?,
            };
            let answer = query(&conn);
            pool.lock().push(conn);
            answer
        };
        let done = tokio::task::spawn_blocking(work).await;
        Ok(done.unwrap_or_else(|_| Err(rusqlite::Error::InvalidQuery))?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
