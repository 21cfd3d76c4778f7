//! What a lease renews in a bucket of links where its author does not know what differs: those of whom the Core holds
//! what it is to hold.

use openkcm_contracts::TenantId;
use openkcm_contracts::v1::{Kept, StateManifest, Unsettled};
use openkcm_digests::bucket_of;
use openkcm_krypton::store;

use crate::rig::disk::Disk;
use crate::rig::facts;

/// Three that lie in one bucket.
const FICKLE: &str = "acme";
const NEIGHBOUR: &str = "gekko";
const NEWCOMER: &str = "t331";

fn id(name: &str) -> TenantId {
    TenantId::new(name).expect("a label")
}

/// A Core that was leased with these links, and has told of them again.
fn leased(tenants: &[(&str, u64)]) -> (Disk, StateManifest) {
    let mut disk = Disk::new(1_000);
    disk.begins();
    for (name, epoch) in tenants {
        disk.hears(1, facts::tenant(name, |_| {}));
        disk.hears(*epoch, facts::link(name, *epoch));
    }
    let manifest = disk.tells();
    disk.is_leased(1_000, &manifest);
    let manifest = disk.tells();
    (disk, manifest)
}

/// The bucket, as the CMK Server sees it that holds these links, and suspects some tenants.
fn seen_with(links: &[(&str, u64)], suspects: &[&str]) -> Unsettled {
    let others: Vec<(&str, u64)> =
        links.iter().filter(|(name, _)| !suspects.contains(name)).copied().collect();
    let (disk, _) = leased(&others);
    let bucket = bucket_of(FICKLE);
    let others = store::buckets(&disk.store, Kept::Links).expect("memory does not fail").digest(bucket);
    Unsettled { bucket, without: suspects.iter().map(|name| id(name)).collect(), others }
}

/// Whether the neighbour goes on, and whether the fickle one does, with a lease that tells of the bucket so.
fn renewed(disk: &mut Disk, manifest: &StateManifest, unsettled: Unsettled) -> (bool, bool) {
    disk.is_leased_but_for(1_000, manifest, vec![unsettled]);
    (disk.is_covered(NEIGHBOUR), disk.is_covered(FICKLE))
}

#[test]
fn a_neighbour_of_one_that_changes_without_a_pause_is_renewed_and_that_one_is_not() {
    assert!([NEIGHBOUR, NEWCOMER].iter().all(|name| bucket_of(name) == bucket_of(FICKLE)));
    let (mut disk, manifest) = leased(&[(FICKLE, 3), (NEIGHBOUR, 4)]);
    let unsettled = seen_with(&[(FICKLE, 9), (NEIGHBOUR, 4)], &[FICKLE]);
    assert_eq!(renewed(&mut disk, &manifest, unsettled), (true, false));
    // However often: what it is leased for is the last manifest.
    for epoch in 10..40 {
        disk.hears(epoch, facts::link(FICKLE, epoch));
        let manifest = disk.tells();
        let unsettled = seen_with(&[(FICKLE, epoch + 1), (NEIGHBOUR, 4)], &[FICKLE]);
        assert_eq!(renewed(&mut disk, &manifest, unsettled), (true, false), "at {epoch}");
        let leases = store::leases(&disk.store).expect("memory does not fail");
        assert_eq!(leases.grant.expect("a lease").manifest.counter, manifest.sequence);
    }
    // When it has come to rest it is agreed on.
    let manifest = disk.tells();
    disk.is_leased(1_000, &manifest);
    assert!(disk.is_covered(FICKLE) && disk.is_covered(NEIGHBOUR));
}

#[test]
fn nobody_of_a_bucket_is_renewed_where_another_one_differs_too() {
    // The CMK Server has unlinked the neighbour, or links it otherwise, and suspects the fickle one alone.
    for links in
        [&[(FICKLE, 9)][..], &[(FICKLE, 9), (NEIGHBOUR, 5)], &[(FICKLE, 9), (NEIGHBOUR, 4), (NEWCOMER, 6)]]
    {
        let (mut disk, manifest) = leased(&[(FICKLE, 3), (NEIGHBOUR, 4)]);
        let unsettled = seen_with(links, &[FICKLE]);
        assert_eq!(renewed(&mut disk, &manifest, unsettled), (false, false), "{links:?}");
    }
}

#[test]
fn a_suspect_that_is_not_held_or_lies_elsewhere_takes_nothing_from_the_others() {
    let (mut disk, manifest) = leased(&[(FICKLE, 3), (NEIGHBOUR, 4), ("beta", 5)]);
    let mut unsettled = seen_with(&[(FICKLE, 9), (NEIGHBOUR, 4)], &[FICKLE]);
    unsettled.without.extend([id(NEWCOMER), id("beta")]);
    assert_eq!(renewed(&mut disk, &manifest, unsettled), (true, false));
    assert!(disk.is_covered("beta"), "its own bucket is agreed on");
}

#[test]
fn what_arrived_since_the_manifest_settles_the_others_and_waits_itself() {
    let (mut disk, manifest) = leased(&[(FICKLE, 3), (NEIGHBOUR, 4)]);
    // Its word comes before the lease that was decided on when it was under way.
    disk.hears(9, facts::link(FICKLE, 9));
    let unsettled = seen_with(&[(FICKLE, 9), (NEIGHBOUR, 4)], &[]);
    assert_eq!(renewed(&mut disk, &manifest, unsettled), (true, false), "no manifest has told of it");
}
