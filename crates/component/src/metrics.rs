//! What is counted of the mesh, for Prometheus: the same names in every component.
//!
//! No label holds a tenant's name; lanes and reasons are constants of the program, so the number of series
//! is bounded. Read when it is asked for; of the store, what was last measured.

use std::collections::BTreeMap;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};

use crate::{MeshHandle, OutboxStatus};

#[derive(Debug)]
pub(crate) struct Gauges {
    pub(crate) mesh: MeshHandle,
}

/// What the metrics show.
pub(crate) struct Counted {
    pub(crate) connected: bool,
    pub(crate) outbox: OutboxStatus,
    pub(crate) dropped: BTreeMap<&'static str, u64>,
    pub(crate) replayed: u64,
    pub(crate) quarantined: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLane {
    lane: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Counted { connected, outbox, dropped, replayed, quarantined } = self.mesh.counted();
        let (letters, oldest) = (Family::<ByLane, Gauge>::default(), Family::<ByLane, Gauge>::default());
        for lane in &outbox.lanes {
            let by = ByLane { lane: lane.lane };
            letters.get_or_create(&by).set(i64::try_from(lane.letters).unwrap_or(i64::MAX));
            let seconds = i64::try_from(lane.oldest_seconds.unwrap_or(0)).unwrap_or(i64::MAX);
            oldest.get_or_create(&by).set(seconds);
        }
        let by_reason = Family::<ByReason, prometheus_client::metrics::counter::Counter>::default();
        for (reason, events) in dropped {
            by_reason.get_or_create(&ByReason { reason }).inc_by(events);
        }
        let quarantined = ConstGauge::new(i64::try_from(quarantined).unwrap_or(i64::MAX));
        let metrics: [(&str, &str, &dyn Shown); 6] = [
            (
                "mesh_connected",
                "Whether the mesh answered the last attempt.",
                &ConstGauge::new(i64::from(connected)),
            ),
            ("mesh_events_dropped", "Events that were not believed, by reason.", &by_reason),
            ("mesh_events_replayed", "Events that were held already.", &ConstCounter::new(replayed)),
            (
                "mesh_events_quarantined",
                "Authentic events that could not be applied and are kept.",
                &quarantined,
            ),
            ("outbox_letters", "Letters that wait for the mesh.", &letters),
            ("outbox_oldest_seconds", "How long the oldest letter has waited.", &oldest),
        ];
        metrics.into_iter().try_for_each(|(name, help, metric)| metric.show(&mut encoder, name, help))
    }
}

/// A metric of any kind: `EncodeMetric` itself can't be an object.
trait Shown {
    fn show(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> std::fmt::Result;
}

impl<M: EncodeMetric> Shown for M {
    fn show(&self, encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str) -> std::fmt::Result {
        self.encode(encoder.encode_descriptor(name, help, None, self.metric_type())?)
    }
}
