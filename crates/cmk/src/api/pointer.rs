//! `/v1/tenants/{t}/l1`: link, show, unlink.
//!
//! Linking asks the roots first, with no transaction open, and decides in the transaction again: what
//! changed meanwhile is seen. Unlinking asks nobody.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use openkcm_contracts::TenantId;
use openkcm_contracts::problem::Code;
use openkcm_http::{Answer, Body, IfMatch, Names, Problem, ProblemBody, WithEtag};

use super::refusal::{of_command, of_root, precondition};
use super::{Context, LinkBody, PointerBody};
use crate::commands::{self, Failure, Outcome};
use crate::probe::{outcome_of, prove_usable};
use crate::rules::{LinkRequest, Refusal};
use crate::store::{self, Health, Pointer, ProbeOutcome};

/// A pointer, with its revision as `ETag`.
type Shown = WithEtag<Json<PointerBody>>;

/// Links a tenant to its roots.
///
/// Every root must seal and unseal first. The same content again changes nothing. While the tenant is
/// linked, other roots make a new epoch and another TTL alone does not; after an Unlink, `If-Match` is
/// required and the epoch is new.
#[utoipa::path(put, path = "/v1/tenants/{t}/l1", tag = "l1", operation_id = "link",
    params(("t" = String, Path, description = "The tenant."), IfMatch),
    request_body = LinkBody,
    responses(
        (status = 200, description = "The tenant is linked.", body = PointerBody,
            headers(("ETag" = String, description = "The revision."))),
        (status = 403, description = "`l1_denied`: a provider refuses a root's use; nothing was changed. \
            `owner_signature`: the signature of the tenant's owner does not hold.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`not_yet_known`: the Registry has not told of the tenant yet; try again. \
            `tenant_offboarded`: it is no customer any more.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`l1_misconfigured`: a root can't be used as it is configured; nothing was \
            changed.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn link(
    State(context): State<Arc<Context>>,
    Names(tenant): Names<TenantId>,
    if_match: IfMatch,
    Body(body): Body<LinkBody>,
) -> Answer<Shown> {
    const DOING: &str = "linking the tenant";
    let request = body.check()?;
    context.check_providers(&request)?;
    let precondition = precondition(if_match);
    let (of, wanted) = (tenant.clone(), precondition.clone());
    let allowed = context.store.read({
        let of = of.clone();
        move |view| commands::check_link(view, &of, &wanted)
    });
    allowed.await.map_err(|failure| of_command(&failure, DOING))?;
    let health = context.probe(&tenant, &request).await?;
    let now = context.clock.now();
    let linked = context
        .store
        .write(move |tx| commands::link(tx, &tenant, &request, &precondition, health, now))
        .await
        .map_err(|failure| of_command(&failure, DOING))?;
    if linked.changed() {
        context.metrics.linked();
        tracing::info!(tenant = %of, "its L1 is linked");
    }
    Ok(show_pointer(linked.into_inner()))
}

/// Shows a tenant's pointer.
#[utoipa::path(get, path = "/v1/tenants/{t}/l1", tag = "l1", operation_id = "showPointer",
    params(("t" = String, Path, description = "The tenant.")),
    responses(
        (status = 200, description = "The pointer.", body = PointerBody,
            headers(("ETag" = String, description = "The revision."))),
        (status = 404, description = "`not_linked`: the tenant was never linked.",
            body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn show(
    State(context): State<Arc<Context>>,
    Names(tenant): Names<TenantId>,
) -> Answer<Shown> {
    let pointer = context.store.read(move |view| store::pointer(view, &tenant));
    let pointer = pointer
        .await
        .map_err(|error| Problem::store_unavailable("reading the pointer", &error))?
        .ok_or_else(|| Problem::new(Code::NotLinked, Refusal::NotLinked.to_string()))?;
    Ok(show_pointer(pointer))
}

/// Unlinks a tenant: its roots may no longer be used, anywhere.
///
/// Asks no provider and needs no tenant that is known. What is unlinked already stays as it is. While the
/// CMK Server's store is, or may be, behind what it has said, a tenant that it does not know is unlinked too.
#[utoipa::path(delete, path = "/v1/tenants/{t}/l1", tag = "l1", operation_id = "unlink",
    params(("t" = String, Path, description = "The tenant."), IfMatch),
    responses(
        (status = 200, description = "The tenant is unlinked.", body = PointerBody,
            headers(("ETag" = String, description = "The revision."))),
        (status = 404, description = "`not_linked`: the tenant was never linked.",
            body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn unlink(
    State(context): State<Arc<Context>>,
    Names(tenant): Names<TenantId>,
    if_match: IfMatch,
) -> Answer<Shown> {
    let (precondition, of) = (precondition(if_match), tenant.clone());
    let (landscape, now) = (context.landscape.borrow().clone(), context.clock.now());
    let unlinked: Outcome<Pointer> = context
        .store
        .write(move |tx| commands::unlink(tx, &landscape, &tenant, &precondition, now))
        .await
        .map_err(|failure: Failure| of_command(&failure, "unlinking the tenant"))?;
    if let Outcome::Changed(Pointer { unlinked: Some(unlinked), .. }) = &unlinked {
        context.metrics.unlinked(unlinked.reason);
        tracing::info!(tenant = %of, reason = ?unlinked.reason, "its L1 is unlinked");
    }
    Ok(show_pointer(unlinked.into_inner()))
}

fn show_pointer(pointer: Pointer) -> Shown {
    WithEtag(pointer.revision, Json(pointer.into()))
}

impl Context {
    /// Refuses roots of providers that are not configured here.
    fn check_providers(&self, request: &LinkRequest) -> Answer<()> {
        let unknown = request.roots().iter().position(|root| self.roots.get(&root.provider).is_none());
        let Some(index) = unknown else { return Ok(()) };
        let configured: Vec<&str> = self.roots.names().collect();
        let detail = match configured.as_slice() {
            [] => "no provider is configured here; add a section [roots.…] to this component's configuration"
                .into(),
            names => format!("this provider is not configured here; configured: {}", names.join(", ")),
        };
        Err(Problem::new(Code::L1Misconfigured, detail).field(format!("roots[{index}].provider")))
    }

    /// Proves that every root can be used.
    async fn probe(&self, tenant: &TenantId, request: &LinkRequest) -> Answer<Health> {
        match prove_usable(&self.roots, tenant, request.roots()).await {
            Ok(()) => {
                self.metrics.probed(ProbeOutcome::Ok);
                Ok(Health::ok(self.clock.now()))
            }
            Err(unusable) => {
                if let Some(outcome) = outcome_of(&unusable.error) {
                    self.metrics.probed(outcome);
                }
                Err(of_root(&unusable))
            }
        }
    }
}
