//! What the Registry counts: changes by kind.
//!
//! No label holds a tenant's or a key's name: `/metrics` is open, and the number of series is bounded.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::rules::{Level, Outcome};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChangeLabels {
    kind: &'static str,
}

/// The Registry's metrics. Clones count into the same families.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    changes: Family<ChangeLabels, Counter>,
    purges: Counter,
    moved: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("definition_changes", "Definitions changed, by kind", metrics.changes.clone());
        registry.register("purges_told", "Keys whose destruction was told", metrics.purges.clone());
        let help = "Tenants moved by failovers, or given back";
        registry.register("failover_tenants_moved", help, metrics.moved.clone());
        metrics
    }

    /// Counts tenants that failovers moved, or gave back.
    pub(crate) fn count_moved(&self, tenants: u64) {
        self.moved.inc_by(tenants);
    }

    /// Counts keys whose destruction was told.
    pub(crate) fn count_purged(&self, keys: usize) {
        self.purges.inc_by(u64::try_from(keys).unwrap_or(u64::MAX));
    }

    /// Counts a change, if it was one.
    pub(crate) fn count<R>(&self, level: Level, outcome: &Outcome<R>) {
        if outcome.to_save().is_some() {
            self.changes.get_or_create(&ChangeLabels { kind: level.as_str() }).inc();
        }
    }
}
