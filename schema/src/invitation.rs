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
/// What a line of any version begins with, before its number.
const NAME: &str = "archipel";
/// Letters of a line: more than the longest content needs. Bounds the work on what was pasted by mistake.
const MAX_LINE_CHARS: usize = 64 * 1024;

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
    /// It starts as one of another version.
    #[error("the invitation is of another version")]
    Version,
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

    /// Reads a pasted line. What mail programs and people add does not matter: white space and invisible letters
    /// anywhere, quotes and brackets around it, capitals.
    pub fn from_line(line: &str) -> Result<Self, InvitationError> {
        let seen = line.chars().filter(|letter| !letter.is_whitespace() && !is_invisible(*letter));
        let line: String = seen.take(MAX_LINE_CHARS + 1).collect();
        let line = line.trim_matches(is_wrapping).to_ascii_lowercase();
        if line.len() > MAX_LINE_CHARS {
            return Err(InvitationError::Damaged);
        }
        let letters = line.strip_prefix(PREFIX).ok_or_else(|| match names_version(&line) {
            true => InvitationError::Version,
            false => InvitationError::Prefix,
        })?;
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

/// Letters without a shape, which mail programs put where a line may break.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// What stands around a quoted line.
fn is_wrapping(letter: char) -> bool {
    matches!(letter, '"' | '\'' | '`' | '<' | '>' | '(' | ')' | '[' | ']')
        || matches!(letter, '«' | '»' | '‹' | '›' | '“' | '”' | '„' | '‘' | '’' | '.' | ',' | ';')
}

/// `archipel2-` and the like.
fn names_version(line: &str) -> bool {
    let number = line.strip_prefix(NAME).and_then(|rest| rest.split_once('-')).map(|(number, _)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
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
        let pasted = [
            (format!(" {head}\n  {tail} "), "breaks"),
            (format!("\"{line}\"\r\n"), "quotes and a Windows line end"),
            (format!("« {head}\u{a0}{tail} »."), "French quotes, hard spaces, a full stop"),
            (format!("\u{feff}<{head}\u{200b}{tail}>"), "a byte order mark, brackets, an invisible break"),
            (line.to_uppercase(), "capitals"),
        ];
        for (pasted, what) in pasted {
            assert_eq!(Invitation::from_line(&pasted).as_ref(), Ok(&invitation), "{what} do not matter");
        }
        let mut broken = line.clone().into_bytes();
        broken[50] = if broken[50] == b'a' { b'b' } else { b'a' };
        let broken = String::from_utf8(broken).expect("ascii");
        assert!(Invitation::from_line(&broken).is_err(), "one changed letter is noticed");
        let refused = [
            ("hello", InvitationError::Prefix),
            ("", InvitationError::Prefix),
            ("archipel-abc", InvitationError::Prefix),
            ("archipel2-abc", InvitationError::Version),
            ("archipel1-", InvitationError::Damaged),
            ("archipel1-é", InvitationError::Damaged),
            (&line[..line.len() - 1], InvitationError::Damaged),
            (&format!("{line}{line}"), InvitationError::Damaged),
            (&format!("{PREFIX}{}", "a".repeat(1 << 20)), InvitationError::Damaged),
        ];
        for (given, why) in refused {
            let shown: String = given.chars().take(40).collect();
            assert_eq!(Invitation::from_line(given), Err(why), "{shown}");
        }
    }
}
