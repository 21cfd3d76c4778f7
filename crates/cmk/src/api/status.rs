//! `/v1/status`: how the CMK Server is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use openkcm_http::{Answer, Problem};

use super::Context;
use crate::status::Status;

/// Shows what waits to be told, how far was read, and whether the mesh answers.
#[utoipa::path(get, path = "/v1/status", tag = "status", operation_id = "showStatus",
    responses((status = 200, description = "How the CMK Server is.", body = Status)))]
pub(super) async fn show(State(context): State<Arc<Context>>) -> Answer<Json<Status>> {
    let status = context.observer.status().await;
    status.map(Json).map_err(|error| Problem::store_unavailable("reading the status", &error))
}
