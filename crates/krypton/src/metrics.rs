//! The Core's own metrics, read from the keyring when they are asked for.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::keyring::Keyring;
use crate::service::Handle;
use crate::service::purges::Shown;

const PLAINTEXT_KEYS: &str = "Plaintext L2 and L3 keys in the process's locked memory.";
const ROOTS_AWAITED: &str = "Tenants with a root in their link that nothing is sealed to yet.";

/// Registers what a Core measures.
pub(crate) fn register(registry: &mut Registry, handle: &Handle) {
    registry.register_collector(Box::new(Gauges {
        keyring: handle.keyring(),
        purges: handle.purge_counts(),
        handle: handle.clone(),
    }));
}

#[derive(Debug)]
struct Gauges {
    keyring: Arc<Keyring>,
    handle: Handle,
    purges: Shown,
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (serving, known) = self.keyring.count();
        let memory = openkcm_secrets::usage();
        let purges = self.purges.get();
        let whole = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let gauges = [
            ("tenants_serving", "Tenants that are served by this Core.", serving),
            ("tenants_known", "Tenants that this Core has heard of.", known),
            ("plaintext_keys", PLAINTEXT_KEYS, memory.slots_in_use),
            ("purges_waiting", "Purges that wait for their time, or are under way.", whole(purges.waiting)),
            ("purges_held", "Purges that wait for an operator's word.", whole(purges.held)),
            (
                "versions_destroyed",
                "Key versions that were destroyed since the store was made.",
                whole(purges.destroyed),
            ),
            ("roots_awaited", ROOTS_AWAITED, whole(self.purges.roots_awaited())),
            ("locked_memory_bytes", "Memory that the process has locked for keys.", memory.bytes_locked),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(count(value));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        // Left out while a step is under way, which is for some milliseconds.
        let Some((lease, expired)) = self.handle.lease() else { return Ok(()) };
        let used = lease.used_percent.map_or(-1, i64::from);
        let gauges = [
            ("lease_used_percent", "Part of the region's lease that is used; -1 without one.", used),
            ("tenants_without_lease", "Tenants that wait for a lease.", count(lease.waiting)),
            ("tenants_in_dispute", "Tenants that the CMK Server does not renew.", count(lease.apart)),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        if let Some(probes) = self.handle.probes() {
            let help = "Tenants that are not served since the owner of a root denies its use.";
            let gauge = ConstGauge::new(count(probes.denied));
            gauge.encode(encoder.encode_descriptor(
                "tenants_l1_denied",
                help,
                None,
                gauge.metric_type(),
            )?)?;
            let help = "Tenants that are not served since no root proved for a lease that it may be used.";
            let gauge = ConstGauge::new(count(probes.unproven));
            gauge.encode(encoder.encode_descriptor(
                "tenants_l1_unreachable",
                help,
                None,
                gauge.metric_type(),
            )?)?;
            let [proven, denied, unproven] = probes.probes;
            for (name, help, value) in [
                ("l1_probes_proven", "Probes in which a root did what was asked, and none denied.", proven),
                ("l1_probes_denied", "Probes in which a root denied.", denied),
                ("l1_probes_unproven", "Probes in which neither was told.", unproven),
            ] {
                let counter = ConstCounter::new(value);
                counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
            }
        }
        let expirations = ConstCounter::new(expired);
        let help = "Leases of tenants that have run out here.";
        let kind = expirations.metric_type();
        expirations.encode(encoder.encode_descriptor("leases_expired", help, None, kind)?)
    }
}

fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
