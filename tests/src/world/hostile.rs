//! Records of hostile members and of members with a newer version: they may have no effect, and all sites must agree.

use std::collections::BTreeMap;

use schema::author::Author;
use schema::authority::{Enrolment, Grant, Role, Standing};
use schema::codec::Canonical as _;
use schema::credential::Credential;
use schema::doc::{DocKind, Edits, Value};
use schema::id::{DocId, ScopeId, UserId};
use schema::record::{BodyKind, CommandName, Genesis, enrolled_user};
use schema::ticket::Field;
use schema::ticket::command::{NewTicket, create};
use sync::change::mutation::{bomb, forge, late, onto_key, repeated, second, twice_put, without_a_dependency};
use sync::replica::{Batch, WriteError};

use super::{HR, IT, World, requester, technician};
use crate::rng::Rng;

/// The inputs of one forgery.
struct Forgery {
    rng: Rng,
    scope: ScopeId,
    org_scope: ScopeId,
    /// A scope that the site does not hold; `None`: it holds all.
    foreign: Option<ScopeId>,
    me: schema::id::SiteId,
    /// The head of its numbers.
    code: String,
    /// Another place, for whose people the site does not speak.
    others: usize,
    /// A ticket that the model does not know; `None`: this instance holds none.
    target: Option<DocId>,
}

impl World {
    /// A member of a newer version writes a record of a kind that nobody here knows (R13).
    pub(super) fn write_newer(&mut self, at: usize) {
        let scope = self.scope(&IT);
        let kind = BodyKind::from_number(99);
        self.write_unchecked(at, "fault:newer-version", |batch| {
            batch.forge_opaque(scope, kind, b"from tomorrow".to_vec()).map(|()| true)
        });
    }

    /// A member writes what the rules refuse; it may have no effect (I3).
    pub(super) fn write_unauthorised(&mut self, at: usize) {
        let Some((doc, _)) = self.random_ticket(at).filter(|(_, structure)| *structure == IT) else {
            return;
        };
        let (scope, place) = (self.scope(&IT), self.sites[at].place);
        let others = technician((place + 1) % self.options.sites);
        let (author, edits) = match self.rng.below(5) {
            0 => (others, hostile_edits("title")),
            1 => (requester(place), hostile_edits("title")),
            2 => (technician(place), hostile_edits("description")),
            3 => (UserId([0xee; 16]), hostile_edits("title")),
            _ => (requester(place), hostile_edits("priority")),
        };
        self.write_unchecked(at, "fault:hostile", |batch| {
            batch.hostile = true;
            let outcome = batch.command::<WriteError>(Author::User(author), CommandName::Place, scope, |command| {
                command.edit(doc, &edits).map(|_| ())
            });
            batch.hostile = false;
            Ok(outcome.is_ok())
        });
    }

    /// A member writes records whose content breaks a rule, or very nearly does. What passes has its effect, but only
    /// on tickets that serve no other purpose; all sites must agree on what does not pass, and why.
    pub(super) fn forge(&mut self, at: usize) {
        let targets: Vec<DocId> = self.forgery_targets.iter().copied().collect();
        let target = (!targets.is_empty()).then(|| *self.rng.pick(&targets));
        let me = self.key_of(at);
        let policy = self.sites[at].replica().and_then(|replica| replica.policy());
        let Some(code) = policy.and_then(|policy| Some(policy.sites.get(&me)?.code.clone())) else {
            return;
        };
        let mut forgery = Forgery {
            rng: Rng::new(self.rng.number()),
            scope: self.scope(&IT),
            org_scope: schema::id::scope_of(&self.org, None),
            foreign: (!self.holders(&self.scope(&HR)).contains(&at)).then(|| self.scope(&HR)),
            me,
            code,
            others: (self.sites[at].place + 1) % self.options.sites,
            target,
        };
        let mut made = None;
        self.write_unchecked(at, "fault:forged", |batch| {
            forgery.target = match forgery.target {
                Some(doc) if batch.has(&doc)? => Some(doc),
                Some(_) | None => None,
            };
            match forgery.target {
                Some(doc) => forgery.write(batch, doc),
                None => {
                    made = Some(forgery.create_target(batch)?);
                    Ok(false)
                }
            }
        });
        self.forgery_targets.extend(made);
    }

    fn write_unchecked(
        &mut self,
        at: usize,
        name: &str,
        work: impl FnOnce(&mut Batch<'_, '_>) -> Result<bool, WriteError>,
    ) {
        let now = self.clock(at);
        let Some(replica) = self.sites[at].replica_mut() else {
            return;
        };
        match replica.write(now, work) {
            Ok((written, outputs)) => {
                if written {
                    self.count(name);
                }
                self.handle_outputs(at, Some(Ok::<_, String>(outputs)));
            }
            // Who heard that its key is revoked writes no more, whatever its hands.
            Err(WriteError::Refused(code)) if self.is_revoked_for(at) => {
                self.count(&format!("refused:{code}"));
            }
            Err(error) => self.fail(format!("instance {at} could not do {name}: {error}")),
        }
    }
}

impl Forgery {
    /// A ticket like any other, for later forgeries.
    fn create_target(&mut self, batch: &mut Batch<'_, '_>) -> Result<DocId, WriteError> {
        let (edits, mut doc) = (self.ticket(IT), None);
        batch.command::<WriteError>(Author::Site, CommandName::Place, self.scope, |command| {
            doc = Some(command.create(DocKind::Ticket, None, &edits)?);
            Ok(())
        })?;
        doc.ok_or(WriteError::Unknown)
    }

    fn ticket(&mut self, structure: schema::id::StructureId) -> Edits {
        let number = format!("{}-{}", self.code, self.rng.number());
        let fields = BTreeMap::from([(Field::Title, "Terrain".to_owned())]);
        let ticket = NewTicket { number, structure, home: self.me, description: "rien à voir".into(), fields };
        create(&ticket).expect("an honest ticket's fields fit")
    }

    /// Edits of every shape: puts, deletes, text.
    fn edits(&mut self) -> Edits {
        let mut edits = Edits::default();
        for _ in 0..=self.rng.below(3) {
            let value = Value::Text(format!("w{}", self.rng.below(100)));
            match self.rng.below(5) {
                0 => edits.put("title", value),
                1 => edits.put("category", value),
                2 => edits.put(format!("free/{}", self.rng.below(6)), value),
                3 => drop(edits.puts.insert(format!("free/{}", self.rng.below(6)), None)),
                _ => drop(edits.texts.insert("description".into(), format!("rien à {}", self.rng.below(50)))),
            }
        }
        edits
    }

    fn write(&mut self, batch: &mut Batch<'_, '_>, doc: DocId) -> Result<bool, WriteError> {
        match self.rng.below(24) {
            0 => self.twice(batch, doc),
            1 => self.over_void(batch, doc),
            2 => self.over_text(batch, doc),
            3 => self.elsewhere(batch, doc),
            8 => self.bomb(batch, doc),
            4..=6 => self.birth(batch),
            7 => self.of_people(batch),
            9 => self.foreign_item(batch, doc),
            10 => self.misshapen(batch, doc),
            11 => self.doubled_key(batch),
            12 => self.named_again(batch, doc),
            13 => self.without_a_dependency(batch, doc),
            14 => self.repeated(batch, doc),
            _ => self.mutant(batch, doc),
        }
    }

    fn mutant(&mut self, batch: &mut Batch<'_, '_>, doc: DocId) -> Result<bool, WriteError> {
        let (edits, document) = (self.edits(), batch.grown(&doc)?);
        let Some(honest) = batch.honest(&doc, &edits, &[])? else {
            return Ok(false);
        };
        let mutant = forge(self.rng.number(), &document, &(honest, sync::change::Genesis::No));
        self.forged(batch, self.scope, doc, None, mutant)
    }

    fn repeated(&mut self, batch: &mut Batch<'_, '_>, doc: DocId) -> Result<bool, WriteError> {
        let honest = batch.honest(&doc, &hostile_edits("title"), &[])?;
        let times = sync::change::limits::MAX_ROOT_OPERATIONS as usize + 1;
        self.forged(batch, self.scope, doc, None, honest.and_then(|honest| repeated(&honest, times)))
    }

    fn without_a_dependency(&mut self, batch: &mut Batch<'_, '_>, doc: DocId) -> Result<bool, WriteError> {
        let which = self.rng.below(2) as usize;
        let honest = batch.honest(&doc, &self.edits(), &[])?;
        self.forged(batch, self.scope, doc, None, honest.and_then(|honest| without_a_dependency(&honest, which)))
    }

    /// Two changes in one place: the second has none.
    fn twice(&mut self, batch: &mut Batch<'_, '_>, doc: DocId) -> Result<bool, WriteError> {
        let (one, other) = (self.edits(), self.edits());
        let (one, other) = (batch.honest(&doc, &one, &[])?, batch.honest(&doc, &other, &[])?);
        self.forged(batch, self.scope, doc, None, one)?;
        self.forged(batch, self.scope, doc, None, other)
    }

    /// A change of what a birth alone says, and one that builds on it.
    fn over_void(&mut self, batch: &mut Batch<'_, '_>, doc: DocId) -> Result<bool, WriteError> {
        let mut number = Edits::default();
        number.put("number", Value::Text("1".into()));
        let Some(void) = batch.honest(&doc, &number, &[])? else {
            return Ok(false);
        };
        let next = batch.honest(&doc, &self.edits(), std::slice::from_ref(&void))?;
        self.forged(batch, self.scope, doc, None, Some(void))?;
        self.forged(batch, self.scope, doc, None, next)
    }

    fn bomb(&mut self, batch: &mut Batch<'_, '_>, doc: DocId) -> Result<bool, WriteError> {
        let mut edits = Edits::default();
        edits.put("title", Value::Text("trop".into()));
        let bytes = batch.honest(&doc, &edits, &[])?;
        self.forged(batch, self.scope, doc, None, bytes.and_then(|honest| bomb(&honest)))
    }

    fn over_text(&mut self, batch: &mut Batch<'_, '_>, doc: DocId) -> Result<bool, WriteError> {
        let mut edits = Edits::default();
        edits.put(format!("free/{}", self.rng.number()), Value::Text("gone".into()));
        let over = batch.honest(&doc, &edits, &[])?.and_then(|honest| onto_key(&honest, "description"));
        self.forged(batch, self.scope, doc, None, over)
    }

    /// A comment under an id that is not this record's: words put into another's mouth.
    fn foreign_item(&mut self, batch: &mut Batch<'_, '_>, doc: DocId) -> Result<bool, WriteError> {
        let mut edits = Edits::default();
        let id = self.rng.number();
        edits.put(format!("comment/{id:016x}/body"), Value::Text("je n'ai pas dit cela".into()));
        let honest = batch.honest(&doc, &edits, &[])?;
        self.forged(batch, self.scope, doc, None, honest)
    }

    /// An edit with a body that is no change.
    fn misshapen(&mut self, batch: &mut Batch<'_, '_>, doc: DocId) -> Result<bool, WriteError> {
        let Some(honest) = batch.honest(&doc, &self.edits(), &[])? else {
            return Ok(false);
        };
        batch.forge_misshapen(self.scope, doc, honest).map(|()| true)
    }

    /// A birth that puts one key twice: one value for rights, the other to be shown.
    fn doubled_key(&mut self, batch: &mut Batch<'_, '_>) -> Result<bool, WriteError> {
        let edits = self.ticket(IT);
        let Some((doc, body)) = batch.born(self.scope, DocKind::Ticket, None, &edits) else {
            return Ok(false);
        };
        let genesis = Genesis::of(DocKind::Ticket, None);
        self.forged(batch, self.scope, doc, Some(genesis), twice_put(&body, "structure"))
    }

    /// One change named by two records, the first of which is void.
    fn named_again(&mut self, batch: &mut Batch<'_, '_>, doc: DocId) -> Result<bool, WriteError> {
        let Some(honest) = batch.honest(&doc, &self.edits(), &[])? else {
            return Ok(false);
        };
        let nobody = Author::User(schema::id::UserId([0x99; 16]));
        batch.forge_as(nobody, self.scope, doc, honest.clone())?;
        self.forged(batch, self.scope, doc, None, Some(honest))
    }

    /// A change of a document of another scope than its record's.
    fn elsewhere(&mut self, batch: &mut Batch<'_, '_>, doc: DocId) -> Result<bool, WriteError> {
        let honest = batch.honest(&doc, &self.edits(), &[])?;
        self.forged(batch, self.org_scope, doc, None, honest)
    }

    fn birth(&mut self, batch: &mut Batch<'_, '_>) -> Result<bool, WriteError> {
        let natural: Option<[u8; 16]> = Some(self.rng.bytes());
        let mut person = Edits::default();
        person.put("name", Value::Text("Personne".into()));
        let (scope, kind, natural, edits, mutated) = match self.rng.below(10) {
            0 => (self.scope, DocKind::Ticket, natural, self.ticket(IT), false),
            1 => (self.scope, DocKind::Ticket, None, self.ticket(HR), false),
            2 => (self.scope, DocKind::Person, natural, person, false),
            3 => (self.scope, DocKind::from_number(99), None, person, false),
            4 => {
                person.texts.insert("description".into(), "no Text here".into());
                (self.org_scope, DocKind::Person, natural, person, false)
            }
            5 => (self.org_scope, DocKind::Person, natural, person, true),
            6 => (self.foreign.unwrap_or(self.scope), DocKind::Ticket, None, self.ticket(HR), false),
            // The number of another site's ticket.
            7 => {
                let mut ticket = self.ticket(IT);
                ticket.put("number", Value::Text(format!("AUTRE-{}", self.rng.below(100))));
                (self.scope, DocKind::Ticket, None, ticket, false)
            }
            8 => (self.scope, DocKind::Ticket, None, self.ticket(IT), true),
            _ => {
                let born = batch.born(self.scope, DocKind::Ticket, None, &self.ticket(IT));
                let misplaced = if self.rng.chance(50) { late } else { second };
                let Some((doc, Some(body))) = born.map(|(doc, body)| (doc, misplaced(&body))) else {
                    return Ok(false);
                };
                return self.forged(batch, self.scope, doc, Some(Genesis::of(DocKind::Ticket, None)), Some(body));
            }
        };
        let Some((doc, mut body)) = batch.born(scope, kind, natural, &edits) else {
            return Ok(false);
        };
        if mutated {
            let place = match natural {
                Some(_) => sync::change::Genesis::NaturalKey,
                None => sync::change::Genesis::Random,
            };
            match forge(self.rng.number(), &[], &(body, place)) {
                Some(mutant) => body = mutant,
                None => return Ok(false),
            }
        }
        self.forged(batch, scope, doc, Some(Genesis::of(kind, natural)), Some(body))
    }

    /// What a site says of people, or sets for them, that it may not.
    fn of_people(&mut self, batch: &mut Batch<'_, '_>) -> Result<bool, WriteError> {
        let log =
            schema::id::LogId { site: self.me, generation: schema::id::GenerationId([0; 16]), scope: self.org_scope };
        let grants = vec![Grant { structure: Some(IT), role: Role::User }];
        let user = enrolled_user(&log, 1, schema::time::Hlc(1));
        let stranger = Enrolment { user, login: "intrus".into(), grants, standing: Standing::Active };
        let others = Credential { user: requester(self.others), number: 1 << 40, again: None, shares: Vec::new() };
        let (kind, body) = match self.rng.below(4) {
            0 => (BodyKind::Enrolment, stranger.to_bytes()),
            1 => (BodyKind::Enrolment, b"no enrolment".to_vec()),
            2 => (BodyKind::Credential, others.to_bytes()),
            _ => (BodyKind::Credential, b"no credential".to_vec()),
        };
        batch.forge_opaque(self.org_scope, kind, body).map(|()| true)
    }

    fn forged(
        &mut self,
        batch: &mut Batch<'_, '_>,
        scope: ScopeId,
        doc: DocId,
        genesis: Option<Genesis>,
        body: Option<Vec<u8>>,
    ) -> Result<bool, WriteError> {
        match body {
            Some(body) => batch.forge(scope, doc, genesis, body).map(|()| true),
            None => Ok(false),
        }
    }
}

fn hostile_edits(key: &str) -> Edits {
    let mut edits = Edits::default();
    edits.put(key, Value::Text("gehackt".into()));
    edits
}
