//! The regions' Cores as an operator sees them, and the word to forget their starts: the region goes on, and both
//! authorities take it for a later start.

use openkcm_client::{Call, Component};
use openkcm_harness::until;
use serde_json::Value;

use crate::setup::{SAMPLE, Setup, define, encrypt, opens_everywhere};

/// What is shown of the Core of region `a`.
fn shown(setup: &Setup) -> Value {
    let text = setup.must(&["cores", "list", "--region", "a", "--output", "json"]);
    let list: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    list["items"][0].clone()
}

/// The start of region `a`'s Core that the Registry heard of last.
async fn heard_by_registry(setup: &Setup) -> Option<u64> {
    let regions =
        setup.client().call(&Call::get(Component::Registry, "/v1/regions")).await.expect("the regions");
    let regions: Value = serde_json::from_slice(regions.body()).expect("JSON");
    let regions = regions["items"].as_array().expect("a list").clone();
    let region = regions.iter().find(|region| region["region"] == "a").expect("it is there");
    region["manifest"]["incarnation"].as_u64()
}

#[tokio::test]
async fn forgetting_a_cores_starts_has_it_go_on_as_a_later_one_for_both_authorities() {
    let setup = Setup::start().await;
    let client = setup.client();
    let sealed = encrypt(&client, "a", SAMPLE).await;
    let before = until("region a is leased", || async {
        let core = shown(&setup);
        (core["state"] == "leased").then(|| core["incarnation"].as_u64().expect("a number"))
    })
    .await;
    // Nobody is there to be asked.
    let unasked = setup.cli(&["cores", "forget", "a"]);
    let told = String::from_utf8_lossy(&unasked.stderr).into_owned();
    assert_eq!(unasked.status.code(), Some(2), "{told}");
    assert!(told.contains("FIRST stop the other one") && told.contains("--yes"), "{told}");
    assert_eq!(shown(&setup)["incarnation"].as_u64(), Some(before));

    assert!(setup.must(&["cores", "forget", "a", "--yes"]).contains("silent"));
    // The next manifest is told at the latest in a minute, or when there is something to tell.
    define(&client, "acme/hr/payroll").await;
    let after = until("region a is leased again", || async {
        let core = shown(&setup);
        (core["state"] == "leased").then(|| core["incarnation"].as_u64().expect("a number"))
    })
    .await;
    assert!(after > before, "{after} is no later start than {before}");
    until("the Registry hears of it too", || async {
        (heard_by_registry(&setup).await == Some(after)).then_some(())
    })
    .await;
    opens_everywhere(&client, SAMPLE, &sealed).await;
    let unknown = setup.cli(&["cores", "forget", "nowhere", "--yes"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("unknown_region"));
}
