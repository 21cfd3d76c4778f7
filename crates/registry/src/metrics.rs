//! What the Registry counts: changes by kind, and what waits in the outbox.
//!
//! No label holds a tenant's or a key's name: `/metrics` is open, and the number of series is bounded.

use openkcm_contracts::Lane;
use openkcm_orbital::outbox::Depth;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::rules::{Level, Outcome};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChangeLabels {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabels {
    lane: u8,
}

/// The Registry's metrics. Clones count into the same families.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    changes: Family<ChangeLabels, Counter>,
    waiting: Family<LaneLabels, Gauge>,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("definition_changes", "Definitions changed, by kind", metrics.changes.clone());
        registry.register("outbox_letters", "Letters that wait for the mesh", metrics.waiting.clone());
        metrics
    }

    /// Counts a change, if it was one.
    pub(crate) fn count<R>(&self, level: Level, outcome: &Outcome<R>) {
        if outcome.to_save().is_some() {
            self.changes.get_or_create(&ChangeLabels { kind: level.as_str() }).inc();
        }
    }

    pub(crate) fn show_waiting(&self, lane: Lane, depth: Depth) {
        let letters = i64::try_from(depth.letters).unwrap_or(i64::MAX);
        self.waiting.get_or_create(&LaneLabels { lane: lane.number() }).set(letters);
    }
}
