//! What a site that joins asks, and what it is answered (`docs/formats/join.md`).

use crate::authority::{SealingKey, Signed};
use crate::codec::{Canonical, CodecError, Reader, Writer};

/// Addresses that a joining site may name.
pub const MAX_ADDRESSES: usize = 64;
/// Bytes of an address.
pub const MAX_ADDRESS_BYTES: usize = 256;
/// Statements of an answer.
pub const MAX_STATEMENTS: usize = 1 << 20;
/// Bytes of the code of a refusal.
pub const MAX_REFUSAL_BYTES: usize = 4096;

/// What a joining site says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinQuestion {
    /// The token of its invitation.
    pub token: [u8; 16],
    /// To which credentials of its people are sealed (R16).
    pub sealing: SealingKey,
    /// Where it listens.
    pub addresses: Vec<String>,
}

/// What it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinAnswer {
    /// The whole authority log, from position 0 on; none of it is verified by reading it.
    Statements(Vec<Signed>),
    /// The code of the refusal (`docs/errors.md`).
    Refused(String),
}

impl Canonical for JoinQuestion {
    fn write(&self, out: &mut Writer) {
        out.raw(&self.token);
        self.sealing.write(out);
        out.list(&self.addresses, |out, address| out.text(address));
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (token, sealing) = (input.array("token")?, Canonical::read(input)?);
        let addresses = input.list(MAX_ADDRESSES, "addresses", |input| input.text(MAX_ADDRESS_BYTES, "address"))?;
        Ok(Self { token, sealing, addresses })
    }
}

impl Canonical for JoinAnswer {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Statements(statements) => {
                out.u8(0);
                out.list(statements, |out, signed| signed.write(out));
            }
            Self::Refused(code) => {
                out.u8(1);
                out.text(code);
            }
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        match input.u8("answer")? {
            0 => Ok(Self::Statements(input.list(MAX_STATEMENTS, "statements", Canonical::read)?)),
            1 => Ok(Self::Refused(input.text(MAX_REFUSAL_BYTES, "refusal")?)),
            _ => Err(CodecError::Invalid { what: "answer" }),
        }
    }
}
