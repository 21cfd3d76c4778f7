//! Where a reference points: `MOUNT/KEY`, in a namespace.
//!
//! References come from customers and end up in a URL, so what they may hold is said here and nowhere else:
//! nothing that means anything to a URL, and no `.` or `..` that a server or a proxy would resolve.

use std::fmt;

use openkcm_contracts::RootRef;

use crate::RootError;

/// The one option of a reference.
const NAMESPACE: &str = "namespace";

/// The longest path or namespace, in bytes: far beyond what people name mounts, and short in every log line.
const MAX_PATH_LEN: usize = 512;

/// What can be asked of a transit key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Describe,
    Encrypt,
    Decrypt,
}

/// One key of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    mount: String,
    key: String,
    /// The namespace to ask in; none is the server's root namespace.
    pub(super) namespace: Option<String>,
}

impl Target {
    /// Takes a reference apart; `namespace` is that of references that name none.
    pub(super) fn parse(root: &RootRef, namespace: Option<&str>) -> Result<Self, RootError> {
        let Some((mount, key)) = root.key.rsplit_once('/').filter(|_| is_path(&root.key)) else {
            return Err(RootError::misconfigured(format!(
                "{root} is no reference of this provider: MOUNT/KEY is expected, such as transit/acme, of \
                 letters, digits, '-', '_' and '.'"
            )));
        };
        if let Some(unknown) = root.options.keys().find(|option| *option != NAMESPACE) {
            return Err(RootError::misconfigured(format!(
                "{root} has the option {unknown:?}, and this provider has only `{NAMESPACE}`: remove it"
            )));
        }
        let namespace = root.options.get(NAMESPACE).map(String::as_str).or(namespace);
        if !namespace.is_none_or(is_namespace) {
            return Err(RootError::misconfigured(format!(
                "the option `{NAMESPACE}` of {root} is no path such as team/payments: correct it"
            )));
        }
        Ok(Self { mount: mount.to_owned(), key: key.to_owned(), namespace: namespace.map(str::to_owned) })
    }

    /// What follows `/v1/` in the URL of an operation.
    pub(super) fn path(&self, operation: Operation) -> String {
        let operation = match operation {
            Operation::Describe => "keys",
            Operation::Encrypt => "encrypt",
            Operation::Decrypt => "decrypt",
        };
        format!("{}/{operation}/{}", self.mount, self.key)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.mount, self.key)?;
        self.namespace.iter().try_for_each(|namespace| write!(f, " (namespace {namespace})"))
    }
}

/// Whether this can be a namespace: a path, with or without a slash at its end.
pub(super) fn is_namespace(text: &str) -> bool {
    is_path(text.strip_suffix('/').unwrap_or(text))
}

/// Whether this can be a mount or any other path that is put into a URL.
pub(super) fn is_path(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_segment = |segment: &str| {
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(allowed)
    };
    text.len() <= MAX_PATH_LEN && text.split('/').all(is_segment)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn reference(key: &str, options: &[(&str, &str)]) -> RootRef {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        RootRef { provider: "openbao".into(), key: key.into(), options }
    }

    #[test]
    fn the_last_segment_is_the_key_and_all_before_it_the_mount() {
        let target = Target::parse(&reference("team/kms/transit/acme.eu_1", &[]), None).unwrap();
        assert_eq!(target.path(Operation::Encrypt), "team/kms/transit/encrypt/acme.eu_1");
        assert_eq!(target.path(Operation::Describe), "team/kms/transit/keys/acme.eu_1");
        assert_eq!(target.to_string(), "team/kms/transit/acme.eu_1");
    }

    #[test]
    fn a_reference_that_could_mean_another_url_is_misconfigured() {
        let too_long = format!("transit/{}", "a".repeat(MAX_PATH_LEN));
        for key in [
            "",
            "acme",
            "/acme",
            "transit/",
            "transit//acme",
            "../sys/acme",
            "transit/..",
            "./a",
            "a/b?c=d",
            "a/b#c",
            "a/%2e%2e",
            "a/b c",
            "a/b\n",
            "a/ü",
            "a\\b/c",
            too_long.as_str(),
        ] {
            let refused = Target::parse(&reference(key, &[]), None);
            assert!(matches!(refused, Err(RootError::Misconfigured { .. })), "{key:?}: {refused:?}");
        }
    }

    #[test]
    fn a_namespace_of_the_reference_wins_over_the_configured_one() {
        let configured = Some("team");
        let of = |options: &[(&str, &str)]| Target::parse(&reference("transit/acme", options), configured);
        assert_eq!(of(&[]).unwrap().namespace.as_deref(), Some("team"));
        assert_eq!(of(&[("namespace", "acme/eu/")]).unwrap().namespace.as_deref(), Some("acme/eu/"));
        assert!(of(&[("namespace", "a\r\nX-Vault-Token: b")]).is_err());
        assert!(of(&[("namespace", "")]).is_err());
        assert!(of(&[("name_space", "acme")]).is_err());
        assert_eq!(
            Target::parse(&RootRef { options: BTreeMap::new(), ..reference("a/b", &[]) }, None)
                .unwrap()
                .namespace,
            None
        );
    }
}
