//! The control's questions to the L1 providers, asked beside the control loop.
//!
//! Each job is a task of its own and always answers, whatever the provider does or a defect makes of it:
//! the control waits for that answer and for nothing else. How many run at once is bounded, for one
//! tenant more narrowly than for all, so that a slow provider of one tenant delays no other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openkcm_contracts::problem::Code;
use openkcm_contracts::v1::{Seal, SealedBy};
use openkcm_contracts::{RootRef, SystemPath, TenantId, VersionId};
use openkcm_roots::{Binding, RootError, Roots};
use openkcm_secrets::SecretKey;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::control_loop::Input;
use crate::control::{SealJob, Sealed, UnsealJob, Unsealed};
use crate::rules::Refusal;

/// Questions to providers that are under way at once, all tenants together.
const MAX_JOBS: usize = 64;

/// Those of one tenant: it takes eight tenants whose providers hang to delay the others.
const MAX_JOBS_OF_TENANT: usize = 8;

/// A job that took so long has failed, whatever its providers say of their own limits: a minute for each
/// of four roots is the most that they can be configured to, and then some.
const JOB_TIMEOUT: Duration = Duration::from_secs(300);

const NO_ANSWER: Refusal = Refusal::new(
    Code::L1Unreachable,
    "the tenant's L1 provider does not answer; the key is opened when it does",
);

pub(super) struct Provider {
    roots: Roots,
    inputs: mpsc::Sender<Input>,
    jobs: Arc<Semaphore>,
    /// Of tenants with jobs under way.
    tenants: Mutex<HashMap<TenantId, Weak<Semaphore>>>,
}

impl Provider {
    pub(super) fn new(roots: Roots, inputs: mpsc::Sender<Input>) -> Self {
        Self { roots, inputs, jobs: Arc::new(Semaphore::new(MAX_JOBS)), tenants: Mutex::default() }
    }

    pub(super) fn unseal(&self, job: UnsealJob) {
        let (roots, asked) = (self.roots.clone(), job.clone());
        let outcome = async move { unseal(&roots, &asked).await };
        self.ask(job.path.tenant.clone(), outcome, |outcome| Input::Unsealed(Unsealed { job, outcome }));
    }

    pub(super) fn seal(&self, job: SealJob) {
        let (roots, asked) = (self.roots.clone(), job.clone());
        let outcome = async move { seal(&roots, &asked).await };
        self.ask(job.path.tenant.clone(), outcome, |outcome| Input::Sealed(Sealed { job, outcome }));
    }

    fn ask<T: Send + 'static>(
        &self,
        tenant: TenantId,
        question: impl Future<Output = Result<T, Refusal>> + Send + 'static,
        answer: impl FnOnce(Result<T, Refusal>) -> Input + Send + 'static,
    ) {
        let (inputs, jobs, of_tenant) = (self.inputs.clone(), self.jobs.clone(), self.jobs_of(tenant));
        tokio::spawn(async move {
            // The tenant's first: who waits for it takes no place of another's.
            let _turn = of_tenant.acquire().await;
            let _permit = jobs.acquire().await;
            // The loop has ended: the key is wiped with the answer.
            let _ = inputs.send(answer(in_time(question).await)).await;
        });
    }

    fn jobs_of(&self, tenant: TenantId) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(jobs) = tenants.get(&tenant).and_then(Weak::upgrade) {
            return jobs;
        }
        // Looked through when it has grown twofold, so that each entry costs the same however many.
        if tenants.len() == tenants.capacity() {
            tenants.retain(|_, jobs| jobs.strong_count() > 0);
        }
        let jobs = Arc::new(Semaphore::new(MAX_JOBS_OF_TENANT));
        tenants.insert(tenant, Arc::downgrade(&jobs));
        jobs
    }
}

/// The answer; a panic is one, and so is silence.
async fn in_time<T: Send + 'static>(
    question: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    // A set of one: the question ends with whoever asks.
    let mut asked = JoinSet::new();
    asked.spawn(question);
    match tokio::time::timeout(JOB_TIMEOUT, asked.join_next()).await {
        Ok(Some(Ok(outcome))) => outcome,
        Ok(_) => {
            tracing::error!("a question to an L1 provider panicked, which is a defect");
            Err(NO_ANSWER)
        }
        Err(_) => {
            tracing::warn!("an L1 provider took too long; it is asked again later");
            Err(NO_ANSWER)
        }
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
        RootError::Unreachable { .. } => NO_ANSWER,
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

#[cfg(test)]
mod tests;
