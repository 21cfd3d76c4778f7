//! Asking a tenant's roots whether they can be used, before a link to them is made, and from time to time afterwards.
//!
//! No transaction is open meanwhile, and nothing is changed when one of them can't. What a provider
//! said reaches the caller in the words of `openkcm-roots`, which hold no secret.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openkcm_contracts::{RootRef, SystemId, TenantId, Timestamp, VersionId};
use openkcm_roots::{Binding, RootError, Roots};
use tokio::task::JoinSet;

use crate::rules::probe::Seen;
use crate::store::{ProbeOutcome, Proof, Proofs};

/// The system that throwaway keys are bound to. A tenant may have one of this name: its versions are
/// random, and never [`PROBE_VERSION`].
const PROBE_SYSTEM: &str = "probe";

/// The version that throwaway keys are bound to: the nil UUID (RFC 9562, section 5.9), which no key is.
const PROBE_VERSION: [u8; 16] = [0; 16];

/// A root that takes so long has not answered: the next probe asks it again.
const TIMEOUT: Duration = Duration::from_secs(15);

/// After so long a root seals another throwaway: keys have versions, and owners retire old ones.
const PROOF_AGE: Duration = Duration::from_secs(86_400);

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
    let mut probes = JoinSet::new();
    for (index, root) in wanted.iter().cloned().enumerate() {
        let binding = throwaway_of(tenant);
        let roots = roots.clone();
        probes.spawn(
            async move { roots.probe(&root, &binding).await.map_err(|error| Unusable { index, error }) },
        );
    }
    // `join_all` goes on with a panic of a probe: that is a defect, and answered as one.
    let failed = probes.join_all().await.into_iter().filter_map(Result::err);
    failed.min_by_key(|unusable| unusable.index).map_or(Ok(()), Err)
}

/// Asks all roots of a pointer at once, by what they sealed before where there is such, which is what tells a key
/// that is gone from one that never was. Gives what they said, none when that tells nothing; and their proofs where
/// these are other ones now.
pub(crate) async fn look(
    roots: &Roots,
    tenant: &TenantId,
    wanted: &[RootRef],
    proofs: &Proofs,
    now: Timestamp,
) -> (Option<Seen>, Option<Proofs>) {
    let mut probes = JoinSet::new();
    for (index, root) in wanted.iter().cloned().enumerate() {
        let (roots, binding) = (roots.clone(), throwaway_of(tenant));
        let proof = proofs.of.iter().find(|proof| proof.root == root).cloned();
        probes.spawn(async move {
            let asked = tokio::time::timeout(TIMEOUT, ask(&roots, &root, &binding, proof, now)).await;
            (index, asked.unwrap_or_else(|_| Err(no_answer())))
        });
    }
    let mut answers = probes.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    let kept: Vec<Proof> = wanted
        .iter()
        .zip(&answers)
        .filter_map(|(root, (_, answer))| match answer {
            Ok(proof) => Some(proof.clone()),
            Err(_) => proofs.of.iter().find(|proof| proof.root == *root).cloned(),
        })
        .collect();
    let changed = (kept != proofs.of).then_some(Proofs { of: kept });
    (seen(wanted, &answers), changed)
}

type Answer = (usize, Result<Proof, RootError>);

/// What the answers of all roots come to: any no is one; otherwise, one that does what was asked is enough.
fn seen(wanted: &[RootRef], answers: &[Answer]) -> Option<Seen> {
    let failed: Vec<(ProbeOutcome, String)> = answers
        .iter()
        .filter_map(|(index, answer)| {
            let error = answer.as_ref().err()?;
            Some((outcome_of(error)?, format!("{}: {error}", wanted[*index])))
        })
        .collect();
    let first = |wanted: &[ProbeOutcome]| failed.iter().find(|(outcome, _)| wanted.contains(outcome));
    let does = answers.iter().any(|(_, answer)| answer.is_ok());
    let of =
        |(outcome, reason): &(ProbeOutcome, String)| Seen { outcome: *outcome, reason: Some(reason.clone()) };
    if let Some(denied) = first(&[ProbeOutcome::Denied]) {
        return Some(of(denied));
    }
    match (does, failed.first()) {
        (true, failed) => {
            Some(Seen { outcome: ProbeOutcome::Ok, reason: failed.map(|(_, reason)| reason.clone()) })
        }
        (false, failed) => failed.map(of),
    }
}

/// Asks one root. Gives the proof that it is to be asked by next time.
async fn ask(
    roots: &Roots,
    root: &RootRef,
    binding: &Binding,
    proof: Option<Proof>,
    now: Timestamp,
) -> Result<Proof, RootError> {
    if let Some(proof) = proof
        && let Ok(sealed) = BASE64.decode(&proof.sealed)
    {
        match roots.prove_again(root, binding, &sealed).await {
            Ok(()) if now.since(proof.at) < PROOF_AGE => return Ok(proof),
            // One that the root does not know any more, as of a key that was made anew, proves nothing either way.
            Ok(()) | Err(RootError::Unopenable { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let sealed = roots.prove(root, binding).await?;
    Ok(Proof { root: root.clone(), sealed: BASE64.encode(sealed), at: now })
}

fn no_answer() -> RootError {
    RootError::Unreachable { reason: "it did not answer in time".into(), retry_after: TIMEOUT }
}

fn throwaway_of(tenant: &TenantId) -> Binding {
    let system = SystemId::new(PROBE_SYSTEM).expect("the constant is a label");
    Binding { tenant: tenant.clone(), system, version: VersionId::from_bytes(PROBE_VERSION) }
}

/// What an answer means for the pointer's health; none when it tells nothing about the root.
pub(crate) fn outcome_of(error: &RootError) -> Option<ProbeOutcome> {
    match error {
        RootError::Denied { .. } => Some(ProbeOutcome::Denied),
        RootError::Unreachable { .. } | RootError::Throttled { .. } => Some(ProbeOutcome::Unreachable),
        // A root that gives back something else than it sealed is none that anything may rely on.
        RootError::Misconfigured { .. } | RootError::Unopenable { .. } => Some(ProbeOutcome::Misconfigured),
        RootError::LockedMemory(_) => None,
    }
}
