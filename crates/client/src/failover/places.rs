//! Where a tenant is: its regions as the Cores tell them, and those in which it is not served for now.
//!
//! Learned from answers alone, so that nothing has to be asked first. What always holds: a list brings regions
//! forward and takes none away, so that one which is out of date, or a Core that lies, costs a detour and no service;
//! and no more tenants are remembered than [`MAX_TENANTS`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use openkcm_contracts::{RegionId, TenantId};
use openkcm_host::BootInstant;

use super::circuit::{Circuit, Sight};

/// How many tenants are remembered: some hundred bytes each. Those that were not asked for lately are forgotten.
const MAX_TENANTS: usize = 8_192;

/// How long a list is believed that no answer has told again.
const LIST_HOLDS: Duration = Duration::from_secs(600);

/// How long a region that knows no such key is passed over, where it is none of the tenant's.
const ABSENCE_HOLDS: Duration = Duration::from_secs(30);

/// The shortest and the longest time that a tenant rests in a region, whatever that asks for.
const SHORTEST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The rest where a region asks for none.
const USUAL_REST: Duration = Duration::from_secs(1);

/// How well a region suits a tenant; the better, the earlier it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// One of the tenant's, as far as is known, and nothing speaks against it.
    Good,
    /// It refused the tenant lately, and its `Retry-After` is not over.
    Resting,
    /// None of the tenant's, as far as is known.
    Foreign,
    /// None of the tenant's, and it said so itself lately.
    Absent,
}

/// What is known of one tenant.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// Its regions in order, and until when that is believed.
    list: Option<(Arc<[RegionId]>, BootInstant)>,
    /// Where it was refused for now. At most one for each region of the landscape.
    rests: Vec<(RegionId, Circuit)>,
    /// Which regions said that they know no such key, and until when that is believed.
    absences: Vec<(RegionId, BootInstant)>,
}

impl Place {
    /// The tenant's regions in order, if they are known.
    pub(crate) fn list(&self, now: BootInstant) -> Option<&[RegionId]> {
        self.list.as_ref().filter(|(_, until)| now < *until).map(|(list, _)| &**list)
    }

    /// How well a region suits it.
    pub(crate) fn fit(&self, region: &RegionId, now: BootInstant) -> Fit {
        let absent = self.absences.iter().any(|(absent, until)| absent == region && now < *until);
        match self.list(now) {
            Some(list) if !list.contains(region) => return if absent { Fit::Absent } else { Fit::Foreign },
            None if absent => return Fit::Foreign,
            _ => {}
        }
        let circuit = self.rests.iter().find(|(resting, _)| resting == region).map(|(_, circuit)| circuit);
        match circuit.map_or(Sight::Closed, |circuit| circuit.sight(now)) {
            Sight::Closed | Sight::Due => Fit::Good,
            Sight::Resting => Fit::Resting,
        }
    }

    /// A region is asked for it; says whether as the probe that tries it after a rest.
    pub(crate) fn enter(&mut self, region: &RegionId, now: BootInstant) -> bool {
        self.circuit(region).is_some_and(|circuit| circuit.enter(now))
    }

    /// A Core told its regions. Those among them that knew no key were only behind.
    pub(crate) fn learn(&mut self, list: Arc<[RegionId]>, now: BootInstant) {
        self.absences.retain(|(region, _)| !list.contains(region));
        self.list = Some((list, now.after(LIST_HOLDS)));
    }

    /// A region served it.
    pub(crate) fn served(&mut self, region: &RegionId) {
        self.rests.retain(|(resting, _)| resting != region);
        self.absences.retain(|(absent, _)| absent != region);
    }

    /// A region refused it for now, and asks for so much time.
    pub(crate) fn refused(&mut self, region: &RegionId, asked: Option<Duration>, now: BootInstant) {
        let until = now.after(asked.unwrap_or(USUAL_REST).clamp(SHORTEST_REST, LONGEST_REST));
        match self.circuit(region) {
            Some(circuit) => circuit.rest(until),
            None => {
                let mut circuit = Circuit::default();
                circuit.rest(until);
                self.rests.push((region.clone(), circuit));
            }
        }
    }

    /// A region knows no such key. That of a region that is the tenant's is a matter of that key alone.
    pub(crate) fn unknown(&mut self, region: &RegionId, now: BootInstant) {
        self.absences.retain(|(absent, _)| absent != region);
        if self.list(now).is_none_or(|list| !list.contains(region)) {
            self.absences.push((region.clone(), now.after(ABSENCE_HOLDS)));
        }
    }

    /// A probe ended without any outcome.
    pub(crate) fn abandoned(&mut self, region: &RegionId) {
        if let Some(circuit) = self.circuit(region) {
            circuit.abandoned();
        }
    }

    fn circuit(&mut self, region: &RegionId) -> Option<&mut Circuit> {
        self.rests.iter_mut().find(|(resting, _)| resting == region).map(|(_, circuit)| circuit)
    }
}

/// What is known of the tenants that were asked for lately: two halves, of which the older goes when the younger is
/// full.
#[derive(Debug, Default)]
pub(crate) struct Places {
    younger: HashMap<TenantId, Place>,
    older: HashMap<TenantId, Place>,
}

impl Places {
    /// What is known of a tenant; nothing yet, if it was not asked for lately.
    pub(crate) fn of(&mut self, tenant: &TenantId) -> &mut Place {
        if !self.younger.contains_key(tenant) {
            let place = self.older.remove(tenant).unwrap_or_default();
            if self.younger.len() >= MAX_TENANTS / 2 {
                self.older = std::mem::take(&mut self.younger);
            }
            self.younger.insert(tenant.clone(), place);
        }
        self.younger.entry(tenant.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: BootInstant = BootInstant::from_nanos(0);

    fn at(secs: u64) -> BootInstant {
        START.after(Duration::from_secs(secs))
    }

    fn region(name: &str) -> RegionId {
        RegionId::new(name).unwrap()
    }

    fn list(names: &[&str]) -> Arc<[RegionId]> {
        names.iter().map(|name| region(name)).collect()
    }

    fn fits(place: &Place, now: BootInstant) -> [Fit; 3] {
        ["a", "b", "c"].map(|name| place.fit(&region(name), now))
    }

    #[test]
    fn of_a_tenant_of_which_nothing_is_known_every_region_is_as_good() {
        assert_eq!(fits(&Place::default(), START), [Fit::Good; 3]);
    }

    #[test]
    fn a_list_brings_its_regions_forward_until_it_is_old() {
        let mut place = Place::default();
        place.learn(list(&["c", "b"]), START);
        assert_eq!(fits(&place, START), [Fit::Foreign, Fit::Good, Fit::Good]);
        assert_eq!(place.list(START), Some(&*list(&["c", "b"])));
        assert_eq!(fits(&place, START.after(LIST_HOLDS)), [Fit::Good; 3]);
    }

    #[test]
    fn a_region_that_knows_no_such_key_comes_last_for_a_while() {
        let mut place = Place::default();
        place.unknown(&region("a"), START);
        assert_eq!(fits(&place, START), [Fit::Foreign, Fit::Good, Fit::Good]);
        assert_eq!(fits(&place, START.after(ABSENCE_HOLDS)), [Fit::Good; 3]);
        place.learn(list(&["b"]), START);
        assert_eq!(fits(&place, START), [Fit::Absent, Fit::Good, Fit::Foreign]);
    }

    #[test]
    fn a_region_of_the_tenant_that_lacks_one_key_serves_its_other_keys_as_before() {
        let mut place = Place::default();
        place.unknown(&region("a"), START);
        place.learn(list(&["a", "b"]), START);
        assert_eq!(place.fit(&region("a"), START), Fit::Good, "what it said before the list was known");
        place.unknown(&region("a"), START);
        assert_eq!(place.fit(&region("a"), START), Fit::Good, "and what it says after");
    }

    #[test]
    fn where_a_tenant_was_refused_it_rests_for_as_long_as_was_asked_for_and_one_caller_tries_again() {
        let mut place = Place::default();
        place.refused(&region("a"), Some(Duration::from_secs(5)), START);
        assert_eq!(fits(&place, at(4)), [Fit::Resting, Fit::Good, Fit::Good]);
        assert_eq!(place.fit(&region("a"), at(5)), Fit::Good);
        assert!(place.enter(&region("a"), at(5)));
        assert_eq!(place.fit(&region("a"), at(5)), Fit::Resting, "one caller tries it");
        place.abandoned(&region("a"));
        assert!(place.enter(&region("a"), at(5)));
        place.served(&region("a"));
        assert_eq!(fits(&place, at(5)), [Fit::Good; 3]);
        assert!(!place.enter(&region("a"), at(5)));
    }

    #[test]
    fn no_region_can_ask_to_be_left_alone_for_ever() {
        let mut place = Place::default();
        place.refused(&region("a"), Some(Duration::MAX), START);
        assert_eq!(place.fit(&region("a"), START.after(LONGEST_REST)), Fit::Good);
    }

    #[test]
    fn however_many_tenants_there_are_a_bounded_number_is_remembered_and_those_in_use_are() {
        let mut places = Places::default();
        let tenant = |number: usize| TenantId::new(&format!("t-{number}")).unwrap();
        for number in 0..5 * MAX_TENANTS {
            places.of(&tenant(number)).learn(list(&["b"]), START);
            assert!(places.of(&tenant(0)).list(START).is_some(), "{number}");
            assert!(places.younger.len() + places.older.len() <= MAX_TENANTS, "{number}");
        }
        assert!(places.of(&tenant(1)).list(START).is_none());
    }
}
