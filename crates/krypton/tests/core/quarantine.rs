//! What could not be read, and an operator: another try applies, dropping forgets, and neither reopens a gate.

use openkcm_contracts::{Event, EventType};

use crate::rig::facts::{self, SERVICE};
use crate::rig::{Running, World, eventually};

/// Waits until one event is in the quarantine; gives its path.
async fn one_event(core: &Running) -> String {
    eventually("an event is kept", async || {
        let page = core.get("/v1/quarantine").await;
        let items = page.body["items"].as_array().expect("a list");
        (items.len() == 1).then(|| format!("/v1/quarantine/{}", items[0]["id"].as_str().expect("an id")))
    })
    .await
}

async fn quarantined(core: &Running) -> u64 {
    core.handle.status().await.expect("the store can be read").mesh.quarantined
}

#[tokio::test]
async fn dropping_a_revoke_that_can_not_be_read_reopens_nothing() {
    let world = World::defined().await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    world.tell_nonsense(EventType::L1Revoke, "revoke.acme", 5).await;
    a.refuses(SERVICE, "tenant_unlinked").await;
    let event = one_event(&a).await;
    let shown = a.get(&event).await.body;
    assert_eq!((&shown["revokes"], &shown["tenant"]), (&true.into(), &"acme".into()));
    assert_eq!(a.post(&format!("{event}/retry"), "").await.code(), "still_poison");
    assert_eq!(a.delete(&event).await.status, 200);
    assert_eq!(quarantined(&a).await, 0);
    // The link that it may have meant, said again.
    world.tell(6, &facts::link("acme", 4)).await;
    a.has_applied(6).await;
    world.heard_by(&a).await;
    assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), "tenant_unlinked");
    drop(a);
    let a = world.start("a").await;
    assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), "tenant_unlinked");
    world.tell(7, &facts::link("acme", 7)).await;
    a.opens(SERVICE, &sealed, b"hello").await;
}

#[tokio::test]
async fn a_revoke_that_can_be_read_by_now_ends_its_link_and_leaves() {
    let world = World::defined().await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    drop(a);
    world.left_behind("a", 5, &facts::revoke("acme", 4)).await;
    let a = world.start("a").await;
    let event = one_event(&a).await;
    assert_eq!(a.post(&format!("{event}/retry"), "").await.status, 200);
    // When it is answered it has taken effect.
    assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), "tenant_unlinked");
    assert_eq!(quarantined(&a).await, 0);
    world.tell(6, &facts::link("acme", 6)).await;
    a.opens(SERVICE, &sealed, b"hello").await;
}

#[tokio::test]
async fn a_definition_that_can_be_read_by_now_is_served_and_a_newer_one_is_not_undone() {
    let world = World::new().await;
    let all = facts::all();
    let service =
        all.iter().position(|(_, event)| matches!(event, Event::KeyDefine(fact) if fact.service.is_some()));
    let service = service.expect("a service is defined");
    for (place, (counter, event)) in all.iter().enumerate() {
        if place != service {
            world.tell(*counter, event).await;
        }
    }
    let (counter, definition) = &all[service];
    drop(world.start("a").await);
    world.left_behind("a", *counter, definition).await;
    let a = world.start("a").await;
    assert_eq!(a.encrypt(SERVICE, b"hello").await.code(), "unknown_key");
    let event = one_event(&a).await;
    assert_eq!(a.post(&format!("{event}/retry"), "").await.status, 200);
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;

    world.tell(9, &facts::key(SERVICE, facts::disabled)).await;
    a.refuses_to_open(SERVICE, &sealed, "key_disabled").await;
    drop(a);
    world.left_behind("a", *counter, definition).await;
    let a = world.start("a").await;
    let event = one_event(&a).await;
    assert_eq!(a.post(&format!("{event}/retry"), "").await.status, 200);
    assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), "key_disabled");
    let status = a.handle.status().await.expect("the store can be read");
    assert_eq!((status.mesh.quarantined, status.mesh.replayed), (0, 1));
}
