//! What a command works in: the landscape's client, a runtime for its calls, how to print, how long to wait.
//!
//! What always holds: no request to one component waits for another. What a tenant has ended is asked for in one
//! region; what changes something, in the first that knows the key.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use openkcm_client::{
    Client, ClientError, Core, Landscape, Listing, Patience, ProblemDocument, Route, Said, Served,
};
use openkcm_contracts::RegionId;
use openkcm_contracts::problem::Code;
use openkcm_host::{BootInstant, Clock, OsEntropy, SystemClock};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::globals::{Globals, ListFlags};
use super::output;
use super::render::{self, Column, Format};

/// How long a key that no region knows may still be on its way: a definition travels for less than a second.
const UNKNOWN_KEY_GRACE: Duration = Duration::from_secs(2);

/// Between the first two rounds through the regions for a key that none of them knows; then twice as long each time.
const FIRST_UNKNOWN_KEY_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause between two such rounds.
const LONGEST_UNKNOWN_KEY_PAUSE: Duration = Duration::from_millis(400);

/// What a command works in.
pub(crate) struct Session {
    runtime: Runtime,
    client: Client,
    clock: Arc<dyn Clock>,
    /// How results are printed.
    pub(crate) format: Format,
    /// How long to wait for what is on its way.
    pub(crate) patience: Patience,
}

impl Session {
    /// Reads the landscape and gets ready to call its components; calls none of them.
    ///
    /// # Errors
    /// When there is no landscape, or its credential can't be used.
    pub(crate) fn open(globals: &Globals) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let landscape = Landscape::load(&globals.landscape)?;
        let client = Client::new(&landscape, clock.clone(), Arc::new(OsEntropy::new()))?;
        let patience = globals.patience();
        let client = client.with_patience(patience);
        Ok(Self { runtime: runtime()?, client, clock, format: globals.output, patience })
    }

    /// Runs a command's calls to their end.
    pub(crate) fn block_on<F: Future>(&self, calls: F) -> F::Output {
        self.runtime.block_on(calls)
    }

    /// Calls components, again while they refuse for now and the caller wants to wait.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Calls components once.
    pub(crate) fn asker(&self) -> Client {
        self.client.with_patience(Patience::NONE)
    }

    /// The clock that waits are measured by.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Now, on the clock that waits are measured by.
    pub(crate) fn now(&self) -> BootInstant {
        self.clock.boottime()
    }

    /// The region that was chosen, or all of the landscape in its order.
    pub(crate) fn regions(&self, chosen: Option<&RegionId>) -> Vec<RegionId> {
        match chosen {
            Some(region) => vec![region.clone()],
            None => self.client.landscape().regions.iter().map(|region| region.name.clone()).collect(),
        }
    }

    /// Has a region serve what any may: the chosen one, or whichever of the tenant's can. Says on stderr when it was
    /// not the first of them.
    ///
    /// # Errors
    /// The refusal that is for good; or, when no region serves, what each of them said.
    pub(crate) async fn anywhere<T>(
        &self,
        chosen: Option<&RegionId>,
        ask: impl AsyncFn(&Core<'_>) -> Result<Served<T>, ClientError>,
    ) -> Result<Served<T>, ClientError> {
        let core = self.client.core(chosen.map_or(Route::First, |region| Route::Only(region.clone())));
        let served = self.once_known(async || ask(&core).await).await?;
        if let Some(note) = in_the_place_of(&served) {
            output::note(&note);
        }
        Ok(served)
    }

    /// Asks the first region that knows the key, for what no other one should do in its place.
    ///
    /// # Errors
    /// What that region says, or that it can't be reached; or that no region knows such a key.
    pub(crate) async fn where_known<T>(
        &self,
        chosen: Option<&RegionId>,
        ask: impl AsyncFn(&Core<'_>) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let regions = self.regions(chosen);
        self.once_known(async || {
            let mut unknown = None;
            for region in &regions {
                match ask(&self.client.core(Route::Only(region.clone()))).await {
                    Err(error) if error.code() == Some(Code::UnknownKey) => {
                        unknown.get_or_insert(error);
                    }
                    answered => return answered,
                }
            }
            let none = || ClientError::NoSuchRegion { name: String::new(), known: String::new() };
            Err(unknown.unwrap_or_else(none))
        })
        .await
    }

    /// Asks again for a moment while a region says that it knows no such key: the definition may be on its way.
    async fn once_known<T>(&self, ask: impl AsyncFn() -> Result<T, ClientError>) -> Result<T, ClientError> {
        let grace = UNKNOWN_KEY_GRACE.min(self.patience.total);
        let begun = self.now();
        let mut pause = FIRST_UNKNOWN_KEY_PAUSE;
        loop {
            match ask().await {
                Err(error) if may_be_on_its_way(&error) && self.now().since(begun) < grace => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_UNKNOWN_KEY_PAUSE);
                }
                answered => return answered,
            }
        }
    }

    /// Prints one document.
    ///
    /// # Errors
    /// When stdout takes nothing.
    pub(crate) fn show(&self, value: &Value) -> anyhow::Result<()> {
        output::result(&render::document(self.format, value))
    }

    /// Prints what was committed; for programs with what came of the wait, of which people were told already.
    ///
    /// # Errors
    /// When stdout takes nothing.
    pub(crate) fn show_with(&self, mut value: Value, arrivals: Value) -> anyhow::Result<()> {
        if self.format == Format::Json {
            value["arrivals"] = arrivals;
        }
        self.show(&value)
    }

    /// Reads a list to its end or to its limit, and prints it.
    ///
    /// # Errors
    /// When the component does not answer, or stdout takes nothing.
    pub(crate) async fn show_list(
        &self,
        listing: Listing<'_>,
        flags: &ListFlags,
        columns: &[Column],
    ) -> anyhow::Result<()> {
        let limit = usize::try_from(flags.limit).unwrap_or(usize::MAX);
        let listed = listing.prefix(flags.prefix.as_deref()).up_to(limit).await;
        let (items, more) = listed.context("can't read the list")?;
        output::result(&render::list(self.format, columns, &items, more))?;
        if more {
            output::note(&format!("there are more than {limit}: raise --limit, or narrow with --prefix"));
        }
        Ok(())
    }
}

/// Whether a region knows no such key, and none knows it that could be asked.
fn may_be_on_its_way(error: &ClientError) -> bool {
    let unknown = |problem: &ProblemDocument| problem.code == Some(Code::UnknownKey);
    match error {
        ClientError::NoRegionServes(none) => {
            let problems = none.said().iter().filter_map(|said| said.problem.as_ref());
            none.problem().is_none_or(unknown) && problems.clone().any(unknown)
        }
        error => error.problem().is_some_and(unknown),
    }
}

/// Which region served in the place of which, and why; `None` when it was the first of the tenant's.
fn in_the_place_of<T>(served: &Served<T>) -> Option<String> {
    // One that knows no such key is none of the tenant's.
    let is_the_tenants =
        |said: &&Said| said.problem.as_ref().is_none_or(|problem| problem.code != Some(Code::UnknownKey));
    let passed_over: Vec<String> =
        served.passed_over.iter().filter(is_the_tenants).map(Said::to_string).collect();
    let why = || format!("region {} served; {}", served.region, passed_over.join("; "));
    (!passed_over.is_empty()).then(why)
}

/// One thread does it: a command waits for answers and little else.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't set up the runtime")
}
