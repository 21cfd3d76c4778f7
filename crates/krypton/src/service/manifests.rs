//! When manifests are told: soon after something changed, and often enough that no lease runs out meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openkcm_contracts::RegionId;
use openkcm_host::{BootInstant, Clock, Entropy, random_hex};
use openkcm_store::{Store, StoreError};

use crate::control::Core;
use crate::rules::Moment;
use crate::store::manifest::{self, News};

/// How long changes are gathered before a manifest tells of them. A new link is served when a lease has agreed on it,
/// so that this is a part of how long its first caller waits.
const GATHERED_FOR: Duration = Duration::from_millis(5);

/// The least time between two manifests that tell of other definitions: a region that takes a million facts in does
/// not tell of each thousand.
const SPACING: Duration = Duration::from_millis(250);

/// The longest sleep between two looks at the clock.
const LOOKED_AFTER: Duration = Duration::from_secs(1);

/// Parts of a lease, in per cent, at which a warning is due when it was not renewed.
const WARNED_AT: [u32; 3] = [50, 80, 95];

/// What is told, and by whom.
pub(super) struct Manifests {
    pub(super) store: Store,
    pub(super) core: Arc<Mutex<Core>>,
    pub(super) region: RegionId,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

impl Manifests {
    /// Tells for as long as the store is there.
    pub(super) async fn run(self) {
        let mut commits = self.store.commits();
        let (mut last, mut told_of_definitions) = (None, None);
        let mut warned = 0;
        loop {
            commits.borrow_and_update();
            let now = self.clock.boottime();
            let since = |at: Option<BootInstant>| at.map_or(Duration::MAX, |at| now.since(at));
            let renewed_after = self.core().renewed_after();
            warned = self.warn(warned);
            let is_told = match self.store.read(manifest::news).await {
                Ok(News::Links) => true,
                Ok(News::Definitions) => since(told_of_definitions) >= SPACING,
                Ok(News::Nothing) => false,
                Err(error) => {
                    tracing::warn!(%error, "the store can't be read for a manifest; it is tried again");
                    false
                }
            };
            if is_told || since(last) >= renewed_after {
                match self.tell().await {
                    Ok(()) => (last, told_of_definitions) = (Some(now), Some(now)),
                    Err(error) => tracing::warn!(%error, "no manifest was told; it is tried again"),
                }
            }
            let rest = renewed_after.saturating_sub(since(last).min(renewed_after)).max(SPACING);
            tokio::select! {
                changed = commits.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    tokio::time::sleep(GATHERED_FOR).await;
                }
                // Time that the machine is suspended for does not count for this one: it looks often.
                () = tokio::time::sleep(rest.min(LOOKED_AFTER)) => {}
            }
        }
    }

    /// Warns of a lease that is not renewed, once for each part of it that is used. Says of which it has warned.
    fn warn(&self, warned: u32) -> u32 {
        let lease = self.core().lease();
        let used = lease.used_percent.unwrap_or(0);
        let reached = WARNED_AT.into_iter().rev().find(|part| used >= *part).unwrap_or(0);
        if reached > warned
            && let Some(until) = lease.until
        {
            let ttl = lease.ttl.map(|ttl| ttl.to_string()).unwrap_or_default();
            tracing::warn!(used_percent = used, %until, ttl,
                "the CMK Server does not renew this region's lease; when it has run out, nobody is served");
        }
        reached
    }

    /// Tells what is held.
    async fn tell(&self) -> Result<(), StoreError> {
        let nonce = random_hex::<16>(&*self.entropy);
        let until = self.core().lease().until;
        let (region, now) = (self.region.clone(), Moment::of(&*self.clock));
        self.store.write(move |tx| manifest::tell(tx, &region, nonce, until, &now)).await
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
