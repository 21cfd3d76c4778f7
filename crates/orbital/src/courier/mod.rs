//! The courier: the one asynchronous part of the mesh. Moves letters from the outbox to the
//! transport, and messages from the transport to the component.
//!
//! One task for each lane that is sent on, and within it one for each audience; one for each stream that is
//! read. So no lane and no destination waits for another. Nothing here decides anything: a task can be
//! stopped at any point, and what it was doing is done again by the next one. A task that panics is
//! started again, so that a defect in what it calls never ends a lane in silence.
//!
//! What a Core made is sent only while the authorities' words were read to their ends: after an absence it hears first
//! what has ended meanwhile. An authority sends nothing before it has read back its own last words and compared them with its store
//! ([`Words`]).

mod read;
mod send;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use openkcm_contracts::{Lane, Role, Timestamp};
use openkcm_host::{Clock, Entropy, random_array};
use openkcm_store::{Store, StoreError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::outbox::Waiting;
use crate::{Intake, Published, Reading, Signer, Stream, Transport, TransportError, Verifier};

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
    /// Where an authority has spoken; none for a component that is no authority.
    pub words: Option<Words>,
    /// The component.
    pub receiver: Arc<dyn Receiver>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub entropy: Arc<dyn Entropy>,
}

/// An authority's own last words: they are read back, and handed to [`Receiver::compare`], before anything
/// is sent.
#[derive(Debug, Clone)]
pub struct Words {
    /// The authority.
    pub author: Role,
    /// The streams that it speaks on. One that the mesh does not have holds no word of it.
    pub streams: Vec<Stream>,
    /// Whether all of its words are read, and not only those since it last looked.
    pub from_the_beginning: bool,
}

/// A component, as its courier sees it.
#[async_trait]
pub trait Receiver: Send + Sync + 'static {
    /// Applies what came, and commits it together with [`Intake::record`] in one transaction.
    ///
    /// # Errors
    /// When the store does not take it; the same intake comes again.
    async fn receive(&self, intake: Intake) -> Result<(), StoreError>;

    /// Learns what became of these letters: the mesh holds them, or newer words about the same things,
    /// durably. They are forgotten after this, so that a crash in between tells it again and never not at
    /// all. For an authority a newer word is one that its store has lost.
    ///
    /// # Errors
    /// When the store does not take it; the letters are sent, and this is told, again.
    async fn told(&self, _letters: &[Waiting], _published: &[Published]) -> Result<(), StoreError> {
        Ok(())
    }

    /// Compares own words with the store, and commits what was found together with [`Intake::record`].
    ///
    /// # Errors
    /// When the store does not take it; the same words come again.
    async fn compare(&self, words: Intake) -> Result<(), StoreError> {
        drop(words);
        Ok(())
    }

    /// All own words have been compared. Sending begins after this.
    ///
    /// # Errors
    /// When the store does not take it; it is told again.
    async fn compared(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Whether the mesh answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Whether the mesh answered the last attempt on every lane.
    pub connected: bool,
    /// The lanes that are not read now.
    pub unread: BTreeSet<Lane>,
    /// Since when it is so.
    pub since: Timestamp,
    /// What went wrong with the last attempt, also when the mesh answered it; on the most urgent lane where
    /// several fail.
    pub error: Option<String>,
}

/// A running courier; it stops when this is dropped.
#[derive(Debug)]
pub struct CourierHandle {
    connection: watch::Receiver<Connection>,
    hydrated: watch::Receiver<BTreeSet<Stream>>,
    compared: watch::Receiver<bool>,
    streams: usize,
    _tasks: JoinSet<()>,
}

impl CourierHandle {
    /// Whether the mesh answers, and since when.
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.clone()
    }

    /// Whether an authority has compared its store with its own last words; always so for others.
    pub fn compared(&self) -> watch::Receiver<bool> {
        self.compared.clone()
    }

    /// The streams that were read to their end once since the start.
    pub fn hydrated_streams(&self) -> watch::Receiver<BTreeSet<Stream>> {
        self.hydrated.clone()
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
        let at_start = Connection {
            connected: false,
            unread: self.reads.iter().map(|stream| stream.lane).collect(),
            since: self.clock.now(),
            error: None,
        };
        let (connection_sender, connection) = watch::channel(at_start);
        let (hydrated_sender, hydrated) = watch::channel(BTreeSet::new());
        let drained = watch::Sender::new(BTreeSet::new());
        let (compared_sender, compared) = watch::channel(self.words.is_none());
        let streams = self.reads.iter().collect::<BTreeSet<_>>().len();
        let shared = Arc::new(Shared {
            courier: self,
            connection: connection_sender,
            attempts: Mutex::default(),
            hydrated: hydrated_sender,
            drained,
            compared: compared_sender,
        });
        let mut tasks = JoinSet::new();
        for lane in shared.courier.sends.clone() {
            tasks.spawn(shared.clone().supervise(move |shared| shared.send_lane(lane)));
        }
        for stream in shared.courier.reads.clone() {
            let reading = Reading::all(stream);
            tasks.spawn(shared.clone().supervise(move |shared| shared.read_stream(reading.clone())));
        }
        if shared.courier.words.is_some() {
            tasks.spawn(shared.supervise(Shared::compare_words));
        }
        CourierHandle { connection, hydrated, compared, streams, _tasks: tasks }
    }
}

struct Shared {
    courier: Courier,
    connection: watch::Sender<Connection>,
    /// What came of the last attempts: lanes go their own ways, and one that works says nothing of another.
    attempts: Mutex<BTreeMap<Attempt, Outcome>>,
    hydrated: watch::Sender<BTreeSet<Stream>>,
    /// The streams that were read to their ends since they could be read again.
    drained: watch::Sender<BTreeSet<Stream>>,
    compared: watch::Sender<bool>,
}

/// What is tried on a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Attempt {
    Send(Lane),
    Read(Lane),
    /// Own words are read back, once.
    Compare(Lane),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    answered: bool,
    error: Option<String>,
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

    async fn back_off(&self, failures: u32) {
        let doublings = failures.saturating_sub(1).min(10);
        let bound = FIRST_BACKOFF.saturating_mul(1 << doublings).min(LONGEST_BACKOFF);
        let drawn = u32::from_be_bytes(random_array(&*self.courier.entropy));
        let pause = tokio::time::sleep(bound.mul_f64(f64::from(drawn) / f64::from(u32::MAX)));
        tokio::select! {
            () = pause => {}
            // The connection was spread over time already, by its own jitter.
            () = self.courier.transport.back() => {}
        }
    }

    fn note_success(&self, attempt: Attempt) {
        self.note(attempt, Some(Outcome { answered: true, error: None }));
    }

    /// Nothing is left to be tried there: what went wrong before is over.
    fn note_nothing(&self, attempt: Attempt) {
        self.note(attempt, None);
    }

    fn note_failure(&self, attempt: Attempt, interruption: &Interruption) {
        match interruption {
            Interruption::Transport(error) => {
                let outcome = Outcome { answered: error.answered(), error: Some(error.to_string()) };
                self.note(attempt, Some(outcome));
            }
            // Says nothing about the mesh; an operator must look at the disk.
            Interruption::Store(error) => {
                let error: &dyn std::error::Error = error;
                tracing::error!(error, "the component's store does not do its part; the courier tries again");
            }
        }
    }

    fn note(&self, attempt: Attempt, outcome: Option<Outcome>) {
        let now = self.courier.clock.now();
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Some(outcome) => drop(attempts.insert(attempt, outcome)),
            None => drop(attempts.remove(&attempt)),
        }
        let reads = self.courier.reads.iter().map(|stream| stream.lane);
        let is_read = |lane| attempts.get(&Attempt::Read(lane)).is_some_and(|outcome| outcome.answered);
        let unread: BTreeSet<Lane> = reads.filter(|lane| !is_read(*lane)).collect();
        // Those that get no answer first, then by urgency.
        let failing = attempts.iter().filter(|(_, outcome)| outcome.error.is_some());
        let worst = failing.min_by_key(|(attempt, outcome)| (outcome.answered, attempt.lane()));
        let error = worst.and_then(|(_, outcome)| outcome.error.clone());
        let connected = worst.map_or(!attempts.is_empty(), |(_, outcome)| outcome.answered);
        self.show(Connection { connected, unread, since: now, error });
    }

    fn show(&self, shown: Connection) {
        self.connection.send_if_modified(|connection| {
            let since = if connection.connected == shown.connected { connection.since } else { shown.since };
            let shown = Connection { since, ..shown };
            if *connection == shown {
                return false;
            }
            match &shown.error {
                error if *error == connection.error && shown.connected == connection.connected => {}
                // A component that starts has yet to connect: no news before the second attempt.
                Some(error) if connection.error.is_none() && !connection.connected => {
                    tracing::info!(%error, "the mesh can't be used yet");
                }
                Some(error) if shown.connected => {
                    tracing::warn!(%error, "the mesh answers, and can't be used")
                }
                Some(error) if connection.connected => tracing::warn!(%error, "the mesh is away"),
                None if shown.connected => tracing::info!("the mesh answers, and can be used"),
                _ => {}
            }
            *connection = shown;
            true
        });
    }
}

impl Attempt {
    fn to_read(reading: &Reading) -> Self {
        let lane = reading.stream.lane;
        if reading.words_of.is_some() { Self::Compare(lane) } else { Self::Read(lane) }
    }

    fn lane(self) -> Lane {
        match self {
            Self::Send(lane) | Self::Read(lane) | Self::Compare(lane) => lane,
        }
    }
}
