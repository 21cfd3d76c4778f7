//! How soon a change is with every Core, all faults included: one definition is changed again and again, and each
//! change is waited for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openkcm_client::{Client, KeySpec, TenantSpec};
use openkcm_contracts::{KeyPath, SystemPath};

use super::authors::{insist, key_now, new_period};
use super::ledger::Ledger;
use crate::landscape::elapsed;

/// Its tenant, which has no link and no material.
pub(super) const SYSTEM: &str = "marks/app";

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Until a change counts as lost: far longer than the longest pause between two tries of a connection.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Measures until the run ends.
pub(super) async fn run(client: Client, ledger: Arc<Ledger>) -> Vec<Duration> {
    let mut arrivals = Vec::new();
    let system: SystemPath = SYSTEM.parse().expect("tenant/system");
    let spec = TenantSpec { regions: ledger.regions.clone(), labels: Default::default() };
    let tenant =
        insist(&ledger, "the marks", || async { client.registry().put_tenant(&system.tenant, &spec).await });
    if tenant.await.is_none() {
        return arrivals;
    }
    ledger.counts.defined.fetch_add(1, Ordering::Relaxed);
    let key = KeyPath::System(system);
    while !ledger.is_stopped() && ledger.wrong().is_empty() {
        let period = new_period();
        let spec = KeySpec { algorithm: None, rotate_every: Some(period.clone()) };
        let put = insist(&ledger, "a mark", || async { client.registry().put_key(&key, &spec).await });
        if put.await.is_none() {
            return arrivals;
        }
        ledger.counts.defined.fetch_add(1, Ordering::Relaxed);
        let acknowledged = elapsed();
        if !is_everywhere(&client, &ledger, &key, &period).await {
            ledger.is_wrong(format!("a change of {key} did not arrive"));
            return arrivals;
        }
        arrivals.push(elapsed() - acknowledged);
    }
    arrivals
}

async fn is_everywhere(client: &Client, ledger: &Ledger, key: &KeyPath, period: &str) -> bool {
    let mut missing = ledger.regions.clone();
    let begun = elapsed();
    while elapsed() - begun < LONGEST_WAIT {
        let mut still = Vec::new();
        for region in missing {
            let shown = key_now(client, &region, key).await;
            if shown.is_none_or(|shown| shown["rotate_every"] != period) {
                still.push(region);
            }
        }
        if still.is_empty() {
            return true;
        }
        missing = still;
        tokio::time::sleep(PAUSE).await;
    }
    false
}
