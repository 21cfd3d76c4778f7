//! Asking a tenant's roots whether they can be used, before a link to them is made.
//!
//! No transaction is open meanwhile, and nothing is changed when one of them can't. What a provider
//! said reaches the caller in the words of `openkcm-roots`, which hold no secret.

use openkcm_contracts::{RootRef, SystemId, TenantId, VersionId};
use openkcm_roots::{Binding, RootError, Roots};
use tokio::task::JoinSet;

use crate::store::ProbeOutcome;

/// The system that throwaway keys are bound to. A tenant may have one of this name: its versions are
/// random, and never [`PROBE_VERSION`].
const PROBE_SYSTEM: &str = "probe";

/// The version that throwaway keys are bound to: the nil UUID (RFC 9562, section 5.9), which no key is.
const PROBE_VERSION: [u8; 16] = [0; 16];

/// A root that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("root {index} can't be used")]
pub(crate) struct Unusable {
    /// Its place in the request.
    pub(crate) index: usize,
    /// What it answered.
    #[source]
    pub(crate) error: RootError,
}

/// Asks all roots at once to seal and unseal a throwaway key for this tenant.
///
/// # Errors
/// The first one of the list that can't.
pub(crate) async fn prove_usable(
    roots: &Roots,
    tenant: &TenantId,
    wanted: &[RootRef],
) -> Result<(), Unusable> {
    let system = SystemId::new(PROBE_SYSTEM).expect("the constant is a label");
    let version = VersionId::from_bytes(PROBE_VERSION);
    let mut probes = JoinSet::new();
    for (index, root) in wanted.iter().cloned().enumerate() {
        let binding = Binding { tenant: tenant.clone(), system: system.clone(), version };
        let roots = roots.clone();
        probes.spawn(
            async move { roots.probe(&root, &binding).await.map_err(|error| Unusable { index, error }) },
        );
    }
    // `join_all` goes on with a panic of a probe: that is a defect, and answered as one.
    let failed = probes.join_all().await.into_iter().filter_map(Result::err);
    failed.min_by_key(|unusable| unusable.index).map_or(Ok(()), Err)
}

/// What an answer means for the pointer's health; none when it tells nothing about the root.
pub(crate) fn outcome_of(error: &RootError) -> Option<ProbeOutcome> {
    match error {
        RootError::Denied { .. } => Some(ProbeOutcome::Denied),
        RootError::Unreachable { .. } => Some(ProbeOutcome::Unreachable),
        // A root that gives back something else than it sealed is none that anything may rely on.
        RootError::Misconfigured { .. } | RootError::Unopenable { .. } => Some(ProbeOutcome::Misconfigured),
        RootError::LockedMemory(_) => None,
    }
}
