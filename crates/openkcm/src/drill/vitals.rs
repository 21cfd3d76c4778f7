//! How a landscape is: what keeps it from being well, and how many versions are at risk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openkcm_client::{Call, Client, Component};
use openkcm_contracts::RegionId;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::story::Story;
use super::wait::until;

/// A component that does not answer in this time does not answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);

/// Between two looks at the versions at risk.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How a landscape is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wellness {
    /// Differences that may stay open: as many as there were before the drill, for each authority.
    pub(super) drift: [u64; 2],
    /// A region that is lost for good: it is not looked at, and what it holds differs.
    pub(super) lost: Option<RegionId>,
}

/// What is not well, in words; nothing when all is.
pub(super) async fn ills(client: &Client, wellness: &Wellness) -> Vec<String> {
    let mut ills = Vec::new();
    for ((name, component), drift) in
        [("the Registry", Component::Registry), ("the CMK Server", Component::Cmk)]
            .into_iter()
            .zip(wellness.drift)
    {
        let drift = if wellness.lost.is_some() { u64::MAX } else { drift };
        match status(client, component).await {
            None => ills.push(format!("{name} does not answer")),
            Some(status) => ills_of_authority(name, &status, drift, &mut ills),
        }
    }
    for region in regions(client).into_iter().filter(|region| Some(region) != wellness.lost.as_ref()) {
        match status(client, Component::Core(region.clone())).await {
            None => ills.push(format!("the Core of region {region} does not answer")),
            Some(status) => ills_of_core(&region, &status, &mut ills),
        }
    }
    ills
}

/// Waits until all is well; what still is not when the patience ends.
pub(super) async fn until_well(
    client: &Client,
    story: &Story,
    wellness: &Wellness,
    patience: Duration,
) -> Vec<String> {
    let well =
        until(&**story.clock(), patience, || async { ills(client, wellness).await.is_empty().then_some(()) });
    match well.await {
        Some(()) => Vec::new(),
        None => ills(client, wellness).await,
    }
}

/// The differences that each authority has open now.
pub(super) async fn drift(client: &Client) -> [u64; 2] {
    let mut open = [0, 0];
    for (open, component) in open.iter_mut().zip([Component::Registry, Component::Cmk]) {
        *open = status(client, component).await.and_then(|status| status["drift_open"].as_u64()).unwrap_or(0);
    }
    open
}

/// Whether a region's Core has the mesh now; `None` when it does not answer.
pub(super) async fn is_connected(client: &Client, region: &RegionId) -> Option<bool> {
    status(client, Component::Core(region.clone())).await?["mesh"]["connected"].as_bool()
}

/// Whether a component answers now.
pub(super) async fn answers(client: &Client, component: Component) -> bool {
    status(client, component).await.is_some()
}

/// The versions that are at risk in a region now; `None` when it does not answer.
async fn at_risk(client: &Client, region: &RegionId) -> Option<u64> {
    status(client, Component::Core(region.clone())).await?["versions_at_risk"].as_u64()
}

/// The versions that are at risk in all of these regions now; `None` when one does not answer.
pub(super) async fn all_at_risk(client: &Client, regions: &[RegionId]) -> Option<u64> {
    let mut sum = 0;
    for region in regions {
        sum += at_risk(client, region).await?;
    }
    Some(sum)
}

fn ills_of_authority(name: &str, status: &Value, drift: u64, ills: &mut Vec<String>) {
    ills_of_mesh(name, status, ills);
    let standing = status["authority"]["standing"].as_str().unwrap_or("silent on its standing");
    if standing != "current" {
        ills.push(format!("{name} is {standing}"));
    }
    let open = status["drift_open"].as_u64().unwrap_or(0);
    if open > drift {
        ills.push(format!("{name} has {open} differences open, {drift} of them from before"));
    }
}

fn ills_of_core(region: &RegionId, status: &Value, ills: &mut Vec<String>) {
    let name = format!("the Core of region {region}");
    ills_of_mesh(&name, status, ills);
    let lease = status["lease"]["state"].as_str().unwrap_or("none");
    if lease != "held" {
        ills.push(format!("{name} has no lease that holds ({lease})"));
    }
    let at_risk = status["versions_at_risk"].as_u64().unwrap_or(0);
    if at_risk > 0 {
        ills.push(format!("{name} has {at_risk} versions at risk"));
    }
}

fn ills_of_mesh(name: &str, status: &Value, ills: &mut Vec<String>) {
    if status["mesh"]["connected"] != true {
        ills.push(format!("{name} does not reach the mesh"));
    }
    let letters = status["mesh"]["outbox"]["letters"].as_u64().unwrap_or(0);
    if letters > 0 {
        ills.push(format!("{name} has {letters} letters to tell"));
    }
}

async fn status(client: &Client, component: Component) -> Option<Value> {
    let call = Call::get(component, "/v1/status");
    let answer = tokio::time::timeout(ANSWER_PATIENCE, client.call(&call)).await.ok()?;
    answer.ok()?.json().ok()
}

fn regions(client: &Client) -> Vec<RegionId> {
    client.landscape().regions.iter().map(|region| region.name.clone()).collect()
}

/// Looks at the versions at risk, all the time, until it is dropped.
pub(super) struct RiskWatch {
    highest: Arc<Mutex<BTreeMap<RegionId, u64>>>,
    looks: JoinHandle<()>,
}

impl RiskWatch {
    /// Begins to look.
    pub(super) fn begin(client: &Client) -> Self {
        let highest = Arc::new(Mutex::new(BTreeMap::new()));
        let (client, seen) = (client.clone(), highest.clone());
        let looks = tokio::spawn(async move {
            loop {
                for region in regions(&client) {
                    if let Some(now) = at_risk(&client, &region).await {
                        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                        let highest = seen.entry(region).or_insert(now);
                        *highest = now.max(*highest);
                    }
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Self { highest, looks }
    }

    /// The most that each region had at a time.
    pub(super) fn highest(&self) -> BTreeMap<RegionId, u64> {
        self.highest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for RiskWatch {
    fn drop(&mut self) {
        self.looks.abort();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_component_is_well_when_nothing_waits_nothing_differs_and_nothing_is_at_risk() {
        let mesh = json!({ "connected": true, "outbox": { "letters": 0 } });
        let (mut ills, region) = (Vec::new(), RegionId::new("a").expect("a label"));
        let authority = json!({ "mesh": mesh, "authority": { "standing": "current" }, "drift_open": 2 });
        ills_of_authority("the Registry", &authority, 2, &mut ills);
        let core = json!({ "mesh": mesh, "lease": { "state": "held" }, "versions_at_risk": 0 });
        ills_of_core(&region, &core, &mut ills);
        assert_eq!(ills, Vec::<String>::new());
        ills_of_authority("the Registry", &authority, 1, &mut ills);
        let mesh = json!({ "connected": false, "outbox": { "letters": 3 } });
        let core = json!({ "mesh": mesh, "lease": { "state": "expired" }, "versions_at_risk": 7 });
        ills_of_core(&region, &core, &mut ills);
        assert_eq!(ills.len(), 5, "{ills:?}");
    }

    #[test]
    fn what_a_status_does_not_say_is_not_taken_for_good() {
        let mut ills = Vec::new();
        ills_of_authority("the Registry", &json!({}), 0, &mut ills);
        assert_eq!(ills.len(), 2, "{ills:?}");
    }
}
