//! What a drill found: for people as a page, for programs as JSON.

mod chart;
mod promises;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use openkcm_contracts::{RegionId, Timestamp};
use serde::Serialize;

use super::check::Lost;
use super::load::{Counts, Second};
use super::story::Event;

pub(super) use self::promises::{
    Promise, all_is_well, every_answer_right, no_request_lost, nothing_lost, rotation_went_on,
};

/// Lost ciphertexts that the report lists.
const MOST_LISTED: usize = 100;

/// All that a drill found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// `tier1`, `tier2` or `tier3`.
    pub(super) drill: &'static str,
    /// What was drilled, in words.
    pub(super) title: String,
    /// When it began.
    pub(super) began_at: Timestamp,
    /// How long it lasted.
    pub(super) lasted_ms: u64,
    /// Where, and with what load.
    pub(super) setting: Setting,
    /// What happened, in its order.
    pub(super) events: Vec<Event>,
    /// When the fault began and ended, in milliseconds since the drill began.
    pub(super) fault_ms: Option<[u64; 2]>,
    /// The requests of each region, second by second.
    pub(super) availability: BTreeMap<RegionId, Vec<Second>>,
    /// All requests.
    pub(super) requests: Second,
    /// Ciphertexts that were kept and tried.
    pub(super) ciphertexts: Ciphertexts,
    /// Versions at risk.
    pub(super) at_risk: AtRisk,
    /// How soon tenants were served again, where they were not.
    pub(super) recovery: Option<Recovery>,
    /// Versions that began to encrypt while the fault lasted.
    pub(super) versions_during_fault: usize,
    /// What was promised.
    pub(super) promises: Vec<Promise>,
    /// Whether all of it held.
    pub(super) held: bool,
}

/// Where, and with what load.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Setting {
    /// `scratch`, or the landscape's file.
    pub(super) landscape: String,
    /// Its regions.
    pub(super) regions: Vec<RegionId>,
    /// Tenants, without those that only something is shown at.
    pub(super) tenants: u32,
    /// Services in all.
    pub(super) services: usize,
    /// Callers.
    pub(super) callers: u32,
    /// Requests a second that they send.
    pub(super) rate: u32,
    /// How often each service rotates.
    pub(super) rotate_every: String,
}

/// Ciphertexts that were kept and tried.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Ciphertexts {
    /// Kept: a few of each service, version and region.
    pub(super) kept: usize,
    /// Tried at the end, in each region that is to open them.
    pub(super) tried: usize,
    /// Of those, not opened.
    pub(super) lost: usize,
    /// The first of them.
    pub(super) losses: Vec<Lost>,
}

impl Ciphertexts {
    pub(super) fn of(kept: usize, checked: &super::check::Checked) -> Self {
        let losses = checked.lost.iter().take(MOST_LISTED).cloned().collect();
        Self { kept, tried: checked.tried, lost: checked.lost.len(), losses }
    }
}

/// Versions that are in one region alone.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct AtRisk {
    /// The most that each region had at a time.
    pub(super) highest: BTreeMap<RegionId, u64>,
    /// In all regions when a region was lost with its disk, where one was.
    pub(super) when_lost: Option<u64>,
    /// In all regions at the end; `None` where a region does not answer.
    pub(super) at_end: Option<u64>,
}

/// How soon tenants were served by the survivor, from the commit of the failover.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Recovery {
    /// Tenants that had to be served.
    pub(super) tenants: usize,
    /// Those that were.
    pub(super) served: usize,
    /// The first of them.
    pub(super) first_ms: Option<u64>,
    /// The last of them.
    pub(super) last_ms: Option<u64>,
}

/// What a drill found out beside the requests.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) fault: Option<(Duration, Duration)>,
    pub(super) ciphertexts: Ciphertexts,
    pub(super) at_risk: AtRisk,
    pub(super) recovery: Option<Recovery>,
    pub(super) versions_during_fault: usize,
    pub(super) promises: Vec<Promise>,
    pub(super) counts: Counts,
}

impl Report {
    /// The report as a page.
    pub(super) fn to_text(&self) -> String {
        text::page(self)
    }

    /// How many promises did not hold.
    pub(super) fn broken(&self) -> usize {
        self.promises.iter().filter(|promise| !promise.held).count()
    }
}
