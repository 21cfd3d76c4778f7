//! A circuit: what failed rests, and is then tried by one caller at a time until it answers.
//!
//! Half-open is a state of its own: whoever finds a rest over becomes the probe, and all others go on as if it still
//! lasted. What answers has no circuit to remember. Plain: the time is handed in.

use std::time::Duration;

use openkcm_host::BootInstant;

/// The first rest of a region that failed.
const FIRST_REST: Duration = Duration::from_secs(1);

/// The longest: so soon is a region that came back found, by whoever asks then.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// How often in a row a region fails before it rests.
const FAILURES: u32 = 3;

/// One circuit. Closed at first.
#[derive(Debug, Default)]
pub(crate) struct Circuit {
    /// In a row, those that opened it or lengthened its rest.
    failures: u32,
    /// Open until then, and half-open after it.
    until: Option<BootInstant>,
    /// Somebody is trying it.
    probed: bool,
}

/// How a circuit looks to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Closed: it answers, as far as is known.
    Closed,
    /// Its rest is over and nobody tries it yet: whoever asks now is the probe.
    Due,
    /// Open, or somebody tries it.
    Resting,
}

impl Circuit {
    /// How it looks now.
    pub(crate) fn sight(&self, now: BootInstant) -> Sight {
        match self.until {
            None => Sight::Closed,
            Some(until) if until <= now && !self.probed => Sight::Due,
            Some(_) => Sight::Resting,
        }
    }

    /// The caller goes ahead; says whether as the probe.
    pub(crate) fn enter(&mut self, now: BootInstant) -> bool {
        let probe = self.sight(now) == Sight::Due;
        self.probed |= probe;
        probe
    }

    /// A probe ended without any outcome: the next caller is the probe.
    pub(crate) fn abandoned(&mut self) {
        self.probed = false;
    }

    /// It failed. `share` of its next rest, between one half and one, is slept: so callers do not come back together.
    ///
    /// What began before the rest and fails during it tells nothing new.
    pub(crate) fn failed(&mut self, now: BootInstant, probe: bool, at_once: bool, share: f64) {
        if self.until.is_some() && !probe {
            return;
        }
        self.failures = if at_once { self.failures.max(FAILURES - 1) + 1 } else { self.failures + 1 };
        if let Some(doublings) = self.failures.checked_sub(FAILURES) {
            let rest = FIRST_REST.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_REST);
            self.rest(now.after(rest.mul_f64(share)));
        }
    }

    /// It rests until then, whatever was before.
    pub(crate) fn rest(&mut self, until: BootInstant) {
        self.until = Some(until);
        self.probed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: BootInstant = BootInstant::from_nanos(0);

    fn at(secs: u64) -> BootInstant {
        START.after(Duration::from_secs(secs))
    }

    /// One that failed until it rests, for a second.
    fn open() -> Circuit {
        let mut circuit = Circuit::default();
        for _ in 0..FAILURES {
            assert_eq!(circuit.sight(START), Sight::Closed);
            circuit.failed(START, false, false, 1.0);
        }
        circuit
    }

    #[test]
    fn what_failed_often_in_a_row_rests_and_then_one_caller_tries_it() {
        let mut circuit = open();
        assert_eq!(circuit.sight(START), Sight::Resting);
        assert_eq!(circuit.sight(at(1)), Sight::Due);
        assert!(circuit.enter(at(1)), "the first is the probe");
        assert_eq!(circuit.sight(at(9)), Sight::Resting, "and the only one");
        assert!(!circuit.enter(at(9)));
    }

    #[test]
    fn a_caller_that_was_kept_waiting_is_the_last_one_for_now() {
        let mut circuit = Circuit::default();
        circuit.failed(START, false, true, 1.0);
        assert_eq!((circuit.sight(START), circuit.sight(at(1))), (Sight::Resting, Sight::Due));
    }

    #[test]
    fn each_probe_that_fails_lengthens_the_rest_up_to_a_bound() {
        let mut circuit = open();
        let mut now = START;
        let mut rests = Vec::new();
        for _ in 0..8 {
            let rest = (1..).find(|secs| circuit.sight(now.after(Duration::from_secs(*secs))) == Sight::Due);
            let rest = rest.expect("no rest is for ever");
            rests.push(rest);
            now = now.after(Duration::from_secs(rest));
            assert!(circuit.enter(now));
            circuit.failed(now, true, false, 1.0);
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn what_was_under_way_when_it_opened_does_not_lengthen_the_rest() {
        let mut circuit = open();
        for _ in 0..1_000 {
            circuit.failed(START, false, true, 1.0);
        }
        assert_eq!(circuit.sight(at(1)), Sight::Due);
    }

    #[test]
    fn a_probe_that_was_given_up_makes_room_for_the_next() {
        let mut circuit = open();
        assert!(circuit.enter(at(1)));
        circuit.abandoned();
        assert!(circuit.enter(at(1)));
    }
}
