//! What the CMK Server counts, beside the requests and the mesh, which every component counts.
//!
//! What always holds: no label holds a tenant's name or a root; the number of series is fixed.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::store::{ProbeOutcome, UnlinkReason};

/// The metrics. Clones count into the same families.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    links: Counter,
    unlinks: Family<UnlinkLabels, Counter>,
    probes: Family<ProbeLabels, Counter>,
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
        registry.register("l1_probes", "Requests to prove roots usable, by outcome", metrics.probes.clone());
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
        };
        self.unlinks.get_or_create(&UnlinkLabels { reason }).inc();
    }

    /// Roots were asked.
    pub(crate) fn probed(&self, outcome: ProbeOutcome) {
        let outcome = match outcome {
            ProbeOutcome::Ok => "ok",
            ProbeOutcome::Denied => "denied",
            ProbeOutcome::Unreachable => "unreachable",
            ProbeOutcome::Misconfigured => "misconfigured",
        };
        self.probes.get_or_create(&ProbeLabels { outcome }).inc();
    }
}
