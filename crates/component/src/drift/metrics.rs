//! How much drift is open, for Prometheus: by region and kind, the same in both authorities.
//!
//! Regions and kinds are few, and no label holds a tenant's name. Kept near the truth beside the requests, which
//! never wait for it.

use std::time::Duration;

use openkcm_store::Store;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Kind, counts};

/// How often it is counted at the most.
const EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    region: String,
    kind: &'static str,
}

/// The gauge `drift_open`, and what keeps it.
#[derive(Debug)]
pub struct Gauges {
    store: Store,
    open: Family<Labels, Gauge>,
}

impl Gauges {
    /// Registers the gauge of an authority with this store.
    pub fn register(store: Store, registry: &mut Registry) -> Self {
        let open = Family::default();
        registry.register("drift_open", "Differences that are not healed, by region and kind", open.clone());
        Self { store, open }
    }

    /// Counts for as long as the authority runs.
    pub async fn run(self) {
        let mut commits = self.store.commits();
        loop {
            commits.borrow_and_update();
            match self.store.read(counts::open_by_kind).await {
                Ok(counted) => {
                    for (region, kinds) in counted {
                        for kind in Kind::ALL {
                            let labels = Labels { region: region.clone(), kind: kind.as_str() };
                            let count = kinds.get(&kind).copied().unwrap_or_default();
                            self.open.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "open drift was not counted"),
            }
            tokio::time::sleep(EVERY).await;
            if commits.changed().await.is_err() {
                return;
            }
        }
    }
}
