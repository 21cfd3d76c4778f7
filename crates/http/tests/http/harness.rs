//! A service with one route for each thing that can go wrong, on a socket of its own; and a caller that
//! writes bytes as they are told, since a real client would not send what is wrong.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::routing::{get, post, put};
use openkcm_contracts::{Revision, SystemId, TenantId, Timestamp, VersionId};
use openkcm_host::{BootInstant, ManualClock};
use openkcm_http::{
    Access, Answer, Base64, Body, IfMatch, Limits, Names, Options, PageQuery, Service, Token, WipedJson,
    WithEtag, bind, describe, serve,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) const TOKEN: &str = "token-of-these-tests-0123456789";

/// The revision at which the only resource of these tests is.
pub(crate) const PRESENT: Revision = Revision::new(1, 42);

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sealing {
    plaintext: Base64,
    #[serde(default)]
    #[expect(dead_code, reason = "there to be sent wrongly")]
    rounds: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Sealed {
    bytes: usize,
}

/// Takes a body with plaintext.
#[utoipa::path(post, path = "/v1/keys/{tenant}/{system}/seal", request_body = Sealing,
    params(("tenant" = String, Path), ("system" = String, Path)),
    responses((status = 200, description = "Sealed.", body = Sealed)))]
async fn seal(
    Names((_tenant, _system)): Names<(TenantId, SystemId)>,
    Body(sealing): Body<Sealing>,
) -> Answer<WipedJson<Sealed>> {
    Ok(WipedJson(Sealed { bytes: sealing.plaintext.len() }))
}

/// Undoes a deletion.
#[utoipa::path(put, path = "/v1/things/{tenant}", params(("tenant" = String, Path), IfMatch),
    responses((status = 200, description = "Defined.", body = Sealed)))]
async fn define(Names(_tenant): Names<TenantId>, condition: IfMatch) -> Answer<WithEtag<Json<Sealed>>> {
    condition.require(Some(PRESENT))?;
    Ok(WithEtag(PRESENT.next(), Json(Sealed { bytes: 0 })))
}

/// Lists nothing.
#[utoipa::path(get, path = "/v1/things", params(PageQuery),
    responses((status = 200, description = "A page.", body = Sealed)))]
async fn list(query: PageQuery) -> Json<Sealed> {
    Json(Sealed { bytes: query.limit })
}

pub(crate) fn routes() -> (axum::Router, utoipa::openapi::OpenApi) {
    let (router, openapi) = OpenApiRouter::default()
        .routes(routes!(seal))
        .routes(routes!(define))
        .routes(routes!(list))
        .split_for_parts();
    let router = router
        .route("/v1/panic", get(async || -> Json<()> { panic!("CANARY in a panic") }))
        .route("/v1/versions/{version}", get(async |Names(_): Names<VersionId>| {}))
        .route("/v1/hang", get(std::future::pending::<Json<()>>))
        .route("/v1/axum-json", post(async |Json(()): Json<()>| {}))
        .route("/v1/axum-path/{number}", get(async |axum::extract::Path(_): axum::extract::Path<u8>| {}))
        .route("/v1/bare-error", put(async || (axum::http::StatusCode::BAD_GATEWAY, "CANARY")))
        .route("/v1/large", post(async |Body(_): Body<Value>| {}).layer(Limits::DATA_PLANE.layer()));
    (router, describe(openapi, "OpenKCM Test", "A service for tests."))
}

/// What opens the service of these tests.
pub(crate) fn access() -> Access {
    Access::Token(Token::new(TOKEN).unwrap())
}

pub(crate) fn options() -> Options {
    let clock = ManualClock::new(Timestamp::from_millis(0), BootInstant::from_nanos(0));
    Options::new("test", access(), Arc::new(clock))
}

/// A service that listens.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub(crate) async fn start(options: Options) -> Self {
        let (router, openapi) = routes();
        Self::start_with(router, &openapi, options).await
    }

    pub(crate) async fn start_with(
        router: axum::Router,
        openapi: &utoipa::openapi::OpenApi,
        options: Options,
    ) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap(), &options.access).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let service = Service::new(router, openapi, options);
        let ended = tokio::spawn(serve(listener, service, async {
            stopped.await.ok();
        }));
        Self { addr, stop, ended }
    }

    /// Asks the server to end; the handle is ready when it has.
    pub(crate) fn stop(self) -> JoinHandle<std::io::Result<()>> {
        self.stop.send(()).ok();
        self.ended
    }

    /// Sends these bytes and reads the answer until the server closes.
    pub(crate) async fn raw(&self, request: &[u8]) -> Heard {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(request).await.unwrap();
        hear(stream).await
    }

    /// One request with the token, on a connection of its own.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Heard {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        head.push_str(&format!("authorization: Bearer {TOKEN}\r\n"));
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        self.raw(format!("{head}\r\n{body}").as_bytes()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Heard {
        self.send("GET", path, &[], "").await
    }
}

/// An answer, as it came.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    /// The head, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The code, of an answer that is a problem document in all its parts.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        let document = self.json();
        assert_eq!(document["status"], json!(self.status), "{self:?}");
        assert!(document["title"].is_string() && document["detail"].is_string(), "{self:?}");
        let code = document["code"].as_str().unwrap().to_owned();
        assert_eq!(document["type"], format!("urn:openkcm:problem:{code}"));
        code
    }
}

/// Reads an answer until the server closes.
pub(crate) async fn hear(mut stream: impl AsyncRead + Unpin) -> Heard {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Heard { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// Sends a request for this path.
pub(crate) async fn ask(stream: &mut (impl AsyncWrite + Unpin), path: &str) {
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n");
    stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await.unwrap();
}

/// Sends a request for this path and reads the answer until the server closes.
pub(crate) async fn call(mut stream: TcpStream, path: &'static str) -> Heard {
    ask(&mut stream, path).await;
    hear(stream).await
}
