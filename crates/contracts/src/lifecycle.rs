//! Lifecycle states of one version of key material.
//!
//! The words are those of NIST SP 800-57 part 1 (section 7) and KMIP. States only move forward: a
//! version that was compromised never becomes merely deactivated again.

use serde::{Deserialize, Serialize};

/// The state of a key version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionState {
    /// Made, not yet used to encrypt.
    PreActive,
    /// The one that encrypts.
    Active,
    /// Superseded: only decrypts.
    Deactivated,
    /// Said by the Registry to be known to others: neither encrypts nor decrypts; may be rewrapped
    /// out of.
    Compromised,
    /// The material is gone.
    Destroyed,
}

/// A step that a lifecycle does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a version that is {from:?} never becomes {to:?} again")]
pub struct Backward {
    /// The state that is held.
    pub from: VersionState,
    /// The state that was asked for.
    pub to: VersionState,
}

impl VersionState {
    /// Moves to `to`, or stays where `to` is the present state.
    ///
    /// # Errors
    /// When `to` lies before the present state.
    pub fn advance(self, to: Self) -> Result<Self, Backward> {
        if to < self { Err(Backward { from: self, to }) } else { Ok(to) }
    }

    /// Whether new data may be encrypted with it.
    pub fn encrypts(self) -> bool {
        self == Self::Active
    }

    /// Whether data may be decrypted with it.
    pub fn decrypts(self) -> bool {
        matches!(self, Self::PreActive | Self::Active | Self::Deactivated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [VersionState; 5] = [
        VersionState::PreActive,
        VersionState::Active,
        VersionState::Deactivated,
        VersionState::Compromised,
        VersionState::Destroyed,
    ];

    #[test]
    fn states_only_move_forward() {
        for (i, from) in ALL.into_iter().enumerate() {
            for (j, to) in ALL.into_iter().enumerate() {
                assert_eq!(from.advance(to).is_ok(), j >= i, "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn only_an_active_version_encrypts_and_a_compromised_one_does_nothing() {
        assert_eq!(ALL.into_iter().filter(|s| s.encrypts()).collect::<Vec<_>>(), [VersionState::Active]);
        assert!(!VersionState::Compromised.decrypts() && !VersionState::Destroyed.decrypts());
    }
}
