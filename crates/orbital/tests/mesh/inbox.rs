//! The inbox: how far each stream was read, and what could not be.

use std::collections::BTreeMap;

use openkcm_contracts::{EventType, Lane, Revision};
use openkcm_orbital::inbox::{self, QUARANTINE, Quarantined};
use openkcm_orbital::{Batch, Intake, Letter, Message, Position, Reading, Stream};
use openkcm_store::{Memory, StoreError};

use crate::fixture::{Landscape, NOW, letter, region, stream};

fn position(sequence: u64) -> Position {
    Position { mesh: "m".into(), sequence }
}

fn quarantine(store: &mut Memory, stream: &Stream, message: &Message) {
    let poison = Quarantined {
        at: NOW,
        reason: "a later version's".into(),
        tenant: None,
        revokes: false,
        headers: message.headers.clone(),
        body: String::from_utf8_lossy(&message.body).into_owned(),
    };
    store.write(|tx| inbox::quarantine(tx, stream, &poison)).expect("memory takes it");
}

fn kept(store: &Memory) -> Vec<Quarantined> {
    let listed = QUARANTINE.list(store, "", None, usize::MAX).expect("memory can be read");
    listed.into_iter().map(|(_, poison)| poison).collect()
}

/// A revoke that can't be read, at this revision.
fn poison(counter: u64) -> Message {
    let revision = Revision::new(1, counter);
    Landscape::new().cmk.sign(&Letter { body: "{".into(), revision, ..letter(EventType::L1Revoke) })
}

#[test]
fn each_stream_has_a_position_of_its_own() {
    let mut store = Memory::default();
    let streams = [(Lane::Urgent, "a"), (Lane::Facts, "a"), (Lane::Facts, "b")]
        .map(|(lane, name)| Reading::all(Stream { lane, audience: region(name) }));
    for (stream, sequence) in streams.iter().zip(1..) {
        assert_eq!(inbox::position(&store, stream).expect("read"), None);
        store.write(|tx| inbox::advance(tx, stream, &position(sequence))).expect("written");
    }
    for (stream, sequence) in streams.iter().zip(1..) {
        assert_eq!(inbox::position(&store, stream).expect("read"), Some(position(sequence)));
    }
}

#[test]
fn a_position_and_its_effects_are_committed_together_or_not_at_all() {
    let mut store = Memory::default();
    let stream = Reading::all(stream(EventType::L1Revoke));
    store.write(|tx| inbox::advance(tx, &stream, &position(1))).expect("written");
    let crashed = store.write(|tx| {
        inbox::advance(tx, &stream, &position(2))?;
        Err::<(), _>(StoreError::Closed)
    });
    assert!(crashed.is_err());
    assert_eq!(inbox::position(&store, &stream).expect("read"), Some(position(1)));
}

#[test]
fn an_intake_without_messages_moves_no_position() {
    let mut store = Memory::default();
    let stream = Reading::all(stream(EventType::L1Revoke));
    store.write(|tx| inbox::advance(tx, &stream, &position(5))).expect("written");
    let nothing = Batch { messages: Vec::new(), caught_up: true };
    let intake = Intake::verify(&stream, nothing, &Landscape::new().verifier(), NOW);
    store.write(|tx| intake.record(tx)).expect("written");
    assert_eq!(inbox::position(&store, &stream).expect("read"), Some(position(5)));
}

#[test]
fn poison_that_is_read_again_is_kept_once() {
    let mut store = Memory::default();
    for _ in 0..3 {
        quarantine(&mut store, &stream(EventType::L1Revoke), &poison(1));
    }
    assert_eq!(kept(&store).len(), 1);
}

/// Only what is signed may decide where poison is kept; the id is not.
#[test]
fn a_replay_under_other_ids_does_not_fill_the_quarantine() {
    let mut store = Memory::default();
    for i in 0..100 {
        let mut replayed = poison(1);
        replayed.headers.insert("ce-id".into(), format!("another-{i}"));
        quarantine(&mut store, &stream(EventType::L1Revoke), &replayed);
    }
    assert_eq!(kept(&store).len(), 1);
}

#[test]
fn poison_that_borrows_the_id_of_another_does_not_take_its_place() {
    let mut store = Memory::default();
    let (revoke, mut other) = (
        poison(1),
        Landscape::new().registry.sign(&Letter { body: "{".into(), ..letter(EventType::KeyPurge) }),
    );
    other.headers.insert("ce-id".into(), revoke.headers["ce-id"].clone());
    quarantine(&mut store, &stream(EventType::L1Revoke), &revoke);
    quarantine(&mut store, &stream(EventType::L1Revoke), &other);
    assert_eq!(kept(&store).len(), 2);
}

#[test]
fn of_one_things_poison_the_newest_is_kept_whatever_is_replayed() {
    let mut store = Memory::default();
    for counter in [1, 3, 2, 1] {
        quarantine(&mut store, &stream(EventType::L1Revoke), &poison(counter));
    }
    let held = kept(&store);
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].headers, poison(3).headers);
}

#[test]
fn an_author_can_not_put_its_poison_in_the_place_of_anothers() {
    let landscape = Landscape::new();
    let mut store = Memory::default();
    let disguised = Letter {
        body: "{".into(),
        subject: letter(EventType::L1Revoke).subject,
        revision: Revision::new(u32::MAX, u64::MAX),
        ..letter(EventType::KeySealed)
    };
    quarantine(&mut store, &stream(EventType::L1Revoke), &poison(1));
    quarantine(&mut store, &stream(EventType::L1Revoke), &landscape.core_b.sign(&disguised));
    assert!(kept(&store).iter().any(|held| held.headers == poison(1).headers));
}

#[test]
fn poison_with_no_headers_at_all_can_be_kept() {
    let mut store = Memory::default();
    let bare = Message { headers: BTreeMap::new(), ..poison(1) };
    quarantine(&mut store, &stream(EventType::L1Revoke), &bare);
    assert_eq!(kept(&store).len(), 1);
}
