//! What stripped changes refer to (R2): looked up by whoever sends them, and by whoever puts them together again.

use schema::id::{ActorId, ChangeHash, DocId, LogId, ScopeId};

use crate::admission::{records_naming, stored};
use crate::store::log_index::HeldSeqs;
use crate::store::rows::IndexEntry;
use crate::store::tables::after_prefix;
use crate::store::{LogIndex, Reading, Source, StoreError, Table, Writing, decode};
use crate::wire::stripped::{LogName, Place, Receiver, Sender};

/// What a frame's records refer to: entries of records that the receiver holds by the time it reads them.
pub(super) struct References<'s> {
    pub(super) reading: &'s Reading,
    pub(super) local: &'s LogIndex,
    pub(super) scope: ScopeId,
    /// What the receiver holds, with the runs of this frame so far.
    pub(super) held: HeldSeqs,
}

impl Sender for References<'_> {
    fn place(&self, change: &ChangeHash) -> Result<Option<(Place, DocId)>, StoreError> {
        for (no, seq) in records_naming(self.reading, change)? {
            // A copy of somebody's change may stand in another scope.
            let Some(id) = self.local.numbers.get(&no).filter(|id| id.scope == self.scope) else {
                continue;
            };
            let log = (id.site, id.generation);
            if self.held.get(&log).is_none_or(|held| *held < seq) {
                continue;
            }
            let record = stored(self.reading, no, seq)?.record;
            let found = record.skeleton.entries().iter().enumerate().find(|(_, entry)| entry.change == *change);
            if let Some((entry, named)) = found {
                return Ok(Some((Place { log, seq, entry: entry as u64 }, named.doc)));
            }
        }
        Ok(None)
    }

    fn author(&self, doc: &DocId, actor: &ActorId) -> Result<Option<LogName>, StoreError> {
        let prefix = [doc.0.as_slice(), &actor.0].concat();
        let found = self.reading.range(Table::Changes, &prefix, after_prefix(&prefix).as_deref(), 1)?;
        let entry: Option<IndexEntry> = found.first().map(|(_, bytes)| decode(Table::Changes, bytes)).transpose()?;
        let id = entry.and_then(|entry| self.local.numbers.get(&entry.log));
        Ok(id.map(|id| (id.site, id.generation)))
    }
}

/// What is held of a scope inside the transaction that admits a frame.
pub(super) struct HeldRecords<'w, 't> {
    pub(super) writing: &'w Writing<'t>,
    pub(super) scope: ScopeId,
}

impl Receiver for HeldRecords<'_, '_> {
    fn entry(&self, place: &Place) -> Result<Option<(DocId, ChangeHash)>, StoreError> {
        let (site, generation) = place.log;
        let state = self.writing.log_index().logs.get(&LogId { site, generation, scope: self.scope });
        let Some(no) = state.filter(|state| (1..=state.seq).contains(&place.seq)).map(|state| state.no) else {
            return Ok(None);
        };
        let record = stored(self.writing, no, place.seq)?.record;
        Ok(record.skeleton.entries().get(place.entry as usize).map(|entry| (entry.doc, entry.change)))
    }
}
