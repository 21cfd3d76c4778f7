//! What the Registry says of a key, a system or a tenant holds, in whatever order it arrives.

use openkcm_contracts::TenantState;
use openkcm_contracts::v1::KeyDefine;
use serde_json::json;

use crate::rig::facts::{self, SERVICE, SYSTEM, generation};
use crate::rig::{Running, World, eventually};

/// A region `a` that serves, and a ciphertext of it.
async fn serving() -> (World, Running, String) {
    let world = World::defined().await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    (world, a, sealed)
}

#[tokio::test]
async fn a_deleted_or_disabled_service_is_refused_and_serves_again_when_it_is_undeleted() {
    let (world, a, sealed) = serving().await;
    for (counter, change) in [(11, facts::disabled as fn(&mut KeyDefine)), (13, facts::deleted)] {
        world.tell(counter, &facts::key(SERVICE, change)).await;
        assert_eq!(a.refuses(SERVICE, "key_disabled").await.status, 403);
        for operation in ["decrypt", "rewrap"] {
            let refused = a.ask(SERVICE, operation, &json!({ "ciphertext": sealed })).await;
            assert_eq!(refused.code(), "key_disabled", "{operation}");
        }
        assert_eq!(a.ask(SERVICE, "rotate", &json!({})).await.code(), "key_disabled");
        assert_eq!(a.ask(SERVICE, "datakey", &json!({})).await.code(), "key_disabled");
        world.tell(counter + 1, &facts::key(SERVICE, |_| ())).await;
        a.opens(SERVICE, &sealed, b"hello").await;
    }
    assert_eq!(a.versions(SERVICE).await.len(), 1);
}

#[tokio::test]
async fn a_disabled_system_refuses_all_its_services_and_opens_them_again() {
    let (world, a, sealed) = serving().await;
    world.tell(10, &facts::key("acme/ops", |_| ())).await;
    world.tell(11, &facts::key("acme/ops/logs", |_| ())).await;
    a.sealed_when_usable("acme/ops/logs", b"x").await;
    world.tell(12, &facts::key(SYSTEM, facts::disabled)).await;
    a.refuses(SERVICE, "key_disabled").await;
    assert_eq!(a.ask(SYSTEM, "rotate", &json!({})).await.code(), "key_disabled");
    assert_eq!(a.encrypt("acme/ops/logs", b"x").await.status, 200, "another system goes on");
    world.tell(13, &facts::key(SYSTEM, |_| ())).await;
    a.opens(SERVICE, &sealed, b"hello").await;
    assert_eq!((a.versions(SYSTEM).await.len(), a.versions(SERVICE).await.len()), (1, 1));
}

#[tokio::test]
async fn a_definition_ends_with_the_generation_that_it_belongs_to() {
    let (world, a, sealed) = serving().await;
    let anew = |fact: &mut KeyDefine| fact.generation = generation(20);
    world.tell(20, &facts::key(SYSTEM, anew)).await;
    a.refuses(SERVICE, "key_disabled").await;
    // Its service, defined again under the new system; and before that, what is ahead of its parent.
    let under_it = |fact: &mut KeyDefine| (fact.generation, fact.parent) = (generation(21), generation(20));
    world.tell(21, &facts::key(SERVICE, under_it)).await;
    let anew = a.sealed_when_usable(SERVICE, b"anew").await;
    a.opens(SERVICE, &anew, b"anew").await;
    assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), "key_disabled", "its generation has ended");
    let ahead = |fact: &mut KeyDefine| (fact.generation, fact.parent) = (generation(31), generation(30));
    world.tell(31, &facts::key(SERVICE, ahead)).await;
    a.refuses(SERVICE, "hydrating").await;
    world.tell(30, &facts::key(SYSTEM, |fact| fact.generation = generation(30))).await;
    a.sealed_when_usable(SERVICE, b"x").await;
}

#[tokio::test]
async fn a_service_that_is_defined_again_has_new_material_and_refuses_the_old() {
    let (world, a, sealed) = serving().await;
    let b = world.start("b").await;
    b.opens(SERVICE, &sealed, b"hello").await;
    let first = a.versions(SERVICE).await;
    world.tell(11, &facts::key(SERVICE, |fact| fact.generation = generation(11))).await;
    for core in [&a, &b] {
        let refused = core.refuses_to_open(SERVICE, &sealed, "key_disabled").await;
        assert_eq!(refused.status, 403);
    }
    let anew = a.when_usable(SERVICE, b"anew").await;
    assert!(!first.contains(&anew.version()));
    b.opens(SERVICE, &anew.field("ciphertext"), b"anew").await;
    assert_eq!(a.rewrap(SERVICE, &sealed).await.code(), "key_disabled", "no way out of an ended generation");
    // A replay of the ended definition brings nothing back.
    world.tell(3, &facts::key(SERVICE, |_| ())).await;
    world.heard_by(&a).await;
    assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), "key_disabled");
}

#[tokio::test]
async fn a_compromised_version_is_refused_may_be_rewrapped_and_is_replaced() {
    let (world, a, sealed) = serving().await;
    let b = world.start("b").await;
    b.opens(SERVICE, &sealed, b"hello").await;
    let first = a.versions(SERVICE).await[0];
    world
        .tell(
            11,
            &facts::key(SERVICE, |fact| {
                fact.compromised.insert(first);
            }),
        )
        .await;
    for core in [&a, &b] {
        let refused = core.refuses_to_open(SERVICE, &sealed, "key_compromised").await;
        assert_eq!(refused.status, 403);
        let next = core.when_usable(SERVICE, b"next").await;
        assert_ne!(next.version(), first, "a new version takes its place");
        let rewrapped = core.rewrap(SERVICE, &sealed).await;
        assert_eq!(rewrapped.version(), next.version());
        a.opens(SERVICE, &rewrapped.field("ciphertext"), b"hello").await;
        b.opens(SERVICE, &rewrapped.field("ciphertext"), b"hello").await;
    }
    let shown = a.get(&format!("/v1/keys/{SERVICE}")).await;
    assert_eq!(shown.body["versions"][0]["state"], "compromised");
    assert_eq!(shown.body["versions"][1]["state"], "active");
    assert_eq!(a.versions(SERVICE).await, b.versions(SERVICE).await, "the second region receives it");
}

#[tokio::test]
async fn a_compromised_older_version_changes_nothing_for_the_newer_one() {
    let (world, a, sealed) = serving().await;
    let first = a.versions(SERVICE).await[0];
    let second = a.rotate(SERVICE).await;
    world
        .tell(
            11,
            &facts::key(SERVICE, |fact| {
                fact.compromised.insert(first);
            }),
        )
        .await;
    a.refuses_to_open(SERVICE, &sealed, "key_compromised").await;
    assert_eq!(a.encrypt(SERVICE, b"x").await.version(), second);
    assert_eq!(a.versions(SERVICE).await, [first, second]);
}

#[tokio::test]
async fn a_compromised_l2_is_replaced_and_what_it_sealed_can_still_be_rewrapped() {
    let (world, a, sealed) = serving().await;
    let first = a.versions(SYSTEM).await[0];
    world
        .tell(
            11,
            &facts::key(SYSTEM, |fact| {
                fact.compromised.insert(first);
            }),
        )
        .await;
    eventually("a second L2", async || (a.versions(SYSTEM).await.len() == 2).then_some(())).await;
    let second = a.versions(SYSTEM).await[1];
    a.activates(SYSTEM, second).await;
    a.rotate(SERVICE).await;
    a.opens(SERVICE, &sealed, b"hello").await;
    a.replicates().await;
    let newest = world.sealed_on_mesh().await.pop().expect("the last one");
    assert_eq!(newest.seals[0].by, openkcm_contracts::v1::SealedBy::L2(second));
}

#[tokio::test]
async fn a_suspended_or_offboarded_tenant_is_refused_and_a_withdrawn_one_unknown() {
    let (world, a, sealed) = serving().await;
    let states = [
        (TenantState::Suspended, "key_disabled", 403),
        (TenantState::Withdrawn, "unknown_key", 404),
        (TenantState::Offboarded, "key_disabled", 403),
    ];
    for (counter, (state, code, status)) in (11..).step_by(2).zip(states) {
        world.tell(counter, &facts::tenant("acme", |fact| fact.state = state)).await;
        assert_eq!(a.refuses(SERVICE, code).await.status, status, "{state:?}");
        assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), code);
        world.tell(counter + 1, &facts::tenant("acme", |_| ())).await;
        a.opens(SERVICE, &sealed, b"hello").await;
    }
    let moved = |fact: &mut openkcm_contracts::v1::TenantDefine| fact.regions = vec![facts::region("b")];
    world.tell(21, &facts::tenant("acme", moved)).await;
    a.refuses(SERVICE, "unknown_key").await;
}

#[tokio::test]
async fn an_older_word_of_the_registry_changes_nothing() {
    let (world, a, sealed) = serving().await;
    world.tell(11, &facts::key(SERVICE, facts::disabled)).await;
    a.refuses(SERVICE, "key_disabled").await;
    world.tell(10, &facts::key(SERVICE, |_| ())).await;
    world.tell(2, &facts::tenant("acme", |_| ())).await;
    world.heard_by(&a).await;
    assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), "key_disabled");
}

#[tokio::test]
async fn what_one_authority_says_in_the_others_place_changes_nothing() {
    let (world, a, sealed) = serving().await;
    world.tell_as("registry", 50, &facts::unlink("acme", 4)).await;
    world.tell_as("registry", 51, &facts::revoke("acme", 4)).await;
    world.tell_as("cmk", 52, &facts::key(SERVICE, facts::deleted)).await;
    world.tell_as("b", 53, &facts::tenant("acme", |fact| fact.state = TenantState::Offboarded)).await;
    world.tell_as("b", 54, &facts::revoke("acme", 4)).await;
    world.tell(60, &facts::revoke("none", 4)).await;
    a.has_applied(60).await;
    world.heard_by(&a).await;
    assert_eq!(a.decrypt(SERVICE, &sealed).await.status, 200);
}
