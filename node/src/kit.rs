//! The recovery kit: the organisation's root key on paper, sealed under a passphrase (R14). `docs/formats/kit.md`.

use std::io::Read as _;
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use schema::identity::{Secret, organisation};
use sync::replica::Replica;

use crate::folder::{random, write_private};
use crate::refusal::{OrRefuse as _, Refusal, codes};

/// Bytes of a kit.
const MAX_KIT_BYTES: u64 = 64 * 1024;
/// Cost that a kit may ask for: KiB, passes, lanes. A kit is somebody's file.
const MAX_COST: (u32, u32, u32) = (1 << 20, 64, 16);

/// The note of a site whose organisation's kit nobody has confirmed to have: since when, in milliseconds.
pub const UNCONFIRMED: &str = "kit";

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// Opens the kit; told once.
    pub passphrase: String,
    /// Names the root key.
    pub fingerprint: String,
}

/// What a kit says: its text is `docs/formats/kit.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kit {
    /// The organisation's name, for people.
    pub organisation: String,
    /// Names the root key.
    pub fingerprint: String,
    /// What the key under which the root key is sealed costs: KiB, passes, lanes.
    pub cost: [u32; 3],
    /// Goes into that key.
    pub salt: Vec<u8>,
    /// Of the sealing.
    pub nonce: [u8; 12],
    /// The root key, sealed.
    pub sealed: Vec<u8>,
}

impl Kit {
    /// Seals a root key.
    pub fn seal(
        organisation_name: &str,
        root: &Secret,
        passphrase: &str,
        salt: [u8; 16],
        nonce: [u8; 12],
    ) -> anyhow::Result<Self> {
        let cost = Params::default();
        let sealed = ChaCha20Poly1305::new(&Key::from(derive(passphrase, &salt, cost.clone())?))
            .encrypt(&Nonce::from(nonce), root.to_bytes().as_slice())
            .map_err(|_| anyhow::anyhow!("cannot seal the root key"))?;
        Ok(Self {
            organisation: organisation_name.to_owned(),
            fingerprint: organisation(&root.public()).short(),
            cost: [cost.m_cost(), cost.t_cost(), cost.p_cost()],
            salt: salt.to_vec(),
            nonce,
            sealed,
        })
    }

    /// The file.
    pub fn to_text(&self) -> String {
        let Self { organisation, fingerprint, cost: [memory, passes, lanes], salt, nonce, sealed } = self;
        format!(
            "Archipel recovery kit\norganisation: {organisation}\nfingerprint:  {fingerprint}\n\
             argon2id: {memory} {passes} {lanes}\nsalt:   {}\nnonce:  {}\nsealed: {}\n\n\
             This is the organisation's root key, sealed with the passphrase that was shown once.\n\
             It names a new sequencer when the site that has it is lost. Print it; keep the passphrase elsewhere.\n",
            HEXLOWER.encode(salt),
            HEXLOWER.encode(nonce),
            HEXLOWER.encode(sealed)
        )
    }

    /// Reads a file, or what somebody typed from paper: other lines, spaces and capitals do no harm. `None`: it is no kit.
    pub fn from_text(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
        };
        let bytes = |name: &str| {
            let digits: String = field(name)?.chars().filter(|letter| !letter.is_whitespace()).collect();
            HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()
        };
        let cost = field("argon2id")?;
        let cost: Vec<u32> = cost.split_whitespace().map_while(|number| number.parse().ok()).collect();
        Some(Self {
            organisation: field("organisation").unwrap_or_default(),
            fingerprint: field("fingerprint").unwrap_or_default(),
            cost: cost.try_into().ok()?,
            salt: bytes("salt")?,
            nonce: bytes("nonce")?.try_into().ok()?,
            sealed: bytes("sealed")?,
        })
    }

    /// What opening it costs; `None` if that is more than a kit may ask for.
    pub fn params(&self) -> Option<Params> {
        let [memory, passes, lanes] = self.cost;
        let fits = memory <= MAX_COST.0 && passes <= MAX_COST.1 && lanes <= MAX_COST.2;
        if fits { Params::new(memory, passes, lanes, None).ok() } else { None }
    }
}

/// Seals the root key under a fresh passphrase (Argon2id, ChaCha20-Poly1305) and writes the kit.
pub fn write(path: &Path, organisation_name: &str, root: &Secret) -> anyhow::Result<Written> {
    let passphrase = grouped(&BASE32_NOPAD.encode(&random::<20>()?).to_lowercase());
    let kit = Kit::seal(organisation_name, root, &passphrase, random()?, random()?)?;
    write_private(path, kit.to_text().as_bytes()).or_refuse(&codes::KIT_WRITE)?;
    Ok(Written { passphrase, fingerprint: kit.fingerprint })
}

/// Opens a kit. Spaces, hyphens and capitals of the passphrase do no harm: it was typed from paper.
/// Errors: no such file, no kit, another passphrase.
pub fn open(path: &Path, passphrase: &str) -> Result<Secret, Refusal> {
    let unread = |error| Refusal::with(&codes::KIT_READ, format!("{}: {error}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unread)?;
    file.take(MAX_KIT_BYTES).read_to_string(&mut text).map_err(unread)?;
    let damaged = || Refusal::with(&codes::KIT_DAMAGED, path.display());
    let kit = Kit::from_text(&text).ok_or_else(damaged)?;
    let letters: String = passphrase.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    let cost = kit.params().ok_or_else(damaged)?;
    let key = derive(&grouped(&letters), &kit.salt, cost).map_err(|_| damaged())?;
    let opened = ChaCha20Poly1305::new(&Key::from(key)).decrypt(&Nonce::from(kit.nonce), kit.sealed.as_slice());
    let root = opened.map_err(|_| Refusal::new(&codes::KIT_PASSPHRASE))?;
    Ok(Secret::from_bytes(root.try_into().map_err(|_| damaged())?))
}

/// Somebody typed the fingerprint of the organisation's kit back: nobody is asked for it any more.
/// Errors: it is another organisation's; the disk does not take it.
pub fn confirm(replica: &mut Replica, fingerprint: &str) -> anyhow::Result<()> {
    let digits = |text: &str| text.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let is_it = replica.policy().is_some_and(|policy| digits(&policy.org.short()) == digits(fingerprint));
    if !is_it {
        return Err(Refusal::new(&codes::KIT_FOREIGN).into());
    }
    Ok(replica.set_note(UNCONFIRMED, None)?)
}

/// Groups of four letters, as the passphrase is shown.
fn grouped(letters: &str) -> String {
    let letters: Vec<char> = letters.chars().collect();
    letters.chunks(4).map(String::from_iter).collect::<Vec<_>>().join("-")
}

fn derive(passphrase: &str, salt: &[u8], cost: Params) -> anyhow::Result<[u8; 32]> {
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost)
        .hash_password_into(passphrase.as_bytes(), salt, &mut key)
        .map_err(|error| anyhow::anyhow!("cannot derive a key: {error}"))?;
    Ok(key)
}
