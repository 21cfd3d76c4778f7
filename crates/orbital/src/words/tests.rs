//! Own last words: verdicts, restarts, rebuilds, in a store in memory.

use std::collections::BTreeMap;

use openkcm_contracts::v1::TenantDefine;
use openkcm_contracts::{Audience, Generation, Lane, RegionId, Role, TenantId, TenantState};
use openkcm_store::Memory;

use super::*;
use crate::outbox::{self, Waiting};
use crate::{Letter, Stream, Verified};

const NOW: Timestamp = Timestamp::from_millis(1_770_019_200_000);

/// An authority that holds all that it has said; of the tenant *late*, an older word.
const FACTS: Facts = Facts {
    rank: |_| Some(0),
    knows: |_, event, revision| {
        let late = event.subject().as_str() == "tenant.late";
        Ok(!late || revision <= Revision::new(1, 1))
    },
};

fn r(term: u32, counter: u64) -> Revision {
    Revision::new(term, counter)
}

/// A store of an authority, and how far it has come.
struct Authority {
    store: Memory,
    last: Revision,
}

impl Authority {
    fn at(last: Revision) -> Self {
        Self { store: Memory::default(), last }
    }

    fn write<T>(&mut self, write: impl FnOnce(&mut dyn Write) -> Result<T, StoreError>) -> T {
        self.store.write(write).expect("memory does not fail")
    }

    fn start(&mut self) -> &mut Self {
        let last = self.last;
        self.write(|tx| begin(tx, last, NOW));
        self
    }

    fn rebuild(&mut self) -> &mut Self {
        let last = self.last;
        self.last = self.write(|tx| begin_rebuild(tx, last, NOW)).unwrap_or(last);
        self
    }

    fn reads(&mut self, words: &Intake) -> Option<Revision> {
        let last = self.last;
        let raised = self.write(|tx| compare(tx, words, FACTS, last, NOW));
        self.last = raised.unwrap_or(last);
        raised
    }

    fn ends(&mut self) -> Standing {
        self.write(compared);
        self.standing()
    }

    fn standing(&self) -> Standing {
        standing(&self.store).expect("memory does not fail")
    }
}

/// Words about tenants, as they lie on the stream of a region.
fn words(region: &str, said: &[(&str, Revision)]) -> Intake {
    let audience = Audience::Region(RegionId::new(region).expect("a label"));
    let event = |name: &str| {
        Event::TenantDefine(TenantDefine {
            tenant: TenantId::new(name).expect("a label"),
            generation: Generation(r(1, 1)),
            state: TenantState::Active,
            regions: Vec::new(),
            labels: BTreeMap::new(),
        })
    };
    let verified = |(name, revision): &(&str, Revision)| Verified {
        event: event(name),
        revision: *revision,
        audience: audience.clone(),
        author: Role::Registry,
        region: None,
    };
    Intake {
        stream: Stream { lane: Lane::Facts, audience: audience.clone() },
        words_of: Some(Role::Registry),
        events: said.iter().map(verified).collect(),
        poison: Vec::new(),
        dropped: BTreeMap::new(),
        unbelieved: None,
        position: None,
        caught_up: true,
        releases: None,
    }
}

fn letter(revision: Revision) -> Waiting {
    let word = words("a", &[("acme", revision)]).events.remove(0);
    Waiting { number: 1, letter: Letter::new(&word.event, word.audience, revision, NOW) }
}

#[test]
fn a_first_start_on_an_empty_mesh_is_current() {
    let mut authority = Authority::at(r(1, 0));
    assert_eq!(authority.start().standing(), Standing::Comparing { base: r(1, 0) });
    assert_eq!(authority.reads(&words("a", &[])), None);
    assert_eq!(authority.ends(), Standing::Current);
}

#[test]
fn own_words_that_the_store_knows_are_no_news() {
    let mut authority = Authority::at(r(1, 5));
    authority.start().reads(&words("a", &[("acme", r(1, 5)), ("bolt", r(1, 2))]));
    assert_eq!(authority.ends(), Standing::Current);
}

#[test]
fn a_word_that_the_store_does_not_know_makes_it_stale_and_raises_the_term_above_it() {
    let mut authority = Authority::at(r(1, 5));
    assert_eq!(authority.start().reads(&words("a", &[("acme", r(1, 9))])), Some(r(2, 0)));
    assert_eq!(authority.ends(), Standing::Stale { base: r(1, 5), from: r(2, 0) });
    let report = report(&authority.store).expect("memory does not fail");
    assert_eq!((report.newest, report.base, report.since), (Some(r(1, 9)), Some(r(1, 5)), Some(NOW)));
}

#[test]
fn a_word_that_is_newer_than_what_the_store_holds_of_its_thing_makes_it_stale_too() {
    let mut authority = Authority::at(r(2, 5));
    authority.start();
    assert_eq!(authority.reads(&words("a", &[("acme", r(1, 3)), ("late", r(1, 1))])), None);
    assert_eq!(authority.reads(&words("a", &[("late", r(1, 3))])), Some(r(3, 0)));
    assert_eq!(authority.ends(), Standing::Stale { base: r(2, 5), from: r(3, 0) });
}

#[test]
fn a_lost_store_is_stale_as_soon_as_there_is_a_word() {
    let mut authority = Authority::at(r(1, 0));
    assert_eq!(authority.start().reads(&words("a", &[("acme", r(3, 1))])), Some(r(4, 0)));
}

#[test]
fn a_word_of_a_later_term_and_a_lower_counter_is_newer() {
    let mut authority = Authority::at(r(1, 50));
    assert_eq!(authority.start().reads(&words("a", &[("acme", r(2, 1))])), Some(r(3, 0)));
}

#[test]
fn a_restart_before_the_comparison_ended_does_not_take_new_changes_for_common_ones() {
    let mut authority = Authority::at(r(1, 5));
    authority.start();
    // Changes were accepted meanwhile, and nobody was told of them.
    authority.last = r(1, 9);
    authority.start();
    assert_eq!(authority.standing(), Standing::Comparing { base: r(1, 5) });
    assert_eq!(authority.reads(&words("a", &[("acme", r(1, 7))])), Some(r(2, 0)));
}

#[test]
fn words_on_another_stream_raise_the_term_again_when_it_is_not_above_them() {
    let mut authority = Authority::at(r(1, 5));
    authority.start().reads(&words("a", &[("acme", r(1, 9))]));
    assert_eq!(authority.reads(&words("b", &[("acme", r(1, 8))])), None);
    authority.last = r(2, 3);
    // As long as nothing was said, a word of the present term is not an own one.
    assert_eq!(authority.reads(&words("c", &[("acme", r(2, 1))])), Some(r(3, 0)));
    assert_eq!(authority.ends(), Standing::Stale { base: r(1, 5), from: r(3, 0) });
}

#[test]
fn an_authority_stays_stale_over_restarts_and_knows_what_it_has_said_since() {
    let mut authority = Authority::at(r(1, 5));
    authority.start().reads(&words("a", &[("acme", r(1, 9))]));
    authority.ends();
    authority.last = r(2, 4);
    assert_eq!(authority.start().reads(&words("a", &[("acme", r(2, 4))])), None);
    assert_eq!(authority.ends(), Standing::Stale { base: r(1, 5), from: r(2, 0) });
}

#[test]
fn a_stale_store_that_was_put_back_once_more_is_behind_since_the_older_of_the_two() {
    let mut authority = Authority::at(r(1, 5));
    authority.start().reads(&words("a", &[("acme", r(1, 9))]));
    authority.ends();
    authority.last = r(2, 2);
    assert_eq!(authority.start().reads(&words("a", &[("acme", r(2, 7))])), Some(r(3, 0)));
    assert_eq!(authority.ends(), Standing::Stale { base: r(1, 5), from: r(3, 0) });
}

#[test]
fn a_letter_that_gave_way_to_a_newer_word_makes_the_store_stale() {
    let mut authority = Authority::at(r(1, 5));
    authority.start().ends();
    authority.last = r(1, 8);
    let mut learns = |outcome, revision| {
        let last = authority.last;
        let raised = authority.write(|tx| superseded(tx, &[letter(revision)], &[outcome], last, NOW));
        authority.last = raised.unwrap_or(last);
        raised
    };
    assert_eq!(learns(Published::Stored, r(1, 7)), None);
    assert_eq!(learns(Published::Superseded, r(1, 7)), Some(r(2, 0)));
    assert_eq!(learns(Published::Superseded, r(1, 6)), None, "it is older than the verdict");
    assert_eq!(learns(Published::Superseded, r(2, 1)), Some(r(3, 0)));
    assert_eq!(authority.standing(), Standing::Stale { base: r(1, 5), from: r(3, 0) });
}

#[test]
fn a_word_that_can_not_be_read_counts_by_its_revision() {
    let mut authority = Authority::at(r(1, 5));
    let mut unreadable = words("a", &[]);
    unreadable.poison.push(crate::inbox::Quarantined {
        at: NOW,
        reason: "of a later version".into(),
        tenant: None,
        revokes: false,
        headers: [("ce-kcmrevision".to_owned(), "1.6".to_owned())].into(),
        body: String::new(),
    });
    assert_eq!(authority.start().reads(&unreadable), Some(r(2, 0)));
}

#[test]
fn a_rebuild_keeps_of_each_thing_the_newest_word_in_whatever_order_they_are_read() {
    let (a, b) = (words("a", &[("acme", r(1, 9))]), words("b", &[("acme", r(1, 4)), ("bolt", r(1, 6))]));
    for order in [[&a, &b], [&b, &a]] {
        let mut authority = Authority::at(r(1, 0));
        authority.rebuild();
        for words in order {
            authority.reads(words);
        }
        let found = found::list(&authority.store, "", None, 10).expect("memory does not fail");
        let found: Vec<_> = found.into_iter().map(|(subject, word)| (subject, word.revision)).collect();
        assert_eq!(found, [("tenant.acme".to_owned(), r(1, 9)), ("tenant.bolt".to_owned(), r(1, 6))]);
        let heard = found::heard(&authority.store, "tenant.acme").expect("memory does not fail");
        let revisions: Vec<_> = heard.into_values().map(|heard| heard.revision).collect();
        assert_eq!(revisions, [r(1, 9), r(1, 4)]);
    }
}

#[test]
fn a_rebuild_goes_on_above_everything_that_it_finds_and_ends_current() {
    let mut authority = Authority::at(r(1, 5));
    authority.rebuild();
    assert_eq!((authority.last, authority.standing().is_stale()), (r(2, 0), true));
    authority.reads(&words("a", &[("acme", r(4, 2))]));
    assert_eq!(authority.last, r(5, 0));
    let last = authority.last;
    authority.write(|tx| rebuilt(tx, last));
    assert_eq!(authority.standing(), Standing::Current);
    assert_eq!(authority.start().reads(&words("a", &[("acme", r(4, 2))])), None);
}

#[test]
fn a_rebuild_that_was_broken_off_leaves_a_stale_authority_and_begins_anew() {
    let mut authority = Authority::at(r(1, 5));
    authority.rebuild().reads(&words("a", &[("acme", r(1, 9))]));
    authority.start();
    assert!(authority.standing().is_stale() && !rebuilding(&authority.store).expect("reads"));
    assert_eq!(authority.rebuild().last, r(2, 0), "the term is above all that is known already");
    assert_eq!(found::newest(&authority.store, "tenant.acme").expect("reads"), None);
    assert!(rebuilding(&authority.store).expect("reads"));
}

#[test]
fn what_was_found_is_forgotten_in_parts() {
    let names: Vec<String> = (0..1_500).map(|number| format!("t{number}")).collect();
    let said: Vec<_> = names.iter().map(|name| (name.as_str(), r(1, 1))).collect();
    let mut authority = Authority::at(r(1, 5));
    authority.rebuild().reads(&words("a", &said));
    let parts = (1..).find(|_| !authority.write(found::forget_some)).expect("it ends");
    assert_eq!(parts, 3, "1,500 newest words and as many hearers, 1,000 at once");
    assert_eq!(found::list(&authority.store, "", None, 1).expect("reads"), []);
    assert_eq!(outbox::waiting(&authority.store, Lane::Facts, 1).expect("reads"), []);
}

fn unbelieved(revision: Revision) -> Intake {
    Intake { unbelieved: Some(revision), ..words("a", &[]) }
}

#[test]
fn words_of_a_retired_key_that_the_store_may_know_are_no_news() {
    let mut authority = Authority::at(r(1, 5));
    authority.start().reads(&unbelieved(r(1, 5)));
    assert_eq!(authority.ends(), Standing::Current);
}

/// An authority that lost its store and whose key was replaced would else take the mesh for empty, and unlink in
/// vain: no Core heeds a word older than what it holds.
#[test]
fn later_words_of_a_retired_key_make_it_stale_until_they_are_believed_and_rebuilt() {
    let mut authority = Authority::at(r(1, 0));
    // The claim raises no term above itself: nobody vouches for it.
    assert_eq!(authority.start().reads(&unbelieved(r(9, 9))), Some(r(2, 0)));
    assert!(authority.ends().is_stale());
    authority.rebuild().reads(&unbelieved(r(9, 9)));
    let last = authority.last;
    authority.write(|tx| rebuilt(tx, last));
    assert!(authority.standing().is_stale(), "nothing was rebuilt");
    assert!(!rebuilding(&authority.store).expect("memory does not fail"));
    authority.rebuild().reads(&words("a", &[("acme", r(9, 9))]));
    let last = authority.last;
    assert!(last > r(9, 9));
    authority.write(|tx| rebuilt(tx, last));
    assert_eq!(authority.standing(), Standing::Current);
}
