//! Whether a region gives reason to doubt that the Registry knows all that it has said.
//!
//! A Registry whose store was put back from an older copy, and whose lost words are not on the mesh either, can learn of
//! it from regions alone, which applied them. What it would tell then to be destroyed may have been taken back in the
//! part that it lost, and nothing brings it back. So it tells no tombstone while a region claims more than it knows, nor
//! before regions had time to say so. Why the claim stops nothing else: `docs/adr/0017-drift.md`.

use std::time::Duration;

use openkcm_contracts::Revision;

/// How long after a start has compared its words regions that say nothing are waited for: two manifests of each come in
/// that time.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What is known of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// A revision that it has applied, and that was beyond the Registry's last one when it said so.
    pub claims: Option<Revision>,
    /// Things of which it holds a later word than the Registry.
    pub things: u64,
    /// Whether it has spoken since the Registry started.
    pub speaks: bool,
    /// Whether what it holds otherwise was looked into since then.
    pub heard: bool,
    /// Whether an operator has said that its claims are to stop nothing.
    pub overruled: bool,
}

/// What follows for the telling of tombstones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Nothing.
    None,
    /// None is told: it was not heard yet, or what it holds otherwise was not looked into.
    Unheard,
    /// None is told: it claims more than the Registry knows.
    Open,
    /// It claims more, or may, and an operator has overruled that.
    Overruled,
}

impl Doubt {
    /// Whether no tombstone is told for it.
    pub fn withholds(self) -> bool {
        matches!(self, Self::Unheard | Self::Open)
    }
}

/// What a region claims from now on. A claim stays when the Registry's own counting has passed it, since what was lost is
/// not back by that; it ends when the region takes it back, or when a rebuild, after which a new term counts, has
/// gathered what there is.
pub fn claims(before: Option<Revision>, applied: Option<Revision>, last: Revision) -> Option<Revision> {
    let stands = |claimed: &Revision| applied >= Some(*claimed) && claimed.term >= last.term;
    applied.filter(|applied| *applied > last).or(before.filter(stands))
}

/// What follows from what is known of a region, when the Registry has run for so long; `last` is its last revision.
pub fn of(known: Known, last: Revision, running_for: Duration) -> Doubt {
    let claims = known.claims.is_some_and(|claimed| claimed.term >= last.term);
    let may_claim = !known.heard && (known.speaks || running_for < PATIENCE);
    match (claims || known.things > 0, may_claim) {
        (false, false) => Doubt::None,
        _ if known.overruled => Doubt::Overruled,
        (true, _) => Doubt::Open,
        (false, true) => Doubt::Unheard,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARD: Known = Known { claims: None, things: 0, speaks: true, heard: true, overruled: false };

    fn r(term: u32, counter: u64) -> Revision {
        Revision::new(term, counter)
    }

    #[test]
    fn a_claim_outlasts_that_the_registry_counts_past_it_and_ends_with_a_new_term_or_by_its_region() {
        let claimed = claims(None, Some(r(1, 50)), r(1, 40));
        assert_eq!(claimed, Some(r(1, 50)));
        assert_eq!(claims(claimed, Some(r(1, 50)), r(1, 60)), claimed, "counted past");
        assert_eq!(claims(claimed, Some(r(1, 55)), r(1, 60)), claimed, "and told of what came since");
        assert_eq!(claims(claimed, Some(r(1, 39)), r(1, 60)), None, "taken back");
        assert_eq!(claims(claimed, Some(r(1, 50)), r(2, 0)), None, "rebuilt");
        assert_eq!(claims(None, Some(r(1, 40)), r(1, 40)), None, "no claim at all");
    }

    #[test]
    fn what_a_region_claims_withholds_tombstones_until_an_operator_overrules_it() {
        let whole = Known { claims: Some(r(1, 50)), ..HEARD };
        let of_a_thing = Known { things: 1, ..HEARD };
        for known in [whole, of_a_thing] {
            assert_eq!(of(known, r(1, 60), PATIENCE * 100), Doubt::Open);
            assert_eq!(of(Known { overruled: true, ..known }, r(1, 60), PATIENCE), Doubt::Overruled);
        }
        assert_eq!(of(whole, r(2, 0), PATIENCE), Doubt::None, "the rebuild was an operator's word");
        assert_eq!(of(of_a_thing, r(2, 0), PATIENCE), Doubt::Open, "what the rebuild did not bring back");
    }

    #[test]
    fn after_a_start_regions_have_time_to_claim_something() {
        let silent = Known { speaks: false, heard: false, ..HEARD };
        assert_eq!(of(silent, r(1, 1), PATIENCE - Duration::from_secs(1)), Doubt::Unheard);
        assert_eq!(of(silent, r(1, 1), PATIENCE), Doubt::None);
        assert_eq!(of(HEARD, r(1, 1), Duration::ZERO), Doubt::None);
    }

    #[test]
    fn one_that_speaks_is_waited_for_until_it_was_looked_into_or_overruled() {
        let speaks = Known { heard: false, ..HEARD };
        assert_eq!(of(speaks, r(1, 1), PATIENCE * 100), Doubt::Unheard);
        assert_eq!(of(Known { overruled: true, ..speaks }, r(1, 1), Duration::ZERO), Doubt::Overruled);
        assert_eq!(of(Known { overruled: true, ..HEARD }, r(1, 1), Duration::ZERO), Doubt::None);
    }
}
