//! A token: what a request shows to be allowed.
//!
//! What always holds: its text is wiped when the last holder lets go of it, and no `Debug` shows it.

use std::fmt;

use bytes::Bytes;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

/// A client token of the server's.
#[derive(PartialEq, Eq)]
pub(super) struct Token(Zeroizing<String>);

impl Token {
    /// Takes a token's text, without the white space around it; `None` when it can't be one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let graphic = text.bytes().all(|byte| byte.is_ascii_graphic());
        (!text.is_empty() && graphic).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The header's value, whose bytes are wiped too when the request is done with it.
    pub(super) fn header(&self) -> HeaderValue {
        let bytes = Bytes::from_owner(Zeroizing::new(self.0.as_bytes().to_vec()));
        let mut value = HeaderValue::from_maybe_shared(bytes).expect("graphic characters are a header's");
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_without_the_line_end_of_its_file() {
        assert_eq!(Token::parse("  s.abc\n").unwrap().header(), "s.abc");
        for text in ["", " \n", "s.abc\ns.def", "s.ü", "a b"] {
            assert!(Token::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let token = Token::parse("s.canary").unwrap();
        assert_eq!(format!("{token:?} {:?}", token.header()), "Token(..) Sensitive");
    }
}
