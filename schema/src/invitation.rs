//! Invitations: one line to paste, which tells a new site whom to call and whom to believe.
//!
//! The inviting site makes the new site's key a member beforehand only by its *token*: the joiner makes
//! its own key, calls the inviter, proves that it knows the token, and the sequencer enrols the key.

use data_encoding::BASE32_NOPAD;
use thiserror::Error;

use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::id::{OrgId, SiteId};
use crate::time::Timestamp;

/// What a line begins with: version 1.
pub const PREFIX: &str = "archipel1-";

/// What a pasted line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The organisation to join; its authority log must begin with a root that hashes to this.
    pub org: OrgId,
    /// The site to call.
    pub inviter: SiteId,
    /// Where it listens: socket addresses, relay URLs.
    pub addresses: Vec<String>,
    /// Known to the inviter and to whoever holds the line; used once.
    pub token: [u8; 16],
    /// The code the new site will have.
    pub code: String,
    /// Until when the inviter honours it.
    pub expires: Timestamp,
}

/// Why a line is not an invitation.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum InvitationError {
    /// It does not start as one.
    #[error("an invitation begins with {PREFIX}")]
    Prefix,
    /// Letters are missing, doubled or changed.
    #[error("the invitation is damaged: copy the whole line again")]
    Damaged,
    /// The content is not one.
    #[error("the invitation is damaged")]
    Content(#[source] CodecError),
}

impl Invitation {
    /// The line to paste: letters and digits, with a check at its end.
    pub fn to_line(&self) -> String {
        let mut bytes = self.to_bytes();
        let check = checksum(&bytes);
        bytes.extend_from_slice(&check);
        format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_lowercase())
    }

    /// Reads a pasted line; white space and line breaks inside do not matter.
    pub fn from_line(line: &str) -> Result<Self, InvitationError> {
        let line: String = line.chars().filter(|letter| !letter.is_whitespace()).collect();
        let letters = line.strip_prefix(PREFIX).ok_or(InvitationError::Prefix)?;
        let bytes = BASE32_NOPAD.decode(letters.to_uppercase().as_bytes()).map_err(|_| InvitationError::Damaged)?;
        let split = bytes.len().checked_sub(4).ok_or(InvitationError::Damaged)?;
        let (content, check) = bytes.split_at(split);
        if checksum(content) != check {
            return Err(InvitationError::Damaged);
        }
        Self::from_bytes(content).map_err(InvitationError::Content)
    }
}

impl Canonical for Invitation {
    fn write(&self, out: &mut Writer) {
        self.org.write(out);
        self.inviter.write(out);
        out.list(&self.addresses, |out, address| out.text(address));
        out.raw(&self.token);
        out.text(&self.code);
        out.u64(self.expires.0);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            org: Canonical::read(input)?,
            inviter: Canonical::read(input)?,
            addresses: input.list(64, "addresses", |input| input.text(256, "address"))?,
            token: input.array("token")?,
            code: input.text(5, "site code")?,
            expires: Timestamp(input.u64("expiry")?),
        })
    }
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let hash = blake3::derive_key("archipel 2026-11 invitation check", bytes);
    [hash[0], hash[1], hash[2], hash[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_survives_mail_programs_and_shows_damage() {
        let invitation = Invitation {
            org: OrgId([1; 32]),
            inviter: SiteId([2; 32]),
            addresses: vec!["192.0.2.1:4433".into()],
            token: [3; 16],
            code: "LYO".into(),
            expires: Timestamp(1_800_000_000_000),
        };
        let line = invitation.to_line();
        let (head, tail) = line.split_at(40);
        assert_eq!(Invitation::from_line(&format!(" {head}\n  {tail} ")), Ok(invitation), "breaks do not matter");
        let mut broken = line.clone().into_bytes();
        broken[50] = if broken[50] == b'a' { b'b' } else { b'a' };
        let broken = String::from_utf8(broken).expect("ascii");
        assert!(Invitation::from_line(&broken).is_err(), "one changed letter is noticed");
        assert_eq!(Invitation::from_line("hello"), Err(InvitationError::Prefix));
    }
}
