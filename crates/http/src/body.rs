//! JSON bodies within a limit, and JSON answers that leave no copy behind.
//!
//! The limit is the router's ([`Limits`]), and holds however the length is announced: by
//! `Content-Length`, which is refused before a byte is read, or not at all. Bodies of the data plane
//! hold plaintext: what was collected is wiped after it was parsed, and no refusal repeats any of it.
//!
//! What stays in the buffers of the HTTP implementation and the kernel is not reached from here.

use std::future::poll_fn;
use std::pin::Pin;

use axum::body::HttpBody;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use openkcm_contracts::problem::Code;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::explain::bad_json;
use crate::problem::{Answer, Problem};
use crate::wipe::WipingBuf;

/// The largest body of a management request: a thousand labels fit, and a flood of them stays small.
pub const MANAGEMENT_BODY_BYTES: usize = 64 * 1024;

/// The largest body of the data plane: base64 of a 1 MiB chunk with room to spare. Larger data belongs
/// in an envelope under a data key.
pub const DATA_PLANE_BODY_BYTES: usize = 4 * 1024 * 1024;

/// How much of a request is read. A layer of a router: `router.layer(limits.layer())`; the innermost
/// one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body_bytes: usize,
}

impl Limits {
    /// For requests that manage definitions: [`MANAGEMENT_BODY_BYTES`].
    pub const MANAGEMENT: Self = Self { body_bytes: MANAGEMENT_BODY_BYTES };
    /// For requests that carry data: [`DATA_PLANE_BODY_BYTES`].
    pub const DATA_PLANE: Self = Self { body_bytes: DATA_PLANE_BODY_BYTES };

    /// These limits for all routes of a router.
    pub fn layer(self) -> axum::Extension<Self> {
        axum::Extension(self)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::MANAGEMENT
    }
}

/// A JSON body. An empty one is read as `{}`; a missing content type as JSON.
///
/// Refused with `body_too_large`, `unsupported_media_type`, `invalid_base64` (a [`crate::Base64`]
/// field) or `invalid_request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Answer<Self> {
        let limit = request.extensions().get().copied().unwrap_or(Limits::MANAGEMENT).body_bytes;
        let (parts, body) = request.into_parts();
        let bytes = collect(body, limit).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return parse(b"{}").map(Self);
        }
        check_content_type(&parts.headers)?;
        parse(&bytes).map(Self)
    }
}

async fn collect(mut body: axum::body::Body, limit: usize) -> Answer<Zeroizing<Vec<u8>>> {
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let mut collected = WipingBuf::default();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame =
            frame.map_err(|_| Problem::new(Code::InvalidRequest, "the body ended before it was complete"))?;
        let Ok(data) = frame.into_data() else { continue };
        if collected.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        collected.push(&data);
    }
    Ok(collected.into_inner())
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body is larger than the {limit} bytes that are read here"))
}

fn check_content_type(headers: &HeaderMap) -> Answer<()> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    // The second is what curl says of a body when nobody tells it what to say. No browser sends it here
    // across origins: every request that changes something needs an Authorization header.
    let json = ["application/json", "application/x-www-form-urlencoded"];
    if json.iter().any(|json| essence.eq_ignore_ascii_case(json)) {
        return Ok(());
    }
    Err(Problem::new(
        Code::UnsupportedMediaType,
        "send the body as JSON, with `content-type: application/json`",
    ))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    // serde would take a list for an object and its elements for the fields, in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::new(Code::InvalidRequest, "a JSON object is expected, and not a list"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| bad_json(&error, bytes))?;
    match json.end() {
        Ok(()) => Ok(value),
        Err(_) => Err(Problem::new(Code::InvalidRequest, "the body goes on after its JSON value")),
    }
}

/// A JSON answer with plaintext in it: `Cache-Control: no-store`, and wiped after it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WipedJson<T>(pub T);

impl<T: Serialize> IntoResponse for WipedJson<T> {
    fn into_response(self) -> Response {
        let mut buf = WipingBuf::default();
        if let Err(error) = serde_json::to_writer(&mut buf, &self.0) {
            return Problem::internal("writing the answer", &error).into_response();
        }
        let body = axum::body::Body::from(Bytes::from_owner(buf.into_inner()));
        ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    struct Settings {
        #[serde(default)]
        name: String,
    }

    async fn read(content_type: Option<&str>, limit: usize, body: &str) -> Answer<Settings> {
        let mut request = Request::builder().extension(Limits { body_bytes: limit });
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(axum::body::Body::from(body.to_owned())).unwrap();
        Body::from_request(request, &()).await.map(|Body(settings)| settings)
    }

    #[tokio::test]
    async fn an_empty_body_is_an_empty_object_whatever_its_type() {
        assert_eq!(read(Some("text/plain"), 10, " \n").await, Ok(Settings::default()));
    }

    #[tokio::test]
    async fn json_is_read_with_its_type_with_parameters_with_none_and_from_a_bare_curl() {
        let curl = Some("application/x-www-form-urlencoded");
        for content_type in [None, curl, Some("application/json"), Some("Application/JSON; charset=utf-8")] {
            assert_eq!(read(content_type, 99, r#"{"name":"x"}"#).await.unwrap().name, "x");
        }
    }

    #[tokio::test]
    async fn each_way_to_be_wrong_has_its_code() {
        let code = async |content_type, limit, body| read(content_type, limit, body).await.unwrap_err().code;
        assert_eq!(code(Some("text/plain"), 99, "{}").await, Code::UnsupportedMediaType);
        assert_eq!(code(None, 3, r#"{"name":"x"}"#).await, Code::BodyTooLarge);
        assert_eq!(code(None, 99, r#"{"name":"x"} {}"#).await, Code::InvalidRequest);
        assert_eq!(code(None, 99, r#"{"name":7}"#).await, Code::InvalidRequest);
        assert_eq!(code(None, 99, r#"["x"]"#).await, Code::InvalidRequest);
        assert_eq!(code(None, 99, "{").await, Code::InvalidRequest);
    }

    #[tokio::test]
    async fn a_body_of_exactly_the_limit_is_read() {
        let body = r#"{"name":"x"}"#;
        assert!(read(None, body.len(), body).await.is_ok());
        assert!(read(None, body.len() - 1, body).await.is_err());
    }

    #[tokio::test]
    async fn an_answer_with_plaintext_is_json_that_no_cache_keeps() {
        let response = WipedJson(serde_json::json!({"plaintext": "eA=="})).into_response();
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        let body = collect(response.into_body(), 99).await.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["plaintext"], "eA==");
    }
}
