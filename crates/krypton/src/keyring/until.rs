//! Until when something holds, on both clocks: read by every request, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use openkcm_contracts::Timestamp;
use openkcm_host::BootInstant;

use crate::rules::Deadline;

/// When the tenant's lease runs out, or the proof that its L1 may be used. Both parts only rise while the gate is
/// open, so that whoever reads one before a renewal and the other after it finds nothing later than the new one.
#[derive(Debug, Default)]
pub(super) struct Until {
    /// Nanoseconds on the boot clock.
    boot: AtomicU64,
    /// Milliseconds on the wall clock.
    wall: AtomicU64,
}

impl Until {
    pub(super) fn stands(&self, boot: BootInstant, wall: Timestamp) -> bool {
        boot.as_nanos() < self.boot.load(Ordering::Acquire)
            && wall.as_millis() < self.wall.load(Ordering::Acquire)
    }

    pub(super) fn set(&self, until: Deadline) {
        self.boot.store(until.boot.as_nanos(), Ordering::Release);
        self.wall.store(until.wall.as_millis(), Ordering::Release);
    }

    pub(super) fn until(&self) -> Deadline {
        Deadline {
            boot: BootInstant::from_nanos(self.boot.load(Ordering::Acquire)),
            wall: Timestamp::from_millis(self.wall.load(Ordering::Acquire)),
        }
    }
}
