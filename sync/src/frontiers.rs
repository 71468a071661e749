//! Frontier announcements (R17): making one's own, keeping the newest of everybody's, and what they answer.
//!
//! What is announced stands in the store, by site and scope; in memory is only which is the newest. They travel as
//! differences to whoever holds the one before, and whole to whoever does not.

use std::collections::BTreeMap;

use schema::codec::{Canonical, CodecError, Reader, Writer};
use schema::frontier::{Frontier, FrontierLine, MAX_LINES, SignedFrontier};
use schema::id::{GenerationId, OrgId, ScopeId, SiteId};
use schema::identity::{Secret, Signature};
use schema::policy::Policy;
use schema::record::Record;
use schema::time::Hlc;

use crate::admission::stored;
use crate::store::log_index::{HeldSeqs, LogName};
use crate::store::tables::frontier_key;
use crate::store::{LogIndex, LogState, PeerLogs, Source, StoreError, Table, Writing, decode};

/// Which announcement of a site and scope is the newest one held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Newest {
    /// Its number.
    pub number: u64,
    /// The generation that said it.
    pub generation: GenerationId,
    /// When, by that site's clock.
    pub hlc: Hlc,
    /// The other generation of its own key that it had heard of.
    pub heard: Option<GenerationId>,
}

impl Newest {
    fn of(frontier: &Frontier) -> Self {
        let Frontier { number, generation, hlc, heard, .. } = frontier;
        Self { number: *number, generation: *generation, hlc: *hlc, heard: *heard }
    }
    /// Two copies of a site may say the same number: the generation settles it alike everywhere.
    fn place(&self) -> (u64, GenerationId) {
        (self.number, self.generation)
    }
}

/// The newest announcement of each site and scope.
#[derive(Debug, Clone, Default)]
pub struct Frontiers(BTreeMap<(SiteId, ScopeId), Newest>);

impl Frontiers {
    /// Reads which is the newest from the store. Linear in sites times scopes.
    pub fn load(source: &impl Source) -> Result<Self, StoreError> {
        let mut known = Self::default();
        for (_, bytes) in source.prefixed(Table::Frontiers, &[])? {
            let signed: SignedFrontier = decode(Table::Frontiers, &bytes)?;
            known.note(&signed.frontier);
        }
        Ok(known)
    }

    /// Notes what is now the newest of its site and scope.
    pub fn note(&mut self, frontier: &Frontier) {
        self.0.insert((frontier.site, frontier.scope), Newest::of(frontier));
    }

    /// The newest of a site in a scope.
    pub fn get(&self, site: &SiteId, scope: &ScopeId) -> Option<&Newest> {
        self.0.get(&(*site, *scope))
    }

    /// The newest of a site in any scope, by its clock: when something of it was last heard.
    pub fn last_of(&self, site: &SiteId) -> Option<Hlc> {
        let range = (*site, ScopeId([0; 16]))..=(*site, ScopeId([0xff; 16]));
        self.0.range(range).map(|(_, newest)| newest.hlc).max()
    }

    /// Number and generation of each, by site and scope.
    pub fn iter(&self) -> impl Iterator<Item = (&(SiteId, ScopeId), &Newest)> {
        self.0.iter()
    }

    /// A digest of which announcements of these scopes are held: equal digests need no exchange.
    pub fn digest(&self, scopes: impl Fn(&ScopeId) -> bool) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("archipel 2026-11 frontiers");
        for ((site, scope), newest) in self.0.iter().filter(|((_, scope), _)| scopes(scope)) {
            hasher.update(&site.0).update(&scope.0).update(&newest.number.to_be_bytes()).update(&newest.generation.0);
        }
        *hasher.finalize().as_bytes()
    }
}

/// An announcement as held.
pub fn read(source: &impl Source, site: &SiteId, scope: &ScopeId) -> Result<Option<SignedFrontier>, StoreError> {
    source.get_as(Table::Frontiers, &frontier_key(site, scope))
}

/// What a site says it holds of a scope; nothing if it never said.
pub fn lines(source: &impl Source, site: &SiteId, scope: &ScopeId) -> Result<HeldSeqs, StoreError> {
    let found = read(source, site, scope)?.map(|signed| signed.frontier.lines).unwrap_or_default();
    Ok(found.into_iter().map(|(site, generation, seq)| ((site, generation), seq)).collect())
}

/// What a site wrote that none of the others has said that it holds, the newest first, at most `limit`. Some of it may have
/// come there all the same: what a site holds it says a moment later. Linear in the generations of the site, and in those
/// records.
pub fn unsent(
    source: &impl Source,
    index: &LogIndex,
    site: &SiteId,
    others: &[SiteId],
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let mut unsent = Vec::new();
    for (_, no) in source.prefixed(Table::LogNumbers, &site.0)? {
        let Some(log) = source.get_as::<LogState>(Table::Logs, &no)?.filter(|log| log.branch.is_none()) else {
            continue;
        };
        let mut held = 0;
        for other in others {
            let lines = lines(source, other, &log.id.scope)?;
            held = held.max(PeerLogs::new(index, source, log.id.scope, &lines).seq((*site, log.id.generation))?);
        }
        for seq in (held + 1..=log.seq).rev().take(limit) {
            unsent.push(stored(source, log.no, seq)?.record);
        }
    }
    unsent.sort_by_key(|record| std::cmp::Reverse(record.header.hlc));
    unsent.truncate(limit);
    Ok(unsent)
}

/// Says what this site holds of a scope, after the newest that it knows of itself.
pub fn say(
    org: OrgId,
    key: &Secret,
    generation: GenerationId,
    hlc: Hlc,
    scope: ScopeId,
    (known, index): (&Frontiers, &LogIndex),
) -> SignedFrontier {
    let site = key.public();
    let newest = known.get(&site, &scope);
    let mut lines: Vec<FrontierLine> =
        index.open_in(&scope).map(|log| (log.id.site, log.id.generation, log.seq)).collect();
    // What is not announced is sent again; what is announced must be read by everybody.
    lines.truncate(MAX_LINES);
    let other = newest.map(|newest| newest.generation).filter(|other| *other != generation);
    let heard = other.or(newest.and_then(|newest| newest.heard));
    // The last number of all is said once more, and nobody takes it for news.
    let number = newest.map_or(0, |newest| newest.number).saturating_add(1);
    SignedFrontier::new(Frontier { org, site, generation, scope, number, hlc, heard, lines }, key)
}

/// What changed from one announcement of a site and scope to a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The number of the one before.
    pub base: u64,
    /// The generation that said the one before.
    pub base_generation: GenerationId,
    /// The later one without its lines.
    pub head: Frontier,
    /// Lines that are new or other.
    pub changed: Vec<FrontierLine>,
    /// Logs that have no line any more.
    pub removed: Vec<LogName>,
    /// The site's signature over the later one.
    pub signature: Signature,
}

impl Difference {
    /// From `before` to `after`, both of one site and scope.
    pub fn between(before: &Frontier, after: &SignedFrontier) -> Self {
        let map = |lines: &[FrontierLine]| -> HeldSeqs {
            lines.iter().map(|(site, generation, seq)| ((*site, *generation), *seq)).collect()
        };
        let (old, new) = (map(&before.lines), map(&after.frontier.lines));
        let changed = new.iter().filter(|(name, seq)| old.get(name) != Some(seq));
        Self {
            base: before.number,
            base_generation: before.generation,
            head: Frontier { lines: Vec::new(), ..after.frontier.clone() },
            changed: changed.map(|((site, generation), seq)| (*site, *generation, *seq)).collect(),
            removed: old.keys().filter(|name| !new.contains_key(name)).copied().collect(),
            signature: after.signature,
        }
    }

    /// The later announcement, if `before` is the one that this goes on from. Its signature is still to be verified.
    fn apply(&self, before: &Frontier) -> Option<SignedFrontier> {
        if (before.number, before.generation) != (self.base, self.base_generation) {
            return None;
        }
        let mut lines: HeldSeqs =
            before.lines.iter().map(|(site, generation, seq)| ((*site, *generation), *seq)).collect();
        for name in &self.removed {
            lines.remove(name);
        }
        lines.extend(self.changed.iter().map(|(site, generation, seq)| ((*site, *generation), *seq)));
        let lines = lines.into_iter().map(|((site, generation), seq)| (site, generation, seq)).collect();
        let frontier = Frontier { lines, ..self.head.clone() };
        Some(SignedFrontier { frontier, signature: self.signature })
    }
}

impl Canonical for Difference {
    fn write(&self, out: &mut Writer) {
        out.u64(self.base);
        self.base_generation.write(out);
        self.head.write(out);
        out.list(&self.changed, |out, (site, generation, seq)| {
            site.write(out);
            generation.write(out);
            out.varint(*seq);
        });
        out.list(&self.removed, |out, (site, generation)| {
            site.write(out);
            generation.write(out);
        });
        self.signature.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            base: input.u64("base number")?,
            base_generation: Canonical::read(input)?,
            head: Canonical::read(input)?,
            changed: input.list(MAX_LINES, "changed lines", |input| {
                Ok((Canonical::read(input)?, Canonical::read(input)?, input.varint("seq")?))
            })?,
            removed: input
                .list(MAX_LINES, "removed lines", |input| Ok((Canonical::read(input)?, Canonical::read(input)?)))?,
            signature: Canonical::read(input)?,
        })
    }
}

/// An announcement as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// To whoever may not hold the one before.
    Whole(SignedFrontier),
    /// To whoever does.
    Difference(Difference),
}

impl Update {
    /// Whose it is, and of which scope.
    pub fn place(&self) -> (SiteId, ScopeId) {
        let frontier = match self {
            Self::Whole(signed) => &signed.frontier,
            Self::Difference(difference) => &difference.head,
        };
        (frontier.site, frontier.scope)
    }
    /// The generation that says it.
    pub fn generation(&self) -> GenerationId {
        match self {
            Self::Whole(signed) => signed.frontier.generation,
            Self::Difference(difference) => difference.head.generation,
        }
    }
}

impl Canonical for Update {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Whole(signed) => {
                out.u8(0);
                signed.write(out);
            }
            Self::Difference(difference) => {
                out.u8(1);
                difference.write(out);
            }
        }
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        match input.u8("announcement")? {
            0 => Ok(Self::Whole(Canonical::read(input)?)),
            1 => Ok(Self::Difference(Canonical::read(input)?)),
            _ => Err(CodecError::Invalid { what: "announcement" }),
        }
    }
}

/// What came of received announcements.
#[derive(Debug, Default)]
pub struct Admitted {
    /// News, to be passed on.
    pub news: Vec<Update>,
    /// Those whose one before is not held here: to be asked for whole.
    pub lacking: Vec<(SiteId, ScopeId)>,
}

/// Keeps the announcements that are genuine, of sites that hold the scope, newer than what is held and within bounds.
pub fn admit(
    writing: &mut Writing<'_>,
    policy: &Policy,
    known: &mut Frontiers,
    said: Vec<Update>,
) -> Result<Admitted, StoreError> {
    let mut admitted = Admitted::default();
    for update in said {
        let (site, scope) = update.place();
        let before = read(writing, &site, &scope)?;
        let whole = match &update {
            Update::Whole(signed) => signed.clone(),
            Update::Difference(difference) => {
                let newest = known.get(&site, &scope);
                let is_news = newest.is_none_or(|newest| newest.place() < Newest::of(&difference.head).place());
                match before.as_ref().and_then(|before| difference.apply(&before.frontier)) {
                    Some(whole) => whole,
                    None if is_news => {
                        admitted.lacking.push((site, scope));
                        continue;
                    }
                    None => continue,
                }
            }
        };
        let frontier = &whole.frontier;
        let newer = known.get(&site, &scope).is_none_or(|newest| newest.place() < Newest::of(frontier).place());
        // Lines that are added to those held may be more than an announcement has: what is kept must be read back.
        if frontier.lines.len() > MAX_LINES {
            continue;
        }
        if newer && frontier.org == policy.org && policy.holds(&site, &scope) && whole.is_genuine() {
            admitted.news.push(keep(writing, known, before, whole)?);
        }
    }
    Ok(admitted)
}

/// Keeps what is newer; answers with what is to be passed on.
pub fn keep(
    writing: &mut Writing<'_>,
    known: &mut Frontiers,
    before: Option<SignedFrontier>,
    whole: SignedFrontier,
) -> Result<Update, StoreError> {
    let frontier = &whole.frontier;
    writing.put(Table::Frontiers, &frontier_key(&frontier.site, &frontier.scope), &whole.to_bytes())?;
    known.note(frontier);
    Ok(match before {
        Some(before) => Update::Difference(Difference::between(&before.frontier, &whole)),
        None => Update::Whole(whole),
    })
}
