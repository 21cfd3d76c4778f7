//! What is done about a difference between what a region holds and what it is to hold.
//!
//! The Registry's word is told again where the region lacks it, is behind, or holds other content. What the Registry
//! never knew is never destroyed for that: absence is no tombstone. And where a region holds a later word than the
//! Registry, the Registry may be the stale one, so that it corrects nothing there. Why a region's claim alone does
//! not stop it: `docs/adr/0017-drift.md`. A tombstone that a region lost is told again as any word is: it was said.

use std::time::Duration;

use openkcm_component::drift::{Action, Kind};
use openkcm_contracts::{Revision, Timestamp};

/// How long a region that has not shown that it read a word is given to read it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What the Registry holds of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ours {
    /// The revision of its word.
    pub revision: Revision,
    /// The last revision on which it depends whether, and as what, the region is told of it: its own, or its tenant's.
    pub told_from: Revision,
    /// When that was.
    pub told_at: Timestamp,
}

/// How far a region has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The last revision of the Registry that it had applied.
    pub applied: Option<Revision>,
    /// For how long its manifests have said so.
    pub unchanged_for: Duration,
}

/// What is to be done, and how it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The word may be on its way.
    Wait,
    /// This.
    Act(Kind, Action),
}

/// Judges a thing that differs. `held` is the revision at which the region holds it, if it does.
pub fn judge(ours: Option<Ours>, held: Option<Revision>, reading: Reading, now: Timestamp) -> Judgement {
    let Some(ours) = ours else { return Judgement::Act(Kind::Unknown, Action::Alarm) };
    if held > Some(ours.revision) {
        return Judgement::Act(Kind::StaleAuthority, Action::Alarm);
    }
    let has_read_it = reading.applied >= Some(ours.told_from);
    let had_time = now.since(ours.told_at) >= PATIENCE && reading.unchanged_for >= PATIENCE;
    if !has_read_it && !had_time {
        return Judgement::Wait;
    }
    let kind = match held {
        None => Kind::Missing,
        Some(held) if held < ours.told_from => Kind::Behind,
        Some(_) => Kind::Differs,
    };
    Judgement::Act(kind, Action::ToldAgain)
}

/// Judges a tombstone that differs, whose revision is what it ends. `differs_for`: for how long it may have differed.
/// How far a region has read says nothing of it, since tombstones travel on a lane of their own.
pub fn judge_tombstone(
    ours: Option<Ours>,
    held: Option<Revision>,
    differs_for: Duration,
    now: Timestamp,
) -> Judgement {
    let Some(ours) = ours else { return Judgement::Act(Kind::Unknown, Action::Alarm) };
    if held > Some(ours.revision) {
        return Judgement::Act(Kind::StaleAuthority, Action::Alarm);
    }
    if now.since(ours.told_at) < PATIENCE || differs_for < PATIENCE {
        return Judgement::Wait;
    }
    let kind = match held {
        None => Kind::Missing,
        Some(held) if held < ours.revision => Kind::Behind,
        Some(_) => Kind::Differs,
    };
    Judgement::Act(kind, Action::Purge)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Ours = Ours {
        revision: Revision::new(1, 5),
        told_from: Revision::new(1, 5),
        told_at: Timestamp::from_millis(1_000_000),
    };

    fn reading(applied: u64, unchanged_for: Duration) -> Reading {
        Reading { applied: Some(Revision::new(1, applied)), unchanged_for }
    }

    fn judged(held: Option<u64>, reading: Reading, after: Duration) -> Judgement {
        let held = held.map(|counter| Revision::new(1, counter));
        judge(Some(OURS), held, reading, OURS.told_at.after(after))
    }

    #[test]
    fn what_a_region_has_read_past_and_does_not_hold_is_told_again() {
        let told_again = |kind| Judgement::Act(kind, Action::ToldAgain);
        for (held, kind) in [(None, Kind::Missing), (Some(4), Kind::Behind), (Some(5), Kind::Differs)] {
            assert_eq!(judged(held, reading(5, Duration::ZERO), Duration::ZERO), told_again(kind));
        }
    }

    #[test]
    fn a_word_that_may_be_on_its_way_is_waited_for() {
        for (unchanged_for, after) in [(PATIENCE, Duration::ZERO), (Duration::ZERO, PATIENCE)] {
            assert_eq!(judged(None, reading(4, unchanged_for), after), Judgement::Wait);
        }
        let acted = judged(None, reading(4, PATIENCE), PATIENCE);
        assert_eq!(acted, Judgement::Act(Kind::Missing, Action::ToldAgain));
    }

    #[test]
    fn a_tombstone_that_was_lost_is_told_again_when_it_had_time_to_arrive() {
        let judged = |held: Option<u64>, differs_for, after| {
            let held = held.map(|counter| Revision::new(1, counter));
            judge_tombstone(Some(OURS), held, differs_for, OURS.told_at.after(after))
        };
        assert_eq!(judged(None, PATIENCE, Duration::ZERO), Judgement::Wait);
        assert_eq!(judged(None, Duration::ZERO, PATIENCE), Judgement::Wait);
        for (held, kind) in [(None, Kind::Missing), (Some(4), Kind::Behind)] {
            assert_eq!(judged(held, PATIENCE, PATIENCE), Judgement::Act(kind, Action::Purge));
        }
        let more = judged(Some(6), PATIENCE, PATIENCE);
        assert_eq!(more, Judgement::Act(Kind::StaleAuthority, Action::Alarm));
        let unknown = judge_tombstone(None, Some(Revision::new(1, 1)), PATIENCE, OURS.told_at);
        assert_eq!(unknown, Judgement::Act(Kind::Unknown, Action::Alarm));
    }

    #[test]
    fn what_was_never_known_or_is_newer_is_an_alarm_and_nothing_else() {
        let read = reading(9, PATIENCE);
        let unknown = judge(None, Some(Revision::new(1, 1)), read, OURS.told_at);
        assert_eq!(unknown, Judgement::Act(Kind::Unknown, Action::Alarm));
        let newer = judged(Some(6), read, PATIENCE);
        assert_eq!(newer, Judgement::Act(Kind::StaleAuthority, Action::Alarm));
    }
}
