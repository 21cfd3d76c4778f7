//! Choices that a seed repeats.

use std::time::Duration;

use openkcm_host::{SeededEntropy, random_array};

/// Draws for one task: each has a stream of its own, so that none depends on how fast another one is.
pub(super) struct Dice(SeededEntropy);

impl Dice {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self(SeededEntropy::new(seed.wrapping_mul(1_000_003).wrapping_add(stream)))
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&self, end: usize) -> usize {
        let drawn = u64::from_be_bytes(random_array(&self.0));
        usize::try_from(drawn % end as u64).expect("below a usize")
    }

    /// One of some things.
    pub(super) fn one_of<'t, T>(&self, things: &'t [T]) -> &'t T {
        &things[self.below(things.len())]
    }

    /// A time up to this one.
    pub(super) fn up_to(&self, longest: Duration) -> Duration {
        longest.mul_f64(self.below(1_001) as f64 / 1_000.0)
    }

    /// All things, in another order.
    pub(super) fn shuffled<T>(&self, mut things: Vec<T>) -> Vec<T> {
        for at in (1..things.len()).rev() {
            things.swap(at, self.below(at + 1));
        }
        things
    }
}
