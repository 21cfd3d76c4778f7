//! When the material of a key is to be destroyed for good, and up to which generation.
//!
//! A tombstone names a generation, and means it and all earlier ones: of a system also the keys of all its services,
//! whose generations lie after that of the system that they belong to and before that of the next one. So one word
//! ends a system of ten thousand services. It never reaches what is made later under the same name.
//!
//! What always holds: nothing that stands is named; and what was told once is not told again.

use openkcm_contracts::{DefinitionState, Generation, KeyPath, Revision, Timestamp};

use super::{End, Moment, Place, Standing};
use crate::store::KeyRecord;

/// Up to which generation a key's material is to be destroyed now; nothing when none is due that was not told.
pub fn due(place: &Place, at: Moment) -> Option<Generation> {
    let (held, standing) = place.held().ok()?;
    if let Standing::Ended(End { purge_at, .. }) = standing
        && !place.is_purged(held)
    {
        let is_system = matches!(place.path, KeyPath::System(_));
        if is_over(held, at.now) {
            // Nothing was made under it since it was deleted, and regions that have heard of that know since when.
            return Some(Generation(held.revision));
        }
        // What a service inherits from its system is the system's own tombstone's to end.
        if is_system && at.now >= purge_at {
            return Some(Generation(at.revision));
        }
    }
    let ended = held.ended.filter(|ended| at.now >= ended.purge_at)?;
    let told = place.purged >= Some(ended.generation);
    (!told).then(|| before(held.generation))
}

/// Whether its own waiting period is over.
fn is_over(held: &KeyRecord, now: Timestamp) -> bool {
    matches!(held.state, DefinitionState::Deleted { purge_at } if now >= purge_at)
}

/// The last generation that there can be before another one.
pub fn before(generation: Generation) -> Generation {
    let Revision { term, counter } = generation.0;
    Generation(Revision { term, counter: counter.saturating_sub(1) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::key::tests::{service, system};
    use crate::rules::tenant::tests::{at, generation, tenant};
    use crate::store::{Ended, Tenancy};

    fn moment(counter: u64, now: u64) -> Moment {
        Moment { revision: Revision::new(1, counter), now: at(now) }
    }

    fn of_system(held: KeyRecord) -> Place {
        let path = held.path();
        Place { path, tenant: Some(tenant(1)), system: None, held: Some(held), purged: None }
    }

    fn of_service(system: KeyRecord, held: KeyRecord) -> Place {
        Place { system: Some(system), path: held.path(), ..of_system(held) }
    }

    fn deleted(mut record: KeyRecord, revision: u64, purge_at: u64) -> KeyRecord {
        record.revision = Revision::new(1, revision);
        record.state = DefinitionState::Deleted { purge_at: at(purge_at) };
        record
    }

    #[test]
    fn what_stands_is_never_named_and_what_is_deleted_when_its_wait_is_over() {
        let place = of_system(system(1, 2));
        assert_eq!(due(&place, moment(99, u64::MAX)), None);
        let place = of_system(deleted(system(1, 2), 7, 50));
        assert_eq!(due(&place, moment(99, 49)), None);
        assert_eq!(
            due(&place, moment(99, 50)),
            Some(generation(7)),
            "with all that was made before the deletion"
        );
        let told = Place { purged: Some(generation(7)), ..place };
        assert_eq!(due(&told, moment(99, 50)), None);
    }

    #[test]
    fn what_was_defined_again_is_spared_and_its_past_is_named() {
        let mut again = system(1, 9);
        again.ended = Some(Ended { generation: generation(2), purge_at: at(50) });
        let place = of_system(again);
        assert_eq!(due(&place, moment(99, 49)), None);
        assert_eq!(
            due(&place, moment(99, 50)),
            Some(generation(8)),
            "services of the old one lie before the new one"
        );
        let told = Place { purged: Some(generation(7)), ..place };
        assert_eq!(due(&told, moment(99, 50)), None);
    }

    #[test]
    fn a_service_ends_with_its_systems_tombstone_and_by_its_own() {
        let place = of_service(deleted(system(1, 2), 7, 50), service(2, 3));
        assert_eq!(due(&place, moment(99, 50)), None, "it has no tombstone of its own");
        let place = of_service(system(1, 2), deleted(service(2, 3), 8, 50));
        assert_eq!(due(&place, moment(99, 50)), Some(generation(8)));
        let covered = Place { purged: Some(generation(7)), ..place };
        assert_eq!(due(&covered, moment(99, 50)), None, "its system's tombstone names it already");
    }

    #[test]
    fn a_system_of_an_offboarded_tenant_is_named_with_all_that_there_is() {
        let mut place = of_system(system(1, 2));
        let offboarded = Tenancy::Offboarded { purge_at: at(50) };
        place.tenant = Some(crate::store::TenantRecord { state: offboarded, ..tenant(1) });
        assert_eq!(due(&place, moment(99, 49)), None);
        assert_eq!(due(&place, moment(99, 50)), Some(generation(99)));
    }
}
