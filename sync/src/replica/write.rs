//! Writing for people here: commands into records, one group commit for many (R26).

#[cfg(feature = "fault-injection")]
mod forge;

use std::collections::BTreeMap;

use automerge::Automerge;
use schema::authority::{Enrolment, Grant, Standing};
use schema::codec::Canonical;
use schema::doc::{DocKind, Edits, View};
use schema::id::{ChangeHash, DocId, GenerationId, LogId, OrgId, RecordHash, ScopeId, SiteId, UserId};
use schema::identity::Secret;
use schema::policy::AuthorityLog;
use schema::record::{
    Author, BodyKind, CommandName, Content, Entry, FORMAT, Genesis, Header, MAX_BODY_BYTES, MAX_RUN_BYTES,
    MAX_RUN_RECORDS, Previous, Record, SCHEMA_VERSION, Skeleton, actor, body_hash, enrolled_user, nonce,
};
use schema::time::{Hlc, Timestamp};
use thiserror::Error;

use super::{Output, Replica, ReplicaError, forget_projected};
use crate::admission::{RecordWithBodies, append_one, named_command, sign, stored};
use crate::docs::apply::Materializer;
use crate::docs::{edit, load, row, view};
use crate::engine::Event;
use crate::store::tables::read_record_key;
use crate::store::{Durability, LogState, Source, StoreError, Table, Writing};

/// Why a command was not written. Nothing of it is.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The store.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The site has not joined an organisation.
    #[error("this site has not joined an organisation yet")]
    NotJoined,
    /// The rules say no; the stable code says which.
    #[error("the rules do not allow it: {0}")]
    Refused(String),
    /// The change is larger than R6 or a record allows.
    #[error("the change is too large")]
    TooLarge,
    /// There is no such document here.
    #[error("there is no such document here")]
    Unknown,
    /// A text that was not made at birth.
    #[error("the document has no such text")]
    NoSuchText,
}

/// A command that is written: durable once `Replica::write` returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The documents it made or changed, in order; none if it changed nothing.
    pub docs: Vec<DocId>,
    /// Whether the same command was written before (R4).
    pub repeated: bool,
}

impl Replica {
    /// Runs commands in one transaction, signs what they wrote and makes it durable. If `work` errs,
    /// nothing of the batch stays; a single command that errs inside leaves the others alone.
    /// Returns what `work` does, and what is to be sent.
    pub fn write<T>(
        &mut self,
        now: Timestamp,
        work: impl FnOnce(&mut Batch<'_, '_>) -> Result<T, WriteError>,
    ) -> Result<(T, Vec<Output>), WriteError> {
        let policy = self.policy().cloned().ok_or(WriteError::NotJoined)?;
        let mut hlc = self.hlc;
        let noted = &self.noted;
        let (key, generation, authority) = (&self.key, self.generation, &self.authority);
        let firmness = match crate::fault_injection::acknowledges_before_commit() {
            true => Durability::Derived,
            false => Durability::Durable,
        };
        let (value, changed, verdicts) = self.store.write(firmness, |writing| {
            forget_projected(writing, noted)?;
            let mut batch = Batch {
                pass: Materializer::new(authority),
                writing,
                authority,
                key,
                generation,
                org: policy.org,
                now,
                hlc: &mut hlc,
                unsigned: BTreeMap::new(),
                broken: false,
                #[cfg(feature = "fault-injection")]
                hostile: false,
            };
            let value = work(&mut batch)?;
            if batch.broken {
                return Err(StoreError::Missing { what: "part of a command" }.into());
            }
            batch.sign_all()?;
            let Batch { mut pass, writing, .. } = batch;
            let verdicts = std::mem::take(&mut pass.verdicts);
            Ok::<_, WriteError>((value, pass.finish(writing)?, verdicts))
        })?;
        self.hlc = hlc;
        self.noted.clear();
        self.count(verdicts);
        self.changed.extend(changed);
        let outputs = self.run(now, Event::Arrived).map_err(|error| match error {
            ReplicaError::Store(error) => WriteError::Store(error),
            _ => WriteError::NotJoined,
        })?;
        Ok((value, outputs))
    }
}

/// Commands of one group commit.
pub struct Batch<'b, 't> {
    writing: &'b mut Writing<'t>,
    pass: Materializer<'b>,
    authority: &'b AuthorityLog,
    key: &'b Secret,
    generation: GenerationId,
    org: OrgId,
    now: Timestamp,
    hlc: &'b mut Hlc,
    /// Records and bytes of each log since its last signature.
    unsigned: BTreeMap<LogId, (usize, usize)>,
    /// Whether the store failed in the middle of a command: then nothing of the batch may stay.
    broken: bool,
    /// Whether what the rules refuse is written all the same: a hostile member, for the simulator.
    #[cfg(feature = "fault-injection")]
    pub hostile: bool,
}

impl<'b, 't> Batch<'b, 't> {
    /// A document as it stands in this batch.
    pub fn view(&self, doc: &DocId) -> Result<Option<View>, StoreError> {
        match self.pass.edited(doc) {
            Some(document) => view::view_of(self.writing, doc, document),
            None => view::view(self.writing, doc),
        }
    }

    /// Runs one command in one scope. `work` reads and edits through [`Command`]; if it errs, nothing of the
    /// command is written and the error comes back. A command named before is not run again.
    pub fn command<E: From<WriteError>>(
        &mut self,
        author: Author,
        name: CommandName,
        scope: ScopeId,
        work: impl FnOnce(&mut Command<'_, 'b, 't>) -> Result<(), E>,
    ) -> Result<Written, E> {
        if let Some(docs) = self.written_before(author, name, scope).map_err(WriteError::from)? {
            return Ok(Written { docs, repeated: true });
        }
        let log = LogId { site: self.key.public(), generation: self.generation, scope };
        let seq = self.writing.log_index().logs.get(&log).map_or(1, |state| state.seq + 1);
        let skeleton = Skeleton { command: name, author, content: Content::Edit(Vec::new()) };
        let mut command =
            Command { batch: self, log, seq, skeleton, entries: Vec::new(), bodies: Vec::new(), docs: BTreeMap::new() };
        work(&mut command)?;
        let Command { skeleton, entries, bodies, docs, .. } = command;
        if entries.is_empty() {
            return Ok(Written { docs: Vec::new(), repeated: false });
        }
        let changed = entries.iter().map(|entry| entry.doc).collect();
        let skeleton = Skeleton { content: Content::Edit(entries), ..skeleton };
        let recorded = self.record(log, seq, BodyKind::Edit, skeleton, bodies, Some(docs));
        self.broken |= matches!(recorded, Err(WriteError::Store(_)));
        recorded.map_err(E::from)?;
        Ok(Written { docs: changed, repeated: false })
    }

    /// Enrols somebody at this site (R15) and answers with their id, which is drawn from the record's place.
    pub fn enrol(&mut self, author: Author, login: &str, grants: Vec<Grant>) -> Result<UserId, WriteError> {
        let policy = self.authority.current().ok_or(WriteError::NotJoined)?;
        let log = LogId { site: self.key.public(), generation: self.generation, scope: policy.org_scope() };
        let seq = self.writing.log_index().logs.get(&log).map_or(1, |state| state.seq + 1);
        let user = enrolled_user(&log, seq);
        let enrolment = Enrolment { user, login: login.to_owned(), grants, standing: Standing::Active };
        let body = enrolment.to_bytes();
        let content = Content::Opaque { hash: body_hash(&body), length: body.len() as u32 };
        let skeleton = Skeleton { command: CommandName::Place, author, content };
        self.record(log, seq, BodyKind::Enrolment, skeleton, vec![body], None)?;
        Ok(user)
    }

    fn written_before(
        &self,
        author: Author,
        name: CommandName,
        scope: ScopeId,
    ) -> Result<Option<Vec<DocId>>, StoreError> {
        let CommandName::Given(id) = name else {
            return Ok(None);
        };
        let key = named_command(&scope, &author, &self.key.public(), &id);
        let Some(place) = self.writing.get(Table::Commands, &key)? else {
            return Ok(None);
        };
        let (log, seq) = read_record_key(&place).ok_or(StoreError::Missing { what: "a command's record" })?;
        let record = stored(self.writing, log, seq)?.record;
        Ok(Some(record.skeleton.entries().iter().map(|entry| entry.doc).collect()))
    }

    fn record(
        &mut self,
        log: LogId,
        seq: u64,
        kind: BodyKind,
        skeleton: Skeleton,
        bodies: Vec<Vec<u8>>,
        docs: Option<BTreeMap<DocId, Automerge>>,
    ) -> Result<(), WriteError> {
        let bytes: usize = bodies.iter().map(Vec::len).sum();
        if bytes > MAX_BODY_BYTES {
            return Err(WriteError::TooLarge);
        }
        let (records, before) = self.unsigned.get(&log).copied().unwrap_or_default();
        if records + 1 >= MAX_RUN_RECORDS || before + bytes > MAX_RUN_BYTES {
            sign(self.writing, log, self.key)?;
            self.unsigned.remove(&log);
        }
        let (authority, _) = self.authority.head().ok_or(WriteError::NotJoined)?;
        let hlc = self.hlc.tick(self.now);
        let header = Header {
            format: FORMAT,
            org: self.org,
            log,
            seq,
            previous: self.previous(&log)?,
            authority,
            hlc,
            schema: SCHEMA_VERSION,
            kind,
            skeleton: skeleton.hash(),
        };
        let full = RecordWithBodies { record: Record { header, skeleton }, bodies };
        let known = self.writing.log_index().logs.get(&log);
        let no = known.map_or_else(|| self.writing.next_log_number(), |state| state.no);
        if known.is_none() {
            self.reserve(log, no)?;
        }
        let held = self.pass.own(self.writing, no, &full, docs)?;
        #[cfg(feature = "fault-injection")]
        let held = match held {
            Some(verdict) if self.hostile => {
                self.pass.quarantine(self.writing, no, &full, &verdict)?;
                None
            }
            held => held,
        };
        if let Some(verdict) = held {
            if seq == 1 {
                self.writing.drop_log(&log)?;
            }
            return Err(WriteError::Refused(verdict.code().to_owned()));
        }
        append_one(self.writing, log, &full, None)?;
        let mut scope = self.writing.log_index().scope(&log.scope);
        if scope.materialized + 1 == scope.arrivals {
            scope.materialized += 1;
            self.writing.put_scope(log.scope, scope)?;
        }
        *self.hlc = hlc;
        let unsigned = self.unsigned.entry(log).or_default();
        *unsigned = (unsigned.0 + 1, unsigned.1 + bytes);
        Ok(())
    }

    /// Gives a new log its number before its first record is judged, which reads whose log it is.
    fn reserve(&mut self, log: LogId, no: u32) -> Result<(), StoreError> {
        let hash = RecordHash([0; 32]);
        let state =
            LogState { no, id: log, seq: 0, hash, hlc: Hlc::default(), authority: Default::default(), follows: None };
        self.writing.put_log(state)
    }

    /// What the next record of a log follows (R1): for the first of a generation, the last log of this site in
    /// the scope that no other follows yet.
    fn previous(&self, log: &LogId) -> Result<Previous, StoreError> {
        if let Some(state) = self.writing.log_index().logs.get(log).filter(|state| state.seq > 0) {
            return Ok(Previous::Record(state.hash));
        }
        let logs = self.writing.log_index().logs.values();
        let own = logs.filter(|state| state.id.site == log.site && state.id.scope == log.scope && state.seq > 0);
        Ok(own.max_by_key(|state| state.hlc).map_or(Previous::First, |state| Previous::After {
            generation: state.id.generation,
            seq: state.seq,
            hash: state.hash,
        }))
    }

    fn sign_all(&mut self) -> Result<(), StoreError> {
        for log in std::mem::take(&mut self.unsigned).into_keys() {
            sign(self.writing, log, self.key)?;
        }
        Ok(())
    }
}

/// One command at work: every document once.
pub struct Command<'c, 'b, 't> {
    batch: &'c mut Batch<'b, 't>,
    log: LogId,
    seq: u64,
    skeleton: Skeleton,
    entries: Vec<Entry>,
    bodies: Vec<Vec<u8>>,
    docs: BTreeMap<DocId, Automerge>,
}

impl Command<'_, '_, '_> {
    /// This site.
    pub fn site(&self) -> SiteId {
        self.log.site
    }

    /// The id that things made by this command are called by: the name given, or its place in the log.
    pub fn id(&self) -> String {
        let nonce = nonce(&self.log, self.seq, &self.skeleton, u16::MAX as usize);
        hex(&nonce[..8])
    }

    /// A document as it stands before this command.
    pub fn view(&self, doc: &DocId) -> Result<Option<View>, WriteError> {
        Ok(self.batch.view(doc)?)
    }

    /// The id that [`Command::create`] will give.
    pub fn id_of_next(&self, kind: DocKind, natural: Option<[u8; 16]>) -> DocId {
        let computed = || nonce(&self.log, self.seq, &self.skeleton, self.entries.len());
        let nonce = natural.unwrap_or_else(computed);
        schema::doc::doc_id(&self.batch.org, &self.log.scope, kind, &nonce)
    }

    /// Gives birth to a document. One with a natural key that is here already is left as it is.
    pub fn create(&mut self, kind: DocKind, natural: Option<[u8; 16]>, edits: &Edits) -> Result<DocId, WriteError> {
        let doc = self.id_of_next(kind, natural);
        if row(self.batch.writing, &doc)?.is_some() {
            return Ok(doc);
        }
        self.change(doc, Some(Genesis { kind, natural }), edits)?;
        Ok(doc)
    }

    /// Edits a document. `false`: the edits change nothing.
    pub fn edit(&mut self, doc: DocId, edits: &Edits) -> Result<bool, WriteError> {
        if row(self.batch.writing, &doc)?.is_none() {
            return Err(WriteError::Unknown);
        }
        self.change(doc, None, edits)
    }

    fn change(&mut self, doc: DocId, genesis: Option<Genesis>, edits: &Edits) -> Result<bool, WriteError> {
        let mut document = match self.batch.pass.edited(&doc) {
            Some(document) => document.clone(),
            None => load(self.batch.writing, &doc)?,
        };
        let actor = actor(&self.log.site, &self.log.generation, &doc);
        let made = edit::change(&mut document, &actor, edits, genesis.is_some()).map_err(|_| WriteError::NoSuchText)?;
        let Some(change) = made else {
            return Ok(false);
        };
        let body = change.raw_bytes().to_vec();
        let length = u32::try_from(body.len()).map_err(|_| WriteError::TooLarge)?;
        self.entries.push(Entry { doc, genesis, change: ChangeHash(change.hash().0), length });
        self.bodies.push(body);
        self.docs.insert(doc, document);
        Ok(true)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
