//! Routes that show the Core and its tenants.

use axum::Json;
use axum::extract::State;
use openkcm_contracts::TenantId;
use openkcm_http::{Answer, Names};

use super::documents::{
    AwaitedRoot, CoreStatus, L1, Link, LockedMemory, Provider, PurgeCounts, Reason, Tenant, TenantAtRisk,
    Tenants, WarmUp,
};
use super::{refuse, unreadable};
use crate::rules::Refusal;
use crate::service::Handle;

/// Show a tenant
///
/// What this region has heard of it, and whether it is served here.
#[utoipa::path(get, path = "/v1/tenants/{tenant}", tag = "status", params(("tenant" = String, Path)),
    responses((status = 200, description = "The tenant as this region sees it.", body = Tenant)))]
pub(super) async fn read_tenant(
    State(handle): State<Handle>,
    Names(id): Names<TenantId>,
) -> Answer<Json<Tenant>> {
    let view = handle.tenant(&id).await.map_err(unreadable)?.ok_or_else(|| refuse(Refusal::UNKNOWN))?;
    let link = view.link.map(|(epoch, state, revision)| Link {
        epoch: epoch.to_string(),
        state,
        revision: revision.to_string(),
    });
    Ok(Json(Tenant {
        tenant: id.to_string(),
        revision: view.definition.as_ref().map(|(_, revision)| revision.to_string()),
        generation: view.definition.as_ref().map(|(fact, _)| fact.generation.to_string()),
        state: view.definition.as_ref().map(|(fact, _)| fact.state),
        link,
        serving: view.standing.is_ok(),
        refusal: view.standing.err().map(Reason::from),
        lease_deadline: view.leased_until,
        awaited_roots: view.awaited_roots.into_iter().map(AwaitedRoot::from).collect(),
        versions_at_risk: view.versions_at_risk,
    }))
}

/// Show the Core
#[utoipa::path(get, path = "/v1/status", tag = "status",
    responses((status = 200, description = "What the Core says of itself.", body = CoreStatus)))]
pub(super) async fn read(State(handle): State<Handle>) -> Answer<Json<CoreStatus>> {
    let status = handle.status().await.map_err(unreadable)?;
    let (serving, known) = status.tenants;
    Ok(Json(CoreStatus {
        region: status.region.to_string(),
        now: status.now,
        mesh: status.mesh,
        lease: status.lease.into(),
        l1: L1 { denied: status.probes.denied, unreachable: status.probes.unproven },
        tenants: Tenants { serving, known },
        versions_at_risk: status.versions_at_risk,
        tenants_at_risk: status
            .tenants_at_risk
            .into_iter()
            .map(|(tenant, versions)| TenantAtRisk { tenant: tenant.to_string(), versions })
            .collect(),
        warm_up: WarmUp {
            systems_open: status.warm_up.open,
            systems: status.warm_up.systems,
            tenants_left: status.warm_up.tenants_left,
        },
        providers: status.lines.into_iter().map(Provider::from).collect(),
        purges: PurgeCounts {
            waiting: status.purges.waiting,
            held: status.purges.held,
            destroyed: status.purges.destroyed,
        },
        roots_awaited: status.roots_awaited,
        locked_memory: LockedMemory {
            keys: status.locked_memory.slots_in_use,
            bytes: status.locked_memory.bytes_locked,
        },
    }))
}
