//! The recovery kit: the organisation's root key on paper, sealed under a passphrase (R14). `docs/formats/kit.md`.

use std::io::Read as _;
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use schema::identity::{Secret, organisation};

use crate::folder::{random, write_private};
use crate::refusal::{OrRefuse as _, Refusal, codes};

/// Bytes of a kit.
const MAX_KIT_BYTES: u64 = 64 * 1024;
/// Cost that a kit may ask for: KiB, passes, lanes. A kit is somebody's file.
const MAX_COST: (u32, u32, u32) = (1 << 20, 64, 16);

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// Opens the kit; told once.
    pub passphrase: String,
    /// Names the root key.
    pub fingerprint: String,
}

/// Seals the root key under a fresh passphrase (Argon2id, ChaCha20-Poly1305) and writes the kit.
pub fn write(path: &Path, organisation_name: &str, root: &Secret) -> anyhow::Result<Written> {
    let passphrase = grouped(&BASE32_NOPAD.encode(&random::<20>()?).to_lowercase());
    let (salt, nonce) = (random::<16>()?, random::<12>()?);
    let cost = Params::default();
    let sealed = ChaCha20Poly1305::new(&Key::from(derive(&passphrase, &salt, cost.clone())?))
        .encrypt(&Nonce::from(nonce), root.to_bytes().as_slice())
        .map_err(|_| anyhow::anyhow!("cannot seal the root key"))?;
    let fingerprint = organisation(&root.public()).short();
    let text = format!(
        "Archipel recovery kit\norganisation: {organisation_name}\nfingerprint:  {fingerprint}\n\
         argon2id: {} {} {}\nsalt:   {}\nnonce:  {}\nsealed: {}\n\n\
         This is the organisation's root key, sealed with the passphrase that was shown once.\n\
         It names a new sequencer when the site that has it is lost. Print it; keep the passphrase elsewhere.\n",
        cost.m_cost(),
        cost.t_cost(),
        cost.p_cost(),
        HEXLOWER.encode(&salt),
        HEXLOWER.encode(&nonce),
        HEXLOWER.encode(&sealed)
    );
    write_private(path, text.as_bytes()).or_refuse(&codes::KIT_WRITE)?;
    Ok(Written { passphrase, fingerprint })
}

/// Opens a kit. Spaces, hyphens and capitals of the passphrase do no harm: it was typed from paper.
/// Errors: no such file, no kit, another passphrase.
pub fn open(path: &Path, passphrase: &str) -> Result<Secret, Refusal> {
    let unread = |error| Refusal::with(&codes::KIT_READ, format!("{}: {error}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unread)?;
    file.take(MAX_KIT_BYTES).read_to_string(&mut text).map_err(unread)?;
    let damaged = || Refusal::with(&codes::KIT_DAMAGED, path.display());
    let field = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned()).ok_or_else(damaged)
    };
    let bytes = |name: &str| {
        let digits: String = field(name)?.chars().filter(|letter| !letter.is_whitespace()).collect();
        HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| damaged())
    };
    let cost: Vec<u32> = field("argon2id")?.split_whitespace().map_while(|number| number.parse().ok()).collect();
    let cost = match cost.as_slice() {
        [memory, passes, lanes] if *memory <= MAX_COST.0 && *passes <= MAX_COST.1 && *lanes <= MAX_COST.2 => {
            Params::new(*memory, *passes, *lanes, None).map_err(|_| damaged())?
        }
        _ => return Err(damaged()),
    };
    let nonce = <[u8; 12]>::try_from(bytes("nonce")?).map_err(|_| damaged())?;
    let (salt, sealed) = (bytes("salt")?, bytes("sealed")?);
    let letters: String = passphrase.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    let key = derive(&grouped(&letters), &salt, cost).map_err(|_| damaged())?;
    let opened = ChaCha20Poly1305::new(&Key::from(key)).decrypt(&Nonce::from(nonce), sealed.as_slice());
    let root = opened.map_err(|_| Refusal::new(&codes::KIT_PASSPHRASE))?;
    Ok(Secret::from_bytes(root.try_into().map_err(|_| damaged())?))
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
