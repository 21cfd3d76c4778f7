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

/// `Key.Sealed`: a version's sealed form, as one Core tells of it.
///
/// What a version is (its id, counter, moment, maker and generation) never changes. Its seals only grow: the version is
/// sealed anew when its L2 was rotated or its tenant's roots changed, and receivers unite what they hear. When a
/// tombstone ends it, who told of it supersedes that with a word without seals, so that the mesh keeps no ciphertext.
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
    /// The ciphertexts; none when who told of it has destroyed it.
    pub seals: Vec<Seal>,
    /// The region whose Core sealed it anew and tells of that, where it is not the maker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resealed_by: Option<RegionId>,
}

impl KeySealed {
    /// The most seals of one version that one Core tells of, and that are kept of its words: twice as many as a link has
    /// roots. Each may be a question to the tenant's provider.
    pub const MAX_SEALS: usize = 8;
    /// The seals that were held first, and which no later word has given up: those that a version was made with.
    const KEPT_FIRST: usize = Self::MAX_SEALS / 2;

    /// The region whose Core tells of it, and alone may: its maker's, or that of who sealed it anew.
    pub fn teller(&self) -> &RegionId {
        self.resealed_by.as_ref().unwrap_or(&self.maker)
    }

    /// Adds the seals that another word on the same version by the same Core has. Says whether there were any.
    ///
    /// Whatever order words come in, the same seals are held, up to [`MAX_SEALS`](Self::MAX_SEALS). Beyond it the first
    /// half stays, so that no later word, also none by a stolen key, takes away what a version was made with.
    pub fn unite(&mut self, other: &Self) -> bool {
        if !self.is_same_version(other) {
            return false;
        }
        let before = self.seals.len();
        for seal in std::mem::take(&mut self.seals).into_iter().chain(other.seals.iter().cloned()) {
            if !self.seals.contains(&seal) {
                self.seals.push(seal);
            }
        }
        let grew = self.seals.len() > before;
        if self.seals.len() > Self::MAX_SEALS {
            let newest = self.seals.len() - (Self::MAX_SEALS - Self::KEPT_FIRST);
            self.seals.drain(Self::KEPT_FIRST..newest);
        }
        grew
    }

    /// Whether another word is on the same version, and by the same Core.
    fn is_same_version(&self, other: &Self) -> bool {
        let facts = |of: &Self| (of.version, of.counter, of.made_at, of.generation);
        facts(self) == facts(other)
            && (&self.maker, &self.resealed_by) == (&other.maker, &other.resealed_by)
            && self.path() == other.path()
    }

    /// The key's name.
    pub fn path(&self) -> KeyPath {
        KeyPath::new(self.tenant.clone(), self.system.clone(), self.service.clone())
    }

    /// One subject for each version and who tells of it, which only that Core may write.
    pub fn subject(&self) -> Subject {
        let version = self.version.to_string();
        let mut labels = vec![self.teller().as_str(), self.tenant.as_str(), self.system.as_str()];
        labels.extend(self.service.as_ref().map(|service| service.as_str()));
        labels.push(&version);
        Subject::new(if self.service.is_some() { "sealed-l3" } else { "sealed-l2" }, labels)
    }
}
