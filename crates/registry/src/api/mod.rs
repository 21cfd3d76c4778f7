//! The Registry's HTTP interface: names, bodies and conditions are read here, commands and queries
//! called, refusals made into problem documents. Nothing is decided.
//!
//! What always holds: an answer to a write is sent after the change is synced to disk; and each write
//! can be sent again.

mod collection;
mod documents;
mod failover;
mod refusals;
mod regions;
mod services;
mod status;
mod systems;
mod tenants;
mod wait;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use openkcm_contracts::{KeyPath, Revision, Timestamp};
use openkcm_http::{Answer, IfMatch, WithEtag};
use openkcm_store::Write;
use serde::Serialize;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::documents::Definition;
use crate::commands::{self, Failure};
use crate::rules::{KeySpec, Outcome, Precondition};
use crate::store::KeyRecord;
use crate::{Handle, queries};

const TITLE: &str = "OpenKCM Registry";

const DESCRIPTION: &str = "\
The Architect: tenants, systems (L2) and services (L3), what they should be and where. \
Every write is idempotent; a resource's ETag is its revision; to define again what was deleted needs If-Match. \
A definition ends with what it belongs to: its `state` takes that into account, its ETag does not change by it.";

/// The routes, and the document that describes them.
pub(crate) fn router(handle: Handle) -> (Router, OpenApi) {
    let (router, document) = routes().split_for_parts();
    (router.with_state(handle), openkcm_http::describe(document, TITLE, DESCRIPTION))
}

/// The OpenAPI 3.1 document of this interface.
pub fn openapi() -> OpenApi {
    openkcm_http::describe(routes().to_openapi(), TITLE, DESCRIPTION)
}

fn routes() -> OpenApiRouter<Handle> {
    OpenApiRouter::default()
        .routes(routes!(tenants::list))
        .routes(routes!(tenants::read, tenants::define, tenants::offboard))
        .routes(routes!(tenants::undelete))
        .routes(routes!(systems::list))
        .routes(routes!(systems::read, systems::define, systems::delete))
        .routes(routes!(systems::undelete))
        .routes(routes!(systems::compromise))
        .routes(routes!(services::list))
        .routes(routes!(services::read, services::define, services::delete))
        .routes(routes!(services::undelete))
        .routes(routes!(services::compromise))
        .routes(routes!(status::read))
        .routes(routes!(regions::list))
        .routes(routes!(regions::overrule))
        .routes(routes!(failover::read, failover::begin))
        .routes(routes!(failover::tenants))
        .routes(routes!(failover::back))
        .merge(openkcm_component::drift::routes())
        .merge(openkcm_component::quarantine::routes())
}

fn precondition(if_match: IfMatch) -> Precondition {
    match if_match {
        IfMatch::Absent => Precondition::None,
        IfMatch::Any => Precondition::Exists,
        IfMatch::OneOf(revisions) => Precondition::OneOf(revisions),
    }
}

/// 201 for the first definition under a name, 200 for all others.
fn answer<R>(outcome: &Outcome<R>, revision: Revision, document: impl Serialize) -> Response {
    let status = match outcome {
        Outcome::Created(_) => StatusCode::CREATED,
        Outcome::Changed(_) | Outcome::Unchanged(_) => StatusCode::OK,
    };
    (status, WithEtag(revision, Json(document))).into_response()
}

/// What `PUT` does for systems and services alike.
async fn define_key(handle: Handle, path: KeyPath, spec: KeySpec, if_match: IfMatch) -> Answer<Response> {
    let precondition = precondition(if_match);
    let change = handle
        .change_key(path, move |tx, path, now| commands::define_key(tx, path, spec, &precondition, now));
    let (outcome, shown) = change.await?;
    Ok(answer(&outcome, shown.record.revision, Definition::from(shown)))
}

/// What `GET` does for systems and services alike.
async fn read_key(handle: Handle, path: KeyPath) -> Answer<WithEtag<Json<Definition>>> {
    let shown = handle.ask(move |view| queries::key(view, &path)).await?;
    Ok(WithEtag(shown.record.revision, Json(shown.into())))
}

/// What the other writes do for systems and services alike: a command, and the definition after it.
async fn change_key(
    handle: Handle,
    path: KeyPath,
    command: impl FnOnce(&mut dyn Write, &KeyPath, Timestamp) -> Result<Outcome<KeyRecord>, Failure>
    + Send
    + 'static,
) -> Answer<WithEtag<Json<Definition>>> {
    let (_, shown) = handle.change_key(path, command).await?;
    Ok(WithEtag(shown.record.revision, Json(shown.into())))
}
