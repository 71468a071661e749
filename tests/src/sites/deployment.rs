//! The folder and the ports of the three sites: the folder is locked for this process, the ports are free.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::process::end_leftovers;
use super::setup::{SITES, SavedState, http_ports, lock_folder, udp_ports};

/// The folder, the ports and the saved state of the three sites.
pub struct Deployment {
    /// The folder of all three sites; absolute.
    pub folder: PathBuf,
    /// The stage's port.
    pub stage: u16,
    /// The sites' HTTP ports, in the order of `SITES`.
    pub http: [u16; 3],
    /// What is stored between runs.
    pub saved: SavedState,
    /// Locks the folder for this process; released when dropped.
    pub _lock: std::fs::File,
}

impl Deployment {
    /// Locks the folder, ends processes that an earlier run left on it, and chooses ports: `port` for the stage and the
    /// next three for the sites; `None`: the usual ports, or free ones. With `two_machines` the sites listen on this
    /// machine's network address. Errors: the folder or a port is in use, or the folder holds something else.
    pub fn prepare(folder: &Path, port: Option<u16>, two_machines: bool) -> anyhow::Result<Self> {
        let lock = lock_folder(folder)?;
        end_leftovers(&SITES.map(|site| folder.join(site.host)));
        let saved = SavedState::read(folder)?;
        std::fs::create_dir_all(folder)?;
        let [stage, a, b, c] = http_ports(port)?;
        let http = [a, b, c];
        let saved = match saved {
            Some(saved) => saved,
            None => {
                let lan = if two_machines { Some(lan_address()?) } else { None };
                SavedState { udp: udp_ports(&http)?, lan, ..SavedState::default() }
            }
        };
        ensure!(
            !two_machines || saved.lan.is_some(),
            "the demo in {} was made for this machine alone: give another folder with --data",
            folder.display()
        );
        Ok(Self { folder: folder.to_owned(), stage, http, saved, _lock: lock })
    }
}

/// This machine's address on its own network. No packet is sent to find it.
fn lan_address() -> anyhow::Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // A documentation address (RFC 5737): the system only chooses the route and so the local address.
    socket.connect(("192.0.2.1", 9)).context("this machine is on no network")?;
    Ok(socket.local_addr()?.ip())
}
