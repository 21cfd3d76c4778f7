//! The threads of the landscape's components: each has a runtime of its own, as it has where it is a process of its
//! own, so that its log lines are in its name and none of them waits for another one's.

use std::collections::BTreeMap;

use anyhow::Context as _;
use openkcm_contracts::RegionId;
use tokio::runtime::{Handle, Runtime};

use crate::component::Component;
use crate::process::{DRAIN, runtime_of};

/// A runtime for each component.
pub(super) struct Threads(BTreeMap<Component, Runtime>);

impl Threads {
    /// Starts them. To be dropped, as every runtime, where nothing asynchronous runs.
    pub(super) fn start(regions: &[RegionId]) -> anyhow::Result<Self> {
        let components = Component::all(regions).into_iter();
        components
            .map(|component| Ok((component.clone(), runtime_of(&component)?)))
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    /// Those of one component.
    pub(super) fn of(&self, component: &Component) -> anyhow::Result<&Handle> {
        let runtime = self.0.get(component).with_context(|| format!("there is no {}", component.title()))?;
        Ok(runtime.handle())
    }

    /// Ends them, and what still runs on them.
    pub(super) fn end(self) {
        for runtime in self.0.into_values() {
            runtime.shutdown_timeout(DRAIN);
        }
    }
}
