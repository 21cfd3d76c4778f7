//! A drift record, as the interface shows it.

use openkcm_contracts::{RegionId, Revision, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Found, Record};

/// A difference between what a region holds and what it is to hold.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Drift)]
pub(super) struct Shown {
    /// Where.
    #[schema(value_type = String, example = "eu-1")]
    region: RegionId,
    /// Of which thing.
    #[schema(example = "key.acme.hr.payroll")]
    subject: String,
    /// `missing`: the region lacks it; `behind`: it holds an earlier word; `differs`: it holds other content under
    /// the same revision; `unknown`: it holds what this authority never knew; `stale-authority`: it holds a later
    /// word than this authority.
    #[schema(example = "missing")]
    kind: &'static str,
    /// `told-again`: the word was told to the region again; `alarm`: nothing was done, an operator decides; `purge`:
    /// the region was told again to destroy it.
    #[schema(example = "told-again")]
    action: &'static str,
    /// `open`, or `healed`.
    #[schema(example = "healed")]
    state: &'static str,
    /// When it was found.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// When something was done about it last.
    #[schema(value_type = String, format = DateTime)]
    acted_at: Timestamp,
    /// How often something was done about it.
    times: u64,
    /// When the region was seen to be as it is to be; absent while it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    healed: Option<Timestamp>,
    /// This authority's revision; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1.42")]
    ours: Option<Revision>,
    /// The region's revision; absent if it held nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1.40")]
    theirs: Option<Revision>,
}

impl From<Record> for Shown {
    fn from(record: Record) -> Self {
        let Record { found, since, acted_at, times, healed } = record;
        let Found { region, subject, kind, action, ours, theirs, .. } = found;
        let state = if healed.is_some() { "healed" } else { "open" };
        let (kind, action) = (kind.as_str(), action.as_str());
        Self { region, subject, kind, action, state, since, acted_at, times, healed, ours, theirs }
    }
}
