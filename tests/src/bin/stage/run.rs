//! The stage for people and for programs that drive it: start, fill, say where everything is, serve until ended.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::cast::{Cast, Ground};
use crate::filling;
use crate::place::{Kept, LOGIN, PLACES, http_ports, take, udp_ports};
use crate::process::end_leftovers;
use crate::{serve, watch};

/// How long the sites may take to agree about the first tickets before the stage opens anyway.
const FIRST_AGREEMENT: Duration = Duration::from_secs(60);

/// Runs the stage until it is ended.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    runtime.spawn(async move {
        signal().await;
        let _ = stop.send(true);
    });
    let arguments = arguments.clone();
    // Founding takes seconds: whoever ends the stage meanwhile ends the sites that are there already.
    let entering = runtime.spawn_blocking(move || enter(&arguments).map(|cast| (cast, arguments)));
    let mut ended = stopped.clone();
    let entered = runtime.block_on(async {
        tokio::select! {
            entered = entering => Some(entered),
            _ = ended.wait_for(|ended| *ended) => None,
        }
    });
    let Some(entered) = entered else {
        eprintln!("Ended before the sites were ready.");
        // The half-made demo is made anew next time, and its processes are found by their folders.
        std::process::exit(130);
    };
    let (cast, arguments) = entered.context("the start broke off")??;
    let cast = Arc::new(cast);
    let listener = runtime.block_on(serve::listen(cast.stage_port()))?;
    if arguments.json {
        println!("{}", sites(&cast));
    } else {
        tell(&cast);
    }
    if arguments.two_machines {
        eprintln!("\n{}", second_machine(&cast)?);
    }
    runtime.block_on(serve::serve(listener, cast.clone(), stopped))?;
    eprintln!("Ending the three sites.");
    std::thread::scope(|scope| {
        for member in &cast.members {
            scope.spawn(|| member.process.stop());
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
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
    if !watch::wait_until_equal(&cast, FIRST_AGREEMENT) {
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
    Ok(Ground { folder: folder.to_owned(), stage, http, kept, lock })
}

/// The address by which this machine's own network knows it. No packet is sent for the question.
fn lan_address() -> anyhow::Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // An address of documentation (RFC 5737): only the road there is asked of the system.
    socket.connect(("192.0.2.1", 9)).context("this machine is on no network")?;
    Ok(socket.local_addr()?.ip())
}

fn second_machine(cast: &Cast) -> anyhow::Result<String> {
    let place = crate::place::Place { code: "BXL", name: "Bruxelles", host: "bruxelles", structures: PLACES[0].structures };
    let line = cast.invite(&place)?;
    Ok(format!(
        "On the second machine, on the same network (the invitation is good once):\n\n  \
         mkdir bruxelles && printf 'net = \"%s:7440\"\\n' THE-SECOND-MACHINES-ADDRESS > bruxelles/archipel.toml && \\\n  \
         archipel --data bruxelles join {line} && archipel --data bruxelles password --login {LOGIN} && \\\n  \
         archipel --data bruxelles run"
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
