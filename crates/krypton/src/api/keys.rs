//! Routes that show and rotate keys.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use openkcm_contracts::v1::KeyDefine;
use openkcm_contracts::{
    DefinitionState, KeyPath, ServiceId, ServicePath, SystemId, SystemPath, TenantId, VersionState,
};
use openkcm_http::{Answer, Body, Names};

use super::documents::{Key, Nothing, Reason, RotateAnswer, Version};
use super::use_keys::path_of;
use super::{refuse, unreadable};
use crate::keyring::ServiceRing;
use crate::rules::{PURGED, Refusal};
use crate::sealing::Context;
use crate::service::Handle;
use crate::store::Held;

/// Rotate a service's key
///
/// The new version encrypts as soon as its sealed form is durable beyond this region, or this region is cut off.
#[utoipa::path(post, path = "/v1/keys/{tenant}/{system}/{service}/rotate", tag = "keys",
    params(("tenant" = String, Path), ("system" = String, Path), ("service" = String, Path)), request_body = Nothing,
    responses(
        (status = 200, description = "The new version.", body = RotateAnswer),
        (status = 403, description = "`tenant_unlinked`, `l1_denied`, `key_disabled`.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`not_yet_known`: this region has not heard of a link yet.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn rotate_service(
    State(handle): State<Handle>,
    names: Names<(TenantId, SystemId, ServiceId)>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Json<RotateAnswer>> {
    rotate(&handle, KeyPath::Service(path_of(names))).await
}

/// Rotate a system's key
///
/// New versions of its services' keys are sealed under the new version; what older ones sealed stays open.
#[utoipa::path(post, path = "/v1/keys/{tenant}/{system}/rotate", tag = "keys",
    params(("tenant" = String, Path), ("system" = String, Path)), request_body = Nothing,
    responses(
        (status = 200, description = "The new version.", body = RotateAnswer),
        (status = 403, description = "`tenant_unlinked`, `l1_denied`, `key_disabled`.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`not_yet_known`: this region has not heard of a link yet.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn rotate_system(
    State(handle): State<Handle>,
    Names((tenant, system)): Names<(TenantId, SystemId)>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Json<RotateAnswer>> {
    rotate(&handle, KeyPath::System(SystemPath { tenant, system })).await
}

async fn rotate(handle: &Handle, path: KeyPath) -> Answer<Json<RotateAnswer>> {
    let version = handle.rotate(path).await?;
    Ok(Json(RotateAnswer { version: version.to_string() }))
}

/// Show a service's key
#[utoipa::path(get, path = "/v1/keys/{tenant}/{system}/{service}", tag = "keys",
    params(("tenant" = String, Path), ("system" = String, Path), ("service" = String, Path)),
    responses((status = 200, description = "The L3 as this region sees it.", body = Key)))]
pub(super) async fn read_service(
    State(handle): State<Handle>,
    names: Names<(TenantId, SystemId, ServiceId)>,
) -> Answer<Json<Key>> {
    let path = path_of(names);
    let shown = handle.service(&path).await.map_err(unreadable)?;
    let (held, ring) = shown.ok_or_else(|| refuse(Refusal::UNKNOWN))?;
    let ring = ring.and_then(|ring| of_this_generation(ring, &path, &held.fact));
    let standing =
        ring.as_ref().map_err(|refusal| *refusal).and_then(|ring| ring.active().map(|v| v.id.to_string()));
    let versions = ring.iter().flat_map(|ring| ring.versions()).map(|version| Version {
        version: version.id.to_string(),
        counter: version.counter,
        state: version.state,
        made_at: version.made_at,
        refusal: version.key.as_ref().err().map(|refusal| (*refusal).into()),
        at_risk: version.at_risk,
    });
    Ok(Json(key(&held, standing, versions.collect())))
}

/// A definition is shown from when it is committed, and settled a moment later: until then the ring is that of the
/// generation before. Who waits for a new generation must not take that one's version for the new one's, and
/// encrypt what nothing opens any more.
fn of_this_generation(
    ring: Arc<ServiceRing>,
    path: &ServicePath,
    definition: &KeyDefine,
) -> Result<Arc<ServiceRing>, Refusal> {
    let is_settled = ring
        .active()
        .is_ok_and(|active| *active.context == Context::new(path, definition.generation, active.id));
    if is_settled || ring.active().is_err() { Ok(ring) } else { Err(Refusal::HYDRATING) }
}

/// Show a system's key
#[utoipa::path(get, path = "/v1/keys/{tenant}/{system}", tag = "keys",
    params(("tenant" = String, Path), ("system" = String, Path)),
    responses((status = 200, description = "The L2 as this region sees it.", body = Key)))]
pub(super) async fn read_system(
    State(handle): State<Handle>,
    Names((tenant, system)): Names<(TenantId, SystemId)>,
) -> Answer<Json<Key>> {
    let path = SystemPath { tenant, system };
    let shown = handle.system(&path).await.map_err(unreadable)?.ok_or_else(|| refuse(Refusal::UNKNOWN))?;
    let tenant = handle.tenant(&path.tenant).await.map_err(unreadable)?;
    let active = shown.versions.iter().find(|version| version.state == VersionState::Active);
    let standing = tenant.map_or(Err(Refusal::UNKNOWN), |tenant| tenant.standing);
    let standing = standing.and_then(|()| shown.ended.map_or(Ok(()), Err)).and_then(|()| {
        let closed =
            shown.versions.last().and_then(|version| version.open.err()).unwrap_or(Refusal::HYDRATING);
        active.map(|version| version.id.to_string()).ok_or(closed)
    });
    let standing = if shown.ended == Some(PURGED) { Err(PURGED) } else { standing };
    let versions = shown.versions.iter().map(|version| Version {
        version: version.id.to_string(),
        counter: version.counter,
        state: version.state,
        made_at: version.made_at,
        refusal: version.open.err().map(Reason::from),
        at_risk: version.at_risk,
    });
    Ok(Json(key(&shown.held, standing, versions.collect())))
}

fn key(held: &Held<KeyDefine>, standing: Result<String, Refusal>, versions: Vec<Version>) -> Key {
    let Held { revision, fact: definition } = held;
    Key {
        key: definition.path().to_string(),
        layer: format!("{:?}", definition.layer),
        generation: definition.generation.to_string(),
        revision: revision.to_string(),
        state: match definition.state {
            DefinitionState::Defined => "defined",
            DefinitionState::Disabled => "disabled",
            DefinitionState::Deleted { .. } => "deleted",
        },
        algorithm: format!("{:?}", definition.algorithm),
        rotate_every: definition.rotate_every.map(|period| period.to_string()),
        serving: standing.is_ok(),
        refusal: standing.as_ref().err().map(|refusal| (*refusal).into()),
        active: standing.ok(),
        versions,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use openkcm_contracts::{Algorithm, Generation, Layer, Revision, Timestamp, VersionId};
    use openkcm_host::SeededEntropy;
    use openkcm_secrets::SecretKey;

    use super::*;
    use crate::keyring::OpenVersion;

    fn definition(path: &ServicePath, generation: Generation) -> KeyDefine {
        KeyDefine {
            tenant: path.tenant.clone(),
            system: path.system.clone(),
            service: Some(path.service.clone()),
            generation,
            parent: Generation(Revision::new(1, 1)),
            layer: Layer::L3,
            algorithm: Algorithm::AES256,
            rotate_every: None,
            state: DefinitionState::Defined,
            compromised: BTreeSet::new(),
        }
    }

    #[test]
    fn a_version_of_the_generation_before_is_not_shown_as_that_of_a_new_one() {
        let path: ServicePath = "acme/hr/payroll".parse().expect("valid");
        let [old, new] = [2, 9].map(|counter| Generation(Revision::new(1, counter)));
        let id = VersionId::from_bytes([7; 16]);
        let version = OpenVersion {
            id,
            counter: 1,
            made_at: Timestamp::from_millis(0),
            state: VersionState::Active,
            at_risk: false,
            context: Arc::new(Context::new(&path, old, id)),
            key: Ok(Arc::new(SecretKey::generate(&SeededEntropy::new(1)).expect("locked memory"))),
        };
        let ring = Arc::new(ServiceRing::serving(vec![version]));
        assert!(of_this_generation(ring.clone(), &path, &definition(&path, old)).is_ok());
        let refused = of_this_generation(ring, &path, &definition(&path, new)).expect_err("not settled");
        assert_eq!(refused, Refusal::HYDRATING);
        let closed = Arc::new(ServiceRing::refused(Refusal::UNLINKED));
        assert!(of_this_generation(closed, &path, &definition(&path, new)).is_ok(), "its refusal is told");
    }
}
