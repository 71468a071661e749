//! Where the three sites live: a folder that is this process's own, and ports that are free.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::place::{Kept, PLACES, http_ports, take, udp_ports};
use super::process::end_leftovers;

/// Where the demo lives and which ports it has.
pub struct Ground {
    /// The folder of all three; absolute.
    pub folder: PathBuf,
    /// The stage's port.
    pub stage: u16,
    /// The sites' HTTP ports.
    pub http: [u16; 3],
    /// What is kept between runs.
    pub kept: Kept,
    /// The folder is this process's own while this lives.
    pub _lock: std::fs::File,
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
