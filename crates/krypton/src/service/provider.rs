//! The control's questions to the L1 providers, asked beside the control loop.
//!
//! Each job is a task of its own and always answers, so that a slow provider of one tenant delays no
//! other; how many run at once is bounded.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openkcm_contracts::problem::Code;
use openkcm_contracts::v1::{Seal, SealedBy};
use openkcm_contracts::{RootRef, SystemPath, VersionId};
use openkcm_roots::{Binding, RootError, Roots};
use openkcm_secrets::SecretKey;
use tokio::sync::{Semaphore, mpsc};

use super::control_loop::Input;
use crate::control::{SealJob, Sealed, UnsealJob, Unsealed};
use crate::rules::Refusal;

/// Questions to providers that are under way at once, all tenants together.
const MAX_JOBS: usize = 64;

pub(super) struct Provider {
    roots: Roots,
    inputs: mpsc::Sender<Input>,
    jobs: Arc<Semaphore>,
}

impl Provider {
    pub(super) fn new(roots: Roots, inputs: mpsc::Sender<Input>) -> Self {
        Self { roots, inputs, jobs: Arc::new(Semaphore::new(MAX_JOBS)) }
    }

    pub(super) fn unseal(&self, job: UnsealJob) {
        let (roots, inputs, jobs) = (self.roots.clone(), self.inputs.clone(), self.jobs.clone());
        tokio::spawn(async move {
            let _permit = jobs.acquire().await;
            let outcome = unseal(&roots, &job).await;
            // The loop has ended: the key is wiped with the answer.
            let _ = inputs.send(Input::Unsealed(Unsealed { job, outcome })).await;
        });
    }

    pub(super) fn seal(&self, job: SealJob) {
        let (roots, inputs, jobs) = (self.roots.clone(), self.inputs.clone(), self.jobs.clone());
        tokio::spawn(async move {
            let _permit = jobs.acquire().await;
            let outcome = seal(&roots, &job).await;
            let _ = inputs.send(Input::Sealed(Sealed { job, outcome })).await;
        });
    }
}

async fn unseal(roots: &Roots, job: &UnsealJob) -> Result<Arc<SecretKey>, Refusal> {
    let mut refusal = Refusal::HYDRATING;
    for (root, ciphertext) in &job.seals {
        let Ok(sealed) = BASE64.decode(ciphertext) else {
            refusal = refuse(&RootError::Unopenable { reason: "it is no base64".into() });
            continue;
        };
        match roots.unseal(root, &binding(&job.path, job.version), &sealed).await {
            Ok(key) => return Ok(Arc::new(key)),
            Err(error) => {
                log(&job.path, root, &error);
                refusal = refuse(&error);
                if matches!(error, RootError::Denied { .. }) {
                    // The owner's no, at any of the roots, holds for all of them.
                    return Err(refusal);
                }
            }
        }
    }
    Err(refusal)
}

async fn seal(roots: &Roots, job: &SealJob) -> Result<Vec<Seal>, Refusal> {
    let mut seals = Vec::new();
    let mut refusal = Refusal::HYDRATING;
    for root in &job.roots {
        match roots.seal(root, &binding(&job.path, job.version), &job.key).await {
            Ok(sealed) => {
                seals.push(Seal { by: SealedBy::Root(root.clone()), ciphertext: BASE64.encode(sealed) })
            }
            Err(error) => {
                log(&job.path, root, &error);
                refusal = refuse(&error);
                if matches!(error, RootError::Denied { .. }) {
                    return Err(refusal);
                }
            }
        }
    }
    if seals.is_empty() { Err(refusal) } else { Ok(seals) }
}

fn binding(path: &SystemPath, version: VersionId) -> Binding {
    Binding { tenant: path.tenant.clone(), system: path.system.clone(), version }
}

fn log(path: &SystemPath, root: &RootRef, error: &RootError) {
    tracing::warn!(%path, %root, %error, "the L1 provider did not do what was asked");
}

/// What a caller of the data plane is told. The provider's reason is the operator's, in the log.
fn refuse(error: &RootError) -> Refusal {
    match error {
        RootError::Denied { .. } => {
            Refusal::new(Code::L1Denied, "the tenant's L1 provider denies the use of its key")
        }
        RootError::Unreachable { .. } => Refusal::new(
            Code::L1Unreachable,
            "the tenant's L1 provider does not answer; the key is opened when it does",
        ),
        RootError::Misconfigured { .. } => Refusal::new(
            Code::L1Unreachable,
            "this Core can't use the tenant's L1 provider as it is configured; its log says what to mend",
        ),
        RootError::Unopenable { .. } => Refusal::new(
            Code::MaterialNotHere,
            "the tenant's L1 does not open the sealed L2 that is held here; its log says why",
        ),
        RootError::LockedMemory(_) => Refusal::new(
            Code::LockedMemoryExhausted,
            "the operating system grants this Core no more locked memory",
        ),
    }
}
