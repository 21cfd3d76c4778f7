//! A Core that starts without a lease, since its store was put back or it was away for long, serves nothing of what it
//! holds before it has read what was said since.

use std::path::Path;

use openkcm_krypton::backup;

use crate::rig::facts::{self, SERVICE};
use crate::rig::{Link, Running, Way, World, eventually};

/// Takes a backup of region `a`, which may be running.
fn back_up(world: &World) {
    let copy = world.directory.path().join("backup.db");
    openkcm_store::backup::copy(&store(world), &copy, &backup::left_out()).expect("copied");
}

/// Its disk is lost, and the backup put in place.
fn put_back(world: &World) {
    std::fs::remove_dir_all(store(world).parent().expect("a directory")).expect("it is lost");
    std::fs::create_dir(store(world).parent().expect("a directory")).expect("a new disk");
    std::fs::copy(world.directory.path().join("backup.db"), store(world)).expect("copied");
}

fn store(world: &World) -> std::path::PathBuf {
    openkcm_component::store_file(Path::new(&world.directory.path().join("core-a")), "krypton")
}

async fn is_leased(core: &Running) {
    eventually("a lease", async || {
        let status = core.get("/v1/status").await;
        (status.body["lease"]["state"] == "held").then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_ended_since_a_backup_is_not_served_by_a_core_that_has_a_lease_and_not_read_of_it() {
    let world = World::defined().await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    a.replicates().await;
    back_up(&world);
    world.tell(10, &facts::key(SERVICE, facts::deleted)).await;
    a.refuses(SERVICE, "key_disabled").await;
    drop(a);
    put_back(&world);
    let way = Way::new(world.mesh.clone(), Link::Factless);
    let a = world.start_on("a", &way).await;
    is_leased(&a).await;
    a.refuses_to_open(SERVICE, &sealed, "hydrating").await;
    assert_eq!(a.get("/readyz").await.status, 503, "nobody is to be sent here");
    assert_eq!(a.get("/v1/status").await.body["lease"]["reads_first"], true);
    // A crash makes nothing of what was put back newer.
    drop(a);
    let a = world.start_on("a", &way).await;
    is_leased(&a).await;
    a.refuses_to_open(SERVICE, &sealed, "hydrating").await;
    way.set(Link::Up);
    let refused = async || {
        let code = a.decrypt(SERVICE, &sealed).await.code().to_owned();
        assert_ne!(code, "", "it is opened by no request between");
        (code == "key_disabled").then_some(())
    };
    eventually("what was said since", refused).await;
    assert_eq!(a.get("/readyz").await.status, 200);
    world.tell(11, &facts::key(SERVICE, |_| ())).await;
    a.opens(SERVICE, &sealed, b"hello").await;
}

#[tokio::test]
async fn what_ended_while_a_core_was_away_for_longer_than_its_lease_is_not_served_either() {
    let world = World::defined().await;
    world.lessor.set_ttl(3_600);
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    a.replicates().await;
    drop(a);
    world.tell(10, &facts::key(SERVICE, facts::deleted)).await;
    world.advance(std::time::Duration::from_secs(3_601));
    let way = Way::new(world.mesh.clone(), Link::Factless);
    let a = world.start_on("a", &way).await;
    is_leased(&a).await;
    a.refuses_to_open(SERVICE, &sealed, "hydrating").await;
    way.set(Link::Up);
    a.refuses(SERVICE, "key_disabled").await;
}

#[tokio::test]
async fn sealed_versions_are_not_waited_for() {
    let world = World::defined().await;
    let a = world.start("a").await;
    let sealed = a.sealed_when_usable(SERVICE, b"hello").await;
    a.replicates().await;
    back_up(&world);
    drop(a);
    put_back(&world);
    let a = world.start_on("a", &Way::new(world.mesh.clone(), Link::Sealless)).await;
    a.opens(SERVICE, &sealed, b"hello").await;
}
