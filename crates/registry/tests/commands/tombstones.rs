//! Tombstones in reconciliation: what a region lost is told again, what waits there is left alone, what is done is shown.

use openkcm_component::drift::{Action, Kind};
use openkcm_contracts::{Event, Revision};
use openkcm_registry::rules::drift::PATIENCE;
use openkcm_registry::rules::telling::purge_word;
use openkcm_registry::{manifests, store};

use crate::drift::Region;
use crate::registry::{Registry, WAIT, path, region};

const SERVICE: &str = "acme/hr/payroll";
const SUBJECT: &str = "purge.acme.hr.payroll";

/// A Registry that has told the destruction of the service, and a region that has heard all that it says.
fn purged() -> (Registry, Region) {
    let mut registry = Registry::furnished();
    registry.delete(SERVICE).unwrap();
    registry.wait(WAIT);
    registry.purge();
    registry.letters();
    registry.tombstones();
    let mut a = Region::of(&registry);
    a.hold(&word(&registry), Some(ends(&registry)));
    a.purges.digest = store::tombstones(&registry.store).unwrap();
    (registry, a)
}

fn word(registry: &Registry) -> Event {
    let purged = store::purges::of(&registry.store, &path(SERVICE)).unwrap().expect("it was told");
    Event::KeyPurge(purge_word(&path(SERVICE), purged.generation))
}

fn ends(registry: &Registry) -> Revision {
    store::purges::of(&registry.store, &path(SERVICE)).unwrap().expect("it was told").generation.0
}

/// The tombstones that are told again after a region has told what it holds, some times.
fn told_again(registry: &mut Registry, a: &mut Region, times: usize) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..times {
        assert_eq!(registry.compares(a), [""; 0], "no definition is told");
        told.extend(registry.tombstones());
        registry.wait(PATIENCE * 2);
    }
    told
}

#[test]
fn a_tombstone_that_a_region_lost_is_told_to_it_again_and_to_no_other() {
    let (mut registry, mut a) = purged();
    assert_eq!(told_again(&mut registry, &mut a, 2), [""; 0]);
    let tombstone = word(&registry);
    a.hold(&tombstone, None);
    let again = told_again(&mut registry, &mut a, 2);
    assert_eq!(again, [format!("region.a {SUBJECT} 1.5 up to 1.4")]);
    assert_eq!(registry.drift(), [(SUBJECT.to_owned(), Kind::Missing, Action::Purge, false)]);
    a.hold(&tombstone, Some(ends(&registry)));
    assert_eq!(told_again(&mut registry, &mut a, 1), [""; 0]);
    assert_eq!(registry.drift(), [(SUBJECT.to_owned(), Kind::Missing, Action::Purge, true)]);
}

#[test]
fn a_tombstone_that_was_just_told_is_waited_for() {
    let (mut registry, mut a) = purged();
    a.hold(&word(&registry), None);
    assert_eq!(registry.compares(&mut a), [""; 0]);
    assert_eq!(registry.tombstones(), [""; 0]);
    assert_eq!(registry.drift(), []);
}

#[test]
fn what_waits_or_is_held_in_a_region_is_no_drift_and_is_not_told_again() {
    for (waiting, held) in [(1, 0), (0, 1)] {
        let (mut registry, mut a) = purged();
        (a.purges.waiting, a.purges.held) = (waiting, held);
        a.purges.first_open = Some(Revision::new(1, 5));
        assert_eq!(told_again(&mut registry, &mut a, 4), [""; 0]);
        assert_eq!(registry.drift(), []);
        let shown = manifests::region(&registry.store, &region("a"), registry.now).unwrap();
        assert!(shown.holds_tombstones && shown.differing == 0);
        assert_eq!(shown.heard.unwrap().purged, Some(Revision::new(1, 4)));
        assert_eq!(registry.key(SERVICE).purged_in, []);
    }
}

#[test]
fn a_region_confirms_a_purge_when_it_is_done_with_it() {
    let (mut registry, mut a) = purged();
    let lacks = word(&registry);
    a.hold(&lacks, None);
    let digest = std::mem::replace(&mut a.purges.digest, "0".repeat(32));
    registry.compares(&mut a);
    let shown = manifests::region(&registry.store, &region("a"), registry.now).unwrap();
    assert!(!shown.holds_tombstones && shown.heard.unwrap().purged.is_none(), "it does not even hold it");
    assert_eq!(registry.key(SERVICE).purged_in, []);
    a.hold(&lacks, Some(ends(&registry)));
    a.purges.digest = digest;
    registry.compares(&mut a);
    assert_eq!(registry.key(SERVICE).purged_in, [region("a")]);
    // The next tombstone is on its way: what was confirmed stays so, until the region starts anew and may have lost it.
    registry.delete("acme/hr").unwrap();
    registry.wait(WAIT);
    registry.purge();
    registry.compares(&mut a);
    assert_eq!(
        registry.key(SERVICE).purged_in,
        [],
        "its system's tombstone ends it too, and is not heard yet"
    );
    let shown = manifests::region(&registry.store, &region("a"), registry.now).unwrap();
    assert_eq!((shown.holds_tombstones, shown.heard.unwrap().purged), (false, Some(Revision::new(1, 5))));
    (a.incarnation, a.sequence) = (2, 0);
    registry.compares(&mut a);
    assert_eq!(
        manifests::region(&registry.store, &region("a"), registry.now).unwrap().heard.unwrap().purged,
        None
    );
}

#[test]
fn a_tombstone_that_the_registry_never_knew_is_an_alarm_and_nothing_else() {
    let (mut registry, mut a) = purged();
    let strange = Event::KeyPurge(purge_word(&path("acme/hr"), registry.key("acme/hr").record.generation));
    a.hold(&strange, Some(registry.key("acme/hr").record.generation.0));
    assert_eq!(told_again(&mut registry, &mut a, 2), [""; 0]);
    assert_eq!(registry.drift(), [("purge.acme.hr".to_owned(), Kind::Unknown, Action::Alarm, false)]);
}
