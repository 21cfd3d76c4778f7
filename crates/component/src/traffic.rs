//! What came and changed nothing, counted since the start: dropped by reason, replayed.
//!
//! Dropped is what was not believed: forged, of another region, expired, oversized, garbage. It is counted
//! for every actor by what stands before its receiver. Replayed is what was believed and was held already
//! in this or a newer revision; only the actor knows that, and says it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use openkcm_orbital::outbox::Waiting;
use openkcm_orbital::{Intake, Published, Receiver};
use openkcm_store::StoreError;

/// The reason of entries that the quarantine had no more room for.
pub(crate) const QUARANTINE_FULL: &str = "quarantine-full";

/// Counts. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    counts: Arc<Mutex<Counts>>,
}

/// What was counted. The reasons are constants of the program, so their number is bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) dropped: BTreeMap<&'static str, u64>,
    pub(crate) replayed: u64,
}

impl Traffic {
    /// Counts events that were held already.
    pub fn replayed(&self, events: u64) {
        if events > 0 {
            self.change(|counts| counts.replayed += events);
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn dropped(&self, dropped: BTreeMap<&'static str, u64>) {
        if !dropped.is_empty() {
            self.change(|counts| {
                for (reason, events) in dropped {
                    *counts.dropped.entry(reason).or_default() += events;
                }
            });
        }
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Stands before an actor's receiver and counts what was dropped: once it is committed how far was read,
/// since what was not committed comes again.
pub(crate) struct Counting {
    pub(crate) receiver: Arc<dyn Receiver>,
    pub(crate) traffic: Traffic,
}

#[async_trait]
impl Receiver for Counting {
    async fn receive(&self, mut intake: Intake) -> Result<(), StoreError> {
        let dropped = std::mem::take(&mut intake.dropped);
        self.receiver.receive(intake).await?;
        self.traffic.dropped(dropped);
        Ok(())
    }

    async fn told(&self, letters: &[Waiting], published: &[Published]) -> Result<(), StoreError> {
        self.receiver.told(letters, published).await
    }

    async fn compare(&self, mut words: Intake) -> Result<(), StoreError> {
        let dropped = std::mem::take(&mut words.dropped);
        self.receiver.compare(words).await?;
        self.traffic.dropped(dropped);
        Ok(())
    }

    async fn compared(&self) -> Result<(), StoreError> {
        self.receiver.compared().await
    }
}
