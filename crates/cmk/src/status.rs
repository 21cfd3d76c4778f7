//! How a CMK Server is: what it has still to tell, and how far it has read.
//!
//! For operators; nothing decides by it. It is put together from the store when it is asked for.

use std::sync::Arc;

use openkcm_contracts::{Lane, Revision, Timestamp};
use openkcm_host::Clock;
use openkcm_orbital::{Connection, Reading, Stream, inbox, outbox};
use openkcm_store::{Read, Scan, Store, StoreError};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::metrics::{SENDS, lane_name};
use crate::service::reads;
use crate::store;

/// Quarantined events are counted up to here: an operator who sees as many needs no exact number.
const QUARANTINE_COUNT_LIMIT: usize = 10_000;

/// Quarantined events that are read at once while they are counted: each may be half a megabyte.
const QUARANTINE_CHUNK: usize = 16;

/// How a CMK Server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Status {
    /// The revision of the last change; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "1.42")]
    pub revision: Option<Revision>,
    /// Whether the mesh answers.
    pub mesh: MeshStatus,
    /// What waits to be told, by lane.
    pub outbox: Vec<OutboxStatus>,
    /// How far each stream was read.
    pub streams: Vec<StreamStatus>,
    /// Authentic events that could not be read, counted up to 10000.
    pub quarantined: usize,
}

/// Whether the mesh answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MeshStatus {
    /// Whether the last attempt succeeded.
    pub connected: bool,
    /// Since when it is so.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// What went wrong when it last failed; absent while it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<String>,
}

/// What waits to be told on one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OutboxStatus {
    /// The lane's name.
    #[schema(value_type = String, example = "urgent")]
    pub lane: &'static str,
    /// How many letters wait, counted up to 100000.
    pub letters: usize,
    /// How long the oldest of them has waited, in seconds; absent when none waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub oldest_age_seconds: Option<u64>,
}

/// How far one stream was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StreamStatus {
    /// The stream: the lane's number and the audience.
    #[schema(example = "1.cmk")]
    pub stream: String,
    /// The number of the last message that was read; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sequence: Option<u64>,
}

/// Looks at a running CMK Server.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) store: Store,
    pub(crate) connection: watch::Receiver<Connection>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Observer {
    pub(crate) async fn status(&self) -> Result<Status, StoreError> {
        let now = self.clock.now();
        let Connection { connected, since, error } = self.connection.borrow().clone();
        let mesh = MeshStatus { connected, since, error };
        self.store.read(move |view| read(view, mesh, now)).await
    }
}

fn read(view: &dyn Read, mesh: MeshStatus, now: Timestamp) -> Result<Status, StoreError> {
    Ok(Status {
        revision: store::revision(view)?,
        mesh,
        outbox: SENDS.iter().map(|lane| lane_status(view, *lane, now)).collect::<Result<_, _>>()?,
        streams: reads().iter().map(|stream| stream_status(view, stream)).collect::<Result<_, _>>()?,
        quarantined: count_quarantined(view)?,
    })
}

fn lane_status(view: &dyn Read, lane: Lane, now: Timestamp) -> Result<OutboxStatus, StoreError> {
    let depth = outbox::depth(view, lane)?;
    let age = |millis| now.since(Timestamp::from_millis(millis)).as_secs();
    Ok(OutboxStatus {
        lane: lane_name(lane),
        letters: depth.letters,
        oldest_age_seconds: depth.oldest_millis.map(age),
    })
}

fn count_quarantined(view: &dyn Read) -> Result<usize, StoreError> {
    let mut count = 0;
    let mut after: Option<Vec<u8>> = None;
    loop {
        let scan = Scan { prefix: b"", after: after.as_deref(), limit: QUARANTINE_CHUNK };
        let chunk = view.scan(inbox::QUARANTINE.space(), scan)?;
        count += chunk.len();
        if chunk.len() < QUARANTINE_CHUNK || count >= QUARANTINE_COUNT_LIMIT {
            return Ok(count.min(QUARANTINE_COUNT_LIMIT));
        }
        after = chunk.into_iter().next_back().map(|(key, _)| key);
    }
}

fn stream_status(view: &dyn Read, stream: &Stream) -> Result<StreamStatus, StoreError> {
    let position = inbox::position(view, &Reading::all(stream.clone()))?;
    Ok(StreamStatus { stream: stream.to_string(), sequence: position.map(|position| position.sequence) })
}
