//! Unlinking: the customer pulls the plug.
//!
//! It needs nothing but a pointer: no tenant that is known, no provider that answers. What always
//! holds: an Unlink is a revision of its own, keeps the epoch that it ends, and is told to every
//! region that was ever told of the pointer.

use openkcm_contracts::v1::LinkState;
use openkcm_contracts::{RegionId, Revision, Timestamp};

use super::{Decision, Held, Precondition, Refusal, letters};
use crate::store::{Pointer, UnlinkReason, Unlinked};

/// Decides an Unlink that somebody asked for. What is unlinked already stays as it is.
///
/// # Errors
/// When there never was a pointer, or a precondition fails.
pub fn unlink(held: &Held<'_>, precondition: &Precondition, now: Timestamp) -> Result<Decision, Refusal> {
    let pointer = held.pointer.ok_or(Refusal::NotLinked)?;
    precondition.check(Some(pointer.revision))?;
    if !pointer.is_linked() {
        return Ok(Decision::nothing(pointer.clone()));
    }
    let regions = held.tenant.map_or(&[][..], |tenant| &tenant.fact.regions);
    Ok(end(pointer, regions, UnlinkReason::Requested, held.next, now))
}

/// Ends a link, and tells everyone whom it concerns.
pub(super) fn end(
    linked: &Pointer,
    regions: &[RegionId],
    reason: UnlinkReason,
    next: Revision,
    now: Timestamp,
) -> Decision {
    let mut pointer = Pointer {
        revision: next,
        state: LinkState::Unlinked,
        changed_at: now,
        unlinked: Some(Unlinked { at: now, reason }),
        ..linked.clone()
    };
    let letters = letters::tell_end(&mut pointer, regions, reason, now);
    Decision { pointer, changed: true, letters }
}
