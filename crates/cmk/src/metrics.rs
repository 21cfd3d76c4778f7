//! What the CMK Server counts, beside the requests and the mesh, which every component counts.
//!
//! What always holds: no label holds a tenant's name or a root; the number of series is fixed.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::prober::Counts;
use crate::store::{ProbeOutcome, UnlinkReason};

/// The metrics. Clones count into the same families.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    links: Counter,
    unlinks: Family<UnlinkLabels, Counter>,
    probes: Family<ProbeLabels, Counter>,
    health: Family<ProbeLabels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UnlinkLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProbeLabels {
    outcome: &'static str,
}

impl Metrics {
    /// Registers the metrics, all at zero.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("links", "Links made or changed", metrics.links.clone());
        registry.register("unlinks", "Links ended, by reason", metrics.unlinks.clone());
        registry.register(
            "l1_probes",
            "Times that a tenant's roots were asked, by outcome",
            metrics.probes.clone(),
        );
        registry.register("l1_health", "Tenants by what their roots last answered", metrics.health.clone());
        metrics
    }

    /// A link was committed.
    pub(crate) fn linked(&self) {
        self.links.inc();
    }

    /// An Unlink was committed.
    pub(crate) fn unlinked(&self, reason: UnlinkReason) {
        let reason = match reason {
            UnlinkReason::Requested => "requested",
            UnlinkReason::Offboarded => "offboarded",
            UnlinkReason::DefinedAnew => "defined-anew",
            UnlinkReason::Denied => "denied",
        };
        self.unlinks.get_or_create(&UnlinkLabels { reason }).inc();
    }

    /// Roots were asked.
    pub(crate) fn probed(&self, outcome: ProbeOutcome) {
        self.probes.get_or_create(&ProbeLabels { outcome: outcome.as_str() }).inc();
    }

    /// So many tenants' roots were last found so.
    pub(crate) fn health(&self, counts: &Counts) {
        for outcome in ProbeOutcome::ALL {
            let count = counts.get(&outcome).copied().unwrap_or(0);
            let gauge = self.health.get_or_create(&ProbeLabels { outcome: outcome.as_str() });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}
