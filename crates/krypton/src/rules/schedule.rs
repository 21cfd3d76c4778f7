//! When a version is due to be made.
//!
//! Jitter comes from the version's own random id: no further randomness is needed, every restart of a
//! Core computes the same moment, and keys that were made together do not rotate together. The first
//! region in a tenant's list acts at the due moment, the others somewhat later, so that as a rule one
//! region makes the version and the others receive it; cut off, each acts alone.

use std::time::Duration;

use openkcm_contracts::{Period, RegionId, Timestamp, VersionId};

/// How long a region that is not its tenant's first waits for another to make a key's first version,
/// before it makes one without being asked for it.
pub const FIRST_VERSION_PATIENCE: Duration = Duration::from_secs(30);

/// The share of a period by which a rotation may come early.
const JITTER: f64 = 0.05;

/// The share of a period by which each further region in a tenant's list comes later.
const DEFERRAL: f64 = 0.1;

/// When this region makes the first version of a key that it learned of at `since`. `None`: it is not
/// one of the tenant's regions.
pub fn make_at(regions: &[RegionId], region: &RegionId, since: Timestamp) -> Option<Timestamp> {
    let rank = u32::try_from(regions.iter().position(|listed| listed == region)?).ok()?;
    Some(since.after(FIRST_VERSION_PATIENCE.saturating_mul(rank)))
}

/// When the version that encrypts is due to be replaced, as this region sees it.
pub fn rotate_at(
    period: Period,
    active: VersionId,
    made_at: Timestamp,
    regions: &[RegionId],
    region: &RegionId,
) -> Timestamp {
    let rank = regions.iter().position(|listed| listed == region).unwrap_or(0) as f64;
    let drawn = u32::from_be_bytes([
        active.as_bytes()[0],
        active.as_bytes()[1],
        active.as_bytes()[2],
        active.as_bytes()[3],
    ]);
    let early = JITTER * f64::from(drawn) / f64::from(u32::MAX);
    made_at.after(period.duration().mul_f64(1.0 - early + DEFERRAL * rank))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions() -> [RegionId; 2] {
        ["a", "b"].map(|name| RegionId::new(name).expect("valid"))
    }

    #[test]
    fn the_first_region_makes_at_once_and_the_second_waits() {
        let now = Timestamp::from_millis(1_000);
        let [a, b] = regions();
        assert_eq!(make_at(&regions(), &a, now), Some(now));
        assert_eq!(make_at(&regions(), &b, now), Some(now.after(FIRST_VERSION_PATIENCE)));
        assert_eq!(make_at(&regions(), &RegionId::new("c").expect("valid"), now), None);
    }

    #[test]
    fn a_rotation_comes_up_to_a_twentieth_early_never_late_in_the_first_region() {
        let (period, made) = (Period::from_secs(1_000).expect("valid"), Timestamp::from_millis(0));
        let [a, b] = regions();
        for byte in [0, 1, 127, 255] {
            let id = VersionId::from_bytes([byte; 16]);
            let first = rotate_at(period, id, made, &regions(), &a).as_millis();
            assert!((950_000..=1_000_000).contains(&first), "{first}");
            assert!(rotate_at(period, id, made, &regions(), &b).as_millis() >= first + 99_000);
        }
    }
}
