//! Keys and signatures: Ed25519, strict verification, a domain word before every hash.

use ed25519_dalek::{Signature as RawSignature, Signer, SigningKey, VerifyingKey};

use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::id::{OrgId, SiteId};

/// What a signature is about. Each has its own domain word, so none can be taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The last record of a run (R3).
    Record,
    /// A statement of the authority log (R14).
    Statement,
    /// A site's frontier announcement (R17).
    Frontier,
}

impl Purpose {
    fn word(self) -> &'static [u8] {
        match self {
            Self::Record => b"archipel 2026-11 record signature",
            Self::Statement => b"archipel 2026-11 statement signature",
            Self::Frontier => b"archipel 2026-11 frontier signature",
        }
    }
}

/// An Ed25519 signature, 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signature({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

impl Canonical for Signature {
    fn write(&self, out: &mut Writer) {
        out.raw(&self.0);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self(input.array("a signature")?))
    }
}

/// A secret key: a site's, the sequencer's or the organisation's root. Zeroed when dropped.
#[derive(Clone)]
pub struct Secret(SigningKey);

impl Secret {
    /// The key made of these 32 bytes, which must come from a good source of randomness.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&bytes))
    }
    /// The 32 bytes, to be written to a key file.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }
    /// The public key.
    pub fn public(&self) -> SiteId {
        SiteId(self.0.verifying_key().to_bytes())
    }
    /// Signs `hash` for `purpose`.
    pub fn sign(&self, purpose: Purpose, hash: &[u8; 32]) -> Signature {
        Signature(self.0.sign(&message(purpose, hash)).to_bytes())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret(of {})", self.public().short())
    }
}

/// Whether `signature` is `key`'s over `hash` for `purpose`. Strict: small-order keys and other
/// encodings of a signature are refused, so two verifiers never disagree.
pub fn verify(key: &SiteId, purpose: Purpose, hash: &[u8; 32], signature: &Signature) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(&key.0) else {
        return false;
    };
    key.verify_strict(&message(purpose, hash), &RawSignature::from_bytes(&signature.0)).is_ok()
}

/// The organisation that a root key founds.
pub fn organisation(root: &SiteId) -> OrgId {
    OrgId(blake3::derive_key("archipel 2026-11 organisation", &root.0))
}

fn message(purpose: Purpose, hash: &[u8; 32]) -> Vec<u8> {
    [purpose.word(), hash.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_serves_one_purpose_only() {
        let secret = Secret::from_bytes([7; 32]);
        let hash = [1; 32];
        let signature = secret.sign(Purpose::Record, &hash);
        assert!(verify(&secret.public(), Purpose::Record, &hash, &signature));
        assert!(!verify(&secret.public(), Purpose::Statement, &hash, &signature), "another domain word");
        assert!(!verify(&secret.public(), Purpose::Record, &[2; 32], &signature), "another hash");
    }
}
