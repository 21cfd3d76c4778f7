//! The pace at which an L1 provider is asked: no faster than configured, and no faster than it likes.
//!
//! A token bucket on the boot clock. A provider that refuses a question for its rate halves the pace, and the pace
//! rises again by equal steps: additive increase, multiplicative decrease, as in RFC 5681, section 3.1, by which
//! several Cores that share one quota come to share it fairly without knowing of one another.

use std::time::Duration;

use openkcm_host::BootInstant;

/// What an operator says of the questions to each L1 provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacePolicy {
    /// The most questions in a second.
    pub per_second: u32,
    /// The most unseals and seals that are under way at once.
    pub concurrent: usize,
}

impl PacePolicy {
    /// The most that `per_second` may be: a store that is read, and a key that is opened, for each of so many takes
    /// a Core all that it has.
    pub const MOST_PER_SECOND: u32 = 100_000;
    /// The most that `concurrent` may be: each may hold a connection.
    pub const MOST_CONCURRENT: usize = 1024;
}

impl Default for PacePolicy {
    /// A twentieth of what AWS KMS grants an account in a region for symmetric operations, unless it was raised
    /// (10,000 a second, shared with all else that the customer does there: "Request quotas" of its Developer Guide).
    /// Azure Key Vault grants less, 200 a second for keys in an HSM: there the pace slows down by itself. As many
    /// under way as that pace needs of a provider that takes an eighth of a second.
    fn default() -> Self {
        Self { per_second: 500, concurrent: 64 }
    }
}

/// The part of a second's questions that may be asked together after a pause.
const BURST: f64 = 0.1;

/// How long the pace takes to rise from nothing to what is configured, where all that may be is asked and answered.
const RISES_IN_SECS: f64 = 50.0;

/// However often a provider refuses, it is asked so often: that is how it is found out that it no longer does.
const LEAST_PER_SECOND: f64 = 1.0;

/// Refusals within so long are one word: they were all asked at the pace of before.
const ONE_WORD: Duration = Duration::from_secs(1);

/// The longest pause that a provider is granted: what it asks for beyond that is more likely a mistake, and its
/// tenants' leases run.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pace of one provider.
#[derive(Debug)]
pub struct Pace {
    most: f64,
    per_second: f64,
    /// Questions that may be asked now; less than none where more were asked than was counted on.
    left: f64,
    at: BootInstant,
    resumes: BootInstant,
    slowed: Option<BootInstant>,
}

impl Pace {
    /// As fast as configured.
    pub fn new(per_second: u32, now: BootInstant) -> Self {
        let most = f64::from(per_second).max(LEAST_PER_SECOND);
        Self { most, per_second: most, left: burst(most), at: now, resumes: now, slowed: None }
    }

    /// How long until a question may be asked; none when one may be now.
    pub fn wait(&mut self, now: BootInstant) -> Option<Duration> {
        let passed = now.since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.left = (self.left + passed * self.per_second).min(burst(self.per_second));
        let pause = self.resumes.since(now);
        let missing = ((1.0 - self.left) / self.per_second).max(0.0);
        let wait = pause.max(Duration::from_secs_f64(missing));
        (!wait.is_zero()).then_some(wait)
    }

    /// Questions are asked.
    pub fn ask(&mut self, questions: u32) {
        self.left -= f64::from(questions);
    }

    /// The provider answered a question, whatever it said: a second of such answers is one step.
    pub fn answered(&mut self) {
        let step = self.most / RISES_IN_SECS;
        self.per_second = (self.per_second + step / self.per_second).min(self.most);
    }

    /// The provider refused a question for its rate, and said when to ask again or did not.
    pub fn throttled(&mut self, now: BootInstant, retry_after: Option<Duration>) {
        let pause = retry_after.unwrap_or_default().min(LONGEST_PAUSE);
        self.resumes = self.resumes.max(now.after(pause));
        if self.slowed.is_some_and(|at| now.since(at) < ONE_WORD) {
            return;
        }
        self.slowed = Some(now);
        self.per_second = (self.per_second / 2.0).max(LEAST_PER_SECOND);
        self.left = self.left.min(0.0);
    }

    /// Questions in a second, at present.
    pub fn per_second(&self) -> f64 {
        self.per_second
    }

    /// Until when nothing is asked, where the provider wished for a pause.
    pub fn resumes(&self) -> BootInstant {
        self.resumes
    }
}

fn burst(per_second: f64) -> f64 {
    (per_second * BURST).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: BootInstant = BootInstant::from_nanos(1);

    /// Asks whenever it may, for so long; gives how often.
    fn asked_in(pace: &mut Pace, from: BootInstant, time: Duration) -> u32 {
        let (mut now, mut asked) = (from, 0);
        while now.since(from) < time {
            match pace.wait(now) {
                None => {
                    pace.ask(1);
                    pace.answered();
                    asked += 1;
                }
                Some(wait) => now = now.after(wait.max(Duration::from_nanos(1))),
            }
        }
        asked
    }

    #[test]
    fn no_more_is_asked_than_is_configured_whatever_was_left_unasked_before() {
        let mut pace = Pace::new(500, START);
        let long_after = START.after(Duration::from_secs(3600));
        let asked = asked_in(&mut pace, long_after, Duration::from_secs(10));
        assert!((5_000..=5_060).contains(&asked), "{asked}");
    }

    #[test]
    fn a_slow_pace_asks_one_at_a_time() {
        let mut pace = Pace::new(2, START);
        assert_eq!(pace.wait(START), None);
        pace.ask(1);
        assert_eq!(pace.wait(START), Some(Duration::from_millis(500)));
        assert_eq!(pace.wait(START.after(Duration::from_millis(500))), None);
    }

    #[test]
    fn a_refusal_halves_the_pace_once_for_all_that_were_asked_together_and_it_rises_again() {
        let mut pace = Pace::new(400, START);
        for _ in 0..50 {
            pace.throttled(START, None);
        }
        assert!((pace.per_second() - 200.0).abs() < 1.0, "{pace:?}");
        assert_eq!(pace.wait(START.after(Duration::from_secs(9))), None);
        assert!((pace.per_second() - 200.0).abs() < 1.0, "not by itself: {pace:?}");
        asked_in(&mut pace, START.after(Duration::from_secs(10)), Duration::from_secs(5));
        assert!((237.0..242.0).contains(&pace.per_second()), "eight more in each second: {pace:?}");
        asked_in(&mut pace, START.after(Duration::from_secs(15)), Duration::from_secs(60));
        assert!((pace.per_second() - 400.0).abs() < 1.0, "never beyond what is configured: {pace:?}");
    }

    #[test]
    fn a_provider_that_always_refuses_is_asked_once_a_second() {
        let mut pace = Pace::new(1_000, START);
        let mut now = START;
        for _ in 0..100 {
            pace.throttled(now, None);
            now = now.after(ONE_WORD);
        }
        assert!((pace.per_second() - 1.0).abs() < 0.01, "{pace:?}");
    }

    #[test]
    fn the_pause_that_a_provider_asks_for_is_kept_and_no_longer_than_half_a_minute() {
        for (asked_for, granted) in [(3, 3), (86_400, 30)] {
            let mut pace = Pace::new(100, START);
            pace.throttled(START, Some(Duration::from_secs(asked_for)));
            assert_eq!(pace.wait(START), Some(Duration::from_secs(granted)));
            assert_eq!(pace.wait(START.after(Duration::from_secs(granted))), None);
        }
    }

    #[test]
    fn what_was_asked_beyond_the_pace_is_made_up_for() {
        let mut pace = Pace::new(10, START);
        pace.ask(5);
        assert_eq!(pace.wait(START), Some(Duration::from_millis(500)));
    }
}
