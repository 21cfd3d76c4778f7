//! A long intake, cut into the transactions in which it is committed.
//!
//! A Core that is behind hands itself all that was read meanwhile at once, tens of thousands of facts in no order
//! of names. They are sorted, and committed a slice of names after another: each slice lies close together in
//! the store's indexes, so that it changes few of their pages, and none keeps other changes waiting for long.
//!
//! What always holds: how far the mesh was read, and how far each authority's word was applied, is committed with
//! the last slice. A crash between two of them has the mesh read again from before the first, and what is read
//! twice changes nothing.

use openkcm_contracts::{Event, ServiceId, SystemId, TenantId};
use openkcm_orbital::{Intake, Verified};

use super::Applied;

/// Events of one transaction: some ten milliseconds of it.
pub const SLICE: usize = 2_048;

/// Bytes of a name that decide where it is sorted. Names that have more of them in common stay as they came;
/// the order is for the disk, and nothing else depends on it.
const PLACE_LEN: usize = 48;

/// What is committed together.
#[derive(Debug)]
pub struct Slice {
    pub(super) intake: Intake,
    /// How far the authorities' words were applied with this, which ends its intake.
    pub(super) applied: Option<Applied>,
}

/// Where an event's record lies in the store's indexes, by the beginning of its name. What there are few of
/// comes first, in the order in which it came.
type Place = [u8; PLACE_LEN];

/// Cuts an intake into slices; at least one.
pub fn slices(mut intake: Intake) -> impl ExactSizeIterator<Item = Slice> + Send {
    let applied = Applied::by(&intake.events);
    let events = std::mem::take(&mut intake.events);
    let mut order: Vec<(Place, usize)> =
        events.iter().enumerate().map(|(at, verified)| (place(&verified.event), at)).collect();
    order.sort_unstable();
    let count = events.len().div_ceil(SLICE).max(1);
    let mut events: Vec<Option<Verified>> = events.into_iter().map(Some).collect();
    (0..count).map(move |number| {
        let of_it = &order[number * SLICE..order.len().min((number + 1) * SLICE)];
        let taken = of_it.iter().map(|(_, at)| events[*at].take().expect("each event has one place"));
        let last = number + 1 == count;
        let (position, releases) =
            if last { (intake.position.take(), intake.releases.take()) } else { (None, None) };
        let intake = Intake {
            stream: intake.stream.clone(),
            words_of: intake.words_of,
            events: taken.collect(),
            // With the first: what revokes and can't be read is not to wait for anything.
            poison: std::mem::take(&mut intake.poison),
            dropped: std::mem::take(&mut intake.dropped),
            position,
            caught_up: last && intake.caught_up,
            releases,
        };
        Slice { intake, applied: last.then_some(applied) }
    })
}

fn place(event: &Event) -> Place {
    match event {
        Event::KeyDefine(fact) => by_name(&fact.tenant, &fact.system, fact.service.as_ref()),
        Event::KeySealed(fact) => by_name(&fact.tenant, &fact.system, fact.service.as_ref()),
        _ => [0; PLACE_LEN],
    }
}

fn by_name(tenant: &TenantId, system: &SystemId, service: Option<&ServiceId>) -> Place {
    let mut place = [0; PLACE_LEN];
    let parts = [tenant.as_str(), "/", system.as_str(), "/", service.map_or("", ServiceId::as_str)];
    let bytes = parts.into_iter().flat_map(str::bytes);
    place.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    place
}
