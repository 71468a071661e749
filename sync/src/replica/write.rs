//! Writing for people here: commands into records, one group commit for many (R26).

mod credentials;
#[cfg(feature = "fault-injection")]
mod forge;
mod take_over;

pub(super) use credentials::recipients;

use std::collections::BTreeMap;

use schema::author::Author;
use schema::authority::{Enrolment, Grant, Standing};
use schema::codec::Canonical;
use schema::doc::{DocKind, Edits, View};
use schema::id::{ChangeHash, DocId, GenerationId, LogId, RecordHash, ScopeId, SiteId, UserId};
use schema::identity::Secret;
use schema::policy::{AuthorityLog, Ended, Policy};
use schema::record::{
    BodyKind, Closing, CommandName, Entry, FORMAT, Genesis, Header, MAX_BODY_BYTES, MAX_RUN_RECORDS, OpaqueRef,
    Previous, Record, SCHEMA_VERSION, Skeleton, actor, enrolled_user, item_id, nonce,
};
use schema::time::{Hlc, Timestamp};
use thiserror::Error;

use super::{Output, Replica, ReplicaError, forget_projected};
use crate::admission::{RecordWithBodies, append_one, commands_named, named_command, sign, stored};
use crate::docs::apply::Materializer;
use crate::docs::{edit, load, row, view};
use crate::engine::Event;
use crate::limits::MAX_UNSIGNED_BYTES;
use crate::quarantine::{self, Quarantined, RecordKey};
use crate::store::rows::{Beyond, Verdict};
use crate::store::tables::{after_prefix, read_record_key};
use crate::store::{Durability, Source, StoreError, Table, Writing};

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
    /// This site has heard that it is retired.
    #[error("this site is in the organisation no more")]
    Retired,
    /// A record builds on this document, or stands beside it, which is neither here nor adopted.
    #[error("document {0} is not here")]
    NotHere(DocId),
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
        self.leave_generation_ahead();
        let mut hlc = self.hlc;
        let noted = &self.noted;
        let (key, generation, authority, cuts) = (&self.key, self.generation, &self.authority, &mut self.cuts);
        let durability = match crate::fault_injection::acknowledges_before_commit() {
            true => Durability::Derived,
            false => Durability::Durable,
        };
        let (value, changed, verdicts, due, enrolled, credentials) = self.store.write(durability, |writing| {
            forget_projected(writing, noted)?;
            let mut batch = Batch {
                pass: Materializer::new(authority, cuts),
                writing,
                authority,
                key,
                generation,
                policy: &policy,
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
            let (due, enrolled, credentials) = (pass.leaves_due(), pass.enrolled(), pass.credentials());
            Ok::<_, WriteError>((value, pass.finish(writing)?, verdicts, due, enrolled, credentials))
        })?;
        self.due |= due;
        self.to_seal |= credentials;
        self.hlc = hlc;
        self.noted.clear();
        self.count(verdicts);
        self.changed.extend(changed);
        if enrolled {
            self.note_disabled()?;
        }
        let outputs = self.run(now, Event::Arrived).map_err(|error| match error {
            ReplicaError::Store(error) => WriteError::Store(error),
            _ => WriteError::NotJoined,
        })?;
        Ok((value, outputs))
    }
}

impl Replica {
    /// Begins another generation where this one's logs pin what is not held here: this site was set back, and its own
    /// records came back before the authority log did. Behind them nothing could be written that pins less (R10). Linear
    /// in the scopes.
    fn leave_generation_ahead(&mut self) {
        let (me, index, pin) = (self.me(), self.store.log_index(), self.authority.pin());
        let own = index.scopes().map(|(scope, _)| LogId { site: me, generation: self.generation, scope: *scope });
        let is_ahead = |log: LogId| index.open(&log).is_some_and(|log| pin.is_some_and(|pin| log.pin.at > pin.at));
        if own.into_iter().any(is_ahead)
            && let Some(generation) = (self.draw)()
        {
            self.generation = generation;
        }
    }
}

/// Commands of one group commit.
pub struct Batch<'b, 't> {
    writing: &'b mut Writing<'t>,
    pass: Materializer<'b>,
    authority: &'b AuthorityLog,
    key: &'b Secret,
    generation: GenerationId,
    policy: &'b Policy,
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
        view::view(self.writing, doc)
    }

    /// Runs one command in one scope. `work` reads and edits through [`Command`]; if it errs, nothing of the
    /// command is written and the error comes back. A command named before is not run again: a person's is one at whatever
    /// site they issue it.
    pub fn command<E: From<WriteError>>(
        &mut self,
        author: Author,
        name: CommandName,
        scope: ScopeId,
        work: impl FnOnce(&mut Command<'_, 'b, 't>) -> Result<(), E>,
    ) -> Result<Written, E> {
        let known = match self.written_here(author, name, scope).map_err(WriteError::from)? {
            Some(docs) => Some(docs),
            None => self.written_elsewhere(author, name, scope).map_err(WriteError::from)?,
        };
        match known {
            Some(docs) => Ok(Written { docs, repeated: true }),
            None => self.issue(author, name, scope, work),
        }
    }

    /// As [`Batch::command`], for what this site says again (R20). Somebody who speaks for the same person may have written
    /// anything under that name: it stands in nobody's way.
    pub(super) fn command_again(
        &mut self,
        author: Author,
        name: CommandName,
        scope: ScopeId,
        work: impl FnOnce(&mut Command<'_, 'b, 't>) -> Result<(), WriteError>,
    ) -> Result<Written, WriteError> {
        match self.written_here(author, name, scope)? {
            Some(docs) => Ok(Written { docs, repeated: true }),
            None => self.issue(author, name, scope, work),
        }
    }

    fn issue<E: From<WriteError>>(
        &mut self,
        author: Author,
        name: CommandName,
        scope: ScopeId,
        work: impl FnOnce(&mut Command<'_, 'b, 't>) -> Result<(), E>,
    ) -> Result<Written, E> {
        let header = self.next_header(scope, BodyKind::Edit).map_err(E::from)?;
        let skeleton = Skeleton::new(name, author);
        let mut command = Command { batch: self, header, skeleton, bodies: Vec::new() };
        work(&mut command)?;
        let Command { header, skeleton, bodies, .. } = command;
        if skeleton.entries.is_empty() {
            return Ok(Written { docs: Vec::new(), repeated: false });
        }
        let changed = skeleton.entries.iter().map(|entry| entry.doc).collect();
        let recorded = self.record(header, skeleton, bodies);
        self.broken |= matches!(recorded, Err(WriteError::Store(_)));
        recorded.map_err(E::from)?;
        Ok(Written { docs: changed, repeated: false })
    }

    /// A record that is listed as without effect; `None` if it is not.
    pub fn quarantined(&self, key: &RecordKey, hash_head: &[u8; 8]) -> Result<Option<Quarantined>, StoreError> {
        quarantine::find(self.writing, key, hash_head)
    }

    /// Takes a record off that list at this site.
    pub fn discard(&mut self, hash: &RecordHash, user: &UserId) -> Result<(), StoreError> {
        quarantine::discard(self.writing, hash, user)
    }

    /// Enrols somebody at this site (R15) and answers with their id, which is drawn from the record's place.
    pub fn enrol(&mut self, author: Author, login: &str, grants: Vec<Grant>) -> Result<UserId, WriteError> {
        let header = self.next_header(self.policy.org_scope(), BodyKind::Enrolment)?;
        let user = enrolled_user(&header.log, header.seq, header.hlc);
        let enrolment = Enrolment { user, login: login.to_owned(), grants, standing: Standing::Active };
        self.say_of_person(header, author, &enrolment)?;
        Ok(user)
    }

    /// Says something new of somebody whom this site enrolled: that they are disabled, or have other roles (R15).
    pub fn enrol_again(&mut self, author: Author, enrolment: &Enrolment) -> Result<(), WriteError> {
        let header = self.next_header(self.policy.org_scope(), BodyKind::Enrolment)?;
        self.say_of_person(header, author, enrolment)
    }

    fn say_of_person(&mut self, header: Header, author: Author, enrolment: &Enrolment) -> Result<(), WriteError> {
        let body = enrolment.to_bytes();
        let opaque = Some(OpaqueRef::of(&body));
        let skeleton = Skeleton { opaque, ..Skeleton::new(CommandName::Place, author) };
        self.record(header, skeleton, vec![body])
    }

    fn written_here(
        &self,
        author: Author,
        name: CommandName,
        scope: ScopeId,
    ) -> Result<Option<Vec<DocId>>, StoreError> {
        let key = named_command(&scope, &author, &self.key.public(), &name);
        let record = key.map(|key| record_of(self.writing, &key)).transpose()?.flatten();
        Ok(record.map(docs_of))
    }

    /// A person's command that another site wrote; what a site says in its own name is nobody else's.
    fn written_elsewhere(
        &self,
        author: Author,
        name: CommandName,
        scope: ScopeId,
    ) -> Result<Option<Vec<DocId>>, StoreError> {
        let is_a_persons = matches!(name, CommandName::Given(_)) && author != Author::Site;
        let record = if is_a_persons { record_anywhere(self.writing, &scope, &author, &name)? } else { None };
        Ok(record.map(docs_of))
    }

    /// The header of the next record of this generation in a scope, its skeleton's hash left open.
    /// Errors: `NotJoined`; `Refused` at a site that heard that its key is revoked, `Retired` at one that heard that of itself.
    fn next_header(&self, scope: ScopeId, kind: BodyKind) -> Result<Header, WriteError> {
        let log = LogId { site: self.key.public(), generation: self.generation, scope };
        // Whose key is revoked writes no more, also where this disk holds less than the cut covers (R18).
        match self.policy.ended(&log.site) {
            Some((Ended::Revoked, _)) => {
                return Err(WriteError::Refused(Verdict::Beyond(Beyond::Cut).code().to_owned()));
            }
            Some((Ended::Retired, _)) => return Err(WriteError::Retired),
            None => {}
        }
        // A copy of this site may have closed the log of this very process (R1): it goes on all the same.
        let held = self.writing.log(&log)?.filter(|state| state.seq > 0);
        let previous = match &held {
            Some(state) => Previous::Record(state.hash),
            None => self.generation_before(&log)?.map_or(Previous::First, Previous::After),
        };
        Ok(Header {
            format: FORMAT,
            org: self.policy.org,
            log,
            seq: held.as_ref().map_or(1, |state| state.seq + 1),
            previous,
            pin: self.authority.pin().ok_or(WriteError::NotJoined)?,
            hlc: self.hlc.tick(self.now),
            // The fleet's minimum: nobody has to wait for a newer version to read it (R13).
            schema: self.policy.schema.min(SCHEMA_VERSION),
            kind,
            skeleton: [0; 32],
            extension: Vec::new(),
        })
    }

    /// The end of the last log of this site in the scope that no other follows yet (R1), or, where that pins what is not
    /// held here, the last of its records that does not. Linear in the open ones, and in those records.
    fn generation_before(&self, log: &LogId) -> Result<Option<Closing>, StoreError> {
        let own = self.writing.log_index().open_of(&log.site, &log.scope);
        let own = own.filter(|state| state.seq > 0 && state.branch.is_none());
        let Some(state) = own.max_by_key(|state| state.hlc) else {
            return Ok(None);
        };
        let generation = state.id.generation;
        let last = Closing { generation, seq: state.seq, hash: state.hash, pin: state.pin };
        let pin = self.authority.pin().unwrap_or_default();
        if last.pin.at <= pin.at {
            return Ok(Some(last));
        }
        for seq in (1..state.seq).rev() {
            let header = stored(self.writing, state.no, seq)?.record.header;
            if header.pin.at <= pin.at {
                return Ok(Some(Closing { generation, seq, hash: header.hash(), pin: header.pin }));
            }
        }
        Ok(None)
    }

    fn record(&mut self, mut header: Header, skeleton: Skeleton, bodies: Vec<Vec<u8>>) -> Result<(), WriteError> {
        let bytes: usize = bodies.iter().map(Vec::len).sum();
        if bytes > MAX_BODY_BYTES {
            return Err(WriteError::TooLarge);
        }
        let (log, seq, hlc) = (header.log, header.seq, header.hlc);
        let (records, before) = self.unsigned.get(&log).copied().unwrap_or_default();
        if records + 1 >= MAX_RUN_RECORDS || (records > 0 && before + bytes > MAX_UNSIGNED_BYTES) {
            sign(self.writing, log, self.key)?;
            self.unsigned.remove(&log);
        }
        header.skeleton = skeleton.hash();
        let bodies = bodies.into_iter().map(Some).collect();
        let with = RecordWithBodies { record: Record { header, skeleton }, bodies };
        // A new log gets its number before its first record is judged, which reads whose log it is.
        let reserved = self.writing.log_or_new(log)?;
        let no = reserved.no;
        if seq == 1 {
            self.writing.put_log(reserved)?;
        }
        let held = self.pass.own(self.writing, no, &with)?;
        #[cfg(feature = "fault-injection")]
        let held = match held {
            Some(verdict) if self.hostile => {
                self.pass.quarantine(self.writing, no, &with, &verdict)?;
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
        append_one(self.writing, log, &with, None)?;
        // The next command of the batch reads what this one wrote.
        self.pass.renew_texts(self.writing)?;
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

    fn sign_all(&mut self) -> Result<(), StoreError> {
        for log in std::mem::take(&mut self.unsigned).into_keys() {
            sign(self.writing, log, self.key)?;
        }
        Ok(())
    }
}

fn docs_of(record: Record) -> Vec<DocId> {
    record.skeleton.entries.iter().map(|entry| entry.doc).collect()
}

/// The applied record of a command that was issued under this name at whatever site; of several that of one.
pub(crate) fn record_anywhere(
    source: &impl Source,
    scope: &ScopeId,
    author: &Author,
    name: &CommandName,
) -> Result<Option<Record>, StoreError> {
    let Some(prefix) = commands_named(scope, author, name) else {
        return Ok(None);
    };
    let rows = source.range(Table::Commands, &prefix, after_prefix(&prefix).as_deref(), 1)?;
    Ok(rows.first().map(|(key, _)| record_of(source, key)).transpose()?.flatten())
}

/// The applied record of a command that may be issued twice.
pub(crate) fn record_of(source: &impl Source, key: &[u8]) -> Result<Option<Record>, StoreError> {
    let Some(place) = source.get(Table::Commands, key)? else {
        return Ok(None);
    };
    let (log, seq) = read_record_key(&place).ok_or(StoreError::Missing { what: "a command's record" })?;
    Ok(Some(stored(source, log, seq)?.record))
}

/// One command at work: every document once.
pub struct Command<'c, 'b, 't> {
    batch: &'c mut Batch<'b, 't>,
    header: Header,
    skeleton: Skeleton,
    bodies: Vec<Vec<u8>>,
}

impl Command<'_, '_, '_> {
    /// This site.
    pub fn site(&self) -> SiteId {
        self.header.log.site
    }

    /// The id that things made by this command are called by: the name given, or its place in the log.
    pub fn id(&self) -> String {
        item_id(&self.header, &self.skeleton)
    }

    /// A document as it stands before this command.
    pub fn view(&self, doc: &DocId) -> Result<Option<View>, WriteError> {
        Ok(self.batch.view(doc)?)
    }

    /// The id that [`Command::create`] will give.
    pub fn id_of_next(&self, kind: DocKind, natural: Option<[u8; 16]>) -> DocId {
        let computed = || nonce(&self.header, &self.skeleton, self.skeleton.entries.len());
        let nonce = natural.unwrap_or_else(computed);
        schema::doc::doc_id(&self.header.org, &self.header.log.scope, kind, &nonce)
    }

    /// Gives birth to a document. One with a natural key that is here already is left as it is.
    pub fn create(&mut self, kind: DocKind, natural: Option<[u8; 16]>, edits: &Edits) -> Result<DocId, WriteError> {
        let doc = self.id_of_next(kind, natural);
        if row(self.batch.writing, &doc)?.is_some() {
            return Ok(doc);
        }
        self.change(doc, Some(Genesis::of(kind, natural)), edits)?;
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
        let actor = actor(&self.header.log.site, &self.header.log.generation, &doc);
        let made = match genesis.is_none() && edits.texts.is_empty() {
            true => edit::quick(self.batch.writing, &doc, &actor, edits)?,
            false => {
                let mut document = load(self.batch.writing, &doc)?;
                let made = edit::change(&mut document, &actor, edits, genesis.is_some());
                made.map_err(|_| WriteError::NoSuchText)?
            }
        };
        self.add(doc, genesis, made)
    }

    /// Adds a change to the record; `false` for none.
    fn add(
        &mut self,
        doc: DocId,
        genesis: Option<Genesis>,
        made: Option<automerge::Change>,
    ) -> Result<bool, WriteError> {
        let Some(change) = made else {
            return Ok(false);
        };
        let body = change.raw_bytes().to_vec();
        let length = u32::try_from(body.len()).map_err(|_| WriteError::TooLarge)?;
        self.skeleton.entries.push(Entry { doc, genesis, change: ChangeHash(change.hash().0), length });
        self.bodies.push(body);
        Ok(true)
    }
}
