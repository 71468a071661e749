//! What people ask, turned into records: ask the rules, write, answer.
//!
//! Every function runs inside a group commit on the site's thread, with the policy and the numbers of that
//! moment. They ask the author-side rules that receivers cannot ask (R10); the common rule is asked by
//! `sync` before it signs.

pub mod directory;
pub mod held;
pub mod tickets;

use std::sync::Arc;

use schema::id::{GenerationId, SiteId, UserId};
use schema::policy::Policy;
use schema::ticket::command::CommandError;
use sync::replica::WriteError;
use thiserror::Error;

/// Why nothing was written.
#[derive(Debug, Error)]
pub enum Failure {
    /// A value does not fit, or the status does not lead there.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The rules, or the store.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// There is no such ticket, or the asker may not see it.
    #[error("there is no such ticket")]
    Unknown,
    /// The ticket has no such reply or note.
    #[error("there is no such comment")]
    Comment,
    /// The asker's role does not allow it.
    #[error("the role does not allow it")]
    Forbidden,
    /// There is no such structure, or the asker has no role there.
    #[error("there is no such structure")]
    Structure,
}

/// What commands need to know besides the documents.
pub struct Context<'a> {
    /// Who may do what, now.
    pub policy: Arc<Policy>,
    /// This site.
    pub me: SiteId,
    /// The numbers given out here.
    pub numbers: &'a mut TicketNumbers,
}

impl Context<'_> {
    /// The code of this site.
    pub fn code(&self) -> String {
        self.policy.sites.get(&self.me).map_or_else(|| "X".into(), |site| site.code.clone())
    }
}

/// Counters from here on are nobody's honest count: whoever writes one must not use ours up.
pub const MAX_NUMBER: u64 = 1_000_000_000_000;

/// The code of the site that gave a number, and its counter; `None` if it is nobody's honest count.
pub fn parts_of_number(number: &str) -> Option<(&str, u64)> {
    let (code, rest) = number.split_once('-')?;
    let counter = rest.rsplit('-').next()?.parse().ok()?;
    (counter < MAX_NUMBER).then_some((code, counter))
}

/// Ticket numbers: site code and counter, one more than the highest known here.
#[derive(Debug, Clone)]
pub struct TicketNumbers {
    highest: u64,
    /// Two letters of the generation, while numbers of an unseen original may exist (docs/decisions/0004).
    letters: Option<String>,
}

impl TicketNumbers {
    /// Goes on after `highest`; `marked` by this generation if others may give out the same.
    pub fn new(highest: u64, marked: Option<GenerationId>) -> Self {
        let letter = |byte: u8| char::from(b'A' + byte % 26);
        let marked = marked.filter(|_| !sync::fault_injection::numbers_like_original());
        let letters = marked.map(|generation| [letter(generation.0[0]), letter(generation.0[1])].iter().collect());
        Self { highest, letters }
    }

    /// Whether letters are added.
    pub fn is_marked(&self) -> bool {
        self.letters.is_some()
    }

    /// A ticket with this number was seen.
    pub fn seen(&mut self, code: &str, number: &str) {
        let counter = parts_of_number(number).filter(|(site, _)| *site == code);
        self.highest = self.highest.max(counter.map_or(0, |(_, counter)| counter));
    }

    /// The next number. A command that is not written after all leaves a gap, never a double.
    pub fn next(&mut self, code: &str) -> String {
        self.highest += 1;
        match &self.letters {
            None => format!("{code}-{}", self.highest),
            Some(letters) => format!("{code}-{letters}-{}", self.highest),
        }
    }
}

/// The user as they may act here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Who.
    pub user: UserId,
    /// What they may do.
    pub entry: schema::authority::UserEntry,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_after_the_highest_and_copies_are_marked() {
        let mut numbers = TicketNumbers::new(41, None);
        assert_eq!(numbers.next("PAR"), "PAR-42");
        numbers.seen("PAR", "PAR-KD-99");
        numbers.seen("PAR", "PARIS-700");
        assert_eq!(numbers.next("PAR"), "PAR-100", "another site's numbers do not count");
        let mut copy = TicketNumbers::new(7, Some(GenerationId([3; 16])));
        assert_eq!(copy.next("PAR"), "PAR-DD-8", "a copy cannot collide with its original");
    }
}
