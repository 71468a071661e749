//! What a campaign counted, and how it is printed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::change::Reason;

/// The outcome of a campaign. It is good when `failures` is empty.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Honest changes judged.
    pub honest: u64,
    /// Mutants that passed and became ancestors of later ones.
    pub adopted: u64,
    /// Mutants by family.
    pub families: BTreeMap<&'static str, FamilyReport>,
    /// Whatever must not happen, with the mutant.
    pub failures: Vec<String>,
    /// What each gate cost for honest changes.
    pub timing: Timing,
}

/// The mutants of one family.
#[derive(Clone, Debug, Default)]
pub struct FamilyReport {
    /// Mutants made.
    pub made: u64,
    /// Those that came out as an honest change.
    pub unchanged: u64,
    /// Those the scan refused.
    pub refused_by_scan: u64,
    /// Those that passed the scan and were refused by the parse.
    pub refused_by_parse: u64,
    /// Those that passed the parse and were void.
    pub refused_by_judge: u64,
    /// Those that name a dependency nobody has.
    pub waiting: u64,
    /// Those that passed all the rules and met Automerge.
    pub passed: u64,
    /// Refusals by reason.
    pub reasons: BTreeMap<Reason, u64>,
}

/// Nanoseconds per honest change in scan, parse and judge, one entry per change.
#[derive(Clone, Debug, Default)]
pub struct Timing([Vec<u64>; 3]);

impl Report {
    /// Mutants made in all families.
    pub fn made(&self) -> u64 {
        self.families.values().map(|family| family.made).sum()
    }

    /// Mutants that passed all the rules and met Automerge.
    pub fn passed(&self) -> u64 {
        self.families.values().map(|family| family.passed).sum()
    }

    /// How often each reason was given, all families together.
    pub fn reasons(&self) -> BTreeMap<Reason, u64> {
        let mut all = BTreeMap::new();
        for (reason, count) in self.families.values().flat_map(|family| &family.reasons) {
            *all.entry(*reason).or_insert(0) += count;
        }
        all
    }

    /// Adds the counts of another campaign.
    pub fn add(&mut self, other: Self) {
        self.honest += other.honest;
        self.adopted += other.adopted;
        self.failures.extend(other.failures);
        for (sum, part) in self.timing.0.iter_mut().zip(other.timing.0) {
            sum.extend(part);
        }
        for (name, part) in other.families {
            self.family(name).add(part);
        }
    }

    pub(super) fn family(&mut self, name: &'static str) -> &mut FamilyReport {
        self.families.entry(name).or_default()
    }
}

impl FamilyReport {
    pub(super) fn void(&mut self, reason: Reason) {
        *self.reasons.entry(reason).or_insert(0) += 1;
    }

    fn add(&mut self, other: Self) {
        self.made += other.made;
        self.unchanged += other.unchanged;
        self.refused_by_scan += other.refused_by_scan;
        self.refused_by_parse += other.refused_by_parse;
        self.refused_by_judge += other.refused_by_judge;
        self.waiting += other.waiting;
        self.passed += other.passed;
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_insert(0) += count;
        }
    }
}

impl Timing {
    pub(super) fn add(&mut self, gates: [Duration; 3]) {
        for (all, one) in self.0.iter_mut().zip(gates) {
            all.push(u64::try_from(one.as_nanos()).unwrap_or(u64::MAX));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "honest changes: {}", self.honest)?;
        write!(f, "{}", self.timing)?;
        writeln!(f, "family       made  unchanged   scan  parse  judge  waiting  passed")?;
        let mut total = FamilyReport::default();
        for (name, family) in &self.families {
            line(f, name, family)?;
            total.add(family.clone());
        }
        line(f, "all", &total)?;
        for (reason, count) in self.reasons() {
            writeln!(f, "{count:>8}  {reason}")?;
        }
        let given = self.reasons();
        let never = Reason::ALL.iter().filter(|reason| !given.contains_key(reason));
        let never: Vec<_> = never.map(|reason| reason.code()).collect();
        writeln!(f, "never given: {}", never.join(", "))?;
        writeln!(f, "mutants built on: {}", self.adopted)?;
        writeln!(f, "failures: {}", self.failures.len())
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, family: &FamilyReport) -> fmt::Result {
    let FamilyReport { made, unchanged, refused_by_scan, refused_by_parse, refused_by_judge, waiting, passed, .. } =
        family;
    writeln!(
        f,
        "{name:<10} {made:>6}  {unchanged:>9} {refused_by_scan:>6} {refused_by_parse:>6} {refused_by_judge:>6}  {waiting:>7} {passed:>7}"
    )
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (gate, times) in ["scan", "parse", "judge"].iter().zip(&self.0) {
            let mut times = times.clone();
            times.sort_unstable();
            let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or(0) as f64 / 1_000.0;
            let mean = times.iter().sum::<u64>() as f64 / times.len().max(1) as f64 / 1_000.0;
            writeln!(f, "{gate}: median {:.2} us, mean {mean:.2} us, p99 {:.2} us", at(50), at(99))?;
        }
        Ok(())
    }
}
