//! Where randomness comes from: key material, nonces, ids, jitter.
//!
//! Not a toolbox of distributions: it fills bytes. What it always holds: a source that cannot deliver never
//! returns, so no caller can go on with bytes that were not filled.

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A source of randomness.
pub trait Entropy: Send + Sync {
    /// Overwrites all of `dest` with random bytes.
    ///
    /// # Panics
    ///
    /// When the source cannot deliver. There is no error to return, because there is nothing right that a
    /// caller could do with it.
    fn fill(&self, dest: &mut [u8]);
}

/// `N` random bytes, for nonces and ids. Key material is better filled in place, where it is to stay.
pub fn random_array<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// `N` random bytes in hexadecimal, for ids that are text.
pub fn random_hex<const N: usize>(entropy: &dyn Entropy) -> String {
    random_array::<N>(entropy).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The real source: AWS-LC's generator, seeded by the operating system.
#[derive(Clone, Debug)]
pub struct OsEntropy {
    random: SystemRandom,
}

impl OsEntropy {
    /// The machine's source of randomness.
    #[expect(clippy::disallowed_methods, reason = "this is the source that everyone else is handed")]
    pub fn new() -> Self {
        Self { random: SystemRandom::new() }
    }
}

impl Default for OsEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for OsEntropy {
    fn fill(&self, dest: &mut [u8]) {
        self.random.fill(dest).expect("without a working random generator no key may be made or used");
    }
}

/// The same bytes for the same seed: **for the simulator and tests only**, since whoever knows the seed
/// knows every key that was made from it.
///
/// The stream depends on the order in which callers ask, so a run is repeatable only where that order is.
pub struct SeededEntropy {
    stream: Mutex<ChaCha20Rng>,
}

impl SeededEntropy {
    /// The stream that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self { stream: Mutex::new(ChaCha20Rng::seed_from_u64(seed)) }
    }
}

impl std::fmt::Debug for SeededEntropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The generator's own state would tell every byte still to come.
        f.write_str("SeededEntropy(..)")
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, dest: &mut [u8]) {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(dest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_tells_the_same_bytes_in_the_same_order() {
        let (one, other) = (SeededEntropy::new(7), SeededEntropy::new(7));
        for _ in 0..3 {
            assert_eq!(random_array::<40>(&one), random_array::<40>(&other));
        }
    }

    #[test]
    fn seeds_that_differ_tell_bytes_that_differ() {
        assert_ne!(random_array::<32>(&SeededEntropy::new(1)), random_array::<32>(&SeededEntropy::new(2)));
    }

    #[test]
    fn a_seeded_stream_stays_the_same_across_releases() {
        // Recorded histories of the simulator are replayed by their seed: a change of the generator's
        // algorithm or of how a seed is expanded must be noticed.
        let bytes = random_array::<8>(&SeededEntropy::new(42));
        assert_eq!(bytes, [120, 72, 181, 215, 17, 188, 152, 131]);
    }

    #[test]
    fn every_byte_that_was_asked_for_is_filled() {
        let (os, seeded) = (OsEntropy::new(), SeededEntropy::new(0));
        for source in [&os as &dyn Entropy, &seeded] {
            for len in [0, 1, 31, 32, 33, 1_000] {
                // By chance a byte stays zero in one of 256 fills, in all of 64 fills never.
                let mut seen = vec![0u8; len];
                for _ in 0..64 {
                    let mut bytes = vec![0; len];
                    source.fill(&mut bytes);
                    seen.iter_mut().zip(bytes).for_each(|(seen, byte)| *seen |= byte);
                }
                assert!(seen.iter().all(|byte| *byte != 0));
            }
        }
    }

    #[test]
    fn the_operating_system_never_gives_the_same_bytes_twice() {
        let os = OsEntropy::new();
        assert_ne!(random_array::<32>(&os), random_array::<32>(&os));
    }

    #[test]
    fn a_seeded_source_does_not_show_its_state() {
        assert_eq!(format!("{:?}", SeededEntropy::new(42)), "SeededEntropy(..)");
    }
}
