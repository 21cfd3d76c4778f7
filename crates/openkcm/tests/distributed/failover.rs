//! A region is lost, its tenants go to another one that held nothing of them, and come back: whatever was encrypted on
//! either side opens on both, with the lost region's disk and without.

use std::fs;

use openkcm_client::Client;
use openkcm_contracts::KeyPath;
use openkcm_harness::{Proxy, until};
use serde_json::Value;

use crate::agreement::until_all_agree;
use crate::calls::{
    define, define_in, encrypt, only, opens, service_path, status, unlink, until_connected, until_opens,
    until_refused, until_told, until_unlinked,
};
use crate::setup::{COMPONENTS, Setup};

const CORE: &str = "krypton-a";

/// Is in the lost region alone.
const ONLY: &str = "acme/hr/payroll";

/// Is in both regions.
const BOTH: &str = "both/app/data";

/// Was unlinked before the region was lost.
const ENDED: &str = "ended/app/data";

/// `openkcm failover ARGUMENTS`, as a program reads it.
fn failover(setup: &Setup, arguments: &[&str]) -> Value {
    let mut all = vec!["--output", "json", "--wait", "60s", "failover"];
    all.extend(arguments);
    serde_json::from_str(&setup.must(&all)).expect("it prints JSON")
}

async fn rotate(client: &Client, region: &str, service: &str) -> String {
    let rotated = client.core(only(region)).rotate(&KeyPath::Service(service_path(service))).await;
    rotated.unwrap_or_else(|error| panic!("{service} in {region}: {error}")).answer.version.to_string()
}

#[tokio::test]
async fn a_region_whose_disk_is_gone_is_failed_over_to_one_that_held_nothing_and_back() {
    let mut setup = Setup::start().await;
    let client = setup.patient();
    define_in(&client, ONLY, &["a"]).await;
    define_in(&client, ENDED, &["a"]).await;
    define(&client, BOTH).await;
    let old = encrypt(&client, "a", ONLY).await;
    let shared = encrypt(&client, "a", BOTH).await;
    let ended = encrypt(&client, "a", ENDED).await;
    unlink(&client, "ended").await;
    until_unlinked(&client, "a", "ended").await;
    until_told(&client, CORE).await;
    setup.kill(&[CORE]);
    fs::remove_dir_all(setup.landscape.directory().join("data").join(CORE)).expect("its disk is lost");

    let survey = failover(&setup, &["--from", "a", "--to", "b", "--dry-run"]);
    assert_eq!((&survey["tenants"], &survey["known"]), (&3.into(), &1.into()));
    let done = failover(&setup, &["--from", "a", "--to", "b", "--yes"]);
    assert_eq!((&done["state"], &done["moved"], &done["served"]), (&"moved".into(), &3.into(), &2.into()));
    assert_eq!(done["unserved"][0]["tenant"], "ended");
    assert_eq!(done["unserved"][0]["waiting_may_help"], false, "{done}");
    until_opens(&client, "b", ONLY, &old).await;
    until_opens(&client, "b", BOTH, &shared).await;
    until_refused(&client, "b", ENDED, (&ended, "tenant_unlinked")).await;
    rotate(&client, "b", ONLY).await;
    let new = encrypt(&client, "b", ONLY).await;
    let list: Value =
        serde_json::from_str(&setup.must(&["--output", "json", "failover", "list"])).expect("JSON");
    assert_eq!(list["items"][0]["state"], "moved", "{list}");

    setup.start_again(&[CORE]).await;
    until_connected(&client, CORE, true).await;
    until_refused(&client, "a", ONLY, (&old, "unknown_key")).await;
    let back = failover(&setup, &["--back", "a", "--yes"]);
    assert_eq!(
        (&back["state"], &back["returned"], &back["kept"]),
        (&"returned".into(), &3.into(), &0.into())
    );
    for (service, ciphertext) in [(ONLY, &old), (ONLY, &new), (BOTH, &shared)] {
        until_opens(&client, "a", service, ciphertext).await;
    }
    until_opens(&client, "b", BOTH, &shared).await;
    until_refused(&client, "b", ONLY, (&new, "unknown_key")).await;
    until_refused(&client, "a", ENDED, (&ended, "tenant_unlinked")).await;
    for component in COMPONENTS {
        until_told(&client, component).await;
    }
    until_all_agree(&client).await;
}

#[tokio::test]
async fn what_a_lost_region_made_alone_is_told_when_it_returns_and_opens_in_the_survivor() {
    let mut setup = Setup::start().await;
    let proxy = Proxy::start(setup.landscape.nats().address());
    setup.landscape.direct(CORE, proxy.address());
    setup.kill(&[CORE]);
    setup.start_again(&[CORE]).await;
    let client = setup.patient();
    define_in(&client, ONLY, &["a"]).await;
    let old = encrypt(&client, "a", ONLY).await;
    until_told(&client, CORE).await;
    proxy.cut();
    until_connected(&client, CORE, false).await;
    let version = rotate(&client, "a", ONLY).await;
    let alone = until("the version that it made alone encrypts", || async {
        let served = client.core(only("a")).encrypt(&service_path(ONLY), ONLY.as_bytes(), None).await;
        let made = served.expect("it serves").answer;
        (made.version.to_string() == version).then_some(made)
    })
    .await;
    assert!(alone.at_risk);
    setup.kill(&[CORE]);

    let done = failover(&setup, &["--from", "a", "--to", "b", "--yes"]);
    assert_eq!((&done["moved"], &done["served"]), (&1.into(), &1.into()), "{done}");
    until_opens(&client, "b", ONLY, &old).await;
    until_refused(&client, "b", ONLY, (&alone.ciphertext, "material_not_here")).await;
    let new = encrypt(&client, "b", ONLY).await;

    proxy.pass();
    setup.start_again(&[CORE]).await;
    let client = setup.patient();
    until_opens(&client, "b", ONLY, &alone.ciphertext).await;
    until_refused(&client, "a", ONLY, (&old, "unknown_key")).await;
    until("nothing is at risk any more", || async {
        (status(&client, CORE).await?["versions_at_risk"] == 0).then_some(())
    })
    .await;
    assert_eq!(failover(&setup, &["--back", "a", "--yes"])["returned"], 1);
    for ciphertext in [&old, &alone.ciphertext, &new] {
        until_opens(&client, "a", ONLY, ciphertext).await;
    }
    opens(&client, "a", ONLY, &encrypt(&client, "a", ONLY).await).await;
    until_told(&client, CORE).await;
    until_all_agree(&client).await;
}

#[tokio::test]
async fn a_registry_that_is_killed_in_the_middle_of_a_failover_goes_on_with_it() {
    let mut setup = Setup::start().await;
    let client = setup.patient();
    let services: Vec<String> = (0..12).map(|number| format!("tenant-{number}/app/data")).collect();
    let mut ciphertexts = Vec::new();
    for service in &services {
        define_in(&client, service, &["a"]).await;
        ciphertexts.push(encrypt(&client, "a", service).await);
    }
    until_told(&client, CORE).await;
    setup.kill(&[CORE]);
    let said =
        setup.must(&["--no-wait", "--output", "json", "failover", "--from", "a", "--to", "b", "--yes"]);
    assert!(said.contains("\"committed_at\""), "{said}");
    setup.kill(&["registry"]);
    setup.start_again(&["registry"]).await;
    let client = setup.patient();
    for (service, ciphertext) in services.iter().zip(&ciphertexts) {
        until_opens(&client, "b", service, ciphertext).await;
    }
    // Said again, it is waited for, and nothing moves twice.
    let done = failover(&setup, &["--from", "a", "--to", "b", "--yes"]);
    assert_eq!((&done["moved"], &done["served"]), (&12.into(), &12.into()), "{done}");
}
