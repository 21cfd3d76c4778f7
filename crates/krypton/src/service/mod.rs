//! The Core as a running component: its store, its way to the mesh, its control loop, its HTTP interface.
//!
//! Who owns what: one task, the control loop, takes inputs in order and is the only one that settles;
//! it holds the lock of the control state for the length of one step. Requests of the data plane take
//! no lock and go through no task. A revoke closes its tenant's gate before it waits for anything.

mod answers;
mod control_loop;
mod handle;
mod manifests;
pub(crate) mod provider;
pub(crate) mod purges;
mod receiver;
mod warm_up;

pub use handle::{Handle, RotateFailure, Status, SystemView, TenantView};
pub use provider::LineView;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openkcm_component::{Mesh, MeshHandle, Plan, Running, StartError, Traffic, http_options, open_store};
use openkcm_contracts::{Audience, Lane, RegionId};
use openkcm_http::{Access, Limits, Readiness, metrics_registry};
use openkcm_orbital::{Receiver, Stream};
use openkcm_roots::Roots;
use openkcm_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::api;
use crate::control::Core;
use crate::data::DataPlane;
use crate::keyring::Keyring;
use crate::rules::{LeasePolicy, Moment, PacePolicy, PurgePolicy};
use crate::store;
use answers::Answers;
use control_loop::{ControlLoop, Input};
use manifests::Manifests;
use provider::Provider;
use purges::Purges;
use receiver::MeshReceiver;

/// The component's name in metrics.
const COMPONENT: &str = "krypton";

/// Inputs that may wait for the control loop; whoever brings more waits.
const MAX_WAITING_INPUTS: usize = 1024;

/// How long a Core that starts waits for the mesh before it makes what it lacks. What is missing may
/// only be on its way; but a Core that is cut off must be able to go on.
const HYDRATION_PATIENCE: Duration = Duration::from_secs(5);

/// How long a Core that starts reads a mesh that answers before it makes what it lacks: ten million sealed
/// versions are read in less. A mesh that answers and never comes to an end must not keep it from rotating.
const HYDRATION_LIMIT: Duration = Duration::from_secs(3600);

/// How long another root of a link is waited for, unless an operator decides otherwise: long enough that a weekend passes
/// with someone looking.
pub const CHANGE_WAIT: Duration = Duration::from_secs(72 * 3600);

/// What an operator decides.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the store lies; made if it is not there.
    pub data_dir: PathBuf,
    /// The region that this Core serves.
    pub region: RegionId,
    /// What opens the HTTP interface.
    pub access: Access,
    /// How leases are dealt with here.
    pub leases: LeasePolicy,
    /// How long it waits before it destroys, and how much at once.
    pub purge: PurgePolicy,
    /// The longest pause between two probes of a tenant's L1.
    pub probed_every: Duration,
    /// How long a root that comes into a tenant's link is waited for before anything is sealed to it, where the tenant's
    /// owner has not signed for it.
    pub change_wait: Duration,
    /// How fast each L1 provider is asked.
    pub pace: PacePolicy,
}

/// What the component is handed: the providers, and what every component is.
#[derive(Clone)]
pub struct Surroundings {
    /// The L1 providers.
    pub roots: Roots,
    /// The mesh, its keys, time and chance; key material and nonces come of that too.
    pub common: openkcm_component::Surroundings,
}

/// A running Core. It stops when this is dropped or [`Service::serve`] returns.
pub struct Service {
    handle: Handle,
    running: Running,
}

impl Service {
    /// Opens the store, settles what is held, and starts to send, to hear and to act. Needs a tokio
    /// runtime. Waits for no other component.
    ///
    /// # Errors
    /// When the data directory or the store can't be used.
    pub async fn start(options: Options, surroundings: Surroundings) -> Result<Self, StartError> {
        let Options { data_dir, region, access, leases, purge, probed_every, pace, change_wait } = options;
        let Surroundings { roots, common } = surroundings;
        let store = open_store(&data_dir, COMPONENT, Some(&region), store::SPACES)?;
        let now = Moment::of(&*common.clock);
        begin(&store, leases, now).await?;
        let keyring = Arc::new(Keyring::new(common.clock.clone()));
        let core = Core::new(region.clone(), keyring.clone(), common.entropy.clone())
            .with_leases(leases)
            .with_probes(probed_every);
        let core = Arc::new(Mutex::new(core));
        let (inputs, queue) = mpsc::channel(MAX_WAITING_INPUTS);
        let ((settled_sender, settled), traffic) = (watch::channel(0), Traffic::default());
        let provider = Provider::new(roots, pace, common.clock.clone(), keyring.clone(), inputs.clone());
        let turns = provider.turns();
        let mut control = ControlLoop {
            core: core.clone(),
            store: store.clone(),
            clock: common.clock.clone(),
            provider,
            queue,
            intakes: std::collections::VecDeque::new(),
            traffic: traffic.clone(),
            settled: settled_sender,
            rotations: std::collections::HashMap::new(),
            unsettled: false,
            to_catch_up: false,
            started: false,
            seen: common.clock.now(),
        };
        control.start().await?;
        let answers = answers(&store, &region, &common);
        let (receiving, telling) = (inputs.clone(), answers.clone());
        let receiver =
            Arc::new(MeshReceiver { keyring: keyring.clone(), inputs: receiving, answers: telling });
        let mesh = Mesh::start(plan(&store, &region, receiver, traffic), &common);
        let mut tasks = JoinSet::new();
        tasks.spawn(control.run());
        tasks.spawn(manifests(&answers, &core).run());
        let purges = purges(&answers, (purge, change_wait), inputs.clone());
        let purges_shown = purges.shown.clone();
        tasks.spawn(purges.run());
        tasks.spawn(answers.recount());
        tasks.spawn(tell_when_hydrated(mesh.handle(), inputs.clone()));
        tasks.spawn(tell_when_caught_up(mesh.handle(), region.clone(), inputs.clone()));
        let handle = Handle {
            region,
            core,
            keyring: keyring.clone(),
            data: DataPlane::new(keyring, common.entropy.clone()),
            store,
            clock: common.clock.clone(),
            mesh: mesh.handle(),
            inputs,
            settled,
            turns,
            purge,
            change_wait,
            purges_shown,
        };
        let mut registry = metrics_registry(COMPONENT);
        crate::metrics::register(&mut registry, &handle);
        let mut http = http_options(COMPONENT, access, common.clock, &handle.mesh, registry);
        http.limits = Limits::DATA_PLANE;
        http.ready = ready(&handle);
        let (router, document) = api::router(handle.clone());
        Ok(Self { handle, running: Running::new((router, &document), http, mesh, tasks) })
    }

    /// A handle to it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Its HTTP interface, to be driven without a socket.
    pub fn router(&self) -> axum::Router {
        self.running.router()
    }

    /// Serves HTTP until `stop` is ready, lets requests that have begun end, and stops.
    ///
    /// # Errors
    /// When the listener can't be used.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) -> io::Result<()> {
        self.running.serve(listener, stop).await
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("region", &self.handle.region).finish_non_exhaustive()
    }
}

/// Begins a start in the store.
async fn begin(store: &Store, leases: LeasePolicy, now: Moment) -> Result<(), StoreError> {
    for tenant in store.write(move |tx| store::begin(tx, &leases, &now)).await? {
        tracing::warn!(%tenant, "the link was changed while this Core was not running, by something else");
    }
    Ok(())
}

/// What answers authorities, and recounts.
fn answers(store: &Store, region: &RegionId, common: &openkcm_component::Surroundings) -> Answers {
    Answers {
        store: store.clone(),
        region: region.clone(),
        clock: common.clock.clone(),
        entropy: common.entropy.clone(),
    }
}

/// What tells manifests, beside what answers.
fn manifests(answers: &Answers, core: &Arc<Mutex<Core>>) -> Manifests {
    let Answers { store, region, clock, entropy } = answers.clone();
    Manifests { store, core: core.clone(), region, clock, entropy }
}

/// What destroys.
fn purges(
    answers: &Answers,
    (policy, change_wait): (PurgePolicy, Duration),
    inputs: mpsc::Sender<Input>,
) -> Purges {
    let Answers { store, region, clock, .. } = answers.clone();
    Purges { store, region, policy, change_wait, clock, inputs, shown: purges::Shown::default() }
}

/// What a region hears on a lane of its own.
fn own_stream(region: &RegionId, lane: Lane) -> Stream {
    Stream { lane, audience: Audience::Region(region.clone()) }
}

/// What a Core says and hears.
fn plan(store: &Store, region: &RegionId, receiver: Arc<dyn Receiver>, traffic: Traffic) -> Plan {
    let own = |lane| own_stream(region, lane);
    let peers = Stream { lane: Lane::Sealed, audience: Audience::Cores };
    Plan {
        store: store.clone(),
        sends: vec![Lane::Sealed, Lane::Manifests],
        reads: vec![own(Lane::Urgent), own(Lane::Facts), own(Lane::Manifests), peers],
        words: None,
        receiver,
        traffic,
    }
}

/// Lets the Core make what it lacks once the mesh was read, or is away for too long.
async fn tell_when_hydrated(mesh: MeshHandle, inputs: mpsc::Sender<Input>) {
    // A region that lost its disk would else make anew what the mesh is about to give it back.
    if !mesh.read_or_away(HYDRATION_PATIENCE, HYDRATION_LIMIT).await {
        tracing::warn!("the mesh could not be read to its end yet; going on with what is held");
    }
    // The loop has ended: the Core is stopping.
    let _ = inputs.send(Input::Hydrated).await;
}

/// Lets a Core serve that is to read first: when it has read what ends things, definitions and tombstones, links and revokes.
async fn tell_when_caught_up(mesh: MeshHandle, region: RegionId, inputs: mpsc::Sender<Input>) {
    let ends = [Lane::Urgent, Lane::Facts].map(|lane| own_stream(&region, lane));
    mesh.read(&ends).await;
    // As above.
    let _ = inputs.send(Input::CaughtUp).await;
}

/// A Core is ready while it has a lease, whatever becomes of the mesh.
fn ready(handle: &Handle) -> Arc<dyn Fn() -> Readiness + Send + Sync> {
    let handle = handle.clone();
    Arc::new(move || handle.mesh.readiness().and(handle.lease_readiness()))
}
