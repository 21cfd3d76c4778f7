//! A running Registry in a directory of its own, and a caller of it.

use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use openkcm_contracts::{RegionId, Role, Timestamp};
use openkcm_host::{BootInstant, ManualClock, SeededEntropy};
use openkcm_http::{Access, Token};
use openkcm_orbital::{Embedded, Signer, Transport, TrustBundle, Verifier};
use openkcm_registry::{Options, Service, Surroundings};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

pub(crate) const TOKEN: &str = "token-of-these-tests-0123456789";

/// A Registry, its mesh and its clock, in a landscape of the regions a, b and c.
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) clock: ManualClock,
    pub(crate) dir: TempDir,
}

/// What the Registry answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl World {
    /// One with the embedded mesh.
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mesh = mesh(dir.path()).await;
        Self::with(dir, Arc::new(mesh)).await
    }

    pub(crate) async fn with(dir: TempDir, transport: Arc<dyn Transport>) -> Self {
        let clock = ManualClock::new("2026-02-02T08:00:00Z".parse().unwrap(), BootInstant::from_nanos(0));
        let service = start(dir.path(), transport, &clock).await;
        Self { service, clock, dir }
    }

    /// One with the tenant acme in the regions a and b, its system hr and service payroll.
    pub(crate) async fn furnished() -> Self {
        let world = Self::new().await;
        for (path, body) in [
            ("/v1/tenants/acme", r#"{"regions":["a","b"]}"#),
            ("/v1/tenants/acme/systems/hr", "{}"),
            ("/v1/tenants/acme/systems/hr/services/payroll", r#"{"rotate_every":"90d"}"#),
        ] {
            assert_eq!(world.put(path, body).await.status, StatusCode::CREATED, "{path}");
        }
        world
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], "").await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Answer {
        self.call(Method::PUT, path, &[], body).await
    }

    pub(crate) async fn put_if(&self, path: &str, etag: &str, body: &str) -> Answer {
        self.call(Method::PUT, path, &[("if-match", etag)], body).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.call(Method::POST, path, &[], body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, &[], "").await
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let token = format!("Bearer {TOKEN}");
        let mut headers = headers.to_vec();
        headers.push(("authorization", &token));
        send(self.service.router(), method, path, &headers, body).await
    }
}

pub(crate) async fn send(
    router: axum::Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = router.oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let body = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    Answer { status: parts.status, headers: parts.headers, body }
}

pub(crate) async fn mesh(dir: &Path) -> Embedded {
    Embedded::open(&dir.join("mesh.db"), &SeededEntropy::new(1)).await.unwrap()
}

/// What opens the Registry of these tests.
pub(crate) fn access() -> Access {
    Access::Token(Token::new(TOKEN).unwrap())
}

/// The Registry of this directory; it signs with the same key each time.
pub(crate) async fn start(dir: &Path, transport: Arc<dyn Transport>, clock: &ManualClock) -> Service {
    let seed = Signer::new_seed(&SeededEntropy::new(2));
    let signer = Signer::from_seed(&seed, Role::Registry, None).unwrap();
    let options = Options {
        data_dir: dir.join("registry"),
        regions: ["a", "b", "c"].map(|name| RegionId::new(name).unwrap()).into(),
        access: access(),
        rebuild: false,
    };
    let surroundings = Surroundings {
        transport,
        verifier: Arc::new(verifier()),
        signer: Arc::new(signer),
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(SeededEntropy::new(3)),
    };
    Service::start(options, surroundings).await.unwrap()
}

/// Believes what this Registry says.
pub(crate) fn verifier() -> Verifier {
    let seed = Signer::new_seed(&SeededEntropy::new(2));
    let signer = Signer::from_seed(&seed, Role::Registry, None).unwrap();
    Verifier::new(&TrustBundle { keys: vec![signer.trusted_key()] }).unwrap()
}

impl Answer {
    /// The resource's tag, which is always its revision.
    pub(crate) fn etag(&self) -> String {
        let etag = self.headers["etag"].to_str().unwrap().to_owned();
        assert_eq!(etag, format!("\"{}\"", self.text("revision")));
        etag
    }

    /// A text of the body.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_else(|| panic!("no text {field} in {}", self.body))
    }

    /// A moment of the body.
    pub(crate) fn moment(&self, field: &str) -> Timestamp {
        self.text(field).parse().unwrap()
    }

    /// The names in a page.
    pub(crate) fn names(&self, field: &str) -> Vec<String> {
        let items = self.body["items"].as_array().unwrap_or_else(|| panic!("no page: {}", self.body));
        items.iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
    }

    /// That this is a problem document with this code and field.
    #[track_caller]
    pub(crate) fn is_refused(&self, status: u16, code: &str, field: Option<&str>) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        let found = (self.status.as_u16(), self.text("code"), self.body["field"].as_str());
        assert_eq!(found, (status, code, field), "{}", self.body);
    }

    #[track_caller]
    pub(crate) fn is(&self, status: StatusCode) -> &Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }
}
