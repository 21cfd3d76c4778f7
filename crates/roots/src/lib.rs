//! L1 providers: the customer's own roots of trust, behind one trait.
//!
//! A [`Root`] seals a tenant's L2 under a key that stays with the provider, and unseals it again. [`Roots`]
//! is the set of providers that a component is configured to reach. Not here: which tenant has which root,
//! how often a root is probed, and what ends when it refuses; that is decided by whoever asks.
//!
//! What always holds: a refusal is never guessed. What the provider has not clearly said is
//! [`RootError::Unreachable`] or [`RootError::Misconfigured`], and nothing about a key is remembered from
//! one call to the next. No error, no log line and no `Debug` holds a key or a credential.

mod binding;
mod config;
mod error;
mod local;
mod openbao;
mod root;
mod roots;
mod sealed;

pub use binding::Binding;
pub use config::{AppRoleConfig, BuildError, LocalConfig, RootsConfig, TransitConfig};
pub use error::RootError;
pub use local::{CreateError, LocalRoot};
pub use openbao::TransitRoot;
pub use root::{Description, KeyState, Root};
pub use roots::Roots;
pub use sealed::MAX_SEALED_LEN;
