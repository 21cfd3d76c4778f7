//! What was ended must stay ended: a ciphertext that no region may open again, tried all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use openkcm_client::Client;
use openkcm_contracts::problem::Code;
use openkcm_contracts::{RegionId, ServicePath};
use openkcm_host::Clock;
use tokio::task::JoinHandle;

use super::check::opens;
use super::load::{Kept, Outcome, encrypt_one};
use super::report::Promise;
use super::wait::until;

/// The number of what is encrypted with a witness: none of the load's.
const NUMBER: u64 = u64::MAX;

/// Between two rounds of tries.
const TRY_EVERY: Duration = Duration::from_millis(250);

/// A ciphertext of what was ended.
#[derive(Clone)]
pub(super) struct Witness {
    pub(super) kept: Arc<Kept>,
    /// The code with which it is refused.
    pub(super) code: &'static str,
    pub(super) regions: Vec<RegionId>,
}

/// Tries that go on until this value is dropped.
pub(super) struct Watch {
    witness: Witness,
    tries: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Witness {
    /// Encrypts, in the first of the service's regions, what is about to be ended. `regions` are to refuse it.
    pub(super) async fn make(
        client: &Client,
        service: &ServicePath,
        homes: &[RegionId],
        regions: &[RegionId],
        code: Code,
    ) -> anyhow::Result<Self> {
        let home = homes.first().context("a tenant has a region")?;
        let kept = encrypt_one(client, home, service.clone(), NUMBER).await?;
        Ok(Self { kept: Arc::new(kept), code: code.as_str(), regions: regions.to_vec() })
    }

    /// Waits until every region refuses it so.
    pub(super) async fn until_refused(&self, client: &Client, clock: &dyn Clock, patience: Duration) -> bool {
        let refused = until(clock, patience, || async { self.is_refused(client).await.then_some(()) });
        refused.await.is_some()
    }

    async fn is_refused(&self, client: &Client) -> bool {
        for region in &self.regions {
            match opens(client, &self.kept, region).await {
                Err(Outcome::Refused(code)) if code == self.code => {}
                _ => return false,
            }
        }
        true
    }

    /// Begins to try it in every region, again and again.
    pub(super) fn watch(self, client: &Client) -> Watch {
        let (tries, opened) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (client, witness) = (client.clone(), self.clone());
        let counters = (tries.clone(), opened.clone());
        let task = tokio::spawn(async move {
            loop {
                for region in &witness.regions {
                    let is_open = matches!(
                        opens(&client, &witness.kept, region).await,
                        Ok(()) | Err(Outcome::Wrong | Outcome::Served { .. })
                    );
                    counters.0.fetch_add(1, Ordering::Relaxed);
                    counters.1.fetch_add(u64::from(is_open), Ordering::Relaxed);
                }
                tokio::time::sleep(TRY_EVERY).await;
            }
        });
        Watch { witness: self, tries, opened, task }
    }
}

impl Watch {
    /// Whether it never opened, and is refused as it was, everywhere, now.
    pub(super) async fn promise(&self, promise: &str, client: &Client) -> Promise {
        let is_refused = self.witness.is_refused(client).await;
        let (tries, opened) = (self.tries.load(Ordering::Relaxed), self.opened.load(Ordering::Relaxed));
        let code = self.witness.code;
        let now = if is_refused {
            format!("every region says {code}")
        } else {
            format!("not every region says {code}")
        };
        let found = format!("opened {opened} times of {tries} that were tried; at the end {now}");
        Promise::new(promise, is_refused && opened == 0 && tries > 0, found)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
