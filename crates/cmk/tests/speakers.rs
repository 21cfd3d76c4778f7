//! Which start of a region's Core is leased, which is told to go on as a later one, and when two are shown.

mod world;

use openkcm_cmk::store;
use openkcm_contracts::Timestamp;

use world::speaker::{Speaker, linked};
use world::{World, region};

/// What a Core is told: that a manifest is answered by a lease for this incarnation.
fn told(world: &mut World) -> Option<u64> {
    world.lease().map(|lease| lease.incarnation)
}

fn speaker(world: &World, incarnation: u64) -> Speaker {
    Speaker::new(incarnation).holding(world, &["acme", "beta"])
}

/// When a start was seen to speak after a later one, though it had before.
fn seen_again(world: &World, incarnation: u64) -> Option<Timestamp> {
    let core = store::core(&world.store, &region("a")).expect("memory does not fail");
    core.incarnations.get(&incarnation).expect("it was heard of").spoke_again
}

/// It tells a manifest. Says for which incarnation it is leased, if any.
fn speaks(world: &mut World, speaker: &mut Speaker) -> Option<u64> {
    let manifest = speaker.digests();
    world.hears(&manifest);
    told(world)
}

#[test]
fn of_several_starts_of_a_core_only_the_latest_is_leased_and_an_earlier_one_is_shown() {
    let mut world = linked();
    let mut first = speaker(&world, 7);
    let mut second = speaker(&world, 8);
    let late = first.digests();
    world.hears(&late);
    world.hears(&second.digests());
    assert_eq!(world.lease().map(|lease| lease.incarnation), Some(8));
    world.hears(&late);
    assert_eq!(
        (world.lease(), seen_again(&world, 7)),
        (None, None),
        "what is delivered again is no sign of life"
    );
    world.hears(&first.digests());
    assert_eq!(world.lease(), None);
    assert_eq!(seen_again(&world, 7), Some(world.now()));
}

#[test]
fn a_start_that_is_dated_before_one_that_is_gone_goes_on_as_a_later_one() {
    let mut world = linked();
    let mut lost = speaker(&world, 1_000);
    assert_eq!(speaks(&mut world, &mut lost), Some(1_000));
    // Its store is lost, and the clock stood in the past when the next one started.
    let mut behind = speaker(&world, 40);
    for _ in 0..4 {
        world.pass_a_minute();
        assert_eq!(speaks(&mut world, &mut behind), None, "the later one may still be there");
    }
    world.pass_a_minute();
    let manifest = behind.digests();
    world.hears(&manifest);
    let offer = world.lease().expect("it is told");
    assert_eq!((offer.incarnation, &offer.nonce), (1_001, &manifest.nonce), "to whom, and as whom to go on");
    let mut goes_on = speaker(&world, 1_001);
    assert_eq!(speaks(&mut world, &mut goes_on), Some(1_001), "and is leased");
    assert_eq!(seen_again(&world, 40), None, "one alone has spoken: there are no two");
}

#[test]
fn an_offer_that_was_lost_is_made_again_and_no_number_is_offered_twice() {
    let mut world = linked();
    let mut lost = speaker(&world, 1_000);
    speaks(&mut world, &mut lost);
    world.pass(301);
    let (mut one, mut other) = (speaker(&world, 40), speaker(&world, 50));
    assert_eq!(speaks(&mut world, &mut one), Some(1_001));
    assert_eq!(speaks(&mut world, &mut other), None, "the first may be about to take it");
    world.pass(5);
    assert_eq!(speaks(&mut world, &mut other), Some(1_002), "it did not, or not yet");
}

#[test]
fn two_that_run_take_over_once_at_most_and_are_shown() {
    let mut world = linked();
    let (mut present, mut clone) = (speaker(&world, 1_000), speaker(&world, 40));
    speaks(&mut world, &mut present);
    // The present one is cut off for long, and the clone with the earlier date speaks alone.
    world.pass(301);
    assert_eq!(speaks(&mut world, &mut clone), Some(1_001));
    let mut clone = speaker(&world, 1_001);
    assert_eq!(speaks(&mut world, &mut clone), Some(1_001));
    assert_eq!(speaks(&mut world, &mut present), None, "it is back, and superseded");
    assert_eq!(seen_again(&world, 1_000), Some(world.now()), "and both are shown");
    // However long the other is away: an operator decides.
    for _ in 0..100 {
        world.pass(3_600);
        assert_eq!(speaks(&mut world, &mut present), None);
    }
    assert_eq!(speaks(&mut world, &mut clone), Some(1_001));
}

#[test]
fn what_an_operator_has_forgotten_is_leased_no_more_and_the_first_that_speaks_goes_on_as_a_later_one() {
    let mut world = linked();
    let (mut honest, mut thief) = (speaker(&world, 1_000), speaker(&world, 2_000));
    speaks(&mut world, &mut honest);
    assert_eq!(speaks(&mut world, &mut thief), Some(2_000));
    assert_eq!(speaks(&mut world, &mut honest), None, "it is superseded");
    world.forget();
    let core = store::core(&world.store, &region("a")).expect("memory does not fail");
    assert_eq!((core.heard, core.forgotten, core.incarnations.len()), (None, Some(2_000), 0));
    world.pass(5);
    assert_eq!(
        speaks(&mut world, &mut honest),
        Some(2_001),
        "told at once to go on, above all that was heard of"
    );
    let mut honest = speaker(&world, 2_001);
    assert_eq!(speaks(&mut world, &mut honest), Some(2_001));
    // The other one, which should have been stopped first, is shown, and takes nothing back.
    assert_eq!(speaks(&mut world, &mut thief), None);
    assert_eq!(speaks(&mut world, &mut honest), Some(2_001));
    world.pass_a_minute();
    assert_eq!(speaks(&mut world, &mut thief), None);
    assert_eq!(seen_again(&world, 2_000), Some(world.now()));
    // Said again, late, it costs a manifest.
    world.forget();
    world.pass(5);
    assert_eq!(speaks(&mut world, &mut honest), Some(2_002));
}

#[test]
fn of_two_that_speak_after_forgetting_the_first_is_leased_whichever_it_is() {
    let mut world = linked();
    let (mut one, mut other) = (speaker(&world, 1_000), speaker(&world, 2_000));
    speaks(&mut world, &mut one);
    speaks(&mut world, &mut other);
    world.forget();
    assert_eq!(speaks(&mut world, &mut other), Some(2_001));
    assert_eq!(speaks(&mut world, &mut one), None, "it is not told while another may be about to go on");
    let mut other = speaker(&world, 2_001);
    assert_eq!(speaks(&mut world, &mut other), Some(2_001));
    world.pass(5);
    assert_eq!(speaks(&mut world, &mut one), None, "there is a later one");
}

#[test]
fn a_number_that_somebody_ran_out_does_not_keep_the_honest_one_from_going_on() {
    let mut world = linked();
    let mut honest = speaker(&world, 1_000);
    speaks(&mut world, &mut honest);
    // Whoever has the credential tells manifests under the same number, as high as there are numbers.
    let mut thief = Speaker { sequence: u64::MAX - 1, ..speaker(&world, 1_000) };
    assert_eq!(speaks(&mut world, &mut thief), Some(1_000));
    assert_eq!(speaks(&mut world, &mut honest), None, "all that it can say is old");
    world.forget();
    assert_eq!(speaks(&mut world, &mut honest), Some(1_001));
}

#[test]
fn where_nothing_was_heard_of_there_is_nothing_to_forget() {
    let mut world = linked();
    world.forget();
    let mut first = speaker(&world, 7);
    assert_eq!(speaks(&mut world, &mut first), Some(7));
}

#[test]
fn a_rolling_restart_neither_trips_it_nor_takes_the_place_back() {
    let mut world = linked();
    let (mut before, mut after) = (speaker(&world, 7), speaker(&world, 8));
    assert_eq!(speaks(&mut world, &mut before), Some(7));
    assert_eq!(speaks(&mut world, &mut after), Some(8));
    assert_eq!(seen_again(&world, 7), None);
    // What an even earlier one had on its way is no sign of it.
    let mut late = speaker(&world, 6);
    assert_eq!(speaks(&mut world, &mut late), None);
    assert_eq!(speaks(&mut world, &mut after), Some(8));
    assert_eq!(seen_again(&world, 6), None);
}

#[test]
fn what_another_start_lists_is_not_looked_at() {
    let mut world = linked();
    let mut present = speaker(&world, 8);
    present.held.pop();
    assert_eq!(speaks(&mut world, &mut present), Some(8));
    let query = world.question().expect("a link is missing there");
    let mut twin = speaker(&world, 7);
    twin.held.clear();
    world.hears(&twin.listing(&query));
    let core = store::core(&world.store, &region("a")).expect("memory does not fail");
    assert_eq!(core.differences.len(), 0);
    world.hears(&present.listing(&query));
    let core = store::core(&world.store, &region("a")).expect("memory does not fail");
    assert_eq!(core.differences.len(), 1);
}
