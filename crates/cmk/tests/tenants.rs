//! What hearing of a tenant does to its pointer, over a store in memory.

mod world;

use openkcm_cmk::inbox::Applied;
use openkcm_cmk::rules::Precondition;
use openkcm_cmk::store::UnlinkReason;
use openkcm_contracts::v1::LinkState::{Linked, Unlinked};
use openkcm_contracts::v1::{ManifestBody, PurgeReport, StateManifest};
use openkcm_contracts::{Audience, Event, LinkEpoch, Meeting, RegionId, Revision, TenantState};
use openkcm_orbital::Verified;

use world::{Told, World, request, tenant};

fn r(counter: u64) -> Revision {
    Revision::new(1, counter)
}

/// A world with `acme` linked in these regions, at revision and epoch 1.1, and everyone told.
fn linked(regions: &[&str]) -> World {
    let mut world = World::default();
    world.define("acme", 1, regions);
    world.link("acme", &request(&["k"]), &Precondition::None).expect("it may be linked");
    world.told();
    world
}

#[test]
fn a_region_that_is_added_is_told_the_present_revision() {
    let mut world = linked(&["a"]);
    world.define("acme", 2, &["a", "b"]);
    assert_eq!(world.told(), [Told::reference("b", r(1), Linked, LinkEpoch(r(1)), &["k"])]);
    assert_eq!(world.pointer("acme").unwrap().revision, r(1));
}

#[test]
fn a_region_that_is_added_after_the_end_is_told_of_the_end() {
    let mut world = linked(&["a"]);
    world.unlink("acme", &Precondition::None).unwrap();
    world.told();
    world.define("acme", 2, &["a", "b"]);
    assert_eq!(world.told(), [Told::reference("b", r(2), Unlinked, LinkEpoch(r(1)), &["k"])]);
}

#[test]
fn a_replayed_or_older_word_changes_nothing() {
    let mut world = linked(&["a"]);
    world.define("acme", 3, &["a", "b"]);
    world.told();
    let before = world.store.clone();
    let again = world.define("acme", 3, &["a", "b"]);
    assert_eq!(again, Applied::Tenant { meeting: Meeting::Same, unlinked: None });
    let older = world.tell(2, tenant("acme", 1, TenantState::Offboarded, &["a", "c"]));
    assert_eq!(older, Applied::Tenant { meeting: Meeting::Older, unlinked: None });
    assert_eq!(world.store, before);
}

#[test]
fn at_the_same_revision_the_registrys_word_replaces_what_is_held() {
    let mut world = linked(&["a"]);
    let told = world.define("acme", 1, &["a", "b"]);
    assert_eq!(told, Applied::Tenant { meeting: Meeting::Differs, unlinked: None });
    assert_eq!(world.told().len(), 1);
}

#[test]
fn offboarding_ends_the_link_and_says_why() {
    let mut world = linked(&["a"]);
    let ended = world.tell(2, tenant("acme", 1, TenantState::Offboarded, &["a"]));
    let reason = Some(UnlinkReason::Offboarded);
    assert_eq!(ended, Applied::Tenant { meeting: Meeting::Newer, unlinked: reason });
    let epoch = LinkEpoch(r(1));
    assert_eq!(
        world.told(),
        [
            Told::revoke("a", r(2), LinkEpoch(r(2)), "the tenant was offboarded"),
            Told::reference("a", r(2), Unlinked, epoch, &["k"]),
        ]
    );
    // Told once more, at a later revision: it has ended already.
    let again = world.tell(3, tenant("acme", 1, TenantState::Offboarded, &["a"]));
    assert_eq!(again, Applied::Tenant { meeting: Meeting::Newer, unlinked: None });
    assert_eq!(world.told(), []);
}

#[test]
fn a_new_generation_ends_the_link_of_the_old_one_and_is_linked_only_with_a_precondition() {
    let mut world = linked(&["a"]);
    let ended = world.tell(2, tenant("acme", 2, TenantState::Active, &["b"]));
    let reason = Some(UnlinkReason::DefinedAnew);
    assert_eq!(ended, Applied::Tenant { meeting: Meeting::Newer, unlinked: reason });
    let told: Vec<_> = world.told().into_iter().map(|told| (told.region, told.reason)).collect();
    let why = "the tenant was defined anew";
    let pair = |region: &str, reason: &str| (region.to_owned(), reason.to_owned());
    assert_eq!(told, [pair("a", why), pair("b", why), pair("a", ""), pair("b", "")]);
    assert!(world.link("acme", &request(&["k"]), &Precondition::None).is_err());
    let again = world.link("acme", &request(&["k"]), &Precondition::OneOf(vec![r(2)])).unwrap().into_inner();
    assert_eq!((again.epoch, again.generation.0), (LinkEpoch(r(3)), r(2)));
}

#[test]
fn a_tenant_that_came_back_from_being_offboarded_stays_unlinked() {
    let mut world = linked(&["a"]);
    world.tell(2, tenant("acme", 1, TenantState::Offboarded, &["a"]));
    world.told();
    world.define("acme", 3, &["a"]);
    assert_eq!(world.told(), []);
    assert!(!world.pointer("acme").unwrap().is_linked());
    assert!(world.link("acme", &request(&["k"]), &Precondition::None).is_err());
}

#[test]
fn a_suspended_tenant_keeps_its_link() {
    let mut world = linked(&["a"]);
    world.tell(2, tenant("acme", 1, TenantState::Suspended, &["a"]));
    assert_eq!(world.told(), []);
    assert!(world.pointer("acme").unwrap().is_linked());
}

#[test]
fn a_tenant_without_a_pointer_is_kept_and_nobody_is_told() {
    let mut world = World::default();
    world.define("acme", 1, &["a"]);
    assert_eq!((world.told(), world.pointer("acme")), (vec![], None));
}

#[test]
fn what_is_for_others_or_not_acted_upon_changes_nothing() {
    let mut world = linked(&["a"]);
    let before = world.store.clone();
    let region = RegionId::new("a").unwrap();
    let for_a_core = Verified {
        event: Event::TenantDefine(tenant("acme", 9, TenantState::Offboarded, &["a"])),
        revision: r(9),
        audience: Audience::Region(region.clone()),
        author: openkcm_contracts::Role::Registry,
        region: None,
    };
    assert_eq!(world.hear(&for_a_core), Applied::Ignored);
    let manifest = Verified {
        event: Event::StateManifest(manifest(region.clone())),
        revision: r(9),
        audience: Audience::Authorities,
        author: openkcm_contracts::Role::Krypton,
        region: Some(region),
    };
    assert_eq!(world.hear(&manifest), Applied::Ignored);
    assert_eq!(world.store, before);
}

fn manifest(region: RegionId) -> StateManifest {
    StateManifest {
        region,
        incarnation: 1,
        sequence: 1,
        nonce: "n".into(),
        lease: None,
        body: ManifestBody::Digests {
            definitions: String::new(),
            links: String::new(),
            registry: None,
            cmk: None,
            purges: PurgeReport::default(),
        },
    }
}
