//! How long a caller waits for what is only refused for now.
//!
//! Between two tries the wait doubles, with jitter so that callers who were refused together do not come
//! back together; and it is never shorter than the component asks for. Which refusals are worth a wait is
//! the codes' own business: what a tenant has withdrawn, or its provider denies, is not.

use std::time::Duration;

use openkcm_host::{Entropy, random_array};

/// The longest first wait.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// The longest wait: what comes back is noticed within this time.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long a caller waits in all for what is only refused for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From the first try to the last one. The last one's answer may come later.
    pub total: Duration,
}

impl Patience {
    /// Take the first answer.
    pub const NONE: Self = Self { total: Duration::ZERO };

    /// What a person waits for a command.
    pub const INTERACTIVE: Self = Self { total: Duration::from_secs(30) };

    /// The wait after the try with this number, counted from 0; `None` when the caller's time, of which
    /// `spent` is over, does not reach for it.
    pub(crate) fn wait(
        self,
        tries: u32,
        spent: Duration,
        asked: Option<Duration>,
        entropy: &dyn Entropy,
    ) -> Option<Duration> {
        let wait = jittered(backoff(tries), entropy).max(asked.unwrap_or_default());
        (spent.saturating_add(wait) < self.total).then_some(wait)
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self::NONE
    }
}

fn backoff(tries: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2_u32.saturating_pow(tries)).min(LONGEST_WAIT)
}

/// Between half of the wait and all of it.
fn jittered(wait: Duration, entropy: &dyn Entropy) -> Duration {
    let share = u16::from_be_bytes(random_array(entropy));
    let half = wait / 2;
    half + half.mul_f64(f64::from(share) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use openkcm_host::SeededEntropy;

    use super::*;

    const HOUR: Patience = Patience { total: Duration::from_secs(3_600) };

    #[test]
    fn waits_grow_with_jitter_up_to_a_bound() {
        let entropy = SeededEntropy::new(1);
        for tries in 0..100 {
            let wait = HOUR.wait(tries, Duration::ZERO, None, &entropy).unwrap();
            let longest = backoff(tries);
            assert!(longest / 2 <= wait && wait <= longest, "{tries}: {wait:?}");
        }
        assert_eq!((backoff(0), backoff(1), backoff(99)), (FIRST_WAIT, FIRST_WAIT * 2, LONGEST_WAIT));
    }

    #[test]
    fn callers_that_were_refused_together_do_not_come_back_together() {
        let entropy = SeededEntropy::new(1);
        let waits: std::collections::BTreeSet<_> =
            (0..100).map(|_| HOUR.wait(9, Duration::ZERO, None, &entropy)).collect();
        assert!(waits.len() > 90);
    }

    #[test]
    fn a_component_that_asks_for_a_longer_wait_gets_it() {
        let asked = Some(Duration::from_secs(60));
        assert_eq!(HOUR.wait(0, Duration::ZERO, asked, &SeededEntropy::new(1)), asked);
    }

    #[test]
    fn a_wait_that_would_outlast_the_patience_is_not_begun() {
        let entropy = SeededEntropy::new(1);
        assert_eq!(Patience::NONE.wait(0, Duration::ZERO, None, &entropy), None);
        let asked = Some(Duration::from_secs(60));
        assert_eq!(Patience::INTERACTIVE.wait(0, Duration::ZERO, asked, &entropy), None);
        assert_eq!(HOUR.wait(0, Duration::from_secs(3_600), None, &entropy), None);
    }
}
