//! The campaign as a test; hostile changes, one for each reason, are in `tests/hostile.rs`.

pub(super) mod desk;
mod hostile;
mod verdicts;

use super::mutation::{Report, campaign};

/// Mutants of an ordinary test run; `ARCHIPEL_MUTANTS` asks for more (50,000 is the whole campaign).
const MUTANTS: u64 = 5_000;

#[test]
fn no_mutant_that_passes_the_rules_harms_automerge() {
    let mutants = std::env::var("ARCHIPEL_MUTANTS").ok().and_then(|count| count.parse().ok()).unwrap_or(MUTANTS);
    let seed = std::env::var("ARCHIPEL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(2026);
    let halves = [seed, seed + 1].map(|seed| std::thread::spawn(move || campaign(seed, mutants / 2)));
    let mut report = Report::default();
    for half in halves {
        report.add(half.join().expect("the campaign itself does not panic"));
    }
    println!("{report}");
    assert!(report.passed() * 20 > mutants, "a campaign in which nothing passes says nothing");
    assert!(report.failures.is_empty(), "{}", report.failures[..report.failures.len().min(5)].join("\n\n"));
}
