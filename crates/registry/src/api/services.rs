//! Routes of services: the L3 definitions of a system.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use openkcm_contracts::{KeyPath, ServiceId, SystemId, SystemPath, TenantId};
use openkcm_http::{Answer, Body, IfMatch, Names, Page, PageQuery, Query, WithEtag};

use super::collection::{page, part};
use super::documents::{CompromiseRequest, Definition, DefinitionRequest};
use super::wait::Wait;
use super::{change_key, define_key, precondition, read_key};
use crate::{Handle, commands, queries};

type Path = (TenantId, SystemId, ServiceId);

/// List the services of a system
///
/// In the order of their names. `state`: `defined` (the default), `deleted` or `all`. A page may be shorter
/// than `limit` while the list goes on: read until there is no `next_cursor`.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/systems/{system}/services",
    operation_id = "list_services", tag = "services",
    params(
        ("tenant" = String, Path, description = "The tenant."),
        ("system" = String, Path, description = "The system."),
        PageQuery,
    ),
    responses((status = 200, description = "A page of services.", body = Page<Definition>)))]
pub(crate) async fn list(
    State(handle): State<Handle>,
    Names((tenant, system)): Names<(TenantId, SystemId)>,
    query: PageQuery,
) -> Answer<Json<Page<Definition>>> {
    let part = part(query, "defined", &["deleted"])?;
    let path = SystemPath { tenant, system };
    let listing = handle.ask(move |view| queries::services(view, &path, &part)).await?;
    Ok(Json(page(listing, Definition::from)))
}

/// Read a service
#[utoipa::path(get, path = "/v1/tenants/{tenant}/systems/{system}/services/{service}",
    operation_id = "read_service", tag = "services",
    params(
        ("tenant" = String, Path, description = "The tenant."),
        ("system" = String, Path, description = "The system."),
        ("service" = String, Path, description = "The service."),
    ),
    responses((status = 200, description = "The service.", body = Definition,
        headers(("ETag" = String, description = "Its revision.")))))]
pub(crate) async fn read(
    State(handle): State<Handle>,
    Names(path): Names<Path>,
) -> Answer<WithEtag<Json<Definition>>> {
    read_key(handle, key_path(path)).await
}

/// Define a service
///
/// Makes it, or changes it to be so. One that has ended is defined again only with If-Match; it is another key
/// then, with material of its own.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/systems/{system}/services/{service}",
    operation_id = "define_service", tag = "services",
    params(
        ("tenant" = String, Path, description = "The tenant."),
        ("system" = String, Path, description = "The system."),
        ("service" = String, Path, description = "The service."),
        IfMatch,
    ),
    request_body = DefinitionRequest,
    responses(
        (status = 200, description = "The service was changed, or was so already.", body = Definition,
            headers(("ETag" = String, description = "Its revision."))),
        (status = 201, description = "The service is new.", body = Definition,
            headers(("ETag" = String, description = "Its revision."))),
        (status = 409, description = "`tenant_offboarded` or `definition_deleted`: define or undelete what it belongs to first.",
            body = openkcm_http::ProblemBody,
            content_type = "application/problem+json")))]
pub(crate) async fn define(
    State(handle): State<Handle>,
    Names(path): Names<Path>,
    if_match: IfMatch,
    Body(request): Body<DefinitionRequest>,
) -> Answer<Response> {
    define_key(handle, key_path(path), request.spec()?, if_match).await
}

/// Delete a service
///
/// It can be undeleted within the waiting period.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/systems/{system}/services/{service}",
    operation_id = "delete_service", tag = "services",
    params(
        ("tenant" = String, Path, description = "The tenant."),
        ("system" = String, Path, description = "The system."),
        ("service" = String, Path, description = "The service."),
        Wait, IfMatch,
    ),
    responses(
        (status = 200, description = "The service is deleted.", body = Definition,
            headers(("ETag" = String, description = "Its revision."))),
        (status = 409, description = "`tenant_offboarded`: it has ended with its tenant, and waits as long as that.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn delete(
    State(handle): State<Handle>,
    Names(path): Names<Path>,
    if_match: IfMatch,
    Query(wait): Query<Wait>,
) -> Answer<WithEtag<Json<Definition>>> {
    let (wait, precondition) = (wait.duration()?, precondition(if_match));
    change_key(handle, key_path(path), move |tx, path, now| {
        commands::delete_key(tx, path, &precondition, wait, now)
    })
    .await
}

/// Undelete a service
///
/// Takes a deletion back, within its waiting period.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/systems/{system}/services/{service}/undelete",
    operation_id = "undelete_service", tag = "services",
    params(
        ("tenant" = String, Path, description = "The tenant."),
        ("system" = String, Path, description = "The system."),
        ("service" = String, Path, description = "The service."),
        IfMatch,
    ),
    responses(
        (status = 200, description = "The service is defined again, as it was.", body = Definition,
            headers(("ETag" = String, description = "Its revision."))),
        (status = 409, description = "`not_deleted`, `undelete_too_late`, `definition_deleted` or `tenant_offboarded`.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn undelete(
    State(handle): State<Handle>,
    Names(path): Names<Path>,
    if_match: IfMatch,
) -> Answer<WithEtag<Json<Definition>>> {
    let precondition = precondition(if_match);
    change_key(handle, key_path(path), move |tx, path, now| {
        commands::undelete_key(tx, path, &precondition, now)
    })
    .await
}

/// Mark a version compromised
///
/// It is refused from now on, in every region. There is no way back.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/systems/{system}/services/{service}/compromise",
    operation_id = "compromise_service_version", tag = "services",
    params(
        ("tenant" = String, Path, description = "The tenant."),
        ("system" = String, Path, description = "The system."),
        ("service" = String, Path, description = "The service."),
        IfMatch,
    ),
    request_body = CompromiseRequest,
    responses(
        (status = 200, description = "The version is marked.", body = Definition,
            headers(("ETag" = String, description = "The service's revision."))),
        (status = 409, description = "`definition_deleted`: what it belongs to was defined again.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn compromise(
    State(handle): State<Handle>,
    Names(path): Names<Path>,
    if_match: IfMatch,
    Body(request): Body<CompromiseRequest>,
) -> Answer<WithEtag<Json<Definition>>> {
    let (version, precondition) = (request.version()?, precondition(if_match));
    change_key(handle, key_path(path), move |tx, path, now| {
        commands::mark_compromised(tx, path, &precondition, version, now)
    })
    .await
}

fn key_path((tenant, system, service): Path) -> KeyPath {
    KeyPath::new(tenant, system, Some(service))
}
