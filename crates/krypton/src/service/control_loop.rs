//! The control loop: one task that takes inputs in order, commits, settles, and carries out effects.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openkcm_component::Traffic;
use openkcm_contracts::v1::KeySealed;
use openkcm_contracts::{KeyPath, ServicePath, SystemPath, TenantId, Timestamp, VersionId};
use openkcm_host::Clock;
use openkcm_orbital::outbox::Waiting;
use openkcm_store::{Read, Store, StoreError};
use tokio::sync::{mpsc, oneshot, watch};

use super::RotateFailure;
use super::provider::Provider;
use crate::control::{Core, Effects, Probed, Resealed, RotateError, Sealed, Unsealed};
use crate::rules::Refusal;
use crate::store::{self, Changes, Denials, Slice, Slices};

/// The longest sleep between two looks at the agenda: a wall clock that was set forward is noticed
/// within it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Inputs that are taken from the queue at once: bounds how long what is due waits for its turn.
const MAX_TAKEN_AT_ONCE: usize = 64;

/// How long after a store's failure the next step is tried.
const STORE_RETRY: Duration = Duration::from_millis(200);

/// Steps of the clock to an earlier time that are worth no notice: time servers make such.
const SET_BACK: Duration = Duration::from_secs(1);

/// Tells the courier that an intake is committed.
type Committed = oneshot::Sender<Result<(), StoreError>>;

type Rotated = oneshot::Sender<Result<VersionId, RotateFailure>>;

/// What the loop is told.
pub(crate) enum Input {
    Intake(Box<Slices>, Committed),
    Told(Vec<Waiting>),
    Destroyed(Changes),
    Unsealed(Unsealed),
    Sealed(Sealed),
    Resealed(Resealed),
    Probed(Probed),
    Hydrated,
    CaughtUp,
    /// A caller wants to encrypt, and there is no version.
    Demand(ServicePath),
    /// A caller waits for a version that is on its way.
    WaitFor(SystemPath),
    Rotate(KeyPath, Rotated),
}

pub(super) struct ControlLoop {
    pub(super) core: Arc<Mutex<Core>>,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) provider: Provider,
    pub(super) queue: mpsc::Receiver<Input>,
    /// Intakes that are being committed, a slice of each in turn: one for each stream at most, since the
    /// courier brings the next when this one was answered.
    pub(super) intakes: VecDeque<(Box<Slices>, Committed)>,
    /// Counts what was held already.
    pub(super) traffic: Traffic,
    pub(super) settled: watch::Sender<u64>,
    /// Callers who wait for a new L2 version that is with the provider.
    pub(super) rotations: HashMap<VersionId, Rotated>,
    /// Whether the store failed a step: then memory may lag behind what was committed, and everything
    /// is settled again until that succeeds.
    pub(super) unsettled: bool,
    /// Whether what ends things was read to its end on the mesh, which is not kept yet.
    pub(super) to_catch_up: bool,
    /// Whether the first step succeeded: before it, a store that can't be read ends the start.
    pub(super) started: bool,
    /// The latest time at which a step was taken.
    pub(super) seen: Timestamp,
}

impl ControlLoop {
    /// Settles what is held, before anything is served.
    pub(super) async fn start(&mut self) -> Result<(), StoreError> {
        let effects = self.step(|core, view, now| core.start(view, now)).await?;
        self.started = true;
        self.carry_out(effects).await;
        Ok(())
    }

    pub(super) async fn run(mut self) {
        let mut inputs = Vec::with_capacity(MAX_TAKEN_AT_ONCE);
        loop {
            if self.unsettled {
                tokio::time::sleep(STORE_RETRY).await;
                self.unsettled = false;
                self.settle(Core::settle_all).await;
            }
            if std::mem::take(&mut self.to_catch_up) {
                self.catch_up().await;
            }
            if self.clock_was_set_back() {
                tracing::warn!(
                    "the clock was set back; all is settled again, since what was planned is far off"
                );
                self.settle(Core::clock_set_back).await;
            }
            let mut busy = self.absorb_slice().await;
            let until_due = self.until_due();
            if until_due.is_zero() {
                // Not left to the timer: among inputs without a pause, it would never be its turn.
                self.settle(Core::due).await;
                busy = true;
            }
            if busy {
                // What is long goes on a share at a time, and what came meanwhile has its turn between two.
                while inputs.len() < MAX_TAKEN_AT_ONCE
                    && let Ok(input) = self.queue.try_recv()
                {
                    inputs.push(input);
                }
            } else {
                let taken = tokio::select! {
                    taken = self.queue.recv_many(&mut inputs, MAX_TAKEN_AT_ONCE) => taken,
                    () = tokio::time::sleep(until_due) => continue,
                };
                if taken == 0 {
                    return;
                }
            }
            self.take_all(inputs.drain(..)).await;
        }
    }

    /// Takes inputs in order. Answers of providers that stand together are settled together.
    async fn take_all(&mut self, inputs: impl Iterator<Item = Input>) {
        let (mut answers, mut probed) = (Vec::new(), Vec::new());
        for input in inputs {
            match input {
                Input::Unsealed(answer) => answers.push(answer),
                Input::Probed(answer) => probed.push(answer),
                input => {
                    self.take_unsealed(&mut answers).await;
                    self.take(input).await;
                }
            }
        }
        self.take_unsealed(&mut answers).await;
        self.take_probed(probed).await;
    }

    async fn take_probed(&mut self, answers: Vec<Probed>) {
        if !answers.is_empty() {
            self.settle(move |core, view, now| core.probed(view, answers, now)).await;
        }
    }

    async fn take_unsealed(&mut self, answers: &mut Vec<Unsealed>) {
        if !answers.is_empty() {
            let answers = std::mem::take(answers);
            self.settle(move |core, view, now| core.unsealed_together(view, answers, now)).await;
        }
    }

    /// Whether the wall clock stands well before what it showed earlier.
    fn clock_was_set_back(&mut self) -> bool {
        let now = self.clock.now();
        let set_back = now.after(SET_BACK) < self.seen;
        self.seen = if set_back { now } else { self.seen.max(now) };
        set_back
    }

    fn until_due(&self) -> Duration {
        let due = self.core.lock().unwrap_or_else(PoisonError::into_inner).next_due();
        due.map_or(LONGEST_SLEEP, |at| at.since(self.clock.now()).min(LONGEST_SLEEP))
    }

    async fn take(&mut self, input: Input) {
        match input {
            Input::Intake(slices, reply) => self.intakes.push_back((slices, reply)),
            Input::Told(letters) => self.settle(move |core, view, now| core.told(view, &letters, now)).await,
            Input::Destroyed(changes) => {
                self.settle(move |core, view, now| core.settle(view, &changes, now)).await;
            }
            Input::Unsealed(answer) => self.take_unsealed(&mut vec![answer]).await,
            Input::Sealed(answer) => self.take_sealed(answer).await,
            Input::Resealed(answer) => {
                self.settle(move |core, view, now| core.resealed(view, answer, now)).await;
            }
            Input::Probed(answer) => self.take_probed(vec![answer]).await,
            Input::Hydrated => self.settle(Core::hydrated).await,
            Input::CaughtUp => self.to_catch_up = true,
            Input::Demand(path) => {
                let now = self.clock.now();
                self.core.lock().unwrap_or_else(PoisonError::into_inner).demand(&path, now);
                self.provider.raise(&path.system_path());
            }
            Input::WaitFor(path) => {
                self.core.lock().unwrap_or_else(PoisonError::into_inner).wait_for(&path);
                self.provider.raise(&path);
            }
            Input::Rotate(path, reply) => self.rotate(path, reply).await,
        }
    }

    /// Commits and settles one slice of the intake whose turn it is, if there is one. Says whether there was.
    /// The courier is answered after the last slice.
    async fn absorb_slice(&mut self) -> bool {
        let Some((mut slices, reply)) = self.intakes.pop_front() else { return false };
        let outcome = match slices.next() {
            Some(slice) => self.absorb(slice).await,
            None => Ok(()),
        };
        if outcome.is_ok() && !slices.is_done() {
            self.intakes.push_back((slices, reply));
        } else {
            // The courier has stopped: it reads on from the recorded position when it starts again.
            let _ = reply.send(outcome);
        }
        true
    }

    async fn absorb(&mut self, slice: Slice) -> Result<(), StoreError> {
        let now = self.clock.now();
        let absorbed = self.store.write(move |tx| store::absorb_slice(tx, &slice, now)).await;
        let changes = absorbed.inspect_err(|_: &StoreError| {
            // What was revoked has lost its L3 already; its L2 does not wait for a disk with room either.
            self.core.lock().unwrap_or_else(PoisonError::into_inner).forget_closed();
        })?;
        self.traffic.replayed(changes.replayed);
        if !changes.is_empty() {
            self.settle(move |core, view, now| core.settle(view, &changes, now)).await;
        }
        Ok(())
    }

    async fn rotate(&mut self, path: KeyPath, reply: Rotated) {
        let system = SystemPath { tenant: path.tenant().clone(), system: path.system().clone() };
        let rotated = self.read(move |core, view, now| Ok(core.rotate(view, &path, now))).await;
        let (version, effects) = match rotated {
            Ok(Ok(begun)) => begun,
            Ok(Err(error)) => return drop(reply.send(Err(error.into()))),
            Err(error) => return drop(reply.send(Err(RotateFailure::Store(error)))),
        };
        let with_provider = !effects.seal.is_empty();
        if with_provider {
            self.rotations.insert(version, reply);
            self.provider.raise(&system);
            self.carry_out(effects).await;
            return;
        }
        let kept = self.carry_out(effects).await;
        let _ = reply.send(if kept { Ok(version) } else { Err(RotateFailure::Store(StoreError::Closed)) });
    }

    async fn take_sealed(&mut self, answer: Sealed) {
        let version = answer.job.version;
        let refusal = answer.outcome.as_ref().err().copied();
        let outcome = match self.step(move |core, view, now| core.sealed(view, answer, now)).await {
            Ok(effects) => {
                let wanted = effects.keep.iter().any(|sealed| sealed.version == version);
                match (self.carry_out(effects).await, refusal) {
                    (_, Some(refusal)) => Err(RotateFailure::Refused(refusal)),
                    // Unlinked, linked again or defined again meanwhile: another try tells which.
                    (_, None) if !wanted => Err(RotateFailure::Refused(Refusal::HYDRATING)),
                    (kept, None) => kept.then_some(version).ok_or(RotateFailure::Store(StoreError::Closed)),
                }
            }
            Err(error) => Err(refusal.map_or(RotateFailure::Store(error), RotateFailure::Refused)),
        };
        if let Some(reply) = self.rotations.remove(&version) {
            // A caller that went away no longer wants the answer.
            let _ = reply.send(outcome);
        }
    }

    /// What is held is served from now on, where it was to be read up first.
    async fn catch_up(&mut self) {
        let reads_first = self.core.lock().unwrap_or_else(PoisonError::into_inner).reads_first();
        if !reads_first {
            return;
        }
        match self.store.write(store::caught_up).await {
            Ok(()) => {
                tracing::info!(
                    "what was said while this Core was away is read: it serves what its lease covers"
                );
                self.settle(Core::caught_up).await;
            }
            Err(error) => {
                tracing::error!(%error, "it was not kept that the mesh was read; it is tried again");
                (self.to_catch_up, self.unsettled) = (true, true);
            }
        }
    }

    /// One step, and what follows from it.
    async fn settle(
        &mut self,
        step: impl FnOnce(&mut Core, &dyn Read, Timestamp) -> Result<Effects, StoreError> + Send + 'static,
    ) {
        match self.step(step).await {
            Ok(effects) => drop(self.carry_out(effects).await),
            Err(error) => tracing::error!(%error, "the store can't be read; all is settled again shortly"),
        }
    }

    async fn step(
        &mut self,
        step: impl FnOnce(&mut Core, &dyn Read, Timestamp) -> Result<Effects, StoreError> + Send + 'static,
    ) -> Result<Effects, StoreError> {
        let outcome = self.read(step).await;
        self.unsettled |= outcome.is_err();
        self.settled.send_modify(|count| *count += 1);
        outcome
    }

    /// Runs a step on a view of the store, once. Where the store gives no view the step waits for one:
    /// what it carries, a provider's answer for one, comes only once, and whoever waits for that would
    /// wait for ever.
    async fn read<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Core, &dyn Read, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let step = Arc::new(Mutex::new(Some(step)));
        loop {
            let (core, now, once) = (self.core.clone(), self.clock.now(), step.clone());
            let stepped = self.store.read(move |view| {
                let taken = once.lock().unwrap_or_else(PoisonError::into_inner).take();
                // A step that panicked left its state behind: settling again brings it in line.
                let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
                taken.ok_or(StoreError::Closed).and_then(|step| step(&mut core, view, now))
            });
            let outcome = stepped.await;
            let waits = step.lock().unwrap_or_else(PoisonError::into_inner).is_some();
            match outcome {
                Err(error) if waits && self.started => {
                    tracing::error!(%error, "the store gives no view; the step waits for one");
                    tokio::time::sleep(STORE_RETRY).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Keeps what roots deny, or that they allow again. Where the store does not take it, memory goes by it all the
    /// same; a restart finds a denial out by the next probe then.
    async fn keep_denials(&self, changed: Vec<(TenantId, Option<Denials>)>) {
        if changed.is_empty() {
            return;
        }
        if let Err(error) = self.store.write(move |tx| store::keep_denials(tx, &changed)).await {
            tracing::error!(%error, "what roots deny was not kept; a restart has to find it out anew");
        }
    }

    /// Keeps new seals of versions that are held: nothing waits for them, and a step that comes later must find them.
    async fn keep_seals(&self, resealed: Vec<KeySealed>) {
        if resealed.is_empty() {
            return;
        }
        let (resealed, now) = (Arc::new(resealed), self.clock.now());
        let records = resealed.clone();
        match self.store.write(move |tx| store::reseal(tx, &records, now)).await {
            Ok(()) => tracing::debug!(versions = resealed.len(), "sealed anew"),
            Err(error) => {
                tracing::error!(%error, "new seals were not kept; they are made again");
                self.core.lock().unwrap_or_else(PoisonError::into_inner).not_resealed(&resealed, now);
            }
        }
    }

    /// Keeps new versions, then asks the providers. Says whether all versions were kept.
    async fn carry_out(&mut self, mut effects: Effects) -> bool {
        let mut all_kept = true;
        loop {
            effects.unseal.drain(..).for_each(|job| self.provider.unseal(job));
            effects.seal.drain(..).for_each(|job| self.provider.seal(job));
            effects.reseal_l2.drain(..).for_each(|job| self.provider.reseal(job));
            effects.probe.drain(..).for_each(|job| self.provider.probe(job));
            self.keep_denials(std::mem::take(&mut effects.denials)).await;
            self.keep_seals(std::mem::take(&mut effects.reseal)).await;
            if effects.keep.is_empty() {
                return all_kept;
            }
            let (made, now) = (Arc::new(std::mem::take(&mut effects.keep)), self.clock.now());
            let records = made.clone();
            let kept = self.store.write(move |tx| store::keep(tx, &records, now)).await;
            effects = match kept {
                Ok(()) => match self.step(move |core, view, now| core.kept(view, &made, now)).await {
                    Ok(more) => more,
                    Err(error) => {
                        tracing::error!(%error, "new versions are kept, and come into use a little later");
                        Effects::default()
                    }
                },
                Err(error) => {
                    tracing::error!(%error, "new versions were not kept; others are made later");
                    self.core.lock().unwrap_or_else(PoisonError::into_inner).not_kept(&made);
                    all_kept = false;
                    Effects::default()
                }
            };
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

#[cfg(test)]
mod tests;
