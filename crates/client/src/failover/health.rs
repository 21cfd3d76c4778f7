//! What a client remembers between calls, and whom it asks next because of that.
//!
//! Everything is under one lock, which is held for no longer than a look: never across a request. An attempt is noted
//! when it begins, and has an outcome or is given up when it is dropped, so that a call which is cancelled leaves no
//! region marked as tried.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openkcm_contracts::{RegionId, TenantId};
use openkcm_host::{BootInstant, Clock, Entropy, random_array};

use super::budget::{Budget, Tokens};
use super::circuit::{Circuit, Sight};
use super::places::{Fit, Places};
use super::said::Said;
use super::verdict::Verdict;

/// What is remembered between the calls of a client and its clones.
pub(crate) struct Health {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

struct State {
    tokens: Tokens,
    places: Places,
    /// At most one for each region of the landscape.
    regions: BTreeMap<RegionId, Line>,
}

/// The circuit of a region, and what was the last that was heard of it while it failed.
#[derive(Default)]
struct Line {
    circuit: Circuit,
    last: Option<Said>,
}

/// Whose call it is, and whom it would rather ask.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) tenant: &'a TenantId,
    /// Asked first, where it is one of the tenant's.
    pub(crate) preferred: Option<&'a RegionId>,
    /// The landscape's regions in order.
    pub(crate) regions: &'a [RegionId],
}

impl Health {
    pub(crate) fn new(budget: Budget, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let tokens = Tokens::full(budget, clock.boottime());
        let state = State { tokens, places: Places::default(), regions: BTreeMap::new() };
        Self { state: Mutex::new(state), clock, entropy }
    }

    /// A call begins: it earns its share of further attempts.
    pub(crate) fn begin(&self) {
        self.state().tokens.earn();
    }

    /// Takes what a further attempt costs, if it is there.
    pub(crate) fn spend(&self) -> bool {
        let now = self.clock.boottime();
        self.state().tokens.take(now)
    }

    /// The regions in the order in which a tenant's call would ask them if all were well.
    pub(crate) fn order(&self, wanted: Wanted<'_>) -> Vec<RegionId> {
        let now = self.clock.boottime();
        order(wanted, self.state().places.of(wanted.tenant).list(now))
    }

    /// The region to ask next, but for those that `passed` names; none when no other may be asked now.
    pub(crate) fn next<'h>(&'h self, wanted: Wanted<'h>, passed: &[RegionId]) -> Option<Attempt<'h>> {
        let now = self.clock.boottime();
        let mut state = self.state();
        let State { places, regions, .. } = &mut *state;
        let place = places.of(wanted.tenant);
        let region = order(wanted, place.list(now))
            .into_iter()
            .filter(|region| !passed.contains(region))
            .filter(|region| sight(regions, region, now) != Sight::Resting)
            .map(|region| (place.fit(&region, now), region))
            // One that said itself that it is none of the tenant's is asked only where there is no other.
            .filter(|(fit, _)| passed.is_empty() || *fit != Fit::Absent)
            // The first of the best.
            .min_by_key(|(fit, _)| *fit)
            .map(|(_, region)| region)?;
        let probe = regions.get_mut(&region).is_some_and(|line| line.circuit.enter(now));
        let tenants_probe = place.enter(&region, now);
        Some(Attempt { health: self, tenant: wanted.tenant, region, probe, tenants_probe, over: false })
    }

    /// What is remembered of the regions, of these and in this order, that failed lately and have not answered since.
    pub(crate) fn resting(&self, order: &[RegionId]) -> Vec<Said> {
        let now = self.clock.boottime();
        let state = self.state();
        let resting = order.iter().filter(|region| sight(&state.regions, region, now) != Sight::Closed);
        resting.filter_map(|region| state.regions.get(region)?.last.clone()).map(Said::earlier).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is in it is advice: at worst, after a panic, a region rests too long or too short.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The preferred region where it is the tenant's or nobody knows, then the tenant's own, then the landscape's.
fn order(wanted: Wanted<'_>, list: Option<&[RegionId]>) -> Vec<RegionId> {
    let Wanted { preferred, regions, .. } = wanted;
    let preferred = preferred.filter(|region| list.is_none_or(|list| list.contains(region)));
    let mut order: Vec<RegionId> = Vec::with_capacity(regions.len());
    for region in preferred.into_iter().chain(list.unwrap_or_default()).chain(regions) {
        if regions.contains(region) && !order.contains(region) {
            order.push(region.clone());
        }
    }
    order
}

fn sight(regions: &BTreeMap<RegionId, Line>, region: &RegionId, now: BootInstant) -> Sight {
    regions.get(region).map_or(Sight::Closed, |line| line.circuit.sight(now))
}

/// One request to one region, from the choice of it to its outcome.
pub(crate) struct Attempt<'h> {
    health: &'h Health,
    tenant: &'h TenantId,
    pub(crate) region: RegionId,
    /// It tries the region after a rest.
    probe: bool,
    /// It tries the region for the tenant after a rest.
    tenants_probe: bool,
    over: bool,
}

impl Attempt<'_> {
    /// The region served. `paid`: with a token, which comes back.
    pub(crate) fn served(mut self, list: Option<Arc<[RegionId]>>, paid: bool) {
        self.over = true;
        let now = self.health.clock.boottime();
        let mut state = self.health.state();
        state.regions.remove(&self.region);
        let place = state.places.of(self.tenant);
        place.served(&self.region);
        if let Some(list) = list {
            place.learn(list, now);
        }
        if paid {
            state.tokens.give_back();
        }
    }

    /// The region did not serve: what that means, how long it asks to be left alone, and in words.
    pub(crate) fn failed(mut self, verdict: Verdict, list: Option<Arc<[RegionId]>>, said: &Said) {
        self.over = true;
        let now = self.health.clock.boottime();
        let share = share(&*self.health.entropy);
        let mut state = self.health.state();
        if matches!(verdict, Verdict::Region | Verdict::Silent) {
            let line = state.regions.entry(self.region.clone()).or_default();
            line.circuit.failed(now, self.probe, verdict == Verdict::Silent, share);
            line.last = Some(said.clone());
            let place = state.places.of(self.tenant);
            if self.tenants_probe {
                place.abandoned(&self.region);
            }
            return;
        }
        // Whatever it refuses, it is there.
        state.regions.remove(&self.region);
        let place = state.places.of(self.tenant);
        if let Some(list) = list {
            place.learn(list, now);
        }
        match verdict {
            Verdict::Tenant => place.refused(&self.region, said.retry_after(), now),
            Verdict::Unknown => {
                if self.tenants_probe {
                    place.served(&self.region);
                }
                place.unknown(&self.region, now);
            }
            _ => place.served(&self.region),
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.over || !(self.probe || self.tenants_probe) {
            return;
        }
        let mut state = self.health.state();
        if self.probe
            && let Some(line) = state.regions.get_mut(&self.region)
        {
            line.circuit.abandoned();
        }
        if self.tenants_probe {
            state.places.of(self.tenant).abandoned(&self.region);
        }
    }
}

/// Between one half and one.
fn share(entropy: &dyn Entropy) -> f64 {
    let random = u16::from_be_bytes(random_array(entropy));
    0.5 + f64::from(random) / f64::from(u16::MAX) / 2.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openkcm_contracts::Timestamp;
    use openkcm_host::{ManualClock, SeededEntropy};

    use super::*;
    use crate::error::ClientError;

    /// What was heard of a region, which may be anything.
    fn said(region: &str) -> Said {
        let error = ClientError::NoSuchRegion { name: region.to_owned(), known: String::new() };
        Said::new(RegionId::new(region).unwrap(), &error, Verdict::Region)
    }

    #[test]
    fn what_a_region_said_last_is_remembered_until_it_answers_whether_or_not_it_may_be_asked() {
        let clock = ManualClock::new(Timestamp::from_millis(0), BootInstant::from_nanos(0));
        let entropy = Arc::new(SeededEntropy::new(1));
        let health = Health::new(Budget::default(), Arc::new(clock.clone()), entropy);
        let tenant = TenantId::new("acme").unwrap();
        let regions = ["a", "b"].map(|name| RegionId::new(name).unwrap());
        let wanted = Wanted { tenant: &tenant, preferred: None, regions: &regions };
        for _ in 0..3 {
            health.next(wanted, &[]).unwrap().failed(Verdict::Region, None, &said("a"));
        }
        assert_eq!(health.resting(&regions), [said("a").earlier()]);
        assert_eq!(health.next(wanted, &[]).unwrap().region, regions[1]);
        clock.advance(Duration::from_secs(1));
        assert_eq!(health.resting(&regions), [said("a").earlier()], "due, and not asked yet");
        let probe = health.next(wanted, &[]).unwrap();
        assert_eq!(probe.region, regions[0]);
        probe.served(None, false);
        assert_eq!(health.resting(&regions), []);
    }
}
