//! The condition that a caller ties a change to: the revision that it has seen.
//!
//! Not the header: that is read by the API. What always holds: a change that undoes a deletion needs
//! a condition, so that a late retry of an old request undoes nothing.

use openkcm_contracts::Revision;

use super::Refusal;

/// What must be so for a change to go ahead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// The resource exists, at whatever revision.
    Exists,
    /// The resource is at one of these revisions; none of them holds when there are none.
    OneOf(Vec<Revision>),
}

impl Precondition {
    /// Lets a change go ahead that has no condition, or whose condition holds at the `present`
    /// revision; a resource that does not exist has none.
    ///
    /// # Errors
    /// [`Refusal::PreconditionFailed`].
    pub fn check(&self, present: Option<Revision>) -> Result<(), Refusal> {
        let holds = match (self, present) {
            (Self::None, _) | (Self::Exists, Some(_)) => true,
            (Self::OneOf(revisions), Some(present)) => revisions.contains(&present),
            (Self::Exists | Self::OneOf(_), None) => false,
        };
        if holds { Ok(()) } else { Err(Refusal::PreconditionFailed { present }) }
    }

    /// As [`Precondition::check`], and a revision must be named: that there is something is no less true
    /// when a request comes late.
    ///
    /// # Errors
    /// [`Refusal::PreconditionRequired`] or [`Refusal::PreconditionFailed`].
    pub fn require(&self, present: Revision) -> Result<(), Refusal> {
        match self {
            Self::None | Self::Exists => Err(Refusal::PreconditionRequired),
            Self::OneOf(_) => self.check(Some(present)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const R1: Revision = Revision::new(1, 1);
    const R2: Revision = Revision::new(1, 2);

    #[test]
    fn a_condition_never_holds_on_what_does_not_exist() {
        assert_eq!(Precondition::None.check(None), Ok(()));
        for condition in [Precondition::Exists, Precondition::OneOf(vec![R1])] {
            assert_eq!(condition.check(None), Err(Refusal::PreconditionFailed { present: None }));
        }
    }

    #[test]
    fn only_the_present_revision_is_a_match() {
        let condition = Precondition::OneOf(vec![R1]);
        assert_eq!(condition.check(Some(R1)), Ok(()));
        assert_eq!(condition.check(Some(R2)), Err(Refusal::PreconditionFailed { present: Some(R2) }));
    }

    #[test]
    fn what_undoes_a_deletion_must_name_the_revision_that_was_seen() {
        assert_eq!(Precondition::None.require(R1), Err(Refusal::PreconditionRequired));
        assert_eq!(Precondition::Exists.require(R1), Err(Refusal::PreconditionRequired));
        assert_eq!(Precondition::OneOf(vec![R1]).require(R1), Ok(()));
        assert!(Precondition::OneOf(vec![R2]).require(R1).is_err());
    }
}
