//! The outbox: the latest word about each thing waits, in order, until the mesh has it, and no longer.

use openkcm_contracts::{EventType, Lane, Timestamp};
use openkcm_orbital::outbox::{self, Waiting};
use openkcm_orbital::{Letter, MAX_BODY_LEN};
use openkcm_store::{Memory, StoreError};

use crate::fixture::{NOW, letter, region, revoke_letter, tenant_letter};

fn put(store: &mut Memory, letter: &Letter) {
    store.write(|tx| outbox::put(tx, letter)).expect("memory takes it");
}

fn forget(store: &mut Memory, told: &[Waiting]) {
    store.write(|tx| outbox::forget(tx, Lane::Facts, told)).expect("memory takes it");
}

fn waiting(store: &Memory) -> Vec<Waiting> {
    outbox::waiting(store, Lane::Facts, usize::MAX).expect("memory can be read")
}

/// Subject and revision's counter of what waits, in order.
fn words(store: &Memory) -> Vec<(String, u64)> {
    waiting(store).into_iter().map(|w| (w.letter.subject, w.letter.revision.counter)).collect()
}

fn word(tenant: &str, counter: u64) -> (String, u64) {
    (format!("tenant.{tenant}"), counter)
}

#[test]
fn only_the_latest_word_about_a_thing_waits() {
    let mut store = Memory::default();
    for counter in 1..=5 {
        put(&mut store, &tenant_letter("acme", counter));
    }
    assert_eq!(words(&store), [word("acme", 5)]);
}

#[test]
fn words_about_one_thing_to_two_audiences_wait_apart() {
    let mut store = Memory::default();
    put(&mut store, &tenant_letter("acme", 1));
    put(&mut store, &Letter { audience: region("b"), ..tenant_letter("acme", 1) });
    assert_eq!(waiting(&store).len(), 2);
}

#[test]
fn letters_wait_in_the_order_in_which_they_were_last_written() {
    let mut store = Memory::default();
    for (tenant, counter) in [("a", 1), ("b", 2), ("c", 3), ("a", 4)] {
        put(&mut store, &tenant_letter(tenant, counter));
    }
    assert_eq!(words(&store), [word("b", 2), word("c", 3), word("a", 4)]);
}

#[test]
fn letters_that_can_wait_let_all_others_go_first_and_keep_their_own_order() {
    let mut store = Memory::default();
    let put_last = |store: &mut Memory, tenant, counter| {
        let letter = Letter { written_at: Timestamp::from_millis(counter), ..tenant_letter(tenant, counter) };
        store.write(|tx| outbox::put_last(tx, &letter)).expect("memory takes it");
    };
    put_last(&mut store, "a", 1);
    put_last(&mut store, "b", 2);
    put(&mut store, &tenant_letter("c", 3));
    put(&mut store, &tenant_letter("d", 4));
    assert_eq!(words(&store), [word("c", 3), word("d", 4), word("a", 1), word("b", 2)]);
    let depth = outbox::depth(&store, Lane::Facts).expect("memory can be read");
    assert_eq!((depth.letters, depth.oldest_millis), (4, Some(1)), "the oldest is not the first");
    // A later word about the same thing takes its place, whichever way either of them goes.
    put(&mut store, &tenant_letter("a", 5));
    put_last(&mut store, "c", 6);
    assert_eq!(words(&store), [word("d", 4), word("a", 5), word("b", 2), word("c", 6)]);
    let told = waiting(&store);
    forget(&mut store, &told);
    assert_eq!(words(&store), []);
}

#[test]
fn the_order_holds_over_many_more_letters_than_one_digit_counts() {
    let mut store = Memory::default();
    for i in 0..300 {
        put(&mut store, &tenant_letter(&format!("t{i}"), i));
    }
    let counters: Vec<u64> = words(&store).into_iter().map(|(_, counter)| counter).collect();
    assert_eq!(counters, (0..300).collect::<Vec<_>>());
    let first: Vec<_> = outbox::waiting(&store, Lane::Facts, 7).expect("read");
    assert_eq!(first, waiting(&store)[..7], "no more than was asked for, the oldest first");
}

#[test]
fn the_lanes_wait_apart() {
    let mut store = Memory::default();
    put(&mut store, &tenant_letter("acme", 1));
    put(&mut store, &revoke_letter("acme", 2));
    assert_eq!(words(&store), [word("acme", 1)]);
    let urgent = outbox::waiting(&store, Lane::Urgent, 10).expect("read");
    assert_eq!(urgent.len(), 1);
    assert_eq!(urgent[0].letter, revoke_letter("acme", 2), "the letter is kept byte for byte");
    for lane in [Lane::Sealed, Lane::Manifests] {
        assert!(outbox::waiting(&store, lane, 10).expect("read").is_empty());
    }
}

#[test]
fn what_is_forgotten_waits_no_more() {
    let mut store = Memory::default();
    put(&mut store, &tenant_letter("a", 1));
    put(&mut store, &tenant_letter("b", 2));
    let told = waiting(&store);
    forget(&mut store, &told[..1]);
    assert_eq!(words(&store), [word("b", 2)]);
    forget(&mut store, &told);
    assert_eq!(words(&store), []);
}

/// A publisher that was slow comes back to forget what it sent, after something newer was written.
#[test]
fn a_publisher_that_comes_back_late_does_not_forget_the_newer_letter() {
    let mut store = Memory::default();
    put(&mut store, &tenant_letter("acme", 1));
    let late = waiting(&store);
    put(&mut store, &tenant_letter("acme", 2));
    forget(&mut store, &late);
    assert_eq!(words(&store), [word("acme", 2)]);
    put(&mut store, &tenant_letter("acme", 3));
    assert_eq!(words(&store), [word("acme", 3)], "it still takes the place of the earlier one");
}

/// Two publishers for a moment (one was stopped and is not quite gone): each forgets what it sent, twice.
#[test]
fn forgetting_twice_forgets_nothing_else() {
    let mut store = Memory::default();
    put(&mut store, &tenant_letter("acme", 1));
    let told = waiting(&store);
    forget(&mut store, &told);
    put(&mut store, &tenant_letter("acme", 1));
    forget(&mut store, &told);
    assert_eq!(words(&store), [word("acme", 1)], "the same letter, written again, is another one");
}

#[test]
fn a_number_is_never_used_again() {
    let mut store = Memory::default();
    let mut numbers = Vec::new();
    for counter in 1..=20 {
        put(&mut store, &tenant_letter("acme", counter));
        put(&mut store, &revoke_letter("acme", counter));
        let told = waiting(&store);
        numbers.extend(told.iter().map(|waiting| waiting.number));
        if counter % 3 == 0 {
            forget(&mut store, &told);
        }
    }
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
}

#[test]
fn a_crash_before_the_commit_leaves_the_outbox_as_it_was() {
    let mut store = Memory::default();
    put(&mut store, &tenant_letter("acme", 1));
    let before = store.clone();
    let crashed = store.write(|tx| {
        outbox::put(tx, &tenant_letter("acme", 2))?;
        outbox::put(tx, &tenant_letter("other", 3))?;
        Err::<(), _>(StoreError::Closed)
    });
    assert!(crashed.is_err());
    assert_eq!(store, before);
}

#[test]
fn a_crash_between_publishing_and_forgetting_sends_the_same_letters_again() {
    let mut store = Memory::default();
    put(&mut store, &tenant_letter("a", 1));
    put(&mut store, &tenant_letter("b", 2));
    let published = waiting(&store);
    // The crash: nobody forgets. The next publisher, with the store as it was committed:
    let after = store.clone();
    assert_eq!(waiting(&after), published);
}

#[test]
fn what_no_receiver_would_read_is_refused_before_it_is_committed() {
    let mut store = Memory::default();
    let long = |len| Letter { body: " ".repeat(len), ..letter(EventType::TenantDefine) };
    put(&mut store, &long(MAX_BODY_LEN));
    let before = store.clone();
    let refused = store.write(|tx| outbox::put(tx, &long(MAX_BODY_LEN + 1)));
    assert!(
        matches!(refused, Err(StoreError::TooLong { len, .. }) if len == MAX_BODY_LEN + 1),
        "{refused:?}"
    );
    assert_eq!(store, before, "and takes no place of an earlier letter");
}

#[test]
fn the_depth_tells_how_many_wait_and_since_when() {
    let mut store = Memory::default();
    let depth = |store: &Memory| outbox::depth(store, Lane::Facts).expect("read");
    assert_eq!((depth(&store).letters, depth(&store).oldest_millis), (0, None));
    for (i, tenant) in ["a", "b", "c"].into_iter().enumerate() {
        let written_at = Timestamp::from_millis(NOW.as_millis() + i as u64);
        put(&mut store, &Letter { written_at, ..tenant_letter(tenant, 1) });
    }
    put(&mut store, &revoke_letter("acme", 1));
    assert_eq!((depth(&store).letters, depth(&store).oldest_millis), (3, Some(NOW.as_millis())));
    let oldest = waiting(&store);
    forget(&mut store, &oldest[..1]);
    assert_eq!((depth(&store).letters, depth(&store).oldest_millis), (2, Some(NOW.as_millis() + 1)));
}

#[test]
fn a_letter_of_a_later_versions_type_waits_with_the_facts() {
    let mut store = Memory::default();
    put(&mut store, &Letter { kind: "openkcm.v9.New.Fact".into(), ..tenant_letter("acme", 1) });
    assert_eq!(words(&store), [word("acme", 1)]);
}
