//! Much at once: settled in shares, or one change by one, the keyring is the same; and a backlog that is committed
//! in slices is held as if it had come at once.
//!
//! The reference is the simplest way: each change is absorbed and settled alone, by steps without a limit.

use std::collections::BTreeMap;
use std::time::Duration;

use openkcm_contracts::v1::{KeySealed, TenantDefine};
use openkcm_contracts::{Event, TenantId, TenantState};
use openkcm_host::{Entropy, SeededEntropy, random_array};
use openkcm_krypton::store::{self, Changes, SLICE, Slices};
use openkcm_orbital::{Intake, Position, Reading, Verified, inbox};
use openkcm_store::{Memory, StoreError};

use super::Bench;
use crate::rig::facts::{self, generation};

/// Histories that are compared.
const HISTORIES: u64 = 60;

const TENANTS: [&str; 3] = ["acme", "bolt", "core"];
const SYSTEMS: [&str; 3] = ["app", "hr", "hr-2"];
const SERVICES: usize = 5;

/// More than any of these histories has.
const EVERYTHING: usize = 1_000;

/// One thing that is heard: an authority's word at a revision, or a peer's version.
#[derive(Clone)]
enum Heard {
    Fact(u64, Event),
    Sealed(KeySealed),
}

struct Dice(SeededEntropy);

impl Dice {
    fn below(&self, end: usize) -> usize {
        let entropy: &dyn Entropy = &self.0;
        u64::from_le_bytes(random_array(entropy)) as usize % end
    }

    fn shuffle<T>(&self, items: &mut [T]) {
        (1..items.len()).rev().for_each(|last| items.swap(last, self.below(last + 1)));
    }
}

/// Everything that makes all services of all tenants usable.
fn all_facts() -> Vec<(u64, Event)> {
    let mut all = Vec::new();
    for tenant in TENANTS {
        all.push((1, facts::tenant(tenant, |_| ())));
        all.push((4, facts::link(tenant, 4)));
        for system in SYSTEMS {
            all.push((2, facts::key(&format!("{tenant}/{system}"), |_| ())));
            let name = |number| format!("{tenant}/{system}/s-{number}");
            all.extend((0..SERVICES).map(|number| (3, facts::key(&name(number), |_| ()))));
        }
    }
    all
}

/// What may follow: some of each is disabled, deleted, unlinked, suspended, defined again.
fn later_facts(dice: &Dice) -> Vec<(u64, Event)> {
    let mut later = Vec::new();
    for number in 0..12 {
        let tenant = TENANTS[dice.below(3)];
        let system = format!("{tenant}/{}", SYSTEMS[dice.below(3)]);
        let service = format!("{system}/s-{}", dice.below(SERVICES));
        let event = match dice.below(20) {
            0..4 => facts::key(&service, facts::disabled),
            4..7 => facts::key(&service, facts::deleted),
            7..10 => facts::key(&system, facts::disabled),
            10..13 => facts::key(&system, |fact| fact.generation = generation(9)),
            13 => facts::unlink(tenant, 4),
            14 => facts::revoke(tenant, 4),
            15..19 => facts::link(tenant, 10 + number),
            _ => facts::tenant(tenant, |fact: &mut TenantDefine| fact.state = TenantState::Suspended),
        };
        later.push((10 + number, event));
    }
    later
}

/// A history: what region `a` made of all of it, and what was said later, in no order.
fn history(dice: &Dice) -> Vec<Heard> {
    let mut maker = Bench::new("a");
    for (counter, event) in all_facts() {
        maker.hears(counter, event);
    }
    maker.answers();
    let made = maker.tells();
    assert_eq!(made.len(), TENANTS.len() * SYSTEMS.len() * (1 + SERVICES));
    let facts = all_facts().into_iter().chain(later_facts(dice));
    let mut heard: Vec<Heard> = facts.map(|(counter, event)| Heard::Fact(counter, event)).collect();
    heard.extend(made.into_iter().map(Heard::Sealed));
    dice.shuffle(&mut heard);
    heard
}

impl Heard {
    fn absorbed_by(&self, core: &mut Bench) -> Changes {
        match self.clone() {
            Self::Fact(counter, event) => core.absorbs(counter, event, None),
            Self::Sealed(sealed) => {
                let teller = sealed.teller().to_string();
                core.absorbs(sealed.counter, Event::KeySealed(sealed), Some(&teller))
            }
        }
    }
}

fn add(to: &mut Changes, more: Changes) {
    to.tenants.extend(more.tenants);
    to.systems.extend(more.systems);
    to.l2s.extend(more.l2s);
    to.services.extend(more.services);
    to.leased |= more.leased;
}

impl Bench {
    pub(super) fn with_share(self, share: usize) -> Self {
        Self { core: self.core.with_share(share), ..self }
    }

    /// Takes one more step of what earlier ones have left, if there is any. Says whether there was.
    fn goes_on(&mut self) -> bool {
        let left = self.core.next_due().is_some_and(|due| due <= self.now);
        if left {
            self.step(|core, view, now| core.due(view, now));
        }
        left
    }

    fn finishes(&mut self) {
        for _ in 0..100_000 {
            self.answers();
            if !self.goes_on() {
                return;
            }
        }
        panic!("what was left is never done");
    }

    /// All that callers can see of it.
    fn seen(&self) -> BTreeMap<String, String> {
        let mut seen = BTreeMap::new();
        for (id, ring) in self.keyring.tenants() {
            seen.insert(id.to_string(), format!("{:?}", ring.standing().map_err(|refusal| refusal.code)));
            for ((system, service), ring) in ring.services() {
                let versions = ring.versions().iter().map(|version| {
                    let open = version.key.as_ref().map(|_| ()).map_err(|refusal| refusal.code);
                    format!(
                        "{} {} {:?} {} {open:?}",
                        version.id, version.counter, version.state, version.at_risk
                    )
                });
                let standing = ring.standing().map_err(|refusal| refusal.code);
                let text = format!("{standing:?} {:?}", versions.collect::<Vec<_>>());
                seen.insert(format!("{id}/{system}/{service}"), text);
            }
        }
        seen
    }
}

#[test]
fn settled_in_shares_or_one_by_one_the_keyring_is_the_same() {
    let mut different = std::collections::BTreeSet::new();
    for seed in 0..HISTORIES {
        let dice = Dice(SeededEntropy::new(seed));
        let heard = history(&dice);
        let mut one_by_one = Bench::new("b").with_share(EVERYTHING);
        for event in &heard {
            let changes = event.absorbed_by(&mut one_by_one);
            one_by_one.step(|core, view, now| core.settle(view, &changes, now));
            one_by_one.answers();
        }
        one_by_one.finishes();
        let mut in_shares = Bench::new("b").with_share(2 + dice.below(7));
        for together in heard.chunks(1 + dice.below(heard.len())) {
            let mut changes = Changes::default();
            together.iter().for_each(|event| add(&mut changes, event.absorbed_by(&mut in_shares)));
            in_shares.step(|core, view, now| core.settle(view, &changes, now));
            // Answers and what was left come in any order.
            for _ in 0..dice.below(6) {
                match dice.below(2) {
                    0 => in_shares.answers(),
                    _ => _ = in_shares.goes_on(),
                }
            }
        }
        in_shares.finishes();
        assert_eq!(in_shares.seen(), one_by_one.seen(), "seed {seed}");
        assert!(in_shares.tells().is_empty() && one_by_one.tells().is_empty(), "a rank behind the maker");
        let restarted = in_shares.restarted();
        let mut restarted = restarted.with_share(3);
        restarted.finishes();
        assert_eq!(restarted.seen(), one_by_one.seen(), "seed {seed}, after a restart");
        different.insert(format!("{:?}", one_by_one.seen()));
    }
    assert!(different.len() as u64 > HISTORIES * 3 / 4, "{} different ends", different.len());
}

#[test]
fn each_of_many_services_is_made_once_by_steps_that_look_at_few() {
    for share in [2, 3, 7] {
        let mut core = Bench::on("a", Memory::default(), super::START, 5).with_share(share);
        for (counter, event) in all_facts() {
            core.hears(counter, event);
        }
        core.finishes();
        assert_eq!(core.tells(), [], "before the mesh was read nothing is made");
        core.step(|core, view, now| core.hydrated(view, now));
        let mut made: BTreeMap<String, usize> = BTreeMap::new();
        loop {
            core.finishes();
            let told = core.tells();
            if told.is_empty() {
                break;
            }
            told.iter().for_each(|sealed| *made.entry(sealed.path().to_string()).or_default() += 1);
        }
        assert_eq!(made.len(), TENANTS.len() * SYSTEMS.len() * (1 + SERVICES));
        assert!(made.values().all(|versions| *versions == 1), "{made:?}");
        core.finishes();
        assert!(core.seen().values().all(|text| text.contains("Ok(())")), "{:?}", core.seen());
        core.passes(Duration::from_secs(3600));
        assert_eq!(core.tells(), [], "none is made again");
    }
}

#[test]
fn a_tenant_of_many_services_is_let_in_when_all_are_and_shut_at_once() {
    let mut core = Bench::serving("a").restarted().with_share(2);
    core.finishes();
    core.encrypt().expect("it serves");
    for number in 0..40 {
        let changes = core.absorbs(20 + number, facts::key(&format!("acme/hr/s-{number}"), |_| ()), None);
        assert!(!changes.is_empty());
    }
    let id = TenantId::new("acme").expect("a label");
    let tenant = Changes { tenants: [id.clone()].into(), ..Changes::default() };
    let standing = |core: &Bench| {
        let ring = core.keyring.tenant(&id).expect("it is known");
        ring.standing().map_err(|refusal| refusal.code.as_str())
    };
    // Another link: nothing is served before all services are in.
    let changes = core.absorbs(70, facts::link("acme", 70), None);
    core.step(|core, view, now| core.settle(view, &changes, now));
    core.answers();
    let mut steps = 0;
    while core.goes_on() {
        core.answers();
        steps += 1;
        let in_by_now = core.keyring.tenant(&id).expect("it is known").services().len();
        assert!(standing(&core).is_err() || in_by_now == 41, "{in_by_now} of 41");
    }
    assert_eq!(standing(&core), Ok(()));
    assert!(steps > 20, "{steps} steps of two keys each");
    // While it is settled again, which takes long, it serves; an Unlink shuts it in the first step.
    core.step(|core, view, now| core.settle(view, &tenant, now));
    assert_eq!(standing(&core), Ok(()));
    core.hears(71, facts::unlink("acme", 70));
    assert_eq!(standing(&core), Err("tenant_unlinked"));
    core.finishes();
    assert_eq!(standing(&core), Err("tenant_unlinked"));
}

/// Revisions of many definitions, some several times and in no order, as one intake.
fn backlog(dice: &Dice, events: usize) -> Intake {
    let verified = |at: usize| {
        let (counter, event) = match at % 50 {
            0 => (1, facts::tenant(&format!("t-{}", dice.below(30)), |_| ())),
            1 => (4, facts::link(&format!("t-{}", dice.below(30)), 4)),
            _ => {
                let path = format!("t-{}/hr/s-{}", dice.below(30), dice.below(200));
                let counter = 10 + dice.below(4) as u64;
                (counter, facts::key(&path, |fact| fact.generation = generation(counter)))
            }
        };
        let audience = openkcm_contracts::Audience::Region(facts::region("a"));
        let revision = openkcm_contracts::Revision::new(1, counter);
        Verified { event, revision, audience, author: openkcm_contracts::Role::Registry, region: None }
    };
    Intake {
        stream: openkcm_orbital::Stream {
            lane: openkcm_contracts::Lane::Facts,
            audience: openkcm_contracts::Audience::Region(facts::region("a")),
        },
        words_of: None,
        events: (0..events).map(verified).collect(),
        poison: Vec::new(),
        dropped: BTreeMap::new(),
        unbelieved: None,
        position: Some(Position { mesh: "m".into(), sequence: events as u64 }),
        caught_up: true,
        releases: None,
    }
}

fn absorbs_in_slices(store: &mut Memory, intake: Intake, most: usize) -> Changes {
    let mut changes = Changes::default();
    for slice in Slices::of(intake).take(most) {
        let absorbed: Result<Changes, StoreError> =
            store.write(|tx| store::absorb_slice(tx, &slice, super::START));
        let absorbed = absorbed.expect("memory does not fail");
        changes.replayed += absorbed.replayed;
        add(&mut changes, absorbed);
    }
    changes
}

#[test]
fn a_backlog_in_slices_is_held_as_if_it_had_come_at_once() {
    let dice = Dice(SeededEntropy::new(11));
    for events in [0, 1, SLICE, SLICE + 1, 3 * SLICE + 7] {
        let intake = backlog(&dice, events);
        let reading = Reading::all(intake.stream.clone());
        let (mut at_once, mut in_slices) = (Memory::default(), Memory::default());
        let whole: Result<Changes, StoreError> = at_once.write(|tx| store::absorb(tx, &intake, super::START));
        let whole = whole.expect("memory does not fail");
        let slices = Slices::of(intake.clone()).count();
        assert_eq!(slices, events.div_ceil(SLICE).max(1));
        // A crash before the last slice: no position and no applied revision, so that all is read again.
        absorbs_in_slices(&mut in_slices, intake.clone(), slices - 1);
        assert_eq!(inbox::position(&in_slices, &reading).expect("memory"), None);
        assert_eq!(store::applied(&in_slices).expect("memory"), Default::default());
        if slices == 1 {
            assert_eq!(absorbs_in_slices(&mut in_slices, intake.clone(), slices), whole);
        } else {
            absorbs_in_slices(&mut in_slices, intake.clone(), slices);
        }
        assert_eq!(in_slices, at_once, "{events} events");
        let again = absorbs_in_slices(&mut in_slices, intake, slices);
        assert!(again.is_empty(), "what is held already changes nothing");
        assert_eq!(again.replayed, events as u64);
    }
}
