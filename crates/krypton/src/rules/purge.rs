//! Purging: how long a Core waits before it destroys, and how much of it at once.
//!
//! The Registry says what is to be destroyed; a Core enforces a wait and a brake of its own, so that a stolen Registry
//! can't hurry it. Plain functions of counts and times. Why so: `docs/adr/0016-purge.md`.

use std::time::Duration;

use openkcm_contracts::problem::Code;
use openkcm_contracts::{Generation, Revision, Timestamp};
use openkcm_host::BootInstant;

use super::Refusal;

/// The most time that one tick of the purge clock counts, whatever the clocks of the machine say went by.
pub const LONGEST_TICK: Duration = Duration::from_secs(60);

/// The material was destroyed, or is to be.
pub const PURGED: Refusal = Refusal::new(
    Code::KeyPurged,
    "the key was destroyed on the Registry's word, or is about to be; what it encrypted does not open any more",
);

/// What an operator decides about destruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgePolicy {
    /// How long after this Core has heard of its end a key is kept at the least.
    pub minimum_wait: Duration,
    /// How much may be destroyed without an operator's word.
    pub brake: Brake,
}

impl Default for PurgePolicy {
    fn default() -> Self {
        Self { minimum_wait: Duration::from_secs(86_400), brake: Brake::default() }
    }
}

/// How much may be destroyed within a window without an operator's word: a share of all key versions, or a least
/// number of them where that is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brake {
    /// The share, of a hundred.
    pub percent: u8,
    /// The number that may be destroyed however few there are.
    pub least: u64,
    /// The window.
    pub window: Duration,
}

impl Default for Brake {
    fn default() -> Self {
        Self { percent: 10, least: 16, window: Duration::from_secs(86_400) }
    }
}

impl Brake {
    /// How many more versions may be destroyed, when so many are held and so many were destroyed in the window.
    pub fn allows(&self, held: u64, destroyed: u64) -> u64 {
        let all = held.saturating_add(destroyed);
        let share = all / 100 * u64::from(self.percent) + all % 100 * u64::from(self.percent) / 100;
        share.max(self.least).saturating_sub(destroyed)
    }
}

/// Whether a tombstone up to a generation ends this one.
pub fn is_purged(tombstone: Option<Generation>, generation: Generation) -> bool {
    tombstone >= Some(generation)
}

/// The last generation that there can be before another one.
pub fn before(generation: Generation) -> Generation {
    let Revision { term, counter } = generation.0;
    Generation(Revision { term, counter: counter.saturating_sub(1) })
}

/// What the purge clock runs by. It counts the time in which this Core ran, as the wall clock and the boot clock both
/// saw it go by, and in short ticks: no step of a clock, no suspend and no restart makes a wait shorter.
#[derive(Debug, Default)]
pub struct Ticker {
    last: Option<(Timestamp, BootInstant)>,
}

impl Ticker {
    /// How much went by since the last tick; nothing at the first.
    pub fn tick(&mut self, now: Timestamp, boot: BootInstant) -> Duration {
        let last = self.last.replace((now, boot));
        let went_by = |(wall, since): (Timestamp, BootInstant)| now.since(wall).min(boot.since(since));
        last.map_or(Duration::ZERO, went_by).min(LONGEST_TICK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> (Timestamp, BootInstant) {
        (Timestamp::from_millis(millis), BootInstant::from_nanos(millis * 1_000_000))
    }

    #[test]
    fn a_clock_that_is_set_either_way_shortens_no_wait() {
        let mut ticker = Ticker::default();
        let mut tick = |wall: u64, boot: u64| ticker.tick(at(wall).0, at(boot).1);
        assert_eq!(tick(1_000, 1_000), Duration::ZERO, "nothing is known of the time before a start");
        assert_eq!(tick(3_000, 3_000), Duration::from_secs(2));
        assert_eq!(tick(9_000_000, 4_000), Duration::from_secs(1), "set forward");
        assert_eq!(tick(5_000, 5_000), Duration::ZERO, "set back");
        assert_eq!(tick(9_005_000, 9_005_000), LONGEST_TICK, "suspended for hours");
        assert_eq!(tick(9_006_000, 1_000), Duration::ZERO, "another boot");
    }

    #[test]
    fn the_brake_lets_a_share_through_and_in_small_landscapes_some() {
        let brake = Brake { percent: 10, least: 16, window: Duration::from_secs(1) };
        assert_eq!(brake.allows(20, 0), 16);
        assert_eq!(brake.allows(10, 10), 6);
        assert_eq!(brake.allows(1_000, 0), 100);
        assert_eq!(brake.allows(900, 100), 0, "what is gone counts among all that there were");
        assert_eq!(brake.allows(u64::MAX, 0), u64::MAX / 100 * 10 + 1);
    }

    #[test]
    fn a_tombstone_ends_its_generation_and_all_before_it() {
        let generation = |counter| Generation(Revision::new(1, counter));
        assert!(is_purged(Some(generation(5)), generation(5)));
        assert!(is_purged(Some(generation(5)), generation(2)));
        assert!(!is_purged(Some(generation(5)), generation(6)));
        assert!(!is_purged(None, generation(1)));
        assert_eq!(before(generation(6)), generation(5));
    }
}
