//! What a CMK Server does about its own last words: found stale, unlinking while it is, rebuilt.

mod world;

use openkcm_cmk::commands::{Failure, Outcome};
use openkcm_cmk::rules::{Precondition, Refusal};
use openkcm_cmk::store::{self, Pointer, UnlinkReason};
use openkcm_contracts::v1::LinkState::{Linked, Unlinked};
use openkcm_contracts::v1::{L1Reference, L1Revoke, LinkState};
use openkcm_contracts::{Event, Generation, Lane, LinkEpoch, Revision, TenantState};
use openkcm_orbital::Published;
use openkcm_orbital::words::Standing;

use world::{Told, World, id, request, roots, tenant};

const NONE: Precondition = Precondition::None;

fn r(counter: u64) -> Revision {
    Revision::new(1, counter)
}

fn later(counter: u64) -> Revision {
    Revision::new(2, counter)
}

/// The word about acme's pointer whose link was made at 1.`epoch`.
fn reference(epoch: u64, state: LinkState, key: &str) -> Event {
    Event::L1Reference(L1Reference {
        tenant: id("acme"),
        generation: Generation(r(1)),
        epoch: LinkEpoch(r(epoch)),
        state,
        roots: roots(&[key]),
        owner_key: None,
        ttl: None,
        owner_word: None,
    })
}

fn linked(epoch: u64) -> Event {
    reference(epoch, Linked, "k")
}

/// The revoke that an Unlink of acme at 1.`counter` tells.
fn revoke(counter: u64) -> Event {
    let reason = "unlinked on request".into();
    Event::L1Revoke(L1Revoke { tenant: id("acme"), epoch: LinkEpoch(r(counter)), reason })
}

fn refusal(result: Result<Outcome<Pointer>, Failure>) -> Refusal {
    match result {
        Err(Failure::Refused(refusal)) => refusal,
        other => panic!("a refusal is expected, got {other:?}"),
    }
}

/// acme in the regions a and b, linked at 1.1, all told; then started once more.
fn restarted() -> World {
    let mut world = World::default();
    world.define("acme", 1, &["a", "b"]);
    world.link("acme", &request(&["k"]), &NONE).expect("nothing is against it");
    world.told();
    world.begin(false);
    world
}

/// The same, found behind: the mesh has a link of 1.9 in region a.
fn stale() -> World {
    let mut world = restarted();
    world.compare("a", &[(r(9), linked(9))]);
    world.conclude();
    world
}

/// A store that lost everything, and is rebuilt from these words.
fn rebuilt_from(words: &[(&str, Revision, Event)]) -> World {
    let mut world = World::default();
    world.begin(true);
    for (region, revision, word) in words {
        world.compare(region, &[(*revision, word.clone())]);
    }
    world.conclude();
    world
}

#[test]
fn a_start_that_finds_only_words_that_it_knows_goes_on_as_before() {
    let mut world = restarted();
    world.compare("a", &[(r(1), linked(1))]);
    world.conclude();
    assert_eq!(world.standing(), Standing::Current);
    assert_eq!(world.link("acme", &request(&["l"]), &NONE).unwrap().into_inner().revision, r(2));
    assert_eq!(world.told().len(), 2);
}

#[test]
fn links_are_accepted_before_the_comparison_ends_and_told_after_it() {
    let mut world = restarted();
    world.link("acme", &request(&["l"]), &NONE).unwrap();
    world.conclude();
    let told = ["a", "b"].map(|region| Told::reference(region, r(2), Linked, LinkEpoch(r(2)), &["l"]));
    assert_eq!(world.told(), told);
}

#[test]
fn a_stale_cmk_server_links_nothing_and_tells_of_no_link() {
    let mut world = restarted();
    world.link("acme", &request(&["l"]), &NONE).unwrap();
    world.compare("a", &[(r(9), linked(9))]);
    world.conclude();
    assert!(world.standing().is_stale());
    assert_eq!(world.told(), []);
    assert_eq!(refusal(world.link("acme", &request(&["l"]), &NONE)), Refusal::Stale);
    // A region that the tenant comes to might get a link that has ended.
    world.define("acme", 2, &["a", "b", "c"]);
    assert_eq!(world.told(), []);
}

#[test]
fn a_stale_cmk_server_unlinks_under_a_term_that_wins_over_all_that_it_has_forgotten() {
    let mut world = stale();
    let ended = world.unlink("acme", &NONE).unwrap().into_inner();
    assert_eq!((ended.state, ended.revision), (Unlinked, later(1)));
    let told = world.told();
    let revokes: Vec<_> = told.iter().filter(|told| told.state.is_none()).collect();
    assert_eq!(revokes.len(), 3, "every region of the landscape hears of it");
    assert!(revokes.iter().all(|told| told.epoch > LinkEpoch(r(9))));
    // The region that the tenant is not in hears of no roots.
    let facts = told.iter().filter(|told| told.state == Some(Unlinked));
    let roots: Vec<_> = facts.map(|told| (told.region.as_str(), told.roots.len())).collect();
    assert_eq!(roots, [("a", 1), ("b", 1), ("c", 0)]);
}

#[test]
fn a_tenant_whose_pointer_is_forgotten_is_unlinked_too() {
    let mut world = World::default();
    world.begin(false);
    world.compare("a", &[(r(9), linked(9))]);
    world.conclude();
    let ended = world.unlink("acme", &NONE).unwrap().into_inner();
    assert_eq!((ended.state, ended.revision, ended.roots), (Unlinked, later(1), vec![]));
    assert_eq!(world.told().len(), 6);
    let again = world.unlink("acme", &NONE).unwrap();
    assert!(!again.changed(), "it is known to be unlinked now");
}

#[test]
fn what_a_store_that_may_be_behind_holds_as_unlinked_is_ended_once_more() {
    let mut world = World::default();
    world.define("acme", 1, &["a"]);
    world.link("acme", &request(&["k"]), &NONE).unwrap();
    world.unlink("acme", &NONE).unwrap();
    world.told();
    world.begin(false);
    assert_eq!(world.unlink("acme", &NONE).unwrap().into_inner().revision, r(3));
    assert!(!world.unlink("acme", &NONE).unwrap().changed());
    // It was linked again by the part that is lost.
    world.compare("a", &[(r(9), linked(9))]);
    world.conclude();
    assert_eq!(world.pointer("acme").unwrap().revision, later(1));
    assert!(world.told().iter().all(|told| told.revision == later(1) && told.state != Some(Linked)));
}

#[test]
fn an_unlink_before_the_verdict_holds_also_when_the_tenant_was_linked_again_before_it() {
    let mut world = restarted();
    world.unlink("acme", &NONE).unwrap();
    world.link("acme", &request(&["l"]), &Precondition::OneOf(vec![r(2)])).unwrap();
    world.compare("b", &[(r(9), linked(9))]);
    world.conclude();
    let pointer = world.pointer("acme").unwrap();
    assert_eq!((pointer.state, pointer.revision), (Unlinked, later(1)));
    assert!(world.told().iter().all(|told| told.state != Some(Linked)));
}

#[test]
fn a_letter_that_gave_way_to_a_newer_word_makes_it_stale() {
    let mut world = restarted();
    world.conclude();
    world.link("acme", &request(&["l"]), &NONE).unwrap();
    world.learn(Lane::Facts, Published::Stored);
    assert_eq!(world.standing(), Standing::Current);
    world.unlink("acme", &NONE).unwrap();
    world.learn(Lane::Facts, Published::Superseded);
    assert!(world.standing().is_stale());
    assert_eq!(world.pointer("acme").unwrap().revision, later(1), "the Unlink is told again");
}

#[test]
fn a_lost_store_gets_its_pointer_back_and_tells_the_regions_that_lack_it() {
    let mut world = World::default();
    world.begin(true);
    world.compare("a", &[(r(9), linked(7))]);
    world.compare("b", &[(r(7), linked(7))]);
    world.define("acme", 1, &["a", "b", "c"]);
    world.conclude();
    let pointer = world.pointer("acme").unwrap();
    assert_eq!((pointer.state, pointer.revision, pointer.epoch), (Linked, r(9), LinkEpoch(r(7))));
    let told = ["b", "c"].map(|region| Told::reference(region, r(9), Linked, LinkEpoch(r(7)), &["k"]));
    assert_eq!((world.told(), world.standing()), (told.into(), Standing::Current));
    assert_eq!(store::revision(&world.store).unwrap(), Some(later(0)));
}

#[test]
fn an_unlink_of_which_only_the_revoke_reached_the_mesh_is_got_back_as_an_unlink() {
    let mut world = rebuilt_from(&[("a", r(7), linked(7)), ("b", r(9), revoke(9))]);
    let pointer = world.pointer("acme").unwrap();
    assert_eq!((pointer.state, pointer.revision), (Unlinked, r(9)));
    let told: Vec<_> = world.told().into_iter().map(|told| (told.region, told.state)).collect();
    let fact = |region: &str| (region.to_owned(), Some(Unlinked));
    assert_eq!(told, [("a".to_owned(), None), fact("a"), fact("b")]);
}

#[test]
fn a_link_that_was_made_after_a_revoke_is_got_back_as_a_link() {
    let world = rebuilt_from(&[("a", r(8), revoke(8)), ("a", r(9), linked(9))]);
    assert!(world.pointer("acme").unwrap().is_linked());
}

#[test]
fn an_unlink_by_a_stale_store_is_not_undone_by_what_a_rebuild_finds() {
    let mut world = stale();
    world.unlink("acme", &NONE).unwrap();
    world.told();
    world.begin(true);
    world.compare("a", &[(r(9), linked(9)), (later(1), revoke(9))]);
    world.conclude();
    let pointer = world.pointer("acme").unwrap();
    assert_eq!((pointer.state, pointer.revision), (Unlinked, later(1)));
}

#[test]
fn a_link_that_nobody_was_told_of_gives_way_to_the_meshs_word() {
    let mut world = restarted();
    world.link("acme", &request(&["mine"]), &NONE).unwrap();
    world.begin(true);
    world.compare("a", &[(r(9), reference(9, Linked, "theirs"))]);
    world.conclude();
    let pointer = world.pointer("acme").unwrap();
    assert_eq!((pointer.revision, pointer.roots), (r(9), roots(&["theirs"])));
}

#[test]
fn a_link_that_the_mesh_has_no_word_against_counts_from_the_rebuild_on() {
    let mut world = restarted();
    world.link("acme", &request(&["l"]), &NONE).unwrap();
    world.begin(true);
    world.compare("a", &[(r(1), linked(1))]);
    world.conclude();
    let told =
        ["a", "b"].map(|region| Told::reference(region, later(1), Linked, LinkEpoch(later(1)), &["l"]));
    assert_eq!(world.told(), told);
}

#[test]
fn a_link_whose_tenant_ended_meanwhile_ends_with_the_rebuild() {
    let mut world = World::default();
    world.begin(true);
    world.compare("a", &[(r(9), linked(9))]);
    world.tell(2, tenant("acme", 1, TenantState::Offboarded, &["a"]));
    world.conclude();
    let pointer = world.pointer("acme").unwrap();
    assert_eq!(pointer.unlinked.unwrap().reason, UnlinkReason::Offboarded);
    assert!(world.told().iter().all(|told| told.revision == later(1)));
}

#[test]
fn another_word_under_the_same_revision_is_settled_by_a_new_one() {
    let mut world = restarted();
    world.begin(true);
    world.compare("b", &[(r(1), reference(1, Linked, "another"))]);
    world.conclude();
    let pointer = world.pointer("acme").unwrap();
    assert_eq!((pointer.state, pointer.epoch), (Linked, LinkEpoch(later(1))));
    // A revoke under the revision of a link is an Unlink that was lost.
    let mut world = restarted();
    world.begin(true);
    world.compare("b", &[(r(1), revoke(1))]);
    world.conclude();
    assert_eq!(world.pointer("acme").unwrap().state, Unlinked);
}

#[test]
fn a_rebuild_that_is_broken_off_leaves_a_stale_store_and_can_be_done_again() {
    let mut world = World::default();
    world.begin(true);
    world.compare("a", &[(r(9), linked(9))]);
    world.begin(false);
    world.conclude();
    assert!(world.standing().is_stale());
    assert_eq!(world.told(), []);
    world.begin(true);
    world.compare("a", &[(r(9), linked(9))]);
    world.conclude();
    assert_eq!((world.standing(), world.pointer("acme").unwrap().revision), (Standing::Current, r(9)));
}
