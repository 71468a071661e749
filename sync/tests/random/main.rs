//! Histories drawn at random: a member forks its logs and forks the forks, copies its changes, signs what is void and
//! withholds bodies; another edits on top; the key may be revoked. Two honest sites hear parts of it in other orders, edit,
//! restart and are rebuilt meanwhile, and end alike (R2, R8, R19, R20). `sync/tests/histories` shows one case after the
//! other; these find the cases that nobody thought of.
//!
//! A seed draws its history in one order for ever, so that a seed that once failed stays a regression: new draws go to the
//! end, or to a test of their own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod changes;
#[path = "../common/mod.rs"]
mod common;
mod draws;
mod hearing;
mod plan;
mod saying;
mod state;

use std::panic::{AssertUnwindSafe, catch_unwind};

const PARIS: usize = 0;
const LYON: usize = 1;
const DAKAR: usize = 2;
const OSLO: usize = 3;
/// The honest sites.
const HONEST: [usize; 2] = [PARIS, LYON];
const NAMES: [&str; 2] = ["PARIS", "LYON"];
/// The fields that are edited.
const KEYS: [&str; 3] = ["title", "urgency", "impact"];

/// Histories of an ordinary test run; `ARCHIPEL_HISTORIES` asks for more, `ARCHIPEL_HISTORIES_FROM` for later ones.
const HISTORIES: u64 = 150;

/// Seeds at which two sites once parted for good, by what was wrong.
const PARTED: [(&str, &[u64]); 8] = [
    ("parts of a chain were judged by the numbers of their logs", &[20029, 20231, 20480, 22171, 23306, 25277]),
    ("a change refers to what comes later in its own run", &[20416, 20644, 22108, 22928, 23546, 25018]),
    ("a peer was blamed for a reference into another history", &[22647, 23755, 24120, 25246]),
    ("what is tainted waited for itself", &[23296]),
    ("what a stranded record lacks came later", &[31781]),
    ("an edit, or a void record, is the first to build on what two histories name", &[21595, 408218]),
    ("whether a place was taken hid what a record says of itself", &[31466, 40278]),
    ("what stands came to wait after its place was taken", &[101951, 104505, 201453, 203833]),
];

#[test]
fn random_histories_end_alike_in_any_order() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let from = number("ARCHIPEL_HISTORIES_FROM").unwrap_or(0);
    let count = number("ARCHIPEL_HISTORIES").unwrap_or(HISTORIES);
    let bad: Vec<u64> = (from..from + count).filter(|seed| parts(*seed)).collect();
    assert!(bad.is_empty(), "of {count} seeds from {from} on: {bad:?}");
}

#[test]
fn histories_that_once_parted_sites() {
    let bad = |seeds: &[u64]| seeds.iter().copied().filter(|seed| parts(*seed)).collect();
    let bad: Vec<(&str, Vec<u64>)> = PARTED.map(|(why, seeds)| (why, bad(seeds))).into();
    assert!(bad.iter().all(|(_, seeds)| seeds.is_empty()), "{bad:?}");
}

/// Whether anything is wrong after a seed's history; says what, and all that happened before.
fn parts(seed: u64) -> bool {
    let mut log = Vec::new();
    let heard = catch_unwind(AssertUnwindSafe(|| hearing::hear(seed, &mut log)));
    let faults = heard.unwrap_or_else(|_| vec!["it panicked".to_owned()]);
    if !faults.is_empty() {
        println!("seed {seed}:\n  {}\nwhat happened:\n  {}\n", faults.join("\n  "), log.join("\n  "));
    }
    !faults.is_empty()
}
