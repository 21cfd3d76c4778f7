//! The rules of the CMK Server: records, a request and a time in; a decision out.
//!
//! No I/O, no clock, no randomness, no HTTP, no SQL. Deciding may fail and changes nothing; what was
//! decided can't fail: it is saved and told as it is.
//!
//! The two that matter most: what was unlinked is linked again only by someone who saw it unlinked
//! (`If-Match`), and whoever was ever told of a pointer is told of its end.

mod letters;
mod link;
mod precondition;
mod request;
mod tenant;
mod unlink;

use openkcm_contracts::Revision;
use openkcm_orbital::Letter;

use crate::store::{Pointer, Tenant};

pub use link::{link, may_link};
pub use precondition::Precondition;
pub use request::{LinkRequest, MAX_ROOTS, RequestFault};
pub use tenant::{Heard, hear};
pub use unlink::unlink;

/// The first revision of an authority that was never restored.
const FIRST_REVISION: Revision = Revision::new(1, 1);

/// What the authority holds of one tenant when it decides.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// The tenant, as the Registry told of it.
    pub tenant: Option<&'a Tenant>,
    /// Its pointer.
    pub pointer: Option<&'a Pointer>,
    /// The revision that a change would get.
    pub next: Revision,
}

/// What is to be saved and told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The pointer as it is from now on.
    pub pointer: Pointer,
    /// Whether this is a change, with a revision of its own.
    pub changed: bool,
    /// What the regions are told.
    pub letters: Vec<Letter>,
}

impl Decision {
    /// Nothing is to be changed, and nobody is told.
    fn nothing(pointer: Pointer) -> Self {
        Self { pointer, changed: false, letters: Vec::new() }
    }
}

/// Why the CMK Server does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The Registry has not told of the tenant, or not yet.
    #[error("the CMK Server has not heard of this tenant yet")]
    NotYetKnown,
    /// The Registry told that the tenant is no customer any more.
    #[error("the tenant is offboarded; define it anew before it is linked")]
    TenantOffboarded,
    /// There never was a pointer.
    #[error("the tenant was never linked")]
    NotLinked,
    /// What was unlinked is linked again only by someone who names the revision that they saw.
    #[error("the tenant was unlinked: read the pointer, and send its ETag as If-Match to link it again")]
    PreconditionRequired,
    /// The pointer is not at a revision that the caller named.
    #[error("{}", match .present {
        Some(present) => format!("the pointer is at revision {present}; read it again, then decide"),
        None => "the tenant has no pointer that If-Match could name".to_owned(),
    })]
    PreconditionFailed {
        /// Where it is; none when there is no pointer.
        present: Option<Revision>,
    },
}

/// The revision after `last`: one counter for the whole authority.
pub fn next_revision(last: Option<Revision>) -> Revision {
    last.map_or(FIRST_REVISION, Revision::next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_start_at_1_1_and_only_rise() {
        assert_eq!(next_revision(None), Revision::new(1, 1));
        assert_eq!(next_revision(Some(Revision::new(1, 41))), Revision::new(1, 42));
        assert_eq!(next_revision(Some(Revision::new(2, 1))), Revision::new(2, 2));
    }
}
