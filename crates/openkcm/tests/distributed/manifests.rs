//! Regions say what they hold, and the Registry shows whether that is what they are to hold.

use openkcm_client::{Call, Client, Component};
use openkcm_harness::until;
use serde_json::Value;

use crate::calls::{define, define_in, put_service, until_active};
use crate::setup::Setup;

/// What the Registry shows of a region.
async fn region(client: &Client, name: &str) -> Option<Value> {
    let answer =
        client.call(&Call::get(Component::Registry, "/v1/regions")).await.ok()?.json::<Value>().ok()?;
    answer["items"].as_array()?.iter().find(|item| item["region"] == name).cloned()
}

pub(crate) async fn until_state(client: &Client, name: &str, state: &str) -> Value {
    until(&format!("region {name} is {state}"), || async {
        region(client, name).await.filter(|region| region["state"] == state)
    })
    .await
}

#[tokio::test]
async fn a_region_that_was_away_differs_until_it_has_caught_up() {
    let mut setup = Setup::start().await;
    let client = setup.patient();
    define(&client, "acme/app/data").await;
    // In one region alone: what the other one is not to hold is no difference.
    define_in(&client, "bolt/app/data", &["a"]).await;
    until_state(&client, "a", "in-sync").await;
    let before = until_state(&client, "b", "in-sync").await;
    setup.kill(&["krypton-b"]);
    put_service(&client, "acme/app/more").await;
    until_active(&client, "a", "acme/app/more").await;
    let differs = until_state(&client, "b", "differs").await;
    assert_eq!(differs["differing_buckets"], 1);
    setup.start_again(&["krypton-b"]).await;
    let after = until_state(&client, "b", "in-sync").await;
    let incarnation = |region: &Value| region["manifest"]["incarnation"].as_u64();
    assert!(incarnation(&after) > incarnation(&before), "{after} is of the same start as {before}");
    until_state(&client, "a", "in-sync").await;
}
