//! A tenant's ring: its gate, and its services.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use openkcm_contracts::{LinkEpoch, RegionId, ServiceId, SystemId, Timestamp};
use openkcm_host::{BootInstant, Clock};
use rpds::HashTrieMapSync;

use super::{Place, ServiceRing};
use crate::rules::{Deadline, Refusal};

type Services = HashTrieMapSync<(SystemId, ServiceId), Arc<ServiceRing>>;

/// A tenant's gate and services.
pub struct TenantRing {
    /// `None` when open.
    gate: ArcSwap<Option<Refusal>>,
    lease: Until,
    /// Until when the last word of its L1 holds.
    proof: Until,
    clock: Arc<dyn Clock>,
    /// In the tenant's order; none while it may not be served here.
    regions: ArcSwap<Arc<[RegionId]>>,
    services: ArcSwap<Services>,
    /// Where its keys wait to be opened; set when they first do.
    place: ArcSwapOption<Place>,
    /// Set by the first request that finds the gate being opened.
    waited_for: AtomicBool,
    /// Serializes the writers: the control loop, and a revoke that overtakes it.
    epochs: Mutex<Epochs>,
}

/// When the tenant's lease runs out, or the proof that its L1 may be used. Both parts only rise while the gate is
/// open, so that whoever reads one before a renewal and the other after it finds nothing later than the new one.
#[derive(Debug, Default)]
struct Until {
    /// Nanoseconds on the boot clock.
    boot: AtomicU64,
    /// Milliseconds on the wall clock.
    wall: AtomicU64,
}

impl Until {
    fn stands(&self, boot: BootInstant, wall: Timestamp) -> bool {
        boot.as_nanos() < self.boot.load(Ordering::Acquire)
            && wall.as_millis() < self.wall.load(Ordering::Acquire)
    }

    fn set(&self, until: Deadline) {
        self.boot.store(until.boot.as_nanos(), Ordering::Release);
        self.wall.store(until.wall.as_millis(), Ordering::Release);
    }

    fn until(&self) -> Deadline {
        Deadline {
            boot: BootInstant::from_nanos(self.boot.load(Ordering::Acquire)),
            wall: Timestamp::from_millis(self.wall.load(Ordering::Acquire)),
        }
    }
}

impl fmt::Debug for TenantRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (gate, lease) = (&self.gate, &self.lease);
        f.debug_struct("TenantRing").field("gate", gate).field("lease", lease).finish_non_exhaustive()
    }
}

/// A gate that was found open. It is one that is open again only by being the same: whoever holds this
/// holds the gate's place in memory, so that no later one can have it.
#[derive(Debug)]
pub struct Entered {
    ring: Arc<TenantRing>,
    gate: Guard<Arc<Option<Refusal>>>,
}

impl Entered {
    /// The ring of a service.
    ///
    /// # Errors
    /// That there is none, or that the tenant is no longer served, which would look the same.
    pub(super) fn service(
        &self,
        system: &SystemId,
        service: &ServiceId,
    ) -> Result<Arc<ServiceRing>, Refusal> {
        let found = self.ring.service(system, service);
        found.ok_or_else(|| self.still_stands().err().unwrap_or(Refusal::UNKNOWN))
    }

    /// Whether the tenant was served all the time since.
    ///
    /// # Errors
    /// Why not; that it is being loaded, where it was linked again meanwhile.
    pub fn still_stands(&self) -> Result<(), Refusal> {
        self.ring.standing()?;
        if Arc::ptr_eq(&self.gate, &self.ring.gate.load()) { Ok(()) } else { Err(Refusal::HYDRATING) }
    }
}

#[derive(Debug, Default)]
struct Epochs {
    open: Option<LinkEpoch>,
    revoked: Option<LinkEpoch>,
}

impl TenantRing {
    /// A ring that serves nothing yet.
    pub(super) fn closed(refusal: Refusal, clock: Arc<dyn Clock>) -> Self {
        Self {
            gate: ArcSwap::from_pointee(Some(refusal)),
            lease: Until::default(),
            proof: Until::default(),
            clock,
            regions: ArcSwap::default(),
            services: ArcSwap::default(),
            place: ArcSwapOption::empty(),
            waited_for: AtomicBool::new(false),
            epochs: Mutex::default(),
        }
    }

    /// Whether the tenant is served now.
    ///
    /// # Errors
    /// Why not.
    pub fn standing(&self) -> Result<(), Refusal> {
        match **self.gate.load() {
            None => self.in_time(),
            Some(refusal) => Err(refusal),
        }
    }

    /// Whether both the lease and the last word of the L1 hold.
    fn in_time(&self) -> Result<(), Refusal> {
        let (boot, wall) = (self.clock.boottime(), self.clock.now());
        if !self.lease.stands(boot, wall) {
            return Err(Refusal::LEASE_EXPIRED);
        }
        if self.proof.stands(boot, wall) { Ok(()) } else { Err(Refusal::L1_UNPROVEN) }
    }

    /// Where the tenant is, in its order: for callers who look for another region.
    pub fn regions(&self) -> Arc<[RegionId]> {
        Arc::clone(&self.regions.load())
    }

    /// The tenant is in these regions.
    pub fn place(&self, regions: &[RegionId]) {
        if ***self.regions.load() != *regions {
            self.regions.store(Arc::new(regions.into()));
        }
    }

    /// When the lease that it is served under runs out; none while it is not served.
    pub fn leased_until(&self) -> Option<Deadline> {
        self.standing().is_ok().then(|| self.lease.until())
    }

    /// The tenant is served until then, as long as its gate is open.
    pub fn lease(&self, until: Deadline) {
        self.lease.set(until);
    }

    /// Its L1 has said yes, which holds until then.
    pub fn prove(&self, until: Deadline) {
        self.proof.set(until);
    }

    /// As [`standing`](Self::standing), with a proof of it that tells later whether the gate was shut
    /// meanwhile, also where it is open again by then.
    ///
    /// # Errors
    /// Why not.
    pub fn enter(self: Arc<Self>) -> Result<Entered, Refusal> {
        let gate = self.gate.load();
        match **gate {
            None => {
                self.in_time()?;
                Ok(Entered { ring: self, gate })
            }
            Some(refusal) => Err(refusal),
        }
    }

    /// The ring of a service.
    pub fn service(&self, system: &SystemId, service: &ServiceId) -> Option<Arc<ServiceRing>> {
        self.services.load().get(&(system.clone(), service.clone())).cloned()
    }

    /// Its keys wait there to be opened.
    pub fn waits_at(&self, place: Arc<Place>) {
        self.place.store(Some(place));
    }

    /// How long what callers wait for will take to be opened, as far as that is known.
    pub fn wait(&self) -> Duration {
        self.place.load().as_ref().map(|place| place.wait(self.clock.boottime())).unwrap_or_default()
    }

    /// Whether this is the first request that found the gate being opened.
    pub fn wait_for(&self) -> bool {
        !self.waited_for.swap(true, Ordering::Relaxed)
    }

    /// That could not be handed on, or the gate is shut again: the next request's is the first again.
    pub fn wait_was_lost(&self) {
        self.waited_for.store(false, Ordering::Relaxed);
    }

    /// The link epoch that is open.
    pub fn epoch(&self) -> Option<LinkEpoch> {
        self.epochs().open
    }

    /// Makes room for the services of a link, unless that link was revoked meanwhile. Says whether it
    /// did. The gate opens with [`admit`](Self::admit), when they are in.
    pub fn prepare(&self, epoch: LinkEpoch) -> bool {
        let mut epochs = self.epochs();
        if epochs.revoked >= Some(epoch) {
            return false;
        }
        if epochs.open != Some(epoch) {
            self.shut(&mut epochs, Refusal::HYDRATING);
            epochs.open = Some(epoch);
        }
        true
    }

    /// Opens the gate for a link that was prepared and not revoked since.
    pub fn admit(&self, epoch: LinkEpoch) {
        let epochs = self.epochs();
        if epochs.open == Some(epoch) && self.gate.load().is_some() {
            self.gate.store(Arc::new(None));
        }
    }

    /// Closes the gate and forgets every key: they are wiped as the last request that holds one ends.
    pub fn close(&self, refusal: Refusal) {
        let mut epochs = self.epochs();
        self.shut(&mut epochs, refusal);
    }

    /// Closes the gate for every link up to `epoch`. A later link stays open.
    pub fn revoke(&self, epoch: LinkEpoch) {
        let mut epochs = self.epochs();
        epochs.revoked = epochs.revoked.max(Some(epoch));
        if epochs.open.is_none_or(|open| open <= epoch) {
            self.shut(&mut epochs, Refusal::UNLINKED);
        }
    }

    /// Puts service rings in, for as long as `epoch` is the open link.
    pub fn put(&self, epoch: LinkEpoch, rings: Vec<(SystemId, ServiceId, Arc<ServiceRing>)>) {
        let epochs = self.epochs();
        if epochs.open != Some(epoch) {
            return;
        }
        let mut services = Services::clone(&self.services.load());
        for (system, service, ring) in rings {
            services.insert_mut((system, service), ring);
        }
        self.services.store(Arc::new(services));
    }

    /// Every service's names and ring.
    pub fn services(&self) -> Vec<((SystemId, ServiceId), Arc<ServiceRing>)> {
        self.services.load().iter().map(|(names, ring)| (names.clone(), ring.clone())).collect()
    }

    fn shut(&self, epochs: &mut Epochs, refusal: Refusal) {
        self.gate.store(Arc::new(Some(refusal)));
        self.services.store(Arc::default());
        self.wait_was_lost();
        epochs.open = None;
    }

    fn epochs(&self) -> MutexGuard<'_, Epochs> {
        // The two fields are plain values: a panic between them leaves nothing half done.
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openkcm_contracts::Revision;
    use openkcm_contracts::problem::Code;
    use openkcm_host::ManualClock;

    use super::*;

    fn epoch(counter: u64) -> LinkEpoch {
        LinkEpoch(Revision::new(1, counter))
    }

    /// A closed ring, with a lease that does not end.
    fn ring() -> TenantRing {
        let clock = ManualClock::new(Timestamp::from_millis(1_000), BootInstant::from_nanos(1_000));
        leased(
            clock,
            Deadline { boot: BootInstant::from_nanos(u64::MAX), wall: Timestamp::from_millis(u64::MAX) },
        )
    }

    fn leased(clock: ManualClock, until: Deadline) -> TenantRing {
        let ring = TenantRing::closed(Refusal::HYDRATING, Arc::new(clock));
        ring.lease(until);
        ring.prove(until);
        ring
    }

    #[test]
    fn an_open_gate_stands_as_long_as_the_lease_for_who_comes_and_for_who_is_in() {
        let clock = ManualClock::new(Timestamp::from_millis(1_000), BootInstant::from_nanos(1_000_000_000));
        let until =
            Deadline { boot: BootInstant::from_nanos(3_000_000_000), wall: Timestamp::from_millis(3_000) };
        let ring = Arc::new(leased(clock.clone(), until));
        assert!(ring.prepare(epoch(1)));
        ring.admit(epoch(1));
        let entered = ring.clone().enter().expect("open");
        assert_eq!(ring.leased_until(), Some(until));
        clock.advance(Duration::from_secs(2));
        assert_eq!(entered.still_stands(), Err(Refusal::LEASE_EXPIRED));
        assert_eq!(ring.clone().enter().err(), Some(Refusal::LEASE_EXPIRED));
        clock.set_wall(Timestamp::from_millis(0));
        assert_eq!(ring.standing(), Err(Refusal::LEASE_EXPIRED), "the boot clock can't be set back");
        let renewed =
            Deadline { boot: BootInstant::from_nanos(9_000_000_000), wall: Timestamp::from_millis(9_000) };
        ring.prove(renewed);
        ring.lease(renewed);
        assert_eq!(entered.still_stands(), Ok(()), "a renewal opens no other gate");
        clock.set_wall(Timestamp::from_millis(9_000));
        assert_eq!(ring.standing(), Err(Refusal::LEASE_EXPIRED), "whichever clock gets there first");
    }

    #[test]
    fn an_open_gate_stands_no_longer_than_the_last_word_of_the_l1() {
        let clock = ManualClock::new(Timestamp::from_millis(1_000), BootInstant::from_nanos(1_000_000_000));
        let until = |secs: u64| Deadline {
            boot: BootInstant::from_nanos(secs * 1_000_000_000),
            wall: Timestamp::from_millis(secs * 1_000),
        };
        let ring = Arc::new(leased(clock.clone(), until(9)));
        ring.prove(until(3));
        assert!(ring.prepare(epoch(1)));
        ring.admit(epoch(1));
        let entered = ring.clone().enter().expect("open");
        clock.advance(Duration::from_secs(2));
        assert_eq!(entered.still_stands(), Err(Refusal::L1_UNPROVEN));
        assert_eq!(ring.standing(), Err(Refusal::L1_UNPROVEN));
        ring.prove(until(12));
        assert_eq!(entered.still_stands(), Ok(()));
        clock.advance(Duration::from_secs(6));
        assert_eq!(ring.standing(), Err(Refusal::LEASE_EXPIRED), "a proof is no lease");
    }

    #[test]
    fn a_revoke_that_overtakes_its_link_keeps_the_gate_shut() {
        let ring = ring();
        ring.revoke(epoch(3));
        assert!(!ring.prepare(epoch(3)), "the stale link never opens it");
        ring.admit(epoch(3));
        assert_eq!(ring.standing().expect_err("shut").code, Code::TenantUnlinked);
        assert!(ring.prepare(epoch(4)), "a newer link does");
        ring.admit(epoch(4));
        ring.revoke(epoch(3));
        assert_eq!(ring.standing(), Ok(()), "a replayed revoke of an older link does not shut a newer one");
    }

    #[test]
    fn who_entered_under_one_link_gets_no_answer_under_the_next() {
        let ring = Arc::new(ring());
        assert!(ring.prepare(epoch(1)));
        ring.admit(epoch(1));
        let entered = ring.clone().enter().expect("open");
        ring.admit(epoch(1));
        assert_eq!(entered.still_stands(), Ok(()), "what is settled again under the same link stays");
        ring.revoke(epoch(1));
        assert_eq!(entered.still_stands(), Err(Refusal::UNLINKED));
        let names = (SystemId::new("hr").expect("valid"), ServiceId::new("payroll").expect("valid"));
        let gone = entered.service(&names.0, &names.1);
        assert_eq!(gone.err(), Some(Refusal::UNLINKED), "a service that went with its link is not unknown");
        assert!(ring.prepare(epoch(2)));
        ring.admit(epoch(2));
        assert_eq!(entered.still_stands(), Err(Refusal::HYDRATING));
        assert_eq!(ring.enter().expect("open").still_stands(), Ok(()));
    }

    #[test]
    fn closing_forgets_every_service() {
        let ring = ring();
        assert!(ring.prepare(epoch(1)));
        let names = (SystemId::new("hr").expect("valid"), ServiceId::new("payroll").expect("valid"));
        let service = Arc::new(ServiceRing::refused(Refusal::HYDRATING));
        ring.put(epoch(1), vec![(names.0.clone(), names.1.clone(), service.clone())]);
        assert!(ring.service(&names.0, &names.1).is_some());
        ring.close(Refusal::UNLINKED);
        assert!(ring.service(&names.0, &names.1).is_none());
        ring.put(epoch(1), vec![(names.0.clone(), names.1.clone(), service)]);
        assert!(
            ring.service(&names.0, &names.1).is_none(),
            "what comes late for a closed link is not put in"
        );
    }
}
