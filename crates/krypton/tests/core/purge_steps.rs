//! Destruction step by step, over a store in memory: its wait, its brake, its bounds.

use std::time::Duration;

use openkcm_contracts::v1::{KeySealed, Seal, SealedBy};
use openkcm_contracts::{
    Audience, Event, Generation, KeyPath, Lane, Revision, Role, ServiceId, Timestamp, VersionId,
};
use openkcm_krypton::store::purge::{self, Advanced, Stage};
use openkcm_krypton::store::{self, keep};
use openkcm_krypton::{Brake, PurgePolicy};
use openkcm_orbital::{Intake, Stream, Verified, outbox};
use openkcm_store::Memory;

use crate::rig::facts::{self, SERVICE, SYSTEM, generation, region};

pub(crate) const WAIT: Duration = Duration::from_secs(3_600);
pub(crate) const TICK: Duration = Duration::from_secs(60);

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_000_000);

pub(crate) struct Core {
    pub(crate) store: Memory,
    policy: PurgePolicy,
}

impl Core {
    pub(crate) fn new(least: u64) -> Self {
        let brake = Brake { percent: 0, least, window: WAIT * 10 };
        Self { store: Memory::default(), policy: PurgePolicy { minimum_wait: WAIT, brake } }
    }

    pub(crate) fn hear(&mut self, counter: u64, event: Event) {
        let (audience, author) = (Audience::Region(region("a")), Role::Registry);
        let revision = Revision::new(1, counter);
        self.take(Verified { event, revision, audience, author, region: None });
    }

    /// A version that a peer tells.
    fn is_told(&mut self, sealed: KeySealed) {
        let (revision, maker) = (Revision::new(1, sealed.counter), sealed.maker.clone());
        let (event, audience, author) = (Event::KeySealed(sealed), Audience::Cores, Role::Krypton);
        self.take(Verified { event, revision, audience, author, region: Some(maker) });
    }

    fn take(&mut self, verified: Verified) {
        let audience = verified.audience.clone();
        let intake = Intake {
            stream: Stream { lane: verified.event.kind().lane(), audience },
            words_of: None,
            events: vec![verified],
            poison: Vec::new(),
            dropped: [].into(),
            unbelieved: None,
            position: None,
            caught_up: true,
            releases: None,
        };
        self.store.write(|tx| store::absorb(tx, &intake, NOW)).expect("memory does not fail");
    }

    /// Keeps versions of its own, one for each service of this system.
    pub(crate) fn keep(&mut self, services: u16, of: u64) {
        let made: Vec<KeySealed> = (0..services).map(|number| version(number, of)).collect();
        self.keep_all(&made);
    }

    fn keep_all(&mut self, made: &[KeySealed]) {
        self.store.write(|tx| keep(tx, made, NOW)).expect("memory does not fail");
    }

    pub(crate) fn held(&self, number: u16, of: u64) -> bool {
        self.holds(&version(number, of))
    }

    fn holds(&self, sealed: &KeySealed) -> bool {
        store::holds(&self.store, sealed).expect("memory does not fail")
    }

    pub(crate) fn step(&mut self, ran: Duration) -> Advanced {
        let Self { store, policy } = self;
        store.write(|tx| purge::advance(tx, &region("a"), policy, ran, NOW)).expect("memory does not fail")
    }

    /// Ticks for so long; says how many steps found more to do at once.
    pub(crate) fn run(&mut self, time: Duration) -> usize {
        let mut steps = 0;
        for _ in 0..time.as_secs() / TICK.as_secs() {
            let mut ran = TICK;
            while self.step(std::mem::take(&mut ran)).more {
                steps += 1;
            }
        }
        steps
    }

    pub(crate) fn stage(&self, path: &str) -> Stage {
        let path: KeyPath = path.parse().expect("a name");
        purge::tombstone(&self.store, &path).expect("memory does not fail").expect("a tombstone").stage
    }

    pub(crate) fn decide(&mut self, decision: purge::Decision) -> usize {
        self.store.write(|tx| purge::decide(tx, decision, None, 10)).expect("memory does not fail").len()
    }
}

fn version(number: u16, of: u64) -> KeySealed {
    let path: KeyPath = SYSTEM.parse().expect("a name");
    let mut id = [0; 16];
    id[..2].copy_from_slice(&number.to_be_bytes());
    id[8] = u8::try_from(of).expect("small");
    KeySealed {
        tenant: path.tenant().clone(),
        system: path.system().clone(),
        service: Some(ServiceId::new(&format!("s{number:05}")).expect("a label")),
        generation: generation(of),
        version: VersionId::from_bytes(id),
        counter: 1,
        made_at: NOW,
        maker: region("a"),
        seals: vec![Seal { by: SealedBy::L2(VersionId::from_bytes([9; 16])), ciphertext: "c2VhbGVk".into() }],
        resealed_by: None,
    }
}

/// A version of the system.
fn l2(id: u8, of: u64) -> KeySealed {
    let ciphertext = "c2VhbGVk".into();
    let by = SealedBy::Root(facts::local("acme"));
    let id = VersionId::from_bytes([id; 16]);
    KeySealed { service: None, version: id, seals: vec![Seal { by, ciphertext }], ..version(0, of) }
}

/// A version of a service that is sealed under these of its system.
fn sealed_under(number: u16, of: u64, l2: &[&KeySealed]) -> KeySealed {
    let seal = |l2: &&KeySealed| Seal { by: SealedBy::L2(l2.version), ciphertext: "c2VhbGVk".into() };
    KeySealed { seals: l2.iter().map(seal).collect(), ..version(number, of) }
}

#[test]
fn what_was_destroyed_while_the_mesh_is_away_is_told_after_what_was_made_since() {
    let mut core = Core::new(100);
    core.hear(2, facts::key(SYSTEM, |_| ()));
    core.keep(5, 3);
    let told = |core: &Core| {
        let waiting = outbox::waiting(&core.store, Lane::Sealed, 100).expect("memory does not fail");
        let sealed = waiting.iter().map(|waiting| {
            let kind = openkcm_contracts::EventType::KeySealed;
            match Event::from_body(kind, waiting.letter.body.as_bytes()).expect("its own word") {
                Event::KeySealed(sealed) => !sealed.seals.is_empty(),
                other => panic!("{other:?} is no sealed version"),
            }
        });
        sealed.collect::<Vec<_>>()
    };
    for number in 0..5 {
        core.hear(10 + number, facts::purge(&format!("{SYSTEM}/s{number:05}"), 3));
    }
    core.run(WAIT + TICK);
    assert_eq!(told(&core), [false; 5], "they are destroyed");
    core.keep_all(&[version(7, 3), version(8, 3)]);
    assert_eq!(told(&core), [true, true, false, false, false, false, false]);
}

#[test]
fn a_wait_counts_from_the_tombstone_and_no_sooner_than_all_of_it_is_over() {
    let mut core = Core::new(100);
    core.keep(3, 3);
    core.hear(10, facts::purge(SYSTEM, 9));
    core.run(WAIT);
    assert!(core.held(0, 3), "the tick in which it came is not counted");
    core.run(TICK);
    assert!(!core.held(0, 3));
    assert_eq!(core.stage(SYSTEM), Stage::Done);
}

#[test]
fn a_wait_counts_from_the_deletion_that_was_observed_before() {
    let mut core = Core::new(100);
    core.keep(1, 3);
    core.hear(8, facts::key(SYSTEM, |_| ()));
    core.hear(9, facts::key(SYSTEM, facts::deleted));
    core.run(WAIT + TICK);
    assert!(core.held(0, 3), "nobody has said that it is to be destroyed");
    core.hear(10, facts::purge(SYSTEM, 9));
    core.step(Duration::ZERO);
    assert!(!core.held(0, 3));
}

#[test]
fn an_undeletion_and_a_tombstone_that_reaches_further_begin_the_wait_anew() {
    for further in [false, true] {
        let mut core = Core::new(100);
        core.keep(1, 3);
        core.hear(9, facts::key(SYSTEM, facts::deleted));
        core.run(WAIT + TICK);
        if !further {
            core.hear(10, facts::key(SYSTEM, |_| ()));
            core.hear(11, facts::key(SYSTEM, facts::deleted));
        }
        // What was made between 1.9 and 1.11 was never seen to end.
        core.hear(12, facts::purge(SYSTEM, 11));
        core.step(Duration::ZERO);
        assert!(core.held(0, 3), "{further}");
        core.run(WAIT + TICK);
        assert!(!core.held(0, 3));
    }
}

#[test]
fn what_is_of_a_later_generation_is_spared() {
    let mut core = Core::new(100);
    core.keep(2, 3);
    core.keep(2, 20);
    core.hear(21, facts::purge(SYSTEM, 19));
    core.run(WAIT + TICK);
    assert!(!core.held(1, 3) && core.held(0, 20) && core.held(1, 20));
}

#[test]
fn a_large_purge_goes_in_steps_and_supersedes_all_that_this_core_made() {
    let mut core = Core::new(10_000);
    core.keep(1_000, 3);
    core.hear(10, facts::purge(SYSTEM, 9));
    assert_eq!(
        outbox::waiting(&core.store, Lane::Sealed, 10).expect("memory does not fail"),
        [],
        "what waited is not sent any more"
    );
    assert!(core.run(WAIT + TICK) >= 3);
    assert_eq!(purge::counts(&core.store).expect("memory does not fail").destroyed, 1_000);
    let letters = outbox::waiting(&core.store, Lane::Sealed, 2_000).expect("memory does not fail");
    assert_eq!(letters.len(), 1_000);
    assert!(letters.iter().all(|waiting| waiting.letter.revision == Revision::new(2, 1)));
    assert!(letters.iter().all(|waiting| waiting.letter.body.contains(r#""seals":[]"#)));
}

#[test]
fn a_purge_is_weighed_before_it_begins_and_what_was_destroyed_in_the_window_counts() {
    let mut core = Core::new(16);
    core.keep(20, 3);
    core.hear(10, facts::purge("acme/hr/s00000", 9));
    core.run(WAIT + TICK);
    assert!(!core.held(0, 3));
    core.hear(11, facts::purge(SYSTEM, 10));
    core.run(WAIT + TICK);
    assert_eq!(core.stage(SYSTEM), Stage::Held);
    assert!(core.held(1, 3), "nothing of it has begun");
    assert_eq!(core.decide(purge::Decision::Confirm), 1);
    core.run(TICK);
    assert_eq!(core.stage(SYSTEM), Stage::Done);
    assert!(!core.held(1, 3));
    assert_eq!(core.decide(purge::Decision::Confirm), 0);
}

#[test]
fn a_window_that_is_over_frees_the_brake() {
    let mut core = Core::new(2);
    core.keep(4, 3);
    for (number, counter) in [(0, 10), (1, 11), (2, 12)] {
        core.hear(counter, facts::purge(&format!("acme/hr/s{number:05}"), 9));
    }
    core.run(WAIT + TICK);
    let stages = [0, 1, 2].map(|number| core.stage(&format!("acme/hr/s{number:05}")));
    assert_eq!(stages, [Stage::Done, Stage::Done, Stage::Held]);
    core.run(WAIT * 11);
    core.hear(13, facts::purge("acme/hr/s00003", 9));
    core.run(WAIT + TICK);
    assert_eq!(core.stage("acme/hr/s00003"), Stage::Done);
    assert_eq!(core.stage("acme/hr/s00002"), Stage::Held, "an operator has to look at it");
}

#[test]
fn a_tombstone_that_reaches_further_takes_up_what_is_left() {
    let mut core = Core::new(100);
    core.keep(1, 3);
    core.hear(10, facts::purge(SERVICE, 3));
    core.hear(10, facts::purge("acme/hr/s00000", 3));
    core.run(WAIT + TICK);
    core.keep(1, 12);
    core.hear(20, facts::purge("acme/hr/s00000", 15));
    assert_eq!(core.stage("acme/hr/s00000"), Stage::Waiting);
    core.run(WAIT + TICK);
    assert!(!core.held(0, 12));
    core.hear(20, facts::purge("acme/hr/s00000", 3));
    assert_eq!(core.stage("acme/hr/s00000"), Stage::Done, "an older word changes nothing");
    let tombstone = purge::tombstone(&core.store, &"acme/hr/s00000".parse().expect("a name"))
        .expect("memory does not fail")
        .expect("it is there");
    assert_eq!((tombstone.generation, tombstone.destroyed), (Generation(Revision::new(1, 15)), 2));
}

#[test]
fn a_version_that_was_made_while_its_tombstone_came_is_not_kept() {
    let mut core = Core::new(100);
    core.hear(10, facts::purge(SYSTEM, 9));
    core.keep(1, 3);
    assert!(!core.held(0, 3));
    assert_eq!(outbox::waiting(&core.store, Lane::Sealed, 10).expect("memory does not fail"), []);
}

#[test]
fn an_l2_goes_only_on_an_operators_word_while_services_that_stand_need_it() {
    for other in [None, Some(l2(2, 20))] {
        let mut core = Core::new(100);
        let old = l2(1, 2);
        let mut l2s = vec![&old];
        l2s.extend(&other);
        // A tombstone up to the system's own generation ends none of its services, which are later.
        let l3 = sealed_under(0, 3, &l2s);
        core.keep_all(&[old.clone(), l3.clone()]);
        core.hear(10, facts::purge(SYSTEM, 2));
        core.run(WAIT + TICK);
        let needs_it = other.is_none();
        assert_eq!(core.stage(SYSTEM), if needs_it { Stage::Held } else { Stage::Done });
        assert_eq!((core.holds(&old), core.holds(&l3)), (needs_it, true), "small as it is by its count");
    }
}

#[test]
fn a_wait_that_was_begun_by_a_definition_which_was_taken_back_does_not_count() {
    let mut core = Core::new(100);
    core.keep(1, 3);
    core.hear(8, facts::key(SYSTEM, |_| ()));
    // Who holds the Registry's key defines anew, and then as before: nobody notices for the length of the wait.
    core.hear(9, facts::key(SYSTEM, |fact| fact.generation = generation(9)));
    core.hear(10, facts::key(SYSTEM, |_| ()));
    core.run(WAIT + TICK);
    core.hear(11, facts::purge(SYSTEM, 8));
    core.run(WAIT);
    assert!(core.held(0, 3), "its end counts from the tombstone");
    core.run(TICK);
    assert!(!core.held(0, 3));
}

#[test]
fn an_operators_yes_opens_the_brake_and_shortens_no_wait() {
    let mut core = Core::new(100);
    core.keep(1, 3);
    core.hear(10, facts::purge("acme/hr/s00000", 9));
    assert_eq!(core.decide(purge::Decision::Hold), 1);
    assert_eq!(core.decide(purge::Decision::Confirm), 1);
    core.run(WAIT - TICK);
    assert_eq!(core.stage("acme/hr/s00000"), Stage::Confirmed);
    assert!(core.held(0, 3), "the wait goes on from when its end was heard of");
    core.run(TICK * 2);
    assert!(!core.held(0, 3));
}

#[test]
fn what_an_operator_holds_stays_held_whatever_else_is_said_of_it_or_above_it() {
    let mut core = Core::new(100);
    core.keep(2, 3);
    core.hear(10, facts::purge("acme/hr/s00000", 9));
    assert_eq!(core.decide(purge::Decision::Hold), 1);
    core.hear(11, facts::purge("acme/hr/s00000", 10));
    core.hear(12, facts::purge(SYSTEM, 11));
    core.run(WAIT * 3);
    assert_eq!((core.stage("acme/hr/s00000"), core.stage(SYSTEM)), (Stage::Held, Stage::Held));
    assert!(core.held(0, 3) && core.held(1, 3));
    // A word on the system is a word on what lies under it.
    let keys = [SYSTEM.parse().expect("a name")];
    let decided = core.store.write(|tx| purge::decide(tx, purge::Decision::Confirm, Some(&keys), 10));
    assert_eq!(decided.expect("memory does not fail").len(), 2);
    core.run(TICK);
    assert!(!core.held(0, 3) && !core.held(1, 3));
}

#[test]
fn a_version_that_was_destroyed_is_not_taken_in_under_another_generation() {
    let mut core = Core::new(100);
    let copy = KeySealed { maker: region("b"), ..version(0, 3) };
    core.is_told(copy.clone());
    assert!(core.holds(&copy));
    core.hear(10, facts::purge("acme/hr/s00000", 9));
    core.run(WAIT + TICK);
    assert!(!core.holds(&copy));
    let relabelled = KeySealed { generation: generation(12), counter: 2, ..copy };
    core.is_told(relabelled.clone());
    assert!(!core.holds(&relabelled));
    let another = KeySealed { version: VersionId::from_bytes([8; 16]), ..relabelled };
    core.is_told(another.clone());
    assert!(core.holds(&another), "it is of a generation that no tombstone ends");
}
