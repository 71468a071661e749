//! The interactive stage: starts and fills the sites, prints their addresses, and serves until ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tests::sites::cluster::Cluster;
use tests::sites::deployment::Deployment;
use tests::sites::process::end_all;
use tests::sites::setup::{LOGIN, SITES};
use tests::sites::signal::on_signal;
use tests::sites::watch;

use crate::arguments::Arguments;
use crate::{demo_data, serve};

/// How long the sites may take to converge on the first tickets before the stage opens anyway.
const CONVERGENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the stage until it is asked to end.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let serving = Arc::new(AtomicBool::new(false));
    let ready = serving.clone();
    on_signal(move || {
        if !ready.load(Ordering::SeqCst) {
            eprintln!("Ended before the sites were ready; the next start creates them again.");
            end_all();
            std::process::exit(130);
        }
        let _ = stop.send(true);
    });
    let cluster = start(arguments)?;
    serving.store(true, Ordering::SeqCst);
    let cluster = Arc::new(cluster);
    let listener = runtime.block_on(serve::listen(cluster.stage_port()))?;
    if arguments.json {
        println!("{}", sites(&cluster));
    } else {
        print_addresses(&cluster);
    }
    if arguments.two_machines {
        let line = second_machine(&cluster)?;
        // With --json, standard output holds one line and nothing else.
        if arguments.json { eprintln!("\n{line}") } else { println!("\n{line}") }
    }
    runtime.block_on(serve::serve(listener, cluster.clone(), stopped))?;
    eprintln!("Ending the three sites.");
    end_all();
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

fn start(arguments: &Arguments) -> anyhow::Result<Cluster> {
    let data = std::path::absolute(&arguments.data)?;
    let deployment = Deployment::prepare(&data, arguments.port, arguments.two_machines)?;
    eprintln!("Starting Paris, Dakar and Montréal in {}.", data.display());
    let (cluster, new) = Cluster::open_or_create(deployment)?;
    if new {
        eprintln!("Writing the first tickets.");
        demo_data::fill(&cluster)?;
        match demo_data::incident_log() {
            Some(log) => {
                eprintln!("Importing the incident log at each site.");
                demo_data::import(&cluster, &log, None)?;
            }
            None => eprintln!("The incident log is not here (ARCHIPEL_INCIDENT_LOG); going on without it."),
        }
        cluster.complete()?;
    }
    if watch::wait_until_converged(&cluster, CONVERGENCE_TIMEOUT).is_none() {
        eprintln!("The sites do not agree yet; the stage shows how far they are.");
    }
    Ok(cluster)
}

fn second_machine(cluster: &Cluster) -> anyhow::Result<String> {
    let spec = tests::sites::setup::SiteSpec {
        code: "BXL",
        name: "Bruxelles",
        host: "bruxelles",
        structures: SITES[0].structures,
    };
    let line = cluster.invite(&spec)?;
    // The second machine dials these sites by itself, so that it needs no configuration of its own.
    Ok(format!(
        "On a second machine of the same network, paste this line (it is good once, and asks for a new password):\n\n  \
         archipel --data bruxelles join {line} && archipel --data bruxelles password --login {LOGIN} \
         && archipel --data bruxelles run"
    ))
}

/// The sites as one line of JSON, for programs.
fn sites(cluster: &Cluster) -> Value {
    let site = |member: &tests::sites::cluster::Member| {
        let api = member.api();
        json!({ "name": member.spec.name, "code": member.spec.code, "url": api.url, "token": api.token })
    };
    json!({ "sites": cluster.members.iter().map(site).collect::<Vec<_>>() })
}

fn print_addresses(cluster: &Cluster) {
    println!("\n  The stage:  http://archipel.localhost:{}/\n", cluster.stage_port());
    for member in &cluster.members {
        println!("  {:<10}  http://{}.localhost:{}/", member.spec.name, member.spec.host, member.http);
    }
    println!("\n  Log in with  {LOGIN}  {}", cluster.password());
    println!("  (kept in {})", cluster.folder().join("stage.json").display());
    println!("\n  Ctrl-C ends all of it.");
}
