//! Which records decide a change (R8): of those of its author's own log that name it the earliest, of each history of a log
//! that forked one. A copy in anybody else's log says nothing of it.

use schema::id::ChangeHash;
use schema::record::{BodyName, Record, actor};

use crate::change::{Outline, scan};
use crate::store::log_index::ForkIndex;
use crate::store::tables::{LogNo, RECORD_KEY_BYTES, after_prefix, named_key, read_record_key};
use crate::store::{Source, StoreError, Table, Writing};

/// Notes that a record names a change whose bytes are here, if it stands in the log of the change's own author. Linear in the
/// record's entries.
pub fn note(
    writing: &mut Writing<'_>,
    record: &Record,
    name: &BodyName,
    place: (LogNo, u64),
    body: &[u8],
) -> Result<(), StoreError> {
    let BodyName::Change(change) = name else {
        return Ok(());
    };
    let log = record.header.log;
    let is_own = |doc| {
        scan(body)
            .map_or_else(|_| Outline::read(body).is_none(), |scan| scan.actor == actor(&log.site, &log.generation, doc))
    };
    if record.skeleton.entries.iter().any(|entry| entry.change == *change && is_own(&entry.doc)) {
        writing.put(Table::Named, &named_key(change, place), &[])?;
    }
    Ok(())
}

/// A record that names a change in its author's own log, whichever; `None` if none is held.
pub fn any(source: &impl Source, change: &ChangeHash) -> Result<Option<(LogNo, u64)>, StoreError> {
    let rows = source.range(Table::Named, &change.0, after_prefix(&change.0).as_deref(), 1)?;
    Ok(rows.first().and_then(|(key, _)| place_in(key)))
}

/// The records that decide a change: the first of each history that names it, wherever histories stand in the store. Linear in
/// those histories and in the forks that each comes through.
pub fn all(source: &impl Source, forks: &ForkIndex, change: &ChangeHash) -> Result<Vec<(LogNo, u64)>, StoreError> {
    let (mut found, mut from) = (Vec::new(), change.0.to_vec());
    let end = after_prefix(&change.0);
    while let Some((key, _)) = source.range(Table::Named, &from, end.as_deref(), 1)?.pop() {
        let Some((no, seq)) = place_in(&key) else {
            return Err(StoreError::Damaged { table: Table::Named.name() });
        };
        if !is_named_before(source, forks, change, (no, seq))? {
            found.push((no, seq));
        }
        from = match forks.next_of(no, seq) {
            Some(next) => named_key(change, (no, next)),
            None => named_key(change, (no, u64::MAX)),
        };
    }
    Ok(found)
}

/// Whether this record decides a change.
pub fn decides(writing: &Writing<'_>, change: &ChangeHash, place: (LogNo, u64)) -> Result<bool, StoreError> {
    let is_own = writing.get(Table::Named, &named_key(change, place))?.is_some();
    Ok(is_own && !is_named_before(writing, writing.log_index().forks(), change, place)?)
}

/// Whether an earlier record of the same log, as far as that led to this one, names the change. Linear in the forks between.
pub fn is_named_before(
    source: &impl Source,
    forks: &ForkIndex,
    change: &ChangeHash,
    (no, seq): (LogNo, u64),
) -> Result<bool, StoreError> {
    for (no, first, last) in forks.past(source, no, seq - 1)? {
        let (from, end) = (named_key(change, (no, first)), named_key(change, (no, last + 1)));
        if !source.range(Table::Named, &from, Some(&end), 1)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn place_in(key: &[u8]) -> Option<(LogNo, u64)> {
    key.len().checked_sub(RECORD_KEY_BYTES).and_then(|at| read_record_key(&key[at..]))
}
