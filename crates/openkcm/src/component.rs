//! The components of a landscape by name: `registry`, `cmk`, and `krypton-REGION` for each Core.
//!
//! The name is that of its files, of its user on the broker and, as a SPIFFE id, of its certificate.

use std::fmt;
use std::str::FromStr;

use openkcm_contracts::{RegionId, Role};

/// A component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Component {
    /// The Registry.
    Registry,
    /// The CMK Server.
    Cmk,
    /// The Core of a region.
    Krypton(RegionId),
}

impl Component {
    /// All components of a landscape with these regions.
    pub(crate) fn all(regions: &[RegionId]) -> Vec<Self> {
        [Self::Registry, Self::Cmk].into_iter().chain(regions.iter().cloned().map(Self::Krypton)).collect()
    }

    pub(crate) fn role(&self) -> Role {
        match self {
            Self::Registry => Role::Registry,
            Self::Cmk => Role::Cmk,
            Self::Krypton(_) => Role::Krypton,
        }
    }

    /// The region of a Core.
    pub(crate) fn region(&self) -> Option<&RegionId> {
        match self {
            Self::Registry | Self::Cmk => None,
            Self::Krypton(region) => Some(region),
        }
    }

    /// The SPIFFE id in its certificate.
    pub(crate) fn spiffe_id(&self) -> String {
        match self {
            Self::Registry | Self::Cmk => format!("spiffe://openkcm/{self}"),
            Self::Krypton(region) => format!("spiffe://openkcm/krypton/{region}"),
        }
    }

    /// What people call it.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Registry => "Registry".to_owned(),
            Self::Cmk => "CMK Server".to_owned(),
            Self::Krypton(region) => format!("Core {region}"),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.region() {
            None => write!(f, "{}", self.role()),
            Some(region) => write!(f, "{}-{region}", self.role()),
        }
    }
}

impl FromStr for Component {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "registry" => Ok(Self::Registry),
            "cmk" => Ok(Self::Cmk),
            _ => match text.strip_prefix("krypton-") {
                Some(region) => region.parse().map(Self::Krypton).map_err(|error| format!("{error}")),
                None => Err("registry, cmk or krypton-REGION is expected".to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_read_back_from_its_name() {
        let regions = [RegionId::new("a").expect("a label"), RegionId::new("eu-1").expect("a label")];
        for component in Component::all(&regions) {
            assert_eq!(component.to_string().parse(), Ok(component));
        }
        for none in ["krypton", "krypton-", "krypton-A", "nats", ""] {
            assert!(none.parse::<Component>().is_err(), "{none}");
        }
    }
}
