//! Two sides in memory: what differs is found, whatever it is and however it is divided.

use std::collections::BTreeMap;

use openkcm_contracts::Revision;
use openkcm_store::Memory;
use proptest::prelude::*;

use super::*;
use crate::Changes;

const SHELF: Shelf = Shelf::new("units", "places", "totals");

/// Things by unit and subject, with a store that sums them up.
#[derive(Default, Clone)]
struct Side {
    store: Memory,
    held: BTreeMap<String, BTreeMap<String, (Revision, Sum)>>,
}

impl Side {
    fn hold(&mut self, unit: &str, subject: &str, counter: Option<u64>) {
        let things = self.held.entry(unit.to_owned()).or_default();
        let after = counter.map(|counter| {
            let revision = Revision::new(1, counter);
            (revision, Sum::of(subject, revision, b"x"))
        });
        let before = match after {
            Some(thing) => things.insert(subject.to_owned(), thing),
            None => things.remove(subject),
        };
        let mut changes = Changes::default();
        changes.replace(unit, before.map(|(_, sum)| sum), after.map(|(_, sum)| sum));
        let in_view = |_: &dyn Read, _: &str| Ok(["v".to_owned()].into());
        self.store.write(|tx| SHELF.apply(tx, changes, in_view)).expect("memory does not fail");
    }

    fn things(&self, unit: &str) -> Vec<(ListedThing, Sum)> {
        let held = self.held.get(unit).into_iter().flatten();
        let thing = |(subject, (revision, sum)): (&String, &(Revision, Sum))| {
            let listed = ListedThing { subject: subject.clone(), revision: *revision, digest: sum.digest() };
            (listed, *sum)
        };
        held.map(thing).collect()
    }

    fn differing(&self, other: &Self) -> Vec<Node> {
        let of = |side: &Self| SHELF.buckets(&side.store, "v").expect("memory does not fail");
        of(self).differing(&of(other)).into_iter().map(Node::Bucket).collect()
    }
}

/// What differs, as an authority finds it out, and how many answers that took.
fn find(ours: &Side, theirs: &Side) -> (Vec<Difference>, usize) {
    let (mut nodes, mut found, mut answers) = (ours.differing(theirs), Vec::new(), 0);
    while !nodes.is_empty() {
        answers += 1;
        let mut next = BTreeSet::new();
        for node in &nodes {
            let seen = SHELF.look(&theirs.store, "v", node, |unit| Ok(theirs.things(unit))).expect("memory");
            let narrowed =
                SHELF.narrow(&ours.store, "v", &seen, |unit| Ok(ours.things(unit))).expect("memory");
            next.extend(narrowed.nodes);
            found.extend(narrowed.things);
        }
        nodes = next.into_iter().collect();
    }
    found.sort_by(|a, b| a.subject.cmp(&b.subject));
    found.dedup();
    (found, answers)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn exactly_what_differs_is_found(
        things in prop::collection::btree_map((0..200_u16, 0..90_u16), (0..3_u64, 0..3_u64), 0..400),
    ) {
        let (mut ours, mut theirs) = (Side::default(), Side::default());
        let mut expected = Vec::new();
        // A unit of more things than are listed at once, and a bucket of more units.
        for service in 0..=MOST_LISTED as u16 {
            for side in [&mut ours, &mut theirs] {
                side.hold("t/full", &format!("key.t.full.{service}"), Some(1));
            }
        }
        for ((system, service), (own, other)) in things {
            let (unit, subject) = (format!("t/{}", system % 40), format!("key.t.{system}.{service}"));
            for (side, counter) in [(&mut ours, own), (&mut theirs, other)] {
                side.hold(&unit, &subject, (counter > 0).then_some(counter));
            }
            if own != other {
                expected.push(subject);
            }
        }
        expected.sort();
        let (found, _) = find(&ours, &theirs);
        prop_assert_eq!(found.iter().map(|difference| difference.subject.clone()).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn the_sums_of_a_set_are_the_same_in_whatever_order_it_came_to_be() {
    let (mut one, mut other) = (Side::default(), Side::default());
    let things = [("a", "tenant.a", 1), ("a/x", "key.a.x", 2), ("a/x", "key.a.x.y", 3)];
    for (unit, subject, counter) in things {
        one.hold(unit, subject, Some(counter));
    }
    for (unit, subject, counter) in things.into_iter().rev() {
        other.hold(unit, subject, Some(9));
        other.hold(unit, subject, None);
        other.hold(unit, subject, Some(counter));
    }
    assert_eq!(one.store, other.store);
    for (unit, subject, _) in things {
        one.hold(unit, subject, None);
    }
    assert_eq!(one.store.scan(SHELF.spaces()[2], openkcm_store::Scan::prefix(b"")).expect("memory"), []);
    assert_eq!(one.differing(&Side::default()), []);
}

#[test]
fn many_units_in_a_bucket_and_many_things_in_a_unit_are_divided() {
    let (mut ours, mut theirs) = (Side::default(), Side::default());
    let units = 256 * (MOST_LISTED + 10);
    for number in 0..units {
        for side in [&mut ours, &mut theirs] {
            side.hold(&format!("t-{number}"), &format!("tenant.t-{number}"), Some(1));
        }
    }
    for number in 0..1_000 {
        for side in [&mut ours, &mut theirs] {
            side.hold("t-0/s", &format!("key.t-0.s.{number}"), Some(1));
        }
    }
    theirs.hold("t-0/s", "key.t-0.s.500", Some(2));
    theirs.hold("t-7", "tenant.t-7", None);
    let (found, answers) = find(&ours, &theirs);
    assert_eq!(
        found.iter().map(|difference| difference.subject.as_str()).collect::<Vec<_>>(),
        ["key.t-0.s.500", "tenant.t-7"]
    );
    assert_eq!(answers, 4, "places, units, parts, things");
}

#[test]
fn a_tenant_that_leaves_a_view_takes_its_units_along() {
    let mut side = Side::default();
    for (unit, subject) in [("a", "tenant.a"), ("a/x", "key.a.x"), ("ab", "tenant.ab"), ("ab/x", "key.ab.x")]
    {
        side.hold(unit, subject, Some(1));
    }
    let mut without = Side::default();
    for (unit, subject) in [("ab", "tenant.ab"), ("ab/x", "key.ab.x")] {
        without.hold(unit, subject, Some(1));
    }
    let whole = side.clone();
    for (views, expected) in [(&[][..], &without), (&["v"], &whole)] {
        let mut changes = Changes::default();
        changes.moved("a");
        changes.moved("a/");
        let moved = |_: &dyn Read, unit: &str| {
            let stays = if unit.starts_with("ab") { &["v"] } else { views };
            Ok(stays.iter().map(|view| (*view).to_owned()).collect())
        };
        side.store.write(|tx| SHELF.apply(tx, changes, moved)).expect("memory");
        assert_eq!(side.differing(expected), []);
    }
    assert_eq!(side.store, whole.store);
}

#[test]
fn the_digests_of_all_buckets_are_read_back_and_nothing_else_is() {
    let mut side = Side::default();
    side.hold("a", "tenant.a", Some(1));
    let buckets = SHELF.buckets(&side.store, "v").expect("memory");
    assert_eq!(crate::Buckets::from_text(&buckets.to_text()), Ok(buckets.clone()));
    assert_eq!(buckets.to_text().len(), 5_462);
    for text in ["", "x", &buckets.to_text()[4..], &format!("{}AAAA", buckets.to_text())] {
        assert!(crate::Buckets::from_text(text).is_err());
    }
}

#[test]
fn what_lies_in_every_view_counts_in_each_of_them_and_is_found_there() {
    let (mut ours, mut theirs) = (Memory::default(), Memory::default());
    let put = |store: &mut Memory, unit: &str, view: &str| {
        let mut changes = Changes::default();
        changes.replace(unit, None, Some(Sum::of(unit, Revision::new(1, 1), b"x")));
        store.write(|tx| SHELF.apply(tx, changes, |_, _| Ok([view.to_owned()].into()))).expect("memory");
    };
    let buckets = |store: &Memory, view: &str| SHELF.buckets(store, view).expect("memory");
    put(&mut ours, "everywhere", crate::EVERY_VIEW);
    put(&mut ours, "here", "a");
    put(&mut theirs, "here", "v");
    assert_ne!(buckets(&ours, "a"), buckets(&theirs, "v"));
    let node = Node::Bucket(bucket_of("everywhere"));
    let listed = SHELF.look(&theirs, "v", &node, |_| Ok(Vec::new())).expect("memory");
    let narrowed = SHELF.narrow(&ours, "a", &listed, |_| Ok(Vec::new())).expect("memory");
    assert_eq!(narrowed.nodes, [Node::Unit("everywhere".into())].into());
    // One side has it in its own view, the other in every view: it is the same that is held.
    put(&mut theirs, "everywhere", "v");
    assert_eq!(buckets(&ours, "a"), buckets(&theirs, "v"));
    let everywhere = Sum::of("everywhere", Revision::new(1, 1), b"x");
    assert_eq!(SHELF.sum_of_every_view(&ours).expect("memory"), everywhere);
}

#[test]
fn what_is_listed_of_elsewhere_leads_nowhere() {
    let ours = Side::default();
    let bucket = bucket_of("acme");
    let digest = Sum::of("x", Revision::new(1, 1), b"x").digest();
    let listed = |of: Node, node: Node| Listed {
        node: of,
        contents: Contents::Nodes(vec![NodeDigest { node, digest: digest.clone() }]),
    };
    let narrowed = |of: Node, node: Node| {
        let listed = listed(of, node);
        SHELF.narrow(&ours.store, "v", &listed, |unit| Ok(ours.things(unit))).expect("memory").nodes
    };
    let unit = |name: &str| Node::Unit(name.to_owned());
    let place = u16::from_be_bytes(place_of("acme"));
    for within in [unit("acme"), Node::Place(place)] {
        assert_eq!(narrowed(Node::Bucket(bucket), within.clone()), [within].into());
    }
    let part = Node::Part { unit: "acme".into(), part: 3 };
    assert_eq!(narrowed(unit("acme"), part.clone()), [part.clone()].into());
    let (whole, other) = (Node::Bucket(bucket), bucket.wrapping_add(1));
    let long = (0..).map(|n| format!("{}{n}", "x".repeat(300))).find(|name| bucket_of(name) == bucket);
    for (of, node) in [
        (whole.clone(), whole.clone()),
        (whole.clone(), Node::Place(u16::from_be_bytes([other, 0]))),
        (Node::Bucket(other), unit("acme")),
        (whole, unit(&long.expect("one of many"))),
        (Node::Place(place), Node::Place(place)),
        (unit("other"), part),
        (unit("acme"), unit("acme")),
    ] {
        assert_eq!(narrowed(of.clone(), node.clone()), BTreeSet::new(), "{node:?} of {of:?}");
    }
}
