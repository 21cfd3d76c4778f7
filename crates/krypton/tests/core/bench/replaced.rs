//! What is compromised is followed by something new at once, and what hung on it with it.

use std::time::Duration;

use openkcm_contracts::VersionId;
use openkcm_contracts::v1::{KeySealed, Seal, SealedBy};
use openkcm_krypton::control::RESEAL_PATIENCE;

use super::{Bench, exchange, two_that_serve};
use crate::rig::facts::{self, SERVICE, SYSTEM, region};

/// The Registry says that this version is compromised.
fn is_compromised(core: &mut Bench, counter: u64, key: &str, version: VersionId) {
    core.hears(counter, facts::key(key, |fact| fact.compromised = [version].into()));
    core.answers();
    core.tells();
    core.passes(Duration::from_secs(1));
}

#[test]
fn a_compromised_newest_l3_is_followed_by_a_new_version_and_by_no_older_one() {
    let mut core = Bench::serving("a");
    let older = core.encrypt().expect("it serves");
    let newest = core.rotates(SERVICE);
    let sealed = core.encrypt().expect("it serves").ciphertext;
    is_compromised(&mut core, 11, SERVICE, newest);
    let version = core.encrypt().expect("it serves").version;
    assert!(version != newest && version != older.version, "a new one took its place");
    core.decrypt(&older.ciphertext).expect("the older one still opens");
    assert_eq!(core.decrypt(&sealed).expect_err("it is compromised").code.as_str(), "key_compromised");
    core.passes(Duration::from_secs(3600));
    assert_eq!(core.held().1.len(), 3, "one, and not one more with each look");
}

#[test]
fn a_made_up_version_that_nobody_can_open_neither_asks_for_a_new_one_nor_keeps_it_from_being_made() {
    let mut core = Bench::serving("a");
    let newest = core.encrypt().expect("it serves").version;
    let (_, l3) = core.held();
    let far = KeySealed {
        version: VersionId::from_bytes([77; 16]),
        counter: openkcm_krypton::store::MAX_COUNTER,
        maker: region("b"),
        seals: vec![Seal { ciphertext: "AAAA".into(), ..l3[0].seals[0].clone() }],
        ..l3[0].clone()
    };
    core.hears_of(&far);
    is_compromised(&mut core, 11, SERVICE, far.version);
    core.passes(Duration::from_secs(60));
    assert_eq!(core.encrypt().expect("it serves").version, newest, "nobody made what was compromised");
    let next = KeySealed { version: VersionId::from_bytes([78; 16]), counter: 2, ..far };
    core.hears_of(&next);
    is_compromised(&mut core, 12, SERVICE, newest);
    assert_ne!(core.encrypt().expect("it serves").version, newest);
}

#[test]
fn a_compromised_l2_is_followed_by_a_new_one_and_every_l3_that_it_sealed_by_a_new_version_under_that() {
    let mut core = Bench::serving("a");
    let before = core.encrypt().expect("it serves");
    let older = core.held().0[0].version;
    let exposed = core.rotates(SYSTEM);
    core.passes(Duration::ZERO);
    core.tells();
    is_compromised(&mut core, 11, SYSTEM, exposed);
    let (l2, _) = core.held();
    assert_eq!(l2.len(), 3, "a new L2, though an older one could have gone on");
    let after = core.encrypt().expect("it serves");
    assert_ne!(after.version, before.version, "whoever had the L2 could have had the L3");
    core.decrypt(&before.ciphertext).expect("it opens still");
    core.passes(Duration::from_secs(60));
    core.tells();
    let (l2, l3) = core.held();
    let newest = l2.last().expect("it is held").version;
    assert!(newest != older && newest != exposed);
    for version in &l3 {
        let by = version.seals.last().map(|seal| seal.by.clone());
        assert_eq!(by, Some(SealedBy::L2(newest)), "{version:?}");
    }
    core.passes(Duration::from_secs(3600));
    assert_eq!((core.held().0.len(), core.held().1.len()), (3, 2), "and that is all");
    let mut core = core.restarted();
    core.answers();
    core.passes(Duration::from_secs(3600));
    assert_eq!((core.held().0.len(), core.held().1.len()), (3, 2), "also after a restart");
}

#[test]
fn a_seal_that_is_made_up_in_the_name_of_a_compromised_l2_has_nothing_replaced() {
    let mut core = Bench::serving("a");
    let exposed = core.held().0[0].version;
    core.rotates(SYSTEM);
    core.passes(Duration::ZERO);
    core.tells();
    is_compromised(&mut core, 11, SYSTEM, exposed);
    let clean = core.encrypt().expect("it serves").version;
    let (_, l3) = core.held();
    let real = l3.iter().find(|sealed| sealed.version == clean).expect("it is held").clone();
    let seals = vec![Seal { by: SealedBy::L2(exposed), ciphertext: real.seals[0].ciphertext.clone() }];
    core.hears_of(&KeySealed { seals, resealed_by: Some(region("b")), ..real });
    core.passes(Duration::from_secs(600));
    assert_eq!(core.encrypt().expect("it serves").version, clean);
}

#[test]
fn of_two_regions_one_makes_what_follows_a_compromised_version() {
    let mut cores = two_that_serve();
    let newest = cores[0].encrypt().expect("it serves").version;
    for core in &mut cores {
        core.hears(11, facts::key(SERVICE, |fact| fact.compromised = [newest].into()));
    }
    exchange(&mut cores);
    for core in &mut cores {
        core.passes(RESEAL_PATIENCE * 2);
        core.tells();
        assert_eq!(core.held().1.len(), 2);
    }
    let versions = cores.map(|core| core.encrypt().expect("it serves").version);
    assert!(versions[0] == versions[1] && versions[0] != newest);
}
