//! The Registry as a running component: its store, its way to the mesh, its HTTP interface.
//!
//! Who owns what: [`Service`] owns the way to the mesh, and with it the tasks that move letters; the store's
//! writer thread runs as long as anyone holds the store. [`Handle`] is what routes, the landscape in
//! one process, and tests change and ask the Registry by. No request waits for the mesh: what is to be
//! told waits in the outbox, whether the mesh answers or not.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use openkcm_component::drift::{self, Records};
use openkcm_component::quarantine::Quarantine;
use openkcm_component::{
    Applied, AuthorityStatus, Holds, Mesh, MeshHandle, MeshStatus, Plan, Running, StartError, Surroundings,
    Traffic, http_options, open_store,
};
use openkcm_contracts::{KeyPath, Lane, RegionId, Revision, Role, Timestamp};
use openkcm_host::Clock;
use openkcm_http::{Access, metrics_registry};
use openkcm_orbital::nats::layout::Layout;
use openkcm_orbital::{Connection, Words};
use openkcm_store::{Read, Store, Write};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::api;
use crate::commands::{Failure, check_fail_over, words};
use crate::doubts;
use crate::inbox::{Inbox, streams};
use crate::manifests;
use crate::metrics::Metrics;
use crate::moving::Moving;
use crate::purging::Purging;
use crate::queries::{self, Shown};
use crate::rules::doubt::Doubt;
use crate::rules::{Landscape, Level, Outcome};
use crate::store::{self, Failover, KeyRecord, TenantRecord};

/// The component's name in metrics, and its store's identity.
const COMPONENT: &str = "registry";

/// The lanes that the Registry sends on.
const SENDS: [Lane; 3] = [Lane::Urgent, Lane::Facts, Lane::Manifests];

/// What an operator decides.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the store lies; made if it is not there.
    pub data_dir: PathBuf,
    /// The regions of the landscape.
    pub regions: BTreeSet<RegionId>,
    /// What opens the HTTP interface.
    pub access: Access,
    /// Whether it gets its facts back from the mesh at this start.
    pub rebuild: bool,
}

/// A running Registry. It stops when this is dropped or [`Service::serve`] returns.
pub struct Service {
    handle: Handle,
    running: Running,
}

impl Service {
    /// Opens the store and starts to send and to hear. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the data directory or the store can't be used.
    pub async fn start(options: Options, surroundings: Surroundings) -> Result<Self, StartError> {
        let store = open_store(&options.data_dir, COMPONENT, None, store::SPACES)?;
        let (rebuild, now) = (options.rebuild, surroundings.clock.now());
        // Before any request: what is accepted from now on is known to be newer than what the mesh may know.
        store.write(move |tx| words::begin(tx, rebuild, now)).await?;
        let own = Words {
            author: Role::Registry,
            streams: Layout::new(options.regions.iter().cloned()).words_of(Role::Registry),
            from_the_beginning: rebuild,
        };
        let plan = Plan {
            store: store.clone(),
            sends: SENDS.into(),
            reads: streams(),
            words: Some(own),
            receiver: Arc::new(Inbox {
                store: store.clone(),
                clock: surroundings.clock.clone(),
                entropy: surroundings.entropy.clone(),
            }),
            traffic: Traffic::default(),
        };
        let mesh = Mesh::start(plan, &surroundings);
        let mut registry = metrics_registry(COMPONENT);
        let handle = Handle {
            store,
            landscape: watch::Sender::new(Arc::new(Landscape { regions: options.regions })),
            clock: surroundings.clock.clone(),
            mesh: mesh.handle(),
            metrics: Metrics::register(&mut registry),
            failover_said: Arc::default(),
        };
        let purging = Purging {
            store: handle.store.clone(),
            landscape: handle.landscape.subscribe(),
            clock: handle.clock.clone(),
            metrics: handle.metrics.clone(),
        };
        let moving = Moving {
            store: handle.store.clone(),
            clock: handle.clock.clone(),
            metrics: handle.metrics.clone(),
            said: handle.failover_said.clone(),
        };
        let (router, document) = api::router(handle.clone());
        let drift = drift::Gauges::register(handle.store.clone(), &mut registry);
        let http = http_options(COMPONENT, options.access, surroundings.clock, &handle.mesh, registry);
        let mut tasks = JoinSet::new();
        tasks.spawn(purging.run());
        tasks.spawn(moving.run());
        tasks.spawn(drift.run());
        let running = Running::new((router, &document), http, mesh, tasks);
        Ok(Self { handle, running })
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
        f.debug_struct("Service").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// What the Registry says of itself.
#[derive(Debug, Clone)]
pub struct Status {
    /// The regions of the landscape.
    pub regions: BTreeSet<RegionId>,
    /// The revision of its last change; counter 0 before the first.
    pub revision: Revision,
    /// Whether it is as new as its own last words.
    pub authority: AuthorityStatus,
    /// Drift records that are not healed, of all regions.
    pub drift_open: u64,
    /// The regions for which it tells no tombstones now, and why.
    pub withholding: Vec<(RegionId, Doubt)>,
    /// The failovers that run or are in force.
    pub failovers: Vec<Failover>,
    /// The mesh, as the Registry sees it.
    pub mesh: MeshStatus,
}

/// A running Registry, to change and to ask. Clones are handles to the same one.
#[derive(Clone)]
pub struct Handle {
    store: Store,
    landscape: watch::Sender<Arc<Landscape>>,
    clock: Arc<dyn Clock>,
    mesh: MeshHandle,
    metrics: Metrics,
    failover_said: Arc<Notify>,
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
        let (landscape, clock) = (self.landscape(), self.clock.clone());
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

    /// Runs a command about the failover of a region in a transaction of its own; it is synced to disk when this
    /// answers. What it says is begun with at once.
    ///
    /// # Errors
    /// What the command fails with, or the store.
    pub async fn change_failover(
        &self,
        command: impl FnOnce(&mut dyn Write, &Landscape, Timestamp) -> Result<Outcome<Failover>, Failure>
        + Send
        + 'static,
    ) -> Result<Outcome<Failover>, Failure> {
        let (landscape, clock) = (self.landscape(), self.clock.clone());
        let outcome = self.store.write(move |tx| command(tx, &landscape, clock.now())).await?;
        if let Some(Failover { from, to, phase, .. }) = outcome.to_save() {
            tracing::warn!(%from, %to, ?phase, "an operator fails a region over, or has its tenants given back");
            self.failover_said.notify_one();
        }
        Ok(outcome)
    }

    /// Whether a region can be failed over to another one now.
    ///
    /// # Errors
    /// What [`fail_over`](crate::commands::fail_over) would be refused with, or the store.
    pub async fn check_failover(&self, from: RegionId, to: RegionId) -> Result<(), Failure> {
        let landscape = self.landscape();
        self.ask(move |view| check_fail_over(view, &landscape, (&from, &to))).await
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
        let (mesh, landscape, now) = (self.mesh.clone(), self.landscape(), self.clock.now());
        self.ask(move |view| {
            let (revision, mesh) = (store::last_revision(view)?, mesh.status(view, Applied::default())?);
            let withholding = doubts::withholding(view, &landscape, now)?;
            let (regions, authority) = (landscape.regions.clone(), AuthorityStatus::read(view)?);
            let drift_open = drift::open_everywhere(view)?;
            let mut failovers = store::failovers::all(view)?;
            failovers.retain(|failover| failover.is_running() || failover.is_in_force());
            Ok(Status { regions, revision, authority, drift_open, withholding, failovers, mesh })
        })
        .await
    }

    /// How the regions stand to what they are to hold, by name.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn regions(&self) -> Result<Vec<manifests::Region>, Failure> {
        let (landscape, now) = (self.landscape(), self.clock.now());
        self.ask(move |view| {
            landscape.regions.iter().map(|region| Ok(manifests::region(view, region, now)?)).collect()
        })
        .await
    }

    /// An operator says that what a region claims keeps no tombstone from being told. Says how it stands then.
    ///
    /// # Errors
    /// When the landscape has no such region, or the store fails.
    pub async fn overrule(&self, region: RegionId) -> Result<manifests::Region, Failure> {
        let (landscape, clock) = (self.landscape(), self.clock.clone());
        self.store
            .write(move |tx| {
                let now = clock.now();
                doubts::overrule(tx, &landscape, &region, now)?;
                Ok(manifests::region(tx.as_read(), &region, now)?)
            })
            .await
    }

    /// The regions of the landscape from now on. What is defined in one that is not among them stays so.
    pub fn set_regions(&self, regions: BTreeSet<RegionId>) {
        self.landscape.send_replace(Arc::new(Landscape { regions }));
    }

    fn landscape(&self) -> Arc<Landscape> {
        self.landscape.borrow().clone()
    }

    /// Whether the mesh answers, and since when.
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.mesh.connection()
    }
}

impl Holds<Records> for Handle {
    fn held(&self) -> Records {
        Records { store: self.store.clone() }
    }
}

impl Holds<Quarantine> for Handle {
    fn held(&self) -> Quarantine {
        self.mesh.quarantine()
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("store", &self.store).finish_non_exhaustive()
    }
}
