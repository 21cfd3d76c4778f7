//! What becomes of a definition when what it belongs to ends.
//!
//! A definition belongs to a generation of its parent: a service to one of its system, a system to
//! one of its tenant. When that generation has ended, so has the definition, and nobody rewrites it:
//! to delete a system of ten thousand services, or to offboard a tenant, is one small change, and to
//! undelete it brings back exactly what was there. A Core computes the same from the same facts.
//!
//! Two ways to end: *for now*, while a parent of the right generation is deleted; and *for good*, when
//! the parent was defined again. Then the definition can only be defined again itself.

use openkcm_contracts::{DefinitionState, Generation, KeyPath, Timestamp};

use crate::store::{Ended, KeyRecord, Tenancy, TenantRecord};

/// Whose end it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The tenant's.
    Tenant,
    /// The system's.
    System,
    /// The service's.
    Service,
}

impl Level {
    /// Its name, as answers and metrics show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::System => "system",
            Self::Service => "service",
        }
    }

    /// The level of a key.
    pub fn of(path: &KeyPath) -> Self {
        match path {
            KeyPath::System(_) => Self::System,
            KeyPath::Service(_) => Self::Service,
        }
    }
}

/// How a definition ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The nearest that ended: the definition itself, or what it belongs to.
    pub by: Level,
    /// When its material may be destroyed at the earliest.
    pub purge_at: Timestamp,
    /// Whether no undelete brings it back, since its parent was defined again.
    pub for_good: bool,
}

/// Whether a definition stands, its parents taken into account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Live,
    /// It does not.
    Ended(End),
}

impl Standing {
    /// The standing of a tenant.
    pub fn of_tenant(tenant: &TenantRecord) -> Self {
        match tenant.state {
            Tenancy::Active => Self::Live,
            Tenancy::Offboarded { purge_at } => {
                Self::Ended(End { by: Level::Tenant, purge_at, for_good: false })
            }
        }
    }

    /// The standing of a tenant's system.
    pub fn of_system(tenant: &TenantRecord, system: &KeyRecord) -> Self {
        let inherited = if system.parent == tenant.generation {
            Self::of_tenant(tenant)
        } else {
            succeeded(Level::Tenant, tenant.ended, system.parent)
        };
        own(Level::System, system).or(inherited)
    }

    /// The standing of a system's service.
    pub fn of_service(tenant: &TenantRecord, system: &KeyRecord, service: &KeyRecord) -> Self {
        let inherited = if service.parent == system.generation {
            Self::of_system(tenant, system)
        } else {
            succeeded(Level::System, system.ended, service.parent)
        };
        own(Level::Service, service).or(inherited)
    }

    /// Whether it stands.
    pub fn is_live(self) -> bool {
        self == Self::Live
    }

    /// Whether it ended and no undelete brings it back.
    pub fn is_over_for_good(self) -> bool {
        matches!(self, Self::Ended(End { for_good: true, .. }))
    }

    /// An own end and an inherited one: the own one is named, the earlier purge and the graver end
    /// count.
    fn or(self, inherited: Self) -> Self {
        match (self, inherited) {
            (Self::Live, other) | (other, Self::Live) => other,
            (Self::Ended(own), Self::Ended(inherited)) => Self::Ended(End {
                by: own.by,
                purge_at: own.purge_at.min(inherited.purge_at),
                for_good: own.for_good || inherited.for_good,
            }),
        }
    }
}

fn own(level: Level, record: &KeyRecord) -> Standing {
    match record.state {
        DefinitionState::Defined | DefinitionState::Disabled => Standing::Live,
        DefinitionState::Deleted { purge_at } => {
            Standing::Ended(End { by: level, purge_at, for_good: false })
        }
    }
}

/// The end of a child whose parent was defined again. A parent that knows no ended generation of this
/// age is one that was lost and made anew; then nothing says when the wait began, and it never ends
/// by itself.
fn succeeded(by: Level, ended: Option<Ended>, generation: Generation) -> Standing {
    let purge_at = match ended {
        Some(ended) if generation <= ended.generation => ended.purge_at,
        _ => Timestamp::from_millis(u64::MAX),
    };
    Standing::Ended(End { by, purge_at, for_good: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::key::tests::{service, system};
    use crate::rules::tenant::tests::{at, generation, tenant};

    fn ended(by: Level, purge_at: Timestamp, for_good: bool) -> Standing {
        Standing::Ended(End { by, purge_at, for_good })
    }

    #[test]
    fn a_service_stands_while_all_above_it_do() {
        assert_eq!(Standing::of_service(&tenant(1), &system(1, 2), &service(2, 3)), Standing::Live);
    }

    #[test]
    fn an_offboarded_tenant_ends_all_below_it_for_now() {
        let mut tenant = tenant(1);
        tenant.state = Tenancy::Offboarded { purge_at: at(50) };
        let expected = ended(Level::Tenant, at(50), false);
        assert_eq!(Standing::of_system(&tenant, &system(1, 2)), expected);
        assert_eq!(Standing::of_service(&tenant, &system(1, 2), &service(2, 3)), expected);
    }

    #[test]
    fn a_tenant_that_was_defined_again_has_ended_its_old_systems_for_good() {
        let mut tenant = tenant(9);
        tenant.ended = Some(Ended { generation: generation(1), purge_at: at(50) });
        let expected = ended(Level::Tenant, at(50), true);
        assert_eq!(Standing::of_system(&tenant, &system(1, 2)), expected);
        assert_eq!(Standing::of_service(&tenant, &system(1, 2), &service(2, 3)), expected);
    }

    #[test]
    fn of_two_ends_the_nearest_is_named_and_the_earlier_purge_counts() {
        let mut system = system(1, 2);
        system.state = DefinitionState::Deleted { purge_at: at(30) };
        let mut service = service(2, 3);
        service.state = DefinitionState::Deleted { purge_at: at(90) };
        assert_eq!(Standing::of_service(&tenant(1), &system, &service), ended(Level::Service, at(30), false));
    }

    #[test]
    fn a_parent_that_forgot_its_past_never_lets_a_purge_begin() {
        let standing = Standing::of_service(&tenant(1), &system(1, 8), &service(2, 3));
        assert_eq!(standing, ended(Level::System, Timestamp::from_millis(u64::MAX), true));
    }
}
