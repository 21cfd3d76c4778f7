//! When tombstones are told: soon after a waiting period is over.
//!
//! Each step is a transaction of a bounded size, so that callers come between two of them.

use std::sync::Arc;
use std::time::Duration;

use openkcm_host::Clock;
use openkcm_store::{Store, StoreError};
use tokio::sync::watch;

use crate::commands::{PurgeStep, is_due, purge_due};
use crate::metrics::Metrics;
use crate::rules::Landscape;

/// How often it is looked whether something is due: far less than any waiting period that someone relies on.
const EVERY: Duration = Duration::from_secs(1);

/// Things that one step looks at: some ten milliseconds, in which no other change is committed.
const AT_ONCE: usize = 200;

/// What tells tombstones, and of which landscape.
pub(crate) struct Purging {
    pub(crate) store: Store,
    pub(crate) landscape: watch::Receiver<Arc<Landscape>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
}

impl Purging {
    /// Tells what is due for as long as the Registry runs.
    pub(crate) async fn run(mut self) {
        let mut commits = self.store.commits();
        loop {
            commits.borrow_and_update();
            if let Err(error) = self.tell_due().await {
                tracing::error!(%error, "tombstones were not told; it is tried again");
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                changed = self.landscape.changed() => if changed.is_err() { return },
                changed = commits.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // What was deleted without a wait is due at once; a busy store is not looked at each time.
                    tokio::time::sleep(EVERY / 10).await;
                }
            }
        }
    }

    async fn tell_due(&self) -> Result<(), StoreError> {
        loop {
            let landscape = self.landscape.borrow().clone();
            let (now, of) = (self.clock.now(), landscape.clone());
            if !self.store.read(move |view| is_due(view, &of, now)).await? {
                return Ok(());
            }
            let step = self.store.write(move |tx| purge_due(tx, &landscape, now, AT_ONCE)).await?;
            let PurgeStep::Done { told, more } = step else { return Ok(()) };
            for path in &told {
                tracing::info!(%path, "its tombstone is told: what it encrypted before its end is gone for good");
            }
            self.metrics.count_purged(told.len());
            if !more {
                return Ok(());
            }
        }
    }
}
