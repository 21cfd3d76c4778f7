//! What the CMK Server counts, beside the requests that every component counts.
//!
//! What always holds: no label holds a tenant's name or a root; the number of series is fixed.

use openkcm_contracts::Lane;
use openkcm_orbital::outbox;
use openkcm_store::{Store, StoreError};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::store::{ProbeOutcome, UnlinkReason};

/// The lanes that the CMK Server sends on.
pub(crate) const SENDS: [Lane; 2] = [Lane::Urgent, Lane::Facts];

/// The metrics. Clones count into the same families.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    links: Counter,
    unlinks: Family<UnlinkLabels, Counter>,
    probes: Family<ProbeLabels, Counter>,
    outbox: Family<OutboxLabels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UnlinkLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProbeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutboxLabels {
    lane: &'static str,
}

impl Metrics {
    /// Registers the metrics, all at zero.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("links", "Links made or changed", metrics.links.clone());
        registry.register("unlinks", "Links ended, by reason", metrics.unlinks.clone());
        registry.register("l1_probes", "Requests to prove roots usable, by outcome", metrics.probes.clone());
        registry.register("outbox_letters", "Letters that wait for the mesh", metrics.outbox.clone());
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

    /// Measures the outbox.
    pub(crate) async fn measure_outbox(&self, store: &Store) -> Result<(), StoreError> {
        for lane in SENDS {
            let depth = store.read(move |view| outbox::depth(view, lane)).await?;
            let letters = i64::try_from(depth.letters).unwrap_or(i64::MAX);
            self.outbox.get_or_create(&OutboxLabels { lane: lane_name(lane) }).set(letters);
        }
        Ok(())
    }
}

/// A lane's name for people.
pub(crate) fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Urgent => "urgent",
        Lane::Facts => "facts",
        Lane::Sealed => "sealed",
        Lane::Manifests => "manifests",
    }
}
