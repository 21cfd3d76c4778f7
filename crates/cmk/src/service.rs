//! The thin shell around the rules: the store, the courier, the HTTP service.
//!
//! Who owns what: the store's one writer orders all changes; the courier's tasks move letters and
//! messages; one task measures the outbox; requests only read or hand a command to the writer. Nothing
//! here waits for the mesh or for another component, except `Handle::hydrated`, for those who want to.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openkcm_contracts::{Audience, Lane};
use openkcm_host::{Clock, Entropy};
use openkcm_http::{Access, Readiness, metrics_registry};
use openkcm_orbital::{
    Connection, Courier, CourierHandle, Intake, Receiver, Signer, Stream, Transport, Verifier,
};
use openkcm_roots::Roots;
use openkcm_store::{OpenOptions, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::{self, Context};
use crate::inbox::{self, Applied};
use crate::metrics::{Metrics, SENDS};
use crate::status::{Observer, Status};
use crate::store;

/// The store's file in the component's data directory.
const STORE_FILE: &str = "cmk.db";

/// Whose store it is.
const IDENTITY: &str = "cmk";

/// The shortest time between two measurements of the outbox: counting a long one takes milliseconds,
/// and scrapers come less often.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// What a CMK Server is made with.
pub struct Options {
    /// Its data directory; made if there is none.
    pub data_dir: PathBuf,
    /// What opens its HTTP interface.
    pub access: Access,
}

/// What the component is handed: the mesh, the providers, its keys, time and chance.
#[derive(Clone)]
pub struct Surroundings {
    /// The L1 providers that it can ask.
    pub roots: Roots,
    /// The mesh.
    pub transport: Arc<dyn Transport>,
    /// Signs what it says.
    pub signer: Arc<Signer>,
    /// Believes what it hears.
    pub verifier: Arc<Verifier>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub entropy: Arc<dyn Entropy>,
}

/// Why a CMK Server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory can't be made.
    #[error("the data directory {path} can't be made")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A CMK Server that is open: it hears and tells. [`Service::serve`] makes it answer requests too. It
/// stops when it is dropped.
pub struct Service {
    http: openkcm_http::Service,
    handle: Handle,
    tasks: JoinSet<()>,
}

/// A running CMK Server, as others in the process see it. The store closes when the service and all of
/// its handles are gone.
#[derive(Clone)]
pub struct Handle {
    observer: Observer,
    hydrated: watch::Receiver<bool>,
}

impl Service {
    /// Opens the store, and starts to hear and to tell. It waits for nobody: a mesh that is away comes
    /// when it comes. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the data directory or the store can't be used.
    pub fn start(options: Options, surroundings: Surroundings) -> Result<Self, StartError> {
        let store = open_store(&options.data_dir)?;
        let mut registry = metrics_registry(IDENTITY);
        let metrics = Metrics::register(&mut registry);
        let courier = start_courier(&surroundings, &store, &metrics);
        let observer = Observer {
            store: store.clone(),
            connection: courier.connection(),
            clock: surroundings.clock.clone(),
        };
        let (hydrated_sender, hydrated) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(keep(courier, hydrated_sender));
        tasks.spawn(measure(store.clone(), metrics.clone()));
        let mut http = openkcm_http::Options::new(IDENTITY, options.access, surroundings.clock.clone());
        http.metrics = registry;
        http.ready = readiness(observer.connection.clone());
        let context = Context {
            store,
            roots: surroundings.roots,
            clock: surroundings.clock,
            metrics,
            observer: observer.clone(),
        };
        let http = openkcm_http::Service::new(api::router(context), &api::openapi(), http);
        Ok(Self { http, handle: Handle { observer, hydrated }, tasks })
    }

    /// A handle to this CMK Server.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Answers requests on this listener until `shutdown` is ready, then lets those that have begun end,
    /// and stops to hear and to tell.
    ///
    /// # Errors
    /// When the listener can't be used.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> std::io::Result<()> {
        let served = openkcm_http::serve(listener, self.http, shutdown).await;
        self.tasks.shutdown().await;
        served
    }
}

impl Handle {
    /// How it is.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn status(&self) -> Result<Status, StoreError> {
        self.observer.status().await
    }

    /// Waits until it has read all that the mesh held for it. Never returns while the mesh is away:
    /// whoever waits must be able to go on without.
    pub async fn hydrated(&self) {
        let mut hydrated = self.hydrated.clone();
        if hydrated.wait_for(|hydrated| *hydrated).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The streams that the CMK Server reads.
pub(crate) fn reads() -> Vec<Stream> {
    vec![
        Stream { lane: Lane::Facts, audience: Audience::Cmk },
        Stream { lane: Lane::Manifests, audience: Audience::Authorities },
    ]
}

fn open_store(data_dir: &Path) -> Result<Store, StartError> {
    std::fs::create_dir_all(data_dir)
        .map_err(|source| StartError::DataDir { path: data_dir.to_path_buf(), source })?;
    Ok(Store::open(&OpenOptions {
        path: data_dir.join(STORE_FILE),
        identity: IDENTITY.into(),
        spaces: &[store::SPACES, openkcm_orbital::SPACES],
    })?)
}

fn start_courier(surroundings: &Surroundings, store: &Store, metrics: &Metrics) -> CourierHandle {
    let ear = Ear { store: store.clone(), metrics: metrics.clone(), clock: surroundings.clock.clone() };
    let courier = Courier {
        store: store.clone(),
        transport: surroundings.transport.clone(),
        signer: surroundings.signer.clone(),
        verifier: surroundings.verifier.clone(),
        sends: SENDS.to_vec(),
        reads: reads(),
        words: None,
        receiver: Arc::new(ear),
        clock: surroundings.clock.clone(),
        entropy: surroundings.entropy.clone(),
    };
    courier.start()
}

/// Ready as soon as it is open, whatever the mesh does: what is to be told waits in the outbox.
fn readiness(connection: watch::Receiver<Connection>) -> Arc<dyn Fn() -> Readiness + Send + Sync> {
    Arc::new(move || {
        let connection = connection.borrow();
        if connection.connected {
            return Readiness::ready();
        }
        Readiness::ready().with_reason(format!("the mesh is away since {}", connection.since))
    })
}

/// Keeps the courier for as long as the service lives.
async fn keep(courier: CourierHandle, hydrated: watch::Sender<bool>) {
    courier.hydrated().await;
    hydrated.send_replace(true);
    std::future::pending::<()>().await;
}

/// Keeps the outbox's metrics near the truth.
async fn measure(store: Store, metrics: Metrics) {
    let mut commits = store.commits();
    loop {
        commits.borrow_and_update();
        if let Err(error) = metrics.measure_outbox(&store).await {
            tracing::warn!(%error, "the outbox was not measured");
        }
        tokio::time::sleep(MEASURE_EVERY).await;
        if commits.changed().await.is_err() {
            return;
        }
    }
}

/// Hears what the courier brings.
struct Ear {
    store: Store,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Receiver for Ear {
    async fn receive(&self, intake: Intake) -> Result<(), StoreError> {
        let now = self.clock.now();
        let applied = self.store.write(move |tx| {
            let applied: Result<Vec<Applied>, StoreError> =
                intake.events.iter().map(|event| inbox::apply(tx, event, now)).collect();
            intake.record(tx)?;
            applied
        });
        for applied in applied.await? {
            if let Applied::Tenant { unlinked: Some(reason), .. } = applied {
                self.metrics.unlinked(reason);
            }
        }
        Ok(())
    }
}
