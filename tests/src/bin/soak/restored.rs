//! Restoring an older backup of a site's folder: the site gets its lost edits back from the others, and goes on.
//!
//! Twice. Dakar, while connected, into an empty folder. Montréal, while isolated and over the files that were there, as
//! `cp` does, where it writes more than it lost before it reconnects: then neither its disk nor how much it holds tells
//! that it was restored.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tests::sites::report::Report;
use tests::sites::setup::copy_folder;
use tests::sites::watch::{alarms, wait, wait_result};

use crate::journal::Expected;
use crate::run::{Run, start};
use crate::verification::{verify_all, verify_at};
use crate::writer_pool::{WriterPool, error_summary};

/// The number of clients of the site.
const CLIENTS: usize = 3;
/// How long they write after the backup was taken; that is what is lost.
const WRITE_AFTER_BACKUP: Duration = Duration::from_millis(1500);
/// How long they write after the backup was restored: while connected, and while isolated.
const WRITE_CONNECTED: Duration = Duration::from_millis(700);
const WRITE_ISOLATED: Duration = Duration::from_secs(3);
/// How soon the site must show that it was restored.
const ALARM_TIMEOUT: Duration = Duration::from_secs(20);

/// Writes at Dakar after a backup of its folder was taken, restores the backup, and checks that nothing is lost.
pub fn while_connected(run: &mut Run, report: &mut Report) -> anyhow::Result<()> {
    let (backup, lost) = back_up_and_write(run, 1, report)?;
    restore(run, 1, &backup, report, |folder| Ok(std::fs::remove_dir_all(folder)?))?;
    // It takes new writes before it has received what it lost.
    write(run, 1, WRITE_CONNECTED, report)?;
    check_recovered(run, 1, &lost, report)
}

/// The same at Montréal, which is isolated for a while, over the files that are there.
pub fn while_isolated(run: &mut Run, report: &mut Report) -> anyhow::Result<()> {
    let (backup, lost) = back_up_and_write(run, 2, report)?;
    let others = [0, 1].map(|at| run.cluster.members[at].api());
    // A process that has just started has forgotten its own cuts, so the others refuse it.
    others.iter().try_for_each(|api| api.set_link("MTL", false))?;
    restore(run, 2, &backup, report, |folder| remove_files_not_in(folder, &backup))?;
    write(run, 2, WRITE_ISOLATED, report)?;
    others.iter().try_for_each(|api| api.set_link("MTL", true))?;
    check_recovered(run, 2, &lost, report)
}

/// Copies a site's folder, and lets clients write there until the others have what they wrote; returns the copy and
/// what it lacks.
fn back_up_and_write(run: &mut Run, at: usize, report: &mut Report) -> anyhow::Result<(PathBuf, Expected)> {
    run.check_converged(report, "before the backup");
    let before = Expected::read(&run.journals)?;
    let member = &run.cluster.members[at];
    let backup = member.folder.with_extension("backup");
    member.process.stop();
    copy_folder(&member.folder, &backup)?;
    start(member)?;
    write(run, at, WRITE_AFTER_BACKUP, report)?;
    run.check_converged(report, "the others have what was written since");
    Ok((backup, Expected::read(&run.journals)?.only(|id| !before.tickets.contains_key(id))))
}

/// Kills a site, prepares its folder with `clear`, copies the backup there, and starts the site.
fn restore(
    run: &Run,
    at: usize,
    backup: &Path,
    report: &mut Report,
    clear: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let member = &run.cluster.members[at];
    member.process.kill_without_restart();
    clear(&member.folder)?;
    copy_folder(backup, &member.folder)?;
    let ms = start(member)?.as_millis();
    let total = member.api().get("/api/v1/tickets?limit=1")?["total"].as_u64().unwrap_or(0);
    report.check(true, format!("the older backup is restored; it lists {total} tickets {ms} ms after its start"));
    Ok(())
}

/// Removes the files that the backup does not hold; the others are overwritten.
fn remove_files_not_in(folder: &Path, backup: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !backup.join(entry.file_name()).exists() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Checks that what the site had lost is back, and that everything else is there too.
fn check_recovered(run: &Run, at: usize, lost: &Expected, report: &mut Report) -> anyhow::Result<()> {
    run.check_converged(report, "reconnected");
    let member = &run.cluster.members[at];
    let (api, name) = (member.api(), member.spec.name);
    let alarm = wait(ALARM_TIMEOUT, || alarms(&api).contains("OWN-RECORDS-BACK"));
    report.check(alarm.is_some(), format!("OWN-RECORDS-BACK is shown in {name} {}", wait_result(alarm)));
    let names = [&format!("what {name} had lost, there"), "and in Paris"];
    verify_at(lost, &[api, run.cluster.members[0].api()], &names, report)?;
    verify_all(run, report)
}

/// Lets new clients write at a site for `time`.
fn write(run: &mut Run, at: usize, time: Duration, report: &mut Report) -> anyhow::Result<()> {
    let (api, name) = (run.cluster.members[at].api(), run.cluster.members[at].spec.name);
    let pool = WriterPool::new(run.clients(&[api], CLIENTS)?, Duration::ZERO);
    pool.resume();
    std::thread::sleep(time);
    pool.pause()?;
    let summary = pool.stop();
    let (acknowledged, errors) = (summary.acknowledged, error_summary(&summary.errors));
    let figures = format!("{acknowledged} acknowledged in {name} in {:.1} s, {errors}", time.as_secs_f64());
    report.check(summary.errors.is_empty() && acknowledged > 0, figures);
    Ok(())
}
