//! Frontier announcements (R17): what a site holds durably, said by itself, newest wins.

use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::id::{GenerationId, LogId, OrgId, SiteId};
use crate::identity::{Purpose, Secret, Signature, verify};
use crate::time::Hlc;

/// Logs in one statement; a fleet of 500 sites in 64 scopes.
pub const MAX_LINES: usize = 65_536;

/// What a site holds, by log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontier {
    /// The organisation.
    pub org: OrgId,
    /// Who says it.
    pub site: SiteId,
    /// In which of its generations.
    pub generation: GenerationId,
    /// When; the newest statement of a site wins.
    pub hlc: Hlc,
    /// Last seq held of each log, sorted by log; closed generations held whole are left out (R1).
    pub lines: Vec<(LogId, u64)>,
}

impl Frontier {
    fn hash(&self) -> [u8; 32] {
        blake3::derive_key("archipel 2026-11 frontier", &self.to_bytes())
    }
}

impl Canonical for Frontier {
    fn write(&self, out: &mut Writer) {
        self.org.write(out);
        self.site.write(out);
        self.generation.write(out);
        self.hlc.write(out);
        out.list(&self.lines, |out, (log, seq)| {
            log.write(out);
            out.u64(*seq);
        });
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let frontier = Self {
            org: Canonical::read(input)?,
            site: Canonical::read(input)?,
            generation: Canonical::read(input)?,
            hlc: Canonical::read(input)?,
            lines: input.list(MAX_LINES, "lines", |input| Ok((Canonical::read(input)?, input.u64("seq")?)))?,
        };
        match frontier.lines.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            true => Ok(frontier),
            false => Err(CodecError::Invalid { what: "order of lines" }),
        }
    }
}

/// A statement with its site's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedFrontier {
    /// What is said.
    pub frontier: Frontier,
    /// By whom.
    pub signature: Signature,
}

impl SignedFrontier {
    /// Signs `frontier` with its site's key.
    pub fn new(frontier: Frontier, key: &Secret) -> Self {
        let signature = key.sign(Purpose::Frontier, &frontier.hash());
        Self { frontier, signature }
    }
    /// Whether the site it names said it.
    pub fn is_genuine(&self) -> bool {
        verify(&self.frontier.site, Purpose::Frontier, &self.frontier.hash(), &self.signature)
    }
}

impl Canonical for SignedFrontier {
    fn write(&self, out: &mut Writer) {
        self.frontier.write(out);
        self.signature.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { frontier: Canonical::read(input)?, signature: Canonical::read(input)? })
    }
}
