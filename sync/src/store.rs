//! The store: one redb file per organisation (R25, R26).
//!
//! [`Store::write`] runs one transaction and makes it durable or undoes it whole; inside it, a
//! [`Writing`] is the proof that there is one. Small state that every decision needs (logs, scopes) is
//! kept in memory as [`LogIndex`] and follows a transaction only when that is committed. Read with
//! [`Store::read`]; both kinds of transaction answer through [`Source`].

pub mod log_index;
pub mod rows;
pub mod tables;

use std::cell::{Cell, OnceCell};
use std::sync::Arc;

use redb::{Builder, Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};
use schema::codec::{Canonical, CodecError};
use thiserror::Error;

pub use log_index::{LogIndex, LogState, PeerLogs, ScopeState};
pub use tables::{LogNo, Table};

use crate::limits::CACHE_BYTES;

/// Why the store could not answer.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The disk, or redb on it.
    #[error("the disk did not do what was asked")]
    Disk(#[source] Box<redb::Error>),
    /// A stored value is not the one that was written (R25).
    #[error("a value of {table} has changed on the disk")]
    Damaged {
        /// The table's name.
        table: &'static str,
    },
    /// A stored value does not decode: written by a newer version, or a bug.
    #[error("a value of {table} does not decode")]
    Decode {
        /// The table's name.
        table: &'static str,
        /// Where it stops making sense.
        #[source]
        source: CodecError,
    },
    /// Written by a version whose tables have another form.
    #[error("the store has form {found}, this version reads form {FORM}")]
    Form {
        /// The form found; 0 if the store does not say.
        found: u8,
    },
    /// Something that another table promises is not there.
    #[error("{what} is missing from the store")]
    Missing {
        /// What.
        what: &'static str,
    },
}

macro_rules! from_redb {
    ($($error:ty),+) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Disk(Box::new(error.into()))
            }
        }
    )+};
}
from_redb!(
    redb::Error,
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError,
    redb::SetDurabilityError
);

/// The form of the tables, raised when a value of one changes its meaning.
const FORM: u8 = 3;
const FORM_KEY: &[u8] = b"form";

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

fn definition(table: Table) -> Definition {
    TableDefinition::new(table.name())
}

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// What both kinds of transaction answer. Values are checked against their seal.
pub trait Source {
    /// The value under `key`.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// At most `limit` rows with keys from `from` up to `end`, in order.
    fn range(&self, table: Table, from: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError>;
    /// The last row whose key begins with `prefix`.
    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, StoreError>;
    /// How many rows a table has.
    fn count(&self, table: Table) -> Result<u64, StoreError>;

    /// All rows whose keys begin with `prefix`.
    fn prefixed(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        self.range(table, prefix, tables::after_prefix(prefix).as_deref(), usize::MAX)
    }
    /// The value under `key`, decoded.
    fn get_as<T: Canonical>(&self, table: Table, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.get(table, key)?.map(|bytes| decode(table, &bytes)).transpose()
    }
}

/// Decodes a stored value.
pub fn decode<T: Canonical>(table: Table, bytes: &[u8]) -> Result<T, StoreError> {
    T::from_bytes(bytes).map_err(|source| StoreError::Decode { table: table.name(), source })
}

fn checked(table: Table, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
    match tables::unseal(table, key, sealed) {
        Some(value) => Ok(value.to_vec()),
        None => Err(StoreError::Damaged { table: table.name() }),
    }
}

fn range_of(
    table: Table,
    opened: &impl ReadableTable<&'static [u8], &'static [u8]>,
    from: &[u8],
    end: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<Row>, StoreError> {
    let rows = match end {
        Some(end) => opened.range::<&[u8]>(from..end)?,
        None => opened.range::<&[u8]>(from..)?,
    };
    rows.take(limit)
        .map(|row| {
            let (key, value) = row?;
            Ok((key.value().to_vec(), checked(table, key.value(), value.value())?))
        })
        .collect()
}

fn last_of(
    table: Table,
    opened: &impl ReadableTable<&'static [u8], &'static [u8]>,
    prefix: &[u8],
) -> Result<Option<Row>, StoreError> {
    let end = tables::after_prefix(prefix);
    let mut rows = match &end {
        Some(end) => opened.range::<&[u8]>(prefix..end.as_slice())?,
        None => opened.range::<&[u8]>(prefix..)?,
    };
    let Some(row) = rows.next_back() else {
        return Ok(None);
    };
    let (key, value) = row?;
    Ok(Some((key.value().to_vec(), checked(table, key.value(), value.value())?)))
}

/// The tables of a transaction, each opened when it is first asked for: most touch few of them, and opening one costs as
/// much as reading a row.
struct Opened<T>(Vec<OnceCell<T>>);

impl<T> Opened<T> {
    fn none() -> Self {
        Self(Table::ALL.iter().map(|_| OnceCell::new()).collect())
    }
    fn get(&self, table: Table, open: impl FnOnce() -> Result<T, redb::TableError>) -> Result<&T, StoreError> {
        let cell = &self.0[table.slot()];
        if cell.get().is_none() {
            let opened = open()?;
            return Ok(cell.get_or_init(|| opened));
        }
        Ok(cell.get().unwrap_or_else(|| unreachable!("it was opened before")))
    }
    fn get_mut(
        &mut self,
        table: Table,
        open: impl FnOnce() -> Result<T, redb::TableError>,
    ) -> Result<&mut T, StoreError> {
        self.get(table, open)?;
        Ok(self.0[table.slot()].get_mut().unwrap_or_else(|| unreachable!("it was opened just now")))
    }
}

/// A view of the store at one moment. Readers never wait for the writer.
pub struct Reading {
    tx: redb::ReadTransaction,
    tables: Opened<ReadOnlyTable<&'static [u8], &'static [u8]>>,
}

impl Reading {
    fn table(&self, table: Table) -> Result<&ReadOnlyTable<&'static [u8], &'static [u8]>, StoreError> {
        self.tables.get(table, || self.tx.open_table(definition(table)))
    }
    /// Whether every table is there: each version may have more of them than the one before.
    fn is_whole(&self) -> bool {
        Table::ALL.iter().all(|table| self.table(*table).is_ok())
    }
}

impl Source for Reading {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.table(table)?.get(key)?;
        found.map(|value| checked(table, key, value.value())).transpose()
    }
    fn range(&self, table: Table, from: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        range_of(table, self.table(table)?, from, end, limit)
    }
    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, StoreError> {
        last_of(table, self.table(table)?, prefix)
    }
    fn count(&self, table: Table) -> Result<u64, StoreError> {
        Ok(redb::ReadableTableMetadata::len(self.table(table)?)?)
    }
}

/// An open write transaction, and the small state as it will be if it is committed.
pub struct Writing<'t> {
    tx: &'t redb::WriteTransaction,
    tables: Opened<redb::Table<'t, &'static [u8], &'static [u8]>>,
    log_index: LogIndex,
    undo: Vec<log_index::Undo>,
    reads: Cell<u64>,
}

impl Source for Writing<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.has_read(1);
        let found = self.table(table)?.get(key)?;
        found.map(|value| checked(table, key, value.value())).transpose()
    }
    fn range(&self, table: Table, from: &[u8], end: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        let rows = range_of(table, self.table(table)?, from, end, limit)?;
        self.has_read(1 + rows.len());
        Ok(rows)
    }
    fn last(&self, table: Table, prefix: &[u8]) -> Result<Option<Row>, StoreError> {
        last_of(table, self.table(table)?, prefix)
    }
    fn count(&self, table: Table) -> Result<u64, StoreError> {
        Ok(redb::ReadableTableMetadata::len(self.table(table)?)?)
    }
}

impl<'t> Writing<'t> {
    fn table(&self, table: Table) -> Result<&redb::Table<'t, &'static [u8], &'static [u8]>, StoreError> {
        self.tables.get(table, || self.tx.open_table(definition(table)))
    }
    fn table_mut(&mut self, table: Table) -> Result<&mut redb::Table<'t, &'static [u8], &'static [u8]>, StoreError> {
        self.tables.get_mut(table, || self.tx.open_table(definition(table)))
    }
    fn has_read(&self, rows: usize) {
        self.reads.set(self.reads.get() + rows as u64);
    }
    /// Logs and scopes with what this transaction did to them.
    pub fn log_index(&self) -> &LogIndex {
        &self.log_index
    }
    /// Writes a value.
    pub fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.table_mut(table)?.insert(key, tables::seal(table, key, value).as_slice())?;
        Ok(())
    }
    /// Removes a value.
    pub fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        self.table_mut(table)?.remove(key)?;
        Ok(())
    }
    /// Removes every row of a table.
    pub fn clear(&mut self, table: Table) -> Result<(), StoreError> {
        self.table_mut(table)?.retain(|_, _| false)?;
        Ok(())
    }
}

/// How firmly a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On the disk before `write` returns: two phases, quick repair (R26).
    Durable,
    /// May be lost in a crash, together with what follows it: for what can be made again.
    Derived,
}

/// Reads the store from any thread, also while it is written.
#[derive(Clone)]
pub struct Reader(Arc<Database>);

impl Reader {
    /// A view of the store as of the last committed transaction.
    pub fn read(&self) -> Result<Reading, StoreError> {
        Ok(Reading { tx: self.0.begin_read()?, tables: Opened::none() })
    }
}

/// The store of one organisation at one site.
pub struct Store {
    db: Arc<Database>,
    log_index: LogIndex,
    reads: u64,
}

impl Store {
    /// Opens or creates the file at `path`.
    /// Errors: `Disk` if it is in use by another process, or not ours.
    pub fn open(path: &std::path::Path) -> Result<Self, StoreError> {
        Self::start(Builder::new().set_cache_size(CACHE_BYTES).create(path)?)
    }

    /// Opens or creates a store on any backend: memory, or a disk that fails on demand.
    pub fn open_on(backend: impl redb::StorageBackend) -> Result<Self, StoreError> {
        Self::start(Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend)?)
    }

    fn start(db: Database) -> Result<Self, StoreError> {
        let mut store = Self { db: Arc::new(db), log_index: LogIndex::default(), reads: 0 };
        // One that has every table and is of this form is not written at its start.
        let reading = store.read()?;
        let form = reading.get(Table::Meta, FORM_KEY);
        if !reading.is_whole() || !form.is_ok_and(|form| form.as_deref() == Some(&[FORM])) {
            store.write(Durability::Durable, |writing| {
                // Opening a table creates it, so that readers find every one.
                for table in Table::ALL {
                    writing.table(table)?;
                }
                match writing.get(Table::Meta, FORM_KEY)?.as_deref() {
                    Some([FORM]) => Ok(()),
                    None if writing.count(Table::Meta)? == 0 => writing.put(Table::Meta, FORM_KEY, &[FORM]),
                    Some([found]) => Err(StoreError::Form { found: *found }),
                    Some(_) | None => Err(StoreError::Form { found: 0 }),
                }
            })?;
        }
        drop(reading);
        store.log_index = LogIndex::load(&store.read()?)?;
        Ok(store)
    }

    /// Logs and scopes as of the last committed transaction.
    pub fn log_index(&self) -> &LogIndex {
        &self.log_index
    }

    /// Values that transactions have asked for since the start, and rows that they have read: what work costs, whatever the
    /// machine.
    pub fn reads(&self) -> u64 {
        self.reads
    }

    /// A view of the store as of the last committed transaction.
    pub fn read(&self) -> Result<Reading, StoreError> {
        self.reader().read()
    }

    /// A handle that reads from other threads.
    pub fn reader(&self) -> Reader {
        Reader(self.db.clone())
    }

    /// Runs `work` in one transaction. If it errs, nothing of it stays.
    pub fn write<T, E: From<StoreError>>(
        &mut self,
        firmness: Durability,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut tx = self.db.begin_write().map_err(StoreError::from)?;
        match firmness {
            Durability::Durable => {
                tx.set_durability(redb::Durability::Immediate).map_err(StoreError::from)?;
                tx.set_two_phase_commit(true);
                tx.set_quick_repair(true);
            }
            Durability::Derived => tx.set_durability(redb::Durability::None).map_err(StoreError::from)?,
        }
        let (outcome, undo) = {
            let log_index = std::mem::take(&mut self.log_index);
            let (undo, reads) = (Vec::new(), Cell::new(0));
            let mut writing = Writing { tx: &tx, tables: Opened::none(), log_index, undo, reads };
            let outcome = work(&mut writing);
            self.reads += writing.reads.get();
            self.log_index = writing.log_index;
            (outcome, writing.undo)
        };
        let ended = match &outcome {
            Ok(_) => tx.commit().map_err(StoreError::from),
            Err(_) => tx.abort().map_err(StoreError::from),
        };
        if outcome.is_err() || ended.is_err() {
            self.log_index.take_back(undo);
        }
        ended?;
        outcome
    }
}
