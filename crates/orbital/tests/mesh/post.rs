//! Two components and a mesh between them, for the courier's tests: an author, and a receiver that can be made to
//! fail. Nothing waits for time to pass: it waits for what must happen, and fails loudly when it does not.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use openkcm_contracts::{Lane, Meeting, Revision, meet};
use openkcm_host::{BootInstant, Entropy, ManualClock, SeededEntropy};
use openkcm_orbital::outbox::{self, Waiting};
use openkcm_orbital::{
    Courier, CourierHandle, Embedded, Intake, Letter, Message, Position, Published, Receiver, SPACES, Stream,
    Transport,
};
use openkcm_store::{OpenOptions, Read, Space, Store, StoreError, Table, Write};

use crate::fixture::{Landscape, NOW, region};

/// Long enough for the slowest machine; what takes longer stands still.
const PATIENCE: Duration = Duration::from_secs(60);

/// By subject: the fact that the receiver holds.
pub(crate) const FACTS: Table<Fact> = Table::new("facts");

pub(crate) type Fact = (Revision, String);

/// The streams that region `a` reads.
pub(crate) fn reads() -> Vec<Stream> {
    [Lane::Urgent, Lane::Facts].map(|lane| Stream { lane, audience: region("a") }).into()
}

/// Waits for something that must happen.
pub(crate) async fn soon<T>(what: &str, happening: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, happening).await.unwrap_or_else(|_| panic!("it never came that {what}"))
}

/// Waits until a store's content is as it must become.
pub(crate) async fn until<T: Send + 'static>(
    store: &Store,
    what: &str,
    condition: impl Fn(&dyn Read) -> Result<Option<T>, StoreError> + Send + Sync + Clone + 'static,
) -> T {
    let mut commits = store.commits();
    let happening = async {
        loop {
            commits.borrow_and_update();
            if let Some(found) = store.read(condition.clone()).await.expect("the store can be read") {
                return found;
            }
            commits.changed().await.expect("the store is open");
        }
    };
    soon(what, happening).await
}

/// Waits on the receiver's store until it holds exactly these facts.
pub(crate) async fn until_held(store: &Store, expected: &[Letter]) {
    let expected: BTreeMap<String, Fact> = expected
        .iter()
        .map(|letter| (letter.subject.clone(), (letter.revision, letter.body.clone())))
        .collect();
    let condition = move |view: &dyn Read| {
        let held: BTreeMap<_, _> = FACTS.list(view, "", None, usize::MAX)?.into_iter().collect();
        Ok((held == expected).then_some(()))
    };
    until(store, "the receiver holds what was told", condition).await;
}

/// Waits on the author's store until nothing waits in its outbox.
pub(crate) async fn until_told(store: &Store) {
    let condition = |view: &dyn Read| {
        let mut waiting = 0;
        for lane in Lane::ALL {
            waiting += outbox::waiting(view, lane, 1)?.len();
        }
        Ok((waiting == 0).then_some(()))
    };
    until(store, "the outbox is empty", condition).await;
}

pub(crate) async fn put(store: &Store, letters: Vec<Letter>) {
    let change = move |tx: &mut dyn Write| letters.iter().try_for_each(|letter| outbox::put(tx, letter));
    store.write(change).await.expect("the store takes letters");
}

/// No wait between tries: backing off is not what these tests are about.
struct NoJitter;

impl Entropy for NoJitter {
    fn fill(&self, dest: &mut [u8]) {
        dest.fill(0);
    }
}

/// A mesh, an author's store and a receiver's, and the landscape's keys.
pub(crate) struct Post {
    _directory: tempfile::TempDir,
    pub(crate) mesh: Arc<Embedded>,
    pub(crate) author: Store,
    pub(crate) receiver: Arc<Component>,
}

impl Post {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mesh = Embedded::open(&directory.path().join("mesh.db"), &SeededEntropy::new(1)).await;
        Self {
            mesh: Arc::new(mesh.expect("the mesh opens")),
            author: open(directory.path(), "author"),
            receiver: Arc::new(Component::new(open(directory.path(), "receiver"))),
            _directory: directory,
        }
    }

    /// Starts to send what the author, which is the Registry, says on the urgent lane and on that of facts.
    pub(crate) fn send(&self, over: Arc<dyn Transport>) -> CourierHandle {
        self.send_as(over, Arc::new(Unmoved))
    }

    pub(crate) fn send_as(&self, over: Arc<dyn Transport>, author: Arc<dyn Receiver>) -> CourierHandle {
        courier(self.author.clone(), over, author, vec![Lane::Urgent, Lane::Facts], Vec::new())
    }

    /// Starts to read region `a`'s streams.
    pub(crate) fn read(&self, over: Arc<dyn Transport>) -> CourierHandle {
        let (store, receiver) = (self.receiver.store.clone(), self.receiver.clone());
        courier(store, over, receiver, Vec::new(), reads())
    }

    /// Starts to read region `a`'s streams, and to send the sealed copies that wait there.
    pub(crate) fn core(&self, over: Arc<dyn Transport>) -> CourierHandle {
        let (store, receiver) = (self.receiver.store.clone(), self.receiver.clone());
        courier(store, over, receiver, vec![Lane::Sealed], reads())
    }

    /// Publishes past any outbox.
    pub(crate) async fn publish(&self, messages: Vec<Message>) {
        self.mesh.publish(messages).await.expect("the mesh takes messages");
    }
}

fn open(directory: &Path, identity: &str) -> Store {
    let path = directory.join(format!("{identity}.db"));
    const OWN: &[Space] = &[FACTS.space()];
    Store::open(&OpenOptions { path, identity: identity.into(), spaces: &[SPACES, OWN] })
        .expect("the store opens")
}

fn courier(
    store: Store,
    transport: Arc<dyn Transport>,
    receiver: Arc<dyn Receiver>,
    sends: Vec<Lane>,
    reads: Vec<Stream>,
) -> CourierHandle {
    let landscape = Landscape::new();
    let verifier = Arc::new(landscape.verifier());
    Courier {
        store,
        transport,
        signer: Arc::new(landscape.registry),
        verifier,
        sends,
        reads,
        words: None,
        receiver,
        clock: Arc::new(ManualClock::new(NOW, BootInstant::from_nanos(0))),
        entropy: Arc::new(NoJitter),
    }
    .start()
}

/// A component that only speaks.
pub(crate) struct Unmoved;

#[async_trait]
impl Receiver for Unmoved {
    async fn receive(&self, _: Intake) -> Result<(), StoreError> {
        unreachable!("it reads no stream")
    }
}

/// What a receiver does with an intake, other than taking it.
pub(crate) enum Mishap {
    /// Its store does not take it.
    Refuse,
    /// It has a defect.
    Panic,
    /// Its store takes it, and the answer is lost.
    TakeAndFail,
}

/// A component that applies facts by their revision, and fails as it is told to.
pub(crate) struct Component {
    pub(crate) store: Store,
    /// On these lanes it never comes back.
    pub(crate) stuck: Mutex<Vec<Lane>>,
    pub(crate) mishaps: Mutex<VecDeque<Mishap>>,
    /// Everything that it was handed: stream, ids of the events, position.
    pub(crate) handed: Mutex<Vec<Handed>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handed {
    pub(crate) stream: Stream,
    pub(crate) revisions: Vec<Revision>,
    pub(crate) position: Option<Position>,
}

impl Component {
    fn new(store: Store) -> Self {
        Self { store, stuck: Mutex::default(), mishaps: Mutex::default(), handed: Mutex::default() }
    }

    pub(crate) fn will(&self, mishaps: impl IntoIterator<Item = Mishap>) {
        self.mishaps.lock().expect("no panic holds it").extend(mishaps);
    }

    pub(crate) fn handed(&self) -> Vec<Handed> {
        self.handed.lock().expect("no panic holds it").clone()
    }

    async fn take(&self, intake: Intake) -> Result<(), StoreError> {
        self.store
            .write(move |tx| {
                for verified in &intake.events {
                    let subject = verified.event.subject().to_string();
                    let body = String::from_utf8(verified.event.to_body()).expect("JSON");
                    let held = FACTS.get(tx.as_read(), &subject)?;
                    let held = held.as_ref().map(|(revision, body)| (*revision, body));
                    let meeting: Meeting = meet(held, (verified.revision, &body));
                    if meeting.replaces() {
                        FACTS.put(tx, &subject, &(verified.revision, body))?;
                    }
                }
                intake.record(tx)
            })
            .await
    }
}

#[async_trait]
impl Receiver for Component {
    async fn receive(&self, intake: Intake) -> Result<(), StoreError> {
        self.handed.lock().expect("no panic holds it").push(Handed {
            stream: intake.stream.clone(),
            revisions: intake.events.iter().map(|verified| verified.revision).collect(),
            position: intake.position.clone(),
        });
        if self.stuck.lock().expect("no panic holds it").contains(&intake.stream.lane) {
            std::future::pending::<()>().await;
        }
        let mishap = match intake.events.len() + intake.poison.len() {
            0 => None,
            _ => self.mishaps.lock().expect("no panic holds it").pop_front(),
        };
        match mishap {
            None => self.take(intake).await,
            Some(Mishap::Refuse) => Err(StoreError::Closed),
            Some(Mishap::Panic) => panic!("a defect of the receiver, on purpose"),
            Some(Mishap::TakeAndFail) => self.take(intake).await.and(Err(StoreError::Closed)),
        }
    }
}

/// Remembers what it was told, and its store refuses as often as it says.
#[derive(Default)]
pub(crate) struct Author {
    pub(crate) refusals: Mutex<usize>,
    pub(crate) told: Mutex<Vec<Waiting>>,
}

#[async_trait]
impl Receiver for Author {
    async fn receive(&self, _: Intake) -> Result<(), StoreError> {
        unreachable!("it reads no stream")
    }

    async fn told(&self, letters: &[Waiting], _: &[Published]) -> Result<(), StoreError> {
        self.told.lock().expect("no panic holds it").extend_from_slice(letters);
        let mut refusals = self.refusals.lock().expect("no panic holds it");
        if *refusals == 0 {
            return Ok(());
        }
        *refusals -= 1;
        Err(StoreError::Closed)
    }
}
