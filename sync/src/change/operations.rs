//! What an operation may refer to: Texts, elements and predecessors among the ancestors or earlier in the change.

use super::ancestors::Ancestors;
use super::facts::Facts;
use super::history::History;
use super::ids::OpId;
use super::judge::JudgeError;
use super::operation::Operation;
use super::parse::Parsed;
use super::reason::Reason;

/// Checks each operation of `parsed` in turn. Outer error: no verdict; inner: the first rule broken.
pub(super) fn check<H: History>(
    parsed: &Parsed,
    ancestors: Ancestors<'_, H>,
) -> Result<Result<(), Reason>, JudgeError<H::Error>> {
    let mut check = Check { parsed, place: 0, ancestors, text: None };
    for (place, operation) in parsed.operations().iter().enumerate() {
        check.place = place;
        match check.operation(operation) {
            Ok(()) => {}
            Err(Stop::Void(reason)) => return Ok(Err(reason)),
            Err(Stop::Fault(fault)) => return Err(fault),
        }
    }
    Ok(Ok(()))
}

/// Why the walk ends early.
enum Stop<E> {
    Void(Reason),
    Fault(JudgeError<E>),
}

impl<E> From<Reason> for Stop<E> {
    fn from(reason: Reason) -> Self {
        Self::Void(reason)
    }
}

/// An operation that the one being checked may refer to, and its change: `None` for the change itself.
type Seen<'a> = (Option<&'a Facts>, &'a Operation);

struct Check<'a, H> {
    parsed: &'a Parsed,
    /// Index of the operation being checked: only those before it are known to it.
    place: usize,
    ancestors: Ancestors<'a, H>,
    /// The Text last found good: most changes edit one.
    text: Option<OpId>,
}

impl<H: History> Check<'_, H> {
    fn operation(&mut self, operation: &Operation) -> Result<(), Stop<H::Error>> {
        match operation {
            Operation::Put { key, predecessors }
            | Operation::Delete { key, predecessors }
            | Operation::MakeText { key, predecessors } => {
                predecessors.iter().try_for_each(|id| self.predecessor(key, *id))
            }
            Operation::Insert { text, after } => {
                self.text(*text)?;
                after.map_or(Ok(()), |element| self.element(*text, element))
            }
            Operation::Erase { text, element } => {
                self.text(*text)?;
                self.element(*text, *element)
            }
        }
    }

    /// A predecessor is a put on the same key.
    fn predecessor(&mut self, key: &str, id: OpId) -> Result<(), Stop<H::Error>> {
        match self.find(id)?.ok_or(Reason::PredecessorUnknown)? {
            (_, Operation::Put { key: other, .. }) if **other == *key => Ok(()),
            (_, Operation::Put { .. }) => Err(Reason::PredecessorElsewhere.into()),
            (
                _,
                Operation::Delete { .. }
                | Operation::MakeText { .. }
                | Operation::Insert { .. }
                | Operation::Erase { .. },
            ) => Err(Reason::PredecessorNotAPut.into()),
        }
    }

    /// An element is an insert of the same Text.
    fn element(&mut self, text: OpId, id: OpId) -> Result<(), Stop<H::Error>> {
        match self.find(id)?.ok_or(Reason::ElementUnknown)? {
            (_, Operation::Insert { text: other, .. }) if *other == text => Ok(()),
            (
                _,
                Operation::Insert { .. }
                | Operation::Erase { .. }
                | Operation::Put { .. }
                | Operation::Delete { .. }
                | Operation::MakeText { .. },
            ) => Err(Reason::ElementElsewhere.into()),
        }
    }

    /// A Text is made on the root by a genesis: this change, which `judge` then knows for one, or an
    /// ancestor.
    fn text(&mut self, id: OpId) -> Result<(), Stop<H::Error>> {
        if self.text == Some(id) {
            return Ok(());
        }
        match self.find(id)?.ok_or(Reason::TextUnknown)? {
            (maker, Operation::MakeText { .. }) if maker.is_none_or(is_genesis) => {
                self.text = Some(id);
                Ok(())
            }
            (
                _,
                Operation::MakeText { .. }
                | Operation::Put { .. }
                | Operation::Delete { .. }
                | Operation::Insert { .. }
                | Operation::Erase { .. },
            ) => Err(Reason::NotAGenesisText.into()),
        }
    }

    /// The operation `id`, if it is an ancestor's or comes before the operation at `place`.
    fn find(&mut self, id: OpId) -> Result<Option<Seen<'_>>, Stop<H::Error>> {
        match id.counter.checked_sub(self.parsed.start_op()) {
            Some(place) if id.actor == self.parsed.actor() => {
                let earlier = usize::try_from(place).ok().filter(|place| *place < self.place);
                Ok(earlier.and_then(|place| self.parsed.operations().get(place)).map(|operation| (None, operation)))
            }
            _ => {
                let found = self.ancestors.operation(id).map_err(Stop::Fault)?;
                Ok(found.map(|(facts, operation)| (Some(facts), operation)))
            }
        }
    }
}

fn is_genesis(facts: &Facts) -> bool {
    facts.seq == 1 && facts.start_op == 1 && facts.dependencies.is_empty()
}
