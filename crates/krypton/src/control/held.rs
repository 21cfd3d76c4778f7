//! What is held of a key, as far as it is to be believed.
//!
//! Every Core may tell of versions, under its own name, of any tenant: a Core that was taken over, or
//! one of a region that the tenant never had, can tell of versions that nobody made. What opens is
//! authentic. What does not open may be on its way, or made up; so it never stands in the place of
//! what opens, and only what a region of the tenant told keeps this one from making what it lacks.

use std::cmp::Reverse;
use std::collections::HashSet;

use openkcm_contracts::v1::KeySealed;
use openkcm_contracts::{Generation, RegionId};

use crate::store::MAX_COUNTER;

/// The regions whose word about a tenant's keys counts before it was proven: its own list, and this
/// one. Regions that a tenant had earlier are not known to every Core, so they are not among them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Members<'a> {
    pub(super) regions: &'a [RegionId],
    pub(super) own: &'a RegionId,
}

impl Members<'_> {
    pub(super) fn include(&self, teller: &RegionId) -> bool {
        teller == self.own || self.regions.contains(teller)
    }

    /// Each version once, the oldest counter first. Where several Cores tell of one id, because one has sealed
    /// it anew or made it up, the nearest one's record holds, with the others' seals after its own: whichever
    /// of them opens is the version, so that nobody hides one by telling of it too.
    pub(super) fn each_once(&self, mut held: Vec<KeySealed>, generation: Generation) -> Vec<KeySealed> {
        let mut ids = HashSet::with_capacity(held.len());
        if held.iter().all(|sealed| ids.insert(sealed.version)) {
            return held;
        }
        held.sort_by_key(|sealed| {
            (sealed.version, Reverse(sealed.generation == generation), self.rank(sealed))
        });
        let mut once: Vec<KeySealed> = Vec::with_capacity(ids.len());
        for sealed in held {
            match once.last_mut().filter(|last| last.version == sealed.version) {
                None => once.push(sealed),
                Some(last) if last.generation == sealed.generation => last.seals.extend(sealed.seals),
                Some(_) => {}
            }
        }
        once.sort_by_key(|sealed| (sealed.counter, sealed.version));
        once
    }

    fn rank(&self, sealed: &KeySealed) -> usize {
        let teller = sealed.teller();
        let listed = || self.regions.iter().position(|region| region == teller);
        if teller == self.own { 0 } else { listed().map_or(usize::MAX, |rank| rank + 1) }
    }
}

/// How far beyond what opens here a counter is believed that only a signature vouches for. Regions that
/// are cut off from one another never get so far apart; and a Core's stolen signing key, which opens
/// nothing, must not bring the count to its end, beyond which no version is newer than another.
const MAX_LEAD: u64 = 1 << 20;

/// The highest counter that is known, plus one; no higher than peers take it. `known`: counters, and
/// whether their versions are open here, which proves them.
pub(super) fn next_counter(known: impl Iterator<Item = (u64, bool)> + Clone) -> u64 {
    let proven = known.clone().filter(|(_, open)| *open).map(|(counter, _)| counter).max().unwrap_or(0);
    let believed = |(counter, open): (u64, bool)| open || counter <= proven.saturating_add(MAX_LEAD);
    let highest = known.filter(|one| believed(*one)).map(|(counter, _)| counter).max();
    highest.map_or(1, |highest| highest.saturating_add(1).min(MAX_COUNTER))
}

#[cfg(test)]
mod tests {
    use openkcm_contracts::v1::{Seal, SealedBy};
    use openkcm_contracts::{Revision, SystemId, TenantId, Timestamp, VersionId};

    use super::*;

    fn region(name: &str) -> RegionId {
        RegionId::new(name).expect("valid")
    }

    fn sealed(id: u8, counter: u64, maker: &str, generation: u64) -> KeySealed {
        KeySealed {
            tenant: TenantId::new("acme").expect("valid"),
            system: SystemId::new("hr").expect("valid"),
            service: None,
            generation: Generation(Revision::new(1, generation)),
            version: VersionId::from_bytes([id; 16]),
            counter,
            made_at: Timestamp::from_millis(counter),
            maker: region(maker),
            seals: vec![Seal {
                by: SealedBy::L2(VersionId::from_bytes([9; 16])),
                ciphertext: format!("{maker}{counter}"),
            }],
            resealed_by: None,
        }
    }

    fn once(held: Vec<KeySealed>) -> Vec<(u8, u64, String, Vec<String>)> {
        let (regions, own) = ([region("a"), region("b")], region("b"));
        let members = Members { regions: &regions, own: &own };
        let once = members.each_once(held, Generation(Revision::new(1, 2)));
        let seals = |sealed: &KeySealed| sealed.seals.iter().map(|seal| seal.ciphertext.clone()).collect();
        let row = |s: &KeySealed| (s.version.as_bytes()[0], s.counter, s.maker.to_string(), seals(s));
        once.iter().map(row).collect()
    }

    #[test]
    fn a_stranger_who_tells_of_a_members_version_neither_hides_nor_moves_it() {
        let told =
            vec![sealed(1, 0, "x", 2), sealed(1, 3, "a", 2), sealed(1, 7, "x", 2), sealed(2, 5, "b", 2)];
        let expected = [
            (1, 3, "a".into(), vec!["a3".into(), "x0".into(), "x7".into()]),
            (2, 5, "b".into(), vec!["b5".into()]),
        ];
        assert_eq!(once(told), expected);
    }

    #[test]
    fn a_version_that_is_told_of_for_an_ended_generation_too_is_that_of_the_present_one() {
        let told = vec![sealed(1, 1, "a", 1), sealed(1, 4, "x", 2)];
        assert_eq!(once(told), [(1, 4, "x".into(), vec!["x4".into()])]);
    }

    #[test]
    fn counting_stops_where_peers_would_no_longer_take_what_is_made() {
        assert_eq!(next_counter([].into_iter()), 1);
        assert_eq!(next_counter([(4, true), (2, false)].into_iter()), 5);
        assert_eq!(next_counter([(MAX_COUNTER, true)].into_iter()), MAX_COUNTER);
        assert_eq!(next_counter([(u64::MAX, true)].into_iter()), MAX_COUNTER);
    }

    #[test]
    fn a_counter_that_nothing_proves_does_not_bring_the_count_to_its_end() {
        assert_eq!(next_counter([(4, true), (MAX_COUNTER, false)].into_iter()), 5);
        assert_eq!(next_counter([(MAX_COUNTER, false)].into_iter()), 1);
        assert_eq!(
            next_counter([(4, true), (9, false)].into_iter()),
            10,
            "a member that is ahead is believed"
        );
    }
}
