//! What is counted of every request: by component, route, method and status; and each refusal by its code.
//!
//! What always holds: the number of series is bounded by what the program knows (routes, methods,
//! statuses, codes), never by what callers send; and no label holds a tenant's or a key's name.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::response::Response;
use openkcm_host::{BootInstant, Clock};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::problem::Refused;

/// Upper bounds of the durations, in seconds: from a cipher's answer to a provider that makes callers wait.
const BUCKETS_SECONDS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The registry of a component's metrics: all are named `openkcm_…` and labelled with the component.
/// Register the component's own before it is handed to [`crate::Service`].
pub fn metrics_registry(component: &'static str) -> Registry {
    let labels = [(Cow::Borrowed("component"), Cow::Borrowed(component))];
    Registry::with_prefix_and_labels("openkcm", labels.into_iter())
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    route: String,
    code: &'static str,
}

/// Counts requests. Clones count into the same families.
#[derive(Clone)]
pub(crate) struct RequestMetrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RequestLabels, Histogram>,
    refusals: Family<RefusalLabels, Counter>,
    clock: Arc<dyn Clock>,
}

/// A request that has begun.
pub(crate) struct Begun {
    method: &'static str,
    route: String,
    at: BootInstant,
}

impl RequestMetrics {
    pub(crate) fn register(registry: &mut Registry, clock: Arc<dyn Clock>) -> Self {
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS_SECONDS)),
            refusals: Family::default(),
            clock,
        };
        registry.register("http_requests", "Requests answered", metrics.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register("http_refusals", "Requests refused, by problem code", metrics.refusals.clone());
        metrics
    }

    pub(crate) fn begin(&self, request: &Request) -> Begun {
        let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
        Begun { method: name_of(request.method()), route: route.to_owned(), at: self.clock.boottime() }
    }

    pub(crate) fn end(&self, begun: Begun, response: &Response) {
        let took = self.clock.boottime().since(begun.at);
        if let Some(Refused(code)) = response.extensions().get() {
            let labels = RefusalLabels { route: begun.route.clone(), code: code.as_str() };
            self.refusals.get_or_create(&labels).inc();
        }
        let labels =
            RequestLabels { method: begun.method, route: begun.route, status: response.status().as_u16() };
        self.requests.get_or_create(&labels).inc();
        self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

/// Callers may send any token as a method; only the known ones become labels.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
