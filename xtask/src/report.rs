//! The outcome of each step, and the final table.

use std::time::Duration;

/// The outcome of a step. A step that did not run is `Skipped`, never `Passed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// The line of one step.
pub struct Line {
    pub name: &'static str,
    pub outcome: Outcome,
    pub took: Duration,
}

/// The lines of a whole run, in order.
#[derive(Default)]
pub struct Report {
    pub lines: Vec<Line>,
}

impl Report {
    pub fn passed(&self, name: &str) -> bool {
        self.lines.iter().any(|line| line.name == name && line.outcome == Outcome::Passed)
    }

    pub fn good(&self) -> bool {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_))) == 0
    }

    /// The table, then the counts alone on the last line, which tools read.
    pub fn text(&self) -> String {
        let width = self.lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
        let rows: String = self.lines.iter().map(|line| row(line, width)).collect();
        let passed = self.count(|outcome| *outcome == Outcome::Passed);
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        format!("\n{rows}\n{passed} passed, {failed} failed, {skipped} skipped\n")
    }

    fn count(&self, which: impl Fn(&Outcome) -> bool) -> usize {
        self.lines.iter().filter(|line| which(&line.outcome)).count()
    }
}

fn row(line: &Line, width: usize) -> String {
    let (word, reason) = match &line.outcome {
        Outcome::Passed => ("passed", ""),
        Outcome::Failed(reason) => ("FAILED", reason.as_str()),
        Outcome::Skipped(reason) => ("skipped", reason.as_str()),
    };
    let seconds = line.took.as_secs_f32();
    let row = format!("  {:width$}  {word:7}  {seconds:7.1} s  {reason}", line.name);
    format!("{}\n", row.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: &[Outcome]) -> Report {
        let line = |outcome: &Outcome| Line { name: "step", outcome: outcome.clone(), took: Duration::ZERO };
        Report { lines: outcomes.iter().map(line).collect() }
    }

    #[test]
    fn the_counts_stand_alone_on_the_last_line() {
        let skipped = Outcome::Skipped("no database".to_owned());
        let text = report(&[Outcome::Passed, skipped.clone(), Outcome::Passed]).text();
        assert_eq!(text.lines().last(), Some("2 passed, 0 failed, 1 skipped"), "a skipped step is not a passed one");
        assert!(text.contains("no database"), "a reader learns why it was skipped");
    }

    #[test]
    fn one_failure_spoils_the_run_and_a_skip_does_not() {
        assert!(report(&[Outcome::Passed, Outcome::Skipped(String::new())]).good(), "nothing failed");
        assert!(!report(&[Outcome::Passed, Outcome::Failed(String::new())]).good(), "something failed");
    }
}
