//! What somebody logs in with, as it travels: sealed to each site where they may log in (R16).
//!
//! A site that speaks for a user writes a [`Credential`] into its log of the organisation's scope. Inside each share lie
//! the same [`LoginSecrets`]. Which credential of a user counts is the same everywhere: the one of the highest
//! [`Rank`]. A credential that only seals the same again, for sites that came later, keeps the rank of the one that set
//! it, so that sealing again never undoes a password that was set elsewhere meanwhile (docs/decisions/0020).

use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::fields::{FieldWriter, Fields};
use crate::id::{OrgId, RecordHash, SiteId, UserId};
use crate::sealing::{SEAL_BYTES, SealingContext, SealingError, SealingSecret};
use crate::time::Hlc;

/// Sites to which one credential is sealed: more than an organisation has.
pub const MAX_SHARES: usize = 1024;
/// Bytes of what is sealed: a verifier and, later, a seed.
pub const MAX_SECRETS_BYTES: usize = 1024;
/// Bytes of a password verifier, a PHC string of about 100.
pub const MAX_VERIFIER_BYTES: usize = 256;
/// The highest number of a credential: no honest one comes near, and what is computed from one does not overflow.
pub const MAX_NUMBER: u64 = 1 << 48;

/// What is sealed. A field of a newer version makes the whole unreadable: who has a second factor is not let in without
/// it by a site that does not know it. Field 2 is reserved for the seed of one-time codes.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginSecrets {
    /// What a password is checked against: a PHC string.
    pub verifier: String,
}

impl std::fmt::Debug for LoginSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginSecrets")
    }
}

impl Canonical for LoginSecrets {
    fn write(&self, out: &mut Writer) {
        let mut fields = FieldWriter::default();
        fields.text(1, &self.verifier);
        out.raw(&fields.finish());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut fields = Fields::read(input.rest())?;
        let secrets = Self { verifier: fields.text(1, MAX_VERIFIER_BYTES, "verifier")? };
        fields.end()?;
        Ok(secrets)
    }
}

/// What one site can open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The site.
    pub site: SiteId,
    /// The secrets, sealed to its key.
    pub sealed: Vec<u8>,
}

impl Canonical for Share {
    fn write(&self, out: &mut Writer) {
        self.site.write(out);
        out.bytes(&self.sealed);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let site = Canonical::read(input)?;
        Ok(Self { site, sealed: input.bytes(MAX_SECRETS_BYTES + SEAL_BYTES, "sealed share")?.to_vec() })
    }
}

/// Says that a credential seals again what an earlier one set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealedAgain {
    /// How often it was sealed again by now, this time included: from 1 on.
    pub times: u32,
    /// The time of the record that set it.
    pub hlc: Hlc,
    /// That record.
    pub hash: RecordHash,
}

impl Canonical for SealedAgain {
    fn write(&self, out: &mut Writer) {
        out.u32(self.times);
        self.hlc.write(out);
        self.hash.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let again = Self {
            times: input.u32("times sealed again")?,
            hlc: Canonical::read(input)?,
            hash: Canonical::read(input)?,
        };
        if again.times == 0 { Err(CodecError::Invalid { what: "times sealed again" }) } else { Ok(again) }
    }
}

/// The body of a credential record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Whose.
    pub user: UserId,
    /// One more than the highest number of that user that the site knew, from 1 on.
    pub number: u64,
    /// Absent in the credential that sets something new.
    pub again: Option<SealedAgain>,
    /// What each site can open, sorted by site, one for each.
    pub shares: Vec<Share>,
}

impl Canonical for Credential {
    fn write(&self, out: &mut Writer) {
        let mut fields = FieldWriter::default();
        fields.value(1, &self.user);
        fields.put(2, |out| out.u64(self.number));
        fields.option(3, self.again.as_ref());
        fields.list(4, &self.shares);
        out.raw(&fields.finish());
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut fields = Fields::read(input.rest())?;
        let credential = Self {
            user: fields.value(1, "user")?,
            number: fields.get(2, "number", |input| input.u64("number"))?,
            again: fields.option(3)?,
            shares: fields.list(4, MAX_SHARES, "shares")?,
        };
        fields.end()?;
        if !(1..=MAX_NUMBER).contains(&credential.number) {
            return Err(CodecError::Invalid { what: "number of a credential" });
        }
        if !credential.shares.windows(2).all(|pair| pair[0].site < pair[1].site) {
            return Err(CodecError::Invalid { what: "order of shares" });
        }
        Ok(credential)
    }
}

/// Where a credential stands among those of its user: the highest counts. Its encoding sorts as it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Its number: a clock that is wrong silences nobody.
    pub number: u64,
    /// The time of the record that set it.
    pub set_at: Hlc,
    /// That record.
    pub set_in: RecordHash,
    /// How often it was sealed again.
    pub times: u32,
    /// The time of the record itself.
    pub at: Hlc,
    /// The record itself.
    pub hash: RecordHash,
}

impl Canonical for Rank {
    fn write(&self, out: &mut Writer) {
        out.u64(self.number);
        self.set_at.write(out);
        self.set_in.write(out);
        out.u32(self.times);
        self.at.write(out);
        self.hash.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            number: input.u64("number")?,
            set_at: Canonical::read(input)?,
            set_in: Canonical::read(input)?,
            times: input.u32("times sealed again")?,
            at: Canonical::read(input)?,
            hash: Canonical::read(input)?,
        })
    }
}

impl Credential {
    /// Where it stands, if the record with this time and hash holds it.
    pub fn rank(&self, at: Hlc, hash: RecordHash) -> Rank {
        let (times, set_at, set_in) =
            self.again.map_or((0, at, hash), |SealedAgain { times, hlc, hash }| (times, hlc, hash));
        Rank { number: self.number, set_at, set_in, times, at, hash }
    }

    /// The share of a site.
    pub fn share(&self, site: &SiteId) -> Option<&Share> {
        self.shares.binary_search_by_key(site, |share| share.site).ok().map(|at| &self.shares[at])
    }

    /// What a share of this credential is sealed for, in the log of `site`.
    pub fn context(&self, org: OrgId, site: SiteId) -> SealingContext {
        SealingContext { org, site, user: self.user, number: self.number }
    }

    /// Opens the share of the site `me`, as the log of `site` has it; `None` if it has none.
    /// Errors: `Opening` also for secrets of a newer version.
    pub fn open(
        &self,
        org: OrgId,
        site: SiteId,
        me: &SiteId,
        secret: &SealingSecret,
    ) -> Result<Option<LoginSecrets>, SealingError> {
        let Some(share) = self.share(me) else {
            return Ok(None);
        };
        let plain = secret.open(&self.context(org, site), &share.sealed)?;
        LoginSecrets::from_bytes(&plain).map(Some).map_err(|_| SealingError::Opening)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Secret;

    fn credential() -> Credential {
        let share = |site| Share { site: SiteId([site; 32]), sealed: vec![site; 60] };
        Credential { user: UserId([1; 16]), number: 3, again: None, shares: vec![share(1), share(2)] }
    }

    fn again(times: u32, hlc: u64) -> Credential {
        let hash = RecordHash([hlc as u8; 32]);
        Credential { again: Some(SealedAgain { times, hlc: Hlc(hlc), hash }), ..credential() }
    }

    #[test]
    fn a_body_has_one_encoding() {
        for value in [credential(), again(2, 7), Credential { shares: Vec::new(), ..credential() }] {
            assert_eq!(Credential::from_bytes(&value.to_bytes()), Ok(value));
        }
        let mut turned = credential();
        turned.shares.reverse();
        let mut doubled = credential();
        doubled.shares[1] = doubled.shares[0].clone();
        let zero = Credential { number: 0, ..credential() };
        let large = Credential { number: MAX_NUMBER + 1, ..credential() };
        for other in [turned, doubled, zero, large, again(0, 7)] {
            assert!(Credential::from_bytes(&other.to_bytes()).is_err(), "{other:?}");
        }
        let newer = [credential().to_bytes(), vec![5, 0, 0, 0, 0]].concat();
        assert_eq!(Credential::from_bytes(&newer), Err(CodecError::Newer { what: "field" }), "waits for a version");
    }

    #[test]
    fn who_has_a_second_factor_is_not_let_in_without_it() {
        let secrets = LoginSecrets { verifier: "$argon2id$".into() };
        let newer = [secrets.to_bytes(), vec![2, 0, 0, 0, 1, 9]].concat();
        assert_eq!(LoginSecrets::from_bytes(&newer), Err(CodecError::Newer { what: "field" }));
        assert!(!format!("{secrets:?}").contains("argon2id"), "nothing of it is written to a log");
    }

    #[test]
    fn the_rank_goes_by_number_then_by_what_was_set_and_sorts_as_its_bytes() {
        let rank = |credential: &Credential, at: u64| credential.rank(Hlc(at), RecordHash([at as u8; 32]));
        let higher = Credential { number: 4, ..credential() };
        let ordered = [
            rank(&credential(), 7),
            // Sealed again much later, it still stands behind what was set after it.
            rank(&again(1, 7), 200),
            rank(&again(2, 7), 50),
            rank(&credential(), 100),
            rank(&again(1, 100), 101),
            rank(&higher, 1),
        ];
        for pair in ordered.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
            assert!(pair[0].to_bytes() < pair[1].to_bytes(), "a range of keys follows it: {pair:?}");
        }
    }

    #[test]
    fn a_share_opens_for_its_site_alone() {
        let sites = [1, 2].map(|byte| Secret::from_bytes([byte; 32]));
        let [paris, dakar] = sites.each_ref().map(SealingSecret::of);
        let (org, secrets) = (OrgId([9; 32]), LoginSecrets { verifier: "$argon2id$v=19".into() });
        let mut credential = Credential { shares: Vec::new(), ..credential() };
        let from = sites[0].public();
        let sealed = paris.seal(&dakar.public(), &credential.context(org, from), &secrets.to_bytes()).unwrap();
        credential.shares = vec![Share { site: sites[1].public(), sealed }];
        let open = |credential: &Credential, me: usize, secret| credential.open(org, from, &sites[me].public(), secret);
        assert_eq!(open(&credential, 1, &dakar), Ok(Some(secrets)));
        assert_eq!(open(&credential, 0, &paris), Ok(None), "it is sealed to Dakar alone");
        assert_eq!(open(&credential, 1, &paris), Err(SealingError::Opening));
        let moved = Credential { number: 4, ..credential };
        assert_eq!(open(&moved, 1, &dakar), Err(SealingError::Opening), "its number cannot be raised by others");
    }
}
