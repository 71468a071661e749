//! A member in hostile hands that visits a replica.

use automerge::Automerge;
use schema::author::Author;
use schema::codec::Canonical as _;
use schema::credential::{Credential, LoginSecrets, Share};
use schema::doc::{Edits, Value};
use schema::fork::{Branch, ForkProof};
use schema::id::{CommandId, DocId, GenerationId, SiteId, UserId};
use schema::identity::Purpose;
use schema::record::{BodyKind, CommandName, OpaqueRef, Previous, Skeleton, actor};
use schema::sealing::SealingSecret;
use schema::time::Hlc;
use sync::admission::RecordWithBodies;
use sync::replica::{Alarm, Output, Replica};
use sync::wire::{Message, encode};

pub use super::raw::{End, Member};
use super::{Fleet, site_entry};

impl Member {
    /// The site with this number of the fleet, in other hands.
    pub fn of(fleet: &Fleet, site: usize) -> Self {
        let policy = fleet.sites[0].policy().unwrap();
        Self::new(super::key(site), policy.org, fleet.scope(), policy.pin, Hlc::at(fleet.now))
    }

    /// A frame with a credential of a user, of this number among theirs, that gives these sites a verifier: the first record
    /// of a generation in the organisation's scope, where the member speaks from then on. Nothing is asked that an honest
    /// site asks before it sets one.
    pub fn credential(
        &mut self,
        fleet: &Fleet,
        (user, number): (UserId, u64),
        sites: &[usize],
        verifier: &str,
    ) -> Vec<u8> {
        self.scope = fleet.sites[0].policy().unwrap().org_scope();
        self.kind = BodyKind::Credential;
        let mut credential = Credential { user, number, again: None, shares: Vec::new() };
        let context = credential.context(self.org, self.key.public());
        let secrets = LoginSecrets { verifier: verifier.into() }.to_bytes();
        let share = |site: &usize| {
            let key = site_entry(*site).sealing.unwrap();
            let sealed = SealingSecret::of(&self.key).seal(&key, &context, &secrets).unwrap();
            Share { site: fleet.id(*site), sealed }
        };
        credential.shares = sites.iter().map(share).collect();
        credential.shares.sort_by_key(|share| share.site);
        let body = credential.to_bytes();
        let opaque = Some(OpaqueRef::of(&body));
        let skeleton = Skeleton { opaque, ..Skeleton::new(CommandName::Place, Author::Site) };
        let (record, _) = self.sealed(GenerationId([0x33; 16]), Previous::First, 1, skeleton, vec![Some(body)]);
        self.frame(&[self.run(vec![record])])
    }

    /// An honest change of a document's title as of `base`, and the document with it.
    pub fn title(&self, base: &Automerge, generation: GenerationId, doc: &DocId, text: &str) -> (Vec<u8>, Automerge) {
        let mut document = base.clone();
        let mut edits = Edits::default();
        edits.put("title", Value::Text(text.into()));
        let by = actor(&self.key.public(), &generation, doc);
        let made = sync::docs::edit::change(&mut document, &by, &edits, false).unwrap().unwrap();
        let body = made.raw_bytes().to_vec();
        let mut after = base.clone();
        after.apply_changes([made]).unwrap();
        (body, after)
    }

    /// A record without effect, told from others by `word`.
    pub fn empty(
        &mut self,
        generation: GenerationId,
        previous: Previous,
        seq: u64,
        word: u8,
    ) -> (RecordWithBodies, End) {
        let skeleton = Skeleton::new(CommandName::Given(CommandId([word; 8])), Author::Site);
        self.sealed(generation, previous, seq, skeleton, Vec::new())
    }

    /// A frame with the proof of a fork at these two records.
    pub fn fork(&self, one: &RecordWithBodies, other: &RecordWithBodies) -> Vec<u8> {
        let branch = |with: &RecordWithBodies| Branch {
            headers: vec![with.record.header.clone()],
            signature: self.key.sign(Purpose::Record, &with.record.hash().0),
        };
        encode(&Message::Fork(ForkProof::new(branch(one), branch(other))))
    }

    /// A frame with so many generations, every one closed by the next, each of which edits a ticket on top of the one before.
    pub fn generations(&mut self, fleet: &Fleet, doc: &DocId, word: &str, count: u32) -> Vec<u8> {
        let mut document = sync::docs::load(&fleet.sites[0].read().unwrap(), doc).unwrap();
        let mut before: Option<End> = None;
        let mut runs = Vec::new();
        for number in 0..count {
            let mut generation = [0x33; 16];
            generation[..4].copy_from_slice(&number.to_be_bytes());
            let generation = GenerationId(generation);
            let previous = before.map_or(Previous::First, |end| self.closing(end));
            let mut edits = Edits::default();
            edits.put("urgency", Value::Text(format!("{word} {number}")));
            let by = actor(&self.key.public(), &generation, doc);
            let made = sync::docs::edit::change(&mut document, &by, &edits, false).unwrap().unwrap();
            let ana = Author::User(super::ANA);
            let (record, end) = self.record(generation, previous, 1, ana, *doc, made.raw_bytes().to_vec());
            runs.push(self.run(vec![record]));
            before = Some(end);
        }
        self.frame(&runs)
    }

    /// Visits a replica, says hello, and sends these frames. Answers with the alarms it raised and why it ended the
    /// session, if it did.
    pub fn visit(
        &mut self,
        replica: &mut Replica,
        now: schema::time::Timestamp,
        frames: &[Vec<u8>],
    ) -> (Vec<Alarm>, Option<&'static str>) {
        self.sessions += 1;
        let session = self.sessions;
        let me: SiteId = self.key.public();
        let mut outputs = replica.connected(now, session, me).unwrap();
        let (mut alarms, mut closed) = (Vec::new(), None);
        for frame in self.opening().iter().chain(frames) {
            if closed.is_none() {
                outputs.extend(replica.received(now, session, frame).unwrap());
            }
            for output in outputs.drain(..) {
                match output {
                    Output::Alarm(alarm) => alarms.push(alarm),
                    Output::Close(_, code) => closed = Some(code),
                    Output::Send(..) | Output::Authority => {}
                }
            }
        }
        replica.closed(now, session).unwrap();
        while replica.catch_up(now).unwrap() {}
        (alarms, closed)
    }
}
