//! The bearer token that opens a component on loopback (RFC 6750).
//!
//! What always holds: the token is compared in constant time, is wiped when dropped, and shows in no
//! `Debug` and no answer. One token opens everything. It is no identity, and so nothing for a network:
//! see [`crate::Access`].

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openkcm_host::Entropy;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

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

    /// Whether a request's headers hold this token.
    pub(crate) fn compare(&self, headers: &HeaderMap) -> Presented {
        match presented(headers) {
            Some(token) if bool::from(token.as_bytes().ct_eq(self.0.as_bytes())) => Presented::Right,
            Some(_) => Presented::Wrong,
            None => Presented::None,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What a request says of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presented {
    /// It knows it.
    Right,
    /// It has another one.
    Wrong,
    /// It has none, or several.
    None,
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
    use axum::http::HeaderValue;
    use openkcm_host::SeededEntropy;

    use super::*;

    fn compare(lines: &[&'static str]) -> Presented {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(AUTHORIZATION, HeaderValue::from_static(line));
        }
        Token::new("0123456789abcdefghijkl").unwrap().compare(&headers)
    }

    #[test]
    fn only_the_token_opens_and_only_when_it_is_sent_once() {
        let right = "Bearer 0123456789abcdefghijkl";
        assert_eq!(compare(&[right]), Presented::Right);
        assert_eq!(compare(&["bearer  0123456789abcdefghijkl"]), Presented::Right);
        for lines in [&["Bearer 0123456789abcdefghijkm"][..], &["Bearer 0123456789abcdefghijk"], &["Bearer "]]
        {
            assert_eq!(compare(lines), Presented::Wrong, "{lines:?}");
        }
        for lines in
            [&[][..], &[right, right], &["Basic 0123456789abcdefghijkl"], &["0123456789abcdefghijkl"]]
        {
            assert_eq!(compare(lines), Presented::None, "{lines:?}");
        }
    }

    #[test]
    fn a_token_is_long_enough_and_shows_nowhere() {
        assert_eq!(Token::new(" short\n").unwrap_err(), TokenError::Length { len: 5 });
        assert_eq!(Token::new("0123456789abcdef 0123456789").unwrap_err(), TokenError::Character);
        let token = Token::generate(&SeededEntropy::new(1));
        assert_eq!(Token::new(&format!("{}\n", token.expose())).unwrap().expose(), token.expose());
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
