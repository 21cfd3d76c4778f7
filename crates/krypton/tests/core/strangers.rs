//! A Core of another region speaks up on the real mesh: it is heard, and changes nothing. What it can make
//! of the control in detail is under `bench::attacks`.

use openkcm_contracts::v1::{KeySealed, Seal};

use crate::rig::facts::{SERVICE, SYSTEM, region};
use crate::rig::{Running, World, eventually};

/// Waits until everything that was said of versions so far was settled.
async fn has_heard_of(world: &World, core: &Running, last: &KeySealed) {
    let told = world.sealed_on_mesh().await.into_iter().filter(|sealed| sealed.maker == last.maker);
    assert!(told.count() > 0, "the mesh takes what is signed");
    // The L2 of a system of its own, told last on the same lane by a region of the tenant.
    let before = core.versions(SYSTEM).await.len();
    let mark = KeySealed { maker: region("b"), counter: 0, version: last.version, ..last.clone() };
    world.tell_sealed("b", &KeySealed { service: None, ..mark }).await;
    eventually("the mark", async || (core.versions(SYSTEM).await.len() > before).then_some(())).await;
}

#[tokio::test]
async fn what_a_stranger_says_of_a_tenants_versions_neither_hides_nor_replaces_them() {
    let world = World::defined().await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    a.replicates().await;
    let real = world.sealed_on_mesh().await;
    let versions = (a.versions(SYSTEM).await, a.versions(SERVICE).await);
    for version in &real {
        let by = version.seals[0].by.clone();
        let seals = vec![Seal { by, ciphertext: "AAAA".into() }];
        let copy = KeySealed { maker: region("stranger"), ..version.clone() };
        // The same version with garbage in its place, and with another counter.
        world.tell_sealed("stranger", &KeySealed { seals, counter: 0, ..copy.clone() }).await;
        world.tell_sealed("stranger", &KeySealed { counter: 1 << 40, ..copy }).await;
        // Under the name of the region that made it: it is not its word.
        let forged = KeySealed { seals: Vec::new(), counter: 0, ..version.clone() };
        world.tell_sealed("stranger", &forged).await;
    }
    let mark = KeySealed {
        version: openkcm_contracts::VersionId::from_bytes([9; 16]),
        maker: region("stranger"),
        ..real[0].clone()
    };
    has_heard_of(&world, &a, &mark).await;
    a.opens(SERVICE, &sealed, b"hello").await;
    assert_eq!(a.versions(SERVICE).await, versions.1);
    drop(a);
    // A Core that hears it all at once, and one that starts anew with it on its disk.
    for core in [world.start("a").await, world.start("b").await] {
        core.opens(SERVICE, &sealed, b"hello").await;
        assert_eq!(core.when_usable(SERVICE, b"x").await.version(), versions.1[0]);
    }
}
