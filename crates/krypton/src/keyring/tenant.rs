//! A tenant's ring: its gate, and its services.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use openkcm_contracts::{LinkEpoch, ServiceId, SystemId};
use rpds::HashTrieMapSync;

use super::ServiceRing;
use crate::rules::Refusal;

type Services = HashTrieMapSync<(SystemId, ServiceId), Arc<ServiceRing>>;

/// A tenant's gate and services.
#[derive(Debug)]
pub struct TenantRing {
    /// `None` when open.
    gate: ArcSwap<Option<Refusal>>,
    services: ArcSwap<Services>,
    /// Serializes the writers: the control loop, and a revoke that overtakes it.
    epochs: Mutex<Epochs>,
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
    pub(super) fn closed(refusal: Refusal) -> Self {
        Self {
            gate: ArcSwap::from_pointee(Some(refusal)),
            services: ArcSwap::default(),
            epochs: Mutex::default(),
        }
    }

    /// Whether the tenant is served now.
    ///
    /// # Errors
    /// Why not.
    pub fn standing(&self) -> Result<(), Refusal> {
        match **self.gate.load() {
            None => Ok(()),
            Some(refusal) => Err(refusal),
        }
    }

    /// As [`standing`](Self::standing), with a proof of it that tells later whether the gate was shut
    /// meanwhile, also where it is open again by then.
    ///
    /// # Errors
    /// Why not.
    pub fn enter(self: Arc<Self>) -> Result<Entered, Refusal> {
        let gate = self.gate.load();
        match **gate {
            None => Ok(Entered { ring: self, gate }),
            Some(refusal) => Err(refusal),
        }
    }

    /// The ring of a service.
    pub fn service(&self, system: &SystemId, service: &ServiceId) -> Option<Arc<ServiceRing>> {
        self.services.load().get(&(system.clone(), service.clone())).cloned()
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
            self.gate.store(Arc::new(Some(Refusal::HYDRATING)));
            self.services.store(Arc::default());
            epochs.open = Some(epoch);
        }
        true
    }

    /// Opens the gate for a link that was prepared and not revoked since.
    pub fn admit(&self, epoch: LinkEpoch) {
        let epochs = self.epochs();
        if epochs.open == Some(epoch) && self.standing().is_err() {
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
        epochs.open = None;
    }

    fn epochs(&self) -> MutexGuard<'_, Epochs> {
        // The two fields are plain values: a panic between them leaves nothing half done.
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use openkcm_contracts::Revision;
    use openkcm_contracts::problem::Code;

    use super::*;

    fn epoch(counter: u64) -> LinkEpoch {
        LinkEpoch(Revision::new(1, counter))
    }

    #[test]
    fn a_revoke_that_overtakes_its_link_keeps_the_gate_shut() {
        let ring = TenantRing::closed(Refusal::HYDRATING);
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
        let ring = Arc::new(TenantRing::closed(Refusal::HYDRATING));
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
        let ring = TenantRing::closed(Refusal::HYDRATING);
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
