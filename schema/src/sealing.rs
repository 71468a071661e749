//! Sealing: bytes that one site alone can open, and only as what they were sealed for (R16).
//!
//! A site's sealing key is an X25519 key that is derived from the site's own secret, so that nothing else has to be kept
//! or put back from a backup. Its public part stands in the site's entry of the authority log. A sealed share is an
//! ephemeral public key and ChaCha20-Poly1305 under a key that is used once, with the [`SealingContext`] as associated
//! data: moved to another organisation, site, user or number it does not open. The ephemeral key is derived from the
//! sealing site's secret and everything that is sealed, as Ed25519 derives its nonces: nothing here needs randomness, and
//! no bad randomness can uncover anything. The bytes are `docs/formats/record.md`.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use curve25519_dalek::montgomery::MontgomeryPoint;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::authority::SealingKey;
use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::id::{OrgId, SiteId, UserId};
use crate::identity::Secret;

/// Bytes that sealing adds: the ephemeral public key and the authentication tag.
pub const SEAL_BYTES: usize = 32 + 16;

/// Why something was not sealed or opened.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum SealingError {
    /// The public key is none that a secret key gives: whatever is sealed to it, everybody could open.
    #[error("the sealing key is of small order")]
    Key,
    /// Sealed to another key or for something else, or its bytes were changed.
    #[error("the sealed bytes do not open")]
    Opening,
}

/// What something is sealed for: the same bytes mean nothing anywhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealingContext {
    /// The organisation.
    pub org: OrgId,
    /// The site that seals, in whose log it stands.
    pub site: SiteId,
    /// Whose it is.
    pub user: UserId,
    /// The credential's number.
    pub number: u64,
}

impl Canonical for SealingContext {
    fn write(&self, out: &mut Writer) {
        self.org.write(out);
        self.site.write(out);
        self.user.write(out);
        out.u64(self.number);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            org: Canonical::read(input)?,
            site: Canonical::read(input)?,
            user: Canonical::read(input)?,
            number: input.u64("number")?,
        })
    }
}

/// The secret part of a site's sealing key. Zeroed when dropped.
#[derive(Clone)]
pub struct SealingSecret(Zeroizing<[u8; 32]>);

impl SealingSecret {
    /// The one that belongs to a site's key.
    pub fn of(site: &Secret) -> Self {
        let bytes = Zeroizing::new(site.to_bytes());
        Self(Zeroizing::new(blake3::derive_key("archipel 2026-11 sealing key", bytes.as_slice())))
    }

    /// The public part, for the site's entry.
    pub fn public(&self) -> SealingKey {
        SealingKey(MontgomeryPoint::mul_base_clamped(*self.0).to_bytes())
    }

    /// Seals bytes so that the site with the key `to` alone can open them, and this one cannot any more.
    /// Errors: `Key`.
    pub fn seal(&self, to: &SealingKey, context: &SealingContext, plain: &[u8]) -> Result<Vec<u8>, SealingError> {
        let context = context.to_bytes();
        let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 sealing ephemeral");
        hasher.update(self.0.as_slice()).update(&to.0).update(&context).update(plain);
        let ephemeral = Zeroizing::new(*hasher.finalize().as_bytes());
        let public = MontgomeryPoint::mul_base_clamped(*ephemeral).to_bytes();
        let cipher = cipher(&ephemeral, &to.0, &public, to)?;
        let payload = Payload { msg: plain, aad: &context };
        let sealed = cipher.encrypt(&Nonce::default(), payload).map_err(|_| SealingError::Opening)?;
        Ok([public.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed to this key for `context`.
    /// Errors: `Opening`; `Key` for an ephemeral key that no honest site makes.
    pub fn open(&self, context: &SealingContext, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealingError> {
        let (ephemeral, sealed) = sealed.split_first_chunk::<32>().ok_or(SealingError::Opening)?;
        let cipher = cipher(&self.0, ephemeral, ephemeral, &self.public())?;
        let payload = Payload { msg: sealed, aad: &context.to_bytes() };
        cipher.decrypt(&Nonce::default(), payload).map(Zeroizing::new).map_err(|_| SealingError::Opening)
    }
}

impl std::fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingSecret")
    }
}

impl SealingKey {
    /// Whether anything can be sealed to it: a key of small order, which no secret gives, takes nothing.
    pub fn is_usable(&self) -> bool {
        MontgomeryPoint(self.0).mul_clamped([0; 32]).to_bytes() != [0; 32]
    }
}

/// The cipher of one share. Its key is used for this share alone, so the nonce is always zero.
fn cipher(
    secret: &[u8; 32],
    other: &[u8; 32],
    ephemeral: &[u8; 32],
    recipient: &SealingKey,
) -> Result<ChaCha20Poly1305, SealingError> {
    let shared = Zeroizing::new(MontgomeryPoint(*other).mul_clamped(*secret).to_bytes());
    if *shared == [0; 32] {
        return Err(SealingError::Key);
    }
    let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 sealed share");
    hasher.update(shared.as_slice()).update(ephemeral).update(&recipient.0);
    let key = Zeroizing::new(*hasher.finalize().as_bytes());
    Ok(ChaCha20Poly1305::new(&Key::from(*key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA";

    fn site(byte: u8) -> SealingSecret {
        SealingSecret::of(&Secret::from_bytes([byte; 32]))
    }

    fn context() -> SealingContext {
        SealingContext { org: OrgId([1; 32]), site: SiteId([2; 32]), user: UserId([3; 16]), number: 4 }
    }

    #[test]
    fn what_is_sealed_opens_at_its_site_as_what_it_was_sealed_for_and_nowhere_else() {
        let (paris, dakar) = (site(1), site(2));
        let sealed = paris.seal(&dakar.public(), &context(), PLAIN).unwrap();
        assert_eq!(sealed.len(), PLAIN.len() + SEAL_BYTES);
        assert_eq!(dakar.open(&context(), &sealed).unwrap().as_slice(), PLAIN);
        assert_eq!(paris.open(&context(), &sealed), Err(SealingError::Opening), "not even where it was sealed");
        assert_eq!(site(3).open(&context(), &sealed), Err(SealingError::Opening), "another site");
        let moved = [
            SealingContext { org: OrgId([9; 32]), ..context() },
            SealingContext { site: SiteId([9; 32]), ..context() },
            SealingContext { user: UserId([9; 16]), ..context() },
            SealingContext { number: 5, ..context() },
        ];
        for context in moved {
            assert_eq!(dakar.open(&context, &sealed), Err(SealingError::Opening), "moved to {context:?}");
        }
    }

    #[test]
    fn no_flipped_bit_and_no_cut_opens() {
        let dakar = site(2);
        let sealed = site(1).seal(&dakar.public(), &context(), PLAIN).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // X25519 ignores the highest bit of a public key; the derived key does not.
            assert!(dakar.open(&context(), &flipped).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(dakar.open(&context(), &sealed[..length]).is_err(), "{length} bytes of it");
        }
    }

    #[test]
    fn a_key_of_small_order_takes_and_opens_nothing() {
        let mut one = [0; 32];
        one[0] = 1;
        for small in [[0; 32], one] {
            let key = SealingKey(small);
            assert!(!key.is_usable());
            assert_eq!(site(1).seal(&key, &context(), PLAIN), Err(SealingError::Key), "anybody could open it");
            let sealed = [small.as_slice(), &[0; 64]].concat();
            assert_eq!(site(1).open(&context(), &sealed), Err(SealingError::Key), "anybody could have sealed it");
        }
        assert!(site(1).public().is_usable());
    }

    #[test]
    fn the_agreement_is_x25519() {
        // RFC 7748, section 6.1.
        let hex =
            |text: &str| -> [u8; 32] { data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap() };
        let alice = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let bob = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
        let public = MontgomeryPoint::mul_base_clamped(alice);
        assert_eq!(public.to_bytes(), hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"));
        let shared = hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert_eq!(public.mul_clamped(bob).to_bytes(), shared);
        assert_eq!(MontgomeryPoint::mul_base_clamped(bob).mul_clamped(alice).to_bytes(), shared);
    }

    #[test]
    fn sealing_needs_no_randomness_and_tells_nothing_twice() {
        let (paris, dakar, lyon) = (site(1), site(2).public(), site(3).public());
        let sealed = |to, number| paris.seal(to, &SealingContext { number, ..context() }, PLAIN).unwrap();
        assert_eq!(sealed(&dakar, 4), sealed(&dakar, 4), "the same gives the same");
        let heads = [sealed(&dakar, 4), sealed(&lyon, 4), sealed(&dakar, 5)].map(|sealed| sealed[..32].to_vec());
        assert!(heads[0] != heads[1] && heads[0] != heads[2], "anything else another ephemeral key");
    }
}
