//! What keeps callers from bringing down what is failing already: a budget of further attempts.
//!
//! The first attempt of a call is free. Each further one, in another region or later, takes a token; calls earn them,
//! and time does, a little. An attempt that is served gives its token back: going elsewhere is free for as long as
//! that helps, however many calls do it. Where nothing helps, what is sent beyond the calls themselves is bounded.

use std::time::Duration;

use openkcm_host::BootInstant;

/// A token, in the unit that is counted in.
const TOKEN: u64 = 1_000;

/// A second earns a token: a caller that asks once in a while may always look in one other region.
const NANOS_FOR_ONE: u64 = 1_000_000_000 / TOKEN;

/// How many attempts a client makes beyond the first of each call while nothing is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// So many at once, and never more than these are saved up. At least as many as calls are under way at a time,
    /// or some of them fail when a region is lost.
    pub reserve: u32,
    /// So many for each hundred calls.
    pub percent: u32,
}

impl Default for Budget {
    /// A reserve of 100, and 10 for each hundred calls.
    fn default() -> Self {
        Self { reserve: 100, percent: 10 }
    }
}

/// The tokens that are left.
#[derive(Debug)]
pub(crate) struct Tokens {
    budget: Budget,
    /// In thousandths of a token.
    left: u64,
    counted: BootInstant,
}

impl Tokens {
    /// As many as the reserve.
    pub(crate) fn full(budget: Budget, now: BootInstant) -> Self {
        let mut tokens = Self { budget, left: 0, counted: now };
        tokens.left = tokens.most();
        tokens
    }

    /// A call begins.
    pub(crate) fn earn(&mut self) {
        self.add(TOKEN * u64::from(self.budget.percent) / 100);
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, now: BootInstant) -> bool {
        self.pass(now);
        let left = self.left.checked_sub(TOKEN);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// The attempt that a token was taken for was served.
    pub(crate) fn give_back(&mut self) {
        self.add(TOKEN);
    }

    fn pass(&mut self, now: BootInstant) {
        let nanos = now.as_nanos().saturating_sub(self.counted.as_nanos());
        let earned = nanos / NANOS_FOR_ONE;
        // What is left of the time counts the next time.
        self.counted = self.counted.after(Duration::from_nanos(earned * NANOS_FOR_ONE));
        self.add(earned);
    }

    fn add(&mut self, earned: u64) {
        self.left = self.left.saturating_add(earned).min(self.most());
    }

    fn most(&self) -> u64 {
        TOKEN * u64::from(self.budget.reserve)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: BootInstant = BootInstant::from_nanos(0);
    const BUDGET: Budget = Budget { reserve: 5, percent: 10 };

    /// How many of `calls` calls get a token, if each asks for one and none is given back.
    fn taken(tokens: &mut Tokens, calls: usize) -> usize {
        (0..calls)
            .filter(|_| {
                tokens.earn();
                tokens.take(START)
            })
            .count()
    }

    #[test]
    fn what_is_not_served_costs_the_reserve_and_then_its_share_of_the_calls() {
        let mut tokens = Tokens::full(BUDGET, START);
        let spent = taken(&mut tokens, 1_000);
        assert!((100..=105).contains(&spent), "{spent}");
    }

    #[test]
    fn what_is_served_costs_nothing() {
        let mut tokens = Tokens::full(Budget { reserve: 1, percent: 0 }, START);
        for _ in 0..1_000 {
            assert!(tokens.take(START));
            tokens.give_back();
        }
    }

    #[test]
    fn a_second_earns_one_and_no_more_than_the_reserve_is_saved_up() {
        let mut tokens = Tokens::full(BUDGET, START);
        while tokens.take(START) {}
        let later = START.after(Duration::from_secs(1));
        assert!(tokens.take(later) && !tokens.take(later));
        let much_later = later.after(Duration::from_secs(3_600));
        assert_eq!((0..100).filter(|_| tokens.take(much_later)).count(), 5);
    }

    #[test]
    fn parts_of_a_second_add_up_however_often_is_looked() {
        let mut tokens = Tokens::full(BUDGET, START);
        while tokens.take(START) {}
        let looks = (1..=4_000).map(|tenths| START.after(Duration::from_micros(tenths * 250)));
        assert_eq!(looks.filter(|now| tokens.take(*now)).count(), 1);
    }

    #[test]
    fn without_a_budget_there_is_no_further_attempt() {
        let mut tokens = Tokens::full(Budget { reserve: 0, percent: 100 }, START);
        assert_eq!(taken(&mut tokens, 100), 0);
    }
}
