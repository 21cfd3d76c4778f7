//! The Core's HTTP interface: names and bodies are read here, the data plane and the handle called,
//! refusals made into problem documents. Nothing is decided.
//!
//! What always holds: plaintext is in wiped buffers only, and in no error.

mod documents;
mod keys;
mod placement;
mod purges;
mod status;
mod use_keys;

use axum::Router;
use axum::middleware::from_fn_with_state;
use openkcm_contracts::problem::Code;
use openkcm_http::Problem;
use openkcm_store::StoreError;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::rules::Refusal;
use crate::service::{Handle, RotateFailure};

const TITLE: &str = "OpenKCM Krypton Core";

const DESCRIPTION: &str = "\
The Builder, one for each region: encrypts and decrypts with the keys that it makes, rotates them, and shows them. \
It serves what it holds, whether or not any other component can be reached. \
`l1_unreachable`, `lease_expired`, `material_not_here` and `hydrating` are worth another try, in another region at once: \
the header `openkcm-regions` of an answer and of a 503 tells the tenant's regions in order of preference, as this one has \
heard.";

/// The routes, and the document that describes them.
pub(crate) fn router(handle: Handle) -> (Router, OpenApi) {
    let (router, document) = routes().split_for_parts();
    let router = router.with_state(handle.clone()).layer(from_fn_with_state(handle, placement::tell));
    (router, openkcm_http::describe(document, TITLE, DESCRIPTION))
}

/// The OpenAPI 3.1 document of this interface.
pub fn openapi() -> OpenApi {
    openkcm_http::describe(routes().to_openapi(), TITLE, DESCRIPTION)
}

fn routes() -> OpenApiRouter<Handle> {
    OpenApiRouter::default()
        .routes(routes!(use_keys::encrypt))
        .routes(routes!(use_keys::decrypt))
        .routes(routes!(use_keys::data_key))
        .routes(routes!(use_keys::rewrap))
        .routes(routes!(keys::rotate_service))
        .routes(routes!(keys::rotate_system))
        .routes(routes!(keys::read_service))
        .routes(routes!(keys::read_system))
        .routes(routes!(status::read_tenant))
        .routes(routes!(status::read))
        .routes(routes!(purges::list))
        .routes(routes!(purges::confirm))
        .routes(routes!(purges::hold))
        .merge(openkcm_component::quarantine::routes())
}

fn refuse(refusal: Refusal) -> Problem {
    Problem::new(refusal.code, refusal.detail)
}

fn unreadable(error: StoreError) -> Problem {
    Problem::store_unavailable("reading the store", &error)
}

impl From<RotateFailure> for Problem {
    fn from(failure: RotateFailure) -> Self {
        match failure {
            RotateFailure::Refused(refusal) => refuse(refusal),
            RotateFailure::Memory(_) => Self::new(
                Code::LockedMemoryExhausted,
                "the operating system grants this Core no more locked memory; raise LimitMEMLOCK",
            ),
            RotateFailure::Store(error) => Self::store_unavailable("keeping the new version", &error),
        }
    }
}
