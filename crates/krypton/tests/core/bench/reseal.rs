//! L3 versions are sealed anew under the L2 that follows, whoever made them; nothing that was sealed before is given up.

use std::time::Duration;

use openkcm_contracts::VersionId;
use openkcm_contracts::v1::{KeySealed, Seal, SealedBy};
use openkcm_krypton::control::RESEAL_PATIENCE;

use super::{AWAY, Bench, two_that_serve};
use crate::rig::facts::{self, SERVICE, SYSTEM, region};

/// The L2 versions that a version is sealed under, as one Core tells of it.
fn under(sealed: &KeySealed) -> Vec<VersionId> {
    let l2 = |seal: &Seal| match &seal.by {
        SealedBy::L2(id) => *id,
        SealedBy::Root(root) => panic!("{root} sealed an L3"),
    };
    sealed.seals.iter().map(l2).collect()
}

/// The L2 versions that each L3 version is sealed under, whoever tells of it.
fn under_all(core: &Bench) -> Vec<Vec<VersionId>> {
    let (_, l3) = core.held();
    let ids: std::collections::BTreeSet<_> = l3.iter().map(|sealed| sealed.version).collect();
    let of = |id: &VersionId| l3.iter().filter(|sealed| sealed.version == *id).flat_map(under).collect();
    ids.iter().map(of).collect()
}

/// A Core with three versions of its L3, all under its first L2.
fn with_three_versions(region: &str) -> (Bench, Vec<String>) {
    let mut core = Bench::serving(region);
    let mut sealed = vec![core.encrypt().expect("it serves").ciphertext];
    for _ in 0..2 {
        core.rotates(SERVICE);
        sealed.push(core.encrypt().expect("it serves").ciphertext);
    }
    (core, sealed)
}

#[test]
fn after_a_rotation_of_the_l2_every_l3_version_is_sealed_under_it_and_under_what_it_was_made_with() {
    let (mut core, sealed) = with_three_versions("a");
    let first = core.held().0[0].version;
    for _ in 0..3 {
        let newest = core.rotates(SYSTEM);
        core.passes(Duration::ZERO);
        assert_eq!(under_all(&core), vec![vec![first, newest]; 3], "the two that count, and no more");
        sealed.iter().for_each(|sealed| drop(core.decrypt(sealed).expect("it stays open")));
    }
    let told = core.tells();
    assert_eq!(told.len(), 3, "each version's latest word");
    assert!(told.iter().all(|word| word.maker == region("a") && word.resealed_by.is_none()));
    core.passes(Duration::from_secs(3600));
    assert_eq!(core.tells(), [], "and then there is nothing more to do");
}

#[test]
fn a_version_opens_by_its_new_seal_where_the_l2_that_it_was_made_under_does_not_open() {
    let (mut core, sealed) = with_three_versions("a");
    let newest = core.rotates(SYSTEM);
    core.passes(Duration::ZERO);
    let mut core = core.restarted();
    let jobs = std::mem::take(&mut core.unseal);
    for job in jobs {
        let outcome = if job.version == newest { super::unseal(&job) } else { Err(AWAY) };
        core.step(|core, view, now| core.unsealed(view, super::unsealed(outcome, job), now));
    }
    sealed.iter().for_each(|sealed| drop(core.decrypt(sealed).expect("it opens")));
}

#[test]
fn what_a_crash_leaves_under_the_earlier_l2_is_found_and_sealed_anew_after_it() {
    let (mut core, sealed) = with_three_versions("a");
    let first = core.held().0[0].version;
    let newest = core.rotates(SYSTEM);
    assert_eq!(under_all(&core), vec![vec![first]; 3], "nothing was sealed anew before the crash");
    let mut core = core.restarted();
    core.answers();
    core.passes(Duration::ZERO);
    assert_eq!(under_all(&core), vec![vec![first, newest]; 3]);
    core.tells();
    // Again, where all is done: nothing is told anew for a restart.
    let mut core = core.restarted();
    core.answers();
    core.passes(Duration::from_secs(600));
    assert_eq!(core.tells(), []);
    sealed.iter().for_each(|sealed| drop(core.decrypt(sealed).expect("it opens")));
}

#[test]
fn a_store_that_did_not_take_new_seals_is_given_them_again() {
    let (mut core, _) = with_three_versions("a");
    let first = core.held().0[0].version;
    let newest = core.rotates(SYSTEM);
    // The step's effects are lost, as where the store does not take them.
    let due = core.core.next_due().expect("there is something to do");
    assert!(due <= core.now);
    let effects = core.core.due(&core.store, core.now).expect("memory does not fail");
    assert_eq!(effects.reseal.len(), 3);
    core.core.not_resealed(&effects.reseal, core.now);
    core.passes(Duration::from_secs(2));
    assert_eq!(under_all(&core), vec![vec![first, newest]; 3]);
}

#[test]
fn one_region_seals_anew_and_the_next_one_what_is_left_after_a_while() {
    let mut cores = two_that_serve();
    let first = cores[0].held().0[0].version;
    // The second region rotates while the first one is away.
    let newest = cores[1].rotates(SYSTEM);
    cores[1].passes(Duration::ZERO);
    assert_eq!(under_all(&cores[1]), [[first]], "it is the first region's turn");
    cores[1].passes(RESEAL_PATIENCE);
    let found: std::collections::BTreeSet<_> = under_all(&cores[1]).concat().into_iter().collect();
    assert_eq!(found, [first, newest].into());
    let told = cores[1].tells();
    let [word] = &told[..] else { panic!("one word: {told:?}") };
    assert_eq!((&word.maker, word.teller()), (&region("a"), &region("b")));
    assert_eq!(under(word), [newest], "its own seal, under its own name");
    // The first region hears of both, and finds nothing left to do.
    let (l2, _) = cores[1].held();
    l2.iter().filter(|sealed| sealed.version == newest).for_each(|sealed| cores[0].hears_of(sealed));
    cores[0].hears_of(word);
    cores[0].answers();
    cores[0].passes(Duration::from_secs(600));
    assert_eq!(cores[0].tells(), []);
}

#[test]
fn a_made_up_seal_in_the_name_of_the_new_l2_does_not_keep_a_version_from_being_sealed_under_it() {
    let (mut core, _) = with_three_versions("a");
    let newest = core.rotates(SYSTEM);
    let (_, l3) = core.held();
    for version in l3 {
        let seals = vec![Seal { by: SealedBy::L2(newest), ciphertext: "AAAA".into() }];
        core.hears_of(&KeySealed { seals, resealed_by: Some(region("b")), ..version });
    }
    core.passes(Duration::ZERO);
    let (_, l3) = core.held();
    let own = l3.iter().filter(|sealed| sealed.teller() == &region("a"));
    assert!(own.clone().all(|sealed| under(sealed).contains(&newest)), "{l3:?}");
    assert_eq!(own.count(), 3);
}

#[test]
fn a_version_that_only_this_core_has_is_told_before_it_is_sealed_anew() {
    let mut core = Bench::serving("a");
    let first = core.held().0[0].version;
    let path = SERVICE.parse().expect("a key's name");
    // Both are made while the mesh takes nothing.
    core.step(|core, view, now| Ok(core.rotate(view, &path, now).expect("it serves").1));
    let path = SYSTEM.parse().expect("a key's name");
    core.step(|core, view, now| Ok(core.rotate(view, &path, now).expect("it serves").1));
    core.answers();
    core.passes(Duration::from_secs(10));
    assert_eq!(core.core.versions_at_risk(), 2, "also after the new L2 came into use");
    let newest = core.held().0[1].version;
    let (_, l3) = core.held();
    assert_eq!((under(&l3[0]), under(&l3[1])), (vec![first, newest], vec![first]));
    let mut core = core.restarted();
    core.answers();
    assert_eq!(core.core.versions_at_risk(), 2, "and it is known as such after a restart");
    core.tells();
    core.passes(Duration::from_secs(10));
    let (_, l3) = core.held();
    assert_eq!(under(&l3[1]), [first, newest]);
    assert_eq!(core.core.versions_at_risk(), 0);
}

#[test]
fn a_large_system_is_gone_through_in_shares_with_other_inputs_between() {
    let mut core = Bench::serving("a").with_share(4);
    for number in 0..200 {
        core.hears(10 + number, facts::key(&format!("{SYSTEM}/s-{number}"), |_| ()));
    }
    core.passes(Duration::from_secs(1));
    core.tells();
    let newest = core.rotates(SYSTEM);
    let (mut steps, mut sealed) = (0, 0);
    while core.core.next_due().is_some_and(|due| due <= core.now) {
        core.step(|core, view, now| core.due(view, now));
        steps += 1;
        let told = core.tells().len();
        assert!(told <= 64, "a step seals no more than its share: {told}");
        sealed += told;
        core.encrypt().expect("it serves all the while");
    }
    assert_eq!(sealed, 201);
    assert!(steps > 40, "{steps}");
    let path = format!("{SYSTEM}/s-199").parse().expect("a name");
    let last = openkcm_krypton::store::service_versions(&core.store, &path).expect("memory does not fail");
    assert!(under(&last[0]).contains(&newest));
}
