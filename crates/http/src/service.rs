//! A component's HTTP service: its routes, and around them what every component owes its callers.
//!
//! A request's way: counted, let in by its credential, given its limits and its time, handed to its route.
//! Its answer's way back: a panic, a lapse of time and every refusal that is no problem document yet (axum's
//! own) become one; and nothing may be kept by a cache.
//!
//! Not here: sockets (see [`crate::serve`]).

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use openkcm_contracts::problem::Code;
use openkcm_host::Clock;
use prometheus_client::registry::Registry;
use utoipa::openapi::OpenApi;

use crate::access::{Access, Admitted, Gate};
use crate::body::Limits;
use crate::health::{AskReady, Health, Readiness};
use crate::metrics::{RequestMetrics, metrics_registry};
use crate::openapi::openapi_json;
use crate::problem::{PROBLEM_JSON, Problem};
use crate::serve::ConnectionLimits;

/// How long a request may take, its body's arrival included: longer than a provider's slowest answer,
/// shorter than callers and proxies wait.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What a service is made with.
pub struct Options {
    /// Opens everything but health, metrics and the OpenAPI document, and decides about TLS.
    pub access: Access,
    /// Measures how long requests take.
    pub clock: Arc<dyn Clock>,
    /// Says whether the component can do its work; called for each `/readyz`, so it must not block.
    pub ready: Arc<dyn Fn() -> Readiness + Send + Sync>,
    /// The component's metrics, all registered already; those of HTTP are added.
    pub metrics: Registry,
    /// How much of a request is read; a router's own [`Limits::layer`] wins.
    pub limits: Limits,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// What connections may cost.
    pub connections: ConnectionLimits,
}

impl Options {
    /// The defaults: always ready, management limits, and an empty [`metrics_registry`] of this component.
    pub fn new(component: &'static str, access: Access, clock: Arc<dyn Clock>) -> Self {
        Self {
            access,
            clock,
            ready: Arc::new(Readiness::ready),
            metrics: metrics_registry(component),
            limits: Limits::MANAGEMENT,
            request_timeout: REQUEST_TIMEOUT,
            connections: ConnectionLimits::default(),
        }
    }
}

/// A component's HTTP service. Clones are handles to the same one.
#[derive(Clone)]
pub struct Service {
    router: Router,
    /// Shared, so that no connection copies the token.
    access: Arc<Access>,
    connections: ConnectionLimits,
}

impl Service {
    /// A service with these routes, described by a document that went through [`crate::describe`].
    pub fn new(router: Router, openapi: &OpenApi, mut options: Options) -> Self {
        let metrics = RequestMetrics::register(&mut options.metrics, options.clock);
        let health = Health {
            ready: options.ready as AskReady,
            metrics: options.metrics,
            openapi: Bytes::from(openapi_json(openapi)),
        };
        let access = Arc::new(options.access);
        let border = Border {
            metrics,
            gate: Gate::new(access.clone()),
            limits: options.limits,
            request_timeout: options.request_timeout,
        };
        let router = router
            .merge(crate::health::routes().0.with_state(Arc::new(health)))
            .fallback(async || {
                Problem::new(Code::NotFound, "there is no such route; /openapi.json has them all")
            })
            .layer(from_fn_with_state(Arc::new(border), cross));
        Self { router, access, connections: options.connections }
    }

    /// The whole service as a router, to be driven without a socket. A client certificate comes with a
    /// connection, so where those are asked for only the open routes answer.
    pub fn into_router(self) -> Router {
        self.router
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    pub(crate) fn connections(&self) -> ConnectionLimits {
        self.connections
    }
}

/// What stands between a connection and the routes.
struct Border {
    metrics: RequestMetrics,
    gate: Gate,
    limits: Limits,
    request_timeout: Duration,
}

async fn cross(State(border): State<Arc<Border>>, request: Request, next: Next) -> Response {
    let begun = border.metrics.begin(&request);
    let mut response = as_problem(border.answer(request, next).await);
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    border.metrics.end(begun, &response);
    response
}

impl Border {
    async fn answer(&self, mut request: Request, next: Next) -> Response {
        match self.gate.admit(&request) {
            Err(refusal) => return refusal,
            Ok(Admitted::As(identity)) => {
                request.extensions_mut().insert(identity);
            }
            Ok(Admitted::Anyone) => {}
        }
        request.extensions_mut().insert(self.limits);
        match tokio::time::timeout(self.request_timeout, unless_it_panics(next.run(request))).await {
            Ok(response) => response,
            // The handler is dropped where it waited. What it had handed to a store may still happen:
            // every write is idempotent, so the caller sends it again.
            Err(_) => {
                let limit = self.request_timeout.as_secs_f32();
                Problem::new(Code::RequestTimeout, format!("no answer within {limit} s; send it again"))
                    .into_response()
            }
        }
    }
}

/// The answer, or `internal` if the handler panics. The panic's text stays with the panic hook.
async fn unless_it_panics(answer: impl Future<Output = Response>) -> Response {
    let mut answer = pin!(answer);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))) {
        Ok(poll) => poll,
        Err(_) => {
            tracing::error!("a handler panicked");
            let problem = Problem::new(Code::Internal, "a defect of this component; its log says more");
            Poll::Ready(problem.into_response())
        }
    })
    .await
}

/// Makes a problem document of every error that is none: those of axum's own extractors and routes, whose
/// texts may repeat what was sent.
fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let mut problem = problem_of(status).into_response();
    // A 405 tells which methods there are (RFC 9110, section 15.5.6).
    if let Some(allow) = response.headers().get(ALLOW) {
        problem.headers_mut().insert(ALLOW, allow.clone());
    }
    problem
}

fn problem_of(status: StatusCode) -> Problem {
    let (code, detail) = match status {
        StatusCode::UNAUTHORIZED => (Code::Unauthenticated, "a valid credential is required"),
        StatusCode::NOT_FOUND => (Code::NotFound, "there is no such route; /openapi.json has them all"),
        StatusCode::METHOD_NOT_ALLOWED => {
            (Code::MethodNotAllowed, "the header Allow has the methods of this route")
        }
        StatusCode::REQUEST_TIMEOUT => (Code::RequestTimeout, "the request took too long"),
        StatusCode::PRECONDITION_FAILED => (Code::PreconditionFailed, "the resource has changed"),
        StatusCode::PAYLOAD_TOO_LARGE => (Code::BodyTooLarge, "the body is larger than what is read here"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (Code::UnsupportedMediaType, "send the body as JSON"),
        StatusCode::PRECONDITION_REQUIRED => {
            (Code::PreconditionRequired, "send the resource's ETag as If-Match")
        }
        StatusCode::SERVICE_UNAVAILABLE => (Code::NotReady, "the component can't answer now"),
        status if status.is_client_error() => {
            (Code::InvalidRequest, "the request is not what the operation takes")
        }
        _ => (Code::Internal, "a defect of this component; its log says more"),
    };
    Problem::new(code, detail)
}
