//! When manifests are told: soon after something changed, and from time to time even so.

use std::sync::Arc;
use std::time::Duration;

use openkcm_contracts::RegionId;
use openkcm_host::{Clock, Entropy, random_hex};
use openkcm_store::{Store, StoreError};

use crate::store::manifest;

/// How long changes are gathered before a manifest tells of them.
const GATHERED_FOR: Duration = Duration::from_millis(20);

/// The least time between two manifests: a region that takes a million facts in does not tell of each thousand.
const SPACING: Duration = Duration::from_millis(250);

/// The most time between two.
const EVERY: Duration = Duration::from_secs(60);

/// What is told, and by whom.
pub(super) struct Manifests {
    pub(super) store: Store,
    pub(super) region: RegionId,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

impl Manifests {
    /// Tells for as long as the store is there.
    pub(super) async fn run(self) {
        let mut commits = self.store.commits();
        let mut even_so = true;
        loop {
            commits.borrow_and_update();
            match self.tell(even_so).await {
                Ok(true) => tokio::time::sleep(SPACING).await,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "no manifest was told; it is tried again"),
            }
            even_so = tokio::select! {
                changed = commits.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    tokio::time::sleep(GATHERED_FOR).await;
                    false
                }
                () = tokio::time::sleep(EVERY) => true,
            };
        }
    }

    /// Tells what is held, if it is something else than was told last, or even so. Says whether.
    async fn tell(&self, even_so: bool) -> Result<bool, StoreError> {
        if !even_so && !self.store.read(manifest::has_news).await? {
            return Ok(false);
        }
        let nonce = random_hex::<16>(&*self.entropy);
        let (region, now) = (self.region.clone(), self.clock.now());
        self.store.write(move |tx| manifest::tell(tx, &region, nonce, now)).await?;
        Ok(true)
    }
}
