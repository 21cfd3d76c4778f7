//! Real partitions: a component whose line to the broker is cut, in both directions or in one, goes on by itself,
//! says so, and has caught up when the fault ends. What was meant for it meanwhile is there then, and what it did
//! is with the others.

use openkcm_client::Client;
use openkcm_contracts::KeyPath;
use openkcm_harness::{Network, Proxy, until};
use serde_json::Value;

use crate::agreement::until_all_agree;
use crate::calls::{
    define, encrypt, only, opens, put_service, serves, service_path, shown, status, unlink, until_connected,
    until_known, until_mesh, until_opens, until_refused, until_told,
};
use crate::setup::{COMPONENTS, REGIONS, Setup};

const CORE: &str = "krypton-a";
const BROKER: &str = "nats";
const SERVICE: &str = "acme/hr/payroll";

/// Is unlinked during a partition.
const ENDED: &str = "other/app/data";

/// Is defined during a partition.
const NEW: &str = "acme/hr/new";

#[tokio::test]
async fn a_core_that_is_refused_has_the_mesh_again_when_it_is_let_in() {
    let mut setup = Setup::start().await;
    let proxy = Proxy::start(setup.landscape.nats().address());
    setup.landscape.direct(CORE, proxy.address());
    setup.kill(&[CORE]);
    setup.start_again(&[CORE]).await;
    let client = setup.client();
    until_connected(&client, CORE, true).await;
    assert!(proxy.counts().connections > 0);
    proxy.cut();
    until_connected(&client, CORE, false).await;
    proxy.pass();
    until_connected(&client, CORE, true).await;
}

#[tokio::test]
async fn a_core_whose_cable_is_pulled_has_the_mesh_again_when_it_is_plugged_in() {
    let Some(setup) = Setup::start_on_network().await else { return };
    let on_its_host = |connected: bool| {
        let setup = &setup;
        until(if connected { "it has the mesh" } else { "it is cut off" }, move || async move {
            let status = setup.status_from(CORE);
            let components = status["components"].as_array().expect("a list of components");
            let core = components.iter().find(|component| component["component"] == "krypton a")?;
            (core["status"]["mesh"]["connected"] == connected).then_some(())
        })
    };
    on_its_host(true).await;
    setup.landscape.network().cut(CORE);
    on_its_host(false).await;
    setup.landscape.network().heal(CORE);
    on_its_host(true).await;
}

#[tokio::test]
async fn a_core_that_is_cut_off_from_the_broker_rotates_and_tells_of_it_when_healed() {
    rotates_while_cut_off(
        |network| network.cut_between(CORE, BROKER),
        |network| network.heal_between(CORE, BROKER),
    )
    .await;
}

#[tokio::test]
async fn a_core_whose_words_do_not_reach_the_broker_rotates_and_tells_of_it_when_healed() {
    rotates_while_cut_off(
        |network| network.cut_direction(CORE, BROKER),
        |network| network.heal_direction(CORE, BROKER),
    )
    .await;
}

#[tokio::test]
async fn a_core_that_the_broker_does_not_reach_rotates_and_tells_of_it_when_healed() {
    rotates_while_cut_off(
        |network| network.cut_direction(BROKER, CORE),
        |network| network.heal_direction(BROKER, CORE),
    )
    .await;
}

async fn rotates_while_cut_off(cut: impl Fn(&Network), heal: impl Fn(&Network)) {
    let Some(setup) = Setup::start_on_network().await else { return };
    let client = setup.patient();
    define(&client, SERVICE).await;
    let before = encrypt(&client, "b", SERVICE).await;
    cut(setup.landscape.network());
    let version = rotate(&client, "a", SERVICE).await;
    put_service(&client, NEW).await;
    // What it makes alone is used alone, and is known to be at risk, before it knows that it is alone and after.
    opens(&client, "a", SERVICE, &before).await;
    until_connected(&client, CORE, false).await;
    opens(&client, "a", SERVICE, &before).await;
    let alone = until("the version that it made alone encrypts", || async {
        let served = client.core(only("a")).encrypt(&service_path(SERVICE), SERVICE.as_bytes(), None).await;
        let made = served.expect("it serves").answer;
        (made.version.to_string() == version).then_some(made)
    })
    .await;
    assert!(alone.at_risk);
    assert!(status(&client, CORE).await.expect("it answers")["versions_at_risk"].as_u64() >= Some(1));
    assert!(shown(&client, "a", NEW).await.is_none(), "nothing new reaches it");
    heal(setup.landscape.network());
    until_connected(&client, CORE, true).await;
    until_told(&client, CORE).await;
    until_opens(&client, "b", SERVICE, &alone.ciphertext).await;
    until("nothing is at risk any more", || async {
        (status(&client, CORE).await?["versions_at_risk"] == 0).then_some(())
    })
    .await;
    until_known(&client, "a", NEW).await;
    until_all_agree(&client).await;
    assert_eq!(versions(&client, "a").await, versions(&client, "b").await);
    nothing_was_dropped(&client).await;
}

#[tokio::test]
async fn an_unlink_of_a_cmk_server_that_is_cut_off_ends_serving_when_healed() {
    let Some(setup) = Setup::start_on_network().await else { return };
    let client = setup.patient();
    define(&client, SERVICE).await;
    let ciphertext = encrypt(&client, "a", SERVICE).await;
    setup.landscape.network().cut_between("cmk", BROKER);
    unlink(&client, "acme").await;
    until_connected(&client, "cmk", false).await;
    for region in REGIONS {
        opens(&client, region, SERVICE, &ciphertext).await;
    }
    setup.landscape.network().heal_between("cmk", BROKER);
    for region in REGIONS {
        until_refused(&client, region, SERVICE, (&ciphertext, "tenant_unlinked")).await;
    }
    until_told(&client, "cmk").await;
    until_all_agree(&client).await;
}

#[tokio::test]
async fn definitions_of_a_registry_that_is_cut_off_arrive_when_healed() {
    let Some(setup) = Setup::start_on_network().await else { return };
    let client = setup.patient();
    define(&client, SERVICE).await;
    setup.landscape.network().cut_direction(BROKER, "registry");
    put_service(&client, NEW).await;
    let old = KeyPath::Service(service_path(SERVICE));
    client.registry().delete_key(&old, None).await.expect("deleted");
    until_connected(&client, "registry", false).await;
    until_mesh(&client, "registry", "it has something to tell", |mesh| mesh["outbox"]["letters"] != 0).await;
    setup.landscape.network().heal_direction(BROKER, "registry");
    until_told(&client, "registry").await;
    for region in REGIONS {
        until_known(&client, region, NEW).await;
    }
    until("the deleted service is refused in both regions", || async {
        let shown = [shown(&client, "a", SERVICE).await?, shown(&client, "b", SERVICE).await?];
        shown.iter().all(|shown| shown["refusal"]["code"] == "key_disabled").then_some(())
    })
    .await;
    until_all_agree(&client).await;
}

#[tokio::test]
async fn all_go_on_without_a_broker_that_nobody_reaches_and_agree_when_it_is_plugged_in() {
    let Some(setup) = Setup::start_on_network().await else { return };
    let client = setup.patient();
    for service in [SERVICE, ENDED] {
        define(&client, service).await;
    }
    let ended = encrypt(&client, "b", ENDED).await;
    setup.landscape.network().cut(BROKER);
    put_service(&client, NEW).await;
    unlink(&client, "other").await;
    for region in REGIONS {
        rotate(&client, region, SERVICE).await;
    }
    for component in COMPONENTS {
        until_connected(&client, component, false).await;
    }
    for region in REGIONS {
        serves(&client, region, SERVICE).await;
    }
    let made = encrypt(&client, "b", SERVICE).await;
    setup.landscape.network().heal(BROKER);
    for component in COMPONENTS {
        until_connected(&client, component, true).await;
        until_told(&client, component).await;
    }
    for region in REGIONS {
        until_refused(&client, region, ENDED, (&ended, "tenant_unlinked")).await;
        until_opens(&client, region, SERVICE, &made).await;
        until_known(&client, region, NEW).await;
    }
    until_all_agree(&client).await;
    until("both regions hold the same versions", || async {
        let (a, b) = (versions(&client, "a").await, versions(&client, "b").await);
        (a == b && a.len() == 3).then_some(())
    })
    .await;
    nothing_was_dropped(&client).await;
}

async fn rotate(client: &Client, region: &str, service: &str) -> String {
    let rotated = client.core(only(region)).rotate(&KeyPath::Service(service_path(service))).await;
    rotated.unwrap_or_else(|error| panic!("{service} in {region}: {error}")).answer.version.to_string()
}

/// The versions of the service that a region holds.
async fn versions(client: &Client, region: &str) -> Vec<Value> {
    let key = shown(client, region, SERVICE).await.expect("it is known");
    let versions = key["versions"].as_array().expect("a list of versions");
    versions.iter().map(|version| version["version"].clone()).collect()
}

/// A fault of the network makes nobody unbelievable.
async fn nothing_was_dropped(client: &Client) {
    for component in COMPONENTS {
        let status = status(client, component).await.expect("it answers");
        assert_eq!(status["mesh"]["dropped"], serde_json::json!({}), "{component}");
        assert_eq!(status["mesh"]["quarantined"], 0, "{component}");
    }
}
