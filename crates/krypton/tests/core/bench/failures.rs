//! The disk, the provider or the machine fails in the middle of a step: nothing is lost, nothing waits for
//! ever, nothing is made twice, nothing spins.

use std::time::Duration;

use openkcm_contracts::KeyPath;
use openkcm_contracts::v1::KeyDefine;
use openkcm_krypton::store::Changes;

use super::{AWAY, Bench, UNOPENABLE, service, unseal};
use crate::rig::facts::{self, SERVICE, SYSTEM};

const DAY: Duration = Duration::from_secs(86_400);

fn path(name: &str) -> KeyPath {
    name.parse().expect("a key's name")
}

#[test]
fn a_store_that_fails_at_any_read_of_any_step_loses_nothing_that_was_asked_for() {
    for reads in 0..40 {
        let sealed = Bench::serving("a").encrypt().expect("it serves").ciphertext;
        let mut core = Bench::serving("a").restarted();
        core.step(|core, view, now| core.hydrated(view, now));
        core.unseal.clear();
        // A relink, which opens everything anew, on a store that fails in the middle of it.
        let changes = core.absorbs(5, facts::link("acme", 5), None);
        let failed = core.step_on_failing_store(reads, |core, view, now| core.settle(view, &changes, now));
        if failed {
            core.step(|core, view, now| core.settle_all(view, now));
        }
        core.answers();
        core.decrypt(&sealed).expect("it was opened in the end");
        assert_eq!(core.held().0.len(), 1);
    }
}

#[test]
fn a_store_that_fails_at_any_read_of_a_beginning_ends_in_one_version_each() {
    for reads in 0..60 {
        let mut core = Bench::new("a");
        for (counter, event) in facts::all() {
            let changes = core.absorbs(counter, event, None);
            if core.step_on_failing_store(reads, |core, view, now| core.settle(view, &changes, now)) {
                core.step(|core, view, now| core.settle_all(view, now));
            }
        }
        for job in std::mem::take(&mut core.seal) {
            let outcome = Ok(super::seal(&job));
            let failed = core.step_on_failing_store(reads, |core, view, now| {
                core.sealed(view, super::sealed(outcome, job), now)
            });
            assert!(!failed, "keeping a sealed L2 needs no read");
        }
        core.answers();
        core.tells();
        core.encrypt().expect("it serves");
        let (l2, l3) = core.held();
        assert_eq!((l2.len(), l3.len()), (1, 1), "failing after {reads} reads");
    }
}

#[test]
fn a_store_that_fails_while_time_passes_rotates_once_when_it_is_back() {
    let every_ten_days = |fact: &mut KeyDefine| fact.rotate_every = Some("10d".parse().expect("a period"));
    for reads in 0..30 {
        let mut core = Bench::serving("a");
        core.hears(11, facts::key(SYSTEM, every_ten_days));
        core.hears(12, facts::key(SERVICE, every_ten_days));
        core.now = core.now.after(DAY * 10);
        if core.step_on_failing_store(reads, |core, view, now| core.due(view, now)) {
            core.step(|core, view, now| core.settle_all(view, now));
        }
        core.answers();
        core.passes(DAY);
        core.tells();
        let (l2, l3) = core.held();
        assert_eq!((l2.len(), l3.len()), (2, 2), "failing after {reads} reads");
    }
}

#[test]
fn versions_that_the_disk_refused_never_existed_and_others_are_made() {
    let mut core = Bench::new("a");
    for (counter, event) in facts::all() {
        core.hears(counter, event);
    }
    let job = core.seal.pop().expect("an L2 is with the provider");
    let outcome = Ok(super::seal(&job));
    let effects = core.core.sealed(&core.store, super::sealed(outcome, job), core.now).expect("memory");
    core.core.not_kept(&effects.keep);
    assert_eq!(
        core.encrypt().expect_err("nothing is sealed under what is not kept").code.as_str(),
        "hydrating"
    );
    core.passes(Duration::from_secs(5));
    core.tells();
    let version = core.encrypt().expect("another was made").version;
    let (l2, l3) = core.held();
    assert_eq!((l2.len(), l3[0].version), (1, version));
    assert_ne!(l2[0].version, effects.keep[0].version);
    // The same for an L3.
    let (refused, effects) = core.core.rotate(&core.store, &path(SERVICE), core.now).expect("it serves");
    core.core.not_kept(&effects.keep);
    core.passes(Duration::from_secs(5));
    assert!(core.held().1.iter().all(|sealed| sealed.version != refused));
    assert_eq!(core.encrypt().expect("it serves").version, version);
}

#[test]
fn a_rotation_that_the_provider_did_not_answer_leaves_an_agenda_that_ends() {
    let mut core = Bench::serving("a");
    core.step(|core, view, now| Ok(core.rotate(view, &path(SYSTEM), now).expect("it serves").1));
    core.is_refused(AWAY);
    core.encrypt().expect("it serves all the same");
    let looks = core.passes(DAY);
    assert!(looks < 10, "nothing waits to be made, and yet it looked {looks} times");
    let due = core.core.next_due().expect("the tenant is probed one day");
    assert!(due.since(core.now) > DAY * 5_000, "nothing else is on the agenda: {due}");
}

#[test]
fn a_provider_that_stays_away_is_asked_every_half_minute_and_no_more() {
    let mut core = Bench::serving("a").restarted();
    for _ in 0..200 {
        core.is_refused(AWAY);
        let due = core.core.next_due().expect("it is asked again");
        assert!(due > core.now, "it spins");
        assert!(due.since(core.now) <= Duration::from_secs(30));
        core.now = due;
        core.step(|core, view, now| core.due(view, now));
    }
    core.answers();
    core.encrypt().expect("it serves when the provider is back");
}

#[test]
fn a_late_answer_of_the_provider_undoes_no_earlier_one() {
    let sealed = Bench::serving("a").encrypt().expect("it serves").ciphertext;
    let mut core = Bench::serving("a").restarted();
    let jobs = std::mem::take(&mut core.unseal);
    assert_eq!(jobs.len(), 1);
    let late = jobs[0].clone();
    core.unseal = jobs;
    core.answers();
    core.decrypt(&sealed).expect("it is open");
    core.step(|core, view, now| core.unsealed(view, super::unsealed(Err(UNOPENABLE), late.clone()), now));
    core.hears(11, facts::key("acme/hr/new", |_| ()));
    core.decrypt(&sealed).expect("it stays open");
    // Nor is it kept for a link that is over, or for one that followed.
    core.hears(12, facts::link("acme", 12));
    let outcome = unseal(&late);
    core.step(|core, view, now| core.unsealed(view, super::unsealed(outcome, late), now));
    assert_eq!(core.decrypt(&sealed).expect_err("it waits for its own answer").code.as_str(), "hydrating");
    core.answers();
    core.decrypt(&sealed).expect("it opens under the new link");
}

#[test]
fn a_letter_that_was_told_is_not_at_risk_again_after_a_failing_store() {
    let mut core = Bench::new("a");
    for (counter, event) in facts::all() {
        core.hears(counter, event);
    }
    core.answers();
    let waiting =
        openkcm_orbital::outbox::waiting(&core.store, openkcm_contracts::Lane::Sealed, 9).expect("memory");
    // The mesh has them; they are not forgotten yet when a failure has everything settled again.
    core.step(|core, view, now| core.told(view, &waiting, now));
    core.step(|core, view, now| core.settle_all(view, now));
    core.answers();
    assert!(!core.keyring.tenants().is_empty());
    assert_eq!(core.core.versions_at_risk(), 1, "the L3, which was made since");
    core.tells();
    assert_eq!(core.core.versions_at_risk(), 0);
}

#[test]
fn a_ring_of_a_closed_link_or_of_another_is_never_served() {
    let mut core = Bench::serving("a");
    let sealed = core.encrypt().expect("it serves").ciphertext;
    let tenant = core.keyring.tenant(&service().tenant).expect("it is known");
    let ring = core.data.service(&service()).expect("it is served");
    let epoch = tenant.epoch().expect("it is open");
    let rings = || vec![(service().system, service().service, ring.clone())];
    // The revoke overtakes a settling that was under way.
    core.keyring.revoke(&service().tenant, epoch);
    tenant.put(epoch, rings());
    tenant.admit(epoch);
    let everything = Changes { tenants: [service().tenant].into(), ..Changes::default() };
    core.step(|core, view, now| core.settle(view, &everything, now));
    assert_eq!(core.decrypt(&sealed).expect_err("it is revoked").code.as_str(), "tenant_unlinked");
    core.hears(9, facts::link("acme", 9));
    tenant.put(epoch, rings());
    assert_eq!(core.decrypt(&sealed).expect_err("it is another link").code.as_str(), "hydrating");
    core.answers();
    core.decrypt(&sealed).expect("it was opened under the new link");
}
