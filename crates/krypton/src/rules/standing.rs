//! Standing: may this tenant, this system, this service be served, and if not, why.
//!
//! Read from the facts as they are held now, in whatever order they arrived. A definition belongs to
//! the generation of its parent: where the parent has ended, so has it; where the parent's fact is
//! still on its way, the answer is *hydrating*.

use std::cmp::Ordering;
use std::fmt;

use openkcm_contracts::problem::Code;
use openkcm_contracts::v1::{KeyDefine, LinkState, TenantDefine};
use openkcm_contracts::{DefinitionState, Generation, RegionId, TenantState};

use crate::store::LinkRecord;

/// Why something is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// What clients decide by.
    pub code: Code,
    /// What a person reads.
    pub detail: &'static str,
}

impl Refusal {
    /// A refusal with this code and explanation.
    pub const fn new(code: Code, detail: &'static str) -> Self {
        Self { code, detail }
    }

    /// As if it did not exist.
    pub const UNKNOWN: Self = Self::new(Code::UnknownKey, "no such key is defined here");
    /// The customer withdrew its L1, or the tenant was offboarded and is back.
    pub const UNLINKED: Self =
        Self::new(Code::TenantUnlinked, "nothing of the tenant is served until its L1 is linked again");
    /// The keys are being opened.
    pub const HYDRATING: Self = Self::new(Code::Hydrating, "the key is being loaded; try again shortly");
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

/// Whether a tenant may be served in this region.
///
/// # Errors
/// Why not.
pub fn tenant_standing(
    tenant: Option<&TenantDefine>,
    link: Option<&LinkRecord>,
    region: &RegionId,
) -> Result<(), Refusal> {
    let Some(tenant) = tenant else {
        return Err(Refusal::UNKNOWN);
    };
    match tenant.state {
        TenantState::Active if tenant.regions.contains(region) => {}
        TenantState::Active | TenantState::Withdrawn => return Err(Refusal::UNKNOWN),
        TenantState::Suspended => return Err(Refusal::new(Code::KeyDisabled, "the tenant is suspended")),
        TenantState::Offboarded => return Err(Refusal::new(Code::KeyDisabled, "the tenant is offboarded")),
    }
    let unheard = Refusal::new(Code::NotYetKnown, "this region has not heard of a link of the tenant's L1");
    let Some(reference) = link.and_then(|link| link.reference.as_ref()) else {
        let revoked = link.is_some_and(|link| link.revoked.is_some());
        return Err(if revoked { Refusal::UNLINKED } else { unheard });
    };
    let revoked = link.is_some_and(|link| link.revoked >= Some(reference.fact.epoch));
    if reference.fact.state == LinkState::Unlinked || revoked {
        return Err(Refusal::UNLINKED);
    }
    match reference.fact.generation.cmp(&tenant.generation) {
        Ordering::Equal => Ok(()),
        // The customer gave its L1 to the tenant that had this name before, and to no other.
        Ordering::Less => Err(unheard),
        // The tenant's newer fact is on its way.
        Ordering::Greater => Err(Refusal::HYDRATING),
    }
}

/// Whether a system of a tenant that may be served may be served.
///
/// # Errors
/// Why not.
pub fn system_standing(tenant: &TenantDefine, system: Option<&KeyDefine>) -> Result<(), Refusal> {
    definition_standing(tenant.generation, system)
}

/// Whether a service of a system that may be served may be served.
///
/// # Errors
/// Why not.
pub fn service_standing(system: &KeyDefine, service: Option<&KeyDefine>) -> Result<(), Refusal> {
    definition_standing(system.generation, service)
}

fn definition_standing(parent: Generation, definition: Option<&KeyDefine>) -> Result<(), Refusal> {
    let Some(definition) = definition else {
        return Err(Refusal::UNKNOWN);
    };
    match definition.parent.cmp(&parent) {
        Ordering::Less => return Err(Refusal::new(Code::KeyDisabled, "what the key belongs to was deleted")),
        Ordering::Greater => return Err(Refusal::HYDRATING),
        Ordering::Equal => {}
    }
    match definition.state {
        DefinitionState::Defined => Ok(()),
        DefinitionState::Disabled => Err(Refusal::new(Code::KeyDisabled, "the key is disabled")),
        DefinitionState::Deleted { .. } => Err(Refusal::new(Code::KeyDisabled, "the key is deleted")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use openkcm_contracts::v1::L1Reference;
    use openkcm_contracts::{Algorithm, Layer, LinkEpoch, Revision, SystemId, TenantId, Timestamp};

    use super::*;
    use crate::store::Held;

    fn region() -> RegionId {
        RegionId::new("a").expect("valid")
    }

    fn tenant(state: TenantState) -> TenantDefine {
        TenantDefine {
            tenant: TenantId::new("acme").expect("valid"),
            generation: Generation(Revision::new(1, 1)),
            state,
            regions: vec![region()],
            labels: BTreeMap::new(),
        }
    }

    fn link(epoch: u64, state: LinkState, revoked: Option<u64>) -> LinkRecord {
        let fact = L1Reference {
            tenant: TenantId::new("acme").expect("valid"),
            generation: Generation(Revision::new(1, 1)),
            epoch: LinkEpoch(Revision::new(1, epoch)),
            state,
            roots: Vec::new(),
            owner_key: None,
            ttl: None,
            owner_word: None,
        };
        LinkRecord {
            reference: Some(Held { revision: Revision::new(1, 9), fact }),
            since: Revision::ZERO,
            revoked: revoked.map(|counter| LinkEpoch(Revision::new(1, counter))),
        }
    }

    fn system(parent: u64, state: DefinitionState) -> KeyDefine {
        KeyDefine {
            tenant: TenantId::new("acme").expect("valid"),
            system: SystemId::new("hr").expect("valid"),
            service: None,
            generation: Generation(Revision::new(1, 2)),
            parent: Generation(Revision::new(1, parent)),
            layer: Layer::L2,
            algorithm: Algorithm::AES256,
            rotate_every: None,
            state,
            compromised: BTreeSet::new(),
        }
    }

    fn code(standing: Result<(), Refusal>) -> Option<Code> {
        standing.err().map(|refusal| refusal.code)
    }

    #[test]
    fn only_a_linked_active_tenant_of_this_region_is_served() {
        let active = tenant(TenantState::Active);
        let linked = link(3, LinkState::Linked, None);
        assert_eq!(tenant_standing(Some(&active), Some(&linked), &region()), Ok(()));
        let elsewhere = RegionId::new("b").expect("valid");
        assert_eq!(code(tenant_standing(Some(&active), Some(&linked), &elsewhere)), Some(Code::UnknownKey));
        assert_eq!(code(tenant_standing(None, Some(&linked), &region())), Some(Code::UnknownKey));
        assert_eq!(code(tenant_standing(Some(&active), None, &region())), Some(Code::NotYetKnown));
        let suspended = tenant(TenantState::Suspended);
        assert_eq!(
            code(tenant_standing(Some(&suspended), Some(&linked), &region())),
            Some(Code::KeyDisabled)
        );
    }

    #[test]
    fn a_revoke_ends_its_epoch_and_earlier_ones_but_not_a_later_link() {
        let active = tenant(TenantState::Active);
        for (epoch, revoked, expected) in
            [(3, 3, Some(Code::TenantUnlinked)), (3, 4, Some(Code::TenantUnlinked)), (3, 2, None)]
        {
            let link = link(epoch, LinkState::Linked, Some(revoked));
            assert_eq!(code(tenant_standing(Some(&active), Some(&link), &region())), expected);
        }
        let heard_only_the_revoke =
            LinkRecord { revoked: Some(LinkEpoch(Revision::new(1, 3))), ..LinkRecord::default() };
        let standing = tenant_standing(Some(&active), Some(&heard_only_the_revoke), &region());
        assert_eq!(code(standing), Some(Code::TenantUnlinked));
    }

    #[test]
    fn a_link_serves_the_generation_of_the_tenant_that_it_was_made_for_and_no_other() {
        let linked = link(3, LinkState::Linked, None);
        for (generation, expected) in [(1, None), (2, Some(Code::NotYetKnown)), (0, Some(Code::Hydrating))] {
            let mut tenant = tenant(TenantState::Active);
            tenant.generation = Generation(Revision::new(1, generation));
            assert_eq!(code(tenant_standing(Some(&tenant), Some(&linked), &region())), expected);
        }
    }

    #[test]
    fn a_definition_ends_with_the_generation_that_it_belongs_to() {
        let active = tenant(TenantState::Active);
        assert_eq!(system_standing(&active, Some(&system(1, DefinitionState::Defined))), Ok(()));
        let ended = system_standing(&active, Some(&system(0, DefinitionState::Defined)));
        assert_eq!(code(ended), Some(Code::KeyDisabled));
        let ahead = system_standing(&active, Some(&system(2, DefinitionState::Defined)));
        assert_eq!(code(ahead), Some(Code::Hydrating), "the tenant's newer fact is on its way");
        let deleted = DefinitionState::Deleted { purge_at: Timestamp::from_millis(0) };
        assert_eq!(code(system_standing(&active, Some(&system(1, deleted)))), Some(Code::KeyDisabled));
    }
}
