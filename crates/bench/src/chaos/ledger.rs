//! What was acknowledged, kept beside the landscape, so that it can be held to it.
//!
//! Each tenant has one author, so for each thing there is one last word. Callers only look. What is found wrong is
//! kept here too, and ends the run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openkcm_contracts::{RegionId, Revision, ServicePath, SystemPath};

use super::REGIONS;

/// More are not kept: the first ones say what is wrong.
const MOST_WRONG: usize = 20;

/// What was acknowledged.
pub(super) struct Ledger {
    pub(super) regions: Vec<RegionId>,
    pub(super) tenants: Vec<Tenant>,
    pub(super) counts: Counts,
    refusals: Mutex<BTreeMap<String, u64>>,
    stopped: AtomicBool,
    wrong: Mutex<Vec<String>>,
}

/// How much was done.
#[derive(Default)]
pub(super) struct Counts {
    /// Changes that the Registry acknowledged. It gives each a counter of its own.
    pub(super) defined: AtomicU64,
    /// Changes that the CMK Server acknowledged.
    pub(super) linked: AtomicU64,
    pub(super) rotated: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) encrypted: AtomicU64,
    pub(super) decrypted: AtomicU64,
    pub(super) data_refused: AtomicU64,
    pub(super) unanswered: AtomicU64,
}

/// One tenant, which one author changes.
pub(super) struct Tenant {
    pub(super) system: SystemPath,
    pub(super) link: Mutex<Link>,
    pub(super) services: Vec<Service>,
    /// L2 versions that a caller asked for and got.
    pub(super) rotations: Mutex<BTreeSet<String>>,
}

/// A tenant's link, as it was acknowledged.
#[derive(Debug, Clone, Default)]
pub(super) struct Link {
    /// Raised when a change is asked for and when it is acknowledged: odd while one is under way.
    pub(super) phase: u64,
    pub(super) linked: bool,
    pub(super) epoch: String,
    pub(super) revision: Option<Revision>,
    /// The phase in which each region was last seen to hold what was acknowledged, and to do as it says.
    pub(super) held_in: BTreeMap<RegionId, u64>,
}

/// One service.
pub(super) struct Service {
    pub(super) path: ServicePath,
    /// Read by callers for as long as they use it, written by its author while it changes what the key is.
    pub(super) state: tokio::sync::RwLock<State>,
    pub(super) ciphertexts: Mutex<Vec<Kept>>,
    /// Regions, by number, that encrypt with its present generation. Anyone may find that one does.
    pub(super) ready: [AtomicBool; REGIONS.len()],
}

/// A service's definition, as it was acknowledged.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// None before it was defined.
    pub(super) generation: Option<String>,
    /// How many generations there were.
    pub(super) generations: usize,
    pub(super) deleted: bool,
    pub(super) rotate_every: String,
    pub(super) revision: Option<Revision>,
    /// Versions that a caller asked for and got, over all generations.
    pub(super) rotations: BTreeSet<String>,
}

/// A ciphertext, and what it has to open to.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) generation: String,
    pub(super) version: String,
    pub(super) ciphertext: String,
    pub(super) plaintext: Vec<u8>,
}

impl Ledger {
    pub(super) fn new(tenants: usize, services: usize) -> anyhow::Result<Self> {
        let tenant = |number: usize| {
            let system: SystemPath = format!("tenant-{number}/app").parse()?;
            let service = |number: usize| {
                Ok(Service {
                    path: format!("{system}/service-{number}").parse()?,
                    state: Default::default(),
                    ciphertexts: Mutex::default(),
                    ready: Default::default(),
                })
            };
            let services = (0..services).map(service).collect::<anyhow::Result<_>>()?;
            Ok(Tenant { system, link: Mutex::default(), services, rotations: Mutex::default() })
        };
        Ok(Self {
            regions: REGIONS.iter().map(|name| RegionId::new(name)).collect::<Result<_, _>>()?,
            tenants: (0..tenants).map(tenant).collect::<anyhow::Result<_>>()?,
            counts: Counts::default(),
            refusals: Mutex::default(),
            stopped: AtomicBool::new(false),
            wrong: Mutex::default(),
        })
    }

    /// Notes what must not be.
    pub(super) fn is_wrong(&self, what: impl Into<String>) {
        let mut wrong = lock(&self.wrong);
        if wrong.len() < MOST_WRONG {
            wrong.push(what.into());
        }
    }

    pub(super) fn wrong(&self) -> Vec<String> {
        lock(&self.wrong).clone()
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Counts a refusal of the data plane.
    pub(super) fn refused(&self, code: &str) {
        self.counts.data_refused.fetch_add(1, Ordering::Relaxed);
        *lock(&self.refusals).entry(code.to_owned()).or_default() += 1;
    }

    pub(super) fn refusals(&self) -> String {
        let refusals = lock(&self.refusals);
        let each: Vec<String> = refusals.iter().map(|(code, count)| format!("{code} {count}")).collect();
        each.join(", ")
    }

    /// Waits until every tenant is in use in every region.
    pub(super) async fn until_in_use(&self) {
        openkcm_harness::until("every tenant has a service in use in every region", || async {
            let in_use = |tenant: &Tenant| tenant.services.iter().any(Service::is_ready_everywhere);
            (self.tenants.iter().all(in_use) || !self.wrong().is_empty()).then_some(())
        })
        .await;
    }
}

impl Service {
    pub(super) fn is_ready(&self, region: usize) -> bool {
        self.ready[region].load(Ordering::Relaxed)
    }

    fn is_ready_everywhere(&self) -> bool {
        (0..REGIONS.len()).all(|region| self.is_ready(region))
    }

    pub(super) fn set_ready(&self, region: usize, ready: bool) {
        self.ready[region].store(ready, Ordering::Relaxed);
    }
}

/// Ciphertexts, numbered over all, so that each plaintext is another one.
pub(super) fn next_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Between two tries of what is not answered or refused for now.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// Nobody panics while holding one.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
