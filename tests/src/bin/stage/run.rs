//! The stage for people and for programs that drive it: start, fill, say where everything is, serve until ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tests::sites::cast::Cast;
use tests::sites::ground::ground;
use tests::sites::place::{LOGIN, PLACES};
use tests::sites::process::end_all;
use tests::sites::signal::on_signal;
use tests::sites::watch;

use crate::arguments::Arguments;
use crate::{filling, serve};

/// How long the sites may take to agree about the first tickets before the stage opens anyway.
const FIRST_AGREEMENT: Duration = Duration::from_secs(60);

/// Runs the stage until it is ended.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let serving = Arc::new(AtomicBool::new(false));
    let ready = serving.clone();
    on_signal(move || {
        if !ready.load(Ordering::SeqCst) {
            eprintln!("Ended before the sites were ready; the next start makes them anew.");
            end_all();
            std::process::exit(130);
        }
        let _ = stop.send(true);
    });
    let cast = enter(arguments)?;
    serving.store(true, Ordering::SeqCst);
    let cast = Arc::new(cast);
    let listener = runtime.block_on(serve::listen(cast.stage_port()))?;
    if arguments.json {
        println!("{}", sites(&cast));
    } else {
        tell(&cast);
    }
    if arguments.two_machines {
        let line = second_machine(&cast)?;
        // With --json, standard output holds one line and nothing else.
        if arguments.json { eprintln!("\n{line}") } else { println!("\n{line}") }
    }
    runtime.block_on(serve::serve(listener, cast.clone(), stopped))?;
    eprintln!("Ending the three sites.");
    end_all();
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

fn enter(arguments: &Arguments) -> anyhow::Result<Cast> {
    let data = std::path::absolute(&arguments.data)?;
    let ground = ground(&data, arguments.port, arguments.two_machines)?;
    eprintln!("Starting Paris, Dakar and Montréal in {}.", data.display());
    let (cast, new) = Cast::enter(ground)?;
    if new {
        eprintln!("Writing the first tickets.");
        filling::fill(&cast)?;
        match filling::incident_log() {
            Some(log) => {
                eprintln!("Importing the incident log at each site.");
                filling::import(&cast, &log, None)?;
            }
            None => eprintln!("The incident log is not here (ARCHIPEL_INCIDENT_LOG); going on without it."),
        }
        cast.complete()?;
    }
    if watch::wait_until_equal(&cast, FIRST_AGREEMENT).is_none() {
        eprintln!("The sites do not agree yet; the stage shows how far they are.");
    }
    Ok(cast)
}

fn second_machine(cast: &Cast) -> anyhow::Result<String> {
    let place = tests::sites::place::Place {
        code: "BXL",
        name: "Bruxelles",
        host: "bruxelles",
        structures: PLACES[0].structures,
    };
    let line = cast.invite(&place)?;
    // The second machine dials these sites by itself, so that it needs no configuration of its own.
    Ok(format!(
        "On a second machine of the same network, paste this line (it is good once, and asks for a new password):\n\n  \
         archipel --data bruxelles join {line} && archipel --data bruxelles password --login {LOGIN} \
         && archipel --data bruxelles run"
    ))
}

/// The sites for programs: one line of JSON.
fn sites(cast: &Cast) -> Value {
    let site = |member: &tests::sites::cast::Member| {
        let api = member.api();
        json!({ "name": member.place.name, "code": member.place.code, "url": api.url, "token": api.token })
    };
    json!({ "sites": cast.members.iter().map(site).collect::<Vec<_>>() })
}

fn tell(cast: &Cast) {
    println!("\n  The stage:  http://archipel.localhost:{}/\n", cast.stage_port());
    for member in &cast.members {
        println!("  {:<10}  http://{}.localhost:{}/", member.place.name, member.place.host, member.http);
    }
    println!("\n  Log in with  {LOGIN}  {}", cast.password());
    println!("  (kept in {})", cast.folder().join("stage.json").display());
    println!("\n  Ctrl-C ends all of it.");
}
