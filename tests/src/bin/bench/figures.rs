//! Figures as they are printed: rows of one column of `docs/benchmarks.md`.

use std::time::{Duration, Instant};

/// Prints one row of the table.
pub fn row(what: &str, figures: impl AsRef<str>) {
    println!("| {what} | {} |", figures.as_ref());
}

/// The durations of a repeated operation.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Runs `work` and adds its duration.
    pub fn take<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.0.push(begun.elapsed());
        done
    }

    /// Adds a duration.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Adds all durations of `other`.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// A percentile: the duration that `percent` percent do not exceed.
    pub fn at(&mut self, percent: usize) -> Duration {
        self.0.sort_unstable();
        let place = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(place).copied().unwrap_or_default()
    }

    /// The sum of all durations.
    pub fn sum(&self) -> Duration {
        self.0.iter().sum()
    }

    /// The requested percentiles as text: `p50 …, p99 …, most …`, where 100 is `most`.
    pub fn summary(&mut self, percents: &[usize]) -> String {
        let name = |percent| if percent == 100 { "most".to_owned() } else { format!("p{percent}") };
        let summary = percents.iter().map(|percent| format!("{} {}", name(*percent), ms(self.at(*percent))));
        summary.collect::<Vec<_>>().join(", ")
    }
}

/// A duration as text, in milliseconds.
pub fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

/// `ours` as a multiple of `floor`.
pub fn ratio(ours: Duration, floor: Duration) -> f64 {
    ours.as_secs_f64() / floor.as_secs_f64().max(f64::EPSILON)
}

/// The number of operations per second, as text.
pub fn rate(count: usize, time: Duration) -> String {
    format!("{:.0}/s", count as f64 / time.as_secs_f64().max(f64::EPSILON))
}
