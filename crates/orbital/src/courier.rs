//! The courier: the one asynchronous part of the mesh. Moves letters from the outbox to the
//! transport, and messages from the transport to the component.
//!
//! One task for each lane that is sent on and one for each stream that is read, so that no lane
//! waits behind another. Nothing here decides anything: a task can be stopped at any point, and what
//! it was doing is done again by the next one. A task that panics is started again, so that a defect
//! in what it calls never ends a lane in silence.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openkcm_contracts::{Lane, Timestamp};
use openkcm_host::{Clock, Entropy, random_array};
use openkcm_store::{Store, StoreError};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::outbox::{self, Waiting};
use crate::{Batch, Intake, Letter, Published, Signer, Stream, Transport, TransportError, Verifier, inbox};

/// Letters and messages that are moved at once: a synced mesh takes twenty times as many in batches
/// as one by one, and a batch of this size is verified within some milliseconds.
const BATCH: usize = 256;

/// First and longest wait after a failure; each wait is drawn between nothing and its bound, so that
/// components that lost the mesh together do not come back together.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// What the courier needs.
pub struct Courier {
    /// The component's store, with outbox and inbox in it.
    pub store: Store,
    /// Who carries.
    pub transport: Arc<dyn Transport>,
    /// Signs what is sent.
    pub signer: Arc<Signer>,
    /// Believes what is received.
    pub verifier: Arc<Verifier>,
    /// The lanes that the component sends on.
    pub sends: Vec<Lane>,
    /// The streams that it reads.
    pub reads: Vec<Stream>,
    /// The component.
    pub receiver: Arc<dyn Receiver>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub entropy: Arc<dyn Entropy>,
}

/// A component, as its courier sees it.
#[async_trait]
pub trait Receiver: Send + Sync + 'static {
    /// Applies what came, and commits it together with [`Intake::record`] in one transaction.
    ///
    /// # Errors
    /// When the store does not take it; the same intake comes again.
    async fn receive(&self, intake: Intake) -> Result<(), StoreError>;

    /// Learns that the mesh holds these letters, or newer words about the same things, durably. They
    /// are forgotten after this, so that a crash in between tells it again and never not at all.
    ///
    /// # Errors
    /// When the store does not take it; the letters are sent, and this is told, again.
    async fn told(&self, _letters: &[Waiting]) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Whether the mesh answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Whether the last attempt succeeded.
    pub connected: bool,
    /// Since when it is so.
    pub since: Timestamp,
    /// What the mesh said when it last failed.
    pub error: Option<String>,
}

/// A running courier; it stops when this is dropped.
#[derive(Debug)]
pub struct CourierHandle {
    connection: watch::Receiver<Connection>,
    hydrated: watch::Receiver<BTreeSet<Stream>>,
    streams: usize,
    _tasks: JoinSet<()>,
}

impl CourierHandle {
    /// Whether the mesh answers, and since when.
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.clone()
    }

    /// Waits until every stream was read to its end once since the start. Never returns while the
    /// mesh is away: whoever waits must be able to go on without.
    pub async fn hydrated(&self) {
        let mut hydrated = self.hydrated.clone();
        let streams = self.streams;
        if hydrated.wait_for(|read| read.len() >= streams).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Courier {
    /// Starts to send and to read.
    pub fn start(self) -> CourierHandle {
        let at_start = Connection { connected: false, since: self.clock.now(), error: None };
        let (connection_sender, connection) = watch::channel(at_start);
        let (hydrated_sender, hydrated) = watch::channel(BTreeSet::new());
        let streams = self.reads.iter().collect::<BTreeSet<_>>().len();
        let shared =
            Arc::new(Shared { courier: self, connection: connection_sender, hydrated: hydrated_sender });
        let mut tasks = JoinSet::new();
        for lane in shared.courier.sends.clone() {
            tasks.spawn(shared.clone().supervise(move |shared| shared.send_lane(lane)));
        }
        for stream in shared.courier.reads.clone() {
            tasks.spawn(shared.clone().supervise(move |shared| shared.read_stream(stream.clone())));
        }
        CourierHandle { connection, hydrated, streams, _tasks: tasks }
    }
}

struct Shared {
    courier: Courier,
    connection: watch::Sender<Connection>,
    hydrated: watch::Sender<BTreeSet<Stream>>,
}

/// Why a task starts over.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Shared {
    /// Starts a task, and again when it panicked.
    async fn supervise<F>(self: Arc<Self>, task: impl Fn(Arc<Self>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            // A set of one: the task is stopped with its supervisor.
            let mut running = JoinSet::new();
            running.spawn(task(self.clone()));
            match running.join_next().await {
                Some(Err(error)) if error.is_panic() => {
                    tracing::error!(%error, "a task of the courier panicked, which is a defect; it starts again");
                }
                _ => return,
            }
            self.back_off(u32::MAX).await;
        }
    }

    async fn send_lane(self: Arc<Self>, lane: Lane) {
        let mut commits = self.courier.store.commits();
        let mut failures = 0;
        loop {
            commits.borrow_and_update();
            match self.send_waiting(lane).await {
                Ok(0) => {
                    failures = 0;
                    if commits.changed().await.is_err() {
                        return;
                    }
                }
                Ok(_) => failures = 0,
                Err(interruption) => {
                    self.note_failure(&interruption);
                    failures += 1;
                    self.back_off(failures).await;
                }
            }
        }
    }

    async fn send_waiting(&self, lane: Lane) -> Result<usize, Interruption> {
        let Courier { store, transport, signer, receiver, .. } = &self.courier;
        let waiting = store.read(move |view| outbox::waiting(view, lane, BATCH)).await?;
        if waiting.is_empty() {
            return Ok(0);
        }
        let messages = waiting.iter().map(|waiting| signer.sign(&waiting.letter)).collect();
        let published = transport.publish(messages).await?;
        self.note_success();
        note_superseded(&waiting, &published);
        receiver.told(&waiting).await?;
        let count = waiting.len();
        store.write(move |tx| outbox::forget(tx, lane, &waiting)).await?;
        Ok(count)
    }

    async fn read_stream(self: Arc<Self>, stream: Stream) {
        let mut failures = 0;
        loop {
            let Err(interruption) = self.read_on(&stream, &mut failures).await;
            self.note_failure(&interruption);
            failures += 1;
            self.back_off(failures).await;
        }
    }

    async fn read_on(&self, stream: &Stream, failures: &mut u32) -> Result<Infallible, Interruption> {
        let Courier { store, transport, receiver, .. } = &self.courier;
        let of = stream.clone();
        let position = store.read(move |view| inbox::position(view, &of)).await?;
        let mut subscription = transport.subscribe(stream, position).await?;
        loop {
            let batch = subscription.next(BATCH).await?;
            self.note_success();
            let intake = self.verified(stream, batch).await;
            let caught_up = intake.caught_up;
            receiver.receive(intake).await?;
            *failures = 0;
            if caught_up {
                self.hydrated.send_if_modified(|read| read.insert(stream.clone()));
            }
        }
    }

    /// Verifies on a thread that may be kept busy: a full batch takes some milliseconds of cipher.
    async fn verified(&self, stream: &Stream, batch: Batch) -> Intake {
        let (stream, verifier, now) =
            (stream.clone(), self.courier.verifier.clone(), self.courier.clock.now());
        let task = tokio::task::spawn_blocking(move || Intake::verify(&stream, batch, &verifier, now));
        match task.await.map_err(JoinError::try_into_panic) {
            Ok(intake) => intake,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime is going down, and this task with it.
            Err(Err(_cancelled)) => std::future::pending().await,
        }
    }

    async fn back_off(&self, failures: u32) {
        let doublings = failures.saturating_sub(1).min(10);
        let bound = FIRST_BACKOFF.saturating_mul(1 << doublings).min(LONGEST_BACKOFF);
        let drawn = u32::from_be_bytes(random_array(&*self.courier.entropy));
        tokio::time::sleep(bound.mul_f64(f64::from(drawn) / f64::from(u32::MAX))).await;
    }

    fn note_success(&self) {
        self.note(true, None);
    }

    fn note_failure(&self, interruption: &Interruption) {
        match interruption {
            Interruption::Transport(error) => self.note(false, Some(error.to_string())),
            // Says nothing about the mesh; an operator must look at the disk.
            Interruption::Store(error) => {
                let error: &dyn std::error::Error = error;
                tracing::error!(error, "the component's store does not do its part; the courier tries again");
            }
        }
    }

    fn note(&self, connected: bool, error: Option<String>) {
        let now = self.courier.clock.now();
        self.connection.send_if_modified(|connection| {
            if connection.connected == connected && connection.error == error {
                return false;
            }
            match &error {
                Some(error) if connection.connected || connection.error.is_none() => {
                    tracing::warn!(%error, "the mesh is away");
                }
                None if !connection.connected => tracing::info!("the mesh answers"),
                _ => {}
            }
            let since = if connection.connected == connected { connection.since } else { now };
            *connection = Connection { connected, since, error };
            true
        });
    }
}

/// An author that finds a newer word of its own on the mesh lost part of its store: told, since
/// nothing else would show it here.
fn note_superseded(waiting: &[Waiting], published: &[Published]) {
    for (Waiting { letter, .. }, _) in
        waiting.iter().zip(published).filter(|(_, outcome)| **outcome == Published::Superseded)
    {
        let Letter { subject, audience, revision, .. } = letter;
        tracing::warn!(%subject, %audience, %revision, "the mesh holds a newer word than this letter's");
    }
}
