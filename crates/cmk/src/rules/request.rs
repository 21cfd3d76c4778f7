//! What a link may ask for: roots and a TTL, checked once where they enter.
//!
//! Not checked here: whether a provider is configured and a root usable. That is asked of the roots.

use openkcm_contracts::v1::OwnerWord;
use openkcm_contracts::{Period, RootRef};
use openkcm_orbital::is_owner_key;

/// Most roots of one pointer: one for each of two providers in two places. Each is probed at every
/// link and sealed under by every Core, so more would only make both slower.
pub const MAX_ROOTS: usize = 4;

/// A request to link, whose form is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRequest {
    roots: Vec<RootRef>,
    ttl: Option<Period>,
    owner_key: Option<String>,
    owner_word: Option<OwnerWord>,
}

/// What is wrong with a request, and in which field of it. Repeats nothing of what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {fault}")]
pub struct RequestFault {
    /// The field, such as `roots[0].key`.
    pub field: String,
    /// What is wrong with it.
    pub fault: &'static str,
}

impl LinkRequest {
    /// A request for these roots, the preferred one first.
    ///
    /// # Errors
    /// When there are none, too many, or the same twice; when a text of one is empty, longer than
    /// [`RootRef::MAX_TEXT_LEN`], or holds a control character.
    pub fn new(roots: Vec<RootRef>, ttl: Option<Period>) -> Result<Self, RequestFault> {
        if roots.is_empty() || roots.len() > MAX_ROOTS {
            return Err(fault("roots", "1 to 4 roots are expected"));
        }
        for (index, root) in roots.iter().enumerate() {
            check_root(&format!("roots[{index}]"), root)?;
            if roots[..index].contains(root) {
                return Err(fault(format!("roots[{index}]"), "this root is already in the list"));
            }
        }
        Ok(Self { roots, ttl, owner_key: None, owner_word: None })
    }

    /// The same, with the public half of the owner's key to pin, and the owner's word for the roots.
    ///
    /// # Errors
    /// When the key is none, or the signature is longer than one is.
    pub fn with_owner(
        self,
        owner_key: Option<String>,
        owner_word: Option<OwnerWord>,
    ) -> Result<Self, RequestFault> {
        if owner_key.as_deref().is_some_and(|key| !is_owner_key(key)) {
            return Err(fault("owner_key", "an Ed25519 public key in base64 is expected"));
        }
        if owner_word.as_ref().is_some_and(|word| word.signature.len() > OwnerWord::SIGNATURE_LEN) {
            return Err(fault("owner_word.signature", "an Ed25519 signature in base64 is expected"));
        }
        Ok(Self { owner_key, owner_word, ..self })
    }

    /// The roots, the preferred one first.
    pub fn roots(&self) -> &[RootRef] {
        &self.roots
    }

    /// The public half of the owner's key, where one is to be pinned.
    pub fn owner_key(&self) -> Option<&str> {
        self.owner_key.as_deref()
    }

    /// The owner's word for the roots.
    pub fn owner_word(&self) -> Option<&OwnerWord> {
        self.owner_word.as_ref()
    }

    /// The tenant's own lease, if it asks for one.
    pub fn ttl(&self) -> Option<Period> {
        self.ttl
    }
}

fn check_root(field: &str, root: &RootRef) -> Result<(), RequestFault> {
    check_text(|| format!("{field}.provider"), &root.provider)?;
    check_text(|| format!("{field}.key"), &root.key)?;
    if root.options.len() > RootRef::MAX_OPTIONS {
        return Err(fault(format!("{field}.options"), "at most 16 options are taken"));
    }
    for (name, value) in &root.options {
        check_text(|| format!("{field}.options"), name)?;
        check_text(|| format!("{field}.options"), value)?;
    }
    Ok(())
}

fn check_text(field: impl Fn() -> String, text: &str) -> Result<(), RequestFault> {
    if text.is_empty() {
        return Err(fault(field(), "it is empty"));
    }
    if text.len() > RootRef::MAX_TEXT_LEN {
        return Err(fault(field(), "it is longer than 2048 bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err(fault(field(), "it holds a control character"));
    }
    Ok(())
}

fn fault(field: impl Into<String>, fault: &'static str) -> RequestFault {
    RequestFault { field: field.into(), fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(key: &str) -> RootRef {
        RootRef { provider: "local".into(), key: key.into(), options: [].into() }
    }

    fn field_of(roots: Vec<RootRef>) -> String {
        LinkRequest::new(roots, None).expect_err("refused").field
    }

    #[test]
    fn one_to_four_different_roots_are_taken() {
        let four: Vec<_> = ["a", "b", "c", "d"].map(root).into();
        assert!(LinkRequest::new(four.clone(), None).is_ok());
        let five = [four, vec![root("e")]].concat();
        assert_eq!(field_of(five), "roots");
        assert_eq!(field_of(vec![]), "roots");
        assert_eq!(field_of(vec![root("a"), root("b"), root("a")]), "roots[2]");
    }

    #[test]
    fn a_text_that_is_empty_too_long_or_not_printable_is_refused_by_its_field() {
        assert_eq!(field_of(vec![root("")]), "roots[0].key");
        assert_eq!(field_of(vec![root("a"), root("b\n")]), "roots[1].key");
        assert_eq!(field_of(vec![root(&"x".repeat(RootRef::MAX_TEXT_LEN + 1))]), "roots[0].key");
        assert!(LinkRequest::new(vec![root(&"x".repeat(RootRef::MAX_TEXT_LEN))], None).is_ok());
    }

    #[test]
    fn options_are_limited_and_checked_too() {
        let with = |count: usize| RootRef {
            options: (0..count).map(|n| (format!("o{n}"), "v".to_owned())).collect(),
            ..root("a")
        };
        assert!(LinkRequest::new(vec![with(RootRef::MAX_OPTIONS)], None).is_ok());
        assert_eq!(field_of(vec![with(RootRef::MAX_OPTIONS + 1)]), "roots[0].options");
        let empty = RootRef { options: [("namespace".to_owned(), String::new())].into(), ..root("a") };
        assert_eq!(field_of(vec![empty]), "roots[0].options");
    }

    #[test]
    fn the_texts_name_the_limits_that_are_checked() {
        assert!(fault_text(vec![]).contains(&MAX_ROOTS.to_string()));
        let long = root(&"x".repeat(RootRef::MAX_TEXT_LEN + 1));
        assert!(fault_text(vec![long]).contains(&RootRef::MAX_TEXT_LEN.to_string()));
    }

    fn fault_text(roots: Vec<RootRef>) -> String {
        LinkRequest::new(roots, None).expect_err("refused").to_string()
    }
}
