//! A ticket as people see it, derived from its document (and its notes) alone.

use std::collections::{BTreeMap, BTreeSet};

use super::command::DESCRIPTION;
use super::field::{Field, Kind, Level};
use super::priority::priority;
use super::status::{self, Status, TRANSITION};
use crate::access::{COMMENT, CONFIRMED, IMPORTED};
use crate::author::Author;
use crate::doc::{Adopted, AttributedValue, Stamp, Value, View};
use crate::id::{ChangeHash, DocId, SiteId, StructureId};
use crate::time::Timestamp;

/// Who, where and when, as shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribution {
    /// In whose name.
    pub author: Author,
    /// At which site.
    pub site: SiteId,
    /// When it was written into Archipel.
    pub at: Timestamp,
    /// Where it stands among the others: never before what it answers, whatever clocks said (R28).
    pub order: Timestamp,
    /// Whether that time is in doubt: a clock was wrong (R28).
    pub doubt: bool,
    /// Whether the change does not stand, and shows because one that does builds on it (R19). Of a reply or a note that
    /// somebody has confirmed: no more.
    pub tainted: bool,
    /// What the source of an import says: time and author.
    pub source: Option<(Timestamp, String)>,
}

impl Attribution {
    /// The time people expect: the source's, if there is one.
    pub fn shown_at(&self) -> Timestamp {
        self.source.as_ref().map_or(self.at, |(at, _)| *at)
    }
    /// By which time it is put among those of other documents: the source's, or its order.
    pub fn ordered_at(&self) -> Timestamp {
        self.source.as_ref().map_or(self.order, |(at, _)| *at)
    }
}

/// A reply or a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The comment's id.
    pub id: String,
    /// Its text.
    pub body: String,
    /// Who, where, when.
    pub attribution: Attribution,
}

/// A field, or the status, with more than one value to settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The field's word, or `status`.
    pub field: &'static str,
    /// The values, the working one first.
    pub values: Vec<(String, Attribution)>,
}

/// What the birth of a ticket is called where fields are listed: it stands for all that show what it said.
pub const BIRTH: &str = "created";
/// What a ticket's status is called there: it is derived from its transitions.
pub const STATUS: &str = "status";

/// A field whose value comes from a change that does not stand (R19).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tainted {
    /// The field's word, `status`, `description`, or [`BIRTH`].
    pub field: String,
    /// The last value of a change that stands; `None` for nothing.
    pub before: Option<String>,
}

/// A ticket, the same at every site that holds the same records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its document.
    pub id: DocId,
    /// Final from birth.
    pub number: String,
    /// Whose it is.
    pub structure: Option<StructureId>,
    /// The site that keeps its timers.
    pub home: Option<SiteId>,
    /// The word of its kind; also words of a newer version.
    pub kind: String,
    /// One line.
    pub title: String,
    /// The long text.
    pub description: String,
    /// Derived from the transitions.
    pub status: Status,
    /// Why it is there.
    pub status_reason: Option<String>,
    /// Moves from a finished status to an open one.
    pub reopen_count: u32,
    /// Impact's word.
    pub impact: String,
    /// Urgency's word.
    pub urgency: String,
    /// 1 to 5.
    pub priority: u8,
    /// Whether somebody set it.
    pub priority_by_hand: bool,
    /// A category document.
    pub category: Option<DocId>,
    /// A person document.
    pub requester: Option<DocId>,
    /// A person document.
    pub assignee: Option<DocId>,
    /// A group document.
    pub group: Option<DocId>,
    /// A location document.
    pub location: Option<DocId>,
    /// A reference in another system.
    pub external: Option<String>,
    /// The number that it had at another site, where it has no effect: somebody adopted it (R12).
    pub adopted_from: Option<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Replies, oldest first.
    pub comments: Vec<Comment>,
    /// What is to settle.
    pub conflicts: Vec<Conflict>,
    /// What comes from changes that do not stand.
    pub tainted: Vec<Tainted>,
}

/// The ticket that a document holds. A half of a ticket (genesis waiting) shows empty fields.
pub fn ticket(view: &View) -> Ticket {
    let attributions = Attributions::of(view);
    let state = status::derive(view);
    let level = |field: Field| view.text(field.word()).unwrap_or(Level::Medium.word()).to_owned();
    let (impact, urgency) = (level(Field::Impact), level(Field::Urgency));
    let by_hand = match view.value(Field::Priority.word()) {
        Some(Value::Int(number @ 1..=5)) => Some(*number as u8),
        _ => None,
    };
    let computed = priority(
        Level::from_word(&impact).unwrap_or(Level::Medium),
        Level::from_word(&urgency).unwrap_or(Level::Medium),
    );
    let doc = |field: Field| view.text(field.word()).and_then(|text| text.parse().ok());
    let reason = state.last.as_ref().and_then(|last| view.text(&format!("transition/{}/reason", last.id)));
    let created_at = match view.value("created_at") {
        Some(Value::Int(at)) if *at >= 0 => Timestamp(*at as u64),
        _ => view.first_at,
    };
    Ticket {
        id: view.id,
        number: view.text("number").unwrap_or_default().to_owned(),
        structure: view.text("structure").and_then(|text| text.parse().ok()),
        home: view.text("home").and_then(|text| text.parse().ok()),
        kind: view.text(Field::Kind.word()).unwrap_or(Kind::Incident.word()).to_owned(),
        title: view.text(Field::Title.word()).unwrap_or_default().to_owned(),
        description: view.texts.get(DESCRIPTION).cloned().unwrap_or_default(),
        status: state.status,
        status_reason: reason.map(str::to_owned),
        reopen_count: state.reopened,
        impact,
        urgency,
        priority: by_hand.unwrap_or(computed),
        priority_by_hand: by_hand.is_some(),
        category: doc(Field::Category),
        requester: doc(Field::Requester),
        assignee: doc(Field::Assignee),
        group: doc(Field::Group),
        location: doc(Field::Location),
        external: view.text(Field::External.word()).map(str::to_owned),
        adopted_from: Adopted::of(view).into_iter().find_map(|(adopted, _)| adopted.number),
        created_at,
        updated_at: attributions.last_source().max(view.last_at).unwrap_or(created_at),
        comments: comments(view, &attributions),
        conflicts: conflicts(view, &attributions, &state),
        tainted: tainted(view, &state),
    }
}

/// The comments that a ticket or its notes hold, oldest first.
pub fn comments_of(view: &View) -> Vec<Comment> {
    comments(view, &Attributions::of(view))
}

/// Fields that show what a change that does not stand put there: those that its birth filled together, where that is one. A
/// status does if the move to it is one, and nobody has confirmed it.
fn tainted(view: &View, state: &status::State) -> Vec<Tainted> {
    let (of_birth, others) = in_doubt(view);
    let birth = (!of_birth.is_empty()).then_some((BIRTH, None));
    let found = birth.into_iter().chain(others).map(|(field, before)| Tainted { field: field.to_owned(), before });
    let mut found: Vec<Tainted> = found.collect();
    if let Some(last) = &state.last
        && is_tainted(view, last.by)
        && !confirmed(view).contains(format!("{TRANSITION}{}", last.id).as_str())
    {
        let before = status::derive_of(view, |by| !is_tainted(view, by)).status;
        found.push(Tainted { field: STATUS.to_owned(), before: Some(before.word().to_owned()) });
    }
    found
}

/// The keys that [`Tainted::field`] stands for, as far as they are in doubt.
pub(super) fn doubted<'f>(view: &View, field: &'f str) -> Vec<&'f str> {
    let (of_birth, others) = in_doubt(view);
    match field {
        BIRTH => of_birth.into_iter().map(|(key, _)| key).collect(),
        STATUS if tainted(view, &status::derive(view)).iter().any(|found| found.field == STATUS) => vec![field],
        _ if others.iter().any(|(key, _)| *key == field) => vec![field],
        _ => Vec::new(),
    }
}

/// A field's word, and the last value of a change that stands.
type InDoubt = (&'static str, Option<String>);

/// Fields whose value is in doubt: those that the birth filled, and the others.
fn in_doubt(view: &View) -> (Vec<InDoubt>, Vec<InDoubt>) {
    let fields = Field::ALL.iter().map(|field| field.word()).chain([DESCRIPTION]);
    let found = fields.filter_map(|field| Some((field, view.untainted.get(field)?.clone())));
    // Everything else depends on the birth, so it is the first.
    let is_of_birth = |(field, before): &InDoubt| {
        let mut held = view.values.get(*field).into_iter().flatten();
        is_tainted(view, 0) && before.is_none() && held.all(|held| held.by == 0)
    };
    found.partition(is_of_birth)
}

fn is_tainted(view: &View, by: usize) -> bool {
    view.changes.get(by).is_some_and(|stamp| stamp.tainted)
}

/// The items that somebody has confirmed, in a change that is not itself in doubt.
fn confirmed(view: &View) -> BTreeSet<&str> {
    let held = view.below(CONFIRMED).flat_map(|(_, held)| held);
    held.filter(|held| !is_tainted(view, held.by)).filter_map(|held| held.value.as_text()).collect()
}

fn comments(view: &View, attributions: &Attributions<'_>) -> Vec<Comment> {
    let confirmed = confirmed(view);
    let mut found: Vec<(usize, Comment)> = view
        .below(COMMENT)
        .filter_map(|(rest, held)| {
            let id = rest.strip_suffix("/body")?;
            let winner = held.first()?;
            let body = winner.value.as_text()?.to_owned();
            let mut attribution = attributions.attribution(winner.by);
            attribution.tainted &= !confirmed.contains(format!("{COMMENT}{id}").as_str());
            Some((winner.by, Comment { id: id.to_owned(), body, attribution }))
        })
        .collect();
    found.sort_by(|a, b| (a.0, &a.1.id).cmp(&(b.0, &b.1.id)));
    found.into_iter().map(|(_, comment)| comment).collect()
}

fn conflicts(view: &View, attributions: &Attributions<'_>, state: &status::State) -> Vec<Conflict> {
    let mut found: Vec<Conflict> = Field::ALL
        .iter()
        .filter_map(|field| {
            let distinct = view.distinct(field.word());
            let shown =
                |held: &&AttributedValue| (held.value.shown().unwrap_or_default(), attributions.attribution(held.by));
            (distinct.len() > 1).then(|| Conflict { field: field.word(), values: distinct.iter().map(shown).collect() })
        })
        .collect();
    if !state.conflict.is_empty() {
        let mut values: Vec<(String, Attribution)> = Vec::new();
        for one in state.conflict.iter().rev() {
            if !values.iter().any(|(word, _)| word == one.to.word()) {
                values.push((one.to.word().to_owned(), attributions.attribution(one.by)));
            }
        }
        found.push(Conflict { field: STATUS, values });
    }
    found
}

/// Attributions of a document's changes: an imported change says what its source said.
pub struct Attributions<'a> {
    changes: &'a [Stamp],
    sources: BTreeMap<ChangeHash, (Timestamp, String)>,
}

impl<'a> Attributions<'a> {
    /// Reads the import attributions of a document.
    pub fn of(view: &'a View) -> Self {
        let mut sources = BTreeMap::new();
        for (_, held) in view.below(IMPORTED) {
            for held in held {
                let source = held.value.as_text().and_then(source);
                if let (Some(source), Some(stamp)) = (source, view.changes.get(held.by)) {
                    sources.insert(stamp.change, source);
                }
            }
        }
        Self { changes: &view.changes, sources }
    }

    /// The latest time that the source of an import knows.
    fn last_source(&self) -> Option<Timestamp> {
        self.sources.values().map(|(at, _)| *at).max()
    }

    /// The attribution of change `by`.
    pub fn attribution(&self, by: usize) -> Attribution {
        let stamp = &self.changes[by];
        Attribution {
            author: stamp.author,
            site: stamp.site,
            at: stamp.at.timestamp(),
            order: stamp.order.timestamp(),
            doubt: stamp.doubt,
            tainted: stamp.tainted,
            source: self.sources.get(&stamp.change).cloned(),
        }
    }
}

fn source(text: &str) -> Option<(Timestamp, String)> {
    let (at, author) = text.split_once(' ')?;
    Some((Timestamp(at.parse().ok()?), author.to_owned()))
}
