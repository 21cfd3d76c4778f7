//! `GET /v1/status`: what the Registry says of itself.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use openkcm_component::{AuthorityStatus, MeshStatus};
use openkcm_contracts::{RegionId, Revision};
use openkcm_http::Answer;
use serde::Serialize;
use utoipa::ToSchema;

use super::failover::Failover;
use crate::rules::doubt::Doubt;
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
    /// Where regions were found to hold something else than they are to, and not healed yet; `/v1/drift` lists it.
    drift_open: u64,
    /// Whether tombstones are told of what is due to be destroyed.
    purging: Purging,
    /// The failovers of regions that run, or whose tenants were not given back.
    failovers: Vec<Failover>,
    /// The mesh, as the Registry sees it.
    mesh: MeshStatus,
}

/// Whether tombstones are told.
#[derive(Debug, Serialize, ToSchema)]
struct Purging {
    /// `on`; or `withheld`, while the Registry is, or may be, behind what it has said.
    #[schema(example = "on")]
    state: &'static str,
    /// The regions that claim later words of the Registry than there are: `POST /v1/regions/{r}/overrule` goes on all
    /// the same.
    #[schema(value_type = Vec<String>)]
    claimed_by: Vec<RegionId>,
    /// The regions that were not heard since the start, for up to two minutes.
    #[schema(value_type = Vec<String>)]
    unheard: Vec<RegionId>,
}

/// What the Registry says of itself
#[utoipa::path(get, path = "/v1/status", operation_id = "read_status", tag = "status",
    responses((status = 200, description = "Its regions, revision and mesh.", body = Status)))]
pub(crate) async fn read(State(handle): State<Handle>) -> Answer<Json<Status>> {
    Ok(Json(handle.status().await?.into()))
}

impl From<service::Status> for Status {
    fn from(status: service::Status) -> Self {
        let service::Status { regions, revision, authority, drift_open, withholding, failovers, mesh } =
            status;
        let of = |wanted: Doubt| {
            let found = withholding.iter().filter(|(_, doubt)| *doubt == wanted);
            found.map(|(region, _)| region.clone()).collect()
        };
        let (claimed_by, unheard) = (of(Doubt::Open), of(Doubt::Unheard));
        let state = match (authority.standing, withholding.is_empty()) {
            ("current", true) => "on",
            _ => "withheld",
        };
        let failovers = failovers.into_iter().map(Failover::from).collect();
        let purging = Purging { state, claimed_by, unheard };
        Self { regions, revision, authority, drift_open, purging, failovers, mesh }
    }
}
