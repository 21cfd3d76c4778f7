//! The Core's own metrics, read from the keyring when they are asked for.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::keyring::Keyring;
use crate::service::purges::Shown;
use crate::service::{Handle, LineView};

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
        self.encode_lines(&mut encoder)?;
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
        self.encode_warm_up(&mut encoder)?;
        self.encode_probes(&mut encoder)?;
        let expirations = ConstCounter::new(expired);
        let help = "Leases of tenants that have run out here.";
        let kind = expirations.metric_type();
        expirations.encode(encoder.encode_descriptor("leases_expired", help, None, kind)?)
    }
}

/// A name, its help, and what it shows of a line.
type OfLine = (&'static str, &'static str, fn(&LineView) -> u64);

impl Gauges {
    fn encode_warm_up(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some((warm_up, versions_at_risk, tenants_at_risk)) = self.handle.warm_up() else { return Ok(()) };
        let gauges = [
            ("systems_open", "Systems of which a version of the L2 is open.", warm_up.open),
            ("systems", "Systems of tenants that are served that have a version.", warm_up.systems),
            ("versions_at_risk", "Versions that would be lost with this Core's disk.", versions_at_risk),
            ("tenants_at_risk", "Tenants that have such versions.", tenants_at_risk),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(count(value));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }

    fn encode_probes(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(probes) = self.handle.probes() else { return Ok(()) };
        let help = "Tenants that are not served since the owner of a root denies its use.";
        let gauge = ConstGauge::new(count(probes.denied));
        gauge.encode(encoder.encode_descriptor("tenants_l1_denied", help, None, gauge.metric_type())?)?;
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
        Ok(())
    }

    /// What is to be asked of each provider: their names are the configuration's, and few.
    fn encode_lines(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let lines = self.handle.lines();
        let help = "Questions to an L1 provider that wait for their turn.";
        let mut waiting = encoder.encode_descriptor("l1_waiting", help, None, MetricType::Gauge)?;
        for (provider, line) in &lines {
            for (reason, value) in [("demanded", line.demanded), ("probe", line.probes), ("rest", line.rest)]
            {
                let labels = [("provider", provider.as_str()), ("reason", reason)];
                ConstGauge::new(count(value)).encode(waiting.encode_family(&labels)?)?;
            }
        }
        let gauges: [OfLine; 2] = [
            ("l1_under_way", "Unseals and seals that are under way at an L1 provider.", |line| {
                u64::try_from(line.under_way).unwrap_or(u64::MAX)
            }),
            ("l1_pace_per_second", "Questions in a second that an L1 provider is asked at most.", |line| {
                line.per_second
            }),
        ];
        for (name, help, of) in gauges {
            let mut gauges = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (provider, line) in &lines {
                let labels = [("provider", provider.as_str())];
                ConstGauge::new(i64::try_from(of(line)).unwrap_or(i64::MAX))
                    .encode(gauges.encode_family(&labels)?)?;
            }
        }
        let counters: [OfLine; 2] = [
            ("l1_asked", "Questions that an L1 provider was asked: unseals, seals, probes.", |line| {
                line.asked
            }),
            ("l1_throttled", "Questions that an L1 provider refused for their rate.", |line| line.throttled),
        ];
        for (name, help, of) in counters {
            let mut counters = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (provider, line) in &lines {
                let labels = [("provider", provider.as_str())];
                ConstCounter::new(of(line)).encode(counters.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
