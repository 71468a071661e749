//! The list of records without effect, or without effect yet (R12). Not a second store: a reading of it.

use schema::id::ScopeId;
use schema::record::Record;

use crate::admission::stored;
use crate::store::rows::Verdict;
use crate::store::tables::read_record_key;
use crate::store::{Source, StoreError, Table, decode};

/// A quarantined record and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The record.
    pub record: Record,
    /// Why it has no effect.
    pub verdict: Verdict,
}

/// At most `limit` quarantined records of the scopes that `may_see` allows.
pub fn list(
    source: &impl Source,
    limit: usize,
    may_see: impl Fn(&ScopeId) -> bool,
) -> Result<Vec<Quarantined>, StoreError> {
    let mut found = Vec::new();
    for (key, bytes) in source.prefixed(Table::Quarantine, &[])? {
        if found.len() == limit {
            break;
        }
        let (log, seq) =
            read_record_key(&key).ok_or(StoreError::Missing { what: "the key of a quarantined record" })?;
        let record = stored(source, log, seq)?.record;
        if may_see(&record.header.log.scope) {
            found.push(Quarantined { record, verdict: decode(Table::Quarantine, &bytes)? });
        }
    }
    Ok(found)
}
