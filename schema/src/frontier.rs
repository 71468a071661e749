//! Frontier announcements (R17): what a site holds durably of a scope, said by itself; a later one of the same process takes the place of an earlier one.

use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::id::{GenerationId, OrgId, ScopeId, SiteId};
use crate::identity::{Purpose, Secret, Signature, verify};
use crate::time::Hlc;

/// Open logs in one announcement. An honest site leaves one open per scope, and one more for each time that it was
/// copied or restored; what a site holds beyond this it does not announce, and is sent again what it has.
pub const MAX_LINES: usize = 16_384;

/// An open log and its last seq held.
pub type FrontierLine = (SiteId, GenerationId, u64);

/// What a site holds of a scope, by log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontier {
    /// The organisation.
    pub org: OrgId,
    /// Who says it.
    pub site: SiteId,
    /// In which of its generations.
    pub generation: GenerationId,
    /// Of which scope.
    pub scope: ScopeId,
    /// One more than the highest that the site knows of its key in this scope: the highest number wins, whatever
    /// clocks say.
    pub number: u64,
    /// When, by the site's clock: for people.
    pub hlc: Hlc,
    /// The last other generation of its own key that the site heard of. Two generations that name one another run
    /// at one time: a second copy (R1).
    pub heard: Option<GenerationId>,
    /// Last seq held of each open log, sorted by log; closed generations held whole are left out (R1).
    pub lines: Vec<FrontierLine>,
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
        self.scope.write(out);
        out.u64(self.number);
        self.hlc.write(out);
        out.option(self.heard.as_ref(), |out, heard| heard.write(out));
        out.list(&self.lines, |out, (site, generation, seq)| {
            site.write(out);
            generation.write(out);
            out.u64(*seq);
        });
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let frontier = Self {
            org: Canonical::read(input)?,
            site: Canonical::read(input)?,
            generation: Canonical::read(input)?,
            scope: Canonical::read(input)?,
            number: input.u64("number")?,
            hlc: Canonical::read(input)?,
            heard: input.option("heard generation", Canonical::read)?,
            lines: input.list(MAX_LINES, "lines", |input| {
                Ok((Canonical::read(input)?, Canonical::read(input)?, input.u64("seq")?))
            })?,
        };
        match is_sorted(&frontier.lines) {
            true => Ok(frontier),
            false => Err(CodecError::Invalid { what: "order of lines" }),
        }
    }
}

/// Whether each log stands once, in order.
pub fn is_sorted(lines: &[FrontierLine]) -> bool {
    lines.windows(2).all(|pair| (pair[0].0, pair[0].1) < (pair[1].0, pair[1].1))
}

/// An announcement with its site's signature.
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
