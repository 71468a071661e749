//! Every table of the store: its key, its value, its reason (R25). The version is in the name.
//!
//! Keys are big-endian bytes, so that ranges follow numbers. Every value is sealed with a hash of its own
//! (`seal`), because redb alone returns wrong bytes silently.

use schema::id::{ActorId, ChangeHash, DocId, ScopeId, SiteId};

/// A table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Small facts of the store: text -> bytes.
    Meta,
    /// Log number u32 -> `LogState`. Numbers are this store's own and stand for 64 bytes of log id.
    Logs,
    /// Log id 64 -> log number u32.
    LogNumbers,
    /// Log number u32 -> nothing: the open ones, which a start reads (R1).
    OpenLogs,
    /// Log number u32, seq u64 -> `StoredRecord`. Truth.
    Records,
    /// Scope 16, counter u64 -> log number u32, seq u64, chain 16: the order in which records came here
    /// (R21), with a hash chain that ties a peer's cursor to this very order.
    Arrivals,
    /// `BodyName` 33 -> bytes. Truth, until a document holds them.
    Bodies,
    /// `BodyName` 33, log number u32, seq u64 -> nothing: records held here whose body is not (R2).
    NamedOnly,
    /// Change hash 32, log number u32, seq u64 -> nothing: the records of its own author's log that name it, of which the
    /// earliest decides it (R8). Copies in other logs decide nothing and are not listed.
    Named,
    /// Document 32, log number u32, seq u64 -> nothing: every record that names it, to judge it again.
    DocRecords,
    /// Document 32 -> `DocRow`: kind, scope, heads, genesis facts.
    Docs,
    /// Document 32, key text -> `Register`: what stands under a key, so that nothing else of the document need be loaded
    /// (R30). A cache of the records.
    Registers,
    /// Document 32 -> saved Automerge document, as it was when a text of it last changed. A cache of the records.
    Snapshots,
    /// Document 32 -> nothing: what changed and may not be in the read model yet (R27).
    Stale,
    /// Document 32, actor 16, seq u64 -> `IndexEntry`: envelope and ancestor checks, authorship, history.
    Changes,
    /// Change hash 32 -> key in `Changes`.
    Applied,
    /// Log number u32, seq u64 -> `Verdict`: void and waiting records and why (R12).
    Quarantine,
    /// Wait key, log number u32, seq u64 -> nothing: what waits, by what it waits for (R9).
    Waiting,
    /// First key of waiting rows -> end key: to be judged again, in portions (R9).
    Due,
    /// Document 32, log number u32, seq u64 -> nothing: records that name it and do not stand (R19).
    Beyond,
    /// Log number u32, seq u64 -> `Mark`: records that do not stand, on which one depends that does (R19).
    Tainted,
    /// Name under which a command behind a fork is issued again, log number u32, seq u64 -> nothing: those that were not
    /// issued again yet (R20).
    Unissued,
    /// Log number u32 -> next seq u64: what stands of it may have changed; to be looked at again, in portions (R19).
    Restand,
    /// Position u64 -> signed statement of the authority log. Truth.
    Authority,
    /// User 16, site 32, log number u32, seq u64 -> `Said`: what that site's logs say (R15). A cache of the records.
    Enrolments,
    /// Site 32, user 16 -> nothing: what that site said of them last is not in the authority log yet (R15).
    Uncopied,
    /// User 16, rank 92 -> log number u32, seq u64: the credentials that stand, of each user in the order of their ranks,
    /// so that the last one counts (R16). A cache of the records.
    Credentials,
    /// 0 and user 16 -> nothing: whether what they log in with is sealed to every site that it is for is to be looked at.
    /// 1 -> user 16: that of every user from there on.
    Unsealed,
    /// Site 32, scope 16 -> newest signed frontier announcement (R17).
    Frontiers,
    /// Peer's store 16, scope 16, lane u8 -> counter u64, chain 16: how far its arrivals are held here.
    Cursors,
    /// Command name -> log number u32, seq u64: issuing a command twice makes one thing (R4). Of applied records alone.
    Commands,
    /// Log id 64, seq u64, two record hashes -> `ForkProof`: where a log ended because its key signed two histories (R20).
    Forks,
    /// Log id 64 -> `LogState` of a history behind a fork (R20).
    Branches,
    /// Record hash 32 -> user 16: records without effect that somebody at this site adopted or discarded (R12).
    Discarded,
}

impl Table {
    /// Every table, in the order of their slots.
    pub const ALL: [Self; 34] = [
        Self::Meta,
        Self::Logs,
        Self::LogNumbers,
        Self::OpenLogs,
        Self::Records,
        Self::Arrivals,
        Self::Bodies,
        Self::NamedOnly,
        Self::Named,
        Self::DocRecords,
        Self::Docs,
        Self::Registers,
        Self::Snapshots,
        Self::Stale,
        Self::Changes,
        Self::Applied,
        Self::Quarantine,
        Self::Waiting,
        Self::Due,
        Self::Beyond,
        Self::Tainted,
        Self::Unissued,
        Self::Restand,
        Self::Authority,
        Self::Enrolments,
        Self::Uncopied,
        Self::Credentials,
        Self::Unsealed,
        Self::Frontiers,
        Self::Cursors,
        Self::Commands,
        Self::Forks,
        Self::Branches,
        Self::Discarded,
    ];

    /// Its name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta-1",
            Self::Logs => "logs-1",
            Self::LogNumbers => "log-numbers-1",
            Self::OpenLogs => "open-logs-1",
            Self::Records => "records-1",
            Self::Arrivals => "arrivals-1",
            Self::Bodies => "bodies-1",
            Self::NamedOnly => "named-only-1",
            Self::Named => "named-1",
            Self::DocRecords => "doc-records-1",
            Self::Docs => "docs-1",
            Self::Registers => "registers-1",
            Self::Snapshots => "snapshots-1",
            Self::Stale => "stale-1",
            Self::Changes => "changes-1",
            Self::Applied => "applied-1",
            Self::Quarantine => "quarantine-1",
            Self::Waiting => "waiting-1",
            Self::Due => "due-1",
            Self::Beyond => "beyond-1",
            Self::Tainted => "tainted-1",
            Self::Unissued => "unissued-1",
            Self::Restand => "restand-1",
            Self::Authority => "authority-1",
            Self::Enrolments => "enrolments-1",
            Self::Uncopied => "uncopied-1",
            Self::Credentials => "credentials-1",
            Self::Unsealed => "unsealed-1",
            Self::Frontiers => "frontiers-1",
            Self::Cursors => "cursors-1",
            Self::Commands => "commands-1",
            Self::Forks => "forks-1",
            Self::Branches => "branches-1",
            Self::Discarded => "discarded-1",
        }
    }

    /// Its place in an opened set of tables.
    pub fn slot(self) -> usize {
        self as usize
    }

    /// Tables that can be made again from the others (`rebuild`).
    pub const DERIVED: [Self; 17] = [
        Self::Docs,
        Self::Registers,
        Self::Snapshots,
        Self::Changes,
        Self::Applied,
        Self::Quarantine,
        Self::Waiting,
        Self::Due,
        Self::Beyond,
        Self::Tainted,
        Self::Unissued,
        Self::Restand,
        Self::Enrolments,
        Self::Uncopied,
        Self::Credentials,
        Self::Unsealed,
        Self::Commands,
    ];
}

/// Number of a log in this store.
pub type LogNo = u32;

/// Bytes of the key of a record.
pub const RECORD_KEY_BYTES: usize = 12;

/// Key of a record, or of anything by record.
pub fn record_key(log: LogNo, seq: u64) -> [u8; RECORD_KEY_BYTES] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&log.to_be_bytes());
    key[4..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// Key of a record that names a change.
pub fn named_key(change: &ChangeHash, (log, seq): (LogNo, u64)) -> Vec<u8> {
    [change.0.as_slice(), &record_key(log, seq)].concat()
}

/// Reads a record key.
pub fn read_record_key(key: &[u8]) -> Option<(LogNo, u64)> {
    let (log, seq) = key.split_at_checked(4)?;
    Some((LogNo::from_be_bytes(log.try_into().ok()?), u64::from_be_bytes(seq.try_into().ok()?)))
}

/// Key of an arrival.
pub fn arrival_key(scope: &ScopeId, counter: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&scope.0);
    key[16..].copy_from_slice(&counter.to_be_bytes());
    key
}

/// Key of a change in the index.
pub fn change_key(doc: &DocId, actor: &ActorId, seq: u64) -> [u8; 56] {
    let mut key = [0; 56];
    key[..32].copy_from_slice(&doc.0);
    key[32..48].copy_from_slice(&actor.0);
    key[48..].copy_from_slice(&seq.to_be_bytes());
    key
}

/// Key of a frontier announcement.
pub fn frontier_key(site: &SiteId, scope: &ScopeId) -> [u8; 48] {
    let mut key = [0; 48];
    key[..32].copy_from_slice(&site.0);
    key[32..].copy_from_slice(&scope.0);
    key
}

/// Key of the proof of a fork.
pub fn fork_key(fork: &schema::fork::Fork) -> Vec<u8> {
    use schema::codec::Canonical as _;
    let [one, other] = &fork.firsts;
    [fork.log.to_bytes().as_slice(), &fork.last.to_be_bytes(), &one.0, &other.0].concat()
}

/// Key of a record by a document that it names.
pub fn doc_record_key(doc: &DocId, log: LogNo, seq: u64) -> [u8; 44] {
    let mut key = [0; 44];
    key[..32].copy_from_slice(&doc.0);
    key[32..].copy_from_slice(&record_key(log, seq));
    key
}

/// The row that says that what a site said of somebody last is not copied yet: a site's own stand together.
pub fn uncopied_key(site: &SiteId, user: &schema::id::UserId) -> Vec<u8> {
    [site.0.as_slice(), &user.0].concat()
}

/// What the keys of everything begin with that a site's logs say of a user.
pub fn enrolment_prefix(user: &schema::id::UserId, site: &SiteId) -> [u8; 48] {
    let mut key = [0; 48];
    key[..16].copy_from_slice(&user.0);
    key[16..].copy_from_slice(&site.0);
    key
}

/// The smallest key that is larger than every key with this prefix; `None` if there is none.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

const SEAL_BYTES: usize = 8;

fn seal_hash(table: Table, key: &[u8], value: &[u8]) -> [u8; SEAL_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(table.name().as_bytes()).update(&[0]).update(key).update(value);
    let mut seal = [0; SEAL_BYTES];
    seal.copy_from_slice(&hasher.finalize().as_bytes()[..SEAL_BYTES]);
    seal
}

/// The value as stored: a hash over table, key and value, then the value.
pub fn seal(table: Table, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(SEAL_BYTES + value.len());
    sealed.extend_from_slice(&seal_hash(table, key, value));
    sealed.extend_from_slice(value);
    sealed
}

/// The value of a sealed one; `None` if the disk returned other bytes than were written here.
pub fn unseal<'a>(table: Table, key: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (seal, value) = sealed.split_at_checked(SEAL_BYTES)?;
    (seal == seal_hash(table, key, value)).then_some(value)
}
