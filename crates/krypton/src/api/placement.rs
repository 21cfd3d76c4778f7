//! Tells callers the regions of the tenant that they ask for: so a client that fails over knows where to go, without the
//! Registry.
//!
//! What always holds: only an answer that serves, or a refusal for now, tells them. Where a tenant is not known, not this
//! region's, or not this caller's, nothing shows that there is one.

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use openkcm_contracts::{TenantId, placement};

use crate::service::Handle;

/// The parameter of a route that names the tenant.
const TENANT: &str = "tenant";

/// Adds the header to the answers of routes that are a tenant's.
pub(super) async fn tell(
    State(handle): State<Handle>,
    names: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    if let Some(tenant) = names.ok().as_ref().and_then(tenant_of)
        && (response.status().is_success() || response.status() == StatusCode::SERVICE_UNAVAILABLE)
        && let Some(value) = placement::write(&handle.regions_of(&tenant))
        && let Ok(value) = HeaderValue::try_from(value)
    {
        response.headers_mut().insert(placement::HEADER, value);
    }
    response
}

fn tenant_of(names: &RawPathParams) -> Option<TenantId> {
    let (_, name) = names.iter().find(|(parameter, _)| *parameter == TENANT)?;
    name.parse().ok()
}
