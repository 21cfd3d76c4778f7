//! What the server says, told apart by its status and its own words.
//!
//! The words are those of OpenBao 2.x and Vault 1.x, which have kept them for years. They are matched and
//! never repeated: a server, or something in between that poses as one, could echo a secret of the request.
//! Words that are not known are no denial.

use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::message::NO_SUCH_TYPE;
use crate::RootError;

/// The meaning of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It did what it was asked.
    Done,
    /// There is no key of this name.
    KeyMissing,
    /// There is nothing at this path.
    NothingThere,
    /// The key is soft-deleted.
    KeyDisabled,
    /// The version of the key that sealed may not unseal any more.
    VersionForbidden,
    /// The ciphertext is another key's, has other associated data, or was altered.
    NotAuthentic,
    /// It is no ciphertext, or of a version that the key does not have.
    Malformed,
    /// The key is of a type that has no associated data.
    NotAuthenticating,
    /// The key wants a context to be derived with.
    Derived,
    /// Nothing is mounted there.
    NoMount,
    /// Something else than a transit engine is mounted there.
    NotTransit,
    /// There is no such namespace.
    NoNamespace,
    /// An administrator has locked the namespace.
    NamespaceLocked,
    /// The token is known and no policy of it allows this.
    Forbidden,
    /// The token is not known: expired, revoked, used up, or never issued.
    TokenRefused,
    /// The login is not known.
    LoginRefused,
    /// It wants us to ask elsewhere.
    Redirect,
    /// It can't answer now, or it was not it that answered.
    Transient,
    /// It refused in words that are not known.
    Unknown,
}

/// An answer, whole.
pub(super) struct Answer {
    status: u16,
    said: Said,
    body: Zeroizing<Vec<u8>>,
    retry_after: Option<Duration>,
}

/// What every refusal holds; both parts are missing where something else than the server refused.
#[derive(Deserialize)]
struct Refusal {
    errors: Option<Vec<String>>,
}

impl Answer {
    pub(super) fn new(status: u16, body: Zeroizing<Vec<u8>>, retry_after: Option<Duration>) -> Self {
        Self { status, said: meaning(status, &body), body, retry_after }
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn said(&self) -> Said {
        self.said
    }

    /// The answer's JSON. It may hold a key or a credential.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The same answer, now that the token is known to be good.
    pub(super) fn forbidden(self) -> Self {
        Self { said: Said::Forbidden, ..self }
    }

    /// What a transient answer becomes.
    pub(super) fn trouble(&self, address: &str) -> RootError {
        if self.status == 429 {
            return RootError::Throttled {
                reason: format!("{address} has a rate limit quota that is used up: raise it, or wait"),
                retry_after: self.retry_after,
            };
        }
        let what = match self.status {
            503 => "is sealed or not ready: unseal it",
            412 | 472 | 473 | 500..=599 => "is in trouble: look at its log",
            _ => "did not answer itself: see what stands in between",
        };
        RootError::Unreachable {
            reason: format!("{address} {what} (status {})", self.status),
            retry_after: self.retry_after.unwrap_or(RootError::RETRY_AFTER),
        }
    }
}

fn meaning(status: u16, body: &[u8]) -> Said {
    if (200..300).contains(&status) {
        return Said::Done;
    }
    if (300..400).contains(&status) {
        return Said::Redirect;
    }
    let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else {
        return Said::Transient;
    };
    let errors = refusal.errors.as_deref();
    let words = errors.unwrap_or_default().join("\n");
    match status {
        503 if words.contains("has been locked by an administrator") => Said::NamespaceLocked,
        412 | 429 | 472 | 473 | 500.. => Said::Transient,
        403 => forbidden(&words),
        404 if errors.is_some_and(<[String]>::is_empty) => Said::NothingThere,
        404 if errors.is_none() => Said::NotTransit,
        _ => refused(&words),
    }
}

/// A token that is known and may not is refused in a list of one; one that is not known is refused without
/// a list by OpenBao, and in a list that says so by Vault.
fn forbidden(words: &str) -> Said {
    if words.trim() == "permission denied" || words.contains("invalid token") {
        return Said::TokenRefused;
    }
    if words.contains("permission denied") { Said::Forbidden } else { Said::Unknown }
}

fn refused(words: &str) -> Said {
    // An encrypt that would have to make the key first looks at the type to make it of, and only then.
    let would_create = format!("unknown key type {NO_SUCH_TYPE}");
    let known = [
        ("encryption key not found", Said::KeyMissing),
        (would_create.as_str(), Said::KeyMissing),
        ("refusing to use soft-deleted key", Said::KeyDisabled),
        ("disallowed by policy (too old)", Said::VersionForbidden),
        ("message authentication failed", Said::NotAuthentic),
        ("invalid ciphertext", Said::Malformed),
        ("for non-AEAD cipher suite", Said::NotAuthenticating),
        ("missing 'context' for key derivation", Said::Derived),
        ("no handler for route", Said::NoMount),
        ("namespace not found", Said::NoNamespace),
        ("unsupported path", Said::NotTransit),
        ("unsupported operation", Said::NotTransit),
        ("invalid role or secret ID", Said::LoginRefused),
    ];
    known.iter().find(|(text, _)| words.contains(text)).map_or(Said::Unknown, |(_, said)| *said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str) -> Said {
        Answer::new(status, body.as_bytes().to_vec().into(), None).said()
    }

    fn errors(words: &str) -> String {
        serde_json::json!({ "errors": [words] }).to_string()
    }

    #[test]
    fn the_words_of_the_server_are_understood() {
        for (status, words, expected) in [
            (400, "encryption key not found", Said::KeyMissing),
            (400, "unknown key type never-create", Said::KeyMissing),
            (400, "unknown key type aes", Said::Unknown),
            (400, "refusing to use soft-deleted key", Said::KeyDisabled),
            (
                400,
                "ciphertext or signature version is disallowed by policy (too old)",
                Said::VersionForbidden,
            ),
            (400, "cipher: message authentication failed", Said::NotAuthentic),
            (400, "chacha20poly1305: message authentication failed", Said::NotAuthentic),
            (400, "invalid ciphertext: version is too new", Said::Malformed),
            (400, "invalid ciphertext: no prefix", Said::Malformed),
            (400, "invalid ciphertext length", Said::Malformed),
            (
                400,
                "'[0].associated_data' provided for non-AEAD cipher suite rsa-2048",
                Said::NotAuthenticating,
            ),
            (404, "no handler for route \"x/decrypt/acme\". route entry not found.", Said::NoMount),
            (404, "namespace not found", Said::NoNamespace),
            (404, "1 error occurred:\n\t* unsupported path\n\n", Said::NotTransit),
            (405, "1 error occurred:\n\t* unsupported operation\n\n", Said::NotTransit),
            (400, "invalid role or secret ID", Said::LoginRefused),
            (400, "something new", Said::Unknown),
        ] {
            assert_eq!(said(status, &errors(words)), expected, "{words}");
        }
    }

    #[test]
    fn a_known_token_that_may_not_is_told_from_one_that_is_not_known() {
        assert_eq!(said(403, &errors("1 error occurred:\n\t* permission denied\n\n")), Said::Forbidden);
        assert_eq!(said(403, &errors("permission denied")), Said::TokenRefused);
        let vault = "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n";
        assert_eq!(said(403, &errors(vault)), Said::TokenRefused);
        assert_eq!(said(403, &errors("another reason")), Said::Unknown);
    }

    #[test]
    fn a_server_that_can_not_answer_now_has_not_refused() {
        for status in [412, 429, 472, 473, 500, 502, 503, 504] {
            assert_eq!(said(status, &errors("permission denied")), Said::Transient, "{status}");
        }
        assert_eq!(said(503, &errors("Vault is sealed")), Said::Transient);
    }

    #[test]
    fn what_stands_in_between_can_not_deny() {
        for status in [400, 401, 403, 404, 407, 410, 451] {
            assert_eq!(said(status, "<html>permission denied</html>"), Said::Transient, "{status}");
            assert_eq!(said(status, ""), Said::Transient, "{status}");
        }
        assert_eq!(said(302, ""), Said::Redirect);
    }

    #[test]
    fn a_namespace_that_its_administrator_locked_is_a_word_of_the_owner() {
        let words = "API access to this namespace has been locked by an administrator - \"team/\" must be \
                     unlocked to gain access.";
        assert_eq!(said(503, &errors(words)), Said::NamespaceLocked);
    }

    #[test]
    fn nothing_at_a_path_is_told_from_a_path_that_makes_no_sense() {
        assert_eq!(said(404, r#"{"errors":[]}"#), Said::NothingThere);
        assert_eq!(
            said(404, r#"{"data":null,"warnings":["Invalid path for a versioned K/V"]}"#),
            Said::NotTransit
        );
    }

    #[test]
    fn the_time_to_wait_is_the_servers_where_it_gives_one() {
        let told = |status, wait| Answer::new(status, Vec::new().into(), wait).trouble("https://bao.example");
        let wait = Some(Duration::from_secs(17));
        let RootError::Unreachable { retry_after, .. } = told(503, wait) else { panic!("it will pass") };
        assert_eq!(Some(retry_after), wait);
    }

    #[test]
    fn a_server_that_limits_the_rate_is_told_from_one_that_is_not_there() {
        for wait in [None, Some(Duration::from_secs(2))] {
            let answer = Answer::new(429, errors("request path quota exceeded").into_bytes().into(), wait);
            assert_eq!(answer.said(), Said::Transient);
            let RootError::Throttled { retry_after, .. } = answer.trouble("https://bao.example") else {
                panic!("its quota is used up");
            };
            assert_eq!(retry_after, wait);
        }
    }
}
