//! The rules of the CMK Server: records, a request and a time in; a decision out.
//!
//! No I/O, no clock, no randomness, no HTTP, no SQL. Deciding may fail and changes nothing; what was
//! decided can't fail: it is saved and told as it is.
//!
//! Three that matter most: what was unlinked is linked again only by someone who saw it unlinked
//! (`If-Match`); whoever was ever told of a pointer is told of its end; and a store that is, or may be, behind
//! what the CMK Server has said can always unlink, also what it does not know, and never link.

pub mod lease;
pub(crate) mod letters;
mod link;
mod owner;
mod precondition;
pub mod probe;
pub mod rebuild;
mod request;
mod tenant;
mod unlink;

use std::collections::BTreeSet;

use openkcm_contracts::{RegionId, Revision, TenantId};
use openkcm_orbital::Letter;
use openkcm_orbital::words::Standing;

use crate::store::{Pointer, Tenant};

pub use lease::LeaseTerms;
pub use link::{link, may_link};
pub use precondition::Precondition;
pub use request::{LinkRequest, MAX_ROOTS, RequestFault};
pub use tenant::{Heard, catch_up, hear};
pub use unlink::{end, unlink};

/// The revision that an authority starts from: its first change is 1.1.
pub const BEFORE_THE_FIRST: Revision = Revision::new(1, 0);

/// What the CMK Server knows of the landscape.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Landscape {
    /// The regions that there are: one that has forgotten whom it told of a pointer tells them all of its end.
    pub regions: BTreeSet<RegionId>,
    /// How long leases hold.
    pub leases: LeaseTerms,
}

/// What the authority holds of one tenant when it decides.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// The tenant's name.
    pub id: &'a TenantId,
    /// The tenant, as the Registry told of it.
    pub tenant: Option<&'a Tenant>,
    /// Its pointer.
    pub pointer: Option<&'a Pointer>,
    /// The revision that a change would get.
    pub next: Revision,
    /// Whether the store is known to be as new as what the CMK Server has said.
    pub standing: Standing,
    /// The landscape.
    pub landscape: &'a Landscape,
}

impl Held<'_> {
    /// The regions that the tenant has now.
    fn regions(&self) -> &[RegionId] {
        self.tenant.map_or(&[], |tenant| &tenant.fact.regions)
    }
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
    /// The store is behind what the CMK Server has said.
    #[error(
        "the CMK Server's store is behind its own words on the mesh, and it links nothing until it has caught up; \
         put the newest copy of the store back, or start it with --rebuild-from-mesh"
    )]
    Stale,
    /// A Core has applied a later word than this CMK Server's last.
    #[error(
        "the Core of region {region} says that it has applied {claims} of this CMK Server, which is later than its \
         last word: its store is behind, or that Core lies; nothing is linked until a start with \
         --rebuild-from-mesh has raised the term"
    )]
    Behind {
        /// Whose Core.
        region: RegionId,
        /// What it says.
        claims: Revision,
    },
    /// The owner's word does not hold.
    #[error("{0}")]
    OwnersWord(&'static str),
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
    last.unwrap_or(BEFORE_THE_FIRST).next()
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
