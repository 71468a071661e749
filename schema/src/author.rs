//! In whose name something is written (R36).

use crate::codec::{Canonical, CodecError, Reader, Tagged, Writer};
use crate::id::{ServiceId, UserId};

/// In whose name a command was issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Author {
    /// The site itself: imports and what a kind marks for it.
    Site,
    /// A user for whom the site may speak (R11).
    User(UserId),
    /// A service of the authority log: mail, directory, agents, automation.
    Service(ServiceId),
    /// Somebody of a newer version: kept, not judged (R13).
    Other(Tagged),
}

impl Canonical for Author {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Site => out.tagged(0, |_| {}),
            Self::User(user) => out.tagged(1, |out| user.write(out)),
            Self::Service(service) => out.tagged(2, |out| service.write(out)),
            Self::Other(other) => other.write(out),
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let tagged = Tagged::read(input)?;
        let mut content = tagged.content();
        let author = match tagged.tag() {
            0 => Self::Site,
            1 => Self::User(Canonical::read(&mut content)?),
            2 => Self::Service(Canonical::read(&mut content)?),
            _ => return Ok(Self::Other(tagged)),
        };
        content.end()?;
        Ok(author)
    }
}
