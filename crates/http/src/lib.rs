//! HTTP as every component speaks it: problems, bodies, ETags, limits, pages, health.
//!
//! An actor writes its handlers with the extractors and responders of this crate, hands its router to
//! [`Service`], and gets what every component owes its callers: each refusal is an RFC 9457 problem
//! document with a stable code, no refusal repeats what a body held, every body, header and wait has a
//! limit, and `/livez`, `/readyz`, `/metrics` and `/openapi.json` are there.
//!
//! [`Access`] says what opens a component: a token, over plain HTTP on loopback; or the certificates of
//! administrators, over TLS 1.3. Beyond loopback [`bind`] takes the second only.
//!
//! Not here: any actor's routes, and what an administrator may do.

mod access;
mod base64;
mod body;
mod connection;
mod etag;
mod explain;
mod health;
mod metrics;
mod openapi;
mod page;
mod params;
mod peer;
mod problem;
mod serve;
mod service;
mod spiffe;
mod tls;
mod token;
mod wipe;

pub use access::{Access, Identity};
pub use base64::{Base64, decode_base64, encode_base64};
pub use body::{Body, DATA_PLANE_BODY_BYTES, Limits, MANAGEMENT_BODY_BYTES, WipedJson};
pub use etag::{IfMatch, WithEtag};
pub use health::Readiness;
pub use metrics::metrics_registry;
pub use openapi::{describe, openapi_json};
pub use page::{DEFAULT_PAGE_LIMIT, Filtered, MAX_PAGE_LIMIT, Page, PageParams, PageQuery};
pub use params::{Names, Query, parse_id};
pub use problem::{Answer, PROBLEM_JSON, Problem, ProblemBody};
pub use serve::{BindError, ConnectionLimits, bind, serve};
pub use service::{Options, REQUEST_TIMEOUT, Service};
pub use spiffe::{SpiffeId, SpiffeIdError};
pub use tls::{Tls, TlsError, TlsOptions};
pub use token::{Token, TokenError};
