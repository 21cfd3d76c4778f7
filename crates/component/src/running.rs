//! A component that runs: its HTTP interface, and what must live as long as that.

use std::io;
use std::sync::Arc;

use axum::Router;
use openkcm_host::Clock;
use openkcm_http::{Access, Options, Service, serve};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use utoipa::openapi::OpenApi;

use crate::{Mesh, MeshHandle};

/// What every component's HTTP interface is made with: its metrics with those of the mesh, and that it is
/// ready also while the mesh is away.
pub fn http_options(
    component: &'static str,
    access: Access,
    clock: Arc<dyn Clock>,
    mesh: &MeshHandle,
    mut metrics: Registry,
) -> Options {
    mesh.register(&mut metrics);
    let mut options = Options::new(component, access, clock);
    options.metrics = metrics;
    let mesh = mesh.clone();
    options.ready = Arc::new(move || mesh.readiness());
    options
}

/// A running component. It stops when this is dropped or [`Running::serve`] returns.
#[derive(Debug)]
pub struct Running {
    http: Http,
    mesh: Mesh,
    tasks: JoinSet<()>,
}

/// `Debug` for a service that has none.
struct Http(Service);

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Service")
    }
}

impl Running {
    /// A component with these routes and this way to the mesh. `tasks` are its own, and end with it.
    pub fn new(
        (router, document): (Router, &OpenApi),
        options: Options,
        mesh: Mesh,
        tasks: JoinSet<()>,
    ) -> Self {
        Self { http: Http(Service::new(router, document, options)), mesh, tasks }
    }

    /// The HTTP interface, to be driven without a socket.
    pub fn router(&self) -> Router {
        self.http.0.clone().into_router()
    }

    /// Answers requests on this listener until `shutdown` is ready, lets those that have begun end, and
    /// stops to hear and to tell.
    ///
    /// # Errors
    /// When the listener can't be used.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Self { http, mesh, mut tasks } = self;
        let served = serve(listener, http.0, shutdown).await;
        drop(mesh);
        tasks.shutdown().await;
        served
    }
}
