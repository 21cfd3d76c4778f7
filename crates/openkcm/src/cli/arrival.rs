//! Waits until the regions show a change, so that commands can be typed one after the other, and whoever ends
//! something knows that it has ended.
//!
//! Nothing depends on it: the change is committed before, and arrives whether or not anybody waits. What has not
//! arrived when the caller's patience ends is a warning. Where something was ended or taken back it is also the
//! command's exit code: a deletion reassures only when every region refuses.

mod expected;
mod many;

use std::sync::Arc;
use std::time::Duration;

use openkcm_client::{Call, Client, Component, Resource};
use openkcm_contracts::{RegionId, TenantId};
use openkcm_host::{BootInstant, Clock};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::expected::Seen;
use super::output;
use super::report::Unseen;
use super::session::Session;

pub(crate) use self::expected::Expected;
pub(crate) use self::many::{Awaited, Unserved, until_served};

/// Between the first two looks at a region; then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest time between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Waits for the regions, then shows what was committed and what came of it. The times count from `begun`.
///
/// # Errors
/// When something was ended or taken back, and a region did not show it in time; when stdout takes nothing.
pub(crate) async fn finish(
    session: &Session,
    committed: Resource,
    expected: Option<Expected>,
    regions: Vec<RegionId>,
    begun: BootInstant,
) -> anyhow::Result<()> {
    let Some(expected) = expected.filter(|_| !session.patience.total.is_zero()) else {
        return session.show(&committed.value);
    };
    let nobody_asked = regions.is_empty();
    let (arrivals, unmet) = watch(session, &expected, regions, begun).await;
    session.show_with(committed.value, arrivals)?;
    if expected.is_binding() && (nobody_asked || !unmet.is_empty()) {
        return Err(Unseen { regions: unmet }.into());
    }
    Ok(())
}

/// Watches the regions until each shows what is expected, and tells of each as it does. Gives back what came of
/// it, for programs, and the regions that did not show it.
async fn watch(
    session: &Session,
    expected: &Expected,
    regions: Vec<RegionId>,
    begun: BootInstant,
) -> (Value, Vec<RegionId>) {
    let mut looks = JoinSet::new();
    for region in regions {
        let watcher = Watcher {
            client: session.asker(),
            clock: session.clock().clone(),
            expected: expected.clone(),
            begun,
            patience: session.patience.total,
            region,
        };
        looks.spawn(watcher.watch());
    }
    let (mut arrivals, mut unmet) = (Vec::new(), Vec::new());
    while let Some(Ok((region, seen, after))) = looks.join_next().await {
        arrivals.push(told(&region, &seen, after));
        if !expected.is_met_by(&seen) {
            unmet.push(region);
        }
    }
    arrivals.sort_by_key(|arrival| arrival["region"].to_string());
    unmet.sort();
    (Value::Array(arrivals), unmet)
}

/// The tenant's regions, from the Registry, which has just answered.
pub(crate) async fn regions_of(session: &Session, tenant: &TenantId) -> Vec<RegionId> {
    match session.asker().registry().tenant(tenant).await {
        Ok(tenant) => names(&tenant.value["regions"]),
        Err(error) => {
            output::warn(&format!("can't tell whether the regions have heard of it: {error}"));
            Vec::new()
        }
    }
}

/// The regions that a document names.
pub(crate) fn names(regions: &Value) -> Vec<RegionId> {
    let names = regions.as_array().into_iter().flatten();
    names.filter_map(|name| name.as_str()?.parse().ok()).collect()
}

/// Tells a person what came of one region, and gives it back for programs.
fn told(region: &RegionId, seen: &Seen, after: Duration) -> Value {
    let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    let (arrived, how) = match seen {
        Seen::Yes(how) => {
            output::note(&format!("{region}: {how} after {after_ms} ms"));
            (true, (*how).to_owned())
        }
        Seen::Settled(why) => {
            output::note(&format!("{region}: {why}"));
            (false, why.clone())
        }
        Seen::NotYet(how) => {
            output::warn(&format!(
                "region {region} has not got there in {after_ms} ms ({how}); it does so by itself, see `openkcm status`"
            ));
            (false, how.clone())
        }
    };
    json!({ "region": region, "arrived": arrived, "state": how, "after_ms": after_ms })
}

struct Watcher {
    client: Client,
    clock: Arc<dyn Clock>,
    expected: Expected,
    begun: BootInstant,
    patience: Duration,
    region: RegionId,
}

impl Watcher {
    async fn watch(self) -> (RegionId, Seen, Duration) {
        let started = self.clock.boottime();
        let mut pause = FIRST_PAUSE;
        loop {
            let seen = self.look().await;
            let now = self.clock.boottime();
            let over = now.since(started).saturating_add(pause) >= self.patience;
            if over || !matches!(seen, Seen::NotYet(_)) {
                return (self.region, seen, now.since(self.begun));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn look(&self) -> Seen {
        let call = Call::get(Component::Core(self.region.clone()), self.expected.path());
        match self.client.call(&call).await {
            Ok(answer) => match answer.json::<Value>() {
                Ok(value) => self.expected.judge(&value),
                Err(_) => Seen::Settled("its answer is not understood".to_owned()),
            },
            Err(error) => self.expected.judge_refusal(&error),
        }
    }
}
