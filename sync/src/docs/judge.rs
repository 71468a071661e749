//! Content admission (R8): applied, waiting or void, as a pure function of the records held.
//!
//! A record is judged as a whole (R4). Order of arrival never matters: a record waits for what it needs, and
//! for earlier records of its own log on the same document, so that of two changes with one place the
//! earlier is always judged first. Earlier is what led to it by hashes, not what a store has under one number.

mod order;

use std::collections::BTreeSet;

use schema::access::{self, Write};
use schema::author::Author;
use schema::authority::{Enrolment, UserEntry};
use schema::codec::{Canonical, CodecError};
use schema::credential::Credential;
use schema::doc::{DocKind, GenesisFacts};
use schema::id::{ChangeHash, DocId, SiteId, scope_of};
use schema::policy::{AuthorityLog, Pinned, Policy};
use schema::record::{self, BodyKind, Entry, SCHEMA_VERSION, actor, enrolled_user, item_id};
use schema::time::Hlc;

use super::deciders::is_named_before;
use super::enrolments::enrolled;
use super::standing::Standing;
use super::walks::Walks;
use super::{StoredHistory, entry_by_hash, row};
use crate::admission::{RecordWithBodies, read_body};
use crate::change::{
    Facts, Genesis, History as _, JudgeError, Operation, Parsed, Reason, Verdict as Judged, check_place,
    judge as judge_change, parse,
};
use crate::store::rows::{Birth, DocRow, Summary, Verdict, Wait};
use crate::store::tables::LogNo;
use crate::store::{Source, StoreError, Writing};
use order::{all_dependencies, earlier_first, standing_first};

/// A change that may be applied.
#[derive(Debug)]
pub struct Accepted {
    /// To which document.
    pub doc: DocId,
    /// The change.
    pub parsed: Parsed,
    /// Its envelope and ancestors.
    pub facts: Facts,
    /// Its record's time.
    pub at: Hlc,
    /// Where it stands among the changes of its document: never before what it depends on (R28).
    pub order: Hlc,
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
    /// A site sets what somebody logs in with.
    Credential(Credential),
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

/// The reason for which a change is void whose place another one has that is judged before it.
pub(super) const SEQ_TAKEN: &str = "seq-taken";

/// Why a record is void, beside the reasons of [`crate::change::Reason`] and of [`access::Refusal`].
pub const REASONS: [&str; 14] = [
    "body-length",
    "credential-body",
    "depends-on-void",
    "doubled-key",
    "edit-shape",
    "enrolment-body",
    "foreign-document",
    "genesis-id",
    "named-before",
    "of-birth-only",
    "put-on-text",
    SEQ_TAKEN,
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

/// Judges the record at (`no`, seq); `beside` is what stands of its log in other histories.
/// Errors are faults of this machine and say nothing of the record.
pub fn judge(
    (writing, walks): (&Writing<'_>, &Walks),
    authority: &AuthorityLog,
    no: LogNo,
    with: &RecordWithBodies,
    (standing, beside): (Standing, &[(LogNo, u64, u64)]),
) -> Result<Outcome, StoreError> {
    let judged = match with.record.header.kind {
        BodyKind::Edit => judge_edit((writing, walks), authority, no, with, (standing, beside)).map(Outcome::Edit),
        BodyKind::Enrolment => judge_enrolment(writing, authority, with).map(Outcome::Enrol),
        BodyKind::Credential => judge_credential(writing, authority, with, standing).map(Outcome::Credential),
        BodyKind::Other(_) => Err(wait(Wait::Version)),
    };
    match judged {
        Ok(outcome) => Ok(outcome),
        Err(Stop::Quarantined(verdict)) => Ok(Outcome::Quarantined(verdict)),
        Err(Stop::Store(error)) => Err(error),
    }
}

/// The policy that the record is judged by, once everything that it is made of is here and understood.
fn pinned(
    source: &impl Source,
    authority: &AuthorityLog,
    with: &RecordWithBodies,
) -> Result<std::sync::Arc<Policy>, Stop> {
    let header = &with.record.header;
    if header.schema > SCHEMA_VERSION || !with.record.is_understood() {
        return Err(wait(Wait::Version));
    }
    for ((name, _), body) in with.record.bodies().zip(&with.bodies) {
        match body {
            Some(_) => {}
            None if read_body(source, &name)?.is_some() => return Err(void("body-length")),
            None => return Err(wait(Wait::Body(name))),
        }
    }
    match authority.pinned(header.pin) {
        Pinned::Known(policy) => Ok(policy),
        Pinned::Ahead => Err(wait(Wait::Authority(header.pin.at))),
    }
}

/// What a genesis says.
struct NewDocument {
    row: DocRow,
    /// The number that it gives the document, if any.
    number: Option<String>,
}

/// An edit as far as it can be judged without its documents: what it says is the same wherever it is held.
struct Readable {
    policy: std::sync::Arc<Policy>,
    user: Option<Speaker>,
    /// Each entry's change, and the row of the document that it gives birth to.
    entries: Vec<(Parsed, Option<NewDocument>)>,
}

fn read(writing: &Writing<'_>, authority: &AuthorityLog, no: LogNo, with: &RecordWithBodies) -> Result<Readable, Stop> {
    let (header, skeleton) = (&with.record.header, &with.record.skeleton);
    let policy = pinned(writing, authority, with)?;
    // An edit is changes and what they refer to; an origin comes with records of its own kind.
    if skeleton.entries.is_empty() || skeleton.opaque.is_some() || skeleton.origin.is_some() {
        return Err(void("edit-shape"));
    }
    let user = speaker(writing, &policy, &header.log.site, &skeleton.author)?;
    let mut entries = Vec::with_capacity(skeleton.entries.len());
    for (index, body) in with.bodies.iter().flatten().enumerate() {
        entries.push(read_entry(writing, no, with, index, body)?);
    }
    Ok(Readable { policy, user, entries })
}

/// What the changes of an edit depend on: the hashes of other changes. `None` for a record whose changes have no
/// place in any document, whatever is held beside it, or that cannot be read yet.
pub fn dependencies(
    writing: &Writing<'_>,
    authority: &AuthorityLog,
    no: LogNo,
    with: &RecordWithBodies,
) -> Result<Option<Vec<ChangeHash>>, StoreError> {
    if with.record.header.kind != BodyKind::Edit {
        return Ok(None);
    }
    match read(writing, authority, no, with) {
        Ok(read) => Ok(Some(read.entries.iter().flat_map(|(parsed, _)| parsed.dependencies().to_vec()).collect())),
        Err(Stop::Quarantined(_)) => Ok(None),
        Err(Stop::Store(error)) => Err(error),
    }
}

fn judge_edit(
    (writing, walks): (&Writing<'_>, &Walks),
    authority: &AuthorityLog,
    no: LogNo,
    with: &RecordWithBodies,
    (standing, beside): (Standing, &[(LogNo, u64, u64)]),
) -> Result<Vec<Accepted>, Stop> {
    let (header, skeleton) = (&with.record.header, &with.record.skeleton);
    let Readable { policy, user, entries } = read(writing, authority, no, with)?;
    match standing {
        Standing::Stands | Standing::Tainted => {}
        Standing::Beyond(beyond) => return Err(Stop::Quarantined(Verdict::Beyond(beyond))),
        Standing::Stranded => return Err(Stop::Quarantined(Verdict::Stranded)),
    }
    for entry in &skeleton.entries {
        earlier_first(writing, no, header.seq, &entry.doc)?;
    }
    // Before anything is said of it, all that it builds on is here: so what is void brings in nothing that does not stand but
    // what something else brings in as well (R19).
    let histories = all_dependencies((writing, walks), with, &entries)?;
    let item = item_id(header, skeleton);
    let mut accepted = Vec::with_capacity(skeleton.entries.len());
    for ((entry, (parsed, born)), history) in skeleton.entries.iter().zip(entries).zip(&histories) {
        let (birth, number) = born.map(|NewDocument { row, number }| (row, number)).unzip();
        let one = judge_entry(writing, with, (entry, parsed, history), birth)?;
        let (keys, replaced) = keys_of(&one.parsed);
        let write = Write {
            site: header.log.site,
            author: skeleton.author,
            user: user.as_ref().map(|speaker| &speaker.entry),
            scope: header.log.scope,
            kind: one.kind,
            genesis: entry.genesis.is_some(),
            facts: &one.rights,
            number: number.as_ref().and_then(|number| number.as_deref()),
            keys: &keys,
            replaced: &replaced,
            item: &item,
        };
        match access::may(&policy, &write) {
            // The site's word on its own people may still come, and add to what they may do (R15).
            Err(access::Refusal::Role) if user.as_ref().is_some_and(|speaker| speaker.enrolled_here) => {
                if let Author::User(user) = skeleton.author {
                    return Err(wait(Wait::Enrolment(user, header.log.site)));
                }
            }
            Err(access::Refusal::Speaker) if crate::fault_injection::accepts_any_name() => {}
            Err(_) if crate::fault_injection::skips_content_admission() => {}
            Err(refusal) if !crate::fault_injection::skips_rights() => return Err(void(refusal.code())),
            Err(_) | Ok(()) => {}
        }
        accepted.push(one);
    }
    // What else is held decides last: whatever a record says of itself is said of it everywhere (R8).
    for (one, history) in accepted.iter().zip(&histories) {
        // Of two changes with one place the earlier in its log stands (docs/decisions/0003).
        if history.by_seq(&one.facts.actor, one.facts.seq)?.is_some() {
            return Err(match standing {
                Standing::Tainted => Stop::Quarantined(Verdict::Stranded),
                Standing::Stands | Standing::Beyond(_) | Standing::Stranded => void(SEQ_TAKEN),
            });
        }
    }
    standing_first(writing, with, beside)?;
    Ok(accepted)
}

/// Somebody as a site may speak for them.
struct Speaker {
    entry: UserEntry,
    /// Whether only this site's own log says who they are.
    enrolled_here: bool,
}

/// The user as this site may speak for them: as the authority log says, or as the site enrolled them (R11, R15).
fn speaker(source: &impl Source, policy: &Policy, site: &SiteId, author: &Author) -> Result<Option<Speaker>, Stop> {
    let Author::User(user) = author else {
        return Ok(None);
    };
    if let Some(entry) = policy.users.get(user) {
        return Ok(Some(Speaker { entry: UserEntry::clone(entry), enrolled_here: false }));
    }
    match enrolled(source, user, site)? {
        Some(entry) => Ok(Some(Speaker { entry, enrolled_here: true })),
        None => Err(wait(Wait::Enrolment(*user, *site))),
    }
}

/// The first enrolment of somebody stands at the place that their id names; later ones of the same site need it, or
/// that the authority log knows them.
fn judge_enrolment(source: &impl Source, authority: &AuthorityLog, with: &RecordWithBodies) -> Result<Enrolment, Stop> {
    let (header, skeleton) = (&with.record.header, &with.record.skeleton);
    let policy = pinned(source, authority, with)?;
    let body = match with.bodies.as_slice() {
        [Some(body)] if skeleton.opaque.is_some() && skeleton.origin.is_none() => body,
        _ => return Err(void("enrolment-body")),
    };
    let enrolment = Enrolment::from_bytes(body).map_err(|_| void("enrolment-body"))?;
    let (site, scope, author) = (header.log.site, &header.log.scope, &skeleton.author);
    let judged = match policy.users.get(&enrolment.user) {
        Some(known) => access::may_restate(&policy, &site, scope, author, known, &enrolment.grants),
        None => {
            let is_first = enrolment.user == enrolled_user(&header.log, header.seq, header.hlc);
            if !is_first && enrolled(source, &enrolment.user, &site)?.is_none() {
                // Their id names a place in one of this site's logs, or nowhere.
                return Err(wait(Wait::Enrolment(enrolment.user, site)));
            }
            access::may_enrol(&policy, &site, scope, author, &enrolment.grants)
        }
    };
    judged.map_err(|refusal| void(refusal.code()))?;
    Ok(enrolment)
}

/// What a credential says inside is for the sites that it is sealed to; judged is whether its site may set one. Unlike what
/// a site says of its people it counts only where its record stands: a site that was stolen resets nobody's password
/// after its revocation.
fn judge_credential(
    source: &impl Source,
    authority: &AuthorityLog,
    with: &RecordWithBodies,
    standing: Standing,
) -> Result<Credential, Stop> {
    let (header, skeleton) = (&with.record.header, &with.record.skeleton);
    let policy = pinned(source, authority, with)?;
    let is_shaped = skeleton.opaque.is_some() && skeleton.origin.is_none() && skeleton.author == Author::Site;
    let body = match with.bodies.as_slice() {
        [Some(body)] if is_shaped => body,
        _ => return Err(void("credential-body")),
    };
    let credential = Credential::from_bytes(body).map_err(|error| match error {
        CodecError::Newer { .. } => wait(Wait::Version),
        _ => void("credential-body"),
    })?;
    let (site, user) = (header.log.site, credential.user);
    let sites = match policy.users.get(&user) {
        Some(known) => known.sites.clone(),
        None => enrolled(source, &user, &site)?.ok_or_else(|| wait(Wait::Enrolment(user, site)))?.sites,
    };
    access::may_set_credential(&policy, &site, &header.log.scope, &sites).map_err(|refusal| void(refusal.code()))?;
    match standing {
        Standing::Stands => Ok(credential),
        Standing::Beyond(beyond) => Err(Stop::Quarantined(Verdict::Beyond(beyond))),
        // Nothing builds on a credential.
        Standing::Tainted | Standing::Stranded => Err(Stop::Quarantined(Verdict::Stranded)),
    }
}

/// The part of an entry's judgement that looks at no other record but those of its log that name the same change.
fn read_entry(
    writing: &Writing<'_>,
    no: LogNo,
    with: &RecordWithBodies,
    index: usize,
    body: &[u8],
) -> Result<(Parsed, Option<NewDocument>), Stop> {
    let (header, entry) = (&with.record.header, &with.record.skeleton.entries[index]);
    // Of several records of one log that name a change the earliest decides it, whichever came first (R8).
    if is_named_before(writing, writing.log_index().forks(), &entry.change, (no, header.seq))? {
        return Err(void("named-before"));
    }
    let parsed = parse(body).map_err(|reason| void(reason.code()))?;
    let born = match entry.genesis {
        None => None,
        Some(genesis) => {
            if with.record.genesis_id(index) != Some(entry.doc) {
                return Err(void("genesis-id"));
            }
            let [requester, structure, number] = put_texts(&parsed, ["requester", "structure", "number"]);
            let row = DocRow {
                scope: header.log.scope,
                // `pinned` waits for a version that knows any other.
                kind: genesis.kind().ok_or_else(|| wait(Wait::Version))?,
                natural: matches!(genesis, record::Genesis::Natural(..)),
                births: vec![Birth {
                    genesis: parsed.hash(),
                    texts: text_keys(&parsed),
                    facts: GenesisFacts { requester: requester.and_then(|text| text.parse().ok()) },
                }],
                heads: Vec::new(),
                summary: Summary::default(),
            };
            check_birth(&row, with, &parsed, structure.as_deref())?;
            Some(NewDocument { row, number })
        }
    };
    let author = actor(&header.log.site, &header.log.generation, &entry.doc);
    check_place(&parsed, author, place_of(born.as_ref().map(|born| &born.row)))
        .map_err(|reason| void(reason.code()))?;
    Ok((parsed, born))
}

fn place_of(birth: Option<&DocRow>) -> Genesis {
    match birth {
        None => Genesis::No,
        Some(DocRow { natural: true, .. }) => Genesis::NaturalKey,
        Some(DocRow { natural: false, .. }) => Genesis::Random,
    }
}

fn judge_entry(
    source: &impl Source,
    with: &RecordWithBodies,
    (entry, parsed, history): (&Entry, Parsed, &StoredHistory<'_, impl Source>),
    birth: Option<DocRow>,
) -> Result<Accepted, Stop> {
    let header = &with.record.header;
    let author = actor(&header.log.site, &header.log.generation, &entry.doc);
    let judged = match judge_change(&parsed, author, place_of(birth.as_ref()), history) {
        Ok(judged) => judged,
        Err(JudgeError::History(error)) => return Err(Stop::Store(error)),
        Err(JudgeError::Inconsistent { .. } | JudgeError::Missing { .. }) => {
            return Err(Stop::Store(StoreError::Damaged { table: "changes-1" }));
        }
    };
    let facts = match judged {
        Judged::Applied(facts) => facts,
        Judged::Void(reason) => return Err(void(reason.code())),
        // All were here when the record's entries were looked at together.
        Judged::Waiting(_) => return Err(Stop::Store(StoreError::Missing { what: "a change that others build on" })),
    };
    // Facts of a genesis are read from ancestors, so that a second genesis changes nothing for those of the first.
    // A time at the end of all times would leave no place behind it.
    let mut order = header.hlc.min(LAST_ORDER);
    let mut genesis = birth.is_some().then_some(parsed.hash());
    for dependency in &facts.dependencies {
        if let Some((_, entry)) = entry_by_hash(source, dependency)? {
            order = order.max(Hlc(entry.order.0.saturating_add(1)));
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
        if !crate::fault_injection::skips_content_admission()
            && known.kind == DocKind::Ticket
            && parsed.operations().iter().any(of_birth)
        {
            return Err(void("of-birth-only"));
        }
    }
    let (kind, rights) = (known.kind, fixed.facts.clone());
    Ok(Accepted { doc: entry.doc, parsed, facts, at: header.hlc, order, genesis, kind, rights, birth })
}

/// Where a change stands at the latest by its own time: whatever builds on it has room behind it.
const LAST_ORDER: Hlc = Hlc(u64::MAX >> 1);

/// Keys that only a ticket's genesis writes: they say whose it is, and rights and numbers hang on them.
pub(crate) const OF_BIRTH: [&str; 4] = ["number", "structure", "home", "created_at"];

/// A document's kind decides how its id is made, and a ticket stands in the scope of its structure.
fn check_birth(row: &DocRow, with: &RecordWithBodies, parsed: &Parsed, structure: Option<&str>) -> Result<(), Stop> {
    let natural = match row.kind {
        DocKind::Other(_) => return Err(wait(Wait::Version)),
        DocKind::Ticket => false,
        DocKind::TicketNotes | DocKind::Person | DocKind::Group | DocKind::Category | DocKind::Location => true,
    };
    if row.natural != natural {
        return Err(void("wrong-nonce"));
    }
    // Of two values of a birth that is read for rights one could be read and the other shown.
    let mut keys: Vec<&str> = parsed.operations().iter().filter_map(Operation::key).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(void("doubled-key"));
    }
    let header = &with.record.header;
    let structure = structure.and_then(|text| text.parse().ok());
    let stands = structure.is_some_and(|structure| scope_of(&header.org, Some(&structure)) == header.log.scope);
    if row.kind == DocKind::Ticket && !stands {
        return Err(void("wrong-structure"));
    }
    Ok(())
}

/// Root keys that a change writes, and those of them under which it replaces something; any edit of a text counts as
/// the key "(text)", which no item has.
pub fn keys_of(parsed: &Parsed) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut keys, mut replaced) = (BTreeSet::new(), BTreeSet::new());
    for operation in parsed.operations().iter() {
        let key = operation.key().unwrap_or("(text)").to_owned();
        let replaces = match operation {
            Operation::Put { predecessors, .. } | Operation::MakeText { predecessors, .. } => !predecessors.is_empty(),
            Operation::Delete { .. } => true,
            Operation::Insert { .. } | Operation::Erase { .. } => false,
        };
        if replaces {
            replaced.insert(key.clone());
        }
        keys.insert(key);
    }
    (keys, replaced)
}

/// Keys under which a genesis makes Texts, sorted.
fn text_keys(parsed: &Parsed) -> Vec<String> {
    let made = parsed.operations().iter().filter_map(|operation| match operation {
        Operation::MakeText { key, .. } => Some(key.to_string()),
        Operation::Put { .. } | Operation::Delete { .. } | Operation::Insert { .. } | Operation::Erase { .. } => None,
    });
    made.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The texts that a change puts under these keys; of several the first. Linear in the change, which is decoded for it.
fn put_texts<const N: usize>(parsed: &Parsed, wanted: [&str; N]) -> [Option<String>; N] {
    let mut found = [const { None }; N];
    for op in parsed.change().decode().operations {
        let (automerge::legacy::Key::Map(key), automerge::legacy::OpType::Put(value)) = (&op.key, &op.action) else {
            continue;
        };
        let place = wanted.iter().position(|wanted| key == wanted).filter(|place| found[*place].is_none());
        if let Some(place) = place {
            found[place] = value.as_str().map(str::to_owned);
        }
    }
    found
}
