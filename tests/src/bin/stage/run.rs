//! The stage for people and for programs that drive it: start, fill, say where everything is, serve until ended.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::cast::{Cast, Ground};
use crate::filling;
use crate::place::{Kept, LOGIN, PLACES, http_ports, take, udp_ports};
use crate::process::{end_all, end_leftovers};
use crate::{serve, watch};

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

/// Does something once when somebody asks this program to end: Ctrl-C, a service manager, a closed terminal.
pub fn on_signal(end: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        // Without a runtime for it, signals keep what they do by themselves.
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            runtime.block_on(signal());
            end();
        }
    });
}

async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (term, hang) = (signal(SignalKind::terminate()), signal(SignalKind::hangup()));
        if let (Ok(mut term), Ok(mut hang)) = (term, hang) {
            tokio::select! { _ = tokio::signal::ctrl_c() => {}, _ = term.recv() => {}, _ = hang.recv() => {} }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
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

/// Where the sites live and which ports they take.
pub fn ground(folder: &Path, port: Option<u16>, two_machines: bool) -> anyhow::Result<Ground> {
    let lock = take(folder)?;
    end_leftovers(&PLACES.map(|place| folder.join(place.host)));
    let kept = Kept::read(folder)?;
    std::fs::create_dir_all(folder)?;
    let [stage, a, b, c] = http_ports(port)?;
    let http = [a, b, c];
    let kept = match kept {
        Some(kept) => kept,
        None => {
            let lan = if two_machines { Some(lan_address()?) } else { None };
            Kept { udp: udp_ports(&http)?, lan, ..Kept::default() }
        }
    };
    ensure!(
        !two_machines || kept.lan.is_some(),
        "the demo in {} was made for this machine alone: give another folder with --data",
        folder.display()
    );
    Ok(Ground { folder: folder.to_owned(), stage, http, kept, _lock: lock })
}

/// The address by which this machine's own network knows it. No packet is sent for the question.
fn lan_address() -> anyhow::Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // An address of documentation (RFC 5737): only the road there is asked of the system.
    socket.connect(("192.0.2.1", 9)).context("this machine is on no network")?;
    Ok(socket.local_addr()?.ip())
}

fn second_machine(cast: &Cast) -> anyhow::Result<String> {
    let place =
        crate::place::Place { code: "BXL", name: "Bruxelles", host: "bruxelles", structures: PLACES[0].structures };
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
    let site = |member: &crate::cast::Member| {
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
