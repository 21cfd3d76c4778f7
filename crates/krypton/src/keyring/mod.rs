//! The keyring: what the data plane sees. Immutable snapshots, read without a lock.
//!
//! The control loop builds rings and puts them in; requests only read. A tenant's gate stands before
//! all its services: closing it is one store of one value, seen by every request that begins later
//! and by every request that is under way, since the gate is looked at before the cipher and after it.
//! An open gate stands only as long as the tenant's lease, and as the last word of its L1: both are looked at with it,
//! on both clocks.
//!
//! What always holds: once a gate was closed for a link epoch, no ring of that epoch is served again.

mod place;
mod ring;
mod tenant;

pub use place::{Place, Pulse};
pub use ring::{OpenVersion, ServiceRing};
pub use tenant::{Entered, TenantRing};

use std::sync::Arc;

use arc_swap::ArcSwap;
use openkcm_contracts::{LinkEpoch, ServicePath, TenantId};
use openkcm_host::Clock;
use rpds::HashTrieMapSync;

use crate::rules::Refusal;

/// All tenants that this Core has heard of.
pub struct Keyring {
    tenants: ArcSwap<HashTrieMapSync<TenantId, Arc<TenantRing>>>,
    /// What leases run out on.
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("tenants", &self.tenants.load().size()).finish_non_exhaustive()
    }
}

impl Keyring {
    /// No tenants yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { tenants: ArcSwap::default(), clock }
    }

    /// What leases run out on.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The ring of a tenant.
    pub fn tenant(&self, id: &TenantId) -> Option<Arc<TenantRing>> {
        self.tenants.load().get(id).cloned()
    }

    /// The ring of a tenant, made closed if there is none yet. A tenant has one ring for ever, so that
    /// a revoke and the control loop, which may both be the first to need it, speak of the same gate.
    pub fn tenant_or_new(&self, id: &TenantId) -> Arc<TenantRing> {
        if let Some(ring) = self.tenant(id) {
            return ring;
        }
        let ring = Arc::new(TenantRing::closed(Refusal::HYDRATING, self.clock.clone()));
        self.tenants.rcu(|tenants| match tenants.contains_key(id) {
            true => Arc::clone(tenants),
            false => Arc::new(tenants.insert(id.clone(), ring.clone())),
        });
        self.tenant(id).unwrap_or(ring)
    }

    /// Closes a tenant at once for every link up to `epoch`, before anything else is done about it.
    pub fn revoke(&self, id: &TenantId, epoch: LinkEpoch) {
        self.tenant_or_new(id).revoke(epoch);
    }

    /// What a request needs: that its tenant is served, to be looked at again, and the service's ring.
    ///
    /// # Errors
    /// Why the service is not served.
    pub fn service(&self, path: &ServicePath) -> Result<(Entered, Arc<ServiceRing>), Refusal> {
        let tenant = self.tenant(&path.tenant).ok_or(Refusal::UNKNOWN)?.enter()?;
        let service = tenant.service(&path.system, &path.service)?;
        Ok((tenant, service))
    }

    /// How many tenants are being served, and how many are known.
    pub fn count(&self) -> (usize, usize) {
        let tenants = self.tenants.load();
        (tenants.values().filter(|ring| ring.standing().is_ok()).count(), tenants.size())
    }

    /// Every tenant's id and ring.
    pub fn tenants(&self) -> Vec<(TenantId, Arc<TenantRing>)> {
        self.tenants.load().iter().map(|(id, ring)| (id.clone(), ring.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn two_who_need_a_tenants_ring_at_once_get_the_same_one() {
        let clock: Arc<dyn Clock> = Arc::new(openkcm_host::SystemClock);
        for round in 0..2_000 {
            let (keyring, start) = (Keyring::new(clock.clone()), Barrier::new(2));
            let id = TenantId::new(&format!("t-{round}")).expect("valid");
            let first = || {
                start.wait();
                keyring.tenant_or_new(&id)
            };
            let (one, other) = std::thread::scope(|scope| {
                let other = scope.spawn(first);
                (first(), other.join().expect("no panic"))
            });
            assert!(Arc::ptr_eq(&one, &other), "a revoke of one ring would be lost on the other");
        }
    }
}
