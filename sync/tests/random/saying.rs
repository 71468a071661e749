//! How a part of what was signed is said: as the chain that leads to a record, as the history behind a fork to which it
//! belongs, or as the proof of a fork; in runs of any length, with bodies left out here and there.

use schema::id::LogId;
use sync::admission::{RecordWithBodies, Run};

use super::common::member::Member;
use super::draws::Draws;
use super::plan::Plan;

/// A frame, and what it says, for people.
pub struct Frame {
    pub bytes: Vec<u8>,
    pub what: String,
}

/// Says something of everything that was signed; of a hundred bodies so many are left out.
pub fn frames(draws: &mut Draws, plan: &Plan, dakar: &Member, oslo: &Member, left_out: usize) -> Vec<Frame> {
    let mut all = Vec::new();
    for number in 0..plan.nodes.len() {
        if plan.children(number).is_empty() || draws.chance(40) {
            let (path, head) = (plan.path(number), plan.head(number));
            let bytes = chain(draws, dakar, None, records(plan, &path), left_out);
            all.push(Frame { bytes, what: format!("the chain to n{number}") });
            let part: Vec<usize> = path.into_iter().filter(|on_path| plan.head(*on_path) == head).collect();
            let bytes = chain(draws, dakar, Some(plan.log_name(head)), records(plan, &part), left_out);
            all.push(Frame { bytes, what: format!("the history from n{head} to n{number}") });
        }
        for other in plan.places(number).into_iter().filter(|other| *other > number) {
            let bytes = dakar.fork(&plan.nodes[number].with, &plan.nodes[other].with);
            all.push(Frame { bytes, what: format!("the fork n{number} n{other}") });
        }
    }
    for count in 1..=plan.oslo.len() {
        if count == plan.oslo.len() || draws.chance(40) {
            let bytes = chain(draws, oslo, None, plan.oslo[..count].to_vec(), left_out);
            all.push(Frame { bytes, what: format!("the chain to o{count}") });
        }
    }
    all
}

fn records(plan: &Plan, numbers: &[usize]) -> Vec<RecordWithBodies> {
    numbers.iter().map(|number| plan.nodes[*number].with.clone()).collect()
}

/// A frame of these records, in runs of one or more, under the name of their history if one is given.
fn chain(
    draws: &mut Draws,
    by: &Member,
    log: Option<LogId>,
    mut records: Vec<RecordWithBodies>,
    left_out: usize,
) -> Vec<u8> {
    for body in records.iter_mut().flat_map(|with| &mut with.bodies) {
        if draws.chance(left_out) {
            *body = None;
        }
    }
    let (mut runs, mut part, last) = (Vec::new(), Vec::new(), records.len());
    for (number, with) in records.into_iter().enumerate() {
        part.push(with);
        if number + 1 == last || draws.chance(60) {
            let run = by.run(std::mem::take(&mut part));
            runs.push(Run { log: log.unwrap_or(run.log), ..run });
        }
    }
    by.frame(&runs)
}
