//! The fields of a ticket that people set: their keys, their values, what is legal.

use serde::{Deserialize, Serialize};

use crate::doc::Value;
use crate::id::DocId;

/// Characters of a title: a line, not a story.
pub const MAX_TITLE_CHARS: usize = 500;
/// Characters of a description: R6 allows 65,536 operations in one change, one per character.
pub const MAX_DESCRIPTION_CHARS: usize = 50_000;
/// Characters of a reply or note.
pub const MAX_COMMENT_CHARS: usize = 100_000;
/// Characters of a short text: a reason, a reference in another system.
pub const MAX_SHORT_CHARS: usize = 500;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$arm_doc:meta])* $arm:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$arm_doc])* $arm),+ }
        impl $name {
            /// Every one, in order.
            pub const ALL: &'static [Self] = &[$(Self::$arm),+];
            /// The word in documents and in the API.
            pub fn word(self) -> &'static str {
                match self { $(Self::$arm => $word),+ }
            }
            /// The one with this word.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.word() == word)
            }
        }
    };
}

words!(
    /// What sort of ticket (ITIL).
    Kind {
        /// Something is broken.
        Incident = "incident",
        /// Somebody needs something.
        ServiceRequest = "service_request",
        /// The cause of incidents.
        Problem = "problem",
        /// A change to what is run.
        ChangeRequest = "change_request",
    }
);

words!(
    /// Impact or urgency.
    Level {
        /// Many, or now.
        High = "high",
        /// Some, or soon.
        Medium = "medium",
        /// One, or when there is time.
        Low = "low",
    }
);

words!(
    /// A field with one value that people set. A conflict on one of these is shown.
    Field {
        /// One line.
        Title = "title",
        /// `Kind`.
        Kind = "kind",
        /// `Level`.
        Impact = "impact",
        /// `Level`.
        Urgency = "urgency",
        /// 1 to 5, set by hand; absent: computed.
        Priority = "priority",
        /// A category document.
        Category = "category",
        /// A person document.
        Requester = "requester",
        /// A person document.
        Assignee = "assignee",
        /// A group document.
        Group = "group",
        /// A location document.
        Location = "location",
        /// A reference in another system.
        External = "external",
    }
);

/// Why a value does not fit a field. The code is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// Empty where something is needed.
    Empty,
    /// Longer than the limit, in characters.
    TooLong(usize),
    /// Not one of the known words, not an id, not a number in range.
    Unknown,
}

impl Field {
    /// The value under the field's key for what a person gave; `None` clears it.
    pub fn value(self, given: Option<&str>) -> Result<Option<Value>, Misfit> {
        let Some(given) = given else {
            return match self {
                Self::Title | Self::Kind | Self::Impact | Self::Urgency => Err(Misfit::Empty),
                _ => Ok(None),
            };
        };
        let given = given.trim();
        let text = |limit: usize| match given.chars().count() {
            0 => Err(Misfit::Empty),
            count if count > limit => Err(Misfit::TooLong(limit)),
            _ => Ok(Some(Value::Text(given.to_owned()))),
        };
        let known = |known: bool| if known { Ok(Some(Value::Text(given.to_owned()))) } else { Err(Misfit::Unknown) };
        match self {
            Self::Title => text(MAX_TITLE_CHARS),
            Self::External => text(MAX_SHORT_CHARS),
            Self::Kind => known(Kind::from_word(given).is_some()),
            Self::Impact | Self::Urgency => known(Level::from_word(given).is_some()),
            Self::Priority => match given.parse() {
                Ok(number @ 1..=5) => Ok(Some(Value::Int(number))),
                _ => Err(Misfit::Unknown),
            },
            Self::Category | Self::Requester | Self::Assignee | Self::Group | Self::Location => {
                known(given.parse::<DocId>().is_ok())
            }
        }
    }
}
