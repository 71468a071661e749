//! The third gate: envelope and operations against the ancestors of the change (R6).

use std::sync::Arc;

use super::ancestors::Ancestors;
use super::facts::Facts;
use super::history::History;
use super::ids::{Actor, Hash};
use super::operation::Operation;
use super::operations;
use super::parse::Parsed;
use super::reason::Reason;

/// What the record's entry says of the change's place in its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Genesis {
    /// An ordinary change, which has dependencies.
    No,
    /// The genesis of a document with a random nonce: may make Texts under keys of the root.
    Random,
    /// The genesis of a document with a natural key, which two sites may create alike: no Texts (R5).
    NaturalKey,
}

/// What becomes of a change. The same at every site that holds its ancestors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// May be applied; the facts are to be kept for the changes after it.
    Applied(Facts),
    /// These dependencies are not known: judge again when they are. Whether one is void is for the caller to see,
    /// since what depends on a void change is void (R8).
    Waiting(Vec<Hash>),
    /// Breaks a rule, for ever.
    Void(Reason),
}

/// Why there is no verdict: a fault of this machine. Ask again when it is mended; never void a change for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError<E> {
    /// A lookup failed.
    #[error("could not look up the history of a document")]
    History(#[source] E),
    /// The history breaks a promise of [`History`]: a dependency of a change held is not.
    #[error("the history of a document lacks change {hash}, on which another depends")]
    Missing {
        /// The change.
        hash: Hash,
    },
    /// The history breaks a promise of [`History`]: a change is missing, another, or not as its facts say.
    #[error("the history of a document has not the change {seq} of actor {actor} as its index says")]
    Inconsistent {
        /// The actor whose change is missing or wrong.
        actor: Actor,
        /// The seq of that change.
        seq: u64,
    },
}

/// Judges `parsed` as a change of `author` against `history`: R6 envelope and operations, R5 shapes.
/// A pure function of the change, `author`, `genesis` and the ancestors of the change. Errors: see [`JudgeError`].
pub fn judge<H: History>(
    parsed: &Parsed,
    author: Actor,
    genesis: Genesis,
    history: &H,
) -> Result<Verdict, JudgeError<H::Error>> {
    if let Err(reason) = check_place(parsed, author, genesis) {
        return Ok(Verdict::Void(reason));
    }
    let mut dependencies = Vec::with_capacity(parsed.dependencies().len());
    let mut missing = Vec::new();
    for hash in parsed.dependencies() {
        match history.by_hash(hash).map_err(JudgeError::History)? {
            Some(facts) => dependencies.push(facts),
            None => missing.push(*hash),
        }
    }
    if !missing.is_empty() {
        return Ok(Verdict::Waiting(missing));
    }
    let mut ancestors = Ancestors::new(history, &dependencies);
    if let Err(reason) = envelope(parsed, &dependencies, &mut ancestors)? {
        return Ok(Verdict::Void(reason));
    }
    Ok(match operations::check(parsed, ancestors)? {
        Ok(()) => Verdict::Applied(Facts::new(parsed)),
        Err(reason) => Verdict::Void(reason),
    })
}

/// What can be said before any other change is known: a function of the change alone.
pub fn check_place(parsed: &Parsed, author: Actor, genesis: Genesis) -> Result<(), Reason> {
    if parsed.actor() != author {
        return Err(Reason::ActorNotAuthor);
    }
    let makes_text = parsed.operations().iter().any(|operation| matches!(operation, Operation::MakeText { .. }));
    let rooted = parsed.dependencies().is_empty();
    match genesis {
        Genesis::No if rooted => Err(Reason::NoDependencies),
        Genesis::No if makes_text => Err(Reason::TextOutsideGenesis),
        Genesis::No => Ok(()),
        Genesis::Random | Genesis::NaturalKey if !rooted => Err(Reason::GenesisWithDependencies),
        Genesis::Random | Genesis::NaturalKey if parsed.seq() != 1 => Err(Reason::GenesisSeq),
        Genesis::Random | Genesis::NaturalKey if parsed.start_op() != 1 => Err(Reason::GenesisStart),
        Genesis::NaturalKey if makes_text => Err(Reason::TextWithNaturalKey),
        Genesis::Random | Genesis::NaturalKey => Ok(()),
    }
}

/// Outer error: no verdict; inner: the first rule broken.
fn envelope<H: History>(
    parsed: &Parsed,
    dependencies: &[Arc<Facts>],
    ancestors: &mut Ancestors<'_, H>,
) -> Result<Result<(), Reason>, JudgeError<H::Error>> {
    let previous = ancestors.last_of(&parsed.actor())?.map_or(0, |last| last.seq);
    if parsed.seq() != previous + 1 {
        return Ok(Err(Reason::WrongSeq));
    }
    let is_previous = |facts: &Arc<Facts>| facts.actor == parsed.actor() && facts.seq == previous;
    if previous > 0 && !dependencies.iter().any(is_previous) {
        return Ok(Err(Reason::PreviousNotADependency));
    }
    let max_op = dependencies.iter().map(|facts| facts.max_op).max().unwrap_or(0);
    if parsed.start_op() != max_op + 1 {
        return Ok(Err(Reason::WrongStart));
    }
    for actor in parsed.other_actors() {
        if ancestors.last_of(actor)?.is_none() {
            return Ok(Err(Reason::ActorOfNoAncestor));
        }
    }
    Ok(Ok(()))
}
