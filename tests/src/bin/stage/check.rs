//! The scenario without a person: run through the sites' HTTP API in a folder of its own, each step with its figures.
//!
//! In order: [`fixture`] creates three sites and the people; [`split`] cuts all links and lets everybody work, while
//! [`model`] keeps what a reference model expects of it; [`crash`] kills a site during its writes; [`mend`] reconnects
//! the sites and compares everything; [`search`] searches as people do; [`history`] checks who wrote what; [`faults`]
//! routes around a cut link, refills a wiped folder, and runs a copied one; [`bad_requests`] sends what no client
//! should; [`incident_log`] imports the real log, if it is on this machine.

mod bad_requests;
mod crash;
mod faults;
mod fixture;
mod history;
mod incident_log;
mod mend;
mod model;
mod search;
mod split;

use tests::sites::process::end_all;
use tests::sites::report::Report;
use tests::sites::signal::on_signal;

use crate::arguments::Arguments;
use fixture::Fixture;

/// Runs the scenario; `true` if all checks held. Otherwise the folder is kept.
pub fn check(arguments: &Arguments) -> anyhow::Result<bool> {
    let mut report = Report::begin();
    on_signal(|| {
        end_all();
        std::process::exit(130);
    });
    let folder = std::env::temp_dir().join(format!("archipel-check-{}", std::process::id()));
    report.step("Three sites are founded, joined and filled");
    let mut fixture = Fixture::new(&folder, arguments.port, &mut report)?;
    report
        .run("A part of the incident log is imported at each site", |report| incident_log::first(&mut fixture, report));
    report.run("All links are cut, by each site's own name", |report| split::cut(&mut fixture, report));
    report.run("Everybody works alone", |report| split::work(&mut fixture, report));
    report.run("The rest of the log arrives during the split", |report| incident_log::rest(&mut fixture, report));
    report.run("Dakar is killed while people write", |report| crash::crash(&mut fixture, report));
    report.run("The links are mended", |report| mend::mend(&mut fixture, report));
    report.run("All three are compared", |report| mend::compare(&fixture, report));
    report.run("Two values, to settle", |report| mend::conflicts(&fixture, report));
    report.run("Search", |report| search::search(&fixture, report));
    report.run("Who wrote what, and where", |report| history::history(&fixture, report));
    report.run("Paris–Dakar alone is cut", |report| faults::rerouted(&fixture, report));
    report.run("Montréal's folder is deleted", |report| faults::wiped(&fixture, report));
    report.run("Montréal's folder is copied and both copies run", |report| faults::copied(&fixture, report));
    report.run("What no client should send", |report| bad_requests::bad_requests(&fixture, report));
    report.run("The incident log by an independent script", |report| incident_log::compare(&fixture, report));
    drop(fixture);
    Ok(report.close(&folder))
}
