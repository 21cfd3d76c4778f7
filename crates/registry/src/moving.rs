//! What is worked off between requests: tenants of a region that is failed over, keys that regions are told of.
//!
//! Each step is a transaction of a bounded size, so that callers come between two of them; a step that fails, or a
//! Registry that ends in the middle, is gone on from.

use std::sync::Arc;
use std::time::Duration;

use openkcm_host::Clock;
use openkcm_store::{Store, StoreError};
use tokio::sync::Notify;

use crate::commands::{WorkStep, has_work, work};
use crate::metrics::Metrics;

/// How often it is looked whether something is to be done, without being told.
const EVERY: Duration = Duration::from_secs(1);

/// Things that one step looks at: some tens of milliseconds, in which no other change is committed.
const AT_ONCE: usize = 500;

/// What moves tenants.
pub(crate) struct Moving {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    /// Told when a failover was said.
    pub(crate) said: Arc<Notify>,
}

impl Moving {
    /// Works for as long as the Registry runs.
    pub(crate) async fn run(self) {
        let mut commits = self.store.commits();
        loop {
            commits.borrow_and_update();
            if let Err(error) = self.work_off().await {
                tracing::error!(%error, "tenants were not moved, or regions not told; it is tried again");
                tokio::time::sleep(EVERY).await;
            }
            tokio::select! {
                () = self.said.notified() => {}
                () = tokio::time::sleep(EVERY) => {}
                changed = commits.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // A busy store is not looked at each time.
                    tokio::select! {
                        () = self.said.notified() => {}
                        () = tokio::time::sleep(EVERY / 10) => {}
                    }
                }
            }
        }
    }

    async fn work_off(&self) -> Result<(), StoreError> {
        while self.store.read(has_work).await? {
            let clock = self.clock.clone();
            let WorkStep { moved, more } = self.store.write(move |tx| work(tx, clock.now(), AT_ONCE)).await?;
            self.metrics.count_moved(moved);
            if !more {
                break;
            }
        }
        Ok(())
    }
}
