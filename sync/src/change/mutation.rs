//! The mutation campaign: does anything that passes the gates harm Automerge?
//!
//! Random honest histories are grown; none of their changes may be refused. Then changes are mutated, and each
//! mutant that `judge` applies meets Automerge in four orders of arrival with an honest concurrent change: any
//! panic, any document that cannot be loaded, any difference between the orders is a failure, printed with the
//! mutant. Same seed, same campaign. Left to others: how many mutants are enough (tests choose).

mod forge;
mod honest;
mod meet;
mod mutate;
mod near;
pub(super) mod raw;
mod report;
mod rng;
mod world;

pub use forge::{Grown, bomb, forge, late, onto_key, repeated, second, twice_put, without_a_dependency};
pub use report::{FamilyReport, Report, Timing};

use std::time::Instant;

use super::{Actor, Genesis, History, Parsed, Reason, Verdict, judge, parse, scan};
use meet::Meeting;
use mutate::{Family, Mutant};
use rng::Rng;
use world::{AncestorsOnly, Member, World};

/// Changes of one history that are mutated.
const SUBJECTS: usize = 6;
/// Mutants made of one subject: enough to share the documents that are built for it.
const MUTANTS_PER_SUBJECT: u64 = 32;

/// Runs a campaign of about `mutants` mutants, all drawn from `seed`.
pub fn campaign(seed: u64, mutants: u64) -> Report {
    raw::quieten_caught_panics();
    let (mut rng, mut report) = (Rng::new(seed), Report::default());
    while report.made() < mutants {
        let history_seed = rng.next();
        let mut world = World::grow(&mut Rng::new(history_seed), &mut report);
        for _ in 0..SUBJECTS {
            let adopted = mutate_one(&world, &mut rng, &mut report);
            report.adopted += world.adopt(adopted);
        }
    }
    report
}

/// Mutates one change of `world`. Answers mutants that passed and may be built on: what is safe once must stay
/// safe under all that comes after it.
fn mutate_one(world: &World, rng: &mut Rng, report: &mut Report) -> Vec<Member> {
    let mut adopted = Vec::new();
    let Some(subject) = world.subject(rng) else {
        return adopted;
    };
    let mut meeting = Meeting::new(world);
    for _ in 0..MUTANTS_PER_SUBJECT {
        let family = *rng.pick(&Family::ALL).unwrap_or(&Family::Body);
        if let Some(mutant) = mutate::mutate(family, rng, world, subject) {
            let passed = try_mutant(world, &mut meeting, mutant, rng, report);
            adopted.extend(passed.filter(|_| rng.chance(30)));
        }
    }
    adopted
}

/// One mutant through the gates and, if they let it pass, into documents.
fn try_mutant(
    world: &World,
    meeting: &mut Meeting<'_>,
    mutant: Mutant,
    rng: &mut Rng,
    report: &mut Report,
) -> Option<Member> {
    let family = report.family(mutant.family.name());
    family.made += 1;
    if world.holds(&mutant.bytes) {
        family.unchanged += 1;
        return None;
    }
    if let Err(reason) = scan(&mutant.bytes) {
        family.refused_by_scan += 1;
        family.void(reason);
        return None;
    }
    let failure = match raw::quietly(|| parse(&mutant.bytes)) {
        Err(panic) => format!("parse panics: {panic}"),
        Ok(Err(reason)) => {
            family.refused_by_parse += 1;
            family.void(reason);
            return None;
        }
        Ok(Ok(parsed)) => match judged(world, &parsed, &mutant) {
            Ok(Verdict::Void(reason)) => {
                family.refused_by_judge += 1;
                family.void(reason);
                return None;
            }
            Ok(Verdict::Waiting(_)) => {
                family.waiting += 1;
                return None;
            }
            Ok(Verdict::Applied(facts)) => {
                family.passed += 1;
                match meeting.meet(&parsed, &facts, rng) {
                    Ok(()) => {
                        return Some(world.member(mutant.bytes, parsed, facts, mutant.genesis));
                    }
                    Err(failure) => failure,
                }
            }
            Err(failure) => failure,
        },
    };
    report.failures.push(format!("{failure}\n{mutant}"));
    None
}

/// The verdict, which must be the same whether all changes or only the ancestors are held.
fn judged(world: &World, parsed: &Parsed, mutant: &Mutant) -> Result<Verdict, String> {
    let ask = |history: &dyn Fn() -> Result<Verdict, String>| raw::quietly(history).unwrap_or_else(Err);
    let all = ask(&|| verdict(parsed, mutant.author, mutant.genesis, &world.memory))?;
    let few = AncestorsOnly::of(parsed, world);
    let ancestors = ask(&|| verdict(parsed, mutant.author, mutant.genesis, &few))?;
    if all == ancestors { Ok(all) } else { Err(format!("held {all:?}, ancestors alone {ancestors:?}")) }
}

fn verdict<H: History>(parsed: &Parsed, author: Actor, genesis: Genesis, history: &H) -> Result<Verdict, String> {
    judge(parsed, author, genesis, history).map_err(|_| "the judge finds the history broken".to_owned())
}

/// Judges an honest change and notes what each gate cost.
fn honest_verdict(
    chunk: &[u8],
    genesis: Genesis,
    history: &impl History,
    timing: &mut Timing,
) -> Result<(Parsed, Verdict), Reason> {
    let start = Instant::now();
    let actor = scan(chunk)?.actor;
    let scanned = Instant::now();
    let parsed = parse(chunk)?;
    let decoded = Instant::now();
    let verdict = judge(&parsed, actor, genesis, history).unwrap_or(Verdict::Void(Reason::DoesNotParse));
    timing.add([scanned - start, decoded - scanned, decoded.elapsed()]);
    Ok((parsed, verdict))
}
