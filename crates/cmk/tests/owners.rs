//! What goes with a link of the tenant's owner: a key that is pinned once, and a word that must hold.

mod world;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openkcm_cmk::commands::{Failure, Outcome};
use openkcm_cmk::rules::{LinkRequest, Precondition, Refusal};
use openkcm_cmk::store::Pointer;
use openkcm_contracts::v1::OwnerWord;
use openkcm_contracts::{Generation, Revision};
use openkcm_orbital::OwnerKey;

use world::{World, id, request, roots};

fn owner(number: u8) -> OwnerKey {
    OwnerKey::from_seed(&BASE64.encode([number; 32])).expect("a seed")
}

/// A request for these roots that names `pins` and is signed, as for `signed`, with this number.
fn asked(keys: &[&str], pins: Option<&OwnerKey>, word: Option<(&OwnerKey, &[&str], u64)>) -> LinkRequest {
    let word = word.map(|(key, signed, number)| {
        let generation = Generation(Revision::new(1, 1));
        let public = pins.unwrap_or(key).public();
        let bytes = OwnerWord::bytes(&id("acme"), generation, &roots(signed), Some(&public), number);
        OwnerWord { number, signature: key.sign(&bytes) }
    });
    request(keys).with_owner(pins.map(OwnerKey::public), word).expect("it has the form of one")
}

fn linked(world: &mut World, request: &LinkRequest) -> Result<Pointer, Failure> {
    world.link("acme", request, &Precondition::None).map(Outcome::into_inner)
}

fn is_refused(world: &mut World, request: &LinkRequest) {
    let before = world.pointer("acme");
    match linked(world, request) {
        Err(Failure::Refused(Refusal::OwnersWord(_))) => assert_eq!(world.pointer("acme"), before),
        other => panic!("a refusal is expected, got {other:?}"),
    }
}

#[test]
fn the_first_link_pins_the_owners_key_and_a_word_of_it_is_kept_once() {
    let (mut world, key, thief) = (World::default(), owner(1), owner(2));
    world.define("acme", 1, &["a"]);
    is_refused(&mut world, &asked(&["k"], Some(&key), Some((&key, &["k"], 1))));
    let first = linked(&mut world, &asked(&["k"], Some(&key), None)).expect("it is linked");
    assert_eq!((first.owner_key, first.owner_word), (Some(key.public()), None));
    is_refused(&mut world, &asked(&["k"], Some(&thief), None));
    is_refused(&mut world, &asked(&["k", "l"], None, Some((&thief, &["k", "l"], 9))));
    is_refused(&mut world, &asked(&["k", "l"], None, Some((&key, &["l", "k"], 9))));
    let signed = asked(&["k", "l"], None, Some((&key, &["k", "l"], 9)));
    let second = linked(&mut world, &signed).expect("it is linked");
    assert_eq!((second.owner_key, second.owner_number), (Some(key.public()), 9));
    is_refused(&mut world, &asked(&["k", "m"], None, Some((&key, &["k", "m"], 9))));
    let unsigned =
        linked(&mut world, &asked(&["k"], None, None)).expect("each region waits for its own time");
    assert_eq!((unsigned.owner_word, unsigned.owner_number), (None, 9));
    is_refused(&mut world, &signed);
}

#[test]
fn a_word_for_the_roots_that_are_linked_makes_no_other_link_and_another_key_comes_by_the_word_of_the_first() {
    let (mut world, key, next) = (World::default(), owner(1), owner(2));
    world.define("acme", 1, &["a"]);
    let first = linked(&mut world, &asked(&["k"], Some(&key), None)).expect("it is linked");
    let signed = linked(&mut world, &asked(&["k"], None, Some((&key, &["k"], 1)))).expect("it is signed");
    assert_eq!(signed.epoch, first.epoch, "what was agreed on the link stands");
    assert!(signed.revision > first.revision && signed.owner_word.is_some());
    let handed_on = asked(&["k"], Some(&next), Some((&key, &["k"], 2)));
    let after = linked(&mut world, &handed_on).expect("the pinned key says so");
    assert_eq!(after.owner_key, Some(next.public()));
    is_refused(&mut world, &asked(&["l"], None, Some((&key, &["l"], 3))));
    linked(&mut world, &asked(&["l"], None, Some((&next, &["l"], 3)))).expect("the new key signs");
}
