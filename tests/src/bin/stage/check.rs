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

use tests::sites::process::end_all;
use tests::sites::report::Report;
use tests::sites::signal::on_signal;

use crate::arguments::Arguments;
use world::World;

/// Plays it; `true` if all held. The folder stays where something did not.
pub fn check(arguments: &Arguments) -> anyhow::Result<bool> {
    let mut report = Report::begin();
    on_signal(|| {
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
    drop(world);
    Ok(report.close(&folder))
}
