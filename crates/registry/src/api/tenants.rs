//! Routes of tenants.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use openkcm_contracts::TenantId;
use openkcm_http::{Answer, Body, IfMatch, Names, Page, PageQuery, Query, WithEtag};

use super::collection::{page, part};
use super::documents::{Tenant, TenantRequest};
use super::wait::Wait;
use super::{answer, precondition};
use crate::rules::Outcome;
use crate::store::TenantRecord;
use crate::{Handle, commands, queries};

/// List tenants
///
/// In the order of their names. `state`: `active` (the default), `offboarded` or `all`. A page may be shorter than `limit` while
/// the list goes on: read until there is no `next_cursor`.
#[utoipa::path(get, path = "/v1/tenants", operation_id = "list_tenants", tag = "tenants", params(PageQuery),
    responses((status = 200, description = "A page of tenants.", body = Page<Tenant>)))]
pub(crate) async fn list(State(handle): State<Handle>, query: PageQuery) -> Answer<Json<Page<Tenant>>> {
    let part = part(query, "active", &["offboarded", "deleted"])?;
    let listing = handle.ask(move |view| queries::tenants(view, &part)).await?;
    Ok(Json(page(listing, |shown| shown.record.into())))
}

/// Read a tenant
#[utoipa::path(get, path = "/v1/tenants/{tenant}", operation_id = "read_tenant", tag = "tenants",
    params(("tenant" = String, Path, description = "The tenant.")),
    responses((status = 200, description = "The tenant.", body = Tenant,
        headers(("ETag" = String, description = "Its revision.")))))]
pub(crate) async fn read(
    State(handle): State<Handle>,
    Names(tenant): Names<TenantId>,
) -> Answer<WithEtag<Json<Tenant>>> {
    let record = handle.ask(move |view| queries::tenant(view, &tenant)).await?.record;
    Ok(WithEtag(record.revision, Json(record.into())))
}

/// Define a tenant
///
/// Makes it, or changes it to be so. A region that is added is told of all the tenant's definitions; one that
/// is left out is told that the tenant is withdrawn. An offboarded tenant is defined again only with If-Match;
/// it is another tenant then, to which none of the old systems belongs.
#[utoipa::path(put, path = "/v1/tenants/{tenant}", operation_id = "define_tenant", tag = "tenants",
    params(("tenant" = String, Path, description = "The tenant."), IfMatch), request_body = TenantRequest,
    responses(
        (status = 200, description = "The tenant was changed, or was so already.", body = Tenant,
            headers(("ETag" = String, description = "Its revision."))),
        (status = 201, description = "The tenant is new.", body = Tenant,
            headers(("ETag" = String, description = "Its revision."))),
        (status = 422, description = "`unknown_region`: a region is none of the landscape's.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn define(
    State(handle): State<Handle>,
    Names(tenant): Names<TenantId>,
    if_match: IfMatch,
    Body(request): Body<TenantRequest>,
) -> Answer<Response> {
    let (spec, precondition) = (request.spec()?, precondition(if_match));
    let change = handle.change_tenant(move |tx, landscape, now| {
        commands::define_tenant(tx, landscape, &tenant, spec, &precondition, now)
    });
    let outcome = change.await?;
    let record = outcome.record();
    Ok(answer(&outcome, record.revision, Tenant::from(record.clone())))
}

/// Offboard a tenant
///
/// All that belongs to it ends with it. It can be undeleted within the waiting period.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}", operation_id = "offboard_tenant", tag = "tenants",
    params(("tenant" = String, Path, description = "The tenant."), Wait, IfMatch),
    responses((status = 200, description = "The tenant is offboarded.", body = Tenant,
        headers(("ETag" = String, description = "Its revision.")))))]
pub(crate) async fn offboard(
    State(handle): State<Handle>,
    Names(tenant): Names<TenantId>,
    if_match: IfMatch,
    Query(wait): Query<Wait>,
) -> Answer<WithEtag<Json<Tenant>>> {
    let (wait, precondition) = (wait.duration()?, precondition(if_match));
    let change = handle
        .change_tenant(move |tx, _, now| commands::offboard_tenant(tx, &tenant, &precondition, wait, now));
    Ok(shown(&change.await?))
}

/// Undelete a tenant
///
/// Takes an offboarding back, within its waiting period; all that ended with the tenant is there again.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/undelete",
    operation_id = "undelete_tenant", tag = "tenants",
    params(("tenant" = String, Path, description = "The tenant."), IfMatch),
    responses(
        (status = 200, description = "The tenant is active again.", body = Tenant,
            headers(("ETag" = String, description = "Its revision."))),
        (status = 409, description = "`not_deleted` or `undelete_too_late`.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn undelete(
    State(handle): State<Handle>,
    Names(tenant): Names<TenantId>,
    if_match: IfMatch,
) -> Answer<WithEtag<Json<Tenant>>> {
    let precondition = precondition(if_match);
    let change =
        handle.change_tenant(move |tx, _, now| commands::undelete_tenant(tx, &tenant, &precondition, now));
    Ok(shown(&change.await?))
}

fn shown(outcome: &Outcome<TenantRecord>) -> WithEtag<Json<Tenant>> {
    let record = outcome.record();
    WithEtag(record.revision, Json(record.clone().into()))
}
