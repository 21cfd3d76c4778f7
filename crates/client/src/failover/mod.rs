//! One call of the data plane, taken to another region where that is right, and again later where the caller waits.
//!
//! In each round every region is asked at most once, in the order that [`Health`] gives; what a refusal means is the
//! table's business ([`Verdict`]). Between two rounds the caller's patience runs, and a region that asked for time is
//! left alone for as long. Every attempt but a call's first needs a token of the budget.
//!
//! Only for calls that change nothing, so that it does no harm when one is answered twice.

mod budget;
mod circuit;
mod health;
mod places;
mod said;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use openkcm_contracts::RegionId;
use openkcm_host::BootInstant;
use serde::de::DeserializeOwned;

pub use self::budget::Budget;
pub(crate) use self::health::{Health, Wanted};
pub use self::said::{NoRegion, Said};
use self::verdict::Verdict;
use crate::call::{Call, Component};
use crate::client::Client;
use crate::core::Served;
use crate::error::ClientError;

/// For the answer of one region, where there is another to ask: a Core's data plane waits for nobody.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a second more is given for: a caller whose own network is slow must not take every region for a silent one.
const BYTES_PER_SECOND: usize = 128 * 1024;

/// A call under way.
pub(crate) struct Failover<'c> {
    client: &'c Client,
    wanted: Wanted<'c>,
    begun: BootInstant,
    rounds: u32,
    /// The first attempt was made: it was free, further ones are not.
    first_made: bool,
    /// A further attempt was due, and the budget is spent.
    spent: bool,
    heard: Vec<Heard>,
}

/// The last that a region said to this call.
struct Heard {
    said: Said,
    error: ClientError,
    /// How much longer it is left alone.
    rest: Duration,
}

/// How a round ended.
enum Round<T> {
    Served(Served<T>),
    /// For good.
    Refused(ClientError),
    /// No region serves now.
    Nobody,
}

impl<'c> Failover<'c> {
    pub(crate) fn begin(client: &'c Client, wanted: Wanted<'c>) -> Self {
        client.health().begin();
        Self {
            client,
            wanted,
            begun: client.clock().boottime(),
            rounds: 0,
            first_made: false,
            spent: false,
            heard: Vec::new(),
        }
    }

    /// Asks regions until one serves, or refuses for good, or the caller's patience or the budget ends.
    pub(crate) async fn run<T: DeserializeOwned>(
        mut self,
        call: impl Fn(Component) -> Call,
    ) -> Result<Served<T>, ClientError> {
        loop {
            match self.round(&call).await {
                Round::Served(served) => return Ok(served),
                Round::Refused(error) => return Err(error),
                Round::Nobody => {}
            }
            if !self.wait().await {
                return Err(self.end());
            }
        }
    }

    /// Asks every region that may be asked, until one settles it.
    async fn round<T: DeserializeOwned>(&mut self, call: &impl Fn(Component) -> Call) -> Round<T> {
        let mut passed: Vec<RegionId> = Vec::new();
        passed.extend(self.heard.iter().filter(|heard| !heard.rest.is_zero()).map(Heard::region));
        while let Some(attempt) = self.client.health().next(self.wanted, &passed) {
            let paid = self.first_made;
            if paid && !self.client.health().spend() {
                self.spent = true;
                break;
            }
            self.first_made = true;
            let region = attempt.region.clone();
            passed.push(region.clone());
            let call = call(Component::Core(region.clone()));
            let exchanged = self.client.exchange(&call, self.within(&call)).await;
            let list = exchanged.regions;
            match exchanged.result.and_then(|answer| self.client.read_as(&call, &answer)) {
                Ok(answer) => {
                    attempt.served(list, paid);
                    let passed_over = self.heard.drain(..).map(|heard| heard.said).collect();
                    return Round::Served(Served { region, answer, passed_over });
                }
                Err(error) => {
                    let verdict = Verdict::of(&error);
                    let said = Said::new(region, &error, verdict);
                    attempt.failed(verdict, list, &said);
                    if verdict.is_final() {
                        return Round::Refused(error);
                    }
                    self.hear(said, error);
                }
            }
        }
        Round::Nobody
    }

    /// How long one region is waited for; as long as any component, where there is no other.
    fn within(&self, call: &Call) -> Option<Duration> {
        let body_bytes = call.body.as_ref().map_or(0, |body| body.len());
        let transfer = Duration::from_secs((body_bytes / BYTES_PER_SECOND) as u64);
        (self.wanted.regions.len() > 1).then_some(ATTEMPT_TIMEOUT + transfer)
    }

    fn hear(&mut self, said: Said, error: ClientError) {
        let rest = said.retry_after().unwrap_or_default();
        let heard = Heard { said, error, rest };
        match self.heard.iter_mut().find(|earlier| earlier.said.region == heard.said.region) {
            Some(earlier) => *earlier = heard,
            None => self.heard.push(heard),
        }
    }

    /// Waits until it is time for another round; says whether there is to be one.
    async fn wait(&mut self) -> bool {
        let resting = self.resting();
        if self.heard.is_empty() && resting.is_empty() && !self.wanted.regions.is_empty() {
            // Every region rested when this call looked for one, and one has answered another call since.
            return true;
        }
        let said = || self.heard.iter().map(|heard| &heard.said).chain(&resting);
        let for_now = |said: &&Said| said.problem.as_ref().is_some_and(|problem| problem.retryable());
        if self.spent || !said().any(|said| for_now(&said)) {
            return false;
        }
        let asked = said().filter(for_now).filter_map(Said::retry_after).min();
        let spent = self.client.clock().boottime().since(self.begun);
        let Some(wait) = self.client.patience().wait(self.rounds, spent, asked, self.client.entropy()) else {
            return false;
        };
        self.rounds += 1;
        tokio::time::sleep(wait).await;
        for heard in &mut self.heard {
            heard.rest = heard.rest.saturating_sub(wait);
        }
        true
    }

    /// What is remembered of regions that this call did not ask, because they failed lately.
    fn resting(&self) -> Vec<Said> {
        let health = self.client.health();
        let mut resting = health.resting(&health.order(self.wanted));
        resting.retain(|said| self.heard.iter().all(|heard| heard.said.region != said.region));
        resting
    }

    /// What the caller is told when no region served.
    fn end(mut self) -> ClientError {
        let resting = self.resting();
        match (self.heard.pop(), &resting[..]) {
            (None, []) => self.client.no_such_region(""),
            (Some(only), []) if self.heard.is_empty() => only.error,
            (last, _) => {
                let heard = self.heard.into_iter().chain(last).map(|heard| heard.said);
                ClientError::NoRegionServes(NoRegion::new(heard.chain(resting).collect()))
            }
        }
    }
}

impl Heard {
    fn region(&self) -> RegionId {
        self.said.region.clone()
    }
}

/// What came of one request: an answer or a failure, and the tenant's regions if the component told them.
pub(crate) struct Exchanged<A> {
    pub(crate) result: Result<A, ClientError>,
    pub(crate) regions: Option<Arc<[RegionId]>>,
}
