//! Reconciliation: what a region says that it holds, what is asked, told again, alarmed, and left alone.

use std::collections::BTreeMap;

use openkcm_component::drift::{self, Action, Kind, Wanted};
use openkcm_contracts::v1::{Kept, ListedThing, ManifestBody, ManifestQuery, PurgeReport, StateManifest};
use openkcm_contracts::{Audience, Event, EventType, Lane, Revision, Role};
use openkcm_digests::{Changes, Shelf, Sum, Unit};
use openkcm_host::SeededEntropy;
use openkcm_orbital::{Intake, Stream, Verified, outbox};
use openkcm_registry::rules::drift::PATIENCE;
use openkcm_registry::rules::telling::{key_word, tenant_word};
use openkcm_registry::store;
use openkcm_registry::{inbox, manifests};
use openkcm_store::Memory;

use crate::registry::{Registry, id, path, region};

const SHELF: Shelf = Shelf::new("units", "places", "totals");

/// What a region holds, and how it tells of it.
#[derive(Default)]
pub(crate) struct Region {
    pub(crate) name: &'static str,
    sums: Memory,
    held: BTreeMap<String, BTreeMap<String, (Revision, Sum)>>,
    pub(crate) applied: Option<Revision>,
    pub(crate) purges: PurgeReport,
    pub(crate) incarnation: u64,
    pub(crate) sequence: u64,
}

impl Region {
    /// One that holds nothing, and has read one word.
    pub(crate) fn empty(name: &'static str) -> Self {
        Self { applied: Some(Revision::new(1, 1)), incarnation: 1, name, ..Self::default() }
    }

    /// One that holds exactly what the furnished Registry says, and has read all of it.
    pub(crate) fn of(registry: &Registry) -> Self {
        let mut region = Self { applied: Some(last(registry)), incarnation: 1, name: "a", ..Self::default() };
        let tenant = store::tenant(&registry.store, &id("acme")).unwrap().expect("it is defined");
        region.hold(&Event::TenantDefine(tenant_word(&tenant)), Some(tenant.revision));
        for name in ["acme/hr", "acme/hr/payroll"] {
            let key = store::key(&registry.store, &path(name)).unwrap().expect("it is defined");
            region.hold(&Event::KeyDefine(key_word(&key)), Some(key.revision));
        }
        region
    }

    /// The Registry's word about a key.
    pub(crate) fn word(registry: &Registry, key: &str) -> Event {
        Event::KeyDefine(key_word(&registry.key(key).record))
    }

    /// Holds this of a thing from now on, or nothing.
    pub(crate) fn hold(&mut self, event: &Event, revision: Option<Revision>) {
        let unit = match event {
            Event::TenantDefine(fact) => fact.tenant.to_string(),
            Event::KeyDefine(fact) => Unit::name_of(fact),
            Event::KeyPurge(fact) => Unit::of_tombstone(&fact.path()),
            other => panic!("{other:?} is no definition"),
        };
        let subject = event.subject().to_string();
        let after = revision.map(|revision| (revision, Sum::of_event(event, revision)));
        let things = self.held.entry(unit.clone()).or_default();
        let before = match after {
            Some(thing) => things.insert(subject, thing),
            None => things.remove(&subject),
        };
        let mut changes = Changes::default();
        changes.replace(&unit, before.map(|(_, sum)| sum), after.map(|(_, sum)| sum));
        self.sums.write(|tx| SHELF.apply(tx, changes, |_, _| Ok(["held".to_owned()].into()))).unwrap();
    }

    fn manifest(&mut self, body: ManifestBody) -> StateManifest {
        self.sequence += 1;
        StateManifest {
            region: region(self.name),
            incarnation: self.incarnation,
            sequence: self.sequence,
            nonce: "n".into(),
            lease: None,
            body,
        }
    }

    pub(crate) fn tells(&mut self) -> StateManifest {
        let definitions = SHELF.buckets(&self.sums, "held").unwrap().to_text();
        let links = SHELF.buckets(&Memory::default(), "held").unwrap().to_text();
        let (registry, cmk, purges) = (self.applied, None, self.purges.clone());
        self.manifest(ManifestBody::Digests { definitions, links, registry, cmk, purges })
    }

    pub(crate) fn answers(&mut self, query: &ManifestQuery) -> StateManifest {
        let things = |unit: &str| {
            let held = self.held.get(unit).into_iter().flatten();
            let thing = |(subject, (revision, sum)): (&String, &(Revision, Sum))| {
                let digest = sum.digest();
                (ListedThing { subject: subject.clone(), revision: *revision, digest }, *sum)
            };
            Ok(held.map(thing).collect())
        };
        let look = |node| SHELF.look(&self.sums, "held", node, things).unwrap();
        let listed = query.nodes.iter().map(look).collect();
        let (query, of) = (query.nonce.clone(), Kept::Definitions);
        self.manifest(ManifestBody::Listing { query, of, listed })
    }
}

fn last(registry: &Registry) -> Revision {
    store::last_revision(&registry.store).unwrap()
}

impl Registry {
    pub(crate) fn hears(&mut self, manifest: StateManifest) {
        let heard_in = manifest.region.clone();
        let intake = Intake {
            stream: Stream { lane: Lane::Manifests, audience: Audience::Authorities },
            words_of: None,
            events: vec![Verified {
                event: Event::StateManifest(manifest),
                revision: Revision::new(1, 1),
                audience: Audience::Authorities,
                author: Role::Krypton,
                region: Some(heard_in),
            }],
            poison: Vec::new(),
            dropped: BTreeMap::new(),
            unbelieved: None,
            position: None,
            caught_up: true,
            releases: None,
        };
        let narrowings = inbox::narrow(&self.store, &intake).unwrap();
        let chance = SeededEntropy::new(self.now.as_millis());
        self.store.write(|tx| inbox::take(tx, &intake, narrowings, (self.now, &chance))).unwrap();
    }

    /// The query that waits; afterwards none does.
    pub(crate) fn asks(&mut self) -> Option<ManifestQuery> {
        let waiting = outbox::waiting(&self.store, Lane::Manifests, usize::MAX).unwrap();
        self.store.write(|tx| outbox::forget(tx, Lane::Manifests, &waiting)).unwrap();
        let body = &waiting.last()?.letter.body;
        match Event::from_body(EventType::ManifestQuery, body.as_bytes()).unwrap() {
            Event::ManifestQuery(query) => Some(query),
            other => panic!("{other:?} is no query"),
        }
    }

    /// The region says what it holds, and answers until nothing is asked.
    pub(crate) fn compares(&mut self, with: &mut Region) -> Vec<String> {
        let manifest = with.tells();
        self.hears(manifest);
        while let Some(query) = self.asks() {
            let answer = with.answers(&query);
            self.hears(answer);
        }
        self.letters()
    }

    pub(crate) fn drift(&self) -> Vec<(String, Kind, Action, bool)> {
        let wanted = Wanted { limit: 100, ..Wanted::default() };
        let (records, _) = drift::list(&self.store, &wanted).unwrap();
        let shown = |record: drift::Record| {
            (record.found.subject, record.found.kind, record.found.action, record.healed.is_some())
        };
        records.into_iter().map(shown).collect()
    }
}

fn word_of(registry: &Registry, key: &str) -> (Event, Revision) {
    let record = store::key(&registry.store, &path(key)).unwrap().expect("it is defined");
    (Event::KeyDefine(key_word(&record)), record.revision)
}

#[test]
fn each_bucket_that_differs_has_its_turn_however_many_stay_as_they_are() {
    let mut registry = Registry::furnished();
    let mut a = Region::of(&registry);
    let (word, _) = word_of(&registry, "acme/hr/payroll");
    a.hold(&word, None);
    // Things that nobody knows, in every bucket: alarms, which stay.
    let mut strange = word.clone();
    for number in 0..3_000 {
        if let Event::KeyDefine(fact) = &mut strange {
            fact.system = openkcm_contracts::SystemId::new(&format!("s{number}")).unwrap();
        }
        a.hold(&strange, Some(Revision::new(1, 2)));
    }
    let mut told = Vec::new();
    for _ in 0..10 {
        registry.wait(PATIENCE * 6);
        told.extend(registry.compares(&mut a));
    }
    assert!(told.iter().any(|told| told.contains("key.acme.hr.payroll")), "{told:?}");
}

#[test]
fn a_region_that_holds_what_it_is_to_hold_is_asked_nothing() {
    let mut registry = Registry::furnished();
    let mut a = Region::of(&registry);
    assert_eq!(registry.compares(&mut a), [""; 0]);
    assert_eq!(manifests::region(&registry.store, &region("a"), registry.now).unwrap().differing, 0);
    assert_eq!(registry.drift(), []);
}

#[test]
fn what_is_missing_is_told_again_at_its_revision_and_healed_by_the_next_manifest() {
    let mut registry = Registry::furnished();
    let mut a = Region::of(&registry);
    let (word, revision) = word_of(&registry, "acme/hr/payroll");
    a.hold(&word, None);
    let told = registry.compares(&mut a);
    assert_eq!(told, ["region.a key.acme.hr.payroll 1.3 Defined 1.3 of 1.2"]);
    let subject = "key.acme.hr.payroll".to_owned();
    assert_eq!(registry.drift(), [(subject.clone(), Kind::Missing, Action::ToldAgain, false)]);
    // Not again before the region had time to apply it.
    assert_eq!(registry.compares(&mut a), [""; 0]);
    a.hold(&word, Some(revision));
    assert_eq!(registry.compares(&mut a), [""; 0]);
    assert_eq!(registry.drift(), [(subject, Kind::Missing, Action::ToldAgain, true)]);
}

#[test]
fn other_content_under_the_same_revision_and_an_older_word_are_told_again() {
    let mut registry = Registry::furnished();
    for (held, kind) in [(2, Kind::Behind), (3, Kind::Differs)] {
        let mut a = Region::of(&registry);
        let (mut word, _) = word_of(&registry, "acme/hr/payroll");
        if let Event::KeyDefine(fact) = &mut word {
            fact.state = openkcm_contracts::DefinitionState::Disabled;
        }
        a.hold(&word, Some(Revision::new(1, held)));
        registry.wait(PATIENCE * 2);
        a.sequence = 100 * held;
        assert_eq!(registry.compares(&mut a).len(), 1, "{kind:?}");
        assert_eq!(registry.drift().last().map(|(_, kind, ..)| *kind), Some(kind));
        let mut healed = Region::of(&registry);
        healed.sequence = a.sequence;
        assert_eq!(registry.compares(&mut healed), [""; 0]);
    }
}

#[test]
fn a_word_that_is_on_its_way_is_no_drift() {
    let mut registry = Registry::furnished();
    let mut a = Region::of(&registry);
    let (word, revision) = word_of(&registry, "acme/hr/payroll");
    a.hold(&word, None);
    a.applied = Some(Revision::new(1, 2));
    for _ in 0..3 {
        registry.wait(PATIENCE / 4);
        assert_eq!(registry.compares(&mut a), [""; 0]);
    }
    assert_eq!(registry.drift(), []);
    // It gets no further, though it had time: it has missed the word.
    for _ in 0..2 {
        registry.wait(PATIENCE * 2);
        registry.compares(&mut a);
    }
    assert_eq!(registry.drift().len(), 1);
    a.hold(&word, Some(revision));
    a.applied = Some(revision);
    registry.compares(&mut a);
    assert!(registry.drift().iter().all(|(.., healed)| *healed));
}

#[test]
fn nothing_is_asked_while_words_for_the_region_wait() {
    let mut registry = Registry::furnished();
    let mut a = Region::of(&registry);
    registry.delete("acme/hr/payroll").unwrap();
    let manifest = a.tells();
    registry.hears(manifest);
    assert_eq!(registry.asks(), None);
}

#[test]
fn an_answer_that_was_not_asked_for_changes_nothing() {
    let mut registry = Registry::furnished();
    let mut a = Region::of(&registry);
    let (word, _) = word_of(&registry, "acme/hr/payroll");
    a.hold(&word, None);
    let manifest = a.tells();
    registry.hears(manifest);
    let query = registry.asks().expect("it differs");
    let answer = a.answers(&ManifestQuery { nonce: "other".into(), ..query });
    let before = registry.store.clone();
    registry.hears(answer);
    assert_eq!(registry.store, before);
}

#[test]
fn what_the_registry_never_knew_is_alarmed_until_it_is_gone_and_never_destroyed() {
    let mut registry = Registry::furnished();
    let mut a = Region::of(&registry);
    let (mut ghost, revision) = word_of(&registry, "acme/hr/payroll");
    if let Event::KeyDefine(fact) = &mut ghost {
        fact.service = openkcm_contracts::ServiceId::new("ghost").ok();
    }
    a.hold(&ghost, Some(revision));
    assert_eq!(registry.compares(&mut a), [""; 0]);
    let subject = "key.acme.hr.ghost".to_owned();
    assert_eq!(registry.drift(), [(subject.clone(), Kind::Unknown, Action::Alarm, false)]);
    a.hold(&ghost, None);
    registry.compares(&mut a);
    assert_eq!(registry.drift(), [(subject, Kind::Unknown, Action::Alarm, true)]);
}

#[test]
fn a_registry_that_came_back_empty_destroys_nothing_and_says_so() {
    let furnished = Registry::furnished();
    for applied in [Some(last(&furnished)), None] {
        let mut a = Region { applied, ..Region::of(&furnished) };
        let mut empty = Registry::new();
        for _ in 0..3 {
            empty.wait(PATIENCE * 2);
            assert_eq!(empty.compares(&mut a), [""; 0], "nothing is told");
        }
        for lane in Lane::ALL {
            assert_eq!(outbox::waiting(&empty.store, lane, 10).unwrap(), []);
        }
        let kinds: Vec<Kind> = empty.drift().into_iter().map(|(_, kind, ..)| kind).collect();
        let expected = if applied.is_some() { vec![Kind::StaleAuthority] } else { vec![Kind::Unknown; 3] };
        assert_eq!(kinds, expected);
    }
}

#[test]
fn a_region_that_has_applied_a_later_word_is_not_corrected_and_stops_nobody() {
    let mut registry = Registry::furnished();
    let mut a = Region::of(&registry);
    let (word, _) = word_of(&registry, "acme/hr/payroll");
    a.hold(&word, None);
    a.applied = Some(Revision::new(7, 1));
    registry.wait(PATIENCE * 2);
    assert_eq!(registry.compares(&mut a), [""; 0]);
    assert_eq!(registry.drift(), [("registry".into(), Kind::StaleAuthority, Action::Alarm, false)]);
    registry.delete("acme/hr/payroll").expect("one region's claim stops nobody");
}

#[test]
fn a_start_far_in_the_future_is_not_believed_and_outlasts_no_honest_one() {
    let mut registry = Registry::furnished();
    let mut a = Region { incarnation: u64::MAX, ..Region::of(&registry) };
    let manifest = a.tells();
    registry.hears(manifest);
    assert_eq!(manifests::region(&registry.store, &region("a"), registry.now).unwrap().heard, None);
    // Dated by a clock that is ahead by less than a day: believed, and so is the next start.
    let now = registry.now.as_millis() / 1_000;
    for incarnation in [now + 80_000, now + 80_001] {
        let mut a = Region { incarnation, ..Region::of(&registry) };
        registry.compares(&mut a);
        let heard = manifests::region(&registry.store, &region("a"), registry.now).unwrap().heard.unwrap();
        assert_eq!(heard.incarnation, incarnation);
    }
}

#[test]
fn a_region_that_its_tenant_has_left_hears_so_again() {
    let mut registry = Registry::furnished();
    let mut a = Region::of(&registry);
    registry.tenant("acme", &["b"], &openkcm_registry::rules::Precondition::None).unwrap();
    registry.letters();
    a.applied = Some(last(&registry));
    let told = registry.compares(&mut a);
    assert!(told.iter().all(|letter| letter.starts_with("region.a tenant.acme 1.4 Withdrawn")), "{told:?}");
    assert!(!told.is_empty());
}
