//! How long a tenant's keys are still waited for, told without a lock to whoever is refused meanwhile.
//!
//! Written by those who put questions to L1 providers in order, a little behind their line; read by requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openkcm_host::BootInstant;

/// How a line of questions to one provider moves on, as far as callers wait for it.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Questions that callers wait for, and the tenants that they are of.
    waiting: AtomicU64,
    tenants: AtomicU64,
    nanos_per_turn: AtomicU64,
    /// Until when the provider is not asked, on the boot clock.
    resumes: AtomicU64,
}

impl Pulse {
    /// Tells how it is now.
    pub fn tell(&self, waiting: usize, tenants: usize, per_turn: Duration, resumes: BootInstant) {
        let whole = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.waiting.store(whole(waiting), Ordering::Relaxed);
        self.tenants.store(whole(tenants), Ordering::Relaxed);
        let nanos = u64::try_from(per_turn.as_nanos()).unwrap_or(u64::MAX);
        self.nanos_per_turn.store(nanos, Ordering::Relaxed);
        self.resumes.store(resumes.as_nanos(), Ordering::Relaxed);
    }
}

/// A tenant's place in such a line.
#[derive(Debug)]
pub struct Place {
    pulse: Arc<Pulse>,
    own: AtomicU64,
}

impl Place {
    /// In this line, with no question that a caller waits for.
    pub fn new(pulse: Arc<Pulse>) -> Self {
        Self { pulse, own: AtomicU64::new(0) }
    }

    /// So many of the tenant's questions have a caller who waits for them.
    pub fn waits_for(&self, questions: usize) {
        self.own.store(u64::try_from(questions).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long until all that callers asked of this tenant had its turn, at the present pace: tenants have their
    /// turns one after another, so it is no more than a turn of each of them for each question of this one.
    pub fn wait(&self, now: BootInstant) -> Duration {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (own, Pulse { waiting, tenants, nanos_per_turn, resumes }) =
            (read(&self.own).max(1), &*self.pulse);
        let ahead = read(waiting).min(own.saturating_mul(read(tenants).max(1)));
        let pause = BootInstant::from_nanos(read(resumes)).since(now);
        pause.saturating_add(Duration::from_nanos(ahead.saturating_mul(read(nanos_per_turn))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: BootInstant = BootInstant::from_nanos(7);

    fn waits(waiting: usize, tenants: usize, own: usize) -> u64 {
        let pulse = Arc::new(Pulse::default());
        let place = Place::new(pulse.clone());
        pulse.tell(waiting, tenants, Duration::from_millis(100), NOW);
        place.waits_for(own);
        u64::try_from(place.wait(NOW).as_millis()).expect("short")
    }

    #[test]
    fn a_tenant_with_little_to_open_does_not_wait_for_one_with_much() {
        assert_eq!(waits(1_001, 2, 1), 200);
        assert_eq!(waits(1_001, 2, 1_000), 100_100, "the other one does");
        assert_eq!(waits(0, 0, 0), 0);
    }

    #[test]
    fn a_pause_that_the_provider_asked_for_counts_too() {
        let pulse = Arc::new(Pulse::default());
        pulse.tell(0, 0, Duration::ZERO, NOW.after(Duration::from_secs(9)));
        assert_eq!(Place::new(pulse).wait(NOW), Duration::from_secs(9));
    }
}
