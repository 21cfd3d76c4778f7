//! Percentiles of what was measured.

use std::time::Duration;

/// Durations, in the order of their lengths.
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    pub(crate) fn new(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self(durations)
    }

    /// The smallest duration that at least `share` of the sample does not exceed.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// One line with the usual percentiles, in milliseconds.
    pub(crate) fn line(&self, what: &str) -> String {
        let ms = |share| self.percentile(share).as_secs_f64() * 1e3;
        format!(
            "{what:<44} n {:>6}   p50 {:>8.2} ms   p99 {:>8.2} ms   max {:>8.2} ms",
            self.0.len(),
            ms(0.5),
            ms(0.99),
            ms(1.0)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_sample() {
        let sample = Sample::new((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!(sample.percentile(0.5), Duration::from_millis(50));
        assert_eq!(sample.percentile(0.99), Duration::from_millis(99));
        assert_eq!(sample.percentile(1.0), Duration::from_millis(100));
        assert_eq!(Sample::new(Vec::new()).percentile(0.5), Duration::ZERO);
    }
}
