//! The Core as a running component: its store, its courier, its control loop, its HTTP interface.
//!
//! Who owns what: one task, the control loop, takes inputs in order and is the only one that settles;
//! it holds the lock of the control state for the length of one step. Requests of the data plane take
//! no lock and go through no task. A revoke closes its tenant's gate before it waits for anything.

mod control_loop;
mod handle;
mod provider;
mod receiver;

pub use handle::{Handle, MeshView, RotateFailure, Status, SystemView, TenantView};

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openkcm_contracts::{Audience, Lane, RegionId};
use openkcm_host::{Clock, Entropy};
use openkcm_http::{Access, Limits, Readiness, metrics_registry};
use openkcm_orbital::{Connection, Courier, CourierHandle, Signer, Stream, Transport, Verifier};
use openkcm_roots::Roots;
use openkcm_store::{OpenOptions, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::api;
use crate::control::Core;
use crate::data::DataPlane;
use crate::keyring::Keyring;
use crate::store;
use control_loop::{ControlLoop, Input};
use provider::Provider;
use receiver::MeshReceiver;

/// The component's name in metrics.
const COMPONENT: &str = "krypton";

/// The store's file in the data directory.
const STORE_FILE: &str = "krypton.db";

/// Inputs that may wait for the control loop; whoever brings more waits.
const MAX_WAITING_INPUTS: usize = 1024;

/// How long a Core that starts waits for the mesh before it makes what it lacks. What is missing may
/// only be on its way; but a Core that is cut off must be able to go on.
const HYDRATION_PATIENCE: Duration = Duration::from_secs(5);

/// How long a Core that starts reads a mesh that answers before it makes what it lacks: ten million sealed
/// versions are read in less. A mesh that answers and never comes to an end must not keep it from rotating.
const HYDRATION_LIMIT: Duration = Duration::from_secs(3600);

/// What an operator decides.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the store lies; made if it is not there.
    pub data_dir: PathBuf,
    /// The region that this Core serves.
    pub region: RegionId,
    /// What opens the HTTP interface.
    pub access: Access,
}

/// What the component is handed: the mesh, the providers, its keys, time and chance.
#[derive(Clone)]
pub struct Surroundings {
    /// Who carries.
    pub transport: Arc<dyn Transport>,
    /// The L1 providers.
    pub roots: Roots,
    /// Signs what the Core says.
    pub signer: Arc<Signer>,
    /// Believes what it hears.
    pub verifier: Arc<Verifier>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Key material, nonces, jitter.
    pub entropy: Arc<dyn Entropy>,
}

/// Why the Core can't start.
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
    /// The store can't be opened or read.
    #[error("the Core's store can't be used")]
    Store(#[source] StoreError),
}

/// A running Core. It stops when this is dropped or [`Service::serve`] returns.
pub struct Service {
    handle: Handle,
    http: openkcm_http::Service,
    _courier: Arc<CourierHandle>,
    _tasks: JoinSet<()>,
}

impl Service {
    /// Opens the store, settles what is held, and starts to send, to hear and to act. Needs a tokio
    /// runtime. Waits for no other component.
    ///
    /// # Errors
    /// When the data directory or the store can't be used.
    pub async fn start(options: Options, surroundings: Surroundings) -> Result<Self, StartError> {
        let store = open_store(&options.data_dir, &options.region)?;
        let keyring = Arc::new(Keyring::default());
        let core = Core::new(options.region.clone(), keyring.clone(), surroundings.entropy.clone());
        let core = Arc::new(Mutex::new(core));
        let (inputs, queue) = mpsc::channel(MAX_WAITING_INPUTS);
        let (settled_sender, settled) = watch::channel(0);
        let receiver = MeshReceiver { keyring: keyring.clone(), inputs: inputs.clone() };
        let mut control = ControlLoop {
            core: core.clone(),
            store: store.clone(),
            clock: surroundings.clock.clone(),
            provider: Provider::new(surroundings.roots.clone(), inputs.clone()),
            queue,
            settled: settled_sender,
            rotations: std::collections::HashMap::new(),
            unsettled: false,
            started: false,
            seen: surroundings.clock.now(),
        };
        control.start().await.map_err(StartError::Store)?;
        let courier = Arc::new(courier(&store, &options.region, Arc::new(receiver), &surroundings).start());
        let mut tasks = JoinSet::new();
        tasks.spawn(control.run());
        tasks.spawn(tell_when_hydrated(courier.clone(), inputs.clone()));
        let handle = Handle {
            region: options.region,
            core,
            keyring: keyring.clone(),
            data: DataPlane::new(keyring, surroundings.entropy.clone()),
            store,
            clock: surroundings.clock.clone(),
            connection: courier.connection(),
            inputs,
            settled,
        };
        let http = http_service(&handle, options.access, &courier, surroundings.clock);
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
        f.debug_struct("Service").field("region", &self.handle.region).finish_non_exhaustive()
    }
}

fn http_service(
    handle: &Handle,
    access: Access,
    courier: &CourierHandle,
    clock: Arc<dyn Clock>,
) -> openkcm_http::Service {
    let mut registry = metrics_registry(COMPONENT);
    crate::metrics::register(&mut registry, handle);
    let connection = courier.connection();
    let mut http = openkcm_http::Options::new(COMPONENT, access, clock);
    http.metrics = registry;
    http.limits = Limits::DATA_PLANE;
    http.ready = Arc::new(move || {
        let mesh = connection.borrow();
        if mesh.connected {
            return Readiness::ready();
        }
        Readiness::ready()
            .with_reason(format!("the mesh does not answer since {}; what is held is served", mesh.since))
    });
    let (router, document) = api::router(handle.clone());
    openkcm_http::Service::new(router, &document, http)
}

fn open_store(data_dir: &Path, region: &RegionId) -> Result<Store, StartError> {
    std::fs::create_dir_all(data_dir)
        .map_err(|source| StartError::DataDir { path: data_dir.into(), source })?;
    let options = OpenOptions {
        path: data_dir.join(STORE_FILE),
        identity: format!("{COMPONENT}/{region}"),
        spaces: &[store::SPACES, openkcm_orbital::SPACES],
    };
    Store::open(&options).map_err(StartError::Store)
}

fn courier(
    store: &Store,
    region: &RegionId,
    receiver: Arc<MeshReceiver>,
    surroundings: &Surroundings,
) -> Courier {
    let Surroundings { transport, signer, verifier, clock, entropy, .. } = surroundings.clone();
    let own = |lane| Stream { lane, audience: Audience::Region(region.clone()) };
    Courier {
        store: store.clone(),
        transport,
        signer,
        verifier,
        sends: vec![Lane::Sealed],
        reads: vec![
            own(Lane::Urgent),
            own(Lane::Facts),
            Stream { lane: Lane::Sealed, audience: Audience::Cores },
        ],
        words: None,
        receiver,
        clock,
        entropy,
    }
}

/// Lets the Core make what it lacks once the mesh was read, or is away for too long.
async fn tell_when_hydrated(courier: Arc<CourierHandle>, inputs: mpsc::Sender<Input>) {
    read_or_away(&courier.connection(), || courier.hydrated()).await;
    // The loop has ended: the Core is stopping.
    let _ = inputs.send(Input::Hydrated).await;
}

/// Waits until the mesh was read to its end. One that answers is waited for while it has more to tell: a
/// region that lost its disk would else make anew what the mesh is about to give it back.
async fn read_or_away<F: Future<Output = ()>>(
    connection: &watch::Receiver<Connection>,
    hydrated: impl Fn() -> F,
) {
    for _ in 0..HYDRATION_LIMIT.as_secs() / HYDRATION_PATIENCE.as_secs() {
        if tokio::time::timeout(HYDRATION_PATIENCE, hydrated()).await.is_ok() {
            return;
        }
        if !connection.borrow().connected {
            break;
        }
    }
    tracing::warn!("the mesh could not be read to its end yet; going on with what is held");
}

#[cfg(test)]
mod tests {
    use openkcm_contracts::Timestamp;

    use super::*;

    fn connection(connected: bool) -> Connection {
        Connection { connected, since: Timestamp::from_millis(0), error: None }
    }

    #[tokio::test(start_paused = true)]
    async fn a_mesh_that_answers_is_read_to_its_end_and_one_that_is_away_is_not_waited_for() {
        let (sender, receiver) = watch::channel(connection(false));
        read_or_away(&receiver, std::future::pending).await;
        sender.send_replace(connection(true));
        let most = HYDRATION_LIMIT - HYDRATION_PATIENCE;
        let long = tokio::time::timeout(most, read_or_away(&receiver, std::future::pending)).await;
        assert!(long.is_err(), "it answers, and has not told all");
        read_or_away(&receiver, std::future::pending).await;
        read_or_away(&receiver, || async {}).await;
    }
}
