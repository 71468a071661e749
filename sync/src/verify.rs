//! Checking a whole store: every chain, hash and signature, and every document against its records.

use std::collections::BTreeSet;

use schema::codec::Canonical;
use schema::doc::DocKind;
use schema::fork::{ForkProof, branch_name};
use schema::id::{DocId, LogId, RecordHash};
use schema::identity::{Purpose, verify as verify_signature};
use schema::policy::AuthorityLog;
use schema::record::Previous;

use crate::admission::{is_named, read_body, stored};
use crate::docs;
use crate::store::log_index::{ForkIndex, every_log};
use crate::store::{LogIndex, LogState, Source, StoreError, Table};

/// What was checked and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Logs.
    pub logs: u64,
    /// Records.
    pub records: u64,
    /// Signatures.
    pub signatures: u64,
    /// Documents.
    pub documents: u64,
    /// What is wrong, in words for an operator.
    pub faults: Vec<String>,
}

/// Checks everything in the store. Errors only if it cannot be read at all.
pub fn verify(source: &impl Source, authority: &AuthorityLog) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let index = LogIndex::load(source)?;
    proofs(source, index.forks(), &mut report)?;
    for state in every_log(source)?.into_values() {
        report.logs += 1;
        if authority.current().is_some_and(|policy| !policy.sites.contains_key(&state.id.site)) {
            report.faults.push(format!("log {}: its site is not in the authority log", state.id));
        }
        log(source, index.forks(), &state, &mut report);
    }
    let docs: BTreeSet<DocId> =
        source.prefixed(Table::Docs, &[])?.iter().filter_map(|(key, _)| DocId::from_slice(key)).collect();
    for doc in docs {
        report.documents += 1;
        if let Err(error) = document(source, &doc, &mut report) {
            report.faults.push(format!("document {doc}: {error}"));
        }
    }
    Ok(report)
}

/// What a proof says of where a log ends is as good as its two signatures, or as the fork at which a history of it ends
/// unsigned (R20).
fn proofs(source: &impl Source, forks: &ForkIndex, report: &mut Report) -> Result<(), StoreError> {
    for (_, bytes) in source.prefixed(Table::Forks, &[])? {
        report.signatures += 2;
        let is_end = |log: &LogId, seq, hash: &RecordHash| forks.ends_at(log, seq, hash);
        if ForkProof::from_bytes(&bytes).is_ok_and(|proof| proof.verify(is_end).is_ok()) {
            continue;
        }
        report.faults.push("the proof of a fork proves nothing".to_owned());
    }
    Ok(())
}

/// A log holds its records from its first one on, which for a history behind a fork is the one that follows the last in
/// common; they name the log that forked.
fn log(source: &impl Source, forks: &ForkIndex, state: &LogState, report: &mut Report) {
    let signed_as = state.signed_as();
    let mut before: Option<RecordHash> = state.branch.map(|branch| branch.base);
    for seq in state.from()..=state.seq {
        report.records += 1;
        let found = match stored(source, state.no, seq) {
            Ok(found) => found,
            Err(error) => {
                report.faults.push(format!("log {} record {seq}: {error}", state.id));
                return;
            }
        };
        let header = &found.record.header;
        let follows = match header.previous {
            Previous::Record(previous) => before == Some(previous),
            Previous::First | Previous::After { .. } => seq == 1,
        };
        let hash = header.hash();
        let bodies = found.record.bodies().all(|(name, _)| match read_body(source, &name) {
            Ok(Some(body)) => is_named(&body, &name),
            // Named only: erased, dropped, or still to come.
            Ok(None) => true,
            Err(_) => false,
        });
        let genesis = (0..found.record.skeleton.entries.len()).all(|index| {
            found.record.genesis_id(index).is_none_or(|id| found.record.skeleton.entries[index].doc == id)
        });
        // Its name is what its first record makes it.
        let is_its_own = header.log == signed_as
            && state.branch.is_none_or(|branch| seq != branch.from || branch_name(&signed_as, &hash) == state.id);
        if !follows || !is_its_own || header.seq != seq || header.skeleton != found.record.skeleton.hash() {
            report.faults.push(format!("log {} record {seq}: the chain is broken", state.id));
        }
        if !bodies {
            report.faults.push(format!("log {} record {seq}: a body is another than the one named", state.id));
        }
        if !genesis {
            report.faults.push(format!("log {} record {seq}: a document has another id", state.id));
        }
        if let Some(signature) = &found.signature {
            report.signatures += 1;
            if !verify_signature(&state.id.site, Purpose::Record, &hash.0, signature) {
                report.faults.push(format!("log {} record {seq}: the signature is not the site's", state.id));
            }
        } else if seq == state.seq && !forks.ends_at(&signed_as, seq, &hash) {
            report.faults.push(format!("log {} record {seq}: the last record is not signed", state.id));
        }
        before = Some(hash);
    }
    if state.seq > 0 && before != Some(state.hash) {
        report.faults.push(format!("log {}: it ends at another record than noted", state.id));
    }
}

/// The saved document must be the one that its records make.
fn document(source: &impl Source, doc: &DocId, report: &mut Report) -> Result<(), StoreError> {
    let row = docs::row(source, doc)?.ok_or(StoreError::Missing { what: "a document" })?;
    if matches!(row.kind, DocKind::Other(_)) {
        return Ok(());
    }
    let mut heads: Vec<[u8; 32]> = docs::load(source, doc)?.get_heads().iter().map(|head| head.0).collect();
    heads.sort_unstable();
    if heads != row.heads.iter().map(|head| head.0).collect::<Vec<_>>() {
        report.faults.push(format!("document {doc}: it is not what its records make"));
    }
    Ok(())
}
