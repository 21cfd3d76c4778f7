//! Who an event is for, how urgent it is, and which one thing it is about.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{KeyPath, RegionId};

/// Who produces and consumes events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The CMK Registry, the Architect.
    Registry,
    /// The CMK Server, the Sovereign Anchor.
    Cmk,
    /// A Krypton Core, the Builder.
    Krypton,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Registry => "registry",
            Self::Cmk => "cmk",
            Self::Krypton => "krypton",
        })
    }
}

/// Urgency. Each lane has its own streams and consumers, so that a backlog on one delays no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Lane 0: what takes away or renews the right to serve.
    Urgent,
    /// Lane 1: the facts, compacted to the last per thing.
    Facts,
    /// Lane 2: sealed copies, compacted to the last per version and maker.
    Sealed,
    /// Lane 3: manifests and queries, short-lived.
    Manifests,
}

impl Lane {
    /// All lanes, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Urgent, Self::Facts, Self::Sealed, Self::Manifests];

    /// The lane's number in ACD-402's mesh: 0 to 3.
    pub const fn number(self) -> u8 {
        match self {
            Self::Urgent => 0,
            Self::Facts => 1,
            Self::Sealed => 2,
            Self::Manifests => 3,
        }
    }

    /// Whether the mesh may keep only the last event of each subject.
    pub const fn compacted(self) -> bool {
        !matches!(self, Self::Manifests)
    }
}

/// What kind of event it is; its name on the wire is that of ACD-402.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// `Tenant.Define`
    TenantDefine,
    /// `Key.Define`
    KeyDefine,
    /// `Key.Purge`
    KeyPurge,
    /// `L1.Reference`
    L1Reference,
    /// `L1.Revoke`
    L1Revoke,
    /// `Sovereign.Lease`
    SovereignLease,
    /// `State.Manifest`
    StateManifest,
    /// `Manifest.Query`
    ManifestQuery,
    /// `Key.Sealed`
    KeySealed,
}

impl EventType {
    /// Every type there is.
    pub const ALL: [Self; 9] = [
        Self::TenantDefine,
        Self::KeyDefine,
        Self::KeyPurge,
        Self::L1Reference,
        Self::L1Revoke,
        Self::SovereignLease,
        Self::StateManifest,
        Self::ManifestQuery,
        Self::KeySealed,
    ];

    /// The CloudEvents `type` attribute, with the version of the body's form.
    pub const fn wire_name(self) -> &'static str {
        match self {
            Self::TenantDefine => "openkcm.v1.Tenant.Define",
            Self::KeyDefine => "openkcm.v1.Key.Define",
            Self::KeyPurge => "openkcm.v1.Key.Purge",
            Self::L1Reference => "openkcm.v1.L1.Reference",
            Self::L1Revoke => "openkcm.v1.L1.Revoke",
            Self::SovereignLease => "openkcm.v1.Sovereign.Lease",
            Self::StateManifest => "openkcm.v1.State.Manifest",
            Self::ManifestQuery => "openkcm.v1.Manifest.Query",
            Self::KeySealed => "openkcm.v1.Key.Sealed",
        }
    }

    /// The type of this wire name, if this version knows it.
    pub fn from_wire_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.wire_name() == name)
    }

    /// The lane that it travels on.
    pub const fn lane(self) -> Lane {
        match self {
            Self::L1Revoke | Self::KeyPurge | Self::SovereignLease => Lane::Urgent,
            Self::TenantDefine | Self::KeyDefine | Self::L1Reference => Lane::Facts,
            Self::KeySealed => Lane::Sealed,
            Self::StateManifest | Self::ManifestQuery => Lane::Manifests,
        }
    }

    /// Whether this role is an author of this type: each kind of fact has one writer (DESIGN,
    /// invariant 5); only queries are asked by both authorities.
    pub fn may_be_said_by(self, role: Role) -> bool {
        match self {
            Self::TenantDefine | Self::KeyDefine | Self::KeyPurge => role == Role::Registry,
            Self::L1Reference | Self::L1Revoke | Self::SovereignLease => role == Role::Cmk,
            Self::StateManifest | Self::KeySealed => role == Role::Krypton,
            Self::ManifestQuery => matches!(role, Role::Registry | Role::Cmk),
        }
    }
}

/// Who may read an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    /// The Core of one region.
    Region(RegionId),
    /// Every Core: sealed copies, which are ciphertext under the customer's own root.
    Cores,
    /// The Registry.
    Registry,
    /// The CMK Server.
    Cmk,
    /// Both authorities: manifests.
    Authorities,
}

/// A text that is no audience.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("audience: region.REGION, cores, registry, cmk or authorities is expected")]
pub struct AudienceError;

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(region) => write!(f, "region.{region}"),
            Self::Cores => f.write_str("cores"),
            Self::Registry => f.write_str("registry"),
            Self::Cmk => f.write_str("cmk"),
            Self::Authorities => f.write_str("authorities"),
        }
    }
}

impl FromStr for Audience {
    type Err = AudienceError;
    fn from_str(text: &str) -> Result<Self, AudienceError> {
        match text {
            "cores" => Ok(Self::Cores),
            "registry" => Ok(Self::Registry),
            "cmk" => Ok(Self::Cmk),
            "authorities" => Ok(Self::Authorities),
            _ => {
                let region = text.strip_prefix("region.").ok_or(AudienceError)?;
                RegionId::new(region).map(Self::Region).map_err(|_| AudienceError)
            }
        }
    }
}

crate::as_text!(Audience);

/// The one thing that an event is about, as dot-joined tokens: `key.acme.hr.payroll`. The mesh
/// compacts by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(String);

impl Subject {
    /// From a kind and the labels that name the thing.
    pub fn new<'a>(kind: &'static str, labels: impl IntoIterator<Item = &'a str>) -> Self {
        let mut text = String::from(kind);
        for label in labels {
            text.push('.');
            text.push_str(label);
        }
        Self(text)
    }

    /// From a kind and a key's name.
    pub fn of_key(kind: &'static str, path: &KeyPath) -> Self {
        let labels = [path.tenant().as_str(), path.system().as_str()];
        Self::new(kind, labels.into_iter().chain(path.service().map(|service| service.as_str())))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_has_one_writer() {
        for kind in EventType::ALL {
            let writers = [Role::Registry, Role::Cmk, Role::Krypton]
                .into_iter()
                .filter(|role| kind.may_be_said_by(*role))
                .count();
            assert_eq!(writers, if kind == EventType::ManifestQuery { 2 } else { 1 }, "{kind:?}");
        }
    }

    #[test]
    fn wire_names_are_read_back_and_unknown_ones_are_not() {
        for kind in EventType::ALL {
            assert_eq!(EventType::from_wire_name(kind.wire_name()), Some(kind));
        }
        assert_eq!(EventType::from_wire_name("openkcm.v2.Tenant.Define"), None);
    }

    #[test]
    fn a_region_named_like_an_authority_is_still_a_region() {
        let audience = Audience::Region(RegionId::new("cmk").expect("valid"));
        assert_eq!(audience.to_string(), "region.cmk");
        assert_eq!("region.cmk".parse(), Ok(audience));
        assert_eq!("region.A".parse::<Audience>(), Err(AudienceError));
    }
}
