//! What a record waits for: earlier records of its log, what stands beside it, and what its changes build on.

use schema::id::{ChangeHash, DocId, ScopeId};

use super::super::anew::seats;
use super::super::walks::Walks;
use super::super::{StoredHistory, deciders};
use super::{NewDocument, Stop, void, wait};
use crate::admission::{RecordWithBodies, stored, with_bodies};
use crate::change::{History as _, Parsed};
use crate::store::rows::{Verdict, Wait};
use crate::store::tables::{LogNo, RECORD_KEY_BYTES, read_record_key, record_key};
use crate::store::{Source as _, StoreError, Table, Writing};

/// A record waits while an earlier one of its log on the same document does.
pub(super) fn earlier_first(writing: &Writing<'_>, no: LogNo, seq: u64, doc: &DocId) -> Result<(), Stop> {
    for (other, first, last) in writing.log_index().forks().past(writing, no, seq - 1)? {
        if !waiting(writing, doc, (other, first, last), 1)?.is_empty() {
            return Err(wait(Wait::Earlier(*doc, other)));
        }
    }
    Ok(())
}

/// What does not stand waits while something of its log that does, in another history, waits for the same place in a document.
/// Linear in what waits there, at most [`MAX_BESIDE`]: behind more it waits for those as well.
pub(super) fn standing_first(
    writing: &Writing<'_>,
    with: &RecordWithBodies,
    beside: &[(LogNo, u64, u64)],
) -> Result<(), Stop> {
    let seats = seats(with);
    for ((doc, ..), range) in seats.iter().flat_map(|seat| beside.iter().map(move |range| (seat, *range))) {
        let found = waiting(writing, doc, range, MAX_BESIDE)?;
        let mut is_claimed = found.len() == MAX_BESIDE;
        for (no, seq) in found {
            let other = with_bodies(writing, stored(writing, no, seq)?)?;
            is_claimed |= self::seats(&other).iter().any(|seat| seats.contains(seat));
        }
        if is_claimed {
            return Err(wait(Wait::Earlier(*doc, range.0)));
        }
    }
    Ok(())
}

/// Waiting records that are looked at for the places that they claim.
const MAX_BESIDE: usize = 64;

/// The records between two of a log that wait and name a document, at most `limit`.
fn waiting(
    writing: &Writing<'_>,
    doc: &DocId,
    (no, first, last): (LogNo, u64, u64),
    limit: usize,
) -> Result<Vec<(LogNo, u64)>, StoreError> {
    let all = Wait::Earlier(*doc, no);
    let (from, end) = (all.row_key(no, first), all.row_key(no, last.saturating_add(1)));
    let rows = writing.range(Table::Waiting, &from, Some(&end), limit)?;
    Ok(rows.iter().filter_map(|(row, _)| row.get(from.len() - RECORD_KEY_BYTES..).and_then(read_record_key)).collect())
}

/// The histories in which a record's changes find all that they build on. Where something is not applied the record is void if
/// all of that is for good, otherwise it waits for the first that is not. Linear in what it builds on.
pub(super) fn all_dependencies<'w, 't>(
    (writing, walks): (&'w Writing<'t>, &'w Walks),
    with: &RecordWithBodies,
    entries: &[(Parsed, Option<NewDocument>)],
) -> Result<Vec<StoredHistory<'w, Writing<'t>>>, Stop> {
    let scope = &with.record.header.log.scope;
    let (mut is_void, mut histories) = (false, Vec::with_capacity(entries.len()));
    for (entry, (parsed, _)) in with.record.skeleton.entries.iter().zip(entries) {
        let history = StoredHistory::with(writing, entry.doc, walks);
        for hash in parsed.dependencies() {
            if history.by_hash(hash)?.is_some() {
                continue;
            }
            if !is_void_for_good(writing, scope, hash)? {
                return Err(wait(Wait::Change(*hash)));
            }
            is_void = true;
        }
        histories.push(history);
    }
    if is_void { Err(void("depends-on-void")) } else { Ok(histories) }
}

/// Whether a change is void whatever else comes: the record that decides it is, in this scope, so that other scopes held do
/// not matter, and stands before any fork of its log. Behind one another history may name the change as well.
fn is_void_for_good(writing: &Writing<'_>, scope: &ScopeId, change: &ChangeHash) -> Result<bool, StoreError> {
    let forks = writing.log_index().forks();
    for (no, seq) in deciders::all(writing, forks, change)? {
        let verdict: Option<Verdict> = writing.get_as(Table::Quarantine, &record_key(no, seq))?;
        if forks.name_of(no, seq).is_none() && matches!(verdict, Some(Verdict::Void(_))) {
            return Ok(stored(writing, no, seq)?.record.header.log.scope == *scope);
        }
    }
    Ok(false)
}
