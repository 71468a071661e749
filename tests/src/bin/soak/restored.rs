//! Yesterday's folder is put back: the site gets its own lost edits from the others, and goes on.
//!
//! Twice. Dakar, among the others, into a folder made anew. Montréal, alone until it has written more than it lost, and
//! over the files that were there, as `cp` does: neither how much it holds nor its disk tells then.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tests::sites::place::copy_folder;
use tests::sites::report::Report;
use tests::sites::watch::{alarms, told, wait};

use crate::book::Claims;
use crate::crowd::{Crowd, refusals};
use crate::proof::{everywhere, proof};
use crate::trial::{Trial, start};

/// Clients at the site.
const WRITING: usize = 3;
/// How long they write after yesterday; that is what is lost.
const TODAY: Duration = Duration::from_millis(1500);
/// How long they write after the folder was put back: among the others, and alone.
const AMONG: Duration = Duration::from_millis(700);
const ALONE: Duration = Duration::from_secs(3);
/// How soon the site must say that it was restored.
const ALARM: Duration = Duration::from_secs(20);

/// Writes at Dakar after a copy of its folder was taken, puts the copy back, and looks for everything.
pub fn among_the_others(trial: &mut Trial, report: &mut Report) -> anyhow::Result<()> {
    let (yesterday, lost) = yesterday(trial, 1, report)?;
    put_back(trial, 1, &yesterday, report, |folder| Ok(std::fs::remove_dir_all(folder)?))?;
    // It does not wait for what it lost before it takes new work.
    write(trial, 1, AMONG, report)?;
    found_again(trial, 1, &lost, report)
}

/// The same at Montréal, which reaches nobody for a while, over the files that are there.
pub fn alone(trial: &mut Trial, report: &mut Report) -> anyhow::Result<()> {
    let (yesterday, lost) = yesterday(trial, 2, report)?;
    let others = [0, 1].map(|at| trial.cast.members[at].api());
    // A process that has just started knows of no cut of its own; the others let it in no more.
    others.iter().try_for_each(|api| api.link("MTL", false))?;
    put_back(trial, 2, &yesterday, report, |folder| remove_what_lacks(folder, &yesterday))?;
    write(trial, 2, ALONE, report)?;
    others.iter().try_for_each(|api| api.link("MTL", true))?;
    found_again(trial, 2, &lost, report)
}

/// Copies a site's folder, and lets clients write there until the others have what they wrote; answers with the copy
/// and what it lacks.
fn yesterday(trial: &mut Trial, at: usize, report: &mut Report) -> anyhow::Result<(PathBuf, Claims)> {
    trial.equal(report, "before the copy");
    let before = Claims::read(&trial.books)?;
    let member = &trial.cast.members[at];
    let yesterday = member.folder.with_extension("yesterday");
    member.process.stop();
    copy_folder(&member.folder, &yesterday)?;
    start(member)?;
    write(trial, at, TODAY, report)?;
    trial.equal(report, "the others have today's work");
    Ok((yesterday, Claims::read(&trial.books)?.only(|id| !before.tickets.contains_key(id))))
}

/// Kills a site, makes room, and starts it on the copy.
fn put_back(
    trial: &Trial,
    at: usize,
    yesterday: &Path,
    report: &mut Report,
    make_room: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let member = &trial.cast.members[at];
    member.process.kill_for_good();
    make_room(&member.folder)?;
    copy_folder(yesterday, &member.folder)?;
    let ms = start(member)?.as_millis();
    let total = member.api().get("/api/v1/tickets?limit=1")?["total"].as_u64().unwrap_or(0);
    report.holds(true, format!("yesterday's folder is put back; it lists {total} tickets {ms} ms after its start"));
    Ok(())
}

/// Removes the files that the copy does not hold; the others are written over.
fn remove_what_lacks(folder: &Path, copy: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !copy.join(entry.file_name()).exists() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Checks that what the site had lost is back, and everything else is there too.
fn found_again(trial: &Trial, at: usize, lost: &Claims, report: &mut Report) -> anyhow::Result<()> {
    trial.equal(report, "met again");
    let member = &trial.cast.members[at];
    let (api, name) = (member.api(), member.place.name);
    let alarm = wait(ALARM, || alarms(&api).contains("OWN-RECORDS-BACK"));
    report.holds(alarm.is_some(), format!("OWN-RECORDS-BACK is shown in {name} {}", told(alarm)));
    let names = [&format!("what {name} had lost, there"), "and in Paris"];
    everywhere(lost, &[api, trial.cast.members[0].api()], &names, report)?;
    proof(trial, report)
}

/// Lets new clients write at a site.
fn write(trial: &mut Trial, at: usize, time: Duration, report: &mut Report) -> anyhow::Result<()> {
    let (door, name) = (trial.cast.members[at].api(), trial.cast.members[at].place.name);
    let crowd = Crowd::new(trial.clients(&[door], WRITING)?, Duration::ZERO);
    crowd.work();
    std::thread::sleep(time);
    crowd.rest()?;
    let done = crowd.end();
    let (deeds, refused) = (done.deeds, refusals(&done.refused));
    let told = format!("{deeds} acknowledged in {name} in {:.1} s, {refused}", time.as_secs_f64());
    report.holds(done.refused.is_empty() && done.deeds > 0, told);
    Ok(())
}
