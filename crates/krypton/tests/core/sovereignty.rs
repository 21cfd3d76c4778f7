//! When the customer pulls the plug, serving ends; no older word undoes a newer one; a new link opens
//! what was sealed before.

use openkcm_contracts::EventType;

use crate::rig::facts::{self, SERVICE, SYSTEM};
use crate::rig::{Mood, World, eventually};

#[tokio::test]
async fn an_unlink_alone_ends_serving_in_both_regions_and_over_restarts() {
    let world = World::defined().await;
    let (a, b) = world.start_both().await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    b.opens(SERVICE, &sealed, b"hello").await;
    world.tell(5, &facts::unlink("acme", 4)).await;
    for core in [&a, &b] {
        let refused = core.refuses(SERVICE, "tenant_unlinked").await;
        assert_eq!(refused.status, 403);
        assert_eq!(core.decrypt(SERVICE, &sealed).await.code(), "tenant_unlinked");
        assert_eq!(core.rewrap(SERVICE, &sealed).await.code(), "tenant_unlinked");
        for key in [SERVICE, SYSTEM] {
            assert_eq!(core.ask(key, "rotate", &serde_json::json!({})).await.code(), "tenant_unlinked");
        }
    }
    // The gate closes before the word is on disk; what a restart finds is what is on disk.
    a.has_applied(5).await;
    b.has_applied(5).await;
    drop((a, b));
    let (a, b) = world.start_both().await;
    for core in [&a, &b] {
        assert_eq!(
            core.decrypt(SERVICE, &sealed).await.code(),
            "tenant_unlinked",
            "from the first request on"
        );
    }
}

#[tokio::test]
async fn a_revoke_alone_ends_serving_and_its_epoch_never_comes_back() {
    let world = World::defined().await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    world.tell(5, &facts::revoke("acme", 4)).await;
    a.refuses(SERVICE, "tenant_unlinked").await;
    a.has_applied(5).await;
    drop(a);
    let a = world.start("a").await;
    assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), "tenant_unlinked");
    // The same link again, even with a newer revision, is the link that was revoked.
    world.tell(6, &facts::link("acme", 4)).await;
    world.heard_by(&a).await;
    assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), "tenant_unlinked");
}

#[tokio::test]
async fn a_revoke_that_arrives_before_its_link_keeps_the_link_from_serving() {
    let world = World::new().await;
    let a = world.start("a").await;
    world.tell(5, &facts::revoke("acme", 4)).await;
    world.tell(1, &facts::tenant("acme", |_| ())).await;
    a.refuses(SERVICE, "tenant_unlinked").await;
    for (counter, event) in facts::all() {
        world.tell(counter, &event).await;
    }
    world.heard_by(&a).await;
    assert_eq!(a.encrypt(SERVICE, b"x").await.code(), "tenant_unlinked");
    assert_eq!(world.sealed_on_mesh().await, [], "nothing is made under a dead link");
    world.tell(6, &facts::link("acme", 6)).await;
    a.sealed_when_usable(SERVICE, b"x").await;
}

#[tokio::test]
async fn a_replay_of_an_older_link_does_not_undo_a_newer_unlink() {
    let world = World::defined().await;
    let a = world.start("a").await;
    a.sealed_when_usable(SERVICE, b"hello").await;
    world.tell(5, &facts::unlink("acme", 4)).await;
    a.refuses(SERVICE, "tenant_unlinked").await;
    a.has_applied(5).await;
    // A mesh that was restored from an older copy says again what it said before.
    let mesh = openkcm_orbital::Embedded::open(
        &world.directory.path().join("restored.db"),
        &openkcm_host::OsEntropy::new(),
    )
    .await
    .expect("a mesh");
    drop(a);
    let mut world = world;
    world.mesh = mesh;
    for (counter, event) in facts::all() {
        world.tell(counter, &event).await;
    }
    let a = world.start("a").await;
    world.heard_by(&a).await;
    assert_eq!(a.encrypt(SERVICE, b"x").await.code(), "tenant_unlinked");
}

#[tokio::test]
async fn a_replay_of_an_older_unlink_or_revoke_does_not_end_a_newer_link() {
    let world = World::defined().await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    world.tell(5, &facts::unlink("acme", 4)).await;
    a.refuses(SERVICE, "tenant_unlinked").await;
    world.tell(6, &facts::link("acme", 6)).await;
    a.opens(SERVICE, &sealed, b"hello").await;
    world.tell(7, &facts::revoke("acme", 4)).await;
    a.has_applied(7).await;
    world.heard_by(&a).await;
    assert_eq!(a.decrypt(SERVICE, &sealed).await.status, 200);
}

#[tokio::test]
async fn a_new_link_opens_what_was_sealed_before_and_makes_nothing() {
    let world = World::defined().await;
    let (a, b) = world.start_both().await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    b.opens(SERVICE, &sealed, b"hello").await;
    for epoch in [6, 8, 10] {
        world.tell(epoch - 1, &facts::unlink("acme", epoch - 2)).await;
        a.refuses(SERVICE, "tenant_unlinked").await;
        world.tell(epoch, &facts::link("acme", epoch)).await;
        a.opens(SERVICE, &sealed, b"hello").await;
        b.opens(SERVICE, &sealed, b"hello").await;
    }
    assert_eq!(a.versions(SERVICE).await.len(), 1);
    assert_eq!(world.sealed_on_mesh().await.len(), 2);
}

#[tokio::test]
async fn a_revoke_that_can_not_be_read_fails_closed_until_a_newer_link() {
    let world = World::defined().await;
    world.tell(1, &facts::tenant("other", |_| ())).await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    world.tell_nonsense(EventType::L1Revoke, "revoke.acme", 5).await;
    a.refuses(SERVICE, "tenant_unlinked").await;
    eventually("it is kept for an operator", async || {
        (a.handle.status().await.expect("the store can be read").mesh.quarantined == 1).then_some(())
    })
    .await;
    drop(a);
    let a = world.start("a").await;
    assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), "tenant_unlinked");
    world.tell(6, &facts::link("acme", 6)).await;
    a.opens(SERVICE, &sealed, b"hello").await;
}

#[tokio::test]
async fn a_key_that_the_provider_opens_after_the_unlink_is_not_kept() {
    let world = World::new().await;
    let root = facts::root("moody", "acme");
    for (counter, event) in facts::all().into_iter().take(3) {
        world.tell(counter, &event).await;
    }
    world.tell(4, &facts::linked_to("acme", 4, std::slice::from_ref(&root))).await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    drop(a);
    world.moody.set(Mood::Ponders);
    let asked = world.moody.asked();
    let a = world.start("a").await;
    eventually("the provider was asked", async || (world.moody.asked() > asked).then_some(())).await;
    assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), "hydrating");
    world.tell(5, &facts::revoke("acme", 4)).await;
    a.refuses(SERVICE, "tenant_unlinked").await;
    world.moody.set(Mood::Answers);
    world.heard_by(&a).await;
    assert_eq!(a.decrypt(SERVICE, &sealed).await.code(), "tenant_unlinked");
    world.tell(6, &facts::linked_to("acme", 6, &[root])).await;
    a.opens(SERVICE, &sealed, b"hello").await;
}

#[tokio::test]
async fn an_unlink_wipes_the_plaintext_keys_of_its_tenant_alone() {
    if std::env::var_os("NEXTEST").is_none() {
        // Keys are counted for the whole process, and `cargo test` runs other tests in it.
        eprintln!("not run: it needs a process of its own, which `cargo xtask test` gives it");
        return;
    }
    let world = World::defined().await;
    let keys = || openkcm_secrets::usage().slots_in_use;
    let a = world.start("a").await;
    a.sealed_when_usable(SERVICE, b"x").await;
    eventually("an L2 and an L3", async || (keys() == 2).then_some(())).await;
    for (counter, name) in [(11, "other"), (12, "third")] {
        world.tell(counter, &facts::tenant(name, |_| ())).await;
        world.tell(counter, &facts::key(&format!("{name}/hr"), |_| ())).await;
        world.tell(counter, &facts::key(&format!("{name}/hr/payroll"), |_| ())).await;
        world.tell(counter, &facts::link(name, counter)).await;
        a.sealed_when_usable(&format!("{name}/hr/payroll"), b"x").await;
    }
    eventually("three of each", async || (keys() == 6).then_some(())).await;
    world.tell(21, &facts::unlink("acme", 4)).await;
    eventually("those of one tenant are wiped", async || (keys() == 4).then_some(())).await;
    world.tell(22, &facts::revoke("other", 11)).await;
    eventually("those of another are wiped", async || (keys() == 2).then_some(())).await;
    a.sealed_when_usable("third/hr/payroll", b"x").await;
    world.tell(23, &facts::key("third/hr/payroll", facts::disabled)).await;
    eventually("a disabled L3 is wiped", async || (keys() == 1).then_some(())).await;
    drop(a);
    eventually("a Core that ended leaves none", async || (keys() == 0).then_some(())).await;
}
