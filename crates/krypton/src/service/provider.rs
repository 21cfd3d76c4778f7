//! The control's questions to the L1 providers, asked beside the control loop.
//!
//! Each job is a task of its own and always answers, whatever the provider does or a defect makes of it:
//! the control waits for that answer and for nothing else. How many run at once is bounded, for one
//! tenant more narrowly than for all, so that a slow provider of one tenant delays no other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openkcm_contracts::problem::Code;
use openkcm_contracts::v1::{Seal, SealedBy};
use openkcm_contracts::{RootRef, SystemPath, TenantId, VersionId};
use openkcm_host::Clock;
use openkcm_roots::{Binding, RootError, Roots};
use openkcm_secrets::SecretKey;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::control_loop::Input;
use crate::control::{ProbeJob, Probed, ResealJob, Resealed, SealJob, Sealed, UnsealJob, Unsealed};
use crate::rules::{Moment, Refusal};
use crate::sealing::open_seal;

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
    clock: Arc<dyn Clock>,
    inputs: mpsc::Sender<Input>,
    jobs: Arc<Semaphore>,
    /// Of tenants with jobs under way.
    tenants: Mutex<HashMap<TenantId, Weak<Semaphore>>>,
}

impl Provider {
    pub(super) fn new(roots: Roots, clock: Arc<dyn Clock>, inputs: mpsc::Sender<Input>) -> Self {
        Self { roots, clock, inputs, jobs: Arc::new(Semaphore::new(MAX_JOBS)), tenants: Mutex::default() }
    }

    pub(super) fn unseal(&self, job: UnsealJob) {
        let (roots, asked) = (self.roots.clone(), job.clone());
        let outcome = async move { unseal(&roots, &asked).await };
        self.ask(job.path.tenant.clone(), outcome, |outcome, asked| {
            let (outcome, denied_by) = told(outcome);
            Input::Unsealed(Unsealed { job, outcome, asked, denied_by })
        });
    }

    pub(super) fn seal(&self, job: SealJob) {
        let (roots, asked) = (self.roots.clone(), job.clone());
        let outcome = async move { seal(&roots, &asked).await };
        self.ask(job.path.tenant.clone(), outcome, |outcome, asked| {
            let (outcome, denied_by) = told(outcome);
            Input::Sealed(Sealed { job, outcome, asked, denied_by })
        });
    }

    pub(super) fn reseal(&self, job: ResealJob) {
        let (roots, asked) = (self.roots.clone(), job.clone());
        let outcome = async move { reseal(&roots, &asked).await };
        self.ask(job.path.tenant.clone(), outcome, |outcome, _| {
            let (outcome, denied_by) = told(outcome);
            Input::Resealed(Resealed { job, outcome, denied_by })
        });
    }

    /// Asks the roots of a tenant. Apart from the other jobs: the control bounds how many are under way, and a probe
    /// waits for no place of its tenant's.
    pub(super) fn probe(&self, job: ProbeJob) {
        let (roots, inputs, asked) = (self.roots.clone(), self.inputs.clone(), Moment::of(&*self.clock));
        tokio::spawn(async move {
            let answers = probe::ask(&roots, &job).await;
            // The loop has ended: nobody is served.
            let _ = inputs.send(Input::Probed(Probed { job, answers, asked })).await;
        });
    }

    fn ask<T: Send + 'static>(
        &self,
        tenant: TenantId,
        question: impl Future<Output = Result<T, Refused>> + Send + 'static,
        answer: impl FnOnce(Result<T, Refused>, Moment) -> Input + Send + 'static,
    ) {
        let (inputs, jobs, of_tenant) = (self.inputs.clone(), self.jobs.clone(), self.jobs_of(tenant));
        let clock = self.clock.clone();
        tokio::spawn(async move {
            // The tenant's first: who waits for it takes no place of another's.
            let _turn = of_tenant.acquire().await;
            let _permit = jobs.acquire().await;
            let asked = Moment::of(&*clock);
            let outcome = in_time(question).await;
            // The loop has ended: the key is wiped with the answer.
            let _ = inputs.send(answer(outcome, asked)).await;
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
    question: impl Future<Output = Result<T, Refused>> + Send + 'static,
) -> Result<T, Refused> {
    // A set of one: the question ends with whoever asks.
    let mut asked = JoinSet::new();
    asked.spawn(question);
    match tokio::time::timeout(JOB_TIMEOUT, asked.join_next()).await {
        Ok(Some(Ok(outcome))) => outcome,
        Ok(_) => {
            tracing::error!("a question to an L1 provider panicked, which is a defect");
            Err(NO_ANSWER.into())
        }
        Err(_) => {
            tracing::warn!("an L1 provider took too long; it is asked again later");
            Err(NO_ANSWER.into())
        }
    }
}

/// Why a job was not done, and which root's owner said no, if one did.
struct Refused {
    refusal: Refusal,
    denied_by: Option<RootRef>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, denied_by: None }
    }
}

fn told<T>(outcome: Result<T, Refused>) -> (Result<T, Refusal>, Option<RootRef>) {
    match outcome {
        Ok(done) => (Ok(done), None),
        Err(Refused { refusal, denied_by }) => (Err(refusal), denied_by),
    }
}

async fn unseal(roots: &Roots, job: &UnsealJob) -> Result<Arc<SecretKey>, Refused> {
    let mut refusal = Refusal::HYDRATING;
    for (root, ciphertext) in &job.seals {
        match open_seal(roots, root, &binding(&job.path, job.version), ciphertext).await {
            Ok(key) => return Ok(Arc::new(key)),
            Err(error) => {
                log(&job.path, root, &error);
                refusal = refuse(&error);
                if matches!(error, RootError::Denied { .. }) {
                    // The owner's no, at any of the roots, holds for all of them.
                    return Err(Refused { refusal, denied_by: Some(root.clone()) });
                }
            }
        }
    }
    Err(refusal.into())
}

async fn seal(roots: &Roots, job: &SealJob) -> Result<Vec<Seal>, Refused> {
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
                    return Err(Refused { refusal, denied_by: Some(root.clone()) });
                }
            }
        }
    }
    if seals.is_empty() { Err(refusal.into()) } else { Ok(seals) }
}

/// Seals to each root, and has it open that again: only then is there a seal that can be relied on.
async fn reseal(roots: &Roots, job: &ResealJob) -> Result<Vec<Seal>, Refused> {
    let mut seals = Vec::new();
    let mut refusal = Refusal::HYDRATING;
    let binding = binding(&job.path, job.sealed.version);
    for root in &job.roots {
        match prove_seal(roots, root, &binding, &job.key).await {
            Ok(ciphertext) => seals.push(Seal { by: SealedBy::Root(root.clone()), ciphertext }),
            Err(error) => {
                log(&job.path, root, &error);
                refusal = refuse(&error);
                if matches!(error, RootError::Denied { .. }) {
                    return Err(Refused { refusal, denied_by: Some(root.clone()) });
                }
            }
        }
    }
    if seals.is_empty() { Err(refusal.into()) } else { Ok(seals) }
}

async fn prove_seal(
    roots: &Roots,
    root: &RootRef,
    binding: &Binding,
    key: &SecretKey,
) -> Result<String, RootError> {
    let ciphertext = BASE64.encode(roots.seal(root, binding, key).await?);
    let opened = open_seal(roots, root, binding, &ciphertext).await?;
    match verify_slices_are_equal(opened.expose(), key.expose()) {
        Ok(()) => Ok(ciphertext),
        Err(_) => {
            Err(RootError::Unopenable { reason: "it opens what it has just sealed as another key".into() })
        }
    }
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
        RootError::Denied { .. } => Refusal::L1_DENIED,
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

mod probe;
#[cfg(test)]
mod tests;
