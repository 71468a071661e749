//! A site's folder: which files there are, its keys, and whether it is a copy.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use schema::identity::Secret;

use crate::refusal::{OrRefuse as _, Refusal, codes};

/// What a site cannot do without, or cannot make again elsewhere: where one of these is, no other site is made.
const FILES: [&str; 6] = ["site.key", "sequencer.key", "archipel.redb", "started", "local.sqlite", "views.sqlite"];

/// A site's folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
    /// Makes the folder, for its owner alone, and tries whether it can be written.
    pub fn make(&self) -> anyhow::Result<()> {
        let make = || -> std::io::Result<()> {
            std::fs::create_dir_all(&self.0)?;
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                std::fs::set_permissions(&self.0, std::fs::Permissions::from_mode(0o700))?;
            }
            let probe = self.0.join("probe.new");
            std::fs::write(&probe, b"archipel")?;
            std::fs::remove_file(&probe)
        };
        make().with_context(|| self.0.display().to_string()).or_refuse(&codes::FOLDER_WRITE)?;
        Ok(())
    }
    /// Takes away what the making of a site left that did not come to its end, so that the folder is as it was.
    pub fn unmake(&self) {
        for file in FILES {
            for end in ["", "-wal", "-shm"] {
                // Most are not there.
                let _ = std::fs::remove_file(self.0.join(format!("{file}{end}")));
            }
        }
    }
    /// Truth.
    pub fn store(&self) -> PathBuf {
        self.0.join("archipel.redb")
    }
    /// The read model.
    pub fn views(&self) -> PathBuf {
        self.0.join("views.sqlite")
    }
    /// Sessions, tokens, invitations of this site.
    pub fn credentials(&self) -> PathBuf {
        self.0.join("local.sqlite")
    }
    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.0.join("archipel.toml")
    }
    /// Where the running node says how to reach it.
    pub fn running(&self) -> PathBuf {
        self.0.join("running.json")
    }
    /// What tells a copy of this folder from itself (`crate::clone_detection`).
    pub fn started(&self) -> PathBuf {
        self.0.join("started")
    }
    /// The path itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The site's key.
    pub fn key(&self) -> Result<Secret, Refusal> {
        match self.read_key("site.key")? {
            Some(key) => Ok(key),
            None if self.store().exists() => Err(Refusal::with(&codes::KEY_MISSING, self.0.display())),
            None => Err(Refusal::with(&codes::FOLDER_EMPTY, self.0.display())),
        }
    }
    /// Errors unless the site's records are here: an absent or empty file would be taken for a new site's.
    pub fn holds_records(&self) -> Result<(), Refusal> {
        let bytes = std::fs::metadata(self.store()).map_or(0, |meta| meta.len());
        if bytes == 0 { Err(Refusal::with(&codes::STORE_MISSING, self.store().display())) } else { Ok(()) }
    }
    /// Whether another process has the store open; asked only to explain why it did not open.
    pub fn is_busy(&self) -> bool {
        let locked = |file: std::fs::File| matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock));
        std::fs::File::open(self.store()).is_ok_and(locked)
    }
    /// The sequencer's key, at the site that has it.
    pub fn sequencer(&self) -> Result<Option<Secret>, Refusal> {
        self.read_key("sequencer.key")
    }
    /// Whether a site lives here.
    pub fn is_used(&self) -> bool {
        FILES.iter().any(|file| self.0.join(file).exists())
    }
    /// Writes the site's key.
    pub fn keep_key(&self, key: &Secret) -> anyhow::Result<()> {
        self.write_key("site.key", key)
    }
    /// Writes the sequencer's key.
    pub fn keep_sequencer(&self, key: &Secret) -> anyhow::Result<()> {
        self.write_key("sequencer.key", key)
    }

    fn read_key(&self, name: &str) -> Result<Option<Secret>, Refusal> {
        let path = self.0.join(name);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Refusal::with(&codes::KEY_DAMAGED, format!("{}: {error}", path.display()))),
        };
        let bytes = data_encoding::HEXLOWER.decode(text.trim().as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let bytes = bytes.ok_or_else(|| Refusal::with(&codes::KEY_DAMAGED, path.display()))?;
        Ok(Some(Secret::from_bytes(bytes)))
    }

    fn write_key(&self, name: &str, key: &Secret) -> anyhow::Result<()> {
        let text = data_encoding::HEXLOWER.encode(&key.to_bytes());
        write_private(&self.0.join(name), text.as_bytes()).or_refuse(&codes::FOLDER_WRITE)?;
        Ok(())
    }
}

/// Writes a file that its owner alone may read, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let fresh = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&fresh).with_context(|| format!("cannot write {}", fresh.display()))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    // A power cut must not bring the old file back.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Random bytes of the operating system.
pub fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("the operating system gives no random bytes")?;
    Ok(bytes)
}
