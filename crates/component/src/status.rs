//! The mesh as a component sees it: one JSON shape in the status of all three.
//!
//! For operators; nothing decides by it. It is put together from the store when it is asked for.

use std::collections::{BTreeMap, BTreeSet};

use openkcm_contracts::{Lane, Timestamp};
use openkcm_orbital::inbox::quarantine;
use openkcm_orbital::outbox::{self, Depth};
use openkcm_orbital::{Reading, Stream, inbox};
use openkcm_store::{Read, StoreError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Applied;

/// The mesh as a component sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MeshStatus {
    /// Whether the mesh answered the last attempt.
    pub connected: bool,
    /// Since when it is so.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// What went wrong with the last attempt, also when the mesh answered it; absent while nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<String>,
    /// What waits to be told.
    pub outbox: OutboxStatus,
    /// How far each authority's word was applied.
    pub applied: Applied,
    /// How far each stream was read.
    pub streams: Vec<StreamStatus>,
    /// Events that were not believed since the start, by reason.
    #[schema(value_type = BTreeMap<String, u64>, example = json!({"wrong-signature": 1}))]
    pub dropped: BTreeMap<&'static str, u64>,
    /// Events since the start that were held already in this or a newer revision.
    pub replayed: u64,
    /// Authentic events that could not be read or applied, and are kept.
    pub quarantined: u64,
}

/// What waits to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct OutboxStatus {
    /// How many letters wait; those of a lane are counted up to 100000.
    pub letters: usize,
    /// How long the oldest of them has waited, in seconds; absent when none waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub oldest_seconds: Option<u64>,
    /// The same by lane, for those that the component sends on.
    pub lanes: Vec<LaneStatus>,
}

/// What waits to be told on one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct LaneStatus {
    /// The lane's number: 0 is the most urgent.
    #[schema(maximum = 3)]
    pub lane: u8,
    /// How many letters wait, counted up to 100000.
    pub letters: usize,
    /// How long the oldest of them has waited, in seconds; absent when none waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub oldest_seconds: Option<u64>,
}

/// How far one stream was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StreamStatus {
    /// The stream: the lane's number and the audience.
    #[schema(example = "1.region.a")]
    pub stream: String,
    /// The number of the last message that was read; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sequence: Option<u64>,
    /// Whether it was read to its end once since the start.
    pub hydrated: bool,
}

/// What was found in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) lanes: Vec<(Lane, Depth)>,
    pub(crate) quarantine: quarantine::Kept,
}

impl Measured {
    pub(crate) fn read(view: &dyn Read, sends: &[Lane]) -> Result<Self, StoreError> {
        let lanes = sends.iter().map(|lane| Ok((*lane, outbox::depth(view, *lane)?)));
        Ok(Self { lanes: lanes.collect::<Result<_, StoreError>>()?, quarantine: quarantine::kept(view)? })
    }

    pub(crate) fn outbox(&self, now: Timestamp) -> OutboxStatus {
        let lanes: Vec<LaneStatus> = (self.lanes.iter())
            .map(|(lane, depth)| LaneStatus {
                lane: lane.number(),
                letters: depth.letters,
                oldest_seconds: depth.oldest_millis.map(|at| now.since(Timestamp::from_millis(at)).as_secs()),
            })
            .collect();
        OutboxStatus {
            letters: lanes.iter().map(|lane| lane.letters).sum(),
            oldest_seconds: lanes.iter().filter_map(|lane| lane.oldest_seconds).max(),
            lanes,
        }
    }
}

pub(crate) fn streams(
    view: &dyn Read,
    reads: &[Stream],
    hydrated: &BTreeSet<Stream>,
) -> Result<Vec<StreamStatus>, StoreError> {
    let status = |stream: &Stream| {
        let position = inbox::position(view, &Reading::all(stream.clone()))?;
        Ok(StreamStatus {
            stream: stream.to_string(),
            sequence: position.map(|position| position.sequence),
            hydrated: hydrated.contains(stream),
        })
    };
    reads.iter().map(status).collect()
}
