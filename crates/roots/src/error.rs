//! How a root can fail, by who has to act.
//!
//! Every reason says what to do and holds no secret: not the provider's own words, since a request that
//! held a key or a credential could be echoed in them.

use std::time::Duration;

use openkcm_secrets::LockedMemoryError;

/// An operation on a root did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The owner of the key does not let us use it. Serving ends; only the owner can change that.
    #[error("denied by the root's owner: {reason}")]
    Denied {
        /// What the provider said, in our words.
        reason: String,
    },
    /// The provider gave no answer that can be relied on. It may work at the next try.
    #[error("the root can't be reached: {reason}")]
    Unreachable {
        /// What happened, and what to look at if it stays so.
        reason: String,
        /// When to try again, at the earliest.
        retry_after: Duration,
    },
    /// The provider is there, and asks for fewer questions: it has refused this one for its rate alone, which
    /// says nothing of the key and nothing of the provider's health.
    #[error("the root limits the rate of requests: {reason}")]
    Throttled {
        /// Who limits, and what to raise if it stays so.
        reason: String,
        /// When to try again at the earliest, where the provider says so.
        retry_after: Option<Duration>,
    },
    /// Our own reference, credential or configuration is wrong. It will not work until an operator has
    /// changed it.
    #[error("the root is not set up: {reason}")]
    Misconfigured {
        /// What to change.
        reason: String,
    },
    /// The ciphertext is not what this key sealed for this binding: it was altered, or belongs elsewhere.
    #[error("the sealed key does not open: {reason}")]
    Unopenable {
        /// What is known of why.
        reason: String,
    },
    /// An opened key has no place in locked memory.
    #[error("the root answered, and its key can't be held")]
    LockedMemory(#[source] LockedMemoryError),
}

impl RootError {
    /// When to try again where the provider does not say: soon, since somebody is waiting, and not so soon
    /// that many tenants together keep a provider down.
    pub const RETRY_AFTER: Duration = Duration::from_secs(5);

    pub(crate) fn denied(reason: impl Into<String>) -> Self {
        Self::Denied { reason: reason.into() }
    }

    pub(crate) fn unreachable(reason: impl Into<String>) -> Self {
        Self::Unreachable { reason: reason.into(), retry_after: Self::RETRY_AFTER }
    }

    pub(crate) fn misconfigured(reason: impl Into<String>) -> Self {
        Self::Misconfigured { reason: reason.into() }
    }

    pub(crate) fn unopenable(reason: impl Into<String>) -> Self {
        Self::Unopenable { reason: reason.into() }
    }
}

impl From<LockedMemoryError> for RootError {
    fn from(source: LockedMemoryError) -> Self {
        Self::LockedMemory(source)
    }
}
