//! What the Registry wants destroyed is refused at once, destroyed when this Core's own rules let it, and stays so.

use std::collections::BTreeSet;

use openkcm_contracts::VersionId;
use openkcm_contracts::v1::KeyDefine;
use openkcm_host::Clock as _;
use openkcm_krypton::{Brake, PurgePolicy};
use serde_json::{Value, json};

use crate::rig::facts::{self, SERVICE, SYSTEM, generation};
use crate::rig::{Link, Running, Way, World, eventually};

const OTHER: &str = "acme/ops/logs";

/// The purges of a Core by name, and their states.
async fn purges(core: &Running) -> Vec<(String, String)> {
    let reply = core.get("/v1/purges").await;
    let items = reply.body["items"].as_array().cloned().unwrap_or_default();
    let text = |item: &Value, field: &str| item[field].as_str().expect("text").to_owned();
    items.iter().map(|item| (text(item, "key"), text(item, "state"))).collect()
}

async fn comes_to(core: &Running, key: &str, state: &str) {
    eventually(&format!("the purge of {key} {state} in {}", core.region()), async || {
        purges(core).await.contains(&(key.to_owned(), state.to_owned())).then_some(())
    })
    .await;
}

/// The versions on the mesh that have ciphertext.
async fn on_mesh(world: &World) -> BTreeSet<VersionId> {
    let sealed = world.sealed_on_mesh().await.into_iter();
    sealed.filter(|sealed| !sealed.seals.is_empty()).map(|sealed| sealed.version).collect()
}

#[tokio::test]
async fn what_is_purged_is_refused_gone_from_store_and_mesh_and_stays_gone() {
    let world = World::defined().await;
    let (a, b) = world.start_both().await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    b.opens(SERVICE, &sealed, b"hello").await;
    world.tell(10, &facts::key(SYSTEM, facts::deleted)).await;
    a.refuses(SERVICE, "key_disabled").await;
    world.tell(11, &facts::purge(SYSTEM, 10)).await;
    for core in [&a, &b] {
        assert_eq!(core.refuses(SERVICE, "key_purged").await.status, 410);
        core.refuses_to_open(SERVICE, &sealed, "key_purged").await;
        assert_eq!(core.ask(SERVICE, "rotate", &json!({})).await.code(), "key_purged");
        assert_eq!(core.ask(SYSTEM, "rotate", &json!({})).await.code(), "key_purged");
        comes_to(core, SYSTEM, "done").await;
        assert_eq!((core.versions(SYSTEM).await, core.versions(SERVICE).await), (vec![], vec![]));
    }
    eventually("no ciphertext on the mesh", async || on_mesh(&world).await.is_empty().then_some(())).await;
    drop(a);
    let a = world.start("a").await;
    a.refuses(SERVICE, "key_purged").await;
    a.refuses_to_open(SERVICE, &sealed, "key_purged").await;
}

#[tokio::test]
async fn a_key_that_is_defined_again_is_another_key_and_its_past_stays_purged() {
    let world = World::defined().await;
    let a = world.start("a").await;
    let old = a.sealed_when_usable(SERVICE, b"old").await;
    let anew = |fact: &mut KeyDefine| fact.generation = generation(20);
    world.tell(20, &facts::key(SERVICE, anew)).await;
    let new = eventually("a key of the new generation", async || {
        let reply = a.encrypt(SERVICE, b"new").await;
        (reply.status == 200 && a.decrypt(SERVICE, &old).await.status != 200).then_some(reply)
    });
    let new = new.await.field("ciphertext");
    world.tell(21, &facts::purge(SERVICE, 19)).await;
    comes_to(&a, SERVICE, "done").await;
    a.refuses_to_open(SERVICE, &old, "key_purged").await;
    a.opens(SERVICE, &new, b"new").await;
    // Memory is brought in line a moment after the store.
    eventually("the new version alone", async || (a.versions(SERVICE).await.len() == 1).then_some(())).await;
}

#[tokio::test]
async fn sealed_material_outlives_its_tombstone_for_the_minimum_wait_also_over_a_restart() {
    let mut world = World::defined().await;
    world.purge = PurgePolicy::default();
    let a = world.start("a").await;
    a.sealed_when_usable(SERVICE, b"hello").await;
    a.replicates().await;
    world.tell(10, &facts::purge(SERVICE, 9)).await;
    a.refuses(SERVICE, "key_purged").await;
    drop(a);
    world.advance(std::time::Duration::from_secs(365 * 86_400));
    let a = world.start("a").await;
    a.refuses(SERVICE, "key_purged").await;
    assert_eq!(
        purges(&a).await,
        [(SERVICE.to_owned(), "waiting".to_owned())],
        "a clock set forward hurries nothing"
    );
    assert_eq!(on_mesh(&world).await.len(), 2);
}

#[tokio::test]
async fn a_wall_clock_that_is_set_back_does_not_stop_a_wait() {
    let mut world = World::defined().await;
    world.purge.minimum_wait = std::time::Duration::from_secs(300);
    let a = world.start("a").await;
    a.sealed_when_usable(SERVICE, b"hello").await;
    a.replicates().await;
    world.tell(10, &facts::purge(SERVICE, 9)).await;
    comes_to(&a, SERVICE, "waiting").await;
    let now = world.clock.now().as_millis();
    world.clock.set_wall(openkcm_contracts::Timestamp::from_millis(now - 3_600_000));
    // Each change wakes it, and more than the wait goes by, by far less than was set back.
    for counter in 11..31 {
        world.advance(std::time::Duration::from_secs(60));
        world.tell(counter, &facts::key(OTHER, |_| ())).await;
        world.heard_by(&a).await;
        if purges(&a).await == [(SERVICE.to_owned(), "done".to_owned())] {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    comes_to(&a, SERVICE, "done").await;
}

#[tokio::test]
async fn what_was_made_apart_and_comes_after_the_tombstone_is_never_told_and_never_used() {
    let world = World::defined().await;
    let way = Way::new(world.mesh.clone(), Link::Up);
    let (a, b) = (world.start_on("a", &way).await, world.start("b").await);
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    b.opens(SERVICE, &sealed, b"hello").await;
    a.replicates().await;
    way.set(Link::Cut);
    let apart = a.rotate(SERVICE).await;
    // Cut off, it relies on its own disk after a while.
    world.advance(std::time::Duration::from_secs(5));
    a.activates(SERVICE, apart).await;
    let apart_sealed = a.sealed_when_usable(SERVICE, b"apart").await;
    world.tell(10, &facts::key(SERVICE, facts::deleted)).await;
    world.tell(11, &facts::purge(SERVICE, 10)).await;
    comes_to(&b, SERVICE, "done").await;
    way.set(Link::Up);
    comes_to(&a, SERVICE, "done").await;
    a.replicates().await;
    for core in [&a, &b] {
        core.refuses_to_open(SERVICE, &apart_sealed, "key_purged").await;
    }
    assert!(!on_mesh(&world).await.contains(&apart), "no ciphertext of it was ever to be had");
}

#[tokio::test]
async fn a_late_copy_of_what_was_destroyed_is_not_taken_in() {
    let world = World::defined().await;
    let (a, b) = world.start_both().await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    b.opens(SERVICE, &sealed, b"hello").await;
    a.replicates().await;
    let copies = world.sealed_on_mesh().await;
    let copy = copies.into_iter().find(|sealed| sealed.service.is_some()).expect("the service's");
    world.tell(10, &facts::purge(SERVICE, 9)).await;
    comes_to(&b, SERVICE, "done").await;
    let version = VersionId::from_bytes([7; 16]);
    let late = openkcm_contracts::v1::KeySealed { version, maker: facts::region("a"), ..copy };
    world.tell_sealed("a", &late).await;
    world.heard_by(&b).await;
    assert_eq!(b.versions(SERVICE).await, []);
    b.refuses(SERVICE, "key_purged").await;
}

#[tokio::test]
async fn more_than_the_brake_lets_through_waits_for_an_operators_word() {
    let mut world = World::defined().await;
    world.purge.brake = Brake { percent: 0, least: 1, ..Brake::default() };
    let a = world.start("a").await;
    world.tell(5, &facts::key("acme/ops", |_| ())).await;
    world.tell(6, &facts::key(OTHER, |_| ())).await;
    a.sealed_when_usable(SERVICE, b"hello").await;
    a.sealed_when_usable(OTHER, b"hello").await;
    world.tell(10, &facts::purge(SERVICE, 9)).await;
    comes_to(&a, SERVICE, "done").await;
    world.tell(11, &facts::purge("acme/ops", 10)).await;
    comes_to(&a, "acme/ops", "held").await;
    a.refuses(OTHER, "key_purged").await;
    assert_eq!(a.versions(OTHER).await.len(), 0, "nothing of it is shown, and its sealed form is there");
    assert_eq!(on_mesh(&world).await.len(), 3);
    assert_eq!(a.get("/v1/status").await.body["purges"]["held"], 1);
    let confirmed = a.post("/v1/purges/confirm", json!({ "keys": ["acme/ops", SERVICE] }).to_string()).await;
    assert_eq!(confirmed.body, json!({ "keys": ["acme/ops"] }), "{confirmed:?}");
    comes_to(&a, "acme/ops", "done").await;
    assert_eq!(a.get("/v1/status").await.body["purges"], json!({ "waiting": 0, "held": 0, "destroyed": 3 }));
}

#[tokio::test]
async fn an_operator_can_hold_a_purge_and_no_decision_is_half_said() {
    let mut world = World::defined().await;
    world.purge = PurgePolicy::default();
    let a = world.start("a").await;
    a.sealed_when_usable(SERVICE, b"hello").await;
    world.tell(10, &facts::purge(SYSTEM, 9)).await;
    comes_to(&a, SYSTEM, "waiting").await;
    for wrong in [json!({}), json!({ "keys": ["x"] }), json!({ "keys": [SYSTEM], "all": true })] {
        let reply = a.post("/v1/purges/hold", wrong.to_string()).await;
        assert_eq!(reply.code(), "invalid_request", "{reply:?}");
    }
    let held = a.post("/v1/purges/hold", json!({ "all": true }).to_string()).await;
    assert_eq!(held.body, json!({ "keys": [SYSTEM] }));
    assert_eq!(a.get("/v1/purges?state=held").await.body["items"][0]["key"], SYSTEM);
    assert_eq!(a.get("/v1/purges?state=waiting").await.body["items"], json!([]));
    assert_eq!(a.get("/v1/purges?state=gone").await.code(), "invalid_request");
}
