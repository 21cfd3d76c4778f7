//! Who is let in: whoever knows the token, or whoever has an administrator's certificate.
//!
//! What always holds: the identity that a handler reads out of a request ([`Identity`]) was proved by the
//! credential, and no header can claim one. Without a proof only the open routes answer. What an identity
//! may do beyond that is not decided here.
//!
//! Open to all: `/livez`, `/readyz` and `/openapi.json`, which tell nothing that the binary does not, and
//! `/metrics`, which is counts. That a scraper needs no administrator's credential keeps that credential
//! out of a scraper's configuration; so no metric may carry a tenant's or a key's name.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::WWW_AUTHENTICATE;
use axum::response::{IntoResponse, Response};
use openkcm_contracts::problem::Code;

use crate::peer::Peer;
use crate::problem::Problem;
use crate::spiffe::SpiffeId;
use crate::tls::Tls;
use crate::token::{Presented, Token};

/// What needs no credential.
const OPEN_PATHS: [&str; 4] = ["/livez", "/readyz", "/openapi.json", "/metrics"];

/// The challenge to a caller without an administrator's certificate. RFC 9110, section 15.5.2 wants one
/// and no scheme for certificates is registered; clients pass over what they do not know.
const CERTIFICATE_CHALLENGE: &str = r#"TLS-Client-Certificate realm="openkcm""#;

/// What opens a component. It also decides how the component is reached: a token is sent over loopback
/// only, and certificates need TLS.
#[derive(Debug, Clone)]
pub enum Access {
    /// Whoever knows the token, over plain HTTP on loopback: for a landscape on one machine.
    Token(Token),
    /// Whoever has a certificate by the client CA whose one URI is the SPIFFE id of an administrator,
    /// over TLS.
    Certificates {
        /// The component's own certificate, and the client CA.
        tls: Tls,
        /// Who is let in. Where this is empty only the open routes answer.
        admins: Vec<SpiffeId>,
    },
}

impl Access {
    /// What connections are encrypted with, if they are.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Token(_) => None,
            Self::Certificates { tls, .. } => Some(tls),
        }
    }
}

/// Whose request it is. In the extensions of every request that came through the gate; handlers take it
/// as `axum::Extension<Identity>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Someone on this machine who knows the token.
    TokenHolder,
    /// The administrator of this id.
    Admin(SpiffeId),
}

/// What the gate says of a request that may go on.
pub(crate) enum Admitted {
    /// The route is open to all, whoever it is.
    Anyone,
    /// It is the request of this caller.
    As(Identity),
}

/// Stands before the routes.
#[derive(Debug)]
pub(crate) struct Gate {
    access: Arc<Access>,
}

impl Gate {
    pub(crate) fn new(access: Arc<Access>) -> Self {
        Self { access }
    }

    /// Whether a request may go on; otherwise the answer to it.
    ///
    /// # Errors
    /// The 401 `unauthenticated` answer, with its challenge in `WWW-Authenticate`.
    #[expect(clippy::result_large_err, reason = "the answer is sent, not kept")]
    pub(crate) fn admit(&self, request: &Request) -> Result<Admitted, Response> {
        if OPEN_PATHS.contains(&request.uri().path()) {
            return Ok(Admitted::Anyone);
        }
        match &*self.access {
            Access::Token(token) => by_token(token, request),
            Access::Certificates { admins, .. } => by_certificate(admins, request),
        }
        .map(Admitted::As)
        .map_err(Refusal::into_response)
    }
}

/// Why someone is not let in.
struct Refusal {
    detail: String,
    challenge: &'static str,
}

impl Refusal {
    fn into_response(self) -> Response {
        let mut response = Problem::new(Code::Unauthenticated, self.detail).into_response();
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(self.challenge));
        response
    }
}

fn by_token(token: &Token, request: &Request) -> Result<Identity, Refusal> {
    let (detail, challenge) = match token.compare(request.headers()) {
        Presented::Right => return Ok(Identity::TokenHolder),
        Presented::Wrong => {
            ("the token is not this component's", r#"Bearer realm="openkcm", error="invalid_token""#)
        }
        Presented::None => {
            ("send this component's token as `Authorization: Bearer TOKEN`", r#"Bearer realm="openkcm""#)
        }
    };
    Err(Refusal { detail: detail.to_owned(), challenge })
}

fn by_certificate(admins: &[SpiffeId], request: &Request) -> Result<Identity, Refusal> {
    let detail = match request.extensions().get() {
        Some(Peer::Named(id)) if admins.contains(id) => return Ok(Identity::Admin(id.clone())),
        Some(Peer::Named(id)) => {
            format!("the client certificate is that of {id}, who is no administrator of this component")
        }
        Some(Peer::Nameless(why)) => format!("the client certificate names nobody: {why}"),
        Some(Peer::Silent) | None => {
            "a client certificate is required: connect with that of an administrator".to_owned()
        }
    };
    Err(Refusal { detail, challenge: CERTIFICATE_CHALLENGE })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn admits(path: &str) -> bool {
        let gate = Gate::new(Arc::new(Access::Token(Token::new("0123456789abcdefghijkl").unwrap())));
        gate.admit(&Request::builder().uri(path).body(Body::empty()).unwrap()).is_ok()
    }

    #[test]
    fn health_metrics_and_the_document_are_open_and_nothing_near_them_is() {
        for path in OPEN_PATHS {
            assert!(admits(path), "{path}");
        }
        for path in ["/", "/livez/", "/livez/x", "//livez", "/v1/livez", "/LIVEZ", "/v1/../livez"] {
            assert!(!admits(path), "{path}");
        }
    }
}
