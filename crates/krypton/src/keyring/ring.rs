//! A service's ring: the versions of its L3 that are open here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openkcm_contracts::{Timestamp, VersionId, VersionState};
use openkcm_secrets::SecretKey;

use crate::rules::Refusal;
use crate::sealing::Context;

/// One version that is held here; open when it has a key.
#[derive(Debug, Clone)]
pub struct OpenVersion {
    /// Its id.
    pub id: VersionId,
    /// Its counter.
    pub counter: u64,
    /// When it was made.
    pub made_at: Timestamp,
    /// Its state, as this Core derives it.
    pub state: VersionState,
    /// Whether its sealed form is not yet known to be durable on the mesh.
    pub at_risk: bool,
    /// What its ciphertexts are bound to.
    pub context: Arc<Context>,
    /// The key, or why it is not open.
    pub key: Result<Arc<SecretKey>, Refusal>,
}

/// A service as the data plane sees it. Never changed: a change is a new ring.
#[derive(Debug)]
pub struct ServiceRing {
    /// Why nothing of it is served, if so.
    refusal: Option<Refusal>,
    active: Option<usize>,
    versions: Box<[OpenVersion]>,
    /// Versions that are gone for good.
    destroyed: Box<[VersionId]>,
    /// Set by the first request that finds no version, so that the control loop is asked once.
    demanded: AtomicBool,
    /// Set by the first request that finds a version on its way.
    waited_for: AtomicBool,
}

impl ServiceRing {
    /// A service that is not served.
    pub fn refused(refusal: Refusal) -> Self {
        Self {
            refusal: Some(refusal),
            active: None,
            versions: Box::default(),
            destroyed: Box::default(),
            demanded: AtomicBool::new(false),
            waited_for: AtomicBool::new(false),
        }
    }

    /// A service with these versions, of which one encrypts.
    pub fn serving(versions: Vec<OpenVersion>) -> Self {
        let active = versions.iter().position(|version| version.state == VersionState::Active);
        let (versions, destroyed) = (versions.into(), Box::default());
        let (demanded, waited_for) = Default::default();
        Self { refusal: None, active, versions, destroyed, demanded, waited_for }
    }

    /// The same, which knows of versions that were destroyed.
    #[must_use]
    pub fn with_destroyed(self, versions: Vec<VersionId>) -> Self {
        Self { destroyed: versions.into(), ..self }
    }

    /// Whether a version was destroyed here.
    pub fn is_destroyed(&self, id: VersionId) -> bool {
        self.destroyed.contains(&id)
    }

    /// Whether the service is served.
    ///
    /// # Errors
    /// Why not.
    pub fn standing(&self) -> Result<(), Refusal> {
        self.refusal.map_or(Ok(()), Err)
    }

    /// The version that encrypts.
    ///
    /// # Errors
    /// Why none does.
    pub fn active(&self) -> Result<&OpenVersion, Refusal> {
        self.standing()?;
        self.active.map(|index| &self.versions[index]).ok_or_else(|| {
            // What keeps the newest version from being open keeps the service from encrypting.
            let newest =
                self.versions.iter().rev().find(|version| version.state != VersionState::Compromised);
            newest.and_then(|version| version.key.as_ref().err()).copied().unwrap_or(Refusal::HYDRATING)
        })
    }

    /// A version by its id.
    pub fn version(&self, id: VersionId) -> Option<&OpenVersion> {
        self.versions.iter().find(|version| version.id == id)
    }

    /// All versions, the oldest counter first.
    pub fn versions(&self) -> &[OpenVersion] {
        &self.versions
    }

    /// Whether this is the first request that found no version to encrypt with.
    pub fn demand(&self) -> bool {
        !self.demanded.swap(true, Ordering::Relaxed)
    }

    /// Whether this is the first request that found a version on its way.
    pub fn wait_for(&self) -> bool {
        !self.waited_for.swap(true, Ordering::Relaxed)
    }

    /// That could not be handed on: the next request's is the first again.
    pub fn wait_was_lost(&self) {
        self.waited_for.store(false, Ordering::Relaxed);
    }

    /// The demand could not be handed on: the next request's is the first again.
    pub fn demand_was_lost(&self) {
        self.demanded.store(false, Ordering::Relaxed);
    }
}
