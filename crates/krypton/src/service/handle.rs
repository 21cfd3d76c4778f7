//! What routes, the landscape in one process, and tests ask a running Core.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openkcm_component::quarantine::Quarantine;
use openkcm_component::{Applied, Holds, MeshHandle, MeshStatus};
use openkcm_contracts::v1::{KeyDefine, LinkState, TenantDefine};
use openkcm_contracts::{
    KeyPath, LinkEpoch, RegionId, Revision, RootRef, ServicePath, SystemPath, TenantId, Timestamp, VersionId,
};
use openkcm_host::Clock;
use openkcm_http::Readiness;
use openkcm_secrets::LockedMemoryError;
use openkcm_store::{Read, Store, StoreError};
use tokio::sync::{mpsc, oneshot, watch};

use super::control_loop::Input;
use super::provider::{LineView, Turns};
use super::purges::{self, PurgesShown, Shown};
use crate::control::{Core, LeaseView, ProbeView, VersionView, WarmUp};
use crate::data::DataPlane;
use crate::keyring::{Keyring, ServiceRing};
use crate::rules::{PURGED, PurgePolicy, REPLICATION_PATIENCE, Refusal, is_purged, system_standing};
use crate::store::purge::{Counts, Decision, Stage};
use crate::store::{self, Held};

/// Tenants whose versions at risk are shown by name.
const MOST_TENANTS_AT_RISK: usize = 100;

/// Why a key was not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateFailure {
    /// It is not served.
    #[error("the key is not served: {0}")]
    Refused(Refusal),
    /// There is no locked memory for a new key.
    #[error("no new key can be held in memory")]
    Memory(#[source] LockedMemoryError),
    /// The store does not take the new version.
    #[error("the store does not take the new version")]
    Store(#[source] StoreError),
}

/// A running Core, to use and to ask. Clones are handles to the same one.
#[derive(Clone)]
pub struct Handle {
    pub(super) region: RegionId,
    pub(super) core: Arc<Mutex<Core>>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) data: DataPlane,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) mesh: MeshHandle,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) settled: watch::Receiver<u64>,
    pub(super) turns: Turns,
    pub(super) purge: PurgePolicy,
    pub(super) change_wait: Duration,
    pub(super) purges_shown: Shown,
}

/// A tenant, as this Core sees it.
#[derive(Debug, Clone)]
pub struct TenantView {
    /// The Registry's fact, and its revision.
    pub definition: Option<(TenantDefine, Revision)>,
    /// The link's epoch, state and revision.
    pub link: Option<(LinkEpoch, LinkState, Revision)>,
    /// Whether it is served.
    pub standing: Result<(), Refusal>,
    /// When the lease that it is served under runs out, told by the wall clock.
    pub leased_until: Option<Timestamp>,
    /// Roots of the link that nothing is sealed to yet, and how long that is waited for still.
    pub awaited_roots: Vec<(RootRef, Duration)>,
    /// Versions of its keys that would be lost with this Core's disk.
    pub versions_at_risk: usize,
}

/// An L2, as this Core sees it.
#[derive(Debug, Clone)]
pub struct SystemView {
    /// Its definition, with the Registry's revision.
    pub held: Held<KeyDefine>,
    /// Its versions, the oldest counter first.
    pub versions: Vec<VersionView>,
    /// What ended it; none while any of it may still be served.
    pub ended: Option<Refusal>,
}

/// What the Core says of itself.
#[derive(Debug, Clone)]
pub struct Status {
    /// Its region.
    pub region: RegionId,
    /// The mesh, as this Core sees it.
    pub mesh: MeshStatus,
    /// Tenants that are served, and that are known.
    pub tenants: (usize, usize),
    /// The region's lease.
    pub lease: LeaseView,
    /// What probes of the tenants' L1 came to.
    pub probes: ProbeView,
    /// Versions that would be lost with this Core's disk.
    pub versions_at_risk: usize,
    /// The tenants that have the most of them, and how many of each.
    pub tenants_at_risk: Vec<(TenantId, usize)>,
    /// How far it has come with what it is to open.
    pub warm_up: WarmUp,
    /// How much waits for each L1 provider.
    pub lines: Vec<(String, LineView)>,
    /// Purges, and what they have destroyed.
    pub purges: Counts,
    /// Tenants with a root in their link that is waited for.
    pub roots_awaited: usize,
    /// Plaintext keys in locked memory, and the bytes that are locked.
    pub locked_memory: openkcm_secrets::Usage,
    /// The time, as this Core sees it.
    pub now: Timestamp,
}

impl Handle {
    /// The region that it serves.
    pub fn region(&self) -> &RegionId {
        &self.region
    }

    /// A tenant's regions in their order, as this region has heard; none where it may not be served here.
    pub fn regions_of(&self, tenant: &TenantId) -> Arc<[RegionId]> {
        self.keyring.tenant(tenant).map(|ring| ring.regions()).unwrap_or_default()
    }

    /// The data plane.
    pub fn data(&self) -> &DataPlane {
        &self.data
    }

    /// A caller found no version to encrypt with. The first of them has one made soon.
    pub fn demand(&self, path: &ServicePath) {
        let Ok(service) = self.data.service(path) else { return };
        if service.demand() && self.inputs.try_send(Input::Demand(path.clone())).is_err() {
            // The queue is full: the caller asks again, and must find the demand untold.
            service.demand_was_lost();
        }
    }

    /// Makes a new version and waits until it is kept; of an L3 also, within the replication
    /// patience, until it encrypts.
    ///
    /// # Errors
    /// When the key is not served, or the new version can't be kept.
    pub async fn rotate(&self, path: KeyPath) -> Result<VersionId, RotateFailure> {
        let (sender, receiver) = oneshot::channel();
        let closed = |_| RotateFailure::Store(StoreError::Closed);
        self.inputs.send(Input::Rotate(path.clone(), sender)).await.map_err(|_| closed(()))?;
        let version = receiver.await.map_err(|_| closed(()))??;
        if let KeyPath::Service(path) = &path {
            let active = tokio::time::timeout(REPLICATION_PATIENCE * 2, self.until_active(path, version));
            // Not active in time: it is kept, and encrypts as soon as it may.
            let _ = active.await;
        }
        Ok(version)
    }

    async fn until_active(&self, path: &ServicePath, version: VersionId) {
        let mut settled = self.settled.clone();
        loop {
            settled.borrow_and_update();
            let counter =
                |ring: &ServiceRing, id| ring.version(id).map(|version| (version.counter, version.id));
            match self.data.service(path) {
                Ok(ring) => {
                    let active = ring.active().ok().map(|active| (active.counter, active.id));
                    if active >= counter(&ring, version) && active.is_some() {
                        return;
                    }
                }
                Err(_) => return,
            }
            if settled.changed().await.is_err() {
                return;
            }
        }
    }

    /// A tenant, if anything is known of it.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn tenant(&self, id: &TenantId) -> Result<Option<TenantView>, StoreError> {
        let (of, wait) = (id.clone(), self.change_wait);
        let (keyring, core) = (self.keyring.clone(), self.core.clone());
        self.store
            .read(move |view| {
                let definition = store::held_tenant(view, &of)?.map(|held| (held.fact, held.revision));
                let link = store::link(view, &of)?.and_then(|link| link.reference);
                let link = link.map(|held| (held.fact.epoch, held.fact.state, held.revision));
                if definition.is_none() && link.is_none() {
                    return Ok(None);
                }
                let ring = keyring.tenant(&of);
                let standing = ring.as_ref().map_or(Err(Refusal::UNKNOWN), |ring| ring.standing());
                let leased_until = ring.and_then(|ring| ring.leased_until()).map(|until| until.wall);
                let awaited_roots = store::owners::awaited(view, &of, wait)?;
                let core = core.lock().unwrap_or_else(PoisonError::into_inner);
                let versions_at_risk = core.versions_at_risk_of(&of);
                Ok(Some(TenantView {
                    definition,
                    link,
                    standing,
                    leased_until,
                    awaited_roots,
                    versions_at_risk,
                }))
            })
            .await
    }

    /// A service's definition and its ring.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn service(
        &self,
        path: &ServicePath,
    ) -> Result<Option<(Held<KeyDefine>, Result<Arc<ServiceRing>, Refusal>)>, StoreError> {
        let of = KeyPath::Service(path.clone());
        let held = self.store.read(move |view| store::held_definition(view, &of)).await?;
        Ok(held.map(|held| (held, self.data.service(path))))
    }

    /// A system's definition and its versions.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn system(&self, path: &SystemPath) -> Result<Option<SystemView>, StoreError> {
        let (of, core, now) = (path.clone(), self.core.clone(), self.clock.now());
        self.store
            .read(move |view| {
                let path = KeyPath::System(of.clone());
                let Some(held) = store::held_definition(view, &path)? else { return Ok(None) };
                let definition = &held.fact;
                let tenant = store::tenant(view, &of.tenant)?;
                let ended = match store::purge::purged_system(view, &of)? {
                    tombstone if is_purged(tombstone, definition.generation) => Some(PURGED),
                    _ => tenant.as_ref().and_then(|tenant| system_standing(tenant, Some(definition)).err()),
                };
                let regions = tenant.map(|tenant| tenant.regions).unwrap_or_default();
                let sealed = (store::system_versions(view, &of)?, &regions[..]);
                let core = core.lock().unwrap_or_else(PoisonError::into_inner);
                let versions = core.system_versions(&of, definition, sealed, now);
                let ended = ended.filter(|_| core.has_let_go(&of));
                Ok(Some(SystemView { held, versions, ended }))
            })
            .await
    }

    /// What the Core says of itself.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn status(&self) -> Result<Status, StoreError> {
        let (core, mesh) = (self.core.clone(), self.mesh.clone());
        // A step may hold the control state for a while: waited for where waiting is fine.
        let (mesh, at_risk, of_core, purges, roots_awaited) = self
            .store
            .read(move |view: &dyn Read| {
                let core = core.lock().unwrap_or_else(PoisonError::into_inner);
                let (_, tenants) = core.tenants_at_risk(MOST_TENANTS_AT_RISK);
                let at_risk = (core.versions_at_risk(), tenants);
                let (lease, probes, warm_up) = (core.lease(), core.probes(), core.warm_up());
                drop(core);
                let store::Applied { registry, cmk } = store::applied(view)?;
                let purges = store::purge::counts(view)?;
                let mesh = mesh.status(view, Applied { registry, cmk })?;
                let roots_awaited = store::owners::waiting(view)?;
                Ok::<_, StoreError>((mesh, at_risk, (lease, probes, warm_up), purges, roots_awaited))
            })
            .await?;
        let (lease, probes, warm_up) = of_core;
        let (versions_at_risk, tenants_at_risk) = at_risk;
        Ok(Status {
            region: self.region.clone(),
            mesh,
            tenants: self.keyring.count(),
            lease,
            probes,
            versions_at_risk,
            tenants_at_risk,
            warm_up,
            lines: self.turns.lines(),
            purges,
            roots_awaited,
            locked_memory: openkcm_secrets::usage(),
            now: self.clock.now(),
        })
    }

    /// The region's lease, as far as it can be told without waiting for a step.
    pub(crate) fn lease(&self) -> Option<(LeaseView, u64)> {
        let core = self.core.try_lock().ok()?;
        Some((core.lease(), core.leases_expired()))
    }

    /// What probes came to, as far as it can be told without waiting for a step.
    pub(crate) fn probes(&self) -> Option<ProbeView> {
        Some(self.core.try_lock().ok()?.probes())
    }

    pub(super) fn lease_readiness(&self) -> Readiness {
        // While a step is under way nothing is known to be wrong; whoever asks asks again.
        let Some((lease, _)) = self.lease() else { return Readiness::ready() };
        if lease.reads_first && lease.until.is_some() {
            return Readiness::not_ready(
                "hydrating: this Core had no lease when it started; it reads from the mesh what was said meanwhile \
                 before it serves",
            );
        }
        match (lease.used_percent, lease.until) {
            (Some(used), _) if used >= 100 => Readiness::not_ready(
                "lease_expired: the CMK Server's lease has run out; serving resumes with the next one",
            ),
            (Some(_), Some(until)) if lease.waiting > 0 => {
                let waiting = lease.waiting;
                Readiness::ready().with_reason(format!(
                    "{waiting} tenants wait for a lease of their own; the region's holds until {until}"
                ))
            }
            (Some(_), _) => Readiness::ready(),
            (None, _) => Readiness::not_ready(
                "lease_expired: there is no lease of the CMK Server; nobody is served before the first one",
            ),
        }
    }

    /// Purges after a key's name, in the order of names, each with how long it waits still.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn purges(
        &self,
        after: Option<String>,
        limit: usize,
        stage: Option<Stage>,
    ) -> Result<PurgesShown, StoreError> {
        let policy = self.purge;
        self.store.read(move |view| purges::list(view, &policy, after, limit, stage)).await
    }

    /// Takes an operator's word on these purges, or on all that it concerns, a bounded number at once. Gives those
    /// that it concerned.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn decide_purges(
        &self,
        decision: Decision,
        keys: Option<Vec<KeyPath>>,
        limit: usize,
    ) -> Result<Vec<KeyPath>, StoreError> {
        let decided =
            self.store.write(move |tx| store::purge::decide(tx, decision, keys.as_deref(), limit)).await?;
        for path in &decided {
            tracing::warn!(%path, ?decision, "an operator has decided about its purge");
        }
        Ok(decided)
    }

    pub(crate) fn purge_counts(&self) -> Shown {
        self.purges_shown.clone()
    }

    pub(crate) fn keyring(&self) -> Arc<Keyring> {
        self.keyring.clone()
    }
}

impl Holds<Quarantine> for Handle {
    fn held(&self) -> Quarantine {
        self.mesh.quarantine()
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("region", &self.region).finish_non_exhaustive()
    }
}
