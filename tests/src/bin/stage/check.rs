//! The story without a person: played through the sites' HTTP API in a folder of its own, each step with its figures.
//!
//! The story in order: [`world`] founds three sites and the people; [`split`] cuts and lets everybody work,
//! [`model`] notes what a plain model expects of it; [`crash`] kills a site among its writes; [`mend`] lets them meet
//! and compares everything; [`search`] asks as people do; [`roads`] sends news around a cut cable, fills a wiped
//! folder, and runs a copied one; [`door`] sends what no client should; [`history`] reads who wrote what.

mod crash;
mod door;
mod history;
mod log;
mod mend;
mod model;
mod roads;
mod search;
mod split;
mod world;

use std::time::Instant;

use crate::arguments::Arguments;
use crate::process::end_all;
use crate::run;
use world::World;

/// What held and what did not, printed as it is found.
pub struct Report {
    begun: Instant,
    failed: Vec<String>,
}

impl Report {
    fn new() -> Self {
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
    fn run(&mut self, name: &str, step: impl FnOnce(&mut Self) -> anyhow::Result<()>) {
        self.step(name);
        if let Err(error) = step(self) {
            self.holds(false, format!("{name}: broke off: {error:#}"));
        }
    }
}

/// Plays it; `true` if all held. The folder stays where something did not.
pub fn check(arguments: &Arguments) -> anyhow::Result<bool> {
    let mut report = Report::new();
    run::on_signal(|| {
        end_all();
        std::process::exit(130);
    });
    let folder = std::env::temp_dir().join(format!("archipel-check-{}", std::process::id()));
    report.step("Three sites are founded, joined and filled");
    let mut world = World::found(&folder, arguments.port, &mut report)?;
    report.run("A portion of the incident log is imported at each site", |report| log::first(&mut world, report));
    report.run("All cables are cut, by each site's own name", |report| split::cut(&mut world, report));
    report.run("Everybody works alone", |report| split::work(&mut world, report));
    report.run("The rest of the log arrives during the split", |report| log::rest(&mut world, report));
    report.run("Dakar is killed while people write", |report| crash::crash(&mut world, report));
    report.run("The cables are mended", |report| mend::mend(&mut world, report));
    report.run("All three are compared", |report| mend::compare(&world, report));
    report.run("Two values, to settle", |report| mend::conflicts(&world, report));
    report.run("Search", |report| search::search(&world, report));
    report.run("Who wrote what, and where", |report| history::history(&world, report));
    report.run("Paris–Dakar alone is cut", |report| roads::around(&world, report));
    report.run("Montréal's folder is deleted", |report| roads::wiped(&world, report));
    report.run("Montréal's folder is copied and both copies run", |report| roads::copied(&world, report));
    report.run("What no client should send", |report| door::door(&world, report));
    report.run("The incident log by an outside script", |report| log::outside(&world, report));
    let seconds = report.begun.elapsed().as_secs_f64();
    drop(world);
    if report.failed.is_empty() {
        // Only a temporary folder; one that stays is no failure of the story.
        let _ = std::fs::remove_dir_all(&folder);
        let _ = std::fs::remove_file(folder.with_extension("lock"));
        println!("All held, in {seconds:.0} s.");
        return Ok(true);
    }
    println!(
        "{} did not hold, in {seconds:.0} s; the sites' folders are in {}:",
        report.failed.len(),
        folder.display()
    );
    report.failed.iter().for_each(|told| println!("  {told}"));
    Ok(false)
}
