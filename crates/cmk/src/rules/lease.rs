//! What a lease renews: the links on which a Core and the CMK Server agree, and no other.
//!
//! A Core's manifest has the digests of its buckets of links. Where one is not as it is to be, and the tenants that
//! make the difference are known from an earlier look, the bucket is *explained* by them: they are in dispute, the
//! others are renewed. Where it is not explained, the tenants that may make the difference are not renewed, and the
//! others if the Core finds that it holds of them what it is to hold. So every lease is honest about what is known, and
//! no difference delays the lease of anyone else, also where it changes faster than it can be looked into.

use std::collections::{BTreeMap, BTreeSet};

use openkcm_contracts::v1::{Dispute, LinkState, Unsettled};
use openkcm_contracts::{LinkEpoch, Period, RegionId, Revision, TenantId};
use openkcm_digests::{Buckets, bucket_of};

use crate::store::Pointer;

/// Most tenants that a lease names; where there are more, whole buckets are not renewed.
pub const MOST_DISPUTES: usize = 1_000;

/// Most tenants that a lease names in buckets that nothing explains.
pub const MOST_SUSPECTS: usize = 1_000;

/// How long leases hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseTerms {
    /// In every region.
    pub ttl: Period,
    /// In these regions instead.
    pub regions: BTreeMap<RegionId, Period>,
}

impl Default for LeaseTerms {
    fn default() -> Self {
        Self { ttl: Period::from_secs(86_400).expect("a day is a period"), regions: BTreeMap::new() }
    }
}

impl LeaseTerms {
    /// How long a lease of this region holds.
    pub fn of(&self, region: &RegionId) -> Period {
        self.regions.get(region).copied().unwrap_or(self.ttl)
    }
}

/// What a Core holds otherwise, by tenant: the digest of what it holds, and of what it is to hold.
pub type Differences = BTreeMap<TenantId, (Option<String>, Option<String>)>;

/// How a manifest stands to what a region is to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Tenants that explain why their buckets differ.
    pub disputed: BTreeSet<TenantId>,
    /// Buckets that nothing explains.
    pub unsettled: BTreeSet<u8>,
}

/// Compares what a manifest says with what the region is to hold, given what is known to differ, and which links came to
/// the region lately with their tenants, the last one first.
///
/// These are told in order. So a bucket in which the last few are missing, and all else is as it is to be, is agreed on:
/// what is missing is on its way, and who serves less than it may is in dispute with nobody. The lease covers what the
/// manifest told of, and no link that arrives after it.
pub fn compare(
    told: &Buckets,
    expected: &Buckets,
    known: &Differences,
    came: &[(TenantId, String)],
) -> Agreement {
    let differing: BTreeSet<u8> = told.differing(expected).into_iter().collect();
    let known: Vec<_> = known
        .iter()
        .filter(|(id, (theirs, ours))| theirs != ours && differing.contains(&bucket_of(id.as_str())))
        .collect();
    let mut explained = expected.clone();
    for (id, (theirs, ours)) in &known {
        explained.replace(id.as_str(), ours.as_deref(), theirs.as_deref());
    }
    let mut unsettled: BTreeSet<u8> = told.differing(&explained).into_iter().collect();
    let is_known: BTreeSet<&TenantId> = known.iter().map(|(id, _)| *id).collect();
    for (id, digest) in came.iter().filter(|(id, _)| !is_known.contains(id)) {
        let bucket = bucket_of(id.as_str());
        if unsettled.contains(&bucket) {
            explained.replace(id.as_str(), Some(digest), None);
            if explained.digest(bucket) == told.digest(bucket) {
                unsettled.remove(&bucket);
            }
        }
    }
    let mut disputed: BTreeSet<TenantId> = known.into_iter().map(|(id, _)| id.clone()).collect();
    if disputed.len() > MOST_DISPUTES {
        unsettled.extend(disputed.iter().map(|id| bucket_of(id.as_str())));
    }
    disputed.retain(|id| !unsettled.contains(&bucket_of(id.as_str())));
    Agreement { disputed, unsettled }
}

/// What is said of buckets that nothing explains. `suspects`: who may make the difference, with the digest of what the
/// region is to hold of each. A bucket whose suspects are too many for one lease is said to have none: that costs its
/// other tenants a renewal, and promises nothing wrong.
pub fn narrow(
    expected: &Buckets,
    unsettled: &BTreeSet<u8>,
    suspects: &BTreeMap<TenantId, Option<String>>,
) -> Vec<Unsettled> {
    let mut named: BTreeMap<u8, Vec<(&TenantId, Option<&str>)>> = BTreeMap::new();
    for (id, ours) in suspects {
        named.entry(bucket_of(id.as_str())).or_default().push((id, ours.as_deref()));
    }
    let (mut left, mut others) = (MOST_SUSPECTS, expected.clone());
    let narrowed = unsettled.iter().map(|bucket| {
        let suspects = named.remove(bucket).filter(|suspects| suspects.len() <= left).unwrap_or_default();
        left -= suspects.len();
        suspects.iter().for_each(|(id, ours)| others.replace(id.as_str(), *ours, None));
        let without = suspects.into_iter().map(|(id, _)| id.clone()).collect();
        Unsettled { bucket: *bucket, without, others: others.digest(*bucket) }
    });
    narrowed.collect()
}

/// What the CMK Server says of a tenant in dispute, to a region that the tenant has or has not. `last`: the revision
/// of its last change, up to which it knows every link that was ever made.
pub fn dispute(id: &TenantId, pointer: Option<&Pointer>, has_region: bool, last: Revision) -> Dispute {
    let (epoch, state) = match pointer {
        Some(pointer) if !has_region => {
            // The Registry withdraws the tenant there; the link itself may stand, and the tenant come back.
            let epoch =
                if pointer.is_linked() { LinkEpoch(Revision::ZERO) } else { LinkEpoch(pointer.revision) };
            (epoch, LinkState::Unlinked)
        }
        Some(pointer) if pointer.is_linked() => (pointer.epoch, LinkState::Linked),
        Some(pointer) => (LinkEpoch(pointer.revision), LinkState::Unlinked),
        None => (LinkEpoch(last), LinkState::Unlinked),
    };
    Dispute { tenant: id.clone(), epoch, state }
}

#[cfg(test)]
mod tests {
    use openkcm_digests::Sum;

    use super::*;

    fn id(name: &str) -> TenantId {
        TenantId::new(name).expect("a label")
    }

    fn digest(of: &str, counter: u64) -> String {
        Sum::of(of, Revision::new(1, counter), b"link").digest()
    }

    /// Buckets that hold these links.
    fn holding(links: &[(&str, u64)]) -> Buckets {
        let mut buckets = Buckets::of_nothing();
        links.iter().for_each(|(name, counter)| buckets.replace(name, None, Some(&digest(name, *counter))));
        buckets
    }

    fn known(differences: &[(&str, Option<u64>, Option<u64>)]) -> Differences {
        let entry = |(name, theirs, ours): &(&str, Option<u64>, Option<u64>)| {
            let of = |counter: &Option<u64>| counter.map(|counter| digest(name, counter));
            (id(name), (of(theirs), of(ours)))
        };
        differences.iter().map(entry).collect()
    }

    /// Links that came, the last one first.
    fn came(links: &[(&str, u64)]) -> Vec<(TenantId, String)> {
        links.iter().rev().map(|(name, counter)| (id(name), digest(name, *counter))).collect()
    }

    #[test]
    fn what_came_last_may_be_on_its_way_and_disputes_nothing() {
        let all: Vec<String> = (0..2_000).map(|number| format!("t{number}")).collect();
        let all: Vec<(&str, u64)> = all.iter().map(|name| (name.as_str(), 7)).collect();
        let expected = holding(&[&[("acme", 1)], &all[..]].concat());
        for arrived in [0, 1, 900, 2_000] {
            let told = holding(&[&[("acme", 1)], &all[..arrived]].concat());
            assert_eq!(
                compare(&told, &expected, &known(&[]), &came(&all)),
                Agreement::default(),
                "{arrived}"
            );
        }
    }

    #[test]
    fn what_is_missing_out_of_order_or_is_held_otherwise_is_not_explained_by_what_came() {
        let links = [("acme", 1), ("gekko", 2)];
        assert_eq!(bucket_of("acme"), bucket_of("gekko"));
        let open = BTreeSet::from([bucket_of("acme")]);
        let unsettled = |told: &[(&str, u64)]| {
            compare(&holding(told), &holding(&links), &known(&[]), &came(&links)).unsettled
        };
        assert_eq!(unsettled(&[("gekko", 2)]), open, "the later one is here, and the earlier is not");
        assert_eq!(unsettled(&[("acme", 1), ("gekko", 9)]), open, "it holds another link");
        assert_eq!(unsettled(&[("acme", 9)]), open, "what came before is another one");
        assert_eq!(unsettled(&[("acme", 1)]), BTreeSet::new());
    }

    #[test]
    fn the_same_links_are_agreed_on_whatever_was_known_before() {
        let both = holding(&[("acme", 1), ("beta", 2)]);
        assert_eq!(compare(&both, &both, &known(&[]), &[]), Agreement::default());
        let healed = known(&[("acme", Some(7), Some(1))]);
        assert_eq!(compare(&both, &both, &healed, &[]), Agreement::default());
    }

    #[test]
    fn a_bucket_is_settled_when_what_is_known_explains_it_exactly() {
        let (theirs, ours) = (holding(&[("acme", 1), ("beta", 2)]), holding(&[("acme", 3), ("beta", 2)]));
        let bucket = bucket_of("acme");
        let unknown = compare(&theirs, &ours, &known(&[]), &[]);
        assert_eq!((unknown.disputed, unknown.unsettled), ([].into(), [bucket].into()));
        let explained = compare(&theirs, &ours, &known(&[("acme", Some(1), Some(3))]), &[]);
        assert_eq!((explained.disputed, explained.unsettled), ([id("acme")].into(), [].into()));
        let another = compare(&theirs, &ours, &known(&[("acme", Some(9), Some(3))]), &[]);
        assert_eq!(
            (another.disputed, another.unsettled),
            ([].into(), [bucket].into()),
            "it has changed since"
        );
    }

    #[test]
    fn what_either_side_lacks_can_be_known_too() {
        let (theirs, ours) = (holding(&[("acme", 1)]), holding(&[("beta", 2)]));
        let all = known(&[("acme", Some(1), None), ("beta", None, Some(2))]);
        let agreement = compare(&theirs, &ours, &all, &[]);
        assert_eq!((agreement.disputed, agreement.unsettled), ([id("acme"), id("beta")].into(), [].into()));
    }

    #[test]
    fn the_others_of_a_bucket_are_summed_up_without_those_that_may_make_the_difference() {
        // Both lie in one bucket.
        let (fickle, neighbour) = ("acme", "gekko");
        let bucket = bucket_of(fickle);
        assert_eq!(bucket, bucket_of(neighbour));
        let ours = holding(&[(fickle, 3), (neighbour, 2), ("beta", 4)]);
        let suspects = [(id(fickle), Some(digest(fickle, 3)))].into();
        let narrowed = narrow(&ours, &[bucket].into(), &suspects);
        let others = holding(&[(neighbour, 2)]).digest(bucket);
        assert_eq!(narrowed, [Unsettled { bucket, without: vec![id(fickle)], others }]);
        let unknown = narrow(&ours, &[bucket].into(), &[].into());
        assert_eq!(unknown, [Unsettled { bucket, without: vec![], others: ours.digest(bucket) }]);
        let elsewhere = narrow(&ours, &[bucket_of("beta")].into(), &suspects);
        assert!(elsewhere[0].without.is_empty());
    }

    #[test]
    fn one_lease_names_no_more_than_it_may_and_the_rest_of_the_buckets_are_said_as_they_are() {
        let ours = holding(&[("acme", 1), ("beta", 2)]);
        let names: Vec<TenantId> = (0..100_000).map(|number| id(&format!("t{number}"))).collect();
        let suspects: BTreeMap<_, _> = names.into_iter().map(|id| (id, None)).collect();
        let narrowed = narrow(&ours, &(0..=u8::MAX).collect(), &suspects);
        let named: usize = narrowed.iter().map(|bucket| bucket.without.len()).sum();
        assert_eq!(narrowed.len(), 256);
        assert!(0 < named && named <= MOST_SUSPECTS, "{named}");
        let cut = narrowed.iter().find(|bucket| bucket.without.is_empty()).expect("not all fit");
        assert_eq!(cut.others, ours.digest(cut.bucket));
    }

    #[test]
    fn whoever_was_never_linked_is_dead_up_to_now_and_whoever_left_is_only_not_renewed() {
        let last = Revision::new(1, 9);
        let unknown = dispute(&id("acme"), None, true, last);
        assert_eq!((unknown.epoch, unknown.state), (LinkEpoch(last), LinkState::Unlinked));
    }
}
