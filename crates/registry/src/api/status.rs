//! `GET /v1/status`: what the Registry says of itself.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use openkcm_component::{AuthorityStatus, MeshStatus};
use openkcm_contracts::{RegionId, Revision};
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
    /// Whether it is as new as its own last words.
    authority: AuthorityStatus,
    /// The mesh, as the Registry sees it.
    mesh: MeshStatus,
}

/// What the Registry says of itself
#[utoipa::path(get, path = "/v1/status", operation_id = "read_status", tag = "status",
    responses((status = 200, description = "Its regions, revision and mesh.", body = Status)))]
pub(crate) async fn read(State(handle): State<Handle>) -> Answer<Json<Status>> {
    Ok(Json(handle.status().await?.into()))
}

impl From<service::Status> for Status {
    fn from(status: service::Status) -> Self {
        let service::Status { regions, revision, authority, mesh } = status;
        Self { regions, revision, authority, mesh }
    }
}
