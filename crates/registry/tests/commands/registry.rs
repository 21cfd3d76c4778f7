//! A Registry in memory, driven by its commands alone, under a clock that stands still.

use std::collections::BTreeMap;
use std::time::Duration;

use openkcm_contracts::{
    Audience, Event, EventType, KeyPath, Lane, RegionId, Revision, Role, TenantId, Timestamp, VersionId,
};
use openkcm_orbital::words::Standing;
use openkcm_orbital::{Intake, Published, Stream, Verified, outbox};
use openkcm_registry::commands::{self, Failure, words};
use openkcm_registry::doubts;
use openkcm_registry::queries::{self, Shown};
use openkcm_registry::rules::{KeySpec, Landscape, Outcome, Precondition, Refusal, TenantSpec};
use openkcm_registry::store::{Failover, KeyRecord, TenantRecord};
use openkcm_store::Memory;

/// The waiting period of every deletion here.
pub(crate) const WAIT: Duration = Duration::from_secs(60);

pub(crate) struct Registry {
    pub(crate) store: Memory,
    pub(crate) now: Timestamp,
    landscape: Landscape,
}

pub(crate) fn id(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

pub(crate) fn region(name: &str) -> RegionId {
    RegionId::new(name).unwrap()
}

pub(crate) fn path(text: &str) -> KeyPath {
    text.parse().unwrap()
}

pub(crate) fn version(byte: u8) -> VersionId {
    VersionId::from_bytes([byte; 16])
}

pub(crate) fn at(revision: Revision) -> Precondition {
    Precondition::OneOf(vec![revision])
}

pub(crate) fn rotating(period: &str) -> KeySpec {
    KeySpec { rotate_every: Some(period.parse().unwrap()), ..KeySpec::default() }
}

pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, Failure>) -> Refusal {
    match answer {
        Err(Failure::Refused(refusal)) => refusal,
        other => panic!("a refusal was expected, got {other:?}"),
    }
}

type Change<R> = Result<Outcome<R>, Failure>;

impl Registry {
    /// An empty one, in a landscape of the regions a, b and c.
    pub(crate) fn new() -> Self {
        let regions = ["a", "b", "c"].map(|name| RegionId::new(name).unwrap());
        Self {
            store: Memory::default(),
            now: Timestamp::from_millis(1_000_000),
            landscape: Landscape { regions: regions.into() },
        }
    }

    /// One with the tenant acme in the regions a and b, its system hr and service payroll, all told.
    pub(crate) fn furnished() -> Self {
        let mut registry = Self::new();
        registry.tenant("acme", &["a", "b"], &Precondition::None).unwrap();
        registry.define("acme/hr", KeySpec::default(), &Precondition::None).unwrap();
        registry.define("acme/hr/payroll", KeySpec::default(), &Precondition::None).unwrap();
        registry.letters();
        registry
    }

    pub(crate) fn tenant(
        &mut self,
        name: &str,
        regions: &[&str],
        condition: &Precondition,
    ) -> Change<TenantRecord> {
        let regions = regions.iter().map(|name| RegionId::new(name).unwrap()).collect();
        let spec = TenantSpec { regions, labels: BTreeMap::new() };
        let Self { store, landscape, now } = self;
        store.write(|tx| commands::define_tenant(tx, landscape, &id(name), spec, condition, *now))
    }

    pub(crate) fn offboard(&mut self, name: &str) -> Change<TenantRecord> {
        self.store.write(|tx| commands::offboard_tenant(tx, &id(name), &Precondition::None, WAIT, self.now))
    }

    pub(crate) fn undelete_tenant(&mut self, name: &str) -> Change<TenantRecord> {
        self.store.write(|tx| commands::undelete_tenant(tx, &id(name), &Precondition::None, self.now))
    }

    pub(crate) fn define(&mut self, key: &str, spec: KeySpec, condition: &Precondition) -> Change<KeyRecord> {
        self.store.write(|tx| commands::define_key(tx, &path(key), spec, condition, self.now))
    }

    pub(crate) fn delete(&mut self, key: &str) -> Change<KeyRecord> {
        self.store.write(|tx| commands::delete_key(tx, &path(key), &Precondition::None, WAIT, self.now))
    }

    pub(crate) fn undelete(&mut self, key: &str) -> Change<KeyRecord> {
        self.store.write(|tx| commands::undelete_key(tx, &path(key), &Precondition::None, self.now))
    }

    pub(crate) fn compromise(&mut self, key: &str, version: VersionId) -> Change<KeyRecord> {
        let condition = Precondition::None;
        self.store.write(|tx| commands::mark_compromised(tx, &path(key), &condition, version, self.now))
    }

    pub(crate) fn key(&self, key: &str) -> Shown<KeyRecord> {
        queries::key(&self.store, &path(key)).unwrap()
    }

    pub(crate) fn is_live(&self, key: &str) -> bool {
        self.key(key).standing.is_live()
    }

    pub(crate) fn wait(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
    }

    /// It starts, and is rebuilt if that is wanted.
    pub(crate) fn begin(&mut self, rebuild: bool) {
        self.store.write(|tx| words::begin(tx, rebuild, self.now)).unwrap();
    }

    /// It reads own words back that an audience has on its facts' lane.
    pub(crate) fn compare(&mut self, audience: &Audience, said: &[(Revision, Event)]) {
        let word = |(revision, event): &(Revision, Event)| Verified {
            event: event.clone(),
            revision: *revision,
            audience: audience.clone(),
            author: Role::Registry,
            region: None,
        };
        let intake = Intake {
            stream: Stream { lane: Lane::Facts, audience: audience.clone() },
            words_of: Some(Role::Registry),
            events: said.iter().map(word).collect(),
            poison: Vec::new(),
            dropped: BTreeMap::new(),
            unbelieved: None,
            position: None,
            caught_up: true,
            releases: None,
        };
        self.store.write(|tx| words::compare(tx, &intake, self.now)).unwrap();
    }

    /// All own words were read.
    pub(crate) fn conclude(&mut self) {
        let mut next = Some(words::Step::default());
        while let Some(step) = next {
            next = self.store.write(|tx| words::conclude(tx, step, self.now)).unwrap();
        }
    }

    /// It learns what became of all letters that wait.
    pub(crate) fn learn(&mut self, outcome: Published) {
        let waiting = outbox::waiting(&self.store, Lane::Facts, usize::MAX).unwrap();
        let published = vec![outcome; waiting.len()];
        self.store.write(|tx| words::told(tx, &waiting, &published, self.now)).unwrap();
    }

    pub(crate) fn standing(&self) -> Standing {
        openkcm_orbital::words::standing(&self.store).unwrap()
    }

    /// The landscape has these regions from now on.
    pub(crate) fn set_regions(&mut self, names: &[&str]) {
        self.landscape.regions = names.iter().map(|name| region(name)).collect();
    }

    /// An operator overrules what a region claims.
    pub(crate) fn overrule(&mut self, name: &str) -> Result<(), Failure> {
        let Self { store, landscape, now } = self;
        store.write(|tx| doubts::overrule(tx, landscape, &region(name), *now))
    }

    /// An operator fails a region over.
    pub(crate) fn fail_over(&mut self, from: &str, to: &str, condition: &Precondition) -> Change<Failover> {
        let (from, to) = (region(from), region(to));
        let count = commands::survey(&self.store, &from, &to).unwrap().tenants;
        let Self { store, landscape, now } = self;
        store.write(|tx| commands::fail_over(tx, landscape, (&from, &to), condition, count, *now))
    }

    /// An operator has the tenants of a region given back.
    pub(crate) fn fail_back(&mut self, from: &str, condition: &Precondition) -> Change<Failover> {
        let Self { store, landscape, now } = self;
        store.write(|tx| commands::fail_back(tx, landscape, &region(from), condition, *now))
    }

    /// An operator puts a label on a tenant, and leaves its regions as they are.
    pub(crate) fn relabel(&mut self, name: &str) {
        let regions = openkcm_registry::store::tenant(&self.store, &id(name)).unwrap().unwrap().regions;
        let spec = TenantSpec { regions, labels: [("team".to_owned(), "blue".to_owned())].into() };
        let Self { store, landscape, now } = self;
        let defined: Change<TenantRecord> = store
            .write(|tx| commands::define_tenant(tx, landscape, &id(name), spec, &Precondition::None, *now));
        defined.unwrap();
    }

    /// Works off what waits, in steps that look at so many things. Says how many steps that took.
    pub(crate) fn work(&mut self, limit: usize) -> usize {
        let mut steps = 0;
        while commands::has_work(&self.store).unwrap() {
            let now = self.now;
            self.store.write(|tx| commands::work(tx, now, limit)).unwrap();
            steps += 1;
            assert!(steps < 10_000, "it comes to no end");
        }
        steps
    }

    /// Tells what is due, a few things a step; none where it is withheld.
    pub(crate) fn purge(&mut self) -> Option<Vec<String>> {
        let mut told = Vec::new();
        loop {
            let Self { store, landscape, now } = self;
            match store.write(|tx| commands::purge_due(tx, landscape, *now, 2)).unwrap() {
                commands::PurgeStep::Withheld => return None,
                commands::PurgeStep::Done { told: paths, more } => {
                    told.extend(paths.iter().map(KeyPath::to_string));
                    if !more {
                        assert!(!commands::is_due(store, landscape, *now).unwrap());
                        return Some(told);
                    }
                }
            }
        }
    }

    /// The letters that wait, in the order in which they were written; afterwards none waits.
    pub(crate) fn letters(&mut self) -> Vec<String> {
        self.letters_on(Lane::Facts)
    }

    /// The tombstones that wait to be told, as [`letters`](Self::letters).
    pub(crate) fn tombstones(&mut self) -> Vec<String> {
        self.letters_on(Lane::Urgent)
    }

    fn letters_on(&mut self, lane: Lane) -> Vec<String> {
        let mut waiting = outbox::waiting(&self.store, lane, usize::MAX).unwrap();
        waiting.sort_by_key(|waiting| waiting.number);
        self.store.write(|tx| outbox::forget(tx, lane, &waiting)).unwrap();
        waiting
            .iter()
            .map(|waiting| {
                let letter = &waiting.letter;
                let kind = EventType::from_wire_name(&letter.kind).unwrap();
                let event = Event::from_body(kind, letter.body.as_bytes()).unwrap();
                format!("{} {} {} {}", letter.audience, letter.subject, letter.revision, says(&event))
            })
            .collect()
    }
}

fn says(event: &Event) -> String {
    match event {
        Event::TenantDefine(fact) => format!("{:?} {}", fact.state, fact.generation),
        Event::KeyDefine(fact) => {
            let compromised = match fact.compromised.len() {
                0 => String::new(),
                count => format!(" {count} compromised"),
            };
            let state = format!("{:?}", fact.state);
            let state = state.split(' ').next().unwrap();
            format!("{state} {} of {}{compromised}", fact.generation, fact.parent)
        }
        Event::KeyPurge(fact) => format!("up to {}", fact.generation),
        other => panic!("the Registry does not say {other:?}"),
    }
}
