//! Sealed versions: the only form in which key material is stored or sent.

use serde::{Deserialize, Serialize};

use crate::{
    Generation, KeyPath, RegionId, RootRef, ServiceId, Subject, SystemId, TenantId, Timestamp, VersionId,
};

/// What sealed a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SealedBy {
    /// A root of the tenant: the version is an L2.
    Root(RootRef),
    /// A version of the system's L2: the version is an L3.
    L2(VersionId),
}

/// One ciphertext of a version's material. A version that is sealed to several roots has several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// What opens it.
    pub by: SealedBy,
    /// The ciphertext, base64.
    pub ciphertext: String,
}

/// `Key.Sealed`: a version's sealed form. It never changes, until a tombstone ends it: then its maker supersedes it
/// with a word without seals, so that the mesh keeps no ciphertext of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySealed {
    /// The tenant.
    pub tenant: TenantId,
    /// The system.
    pub system: SystemId,
    /// The service of an L3; an L2 has none.
    pub service: Option<ServiceId>,
    /// The generation of the definition that it is material of.
    pub generation: Generation,
    /// Its id.
    pub version: VersionId,
    /// The highest counter that its maker knew, plus one.
    pub counter: u64,
    /// When it was made.
    pub made_at: Timestamp,
    /// The region of the Core that made it.
    pub maker: RegionId,
    /// The ciphertexts; none when its maker has destroyed it.
    pub seals: Vec<Seal>,
}

impl KeySealed {
    /// The key's name.
    pub fn path(&self) -> KeyPath {
        KeyPath::new(self.tenant.clone(), self.system.clone(), self.service.clone())
    }

    /// One subject for each version and maker, which only that maker may write.
    pub fn subject(&self) -> Subject {
        let version = self.version.to_string();
        let mut labels = vec![self.maker.as_str(), self.tenant.as_str(), self.system.as_str()];
        labels.extend(self.service.as_ref().map(|service| service.as_str()));
        labels.push(&version);
        Subject::new(if self.service.is_some() { "sealed-l3" } else { "sealed-l2" }, labels)
    }
}
