//! The thin shell around the rules: the store, the way to the mesh, the HTTP service.
//!
//! Who owns what: the store's one writer orders all changes; the mesh's tasks move letters and messages;
//! requests only read or hand a command to the writer. Nothing here waits for the mesh or for another
//! component, except `Handle::hydrated`, for those who want to.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openkcm_component::{
    Mesh, MeshHandle, Plan, Running, StartError, Traffic, drift, http_options, open_store,
};
use openkcm_contracts::{Lane, RegionId, Role};
use openkcm_http::{Access, metrics_registry};
use openkcm_orbital::Words;
use openkcm_orbital::nats::layout::Layout;
use openkcm_roots::Roots;
use openkcm_store::StoreError;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::{self, Context};
use crate::inbox::{Ear, streams};
use crate::metrics::Metrics;
use crate::prober::{Counts, Prober};
use crate::rules::{Landscape, LeaseTerms};
use crate::status::{Observer, Status};
use crate::{store, words};

/// The component's name in metrics, and its store's identity.
const COMPONENT: &str = "cmk";

/// The lanes that the CMK Server sends on.
const SENDS: [Lane; 3] = [Lane::Urgent, Lane::Facts, Lane::Manifests];

/// What a CMK Server is made with.
pub struct Options {
    /// Its data directory; made if there is none.
    pub data_dir: PathBuf,
    /// The regions of the landscape.
    pub regions: BTreeSet<RegionId>,
    /// How long leases hold.
    pub leases: LeaseTerms,
    /// What opens its HTTP interface.
    pub access: Access,
    /// How often each tenant's roots are asked.
    pub probed_every: Duration,
    /// Whether it gets its facts back from the mesh at this start.
    pub rebuild: bool,
}

/// What the component is handed: the providers, and what every component is.
#[derive(Clone)]
pub struct Surroundings {
    /// The L1 providers that it can ask.
    pub roots: Roots,
    /// The mesh, its keys, time and chance.
    pub common: openkcm_component::Surroundings,
}

/// A CMK Server that is open: it hears and tells. [`Service::serve`] makes it answer requests too. It
/// stops when it is dropped.
pub struct Service {
    running: Running,
    handle: Handle,
}

/// A running CMK Server, as others in the process see it. The store closes when the service and all of
/// its handles are gone.
#[derive(Clone)]
pub struct Handle {
    observer: Observer,
    landscape: watch::Sender<Arc<Landscape>>,
    mesh: MeshHandle,
}

impl Service {
    /// Opens the store, and starts to hear and to tell. It waits for nobody: a mesh that is away comes
    /// when it comes. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the data directory or the store can't be used.
    pub async fn start(options: Options, surroundings: Surroundings) -> Result<Self, StartError> {
        let Surroundings { roots, common } = surroundings;
        let store = open_store(&options.data_dir, COMPONENT, None, store::SPACES)?;
        let (rebuild, now) = (options.rebuild, common.clock.now());
        // Before any request: what is accepted from now on is known to be newer than what the mesh may know.
        let regions = options.regions.clone();
        store
            .write(move |tx| {
                // An operator has taken the others out of the landscape.
                store::forget_claims(tx, |region| !regions.contains(region))?;
                words::begin(tx, rebuild, now)
            })
            .await?;
        let own = Words {
            author: Role::Cmk,
            streams: Layout::new(options.regions.iter().cloned()).words_of(Role::Cmk),
            from_the_beginning: rebuild,
        };
        let landscape =
            watch::Sender::new(Arc::new(Landscape { regions: options.regions, leases: options.leases }));
        let mut registry = metrics_registry(COMPONENT);
        let metrics = Metrics::register(&mut registry);
        let traffic = Traffic::default();
        let ear = Ear {
            store: store.clone(),
            metrics: metrics.clone(),
            traffic: traffic.clone(),
            clock: common.clock.clone(),
            entropy: common.entropy.clone(),
            landscape: landscape.subscribe(),
        };
        let plan = Plan {
            store: store.clone(),
            sends: SENDS.into(),
            reads: streams(),
            words: Some(own),
            receiver: Arc::new(ear),
            traffic,
        };
        let mesh = Mesh::start(plan, &common);
        let handle = mesh.handle();
        let (counts, health) = watch::channel(Counts::new());
        let observer = Observer { store: store.clone(), mesh: handle.clone(), health };
        let prober = Prober {
            store: store.clone(),
            roots: roots.clone(),
            clock: common.clock.clone(),
            landscape: landscape.subscribe(),
            metrics: metrics.clone(),
            counts,
            every: options.probed_every,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(prober.run(common.entropy.clone()));
        let drift = drift::Gauges::register(store.clone(), &mut registry);
        tasks.spawn(drift.run());
        let http = http_options(COMPONENT, options.access, common.clock.clone(), &handle, registry);
        let context = Context {
            store,
            roots,
            clock: common.clock,
            metrics,
            observer: observer.clone(),
            landscape: landscape.subscribe(),
        };
        let running = Running::new((api::router(context), &api::openapi()), http, mesh, tasks);
        Ok(Self { running, handle: Handle { observer, landscape, mesh: handle } })
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
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        self.running.serve(listener, shutdown).await
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

    /// The regions of the landscape from now on.
    pub fn set_regions(&self, regions: BTreeSet<RegionId>) {
        let leases = self.landscape.borrow().leases.clone();
        self.landscape.send_replace(Arc::new(Landscape { regions, leases }));
    }

    /// Waits until it has compared its store with its own last words. Never returns while the mesh is away.
    pub async fn compared(&self) {
        if self.mesh.compared().wait_for(|compared| *compared).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until it has read all that the mesh held for it. Never returns while the mesh is away:
    /// whoever waits must be able to go on without.
    pub async fn hydrated(&self) {
        self.mesh.hydrated().await;
    }
}
