//! A root that comes into a link later is sealed to with the word of the tenant's owner, or after a wait, and not before:
//! whoever holds the CMK Server's signing key names roots, and can't have keys sealed to them.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openkcm_contracts::v1::{L1Reference, OwnerWord, SealedBy};
use openkcm_contracts::{Event, RootRef};
use openkcm_krypton::store;
use openkcm_orbital::OwnerKey;

use super::{AWAY, Bench};
use crate::rig::facts::{self, SERVICE, SYSTEM, local};

const WAIT: Duration = Duration::from_secs(72 * 3600);

/// A purge clock's tick is counted twice at the most where something begins.
const TICK: Duration = Duration::from_secs(61);

fn owner(number: u8) -> OwnerKey {
    OwnerKey::from_seed(&BASE64.encode([number; 32])).expect("a seed")
}

/// A link of this epoch to these roots; with the owner's word of this number, if there is one.
fn link(epoch: u64, roots: &[&str], pins: &OwnerKey, word: Option<(&OwnerKey, u64)>) -> Event {
    let roots: Vec<RootRef> = roots.iter().map(|key| local(key)).collect();
    let Event::L1Reference(mut fact) = facts::linked_to("acme", epoch, &roots) else {
        panic!("it is a link")
    };
    fact.owner_key = Some(pins.public());
    fact.owner_word =
        word.map(|(key, number)| OwnerWord { number, signature: key.sign(&fact.owner_bytes(number)) });
    Event::L1Reference(fact)
}

/// A Core that serves by a first link to `acme`, with this owner's key pinned.
fn serving(key: &OwnerKey) -> Bench {
    let mut core = Bench::new("a");
    for (counter, event) in facts::all().into_iter().take(3) {
        core.hears(counter, event);
    }
    core.hears(4, link(4, &["acme"], key, None));
    core.answers();
    core.tells();
    core
}

/// The roots that the L2 versions are sealed to, whoever tells of it.
fn sealed_to(core: &Bench) -> BTreeSet<String> {
    let seals = core.held().0.into_iter().flat_map(|sealed| sealed.seals);
    let root = |by: SealedBy| match by {
        SealedBy::Root(root) => root.key,
        SealedBy::L2(id) => panic!("{id} sealed an L2"),
    };
    seals.map(|seal| root(seal.by)).collect()
}

fn set(keys: &[&str]) -> BTreeSet<String> {
    keys.iter().map(|&key| key.to_owned()).collect()
}

fn hears(core: &mut Bench, counter: u64, event: Event) {
    core.hears(counter, event);
    core.answers();
    core.passes(Duration::from_secs(1));
    core.answers();
}

#[test]
fn with_the_owners_word_every_l2_is_sealed_to_the_new_root_at_once_and_then_opens_by_it_alone() {
    let key = owner(1);
    let mut core = serving(&key);
    core.rotates(SYSTEM);
    let sealed = core.encrypt().expect("it serves").ciphertext;
    hears(&mut core, 5, link(5, &["acme", "new"], &key, Some((&key, 1))));
    assert_eq!(sealed_to(&core), set(&["acme", "new"]));
    let all = core.held().0;
    assert!(all.iter().all(|version| version.seals.len() == 2), "each version: {all:?}");
    let told = core.tells().into_iter().filter(|word| word.service.is_none());
    assert_eq!(told.count(), 2, "the other regions are told");
    hears(&mut core, 6, link(6, &["new"], &key, None));
    let mut core = core.restarted();
    assert!(core.unseal.iter().all(|job| job.seals.iter().all(|(root, _)| root.key == "new")));
    core.answers();
    core.decrypt(&sealed).expect("it opens by the new root alone");
    assert!(sealed_to(&core).contains("acme"), "the former seal is kept");
}

#[test]
fn without_it_nothing_old_or_new_is_sealed_to_the_new_root_before_the_wait_is_over() {
    let key = owner(1);
    let mut core = serving(&key);
    let sealed = core.encrypt().expect("it serves").ciphertext;
    hears(&mut core, 5, link(5, &["acme", "new"], &key, None));
    core.rotates(SYSTEM);
    core.passes(Duration::from_secs(600));
    assert_eq!(sealed_to(&core), set(&["acme"]), "neither the version that was there, nor the one after it");
    let awaited = store::owners::awaited(&core.store, &"acme".parse().expect("a label"), WAIT);
    let awaited = awaited.expect("memory does not fail");
    assert_eq!(awaited[0].0, local("new"));
    assert!(awaited[0].1 > WAIT - TICK, "{awaited:?}");
    core.runs(WAIT - TICK, WAIT);
    let mut core = core.restarted();
    core.answers();
    assert_eq!(sealed_to(&core), set(&["acme"]), "a restart does not shorten it");
    core.runs(TICK * 2, WAIT);
    core.passes(Duration::from_secs(1));
    assert_eq!(sealed_to(&core), set(&["acme", "new"]));
    assert_eq!(store::owners::waiting(&core.store).expect("memory does not fail"), 0);
    core.decrypt(&sealed).expect("it served all the while");
}

#[test]
fn a_newer_link_takes_the_change_back_and_the_wait_begins_anew_with_the_next() {
    let key = owner(1);
    let mut core = serving(&key);
    hears(&mut core, 5, link(5, &["acme", "new"], &key, None));
    core.runs(WAIT - TICK, WAIT);
    hears(&mut core, 6, link(6, &["acme"], &key, None));
    core.runs(WAIT * 2, WAIT);
    hears(&mut core, 7, link(7, &["acme", "new"], &key, None));
    core.runs(WAIT - TICK, WAIT);
    assert_eq!(sealed_to(&core), set(&["acme"]));
    // An Unlink ends it too, however long that lasts.
    core.hears(8, facts::unlink("acme", 7));
    core.runs(WAIT * 2, WAIT);
    hears(&mut core, 9, link(9, &["acme", "new"], &key, None));
    core.runs(Duration::from_secs(60), WAIT);
    assert_eq!(sealed_to(&core), set(&["acme"]));
    core.rotates(SYSTEM);
    assert_eq!(sealed_to(&core), set(&["acme"]), "and what was trusted before the change still is");
}

#[test]
fn no_other_word_than_a_new_one_of_the_pinned_key_for_exactly_these_roots_is_taken() {
    let (key, thief) = (owner(1), owner(2));
    let mut core = serving(&key);
    hears(&mut core, 5, link(5, &["acme", "second"], &key, Some((&key, 5))));
    assert_eq!(sealed_to(&core), set(&["acme", "second"]));
    let taken = |change: &dyn Fn(&mut L1Reference)| {
        let Event::L1Reference(mut fact) = link(5, &["acme", "second"], &key, Some((&key, 6))) else {
            panic!()
        };
        change(&mut fact);
        fact
    };
    let evil = |fact: &mut L1Reference| fact.roots = vec![local("evil")];
    let said: Vec<L1Reference> = vec![
        // The thief's own key, said to be the owner's, and its word.
        {
            let Event::L1Reference(fact) = link(6, &["acme", "evil"], &thief, Some((&thief, 9))) else {
                panic!()
            };
            fact
        },
        // A word of the owner for other roots.
        taken(&evil),
        // For these roots in another generation of the tenant would be none either; here: with another number.
        taken(&|fact| {
            evil(fact);
            fact.owner_word.as_mut().expect("there is one").number = 99;
        }),
    ];
    for (at, mut fact) in (6..).zip(said) {
        fact.epoch = openkcm_contracts::LinkEpoch(openkcm_contracts::Revision::new(1, at));
        hears(&mut core, at, Event::L1Reference(fact));
        core.runs(Duration::from_secs(60), WAIT);
        assert!(!sealed_to(&core).contains("evil"));
    }
    // The owner takes the second root out. Its earlier word, said again, does not bring it back.
    hears(&mut core, 20, link(20, &["acme"], &key, Some((&key, 7))));
    hears(&mut core, 21, link(21, &["acme", "second"], &key, Some((&key, 5))));
    let newest = core.rotates(SYSTEM);
    let (l2, _) = core.held();
    let newest = l2.iter().find(|sealed| sealed.version == newest).expect("it is held");
    assert!(newest.seals.iter().all(|seal| seal.by == SealedBy::Root(local("acme"))), "{newest:?}");
    // And the key that is pinned signs its follower.
    let mut core = serving(&key);
    hears(&mut core, 5, link(5, &["acme", "new"], &thief, Some((&key, 1))));
    hears(&mut core, 6, link(6, &["acme", "new", "third"], &thief, Some((&thief, 2))));
    assert_eq!(sealed_to(&core), set(&["acme", "new", "third"]));
}

#[test]
fn a_link_that_names_none_but_an_unproven_root_makes_no_l2_and_says_why() {
    let key = owner(1);
    let mut core = serving(&key);
    let sealed = core.encrypt().expect("it serves").ciphertext;
    hears(&mut core, 5, link(5, &["new"], &key, None));
    core.passes(Duration::from_secs(600));
    assert_eq!((sealed_to(&core), core.held().0.len()), (set(&["acme"]), 1));
    let refusal = core.decrypt(&sealed).expect_err("nothing opens it");
    assert_eq!(refusal.code.as_str(), "material_not_here");
    hears(&mut core, 6, link(6, &["new", "acme"], &key, Some((&key, 1))));
    assert_eq!(sealed_to(&core), set(&["acme", "new"]), "both are linked, as the refusal says");
    core.decrypt(&sealed).expect("it opens");
    core.rotates(SERVICE);
}

#[test]
fn a_new_root_that_does_not_answer_is_asked_again() {
    let key = owner(1);
    let mut core = serving(&key);
    core.hears(5, link(5, &["acme", "new"], &key, Some((&key, 1))));
    let jobs = std::mem::take(&mut core.unseal);
    for job in jobs {
        let outcome = super::unseal(&job);
        core.step(|core, view, now| core.unsealed(view, super::unsealed(outcome, job), now));
    }
    for round in 0..2 {
        core.step(|core, view, now| core.due(view, now));
        let job = core.reseal.pop().unwrap_or_else(|| panic!("round {round}: it is asked"));
        assert_eq!(job.roots, [local("new")]);
        let answer = openkcm_krypton::control::Resealed { job, outcome: Err(AWAY), denied_by: None };
        core.step(|core, view, now| core.resealed(view, answer, now));
        core.now = core.now.after(Duration::from_secs(30));
    }
    core.step(|core, view, now| core.due(view, now));
    core.answers();
    assert_eq!(sealed_to(&core), set(&["acme", "new"]));
}
