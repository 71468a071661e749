//! Timestamps and the hybrid logical clock (R28). No clock is read here: `now` is an argument.

use std::time::Duration;

use crate::codec::{Canonical, CodecError, Reader, Writer};

/// Milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This time and `duration` more; stops at the largest time instead of wrapping.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_millis() as u64))
    }
    /// How long after `earlier`; zero if it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A hybrid logical time: 48 bits of milliseconds, 16 bits of counter. It orders what people see and
/// never decides whether a record is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hlc(pub u64);

impl Hlc {
    /// How far others may push a site's clock past its own (R28).
    pub const MAX_LEAD: Duration = Duration::from_secs(600);

    /// The wall clock part.
    pub fn timestamp(self) -> Timestamp {
        Timestamp(self.0 >> 16)
    }
    /// The first hybrid time of a wall clock time.
    pub fn at(time: Timestamp) -> Self {
        Self(time.0.min((1 << 48) - 1) << 16)
    }
    /// The next time after this one for a site whose own clock says `now`.
    pub fn tick(self, now: Timestamp) -> Self {
        Self((self.0.saturating_add(1)).max(Self::at(now).0))
    }
    /// This site's clock after it saw `other`, which counts at most `MAX_LEAD` past `now`.
    pub fn observe(self, other: Self, now: Timestamp) -> Self {
        let bound = Self::at(now.plus(Self::MAX_LEAD));
        if other > bound { self } else { self.max(other) }
    }
}

impl Canonical for Hlc {
    fn write(&self, out: &mut Writer) {
        out.u64(self.0);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self(input.u64("a time")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_never_runs_back_and_is_not_dragged() {
        let now = Timestamp(1_000_000);
        let first = Hlc::default().tick(now);
        let second = first.tick(Timestamp(900_000));
        assert!(second > first, "the wall clock went back, the hybrid time did not");
        let wild = Hlc::at(Timestamp(now.0 + 3_600_000));
        assert_eq!(second.observe(wild, now), second, "an hour ahead drags nobody");
        let near = Hlc::at(Timestamp(now.0 + 60_000));
        assert_eq!(second.observe(near, now), near, "a minute ahead is followed");
    }
}
