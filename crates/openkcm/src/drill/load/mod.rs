//! A steady load: callers that encrypt, and decrypt what was encrypted, and compare each answer.
//!
//! Each caller is a task that sends one request after the other, at a pace; together they send what `--rate` says as
//! long as the regions answer that fast. A request that got no answer in time is counted, and given up.

mod caller;
mod counts;
mod shelf;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use openkcm_client::{Client, ClientError, Route};
use openkcm_contracts::{RegionId, ServicePath};
use openkcm_host::Entropy;
use tokio::task::JoinSet;

use self::caller::Caller;
use super::arguments;
use super::story::Story;
use super::wait::each;

pub(super) use self::counts::{Counts, Outcome, Second};
pub(super) use self::shelf::{Kept, Shelf, plaintext};

/// A request that has no answer after so long is lost for its caller.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// How often the live line is renewed.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// What callers share.
pub(super) struct Shared {
    pub(super) story: Arc<Story>,
    pub(super) shelf: Shelf,
    counts: Mutex<Counts>,
    next: AtomicU64,
    stopped: AtomicBool,
}

/// Callers at work. They end when this value is dropped.
pub(super) struct Load {
    shared: Arc<Shared>,
    callers: JoinSet<()>,
}

/// What a load is made of.
pub(super) struct Plan<'a> {
    /// How much of it.
    pub(super) flags: &'a arguments::Load,
    /// Where callers go, and what they open: each way gets its share of the callers.
    pub(super) ways: Vec<Way>,
    /// What they use.
    pub(super) services: Vec<ServicePath>,
}

/// Where some of the callers go.
#[derive(Debug, Clone)]
pub(super) struct Way {
    /// Whom they ask.
    pub(super) route: Route,
    /// Where their requests are counted, unless another region answers.
    pub(super) region: RegionId,
    /// Whether they open what any region made; what their own made otherwise.
    pub(super) opens_all: bool,
}

impl Way {
    /// To this region and no other, for what it made.
    pub(super) fn only(region: &RegionId) -> Self {
        Self { route: Route::Only(region.clone()), region: region.clone(), opens_all: false }
    }
}

impl Load {
    /// Sends callers on their ways.
    pub(super) fn begin(
        plan: Plan<'_>,
        client: &Client,
        story: &Arc<Story>,
        entropy: &Arc<dyn Entropy>,
    ) -> Self {
        let shared = Arc::new(Shared {
            story: story.clone(),
            shelf: Shelf::default(),
            counts: Mutex::default(),
            next: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let services: Arc<[ServicePath]> = plan.services.into();
        // No way goes without a caller.
        let count = plan.flags.callers.max(u32::try_from(plan.ways.len()).unwrap_or(u32::MAX));
        let every = Duration::from_secs(1).mul_f64(f64::from(count) / f64::from(plan.flags.rate));
        let mut callers = JoinSet::new();
        for (number, way) in (0..count).zip(plan.ways.iter().cycle()) {
            let caller = Caller {
                shared: shared.clone(),
                client: client.clone(),
                entropy: entropy.clone(),
                services: services.clone(),
                way: way.clone(),
            };
            let first = every.mul_f64(f64::from(number) / f64::from(count));
            callers.spawn(caller.run(first, every));
        }
        callers.spawn(show(shared.clone()));
        Self { shared, callers }
    }

    /// Encrypts once with each service in a region, so that there is a ciphertext of each to be opened at the end.
    pub(super) async fn seed(
        &self,
        client: &Client,
        region: &RegionId,
        services: &[ServicePath],
    ) -> anyhow::Result<()> {
        each(services, |service| {
            let (client, shared, region) = (client.clone(), self.shared.clone(), region.clone());
            async move {
                let kept =
                    encrypt_one(&client, &region, service, shared.next.fetch_add(1, Ordering::Relaxed))
                        .await?;
                shared.shelf.keep(kept, shared.story.elapsed());
                Ok(())
            }
        })
        .await
    }

    /// What was encrypted, to be opened at the end.
    pub(super) fn shelf(&self) -> &Shelf {
        &self.shared.shelf
    }

    /// What became of the requests until now.
    pub(super) fn counts(&self) -> Counts {
        self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has the callers end, each with the answer that it waits for.
    pub(super) async fn stop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        while self.callers.join_next().await.is_some() {}
    }
}

impl Shared {
    fn note(&self, region: &RegionId, at: Duration, outcome: Outcome) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).note(region, at.as_secs(), outcome);
    }
}

/// Encrypts a numbered text in a region.
pub(super) async fn encrypt_one(
    client: &Client,
    region: &RegionId,
    service: ServicePath,
    number: u64,
) -> anyhow::Result<Kept> {
    let core = client.core(Route::Only(region.clone()));
    let made = core.encrypt(&service, &plaintext(&service, number), None).await;
    let made = made.with_context(|| format!("{service} does not encrypt in region {region}"))?.answer;
    Ok(Kept { service, number, ciphertext: made.ciphertext, version: made.version, region: region.clone() })
}

/// What became of a request that was not served.
pub(super) fn outcome_of(error: &ClientError) -> Outcome {
    match error.problem() {
        Some(problem) => Outcome::Refused(problem.code_text.clone()),
        None => Outcome::Unanswered,
    }
}

async fn show(shared: Arc<Shared>) {
    let mut before = Second::default();
    while !shared.stopped.load(Ordering::Relaxed) {
        tokio::time::sleep(SHOW_EVERY).await;
        let total = shared.counts.lock().unwrap_or_else(PoisonError::into_inner).total();
        shared.story.live(format!(
            "{} requests a second; served {}, refused {}, unanswered {}, wrong {}",
            total.asked() - before.asked(),
            total.served,
            total.refused(),
            total.unanswered,
            total.wrong
        ));
        before = total;
    }
}
