//! What the Registry's word about a tenant means for its pointer.
//!
//! Offboarded, or defined anew: the link ends. A region that has not heard the pointer's present
//! revision: it is told, unless the store is behind what it has said, and the link may have ended. Suspended, or a region less: nothing; that the tenant is not served (there)
//! is said by the Registry to the Cores, and the link stands.

use openkcm_contracts::v1::TenantDefine;
use openkcm_contracts::{Meeting, Revision, TenantState, Timestamp, meet};

use super::{Decision, Held, letters, unlink};
use crate::store::{Tenant, UnlinkReason};

/// What comes of hearing of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// How the word met what is held.
    pub meeting: Meeting,
    /// What is to be kept of the tenant; none when nothing changes.
    pub tenant: Option<Tenant>,
    /// What becomes of its pointer; none when nothing does.
    pub decision: Option<Decision>,
}

/// Decides what comes of a `Tenant.Define` at the Registry's `revision`.
pub fn hear(held: &Held<'_>, revision: Revision, fact: &TenantDefine, now: Timestamp) -> Heard {
    let meeting = meet(held.tenant.map(|tenant| (tenant.revision, &tenant.fact)), (revision, fact));
    if !meeting.replaces() {
        return Heard { meeting, tenant: None, decision: None };
    }
    let decision = pointer_meets(held, revision, fact, now);
    Heard { meeting, tenant: Some(Tenant { revision, fact: fact.clone() }), decision }
}

/// What is told of a pointer by what is held of its tenant: to regions that came to it while no link could be
/// told.
pub fn catch_up(held: &Held<'_>, now: Timestamp) -> Option<Decision> {
    let tenant = held.tenant?;
    pointer_meets(held, tenant.revision, &tenant.fact, now)
}

fn pointer_meets(
    held: &Held<'_>,
    revision: Revision,
    fact: &TenantDefine,
    now: Timestamp,
) -> Option<Decision> {
    let pointer = held.pointer?;
    if pointer.generation > fact.generation {
        // The pointer was read back from the mesh; what the Registry said of that generation is on its way.
        return None;
    }
    if pointer.is_linked() {
        let reason = if pointer.generation < fact.generation {
            Some(UnlinkReason::DefinedAnew)
        } else if fact.state == TenantState::Offboarded {
            Some(UnlinkReason::Offboarded)
        } else {
            None
        };
        if let Some(reason) = reason {
            let tenant = Tenant { revision, fact: fact.clone() };
            return Some(unlink::end(&Held { tenant: Some(&tenant), ..*held }, pointer, reason, now));
        }
        if held.standing.is_stale() {
            return None;
        }
    }
    let mut pointer = pointer.clone();
    let letters = letters::tell(&mut pointer, &fact.regions, now);
    (!letters.is_empty()).then_some(Decision { pointer, changed: false, letters })
}
