//! The three sites of the demo as constants, and what setting them up needs: ports, passwords, folders, saved state.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

/// The structure whose tickets every site holds.
pub const SHARED: &str = "Informatique";
/// The structure that Dakar does not hold.
pub const RESTRICTED: &str = "Ressources humaines";
/// The administrator's login at every site.
pub const LOGIN: &str = "ana";
/// The stage's port when none is asked for.
const DEFAULT_PORT: u16 = 8100;

/// The fixed data of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteSpec {
    /// The site's code: the prefix of its ticket numbers.
    pub code: &'static str,
    /// The name that is shown.
    pub name: &'static str,
    /// The name of its folder, and of its host before `.localhost`.
    pub host: &'static str,
    /// The structures whose tickets it holds.
    pub structures: &'static [&'static str],
}

/// Paris founds the organisation and invites; Dakar lacks one structure.
pub const SITES: [SiteSpec; 3] = [
    SiteSpec { code: "PAR", name: "Paris", host: "paris", structures: &[SHARED, RESTRICTED] },
    SiteSpec { code: "DAK", name: "Dakar", host: "dakar", structures: &[SHARED] },
    SiteSpec { code: "MTL", name: "Montréal", host: "montreal", structures: &[SHARED, RESTRICTED] },
];

/// What is stored between runs in `stage.json`, readable by its owner alone.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SavedState {
    /// Whether the sites were all made and filled.
    pub complete: bool,
    /// The administrator's password, generated when the demo was made.
    pub password: String,
    /// The sites' UDP ports: they are part of the organisation's authority log, so they stay.
    pub udp: [u16; 3],
    /// Tokens of the administrator, by site code.
    pub tokens: BTreeMap<String, String>,
    /// The address at which another machine reaches the sites; `None`: this machine alone.
    pub lan: Option<std::net::IpAddr>,
    /// The passphrase of the recovery kit.
    pub kit_passphrase: String,
}

impl SavedState {
    fn file(folder: &Path) -> PathBuf {
        folder.join("stage.json")
    }

    /// Reads what an earlier run stored. `None`: the folder is new or empty, or an earlier start did not finish, in
    /// which case the folder is deleted. Errors: the folder holds something else, or the file is damaged.
    pub fn read(folder: &Path) -> anyhow::Result<Option<Self>> {
        let saved: Self = match std::fs::read(Self::file(folder)) {
            Ok(bytes) => serde_json::from_slice(&bytes).context("the demo's stage.json is damaged")?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let empty = std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
                ensure!(empty, "nothing was changed; {} holds something that is no demo", folder.display());
                return Ok(None);
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read the demo in {}", folder.display())),
        };
        if saved.complete {
            return Ok(Some(saved));
        }
        eprintln!("An earlier start did not come to its end; the demo in {} is made anew.", folder.display());
        std::fs::remove_dir_all(folder)?;
        Ok(None)
    }

    /// Writes the file, readable by its owner alone.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        node::folder::write_private(&Self::file(folder), &serde_json::to_vec_pretty(self)?)
    }
}

/// Locks the folder for this process: a second one on it would end the first one's sites. The lock is released when
/// the returned file is dropped. Errors: another process holds it.
pub fn lock_folder(folder: &Path) -> anyhow::Result<std::fs::File> {
    std::fs::create_dir_all(folder)?;
    let path = folder.with_extension("lock");
    let lock = std::fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    ensure!(lock.try_lock().is_ok(), "another program runs sites in {} already", folder.display());
    Ok(lock)
}

/// A random password: twenty-four letters and digits in four groups.
pub fn new_password() -> anyhow::Result<String> {
    let letters = data_encoding::BASE32_NOPAD.encode(&node::folder::random::<15>()?).to_lowercase();
    let groups: Vec<&str> = (0..4).map(|group| &letters[group * 6..group * 6 + 6]).collect();
    Ok(groups.join("-"))
}

/// The stage's port and the sites' HTTP ports: those asked for, the usual ones, or free ones.
/// Errors: a port that was asked for is taken.
pub fn http_ports(asked: Option<u16>) -> anyhow::Result<[u16; 4]> {
    let row = |first: u16| [first, first.saturating_add(1), first.saturating_add(2), first.saturating_add(3)];
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    match asked {
        Some(first) => {
            for port in row(first) {
                ensure!(free(&port), "port {port} is taken: choose another with --port, or end what uses it");
            }
            Ok(row(first))
        }
        None if row(DEFAULT_PORT).iter().all(free) => Ok(row(DEFAULT_PORT)),
        None => {
            let open = || Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
            let four: Vec<TcpListener> = (0..4).map(|_| open()).collect::<anyhow::Result<_>>()?;
            let mut ports = [0; 4];
            for (port, listener) in ports.iter_mut().zip(&four) {
                *port = listener.local_addr()?.port();
            }
            Ok(ports)
        }
    }
}

/// UDP ports for replication: those with the same numbers as the sites' pages if free, others if not.
pub fn udp_ports(http: &[u16]) -> anyhow::Result<[u16; 3]> {
    let mut sockets = Vec::new();
    for port in http.iter().take(3) {
        let socket =
            UdpSocket::bind((Ipv4Addr::LOCALHOST, *port)).or_else(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)));
        sockets.push(socket.context("no free UDP port")?);
    }
    let mut ports = [0; 3];
    for (port, socket) in ports.iter_mut().zip(&sockets) {
        *port = socket.local_addr()?.port();
    }
    Ok(ports)
}

/// Copies the folder of a stopped site, as a backup or as a clone on a second machine.
pub fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name() != "running.json" {
            let copy = to.join(entry.file_name());
            std::fs::copy(entry.path(), &copy)?;
            // Synced now: otherwise the next program to sync a file there would wait for all of this.
            std::fs::File::open(&copy)?.sync_all()?;
        }
    }
    Ok(())
}
