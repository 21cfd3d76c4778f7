//! Names of tenants, systems, services and regions, and ids of key versions.
//!
//! A name is a DNS label in lower case (RFC 1123, section 2.1): 1 to 63 characters of `a-z`, `0-9`
//! and `-`, neither first nor last a `-`. It is checked once, where it enters; a value of these types
//! is always valid. Labels hold no `.` and no `/`, so they can be joined by either.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest label, in bytes (RFC 1035, section 2.3.4).
const MAX_LABEL_LEN: usize = 63;

/// Why a text is not a valid id; names the field that it was meant for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{field}: {fault} (a lower-case DNS label is expected: 1 to 63 of a-z, 0-9 and '-', no '-' at either end)"
)]
pub struct IdError {
    /// The field that the text was meant for, such as `tenant`.
    pub field: &'static str,
    /// What is wrong with it.
    pub fault: IdFault,
}

/// What is wrong with a label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdFault {
    /// There is no character in it.
    #[error("it is empty")]
    Empty,
    /// It has more than 63 bytes.
    #[error("it is {len} bytes long")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A character that no label may hold.
    #[error("character {found:?} at position {position} is not allowed")]
    Character {
        /// The character.
        found: char,
        /// Where it stands, counted in characters from 1.
        position: usize,
    },
    /// It begins or ends with a hyphen.
    #[error("it begins or ends with '-'")]
    HyphenAtEdge,
}

fn check_label(text: &str) -> Result<(), IdFault> {
    if text.is_empty() {
        return Err(IdFault::Empty);
    }
    if text.len() > MAX_LABEL_LEN {
        return Err(IdFault::TooLong { len: text.len() });
    }
    for (index, found) in text.chars().enumerate() {
        if !matches!(found, 'a'..='z' | '0'..='9' | '-') {
            return Err(IdFault::Character { found, position: index + 1 });
        }
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(IdFault::HyphenAtEdge);
    }
    Ok(())
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a label.
            ///
            /// # Errors
            /// When the text is no lower-case DNS label; the error names the field.
            pub fn new(text: &str) -> Result<Self, IdError> {
                match check_label(text) {
                    Ok(()) => Ok(Self(text.into())),
                    Err(fault) => Err(IdError { field: $field, fault }),
                }
            }

            /// The label as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

label!(
    /// A customer: the owner of an L1.
    TenantId,
    "tenant"
);
label!(
    /// A system of a tenant: the scope of an L2.
    SystemId,
    "system"
);
label!(
    /// A service of a system: the scope of an L3.
    ServiceId,
    "service"
);
label!(
    /// A region: where one Krypton Core serves.
    RegionId,
    "region"
);

/// A system within its tenant, written `tenant/system`: names an L2.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SystemPath {
    /// The tenant.
    pub tenant: TenantId,
    /// The system.
    pub system: SystemId,
}

/// A service within its system, written `tenant/system/service`: names an L3.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServicePath {
    /// The tenant.
    pub tenant: TenantId,
    /// The system.
    pub system: SystemId,
    /// The service.
    pub service: ServiceId,
}

impl ServicePath {
    /// The system that this service belongs to.
    pub fn system_path(&self) -> SystemPath {
        SystemPath { tenant: self.tenant.clone(), system: self.system.clone() }
    }
}

impl SystemPath {
    /// A service of this system.
    pub fn service(&self, service: ServiceId) -> ServicePath {
        ServicePath { tenant: self.tenant.clone(), system: self.system.clone(), service }
    }
}

impl fmt::Display for SystemPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.system)
    }
}

impl fmt::Display for ServicePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.system, self.service)
    }
}

/// A key's name: of an L2 (`tenant/system`) or of an L3 (`tenant/system/service`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPath {
    /// The L2 of a system.
    System(SystemPath),
    /// The L3 of a service.
    Service(ServicePath),
}

impl KeyPath {
    /// From the parts that events carry.
    pub fn new(tenant: TenantId, system: SystemId, service: Option<ServiceId>) -> Self {
        match service {
            None => Self::System(SystemPath { tenant, system }),
            Some(service) => Self::Service(ServicePath { tenant, system, service }),
        }
    }

    /// The tenant of the key.
    pub fn tenant(&self) -> &TenantId {
        match self {
            Self::System(path) => &path.tenant,
            Self::Service(path) => &path.tenant,
        }
    }

    /// The system of the key.
    pub fn system(&self) -> &SystemId {
        match self {
            Self::System(path) => &path.system,
            Self::Service(path) => &path.system,
        }
    }

    /// The service of the key; an L2 has none.
    pub fn service(&self) -> Option<&ServiceId> {
        match self {
            Self::System(_) => None,
            Self::Service(path) => Some(&path.service),
        }
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(path) => path.fmt(f),
            Self::Service(path) => path.fmt(f),
        }
    }
}

/// Why a text is not a key's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyPathError {
    /// It has the wrong number of parts.
    #[error("key: {expected} is expected, got {parts} part(s)")]
    Parts {
        /// The form that was asked for.
        expected: &'static str,
        /// How many parts there were.
        parts: usize,
    },
    /// One of its parts is no valid label.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl FromStr for ServicePath {
    type Err = KeyPathError;
    fn from_str(text: &str) -> Result<Self, KeyPathError> {
        let parts: Vec<&str> = text.split('/').collect();
        let [tenant, system, service] = parts[..] else {
            return Err(KeyPathError::Parts { expected: "TENANT/SYSTEM/SERVICE", parts: parts.len() });
        };
        Ok(Self {
            tenant: TenantId::new(tenant)?,
            system: SystemId::new(system)?,
            service: ServiceId::new(service)?,
        })
    }
}

impl FromStr for SystemPath {
    type Err = KeyPathError;
    fn from_str(text: &str) -> Result<Self, KeyPathError> {
        let parts: Vec<&str> = text.split('/').collect();
        let [tenant, system] = parts[..] else {
            return Err(KeyPathError::Parts { expected: "TENANT/SYSTEM", parts: parts.len() });
        };
        Ok(Self { tenant: TenantId::new(tenant)?, system: SystemId::new(system)? })
    }
}

impl FromStr for KeyPath {
    type Err = KeyPathError;
    fn from_str(text: &str) -> Result<Self, KeyPathError> {
        match text.matches('/').count() {
            1 => text.parse().map(Self::System),
            2 => text.parse().map(Self::Service),
            slashes => Err(KeyPathError::Parts {
                expected: "TENANT/SYSTEM or TENANT/SYSTEM/SERVICE",
                parts: slashes + 1,
            }),
        }
    }
}

/// The id of one version of key material: 128 random bits, unique everywhere, written as a UUID
/// (RFC 9562, version 4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionId(uuid::Uuid);

impl VersionId {
    /// From random bits that the caller drew.
    pub fn from_random(bits: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bits).into_uuid())
    }

    /// From its 16 bytes, as a ciphertext carries them.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes(bytes))
    }

    /// Its 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for VersionId {
    type Err = VersionIdError;
    fn from_str(text: &str) -> Result<Self, VersionIdError> {
        uuid::Uuid::try_parse(text).map(Self).map_err(|_| VersionIdError)
    }
}

/// A text that is no version id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("version: a UUID is expected, such as 0e4fd0b1-8f3a-4f1e-9a57-0c6d8ab6a0f5")]
pub struct VersionIdError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_63_characters_is_taken_and_one_of_64_is_not() {
        assert!(TenantId::new(&"a".repeat(63)).is_ok());
        let error = TenantId::new(&"a".repeat(64)).expect_err("too long");
        assert_eq!(error.fault, IdFault::TooLong { len: 64 });
    }

    #[test]
    fn every_error_names_its_field() {
        assert!(TenantId::new("").expect_err("empty").to_string().starts_with("tenant: it is empty"));
        assert!(ServiceId::new("A").expect_err("case").to_string().starts_with("service: character 'A'"));
        assert!(RegionId::new("-a").expect_err("edge").to_string().starts_with("region: it begins"));
        assert!(SystemId::new("a.b").expect_err("dot").to_string().contains("position 2"));
    }

    #[test]
    fn a_label_that_arrives_by_json_is_checked_too() {
        assert!(serde_json::from_str::<TenantId>("\"acme\"").is_ok());
        assert!(serde_json::from_str::<TenantId>("\"ac me\"").is_err());
        assert!(serde_json::from_str::<TenantId>("\"a\\u0063me\"").is_ok());
    }

    #[test]
    fn a_key_path_is_read_back_as_it_was_written() {
        for text in ["acme/hr", "acme/hr/payroll"] {
            assert_eq!(text.parse::<KeyPath>().expect("valid").to_string(), text);
        }
        assert!("acme".parse::<KeyPath>().is_err());
        assert!("acme//payroll".parse::<KeyPath>().is_err());
        assert!("acme/hr/payroll/x".parse::<ServicePath>().is_err());
    }
}
