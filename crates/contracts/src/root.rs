//! A root: one external key that can open a tenant's L2.
//!
//! A reference, never a credential: how to reach a provider, and with which right, is each
//! component's own configuration.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Provider, key reference in the provider's own writing, and options.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootRef {
    /// The provider's name, such as `local`, `openbao` or `aws-kms`.
    pub provider: String,
    /// The key, as the provider writes it: a name, `MOUNT/KEY`, an ARN, a URI.
    pub key: String,
    /// The provider's options, such as a namespace.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl RootRef {
    /// Most bytes in `provider`, `key`, or any one option's name or value: longer than any provider's
    /// longest reference, and short enough that a pointer stays small.
    pub const MAX_TEXT_LEN: usize = 2048;
    /// Most options of one root.
    pub const MAX_OPTIONS: usize = 16;
}

impl fmt::Display for RootRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider, self.key)
    }
}
