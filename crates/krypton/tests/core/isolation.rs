//! A Core that is cut off serves what it holds and goes on by itself; what it made alone is said to be
//! at risk, and is told when the mesh is back; a crash in between loses nothing and makes nothing twice.

use std::time::Duration;

use openkcm_krypton::rules::REPLICATION_PATIENCE;
use serde_json::json;

use crate::rig::facts::{self, SERVICE, SYSTEM};
use crate::rig::{Link, Way, World, eventually};

#[tokio::test]
async fn a_restarted_core_serves_what_it_held_with_the_mesh_away() {
    let world = World::defined().await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    a.replicates().await;
    drop(a);
    let a = world.start_on("a", &Way::new(world.mesh.clone(), Link::Cut)).await;
    a.opens(SERVICE, &sealed, b"hello").await;
    let again = a.when_usable(SERVICE, b"hello").await;
    assert!(!again.is_at_risk(), "its version is known to be on the mesh");
    let ready = a.get("/readyz").await;
    assert_eq!(ready.status, 200, "being cut off is no reason not to serve: {}", ready.text);
    assert!(!a.handle.status().await.expect("the store can be read").mesh.connected);
}

#[tokio::test]
async fn a_version_is_at_risk_only_while_its_sealed_form_is_not_on_the_mesh() {
    let world = World::defined().await;
    let way = Way::new(world.mesh.clone(), Link::Up);
    let (a, b) = (world.start_on("a", &way).await, world.start("b").await);
    let before = a.when_usable(SERVICE, b"before").await;
    assert!(!before.is_at_risk());
    a.replicates().await;
    way.set(Link::Cut);
    // The caller waits for a replication that does not come; what it gets is kept on this disk alone.
    let (second, ()) = tokio::join!(a.rotate(SERVICE), async {
        eventually("a version at risk", async || {
            let status = a.handle.status().await.expect("the store can be read");
            (status.versions_at_risk == 1).then_some(())
        })
        .await;
        let meanwhile = a.encrypt(SERVICE, b"meanwhile").await;
        assert_eq!(meanwhile.version(), before.version(), "what is replicated is relied on first");
        assert!(!meanwhile.is_at_risk());
        world.advance(REPLICATION_PATIENCE);
    });
    a.activates(SERVICE, second).await;
    let alone = a.encrypt(SERVICE, b"alone").await;
    assert!(alone.is_at_risk() && alone.version() == second);
    let opened = a.decrypt(SERVICE, &alone.field("ciphertext")).await;
    assert!(opened.is_at_risk() && opened.status == 200);
    assert!(a.ask(SERVICE, "datakey", &json!({})).await.is_at_risk());
    assert!(a.rewrap(SERVICE, &before.field("ciphertext")).await.is_at_risk());
    assert!(!a.decrypt(SERVICE, &before.field("ciphertext")).await.is_at_risk(), "the older one is not");
    assert_eq!(b.decrypt(SERVICE, &alone.field("ciphertext")).await.code(), "material_not_here");
    way.set(Link::Up);
    a.replicates().await;
    assert!(!a.when_usable(SERVICE, b"x").await.is_at_risk());
    assert!(!a.decrypt(SERVICE, &alone.field("ciphertext")).await.is_at_risk());
    b.opens(SERVICE, &alone.field("ciphertext"), b"alone").await;
}

#[tokio::test]
async fn a_core_that_is_cut_off_from_its_start_makes_what_it_lacks_after_its_patience() {
    let world = World::defined().await;
    let way = Way::new(world.mesh.clone(), Link::Mute);
    let a = world.start_on("a", &way).await;
    let first = a
        .as_time_passes(&world, REPLICATION_PATIENCE, "a first version at risk", async || {
            let reply = a.encrypt(SERVICE, b"hello").await;
            (reply.status == 200).then_some(reply)
        })
        .await;
    assert!(first.is_at_risk());
    assert_eq!(world.sealed_on_mesh().await, []);
    let status = a.get("/v1/status").await;
    assert_eq!(status.body["versions_at_risk"], 2, "{}", status.text);
    assert_eq!(status.body["tenants_at_risk"], json!([{"tenant": "acme", "versions": 2}]), "{}", status.text);
    assert_eq!(a.get("/v1/tenants/acme").await.body["versions_at_risk"], 2);
    let metrics = a.get("/metrics").await.text;
    for line in [
        "openkcm_versions_at_risk{component=\"krypton\"} 2",
        "openkcm_tenants_at_risk{component=\"krypton\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    let lanes = &status.body["mesh"]["outbox"]["lanes"];
    assert_eq!((&lanes[0]["lane"], &lanes[0]["letters"]), (&2.into(), &2.into()), "{lanes}");
    way.set(Link::Up);
    a.replicates().await;
    let status = a.get("/v1/status").await;
    assert_eq!((&status.body["versions_at_risk"], &status.body["tenants_at_risk"]), (&json!(0), &json!([])));
    let b = world.start("b").await;
    b.opens(SERVICE, &first.field("ciphertext"), b"hello").await;
}

#[tokio::test]
async fn a_crash_between_commit_and_publication_sends_the_letters_and_makes_nothing_twice() {
    let world = World::defined().await;
    let mute = Way::new(world.mesh.clone(), Link::Mute);
    let a = world.start_on("a", &mute).await;
    eventually("an L2 that is kept and not told", async || {
        let status = a.handle.status().await.expect("the store can be read");
        // Beside it a manifest may wait, on its own lane.
        let sealed = &status.mesh.outbox.lanes[0];
        (status.versions_at_risk == 1 && (sealed.lane, sealed.letters) == (2, 1)).then_some(())
    })
    .await;
    let made = a.versions(SYSTEM).await;
    drop(a);
    assert_eq!(world.sealed_on_mesh().await, []);
    // Still cut off after the crash: it knows that the version is at risk, and makes no other.
    let a = world.start_on("a", &mute).await;
    world.heard_by(&a).await;
    assert_eq!(a.handle.status().await.expect("the store can be read").versions_at_risk, 1);
    assert_eq!(a.versions(SYSTEM).await, made);
    drop(a);
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    a.replicates().await;
    assert_eq!(a.versions(SYSTEM).await, made);
    assert_eq!(a.versions(SERVICE).await.len(), 1);
    assert_eq!(world.sealed_on_mesh().await.len(), 2);
    let b = world.start("b").await;
    b.opens(SERVICE, &sealed, b"hello").await;
}

#[tokio::test]
async fn a_core_that_is_killed_at_any_moment_of_its_beginning_makes_each_version_once() {
    let world = World::defined().await;
    for at in 0..12 {
        let a = world.start("a").await;
        // Killed wherever it is after so many looks: between any two of its commits.
        let mut looks = 0;
        eventually("the moment", async || {
            looks += 1;
            (looks > at).then_some(())
        })
        .await;
        drop(a);
    }
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    a.replicates().await;
    assert_eq!((a.versions(SYSTEM).await.len(), a.versions(SERVICE).await.len()), (1, 1));
    assert_eq!(world.sealed_on_mesh().await.len(), 2);
    world.start("b").await.opens(SERVICE, &sealed, b"hello").await;
}

#[tokio::test]
async fn two_regions_that_rotate_apart_open_all_of_each_other_when_they_meet() {
    let world = World::defined().await;
    let (way_a, way_b) = (Way::new(world.mesh.clone(), Link::Up), Way::new(world.mesh.clone(), Link::Up));
    let (a, b) = (world.start_on("a", &way_a).await, world.start_on("b", &way_b).await);
    let sealed = a.sealed_when_usable(SERVICE, b"x").await;
    b.opens(SERVICE, &sealed, b"x").await;
    way_a.set(Link::Cut);
    way_b.set(Link::Cut);
    let mut apart = Vec::new();
    for core in [&a, &b] {
        for round in 0..2 {
            let (second, ()) = tokio::join!(core.rotate(SERVICE), async {
                eventually("one more at risk", async || {
                    let status = core.handle.status().await.expect("the store can be read");
                    (status.versions_at_risk == round + 1).then_some(())
                })
                .await;
                world.advance(REPLICATION_PATIENCE);
            });
            core.activates(SERVICE, second).await;
            apart.push(core.encrypt(SERVICE, b"apart").await.field("ciphertext"));
        }
    }
    world.tell(5, &facts::key("acme/hr/new", |_| ())).await;
    way_a.set(Link::Up);
    way_b.set(Link::Up);
    for core in [&a, &b] {
        for sealed in &apart {
            core.opens(SERVICE, sealed, b"apart").await;
        }
        assert_eq!(core.versions(SERVICE).await.len(), 5);
    }
    assert_eq!(a.active(SERVICE).await, b.active(SERVICE).await);
    let new = a.sealed_when_usable("acme/hr/new", b"new").await;
    b.opens("acme/hr/new", &new, b"new").await;
}

#[tokio::test]
async fn an_unlink_that_was_said_while_a_region_was_cut_off_ends_serving_when_it_is_back() {
    let world = World::defined().await;
    let way = Way::new(world.mesh.clone(), Link::Up);
    let a = world.start_on("a", &way).await;
    a.sealed_when_usable(SERVICE, b"hello").await;
    way.set(Link::Cut);
    eventually("it is cut off", async || {
        let status = a.handle.status().await.expect("the store can be read");
        (!status.mesh.connected).then_some(())
    })
    .await;
    world.tell(5, &facts::unlink("acme", 4)).await;
    world.advance(Duration::from_secs(3600));
    assert_eq!(a.encrypt(SERVICE, b"x").await.status, 200, "leases come with the sovereignty issue");
    way.set(Link::Up);
    a.refuses(SERVICE, "tenant_unlinked").await;
}
