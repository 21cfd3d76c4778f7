//! How an arriving fact meets the one that is held.
//!
//! The one rule that makes duplicates, reordering and replays harmless: the newer revision wins, an
//! older one changes nothing, and at the same revision the authority's word replaces what is held.

use crate::Revision;

/// What becomes of an arriving fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meeting {
    /// Newer than what is held, or the first of its thing: it replaces what is held.
    Newer,
    /// The same revision with other content: it replaces what is held, and is worth a report, since
    /// somebody changed the copy.
    Differs,
    /// Exactly what is held.
    Same,
    /// Older than what is held: nothing changes.
    Older,
}

impl Meeting {
    /// Whether the arriving fact is to be stored.
    pub fn replaces(self) -> bool {
        matches!(self, Self::Newer | Self::Differs)
    }
}

/// Compares an arriving fact with the held one of the same thing.
pub fn meet<F: PartialEq>(held: Option<(Revision, &F)>, arriving: (Revision, &F)) -> Meeting {
    let Some((held_revision, held_fact)) = held else {
        return Meeting::Newer;
    };
    match arriving.0.cmp(&held_revision) {
        std::cmp::Ordering::Greater => Meeting::Newer,
        std::cmp::Ordering::Less => Meeting::Older,
        std::cmp::Ordering::Equal if held_fact == arriving.1 => Meeting::Same,
        std::cmp::Ordering::Equal => Meeting::Differs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_of_an_older_fact_changes_nothing() {
        let (r1, r2) = (Revision::new(1, 1), Revision::new(1, 2));
        assert_eq!(meet(None, (r1, &"a")), Meeting::Newer);
        assert_eq!(meet(Some((r2, &"b")), (r1, &"a")), Meeting::Older);
        assert_eq!(meet(Some((r1, &"a")), (r2, &"b")), Meeting::Newer);
    }

    #[test]
    fn at_the_same_revision_the_authority_replaces_what_is_held() {
        let r = Revision::new(1, 1);
        assert_eq!(meet(Some((r, &"a")), (r, &"a")), Meeting::Same);
        assert_eq!(meet(Some((r, &"a")), (r, &"b")), Meeting::Differs);
        assert!(Meeting::Differs.replaces() && !Meeting::Same.replaces());
    }
}
