//! Content admission (R8): applied, waiting or void, as a pure function of the records held.
//!
//! A record is judged as a whole (R4). Order of arrival never matters: a record waits for what it needs, and
//! for earlier records of its own log on the same document, so that of two changes with one place the
//! earlier is always judged first.

use std::collections::BTreeSet;

use schema::access::{self, GenesisFacts, Write};
use schema::authority::{Enrolment, UserEntry};
use schema::codec::Canonical;
use schema::doc::DocKind;
use schema::id::{ChangeHash, DocId, ScopeId, SiteId, UserId};
use schema::policy::{AuthorityLog, Pinned, Policy};
use schema::record::{Author, BodyKind, Entry, SCHEMA_VERSION, actor, enrolled_user, scope_of};
use schema::time::Hlc;

use super::{StoredHistory, entry_by_hash, row};
use crate::admission::{RecordWithBodies, read_body, records_naming};
use crate::change::{
    Facts, Genesis, History as _, JudgeError, Operation, Parsed, Reason, Verdict as Judged, judge as judge_change,
    parse, scan,
};
use crate::store::rows::{Birth, DocRow, EnrolmentRow, Verdict, Wait};
use crate::store::tables::{LogNo, enrolment_key, record_key};
use crate::store::{Source, StoreError, Table};

/// A change that may be applied.
#[derive(Debug)]
pub struct Accepted {
    /// To which document.
    pub doc: DocId,
    /// The change.
    pub parsed: Parsed,
    /// Its envelope and ancestors.
    pub facts: Facts,
    /// Its time, never before its causal parents in the document (R28).
    pub at: Hlc,
    /// The genesis it descends from (itself, if it is one); of several, the smallest hash.
    pub genesis: ChangeHash,
    /// The document's kind.
    pub kind: DocKind,
    /// What its genesis says for rights.
    pub rights: GenesisFacts,
    /// Set by a genesis: the row of the document it gives birth to (heads are left to `apply`).
    pub birth: Option<DocRow>,
}

/// What becomes of a record.
#[derive(Debug)]
pub enum Outcome {
    /// Its changes are applied.
    Edit(Vec<Accepted>),
    /// A site says something of its people.
    Enrol(Enrolment),
    /// It has no effect, or none yet.
    Quarantined(Verdict),
}

enum Stop {
    Quarantined(Verdict),
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Why a record is void, beside the reasons of [`crate::change::Reason`] and of [`access::Refusal`].
pub const REASONS: [&str; 10] = [
    "depends-on-void",
    "enrolment-body",
    "enrolment-user",
    "foreign-document",
    "genesis-id",
    "of-birth-only",
    "put-on-text",
    "seq-taken",
    "wrong-nonce",
    "wrong-structure",
];

fn void(code: &str) -> Stop {
    let known = REASONS.contains(&code)
        || access::Refusal::ALL.iter().any(|refusal| refusal.code() == code)
        || Reason::from_code(code).is_some();
    debug_assert!(known, "{code} is in no list of reasons");
    Stop::Quarantined(Verdict::Void(code.to_owned()))
}

fn wait(wait: Wait) -> Stop {
    Stop::Quarantined(Verdict::Waiting(wait))
}

/// Judges the record at (`no`, seq). Errors are faults of this machine and say nothing of the record.
pub fn judge(
    source: &impl Source,
    authority: &AuthorityLog,
    no: LogNo,
    full: &RecordWithBodies,
) -> Result<Outcome, StoreError> {
    let judged = match full.record.header.kind {
        BodyKind::Edit => judge_edit(source, authority, no, full).map(Outcome::Edit),
        BodyKind::Enrolment => judge_enrolment(authority, full).map(Outcome::Enrol),
        BodyKind::Other(_) => Err(wait(Wait::Version)),
    };
    match judged {
        Ok(outcome) => Ok(outcome),
        Err(Stop::Quarantined(verdict)) => Ok(Outcome::Quarantined(verdict)),
        Err(Stop::Store(error)) => Err(error),
    }
}

fn pinned(authority: &AuthorityLog, full: &RecordWithBodies) -> Result<std::sync::Arc<Policy>, Stop> {
    let header = &full.record.header;
    if header.schema > SCHEMA_VERSION {
        return Err(wait(Wait::Version));
    }
    match authority.pinned(header.authority) {
        Pinned::Known(policy) => Ok(policy),
        Pinned::Ahead => Err(wait(Wait::Authority(header.authority))),
    }
}

fn judge_edit(
    source: &impl Source,
    authority: &AuthorityLog,
    no: LogNo,
    full: &RecordWithBodies,
) -> Result<Vec<Accepted>, Stop> {
    let header = &full.record.header;
    let policy = pinned(authority, full)?;
    for entry in full.record.skeleton.entries() {
        earlier_first(source, no, header.seq, &entry.doc)?;
    }
    let user = speaker(source, &policy, &header.log.site, &full.record.skeleton.author)?;
    let entries = full.record.skeleton.entries().iter().zip(&full.bodies).enumerate();
    entries
        .map(|(index, (entry, body))| {
            let accepted = judge_entry(source, full, index, entry, body)?;
            let write = Write {
                site: header.log.site,
                author: full.record.skeleton.author,
                user: user.as_ref(),
                scope: header.log.scope,
                kind: accepted.kind,
                genesis: entry.genesis.is_some(),
                facts: &accepted.rights,
                keys: &keys_of(&accepted.parsed),
            };
            match access::may(&policy, &write) {
                Err(refusal) if !crate::fault_injection::skips_rights() => Err(void(refusal.code())),
                _ => Ok(accepted),
            }
        })
        .collect()
}

/// A record waits while an earlier one of its log on the same document does.
fn earlier_first(source: &impl Source, no: LogNo, seq: u64, doc: &DocId) -> Result<(), Stop> {
    let wait_for = Wait::Earlier(*doc, no);
    let first = source.range(Table::Waiting, &wait_for.key(), Some(&wait_for.row_key(no, seq)), 1)?;
    if first.is_empty() { Ok(()) } else { Err(wait(wait_for)) }
}

/// The user as this site may speak for them: as the authority log says, or as the site enrolled them (R11, R15).
fn speaker(source: &impl Source, policy: &Policy, site: &SiteId, author: &Author) -> Result<Option<UserEntry>, Stop> {
    let Author::User(user) = author else {
        return Ok(None);
    };
    if let Some(entry) = policy.users.get(user) {
        return Ok(Some(UserEntry::clone(entry)));
    }
    match enrolled(source, user, site)? {
        Some(enrolment) => Ok(Some(as_entry(enrolment, site))),
        None => Err(wait(Wait::Enrolment(*user, *site))),
    }
}

/// What a site's own log says of a user: there is one record that may, since the user's id names its place.
pub fn enrolled(source: &impl Source, user: &UserId, site: &SiteId) -> Result<Option<Enrolment>, StoreError> {
    let row: Option<EnrolmentRow> = source.get_as(Table::Enrolments, &enrolment_key(user, site))?;
    Ok(row.map(|row| row.enrolment))
}

/// A user for whom only the site that enrolled them speaks.
pub fn as_entry(enrolment: Enrolment, site: &SiteId) -> UserEntry {
    UserEntry {
        user: enrolment.user,
        login: enrolment.login,
        grants: enrolment.grants,
        sites: vec![*site],
        standing: enrolment.standing,
    }
}

fn judge_enrolment(authority: &AuthorityLog, full: &RecordWithBodies) -> Result<Enrolment, Stop> {
    let header = &full.record.header;
    let policy = pinned(authority, full)?;
    let [body] = full.bodies.as_slice() else {
        return Err(void("enrolment-body"));
    };
    let enrolment = Enrolment::from_bytes(body).map_err(|_| void("enrolment-body"))?;
    if enrolment.user != enrolled_user(&header.log, header.seq) {
        return Err(void("enrolment-user"));
    }
    let author = &full.record.skeleton.author;
    access::may_enrol(&policy, &header.log.site, &header.log.scope, author, &enrolment.grants)
        .map_err(|refusal| void(refusal.code()))?;
    Ok(enrolment)
}

fn judge_entry(
    source: &impl Source,
    full: &RecordWithBodies,
    index: usize,
    entry: &Entry,
    body: &[u8],
) -> Result<Accepted, Stop> {
    let header = &full.record.header;
    let parsed = parse(body).map_err(|reason| void(reason.code()))?;
    let birth = match entry.genesis {
        None => None,
        Some(genesis) => {
            if full.record.genesis_id(index) != Some(entry.doc) {
                return Err(void("genesis-id"));
            }
            Some(DocRow {
                scope: header.log.scope,
                kind: genesis.kind,
                natural: genesis.natural.is_some(),
                births: vec![Birth {
                    genesis: parsed.hash(),
                    texts: text_keys(&parsed),
                    facts: GenesisFacts { requester: requester(&parsed) },
                }],
                heads: Vec::new(),
            })
        }
    };
    if let Some(row) = &birth {
        check_birth(row, full, &parsed)?;
    }
    let history = StoredHistory::new(source, entry.doc);
    let place = match &birth {
        None => Genesis::No,
        Some(DocRow { natural: true, .. }) => Genesis::NaturalKey,
        Some(DocRow { natural: false, .. }) => Genesis::Random,
    };
    let author = actor(&header.log.site, &header.log.generation, &entry.doc);
    let judged = match judge_change(&parsed, author, place, &history) {
        Ok(judged) => judged,
        Err(JudgeError::History(error)) => return Err(Stop::Store(error)),
        Err(JudgeError::Inconsistent { .. }) => return Err(Stop::Store(StoreError::Damaged { table: "changes-1" })),
    };
    let facts = match judged {
        Judged::Applied(facts) => facts,
        Judged::Void(reason) => return Err(void(reason.code())),
        Judged::Waiting(missing) => return Err(missing_dependency(source, &header.log.scope, &missing)?),
    };
    // Of two changes with one place the earlier in its log stands (docs/decisions/0003).
    if history.by_seq(&author, facts.seq)?.is_some() {
        return Err(void("seq-taken"));
    }
    // Facts of a genesis are read from ancestors, so that a second genesis changes nothing for those of the first.
    let mut at = header.hlc;
    let mut genesis = birth.is_some().then_some(parsed.hash());
    for dependency in &facts.dependencies {
        if let Some((_, entry)) = entry_by_hash(source, dependency)? {
            at = at.max(Hlc(entry.at.0.saturating_add(1)));
            genesis = Some(genesis.map_or(entry.genesis, |first| first.min(entry.genesis)));
        }
    }
    let genesis = genesis.ok_or_else(|| void("no-dependencies"))?;
    let known = match &birth {
        Some(born) => Some(born.clone()),
        None => row(source, &entry.doc)?.filter(|row| row.scope == header.log.scope),
    };
    let known = known.ok_or_else(|| void("foreign-document"))?;
    let fixed = known.birth(&genesis).ok_or(StoreError::Missing { what: "the genesis of a document" })?;
    if birth.is_none() {
        // A put without predecessors on a Text's key would hide the Text (docs/decisions/0002).
        let on_text =
            |operation: &Operation| operation.key().is_some_and(|key| fixed.texts.iter().any(|text| text == key));
        if parsed.operations().iter().any(on_text) {
            return Err(void("put-on-text"));
        }
        let of_birth = |operation: &Operation| operation.key().is_some_and(|key| OF_BIRTH.contains(&key));
        if known.kind == DocKind::Ticket && parsed.operations().iter().any(of_birth) {
            return Err(void("of-birth-only"));
        }
    }
    let (kind, rights) = (known.kind, fixed.facts.clone());
    Ok(Accepted { doc: entry.doc, parsed, facts, at, genesis, kind, rights, birth })
}

/// Keys that only a ticket's genesis writes: they say whose it is, and rights and numbers hang on them.
const OF_BIRTH: [&str; 4] = ["number", "structure", "home", "created_at"];

/// A document's kind decides how its id is made, and a ticket stands in the scope of its structure.
fn check_birth(row: &DocRow, full: &RecordWithBodies, parsed: &Parsed) -> Result<(), Stop> {
    let natural = match row.kind {
        DocKind::Other(_) => return Err(wait(Wait::Version)),
        DocKind::Ticket => false,
        DocKind::TicketNotes | DocKind::Person | DocKind::Group | DocKind::Category | DocKind::Location => true,
    };
    if row.natural != natural {
        return Err(void("wrong-nonce"));
    }
    let header = &full.record.header;
    let structure = put_text(parsed, "structure").and_then(|text| text.parse().ok());
    let stands = structure.is_some_and(|structure| scope_of(&header.org, Some(&structure)) == header.log.scope);
    if row.kind == DocKind::Ticket && !stands {
        return Err(void("wrong-structure"));
    }
    Ok(())
}

/// What becomes of a record whose first missing dependency is this: void if the record that made it is void,
/// otherwise it waits. Only that one is looked at, and only in this scope, so that order and other scopes
/// held do not matter; when it comes, the next is looked for.
fn missing_dependency(source: &impl Source, scope: &ScopeId, missing: &[ChangeHash]) -> Result<Stop, StoreError> {
    let Some(hash) = missing.first() else {
        return Ok(void("no-dependencies"));
    };
    for (no, seq) in records_naming(source, hash)? {
        let held: Option<Verdict> = source.get_as(Table::Quarantine, &record_key(no, seq))?;
        if !matches!(held, Some(Verdict::Void(_))) {
            continue;
        }
        let record = crate::admission::stored(source, no, seq)?.record;
        let log = record.header.log;
        let body = read_body(source, &hash.0)?.unwrap_or_default();
        let made = record.skeleton.entries().iter().find(|entry| entry.change == *hash);
        // A copy of somebody's change is void and says nothing of the change itself.
        let genuine = match (made, scan(&body)) {
            (Some(entry), Ok(scan)) => scan.actor == actor(&log.site, &log.generation, &entry.doc),
            (_, Err(_)) => true,
            (None, Ok(_)) => false,
        };
        if genuine && log.scope == *scope {
            return Ok(void("depends-on-void"));
        }
    }
    Ok(wait(Wait::Change(*hash)))
}

/// Root keys that a change writes; any edit of a text counts as the key "(text)", which no conversation has.
pub fn keys_of(parsed: &Parsed) -> BTreeSet<String> {
    let key = |operation: &Operation| operation.key().map_or_else(|| "(text)".to_owned(), str::to_owned);
    parsed.operations().iter().map(key).collect()
}

/// Keys under which a genesis makes Texts, sorted.
fn text_keys(parsed: &Parsed) -> Vec<String> {
    let made = parsed.operations().iter().filter_map(|operation| match operation {
        Operation::MakeText { key, .. } => Some(key.to_string()),
        Operation::Put { .. } | Operation::Delete { .. } | Operation::Insert { .. } | Operation::Erase { .. } => None,
    });
    made.collect::<BTreeSet<_>>().into_iter().collect()
}

fn requester(parsed: &Parsed) -> Option<DocId> {
    put_text(parsed, "requester")?.parse().ok()
}

/// The text that a change puts under a key.
fn put_text(parsed: &Parsed, wanted: &str) -> Option<String> {
    let decoded = parsed.change().decode();
    decoded.operations.iter().find_map(|op| match (&op.key, &op.action) {
        (automerge::legacy::Key::Map(key), automerge::legacy::OpType::Put(value)) if key == wanted => {
            value.as_str().map(str::to_owned)
        }
        _ => None,
    })
}
