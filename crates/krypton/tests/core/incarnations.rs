//! Under which number a Core's manifests are told, and what makes it go on under a later one.

use std::time::Duration;

use openkcm_contracts::Timestamp;

use crate::rig::disk::Disk;
use crate::rig::facts;

#[test]
fn a_start_is_later_than_all_of_its_store_whatever_the_clock_shows_and_a_new_store_is_dated_by_it() {
    let mut disk = Disk::new(1_000);
    disk.begins();
    assert_eq!(disk.tells().incarnation, 1_000);
    disk.clock.set_wall(Timestamp::from_millis(40_000));
    disk.begins();
    assert_eq!(disk.tells().incarnation, 1_001);
    // The store is lost, and the clock still wrong: this is how a Core comes to be earlier than it was before.
    let mut lost = Disk::new(40);
    lost.begins();
    assert_eq!(lost.tells().incarnation, 40);
    // A clock that is put right later changes nothing by itself.
    lost.clock.advance(Duration::from_secs(5_000));
    assert_eq!(lost.tells().incarnation, 40);
}

#[test]
fn a_core_that_is_told_to_goes_on_as_a_later_one_and_is_leased_as_that() {
    let mut disk = Disk::new(40);
    disk.begins();
    disk.hears(1, facts::tenant("acme", |_| {}));
    disk.hears(3, facts::link("acme", 3));
    let manifest = disk.tells();
    assert!(!disk.has_news());
    assert!(disk.is_leased(1_001, &manifest).is_empty(), "that alone renews nothing");
    assert!(!disk.is_covered("acme"));
    assert!(disk.has_news(), "and is told at once");
    let manifest = disk.tells();
    assert_eq!((manifest.incarnation, manifest.sequence), (1_001, 1));
    assert!(disk.is_leased(1_001, &manifest).leased);
    assert!(disk.is_covered("acme"));
    disk.clock.set_wall(Timestamp::from_millis(50_000));
    disk.begins();
    assert_eq!(disk.tells().incarnation, 1_002, "also the next start is a later one");
}

#[test]
fn a_lease_from_before_goes_on_to_its_end_and_covers_no_link_that_came_later() {
    let mut disk = Disk::new(40);
    disk.begins();
    disk.hears(1, facts::tenant("acme", |_| {}));
    disk.hears(3, facts::link("acme", 3));
    let manifest = disk.tells();
    disk.is_leased(40, &manifest);
    assert!(disk.is_covered("acme"));
    let manifest = disk.tells();
    disk.is_leased(1_001, &manifest);
    assert!(disk.is_covered("acme"), "it goes on");
    disk.is_leased(40, &manifest);
    assert_eq!(disk.tells().incarnation, 1_001, "an answer to an earlier number is too late");
    disk.hears(4, facts::link("acme", 4));
    assert!(!disk.is_covered("acme"), "the lease agreed on another link");
}

#[test]
fn nobody_but_whose_manifest_is_answered_goes_on_and_nobody_goes_back() {
    let mut disk = Disk::new(1_000);
    disk.begins();
    let mut manifest = disk.tells();
    disk.is_leased(999, &manifest);
    assert_eq!(disk.tells().incarnation, 1_000);
    disk.is_leased(u64::MAX, &manifest);
    assert_eq!(disk.tells().incarnation, 1_000, "no number that it could tell");
    manifest.nonce = "of another process".into();
    disk.is_leased(2_000, &manifest);
    assert_eq!(disk.tells().incarnation, 1_000);
}
