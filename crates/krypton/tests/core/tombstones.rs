//! Tombstones in what a Core tells of itself, over a store in memory: held is told from destroyed, and lost from held.

use std::time::Duration;

use openkcm_contracts::v1::{Contents, Kept, ManifestBody, Node, PurgeReport};
use openkcm_contracts::{Event, EventType, Lane, Revision};
use openkcm_host::{BootInstant, ManualClock};
use openkcm_krypton::rules::Moment;
use openkcm_krypton::store::purge::Stage;
use openkcm_krypton::store::{self, Recount, look, manifest, recount};
use openkcm_orbital::outbox;
use openkcm_store::{Space, Write};

use crate::purge_steps::{Core, NOW, TICK, WAIT};
use crate::rig::facts::{self, SERVICE, SYSTEM, region};

impl Core {
    /// The digests over its definitions, and how far it says that it has come.
    fn tells(&mut self) -> (String, PurgeReport) {
        let now = Moment::of(&ManualClock::new(NOW, BootInstant::from_nanos(0)));
        self.store
            .write(|tx| manifest::tell(tx, &region("a"), "n".into(), None, &now))
            .expect("memory does not fail");
        let waiting = outbox::waiting(&self.store, Lane::Manifests, 1).expect("memory does not fail");
        let body = waiting[0].letter.body.as_bytes();
        match Event::from_body(EventType::StateManifest, body).expect("a manifest") {
            Event::StateManifest(manifest) => match manifest.body {
                ManifestBody::Digests { definitions, purges, .. } => (definitions, purges),
                other => panic!("{other:?} is no manifest"),
            },
            other => panic!("{other:?} is no manifest"),
        }
    }

    /// Someone takes a tombstone out of its store, and it starts again.
    fn loses_tombstone(&mut self, key: &str) {
        let delete = |tx: &mut dyn Write| tx.delete(Space("tombstones"), key.as_bytes());
        self.store.write(delete).expect("memory does not fail");
        self.recounts();
    }

    fn recounts(&mut self) {
        let mut next = Some(Recount::default());
        while let Some(from) = next {
            let (wrong, on) = recount(&self.store, &from).expect("memory does not fail");
            self.store.write(|tx| wrong.mend(tx)).expect("memory does not fail");
            next = on;
        }
    }
}

#[test]
fn a_tombstone_is_told_from_when_it_is_held_and_what_becomes_of_it_beside_that() {
    let mut core = Core::new(1);
    let (nothing, none) = core.tells();
    assert_eq!((none.waiting, none.held, none.first_open), (0, 0, None));
    core.keep(3, 3);
    core.hear(10, facts::purge(SYSTEM, 9));
    core.hear(11, facts::purge("beta/crm", 9));
    let (held, report) = core.tells();
    assert!(held != nothing && report.digest != none.digest);
    assert_eq!((report.waiting, report.held, report.first_open), (2, 0, Some(Revision::new(1, 10))));
    core.run(WAIT + TICK);
    let (later, braked) = core.tells();
    assert_eq!((&later, &braked.digest), (&held, &report.digest), "the sums are of what is held");
    assert_eq!((braked.waiting, braked.held, braked.first_open), (0, 1, Some(Revision::new(1, 10))));
    core.decide(store::purge::Decision::Confirm);
    core.step(Duration::ZERO);
    let (done, report) = core.tells();
    assert_eq!((done, report.digest), (held, braked.digest));
    assert_eq!((report.waiting, report.held, report.first_open), (0, 0, None));
}

#[test]
fn tombstones_of_a_system_and_its_services_are_listed_as_what_they_end() {
    let mut core = Core::new(1);
    for (revision, key) in [(10, SYSTEM), (11, SERVICE), (12, "acme/hr-2/payroll")] {
        core.hear(revision, facts::purge(key, revision - 1));
    }
    let unit = Node::Unit("acme/hr@purged".into());
    let listed = look(&core.store, Kept::Definitions, &[unit]).expect("memory does not fail");
    let Contents::Things(things) = &listed[0].contents else { panic!("few are listed whole") };
    let shown: Vec<_> = things.iter().map(|thing| (thing.subject.as_str(), thing.revision)).collect();
    let expected = [("purge.acme.hr", Revision::new(1, 9)), ("purge.acme.hr.payroll", Revision::new(1, 10))];
    assert_eq!(shown, expected);
}

#[test]
fn a_recount_finds_tombstones_as_they_are_also_of_tenants_that_were_never_here() {
    let mut core = Core::new(1);
    let (nothing, _) = core.tells();
    core.hear(10, facts::purge("beta/crm", 9));
    let (held, _) = core.tells();
    core.recounts();
    assert_eq!(core.tells().0, held);
    core.loses_tombstone("beta/crm");
    assert_eq!(core.tells().0, nothing);
}

#[test]
fn a_tombstone_that_was_lost_keeps_no_other_waiting_and_is_carried_out_when_it_is_told_again() {
    let mut core = Core::new(100);
    core.keep(3, 3);
    core.hear(10, facts::purge(SYSTEM, 9));
    core.run(TICK * 2);
    core.hear(11, facts::purge("beta/crm", 9));
    let (held, report) = core.tells();
    core.loses_tombstone(SYSTEM);
    core.run(WAIT + TICK);
    assert!(core.held(0, 3), "without a tombstone nothing is destroyed");
    assert_eq!(core.stage("beta/crm"), Stage::Done);
    core.hear(10, facts::purge(SYSTEM, 9));
    let (again, waiting) = core.tells();
    assert_eq!((again, &waiting.digest, waiting.waiting), (held, &report.digest, 1));
    core.run(WAIT);
    assert!(core.held(0, 3), "its wait begins anew");
    core.run(TICK);
    assert!(!core.held(0, 3));
    let counts = store::purge::counts(&core.store).expect("memory does not fail");
    assert_eq!((counts.waiting, core.tells().1.first_open), (0, None));
}

#[test]
fn a_tombstone_that_is_told_again_before_its_lost_place_came_is_counted_once() {
    let mut core = Core::new(100);
    core.hear(9, facts::key(SYSTEM, |_| ()));
    core.hear(10, facts::key(SYSTEM, facts::deleted));
    core.hear(11, facts::purge(SYSTEM, 10));
    core.loses_tombstone(SYSTEM);
    core.hear(11, facts::purge(SYSTEM, 10));
    assert_eq!(core.tells().1.waiting, 1, "it waits since its key was deleted, as before");
    core.run(WAIT + TICK);
    assert_eq!(core.stage(SYSTEM), Stage::Done);
    assert_eq!(core.tells().1.waiting, 0);
}
