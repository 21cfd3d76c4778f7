//! The names of units, which both sides have to give alike.
//!
//! What belongs to a generation of something lies in a unit of that generation, so that all of it leaves a view with
//! one move when the generation ends.

use openkcm_contracts::KeyPath;
use openkcm_contracts::v1::KeyDefine;

/// What a unit is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit<'a> {
    /// `acme`: the tenant's word, or its link.
    Tenant(&'a str),
    /// `acme@1.4`: the systems of that generation of the tenant.
    Systems {
        /// The tenant.
        tenant: &'a str,
        /// Its generation.
        generation: &'a str,
    },
    /// `acme/hr@1.7`: the services of that generation of the system.
    Services {
        /// The tenant.
        tenant: &'a str,
        /// The system.
        system: &'a str,
        /// Its generation.
        generation: &'a str,
    },
    /// `acme/hr@purged`: the tombstones of the system and of its services, of whatever generation.
    Purges {
        /// The tenant.
        tenant: &'a str,
        /// The system.
        system: &'a str,
    },
}

/// What stands in the place of a generation in the names of units of tombstones.
const PURGED: &str = "purged";

impl<'a> Unit<'a> {
    /// The unit of this name.
    pub fn named(name: &'a str) -> Self {
        let Some((path, generation)) = name.split_once('@') else { return Self::Tenant(name) };
        match path.split_once('/') {
            Some((tenant, system)) if generation == PURGED => Self::Purges { tenant, system },
            Some((tenant, system)) => Self::Services { tenant, system, generation },
            None => Self::Systems { tenant: path, generation },
        }
    }

    /// The name of the unit that a definition lies in.
    pub fn name_of(fact: &KeyDefine) -> String {
        let KeyDefine { tenant, system, parent, .. } = fact;
        match fact.service {
            None => format!("{tenant}@{parent}"),
            Some(_) => format!("{tenant}/{system}@{parent}"),
        }
    }

    /// The name of the unit that a key's tombstone lies in.
    pub fn of_tombstone(path: &KeyPath) -> String {
        format!("{}/{}@{PURGED}", path.tenant(), path.system())
    }

    /// The tenant that it is of.
    pub fn tenant(self) -> &'a str {
        match self {
            Self::Tenant(tenant)
            | Self::Systems { tenant, .. }
            | Self::Services { tenant, .. }
            | Self::Purges { tenant, .. } => tenant,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_what_a_unit_is_of() {
        let (tenant, system) = ("acme", "hr");
        for (name, unit) in [
            ("acme", Unit::Tenant(tenant)),
            ("acme@1.4", Unit::Systems { tenant, generation: "1.4" }),
            ("acme/hr@1.7", Unit::Services { tenant, system, generation: "1.7" }),
            ("acme/hr@purged", Unit::Purges { tenant, system }),
        ] {
            assert_eq!((Unit::named(name), unit.tenant()), (unit, tenant), "{name}");
        }
    }
}
