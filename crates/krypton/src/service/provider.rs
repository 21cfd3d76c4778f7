//! The control's questions to the L1 providers, asked beside the control loop.
//!
//! Each job is a task of its own, and asks one root at each turn that it is given: how fast a provider is asked, and
//! in which order, is decided in [`line`]. What a provider refuses for its rate is asked again when it is its turn
//! again: that is no answer, and no failure of the key. A task answers whatever the provider does or a defect makes
//! of it: the control waits for that answer and for nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openkcm_contracts::problem::Code;
use openkcm_contracts::v1::{Seal, SealedBy};
use openkcm_contracts::{RootRef, SystemPath, VersionId};
use openkcm_host::Clock;
use openkcm_roots::{Binding, RootError, Roots};
use openkcm_secrets::SecretKey;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::control_loop::Input;
use crate::control::{ProbeJob, Probed, ResealJob, Resealed, SealJob, Sealed, UnsealJob, Unsealed, Wanted};
use crate::keyring::Keyring;
use crate::rules::{Moment, PacePolicy, Refusal};
use crate::sealing::open_seal;
use flights::Flights;
pub use line::LineView;
pub(crate) use turns::Turns;
use turns::{About, Asking, Heard};

/// A question that took so long is not answered, whatever its provider says of its own limit: a minute is the most
/// that it can be configured to, and then some.
const ANSWERED_WITHIN: Duration = Duration::from_secs(90);

/// How often a new L2 is put off for a root that limits the rate, when another one has sealed it already.
const PUT_OFF: u32 = 8;

const NO_ANSWER: Refusal = Refusal::new(
    Code::L1Unreachable,
    "the tenant's L1 provider does not answer; the key is opened when it does",
);

pub(super) struct Provider {
    asker: Asker,
    inputs: mpsc::Sender<Input>,
    /// Gives the turns. It ends with this.
    _giving: JoinSet<()>,
}

/// Asks, one question at each turn.
#[derive(Clone)]
struct Asker {
    roots: Roots,
    clock: Arc<dyn Clock>,
    turns: Turns,
    flights: Flights,
}

/// What became of one question to one root.
enum Asked<T> {
    /// The provider answered, or did not: then it was unreachable. And when it was asked.
    Told(Result<T, RootError>, Moment),
    /// It limits the rate: the question is as good as not asked.
    Throttled,
    /// Nobody waits for the answer any more, and it was not asked.
    Unwanted,
}

impl Provider {
    /// Asks these roots at this pace. Needs a tokio runtime.
    pub(super) fn new(
        roots: Roots,
        pace: PacePolicy,
        clock: Arc<dyn Clock>,
        keyring: Arc<Keyring>,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        let turns = Turns::new(roots.names(), pace, clock.clone(), keyring);
        let mut giving = JoinSet::new();
        giving.spawn(turns.clone().give());
        let asker = Asker { roots, clock, turns, flights: Flights::default() };
        Self { asker, inputs, _giving: giving }
    }

    /// Where questions wait.
    pub(super) fn turns(&self) -> Turns {
        self.asker.turns.clone()
    }

    /// Has an L2 opened. Nobody is answered who has ceased to want it.
    pub(super) fn unseal(&self, job: UnsealJob) {
        let (asker, inputs) = (self.asker.clone(), self.inputs.clone());
        tokio::spawn(async move {
            if let Some(answer) = asker.unseal(job).await {
                // The loop has ended: the key is wiped with the answer.
                let _ = inputs.send(Input::Unsealed(answer)).await;
            }
        });
    }

    /// Has a new L2 sealed. This is always answered: somebody may wait who asked for it.
    pub(super) fn seal(&self, job: SealJob) {
        let (asker, inputs) = (self.asker.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let answer = asker.seal(job).await;
            // As above.
            let _ = inputs.send(Input::Sealed(answer)).await;
        });
    }

    /// Has an L2 sealed to further roots. This is always answered.
    pub(super) fn reseal(&self, job: ResealJob) {
        let (asker, inputs) = (self.asker.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let answer = asker.reseal(job).await;
            // As above.
            let _ = inputs.send(Input::Resealed(answer)).await;
        });
    }

    /// Asks the roots of a tenant. This is always answered: the control bounds how many are under way.
    pub(super) fn probe(&self, job: ProbeJob) {
        let (asker, inputs) = (self.asker.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let (answers, asked) = probe::ask(&asker, &job).await;
            // The loop has ended: nobody is served.
            let _ = inputs.send(Input::Probed(Probed { job, answers, asked })).await;
        });
    }

    /// A caller waits for a system.
    pub(super) fn raise(&self, path: &SystemPath) {
        self.asker.turns.raise(path);
    }
}

impl Asker {
    async fn unseal(&self, job: UnsealJob) -> Option<Unsealed> {
        let mut refusal = Refusal::HYDRATING;
        let mut left: Vec<usize> = (0..job.seals.len()).collect();
        let (mut again, mut asked) = (false, Moment::of(&*self.clock));
        // Round by round, until a root has opened it or none of them asks for patience.
        while !left.is_empty() {
            let mut throttled = Vec::new();
            for place in left {
                let (root, _) = &job.seals[place];
                let about = About::System { path: &job.path, again };
                let question = Question { root, about, wanted: &job.wanted };
                match self.ask(question, Some(job.version), || self.opening(&job, place)).await {
                    Asked::Unwanted => return None,
                    Asked::Throttled => throttled.push(place),
                    Asked::Told(Ok(key), asked) => {
                        self.turns.is_open(&job.path);
                        let outcome = Ok(Arc::new(key));
                        return Some(Unsealed { job, outcome, asked, denied_by: None });
                    }
                    Asked::Told(Err(error), at) => {
                        log(&job.path, root, &error);
                        (refusal, asked) = (refuse(&error), at);
                        if matches!(error, RootError::Denied { .. }) {
                            // The owner's no, at any of the roots, holds for all of them.
                            let denied_by = Some(root.clone());
                            return Some(Unsealed { outcome: Err(refusal), asked, denied_by, job });
                        }
                    }
                }
            }
            (left, again) = (throttled, true);
        }
        Some(Unsealed { job, outcome: Err(refusal), asked, denied_by: None })
    }

    fn opening(
        &self,
        job: &UnsealJob,
        place: usize,
    ) -> impl Future<Output = Result<SecretKey, RootError>> + Send + 'static {
        let ((root, ciphertext), roots) = (job.seals[place].clone(), self.roots.clone());
        let binding = binding(&job.path, job.version);
        async move { open_seal(&roots, &root, &binding, &ciphertext).await }
    }

    async fn seal(&self, job: SealJob) -> Sealed {
        let (mut seals, mut refusal) = (BTreeMap::new(), Refusal::HYDRATING);
        let mut left: Vec<usize> = (0..job.roots.len()).collect();
        let (mut rounds, mut asked) = (0, Moment::of(&*self.clock));
        while !left.is_empty() && (seals.is_empty() || rounds < PUT_OFF) {
            let mut throttled = Vec::new();
            for place in left {
                let root = &job.roots[place];
                let about = About::System { path: &job.path, again: rounds > 0 };
                let question = Question { root, about, wanted: &job.wanted };
                match self.ask(question, None, || self.sealing(&job, place)).await {
                    Asked::Unwanted => {
                        return Sealed { outcome: Err(Refusal::HYDRATING), asked, denied_by: None, job };
                    }
                    Asked::Throttled => throttled.push(place),
                    Asked::Told(Ok(sealed), at) => {
                        asked = at;
                        let by = SealedBy::Root(root.clone());
                        seals.insert(place, Seal { by, ciphertext: BASE64.encode(sealed) });
                    }
                    Asked::Told(Err(error), at) => {
                        log(&job.path, root, &error);
                        (refusal, asked) = (refuse(&error), at);
                        if matches!(error, RootError::Denied { .. }) {
                            let denied_by = Some(root.clone());
                            return Sealed { outcome: Err(refusal), asked, denied_by, job };
                        }
                    }
                }
            }
            (left, rounds) = (throttled, rounds + 1);
        }
        let seals: Vec<Seal> = seals.into_values().collect();
        let outcome = if seals.is_empty() { Err(refusal) } else { Ok(seals) };
        Sealed { job, outcome, asked, denied_by: None }
    }

    fn sealing(
        &self,
        job: &SealJob,
        place: usize,
    ) -> impl Future<Output = Result<Vec<u8>, RootError>> + Send + 'static {
        let (root, roots, key) = (job.roots[place].clone(), self.roots.clone(), job.key.clone());
        let binding = binding(&job.path, job.version);
        async move { roots.seal(&root, &binding, &key).await }
    }

    /// Seals to each root, and has it open that again: only then is there a seal that can be relied on. A root that
    /// limits the rate is left for the next time.
    async fn reseal(&self, job: ResealJob) -> Resealed {
        let (mut seals, mut refusal) = (Vec::new(), Refusal::HYDRATING);
        for root in &job.roots {
            match self.proven_seal(&job, root).await {
                Some(Ok(ciphertext)) => seals.push(Seal { by: SealedBy::Root(root.clone()), ciphertext }),
                Some(Err(error)) => {
                    log(&job.path, root, &error);
                    refusal = refuse(&error);
                    if matches!(error, RootError::Denied { .. }) {
                        let denied_by = Some(root.clone());
                        return Resealed { outcome: Err(refusal), denied_by, job };
                    }
                }
                None => {}
            }
        }
        let outcome = if seals.is_empty() { Err(refusal) } else { Ok(seals) };
        Resealed { job, outcome, denied_by: None }
    }

    async fn proven_seal(&self, job: &ResealJob, root: &RootRef) -> Option<Result<String, RootError>> {
        let about = About::System { path: &job.path, again: false };
        let question = || Question { root, about, wanted: &job.wanted };
        let (roots, of, key) = (self.roots.clone(), root.clone(), job.key.clone());
        let bound = binding(&job.path, job.sealed.version);
        let sealing = move || async move { roots.seal(&of, &bound, &key).await };
        let ciphertext = match self.ask(question(), None, sealing).await {
            Asked::Told(Ok(sealed), _) => BASE64.encode(sealed),
            Asked::Told(Err(error), _) => return Some(Err(error)),
            Asked::Throttled | Asked::Unwanted => return None,
        };
        let (roots, of, again) = (self.roots.clone(), root.clone(), ciphertext.clone());
        let bound = binding(&job.path, job.sealed.version);
        let opening = move || async move { open_seal(&roots, &of, &bound, &again).await };
        match self.ask(question(), None, opening).await {
            Asked::Told(Ok(opened), _) => {
                let is_same = verify_slices_are_equal(opened.expose(), job.key.expose()).is_ok();
                let reason = "it opens what it has just sealed as another key";
                Some(if is_same {
                    Ok(ciphertext)
                } else {
                    Err(RootError::Unopenable { reason: reason.into() })
                })
            }
            Asked::Told(Err(error), _) => Some(Err(error)),
            Asked::Throttled | Asked::Unwanted => None,
        }
    }

    /// Waits for a turn, and asks. `version`: one that is not to be asked about twice at once.
    async fn ask<T: Send + 'static, F: Future<Output = Result<T, RootError>> + Send + 'static>(
        &self,
        Question { root, about, wanted }: Question<'_>,
        version: Option<VersionId>,
        question: impl FnOnce() -> F,
    ) -> Asked<T> {
        if !self.turns.has(&root.provider) {
            // No provider is asked: the answer is that there is none.
            return Asked::Told(in_time(question()).await, Moment::of(&*self.clock));
        }
        let asking = Asking { provider: &root.provider, wanted: wanted.clone(), about };
        let Some(turn) = self.turns.turn(asking).await else { return Asked::Unwanted };
        let flight = match (about, version) {
            (About::System { path, .. }, Some(version)) => Some(self.flights.board(path, version).await),
            _ => None,
        };
        if !wanted.is_so() {
            return Asked::Unwanted;
        }
        let asked = Moment::of(&*self.clock);
        let outcome = in_time(question()).await;
        drop(flight);
        match outcome {
            Err(RootError::Throttled { reason, retry_after }) => {
                tracing::debug!(%root, reason, "the L1 provider limits the rate; it is asked more slowly");
                turn.end(Heard::Throttle(retry_after));
                Asked::Throttled
            }
            Err(error @ RootError::Unreachable { .. }) => {
                turn.end(Heard::Silence);
                Asked::Told(Err(error), asked)
            }
            outcome => {
                turn.end(Heard::Answer);
                Asked::Told(outcome, asked)
            }
        }
    }
}

/// A question to one root.
struct Question<'a> {
    root: &'a RootRef,
    about: About<'a>,
    wanted: &'a Wanted,
}

/// The answer; a panic is one, and so is silence.
async fn in_time<T: Send + 'static>(
    question: impl Future<Output = Result<T, RootError>> + Send + 'static,
) -> Result<T, RootError> {
    let silent = |reason: &str| RootError::Unreachable {
        reason: reason.to_owned(),
        retry_after: RootError::RETRY_AFTER,
    };
    // A set of one: the question ends with whoever asks.
    let mut asked = JoinSet::new();
    asked.spawn(question);
    match tokio::time::timeout(ANSWERED_WITHIN, asked.join_next()).await {
        Ok(Some(Ok(outcome))) => outcome,
        Ok(_) => {
            tracing::error!("a question to an L1 provider panicked, which is a defect");
            Err(silent("its driver has a defect"))
        }
        Err(_) => Err(silent("it took too long; it is asked again later")),
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
        RootError::Unreachable { .. } | RootError::Throttled { .. } => NO_ANSWER,
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

mod fair;
mod flights;
mod line;
mod probe;
#[cfg(test)]
mod tests;
mod turns;
