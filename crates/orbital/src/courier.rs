//! The courier: the one asynchronous part of the mesh. Moves letters from the outbox to the
//! transport, and messages from the transport to the component.
//!
//! One task for each lane that is sent on and one for each stream that is read, so that no lane
//! waits behind another. Nothing here decides anything: a task can be stopped at any point, and what
//! it was doing is done again by the next one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openkcm_contracts::{Lane, Timestamp};
use openkcm_host::{Clock, Entropy, random_array};
use openkcm_store::{Store, StoreError, Write};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::inbox::{self, Quarantined};
use crate::outbox::{self, Waiting};
use crate::{
    Batch, Delivered, Message, Position, Rejection, Signer, Stream, Transport, TransportError, Verified,
    Verifier,
};

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

    /// Learns that letters are durable on the mesh, and forgotten here.
    async fn told(&self, _letters: &[Waiting]) {}
}

/// What came on one stream.
#[derive(Debug, Clone)]
pub struct Intake {
    /// The stream.
    pub stream: Stream,
    /// What is believed, in order.
    pub events: Vec<Verified>,
    /// What is authentic and can't be read.
    pub poison: Vec<Quarantined>,
    /// How many messages were not believed.
    pub dropped: usize,
    /// How far the stream was read with this.
    pub position: Option<Position>,
    /// Whether the stream held nothing more.
    pub caught_up: bool,
}

impl Intake {
    /// Verifies what a subscription delivered.
    pub fn verify(stream: &Stream, batch: Batch, verifier: &Verifier, now: Timestamp) -> Self {
        let position = batch.messages.last().map(|delivered| delivered.position.clone());
        let mut intake = Self {
            stream: stream.clone(),
            events: Vec::with_capacity(batch.messages.len()),
            poison: Vec::new(),
            dropped: 0,
            position,
            caught_up: batch.caught_up,
        };
        for Delivered { message, .. } in batch.messages {
            match verifier.verify(&message, now) {
                Ok(verified) => intake.events.push(verified),
                Err(rejection) => intake.reject(message, rejection, now),
            }
        }
        intake
    }

    fn reject(&mut self, message: Message, rejection: Rejection, now: Timestamp) {
        tracing::warn!(address = %message.address, reason = %rejection, "an event was not applied");
        let Rejection::Unreadable { reason, tenant, revokes } = rejection else {
            self.dropped += 1;
            return;
        };
        let body = String::from_utf8_lossy(&message.body).into_owned();
        self.poison.push(Quarantined { at: now, reason, tenant, revokes, headers: message.headers, body });
    }

    /// Commits how far the stream was read, and what could not be read.
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn record(&self, tx: &mut dyn Write) -> Result<(), StoreError> {
        for poison in &self.poison {
            inbox::quarantine(tx, &self.stream, poison)?;
        }
        match &self.position {
            Some(position) => inbox::advance(tx, &self.stream, position),
            None => Ok(()),
        }
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
    hydrated: watch::Receiver<usize>,
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
        if hydrated.wait_for(|count| *count >= streams).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Courier {
    /// Starts to send and to read.
    pub fn start(self) -> CourierHandle {
        let at_start = Connection { connected: false, since: self.clock.now(), error: None };
        let (connection_sender, connection) = watch::channel(at_start);
        let (hydrated_sender, hydrated) = watch::channel(0);
        let streams = self.reads.len();
        let shared =
            Arc::new(Shared { courier: self, connection: connection_sender, hydrated: hydrated_sender });
        let mut tasks = JoinSet::new();
        for lane in shared.courier.sends.clone() {
            tasks.spawn(shared.clone().send_lane(lane));
        }
        for stream in shared.courier.reads.clone() {
            tasks.spawn(shared.clone().read_stream(stream));
        }
        CourierHandle { connection, hydrated, streams, _tasks: tasks }
    }
}

struct Shared {
    courier: Courier,
    connection: watch::Sender<Connection>,
    hydrated: watch::Sender<usize>,
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
        transport.publish(messages).await?;
        self.note_success();
        let count = waiting.len();
        let waiting = Arc::new(waiting);
        let told = waiting.clone();
        store.write(move |tx| outbox::forget(tx, lane, &told)).await?;
        receiver.told(&waiting).await;
        Ok(count)
    }

    async fn read_stream(self: Arc<Self>, stream: Stream) {
        let mut failures = 0;
        let mut hydrated = false;
        loop {
            let interruption = match self.read_on(&stream, &mut hydrated, &mut failures).await {
                Ok(never) => match never {},
                Err(interruption) => interruption,
            };
            self.note_failure(&interruption);
            failures += 1;
            self.back_off(failures).await;
        }
    }

    async fn read_on(
        &self,
        stream: &Stream,
        hydrated: &mut bool,
        failures: &mut u32,
    ) -> Result<std::convert::Infallible, Interruption> {
        let Courier { store, transport, receiver, .. } = &self.courier;
        let of = stream.clone();
        let position = store.read(move |view| inbox::position(view, &of)).await?;
        let mut subscription = transport.subscribe(stream, position).await?;
        loop {
            let batch = subscription.next(BATCH).await?;
            self.note_success();
            *failures = 0;
            let intake = self.verified(stream, batch).await?;
            let caught_up = intake.caught_up;
            receiver.receive(intake).await?;
            if caught_up && !*hydrated {
                *hydrated = true;
                self.hydrated.send_modify(|count| *count += 1);
            }
        }
    }

    /// Verifies on a thread that may be kept busy: a full batch takes some milliseconds of cipher.
    async fn verified(&self, stream: &Stream, batch: Batch) -> Result<Intake, StoreError> {
        let (stream, verifier, now) =
            (stream.clone(), self.courier.verifier.clone(), self.courier.clock.now());
        let task = tokio::task::spawn_blocking(move || Intake::verify(&stream, batch, &verifier, now));
        task.await.map_err(|_| StoreError::Closed)
    }

    async fn back_off(&self, failures: u32) {
        let bound = FIRST_BACKOFF.saturating_mul(1 << failures.min(10)).min(LONGEST_BACKOFF);
        let drawn = u32::from_be_bytes(random_array(&*self.courier.entropy));
        tokio::time::sleep(bound.mul_f64(f64::from(drawn) / f64::from(u32::MAX))).await;
    }

    fn note_success(&self) {
        self.note(true, None);
    }

    fn note_failure(&self, interruption: &Interruption) {
        self.note(false, Some(interruption.to_string()));
    }

    fn note(&self, connected: bool, error: Option<String>) {
        let now = self.courier.clock.now();
        self.connection.send_if_modified(|connection| {
            if connection.connected == connected && connection.error == error {
                return false;
            }
            match &error {
                Some(error) if connection.connected => tracing::warn!(%error, "the mesh is away"),
                None if !connection.connected => tracing::info!("the mesh answers"),
                _ => {}
            }
            let since = if connection.connected == connected { connection.since } else { now };
            *connection = Connection { connected, since, error };
            true
        });
    }
}
