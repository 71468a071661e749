//! What a program without a person prints: headings, findings with their figures, and the end.

use std::path::Path;
use std::time::Instant;

/// What held and what did not, printed as it is found.
pub struct Report {
    begun: Instant,
    failed: Vec<String>,
}

impl Report {
    /// Nothing found yet; the time counts from here.
    pub fn begin() -> Self {
        Self { begun: Instant::now(), failed: Vec::new() }
    }

    /// Prints a finding with its figures.
    pub fn holds(&mut self, holds: bool, told: impl Into<String>) {
        let told = told.into();
        println!("  {}  {told}", if holds { "ok    " } else { "FAILED" });
        if !holds {
            self.failed.push(told);
        }
    }

    /// Prints the heading of a step.
    pub fn step(&self, name: &str) {
        println!("{:>6.1} s  {name}", self.begun.elapsed().as_secs_f64());
    }

    /// Runs a step; one that breaks off is a finding too, and the next ones go on.
    pub fn run(&mut self, name: &str, step: impl FnOnce(&mut Self) -> anyhow::Result<()>) {
        self.step(name);
        if let Err(error) = step(self) {
            self.holds(false, format!("{name}: broke off: {error:#}"));
        }
    }

    /// Prints the end; `true` if all held. `folder` goes then, and stays where something did not.
    pub fn close(self, folder: &Path) -> bool {
        let seconds = self.begun.elapsed().as_secs_f64();
        if self.failed.is_empty() {
            // Only a temporary folder; one that stays is no failure of the story.
            let _ = std::fs::remove_dir_all(folder);
            let _ = std::fs::remove_file(folder.with_extension("lock"));
            println!("All held, in {seconds:.0} s.");
            return true;
        }
        let (count, place) = (self.failed.len(), folder.display());
        println!("{count} did not hold, in {seconds:.0} s; the sites' folders are in {place}:");
        self.failed.iter().for_each(|told| println!("  {told}"));
        false
    }
}
