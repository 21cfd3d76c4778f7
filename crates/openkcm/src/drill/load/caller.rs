//! One caller: a request after the other, half of them to encrypt, half to decrypt.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openkcm_client::{Client, ClientError, Core, Served};
use openkcm_contracts::{RegionId, ServicePath};
use openkcm_host::{Entropy, random_array};
use tokio::time::MissedTickBehavior;

use super::{DEADLINE, Kept, Outcome, Shared, Way, outcome_of, plaintext};

pub(super) struct Caller {
    pub(super) shared: Arc<Shared>,
    pub(super) client: Client,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) services: Arc<[ServicePath]>,
    pub(super) way: Way,
}

impl Caller {
    /// Sends its first request after `first`, and then one after the other, `every` so long, until the load stops.
    pub(super) async fn run(self, first: Duration, every: Duration) {
        tokio::time::sleep(first).await;
        let mut pace = tokio::time::interval(every);
        // After a stall it goes on at its pace: a burst would be a load that nobody asked for.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut encrypts = true;
        loop {
            pace.tick().await;
            if self.shared.stopped.load(Ordering::Relaxed) {
                return;
            }
            let at = self.shared.story.elapsed();
            let (region, outcome) = self.ask(encrypts, at).await;
            self.shared.note(&region, at, outcome);
            encrypts = !encrypts;
        }
    }

    async fn ask(&self, encrypts: bool, at: Duration) -> (RegionId, Outcome) {
        let drawn = u64::from_be_bytes(random_array(&*self.entropy));
        let from = (!self.way.opens_all).then_some(&self.way.region);
        match self.shared.shelf.pick(from, drawn) {
            Some(kept) if !encrypts => self.decrypt(&kept).await,
            _ => self.encrypt(drawn, at).await,
        }
    }

    async fn encrypt(&self, drawn: u64, at: Duration) -> (RegionId, Outcome) {
        let count = self.services.len().max(1) as u64;
        let Some(service) = usize::try_from(drawn % count).ok().and_then(|at| self.services.get(at)) else {
            return (self.way.region.clone(), Outcome::Unanswered);
        };
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let text = plaintext(service, number);
        self.served(self.core().encrypt(service, &text, None), |region, made| {
            let (service, region) = (service.clone(), region.clone());
            let kept = Kept { service, number, ciphertext: made.ciphertext, version: made.version, region };
            self.shared.shelf.keep(kept, at);
            Outcome::Served { at_risk: made.at_risk }
        })
        .await
    }

    async fn decrypt(&self, kept: &Kept) -> (RegionId, Outcome) {
        let asked = self.core();
        self.served(asked.decrypt(&kept.service, &kept.ciphertext, None), |_, opened| {
            match *opened.plaintext == kept.plaintext() {
                true => Outcome::Served { at_risk: opened.at_risk },
                false => Outcome::Wrong,
            }
        })
        .await
    }

    fn core(&self) -> Core<'_> {
        self.client.core(self.way.route.clone())
    }

    /// Waits for an answer, as long as a caller does, and judges it.
    async fn served<T>(
        &self,
        request: impl Future<Output = Result<Served<T>, ClientError>>,
        judge: impl FnOnce(&RegionId, T) -> Outcome,
    ) -> (RegionId, Outcome) {
        match tokio::time::timeout(DEADLINE, request).await {
            Ok(Ok(Served { region, answer, .. })) => {
                let outcome = judge(&region, answer);
                (region, outcome)
            }
            Ok(Err(error)) => (self.way.region.clone(), outcome_of(&error)),
            Err(_) => (self.way.region.clone(), Outcome::Unanswered),
        }
    }
}
