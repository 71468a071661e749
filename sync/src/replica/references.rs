//! What stripped changes refer to (R2): looked up by whoever sends them, and by whoever puts them together again.

use schema::id::{ActorId, ChangeHash, DocId, LogId, ScopeId};

use crate::admission::stored;
use crate::docs::deciders;
use crate::store::log_index::LogName;
use crate::store::rows::IndexEntry;
use crate::store::tables::after_prefix;
use crate::store::{LogIndex, LogNo, LogState, PeerLogs, Reading, Source, StoreError, Table, Writing, decode};
use crate::wire::stripped::{FrameLog, Place, Receiver, Sender};

/// What a frame's records refer to: entries of records that the receiver holds by the time it reads them.
pub(super) struct References<'s> {
    pub(super) reading: &'s Reading,
    pub(super) index: &'s LogIndex,
    pub(super) scope: ScopeId,
    /// What the receiver holds.
    pub(super) peer: &'s PeerLogs<'s, Reading>,
    /// What it gets with this frame, up to here.
    pub(super) sent: std::collections::BTreeMap<LogName, u64>,
}

impl References<'_> {
    fn log(&self, no: LogNo) -> Result<Option<LogState>, StoreError> {
        self.reading.get_as(Table::Logs, &no.to_be_bytes())
    }
}

impl Sender for References<'_> {
    fn place(&self, change: &ChangeHash) -> Result<Option<(LogName, u64, u32, DocId)>, StoreError> {
        let Some((no, seq)) = deciders::any(self.reading, change)? else {
            return Ok(None);
        };
        let named = self.index.forks().name_of(no, seq);
        let id = named.or(self.log(no)?.map(|state| state.id));
        let Some(id) = id.filter(|id| id.scope == self.scope) else {
            return Ok(None);
        };
        let log = (id.site, id.generation);
        if self.sent.get(&log).copied().unwrap_or(0) < seq && self.peer.seq(log)? < seq {
            return Ok(None);
        }
        let record = stored(self.reading, no, seq)?.record;
        let found = (0..).zip(&record.skeleton.entries).find(|(_, entry)| entry.change == *change);
        Ok(found.map(|(entry, named)| (log, seq, entry, named.doc)))
    }

    fn author(&self, doc: &DocId, actor: &ActorId) -> Result<Option<LogName>, StoreError> {
        let prefix = [doc.0.as_slice(), &actor.0].concat();
        let found = self.reading.range(Table::Changes, &prefix, after_prefix(&prefix).as_deref(), 1)?;
        let entry: Option<IndexEntry> = found.first().map(|(_, bytes)| decode(Table::Changes, bytes)).transpose()?;
        let log = entry.map(|entry| self.log(entry.log)).transpose()?.flatten();
        // Actors are drawn from the generation that the records name.
        Ok(log.map(|log| (log.id.site, log.signed_as().generation)))
    }
}

/// What is held of a scope inside the transaction that admits a frame.
pub(super) struct HeldRecords<'w, 't> {
    pub(super) writing: &'w Writing<'t>,
    pub(super) scope: ScopeId,
    pub(super) logs: &'w [LogName],
}

impl Receiver for HeldRecords<'_, '_> {
    fn log(&self, number: FrameLog) -> Option<LogName> {
        self.logs.get(usize::try_from(number).ok()?).copied()
    }

    fn entry(&self, place: &Place) -> Result<Option<(DocId, ChangeHash)>, StoreError> {
        let Some((site, generation)) = self.log(place.log) else {
            return Ok(None);
        };
        let state = self.writing.log(&LogId { site, generation, scope: self.scope })?;
        let Some(no) = state.filter(|state| (state.from()..=state.seq).contains(&place.seq)).map(|state| state.no)
        else {
            return Ok(None);
        };
        let record = stored(self.writing, no, place.seq)?.record;
        Ok(record.skeleton.entries.get(place.entry as usize).map(|entry| (entry.doc, entry.change)))
    }
}
