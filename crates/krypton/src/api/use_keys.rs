//! Routes of the data plane.

use axum::Json;
use axum::extract::State;
use openkcm_contracts::problem::Code;
use openkcm_contracts::{ServiceId, ServicePath, SystemId, TenantId};
use openkcm_http::{Answer, Base64, Body, Names, Problem, WipedJson};

use super::documents::{
    DataKeyAnswer, DataKeyRequest, DecryptAnswer, DecryptRequest, EncryptAnswer, EncryptRequest,
};
use super::refuse;
use crate::data::{DATA_KEY_LEN, Encrypted, MAX_AAD_LEN, MAX_PLAINTEXT_LEN};
use crate::rules::Refusal;
use crate::service::Handle;

type ServiceNames = Names<(TenantId, SystemId, ServiceId)>;

pub(super) fn path_of(Names((tenant, system, service)): ServiceNames) -> ServicePath {
    ServicePath { tenant, system, service }
}

/// Encrypt
///
/// Under the service's active version.
#[utoipa::path(post, path = "/v1/keys/{tenant}/{system}/{service}/encrypt", tag = "data plane",
    params(("tenant" = String, Path), ("system" = String, Path), ("service" = String, Path)),
    request_body = EncryptRequest,
    responses(
        (status = 200, description = "The ciphertext.", body = EncryptAnswer,
            headers(("openkcm-regions" = String, description = "The tenant's regions in order."))),
        (status = 403, description = "`tenant_unlinked`, `l1_denied`, `key_disabled`: the service does not encrypt.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`not_yet_known`: this region has not heard of a link yet.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn encrypt(
    State(handle): State<Handle>,
    names: ServiceNames,
    Body(request): Body<EncryptRequest>,
) -> Answer<Json<EncryptAnswer>> {
    let path = path_of(names);
    check_length("plaintext", &request.plaintext, MAX_PLAINTEXT_LEN)?;
    let aad = aad(request.aad.as_ref())?;
    let encrypted = handle.data().encrypt(&path, &request.plaintext, aad);
    let encrypted = encrypted.map_err(|refusal| refuse_encryption(&handle, &path, refusal))?;
    Ok(Json(encrypted.into()))
}

/// Decrypt
///
/// With exactly the version that encrypted.
#[utoipa::path(post, path = "/v1/keys/{tenant}/{system}/{service}/decrypt", tag = "data plane",
    params(("tenant" = String, Path), ("system" = String, Path), ("service" = String, Path)),
    request_body = DecryptRequest,
    responses(
        (status = 200, description = "The plaintext.", body = DecryptAnswer,
            headers(("openkcm-regions" = String, description = "The tenant's regions in order."))),
        (status = 403, description = "`tenant_unlinked`, `l1_denied`, `key_disabled`, `key_compromised`.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`not_yet_known`: this region has not heard of a link yet.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "`key_purged`: the material was destroyed.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn decrypt(
    State(handle): State<Handle>,
    names: ServiceNames,
    Body(request): Body<DecryptRequest>,
) -> Answer<WipedJson<DecryptAnswer>> {
    let path = path_of(names);
    let aad = aad(request.aad.as_ref())?;
    let opened = handle.data().decrypt(&path, &request.ciphertext, aad);
    let opened = opened.map_err(|refusal| refuse_use(&handle, &path, refusal))?;
    Ok(WipedJson(DecryptAnswer {
        plaintext: Base64::from(opened.plaintext),
        version: opened.version.to_string(),
        at_risk: opened.at_risk,
    }))
}

/// Make a data key
///
/// For data that is too long or too frequent to be sent here.
#[utoipa::path(post, path = "/v1/keys/{tenant}/{system}/{service}/datakey", tag = "data plane",
    params(("tenant" = String, Path), ("system" = String, Path), ("service" = String, Path)),
    request_body = DataKeyRequest,
    responses(
        (status = 200, description = "The data key, plain and sealed.", body = DataKeyAnswer,
            headers(("openkcm-regions" = String, description = "The tenant's regions in order."))),
        (status = 403, description = "`tenant_unlinked`, `l1_denied`, `key_disabled`: the service does not encrypt.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`not_yet_known`: this region has not heard of a link yet.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn data_key(
    State(handle): State<Handle>,
    names: ServiceNames,
    Body(request): Body<DataKeyRequest>,
) -> Answer<WipedJson<DataKeyAnswer>> {
    let path = path_of(names);
    let len = usize::try_from(request.bytes).unwrap_or(usize::MAX);
    if !DATA_KEY_LEN.contains(&len) {
        let (least, most) = DATA_KEY_LEN.into_inner();
        return Err(Problem::invalid_request("bytes", format!("bytes: {least} to {most} is expected")));
    }
    let made = handle.data().data_key(&path, len);
    let (plaintext, sealed) = made.map_err(|refusal| refuse_encryption(&handle, &path, refusal))?;
    Ok(WipedJson(DataKeyAnswer {
        plaintext: Base64::from(plaintext.into_zeroizing()),
        ciphertext: sealed.ciphertext,
        version: sealed.version.to_string(),
        at_risk: sealed.at_risk,
    }))
}

/// Rewrap
///
/// Encrypts anew, under the active version, what an older one encrypted, compromised ones included. The
/// plaintext does not leave the Core.
#[utoipa::path(post, path = "/v1/keys/{tenant}/{system}/{service}/rewrap", tag = "data plane",
    params(("tenant" = String, Path), ("system" = String, Path), ("service" = String, Path)),
    request_body = DecryptRequest,
    responses(
        (status = 200, description = "The new ciphertext.", body = EncryptAnswer),
        (status = 403, description = "`tenant_unlinked`, `l1_denied`, `key_disabled`.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`not_yet_known`: this region has not heard of a link yet.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "`key_purged`: the material was destroyed.",
            body = openkcm_http::ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn rewrap(
    State(handle): State<Handle>,
    names: ServiceNames,
    Body(request): Body<DecryptRequest>,
) -> Answer<Json<EncryptAnswer>> {
    let path = path_of(names);
    let aad = aad(request.aad.as_ref())?;
    let rewrapped = handle.data().rewrap(&path, &request.ciphertext, aad);
    let rewrapped = rewrapped.map_err(|refusal| refuse_encryption(&handle, &path, refusal))?;
    Ok(Json(rewrapped.into()))
}

impl From<Encrypted> for EncryptAnswer {
    fn from(encrypted: Encrypted) -> Self {
        let Encrypted { ciphertext, version, at_risk } = encrypted;
        Self { ciphertext, version: version.to_string(), at_risk }
    }
}

fn aad(aad: Option<&Base64>) -> Answer<&[u8]> {
    let aad = aad.map_or(&[][..], |aad| aad);
    check_length("aad", aad, MAX_AAD_LEN)?;
    Ok(aad)
}

fn check_length(field: &'static str, bytes: &[u8], limit: usize) -> Answer<()> {
    if bytes.len() <= limit {
        return Ok(());
    }
    let detail =
        format!("{field}: at most {limit} bytes are taken here; encrypt longer data under a data key");
    Err(Problem::new(Code::BodyTooLarge, detail).field(field))
}

/// A key that is wanted and has no version here is made soon.
fn refuse_encryption(handle: &Handle, path: &ServicePath, refusal: Refusal) -> Problem {
    if refusal.code == Code::Hydrating {
        handle.demand(path);
    }
    refuse_use(handle, path, refusal)
}

/// A key that is wanted and on its way is opened before others, and the caller told when that may be.
fn refuse_use(handle: &Handle, path: &ServicePath, refusal: Refusal) -> Problem {
    if refusal.code != Code::Hydrating {
        return refuse(refusal);
    }
    handle.wait_for(path);
    refuse(refusal).retry_after(handle.wait(&path.tenant))
}
