//! A site's folder: which files there are, its keys, and whether it is a copy.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use schema::identity::Secret;

/// A site's folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
    /// Makes the folder, for its owner alone.
    pub fn make(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.0).with_context(|| format!("cannot make the folder {}", self.0.display()))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&self.0, std::fs::Permissions::from_mode(0o700))?;
        }
        Ok(())
    }
    /// Truth.
    pub fn store(&self) -> PathBuf {
        self.0.join("archipel.redb")
    }
    /// The read model.
    pub fn views(&self) -> PathBuf {
        self.0.join("views.sqlite")
    }
    /// Passwords, sessions, tokens of this site.
    pub fn local(&self) -> PathBuf {
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
    /// The path itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The site's key.
    pub fn key(&self) -> anyhow::Result<Secret> {
        match self.read_key("site.key")? {
            Some(key) => Ok(key),
            None => bail!(
                "no site lives in {}: run `archipel init` or `archipel join` first [FOLDER-EMPTY]",
                self.0.display()
            ),
        }
    }
    /// The sequencer's key, at the site that has it.
    pub fn sequencer(&self) -> anyhow::Result<Option<Secret>> {
        self.read_key("sequencer.key")
    }
    /// Whether a site lives here.
    pub fn is_used(&self) -> bool {
        self.0.join("site.key").exists() || self.store().exists()
    }
    /// Makes and writes the site's key.
    pub fn new_key(&self) -> anyhow::Result<Secret> {
        self.write_key("site.key")
    }
    /// Makes and writes the sequencer's key.
    pub fn new_sequencer(&self) -> anyhow::Result<Secret> {
        self.write_key("sequencer.key")
    }

    fn read_key(&self, name: &str) -> anyhow::Result<Option<Secret>> {
        let path = self.0.join(name);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let bytes = data_encoding::HEXLOWER.decode(text.trim().as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let bytes = bytes.with_context(|| format!("{} is not a key [KEY-DAMAGED]", path.display()))?;
        Ok(Some(Secret::from_bytes(bytes)))
    }

    fn write_key(&self, name: &str) -> anyhow::Result<Secret> {
        let secret = Secret::from_bytes(random()?);
        write_private(&self.0.join(name), data_encoding::HEXLOWER.encode(&secret.to_bytes()).as_bytes())?;
        Ok(secret)
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
    Ok(())
}

/// Random bytes of the operating system.
pub fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("the operating system gives no random bytes")?;
    Ok(bytes)
}

/// What a file is on this disk: a copy or a restored backup is another one (docs/decisions/0004).
#[cfg(unix)]
pub fn identity_on_disk(path: &Path) -> anyhow::Result<String> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = std::fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    Ok(format!("{}:{}", meta.dev(), meta.ino()))
}

/// Without inodes a copy is noticed only when it meets the other (R1).
#[cfg(not(unix))]
pub fn identity_on_disk(_path: &Path) -> anyhow::Result<String> {
    Ok(String::new())
}
