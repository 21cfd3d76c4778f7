//! Every choice of a history, drawn from its seed.
//!
//! Not for key material: the actors have entropy of their own, derived from the same seed. What always
//! holds: the same seed and the same questions give the same answers.

use openkcm_host::{SeededEntropy, random_array, random_hex};

/// A source of choices.
#[derive(Debug)]
pub(crate) struct Dice {
    entropy: SeededEntropy,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { entropy: SeededEntropy::new(seed) }
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&self, bound: usize) -> usize {
        let drawn = u64::from_be_bytes(random_array(&self.entropy));
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(drawn % bound).unwrap_or(0)
    }

    /// Whether something happens that happens so many times in a hundred.
    pub(crate) fn percent(&self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// One of several; there is at least one.
    pub(crate) fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// One of several by weight: its index. At least one weight is not zero.
    pub(crate) fn weighted(&self, weights: impl Iterator<Item = usize> + Clone) -> usize {
        let mut drawn = self.below(weights.clone().sum());
        for (index, weight) in weights.enumerate() {
            if drawn < weight {
                return index;
            }
            drawn -= weight;
        }
        0
    }

    /// A random word, as questions have one.
    pub(crate) fn nonce(&self) -> String {
        random_hex::<16>(&self.entropy)
    }

    /// Puts a list into another order.
    pub(crate) fn shuffle<T>(&self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}
