//! The control loop: one task that takes inputs in order, commits, settles, and carries out effects.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openkcm_contracts::{KeyPath, ServicePath, Timestamp, VersionId};
use openkcm_host::Clock;
use openkcm_orbital::Intake;
use openkcm_orbital::outbox::Waiting;
use openkcm_store::{Read, Store, StoreError};
use tokio::sync::{mpsc, oneshot, watch};

use super::RotateFailure;
use super::provider::Provider;
use crate::control::{Core, Effects, RotateError, Sealed, Unsealed};
use crate::store;

/// The longest sleep between two looks at the agenda: a wall clock that was set forward is noticed
/// within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// How long after a store's failure the next step is tried.
const STORE_RETRY: Duration = Duration::from_millis(200);

type Rotated = oneshot::Sender<Result<VersionId, RotateFailure>>;

/// What the loop is told.
pub(crate) enum Input {
    Intake(Intake, oneshot::Sender<Result<(), StoreError>>),
    Told(Vec<Waiting>),
    Unsealed(Unsealed),
    Sealed(Sealed),
    Hydrated,
    Demand(ServicePath),
    Rotate(KeyPath, Rotated),
}

pub(super) struct ControlLoop {
    pub(super) core: Arc<Mutex<Core>>,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) provider: Provider,
    pub(super) queue: mpsc::Receiver<Input>,
    pub(super) settled: watch::Sender<u64>,
    /// Callers who wait for a new L2 version that is with the provider.
    pub(super) rotations: HashMap<VersionId, Rotated>,
}

impl ControlLoop {
    /// Settles what is held, before anything is served.
    pub(super) async fn start(&mut self) -> Result<(), StoreError> {
        let effects = self.step(|core, view, now| core.start(view, now)).await?;
        self.carry_out(effects).await;
        Ok(())
    }

    pub(super) async fn run(mut self) {
        loop {
            let until_due = self.until_due();
            let input = tokio::select! {
                input = self.queue.recv() => input,
                () = tokio::time::sleep(until_due) => {
                    self.settle(|core, view, now| core.due(view, now)).await;
                    continue;
                }
            };
            match input {
                Some(input) => self.take(input).await,
                None => return,
            }
        }
    }

    fn until_due(&self) -> Duration {
        let due = self.core.lock().unwrap_or_else(PoisonError::into_inner).next_due();
        due.map_or(LONGEST_SLEEP, |at| at.since(self.clock.now()).min(LONGEST_SLEEP))
    }

    async fn take(&mut self, input: Input) {
        match input {
            Input::Intake(intake, reply) => {
                let outcome = self.absorb(intake).await;
                // The courier has stopped: it reads on from the recorded position when it starts again.
                let _ = reply.send(outcome);
            }
            Input::Told(letters) => self.settle(move |core, view, now| core.told(view, &letters, now)).await,
            Input::Unsealed(answer) => {
                self.settle(move |core, view, now| core.unsealed(view, answer, now)).await
            }
            Input::Sealed(answer) => self.take_sealed(answer).await,
            Input::Hydrated => self.settle(|core, view, now| core.hydrated(view, now)).await,
            Input::Demand(path) => {
                let now = self.clock.now();
                self.core.lock().unwrap_or_else(PoisonError::into_inner).demand(&path, now);
            }
            Input::Rotate(path, reply) => self.rotate(path, reply).await,
        }
    }

    async fn absorb(&mut self, intake: Intake) -> Result<(), StoreError> {
        let now = self.clock.now();
        let changes = self.store.write(move |tx| store::absorb(tx, &intake, now)).await?;
        if !changes.is_empty() {
            self.settle(move |core, view, now| core.settle(view, &changes, now)).await;
        }
        Ok(())
    }

    async fn rotate(&mut self, path: KeyPath, reply: Rotated) {
        let rotated = self.read(move |core, view, now| Ok(core.rotate(view, &path, now))).await;
        let (version, effects) = match rotated {
            Ok(Ok(begun)) => begun,
            Ok(Err(error)) => return drop(reply.send(Err(error.into()))),
            Err(error) => return drop(reply.send(Err(RotateFailure::Store(error)))),
        };
        let with_provider = !effects.seal.is_empty();
        if with_provider {
            self.rotations.insert(version, reply);
            self.carry_out(effects).await;
            return;
        }
        let kept = self.carry_out(effects).await;
        let _ = reply.send(if kept { Ok(version) } else { Err(RotateFailure::Store(StoreError::Closed)) });
    }

    async fn take_sealed(&mut self, answer: Sealed) {
        let version = answer.job.version;
        let refusal = answer.outcome.as_ref().err().copied();
        let effects = self.step(move |core, view, now| core.sealed(view, answer, now)).await;
        let kept = match effects {
            Ok(effects) => {
                let wanted = !effects.keep.is_empty();
                self.carry_out(effects).await && wanted
            }
            Err(error) => {
                tracing::error!(%error, "a new L2 version was lost before it was kept");
                false
            }
        };
        if let Some(reply) = self.rotations.remove(&version) {
            let _ = reply.send(match refusal {
                Some(refusal) => Err(RotateFailure::Refused(refusal)),
                None if kept => Ok(version),
                None => Err(RotateFailure::Store(StoreError::Closed)),
            });
        }
    }

    /// One step, and what follows from it. What the store refuses is settled again a little later:
    /// nothing was lost, since memory follows from what was committed.
    async fn settle(
        &mut self,
        step: impl FnOnce(&mut Core, &dyn Read, Timestamp) -> Result<Effects, StoreError> + Send + 'static,
    ) {
        match self.step(step).await {
            Ok(effects) => {
                self.carry_out(effects).await;
            }
            Err(error) => {
                tracing::error!(%error, "the store can't be read; settling everything again");
                tokio::time::sleep(STORE_RETRY).await;
                match self.step(|core, view, now| core.start(view, now)).await {
                    Ok(effects) => drop(self.carry_out(effects).await),
                    Err(error) => tracing::error!(%error, "the store still can't be read"),
                }
            }
        }
    }

    async fn step(
        &mut self,
        step: impl FnOnce(&mut Core, &dyn Read, Timestamp) -> Result<Effects, StoreError> + Send + 'static,
    ) -> Result<Effects, StoreError> {
        let outcome = self.read(step).await;
        self.settled.send_modify(|count| *count += 1);
        outcome
    }

    async fn read<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Core, &dyn Read, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (core, now) = (self.core.clone(), self.clock.now());
        let stepped = self.store.read(move |view| {
            // A step that panicked left its state behind: settling again brings it in line.
            let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
            step(&mut core, view, now)
        });
        stepped.await
    }

    /// Keeps new versions, then asks the providers. Says whether all versions were kept.
    async fn carry_out(&mut self, mut effects: Effects) -> bool {
        let mut all_kept = true;
        loop {
            effects.unseal.drain(..).for_each(|job| self.provider.unseal(job));
            effects.seal.drain(..).for_each(|job| self.provider.seal(job));
            if effects.keep.is_empty() {
                return all_kept;
            }
            let (made, now) = (Arc::new(std::mem::take(&mut effects.keep)), self.clock.now());
            let records = made.clone();
            let kept = self.store.write(move |tx| store::keep(tx, &records, now)).await;
            let settled = match kept {
                Ok(()) => self.step(move |core, view, now| core.kept(view, &made, now)).await,
                Err(error) => Err(error).inspect_err(|_| {
                    self.core.lock().unwrap_or_else(PoisonError::into_inner).not_kept(&made);
                }),
            };
            match settled {
                Ok(more) => effects = more,
                Err(error) => {
                    tracing::error!(%error, "new versions were not kept; they are made again later");
                    all_kept = false;
                }
            }
        }
    }
}

impl From<RotateError> for RotateFailure {
    fn from(error: RotateError) -> Self {
        match error {
            RotateError::Refused(refusal) => Self::Refused(refusal),
            RotateError::Memory(error) => Self::Memory(error),
            RotateError::Store(error) => Self::Store(error),
        }
    }
}
