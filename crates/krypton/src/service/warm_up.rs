//! What callers and those who watch ask of a Core that has much to open.

use std::time::Duration;

use openkcm_contracts::{ServicePath, TenantId};

use super::Handle;
use super::control_loop::Input;
use super::provider::LineView;
use crate::control::WarmUp;
use crate::rules::Refusal;

/// What a caller is told to wait for a key that is on its way, at the least and at the most.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl Handle {
    /// A caller found a key on its way. The first of them has its system opened before those that nobody waits for.
    /// Takes no lock.
    pub fn wait_for(&self, path: &ServicePath) {
        let told = || self.inputs.try_send(Input::WaitFor(path.system_path())).is_ok();
        // The queue may be full: the caller asks again, and must find that nobody was told.
        match (self.data.service(path), self.keyring.tenant(&path.tenant)) {
            (Ok(service), _) if service.wait_for() && !told() => service.wait_was_lost(),
            (Err(Refusal::HYDRATING), Some(tenant)) if tenant.wait_for() && !told() => tenant.wait_was_lost(),
            _ => {}
        }
    }

    /// How long until what callers wait for of a tenant is open, as its provider's line stands: at least a second and
    /// at most half a minute, since nobody knows what comes in between.
    pub fn wait(&self, tenant: &TenantId) -> Duration {
        let wait = self.keyring.tenant(tenant).map(|ring| ring.wait()).unwrap_or_default();
        wait.clamp(SHORTEST_WAIT, LONGEST_WAIT)
    }

    /// How much waits for each L1 provider.
    pub(crate) fn lines(&self) -> Vec<(String, LineView)> {
        self.turns.lines()
    }

    /// What a step holds for those who show it, as far as it can be told without waiting for one: how far it has come
    /// with what it is to open, versions at risk, and tenants that have some.
    pub(crate) fn warm_up(&self) -> Option<(WarmUp, usize, usize)> {
        let core = self.core.try_lock().ok()?;
        Some((core.warm_up(), core.versions_at_risk(), core.tenants_at_risk(0).0))
    }
}
