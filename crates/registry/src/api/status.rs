//! `GET /v1/status`: what the Registry says of itself.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use openkcm_contracts::{RegionId, Revision, Timestamp};
use openkcm_http::Answer;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Handle, service};

/// What the Registry says of itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// The regions of the landscape.
    #[schema(value_type = Vec<String>)]
    regions: BTreeSet<RegionId>,
    /// The revision of its last change; `1.0` before the first.
    #[schema(value_type = String)]
    revision: Revision,
    /// What it has yet to tell, by lane.
    outbox: Vec<Waiting>,
    /// Whether the mesh answers.
    mesh: Mesh,
}

/// What waits on a lane.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Waiting {
    /// The lane's number: 0 is the most urgent.
    lane: u8,
    /// How many letters wait, counted up to 100,000.
    letters: usize,
    /// When the oldest of them was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    oldest_at: Option<Timestamp>,
}

/// Whether the mesh answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Mesh {
    /// Whether it does.
    connected: bool,
    /// Since when it is so.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// What it said when it last failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

/// What the Registry says of itself
#[utoipa::path(get, path = "/v1/status", operation_id = "read_status", tag = "status",
    responses((status = 200, description = "Its regions, revision, outbox and mesh.", body = Status)))]
pub(crate) async fn read(State(handle): State<Handle>) -> Answer<Json<Status>> {
    Ok(Json(handle.status().await?.into()))
}

impl From<service::Status> for Status {
    fn from(status: service::Status) -> Self {
        let outbox = status.outbox.into_iter().map(|(lane, depth)| Waiting {
            lane: lane.number(),
            letters: depth.letters,
            oldest_at: depth.oldest_millis.map(Timestamp::from_millis),
        });
        Self {
            regions: status.regions,
            revision: status.revision,
            outbox: outbox.collect(),
            mesh: Mesh {
                connected: status.mesh.connected,
                since: status.mesh.since,
                error: status.mesh.error,
            },
        }
    }
}
