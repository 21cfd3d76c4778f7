//! What a pointer's roots say when they are asked, and what follows from it.
//!
//! A root that denies ends the link, as an Unlink does and as durably: the owner's no takes effect everywhere, also
//! where a Core can't look. Its yes is enough to take that back: when all roots do what they are asked again, the CMK
//! Server links the tenant anew by itself, unless somebody unlinked it meanwhile. Anything else changes the health
//! alone, and nobody is told.
//!
//! Why so: `docs/adr/0019-probes.md`.

use std::time::Duration;

use openkcm_contracts::v1::LinkState;
use openkcm_contracts::{LinkEpoch, Revision, TenantState, Timestamp};

use super::{Decision, Held, letters, unlink};
use crate::store::{Health, Pointer, ProbeOutcome, UnlinkReason};

/// How often each tenant's roots are asked, unless an operator says otherwise.
pub const PROBED_EVERY: Duration = Duration::from_secs(60);

/// How old the health that is kept may be while it stays the same: a hundred thousand tenants are not written down
/// each minute.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// What the roots of a pointer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What it comes to.
    pub outcome: ProbeOutcome,
    /// What is wrong; none where each root did what was asked.
    pub reason: Option<String>,
}

/// Whether a pointer's roots are asked: it is linked, or would be if they did not deny.
pub fn is_probed(pointer: &Pointer) -> bool {
    pointer.is_linked() || is_denied(pointer)
}

/// Whether what was seen is worth to be kept.
pub fn is_news(pointer: &Pointer, seen: &Seen, now: Timestamp) -> bool {
    let health = &pointer.health;
    let same = (health.outcome, &health.reason) == (seen.outcome, &seen.reason);
    !same || now.since(health.at) >= KEPT_FOR || is_denied(pointer) && seen.outcome == ProbeOutcome::Ok
}

/// Decides what follows from what the roots of the pointer at revision `asked` said; nothing, where it has changed
/// since. `may_link`: whether no Core says that this store is behind.
pub fn probed(
    held: &Held<'_>,
    asked: Revision,
    seen: Seen,
    may_link: bool,
    now: Timestamp,
) -> Option<Decision> {
    let pointer = held.pointer.filter(|pointer| pointer.revision == asked && is_probed(pointer))?;
    let denies = seen.outcome == ProbeOutcome::Denied;
    let all_do = seen.outcome == ProbeOutcome::Ok && seen.reason.is_none();
    let pointer = Pointer { health: pointer.health.followed_by(seen, now), ..pointer.clone() };
    if pointer.is_linked() && denies {
        return Some(unlink::end(held, &pointer, UnlinkReason::Denied, now));
    }
    match is_denied(&pointer) && all_do && may_link && may_be_linked(held, &pointer) {
        true => Some(link_again(held, pointer, now)),
        false => Some(Decision::nothing(pointer)),
    }
}

fn is_denied(pointer: &Pointer) -> bool {
    pointer.unlinked.is_some_and(|ended| ended.reason == UnlinkReason::Denied)
}

fn may_be_linked(held: &Held<'_>, pointer: &Pointer) -> bool {
    let stands = held.tenant.is_some_and(|tenant| {
        tenant.fact.generation == pointer.generation && tenant.fact.state != TenantState::Offboarded
    });
    stands && !held.standing.is_stale()
}

/// The same roots, and another link: who holds a word about the one that was denied is never taken for the newest.
fn link_again(held: &Held<'_>, pointer: Pointer, now: Timestamp) -> Decision {
    let mut pointer = Pointer {
        epoch: LinkEpoch(held.next),
        revision: held.next,
        state: LinkState::Linked,
        linked_at: now,
        changed_at: now,
        unlinked: None,
        ..pointer
    };
    let letters = letters::tell(&mut pointer, held.regions(), now);
    Decision { pointer, changed: true, letters }
}

impl Health {
    /// The health after the roots were asked once more.
    fn followed_by(&self, Seen { outcome, reason }: Seen, now: Timestamp) -> Self {
        let was_good = (self.outcome == ProbeOutcome::Ok).then_some(self.at);
        Self {
            outcome,
            at: now,
            reason,
            last_good: if outcome == ProbeOutcome::Ok { Some(now) } else { self.last_good.or(was_good) },
            since: if outcome == self.outcome { self.since.or(Some(self.at)) } else { Some(now) },
        }
    }
}
