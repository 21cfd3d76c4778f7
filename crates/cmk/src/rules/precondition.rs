//! What a caller believes the pointer's revision to be.
//!
//! The same as `If-Match` says (RFC 9110, section 13.1.1), without HTTP: the simulator asks too.

use openkcm_contracts::Revision;

use super::Refusal;

/// A caller's precondition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Precondition {
    /// Nothing: the change is wanted whatever there is.
    #[default]
    None,
    /// There is a pointer, at whatever revision.
    Exists,
    /// The pointer is at one of these revisions.
    OneOf(Vec<Revision>),
}

impl Precondition {
    /// Refuses when the precondition does not hold at `present`; none is a pointer that does not exist.
    pub(super) fn check(&self, present: Option<Revision>) -> Result<(), Refusal> {
        let holds = match self {
            Self::None => true,
            Self::Exists => present.is_some(),
            Self::OneOf(revisions) => present.is_some_and(|present| revisions.contains(&present)),
        };
        if holds { Ok(()) } else { Err(Refusal::PreconditionFailed { present }) }
    }

    /// As [`Precondition::check`], for a change that undoes an earlier one: it must name a revision. That
    /// there is a pointer is no less true when the request comes late.
    pub(super) fn require(&self, present: Revision) -> Result<(), Refusal> {
        match self {
            Self::None | Self::Exists => Err(Refusal::PreconditionRequired),
            Self::OneOf(_) => self.check(Some(present)),
        }
    }
}
