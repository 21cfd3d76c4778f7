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

/// An intake, slice after slice; at least one.
#[derive(Debug)]
pub struct Slices {
    /// What is left of it, without its events.
    intake: Intake,
    events: Vec<Option<Verified>>,
    order: std::vec::IntoIter<(Place, usize)>,
    applied: Option<Applied>,
}

/// Where an event's record lies in the store's indexes, by the beginning of its name. What there are few of
/// comes first, in the order in which it came.
type Place = [u8; PLACE_LEN];

impl Slices {
    /// Sorts an intake; some ten milliseconds for the longest.
    pub fn of(mut intake: Intake) -> Self {
        let events = std::mem::take(&mut intake.events);
        let places = events.iter().map(|verified| place(&verified.event));
        let mut order: Vec<(Place, usize)> = places.zip(0..).collect();
        order.sort_unstable();
        Self {
            applied: Some(Applied::by(&events)),
            intake,
            events: events.into_iter().map(Some).collect(),
            order: order.into_iter(),
        }
    }

    /// Whether its last slice was given.
    pub fn is_done(&self) -> bool {
        self.applied.is_none()
    }
}

impl Iterator for Slices {
    type Item = Slice;

    fn next(&mut self) -> Option<Slice> {
        self.applied?;
        let taken = self.order.by_ref().take(SLICE).map(|(_, at)| at);
        let events = taken.map(|at| self.events[at].take().expect("each event has one place")).collect();
        let is_last = self.order.len() == 0;
        let Self { intake, .. } = self;
        Some(Slice {
            intake: Intake {
                stream: intake.stream.clone(),
                words_of: intake.words_of,
                events,
                // With the first: what revokes and can't be read is not to wait for anything.
                poison: std::mem::take(&mut intake.poison),
                dropped: std::mem::take(&mut intake.dropped),
                unbelieved: intake.unbelieved.take(),
                position: intake.position.take_if(|_| is_last),
                caught_up: intake.caught_up && is_last,
                releases: intake.releases.take_if(|_| is_last),
            },
            applied: self.applied.take_if(|_| is_last),
        })
    }
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
