//! Figures as they are printed: rows of one column of `docs/benchmarks.md`.

use std::time::{Duration, Instant};

/// Prints a row.
pub fn row(what: &str, figures: impl AsRef<str>) {
    println!("| {what} | {} |", figures.as_ref());
}

/// Times of one thing done often.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Does something and keeps its time.
    pub fn take<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.0.push(begun.elapsed());
        done
    }

    /// Keeps a time.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Takes over another's times.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The time that `percent` of them do not exceed.
    pub fn at(&mut self, percent: usize) -> Duration {
        self.0.sort_unstable();
        let place = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(place).copied().unwrap_or_default()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        self.0.iter().sum()
    }

    /// `p50 …, p99 …, most …` (100), whichever are asked for.
    pub fn told(&mut self, percents: &[usize]) -> String {
        let name = |percent| if percent == 100 { "most".to_owned() } else { format!("p{percent}") };
        let told = percents.iter().map(|percent| format!("{} {}", name(*percent), ms(self.at(*percent))));
        told.collect::<Vec<_>>().join(", ")
    }
}

/// A time for people.
pub fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

/// How much `ours` is of `floor`.
pub fn ratio(ours: Duration, floor: Duration) -> f64 {
    ours.as_secs_f64() / floor.as_secs_f64().max(f64::EPSILON)
}

/// How many a second.
pub fn rate(count: usize, time: Duration) -> String {
    format!("{:.0}/s", count as f64 / time.as_secs_f64().max(f64::EPSILON))
}
