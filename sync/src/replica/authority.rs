//! The authority log at a replica: what its sequencer says, and what arrives.

use std::collections::BTreeSet;

use schema::authority::{AuthorityRef, Body, Cut, Signed};
use schema::codec::Canonical;
use schema::id::SiteId;
use schema::identity::Secret;
use schema::time::Timestamp;

use super::{Alarm, Output, Replica, ReplicaError, forget_derived};
use crate::admission::{history_at, stored};
use crate::docs::credentials;
use crate::docs::enrolments::note_uncopied;
use crate::docs::standing::{before, restand_site};
use crate::docs::{all_docs, row};
use crate::engine::Event;
use crate::store::log_index::LogState;
use crate::store::rows::Wait;
use crate::store::{Durability, Reading, Source, StoreError, Table, decode};

impl Replica {
    /// Whether this site may add to the authority log now. A sequencer that has just started may have been restored or
    /// set back: it says nothing until it heard a peer that knows no more than it does, since two statements at one place
    /// part the fleet (R14). One that knows that it forgot what it said, or that a copy of it runs, says nothing either.
    /// An admin may say that nobody knows more ([`Replica::trust_authority`]).
    pub fn may_say(&self) -> bool {
        let is_copied = || self.alarms.keys().any(|alarm| matches!(alarm, Alarm::CloneRunning(_)));
        let knows = || self.authority_heard && !self.has_forgotten_statements() && !is_copied();
        self.is_sequencer() && (self.authority_trusted || self.peers().is_empty() || knows())
    }

    /// Whether this site's own records name statements that it does not hold: it held them before its disk was set back.
    /// Linear in this site's open logs.
    pub fn has_forgotten_statements(&self) -> bool {
        let (me, index, head) = (self.me(), self.store.log_index(), self.authority.head().map(|(at, _)| at));
        index.scopes().any(|(scope, _)| index.open_of(&me, scope).any(|log| Some(log.pin.at) > head))
    }

    /// An admin says that no other site holds a longer authority log than this one, and that no copy of it speaks.
    pub fn trust_authority(&mut self) {
        self.authority_trusted = true;
    }

    /// Adds a statement to the authority log, as its sequencer.
    /// Errors: `NotSequencer`; `Authority` if it breaks a rule, and then nothing was said.
    pub fn say(&mut self, now: Timestamp, body: &Body) -> Result<Vec<Output>, ReplicaError> {
        self.say_quietly(now, body)?;
        self.authority_grown(now)
    }

    /// Makes ready to keep the authority log with this key, which its hand-over is to name: until then it says nothing.
    pub fn stand_by(&mut self, sequencer: Secret) {
        self.sequencer = Some(sequencer);
    }

    /// Takes the statement that hands the authority log over to the key that stands by (R14).
    /// Errors: `Authority` if it does not go on from here.
    pub fn hand_over(&mut self, now: Timestamp, signed: Signed) -> Result<Vec<Output>, ReplicaError> {
        self.keep_statements(now, vec![signed])?;
        // Nobody else can have said anything in the epoch that begins here.
        self.authority_heard |= self.is_sequencer();
        self.authority_grown(now)
    }

    pub(super) fn say_quietly(&mut self, now: Timestamp, body: &Body) -> Result<(), ReplicaError> {
        // A key that the log was handed away from, or to which it is still to be handed over, says nothing.
        if !self.is_sequencer() {
            return Err(ReplicaError::NotSequencer);
        }
        if !self.may_say() {
            return Err(ReplicaError::Unheard);
        }
        // Who was alone when it began to say has nobody to hear: the first site that it lets in changes nothing.
        self.authority_heard = true;
        let sequencer = self.sequencer.as_ref().ok_or(ReplicaError::NotSequencer)?;
        let policy = self.authority.current().ok_or(ReplicaError::NotJoined)?;
        let (at, previous) = self.authority.head().ok_or(ReplicaError::NotJoined)?;
        self.hlc = self.hlc.tick(now);
        let next = AuthorityRef { epoch: at.epoch, position: at.position + 1 };
        let signed = Signed::new(policy.org, next, previous, self.hlc, body, sequencer);
        self.keep_statements(now, vec![signed])
    }

    /// Where a site's logs would be cut if its key were revoked now (R18): in each scope at the last of its records held here;
    /// of those no later than `until`, by the site's own clock. Of several chains of generations that of which most is held is
    /// cut: whoever stole the key may begin one of their own. Linear in the records after that, and in the generations.
    pub fn cuts_of(&self, site: &SiteId, until: Option<Timestamp>) -> Result<Vec<Cut>, StoreError> {
        let (reading, index) = (self.store.read()?, self.store.log_index());
        let mut cuts = Vec::new();
        for (scope, _) in index.scopes() {
            let mut chains = Vec::new();
            for log in index.open_of(site, scope).filter(|log| log.seq >= log.from()) {
                chains.extend(self.chain(&reading, log, until)?);
            }
            cuts.extend(chains.into_iter().max().map(|(_, cut)| cut));
        }
        cuts.sort_unstable();
        Ok(cuts)
    }

    /// Where the chain of generations that ends with a log would be cut, and how many records of it would stand: back along the
    /// histories that hold the records, as R18 has it.
    fn chain(
        &self,
        reading: &Reading,
        log: &LogState,
        until: Option<Timestamp>,
    ) -> Result<Option<(u64, Cut)>, StoreError> {
        let (index, mut found, mut stand) = (self.store.log_index(), None, 0u64);
        let (mut end, mut passed) = (Some((log.seq, log.clone())), BTreeSet::new());
        // What names itself in a circle leads no further.
        while let Some((last, log)) = end.take().filter(|(_, log)| passed.insert(log.id)) {
            let mut seq = last;
            while found.is_none() && seq >= log.from() {
                let header = stored(reading, log.no, seq)?.record.header;
                if until.is_none_or(|until| header.hlc.timestamp() <= until) {
                    let generation = header.log.generation;
                    found = Some(Cut { scope: log.id.scope, generation, seq, hash: header.hash() });
                } else {
                    seq -= 1;
                }
            }
            // Once it is, only the first record of each history says something new.
            stand += found.map_or(0, |_| seq + 1 - log.from());
            if let Some((log, seq, hash)) = before(reading, &log)? {
                end = history_at(reading, index, &log, seq, &hash)?.map(|log| (seq, log));
            }
        }
        Ok(found.map(|cut| (stand, cut)))
    }

    /// Takes the first statements of an organisation: at `init`, or from an inviter.
    pub fn bootstrap(&mut self, now: Timestamp, statements: Vec<Signed>) -> Result<(), ReplicaError> {
        self.keep_statements(now, statements)
    }

    /// Statements from `position` on.
    pub fn statements(&self, position: u64) -> Result<Vec<Signed>, StoreError> {
        let rows = self.store.read()?.range(Table::Authority, &position.to_be_bytes(), None, usize::MAX)?;
        rows.iter().map(|(_, bytes)| decode(Table::Authority, bytes)).collect()
    }

    /// When the statement at `position` was made, by the clock of the site that made it; `None` if it is not held.
    pub fn stated_at(&self, position: u64) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.store.read()?.range(Table::Authority, &position.to_be_bytes(), None, 1)?;
        let signed: Option<Signed> = rows.first().map(|(_, bytes)| decode(Table::Authority, bytes)).transpose()?;
        let signed = signed.filter(|signed| signed.statement.at.position == position);
        Ok(signed.map(|signed| signed.statement.hlc.timestamp()))
    }

    /// Checks statements and keeps those that are new, in one transaction with whatever they make to be judged again.
    pub(super) fn keep_statements(&mut self, now: Timestamp, statements: Vec<Signed>) -> Result<(), ReplicaError> {
        let mut authority = self.authority.clone();
        let mut kept = Vec::new();
        for signed in statements {
            let at = signed.statement.at;
            let is_held = authority.hash_at(at.position) == Some(signed.statement.hash());
            // Said behind the base of a hand-over by who has not heard of it: void, and nobody's fault.
            if is_held || authority.is_past(at) {
                continue;
            }
            authority.push(&signed)?;
            kept.push(signed);
        }
        let (Some(last), Some((head, _))) = (kept.last(), authority.head()) else {
            return Ok(());
        };
        let before = self.authority.head().map(|(at, _)| at.epoch);
        let handed_over = before.is_some_and(|epoch| head.epoch > epoch);
        let (taken_apart, to_seal) = self.store.write(Durability::Durable, |writing| {
            for signed in &kept {
                let position = signed.statement.at.position.to_be_bytes();
                // A hand-over drops what stood beyond its base.
                for (key, _) in writing.range(Table::Authority, &position, None, usize::MAX)? {
                    writing.remove(Table::Authority, &key)?;
                }
                writing.put(Table::Authority, &position, &signed.to_bytes())?;
            }
            let mut to_seal = false;
            if let Some(policy) = authority.current() {
                for signed in &kept {
                    let Ok(Some(body)) = Body::from_bytes(signed.statement.kind, &signed.body) else {
                        continue;
                    };
                    to_seal |= credentials::note_statement(writing, &body)?;
                    if let Body::Copied { site, user, .. } = &body {
                        note_uncopied(writing, policy, &user.user, site)?;
                    }
                    if let Body::Revoke { site, .. } = &body {
                        restand_site(writing, site)?;
                    }
                }
            }
            writing.count_statements()?;
            let (from, end) = Wait::for_authority(head);
            let mut taken_apart = Vec::new();
            if handed_over {
                taken_apart = all_docs(writing)?;
                // What was judged by statements that no longer stand is judged again: from here on, whatever crashes.
                forget_derived(writing)?;
                // The read model has those that will not come back.
                taken_apart.iter().try_for_each(|changed| writing.put(Table::Stale, &changed.doc.0, &[]))?;
            }
            writing.put(Table::Due, &from, &end)?;
            Ok::<_, StoreError>((taken_apart, to_seal))
        })?;
        if handed_over {
            // What was projected before is listed again: the next transaction must not cross it off.
            self.noted.clear();
        }
        self.taken_apart.extend(taken_apart);
        self.to_seal |= to_seal;
        self.hlc = self.hlc.observe(last.statement.hlc, now);
        self.authority = authority;
        self.due = true;
        self.note_disabled()?;
        Ok(())
    }

    /// Once everything is judged again: documents that no longer stand are told to the read model, which shows them until
    /// then. Linear in the documents there were.
    pub(super) fn drop_what_fell(&mut self) -> Result<bool, StoreError> {
        if self.taken_apart.is_empty() {
            return Ok(false);
        }
        let reading = self.store.read()?;
        let before = self.changed.len();
        for changed in std::mem::take(&mut self.taken_apart) {
            if row(&reading, &changed.doc)?.is_none() {
                self.changed.push(changed);
            }
        }
        Ok(self.changed.len() > before)
    }

    pub(super) fn authority_grown(&mut self, now: Timestamp) -> Result<Vec<Output>, ReplicaError> {
        self.out.push_back(Output::Authority);
        self.run(now, Event::AuthorityGrown)
    }
}
