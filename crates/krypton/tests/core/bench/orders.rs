//! Facts and sealed versions in every order: the same set, whatever its order, gives the same Core.

use openkcm_contracts::Event;
use openkcm_contracts::v1::KeySealed;

use super::{Bench, exchange};
use crate::arrival::orders;
use crate::rig::facts::{self, SERVICE};

#[test]
fn a_core_that_hears_of_a_peers_versions_and_all_facts_in_any_order_serves_with_them() {
    let maker = Bench::serving("a");
    let sealed = maker.encrypt().expect("it serves").ciphertext;
    let (l2, l3) = maker.held();
    let versions: Vec<KeySealed> = [l2, l3].concat();
    assert_eq!(versions.len(), 2);
    let all = facts::all();
    for order in orders(6) {
        let mut core = Bench::new("b");
        for index in order {
            match all.get(index) {
                Some((counter, event)) => core.hears(*counter, event.clone()),
                None => core.hears_of(&versions[index - 4]),
            }
            core.answers();
        }
        let opened = core.decrypt(&sealed).expect("it opens");
        assert_eq!(opened.plaintext.as_slice(), b"plaintext");
        assert_eq!(core.encrypt().expect("it encrypts").version, versions[1].version);
        assert_eq!(core.tells(), [], "it made nothing of its own");
    }
}

#[test]
fn an_unlink_and_a_revoke_hold_in_any_order_among_the_links_around_them() {
    let epochs = |counter: u64, event: Event| (counter, event);
    let said = [
        epochs(4, facts::link("acme", 4)),
        epochs(5, facts::unlink("acme", 4)),
        epochs(5, facts::revoke("acme", 4)),
        epochs(6, facts::link("acme", 6)),
        epochs(7, facts::revoke("acme", 6)),
    ];
    for order in orders(5) {
        let mut core = Bench::new("a");
        for (counter, event) in facts::all().into_iter().take(3) {
            core.hears(counter, event);
        }
        for index in order {
            let (counter, event) = said[index].clone();
            core.hears(counter, event);
            core.answers();
        }
        let code = |core: &Bench| core.encrypt().expect_err("every link is dead").code.as_str();
        assert_eq!(code(&core), "tenant_unlinked");
        let mut core = core.restarted();
        core.answers();
        assert_eq!(code(&core), "tenant_unlinked");
        core.hears(8, facts::link("acme", 8));
        core.answers();
        core.step(|core, view, now| core.hydrated(view, now));
        core.answers();
        core.tells();
        core.encrypt().expect("a newer link serves");
    }
}

#[test]
fn one_version_is_made_however_the_definitions_of_two_regions_arrive() {
    for order in orders(4) {
        let mut cores = [Bench::new("a"), Bench::new("b")];
        for index in order {
            let (counter, event) = facts::all()[index].clone();
            for core in &mut cores {
                core.hears(counter, event.clone());
                core.answers();
            }
        }
        exchange(&mut cores);
        for core in &cores {
            let (l2, l3) = core.held();
            assert_eq!((l2.len(), l3.len()), (1, 1));
        }
        let [a, b] = &cores;
        b.decrypt(&a.encrypt().expect("it serves").ciphertext).expect("it opens");
        a.decrypt(&b.encrypt().expect("it serves").ciphertext).expect("it opens");
    }
}

#[test]
fn the_union_of_two_regions_that_rotated_apart_is_the_same_in_both() {
    let mut cores = [Bench::serving("a"), Bench::new("b")];
    for (counter, event) in facts::all() {
        cores[1].hears(counter, event);
    }
    let (l2, l3) = cores[0].held();
    l2.iter().chain(&l3).for_each(|sealed| cores[1].hears_of(sealed));
    cores[1].answers();
    let path = SERVICE.parse().expect("a key's name");
    for core in &mut cores {
        for _ in 0..3 {
            core.step(|core, view, now| Ok(core.rotate(view, &path, now).expect("it serves").1));
        }
    }
    exchange(&mut cores);
    let [a, b] = &cores;
    assert_eq!(a.held().1.len(), 7);
    assert_eq!(a.encrypt().expect("it serves").version, b.encrypt().expect("it serves").version);
}
