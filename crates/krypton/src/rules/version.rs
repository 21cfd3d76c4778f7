//! Versions: which of those that are held encrypts, and in which state each of them is.
//!
//! Cores never agree on anything: each derives the states from the set that it holds, and the same
//! set gives the same answer everywhere.

use std::collections::BTreeSet;
use std::time::Duration;

use openkcm_contracts::{Timestamp, VersionId, VersionState};

/// How long a new version waits for its sealed form to be durable on the mesh before this Core, which
/// may be cut off, relies on its own disk alone. Twice the longest pause that a healthy mesh makes.
pub const REPLICATION_PATIENCE: Duration = Duration::from_secs(2);

/// A version that this Core can open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The highest counter that its maker knew, plus one.
    pub counter: u64,
    /// Its id.
    pub id: VersionId,
    /// When it was made.
    pub made_at: Timestamp,
    /// Whether its sealed form is not yet known to be durable on the mesh.
    pub at_risk: bool,
}

/// The version that encrypts: the newest by (counter, id) that may be relied on and is not
/// compromised. And when to look again, where a newer one still waits to be replicated.
pub fn choose_active(
    candidates: &[Candidate],
    compromised: &BTreeSet<VersionId>,
    now: Timestamp,
) -> (Option<VersionId>, Option<Timestamp>) {
    let mut usable: Vec<&Candidate> = candidates.iter().filter(|c| !compromised.contains(&c.id)).collect();
    usable.sort_by_key(|candidate| (candidate.counter, candidate.id));
    let mut look_again = None;
    for candidate in usable.into_iter().rev() {
        let relied_on_at = candidate.made_at.after(REPLICATION_PATIENCE);
        // A clock that was set back must not make a version wait for years.
        let waits = candidate.at_risk && now < relied_on_at && now >= candidate.made_at;
        if !waits {
            return (Some(candidate.id), look_again);
        }
        look_again = Some(look_again.map_or(relied_on_at, |at: Timestamp| at.min(relied_on_at)));
    }
    (None, look_again)
}

/// Whether the newest version is a compromised one, so that another is to take its place at once: an older one that
/// encrypted before it is not to go on where the newest one ended. `known`: versions that are to be believed in, with
/// their counters; `next`: the counter that a new one would have, beyond which nothing is believed.
pub fn is_to_be_replaced(
    known: &[(u64, VersionId)],
    usable: &[Candidate],
    compromised: &BTreeSet<VersionId>,
    next: u64,
) -> bool {
    let ended = known.iter().filter(|(counter, id)| compromised.contains(id) && *counter < next).max();
    let newest = usable.iter().map(|candidate| (candidate.counter, candidate.id)).max();
    ended.is_some_and(|ended| newest.is_none_or(|newest| *ended > newest))
}

/// The state of one version, given the one that encrypts.
pub fn state_of(
    candidate: &Candidate,
    active: Option<&Candidate>,
    compromised: &BTreeSet<VersionId>,
) -> VersionState {
    if compromised.contains(&candidate.id) {
        return VersionState::Compromised;
    }
    match active {
        Some(active) if active.id == candidate.id => VersionState::Active,
        Some(active) if (active.counter, active.id) > (candidate.counter, candidate.id) => {
            VersionState::Deactivated
        }
        _ => VersionState::PreActive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(counter: u64, id: u8, at_risk: bool) -> Candidate {
        let id = VersionId::from_bytes([id; 16]);
        Candidate { counter, id, made_at: Timestamp::from_millis(10_000), at_risk }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_newest_by_counter_then_id_encrypts() {
        let held = [candidate(1, 9, false), candidate(2, 1, false), candidate(2, 2, false)];
        let (active, again) = choose_active(&held, &BTreeSet::new(), at(10_000));
        assert_eq!((active, again), (Some(held[2].id), None));
    }

    #[test]
    fn a_version_is_replicated_before_it_is_relied_on_while_the_mesh_answers() {
        let held = [candidate(1, 1, false), candidate(2, 2, true)];
        let (active, again) = choose_active(&held, &BTreeSet::new(), at(10_001));
        assert_eq!((active, again), (Some(held[0].id), Some(at(12_000))));
        let (active, _) = choose_active(&held, &BTreeSet::new(), at(12_000));
        assert_eq!(active, Some(held[1].id), "a Core that is cut off goes on with its own disk");
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_keep_a_version_waiting() {
        let held = [candidate(1, 1, true)];
        assert_eq!(choose_active(&held, &BTreeSet::new(), at(5)).0, Some(held[0].id));
    }

    #[test]
    fn a_compromised_version_never_encrypts_however_new() {
        let held = [candidate(1, 1, false), candidate(2, 2, false)];
        let compromised = BTreeSet::from([held[1].id]);
        assert_eq!(choose_active(&held, &compromised, at(99_999)).0, Some(held[0].id));
        assert_eq!(state_of(&held[1], Some(&held[0]), &compromised), VersionState::Compromised);
    }

    #[test]
    fn a_compromised_newest_version_is_replaced_until_a_newer_one_may_be_used() {
        let known = [(1, candidate(1, 1, false).id), (2, candidate(2, 2, false).id)];
        let (older, newest) = (BTreeSet::from([known[0].1]), BTreeSet::from([known[1].1]));
        let usable = [candidate(1, 1, false)];
        assert!(is_to_be_replaced(&known, &usable, &newest, 3), "not an older one again");
        assert!(is_to_be_replaced(&known, &[], &newest, 3));
        assert!(!is_to_be_replaced(&known, &[usable[0], candidate(3, 3, true)], &newest, 4));
        assert!(!is_to_be_replaced(&known, &[candidate(2, 2, false)], &older, 3));
        assert!(!is_to_be_replaced(&known, &usable, &newest, 2), "a counter that nobody believes");
        assert!(!is_to_be_replaced(&known, &usable, &BTreeSet::new(), 3));
    }

    #[test]
    fn states_follow_from_the_active_version() {
        let held = [candidate(1, 1, false), candidate(2, 2, false), candidate(3, 3, true)];
        let none = BTreeSet::new();
        let states: Vec<_> = held.iter().map(|c| state_of(c, Some(&held[1]), &none)).collect();
        assert_eq!(states, [VersionState::Deactivated, VersionState::Active, VersionState::PreActive]);
    }
}
