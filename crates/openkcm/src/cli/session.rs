//! What a command works in: the landscape's client, a runtime for its calls, how to print, how long to wait.
//!
//! What always holds: no request to one component waits for another. A region that answers has answered; another
//! one is asked only where the first can't be reached or knows no such key.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use openkcm_client::{Client, ClientError, Core, Landscape, Listing, Patience, Route};
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

/// Between two rounds through the regions for a key that none of them knows.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_millis(100);

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

    /// Asks the regions one after the other until one serves. A refusal other than *no such key* ends it: it may
    /// be the tenant's will.
    ///
    /// # Errors
    /// The refusal that ended it; or that of a region that knows no such key; or that none can be reached.
    pub(crate) async fn in_region<T>(
        &self,
        chosen: Option<&RegionId>,
        ask: impl AsyncFn(&Core<'_>) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let regions = self.regions(chosen);
        let grace = UNKNOWN_KEY_GRACE.min(self.patience.total);
        let begun = self.now();
        loop {
            let mut unreachable = None;
            let mut unknown = None;
            for region in &regions {
                match ask(&self.client.core(Route::Only(region.clone()))).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) if error.never_arrived() => {
                        unreachable.get_or_insert(error);
                    }
                    Err(error) if error.code() == Some(Code::UnknownKey) => {
                        unknown.get_or_insert(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            let none = || ClientError::NoSuchRegion { name: String::new(), known: String::new() };
            let Some(unknown) = unknown else { return Err(unreachable.unwrap_or_else(none)) };
            if self.now().since(begun) >= grace {
                return Err(unknown);
            }
            tokio::time::sleep(UNKNOWN_KEY_PAUSE).await;
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

/// One thread does it: a command waits for answers and little else.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't set up the runtime")
}
