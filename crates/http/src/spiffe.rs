//! SPIFFE ids: the names of components and administrators, as certificates carry them.
//!
//! Parsed once, by the SPIFFE ID standard (sections 2.1 to 2.4): `spiffe://`, a trust domain, a path. The
//! standard allows one spelling of each id (no escapes, no `.` or `..`, no slash too many, a trust domain
//! in lower case), so that ids are compared byte by byte.

use std::fmt;
use std::str::FromStr;

const SCHEME: &str = "spiffe://";

/// The longest id (SPIFFE ID, section 2.3).
const MAX_ID_BYTES: usize = 2_048;

/// The longest trust domain (SPIFFE ID, section 2.1).
const MAX_TRUST_DOMAIN_BYTES: usize = 255;

/// The name of a workload or a person: `spiffe://trust-domain/path`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId(String);

/// A text that is no SPIFFE id of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    /// It is too long.
    #[error("a SPIFFE id has at most {MAX_ID_BYTES} bytes; this has {len}")]
    TooLong {
        /// Its length, in bytes.
        len: usize,
    },
    /// It is another kind of URI.
    #[error("a SPIFFE id begins with {SCHEME}")]
    Scheme,
    /// The trust domain is missing, too long, or has other characters.
    #[error(
        "after {SCHEME} a SPIFFE id has a trust domain: 1 to {MAX_TRUST_DOMAIN_BYTES} lower case letters, digits, dots, dashes and underscores"
    )]
    TrustDomain,
    /// It is the id of a trust domain itself, which no certificate of a workload carries.
    #[error(
        "a SPIFFE id such as spiffe://openkcm/admin is expected: the path after the trust domain is missing"
    )]
    NoPath,
    /// A segment of the path is empty, is `.` or `..`, or has other characters.
    #[error(
        "a SPIFFE id's path has segments of letters, digits, dots, dashes and underscores, none empty, `.` or `..`, and no slash at the end"
    )]
    Path,
}

impl SpiffeId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &str {
        self.parts().0
    }

    /// The path, without the slash before it.
    pub fn path(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        self.0[SCHEME.len()..].split_once('/').expect("an id was parsed, so it has a path")
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        if text.len() > MAX_ID_BYTES {
            return Err(SpiffeIdError::TooLong { len: text.len() });
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
        let (domain, path) = match rest.split_once('/') {
            Some((domain, path)) => (domain, Some(path)),
            None => (rest, None),
        };
        let in_domain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        if !(1..=MAX_TRUST_DOMAIN_BYTES).contains(&domain.len()) || !domain.bytes().all(in_domain) {
            return Err(SpiffeIdError::TrustDomain);
        }
        let path = path.ok_or(SpiffeIdError::NoPath)?;
        let in_path = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let good = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(in_path);
        if !path.split('/').all(good) {
            return Err(SpiffeIdError::Path);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpiffeId({})", self.0)
    }
}

impl serde::Serialize for SpiffeId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for SpiffeId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SpiffeId, SpiffeIdError> {
        text.parse()
    }

    #[test]
    fn an_id_has_a_trust_domain_and_a_path() {
        let id = parse("spiffe://openkcm/krypton/a").unwrap();
        assert_eq!((id.trust_domain(), id.path()), ("openkcm", "krypton/a"));
        assert_eq!(id.to_string(), "spiffe://openkcm/krypton/a");
        for text in ["spiffe://a.b-c_9/x", "spiffe://openkcm/A.b/...", "spiffe://1/-/_"] {
            assert_eq!(parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn each_part_is_held_to_the_standard() {
        for (text, error) in [
            ("", SpiffeIdError::Scheme),
            ("https://openkcm/admin", SpiffeIdError::Scheme),
            ("SPIFFE://openkcm/admin", SpiffeIdError::Scheme),
            (" spiffe://openkcm/admin", SpiffeIdError::Scheme),
            ("spiffe:///admin", SpiffeIdError::TrustDomain),
            ("spiffe://OpenKCM/admin", SpiffeIdError::TrustDomain),
            ("spiffe://openkcm:7010/admin", SpiffeIdError::TrustDomain),
            ("spiffe://me@openkcm/admin", SpiffeIdError::TrustDomain),
            ("spiffe://openk%63m/admin", SpiffeIdError::TrustDomain),
            ("spiffe://openkcm", SpiffeIdError::NoPath),
            ("spiffe://openkcm/", SpiffeIdError::Path),
            ("spiffe://openkcm//admin", SpiffeIdError::Path),
            ("spiffe://openkcm/admin/", SpiffeIdError::Path),
            ("spiffe://openkcm/./admin", SpiffeIdError::Path),
            ("spiffe://openkcm/x/../admin", SpiffeIdError::Path),
            ("spiffe://openkcm/%61dmin", SpiffeIdError::Path),
            ("spiffe://openkcm/admin?x", SpiffeIdError::Path),
            ("spiffe://openkcm/admin#x", SpiffeIdError::Path),
            ("spiffe://openkcm/admin ", SpiffeIdError::Path),
            ("spiffe://openkcm/ädmin", SpiffeIdError::Path),
            ("spiffe://openkcm/admin\0", SpiffeIdError::Path),
        ] {
            assert_eq!(parse(text).unwrap_err(), error, "{text:?}");
        }
    }

    #[test]
    fn an_id_and_its_trust_domain_have_a_longest() {
        let domain = |len: usize| format!("spiffe://{}/x", "d".repeat(len));
        assert!(parse(&domain(255)).is_ok());
        assert_eq!(parse(&domain(256)).unwrap_err(), SpiffeIdError::TrustDomain);
        let id = |len: usize| format!("spiffe://d/{}", "x".repeat(len - "spiffe://d/".len()));
        assert!(parse(&id(2_048)).is_ok());
        assert_eq!(parse(&id(2_049)).unwrap_err(), SpiffeIdError::TooLong { len: 2_049 });
    }

    #[test]
    fn an_id_is_read_and_written_as_text() {
        let id: SpiffeId = serde_json::from_str(r#""spiffe://openkcm/admin""#).unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), r#""spiffe://openkcm/admin""#);
        let error = serde_json::from_str::<SpiffeId>(r#""admin""#).unwrap_err().to_string();
        assert!(error.contains("begins with spiffe://"), "{error}");
    }
}
