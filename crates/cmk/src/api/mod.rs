//! The HTTP interface of the CMK Server: routes, bodies, and refusals as problem documents.
//!
//! Nothing is decided here. A handler reads the request, asks the roots where that is needed, hands a
//! command to the store's writer, and shows what came of it.

mod bodies;
mod cores;
mod pointer;
mod refusal;
mod status;
mod tenants;

use std::sync::Arc;

use axum::Router;
use openkcm_component::Holds;
use openkcm_component::drift::Records;
use openkcm_component::quarantine::Quarantine;
use openkcm_host::Clock;
use openkcm_http::describe;
use openkcm_roots::Roots;
use openkcm_store::Store;
use tokio::sync::watch;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::metrics::Metrics;
use crate::rules::Landscape;
use crate::status::Observer;

pub use bodies::{HealthBody, LinkBody, PointerBody, RootBody, TenantBody};
pub use cores::{CoreBody, CoresBody, LeaseBody, SupersededBody};

/// What the handlers work with.
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) roots: Roots,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) observer: Observer,
    pub(crate) landscape: watch::Receiver<Arc<Landscape>>,
}

/// The OpenAPI 3.1 document of the CMK Server.
pub fn openapi() -> OpenApi {
    describe(
        routes().split_for_parts().1,
        "OpenKCM CMK Server",
        "The Sovereign Anchor: links tenants to the root keys that they keep in their own KMS or HSM, and \
         withdraws them again.",
    )
}

/// The routes, ready to be served.
pub(crate) fn router(context: Context) -> Router {
    routes().split_for_parts().0.with_state(Arc::new(context))
}

fn routes() -> OpenApiRouter<Arc<Context>> {
    OpenApiRouter::default()
        .routes(routes!(pointer::link, pointer::show, pointer::unlink))
        .routes(routes!(tenants::list))
        .routes(routes!(cores::list))
        .routes(routes!(cores::forget))
        .routes(routes!(status::show))
        .merge(openkcm_component::quarantine::routes())
        .merge(openkcm_component::drift::routes())
}

impl Holds<Records> for Context {
    fn held(&self) -> Records {
        Records { store: self.store.clone() }
    }
}

impl Holds<Quarantine> for Context {
    fn held(&self) -> Quarantine {
        self.observer.mesh.quarantine()
    }
}
