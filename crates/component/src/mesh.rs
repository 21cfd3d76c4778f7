//! A component's way to the mesh: its courier, what is counted of it, what is shown of it.
//!
//! Who owns what: [`Mesh`] owns the courier and the task that measures the outbox; both end when it is
//! dropped. A [`MeshHandle`] only looks, and keeps nothing running.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use openkcm_contracts::Lane;
use openkcm_host::Clock;
use openkcm_http::Readiness;
use openkcm_orbital::{Connection, Courier, CourierHandle, Receiver, Stream, Words};
use openkcm_store::{Read, Store, StoreError};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::hydration::{all_read, read_or_away};
use crate::metrics::{Counted, Gauges};
use crate::quarantine::Quarantine;
use crate::status::{self, Measured};
use crate::traffic::{Counting, QUARANTINE_FULL, Traffic};
use crate::{Applied, MeshStatus, Surroundings};

/// The shortest time between two measurements of the store for the metrics: counting a long outbox takes
/// some ten milliseconds, and scrapers come less often.
const MEASURE_EVERY: Duration = Duration::from_secs(2);

/// What a component says and hears.
pub struct Plan {
    /// The component's store.
    pub store: Store,
    /// The lanes that it sends on.
    pub sends: Vec<Lane>,
    /// The streams that it reads.
    pub reads: Vec<Stream>,
    /// Where an authority has spoken; none for a component that is no authority.
    pub words: Option<Words>,
    /// Who takes what comes.
    pub receiver: Arc<dyn Receiver>,
    /// Where the receiver counts.
    pub traffic: Traffic,
}

/// A component's way to the mesh, while it is open.
pub struct Mesh {
    handle: MeshHandle,
    _courier: CourierHandle,
    _tasks: JoinSet<()>,
}

/// A look at a component's way to the mesh. Clones look at the same one.
#[derive(Clone)]
pub struct MeshHandle {
    store: Store,
    clock: Arc<dyn Clock>,
    connection: watch::Receiver<Connection>,
    compared: watch::Receiver<bool>,
    hydrated: watch::Receiver<BTreeSet<Stream>>,
    traffic: Traffic,
    shown: Arc<Shown>,
    quarantine: Quarantine,
}

struct Shown {
    sends: Vec<Lane>,
    reads: Vec<Stream>,
    /// What the metrics show of the store.
    measured: Mutex<Measured>,
    /// What the quarantine had pushed out when it was first measured.
    pushed_out_before: OnceLock<u64>,
}

impl Mesh {
    /// Starts to say and to hear. It waits for nobody: a mesh that is away comes when it comes. Must be
    /// called within a tokio runtime.
    pub fn start(plan: Plan, surroundings: &Surroundings) -> Self {
        let Plan { store, sends, reads, words, receiver, traffic } = plan;
        let Surroundings { transport, signer, verifier, clock, entropy } = surroundings.clone();
        let receiver: Arc<dyn Receiver> = Arc::new(Counting { receiver, traffic: traffic.clone() });
        let quarantine = Quarantine {
            store: store.clone(),
            receiver: receiver.clone(),
            verifier: verifier.clone(),
            reads: reads.clone().into(),
            clock: clock.clone(),
        };
        let courier = Courier {
            store: store.clone(),
            transport,
            signer,
            verifier,
            sends: sends.clone(),
            reads: reads.clone(),
            words,
            receiver,
            clock: clock.clone(),
            entropy,
        };
        let courier = courier.start();
        let shown = Shown { sends, reads, measured: Mutex::default(), pushed_out_before: OnceLock::new() };
        let handle = MeshHandle {
            store,
            clock,
            connection: courier.connection(),
            compared: courier.compared(),
            hydrated: courier.hydrated_streams(),
            traffic,
            shown: Arc::new(shown),
            quarantine,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(handle.clone().measure());
        Self { handle, _courier: courier, _tasks: tasks }
    }

    /// A handle to it.
    pub fn handle(&self) -> MeshHandle {
        self.handle.clone()
    }
}

impl MeshHandle {
    /// Whether the mesh answers, and since when.
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.clone()
    }

    /// Whether an authority has compared its store with its own last words; always so for others.
    pub fn compared(&self) -> watch::Receiver<bool> {
        self.compared.clone()
    }

    /// Waits until every stream was read to its end once since the start. Never returns while the mesh is
    /// away: whoever waits must be able to go on without.
    pub async fn hydrated(&self) {
        all_read(self.hydrated.clone(), &self.shown.reads).await;
    }

    /// As [`hydrated`](Self::hydrated), for these streams alone.
    pub async fn read(&self, streams: &[Stream]) {
        all_read(self.hydrated.clone(), streams).await;
    }

    /// Waits until every stream was read to its end once since the start, or those that were not are out of reach
    /// for so long. Says whether all were read.
    pub async fn read_or_away(&self, patience: Duration, limit: Duration) -> bool {
        read_or_away(&self.connection, &self.hydrated, &self.shown.reads, (patience, limit)).await
    }

    /// What could not be read or applied.
    pub fn quarantine(&self) -> Quarantine {
        self.quarantine.clone()
    }

    /// The mesh as this component sees it, with what a view of its store shows.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn status(&self, view: &dyn Read, applied: Applied) -> Result<MeshStatus, StoreError> {
        let Shown { sends, reads, .. } = &*self.shown;
        let measured = Measured::read(view, sends)?;
        let streams = status::streams(view, reads, &self.hydrated.borrow())?;
        let Connection { connected, since, error, unread: _ } = self.connection.borrow().clone();
        Ok(MeshStatus {
            connected,
            since,
            error,
            outbox: measured.outbox(self.clock.now()),
            applied,
            streams,
            dropped: self.dropped(&measured),
            replayed: self.traffic.counts().replayed,
            quarantined: measured.quarantine.entries,
        })
    }

    /// A component is ready without the mesh; that it is away is worth telling.
    pub fn readiness(&self) -> Readiness {
        let connection = self.connection.borrow();
        if connection.connected {
            return Readiness::ready();
        }
        let since = connection.since;
        Readiness::ready().with_reason(format!(
            "the mesh does not answer since {since}; what is held is served, and what is to be told waits"
        ))
    }

    /// Registers what is counted of the mesh; the same in every component.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Gauges { mesh: self.clone() }));
    }

    /// What was dropped since the start, with what the quarantine had no more room for.
    fn dropped(&self, measured: &Measured) -> BTreeMap<&'static str, u64> {
        let mut dropped = self.traffic.counts().dropped;
        let before = self.shown.pushed_out_before.get();
        let pushed_out = before.map_or(0, |before| measured.quarantine.pushed_out.saturating_sub(*before));
        if pushed_out > 0 {
            dropped.insert(QUARANTINE_FULL, pushed_out);
        }
        dropped
    }

    /// Now, as far as it is known without asking the store.
    pub(crate) fn counted(&self) -> Counted {
        let measured = self.shown.measured.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Counted {
            connected: self.connection.borrow().connected,
            outbox: measured.outbox(self.clock.now()),
            dropped: self.dropped(&measured),
            replayed: self.traffic.counts().replayed,
            quarantined: measured.quarantine.entries,
        }
    }

    /// Keeps what the metrics show of the store near the truth.
    async fn measure(self) {
        let mut commits = self.store.commits();
        loop {
            commits.borrow_and_update();
            let sends = self.shown.sends.clone();
            match self.store.read(move |view| Measured::read(view, &sends)).await {
                Ok(measured) => {
                    self.shown.pushed_out_before.get_or_init(|| measured.quarantine.pushed_out);
                    *self.shown.measured.lock().unwrap_or_else(PoisonError::into_inner) = measured;
                }
                Err(error) => tracing::warn!(%error, "the outbox was not measured"),
            }
            tokio::time::sleep(MEASURE_EVERY).await;
            if commits.changed().await.is_err() {
                return;
            }
        }
    }
}

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mesh").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for MeshHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeshHandle").field("store", &self.store).finish_non_exhaustive()
    }
}
