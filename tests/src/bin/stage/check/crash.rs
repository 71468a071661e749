//! kill -9 during writes: what was acknowledged is there afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests::sites::api::text;
use tests::sites::report::Report;

use super::fixture::Fixture;

/// The number of concurrent writers.
const WRITERS: usize = 4;
/// How long they write before the kill.
const WRITE_BEFORE: Duration = Duration::from_millis(700);
/// How soon a killed site must serve again.
const MAX_RESTART: Duration = Duration::from_secs(2);

/// Kills Dakar while four people write there.
pub fn crash(fixture: &mut Fixture, report: &mut Report) -> anyhow::Result<()> {
    let stop = AtomicBool::new(false);
    let dakar = fixture.site(1);
    let (made, back) = std::thread::scope(|scope| {
        let (stop, fixture) = (&stop, &*fixture);
        let running: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(fixture, writer, stop))).collect();
        std::thread::sleep(WRITE_BEFORE);
        let back = fixture.cluster.kill(dakar);
        std::thread::sleep(WRITE_BEFORE / 2);
        stop.store(true, Ordering::Relaxed);
        let made: Vec<(String, String)> = running.into_iter().flat_map(|one| one.join().unwrap_or_default()).collect();
        (made, back)
    });
    // A process that has just started has forgotten its cuts; the other sites have kept theirs.
    dakar.api().set_link(dakar.spec.code, false)?;
    let back = back?;
    report.check(back < MAX_RESTART, format!("Dakar answers {:.2} s after kill -9", back.as_secs_f64()));
    let lost = made.iter().filter(|(id, number)| {
        let found = dakar.api().get(&format!("/api/v1/tickets/{id}"));
        !found.is_ok_and(|found| text(&found, "number") == *number)
    });
    let lost = lost.count();
    report.check(
        lost == 0 && !made.is_empty(),
        format!("{} tickets acknowledged around the kill, {lost} lost", made.len()),
    );
    fixture.made.extend(made);
    Ok(())
}

/// Opens tickets until `stop`; returns id and number of the acknowledged ones. A request that fails was not
/// acknowledged.
fn write(fixture: &Fixture, writer: usize, stop: &AtomicBool) -> Vec<(String, String)> {
    let mut made = Vec::new();
    let api = &fixture.people[1][writer % 2].api;
    while !stop.load(Ordering::Relaxed) {
        match api.open(&fixture.new_ticket(&format!("Pendant la panne {writer}-{} / during the crash", made.len()))) {
            Ok(ticket) => made.push((text(&ticket, "id"), text(&ticket, "number"))),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    made
}
