//! What an unattended run prints: a heading for each step, each check with its figures, and the result.

use std::path::Path;
use std::time::Instant;

/// The checks that held and those that did not, printed as they are made.
pub struct Report {
    begun: Instant,
    failed: Vec<String>,
}

impl Report {
    /// An empty report; its clock starts now.
    pub fn begin() -> Self {
        Self { begun: Instant::now(), failed: Vec::new() }
    }

    /// Prints one check with its figures and remembers it if it does not hold.
    pub fn check(&mut self, holds: bool, text: impl Into<String>) {
        let text = text.into();
        println!("  {}  {text}", if holds { "ok    " } else { "FAILED" });
        if !holds {
            self.failed.push(text);
        }
    }

    /// Prints the heading of a step and the time since the beginning.
    pub fn step(&self, name: &str) {
        println!("{:>6.1} s  {name}", self.begun.elapsed().as_secs_f64());
    }

    /// Runs a step; an error counts as a failed check, and the next steps still run.
    pub fn run(&mut self, name: &str, step: impl FnOnce(&mut Self) -> anyhow::Result<()>) {
        self.step(name);
        if let Err(error) = step(self) {
            self.check(false, format!("{name}: failed: {error:#}"));
        }
    }

    /// Prints the result; `true` if all checks held: `folder` is deleted then, and kept otherwise.
    pub fn close(self, folder: &Path) -> bool {
        let seconds = self.begun.elapsed().as_secs_f64();
        if self.failed.is_empty() {
            // Only a temporary folder: failing to delete it is no failure of the run.
            let _ = std::fs::remove_dir_all(folder);
            let _ = std::fs::remove_file(folder.with_extension("lock"));
            println!("All held, in {seconds:.0} s.");
            return true;
        }
        let (count, folder) = (self.failed.len(), folder.display());
        println!("{count} did not hold, in {seconds:.0} s; the sites' folders are in {folder}:");
        self.failed.iter().for_each(|text| println!("  {text}"));
        false
    }
}
