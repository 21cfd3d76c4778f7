//! How soon each tenant is served again: one ciphertext of each is tried until it opens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openkcm_client::Client;
use openkcm_contracts::{RegionId, TenantId};
use tokio::task::JoinSet;

use super::check::opens;
use super::load::Kept;
use super::report::Recovery;
use super::stage::Stage;
use super::story::millis;
use super::wait::joined;

/// Tries at the same time.
const AT_ONCE: usize = 32;

/// Between two rounds through the tenants that are not served yet.
const PAUSE: Duration = Duration::from_millis(10);

/// Measures from `begun` on, until all are served in the region or the patience ends.
pub(super) async fn measure(
    stage: &Stage,
    client: &Client,
    region: &RegionId,
    kept: &[Arc<Kept>],
    begun: Duration,
    patience: Duration,
) -> Recovery {
    let since = || stage.story.elapsed().saturating_sub(begun);
    let mut pending = one_of_each(kept);
    let tenants = pending.len();
    let mut recovery = Recovery { tenants, ..Recovery::default() };
    while !pending.is_empty() && since() < patience {
        let mut left = Vec::with_capacity(pending.len());
        let mut tries = JoinSet::new();
        let mut note = |(one, is_open): (Arc<Kept>, bool)| {
            if !is_open {
                return left.push(one);
            }
            recovery.served += 1;
            recovery.first_ms.get_or_insert(millis(since()));
            recovery.last_ms = Some(millis(since()));
        };
        for one in pending {
            if tries.len() >= AT_ONCE {
                tries.join_next().await.and_then(joined).into_iter().for_each(&mut note);
            }
            let (client, region) = (client.clone(), region.clone());
            tries.spawn(async move {
                let is_open = opens(&client, &one, &region).await.is_ok();
                (one, is_open)
            });
        }
        while let Some(outcome) = tries.join_next().await {
            joined(outcome).into_iter().for_each(&mut note);
        }
        pending = left;
        tokio::time::sleep(PAUSE).await;
    }
    let (served, last) = (recovery.served, recovery.last_ms.unwrap_or_default());
    stage
        .story
        .tell(format!("region {region} serves {served} of {tenants} tenants, the last after {last} ms"));
    recovery
}

/// The first ciphertext of each tenant.
fn one_of_each(kept: &[Arc<Kept>]) -> Vec<Arc<Kept>> {
    let mut first: BTreeMap<&TenantId, &Arc<Kept>> = BTreeMap::new();
    for one in kept {
        first.entry(&one.service.tenant).or_insert(one);
    }
    first.into_values().cloned().collect()
}
