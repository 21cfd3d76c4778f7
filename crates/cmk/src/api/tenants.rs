//! `/v1/tenants`: the tenants that the CMK Server has heard of, and whether they are linked.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use openkcm_http::{Answer, Page, PageQuery, Problem};
use openkcm_store::{Read, StoreError};

use super::bodies::PointerState;
use super::{Context, TenantBody};
use crate::store;

/// Tenants that are read at once while those in the wanted state are looked for.
const CHUNK: usize = 500;

/// Lists the tenants that are known here.
///
/// `state` is `linked`, `unlinked`, `none` (never linked) or `all` (the default).
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", operation_id = "listTenants", params(PageQuery),
    responses((status = 200, description = "A page of tenants.", body = Page<TenantBody>)))]
pub(super) async fn list(
    State(context): State<Arc<Context>>,
    query: PageQuery,
) -> Answer<Json<Page<TenantBody>>> {
    let wanted = wanted(query.state.as_deref())?;
    let asked = query.clone();
    let found = context.store.read(move |view| find(view, &asked, wanted));
    let found = found.await.map_err(|error| Problem::store_unavailable("listing the tenants", &error))?;
    Ok(Json(query.page(found, |tenant| tenant.tenant.to_string())))
}

fn wanted(state: Option<&str>) -> Answer<Option<PointerState>> {
    match state {
        None | Some("all") => Ok(None),
        Some("linked") => Ok(Some(PointerState::Linked)),
        Some("unlinked") => Ok(Some(PointerState::Unlinked)),
        Some("none") => Ok(Some(PointerState::None)),
        Some(_) => Err(Problem::invalid_request("state", "state: linked, unlinked, none or all is expected")),
    }
}

fn find(
    view: &dyn Read,
    query: &PageQuery,
    wanted: Option<PointerState>,
) -> Result<Vec<TenantBody>, StoreError> {
    let prefix = query.prefix.as_deref().unwrap_or_default();
    let mut after = query.after.clone();
    let mut found = Vec::new();
    loop {
        let chunk = store::tenants(view, prefix, after.as_deref(), CHUNK)?;
        let last_chunk = chunk.len() < CHUNK;
        after = chunk.last().map(|tenant| tenant.fact.tenant.to_string());
        for tenant in chunk {
            let pointer = store::pointer(view, &tenant.fact.tenant)?;
            if wanted.is_none_or(|wanted| wanted == PointerState::of(pointer.as_ref())) {
                found.push(TenantBody::new(tenant, pointer));
            }
            if found.len() == query.fetch() {
                return Ok(found);
            }
        }
        if last_chunk {
            return Ok(found);
        }
    }
}
