//! A Core that was taken over, in the tenant's region or in one that it never had, says what it likes under
//! its own name. It can't read, can't destroy, and can't keep the others from serving.

use std::time::Duration;

use openkcm_contracts::v1::{KeyDefine, KeySealed, Seal, SealedBy};
use openkcm_contracts::{KeyPath, Timestamp, VersionId};
use openkcm_krypton::sealing::wrap_l3;
use openkcm_krypton::store::MAX_COUNTER;

use super::{Bench, START, service};
use crate::rig::facts::{self, SERVICE, SYSTEM, local, region};

const DAY: Duration = Duration::from_secs(86_400);

/// What a stranger makes up about the L2, or about the L3.
fn made_up(of_l3: bool, id: u8, counter: u64, maker: &str) -> KeySealed {
    let path: KeyPath = if of_l3 { SERVICE } else { SYSTEM }.parse().expect("a key's name");
    let by =
        if of_l3 { SealedBy::L2(VersionId::from_bytes([77; 16])) } else { SealedBy::Root(local("acme")) };
    KeySealed {
        tenant: path.tenant().clone(),
        system: path.system().clone(),
        service: path.service().cloned(),
        generation: facts::generation(if of_l3 { 3 } else { 2 }),
        version: VersionId::from_bytes([id; 16]),
        counter,
        made_at: Timestamp::from_millis(u64::MAX),
        maker: region(maker),
        seals: vec![Seal { by, ciphertext: "AAAA".into() }],
        resealed_by: None,
    }
}

fn every_ten_days(fact: &mut KeyDefine) {
    fact.rotate_every = Some("10d".parse().expect("a period"));
}

#[test]
fn what_a_stranger_made_up_before_the_first_version_does_not_keep_it_from_being_made() {
    let mut core = Bench::new("a");
    for counter in [1, 9, MAX_COUNTER] {
        core.hears_of(&made_up(false, counter as u8, counter, "stranger"));
        core.hears_of(&made_up(true, counter as u8, counter, "stranger"));
    }
    for (counter, event) in facts::all() {
        core.hears(counter, event);
    }
    core.answers();
    core.passes(Duration::from_secs(60));
    core.tells();
    let sealed = core.encrypt().expect("it made its own").ciphertext;
    let mut core = core.restarted();
    core.answers();
    core.decrypt(&sealed).expect("it opens");
}

#[test]
fn made_up_versions_are_neither_used_nor_counted_on_nor_in_the_way_of_a_rotation() {
    for maker in ["stranger", "b"] {
        let mut core = Bench::serving("a");
        core.hears(11, facts::key(SYSTEM, every_ten_days));
        core.hears(12, facts::key(SERVICE, every_ten_days));
        let first = core.encrypt().expect("it serves");
        for counter in [1, 2, 1_000_000] {
            core.hears_of(&made_up(false, counter as u8, counter, maker));
            core.hears_of(&made_up(true, counter as u8, counter, maker));
        }
        core.answers();
        assert_eq!(core.encrypt().expect("it serves").version, first.version);
        core.now = core.now.after(DAY * 11);
        core.passes(Duration::from_secs(60));
        core.tells();
        let second = core.encrypt().expect("it serves");
        assert_ne!(second.version, first.version, "the rotation was due, and was done");
        core.decrypt(&first.ciphertext).expect("it opens");
        let (l2, _) = core.held();
        assert_eq!(l2.iter().filter(|sealed| sealed.maker == region("a")).count(), 2);
    }
}

#[test]
fn a_counter_beyond_belief_is_not_taken_and_one_at_its_edge_costs_nobody_a_version() {
    let mut core = Bench::serving("a");
    core.hears_of(&made_up(true, 1, MAX_COUNTER + 1, "b"));
    core.hears_of(&made_up(true, 2, u64::MAX, "b"));
    assert_eq!(core.held().1.len(), 1);
    // By a region of the tenant, which may make versions: this one opens.
    let l2 = core.held().0[0].version;
    let edge = KeySealed { made_at: START, ..made_up(true, 3, MAX_COUNTER, "b") };
    let edge = KeySealed {
        seals: vec![Seal { by: SealedBy::L2(l2), ciphertext: sealed_by_peer(&core, 3) }],
        ..edge
    };
    core.hears_of(&edge);
    assert_eq!(core.encrypt().expect("it serves").version, edge.version);
    let path = SERVICE.parse().expect("a key's name");
    core.step(|core, view, now| Ok(core.rotate(view, &path, now).expect("it serves").1));
    let told = core.tells();
    assert_eq!(told.len(), 1);
    assert!(told[0].counter <= MAX_COUNTER, "a peer would not take {}", told[0].counter);
    let mut peer = Bench::serving("b");
    peer.hears_of(&told[0]);
    assert!(peer.held().1.contains(&told[0]));
}

/// A new L3 of this id, wrapped as a region of the tenant would, which has the same L2.
fn sealed_by_peer(core: &Bench, id: u8) -> String {
    let (l2, _) = core.held();
    let job = openkcm_krypton::control::UnsealJob {
        path: service().system_path(),
        epoch: openkcm_contracts::LinkEpoch(openkcm_contracts::Revision::new(1, 4)),
        generation: l2[0].generation,
        version: l2[0].version,
        seals: vec![(local("acme"), l2[0].seals[0].ciphertext.clone())],
        wanted: openkcm_krypton::control::Wanted::default(),
    };
    let key = super::unseal(&job).expect("the provider opens it");
    let name = (&service(), facts::generation(3), VersionId::from_bytes([id; 16]));
    wrap_l3((&key, l2[0].version), &core.random_key(), name, &openkcm_host::SeededEntropy::new(5))
}

#[test]
fn who_tells_of_anothers_version_too_neither_hides_nor_moves_it() {
    for maker in ["0", "stranger", "b"] {
        let core = Bench::serving("a");
        let sealed = core.encrypt().expect("it serves").ciphertext;
        let (l2, l3) = core.held();
        let mut core = core;
        for real in [&l2[0], &l3[0]] {
            let of_l3 = real.service.is_some();
            // Garbage under its id, sorted before and after it; its own seals with another counter; and
            // the same for an ended generation.
            for (counter, seals) in [(0, None), (5, None), (MAX_COUNTER, Some(real.seals.clone()))] {
                let garbage = made_up(of_l3, 0, counter, maker);
                let seals = seals.unwrap_or(garbage.seals.clone());
                core.hears_of(&KeySealed { version: real.version, seals: seals.clone(), ..garbage.clone() });
                let generation = facts::generation(1);
                core.hears_of(&KeySealed { version: real.version, generation, seals, ..garbage });
            }
        }
        for core in [&mut core, &mut Bench::restarted(Bench::serving("a"))] {
            core.answers();
        }
        core.decrypt(&sealed).expect("it is open");
        let mut core = core.restarted();
        core.answers();
        core.passes(Duration::from_secs(300));
        core.decrypt(&sealed).expect("it opens again");
        core.step(|core, view, now| core.hydrated(view, now));
        let path = SERVICE.parse().expect("a key's name");
        core.step(|core, view, now| Ok(core.rotate(view, &path, now).expect("it serves").1));
        core.tells();
        let next = core.encrypt().expect("it serves").version;
        assert_ne!(next, l3[0].version, "the copy with the huge counter does not keep the old one in use");
    }
}

#[test]
fn versions_of_tenants_that_nobody_defined_are_of_no_effect() {
    let mut core = Bench::serving("a");
    core.passes(DAY);
    for number in 0..50 {
        let mut sealed = made_up(number % 2 == 0, number, u64::from(number), "stranger");
        sealed.tenant = openkcm_contracts::TenantId::new(&format!("none-{number}")).expect("a label");
        core.hears_of(&sealed);
    }
    assert!(core.unseal.is_empty() && core.seal.is_empty());
    assert_eq!(core.keyring.count(), (1, 1), "no tenant is known by what a Core says of it");
    assert_eq!(core.passes(DAY), 0, "and nothing is on the agenda for it");
}

#[test]
fn a_flood_of_made_up_versions_is_asked_for_ever_more_rarely() {
    let mut core = Bench::serving("a");
    for id in 1..=50 {
        core.hears_of(&made_up(false, id, 1, "stranger"));
    }
    core.answers();
    core.passes(Duration::from_secs(60));
    let ring = core.data.service(&service()).expect("it is served");
    let looks = core.passes(Duration::from_secs(3600));
    assert!(looks < 200, "one look in 30 s for all of them: {looks}");
    let same = core.data.service(&service()).expect("it is served");
    assert!(std::sync::Arc::ptr_eq(&ring, &same), "failures that are no news touch no service");
    core.encrypt().expect("it serves");
}

#[test]
fn a_version_with_more_seals_than_anyone_makes_is_not_taken() {
    let mut core = Bench::serving("a");
    let told = made_up(false, 1, 1, "b");
    let seals = vec![told.seals[0].clone(); 9];
    core.hears_of(&KeySealed { seals, ..told.clone() });
    assert_eq!(core.held().0.len(), 1, "each seal may be a question to the tenant's provider");
    core.hears_of(&told);
    assert_eq!(core.held().0.len(), 2);
}
