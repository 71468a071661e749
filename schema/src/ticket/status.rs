//! The life of a ticket: statuses, legal moves, and the state that a set of facts gives.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::doc::View;

/// Where a ticket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nobody has begun.
    New,
    /// Somebody works on it.
    InProgress,
    /// It waits for somebody or something; the reason says for what.
    Pending,
    /// Solved, the requester may still object.
    Resolved,
    /// Done.
    Closed,
    /// Withdrawn.
    Cancelled,
}

impl Status {
    /// Every status, in the order of a ticket's life.
    pub const ALL: [Self; 6] =
        [Self::New, Self::InProgress, Self::Pending, Self::Resolved, Self::Closed, Self::Cancelled];

    /// The word in documents and in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::InProgress => "in_progress",
            Self::Pending => "pending",
            Self::Resolved => "resolved",
            Self::Closed => "closed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }

    /// The legal moves of the default table: resolve and wait from every open state, reopen from
    /// resolved and closed.
    pub fn next(self) -> &'static [Self] {
        match self {
            Self::New => &[Self::InProgress, Self::Pending, Self::Resolved, Self::Closed, Self::Cancelled],
            Self::InProgress => &[Self::Pending, Self::Resolved, Self::Closed, Self::Cancelled],
            Self::Pending => &[Self::InProgress, Self::Resolved, Self::Closed, Self::Cancelled],
            Self::Resolved => &[Self::Closed, Self::InProgress, Self::Pending],
            Self::Closed => &[Self::InProgress, Self::Pending],
            Self::Cancelled => &[Self::InProgress],
        }
    }

    /// Whether work is left.
    pub fn is_open(self) -> bool {
        match self {
            Self::New | Self::InProgress | Self::Pending => true,
            Self::Resolved | Self::Closed | Self::Cancelled => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A fact: somebody moved the ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The transition's id.
    pub id: String,
    /// What its author saw.
    pub from: Status,
    /// Where it leads.
    pub to: Status,
    /// The change (index into `View::changes`).
    pub by: usize,
}

/// The state that all transitions of a document give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The working status.
    pub status: Status,
    /// The maximal transitions, where they lead to different places: an open conflict. Otherwise empty.
    pub conflict: Vec<Transition>,
    /// Moves from a finished status to an open one.
    pub reopened: u32,
    /// The last transition, if there is one.
    pub last: Option<Transition>,
}

/// What the keys of transitions begin with.
pub const TRANSITION: &str = "transition/";

/// The value of a transition key.
pub fn encode(from: Status, to: Status) -> String {
    format!("{from}>{to}")
}

fn decode(text: &str) -> Option<(Status, Status)> {
    let (from, to) = text.split_once('>')?;
    Some((Status::from_word(from)?, Status::from_word(to)?))
}

/// For each change of a document whether one of `these` has it among its ancestors. Linear in the changes and their
/// dependencies.
fn followed(view: &View, these: impl Iterator<Item = usize>) -> Vec<bool> {
    let mut is_one = vec![false; view.changes.len()];
    these.for_each(|by| is_one[by] = true);
    let mut followed = vec![false; view.changes.len()];
    for (by, stamp) in view.changes.iter().enumerate().rev() {
        if is_one[by] || followed[by] {
            stamp.dependencies.iter().for_each(|before| followed[*before] = true);
        }
    }
    followed
}

/// Derives the state (`docs/formats/document.md`): the working status is where the last maximal
/// transition leads; maximal ones that disagree are a conflict.
pub fn derive(view: &View) -> State {
    derive_of(view, |_| true)
}

/// As [`derive`], of the transitions of those changes that count (indices into `View::changes`).
pub fn derive_of(view: &View, counts: impl Fn(usize) -> bool) -> State {
    let mut transitions: Vec<Transition> = view
        .below(TRANSITION)
        .filter(|(id, _)| !id.contains('/'))
        .flat_map(|(id, held)| held.iter().map(move |held| (id, held)))
        .filter_map(|(id, held)| {
            let (from, to) = decode(held.value.as_text()?)?;
            Some(Transition { id: id.to_owned(), from, to, by: held.by })
        })
        .filter(|transition| counts(transition.by))
        .collect();
    // `View::changes` stands in order of time, then hash, so the index orders transitions.
    transitions.sort_by(|a, b| (a.by, &a.id).cmp(&(b.by, &b.id)));
    let followed = followed(view, transitions.iter().map(|transition| transition.by));
    let maximal: Vec<&Transition> = transitions.iter().filter(|one| !followed[one.by]).collect();
    let last = maximal.last().map(|last| (*last).clone());
    let status = last.as_ref().map_or(Status::New, |last| last.to);
    let agree = maximal.iter().all(|transition| transition.to == status);
    State {
        status,
        conflict: if agree { Vec::new() } else { maximal.into_iter().cloned().collect() },
        reopened: transitions.iter().filter(|move_| !move_.from.is_open() && move_.to.is_open()).count() as u32,
        last,
    }
}
