//! The bearer token that opens a component (RFC 6750), until client identities come with TLS.
//!
//! What always holds: the token is compared in constant time, is wiped when dropped, and shows in no
//! `Debug` and no answer. One token opens everything; what a caller may do is for the actors to decide,
//! later, by identity.
//!
//! Open without it: `/livez`, `/readyz` and `/openapi.json`, which tell nothing that the binary does
//! not, and `/metrics`, which is counts. That a scraper needs no administrator's token keeps that token
//! out of a scraper's configuration; so no metric may carry a tenant's or a key's name.

use std::fmt;

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openkcm_contracts::problem::Code;
use openkcm_host::Entropy;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::problem::Problem;

/// What needs no token.
const OPEN_PATHS: [&str; 4] = ["/livez", "/readyz", "/openapi.json", "/metrics"];

/// The shortest token: 128 bits as hexadecimal or base64 do not fit in less than 22 characters.
const MIN_TOKEN_LEN: usize = 22;

/// The longest token; a header has to hold it.
const MAX_TOKEN_LEN: usize = 512;

/// The random bytes of a token that is made here.
const TOKEN_BYTES: usize = 32;

/// A bearer token.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

/// A text that can't be a token. It says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is too short to resist guessing, or too long for a header.
    #[error("the token has {len} characters; {MIN_TOKEN_LEN} to {MAX_TOKEN_LEN} are expected")]
    Length {
        /// Its length, in bytes.
        len: usize,
    },
    /// It holds what no bearer token may hold.
    #[error("the token has a character other than letters, digits and -._~+/= (RFC 6750, section 2.1)")]
    Character,
}

impl Token {
    /// Takes a token as its file holds it; white space around it is left out.
    ///
    /// # Errors
    /// When it is too short, too long, or no token by RFC 6750.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if !(MIN_TOKEN_LEN..=MAX_TOKEN_LEN).contains(&text.len()) {
            return Err(TokenError::Length { len: text.len() });
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if !text.bytes().all(allowed) {
            return Err(TokenError::Character);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Makes a token of 256 random bits.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        entropy.fill(bytes.as_mut());
        Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_ref())))
    }

    /// The token itself, to be written to the file that holds it and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Lets in who knows the token.
#[derive(Debug, Clone)]
pub(crate) struct BearerGate {
    token: Token,
}

impl BearerGate {
    /// A gate that this token opens.
    pub(crate) fn new(token: Token) -> Self {
        Self { token }
    }

    /// Whether a request may go on; otherwise the answer to it.
    ///
    /// # Errors
    /// The 401 `unauthenticated` answer, with its challenge in `WWW-Authenticate`.
    #[expect(clippy::result_large_err, reason = "the answer is sent, not kept")]
    pub(crate) fn admit(&self, request: &Request) -> Result<(), Response> {
        if OPEN_PATHS.contains(&request.uri().path()) {
            return Ok(());
        }
        let (detail, challenge) = match presented(request.headers()) {
            Some(token) if bool::from(token.as_bytes().ct_eq(self.token.0.as_bytes())) => return Ok(()),
            Some(_) => {
                ("the token is not this component's", r#"Bearer realm="openkcm", error="invalid_token""#)
            }
            None => {
                ("send this component's token as `Authorization: Bearer TOKEN`", r#"Bearer realm="openkcm""#)
            }
        };
        let mut response = Problem::new(Code::Unauthenticated, detail).into_response();
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        Err(response)
    }
}

/// The bearer token of a request that has exactly one.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let (line, None) = (lines.next()?, lines.next()) else { return None };
    let (scheme, token) = line.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use openkcm_host::SeededEntropy;

    use super::*;

    fn admits(path: &str, lines: &[&str]) -> bool {
        let gate = BearerGate::new(Token::new("0123456789abcdefghijkl").unwrap());
        let request = lines
            .iter()
            .fold(Request::builder().uri(path), |request, line| request.header(AUTHORIZATION, *line));
        gate.admit(&request.body(Body::empty()).unwrap()).is_ok()
    }

    #[test]
    fn only_the_token_opens_and_only_when_it_is_sent_once() {
        let right = "Bearer 0123456789abcdefghijkl";
        assert!(admits("/v1/tenants", &[right]));
        assert!(admits("/v1/tenants", &["bearer  0123456789abcdefghijkl"]));
        for lines in [
            &[][..],
            &[right, right],
            &["Bearer 0123456789abcdefghijkm"],
            &["Bearer 0123456789abcdefghijk"],
            &["Bearer "],
            &["Basic 0123456789abcdefghijkl"],
            &["0123456789abcdefghijkl"],
        ] {
            assert!(!admits("/v1/tenants", lines), "{lines:?}");
        }
    }

    #[test]
    fn health_metrics_and_the_document_are_open_and_nothing_near_them_is() {
        for path in OPEN_PATHS {
            assert!(admits(path, &[]), "{path}");
        }
        for path in ["/", "/livez/", "/livez/x", "//livez", "/v1/livez", "/LIVEZ", "/v1/../livez"] {
            assert!(!admits(path, &[]), "{path}");
        }
    }

    #[test]
    fn a_token_is_long_enough_and_shows_nowhere() {
        assert_eq!(Token::new(" short\n").unwrap_err(), TokenError::Length { len: 5 });
        assert_eq!(Token::new("0123456789abcdef 0123456789").unwrap_err(), TokenError::Character);
        let token = Token::generate(&SeededEntropy::new(1));
        assert_eq!(Token::new(&format!("{}\n", token.expose())).unwrap().expose(), token.expose());
        assert_eq!(format!("{:?}", BearerGate::new(token)), "BearerGate { token: Token(..) }");
    }
}
