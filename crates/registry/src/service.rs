//! The Registry as a running component: its store, its courier, its HTTP interface.
//!
//! Who owns what: [`Service`] owns the courier, and with it the tasks that move letters; the store's
//! writer thread runs as long as anyone holds the store. [`Handle`] is what routes, the landscape in
//! one process, and tests change and ask the Registry by. No request waits for the mesh: what is to be
//! told waits in the outbox, whether the mesh answers or not.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openkcm_contracts::{KeyPath, Lane, RegionId, Revision, Timestamp};
use openkcm_host::{Clock, Entropy};
use openkcm_http::{Access, Readiness, metrics_registry};
use openkcm_orbital::outbox::{self, Depth};
use openkcm_orbital::{Connection, Courier, CourierHandle, Signer, Transport, Verifier};
use openkcm_store::{OpenOptions, Read, Store, StoreError, Write};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api;
use crate::commands::Failure;
use crate::inbox::{Inbox, streams};
use crate::metrics::Metrics;
use crate::queries::{self, Shown};
use crate::rules::{Landscape, Level, Outcome};
use crate::store::{self, KeyRecord, TenantRecord};

/// The component's name in metrics, and its store's identity.
const COMPONENT: &str = "registry";

/// The store's file in the data directory.
const STORE_FILE: &str = "registry.db";

/// The lanes that the Registry sends on.
pub(crate) const SENDS: [Lane; 2] = [Lane::Urgent, Lane::Facts];

/// How often the outbox is counted for the metrics, at most: counting reads all of it.
const COUNTING_RESTS: Duration = Duration::from_secs(1);

/// What an operator decides.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the store lies; made if it is not there.
    pub data_dir: PathBuf,
    /// The regions of the landscape.
    pub regions: BTreeSet<RegionId>,
    /// What opens the HTTP interface.
    pub access: Access,
}

/// What the component is handed: the mesh, its keys, time and chance.
#[derive(Clone)]
pub struct Surroundings {
    /// Who carries.
    pub transport: Arc<dyn Transport>,
    /// Signs what the Registry says.
    pub signer: Arc<Signer>,
    /// Believes what it hears.
    pub verifier: Arc<Verifier>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub entropy: Arc<dyn Entropy>,
}

/// Why the Registry can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory can't be made.
    #[error("the data directory {path} can't be made")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The store can't be opened.
    #[error("the registry's store can't be opened")]
    Store(#[source] StoreError),
}

/// A running Registry. It stops when this is dropped or [`Service::serve`] returns.
pub struct Service {
    handle: Handle,
    http: openkcm_http::Service,
    _courier: CourierHandle,
    _tasks: JoinSet<()>,
}

impl Service {
    /// Opens the store and starts to send and to hear. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the data directory or the store can't be used.
    pub fn start(options: Options, surroundings: Surroundings) -> Result<Self, StartError> {
        let store = open_store(&options.data_dir)?;
        let courier = courier(&store, &surroundings).start();
        let mut registry = metrics_registry(COMPONENT);
        let handle = Handle {
            store,
            landscape: Arc::new(Landscape { regions: options.regions }),
            clock: surroundings.clock.clone(),
            connection: courier.connection(),
            metrics: Metrics::register(&mut registry),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(count_waiting(handle.store.clone(), handle.metrics.clone()));
        let connection = courier.connection();
        let (router, document) = api::router(handle.clone());
        let mut http = openkcm_http::Options::new(COMPONENT, options.access, surroundings.clock);
        http.metrics = registry;
        http.ready = Arc::new(move || readiness(&connection.borrow()));
        let http = openkcm_http::Service::new(router, &document, http);
        Ok(Self { handle, http, _courier: courier, _tasks: tasks })
    }

    /// A handle to it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Its HTTP interface, to be driven without a socket.
    pub fn router(&self) -> axum::Router {
        self.http.clone().into_router()
    }

    /// Serves HTTP until `stop` is ready, lets requests that have begun end, and stops.
    ///
    /// # Errors
    /// When the listener can't be used.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) -> io::Result<()> {
        openkcm_http::serve(listener, self.http.clone(), stop).await
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("handle", &self.handle).finish_non_exhaustive()
    }
}

fn open_store(data_dir: &std::path::Path) -> Result<Store, StartError> {
    std::fs::create_dir_all(data_dir)
        .map_err(|source| StartError::DataDir { path: data_dir.into(), source })?;
    let options = OpenOptions {
        path: data_dir.join(STORE_FILE),
        identity: COMPONENT.into(),
        spaces: &[store::SPACES, openkcm_orbital::SPACES],
    };
    Store::open(&options).map_err(StartError::Store)
}

fn courier(store: &Store, surroundings: &Surroundings) -> Courier {
    let Surroundings { transport, signer, verifier, clock, entropy } = surroundings.clone();
    Courier {
        store: store.clone(),
        transport,
        signer,
        verifier,
        sends: SENDS.into(),
        reads: streams(),
        words: None,
        receiver: Arc::new(Inbox { store: store.clone() }),
        clock,
        entropy,
    }
}

/// The Registry is ready without the mesh; that it is away is worth telling.
fn readiness(connection: &Connection) -> Readiness {
    if connection.connected {
        return Readiness::ready();
    }
    let since = connection.since;
    Readiness::ready()
        .with_reason(format!("the mesh does not answer since {since}; changes wait in the outbox"))
}

/// Keeps the gauge of the outbox up: after each commit, at most once in [`COUNTING_RESTS`].
async fn count_waiting(store: Store, metrics: Metrics) {
    let mut commits = store.commits();
    loop {
        commits.borrow_and_update();
        match store.read(depths).await {
            Ok(depths) => depths.into_iter().for_each(|(lane, depth)| metrics.show_waiting(lane, depth)),
            Err(error) => tracing::warn!(%error, "the outbox could not be counted"),
        }
        tokio::time::sleep(COUNTING_RESTS).await;
        if commits.changed().await.is_err() {
            return;
        }
    }
}

fn depths(view: &dyn Read) -> Result<Vec<(Lane, Depth)>, StoreError> {
    SENDS.into_iter().map(|lane| Ok((lane, outbox::depth(view, lane)?))).collect()
}

/// What the Registry says of itself.
#[derive(Debug, Clone)]
pub struct Status {
    /// The regions of the landscape.
    pub regions: BTreeSet<RegionId>,
    /// The revision of its last change; counter 0 before the first.
    pub revision: Revision,
    /// What waits on each lane that it sends on.
    pub outbox: Vec<(Lane, Depth)>,
    /// Whether the mesh answers.
    pub mesh: Connection,
}

/// A running Registry, to change and to ask. Clones are handles to the same one.
#[derive(Clone)]
pub struct Handle {
    store: Store,
    landscape: Arc<Landscape>,
    clock: Arc<dyn Clock>,
    connection: watch::Receiver<Connection>,
    metrics: Metrics,
}

impl Handle {
    /// Runs a command about a tenant in a transaction of its own; it is synced to disk when this
    /// answers. The time is read inside, so that later revisions are not of earlier times while the
    /// clock runs forward.
    ///
    /// # Errors
    /// What the command fails with, or the store.
    pub async fn change_tenant(
        &self,
        command: impl FnOnce(&mut dyn Write, &Landscape, Timestamp) -> Result<Outcome<TenantRecord>, Failure>
        + Send
        + 'static,
    ) -> Result<Outcome<TenantRecord>, Failure> {
        let (landscape, clock) = (self.landscape.clone(), self.clock.clone());
        let outcome = self.store.write(move |tx| command(tx, &landscape, clock.now())).await?;
        self.metrics.count(Level::Tenant, &outcome);
        Ok(outcome)
    }

    /// Runs a command about a system or a service in a transaction of its own, and answers with what
    /// became of it. It is synced to disk when this answers.
    ///
    /// # Errors
    /// What the command fails with, or the store.
    pub async fn change_key(
        &self,
        path: KeyPath,
        command: impl FnOnce(&mut dyn Write, &KeyPath, Timestamp) -> Result<Outcome<KeyRecord>, Failure>
        + Send
        + 'static,
    ) -> Result<(Outcome<KeyRecord>, Shown<KeyRecord>), Failure> {
        let (clock, level) = (self.clock.clone(), Level::of(&path));
        let change = self.store.write(move |tx| {
            let outcome = command(tx, &path, clock.now())?;
            let shown = queries::key(tx.as_read(), &path)?;
            Ok::<_, Failure>((outcome, shown))
        });
        let (outcome, shown) = change.await?;
        self.metrics.count(level, &outcome);
        Ok((outcome, shown))
    }

    /// Asks a consistent view of the store.
    ///
    /// # Errors
    /// What the query fails with, or the store.
    pub async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&dyn Read) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.store.read(query).await
    }

    /// What the Registry says of itself.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn status(&self) -> Result<Status, Failure> {
        let (revision, outbox) = self.ask(|view| Ok((store::last_revision(view)?, depths(view)?))).await?;
        let mesh = self.connection.borrow().clone();
        Ok(Status { regions: self.landscape.regions.clone(), revision, outbox, mesh })
    }

    /// Whether the mesh answers, and since when.
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.clone()
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("store", &self.store).finish_non_exhaustive()
    }
}
