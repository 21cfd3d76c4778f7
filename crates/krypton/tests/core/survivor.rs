//! A region that lacks what another one made refuses exactly that, makes nothing in its place, and opens it when it
//! arrives.

use std::time::Duration;

use openkcm_contracts::VersionId;
use openkcm_krypton::rules::{FIRST_VERSION_PATIENCE, REPLICATION_PATIENCE};

use crate::bench::{Bench, service};
use crate::rig::facts::{self, SERVICE, SYSTEM};
use crate::rig::{Link, Running, Way, World, eventually};

/// Rotates a key in a region that can't tell of it, until the new version encrypts.
async fn rotates_alone(world: &World, core: &Running, key: &str) -> VersionId {
    let at_risk = async || core.handle.status().await.expect("the store can be read").versions_at_risk;
    let before = at_risk().await;
    let (version, ()) = tokio::join!(core.rotate(key), async {
        eventually("one more at risk", async || (at_risk().await == before + 1).then_some(())).await;
        world.advance(REPLICATION_PATIENCE);
    });
    version
}

#[tokio::test]
async fn a_survivor_refuses_exactly_what_it_lacks_and_opens_it_when_it_arrives() {
    let world = World::defined().await;
    let way = Way::new(world.mesh.clone(), Link::Up);
    let (a, b) = (world.start_on("a", &way).await, world.start("b").await);
    let told = a.sealed_when_usable(SERVICE, b"told").await;
    b.opens(SERVICE, &told, b"told").await;
    a.replicates().await;
    way.set(Link::Mute);
    let mut held_back = Vec::new();
    // An L3 under the L2 that the survivor has; then one under an L2 that it lacks too.
    for key in [None, Some(SYSTEM)] {
        if let Some(system) = key {
            rotates_alone(&world, &a, system).await;
        }
        let version = rotates_alone(&world, &a, SERVICE).await;
        a.activates(SERVICE, version).await;
        held_back.push(a.encrypt(SERVICE, b"held back").await.field("ciphertext"));
    }
    let versions = (a.versions(SYSTEM).await, a.versions(SERVICE).await);
    assert_eq!((versions.0.len(), versions.1.len()), (2, 3));
    // The region is lost, and its disk with it, as far as the other knows.
    drop(a);
    for ciphertext in &held_back {
        let refused = b.refuses_to_open(SERVICE, ciphertext, "material_not_here").await;
        assert_eq!((refused.status, refused.retry_after.is_some()), (503, true), "it is worth another try");
    }
    world.advance(FIRST_VERSION_PATIENCE * 10);
    world.heard_by(&b).await;
    b.opens(SERVICE, &told, b"told").await;
    b.when_usable(SERVICE, b"goes on").await;
    assert_eq!(
        (b.versions(SYSTEM).await.len(), b.versions(SERVICE).await.len()),
        (1, 1),
        "nothing is replaced"
    );
    drop(b);
    let b = world.start("b").await;
    b.opens(SERVICE, &told, b"told").await;
    b.refuses_to_open(SERVICE, &held_back[0], "material_not_here").await;
    // It was not lost after all.
    let a = world.start("a").await;
    a.replicates().await;
    for ciphertext in &held_back {
        b.opens(SERVICE, ciphertext, b"held back").await;
    }
    assert_eq!((b.versions(SYSTEM).await, b.versions(SERVICE).await), versions);
    let makers = world.sealed_on_mesh().await.into_iter().map(|sealed| sealed.maker.to_string());
    assert!(makers.into_iter().all(|maker| maker == "a"), "the survivor made nothing");
}

#[tokio::test]
async fn a_survivor_that_lacks_all_of_a_key_makes_a_version_for_new_data_and_opens_the_old_when_it_arrives() {
    let world = World::defined().await;
    let way = Way::new(world.mesh.clone(), Link::Up);
    let (a, b) = (world.start_on("a", &way).await, world.start("b").await);
    let told = a.sealed_when_usable(SERVICE, b"told").await;
    b.opens(SERVICE, &told, b"told").await;
    a.replicates().await;
    way.set(Link::Mute);
    let key = "acme/hr/new";
    world.tell_in("a", 11, &facts::key(key, |_| ())).await;
    let alone = a
        .as_time_passes(&world, REPLICATION_PATIENCE, "a version at risk", async || {
            let reply = a.encrypt(key, b"alone").await;
            (reply.status == 200).then(|| reply.field("ciphertext"))
        })
        .await;
    drop(a);
    world.tell_in("b", 11, &facts::key(key, |_| ())).await;
    let new = b
        .as_time_passes(&world, FIRST_VERSION_PATIENCE, "a version of its own", async || {
            let reply = b.encrypt(key, b"new").await;
            (reply.status == 200).then(|| reply.field("ciphertext"))
        })
        .await;
    let refused = b.decrypt(key, &alone).await;
    assert_eq!((refused.status, refused.code()), (503, "material_not_here"), "{}", refused.text);
    b.opens(key, &new, b"new").await;
    let a = world.start("a").await;
    for core in [&a, &b] {
        core.opens(key, &alone, b"alone").await;
        core.opens(key, &new, b"new").await;
        assert_eq!(core.versions(key).await.len(), 2, "in {}", core.region());
    }
    eventually("one version encrypts in both", async || {
        (a.active(key).await == b.active(key).await).then_some(())
    })
    .await;
}

#[test]
fn a_survivor_that_has_an_l3_and_not_the_l2_above_it_makes_no_other_and_opens_it_when_that_comes() {
    let maker = Bench::serving("a");
    let sealed = maker.encrypt().expect("it serves").ciphertext;
    let (l2, l3) = maker.held();
    let mut survivor = Bench::new("b");
    for (counter, event) in facts::all() {
        survivor.hears(counter, event);
    }
    l3.iter().for_each(|version| survivor.hears_of(version));
    for _ in 0..20 {
        survivor.passes(Duration::from_secs(60));
        survivor.tells();
        assert_eq!(
            survivor.decrypt(&sealed).expect_err("its L2 is missing").code.as_str(),
            "material_not_here"
        );
    }
    survivor.step(|core, _, now| {
        core.demand(&service(), now);
        Ok(openkcm_krypton::control::Effects::default())
    });
    survivor.passes(Duration::from_secs(60));
    assert_eq!(survivor.held().1, l3, "whoever asks for it");
    l2.iter().for_each(|version| survivor.hears_of(version));
    survivor.answers();
    let opened = survivor.decrypt(&sealed).expect("it opens");
    assert_eq!(opened.plaintext.as_slice(), b"plaintext");
    assert_eq!(survivor.encrypt().expect("it encrypts").version, l3[0].version);
}
