//! Revisions: how one fact is known to be newer than another.
//!
//! An authority raises the counter with every change that it commits, and the term when it was
//! restored or rebuilt. Revisions of one authority are totally ordered; those of different
//! authorities are never compared.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The revision of a fact, written `term.counter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// Raised when the authority was restored or rebuilt. Starts at 1.
    pub term: u32,
    /// Raised with every change of the authority. Starts at 1.
    pub counter: u64,
}

impl Revision {
    /// Before every revision: what an authority that has said nothing yet holds.
    pub const ZERO: Self = Self { term: 0, counter: 0 };

    /// A revision of this term and counter.
    pub const fn new(term: u32, counter: u64) -> Self {
        Self { term, counter }
    }

    /// The next revision of the same term.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { term: self.term, counter: self.counter + 1 }
    }

    /// The entity tag of a resource at this revision (RFC 9110, section 8.8.3): strong, quoted.
    pub fn etag(self) -> String {
        format!("\"{self}\"")
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.counter)
    }
}

/// A text that is no revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("revision: TERM.COUNTER is expected, such as 1.42")]
pub struct RevisionError;

impl FromStr for Revision {
    type Err = RevisionError;

    /// Reads the one canonical form: no sign, no leading zero, so that equal tags are equal texts.
    fn from_str(text: &str) -> Result<Self, RevisionError> {
        let (term, counter) = text.split_once('.').ok_or(RevisionError)?;
        let revision = Self {
            term: term.parse().map_err(|_| RevisionError)?,
            counter: counter.parse().map_err(|_| RevisionError)?,
        };
        if revision.to_string() == text { Ok(revision) } else { Err(RevisionError) }
    }
}

crate::as_text!(Revision);

macro_rules! made_at {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Revision);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

made_at!(
    /// The Registry's revision that made a definition. What is defined again under an old name is
    /// another thing, with another generation and its own key material.
    Generation
);
made_at!(
    /// The CMK Server's revision that made a link. A tenant that is linked again has a new epoch.
    LinkEpoch
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_term_wins_over_any_counter() {
        assert!(Revision::new(2, 1) > Revision::new(1, u64::MAX));
        assert!(Revision::new(1, 2) > Revision::new(1, 1));
    }

    #[test]
    fn only_the_canonical_form_is_read() {
        assert_eq!("1.42".parse(), Ok(Revision::new(1, 42)));
        for text in ["", "1", "1.", ".1", "01.2", "1.02", "+1.2", "1.2.3", " 1.2"] {
            assert_eq!(text.parse::<Revision>(), Err(RevisionError), "{text:?}");
        }
    }

    #[test]
    fn the_etag_is_the_quoted_revision() {
        assert_eq!(Revision::new(1, 42).etag(), "\"1.42\"");
    }
}
