//! kill -9 among writes: what was acknowledged is there afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests::sites::api::text;
use tests::sites::report::Report;

use super::world::World;

/// Who writes at once.
const WRITERS: usize = 4;
/// How long they write before the kill.
const BEFORE: Duration = Duration::from_millis(700);
/// How soon a site must be back.
const BACK: Duration = Duration::from_secs(2);

/// Kills Dakar while four people write there.
pub fn crash(world: &mut World, report: &mut Report) -> anyhow::Result<()> {
    let stop = AtomicBool::new(false);
    let dakar = world.site(1);
    let (made, back) = std::thread::scope(|scope| {
        let (stop, world) = (&stop, &*world);
        let running: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(world, writer, stop))).collect();
        std::thread::sleep(BEFORE);
        let back = world.cast.kill(dakar);
        std::thread::sleep(BEFORE / 2);
        stop.store(true, Ordering::Relaxed);
        let made: Vec<(String, String)> = running.into_iter().flat_map(|one| one.join().unwrap_or_default()).collect();
        (made, back)
    });
    // A process that has just started knows of no cut; the others have kept theirs.
    dakar.api().link(dakar.place.code, false)?;
    let back = back?;
    report.holds(back < BACK, format!("Dakar answers {:.2} s after kill -9", back.as_secs_f64()));
    let lost = made.iter().filter(|(id, number)| {
        let found = dakar.api().get(&format!("/api/v1/tickets/{id}"));
        !found.is_ok_and(|found| text(&found, "number") == *number)
    });
    let lost = lost.count();
    report.holds(
        lost == 0 && !made.is_empty(),
        format!("{} tickets acknowledged around the kill, {lost} lost", made.len()),
    );
    world.made.extend(made);
    Ok(())
}

/// Opens tickets until told to stop; a request that fails was not acknowledged.
fn write(world: &World, writer: usize, stop: &AtomicBool) -> Vec<(String, String)> {
    let mut made = Vec::new();
    let api = &world.people[1][writer % 2].api;
    while !stop.load(Ordering::Relaxed) {
        match api.open(&world.opening(&format!("Pendant la panne {writer}-{} / during the crash", made.len()))) {
            Ok(ticket) => made.push((text(&ticket, "id"), text(&ticket, "number"))),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    made
}
